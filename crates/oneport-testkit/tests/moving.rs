//! A peer whose address changes during a call is found again, however many strangers send meanwhile.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use oneport_proto::{CallId, Event, NewCall};
use oneport_testkit::sim::Network;
use oneport_wire::{
    CallNumber, Datagram, Elements, Format, FullHeader, IaxSubclass, Message, MiniFrame,
    MiniTimestamp, Seq, Timestamp,
};

const A: usize = 0;
const B: usize = 1;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn call_up(network: &mut Network) -> (CallId, CallId) {
    let (now, to) = (network.now(), network.nodes[B].address);
    let ours = network.nodes[A].endpoint.place_call(now, to, NewCall::to("1")).expect("free");
    network.run(ms(100));
    let Some(Event::CallOffered { call: theirs, .. }) = network.event(B) else {
        panic!("no offer")
    };
    let now = network.now();
    network.nodes[B].endpoint.accept(now, theirs, Format::ULAW).expect("offered");
    network.nodes[B].endpoint.answer(now, theirs).expect("accepted");
    network.run(Duration::from_secs(3));
    while network.event(B).is_some() {}
    (ours, theirs)
}

fn question(theirs: CallNumber, ours: CallNumber) -> Vec<u8> {
    let header = FullHeader {
        source: theirs,
        destination: ours,
        retransmission: false,
        timestamp: Timestamp(9_000),
        oseq: Seq(9),
        iseq: Seq(9),
    };
    let mut bytes = Vec::new();
    Message::iax(IaxSubclass::LagRq, Elements::EMPTY).encode(&header, &mut bytes);
    bytes
}

fn mini(theirs: CallNumber) -> Vec<u8> {
    let mut bytes = MiniFrame::encode_header(theirs, MiniTimestamp(7)).to_vec();
    bytes.extend([9; 160]);
    bytes
}

/// What strangers know of the call that they would have.
#[derive(Clone, Copy, Debug)]
enum Know {
    /// Nothing: they guess its numbers.
    Nothing,
    /// They are behind the same NAT, and know the peer's number.
    Half,
    /// They have seen both numbers.
    Both,
}

/// Frames of 20 ms until the two hear each other again behind a change of A's port, in a flood.
fn frames_of_silence(know: Know, strangers: u32) -> usize {
    let mut network = Network::pair(61);
    let (ours, theirs) = call_up(&mut network);
    let (own, far) = network.nodes[B].endpoint.call_numbers(theirs).expect("up");
    let far = far.expect("known");
    let mut sent = 0_u32;
    let mut speak = |network: &mut Network, flood: bool| {
        let now = network.now();
        for (node, call) in [(A, ours), (B, theirs)] {
            let endpoint = &mut network.nodes[node].endpoint;
            endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("accepted");
        }
        for _ in 0..if flood { strangers } else { 0 } {
            sent += 1;
            let anywhere = Ipv4Addr::from_bits(0xCB00_0000 + network.random(1 << 24));
            let port = 1_024 + (sent % 60_000) as u16;
            let guess = |network: &mut Network| {
                CallNumber::from_bits(2 + u16::try_from(network.random(32_000)).expect("small"))
            };
            let (from, datagram) = match know {
                Know::Nothing if sent.is_multiple_of(2) => (anywhere, mini(guess(network))),
                Know::Nothing => (anywhere, question(guess(network), guess(network))),
                Know::Half => (Ipv4Addr::new(10, 0, 0, 1), mini(far)),
                Know::Both => (anywhere, question(far, own)),
            };
            network.slip_in(B, SocketAddr::from((from, port)), datagram);
        }
        network.run(ms(20));
    };
    for _ in 0..50 {
        speak(&mut network, true);
    }
    assert!(network.heard(A).len() >= 49 && network.heard(B).len() >= 49);
    let home = network.nodes[A].address;
    network.nodes[A].address = "10.0.0.1:50123".parse().expect("an address");
    let at =
        |network: &Network| network.nodes[B].endpoint.call_path(theirs).map(|path| path.remote);
    let silent = (0..500)
        .take_while(|_| {
            speak(&mut network, true);
            at(&network) == Some(home)
        })
        .count();
    assert_eq!(at(&network), Some(network.nodes[A].address), "{know:?}");
    network.heard(A);
    for _ in 0..50 {
        speak(&mut network, true);
    }
    assert!(network.heard(A).len() >= 48 && network.heard(B).len() >= 48, "{know:?}");
    assert_eq!(network.nodes[B].endpoint.counters().calls_moved, 1, "and nowhere else");
    assert_eq!(network.nodes[B].endpoint.inconsistency(), None);
    silent
}

