//! Keys in voices, and voices without keys.

use std::time::Duration;

use oneport_media::Codec;
use oneport_media::dtmf::{Detector, Generator, KEYS, Key, Keyer};
use oneport_media::telephone_event::{EventReceiver, EventSender};
use oneport_testkit::audio::speech::{Voice, synthesize};

/// The keys that are heard, frame by frame of 20 ms.
fn pressed(samples: &[i16]) -> Vec<u8> {
    let mut detector = Detector::new(8_000).expect("a rate");
    let mut digits = Vec::new();
    for frame in samples.chunks(160) {
        detector.hear(frame, |key| {
            if let Key::Pressed(digit) = key {
                digits.push(digit);
            }
        });
    }
    digits
}

#[test]
fn two_minutes_of_each_voice_have_no_key_and_both_at_once_have_none() {
    for minute in 0..2 {
        let [low, high] =
            [Voice::Low, Voice::High].map(|voice| synthesize(minute, voice, 8_000, 60_000));
        let both: Vec<i16> =
            low.iter().zip(&high).map(|(low, high)| low.saturating_add(*high)).collect();
        for (name, said) in [("low", low), ("high", high), ("both", both)] {
            assert_eq!(pressed(&said), [], "minute {minute}, {name}");
        }
    }
}

#[test]
fn keys_are_heard_though_somebody_speaks_softly_behind_them() {
    let speech = synthesize(1, Voice::High, 8_000, 60_000);
    let mut samples: Vec<i16> = speech.iter().map(|sample| sample / 8).collect();
    for (n, digit) in KEYS.iter().cycle().take(160).enumerate() {
        let tones = Generator::new(*digit, 8_000).expect("a key").take(640);
        for (sample, tone) in samples[n * 3_000..].iter_mut().zip(tones) {
            *sample = sample.saturating_add(tone);
        }
    }
    let heard = pressed(&samples);
    let expected: Vec<u8> = KEYS.into_iter().cycle().take(160).collect();
    assert_eq!(heard, expected);
}

#[test]
fn keys_are_heard_through_each_codec_of_8_khz() {
    for codec in Codec::ALL.iter().filter(|codec| codec.sample_rate() == 8_000) {
        for shift in [0, 30, 61] {
            let mut samples = vec![0; 400 + shift];
            for digit in KEYS {
                samples.extend(Generator::new(digit, 8_000).expect("a key").take(480));
                samples.resize(samples.len() + 480, 0);
            }
            samples.resize(samples.len().next_multiple_of(160), 0);
            let (mut payload, mut back) = (Vec::new(), Vec::new());
            codec.encode(&samples, &mut payload);
            codec.decode(&payload, &mut back);
            let (heard, sent) = (pressed(&back), KEYS.to_vec());
            assert_eq!(String::from_utf8(heard), String::from_utf8(sent), "{codec:?}, {shift}");
        }
    }
}

#[test]
fn keys_go_from_frames_to_packets_to_tones_and_back_to_frames() {
    let digits = b"0012345689*#ABCD7";
    let (mut sender, mut receiver) = (EventSender::default(), EventReceiver::new(8_000));
    let (mut keyer, mut detector) = (Keyer::new(8_000), Detector::new(8_000).expect("a rate"));
    let mut heard = Vec::new();
    // Each is down for 100 ms, and 100 ms lie between them.
    for turn in 0..digits.len() as u32 * 10 + 20 {
        let timestamp = 5_000 + turn * 160;
        match (turn % 10, digits.get(turn as usize / 10)) {
            (0, Some(digit)) => assert!(sender.press(timestamp, *digit)),
            (5, Some(_)) => sender.release(timestamp),
            _ => {}
        }
        // Every third packet is lost.
        if let Some(packet) = sender.packet(timestamp).filter(|_| turn % 3 > 0) {
            let now = Duration::from_millis(u64::from(turn) * 20);
            receiver.receive(now, packet.timestamp, packet.payload, |key| match key {
                Key::Pressed(digit) => assert!(keyer.press(digit)),
                Key::Released { .. } => keyer.release(),
            });
        }
        let mut frame = [0; 160];
        keyer.fill(&mut frame);
        detector.hear(&frame, |key| heard.push(key));
    }
    let pressed: Vec<u8> = heard
        .iter()
        .filter_map(|key| match key {
            Key::Pressed(digit) => Some(*digit),
            Key::Released { .. } => None,
        })
        .collect();
    assert_eq!(pressed, digits);
    let lengths = heard.iter().filter_map(|key| match key {
        Key::Released { ms, .. } => Some(*ms),
        Key::Pressed(_) => None,
    });
    assert!(
        lengths.clone().all(|ms| (70..=130).contains(&ms)),
        "{:?}",
        lengths.collect::<Vec<_>>()
    );
}
