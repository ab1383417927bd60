//! How long calls may last, and be silent.

use std::time::Duration;

use oneport::CauseCode;
use oneport::media::Codec;

use crate::setting::*;

#[tokio::test]
async fn a_bridged_call_whose_time_is_up_ends_for_both_with_a_reason() {
    let text = "
[peers.ann]
secret = \"a\"
[peers.bob]
secret = \"b\"
max_duration_seconds = 1
";
    let (_switch, to) = switch(text);
    let ((bob, _at), ann) = (registered(to, "bob").await, phone());
    let (mut ours, mut theirs) = bridged((&ann, "ann"), (&bob, "bob"), to).await;
    let (at_ours, at_theirs) = (ended(&mut ours).await, ended(&mut theirs).await);
    assert_eq!(at_ours.cause, CauseCode::NORMAL_CLEARING);
    assert_eq!(at_theirs.cause, CauseCode::NORMAL_CLEARING);
    assert_eq!(at_theirs.text.or(at_ours.text).as_deref(), Some("time is up"));
}

#[tokio::test]
async fn a_route_bounds_its_calls_also_to_what_is_built_in() {
    let text = format!(
        "{THREE_PEERS}[[routes]]\nnumber = \"1\"\nto = [\"builtin:echo\"]\n\
         max_duration_seconds = 1\n"
    );
    let (_switch, to) = switch(&text);
    let ann = phone();
    let mut bounded = answered(&ann, to, from("ann", "1")).await;
    let unbounded = answered(&ann, to, from("ann", "600")).await;
    assert_eq!(ended(&mut bounded).await.text.as_deref(), Some("time is up"));
    assert!(unbounded.stats().await.is_some(), "the other goes on");
}

/// Says something in each of the next `millis`.
async fn speak(call: &oneport::Call, millis: u64) {
    let speaker = call.speaker().expect("accepted");
    let mut payload = Vec::new();
    Codec::Ulaw.encode(&[500; 160], &mut payload);
    for _ in 0..millis / 100 {
        speaker.send(oneport::Format::ULAW, &payload, 20);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_peer_without_media_ends_its_call_but_neither_while_it_speaks_nor_on_hold() {
    let text = "
[peers.ann]
secret = \"a\"
no_media_timeout_seconds = 2
[peers.bob]
secret = \"b\"
";
    let (_switch, to) = switch(text);
    let ((bob, _at), ann) = (registered(to, "bob").await, phone());
    let (mut ours, mut theirs) = bridged((&ann, "ann"), (&bob, "bob"), to).await;
    // Bob is silent, but has no such bound. Ann speaks for longer than hers.
    speak(&ours, 3_000).await;
    ours.hold(None).await.expect("up");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(ours.stats().await.is_some() && theirs.stats().await.is_some(), "both are up");
    ours.unhold().await.expect("up");
    let (at_ours, at_theirs) = (ended(&mut ours).await, ended(&mut theirs).await);
    assert_eq!(at_ours.cause, CauseCode::CHANNEL_UNAVAILABLE);
    assert_eq!(at_theirs.cause, CauseCode::CHANNEL_UNAVAILABLE);
    assert_eq!(at_ours.text.as_deref(), Some("no media"));
}
