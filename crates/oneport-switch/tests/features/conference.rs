//! Conferences of telephones.

use oneport::{Call, CauseCode, Format, NewCall};

use crate::setting::*;

/// A call to a room that speaks `format`.
fn to_room(room: &str, format: Format) -> NewCall {
    let mut call = from("ann", room);
    call.formats = vec![format];
    call
}

/// Two ears and a mouth at once.
async fn both_hear(one: (&Call, i16), other: (&Call, i16), say_this: &Call, level: i16) {
    let (mut first, _) = one.0.audio().await.expect("accepted");
    let (mut second, _) = other.0.audio().await.expect("accepted");
    tokio::select! {
        () = say(say_this, level) => {}
        () = async {
            hears(&mut first, one.1).await;
            hears(&mut second, other.1).await;
        } => {}
    }
}

#[tokio::test]
async fn members_of_different_codecs_hear_the_others_and_not_themselves() {
    let (switch, to) = switch(&format!("{THREE_PEERS}[conferences.sales]\nannounce = false\n"));
    let phone = phone();
    let room = "conference/sales";
    let ulaw = answered(&phone, to, to_room(room, Format::ULAW)).await;
    let alaw = answered(&phone, to, to_room(room, Format::ALAW)).await;
    let wide = answered(&phone, to, to_room(room, Format::SLIN16)).await;
    assert_eq!(wide.format(), Some(Format::SLIN16));
    // The others hear it, and it hears nobody.
    both_hear((&alaw, 4_000), (&wide, 4_000), &ulaw, 4_000).await;
    both_hear((&ulaw, 0), (&alaw, 4_000), &ulaw, 4_000).await;
    // Two speak: the third hears both together.
    let second = answered(&phone, to, to_room(room, Format::ULAW)).await;
    let (mut ear, _) = alaw.audio().await.expect("accepted");
    tokio::select! {
        () = say(&ulaw, 4_000) => {}
        () = say(&second, 2_000) => {}
        () = hears(&mut ear, 6_000) => {}
    }
    let rooms = switch.with(|_, switch, _| switch.conferences()).await.expect("running");
    assert_eq!(rooms.len(), 1);
    let (name, members) = &rooms[0];
    assert_eq!((name.as_str(), members.len(), members[0].who.as_str()), ("sales", 4, "ann"));
    assert!(members[0].heard.frames > 0 && !members[0].muted);
    drop((ulaw, alaw, wide, second));
    until("the room is gone", async || {
        switch.with(|_, switch, _| switch.conferences().is_empty()).await.expect("running")
    })
    .await;
}

#[tokio::test]
async fn a_star_mutes_its_member_and_so_does_an_operator() {
    let text = format!("{THREE_PEERS}[conferences.sales]\nannounce = false\nmuted = true\n");
    let (switch, to) = switch(&text);
    let phone = phone();
    let ann = answered(&phone, to, from("ann", "conference/sales")).await;
    let bob = answered(&phone, to, from("bob", "604/sales")).await;
    let muted = async || {
        let rooms = switch.with(|_, switch, _| switch.conferences()).await.expect("running");
        rooms[0].1.iter().map(|member| member.muted).collect::<Vec<_>>()
    };
    assert_eq!(muted().await, [true, true], "as the room has it");
    ann.send_dtmf("*").await.expect("up");
    until("she is heard", async || muted().await == [false, true]).await;
    let (mut ear, _) = bob.audio().await.expect("accepted");
    tokio::select! {
        () = say(&ann, 4_000) => {}
        () = hears(&mut ear, 4_000) => {}
    }
    let call =
        switch.with(|_, switch, _| switch.conferences()[0].1[0].call).await.expect("running");
    assert!(switch.with(move |_, switch, _| switch.mute(call, true)).await.expect("running"));
    tokio::select! {
        () = say(&ann, 4_000) => {}
        () = hears(&mut ear, 0) => {}
    }
}

#[tokio::test]
async fn a_room_takes_as_many_as_it_may_and_announces_them() {
    let (_switch, to) = switch(&format!("{THREE_PEERS}[conferences.duo]\nmax_members = 2\n"));
    let phone = phone();
    let ann = answered(&phone, to, from("ann", "conference/duo")).await;
    let (mut ear, _) = ann.audio().await.expect("accepted");
    hears(&mut ear, 0).await;
    let _bob = answered(&phone, to, from("bob", "conference/duo")).await;
    let tone = async {
        loop {
            let frame = ear.next_frame().await.expect("running");
            if frame.payload.iter().any(|byte| *byte != 0xFF) {
                return;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, tone).await.is_ok(), "nobody is announced");
    assert_eq!(
        refused(&phone, to, from("cid", "conference/duo")).await.cause,
        CauseCode::USER_BUSY
    );
    let end = refused(&phone, to, from("cid", "conference/../duo")).await;
    assert_eq!(end.cause, CauseCode::UNALLOCATED);
}

#[tokio::test]
async fn a_room_with_a_pin_opens_for_it_alone() {
    let (switch, to) = switch(&format!("{THREE_PEERS}[conferences.board]\npin = \"4711\"\n"));
    let phone = phone();
    let members = async || {
        let rooms = switch.with(|_, switch, _| switch.conferences()).await.expect("running");
        rooms.first().map_or(0, |(_, members)| members.len())
    };
    let ann = answered(&phone, to, from("ann", "conference/board")).await;
    ann.send_dtmf("12#4711").await.expect("up");
    until("she is in", async || members().await == 1).await;
    let mut bob = answered(&phone, to, from("bob", "conference/board")).await;
    bob.send_dtmf("0815").await.expect("up");
    bob.send_dtmf("471#").await.expect("up");
    assert_eq!(members().await, 1);
    // It is over before the last key is released.
    let _ = bob.send_dtmf("1234").await;
    let end = ended(&mut bob).await;
    assert_eq!((end.cause, end.text.as_deref()), (CauseCode::REJECTED, Some("wrong PIN")));
    assert_eq!(members().await, 1);
}
