//! What odd peers and bad links do to calls: the rest of what broke others.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{CallId, DropReason, EndReason, EndpointConfig, Event, NewCall};
use oneport_testkit::sim::{Network, Weather};
use oneport_wire::{
    CallNumber, CauseCode, Datagram, Element, ElementBuffer, Format, FullHeader, IaxSubclass,
    Message, MiniFrame, MiniTimestamp, Seq, Timestamp,
};

const A: usize = 0;
const B: usize = 1;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn events(network: &mut Network, node: usize) -> Vec<Event> {
    std::iter::from_fn(|| network.event(node)).collect()
}

fn subclass_of(bytes: &[u8]) -> IaxSubclass {
    match Datagram::decode(bytes) {
        Ok(Datagram::Full(frame)) => IaxSubclass::from_subclass(frame.subclass),
        other => panic!("{other:?}"),
    }
}

/// A NEW as a stranger's call `number` sends it.
fn new(number: u16, token: &[u8]) -> Vec<u8> {
    let header = FullHeader {
        source: CallNumber::from_bits(number),
        destination: CallNumber::NONE,
        retransmission: false,
        timestamp: Timestamp(9),
        oseq: Seq::ZERO,
        iseq: Seq::ZERO,
    };
    let mut elements = ElementBuffer::new();
    elements.push(&Element::CallToken(token));
    let mut bytes = Vec::new();
    Message::iax(IaxSubclass::New, elements.as_elements()).encode(&header, &mut bytes);
    bytes
}

/// Opens a call from `from`; the answer to its NEW with a token, if there is one at once.
fn open(network: &mut Network, from: SocketAddr, number: u16) -> Option<IaxSubclass> {
    let sent = network.inject(B, from, &new(number, &[]));
    let Ok(Datagram::Full(frame)) = Datagram::decode(&sent[0]) else { panic!("no frame") };
    let token = frame.payload[2..].to_vec();
    let sent = network.inject(B, from, &new(number, &token));
    sent.first().map(|bytes| subclass_of(bytes))
}

fn call_up(network: &mut Network) -> (CallId, CallId) {
    let (now, to) = (network.now(), network.nodes[B].address);
    let ours = network.nodes[A].endpoint.place_call(now, to, NewCall::to("1")).expect("free");
    network.run(ms(300));
    let offered = events(network, B).into_iter().find_map(|event| match event {
        Event::CallOffered { call, .. } => Some(call),
        _ => None,
    });
    let theirs = offered.expect("offered");
    let now = network.now();
    network.nodes[B].endpoint.accept(now, theirs, Format::ULAW).expect("offered");
    network.nodes[B].endpoint.answer(now, theirs).expect("accepted");
    network.run(ms(300));
    events(network, A);
    (ours, theirs)
}

#[test]
fn an_address_has_so_many_calls_and_gets_new_ones_a_while_after_the_old() {
    let config = EndpointConfig { max_calls_per_address: 2, ..EndpointConfig::default() };
    let mut network = Network::new(1, vec![EndpointConfig::default(), config]);
    let at = |ip: &str, port| SocketAddr::new(ip.parse().expect("an address"), port);
    assert_eq!(open(&mut network, at("203.0.113.1", 4569), 10), None);
    assert_eq!(open(&mut network, at("203.0.113.1", 5000), 11), None);
    let refused = Some(IaxSubclass::Reject);
    assert_eq!(
        open(&mut network, at("203.0.113.1", 6000), 12),
        refused,
        "the port counts for nothing"
    );
    assert_eq!(open(&mut network, at("203.0.113.2", 4569), 13), None, "others are not concerned");
    for event in events(&mut network, B) {
        let Event::CallOffered { call, .. } = event else { continue };
        let now = network.now();
        network.nodes[B].endpoint.reject(now, call, CauseCode::REJECTED, None).expect("offered");
    }
    network.run(ms(1_000));
    assert_eq!(open(&mut network, at("203.0.113.1", 6000), 12), refused, "its numbers rest");
    // Nobody acknowledges the REJECT, so that is given up first.
    network.run(Duration::from_secs(32 + 60));
    assert_eq!(open(&mut network, at("203.0.113.1", 6000), 12), None);
}

/// A frame of A in the call, the next in order.
fn frame(network: &Network, call: CallId, kind: u8, subclass: u8, payload: &[u8]) -> Vec<u8> {
    let (own, far) = network.nodes[B].endpoint.call_numbers(call).expect("up");
    let mut bytes = (0x8000 | far.expect("known").get()).to_be_bytes().to_vec();
    bytes.extend(own.get().to_be_bytes());
    // What B expects next it has said last, in ISeqno.
    let said = network.transcript.lines().rfind(|line| line.contains("B->A")).expect("sent");
    let numbers = said.split(' ').nth(4).and_then(|word| word.split_once('/')).expect("two");
    let next: u8 = numbers.1.parse().expect("a number");
    bytes.extend([0, 0, 1, 0, next, 2, kind, subclass]);
    bytes.extend(payload);
    bytes
}

