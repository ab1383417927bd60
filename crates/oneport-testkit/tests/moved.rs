//! What shows that a peer has moved during its call, and what does not: one endpoint, and a peer
//! written by hand that may speak from several places.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{
    CallId, Challenge, EncryptionPolicy, EndpointConfig, Event, Network as IpNetwork, NewCall,
    Secret, TrunkConfig,
};
use oneport_testkit::sim::{Network, Stranger};
use oneport_wire::{
    CallNumber, Datagram, Element, Elements, Format, FullHeader, IaxSubclass, Message, MiniFrame,
    MiniTimestamp, Timestamp,
};

const A: usize = 0;
const HOME: &str = "203.0.113.1:4569";
const X: &str = "203.0.113.2:4569";
const Y: &str = "203.0.113.3:4569";

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

fn network() -> Network {
    let all = IpNetwork { address: "0.0.0.0".parse().expect("an address"), prefix: 0 };
    let mut config = EndpointConfig::default();
    config.call_token.optional_networks.push(all);
    Network::new(3, vec![config])
}

/// A peer's call, answered; `rtt` passes before each acknowledgement, and then the peer is silent.
fn call_up(network: &mut Network, peer: &mut Stranger, rtt: Duration) -> CallId {
    let format = [Format::ULAW].into_iter().collect();
    let new = [Element::CalledNumber("1".into()), Element::Format(format)];
    peer.say_iax(network, A, IaxSubclass::New, &new);
    let Some(Event::CallOffered { call, .. }) = network.event(A) else { panic!("no offer") };
    let now = network.now();
    network.nodes[A].endpoint.accept(now, call, Format::ULAW).expect("offered");
    network.nodes[A].endpoint.answer(now, call).expect("accepted");
    // The first LAGRQ is among what it acknowledges.
    for _ in 0..800 / rtt.as_millis() {
        let heard = peer.wait(network, rtt);
        if let Some(last) = heard.last() {
            peer.acknowledge(network, A, last);
        }
    }
    call
}

/// A call whose peer is silent for long enough to be looked for elsewhere.
fn silent_call() -> (Network, Stranger, CallId) {
    let mut network = network();
    let mut peer = Stranger::new(HOME);
    let call = call_up(&mut network, &mut peer, ms(10));
    peer.wait(&mut network, ms(1_100));
    (network, peer, call)
}

/// A frame that the peer's call is asked for by: any that names it.
fn stray(peer: &Stranger) -> Vec<u8> {
    frame(peer, IaxSubclass::LagRq, Timestamp(peer.clock))
}

fn frame(peer: &Stranger, subclass: IaxSubclass, timestamp: Timestamp) -> Vec<u8> {
    let header = FullHeader {
        source: peer.number,
        destination: peer.theirs,
        retransmission: false,
        timestamp,
        oseq: peer.oseq,
        iseq: peer.iseq,
    };
    let mut bytes = Vec::new();
    Message::iax(subclass, Elements::EMPTY).encode(&header, &mut bytes);
    bytes
}

/// Puts a stray datagram of the peer's call in from `place`: the PING by which it is asked there
/// whether it has moved, if it is asked.
fn asked_at(network: &mut Network, place: &str, datagram: &[u8]) -> Option<FullHeader> {
    let now = network.now();
    let strays = network.strays.len();
    network.slip_in(A, at(place), datagram.to_vec());
    network.run(ms(6));
    assert!(network.now() > now);
    let pings = network.strays[strays..].iter().filter(|(to, _)| *to == at(place));
    let pings: Vec<FullHeader> = pings
        .filter_map(|(_, bytes)| match Datagram::decode(bytes) {
            Ok(Datagram::Full(frame)) => {
                let ping = Message::iax(IaxSubclass::Ping, Elements::EMPTY);
                (frame.message() == Ok(ping)).then_some(frame.header)
            }
            _ => None,
        })
        .collect();
    assert!(pings.len() <= 1, "one answer for each datagram");
    pings.first().copied()
}

/// What is left of the way of a PONG of the peer to `stamp`, from `place`.
fn pong(network: &mut Network, peer: &Stranger, place: &str, stamp: Timestamp) -> Vec<Vec<u8>> {
    let pong = frame(peer, IaxSubclass::Pong, stamp);
    network.inject(A, at(place), &pong)
}

fn is_at(network: &Network, call: CallId) -> SocketAddr {
    network.nodes[A].endpoint.call_path(call).expect("up").remote
}

