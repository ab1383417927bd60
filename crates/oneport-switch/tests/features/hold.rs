//! Hold and resume through a bridge.

use oneport::media::Codec;
use oneport::{CallEvent, Control, Format};

use crate::setting::*;

#[tokio::test]
async fn who_is_held_hears_the_music_of_the_holder_and_then_the_holder_again() {
    let folder = tempfile::tempdir().expect("a directory");
    write_level(&folder.path().join("a.wav"), 4_000, 16_000);
    let text = format!(
        "[music.default]\nfolder = {:?}\n[peers.ann]\nsecret = \"a\"\nhold_music = \"default\"\n\
         [peers.bob]\nsecret = \"b\"\n",
        folder.path()
    );
    let (_switch, to) = switch(&text);
    let ((bob, _at), ann) = (registered(to, "bob").await, phone());
    let (mut ours, theirs) = bridged((&ann, "ann"), (&bob, "bob"), to).await;
    let (mut ear, _) = theirs.audio().await.expect("accepted");
    let (mut our_ear, mouth) = ours.audio().await.expect("accepted");
    mouth.play(&[1_000; 1_600]).await;
    hears(&mut ear, 1_000).await;
    ours.hold(None).await.expect("up");
    hears(&mut ear, 4_000).await;
    // What Ann says meanwhile is not for Bob.
    mouth.play(&[2_000; 1_600]).await;
    ours.unhold().await.expect("up");
    // Speak until the hold is over.
    let silent = async {
        loop {
            mouth.send(Format::ULAW, &[0x55; 160], 20);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let mut payload = Vec::new();
    Codec::Ulaw.encode(&[2_000; 160], &mut payload);
    let again = async {
        loop {
            let frame = ear.next_frame().await.expect("running").payload;
            assert_ne!(frame.as_slice(), payload, "what was said on hold is heard");
            if frame.as_slice() == [0x55; 160] {
                return;
            }
        }
    };
    tokio::select! {
        () = silent => {}
        heard = tokio::time::timeout(PATIENCE, again) => heard.expect("heard again"),
    }
    // Bob has none: his hold is passed on, and so is what he says.
    theirs.hold(Some("jazz")).await.expect("up");
    theirs.unhold().await.expect("up");
    for expected in [(Control::Hold, &b"jazz"[..]), (Control::Unhold, b"")] {
        let (control, payload) = (expected.0, expected.1.to_vec());
        assert_eq!(ours.next_event().await, Some(CallEvent::Control { control, payload }));
    }
    let (_, mouth) = theirs.audio().await.expect("accepted");
    mouth.play(&[3_000; 1_600]).await;
    hears(&mut our_ear, 3_000).await;
    assert!(theirs.stats().await.is_some());
    drop(theirs);
    ended(&mut ours).await;
}

#[tokio::test]
async fn music_is_a_destination_too() {
    let folder = tempfile::tempdir().expect("a directory");
    write_level(&folder.path().join("a.wav"), 4_000, 1_600);
    let text = format!(
        "[music.jazz]\nfolder = {:?}\n{THREE_PEERS}\
         [[routes]]\nnumber = \"1\"\nto = [\"builtin:music/jazz\"]\n",
        folder.path()
    );
    let (_switch, to) = switch(&text);
    let ann = phone();
    for number in ["1", "music/jazz", "606/jazz"] {
        let call = answered(&ann, to, from("ann", number)).await;
        let (mut ear, _) = call.audio().await.expect("accepted");
        // Longer than the file is.
        for _ in 0..30 {
            hears(&mut ear, 4_000).await;
        }
    }
    let end = refused(&ann, to, from("ann", "music")).await;
    assert_eq!(end.cause, oneport::CauseCode::UNALLOCATED);
}
