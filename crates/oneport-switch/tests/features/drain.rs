//! A switch that is drained.

use oneport::CauseCode;
use oneport_switch::Life;

use crate::setting::*;

#[tokio::test]
async fn a_drained_switch_keeps_its_calls_and_registrations_and_takes_no_others() {
    let (switch, to) = switch(THREE_PEERS);
    let ((bob, _at), ann) = (registered(to, "bob").await, phone());
    let (ours, theirs) = bridged((&ann, "ann"), (&bob, "bob"), to).await;
    let mut life = switch.with(|_, switch, _| switch.watch_life()).await.expect("running");
    let before = switch.with(|_, switch, _| switch.drain()).await;
    assert_eq!(
        (before, *life.borrow_and_update()),
        (Ok(Life::Serving), Life::Draining { calls: 2 })
    );
    let end = refused(&ann, to, from("ann", "echo")).await;
    assert_eq!((end.cause, end.text.as_deref()), (CauseCode::SWITCH_CONGESTION, Some("draining")));
    // Registrations go on, and the call that is up may be led elsewhere.
    let (cid, _at) = registered(to, "cid").await;
    theirs.transfer("cid").await.expect("up");
    let transferred = incoming(&cid).await.answer().await.expect("she waits");
    let (mut ear, _) = transferred.audio().await.expect("accepted");
    tokio::select! {
        () = say(&ours, 1_000) => {}
        () = hears(&mut ear, 1_000) => {}
    }
    ours.hangup(CauseCode::NORMAL_CLEARING);
    let drained = tokio::time::timeout(PATIENCE, life.wait_for(|life| *life == Life::Drained));
    assert!(drained.await.is_ok_and(|life| life.is_ok()));
    assert_eq!(refused(&ann, to, from("ann", "echo")).await.cause, CauseCode::SWITCH_CONGESTION);
    let before = switch.with(|_, switch, _| switch.undrain()).await;
    assert_eq!(before, Ok(Life::Drained));
    answered(&ann, to, from("ann", "echo")).await;
}