#[test]
fn a_pong_counts_only_from_a_place_where_the_peer_was_asked() {
    let (mut network, peer, call) = silent_call();
    let ping = asked_at(&mut network, X, &stray(&peer)).expect("asked");
    let other = "203.0.113.9:4569";
    assert!(asked_at(&mut network, other, &stray(&peer)).is_some(), "asked there as well");
    network.run(ms(100));
    pong(&mut network, &peer, Y, ping.timestamp);
    assert_eq!(is_at(&network, call), at(HOME), "nobody was asked at {Y}");
    pong(&mut network, &peer, X, ping.timestamp);
    assert_eq!(is_at(&network, call), at(X));
    network.run(ms(10));
}

#[test]
fn no_other_frame_than_the_right_pong_moves_a_call() {
    let (mut network, peer, call) = silent_call();
    let ping = asked_at(&mut network, X, &stray(&peer)).expect("asked");
    network.run(ms(100));
    for subclass in [IaxSubclass::Ack, IaxSubclass::LagRp, IaxSubclass::Ping, IaxSubclass::TxCnt] {
        network.inject(A, at(X), &frame(&peer, subclass, ping.timestamp));
        assert_eq!(is_at(&network, call), at(HOME), "{subclass}");
    }
    for wrong in [ping.timestamp.0 + 1, ping.timestamp.0 - 1, 0] {
        pong(&mut network, &peer, X, Timestamp(wrong));
        assert_eq!(is_at(&network, call), at(HOME), "a PONG to another PING");
    }
    let another = Stranger { number: CallNumber::from_bits(78), ..Stranger::new(HOME) };
    let another = Stranger { theirs: peer.theirs, iseq: peer.iseq, ..another };
    pong(&mut network, &another, X, ping.timestamp);
    assert_eq!(is_at(&network, call), at(HOME), "not the peer's number");
    pong(&mut network, &peer, X, ping.timestamp);
    assert_eq!(is_at(&network, call), at(X));
}

#[test]
fn a_peer_in_the_clear_has_ninety_milliseconds_or_one_and_a_half_round_trips_to_say_that_it_is_there()
 {
    for rtt in [10, 200] {
        let mut network = network();
        let mut peer = Stranger::new(HOME);
        let call = call_up(&mut network, &mut peer, ms(rtt));
        peer.wait(&mut network, ms(1_300));
        let measured = network.nodes[A].endpoint.call_stats(call).expect("up").rtt;
        let long = measured.expect("acknowledged") * 3 / 2;
        assert_eq!(long > ms(90), rtt > 60, "{long:?}");
        let grace = long.max(ms(90));
        let ping = asked_at(&mut network, X, &stray(&peer)).expect("asked");
        // It was asked 1 ms ago.
        network.run(grace - ms(3));
        pong(&mut network, &peer, X, ping.timestamp);
        assert_eq!(is_at(&network, call), at(HOME), "before {grace:?}");
        network.run(ms(3));
        pong(&mut network, &peer, X, ping.timestamp);
        assert_eq!(is_at(&network, call), at(X), "after {grace:?}");
    }
}

#[test]
fn a_place_that_did_not_answer_in_three_seconds_is_asked_anew() {
    let (mut network, peer, call) = silent_call();
    let first = asked_at(&mut network, X, &stray(&peer)).expect("asked");
    assert_eq!(asked_at(&mut network, X, &stray(&peer)), None, "it was asked just now");
    network.run(ms(2_900));
    assert_eq!(asked_at(&mut network, X, &stray(&peer)), None, "an answer is waited for");
    // The first PING is acknowledged by nobody; it is repeated to the old place only.
    network.run(ms(200));
    let frames: Vec<_> = (0..4).filter_map(|_| asked_at(&mut network, X, &stray(&peer))).collect();
    let newer = frames.iter().find(|ping| ping.timestamp != first.timestamp);
    let newer = newer.unwrap_or_else(|| panic!("no new PING: {frames:?}"));
    network.run(ms(100));
    pong(&mut network, &peer, X, first.timestamp);
    assert_eq!(is_at(&network, call), at(HOME), "an answer to the PING that was given up");
    pong(&mut network, &peer, X, newer.timestamp);
    assert_eq!(is_at(&network, call), at(X));
}

#[test]
fn sixty_four_places_are_asked_at_once_and_keep_their_turn_for_half_a_second() {
    let (mut network, peer, call) = silent_call();
    let place = |n: u8| format!("198.51.100.{n}:4569");
    let ask = |network: &mut Network, n: u8| {
        let from = at(&place(n));
        network.inject(A, from, &stray(&peer)).len()
    };
    // The first answer goes to the old place as well.
    assert_eq!(ask(&mut network, 1), 2);
    for n in 2..=64 {
        assert_eq!(ask(&mut network, n), 1, "{n}");
    }
    network.run(ms(499));
    assert_eq!(ask(&mut network, 65), 0, "no room yet");
    network.run(ms(1));
    assert_eq!(ask(&mut network, 65), 1, "the oldest has had its turn");
    assert_eq!(is_at(&network, call), at(HOME));
}

