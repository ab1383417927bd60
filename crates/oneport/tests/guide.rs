//! What the guide to the library shows (docs/library.md), between two phones on the loopback.

use std::time::Duration;

use oneport::media::Codec;
use oneport::{
    Call, CallError, CallEvent, Challenge, DtmfPhase, IncomingCall, NewCall, Phone, PhoneConfig,
    Secret,
};

async fn take(mut incoming: IncomingCall) -> Result<Call, CallError> {
    let site = Challenge::md5("site", Secret::from("correct horse"));
    incoming.authenticate(site).await?;
    incoming.ring().await?;
    incoming.answer().await
}

async fn loudest(call: &Call, frames: usize) -> Result<i16, CallError> {
    let (mut reader, _) = call.audio().await?;
    let mut loudest = 0;
    let mut samples = Vec::new();
    for _ in 0..frames {
        let Some(frame) = reader.next_frame().await else { break };
        samples.clear();
        if let Some(codec) = Codec::for_format(frame.format) {
            codec.decode(&frame.payload, &mut samples);
        }
        loudest = samples.iter().map(|sample| sample.saturating_abs()).fold(loudest, i16::max);
    }
    Ok(loudest)
}

async fn say_more(call: &Call) -> Result<(), CallError> {
    call.send_dtmf("4711#").await?;
    call.send_text("good morning").await?;
    call.key(b"").await?;
    call.unkey().await
}

async fn keys(call: &mut Call, until: u8) -> String {
    let mut keys = String::new();
    while let Some(event) = call.next_event().await {
        if let CallEvent::Dtmf { digit, phase: DtmfPhase::Begin } = event {
            match digit == until {
                true => break,
                false => keys.push(char::from(digit)),
            }
        }
    }
    keys
}

async fn bridge(phone: &Phone, a: &Call, b: &Call) -> Result<(), CallError> {
    phone.connect(a.id(), b.id()).await
}

fn phone() -> Phone {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound")
}

/// A call from the first phone to the second, answered.
async fn call(from: &Phone, to: &Phone) -> (Call, Call) {
    let mut new = NewCall::to("600");
    new.username = Some("site".into());
    new.secret = Some(Secret::from("correct horse"));
    let mut call = from.call(to.local_addresses()[0], new).await.expect("placed");
    let incoming = to.incoming().await.expect("offered");
    let answered = take(incoming).await.expect("answered");
    call.answered().await.expect("answered");
    (call, answered)
}

/// Waits for it, on a busy machine too.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("in time")
}

#[tokio::test]
async fn the_guide_s_calls_are_taken_heard_and_understood() {
    let (site, desk) = (phone(), phone());
    let (ours, mut theirs) = call(&site, &desk).await;
    let speaker = ours.speaker().expect("accepted");
    let speak = async {
        loop {
            speaker.play(&[8_000; 800]).await;
        }
    };
    let heard = tokio::select! {
        heard = in_time(loudest(&theirs, 5)) => heard.expect("accepted"),
        () = speak => unreachable!("it speaks for ever"),
    };
    assert!(heard > 7_000, "{heard}");
    say_more(&ours).await.expect("accepted");
    assert_eq!(in_time(keys(&mut theirs, b'#')).await, "4711");
    // Behind the last key come its end, the text, and both of the radio.
    let mut rest = Vec::new();
    for _ in 0..4 {
        rest.push(in_time(theirs.next_event()).await.expect("alive"));
    }
    assert_eq!(rest[1], CallEvent::Text("good morning".into()));
    assert_eq!(rest[2..], [CallEvent::Keyed(Vec::new()), CallEvent::Unkeyed]);
}

#[tokio::test]
async fn the_guide_s_bridge_lets_two_callers_hear_each_other() {
    let (ann, bob, desk) = (phone(), phone(), phone());
    let (ann_s, first) = call(&ann, &desk).await;
    let (bob_s, second) = call(&bob, &desk).await;
    bridge(&desk, &first, &second).await.expect("of one format");
    let speaker = ann_s.speaker().expect("accepted");
    let speak = async {
        loop {
            speaker.play(&[8_000; 800]).await;
        }
    };
    let heard = tokio::select! {
        heard = in_time(loudest(&bob_s, 5)) => heard.expect("accepted"),
        () = speak => unreachable!("it speaks for ever"),
    };
    assert!(heard > 7_000, "{heard}");
}
