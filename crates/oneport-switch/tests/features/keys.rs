//! Keys that are tones in the voice of one party, and frames for the other.

use std::cell::Cell;
use std::time::Duration;

use oneport::media::dtmf::{Detector, Generator, Key};
use oneport::media::{Codec, tone};
use oneport::{AudioReader, Call, CallEvent, DtmfPhase, Format, NewCall};

use crate::setting::*;

/// Bob's keys are tones; Ann's are frames.
fn inband(more: &str) -> String {
    format!(
        "[peers.ann]\nsecret = \"a\"\n[peers.bob]\nsecret = \"b\"\ndtmf = \"inband\"\n{more}\n\
         [peers.cid]\nsecret = \"c\"\ndtmf = \"inband\"\n"
    )
}

/// The next key that comes as frames: it is pressed, and released.
async fn digit(call: &mut Call) -> char {
    let mut down = None;
    let waits = async {
        loop {
            match call.next_event().await {
                Some(CallEvent::Dtmf { digit, phase: DtmfPhase::Begin }) => {
                    assert_eq!(down.replace(digit), None, "one at a time");
                }
                Some(CallEvent::Dtmf { digit, phase: DtmfPhase::End }) => {
                    assert_eq!(down, Some(digit), "it was pressed");
                    return char::from(digit);
                }
                Some(CallEvent::Ended(end)) => panic!("{end:?}"),
                Some(_) => {}
                None => panic!("stopped"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("a key comes")
}

async fn four_digits(call: &mut Call) -> String {
    let mut digits = String::new();
    for _ in 0..4 {
        digits.push(digit(call).await);
    }
    digits
}

/// Tones of keys, with something that is said before and behind.
fn tones(digits: &str) -> Vec<i16> {
    let mut samples: Vec<i16> = tone::Sine::new(500.0, 8_000, 0.1).take(4_000).collect();
    for digit in digits.bytes() {
        samples.extend(Generator::new(digit, 8_000).expect("a key").take(800));
        samples.extend([0; 800]);
    }
    samples.extend(tone::Sine::new(500.0, 8_000, 0.1).take(4_000));
    samples
}

/// What is heard while somebody speaks, and until nothing more comes of it. How much that is depends on how
/// busy the machine is: a tone that is kept back is silence for as long as it takes to come.
async fn listen_while(ear: &mut AudioReader, speaks: impl Future<Output = ()>) -> Vec<i16> {
    let has_spoken = Cell::new(false);
    let listens = async {
        let mut heard = Vec::new();
        loop {
            match tokio::time::timeout(Duration::from_secs(1), ear.next_frame()).await {
                Ok(frame) => {
                    let frame = frame.expect("running");
                    let codec = Codec::for_format(frame.format).expect("spoken");
                    codec.decode(&frame.payload, &mut heard);
                }
                Err(_) if has_spoken.get() => return heard,
                Err(_) => {}
            }
        }
    };
    let speaks = async {
        speaks.await;
        has_spoken.set(true);
    };
    tokio::join!(listens, speaks).0
}

/// So much of what is heard.
async fn listen(ear: &mut AudioReader, samples: usize) -> Vec<i16> {
    let mut heard = Vec::new();
    let waits = async {
        while heard.len() < samples {
            let frame = ear.next_frame().await.expect("running");
            Codec::for_format(frame.format).expect("spoken").decode(&frame.payload, &mut heard);
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waits).await.is_ok(), "{} samples", heard.len());
    heard
}

fn keys_in(samples: &[i16]) -> String {
    let mut detector = Detector::new(8_000).expect("a rate");
    let mut digits = String::new();
    detector.hear(samples, |key| {
        if let Key::Pressed(digit) = key {
            digits.push(digit.into());
        }
    });
    digits
}

#[tokio::test]
async fn tones_of_a_caller_become_frames_and_are_kept_from_the_other_party() {
    for (more, passes) in [("", ""), ("dtmf_tones_pass = true", "159#")] {
        let (_switch, to) = switch(&inband(more));
        let ((ann, _at), bob) = (registered(to, "ann").await, phone());
        let (theirs, mut ours) = bridged((&bob, "bob"), (&ann, "ann"), to).await;
        let (mut ear, _) = ours.audio().await.expect("accepted");
        let (_, mouth) = theirs.audio().await.expect("accepted");
        let samples = tones("159#");
        let (heard, digits) =
            tokio::join!(listen_while(&mut ear, mouth.play(&samples)), four_digits(&mut ours));
        assert_eq!(digits, "159#");
        assert_eq!(keys_in(&heard), passes, "{more}");
        // What is said beside is heard: its last part behind the keys.
        let end = heard.chunks(800).rev().take(3);
        let loudest = end.map(|part| tone::level_dbm0(part, 500.0, 8_000));
        assert!(loudest.fold(-90.0, f64::max) > -20.0, "the voice goes on, {more}");
    }
}

#[tokio::test]
async fn keys_of_a_caller_become_tones_in_place_of_its_voice() {
    let (_switch, to) = switch(&inband(""));
    let ((bob, _at), ann) = (registered(to, "bob").await, phone());
    let (ours, theirs) = bridged((&ann, "ann"), (&bob, "bob"), to).await;
    let (mut ear, _) = theirs.audio().await.expect("accepted");
    let heard = tokio::select! {
        () = say(&ours, 1_000) => Vec::new(),
        heard = async {
            hears(&mut ear, 1_000).await;
            let keys = async {
                ours.send_dtmf("04*").await.expect("up");
                tokio::time::sleep(Duration::from_millis(200)).await;
            };
            let mut heard = Vec::new();
            let waits = async {
                while keys_in(&heard) != "04*" {
                    heard.extend(listen(&mut ear, 800).await);
                }
                // The voice comes again.
                hears(&mut ear, 1_000).await;
            };
            let (waits, ()) = tokio::join!(tokio::time::timeout(PATIENCE, waits), keys);
            assert!(waits.is_ok(), "heard are {:?}", keys_in(&heard));
            heard
        } => heard,
    };
    assert_eq!(keys_in(&heard), "04*");
}

#[tokio::test]
async fn between_two_whose_keys_are_tones_they_are_made_anew() {
    let (_switch, to) = switch(&inband(""));
    let ((bob, _at), cid) = (registered(to, "bob").await, phone());
    let (theirs, ours) = bridged((&cid, "cid"), (&bob, "bob"), to).await;
    let (mut ear, _) = ours.audio().await.expect("accepted");
    let (_, mouth) = theirs.audio().await.expect("accepted");
    let heard = listen_while(&mut ear, mouth.play(&tones("A70"))).await;
    assert_eq!(keys_in(&heard), "A70", "each of them once");
}

/// A machine that stands still for a third of a second within a tone has made two keys of it. Bob does then as any
/// caller: he says the PIN again, and calls anew when the door was shut.
#[tokio::test]
async fn a_pin_is_said_in_tones() {
    let text = inband("") + "[conferences.board]\npin = \"4711\"\n";
    let (switch, to) = switch(&text);
    let bob = phone();
    let is_in = async || {
        let rooms = switch.with(|_, switch, _| switch.conferences()).await.expect("running");
        rooms.iter().any(|(_, members)| members.len() == 1)
    };
    let tries = async {
        loop {
            let call = answered(&bob, to, from("bob", "conference/board")).await;
            let (_, mouth) = call.audio().await.expect("accepted");
            for _ in 0..3 {
                // With the key that ends it, no digit of a wrong one is taken for the next.
                mouth.play(&tones("4711#")).await;
                if is_in().await {
                    return;
                }
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, tries).await.is_ok(), "Bob is not in the conference");
}

/// A call by Bob, whose keys are tones, in linear audio to Ann, who speaks µ-law.
#[tokio::test]
async fn tones_are_heard_kept_back_and_made_in_a_call_that_is_transcoded() {
    let text = inband("codecs = [\"slin\"]")
        .replace("secret = \"a\"", "secret = \"a\"\ncodecs = [\"ulaw\"]");
    let (_switch, to) = switch(&text);
    let ((ann, _at), bob) = (registered(to, "ann").await, phone());
    let call = NewCall { formats: vec![Format::SLIN], ..from("bob", "ann") };
    let (mut theirs, mut ours) = tokio::join!(answered(&bob, to, call), async {
        incoming(&ann).await.answer().await.expect("the caller waits")
    });
    assert_eq!((theirs.format(), ours.format()), (Some(Format::SLIN), Some(Format::ULAW)));
    let (mut ear, _) = ours.audio().await.expect("accepted");
    let (mut their_ear, mouth) = theirs.audio().await.expect("accepted");
    let samples = tones("159#");
    let (heard, digits) =
        tokio::join!(listen_while(&mut ear, mouth.play(&samples)), four_digits(&mut ours));
    assert_eq!((digits.as_str(), keys_in(&heard).as_str()), ("159#", ""));
    // And the other way: Ann's keys are said to Bob, who speaks another codec than she.
    ours.send_dtmf("04*").await.expect("up");
    let mut heard = Vec::new();
    let waits = async {
        while keys_in(&heard) != "04*" {
            heard.extend(listen(&mut their_ear, 800).await);
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waits).await.is_ok(), "{:?}", keys_in(&heard));
    drop(ours);
    ended(&mut theirs).await;
}
