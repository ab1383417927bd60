//! Video: packets of pictures beside the voice of a call.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use oneport_proto::{
    CallId, Challenge, CommandError, DropReason, EncryptionPolicy, EndpointConfig, Event, NewCall,
    Secret, TrunkConfig,
};
use oneport_testkit::sim::{Network, Weather};
use oneport_wire::{
    CallNumber, Datagram, Format, FormatSet, FullHeader, IaxSubclass, MediaSubclass, Message, Seq,
    Timestamp, VideoMiniFrame, VideoTimestamp, frame_type,
};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

const H264: Format = Format::H264;

/// A call with video on offer.
fn with_video() -> NewCall {
    let mut new = NewCall::to("1");
    new.formats.extend([H264, Format::VP8]);
    new
}

fn set(formats: &[Format]) -> FormatSet {
    formats.iter().copied().collect()
}

/// A call from one node to another, who allows some video in it. Both handles.
fn call_up(
    network: &mut Network,
    (from, to): (usize, usize),
    new: NewCall,
    allowed: &[Format],
) -> (CallId, CallId) {
    let (now, address) = (network.now(), network.nodes[to].address);
    let ours = network.nodes[from].endpoint.place_call(now, address, new).expect("free");
    network.run(Duration::from_millis(100));
    let event = network.event(to).expect("an offer");
    let Event::CallOffered { call: theirs, .. } = event else { panic!("{event:?}") };
    let now = network.now();
    let endpoint = &mut network.nodes[to].endpoint;
    endpoint.allow_video(theirs, set(allowed)).expect("offered");
    endpoint.accept(now, theirs, Format::ULAW).expect("offered");
    endpoint.answer(now, theirs).expect("accepted");
    network.run(Duration::from_millis(100));
    while network.event(from).is_some() {}
    (ours, theirs)
}

/// A picture of three packets, the last of which ends it.
fn send_picture(network: &mut Network, node: usize, call: CallId, n: u8) {
    for (part, mark) in [(0, false), (1, false), (2, true)] {
        let now = network.now();
        let payload = vec![n, part, 7, 7];
        let sent = network.nodes[node].endpoint.send_video(now, call, H264, &payload, mark);
        sent.expect("the call carries it");
        network.run(Duration::from_millis(3));
    }
    network.run(Duration::from_millis(31));
}

/// Sends whole pictures, and checks that all of them are seen as they were sent.
fn pictures_arrive(network: &mut Network, from: (usize, CallId), to: usize, count: u8) {
    let _ = network.seen(to);
    for n in 0..count {
        send_picture(network, from.0, from.1, n);
    }
    network.run(Duration::from_millis(200));
    let seen = network.seen(to);
    assert_eq!(seen.len(), usize::from(count) * 3);
    for (picture, n) in seen.chunks(3).zip(0..) {
        for (packet, part) in picture.iter().zip(0..) {
            assert_eq!(packet.payload, [n, part, 7, 7]);
            assert_eq!((packet.format, packet.mark), (H264, part == 2));
            assert_eq!(packet.timestamp, picture[0].timestamp, "one picture, one time");
        }
    }
    assert!(seen.is_sorted_by_key(|packet| packet.timestamp));
}

fn dropped(network: &Network, node: usize, reason: DropReason) -> u64 {
    network.nodes[node].endpoint.counters().dropped(reason)
}

#[test]
fn pictures_arrive_whole_with_their_marks_in_both_directions() {
    let mut network = Network::pair(1);
    let (ours, theirs) = call_up(&mut network, (A, B), with_video(), &[H264]);
    pictures_arrive(&mut network, (A, ours), B, 20);
    pictures_arrive(&mut network, (B, theirs), A, 20);
    let stats = network.nodes[A].endpoint.call_stats(ours).expect("up");
    assert_eq!((stats.video_frames_sent, stats.video_frames_received), (60, 60));
    let now = network.now();
    let sent = network.nodes[A].endpoint.send_video(now, ours, Format::VP8, &[1], true);
    assert_eq!(sent, Err(CommandError::FormatNotOffered), "B said that it does not take it");
}

