//! Peers that fall silent, answer late, or are not who they say: how soon that is noticed, and what
//! it costs.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use oneport_proto::{
    CallId, CommandError, DropReason, EndReason, EndpointConfig, Event, NewCall,
    RegistrationConfig, RetransmissionConfig,
};
use oneport_testkit::sim::Network;
use oneport_wire::{
    CallNumber, CauseCode, Datagram, Element, ElementBuffer, Format, FullHeader, IaxSubclass,
    Message, MiniFrame, MiniTimestamp, Seq, Timestamp, TrunkWriter,
};

const B: usize = 1;

/// Nobody is there.
fn nowhere() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 99], 4569))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A full frame whose sender has the number `source`.
fn full(source: u16, destination: u16, subclass: IaxSubclass, elements: &ElementBuffer) -> Vec<u8> {
    let header = FullHeader {
        source: CallNumber::from_bits(source),
        destination: CallNumber::from_bits(destination),
        retransmission: false,
        timestamp: Timestamp(9),
        oseq: Seq::ZERO,
        iseq: Seq::ZERO,
    };
    let mut bytes = Vec::new();
    Message::iax(subclass, elements.as_elements()).encode(&header, &mut bytes);
    bytes
}

/// How the call of node 0 ends, and after how long.
fn end_of(network: &mut Network, patience: Duration) -> Option<(EndReason, CauseCode, Duration)> {
    let begun = network.now();
    let until = begun + patience;
    loop {
        let more = network.step(until);
        while let Some(event) = network.event(0) {
            if let Event::CallEnded { end, .. } = event {
                return Some((end.reason, end.cause, network.now().since(begun)));
            }
        }
        if !more {
            return None;
        }
    }
}

/// A call from node 0 that B has answered.
fn call_up(network: &mut Network) -> (CallId, CallId) {
    let (now, to) = (network.now(), network.nodes[B].address);
    let ours = network.nodes[0].endpoint.place_call(now, to, NewCall::to("1")).expect("free");
    network.run(millis(300));
    let offered = network.event(B);
    let Some(Event::CallOffered { call: theirs, .. }) = offered else { panic!("{offered:?}") };
    let now = network.now();
    network.nodes[B].endpoint.accept(now, theirs, Format::ULAW).expect("offered");
    network.nodes[B].endpoint.answer(now, theirs).expect("accepted");
    network.run(millis(300));
    while network.event(0).is_some() {}
    (ours, theirs)
}

#[test]
fn a_call_to_a_peer_that_says_nothing_ends_after_twice_autokill() {
    let general = EndpointConfig { autokill: Some(seconds(2)), ..EndpointConfig::default() };
    let killed = |after| (EndReason::Unanswered, CauseCode::CIRCUIT_CONGESTION, after);
    let give_up = EndpointConfig::default().retransmission.give_up;
    let given_up = (EndReason::TimedOut, CauseCode::DESTINATION_OUT_OF_ORDER, give_up);
    for (config, own, expected) in [
        (EndpointConfig::default(), None, given_up),
        (general.clone(), None, killed(seconds(4))),
        (general.clone(), Some(millis(500)), killed(seconds(1))),
        (general, Some(Duration::ZERO), given_up),
        (EndpointConfig::default(), Some(seconds(2)), killed(seconds(4))),
    ] {
        let mut network = Network::new(1, vec![config]);
        let mut call = NewCall::to("1");
        call.autokill = own;
        let now = network.now();
        network.nodes[0].endpoint.place_call(now, nowhere(), call).expect("free");
        assert_eq!(end_of(&mut network, seconds(60)), Some(expected), "{own:?}");
        network.run(seconds(70));
        assert!(network.nodes[0].endpoint.is_quiescent());
    }
}

