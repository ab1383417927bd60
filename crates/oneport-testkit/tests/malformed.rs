//! A table of datagrams no honest peer sends, and what each gets: an answer, or silence and a
//! counter; never a panic, never state.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{CallId, DropReason, Event, NewCall};
use oneport_testkit::sim::Network;
use oneport_wire::{Datagram, Format, FullFrame, IaxSubclass, Message};

const B: usize = 1;

/// What a datagram gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gets {
    Silence(DropReason),
    Answer(IaxSubclass),
    /// Taken in, at most acknowledged.
    Heard,
}

use Gets::{Answer, Heard, Silence};

struct Case {
    name: String,
    bytes: Vec<u8>,
    gets: Gets,
}

fn stranger() -> SocketAddr {
    "203.0.113.7:4569".parse().expect("an address")
}

/// A full frame: source, destination, timestamp, OSeqno, ISeqno, type, subclass, payload.
fn full(source: u16, destination: u16, kind: u8, subclass: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((0x8000 | source).to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend([0, 0, 0, 3, 0, 0, kind, subclass]);
    bytes.extend(payload);
    bytes
}

/// NEW with a call token element that asks for one.
fn new() -> Vec<u8> {
    full(5, 0, 6, 1, &[11, 2, 0, 2, 1, 1, b'1', 54, 0])
}

/// What a stranger sends to somebody who holds no call of it.
fn to_nobody() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name: String, bytes: Vec<u8>, gets| cases.push(Case { name, bytes, gets });
    for len in 0..12 {
        let gets = Silence(DropReason::Malformed);
        let cut = new()[..len].to_vec();
        case(format!("NEW cut to {len} bytes"), cut, gets);
    }
    for len in 12..new().len() {
        let gets = match len - 12 {
            // Whole elements, but without one for the call token.
            0 | 4 | 7 => Answer(IaxSubclass::Reject),
            _ => Silence(DropReason::MalformedElements),
        };
        case(format!("NEW cut to {len} bytes"), new()[..len].to_vec(), gets);
    }
    for lie in 1..=255_u8 {
        let mut bytes = new();
        let last = bytes.len() - 1;
        bytes[last] = lie;
        let gets = Silence(DropReason::MalformedElements);
        case(format!("call token that says {lie} bytes and has none"), bytes, gets);
    }
    for subclass in 0..=255_u8 {
        let bytes = full(5, 0, 6, subclass, &[]);
        let gets = match subclass {
            1 => Answer(IaxSubclass::Reject),
            13 | 17 => Answer(IaxSubclass::RegRej),
            30 => Answer(IaxSubclass::Pong),
            // A device is told that its server has no settings and no firmware for it.
            35 => Answer(IaxSubclass::Reject),
            36 => Answer(IaxSubclass::Unsupport),
            _ => Silence(DropReason::UnknownCall),
        };
        case(format!("IAX subclass {subclass} for no call"), bytes, gets);
    }
    for kind in (0..=255_u8).filter(|kind| *kind != 6) {
        let bytes = full(5, 0, kind, 1, &[]);
        case(format!("type {kind} for no call"), bytes, Silence(DropReason::UnknownCall));
    }
    for destination in [1_u16, 2, 0x7FFF, 0x8001, 0xFFFF] {
        let bytes = full(5, destination, 6, 5, &[]);
        let gets = match destination & 0x7FFF {
            // Whoever sent it to the number of stateless answers expects none.
            1 => Silence(DropReason::UnknownCall),
            _ => Answer(IaxSubclass::Inval),
        };
        case(format!("HANGUP for {destination:#x}"), bytes, gets);
    }
    let gets = Silence(DropReason::Malformed);
    case("NEW from call 0".into(), full(0, 0, 6, 1, &[54, 0]), gets);
    let gets = Silence(DropReason::WrongCallNumber);
    case("NEW from call 1".into(), full(1, 0, 6, 1, &[54, 0]), gets);
    let twice = full(5, 0, 6, 1, &[54, 0, 54, 0]);
    case("NEW with two empty tokens".into(), twice, Answer(IaxSubclass::CallToken));
    let forged = full(5, 0, 6, 1, &[54, 4, b'a', b'b', b'c', b'd']);
    case("NEW with a forged token".into(), forged, Answer(IaxSubclass::Reject));
    let mut long = vec![54, 255];
    long.extend([b'A'; 255]);
    case("NEW with a long token".into(), full(5, 0, 6, 1, &long), Answer(IaxSubclass::Reject));
    let mut big = vec![54, 0];
    big.extend([1, 255].iter().chain(&[b'9'; 255]).copied().cycle().take(257 * 250));
    case("NEW of 64 KB".into(), full(5, 0, 6, 1, &big), Answer(IaxSubclass::CallToken));
    let gets = Silence(DropReason::UnknownMediaCall);
    for len in 4..8 {
        case(
            format!("mini frame of {len} bytes"),
            vec![0, 5, 0, 9, 1, 1, 1][..len.min(7)].into(),
            gets,
        );
    }
    case("trunk entry for no call".into(), vec![0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 0, 1, 9], gets);
    let malformed = Silence(DropReason::Malformed);
    for len in 4..8 {
        let trunk = [0, 0, 1, 0, 0, 0, 0, 1];
        case(format!("trunk frame cut to {len} bytes"), trunk[..len].to_vec(), malformed);
    }
    for flags in 2..=255_u8 {
        let trunk = vec![0, 0, 1, flags, 0, 0, 0, 1, 0, 5, 0, 1, 9];
        case(format!("trunk flags {flags}"), trunk, malformed);
    }
    for command in (0..0x80_u8).filter(|command| *command != 1) {
        case(format!("meta command {command}"), vec![0, 0, command, 0, 0, 0, 0, 0], malformed);
    }
    case("video mini frame of 4 bytes".into(), vec![0, 0, 0x80, 5], malformed);
    case("video mini frame of 5 bytes".into(), vec![0, 0, 0x80, 5, 0], malformed);
    case("video mini frame for no call".into(), vec![0, 0, 0x80, 5, 0, 1, 2], gets);
    cases
}