/// The header of the full frame that a node would send next, from what it has sent.
fn header_of_next(network: &mut Network, node: usize) -> Rc<Cell<FullHeader>> {
    let none = FullHeader {
        source: CallNumber::NONE,
        destination: CallNumber::NONE,
        retransmission: false,
        timestamp: Timestamp(0),
        oseq: Seq::ZERO,
        iseq: Seq::ZERO,
    };
    let last = Rc::new(Cell::new(none));
    let kept = last.clone();
    network.filter = Some(Box::new(move |from, datagram| {
        if from == node
            && let Datagram::Full(frame) = datagram
        {
            let counts = frame.message().is_ok_and(|message| message.takes_sequence_number());
            let oseq = if counts { frame.header.oseq.next() } else { kept.get().oseq };
            kept.set(FullHeader { oseq, ..frame.header });
        }
        true
    }));
    last
}

fn full_video(header: FullHeader, stamp: u32, subclass: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let message = Message::Video { subclass: MediaSubclass(subclass), payload };
    message.encode(&FullHeader { timestamp: Timestamp(stamp), ..header }, &mut bytes);
    bytes
}

fn mini(source: CallNumber, stamp: u32, mark: bool, payload: &[u8]) -> Vec<u8> {
    let timestamp = VideoTimestamp((stamp & 0x7FFF) as u16);
    let mut bytes = VideoMiniFrame { source, mark, timestamp, payload }.encode_header().to_vec();
    bytes.extend(payload);
    bytes
}

fn is_ack(datagram: &[u8]) -> bool {
    let Ok(Datagram::Full(frame)) = Datagram::decode(datagram) else { return false };
    frame.frame_type == frame_type::IAX && frame.subclass == IaxSubclass::Ack.subclass()
}

#[test]
fn a_call_carries_no_video_unless_it_was_offered_and_allowed() {
    let cases =
        [(with_video(), &[][..]), (with_video(), &[Format::H261]), (NewCall::to("1"), &[H264])];
    for (new, allowed) in cases {
        let mut network = Network::pair(2);
        let next = header_of_next(&mut network, A);
        let (ours, theirs) = call_up(&mut network, (A, B), new, allowed);
        for (node, call) in [(A, ours), (B, theirs)] {
            let now = network.now();
            let sent = network.nodes[node].endpoint.send_video(now, call, H264, &[1], true);
            assert_eq!(sent, Err(CommandError::FormatNotOffered));
        }
        // A peer that sends it all the same: dropped by name, acknowledged, and the call goes on.
        let (from, next) = (network.nodes[A].address, next.get());
        let answers = network.inject(B, from, &full_video(next, 5_000, 0x95, &[9; 50]));
        assert!(answers.len() == 1 && is_ack(&answers[0]), "{answers:x?}");
        for mini in [mini(next.source, 5_040, true, &[3; 99]), mini(next.source, 5_040, true, &[])]
        {
            assert_eq!(network.inject(B, from, &mini), [[0; 0]; 0]);
        }
        assert_eq!(dropped(&network, B, DropReason::Video), 3);
        assert_eq!(network.seen(B), []);
        network.run(Duration::from_secs(60));
        assert!(network.nodes[B].endpoint.call_stats(theirs).is_some(), "the call lives");
    }
}

#[test]
fn a_full_frame_whose_format_asterisk_lost_has_that_of_the_frame_before() {
    // The only format that the call carries stands in for one that was never named.
    for (named, allowed) in [(true, &[H264, Format::VP8][..]), (false, &[H264])] {
        let mut network = Network::pair(3);
        let next = header_of_next(&mut network, A);
        call_up(&mut network, (A, B), with_video(), allowed);
        let (from, mut next) = (network.nodes[A].address, next.get());
        let frames = [(0x95, false), (0x00, true), (0x40, true), (0xD5, true)];
        for (n, (subclass, mark)) in (0_u32..).zip(frames) {
            if n == 0 && !named {
                continue;
            }
            let answers = network.inject(B, from, &full_video(next, 5_000 + n, subclass, &[7]));
            assert!(answers.len() == 1 && is_ack(&answers[0]), "{subclass:#x}: {answers:x?}");
            next.oseq = next.oseq.next();
            let seen = network.seen(B);
            assert_eq!(seen.len(), 1, "{subclass:#x}");
            assert_eq!((seen[0].format, seen[0].mark), (H264, mark), "{subclass:#x}");
        }
    }
    let mut network = Network::pair(3);
    let next = header_of_next(&mut network, A);
    let both = [H264, Format::VP8];
    let (_, theirs) = call_up(&mut network, (A, B), with_video(), &both);
    let (from, next) = (network.nodes[A].address, next.get());
    let answers = network.inject(B, from, &full_video(next, 5_000, 0x00, &[7]));
    assert!(answers.len() == 1 && is_ack(&answers[0]), "it may be either: {answers:x?}");
    assert_eq!(dropped(&network, B, DropReason::UnknownFormat), 1);
    assert!(network.nodes[B].endpoint.call_stats(theirs).is_some());
}