#[test]
fn a_peer_that_has_said_anything_is_not_killed_for_being_slow() {
    let config = EndpointConfig { autokill: Some(millis(500)), ..EndpointConfig::default() };
    // A call token, and nothing more; and an acknowledgement, and nothing more.
    for answer in [IaxSubclass::CallToken, IaxSubclass::Ack] {
        let mut network = Network::new(1, vec![config.clone(), EndpointConfig::default()]);
        network.filter = Some(Box::new(move |from, datagram| match datagram {
            Datagram::Full(frame) => {
                from == 0 || {
                    let said = IaxSubclass::from_subclass(frame.subclass);
                    said == answer || said == IaxSubclass::CallToken
                }
            }
            _ => true,
        }));
        let mut silent = 0;
        if answer == IaxSubclass::CallToken {
            // What follows the token is lost.
            network.filter = Some(Box::new(move |from, _| {
                silent += usize::from(from == 0);
                silent < 2
            }));
        }
        let (now, to) = (network.now(), network.nodes[B].address);
        network.nodes[0].endpoint.place_call(now, to, NewCall::to("1")).expect("free");
        assert_eq!(end_of(&mut network, seconds(20)), None, "{answer}");
    }
}

#[test]
fn a_vanished_peer_is_noticed_within_the_lag_interval_and_the_give_up_time() {
    let mut quick = EndpointConfig { lag_interval: seconds(2), ..EndpointConfig::default() };
    quick.retransmission.give_up = seconds(8);
    for (config, limit) in [(EndpointConfig::default(), seconds(42)), (quick, seconds(10))] {
        for moment in [0, 3_300, 9_900] {
            let mut network = Network::new(2, vec![config.clone(); 2]);
            call_up(&mut network);
            network.run(millis(moment));
            network.weather.cut = true;
            let (reason, _, after) = end_of(&mut network, limit).expect("noticed in time");
            assert_eq!(reason, EndReason::TimedOut);
            assert!(after >= config.retransmission.give_up, "not given up before: {after:?}");
        }
    }
}

/// Numbers of the full frames that node 0 sends while nothing arrives, until it gives the call up.
fn frames_into_silence(config: EndpointConfig) -> Vec<u8> {
    let mut network = Network::new(5, vec![config, EndpointConfig::default()]);
    call_up(&mut network);
    let sent = Rc::new(RefCell::new(Vec::new()));
    let seen = sent.clone();
    network.filter = Some(Box::new(move |from, datagram| {
        if let (0, Datagram::Full(frame)) = (from, datagram) {
            seen.borrow_mut().push(frame.header.oseq.0);
        }
        false
    }));
    let ended = end_of(&mut network, seconds(60));
    assert!(matches!(ended, Some((EndReason::TimedOut, ..))), "{ended:?}");
    sent.take()
}

#[test]
fn while_a_poll_is_repeated_no_other_is_begun() {
    // The first LAGRQ comes before the first PING, or behind it; others of both would be due until the end.
    let pings_first = EndpointConfig { ping_interval: millis(350), ..EndpointConfig::default() };
    for config in [EndpointConfig::default(), pings_first] {
        let sent = frames_into_silence(config);
        assert!(sent.len() > 4, "it is repeated: {sent:?}");
        assert!(sent.iter().all(|number| *number == sent[0]), "{sent:?}");
    }
}

#[test]
fn a_poll_that_has_waited_leaves_soon_behind_what_was_repeated() {
    let mut network = Network::pair(5);
    call_up(&mut network);
    // Nothing passes for some seconds, in which a LAGRQ is repeated and the next is due.
    network.filter = Some(Box::new(|_, _| false));
    network.run(seconds(11));
    let asked = Rc::new(RefCell::new(Vec::new()));
    let seen = asked.clone();
    network.filter = Some(Box::new(move |from, datagram| {
        if let (0, Datagram::Full(frame)) = (from, datagram)
            && IaxSubclass::from_subclass(frame.subclass) == IaxSubclass::LagRq
        {
            seen.borrow_mut().push(frame.header.oseq.0);
        }
        true
    }));
    network.run(seconds(8));
    let mut asked = asked.take();
    asked.dedup();
    assert_eq!(asked.len(), 2, "the one that was repeated, and the one that waited: {asked:?}");
}

