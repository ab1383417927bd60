//! What passes in a call that is up (RFC 5456 §6.4, §8.3), against a peer written by hand.

use std::time::Duration;

use oneport_proto::{CallId, DropReason, Event, NewCall, Progress};
use oneport_testkit::sim::{Heard, Network, Stranger};
use oneport_wire::{Control, Element, Format, IaxSubclass, Message, Timestamp, frame_type};

const A: usize = 0;

/// A's call to a stranger, who has answered.
fn call_up() -> (Network, Stranger, CallId) {
    let mut network = Network::pair(31);
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

fn event(network: &mut Network) -> Option<Event> {
    let event = network.event(A);
    assert_eq!(network.event(A), None, "one at a time");
    event
}

fn kinds(heard: &[Heard]) -> Vec<Option<IaxSubclass>> {
    heard.iter().map(Heard::iax).collect()
}

#[test]
fn every_control_frame_of_the_rfc_is_acknowledged_and_means_what_it_says() {
    for subclass in 1..=17 {
        let (mut network, mut stranger, call) = call_up();
        let control = Control::from_subclass(subclass);
        let answers = stranger.say(&mut network, A, &Message::control(control));
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)], "{control}");
        let progress = |progress| Some(Event::CallProgress { call, progress });
        let expected = match subclass {
            3 => progress(Progress::Ringing),
            // It was answered already.
            4 => None,
            5 => progress(Progress::Busy),
            8 => progress(Progress::Congestion),
            14 => progress(Progress::EarlyMedia),
            12 => Some(Event::Keyed { call, data: Vec::new() }),
            13 => Some(Event::Unkeyed { call }),
            15 => progress(Progress::Proceeding),
            // Hang-up, flash, option, hold and unhold are the application's, as are those that the
            // RFC keeps for later.
            _ => Some(Event::Control { call, control, payload: Vec::new() }),
        };
        assert_eq!(event(&mut network), expected, "{subclass}");
        assert_eq!(network.nodes[A].endpoint.calls(), 1, "none of them ends the call");
    }
}

#[test]
fn a_control_frame_nobody_knows_is_handed_on_and_not_called_unsupported() {
    let (mut network, mut stranger, call) = call_up();
    for subclass in [18, 33, 99, 127] {
        let control = Control::from_subclass(subclass);
        let message = Message::Control { control, payload: b"private" };
        assert_eq!(kinds(&stranger.say(&mut network, A, &message)), [Some(IaxSubclass::Ack)]);
        let expected = Event::Control { call, control, payload: b"private".to_vec() };
        assert_eq!(event(&mut network), Some(expected));
    }
}

#[test]
fn a_quelch_names_its_music_and_silences_us_until_it_is_taken_back() {
    let (mut network, mut stranger, call) = call_up();
    let speak = |network: &mut Network, stranger: &mut Stranger| {
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("up");
        let before = network.sent;
        let heard = stranger.wait(network, Duration::ZERO);
        let _ = heard.iter().map(|heard| stranger.acknowledge(network, A, heard)).count();
        network.sent - before > 0
    };
    assert!(speak(&mut network, &mut stranger));
    let music = |class: &'static str| vec![Element::MusicOnHold(class.into())];
    for (elements, class) in [(vec![], None), (music(""), Some("")), (music("jazz"), Some("jazz"))]
    {
        let answers = stranger.say_iax(&mut network, A, IaxSubclass::Quelch, &elements);
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
        let music = class.map(String::from);
        assert_eq!(event(&mut network), Some(Event::Quelched { call, quelched: true, music }));
        assert!(!speak(&mut network, &mut stranger), "{class:?}");
    }
    stranger.say_iax(&mut network, A, IaxSubclass::Unquelch, &[]);
    let music = None;
    assert_eq!(event(&mut network), Some(Event::Quelched { call, quelched: false, music }));
    assert!(speak(&mut network, &mut stranger));
}

#[test]
fn a_transfer_has_a_number_and_perhaps_a_context() {
    let (mut network, mut stranger, call) = call_up();
    for (context, elements) in [
        (None, vec![Element::CalledNumber("700".into())]),
        (
            Some("site"),
            vec![Element::CalledNumber("700".into()), Element::CalledContext("site".into())],
        ),
    ] {
        let answers = stranger.say_iax(&mut network, A, IaxSubclass::Transfer, &elements);
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
        let (number, context) = ("700".to_string(), context.map(String::from));
        let expected = Event::TransferRequested { call, number, context: context.clone() };
        assert_eq!(event(&mut network), Some(expected));
        // And we say the same.
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.blind_transfer(now, call, "700", context.as_deref()).expect("up");
        let heard = stranger.wait(&mut network, Duration::ZERO);
        assert_eq!(heard[0].iax(), Some(IaxSubclass::Transfer));
        assert_eq!(heard[0].elements(), elements);
        stranger.acknowledge(&mut network, A, &heard[0]);
    }
    stranger.say_iax(&mut network, A, IaxSubclass::Transfer, &[]);
    assert_eq!(event(&mut network), None, "without a number there is nowhere to go");
    assert_eq!(network.nodes[A].endpoint.counters().dropped(DropReason::Incomplete), 1);
}