fn answers(bytes: &[Vec<u8>]) -> Vec<IaxSubclass> {
    let subclass = |bytes: &Vec<u8>| match Datagram::decode(bytes) {
        Ok(Datagram::Full(FullFrame { subclass, .. })) => IaxSubclass::from_subclass(subclass),
        other => panic!("{other:?}"),
    };
    bytes.iter().map(subclass).collect()
}

#[test]
fn a_stranger_s_nonsense_gets_what_the_table_says_and_leaves_nothing() {
    let cases = to_nobody();
    assert!(cases.len() >= 200, "{} cases", cases.len());
    for Case { name, bytes, gets } in cases {
        let mut network = Network::pair(1);
        let sent = network.inject(B, stranger(), &bytes);
        let endpoint = &network.nodes[B].endpoint;
        match gets {
            Silence(reason) => {
                assert_eq!(answers(&sent), [], "{name}");
                assert_eq!(endpoint.counters().dropped(reason), 1, "{name}: {reason}");
            }
            Answer(subclass) => assert_eq!(answers(&sent), [subclass], "{name}"),
            Heard => unreachable!("nobody is there to hear"),
        }
        let size: usize = sent.iter().map(Vec::len).sum();
        assert!(size <= 3 * bytes.len(), "{name}: {size} bytes for {}", bytes.len());
        assert_eq!(endpoint.calls(), 0, "{name}");
        while network.event(B).is_some() {}
        assert!(network.nodes[B].endpoint.is_quiescent(), "{name}");
    }
}

/// Two in a call, and the call numbers of both: ours at A, ours at B.
fn in_a_call() -> (Network, CallId, u16, u16) {
    let mut network = Network::pair(1);
    let (now, to) = (network.now(), network.nodes[B].address);
    network.nodes[0].endpoint.place_call(now, to, NewCall::to("1")).expect("a free number");
    network.run(Duration::from_millis(100));
    let Some(Event::CallOffered { call, .. }) = network.event(B) else { panic!("no offer") };
    let now = network.now();
    network.nodes[B].endpoint.accept(now, call, Format::ULAW).expect("offered");
    network.nodes[B].endpoint.answer(now, call).expect("accepted");
    network.run(Duration::from_millis(100));
    let line = network.transcript.lines().find(|line| line.contains("ACCEPT")).expect("sent");
    let numbers = line.split(' ').nth(2).expect("numbers").split_once('>').expect("two");
    let (b, a) = (numbers.0.parse().expect("a number"), numbers.1.parse().expect("a number"));
    (network, call, a, b)
}

