use oneport_proto::{Endpoint, NewCall};

use super::*;

/// Handles of two calls.
fn calls() -> [CallId; 2] {
    let now = Instant::from_micros(0);
    let mut endpoint = Endpoint::new(Default::default(), [0; 32], now);
    [1, 2].map(|last| {
        let to = std::net::SocketAddr::from(([192, 0, 2, last], 4569));
        endpoint.place_call(now, to, NewCall::to("1")).expect("placed")
    })
}

fn voice(format: Format, timestamp: u32, payload: &[u8]) -> Speech<'_> {
    Speech::Voice(Media { format, timestamp: Timestamp(timestamp), payload })
}

/// What is said: formats, times and lengths of voice.
fn said(
    transcodings: &mut Transcodings,
    from: CallId,
    heard: Speech<'_>,
) -> Vec<(Format, u32, usize)> {
    let mut all = Vec::new();
    transcodings.translate(Instant::from_micros(0), from, heard, &mut |speech| match speech {
        Speech::Voice(media) => all.push((media.format, media.timestamp.0, media.payload.len())),
        Speech::Pause { timestamp, level } => all.push((Format::SLIN, timestamp.0, level.into())),
    });
    all
}

#[test]
fn each_direction_is_what_its_far_leg_wants_and_a_change_of_codec_is_followed() {
    let ([one, other], mut all) = (calls(), Transcodings::default());
    let frames = Wishes { frame: Some(Duration::from_millis(40)), ..Wishes::default() };
    all.begin([(one, Format::ULAW, Wishes::default()), (other, Format::GSM, frames)]);
    assert_eq!(said(&mut all, one, voice(Format::ULAW, 0, &[1; 160])), []);
    assert_eq!(said(&mut all, one, voice(Format::ULAW, 20, &[1; 160])), [(Format::GSM, 0, 66)]);
    assert_eq!(said(&mut all, other, voice(Format::GSM, 7, &[0xD0; 33])), [(Format::ULAW, 7, 160)]);
    // It says something else than was agreed upon.
    assert_eq!(said(&mut all, other, voice(Format::ULAW, 27, &[3; 99])), [(Format::ULAW, 27, 99)]);
    assert_eq!(said(&mut all, other, voice(Format::G729, 47, &[3; 20])), []);
    assert_eq!(all.poll_left_out(), Some((DropReason::UnknownFormat, 1, Some(other))));
    assert_eq!(all.poll_left_out(), None);
    all.end(other);
    assert_eq!(said(&mut all, one, voice(Format::ULAW, 40, &[1; 160])), []);
}

#[test]
fn places_are_few_and_given_back_with_the_leg() {
    let ([one, other], mut all) = (calls(), Transcodings::default());
    assert!(all.take(one, 1) && all.take(one, 1));
    assert!(!all.take(other, 1));
    all.end(one);
    assert!(!all.take(other, 1), "the link alone gives nothing back");
    all.leave(one);
    assert!(all.take(other, 1));
    assert_eq!(all.count(), 1);
    // Somebody else transcodes, too.
    let shared = Places::new(2);
    all.share(shared.clone());
    let elsewhere = Ticket::new(&shared);
    assert!(elsewhere.take());
    assert_eq!(all.count(), 2);
    assert!(!all.take(one, 2));
    drop(elsewhere);
    assert!(all.take(one, 2));
}

#[test]
fn the_noise_of_a_pause_comes_in_time_and_ends_with_the_next_word_or_the_link() {
    let ([one, other], mut all) = (calls(), Transcodings::default());
    let at = |ms: u64| Instant::from_micros(ms * 1_000);
    let link = |all: &mut Transcodings| {
        all.begin([
            (one, Format::GSM, Wishes::default()),
            (other, Format::ULAW, Wishes::default()),
        ]);
    };
    let pause = Speech::Pause { timestamp: Timestamp(20), level: 50 };
    let turns = |all: &mut Transcodings, ms| {
        let mut times = Vec::new();
        all.turn(at(ms), |to, speech| {
            assert_eq!(to, other);
            let Speech::Voice(media) = speech else { panic!("{speech:?}") };
            assert_eq!((media.format, media.payload.len()), (Format::ULAW, 160));
            times.push(media.timestamp.0);
        });
        times
    };
    link(&mut all);
    said(&mut all, one, voice(Format::GSM, 0, &[0xD0; 33]));
    assert_eq!(said(&mut all, one, pause), []);
    assert_eq!(all.next(), Some(at(20)));
    assert!(turns(&mut all, 19).is_empty());
    assert_eq!(turns(&mut all, 60), [20, 40, 60]);
    assert_eq!(said(&mut all, one, voice(Format::GSM, 80, &[0xD0; 33])).len(), 1);
    assert!(turns(&mut all, 100).is_empty());
    assert_eq!(all.next(), None);
    said(&mut all, one, pause);
    all.end(other);
    link(&mut all);
    assert!(turns(&mut all, 10_000).is_empty());
    assert_eq!(all.next(), None);
}