#[test]
fn a_peer_whose_voice_comes_is_not_looked_for_elsewhere() {
    let mut network = network();
    let mut peer = Stranger::new(HOME);
    let call = call_up(&mut network, &mut peer, ms(10));
    let voice = Message::Voice { subclass: Format::ULAW.into(), payload: &[1; 160] };
    peer.say(&mut network, A, &voice);
    let mini = |peer: &Stranger, n: u16| {
        let time = MiniTimestamp((peer.clock as u16).wrapping_add(n * 20));
        let mut bytes = MiniFrame::encode_header(peer.number, time).to_vec();
        bytes.extend([1; 160]);
        bytes
    };
    network.heard(A);
    for n in 0..100 {
        network.inject(A, at(HOME), &mini(&peer, n));
        network.run(ms(20));
    }
    assert_eq!(network.heard(A).len(), 100);
    assert_eq!(asked_at(&mut network, X, &stray(&peer)), None, "its voice came just now");
    network.run(ms(1_000));
    assert!(asked_at(&mut network, X, &stray(&peer)).is_some());
    assert_eq!(is_at(&network, call), at(HOME));
}

#[test]
fn one_datagram_asks_for_one_call_only_where_it_may_belong_to_several() {
    let mut network = network();
    let mut one = Stranger::new("203.0.113.1:5001");
    let mut other = Stranger::new("203.0.113.1:5002");
    call_up(&mut network, &mut one, ms(10));
    call_up(&mut network, &mut other, ms(10));
    assert_eq!(one.number, other.number);
    one.wait(&mut network, ms(1_100));
    // Behind one NAT, under the number that both have.
    let mut mini = MiniFrame::encode_header(one.number, MiniTimestamp(7)).to_vec();
    mini.extend([9; 160]);
    let from = at("203.0.113.1:5003");
    let strays = network.strays.len();
    network.slip_in(A, from, mini);
    network.run(ms(6));
    let asked = network.strays[strays..].iter().filter(|(to, _)| *to == from).count();
    assert_eq!(asked, 1);
}

#[test]
fn numbers_that_no_call_can_have_are_not_answered() {
    let mut network = network();
    for (source, destination) in [(0, 5), (1, 5), (9, 1)] {
        let mut peer = Stranger::new(X);
        peer.number = CallNumber::from_bits(source);
        peer.theirs = CallNumber::from_bits(destination);
        let answers = network.inject(A, at(X), &stray(&peer));
        assert!(answers.is_empty(), "{source} {destination}: {answers:?}");
    }
    let mut peer = Stranger::new(X);
    peer.theirs = CallNumber::from_bits(5);
    assert_eq!(network.inject(A, at(X), &stray(&peer)).len(), 1, "INVAL");
}

#[test]
fn a_moved_call_is_heard_at_its_new_place_and_enters_the_trunk_there() {
    let mut network = network();
    let config = TrunkConfig { interval: ms(1_000), ..TrunkConfig::default() };
    for place in [HOME, X] {
        network.nodes[A].endpoint.set_trunk(at(place), Some(config));
    }
    let mut peer = Stranger::new(HOME);
    let call = call_up(&mut network, &mut peer, ms(10));
    let speak = |network: &mut Network| {
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("up");
    };
    // The first goes in a full frame, which is acknowledged.
    speak(&mut network);
    let heard = peer.wait(&mut network, ms(10));
    peer.acknowledge(&mut network, A, heard.last().expect("voice"));
    peer.wait(&mut network, ms(1_100));
    let ping = asked_at(&mut network, X, &stray(&peer)).expect("asked");
    network.run(ms(100));
    let in_trunks = |sent: &[Vec<u8>]| {
        let trunks =
            sent.iter().filter(|bytes| matches!(Datagram::decode(bytes), Ok(Datagram::Trunk(_))));
        trunks.count()
    };
    speak(&mut network);
    let sent = pong(&mut network, &peer, X, ping.timestamp);
    assert_eq!(is_at(&network, call), at(X));
    assert_eq!(in_trunks(&sent), 1, "no voice of it waits in the trunk that it has left");
    let mut mini = MiniFrame::encode_header(peer.number, MiniTimestamp(7)).to_vec();
    mini.extend([9; 160]);
    network.heard(A);
    network.inject(A, at(X), &mini);
    assert_eq!(network.heard(A).len(), 1, "its voice");
    network.strays.clear();
    speak(&mut network);
    network.run(ms(1_100));
    let sent = |place: &str| {
        let there = network.strays.iter().filter(|(to, _)| *to == at(place));
        there.map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
    };
    assert_eq!((in_trunks(&sent(HOME)), in_trunks(&sent(X))), (0, 1));
}

