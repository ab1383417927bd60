//! Asking peers whether they are there, and how far away (RFC 5456 §6.7), and what answers and
//! acknowledges what (§6.9), against a peer written by hand.

use std::time::Duration;

use oneport_proto::{
    CallId, DropReason, EndReason, EndpointConfig, Event, NewCall, RegistrationConfig,
};
use oneport_testkit::sim::{Heard, Network, Stranger};
use oneport_wire::{
    CallNumber, Control, Element, Elements, Format, IaxSubclass, Message, Seq, Timestamp,
};

const A: usize = 0;

fn call_up() -> (Network, Stranger, CallId) {
    let mut network = Network::new(41, vec![EndpointConfig::default()]);
    let mut stranger = Stranger::new("203.0.113.1:4569");
    let now = network.now();
    let placed = network.nodes[A].endpoint.place_call(now, stranger.address, NewCall::to("1"));
    let call = placed.expect("free");
    stranger.wait(&mut network, Duration::ZERO);
    let format = [Element::Format([Format::ULAW].into_iter().collect())];
    stranger.say_iax(&mut network, A, IaxSubclass::Accept, &format);
    stranger.say(&mut network, A, &Message::control(Control::Answer));
    while network.event(A).is_some() {}
    (network, stranger, call)
}

fn kinds(heard: &[Heard]) -> Vec<Option<IaxSubclass>> {
    heard.iter().map(Heard::iax).collect()
}

#[test]
fn a_poke_has_no_destination_and_its_pong_the_same_timestamp() {
    let mut network = Network::new(42, vec![EndpointConfig::default()]);
    let mut stranger = Stranger::new("203.0.113.1:4569");
    stranger.clock = 12_345;
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::Poke, &[]);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Pong)]);
    let header = answers[0].header;
    assert_eq!((header.destination, header.timestamp), (stranger.number, Timestamp(12_345)));
    assert!(network.nodes[A].endpoint.is_quiescent(), "nothing is kept of it");

    // Ours, answered by somebody who keeps state and wants to hear that it was heard.
    let now = network.now();
    let address = stranger.address;
    network.nodes[A].endpoint.poke(now, address, Duration::from_secs(1)).expect("free");
    let mut stranger = Stranger::new("203.0.113.1:4569");
    let heard = stranger.wait(&mut network, Duration::from_millis(30));
    assert_eq!(kinds(&heard), [Some(IaxSubclass::Poke)]);
    assert!(heard[0].header.destination.is_none());
    stranger.clock = heard[0].header.timestamp.0;
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::Pong, &[]);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    assert_eq!(answers[0].header.timestamp, heard[0].header.timestamp);
    let event = network.event(A);
    let rtt = Duration::from_millis(30);
    assert!(
        matches!(event, Some(Event::Pong { rtt: measured, .. }) if measured == rtt),
        "{event:?}"
    );
}

#[test]
fn a_ping_is_answered_at_once_with_its_timestamp_and_what_was_heard() {
    let (mut network, mut stranger, _) = call_up();
    stranger.say(&mut network, A, &Message::voice(Format::ULAW, &[1; 160]));
    let stamp = Timestamp(stranger.clock);
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::Ping, &[]);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Pong)]);
    assert_eq!(answers[0].header.timestamp, stamp);
    let elements = answers[0].elements();
    for said in [
        Element::ReceivedJitter(0),
        Element::ReceivedLoss { percent: 0, count: 0 },
        Element::ReceivedFrames(1),
        Element::ReceivedOutOfOrder(0),
    ] {
        assert!(elements.contains(&said), "{said:?} in {elements:?}");
    }
    let delay = |element: &Element<'_>| matches!(element, Element::ReceivedDelay(_));
    let dropped = |element: &Element<'_>| matches!(element, Element::ReceivedDropped(_));
    assert!(elements.iter().any(delay) && elements.iter().any(dropped), "{elements:?}");
}

#[test]
fn pings_and_lag_requests_leave_by_the_clock_and_measure_the_round_trip() {
    let (mut network, mut stranger, call) = call_up();
    let mut seen: Vec<(IaxSubclass, u64)> = Vec::new();
    for _ in 0..2_500 {
        for heard in stranger.wait(&mut network, Duration::from_millis(10)) {
            let Some(kind) = heard.iax() else { continue };
            let answer = match kind {
                IaxSubclass::Ping => IaxSubclass::Pong,
                IaxSubclass::LagRq => IaxSubclass::LagRp,
                _ => continue,
            };
            seen.push((kind, network.now().as_micros() / 1_000_000));
            // 40 ms away.
            network.run(Duration::from_millis(40));
            let clock = std::mem::replace(&mut stranger.clock, heard.header.timestamp.0);
            let answers = stranger.say_iax(&mut network, A, answer, &[]);
            stranger.clock = clock;
            assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)], "{kind}");
            assert_eq!(answers[0].header.timestamp, heard.header.timestamp);
        }
    }
    let pings = seen.iter().filter(|(kind, _)| *kind == IaxSubclass::Ping);
    assert_eq!(pings.map(|(_, second)| *second).collect::<Vec<_>>(), [21]);
    let lags = seen.iter().filter(|(kind, _)| *kind == IaxSubclass::LagRq);
    assert_eq!(lags.map(|(_, second)| *second).collect::<Vec<_>>(), [0, 10, 20]);
    let rtt = network.nodes[A].endpoint.call_stats(call).expect("up").rtt.expect("measured");
    assert!((30..=60).contains(&rtt.as_millis()), "{rtt:?}");
}

