use std::net::SocketAddr;
use std::ops::ControlFlow;

use oneport_decode::{Datagrams, Hear, Packet, Part, Time, Tracker, TrackerConfig, UdpDatagram};
use oneport_proto::Secret;

use super::Input;

/// Few addresses and numbers, so that frames meet.
const ENDS: u8 = 3;

struct Ear(usize);

impl Hear for Ear {
    fn hear(&mut self, part: &Part<'_>) {
        self.0 += part.payload.len();
    }
}

fn address(end: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(end).unwrap_or(0)], 4569))
}

/// Any bytes are a capture or none, and whatever is in it is followed to its end: as a file, as packets of any link, and as
/// datagrams between a few hosts.
///
/// # Panics
/// When more is told of than there was.
pub fn capture(bytes: &[u8]) {
    let config = TrackerConfig { secrets: vec![Secret::from("secret")], most_exchanges: 8 };
    let mut tracker = Tracker::new(config);
    let mut datagrams = Datagrams::new(vec![4569]);
    let mut ear = Ear(0);
    let mut follow = |packet: Packet<'_>, tracker: &mut Tracker| {
        datagrams.find(&packet, |datagram| {
            for datagram in datagram.parts(tracker.stride(&datagram)) {
                let seen = tracker.see(&datagram, &mut ear);
                if let Ok(frame) = &seen.frame {
                    let _ = (frame.to_string(), frame.gist().to_string());
                }
            }
        });
        ControlFlow::Continue(())
    };
    let _ = oneport_decode::read(bytes, |packet| follow(packet, &mut tracker));
    let mut input = Input(bytes);
    let link = [0, 1, 101, 108, 113, 228, 229, 276][input.below(8)];
    let data = input.bytes();
    let packet = Packet { number: 1, time: Time(1), link, data: &data };
    let _ = follow(packet, &mut tracker);
    let mut number = 1;
    while !input.is_empty() {
        number += 1;
        let (from, to) = (input.below(ENDS), input.below(ENDS));
        let time = Time(number * u64::from(input.byte()) * 20_000_000);
        let payload = input.bytes();
        let missing = input.below(2);
        let (source, destination) = (address(from), address(to));
        let datagram =
            UdpDatagram { number, time, source, destination, payload: &payload, missing };
        for datagram in datagram.parts(tracker.stride(&datagram)) {
            let seen = tracker.see(&datagram, &mut ear);
            for fault in seen.faults {
                let _ = fault.to_string();
            }
        }
    }
    let all = tracker.exchanges();
    let mut told = 0;
    while tracker.poll_finished().is_some() {
        told += 1;
    }
    told += tracker.finish().len() as u64;
    assert_eq!(told, all, "each is told of once");
    // As a file, as a packet, and as datagrams.
    let heard = bytes.len().saturating_mul(3);
    assert!(ear.0 <= heard, "{} of {heard} bytes", ear.0);
}