/// Counts full frames of video that a node sends, and loses the first copies of some.
fn count_full(network: &mut Network, node: usize, lose: bool) -> Rc<Cell<u32>> {
    let count = Rc::new(Cell::new(0));
    let kept = count.clone();
    network.filter = Some(Box::new(move |from, datagram| match datagram {
        Datagram::Full(frame) if from == node && frame.frame_type == frame_type::VIDEO => {
            if frame.header.retransmission {
                return true;
            }
            kept.set(kept.get() + 1);
            !lose || kept.get() == 1
        }
        _ => true,
    }));
    count
}

#[test]
fn video_goes_on_over_every_wrap_of_its_15_bits_in_bad_weather_too() {
    for (jitter, lose) in [(0, false), (40, false), (0, true)] {
        let mut network = Network::pair(4);
        let (ours, theirs) = call_up(&mut network, (A, B), with_video(), &[H264]);
        let full = count_full(&mut network, A, lose);
        network.weather = Weather { jitter: Duration::from_millis(jitter), ..Weather::FAIR };
        let begun = network.now();
        for n in 0..2_500_u32 {
            let now = network.now();
            let payload = n.to_be_bytes();
            let endpoint = &mut network.nodes[A].endpoint;
            endpoint.send_video(now, ours, H264, &payload, true).expect("carried");
            network.run(Duration::from_millis(40));
        }
        network.run(Duration::from_secs(3));
        let seconds = network.now().since(begun).as_secs();
        assert!(seconds > 98 && full.get() == 4, "one at first, one for each of three wraps");
        let seen = network.seen(B);
        let first = seen[0].timestamp;
        for packet in &seen {
            let n = u32::from_be_bytes(packet.payload[..].try_into().expect("four bytes"));
            assert_eq!(packet.timestamp, first + n * 40, "packet {n}");
        }
        // Only what came before the first full frame, which jitter may delay, is missing.
        assert!(seen.len() >= 2_498, "{} packets", seen.len());
        let stats = network.nodes[B].endpoint.call_stats(theirs).expect("up");
        assert_eq!(stats.video_frames_received, seen.len() as u64);
    }
}

#[test]
fn video_is_relayed_with_its_marks_its_distances_and_its_sound() {
    let mut network = Network::new(5, vec![EndpointConfig::default(); 3]);
    let (ours, a) = call_up(&mut network, (A, B), with_video(), &[H264]);
    network.run(Duration::from_millis(1_234));
    let (b, theirs) = call_up(&mut network, (B, C), with_video(), &[H264]);
    network.nodes[B].endpoint.link(a, b).expect("both accepted");
    // Voice first: it sets where the stream lies.
    for _ in 0..5 {
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.send_voice(now, ours, Format::ULAW, &[1; 160], 20).expect("accepted");
        network.run(Duration::from_millis(20));
    }
    network.weather.jitter = Duration::from_millis(8);
    pictures_arrive_through(&mut network, ours);
    network.weather.jitter = Duration::ZERO;
    pictures_arrive(&mut network, (C, theirs), A, 10);
    assert_eq!(network.seen(B), [], "it is none of the middle's");
    // Sound and picture made at the same time still have the same time at the far end.
    network.run(Duration::from_millis(300));
    let (_, _) = (network.heard(C), network.seen(C));
    let now = network.now();
    let endpoint = &mut network.nodes[A].endpoint;
    endpoint.send_voice(now, ours, Format::ULAW, &[1; 160], 20).expect("accepted");
    endpoint.send_video(now, ours, H264, &[1], true).expect("carried");
    network.run(Duration::from_millis(50));
    let (heard, seen) = (network.heard(C), network.seen(C));
    assert_eq!((heard.len(), seen.len()), (1, 1));
    assert_eq!(heard[0].timestamp, seen[0].timestamp);
    // A leg that carries none gets none.
    let narrow = network.nodes[B].endpoint.allow_video(b, FormatSet::EMPTY);
    narrow.expect("up");
    send_picture(&mut network, A, ours, 1);
    network.run(Duration::from_millis(50));
    assert_eq!(network.seen(C), []);
    assert_eq!(dropped(&network, B, DropReason::Video), 3);
}

