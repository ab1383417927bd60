//! Voice that comes before the full frame that names its format, as from a busy peer or over a way
//! that loses and reorders.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use oneport_proto::{CallId, Challenge, DropReason, EncryptionPolicy, Event, NewCall, Secret};
use oneport_testkit::sim::{Network, Stranger};
use oneport_wire::{Control, Datagram, Element, Format, IaxSubclass, Message};

const A: usize = 0;
const B: usize = 1;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A places a call to a stranger whose clock stands at `clock`; it has said nothing.
fn placed(clock: u32) -> (Network, Stranger, CallId) {
    let mut network = Network::pair(41);
    let mut stranger = Stranger::new("203.0.113.1:4569");
    stranger.clock = clock;
    let now = network.now();
    let placed = network.nodes[A].endpoint.place_call(now, stranger.address, NewCall::to("1"));
    stranger.wait(&mut network, Duration::ZERO);
    (network, stranger, placed.expect("free"))
}

fn accept(network: &mut Network, stranger: &mut Stranger) {
    let format = [Element::Format([Format::ALAW].into_iter().collect())];
    stranger.say_iax(network, A, IaxSubclass::Accept, &format);
    stranger.say(network, A, &Message::control(Control::Answer));
}

/// How a frame of voice comes.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Mini,
    /// In a trunk frame whose entries have timestamps.
    Entry,
    /// In one whose entries have none.
    BareEntry,
}

const SHAPES: [Shape; 3] = [Shape::Mini, Shape::Entry, Shape::BareEntry];

/// A frame of voice without a full header, of the stranger's call.
fn voice(shape: Shape, stranger: &Stranger, stamp: u32) -> Vec<u8> {
    let number = stranger.number.get().to_be_bytes();
    let low = stamp.to_be_bytes()[2..].to_vec();
    let trunk = |kind: u8| [&[0, 0, 1, kind][..], &stamp.to_be_bytes()].concat();
    let payload = [7; 160];
    match shape {
        Shape::Mini => [&number[..], &low, &payload].concat(),
        Shape::Entry => [&trunk(1)[..], &[0, 160], &number, &low, &payload].concat(),
        Shape::BareEntry => [&trunk(0)[..], &number, &[0, 160], &payload].concat(),
    }
}

/// Voice that A heard: whole timestamps.
fn heard(network: &mut Network) -> Vec<u32> {
    network.heard(A).iter().map(|voice| voice.timestamp).collect()
}

#[test]
fn voice_before_its_first_full_frame_is_heard_in_the_agreed_format() {
    // Around the wraps of 16 bits, and far beyond them.
    for (shape, clock) in
        SHAPES.into_iter().flat_map(|one| [20, 65_500, 900_000].map(|at| (one, at)))
    {
        let (mut network, mut stranger, call) = placed(clock);
        accept(&mut network, &mut stranger);
        let from = stranger.address;
        network.run(ms(20));
        let first = stranger.clock;
        let mut vnaks = 0;
        for n in 0..3 {
            let sent = network.inject(A, from, &voice(shape, &stranger, first + n * 20));
            vnaks += sent.len();
            network.run(ms(20));
        }
        assert_eq!(vnaks, 1, "{shape:?}: the full frame is asked for once");
        // It is late, and then all goes on.
        stranger.clock = first;
        stranger.say(&mut network, A, &Message::voice(Format::ALAW, &[7; 160]));
        network.inject(A, from, &voice(Shape::Mini, &stranger, first + 60));
        let all = heard(&mut network);
        match shape {
            // Nothing but its arrival tells when it was spoken.
            Shape::BareEntry => assert!(all[0].abs_diff(first) <= 20, "{all:?} {first}"),
            _ => assert_eq!(all, [0, 20, 40, 0, 60].map(|ms| first + ms), "{shape:?}"),
        }
        let stats = network.nodes[A].endpoint.call_stats(call).expect("up");
        assert_eq!(stats.format, Some(Format::ALAW), "{shape:?}");
        // The full frame begins the count anew where times were no better than the trunk's.
        let lost = if matches!(shape, Shape::BareEntry) { 2 } else { 0 };
        assert_eq!(stats.received.lost, lost, "{shape:?}");
        let early = network.nodes[A].endpoint.counters().dropped(DropReason::MediaTooEarly);
        assert_eq!(early, 0, "{shape:?}");
    }
}

