//! What a caller hears where there is no room.

use oneport::media::Codec;
use oneport::{CallError, CallEvent, CauseCode, Progress};

use crate::setting::*;

#[tokio::test]
async fn a_full_limit_is_heard_before_the_call_is_refused_and_nobody_answers_it() {
    let folder = tempfile::tempdir().expect("a directory");
    write_level(&folder.path().join("full.wav"), 4_000, 4_000);
    let text = format!(
        "[audio]\nplayback = {:?}\n{THREE_PEERS}\
         [[limits]]\nname = \"all\"\nmax_calls = 1\non_congestion = \"playback/full\"\n",
        folder.path()
    );
    let (switch, to) = switch(&text);
    let ann = phone();
    let first = answered(&ann, to, from("ann", "echo")).await;
    let mut second = ann.call(to, from("bob", "echo")).await.expect("placed");
    assert!(matches!(second.next_event().await, Some(CallEvent::Accepted(_))));
    let (mut ear, _) = second.audio().await.expect("accepted");
    let progress = second.next_event().await;
    assert_eq!(progress, Some(CallEvent::Progress(Progress::EarlyMedia)));
    hears(&mut ear, 4_000).await;
    let usage = switch.with(|_, switch, now| switch.limit_usage(now)).await.expect("running");
    assert_eq!((usage[0].used, usage[0].refused), (1, 1), "it takes no place");
    match tokio::time::timeout(PATIENCE, second.answered()).await.expect("in time") {
        Err(CallError::Ended(end)) => assert_eq!(end.cause, CauseCode::CIRCUIT_CONGESTION),
        other => panic!("{other:?}"),
    }
    drop(first);
}

#[tokio::test]
async fn a_route_that_ends_in_congestion_sounds_like_it() {
    let text = format!(
        "{THREE_PEERS}\
         [[routes]]\nnumber = \"1\"\nto = [\"congestion\"]\non_congestion = \"congestion\"\n\
         [[routes]]\nnumber = \"2\"\nto = [\"busy\"]\non_congestion = \"congestion\"\n"
    );
    let (_switch, to) = switch(&text);
    let ann = phone();
    let mut call = ann.call(to, from("ann", "1")).await.expect("placed");
    assert!(matches!(call.next_event().await, Some(CallEvent::Accepted(_))));
    let (mut ear, _) = call.audio().await.expect("accepted");
    let loud = async {
        loop {
            let frame = ear.next_frame().await.expect("running");
            let mut samples = Vec::new();
            Codec::for_format(frame.format).expect("spoken").decode(&frame.payload, &mut samples);
            if samples.iter().any(|sample| sample.unsigned_abs() > 8_000) {
                return;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, loud).await.is_ok(), "no tone");
    assert_eq!(ended(&mut call).await.cause, CauseCode::CIRCUIT_CONGESTION);
    // Busy is not congestion.
    let mut busy = ann.call(to, from("ann", "2")).await.expect("placed");
    match busy.next_event().await {
        Some(CallEvent::Ended(end)) => assert_eq!(end.cause, CauseCode::USER_BUSY),
        other => panic!("{other:?}"),
    }
}
