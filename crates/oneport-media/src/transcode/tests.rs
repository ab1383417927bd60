use proptest::prelude::*;

use super::*;
use crate::ilbc::IlbcEncoder;
use crate::{Codec, Encoder as _, Rate, tone};

/// What was said: when, and the payload; of pauses their level.
type Frames = Vec<(u32, Result<Vec<u8>, u8>)>;

fn keep(frames: &mut Frames) -> impl FnMut(Said<'_>) {
    |said| match said {
        Said::Voice { timestamp, payload } => frames.push((timestamp, Ok(payload.to_vec()))),
        Said::Pause { timestamp, level } => frames.push((timestamp, Err(level))),
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn wishing(frame: u64) -> Wishes {
    Wishes { frame: Some(ms(frame)), ..Wishes::default() }
}

/// Frames of a tone, as long as this.
fn spoken(codec: Codec, length: u16, count: usize) -> Vec<Vec<u8>> {
    let mut encoder = codec.encoder();
    let samples = codec.samples_in(length);
    let said: Vec<i16> =
        tone::Sine::new(440.0, codec.sample_rate(), 0.4).take(samples * count).collect();
    let frame = |frame| {
        let mut payload = Vec::new();
        encoder.encode(frame, &mut payload);
        payload
    };
    said.chunks(samples).map(frame).collect()
}

fn pass(transcoder: &mut Transcoder, frames: &[(u32, Vec<u8>)]) -> Frames {
    let mut said = Vec::new();
    for (timestamp, payload) in frames {
        transcoder.voice(*timestamp, payload, &mut keep(&mut said));
    }
    said
}

#[test]
fn each_frame_becomes_one_of_the_same_time_that_says_what_decoding_and_encoding_it_says() {
    let fits = |codec: &&Codec| codec.samples_in(20).is_multiple_of(codec.frame_samples());
    for from in Codec::ALL.iter().filter(fits) {
        for to in Codec::ALL.iter().filter(fits).filter(|to| **to != *from) {
            let frames: Vec<_> = spoken(*from, 20, 30)
                .into_iter()
                .zip(0..)
                .map(|(frame, n)| (7 + n * 20, frame))
                .collect();
            let transcoder = Transcoder::new(from.format(), to.format(), Wishes::default());
            let said = pass(&mut transcoder.expect("both are spoken"), &frames);
            let (mut decoder, mut encoder) = (from.decoder(), to.encoder());
            let mut rate = Rate::between(from.sample_rate(), to.sample_rate());
            let expected = frames.iter().map(|(timestamp, frame)| {
                let (mut heard, mut samples, mut payload) = (vec![], vec![], vec![]);
                decoder.decode(frame, &mut heard);
                rate.pass(&heard, &mut samples);
                encoder.encode(&samples, &mut payload);
                (*timestamp, Ok(payload))
            });
            assert_eq!(said, expected.collect::<Vec<_>>(), "{from:?} to {to:?}");
        }
    }
}

#[test]
fn what_was_lost_is_missing_and_what_comes_late_or_twice_leaves_late_or_once() {
    let frames: Vec<_> = spoken(Codec::Ulaw, 20, 20)
        .into_iter()
        .zip(0..)
        .map(|(frame, n)| (n * 20, frame))
        .collect();
    let order = [0, 1, 1, 2, 5, 4, 6, 6, 5, 8, 7, 9, 15];
    let frames: Vec<_> = order.iter().map(|n| frames[*n].clone()).collect();
    for to in [Format::GSM, Format::ALAW, Format::G722] {
        let mut transcoder =
            Transcoder::new(Format::ULAW, to, Wishes::default()).expect("both are spoken");
        let said = pass(&mut transcoder, &frames);
        let times: Vec<u32> = said.iter().map(|(timestamp, _)| timestamp / 20).collect();
        assert_eq!(times, [0, 1, 2, 5, 4, 6, 8, 7, 9, 15], "{to}");
        let left_out = LeftOut { duplicates: 3, ..LeftOut::default() };
        assert_eq!(transcoder.left_out(), left_out, "{to}");
    }
}

#[test]
fn a_clock_that_begins_anew_is_followed() {
    let frame = vec![0xD5; 160];
    let times = [100, 120, 4_000_000_000, 4_000_000_020, 20, 40, 4_000, 4_020];
    let frames: Vec<_> = times.iter().map(|time| (*time, frame.clone())).collect();
    for wishes in [Wishes::default(), wishing(20)] {
        let mut transcoder = Transcoder::new(Format::ALAW, Format::SLIN, wishes).expect("spoken");
        let said = pass(&mut transcoder, &frames);
        assert_eq!(said.iter().map(|(time, _)| *time).collect::<Vec<_>>(), times);
    }
}

#[test]
fn frames_shorter_than_the_other_codec_can_say_wait_for_more_and_are_filled_where_none_comes() {
    let frames: Vec<_> = [0, 10, 20, 40, 50].map(|time| (1_000 + time, vec![0xFF; 80])).into();
    let mut transcoder =
        Transcoder::new(Format::ULAW, Format::GSM, Wishes::default()).expect("spoken");
    let said = pass(&mut transcoder, &frames);
    let times: Vec<_> =
        said.iter().map(|(time, payload)| (*time, payload.as_ref().map(Vec::len))).collect();
    // That of 1,020 has lost its second half.
    assert_eq!(times, [(1_000, Ok(33)), (1_020, Ok(33)), (1_040, Ok(33))]);
}

#[test]
fn thirty_milliseconds_become_frames_of_twenty_as_soon_as_they_can() {
    let frames: Vec<_> = (0..4).map(|n| (n * 30, vec![0xFF; 240])).collect();
    let mut transcoder =
        Transcoder::new(Format::ULAW, Format::GSM, Wishes::default()).expect("spoken");
    let said = pass(&mut transcoder, &frames);
    let times: Vec<_> =
        said.iter().map(|(time, payload)| (*time, payload.as_ref().map(Vec::len))).collect();
    assert_eq!(times, [(0, Ok(33)), (20, Ok(66)), (60, Ok(33)), (80, Ok(66))]);
}

#[cfg(feature = "lpc10")]
#[test]
fn frames_that_are_no_number_of_milliseconds_have_the_time_at_which_they_begin() {
    let frames: Vec<_> = (0..9).map(|n| (n * 20, vec![0xFF; 160])).collect();
    let new = |from, to| Transcoder::new(from, to, Wishes::default()).expect("spoken");
    let said = pass(&mut new(Format::ULAW, Format::LPC10), &frames);
    let times = |said: &Frames| said.iter().map(|(time, _)| *time).collect::<Vec<_>>();
    assert_eq!(times(&said), [0, 23, 45, 68, 90, 113, 135, 158]);
    let payloads = said.into_iter().map(|(time, payload)| (time, payload.expect("voice")));
    let frames: Vec<_> = payloads.collect();
    let back = pass(&mut new(Format::LPC10, Format::ULAW), &frames);
    let lengths: Vec<_> = back.iter().map(|(_, said)| said.as_ref().map(Vec::len)).collect();
    assert_eq!(times(&back), [0, 23, 45, 68, 90, 113, 135, 158]);
    // In µ-law it is cut in whole milliseconds.
    assert_eq!(lengths, [Ok(176), Ok(184)].repeat(4));
}

#[test]
fn what_is_no_frame_is_left_out_and_counted() {
    let mut transcoder =
        Transcoder::new(Format::GSM, Format::ULAW, Wishes::default()).expect("spoken");
    let said = pass(&mut transcoder, &[(0, vec![]), (20, vec![0; 4_001]), (40, vec![7; 5])]);
    assert_eq!(said, []);
    assert_eq!(transcoder.left_out().malformed, 2);
}

#[test]
fn a_payload_that_lasts_longer_than_a_second_is_no_frame_however_few_its_bytes_are() {
    for (from, to, second) in [
        (Format::G729, Format::G729, 1_000),
        (Format::GSM, Format::GSM, 50 * 33),
        (Format::GSM, Format::ULAW, 50 * 33),
        (Format::ILBC, Format::ULAW, 33 * 50),
        // 44 frames of 22.5 ms.
        #[cfg(feature = "lpc10")]
        (Format::LPC10, Format::LPC10, 44 * 7),
    ] {
        let mut transcoder = Transcoder::new(from, to, wishing(10)).expect("it can be cut");
        let mut said = 0;
        transcoder.voice(0, &vec![0xD0; second], &mut |_| said += 1);
        assert!((44..=100).contains(&said), "{from} to {to}: {said}");
        transcoder.voice(20_000, &vec![0xD0; second + 1], &mut |_| said += 1);
        assert_eq!(transcoder.left_out().malformed, 1, "{from} to {to}");
    }
}

#[test]
fn what_is_not_understood_cannot_be_transcoded_but_may_be_cut_and_put_together() {
    let new = Transcoder::new;
    assert!(new(Format::G729, Format::ULAW, Wishes::default()).is_none());
    assert!(new(Format::ULAW, Format::G729, Wishes::default()).is_none());
    let quiet = Wishes { silence_suppression: true, ..Wishes::default() };
    assert!(new(Format::G729, Format::G729, quiet).is_none());
    let mut transcoder =
        new(Format::G729, Format::G729, wishing(30)).expect("its frames are known");
    let frames: Vec<_> = (0..3_u8).map(|n| (u32::from(n) * 20, vec![n; 20])).collect();
    let said = pass(&mut transcoder, &frames);
    let put_together = |ns: [u8; 3]| Ok(ns.iter().flat_map(|n| [*n; 10]).collect());
    assert_eq!(said, [(0, put_together([0, 0, 1])), (30, put_together([1, 2, 2]))]);
}

/// Half a second of speech, two seconds of soft noise, and half a second of speech.
fn with_a_pause() -> Vec<(u32, Vec<u8>)> {
    let mut samples: Vec<i16> = Vec::new();
    ComfortNoise::new(60).extend(8_000, &mut samples);
    samples.extend(tone::Sine::new(300.0, 8_000, 0.3).take(4_000));
    ComfortNoise::new(60).extend(16_000, &mut samples);
    samples.extend(tone::Sine::new(300.0, 8_000, 0.3).take(4_000));
    let frame = |frame: &[i16]| {
        let mut payload = Vec::new();
        Codec::Ulaw.encode(frame, &mut payload);
        payload
    };
    samples.chunks(160).zip(0..).map(|(samples, n)| (n * 20, frame(samples))).collect()
}

#[test]
fn pauses_are_told_and_not_sent_where_that_is_wanted() {
    for (to, frame) in [(Format::ULAW, None), (Format::GSM, None), (Format::GSM, Some(ms(60)))] {
        let wishes = Wishes { frame, silence_suppression: true, ilbc: None };
        let mut transcoder = Transcoder::new(Format::ULAW, to, wishes).expect("spoken");
        let said = pass(&mut transcoder, &with_a_pause());
        // In the first second there is a pause too.
        let pause = said.iter().rposition(|(_, said)| said.is_err()).expect("a pause");
        let (begins, Err(level)) = &said[pause] else { unreachable!() };
        assert!((1_660..1_900).contains(begins), "{to}: {begins}");
        assert!(level.abs_diff(60) <= 4, "{to}: {level}");
        let (goes_on, _) = said[pause + 1];
        assert!((3_440..=3_500).contains(&goes_on), "{to}: {goes_on}");
        let step = frame.map_or(20, millis);
        let rest: Vec<u32> = said[pause + 1..].iter().map(|(time, _)| *time).collect();
        assert!(rest.windows(2).all(|two| two[1] - two[0] == step), "{to}: {rest:?}");
    }
}

#[test]
fn pauses_that_are_told_become_noise_until_somebody_speaks() {
    let mut transcoder =
        Transcoder::new(Format::G722, Format::ULAW, Wishes::default()).expect("spoken");
    let voice = spoken(Codec::G722, 20, 10);
    let frames: Vec<_> = (0..5).map(|n| (n * 20, voice[n as usize].clone())).collect();
    let mut said = pass(&mut transcoder, &frames);
    assert!(!transcoder.makes_noise());
    transcoder.pause(100, 50, &mut keep(&mut said));
    assert!(transcoder.makes_noise());
    for _ in 0..10 {
        transcoder.noise(ms(20), &mut keep(&mut said)).expect("a pause");
    }
    transcoder.voice(300, &voice[5], &mut keep(&mut said));
    assert_eq!(transcoder.noise(ms(20), &mut |_| ()), None, "the pause is over");
    let times: Vec<u32> = said.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, (0..16).map(|n| n * 20).collect::<Vec<_>>());
    let mut heard = Vec::new();
    for (_, payload) in &said[6..15] {
        Codec::Ulaw.decode(payload.as_ref().expect("voice"), &mut heard);
    }
    let level = crate::comfort_noise::level_of(&heard);
    assert!(level.abs_diff(50) <= 3, "{level}");
}

#[test]
fn pauses_are_passed_on_where_they_are_wanted_or_nothing_is_understood() {
    let quiet = Wishes { silence_suppression: true, ..Wishes::default() };
    for (to, wishes) in [(Format::GSM, quiet), (Format::ALAW, Wishes::default())] {
        let mut transcoder = Transcoder::new(Format::ULAW, to, wishes).expect("spoken");
        let mut said = Vec::new();
        transcoder.pause(100, 50, &mut keep(&mut said));
        assert_eq!(said, [(100, Err(50))]);
        assert!(!transcoder.makes_noise());
    }
}

/// What a µ-law byte says of the time at which it is said: each ms has another.
fn byte_at(millis: u32) -> u8 {
    (millis % 251).to_le_bytes()[0]
}

fn frame_at(time: u32, length: u32) -> Vec<u8> {
    (time..time + length).flat_map(|time| [byte_at(time); 8]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost, and however long frames are and shall be: each ms that came leaves in its
    /// place, and nothing else does.
    #[test]
    fn every_millisecond_keeps_its_place_through_other_frame_lengths(
        length in prop::sample::select(vec![10_u32, 20, 30, 40, 60]),
        wanted in prop::sample::select(vec![10_u32, 20, 30, 40, 60]),
        start in 0..100_000_u32,
        lost in prop::collection::vec(prop::bool::weighted(0.2), 100),
    ) {
        let mut transcoder =
            Transcoder::new(Format::ULAW, Format::ULAW, wishing(wanted.into())).expect("spoken");
        let frames: Vec<(u32, Vec<u8>)> = (0..).zip(&lost).filter(|(_, lost)| !**lost)
            .map(|(n, _)| (start + n * length, frame_at(start + n * length, length)))
            .collect();
        let said = pass(&mut transcoder, &frames);
        let mut left = Vec::new();
        for (timestamp, payload) in &said {
            let payload = payload.as_ref().expect("voice");
            prop_assert!(payload.len() <= wanted as usize * 8);
            for (millis, bytes) in (*timestamp..).zip(payload.chunks(8)) {
                prop_assert_eq!(bytes, [byte_at(millis); 8], "{}", millis);
                left.push(millis);
            }
        }
        let came: Vec<u32> = frames.iter().flat_map(|(time, _)| *time..*time + length).collect();
        // What is less than a frame still waits.
        prop_assert!(came.len() - left.len() < wanted as usize);
        prop_assert_eq!(&came[..left.len()], &left[..]);
        let whole: Vec<u32> = said.iter().filter(|(_, payload)| {
            payload.as_ref().is_ok_and(|payload| payload.len() == wanted as usize * 8)
        }).map(|(time, _)| *time).collect();
        if lost.iter().all(|lost| !lost) {
            prop_assert_eq!(whole.len(), said.len());
        }
    }

    /// Timestamps and payloads are what a hostile peer likes.
    #[test]
    fn nothing_that_comes_makes_more_than_it_could_say(
        from in prop::sample::select(Codec::ALL),
        to in prop::sample::select(Codec::ALL),
        wanted in prop::option::of(prop::sample::select(vec![10_u64, 20, 30, 40, 60])),
        quiet in any::<bool>(),
        frames in prop::collection::vec(
            (any::<u32>(), 0..300_u32, prop::collection::vec(any::<u8>(), 0..600)), 1..40),
    ) {
        let ilbc = wanted.map(|wanted| if wanted % 20 == 0 { Mode::Ms20 } else { Mode::Ms30 });
        let wishes = Wishes { frame: wanted.map(ms), silence_suppression: quiet, ilbc };
        let Some(mut transcoder) = Transcoder::new(from.format(), to.format(), wishes) else {
            return Ok(());
        };
        let (mut base, mut longest) = (0_u32, 0);
        for (jump, step, payload) in frames {
            base = if step == 299 { jump } else { base.wrapping_add(step) };
            transcoder.voice(base, &payload, &mut |said| {
                if let Said::Voice { payload, .. } = said {
                    longest = longest.max(payload.len());
                }
            });
            if step == 17 {
                transcoder.pause(base, 40, &mut |_| ());
            }
        }
        prop_assert!(longest <= LONGEST_PAYLOAD, "{} bytes", longest);
    }
}

#[test]
fn ilbc_is_said_in_frames_of_the_wanted_mode_even_where_it_comes_in_the_other() {
    let spoken = |mode: Mode, frames| {
        let mut payload = Vec::new();
        let samples: Vec<i16> = tone::Sine::new(440.0, 8_000, 0.4).take(960).collect();
        IlbcEncoder::new(mode).encode(&samples, &mut payload);
        let frames: Vec<(u32, Vec<u8>)> = (0..)
            .zip(payload.chunks(mode.bytes() * frames))
            .map(|(n, payload)| (n * (mode.samples() * frames / 8) as u32, payload.to_vec()))
            .collect();
        frames
    };
    let ulaw: Vec<_> = (0..6).map(|n| (n * 20, vec![0x10; 160])).collect();
    for (from, frames, mode, wanted) in [
        (
            Format::ILBC,
            spoken(Mode::Ms20, 1),
            Mode::Ms30,
            vec![(0, 50), (30, 50), (60, 50), (90, 50)],
        ),
        (Format::ILBC, spoken(Mode::Ms30, 2), Mode::Ms20, vec![(0, 114), (60, 114)]),
        (Format::ULAW, ulaw.clone(), Mode::Ms20, (0..6).map(|n| (n * 20, 38)).collect()),
        (Format::ULAW, ulaw, Mode::Ms30, vec![(0, 50), (30, 50), (60, 50), (90, 50)]),
    ] {
        let wishes = Wishes { ilbc: Some(mode), ..Wishes::default() };
        let mut transcoder = Transcoder::new(from, Format::ILBC, wishes).expect("spoken here");
        let said: Vec<_> = pass(&mut transcoder, &frames)
            .into_iter()
            .map(|(at, payload)| (at, payload.expect("voice").len()))
            .collect();
        assert_eq!(said, wanted, "{from} in {mode:?}");
    }
    let as_it_is = Transcoder::new(Format::ILBC, Format::ILBC, wishing(20));
    assert!(as_it_is.is_none(), "who asks for no mode gets what comes");
}

#[test]
fn bytes_too_few_to_be_sent_are_no_frame_when_their_time_is_over() {
    let mut transcoder =
        Transcoder::new(Format::ULAW, Format::ULAW, wishing(20)).expect("it is cut");
    let said = pass(&mut transcoder, &[(0, vec![1; 163]), (5_000, vec![2; 160])]);
    let lengths: Vec<_> =
        said.iter().map(|(time, payload)| (*time, payload.as_ref().map(Vec::len))).collect();
    assert_eq!(lengths, [(0, Ok(160)), (5_000, Ok(160))]);
}
