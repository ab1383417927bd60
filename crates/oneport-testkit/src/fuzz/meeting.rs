use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{
    CallId, Endpoint, EndpointConfig, Event, Instant, Network, NewCall, Path, TransferKind,
    TransmitBuffer, TrunkConfig,
};
use oneport_wire::{CauseCode, Format};

use super::Input;

/// The two ends, and the one between them.
const NODES: usize = 3;
const MIDDLE: usize = 1;

struct Meeting {
    endpoints: [Endpoint; NODES],
    addresses: [SocketAddr; NODES],
    /// Calls of each, oldest first.
    calls: [Vec<CallId>; NODES],
    now: Instant,
    /// Receiver, sender and datagram.
    wire: Vec<(usize, SocketAddr, Vec<u8>)>,
}

impl Meeting {
    fn new() -> Self {
        let mut config = EndpointConfig { accept_transfers: true, ..EndpointConfig::default() };
        let network = Network { address: [10, 0, 0, 0].into(), prefix: 24 };
        config.call_token.optional_networks.push(network);
        let now = Instant::from_micros(0);
        let address = |last| SocketAddr::from(([10, 0, 0, last], 4569));
        let mut meeting = Self {
            endpoints: [1, 2, 3].map(|seed| Endpoint::new(config.clone(), [seed; 32], now)),
            addresses: [1, 2, 3].map(address),
            calls: Default::default(),
            now,
            wire: Vec::new(),
        };
        for (from, to) in [(0, MIDDLE), (MIDDLE, 2)] {
            let to = meeting.addresses[to];
            let call = meeting.endpoints[from].place_call(now, to, NewCall::to("1"));
            meeting.calls[from].extend(call);
            for _ in 0..4 {
                meeting.collect();
                meeting.deliver(|_, _| true);
            }
        }
        if let [first, second] = *meeting.calls[MIDDLE] {
            let _ = meeting.endpoints[MIDDLE].link(first, second);
        }
        meeting
    }

    /// Answers what is offered, and takes what is to be sent.
    fn collect(&mut self) {
        let mut buffer = TransmitBuffer::with_capacity(2_000, 1);
        for node in 0..NODES {
            let endpoint = &mut self.endpoints[node];
            while let Some(event) = endpoint.poll_event() {
                match event {
                    Event::CallOffered { call, .. } => {
                        self.calls[node].push(call);
                        let _ = endpoint.accept(self.now, call, Format::ULAW);
                        let _ = endpoint.answer(self.now, call);
                    }
                    Event::CallEnded { call, .. } => self.calls[node].retain(|one| *one != call),
                    _ => {}
                }
            }
            while let Some(transmit) = endpoint.poll_transmit(&mut buffer) {
                let to = self.addresses.iter().position(|to| *to == transmit.path.remote);
                let Some(to) = to else { continue };
                self.wire.push((to, self.addresses[node], buffer.as_bytes().to_vec()));
            }
            assert_eq!(endpoint.inconsistency(), None);
        }
    }

    /// Delivers what waits, as `change` leaves it; `false` loses it.
    fn deliver(&mut self, mut change: impl FnMut(&mut SocketAddr, &mut Vec<u8>) -> bool) {
        for (to, mut from, mut bytes) in std::mem::take(&mut self.wire) {
            if change(&mut from, &mut bytes) {
                let from = Path::from(from);
                self.endpoints[to].handle_datagram(self.now, from, &mut bytes, &mut ());
            }
        }
        self.collect();
    }
}

/// Two ends and a middle that lets them find each other, over trunks and with pictures, while
/// datagrams are lost, changed, repeated, and come from where they do not belong. Nobody panics, all
/// tables agree, and when all have hung up silence falls.
///
/// # Panics
/// When a rule is broken.
pub fn meeting(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut meeting = Meeting::new();
    while !input.is_empty() {
        let choice = input.below(12);
        let node = input.below(3);
        let (now, call) = (meeting.now, meeting.calls[node].first().copied());
        let endpoint = &mut meeting.endpoints[node];
        match (choice, call) {
            (0 | 1, Some(call)) => {
                let voice = input.bytes();
                let _ = endpoint.send_voice(now, call, Format::ULAW, &voice, 20);
            }
            (2, _) => {
                meeting.now = now + Duration::from_millis(u64::from(input.byte()) * 16);
                for endpoint in &mut meeting.endpoints {
                    endpoint.handle_timeout(meeting.now);
                }
            }
            (3 | 4, _) => meeting.deliver(|_, _| true),
            (5, _) => {
                let addresses = meeting.addresses;
                meeting.deliver(|from, bytes| {
                    match input.byte() % 8 {
                        0 => return false,
                        1 => *from = addresses[input.below(3)],
                        2 => from.set_port(4570),
                        3 | 4 => input.spoil(bytes),
                        _ => {}
                    }
                    true
                });
            }
            (6, _) => {
                if let [first, .., second] = *meeting.calls[MIDDLE] {
                    let kind = if input.bit() { TransferKind::Media } else { TransferKind::Full };
                    let _ = meeting.endpoints[MIDDLE].transfer(now, first, second, kind);
                }
            }
            (7, _) => {
                let config = TrunkConfig { timestamps: input.bit(), ..TrunkConfig::default() };
                let config = Some(config).filter(|_| input.bit());
                endpoint.set_trunk(meeting.addresses[input.below(3)], config);
            }
            // A full and a mini frame of video, or a trunk frame, of whoever `node` talks with.
            (8, Some(call)) => {
                let Some((ours, Some(theirs))) = endpoint.call_numbers(call) else { continue };
                let Some(path) = endpoint.call_path(call) else { continue };
                let number = theirs.get().to_be_bytes();
                let mut datagram = match input.below(4) {
                    0 => vec![0, 0, number[0] | 0x80, number[1]],
                    1 => [&[0, 0, 1, 0, 0, 0, 0, 1][..], &number].concat(),
                    2 => [&[0, 0, 1, 1, 0, 0, 0, 1, 0, 4][..], &number].concat(),
                    _ => {
                        let ours = ours.get().to_be_bytes();
                        vec![number[0] | 0x80, number[1], ours[0], ours[1]]
                    }
                };
                datagram.extend(input.bytes());
                endpoint.handle_datagram(now, path, &mut datagram, &mut ());
            }
            (9, Some(call)) => {
                let _ = endpoint.send_text(now, call, "here");
            }
            (10, Some(call)) => {
                let _ = endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None);
            }
            // A node's address changes, as NATs do it.
            (11, _) => {
                let port = 4569 + u16::from(input.byte() % 4);
                meeting.addresses[node].set_port(port);
            }
            _ => {}
        }
        meeting.collect();
    }
    for endpoint in &mut meeting.endpoints {
        endpoint.hangup_all(meeting.now, CauseCode::NORMAL_CLEARING);
    }
    meeting.collect();
    meeting.wire.clear();
    while let Some(next) = meeting.endpoints.iter().filter_map(Endpoint::poll_timeout).min() {
        meeting.now = next;
        for endpoint in &mut meeting.endpoints {
            endpoint.handle_timeout(next);
        }
        meeting.collect();
        meeting.wire.clear();
    }
    assert!(meeting.endpoints.iter().all(Endpoint::is_quiescent), "something is left");
}
