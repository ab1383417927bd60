//! Voice that goes straight between two ends comes back to the middle when the middle has another
//! use for one of them: A talks with B over M, and then with C.

use std::time::Duration;

use oneport_proto::{
    CallId, EndReason, EndpointConfig, Event, NewCall, TransferFailure, TransferKind,
};
use oneport_testkit::sim::Network;
use oneport_wire::{CauseCode, Format};

const A: usize = 0;
const M: usize = 1;
const B: usize = 2;
const C: usize = 3;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn events(network: &mut Network, node: usize) -> Vec<Event> {
    std::iter::from_fn(|| network.event(node)).collect()
}

/// A call from one node to another, answered: its leg at each.
fn call(network: &mut Network, from: usize, to: usize) -> (CallId, CallId) {
    let (now, address) = (network.now(), network.nodes[to].address);
    let placed = network.nodes[from].endpoint.place_call(now, address, NewCall::to("1"));
    network.run(ms(100));
    let offered = events(network, to).into_iter().find_map(|event| match event {
        Event::CallOffered { call, .. } => Some(call),
        _ => None,
    });
    let (now, offered) = (network.now(), offered.expect("offered"));
    let endpoint = &mut network.nodes[to].endpoint;
    endpoint.accept(now, offered, Format::ULAW).expect("offered");
    endpoint.answer(now, offered).expect("accepted");
    network.run(ms(100));
    (placed.expect("free"), offered)
}

/// A and B, whose voice goes straight.
struct Straight {
    network: Network,
    a: CallId,
    b: CallId,
    /// M's legs to them.
    legs: [CallId; 2],
}

impl Straight {
    fn new(seed: u64) -> Self {
        let mut it = Self::linked(seed);
        it.transfer();
        it.speak(&[(A, it.a), (B, it.b)], 20);
        let ends = events(&mut it.network, M);
        assert!(ends.iter().any(|event| matches!(event, Event::MediaTransferred { .. })));
        assert_eq!(it.relayed(&[(A, it.a), (B, it.b)]), 0, "no voice comes to M");
        assert!(it.voices(A, B).len() >= 20 && it.voices(B, A).len() >= 20);
        it.network.heard(A);
        it.network.heard(B);
        it
    }

    fn linked(seed: u64) -> Self {
        let config = EndpointConfig { accept_transfers: true, ..EndpointConfig::default() };
        let mut network = Network::new(seed, vec![config; 4]);
        let (a, from_a) = call(&mut network, A, M);
        let (to_b, b) = call(&mut network, M, B);
        let legs = [from_a, to_b];
        network.nodes[M].endpoint.link(from_a, to_b).expect("both are accepted");
        for node in [A, M, B] {
            events(&mut network, node);
        }
        Self { network, a, b, legs }
    }

    fn transfer(&mut self) {
        let now = self.network.now();
        let [a, b] = self.legs;
        self.network.nodes[M].endpoint.transfer(now, a, b, TransferKind::Media).expect("answered");
    }

    /// These speak for so many frames of 20 ms; each says who it is.
    fn speak(&mut self, who: &[(usize, CallId)], frames: usize) {
        for _ in 0..frames {
            let now = self.network.now();
            for (node, call) in who {
                let voice = [u8::try_from(*node).expect("small"); 160];
                let endpoint = &mut self.network.nodes[*node].endpoint;
                endpoint.send_voice(now, *call, Format::ULAW, &voice, 20).expect("up");
            }
            self.network.run(ms(20));
        }
    }

    /// Frames that M relays while they speak for 20.
    fn relayed(&mut self, who: &[(usize, CallId)]) -> u64 {
        let before = self.network.nodes[M].endpoint.counters().relayed;
        self.speak(who, 20);
        self.network.nodes[M].endpoint.counters().relayed - before
    }

    /// Timestamps of the voice of `from` that was heard at `at`.
    fn voices(&mut self, at: usize, from: usize) -> Vec<u32> {
        let heard = self.network.heard(at);
        let of = heard.iter().filter(|voice| usize::from(voice.payload[0]) == from);
        of.map(|voice| voice.timestamp).collect()
    }
}

