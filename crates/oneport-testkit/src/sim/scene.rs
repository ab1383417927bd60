//! What most tests begin with.

use std::time::Duration;

use oneport_proto::{CallId, Event, NewCall};
use oneport_wire::Format;

use super::network::Network;

impl Network {
    /// A call from one node to another, who accepts it in µ-law and answers. Both handles; all that
    /// was told until then is forgotten.
    ///
    /// # Panics
    /// No call is offered within 100 ms.
    pub fn call_up(&mut self, from: usize, to: usize, new: NewCall) -> (CallId, CallId) {
        let (now, address) = (self.now(), self.nodes[to].address);
        let ours = self.nodes[from].endpoint.place_call(now, address, new).expect("free");
        self.run(Duration::from_millis(100));
        let events = self.events(to);
        let offered = events.iter().find_map(|event| match event {
            Event::CallOffered { call, .. } => Some(*call),
            _ => None,
        });
        let theirs = offered.unwrap_or_else(|| panic!("no offer: {events:?}"));
        let now = self.now();
        self.nodes[to].endpoint.accept(now, theirs, Format::ULAW).expect("offered");
        self.nodes[to].endpoint.answer(now, theirs).expect("accepted");
        self.run(Duration::from_millis(100));
        self.events(from);
        (ours, theirs)
    }

    /// All that a node has to tell.
    pub fn events(&mut self, node: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.event(node)).collect()
    }
}