#[test]
fn voice_of_a_call_without_an_agreed_format_is_never_heard() {
    for shape in SHAPES {
        let (mut network, mut stranger, _) = placed(20);
        let from = stranger.address;
        // It has a number, and no more.
        stranger.say(&mut network, A, &Message::control(Control::Ringing));
        assert_eq!(network.inject(A, from, &voice(shape, &stranger, 60)).len(), 0, "{shape:?}");
        assert_eq!(heard(&mut network), [], "{shape:?}");
        let dropped = network.nodes[A].endpoint.counters().dropped(DropReason::MediaTooEarly);
        assert_eq!(dropped, 1, "{shape:?}");
    }
}

#[test]
fn a_full_frame_of_voice_before_its_turn_is_heard_at_once_and_once() {
    let (mut network, mut stranger, call) = placed(20);
    accept(&mut network, &mut stranger);
    let missing = stranger.oseq;
    let clock = stranger.clock;
    stranger.oseq = missing.next();
    stranger.clock = clock + 20;
    let full = Message::voice(Format::ALAW, &[7; 160]);
    let answers = stranger.say(&mut network, A, &full);
    assert!(answers.iter().all(|one| one.iax() == Some(IaxSubclass::Vnak)), "{answers:?}");
    assert_eq!(heard(&mut network), [clock + 20]);
    // It comes again, with what was missing before it: voice too, of another format.
    (stranger.oseq, stranger.clock) = (missing.next(), clock + 20);
    stranger.say(&mut network, A, &full);
    (stranger.oseq, stranger.clock) = (missing, clock);
    let answers = stranger.say(&mut network, A, &Message::voice(Format::ULAW, &[7; 160]));
    assert_eq!(answers[0].header.iseq, missing.next().next(), "both are acknowledged");
    assert_eq!(heard(&mut network), [clock]);
    let from = stranger.address;
    network.inject(A, from, &voice(Shape::Mini, &stranger, clock + 40));
    assert_eq!(heard(&mut network), [clock + 40]);
    let stats = network.nodes[A].endpoint.call_stats(call).expect("up");
    assert_eq!((stats.format, stats.received.duplicates), (Some(Format::ALAW), 0));
}

#[test]
fn encrypted_voice_is_heard_though_its_first_full_frames_were_lost() {
    let mut network = Network::pair(42);
    let lose = Rc::new(Cell::new(false));
    let full = Rc::clone(&lose);
    network.filter = Some(Box::new(move |from, datagram| {
        from != A || !full.get() || !matches!(datagram, Datagram::Full(_))
    }));
    let mut new = NewCall::to("1");
    (new.username, new.secret) = (Some("ann".into()), Some(Secret::from("s")));
    new.encryption = EncryptionPolicy::Required;
    let (now, to) = (network.now(), network.nodes[B].address);
    let ours = network.nodes[A].endpoint.place_call(now, to, new).expect("free");
    network.run(ms(100));
    let Some(Event::CallOffered { call, .. }) = network.event(B) else { panic!("no offer") };
    let challenge = Challenge {
        secrets: vec![Secret::from("s")],
        encryption: EncryptionPolicy::Required,
        ..Challenge::unknown("ann")
    };
    let now = network.now();
    network.nodes[B].endpoint.challenge_call(now, call, challenge).expect("offered");
    network.run(ms(100));
    let now = network.now();
    network.nodes[B].endpoint.accept(now, call, Format::ULAW).expect("offered");
    network.nodes[B].endpoint.answer(now, call).expect("accepted");
    network.run(ms(100));
    lose.set(true);
    for n in 0..12 {
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.send_voice(now, ours, Format::ULAW, &[n; 160], 20).expect("up");
        network.run(ms(20));
    }
    let heard: Vec<u8> = network.heard(B).iter().map(|voice| voice.payload[0]).collect();
    assert_eq!(heard, [9, 10, 11], "the mini frames that follow when no answer comes");
    let failed = network.nodes[B].endpoint.counters().dropped(DropReason::DecryptionFailed);
    assert_eq!(failed, 0);
}