#[test]
fn a_full_frame_of_any_voice_format_is_acknowledged_and_the_call_lives() {
    for subclass in 0..=255_u8 {
        let mut network = Network::pair(1);
        let (_, theirs) = call_up(&mut network);
        let from = network.nodes[A].address;
        let voice = frame(&network, theirs, 2, subclass, &[7; 160]);
        let sent = network.inject(B, from, &voice);
        let answers: Vec<IaxSubclass> = sent.iter().map(|bytes| subclass_of(bytes)).collect();
        assert_eq!(answers, [IaxSubclass::Ack], "{subclass:#x}");
        assert_eq!(network.nodes[B].endpoint.calls(), 1, "{subclass:#x}");
        // Mini frames behind it are of a format that was agreed on, or nobody's.
        let far = network.nodes[B].endpoint.call_numbers(theirs).and_then(|both| both.1);
        let mini = MiniFrame::encode_header(far.expect("known"), MiniTimestamp(300));
        let now = network.now();
        network.inject(B, from, &[&mini[..], &[7; 160]].concat());
        let endpoint = &mut network.nodes[B].endpoint;
        endpoint.hangup(now, theirs, CauseCode::NORMAL_CLEARING, None).expect("it is up");
    }
}

#[test]
fn a_full_frame_of_any_video_format_is_acknowledged_and_the_call_lives() {
    for subclass in 0..=255_u8 {
        let mut network = Network::pair(1);
        let (_, theirs) = call_up(&mut network);
        let from = network.nodes[A].address;
        let video = frame(&network, theirs, 3, subclass, &[7; 40]);
        let sent = network.inject(B, from, &video);
        let answers: Vec<IaxSubclass> = sent.iter().map(|bytes| subclass_of(bytes)).collect();
        assert_eq!(answers, [IaxSubclass::Ack], "{subclass:#x}");
        assert_eq!(network.nodes[B].endpoint.calls(), 1, "{subclass:#x}");
    }
}

#[test]
fn a_change_of_key_on_a_call_in_the_clear_changes_nothing() {
    for size in [None, Some(0), Some(15), Some(16), Some(17)] {
        let mut network = Network::pair(1);
        let (_, theirs) = call_up(&mut network);
        let mut elements = ElementBuffer::new();
        let key = vec![7; size.unwrap_or_default()];
        if size.is_some() {
            elements.push(&Element::Challenge(&key));
        }
        let from = network.nodes[A].address;
        let elements = elements.as_elements();
        let change = frame(&network, theirs, 6, 39, elements.as_bytes());
        let sent = network.inject(B, from, &change);
        let answers: Vec<IaxSubclass> = sent.iter().map(|bytes| subclass_of(bytes)).collect();
        assert_eq!(answers, [IaxSubclass::Ack], "{size:?}");
        let counters = network.nodes[B].endpoint.counters();
        assert_eq!(counters.dropped(DropReason::Unexpected), 1, "{size:?}");
        let now = network.now();
        network.nodes[B].endpoint.send_voice(now, theirs, Format::ULAW, &[1; 160], 20).expect("up");
        network.run(ms(100));
        assert_eq!(network.heard(A).len(), 1, "{size:?}");
    }
}

#[test]
fn two_hundred_digits_in_a_burst_and_an_inval_end_the_call() {
    let mut network = Network::pair(1);
    let (ours, theirs) = call_up(&mut network);
    let now = network.now();
    for n in 0..200 {
        let digit = b'0' + n % 10;
        network.nodes[A].endpoint.dtmf_begin(now, ours, digit).expect("room");
        network.nodes[A].endpoint.dtmf_end(now, ours, digit).expect("room");
    }
    // Half of them are on their way.
    network.run(ms(5));
    let inval = frame(&network, theirs, 6, 10, &[]);
    let from = network.nodes[A].address;
    network.inject(B, from, &inval);
    let ended = events(&mut network, B);
    let Some(Event::CallEnded { end, .. }) = ended.last() else { panic!("{ended:?}") };
    assert_eq!(end.reason, EndReason::Invalidated);
    network.run(Duration::from_secs(200));
    for node in [A, B] {
        events(&mut network, node);
        assert!(network.nodes[node].endpoint.is_quiescent(), "nothing of it is left");
    }
}

#[test]
fn an_acknowledgement_counts_by_its_number_whatever_its_timestamp() {
    // Asterisk cannot echo a timestamp of 0: its ACK carries its own clock then.
    for timestamp in [0_u32, 5, 0x7FFF_FFFF, u32::MAX] {
        let mut network = Network::pair(1);
        let (ours, theirs) = call_up(&mut network);
        network.filter = Some(Box::new(|from, _| from != B));
        let now = network.now();
        network.nodes[A].endpoint.send_text(now, ours, "heard").expect("up");
        network.run(ms(15));
        let (own, far) = network.nodes[B].endpoint.call_numbers(theirs).expect("up");
        let sent = network.transcript.lines().rfind(|line| line.contains("TEXT")).expect("sent");
        let numbers = sent.split(' ').nth(4).and_then(|word| word.split_once('/')).expect("two");
        let oseq: u8 = numbers.0.parse().expect("a number");
        let mut ack = (0x8000 | own.get()).to_be_bytes().to_vec();
        ack.extend(far.expect("known").get().to_be_bytes());
        ack.extend(timestamp.to_be_bytes());
        ack.extend([0, oseq + 1, 6, 4]);
        let from = network.nodes[B].address;
        network.inject(A, from, &ack);
        let before = network.transcript.matches("TEXT").count();
        network.run(Duration::from_secs(3));
        assert_eq!(network.transcript.matches("TEXT").count(), before, "at {timestamp}");
    }
}