#[test]
fn a_party_whose_voice_went_straight_is_heard_by_whoever_it_is_led_to() {
    for seed in 0..20 {
        let mut it = Straight::new(seed);
        let [a, b] = it.legs;
        // M leads A to C, as for a blind transfer by B.
        let now = it.network.now();
        it.network.nodes[M].endpoint.unlink(a);
        it.network.nodes[M].endpoint.hangup(now, b, CauseCode::NORMAL_CLEARING, None).expect("up");
        let (to_c, c) = call(&mut it.network, M, C);
        it.network.nodes[M].endpoint.link(a, to_c).expect("of one format");
        assert!(it.relayed(&[(A, it.a), (C, c)]) >= 38, "both ways come through M");
        let (heard_a, heard_c) = (it.voices(A, C), it.voices(C, A));
        assert!(heard_a.len() >= 19 && heard_c.len() >= 19, "{heard_a:?} {heard_c:?}");
        for heard in [heard_a, heard_c] {
            assert!(heard.is_sorted_by(|a, b| b - a == 20), "{heard:?}");
        }
        let ends = events(&mut it.network, B);
        assert!(matches!(&ends[..], [Event::CallEnded { .. }]), "{ends:?}");
        // And the two may go straight as well.
        it.network.run(Duration::from_secs(5));
        let now = it.network.now();
        let endpoint = &mut it.network.nodes[M].endpoint;
        endpoint.transfer(now, a, to_c, TransferKind::Media).expect("answered");
        it.speak(&[(A, it.a), (C, c)], 20);
        assert_eq!(it.relayed(&[(A, it.a), (C, c)]), 0);
    }
}

#[test]
fn two_ends_that_are_parted_both_come_back_and_may_be_joined_again() {
    let mut it = Straight::new(30);
    let [a, b] = it.legs;
    it.network.nodes[M].endpoint.unlink(b);
    it.speak(&[(A, it.a), (B, it.b)], 5);
    for node in [A, M, B] {
        it.network.heard(node);
    }
    it.speak(&[(A, it.a), (B, it.b)], 20);
    let heard = (it.voices(A, B), it.voices(B, A));
    assert_eq!(heard, (vec![], vec![]), "they hear each other no more");
    let heard = it.network.heard(M);
    assert!(heard.len() >= 38, "M hears both: {}", heard.len());
    it.network.nodes[M].endpoint.link(a, b).expect("of one format");
    assert!(it.relayed(&[(A, it.a), (B, it.b)]) >= 38);
}

#[test]
fn the_voice_of_one_end_comes_back_when_the_other_hangs_up_or_vanishes() {
    for vanishes in [false, true] {
        let mut it = Straight::new(40);
        let now = it.network.now();
        if vanishes {
            let gone = it.network.nodes[B].address;
            it.network.filter = Some(Box::new(|from, _| from != B));
            it.network.nodes[B].address.set_port(gone.port() + 1);
        } else {
            let endpoint = &mut it.network.nodes[B].endpoint;
            endpoint.hangup(now, it.b, CauseCode::NORMAL_CLEARING, None).expect("up");
        }
        let mut ended = None;
        for _ in 0..6_000 {
            it.speak(&[(A, it.a)], 1);
            ended = events(&mut it.network, M).into_iter().find_map(|event| match event {
                Event::CallEnded { end, .. } => Some(end.reason),
                _ => None,
            });
            if ended.is_some() {
                break;
            }
        }
        let reason = if vanishes { EndReason::TimedOut } else { EndReason::RemoteHangup };
        assert_eq!(ended, Some(reason));
        it.speak(&[(A, it.a)], 5);
        it.network.heard(M);
        it.speak(&[(A, it.a)], 20);
        let stamps = it.voices(M, A);
        assert!(stamps.len() >= 19 && stamps.is_sorted_by(|a, b| b - a == 20), "{stamps:?}");
        // What is left may be used: an echo.
        let [a, _] = it.legs;
        it.network.nodes[M].endpoint.link(a, a).expect("up");
        assert!(it.relayed(&[(A, it.a)]) >= 19);
        assert!(it.voices(A, A).len() >= 18);
    }
}

#[test]
fn a_transfer_under_way_is_given_up_when_the_middle_parts_the_two() {
    let mut it = Straight::linked(50);
    it.transfer();
    it.network.run(ms(15));
    let [a, _] = it.legs;
    it.network.nodes[M].endpoint.unlink(a);
    it.speak(&[(A, it.a), (B, it.b)], 50);
    let failures = events(&mut it.network, M);
    let given_up = |event: &Event| {
        matches!(event, Event::TransferFailed { failure: TransferFailure::CallEnded, .. })
    };
    assert!(failures.len() == 2 && failures.iter().all(given_up), "{failures:?}");
    assert_eq!((it.voices(A, B), it.voices(B, A)), (vec![], vec![]));
    assert_eq!(it.network.nodes[M].endpoint.calls(), 2, "and both calls live");
}