#[test]
fn a_lag_request_is_answered_at_once_with_its_timestamp() {
    let (mut network, mut stranger, _) = call_up();
    let stamp = Timestamp(stranger.clock);
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::LagRq, &[]);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::LagRp)]);
    assert_eq!(answers[0].header.timestamp, stamp);
}

#[test]
fn an_ack_has_both_numbers_and_the_timestamp_and_moves_no_counter() {
    let (mut network, mut stranger, call) = call_up();
    let mut last = None;
    for text in [&b"one"[..], b"two", b"three"] {
        let stamp = Timestamp(stranger.clock);
        let answers = stranger.say(&mut network, A, &Message::text(text));
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
        let header = answers[0].header;
        assert_eq!((header.source, header.destination), (stranger.theirs, stranger.number));
        assert_eq!((header.timestamp, header.iseq), (stamp, stranger.oseq));
        assert!(last.is_none_or(|last| last == header.oseq), "our own counter stays");
        last = Some(header.oseq);
    }
    // The next frame that counts has the number that the ACKs had.
    let now = network.now();
    network.nodes[A].endpoint.send_text(now, call, "four").expect("up");
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(Some(heard[0].header.oseq), last);
    // And an ACK itself is not answered.
    assert!(stranger.acknowledge(&mut network, A, &heard[0]).is_empty());
}

#[test]
fn a_new_is_acknowledged_when_its_answer_takes_time() {
    let mut config = EndpointConfig::default();
    config.call_token.users.insert("site".into(), oneport_proto::TokenRule::No);
    let mut network = Network::new(43, vec![config]);
    let mut stranger = Stranger::new("203.0.113.1:4569");
    let new =
        [Element::Version(2), Element::CalledNumber("1".into()), Element::Username("site".into())];
    assert!(stranger.say_iax(&mut network, A, IaxSubclass::New, &new).is_empty());
    let heard = stranger.wait(&mut network, Duration::from_millis(39));
    assert!(heard.is_empty());
    let heard = stranger.wait(&mut network, Duration::from_millis(1));
    assert_eq!(kinds(&heard), [Some(IaxSubclass::Ack)]);
    assert_eq!(heard[0].header.timestamp, Timestamp(20));
}

#[test]
fn an_unsupport_changes_nothing() {
    let (mut network, mut stranger, call) = call_up();
    for elements in [vec![], vec![Element::IaxUnknown(32)]] {
        let answers = stranger.say_iax(&mut network, A, IaxSubclass::Unsupport, &elements);
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    }
    assert!(network.event(A).is_none());
    assert!(network.nodes[A].endpoint.call_stats(call).is_some());
}

#[test]
fn a_gap_is_asked_for_and_what_comes_behind_it_waits() {
    let (mut network, mut stranger, _) = call_up();
    let expected = stranger.oseq;
    let clock = stranger.clock;
    stranger.oseq = expected.next();
    let answers = stranger.say(&mut network, A, &Message::text(b"second"));
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Vnak)]);
    assert_eq!(answers[0].header.iseq, expected);
    assert!(network.event(A).is_none(), "not out of order");
    assert_eq!(network.nodes[A].endpoint.counters().dropped(DropReason::OutOfOrder), 0, "kept");
    stranger.oseq = expected;
    for (text, stamp) in [(&b"first"[..], clock), (b"second", clock + 20)] {
        stranger.clock = stamp;
        let answers = stranger.say(&mut network, A, &Message::text(text));
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
        let both = expected.next().next();
        assert_eq!(answers[0].header.iseq, both, "nothing is missing once the first has come");
    }
    let texts: Vec<_> = std::iter::from_fn(|| network.event(A)).collect();
    let text = |event: &Event| matches!(event, Event::Text { .. });
    assert_eq!((texts.len(), texts.iter().all(text)), (2, true), "{texts:?}");
}