/// Pictures from A to C in a network that reorders packets: none is lost or changed, and times never
/// go back.
fn pictures_arrive_through(network: &mut Network, ours: CallId) {
    send_picture(network, A, ours, 0);
    network.run(Duration::from_millis(100));
    let before = network.seen(C);
    assert_eq!(before.len(), 3);
    for n in 1..100 {
        send_picture(network, A, ours, n);
    }
    network.run(Duration::from_millis(100));
    let seen = network.seen(C);
    assert_eq!(seen.len(), 297);
    let mut packets: Vec<_> =
        seen.iter().map(|packet| (packet.payload[0], packet.payload[1], packet.mark)).collect();
    packets.sort_unstable();
    let expected = (1..100).flat_map(|n| [(n, 0, false), (n, 1, false), (n, 2, true)]);
    assert!(packets.into_iter().eq(expected));
}

/// An encrypted call that carries video. Its handles.
fn encrypted_call(network: &mut Network, policy: EncryptionPolicy) -> (CallId, CallId) {
    let mut new = with_video();
    new.username = Some("ann".into());
    new.secret = Some(Secret::from("right"));
    new.encryption = policy;
    let (now, to) = (network.now(), network.nodes[B].address);
    let ours = network.nodes[A].endpoint.place_call(now, to, new).expect("free");
    network.run(Duration::from_millis(100));
    let event = network.event(B).expect("an offer");
    let Event::CallOffered { call: theirs, .. } = event else { panic!("{event:?}") };
    let secrets = vec![Secret::from("right")];
    let challenge = Challenge { secrets, encryption: policy, ..Challenge::unknown("ann") };
    let now = network.now();
    network.nodes[B].endpoint.challenge_call(now, theirs, challenge).expect("offered");
    network.run(Duration::from_millis(100));
    let event = network.event(B);
    assert!(matches!(event, Some(Event::CallAuthenticated { .. })), "{event:?}");
    let now = network.now();
    let endpoint = &mut network.nodes[B].endpoint;
    endpoint.allow_video(theirs, set(&[H264])).expect("offered");
    endpoint.accept(now, theirs, Format::ULAW).expect("proved");
    endpoint.answer(now, theirs).expect("accepted");
    network.run(Duration::from_millis(100));
    while network.event(A).is_some() {}
    (ours, theirs)
}

/// Whether a picture of [`send_picture`] can be read in a datagram.
fn shows_video(datagram: &Datagram<'_>) -> bool {
    let payload = match datagram {
        Datagram::VideoMini(mini) => mini.payload,
        Datagram::Full(frame) => frame.payload,
        _ => return false,
    };
    payload.len() == 4 && payload.ends_with(&[7, 7])
}

#[test]
fn video_of_an_encrypted_call_is_encrypted_and_goes_on_when_keys_change() {
    let config = EndpointConfig {
        key_rotation: Some(Duration::from_millis(700)),
        ..EndpointConfig::default()
    };
    let mut network = Network::new(6, vec![config; 2]);
    let (ours, theirs) = encrypted_call(&mut network, EncryptionPolicy::Required);
    let minis = Rc::new(RefCell::new(0));
    let counted = minis.clone();
    network.filter = Some(Box::new(move |_, datagram| {
        assert!(!shows_video(datagram), "in the clear: {datagram}");
        *counted.borrow_mut() += u32::from(matches!(datagram, Datagram::VideoMini(_)));
        true
    }));
    pictures_arrive(&mut network, (A, ours), B, 200);
    pictures_arrive(&mut network, (B, theirs), A, 200);
    assert!(*minis.borrow() > 1_000, "they were seen as video of the call: {}", minis.borrow());
    assert!(network.nodes[A].endpoint.counters().key_changes > 5);
    for node in [A, B] {
        assert_eq!(dropped(&network, node, DropReason::DecryptionFailed), 0);
    }
}

