//! A switch that has more to do than it can do in time. What is measured is handed in; what its own driver
//! measures meanwhile cannot end it, since it recovers after ten minutes only.

use std::net::SocketAddr;
use std::time::Duration;

use oneport::{Application as _, CauseCode, Driver, Workload};
use oneport_switch::Switch;

use crate::setting::*;

const NEVER_RECOVERS: &str = "
[overload]
delay_ms = 1000
recover_seconds = 600
[[routes]]
number = \"112\"
to = [\"builtin:echo\"]
emergency = true
";

fn a_switch() -> (Driver<Switch>, SocketAddr) {
    switch(&format!("{THREE_PEERS}{NEVER_RECOVERS}"))
}

/// The thread of the switch had no time left for three seconds.
async fn overload(switch: &Driver<Switch>) {
    let quarter = Duration::from_millis(250);
    let busy = Workload { time: quarter, cpu: Some(quarter), ..Workload::default() };
    let fed = switch.with(move |endpoint, switch, now| {
        for _ in 0..12 {
            switch.handle_workload(endpoint, now, &busy);
        }
    });
    fed.await.expect("running");
}

#[tokio::test]
async fn an_overloaded_switch_keeps_its_calls_and_refuses_others_with_what_was_measured() {
    let (switch, to) = a_switch();
    let ((bob, _at), ann) = (registered(to, "bob").await, phone());
    let (ours, theirs) = bridged((&ann, "ann"), (&bob, "bob"), to).await;
    overload(&switch).await;
    let end = refused(&ann, to, from("ann", "echo")).await;
    assert_eq!(end.cause, CauseCode::SWITCH_CONGESTION);
    let text = end.text.expect("words");
    assert!(text.starts_with("overload: CPU of the media thread at "), "{text}");
    // Who calls in an emergency is let in, and whoever is up may be led elsewhere.
    answered(&ann, to, from("ann", "112")).await;
    let (cid, _at) = registered(to, "cid").await;
    theirs.transfer("cid").await.expect("up");
    let transferred = incoming(&cid).await.answer().await.expect("she waits");
    let (mut ear, _) = transferred.audio().await.expect("accepted");
    tokio::select! {
        () = say(&ours, 1_000) => {}
        () = hears(&mut ear, 1_000) => {}
    }
}

#[tokio::test]
async fn a_switch_without_calls_refuses_none_whatever_it_has_to_do() {
    let (switch, to) = a_switch();
    overload(&switch).await;
    let ann = phone();
    let mut call = answered(&ann, to, from("ann", "echo")).await;
    let end = refused(&ann, to, from("ann", "echo")).await;
    assert_eq!(end.cause, CauseCode::SWITCH_CONGESTION, "there is a call to be protected now");
    call.hangup(CauseCode::NORMAL_CLEARING);
    ended(&mut call).await;
    until("the switch has forgotten the call", async || {
        let calls = switch.with(|endpoint, _, _| endpoint.calls()).await;
        calls == Ok(0)
    })
    .await;
    answered(&ann, to, from("ann", "echo")).await;
}

#[tokio::test]
async fn numbers_that_only_look_like_an_emergency_are_refused_when_their_caller_is_known() {
    let other = NEVER_RECOVERS.replace("emergency", "from = [\"bob\"]\nemergency");
    let (switch, to) = switch(&format!("{THREE_PEERS}{other}"));
    let ann = phone();
    let _up = answered(&ann, to, from("ann", "echo")).await;
    overload(&switch).await;
    answered(&ann, to, from("bob", "112")).await;
    let end = refused(&ann, to, from("ann", "112")).await;
    assert_eq!(end.cause, CauseCode::SWITCH_CONGESTION, "the route is there for bob alone");
    assert!(end.text.is_some_and(|text| text.starts_with("overload: ")));
}