#[test]
fn nonsense_in_a_call_harms_only_itself() {
    // The next OSeqno of A, which has sent NEW only.
    let frame = |a: u16, b: u16, kind: u8, subclass: u8, payload: &[u8]| {
        let mut bytes = full(a, b, kind, subclass, payload);
        bytes[8] = 1;
        bytes[9] = 2;
        bytes
    };
    let mut cases: Vec<(String, Vec<u8>, Gets)> = Vec::new();
    let (_, _, a, b) = in_a_call();
    for subclass in
        (0..=0x7F_u8).chain(0x80..=0xFF).filter(|one| Format::from_subclass(*one).is_none())
    {
        let bytes = frame(a, b, 2, subclass, &[1; 160]);
        let gets = Answer(IaxSubclass::Ack);
        cases.push((format!("voice of format {subclass:#x}"), bytes, gets));
    }
    for kind in [3, 5, 8, 9, 10, 11, 13, 99, 200, 255] {
        let bytes = frame(a, b, kind, 0x81, &[7; 40]);
        cases.push((format!("type {kind}"), bytes, Answer(IaxSubclass::Ack)));
    }
    for subclass in 41..=255_u8 {
        let bytes = frame(a, b, 6, subclass, &[]);
        cases.push((format!("IAX subclass {subclass}"), bytes, Answer(IaxSubclass::Unsupport)));
    }
    for digit in [0, 1, b'E', b'x', 0x7F, 0xFF] {
        let bytes = frame(a, b, 12, digit, &[]);
        cases.push((format!("digit {digit:#x}"), bytes, Answer(IaxSubclass::Ack)));
    }
    for control in [0, 11, 19, 22, 23, 24, 28, 33, 77, 254] {
        let bytes = frame(a, b, 4, control, &[0xFF; 33]);
        cases.push((format!("control {control} with garbage"), bytes, Answer(IaxSubclass::Ack)));
    }
    for payload in [&[][..], &[0xFF], &[0, 0, 0], &[b'x'; 4000]] {
        let bytes = frame(a, b, 7, 0, payload);
        let name = format!("text of {} bytes", payload.len());
        cases.push((name, bytes, Answer(IaxSubclass::Ack)));
    }
    let malformed = Silence(DropReason::MalformedElements);
    cases.push(("stray byte".into(), frame(a, b, 6, 2, &[1]), malformed));
    cases.push(("over-long element".into(), frame(a, b, 6, 5, &[22, 200, 1]), malformed));
    let wrong = Silence(DropReason::WrongCallNumber);
    cases.push(("HANGUP of another call".into(), frame(a ^ 1, b, 6, 5, &[]), wrong));
    cases.push(("HANGUP from call 1".into(), frame(1, b, 6, 5, &[]), wrong));
    cases.push(("REJECT from call 1".into(), frame(1, b, 6, 6, &[]), wrong));
    cases.push(("CALLTOKEN in a call".into(), frame(a, b, 6, 40, &[54, 0]), wrong));
    let mut early = frame(a, b, 6, 5, &[]);
    early[8] = 9;
    cases.push(("HANGUP out of order".into(), early, Answer(IaxSubclass::Vnak)));
    let mut old = frame(a, b, 6, 5, &[]);
    old[8] = 0;
    cases.push(("HANGUP with an old number".into(), old, Answer(IaxSubclass::Ack)));
    for iseq in [3, 100, 200] {
        let mut bytes = frame(a, b, 6, 4, &[]);
        bytes[9] = iseq;
        cases.push((format!("ACK of number {iseq} never sent"), bytes, Heard));
    }
    cases.push((
        "mini frame before voice".into(),
        vec![(a >> 8) as u8, a as u8, 0, 1, 9],
        Answer(IaxSubclass::Vnak),
    ));
    assert!(cases.len() >= 200, "{} cases", cases.len());
    for (name, bytes, gets) in cases {
        let (mut network, call, ..) = in_a_call();
        let from = network.nodes[0].address;
        let before = network.nodes[B].endpoint.counters().clone();
        let sent = network.inject(B, from, &bytes);
        match gets {
            Silence(reason) => {
                assert_eq!(answers(&sent), [], "{name}");
                let now = network.nodes[B].endpoint.counters().dropped(reason);
                assert_eq!(now, before.dropped(reason) + 1, "{name}");
            }
            Answer(subclass) => assert_eq!(answers(&sent), [subclass], "{name}"),
            Heard => assert_eq!(answers(&sent), [], "{name}"),
        }
        assert_eq!(network.nodes[B].endpoint.calls(), 1, "{name}: the call lives");
        // And it still works.
        let now = network.now();
        network.nodes[B].endpoint.send_text(now, call, "still here").expect("accepted");
        network.nodes[B].endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("up");
        network.run(Duration::from_secs(3));
        let heard: Vec<Event> = std::iter::from_fn(|| network.event(0)).collect();
        let text =
            |event: &Event| matches!(event, Event::Text { text, .. } if text == "still here");
        assert!(heard.iter().any(text), "{name}: {heard:?}");
        assert_eq!(network.heard(0).len(), 1, "{name}");
    }
}

#[test]
fn an_unsupported_frame_is_named_in_the_answer() {
    // One that the RFC keeps for later, and those that nobody has assigned.
    for unknown in [31, 41, 77, 127] {
        let (mut network, _, a, b) = in_a_call();
        let from = network.nodes[0].address;
        let mut bytes = full(a, b, 6, unknown, &[]);
        bytes[8] = 1;
        let sent = network.inject(B, from, &bytes);
        let Ok(Datagram::Full(frame)) = Datagram::decode(&sent[0]) else { panic!("no frame") };
        let Ok(Message::Iax { subclass, elements }) = frame.message() else { panic!("no IAX") };
        assert_eq!(subclass, IaxSubclass::Unsupport);
        assert_eq!(elements.as_bytes(), [23, 1, unknown]);
    }
}