#[test]
fn what_waits_behind_a_gap_is_bounded_and_goes_with_its_call() {
    let (mut network, mut stranger, call) = call_up();
    let expected = stranger.oseq;
    let dropped = |network: &Network, reason| network.nodes[A].endpoint.counters().dropped(reason);
    for ahead in 1..=127 {
        stranger.oseq = Seq(expected.0.wrapping_add(ahead));
        stranger.say(&mut network, A, &Message::text(b"early"));
    }
    assert_eq!(dropped(&network, DropReason::OutOfOrder), 127 - 8, "eight of them wait");
    stranger.oseq = Seq(expected.0.wrapping_add(3));
    stranger.say(&mut network, A, &Message::text(b"again"));
    assert_eq!(dropped(&network, DropReason::Duplicate), 1);
    assert!(network.event(A).is_none());
    stranger.oseq = expected;
    stranger.say(&mut network, A, &Message::text(b"missing"));
    assert_eq!(std::iter::from_fn(|| network.event(A)).count(), 9);
    // One of them ends the call: what is behind it means nothing any more.
    let expected = Seq(expected.0.wrapping_add(9));
    let hangup = Message::iax(IaxSubclass::Hangup, Elements::EMPTY);
    for (ahead, message) in [(1, hangup), (2, Message::text(b"late")), (0, Message::text(b"last"))]
    {
        stranger.oseq = Seq(expected.0.wrapping_add(ahead));
        stranger.say(&mut network, A, &message);
    }
    let events: Vec<Event> = std::iter::from_fn(|| network.event(A)).collect();
    assert!(matches!(events[..], [Event::Text { .. }, Event::CallEnded { .. }]), "{events:?}");
    assert!(network.nodes[A].endpoint.call_stats(call).is_none());
    assert_eq!(network.nodes[A].endpoint.inconsistency(), None);
}

#[test]
fn a_vnak_brings_every_frame_from_its_number_on() {
    let (mut network, mut stranger, call) = call_up();
    let now = network.now();
    for text in ["one", "two", "three"] {
        network.nodes[A].endpoint.send_text(now, call, text).expect("up");
    }
    let wanted = stranger.iseq.next();
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(heard.len(), 3);
    stranger.iseq = wanted;
    let again = stranger.say_iax(&mut network, A, IaxSubclass::Vnak, &[]);
    let numbers: Vec<Seq> = again.iter().map(|heard| heard.header.oseq).collect();
    assert_eq!(numbers, [wanted, wanted.next()]);
    assert!(again.iter().all(|heard| heard.header.retransmission));
}

#[test]
fn a_call_that_cannot_be_kept_ends_without_another_word() {
    let (mut network, mut stranger, call) = call_up();
    let now = network.now();
    network.nodes[A].endpoint.send_text(now, call, "hello?").expect("up");
    let heard = stranger.wait(&mut network, Duration::from_secs(33));
    let Some(Event::CallEnded { end, .. }) = network.event(A) else { panic!("it ends") };
    assert_eq!(end.reason, EndReason::TimedOut);
    let hello = |heard: &&Heard| matches!(heard.message(), Message::Text { .. });
    let copies = heard.iter().filter(hello).count();
    assert!(copies >= 5, "the first and four more at least: {copies}");
    assert!(heard.iter().all(|heard| heard.iax() != Some(IaxSubclass::Hangup)));
    assert!(stranger.wait(&mut network, Duration::from_secs(120)).is_empty());
}

#[test]
fn the_first_repetition_comes_after_twice_the_round_trip() {
    let (mut network, mut stranger, call) = call_up();
    // The round trip is measured by LAGRQ: 400 ms.
    let heard = stranger.wait(&mut network, Duration::from_millis(500));
    assert_eq!(kinds(&heard), [Some(IaxSubclass::LagRq)]);
    network.run(Duration::from_millis(400));
    stranger.clock = heard[0].header.timestamp.0;
    stranger.say_iax(&mut network, A, IaxSubclass::LagRp, &[]);
    let now = network.now();
    network.nodes[A].endpoint.send_text(now, call, "lost").expect("up");
    for (pause, copies) in [(799, 1), (1, 1), (1_599, 0), (1, 1)] {
        let heard = stranger.wait(&mut network, Duration::from_millis(pause));
        assert_eq!(heard.len(), copies, "after {pause} ms more");
    }
}

#[test]
fn terminal_answers_of_a_registrar_are_acknowledged() {
    for answer in [IaxSubclass::RegAck, IaxSubclass::RegRej] {
        let mut network = Network::new(44, vec![EndpointConfig::default()]);
        let mut registrar = Stranger::new("203.0.113.1:4569");
        let config = RegistrationConfig {
            to: registrar.address,
            others: Vec::new(),
            username: "site".into(),
            secret: None,
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(60),
        };
        let now = network.now();
        network.nodes[A].endpoint.register(now, config);
        registrar.wait(&mut network, Duration::ZERO);
        let stamp = Timestamp(registrar.clock);
        let answers = registrar.say_iax(&mut network, A, answer, &[]);
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
        assert_eq!(answers[0].header.timestamp, stamp);
        // And again where the ACK was lost.
        (registrar.oseq, registrar.clock) = (Seq::ZERO, stamp.0);
        let answers = registrar.say_iax(&mut network, A, answer, &[]);
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    }
}

#[test]
fn a_frame_for_no_call_is_answered_by_inval_in_both_numbers() {
    let mut network = Network::new(45, vec![EndpointConfig::default()]);
    let mut stranger = Stranger::new("203.0.113.1:4569");
    stranger.theirs = CallNumber::from_bits(999);
    let answers = stranger.say(&mut network, A, &Message::iax(IaxSubclass::Ping, Elements::EMPTY));
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Inval)]);
    let header = answers[0].header;
    assert_eq!((header.source.get(), header.destination), (999, stranger.number));
}