#[test]
fn video_in_the_clear_is_dropped_by_name_where_a_call_must_be_encrypted() {
    let mut network = Network::pair(7);
    let (ours, _) = encrypted_call(&mut network, EncryptionPolicy::Required);
    let from = network.nodes[A].address;
    let (number, _) = network.nodes[A].endpoint.call_numbers(ours).expect("up");
    send_picture(&mut network, A, ours, 0);
    assert_eq!(network.seen(B).len(), 3);
    for (n, len) in (1..).zip([0, 1, 10, 12, 26, 28, 300]) {
        network.inject(B, from, &mini(number, 3_000, true, &vec![5; len]));
        assert_eq!(dropped(&network, B, DropReason::NotEncrypted), n, "{len} bytes");
    }
    assert_eq!(network.seen(B), []);
    send_picture(&mut network, A, ours, 1);
    network.run(Duration::from_millis(50));
    assert_eq!(network.seen(B).len(), 3);
}

#[test]
fn video_in_the_clear_is_taken_where_encryption_is_only_allowed_until_some_is_encrypted() {
    let mut network = Network::pair(8);
    let (ours, _) = encrypted_call(&mut network, EncryptionPolicy::Allowed);
    let from = network.nodes[A].address;
    let (number, _) = network.nodes[A].endpoint.call_numbers(ours).expect("up");
    let now = network.now();
    let endpoint = &mut network.nodes[A].endpoint;
    endpoint.send_video(now, ours, H264, &[1], true).expect("carried");
    network.run(Duration::from_millis(50));
    assert_eq!(network.seen(B).len(), 1, "a full frame, always encrypted");
    network.inject(B, from, &mini(number, 3_000, true, &[5; 44]));
    assert_eq!(network.seen(B).len(), 1, "as Asterisk sends it");
    send_picture(&mut network, A, ours, 0);
    network.run(Duration::from_millis(50));
    assert_eq!(network.seen(B).len(), 3);
    network.inject(B, from, &mini(number, 3_000, true, &[5; 44]));
    assert_eq!(network.seen(B), []);
    assert_eq!(dropped(&network, B, DropReason::NotEncrypted), 1);
}

#[test]
fn short_video_frames_harm_no_call_in_the_clear_or_encrypted() {
    for encrypted in [false, true] {
        let mut network = Network::pair(9);
        let (ours, theirs) = match encrypted {
            true => encrypted_call(&mut network, EncryptionPolicy::Required),
            false => call_up(&mut network, (A, B), with_video(), &[H264]),
        };
        pictures_arrive(&mut network, (A, ours), B, 2);
        let from = network.nodes[A].address;
        let (number, _) = network.nodes[A].endpoint.call_numbers(ours).expect("up");
        let whole = mini(number, 3_000, true, &[0xFF; 94]);
        for len in 3..=whole.len() {
            let answers = network.inject(B, from, &whole[..len]);
            assert_eq!(answers, [[0; 0]; 0], "{len} bytes");
            let seen = network.seen(B).len();
            assert_eq!(seen, usize::from(!encrypted && len >= 6), "{len} bytes");
        }
        pictures_arrive(&mut network, (A, ours), B, 2);
        assert!(network.nodes[B].endpoint.call_stats(theirs).is_some());
    }
}

#[test]
fn video_never_enters_a_trunk() {
    let mut network = Network::pair(10);
    let to = network.nodes[B].address;
    network.nodes[A].endpoint.set_trunk(to, Some(TrunkConfig::default()));
    let (ours, _) = call_up(&mut network, (A, B), with_video(), &[H264]);
    let trunks = Rc::new(Cell::new(0));
    let counted = trunks.clone();
    network.filter = Some(Box::new(move |from, datagram| {
        if let Datagram::Trunk(trunk) = datagram
            && from == A
        {
            counted.set(counted.get() + 1);
            assert!(trunk.entries().all(|entry| entry.payload.len() == 160));
        }
        true
    }));
    for _ in 0..10 {
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.send_voice(now, ours, Format::ULAW, &[1; 160], 20).expect("accepted");
        network.run(Duration::from_millis(20));
    }
    pictures_arrive(&mut network, (A, ours), B, 10);
    assert!(trunks.get() > 5, "the voice does");
}
