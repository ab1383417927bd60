use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{
    CallId, CallTokenPolicy, Challenge, EncryptionPolicy, Endpoint, EndpointConfig, Event, Instant,
    Network, NewCall, Path, Secret, TransmitBuffer,
};
use oneport_wire::{CauseCode, Format};

use super::Input;

const A: usize = 0;
const B: usize = 1;

struct Pair {
    endpoints: [Endpoint; 2],
    calls: [Option<CallId>; 2],
    now: Instant,
    /// Receiver and datagram.
    wire: Vec<(usize, Vec<u8>)>,
}

fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(node).unwrap_or(9)], 4569))
}

impl Pair {
    fn collect(&mut self) {
        let mut buffer = TransmitBuffer::with_capacity(2_000, 1);
        for node in [A, B] {
            while let Some(event) = self.endpoints[node].poll_event() {
                let endpoint = &mut self.endpoints[node];
                match event {
                    Event::CallOffered { call, .. } => {
                        let encryption = EncryptionPolicy::Required;
                        let challenge =
                            Challenge { encryption, ..Challenge::md5("a", Secret::from("right")) };
                        let _ = endpoint.challenge_call(self.now, call, challenge);
                        self.calls[node] = Some(call);
                    }
                    Event::CallAuthenticated { call, .. } => {
                        let _ = endpoint.accept(self.now, call, Format::ULAW);
                        let _ = endpoint.answer(self.now, call);
                    }
                    _ => {}
                }
            }
            while let Some(transmit) = self.endpoints[node].poll_transmit(&mut buffer) {
                let to = if transmit.path.remote == address(A) { A } else { B };
                self.wire.push((to, buffer.as_bytes().to_vec()));
            }
        }
    }

    fn deliver(&mut self, mut change: impl FnMut(&mut Vec<u8>), copies: usize) {
        for (to, mut bytes) in std::mem::take(&mut self.wire) {
            change(&mut bytes);
            for _ in 0..copies {
                let from = Path::from(address(1 - to));
                self.endpoints[to].handle_datagram(self.now, from, &mut bytes.clone(), &mut ());
            }
        }
        self.collect();
    }
}

/// Two endpoints in an encrypted call: what one sends reaches the other changed, cut, repeated, or
/// not at all, among datagrams of pure invention. Nobody panics, and when both have hung up silence
/// falls.
///
/// # Panics
/// When a rule is broken.
pub fn encrypted(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut call_token = CallTokenPolicy::default();
    call_token.optional_networks.push(Network { address: [10, 0, 0, 0].into(), prefix: 24 });
    let config = EndpointConfig {
        call_token,
        key_rotation: Some(Duration::from_secs(1)),
        ..EndpointConfig::default()
    };
    let now = Instant::from_micros(0);
    let endpoints = [7, 8].map(|seed| Endpoint::new(config.clone(), [seed; 32], now));
    let mut pair = Pair { endpoints, calls: [None; 2], now, wire: Vec::new() };
    let mut call = NewCall::to("1");
    call.secret = Some(Secret::from("right"));
    call.encryption = EncryptionPolicy::Required;
    pair.calls[A] = pair.endpoints[A].place_call(now, address(B), call).ok();
    pair.collect();
    for _ in 0..6 {
        pair.deliver(|_| (), 1);
    }
    while !input.is_empty() {
        let choice = input.below(7);
        match choice {
            0 => {
                let (node, now) = (usize::from(input.bit()), pair.now);
                let voice = input.bytes();
                if let Some(call) = pair.calls[node] {
                    let _ = pair.endpoints[node].send_voice(now, call, Format::ULAW, &voice, 20);
                }
            }
            1 => {
                let (node, now) = (usize::from(input.bit()), pair.now);
                if let Some(call) = pair.calls[node] {
                    let _ = pair.endpoints[node].dtmf_end(now, call, b'1');
                }
            }
            2 => {
                pair.now = pair.now + Duration::from_millis(u64::from(input.byte()) * 16);
                for endpoint in &mut pair.endpoints {
                    endpoint.handle_timeout(pair.now);
                }
            }
            3 | 4 => {
                let copies = if input.bit() { 2 } else { 1 };
                pair.deliver(|bytes| input.spoil(bytes), copies);
            }
            5 => pair.wire.clear(),
            _ => {
                let (to, full) = (usize::from(input.bit()), input.bit());
                let invented = input.bytes();
                let Some(call) = pair.calls[to] else { continue };
                let Some((ours, Some(theirs))) = pair.endpoints[to].call_numbers(call) else {
                    continue;
                };
                let mut datagram = theirs.get().to_be_bytes().to_vec();
                if full {
                    datagram[0] |= 0x80;
                    datagram.extend(ours.get().to_be_bytes());
                }
                datagram.extend(invented);
                let from = Path::from(address(1 - to));
                pair.endpoints[to].handle_datagram(pair.now, from, &mut datagram, &mut ());
            }
        }
        pair.collect();
        for endpoint in &pair.endpoints {
            assert_eq!(endpoint.inconsistency(), None);
        }
    }
    for endpoint in &mut pair.endpoints {
        endpoint.hangup_all(pair.now, CauseCode::NORMAL_CLEARING);
    }
    pair.collect();
    pair.wire.clear();
    while let Some(next) = pair.endpoints.iter().filter_map(Endpoint::poll_timeout).min() {
        pair.now = next;
        for endpoint in &mut pair.endpoints {
            endpoint.handle_timeout(next);
        }
        pair.collect();
        pair.wire.clear();
    }
    assert!(pair.endpoints.iter().all(|endpoint| endpoint.inconsistency().is_none()));
    assert!(pair.endpoints.iter().all(Endpoint::is_quiescent), "something is left");
}