#[test]
fn every_media_frame_but_minis_is_acknowledged_with_its_timestamp() {
    let (mut network, mut stranger, _) = call_up();
    for (kind, subclass, payload) in [
        (frame_type::VOICE, 4, &[1; 160][..]),
        (frame_type::VIDEO, 0x95, &[1; 160]),
        (frame_type::DTMF_END, b'5', &[]),
        (frame_type::DTMF_BEGIN, b'5', &[]),
        (frame_type::TEXT, 0, b"hello"),
        (frame_type::IMAGE, 0x90, &[1; 900]),
        (frame_type::HTML, 1, b"https://example.org/"),
        (frame_type::CNG, 40, &[]),
        (frame_type::NULL, 0, &[]),
    ] {
        let stamp = Timestamp(stranger.clock);
        let message = Message::decode(kind, subclass, payload).expect("whole");
        let answers = stranger.say(&mut network, A, &message);
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)], "type {kind}");
        assert_eq!(answers[0].header.timestamp, stamp, "type {kind}");
    }
    let mini =
        oneport_wire::MiniFrame::encode_header(stranger.number, Timestamp(stranger.clock).low16());
    let mini = [mini.as_slice(), &[1; 160]].concat();
    assert!(network.inject(A, stranger.address, &mini).is_empty());
    assert_eq!(network.heard(A).len(), 2);
}

#[test]
fn a_digit_is_one_of_sixteen_and_text_is_utf_8() {
    let (mut network, mut stranger, call) = call_up();
    for digit in *b"0123456789ABCD*#" {
        stranger.say(&mut network, A, &Message::DtmfEnd(digit));
        let heard: Vec<_> = std::iter::from_fn(|| network.event(A)).collect();
        assert_eq!(heard.len(), 2, "a lone END is a whole digit");
        for event in heard {
            assert!(matches!(event, Event::Dtmf { digit: said, .. } if said == digit));
        }
    }
    for (payload, text) in [
        ("grüß Gott".as_bytes(), "grüß Gott"),
        (b"with its end\0", "with its end"),
        (&[b'a', 0xFF, b'b'], "a\u{FFFD}b"),
    ] {
        stranger.say(&mut network, A, &Message::text(payload));
        let text = text.to_string();
        assert_eq!(event(&mut network), Some(Event::Text { call, text }));
    }
    let now = network.now();
    network.nodes[A].endpoint.send_text(now, call, "grüß Gott").expect("up");
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(heard[0].message(), Message::text("grüß Gott\0".as_bytes()));
    assert_eq!(heard[0].message().subclass(), 0);
}

#[test]
fn what_the_application_sends_fits_into_one_frame_and_is_never_null() {
    let (mut network, _, call) = call_up();
    let now = network.now();
    let endpoint = &mut network.nodes[A].endpoint;
    assert!(endpoint.send_frame(now, call, frame_type::IMAGE, 0x90, &[1; 4_000]).is_ok());
    assert!(endpoint.send_frame(now, call, frame_type::IMAGE, 0x90, &[1; 4_001]).is_err());
    assert!(endpoint.send_frame(now, call, frame_type::NULL, 0, &[]).is_err());
    assert!(endpoint.dtmf_end(now, call, b'E').is_err());
}

#[test]
fn a_full_frame_changes_the_codec_of_the_minis_behind_it() {
    let (mut network, mut stranger, call) = call_up();
    for format in [Format::ULAW, Format::ALAW, Format::ULAW] {
        stranger.say(&mut network, A, &Message::voice(format, &[1; 160]));
        let stamp = Timestamp(stranger.clock).low16();
        let mini = oneport_wire::MiniFrame::encode_header(stranger.number, stamp);
        stranger.clock += 20;
        let mini = [mini.as_slice(), &[1; 160]].concat();
        network.inject(A, stranger.address, &mini);
        let stats = network.nodes[A].endpoint.call_stats(call).expect("up");
        assert_eq!(stats.format, Some(format));
        // And going out: a full frame first, minis behind it.
        let mut full = Vec::new();
        for _ in 0..2 {
            let now = network.now();
            let endpoint = &mut network.nodes[A].endpoint;
            endpoint.send_voice(now, call, format, &[1; 160], 20).expect("offered");
            for heard in stranger.wait(&mut network, Duration::ZERO) {
                stranger.acknowledge(&mut network, A, &heard);
                full.push(heard);
            }
        }
        let full: Vec<_> = full.iter().map(|heard| heard.message()).collect();
        assert_eq!(full, [Message::voice(format, &[1; 160])]);
    }
    let now = network.now();
    let endpoint = &mut network.nodes[A].endpoint;
    assert!(endpoint.send_voice(now, call, Format::GSM, &[1; 33], 20).is_err(), "not offered");
}

#[test]
fn where_there_is_nothing_to_be_sent_yet_nothing_is_and_the_clock_of_the_voice_goes_on() {
    let mut network = Network::pair(5);
    let (call, _) = network.call_up(A, 1, NewCall::to("1"));
    for n in 0..30 {
        let now = network.now();
        let payload: &[u8] = if n % 9 == 0 { &[] } else { &[1; 7] };
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.send_voice(now, call, Format::ULAW, payload, 20).expect("up");
        network.run(Duration::from_millis(20));
    }
    let heard = network.heard(1);
    assert_eq!(heard.len(), 26);
    let steps = heard.windows(2).map(|two| two[1].timestamp - two[0].timestamp);
    let steps: Vec<u32> = steps.collect();
    assert_eq!(steps.iter().filter(|step| **step == 40).count(), 3, "{steps:?}");
    assert_eq!(steps.iter().sum::<u32>(), 28 * 20, "{steps:?}");
}
