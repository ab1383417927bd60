//! Peers that are registered at one switch and called through another.

use oneport::{CauseCode, Phone, Secret};
use oneport_switch::LegDirection;
use oneport_switch::api::model::SwitchState::{Alive, Dead};
use oneport_switch::store::{CdrFilter, Order, Paging, Store};

use crate::setting::{
    Member, PATIENCE, PEERS, SECRET, Setting, from, incoming, phone, refused, register,
};

/// Berlin and Bonn, which know each other.
async fn two(setting: &Setting) -> (Member, Member) {
    let berlin = setting.switch("berlin", PEERS).await;
    let bonn = setting.switch("bonn", PEERS).await;
    berlin.until(&[("berlin", Alive), ("bonn", Alive)]).await;
    bonn.until(&[("bonn", Alive), ("berlin", Alive)]).await;
    (berlin, bonn)
}

/// Says something of this many frames, and waits until the other has heard at least half as many.
async fn is_heard(from: &oneport::Call, to: &oneport::Call) {
    let (_, speaker) = from.audio().await.expect("accepted");
    let (mut ear, _) = to.audio().await.expect("accepted");
    let talks = async {
        loop {
            speaker.send(oneport::Format::ULAW, &[0x55; 160], 20);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let listens = async {
        for _ in 0..25 {
            ear.next_frame().await.expect("running");
        }
    };
    tokio::select! {
        () = talks => {}
        heard = tokio::time::timeout(PATIENCE, listens) => heard.expect("25 frames are heard"),
    }
}

#[tokio::test]
async fn a_phone_at_one_switch_is_called_through_another_and_both_are_heard_and_recorded() {
    let setting = Setting::shared();
    let (berlin, bonn) = two(&setting).await;
    let (ann, bob) = (phone(), phone());
    let _registration = register(&ann, &bonn, "ann").await;
    berlin.until_elsewhere(1).await;
    let mut new = from("bob", "ann");
    new.calling_number = Some("4711".into());
    new.calling_name = Some("Bob".into());
    new.language = Some("de".into());
    new.dnid = Some("5".into());
    new.variables = vec![("COLOUR".into(), "blue".into())];
    let mut ours = bob.call(berlin.address, new).await.expect("placed");
    let theirs = incoming(&ann).await;
    let offer = theirs.offer().clone();
    assert_eq!(offer.calling_number.as_deref(), Some("4711"));
    assert_eq!(offer.calling_name.as_deref(), Some("Bob"));
    assert_eq!(offer.language.as_deref(), Some("de"));
    assert_eq!(offer.dnid.as_deref(), Some("5"));
    assert!(offer.variables.contains(&("COLOUR".into(), "blue".into())), "{:?}", offer.variables);
    let inner = |name: &str| ["ONEPORT_PEER", "ONEPORT_CALL"].contains(&name);
    assert!(!offer.variables.iter().any(|(name, _)| inner(name)), "{:?}", offer.variables);
    let mut theirs = theirs.answer().await.expect("the caller waits");
    tokio::time::timeout(PATIENCE, ours.answered()).await.expect("in time").expect("answered");
    is_heard(&ours, &theirs).await;
    is_heard(&theirs, &ours).await;
    ours.hangup(CauseCode::NORMAL_CLEARING);
    tokio::time::timeout(PATIENCE, theirs.ended()).await.expect("in time").expect("running");
    // Both switches have their records of it, under one id.
    let store = setting.store().await;
    let all = Paging { order: Order::OldestFirst, after: None, most: 10 };
    let cdrs = loop {
        let cdrs = store.cdrs(&CdrFilter::default(), all).await.expect("readable").records;
        if cdrs.len() == 4 {
            break cdrs;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(cdrs.iter().all(|cdr| cdr.call == cdrs[0].call), "{cdrs:#?}");
    let find = |switch: &str, direction| {
        let is = |cdr: &&oneport_switch::Cdr| {
            cdr.switch.as_deref() == Some(switch) && cdr.direction == direction
        };
        cdrs.iter().find(is).and_then(|cdr| cdr.peer.clone())
    };
    assert_eq!(find("berlin", LegDirection::In).as_deref(), Some("bob"));
    assert_eq!(find("berlin", LegDirection::Out).as_deref(), Some("ann"));
    assert_eq!(find("bonn", LegDirection::In).as_deref(), Some("switch:berlin"));
    assert_eq!(find("bonn", LegDirection::Out).as_deref(), Some("ann"));
}

#[tokio::test]
async fn a_phone_that_moves_is_reached_where_it_is_and_nowhere_when_it_has_gone() {
    let setting = Setting::shared();
    let (berlin, bonn) = two(&setting).await;
    let (ann, bob) = (phone(), phone());
    let first = register(&ann, &bonn, "ann").await;
    berlin.until_elsewhere(1).await;
    let moved: Phone = phone();
    let second = register(&moved, &berlin, "ann").await;
    berlin.until_elsewhere(0).await;
    bonn.until_elsewhere(1).await;
    for switch in [&berlin, &bonn] {
        let call = bob.call(switch.address, from("bob", "ann")).await.expect("placed");
        let theirs = incoming(&moved).await;
        theirs.reject(CauseCode::USER_BUSY);
        drop(call);
    }
    second.unregister().await;
    bonn.until_elsewhere(0).await;
    let end = refused(&bob, &bonn, from("bob", "ann")).await;
    assert_eq!(end.cause, CauseCode::SUBSCRIBER_ABSENT);
    drop(first);
}

#[tokio::test]
async fn nobody_is_another_switch_without_the_secret_and_its_calls_go_to_no_third() {
    let setting = Setting::shared();
    let (berlin, bonn) = two(&setting).await;
    let ann = phone();
    let _registration = register(&ann, &bonn, "ann").await;
    berlin.until_elsewhere(1).await;
    let stranger = phone();
    let call = |secret: &str, peer: &str| {
        let mut call = from("switch:bonn", "1");
        call.secret = Some(Secret::from(secret));
        call.variables = vec![("ONEPORT_PEER".into(), peer.into())];
        call
    };
    let end = refused(&stranger, &berlin, call("guessed", "ann")).await;
    assert_eq!(end.cause, CauseCode::FACILITY_NOT_SUBSCRIBED, "{end:?}");
    // Berlin knows that ann is at Bonn, and says that she is not here.
    let end = refused(&stranger, &berlin, call(SECRET, "ann")).await;
    assert_eq!(end.cause, CauseCode::SUBSCRIBER_ABSENT, "{end:?}");
    let end = refused(&stranger, &berlin, call(SECRET, "switch:bonn")).await;
    assert_eq!(end.cause, CauseCode::NO_ROUTE, "{end:?}");
}

#[tokio::test]
async fn registrations_of_a_switch_that_is_dead_are_not_used() {
    let setting = Setting::shared();
    let (berlin, bonn) = two(&setting).await;
    let (ann, bob) = (phone(), phone());
    let registration = register(&ann, &bonn, "ann").await;
    berlin.until_elsewhere(1).await;
    drop(bonn.cluster);
    bonn.driver.stop().await;
    // Before that is known and behind it.
    for _ in 0..2 {
        let end = refused(&bob, &berlin, from("bob", "ann")).await;
        assert_eq!(end.cause, CauseCode::DESTINATION_OUT_OF_ORDER, "{end:?}");
        berlin.until(&[("berlin", Alive), ("bonn", Dead)]).await;
    }
    // She finds the next one.
    let _registration = register(&ann, &berlin, "ann").await;
    let call = bob.call(berlin.address, from("bob", "ann")).await.expect("placed");
    incoming(&ann).await.reject(CauseCode::USER_BUSY);
    drop((call, registration));
}
