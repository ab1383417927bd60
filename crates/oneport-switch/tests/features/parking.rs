//! Calls that are parked, fetched, and go back.

use oneport::{CallEvent, CauseCode};

use crate::setting::*;

#[tokio::test]
async fn a_parked_party_hears_music_and_talks_to_who_fetches_it() {
    let folder = tempfile::tempdir().expect("a directory");
    write_level(&folder.path().join("a.wav"), 4_000, 16_000);
    let text = format!(
        "[music.default]\nfolder = {:?}\n{THREE_PEERS}[parking]\nslots = 3\n",
        folder.path()
    );
    let (switch, to) = switch(&text);
    let ((bob, _at), ann) = (registered(to, "bob").await, phone());
    let (ours, mut theirs) = bridged((&ann, "ann"), (&bob, "bob"), to).await;
    theirs.transfer("park").await.expect("up");
    loop {
        match theirs.next_event().await {
            Some(CallEvent::Text(text)) => break assert_eq!(text, "parked in slot 1"),
            Some(CallEvent::Ended(end)) => panic!("{end:?}"),
            _ => {}
        }
    }
    let (mut ear, _) = ours.audio().await.expect("accepted");
    hears(&mut ear, 4_000).await;
    let parked = switch.with(|_, switch, _| switch.parked()).await.expect("running");
    assert_eq!((parked[0].slot, parked[0].who.as_str()), (1, "ann"));
    assert_eq!(parked[0].by.as_deref(), Some("bob"));
    // Nobody waits in the next one.
    let end = refused(&ann, to, from("cid", "park/2")).await;
    assert_eq!(end.cause, CauseCode::UNALLOCATED);
    let fetcher = answered(&ann, to, from("cid", "park/1")).await;
    let (mut their_ear, _) = fetcher.audio().await.expect("accepted");
    tokio::select! {
        () = say(&ours, 1_000) => {}
        () = say(&fetcher, 2_000) => {}
        () = async {
            hears(&mut their_ear, 1_000).await;
            hears(&mut ear, 2_000).await;
        } => {}
    }
    assert!(switch.with(|_, switch, _| switch.parked().is_empty()).await.expect("running"));
    drop(fetcher);
    let mut ours = ours;
    ended(&mut ours).await;
    until("nothing is left", async || {
        switch.with(|endpoint, _, _| endpoint.calls()).await == Ok(0)
    })
    .await;
}

#[tokio::test]
async fn who_parked_gets_back_what_nobody_fetches() {
    let (_switch, to) = switch(&format!("{THREE_PEERS}[parking]\ntimeout_seconds = 1\n"));
    let ((bob, _at), ann) = (registered(to, "bob").await, phone());
    let (ours, theirs) = bridged((&ann, "ann"), (&bob, "bob"), to).await;
    theirs.transfer("park/7").await.expect("up");
    let back = incoming(&bob).await;
    assert_eq!(back.offer().called_number, "bob");
    let back = back.answer().await.expect("she waits");
    let (mut ear, _) = back.audio().await.expect("accepted");
    tokio::select! {
        () = say(&ours, 1_000) => {}
        () = hears(&mut ear, 1_000) => {}
    }
}

#[tokio::test]
async fn who_comes_by_itself_waits_until_somebody_comes_or_time_is_up() {
    let text = format!("{THREE_PEERS}[parking]\ntimeout_seconds = 1\nslots = 1\n");
    let (_switch, to) = switch(&text);
    let ann = phone();
    let mut waits = answered(&ann, to, from("ann", "park")).await;
    assert_eq!(refused(&ann, to, from("bob", "605")).await.cause, CauseCode::USER_BUSY);
    let end = ended(&mut waits).await;
    assert_eq!((end.cause, end.text.as_deref()), (CauseCode::NO_ANSWER, Some("nobody came")));
    let mut again = answered(&ann, to, from("ann", "park")).await;
    let fetched = answered(&ann, to, from("bob", "park/1")).await;
    again.hangup(CauseCode::NORMAL_CLEARING);
    let mut fetched = fetched;
    ended(&mut fetched).await;
    ended(&mut again).await;
}
