//! What probes ask their far end for: polls of other ports of theirs, later and unasked, and trunk frames.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use oneport::probe::{Bundle, Wake};
use oneport_proto::{CallId, Endpoint, Event, Instant};

use super::Switch;
use crate::trunks::Owner;

/// Polls that one call may ask for, and those that wait in all.
const MOST_OF_CALL: usize = 32;
const MOST: usize = 512;

/// Whether it is answered is of no account.
const TIMEOUT: Duration = Duration::from_millis(100);

/// Polls that are due later, of calls that may be over by then.
#[derive(Default)]
pub(super) struct Wakes {
    due: BTreeMap<(Instant, u64), (CallId, SocketAddr)>,
    count: u64,
}

impl Wakes {
    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }
}

impl Switch {
    /// Hears what a probe asks for.
    pub(super) fn hear_probe(&mut self, endpoint: &mut Endpoint, now: Instant, event: &Event) {
        let Event::Text { call, text } = event else { return };
        let Some(leg) = self.legs.get(call).filter(|_| self.reflectors.contains_key(call)) else {
            return;
        };
        let address = leg.address;
        if let Some(wake) = Wake::parse(text) {
            self.hear_of_wake(now, *call, address, wake);
        } else if let Some(bundle) = Bundle::parse(text) {
            self.trunks.set(Owner::Probe(*call), Some((address, bundle.trunk())));
            self.trunks.apply(endpoint);
        }
    }

    /// It is polled at its own address alone, once for each text, so that a call cannot be used against others, nor to
    /// make much of little.
    fn hear_of_wake(&mut self, now: Instant, call: CallId, address: SocketAddr, wake: Wake) {
        let Wake { port, after } = wake;
        let wakes = &mut self.wakes;
        let of_call = wakes.due.values().filter(|(of, _)| *of == call).count();
        if wakes.due.len() >= MOST || of_call >= MOST_OF_CALL {
            return;
        }
        wakes.count += 1;
        let to = SocketAddr::new(address.ip(), port);
        wakes.due.insert((now + after, wakes.count), (call, to));
    }

    /// Sends those that are due.
    pub(super) fn send_wakes(&mut self, endpoint: &mut Endpoint, now: Instant) {
        while let Some(first) = self.wakes.due.first_entry().filter(|one| one.key().0 <= now) {
            let (_, to) = first.remove();
            // At a limit it is left out, as on a link that loses it.
            let _ = endpoint.poke(now, to, TIMEOUT);
        }
    }
}
