//! How many bytes a trunk costs for each call.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use oneport_proto::{EndpointConfig, NewCall, TrunkConfig};
use oneport_testkit::sim::Network;
use oneport_wire::{Datagram, Format};

const A: usize = 0;
const B: usize = 1;

/// Headers of IPv4 and UDP.
const IP_AND_UDP: usize = 28;

/// Bytes of all trunk frames on the wire in a second in which so many calls speak G.711, and how
/// many there were.
fn a_second_of(calls: usize, timestamps: bool) -> (usize, usize) {
    let mut network = Network::new(1, vec![EndpointConfig::default(); 2]);
    let to = network.nodes[B].address;
    let trunk = TrunkConfig { timestamps, ..TrunkConfig::default() };
    network.nodes[A].endpoint.set_trunk(to, Some(trunk));
    let up: Vec<_> = (0..calls).map(|_| network.call_up(A, B, NewCall::to("1")).0).collect();
    let seen = Rc::new(Cell::new((0, 0)));
    let speak = |network: &mut Network, frames: usize| {
        for _ in 0..frames {
            for call in &up {
                let now = network.now();
                let endpoint = &mut network.nodes[A].endpoint;
                endpoint.send_voice(now, *call, Format::ULAW, &[7; 160], 20).expect("up");
            }
            network.run(Duration::from_millis(20));
        }
    };
    // The first frame of each call is a full one, and so is one at each turn of the clock.
    speak(&mut network, 3);
    network.run(Duration::from_millis(100));
    let note = Rc::clone(&seen);
    network.filter = Some(Box::new(move |from, datagram| {
        if let (A, Datagram::Trunk(frame)) = (from, datagram) {
            let entries: usize = frame
                .entries()
                .map(|entry| entry.payload.len() + if timestamps { 6 } else { 4 })
                .sum();
            let (bytes, datagrams) = note.get();
            note.set((bytes + 8 + entries + IP_AND_UDP, datagrams + 1));
        }
        true
    }));
    let _ = network.heard(B);
    speak(&mut network, 50);
    network.run(Duration::from_millis(100));
    assert_eq!(network.heard(B).len(), 50 * calls, "nothing is lost");
    seen.get()
}

#[test]
fn eight_calls_of_g711_cost_what_the_format_needs_at_an_mtu_of_1500() {
    // 8 bytes of header, and 6 or 4 for each entry.
    for (timestamps, entry) in [(true, 166), (false, 164)] {
        let (bytes, datagrams) = a_second_of(8, timestamps);
        assert_eq!(datagrams, 50, "one for each 20 ms");
        let limit = 50 * (IP_AND_UDP + 8 + 8 * entry);
        assert!(bytes * 100 <= limit * 101, "{bytes} bytes, the format allows {limit}");
    }
}

#[test]
fn a_hundred_calls_fill_thirteen_datagrams_as_full_as_they_can_be() {
    let (bytes, datagrams) = a_second_of(100, true);
    let limit = 50 * (100 * 166 + 13 * (IP_AND_UDP + 8));
    assert!(bytes * 100 <= limit * 101, "{bytes} bytes, the format allows {limit}");
    assert!(datagrams <= 50 * 13, "{datagrams}");
}