#[test]
fn whatever_the_loss_a_call_completes_or_ends_at_the_documented_second() {
    let give_up = EndpointConfig::default().retransmission.give_up;
    for loss in [100, 300, 500] {
        let mut complete = 0;
        for seed in 0..20 {
            let mut network = Network::pair(seed);
            network.weather = Weather { loss, duplication: 50, jitter: ms(400), ..Weather::FAIR };
            let (now, to) = (network.now(), network.nodes[B].address);
            let ours =
                network.nodes[A].endpoint.place_call(now, to, NewCall::to("1")).expect("free");
            let mut digits = String::new();
            let mut reasons = Vec::new();
            let mut hangs_up = None;
            for _ in 0..2_000 {
                network.run(ms(100));
                let now = network.now();
                if hangs_up.is_some_and(|at| at <= now) {
                    let endpoint = &mut network.nodes[A].endpoint;
                    // It may have been given up.
                    let _ = endpoint.hangup(now, ours, CauseCode::NORMAL_CLEARING, None);
                    hangs_up = None;
                }
                for event in events(&mut network, B) {
                    let endpoint = &mut network.nodes[B].endpoint;
                    match event {
                        Event::CallOffered { call, .. } => {
                            endpoint.accept(now, call, Format::ULAW).expect("offered");
                            endpoint.answer(now, call).expect("accepted");
                        }
                        Event::Dtmf { digit, phase: oneport_proto::DtmfPhase::Begin, .. } => {
                            digits.push(char::from(digit));
                        }
                        Event::CallEnded { end, .. } => reasons.push(end.reason),
                        _ => {}
                    }
                }
                for event in events(&mut network, A) {
                    let endpoint = &mut network.nodes[A].endpoint;
                    match event {
                        Event::CallAnswered { call } => {
                            hangs_up = Some(now + Duration::from_secs(60));
                            for digit in *b"0123456789" {
                                endpoint.dtmf_begin(now, call, digit).expect("up");
                                endpoint.dtmf_end(now, call, digit).expect("up");
                            }
                        }
                        Event::CallEnded { end, .. } => reasons.push(end.reason),
                        _ => {}
                    }
                }
            }
            // 200 s: the set-up, the digits and the hang-up have been given up by now, if need be.
            assert!(give_up * 3 < Duration::from_secs(200));
            assert_eq!(network.nodes[A].endpoint.calls(), 0, "loss {loss}, seed {seed}");
            assert_eq!(network.nodes[B].endpoint.calls(), 0, "loss {loss}, seed {seed}");
            assert!("0123456789".starts_with(&digits), "in order: {digits}");
            complete += usize::from(digits.len() == 10);
            assert!(network.nodes[A].endpoint.call_stats(ours).is_none());
            let bad = |reason: &EndReason| {
                !matches!(
                    reason,
                    EndReason::LocalHangup
                        | EndReason::RemoteHangup
                        | EndReason::TimedOut
                        | EndReason::SetupTimedOut
                        | EndReason::Invalidated
                        | EndReason::RemoteReject
                )
            };
            assert!(!reasons.iter().any(bad), "{reasons:?}");
        }
        println!("loss {loss}: {complete} of 20 calls complete");
        // Without a place for frames before their turn it was 20, 14 and 5.
        let least = [(100, 19), (300, 18), (500, 12)].iter().find(|(of, _)| *of == loss);
        let (_, least) = least.expect("one of the three");
        assert!(complete >= *least, "{loss} of 1,000 lost: {complete} calls are complete");
    }
}

#[test]
fn a_peer_that_asks_and_asks_and_acknowledges_nothing_does_not_fill_our_memory() {
    // PING, LAGRQ, TXREQ, and two that nobody knows.
    for subclass in [2, 11, 22, 0x3E, 0x7E] {
        let mut network = Network::pair(1);
        let (_, theirs) = call_up(&mut network);
        let from = network.nodes[A].address;
        let mut asked = frame(&network, theirs, 6, subclass, &[]);
        for _ in 0..20_000 {
            network.inject(B, from, &asked);
            asked[8] = asked[8].wrapping_add(1);
        }
        let dropped = network.nodes[B].endpoint.counters().dropped(DropReason::QueueFull);
        assert!(dropped >= 20_000 - 64 - 512 - 128, "{subclass:#x}: {dropped}");
        // It can be ended all the same.
        let now = network.now();
        let endpoint = &mut network.nodes[B].endpoint;
        endpoint.hangup(now, theirs, CauseCode::NORMAL_CLEARING, None).expect("it is up");
    }
}