#[test]
fn a_flood_of_strangers_keeps_no_peer_that_has_moved_from_being_found_within_two_seconds() {
    for (know, strangers) in [(Know::Nothing, 500), (Know::Half, 20), (Know::Both, 20)] {
        let frames = frames_of_silence(know, strangers);
        assert!(frames < 100, "{frames} frames of silence, strangers know {know:?}");
    }
}

#[test]
fn a_call_that_is_looked_for_in_many_places_sends_no_more_than_it_gets() {
    let mut network = Network::pair(62);
    let (_, theirs) = call_up(&mut network);
    let (own, far) = network.nodes[B].endpoint.call_numbers(theirs).expect("up");
    let home = network.nodes[A].address;
    network.nodes[A].address.set_port(1);
    network.run(ms(1_500));
    let asks = question(far.expect("known"), own);
    let mut asked = 0;
    for n in 0..2_000_u32 {
        let from = SocketAddr::from((Ipv4Addr::from_bits(0xCB00_0000 + n), 4_569));
        let strays = network.strays.len();
        network.slip_in(B, from, asks.clone());
        network.run(ms(5));
        let answers: Vec<&Vec<u8>> = network.strays[strays..]
            .iter()
            .filter(|(to, _)| *to == from)
            .map(|one| &one.1)
            .collect();
        assert!(answers.len() <= 1 && answers.iter().all(|one| one.len() <= 3 * asks.len()));
        asked += answers.len();
    }
    // There are 64 places at once, and each yields after half a second.
    assert!((640..=1_500).contains(&asked), "{asked}");
    // The peer itself may have been found by one of its own frames among those; nobody else was.
    let at = network.nodes[B].endpoint.call_path(theirs).expect("up").remote;
    assert!([home, network.nodes[A].address].contains(&at), "it is at {at}");
    assert!(network.nodes[B].endpoint.counters().calls_moved <= 1);
}

#[test]
fn whoever_asks_for_a_call_that_is_not_here_is_told_so_in_any_flood() {
    let mut network = Network::pair(63);
    for n in 0..1_000_u32 {
        let from = SocketAddr::from((Ipv4Addr::from_bits(0xCB00_0000 + n), 4_569));
        let number = CallNumber::from_bits(2 + (n % 1_000) as u16);
        let asks = question(number, CallNumber::from_bits(5));
        let answers = network.inject(B, from, &asks);
        let [answer] = &answers[..] else { panic!("{} answers", answers.len()) };
        assert!(answer.len() <= asks.len());
        let Ok(Datagram::Full(frame)) = Datagram::decode(answer) else { panic!("no frame") };
        let inval =
            matches!(frame.message(), Ok(Message::Iax { subclass: IaxSubclass::Inval, .. }));
        assert!(inval && frame.header.destination == number);
    }
}

#[test]
fn a_peer_that_moves_while_voice_begins_is_found_and_none_of_it_is_heard_where_it_is_not() {
    let mut network = Network::pair(64);
    let (ours, theirs) = call_up(&mut network);
    let (own, far) = network.nodes[B].endpoint.call_numbers(theirs).expect("up");
    let far = far.expect("known");
    let home = network.nodes[A].address;
    network.nodes[A].address = "10.0.0.1:50123".parse().expect("an address");
    let stranger: SocketAddr = "203.0.113.7:4569".parse().expect("an address");
    // Nothing of B's arrives, so its voice stays in full frames, all of them on their way.
    for n in 0..100 {
        let now = network.now();
        let endpoint = &mut network.nodes[B].endpoint;
        endpoint.send_voice(now, theirs, Format::ULAW, &[1; 160], 20).expect("accepted");
        if n >= 50 {
            network.slip_in(B, stranger, question(far, own));
            let now = network.now();
            let endpoint = &mut network.nodes[A].endpoint;
            endpoint.send_voice(now, ours, Format::ULAW, &[1; 160], 20).expect("accepted");
        }
        network.run(ms(20));
    }
    let at = network.nodes[B].endpoint.call_path(theirs).expect("up").remote;
    assert_eq!((at, at == home), (network.nodes[A].address, false), "found");
    let media = [oneport_wire::frame_type::VOICE, oneport_wire::frame_type::VIDEO];
    let strays = network.strays.iter().filter(|(to, _)| *to == stranger);
    let mut answers = 0;
    for (_, bytes) in strays {
        answers += 1;
        match Datagram::decode(bytes).expect("whole") {
            Datagram::Full(frame) if media.contains(&frame.frame_type) => {
                assert_eq!(frame.payload, [], "only its place among the numbers");
            }
            Datagram::Full(_) => {}
            other => panic!("{other}"),
        }
    }
    assert!(answers > 9, "{answers}: the stranger was asked too, behind the frames of voice");
}