#[test]
fn lag_is_measured_and_a_queue_in_one_direction_shows() {
    let mut network = Network::pair(3);
    let (ours, _) = call_up(&mut network);
    network.run(seconds(30));
    let lag = network.nodes[0].endpoint.call_stats(ours).expect("up").lag;
    assert_eq!((lag.last, lag.incoming_excess), (Some(millis(20)), Some(Duration::ZERO)));
    network.weather.delay = millis(60);
    network.run(seconds(30));
    let lag = network.nodes[0].endpoint.call_stats(ours).expect("up").lag;
    assert_eq!((lag.last, lag.least), (Some(millis(120)), Some(millis(20))));
    assert_eq!((lag.greatest, lag.incoming_excess), (Some(millis(120)), Some(millis(50))));
}

#[test]
fn a_round_trip_that_grows_beyond_the_interval_of_repetition_is_measured_again() {
    let mut network = Network::pair(8);
    let (ours, _) = call_up(&mut network);
    network.run(seconds(30));
    network.weather.delay = millis(150);
    network.run(seconds(90));
    let before = network.nodes[0].endpoint.call_stats(ours).expect("up").retransmissions;
    assert!(before <= 8, "{before} frames repeated");
    network.run(seconds(600));
    let stats = network.nodes[0].endpoint.call_stats(ours).expect("up");
    assert_eq!(stats.retransmissions, before, "no more are");
    let rtt = stats.rtt.expect("measured");
    assert!((millis(280)..=millis(310)).contains(&rtt), "{rtt:?}");
}

#[test]
fn timers_of_zero_neither_spin_nor_break() {
    let zero = Duration::ZERO;
    let config = EndpointConfig {
        ping_interval: zero,
        lag_interval: zero,
        number_quarantine: zero,
        reject_delay: zero,
        first_registration_pause: zero,
        longest_registration_pause: zero,
        keep_alive: Some(zero),
        key_rotation: Some(zero),
        retransmission: RetransmissionConfig {
            first: zero,
            greatest: zero,
            ..RetransmissionConfig::default()
        },
        ..EndpointConfig::default()
    };
    let mut network = Network::new(4, vec![config, EndpointConfig::default()]);
    let registration = RegistrationConfig {
        to: nowhere(),
        others: Vec::new(),
        username: "site".into(),
        secret: None,
        key: None,
        allow_plaintext: false,
        refresh: seconds(60),
    };
    let now = network.now();
    network.nodes[0].endpoint.register(now, registration);
    call_up(&mut network);
    network.run(seconds(5));
    assert_eq!(network.nodes[0].endpoint.calls(), 1);
    assert!(network.sent < 10_000, "{} datagrams", network.sent);
}

#[test]
fn calls_that_nobody_answers_use_up_the_numbers_of_their_address_only_and_give_them_back() {
    let config = EndpointConfig { autokill: Some(millis(100)), ..EndpointConfig::default() };
    let quarantine = config.number_quarantine;
    let mut network = Network::new(5, vec![config, EndpointConfig::default()]);
    let now = network.now();
    let mut placed = 0;
    let refusal = loop {
        match network.nodes[0].endpoint.place_call(now, nowhere(), NewCall::to("1")) {
            Ok(_) => placed += 1,
            Err(refusal) => break refusal,
        }
        network.flush();
        network.transcript.clear();
    };
    assert_eq!(refusal, CommandError::NoFreeCallNumber);
    assert!(placed > 30_000, "{placed} calls");
    // Others are reached all the same.
    call_up(&mut network);
    network.run(seconds(1) + quarantine);
    let now = network.now();
    let again = network.nodes[0].endpoint.place_call(now, nowhere(), NewCall::to("1"));
    assert!(again.is_ok(), "numbers are free again: {again:?}");
}