#[test]
fn a_moved_call_is_on_a_trunk_where_there_is_one_at_its_new_place() {
    for (place, in_trunk) in [(X, true), (HOME, false)] {
        let mut network = network();
        network.nodes[A].endpoint.set_trunk(at(place), Some(TrunkConfig::default()));
        let mut peer = Stranger::new(HOME);
        let call = call_up(&mut network, &mut peer, ms(10));
        let speak = |network: &mut Network| {
            let now = network.now();
            let endpoint = &mut network.nodes[A].endpoint;
            endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("up");
        };
        speak(&mut network);
        let heard = peer.wait(&mut network, ms(10));
        peer.acknowledge(&mut network, A, heard.last().expect("voice"));
        peer.wait(&mut network, ms(1_100));
        let ping = asked_at(&mut network, X, &stray(&peer)).expect("asked");
        network.run(ms(100));
        pong(&mut network, &peer, X, ping.timestamp);
        assert_eq!(is_at(&network, call), at(X));
        network.strays.clear();
        speak(&mut network);
        network.run(ms(50));
        let trunks = network.strays.iter().filter(|(to, bytes)| {
            *to == at(X) && matches!(Datagram::decode(bytes), Ok(Datagram::Trunk(_)))
        });
        assert_eq!(trunks.count(), usize::from(in_trunk), "a trunk to {place}");
    }
}

/// An encrypted call of B's to A, who is not there for a while and then is elsewhere.
fn encrypted_call() -> (Network, CallId, CallId) {
    const B: usize = 1;
    let mut network = Network::new(4, vec![EndpointConfig::default(); 2]);
    let mut new = NewCall::to("1");
    (new.username, new.secret) = (Some("ann".into()), Some(Secret::from("right")));
    new.encryption = EncryptionPolicy::Required;
    let (now, to) = (network.now(), network.nodes[A].address);
    let theirs = network.nodes[B].endpoint.place_call(now, to, new).expect("free");
    network.run(ms(100));
    let Some(Event::CallOffered { call, .. }) = network.event(A) else { panic!("no offer") };
    let challenge = Challenge {
        encryption: EncryptionPolicy::Required,
        ..Challenge::md5("ann", Secret::from("right"))
    };
    let now = network.now();
    network.nodes[A].endpoint.challenge_call(now, call, challenge).expect("offered");
    network.run(ms(100));
    let now = network.now();
    network.nodes[A].endpoint.accept(now, call, Format::ULAW).expect("proved");
    network.nodes[A].endpoint.answer(now, call).expect("accepted");
    network.run(ms(2_500));
    network.events(A);
    (network, call, theirs)
}

#[test]
fn a_pong_under_the_key_of_a_call_moves_it_at_once() {
    let (mut network, call, theirs) = encrypted_call();
    network.nodes[1].address = at("10.0.0.9:4569");
    let now = network.now();
    network.nodes[1].endpoint.send_text(now, theirs, "I am here").expect("up");
    // 10 ms for the text, 10 for the PING, 10 for the PONG.
    network.run(ms(29));
    assert_eq!(is_at(&network, call), at("10.0.0.2:4569"));
    network.run(ms(2));
    assert_eq!(is_at(&network, call), at("10.0.0.9:4569"));
}

#[test]
fn what_encryption_adds_counts_where_a_stranger_is_answered() {
    let (mut network, call, _) = encrypted_call();
    // Nobody is there any more.
    network.nodes[1].address = at(Y);
    let (ours, theirs) = network.nodes[A].endpoint.call_numbers(call).expect("up");
    let mut peer = Stranger::new(X);
    (peer.number, peer.theirs) = (theirs.expect("known"), ours);
    let short = stray(&peer);
    assert_eq!(short.len(), 12);
    let answers = |network: &mut Network, place: &str, datagram: &[u8]| {
        network.slip_in(A, at(place), datagram.to_vec());
        network.run(ms(6));
        let there = network.strays.iter().filter(|(to, _)| *to == at(place));
        there.map(|(_, bytes)| bytes.len()).collect::<Vec<_>>()
    };
    assert_eq!(answers(&mut network, X, &short), [], "a PING may be 43 bytes long");
    // With an element of three bytes: its header, and a cause.
    let longer = [short, vec![42, 1, 16]].concat();
    let sent = answers(&mut network, "203.0.113.8:4569", &longer);
    assert!(sent.len() == 1 && sent[0] <= 3 * longer.len(), "{sent:?}");
}