#[test]
fn a_flood_of_calls_from_one_address_harms_nobody_else_and_passes() {
    let mut network = Network::pair(6);
    let flooder: SocketAddr = "203.0.113.1:4569".parse().expect("an address");
    let other: SocketAddr = "203.0.113.2:4569".parse().expect("an address");
    let open = |network: &mut Network, from: SocketAddr, number: u16| {
        let mut empty = ElementBuffer::new();
        empty.push(&Element::CallToken(&[]));
        let sent = network.inject(B, from, &full(number, 0, IaxSubclass::New, &empty));
        let Ok(Datagram::Full(frame)) = Datagram::decode(&sent[0]) else { panic!("no token") };
        let mut with = ElementBuffer::new();
        with.push(&Element::CallToken(&frame.payload[2..]));
        network.inject(B, from, &full(number, 0, IaxSubclass::New, &with))
    };
    for number in 2..3_002 {
        let _ = open(&mut network, flooder, number);
    }
    assert_eq!(network.nodes[B].endpoint.calls(), 2_048);
    let counters = network.nodes[B].endpoint.counters();
    assert_eq!(counters.dropped(DropReason::TooManyCallsForAddress), 3_000 - 2_048);
    let _ = open(&mut network, other, 2);
    assert_eq!(network.nodes[B].endpoint.calls(), 2_049, "others are served");
    while network.event(B).is_some() {}
    // Nobody decides on them: they end, their numbers rest, and all is as before.
    network.run(seconds(30 + 32 + 60 + 1));
    while network.event(B).is_some() {}
    assert!(network.nodes[B].endpoint.is_quiescent());
    let _ = open(&mut network, flooder, 2);
    assert_eq!(network.nodes[B].endpoint.calls(), 1);
}

#[test]
fn a_hundred_thousand_spoofed_datagrams_get_one_short_answer_each_at_most_and_leave_no_state() {
    let mut network = Network::pair(7);
    let elements = |token: Option<&[u8]>, name: Option<&str>| {
        let mut elements = ElementBuffer::new();
        if let Some(name) = name {
            elements.push(&Element::Username(name.into()));
        }
        if let Some(token) = token {
            elements.push(&Element::CallToken(token));
        }
        elements
    };
    let mut questions = Vec::new();
    use IaxSubclass as Iax;
    for subclass in [Iax::New, Iax::RegReq, Iax::RegRel, Iax::Poke, Iax::FwDownl, Iax::TxCnt] {
        for token in [None, Some(&b""[..]), Some(b"bad"), Some(&[b'A'; 24])] {
            for name in [None, Some("site")] {
                questions.push(full(77, 0, subclass, &elements(token, name)));
            }
        }
    }
    let nothing = ElementBuffer::new();
    for subclass in [Iax::Ping, Iax::LagRq, Iax::Hangup, Iax::AuthRep, Iax::Accept, Iax::Inval] {
        questions.push(full(77, 1_234, subclass, &nothing));
    }
    questions.push(
        [
            MiniFrame::encode_header(CallNumber::from_bits(77), MiniTimestamp(1)).to_vec(),
            vec![9; 160],
        ]
        .concat(),
    );
    let mut trunk = TrunkWriter::new(true, 1_000);
    assert!(trunk.push(CallNumber::from_bits(77), MiniTimestamp(1), &[9; 160]));
    questions.push(trunk.finish(Timestamp(1)).to_vec());
    let (mut answers, mut asked, mut answered) = (0, 0, 0);
    for n in 0..100_000 {
        let address = network.random(u32::MAX).to_be_bytes();
        let port = u16::try_from(1 + network.random(65_000)).expect("a port");
        let question = &questions[n % questions.len()];
        let sent = network.inject(B, SocketAddr::from((address, port)), question);
        assert!(sent.len() <= 1, "{} answers to {question:02x?}", sent.len());
        asked += question.len();
        for answer in sent {
            answers += 1;
            answered += answer.len();
            let most = 3 * question.len();
            assert!(answer.len() <= most, "{answer:02x?} to {question:02x?}");
            let Ok(Datagram::Full(frame)) = Datagram::decode(&answer) else {
                panic!("media to a stranger: {answer:02x?}")
            };
            assert!(matches!(frame.message(), Ok(Message::Iax { .. })), "{answer:02x?}");
        }
    }
    assert!(answers > 50_000, "{answers} answers");
    assert!(answered < 2 * asked, "{answered} bytes for {asked}");
    while network.event(B).is_some() {}
    assert!(network.nodes[B].endpoint.is_quiescent());
    assert_eq!(network.nodes[B].endpoint.poll_timeout(), None);
}
