//! Calls whose two ends share no codec, or want frames of another length.

use std::net::SocketAddr;
use std::time::Duration;

use oneport::{
    AudioReader, Call, CallEvent, CauseCode, Control, DtmfPhase, Format, NewCall, Phone,
    PhoneConfig, Registration, RegistrationConfig, RegistrationEvent, Secret,
};

use crate::setting::*;

/// A telephone that speaks these.
fn speaking(formats: &[Format]) -> Phone {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let formats = formats.to_vec();
    Phone::bind(PhoneConfig { listen, formats, ..PhoneConfig::default() }).expect("bound")
}

/// The same, registered under `name`.
async fn registered_speaking(
    to: SocketAddr,
    name: &str,
    formats: &[Format],
) -> (Phone, Registration) {
    let phone = speaking(formats);
    let config = RegistrationConfig {
        to,
        others: Vec::new(),
        username: name.into(),
        secret: Some(Secret::from(&name[..1])),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = phone.register(config).await.expect("running");
    let event = registration.next_event().await;
    assert!(matches!(event, Some(RegistrationEvent::Registered { .. })), "{event:?}");
    (phone, registration)
}

/// A call by Ann, or whoever, in these formats.
fn in_formats(name: &str, number: &str, formats: &[Format]) -> NewCall {
    NewCall { formats: formats.to_vec(), ..from(name, number) }
}

/// A bridged call: the caller, in its formats, and who is called.
async fn bridged_in(
    (caller, name, formats): (&Phone, &str, &[Format]),
    (called, number): (&Phone, &str),
    to: SocketAddr,
) -> (Call, Call) {
    tokio::join!(answered(caller, to, in_formats(name, number, formats)), async {
        incoming(called).await.answer().await.expect("the caller waits")
    })
}

/// Says `level` in the call's codec until it is dropped.
async fn speak(call: &Call, level: i16) {
    let mouth = call.speaker().expect("accepted");
    loop {
        mouth.play(&[level; 320]).await;
    }
}

/// Each hears what the other says. Levels are those that G.711 leaves alone.
async fn both_hear(one: &Call, other: &Call) {
    let (mut ear, _) = one.audio().await.expect("accepted");
    let (mut other_ear, _) = other.audio().await.expect("accepted");
    tokio::select! {
        () = speak(one, 1_000) => {}
        () = speak(other, 2_000) => {}
        () = async {
            hears(&mut other_ear, 1_000).await;
            hears(&mut ear, 2_000).await;
        } => {}
    }
}

async fn keys(call: &mut Call) -> String {
    let mut keys = String::new();
    while keys.len() < 3 {
        match tokio::time::timeout(PATIENCE, call.next_event()).await.expect("in time") {
            Some(CallEvent::Dtmf { digit, phase: DtmfPhase::Begin }) => keys.push(digit.into()),
            Some(CallEvent::Ended(end)) => panic!("{end:?}"),
            _ => {}
        }
    }
    keys
}

#[tokio::test]
async fn ends_that_share_no_codec_hear_each_other_and_all_else_passes() {
    let (switch, to) = switch(THREE_PEERS);
    let (bob, _at) = registered_speaking(to, "bob", &[Format::ULAW]).await;
    let ann = phone();
    let (mut ours, mut theirs) =
        bridged_in((&ann, "ann", &[Format::SLIN]), (&bob, "bob"), to).await;
    assert_eq!((ours.format(), theirs.format()), (Some(Format::SLIN), Some(Format::ULAW)));
    both_hear(&ours, &theirs).await;
    ours.send_dtmf("12#").await.expect("up");
    assert_eq!(keys(&mut theirs).await, "12#");
    theirs.send_dtmf("987").await.expect("up");
    assert_eq!(keys(&mut ours).await, "987");
    theirs.send_text("hello").await.expect("up");
    theirs.send_control(Control::Flash).await.expect("up");
    theirs.hold(None).await.expect("up");
    theirs.unhold().await.expect("up");
    let mut heard = Vec::new();
    while heard.len() < 4 {
        match tokio::time::timeout(PATIENCE, ours.next_event()).await.expect("in time") {
            Some(CallEvent::Text(text)) => heard.push(text),
            Some(CallEvent::Control { control, .. }) => heard.push(format!("{control:?}")),
            Some(CallEvent::Ended(end)) => panic!("{end:?}"),
            _ => {}
        }
    }
    assert_eq!(heard, ["hello", "Flash", "Hold", "Unhold"]);
    both_hear(&ours, &theirs).await;
    drop(ours);
    ended(&mut theirs).await;
    until("nothing is left", async || {
        switch.with(|endpoint, _, _| endpoint.calls()).await == Ok(0)
    })
    .await;
}

#[tokio::test]
async fn the_cheapest_codec_is_offered_first_and_none_where_both_speak_one() {
    let text = "
[peers.ann]
secret = \"a\"
[peers.bob]
secret = \"b\"
codecs = [\"g722\", \"ulaw\"]
[peers.cid]
secret = \"c\"
codecs = [\"gsm\", \"alaw\"]
";
    let (_switch, to) = switch(text);
    let all = [Format::GSM, Format::G722, Format::ULAW, Format::ALAW];
    let (bob, _b) = registered_speaking(to, "bob", &all).await;
    let (cid, _c) = registered_speaking(to, "cid", &all).await;
    let ann = phone();
    let hers = [Format::GSM, Format::ALAW];
    let (ours, theirs) = tokio::join!(answered(&ann, to, in_formats("ann", "bob", &hers)), async {
        let incoming = incoming(&bob).await;
        assert_eq!(incoming.offer().preferences, [Format::ULAW, Format::G722]);
        incoming.answer().await.expect("the caller waits")
    });
    // His order is another; hers is that beside which A-law costs less than GSM.
    assert_eq!((ours.format(), theirs.format()), (Some(Format::ALAW), Some(Format::G722)));
    let (ours, theirs) = bridged_in((&ann, "ann", &hers), (&cid, "cid"), to).await;
    assert_eq!((ours.format(), theirs.format()), (Some(Format::GSM), Some(Format::GSM)));
}

#[tokio::test]
async fn where_it_is_not_allowed_there_is_no_common_codec() {
    for text in [
        format!("[audio]\ntranscoding = false\n{THREE_PEERS}codecs = [\"ulaw\"]\n"),
        format!("{THREE_PEERS}codecs = [\"ulaw\"]\ntranscoding = false\n"),
        THREE_PEERS.replace("[peers.bob]", "transcoding = false\n[peers.bob]")
            + "codecs = [\"ulaw\"]\n",
        format!("{THREE_PEERS}codecs = [\"g729\"]\n"),
    ] {
        let (_switch, to) = switch(&text);
        let (_cid, _c) = registered(to, "cid").await;
        let end = refused(&phone(), to, in_formats("ann", "cid", &[Format::GSM])).await;
        assert_eq!(end.cause, CauseCode::BEARER_NOT_AVAILABLE, "{text}");
    }
}

#[tokio::test]
async fn more_calls_than_may_be_transcoded_are_refused_until_one_ends() {
    let text = format!("[audio]\nmax_transcoded_calls = 1\n{THREE_PEERS}codecs = [\"ulaw\"]\n");
    let (_switch, to) = switch(&text);
    let (cid, _c) = registered(to, "cid").await;
    let ann = phone();
    let linear = [Format::SLIN];
    let (ours, theirs) = bridged_in((&ann, "ann", &linear), (&cid, "cid"), to).await;
    let end = refused(&ann, to, in_formats("bob", "cid", &linear)).await;
    assert_eq!(end.cause, CauseCode::RESOURCE_UNAVAILABLE);
    // Who speaks the same costs nothing.
    let native = bridged((&ann, "bob"), (&cid, "cid"), to).await;
    assert_eq!(native.0.format(), Some(Format::ULAW));
    drop(ours);
    let mut theirs = theirs;
    ended(&mut theirs).await;
    let (ours, theirs) = bridged_in((&ann, "bob", &linear), (&cid, "cid"), to).await;
    both_hear(&ours, &theirs).await;
}

#[tokio::test]
async fn of_several_that_ring_whoever_answers_is_understood() {
    let text = format!(
        "{THREE_PEERS}[peers.dan]\nsecret = \"d\"\ncodecs = [\"alaw\"]\n\
         [[routes]]\nnumber = \"1\"\nstrategy = \"all\"\n\
         to = [\"peer:bob\", \"peer:cid\", \"peer:dan\"]\n"
    );
    let (_switch, to) = switch(&text);
    let (bob, _b) = registered_speaking(to, "bob", &[Format::ULAW]).await;
    let (cid, _c) = registered_speaking(to, "cid", &[Format::SLIN]).await;
    let (dan, _d) = registered_speaking(to, "dan", &[Format::ALAW]).await;
    let ann = phone();
    for answers in ["bob", "cid", "dan"] {
        let (ours, theirs) =
            tokio::join!(answered(&ann, to, in_formats("ann", "1", &[Format::ULAW])), async {
                let (bob, cid, dan) = tokio::join!(incoming(&bob), incoming(&cid), incoming(&dan));
                let one = match answers {
                    "bob" => bob,
                    "cid" => cid,
                    _ => dan,
                };
                one.answer().await.expect("the caller waits")
            });
        assert_eq!(ours.format(), Some(Format::ULAW));
        both_hear(&ours, &theirs).await;
    }
}

#[tokio::test]
async fn hold_music_transfer_and_parking_go_on_between_different_codecs() {
    let folder = tempfile::tempdir().expect("a directory");
    write_level(&folder.path().join("a.wav"), 4_000, 16_000);
    let text = format!(
        "[music.default]\nfolder = {:?}\n{}[parking]\nslots = 3\n",
        folder.path(),
        THREE_PEERS.replace("[peers.bob]", "hold_music = \"default\"\n[peers.bob]")
    );
    let (_switch, to) = switch(&text);
    let (bob, _b) = registered_speaking(to, "bob", &[Format::ULAW]).await;
    let (cid, _c) = registered_speaking(to, "cid", &[Format::ALAW]).await;
    let ann = phone();
    let (ours, theirs) = bridged_in((&ann, "ann", &[Format::SLIN]), (&bob, "bob"), to).await;
    ours.hold(None).await.expect("up");
    let (mut ear, _) = theirs.audio().await.expect("accepted");
    hears(&mut ear, 4_000).await;
    ours.unhold().await.expect("up");
    both_hear(&ours, &theirs).await;
    // Ann is led on to Cid, who speaks neither's codec.
    theirs.transfer("cid").await.expect("up");
    let theirs = incoming(&cid).await.answer().await.expect("she waits");
    both_hear(&ours, &theirs).await;
    theirs.transfer("park/2").await.expect("up");
    let (mut ear, _) = ours.audio().await.expect("accepted");
    hears(&mut ear, 4_000).await;
    let fetches = answered(&ann, to, in_formats("cid", "park/2", &[Format::ALAW])).await;
    assert_eq!(fetches.format(), Some(Format::ALAW));
    both_hear(&ours, &fetches).await;
}

/// The lengths of the next frames, in bytes, behind the first few.
async fn lengths(ear: &mut AudioReader) -> Vec<usize> {
    let mut lengths = Vec::new();
    for _ in 0..25 {
        let frame = tokio::time::timeout(PATIENCE, ear.next_frame()).await.expect("in time");
        lengths.push(frame.expect("running").payload.len());
    }
    lengths.split_off(5)
}

#[tokio::test]
async fn each_peer_gets_frames_as_long_as_it_wants() {
    for (codecs, wanted, bytes) in
        [("ulaw", 60, 480), ("ulaw", 10, 80), ("alaw", 30, 240), ("gsm", 30, 66), ("gsm", 10, 33)]
    {
        let text = format!("{THREE_PEERS}codecs = [\"{codecs}\"]\nframe_ms = {wanted}\n");
        let (_switch, to) = switch(&text);
        let ann = phone();
        let format = Format::from_name(codecs).expect("a format");
        let (cid, _c) = registered_speaking(to, "cid", &[format]).await;
        let (ours, theirs) = bridged_in((&ann, "ann", &[Format::ULAW]), (&cid, "cid"), to).await;
        assert_eq!(theirs.format(), Some(format));
        let ((mut ear, _), (mut their_ear, _)) =
            (ours.audio().await.expect("accepted"), theirs.audio().await.expect("accepted"));
        tokio::select! {
            () = speak(&ours, 1_000) => {}
            () = speak(&theirs, 1_000) => {}
            () = async {
                for (ear, bytes) in [(&mut their_ear, bytes), (&mut ear, 160)] {
                    let lengths = lengths(ear).await;
                    // One is shorter where the machine stood still for longer than it may wait for more.
                    let whole = lengths.iter().filter(|length| **length == bytes).count();
                    let most = lengths.iter().max();
                    assert!(whole >= 15 && most == Some(&bytes), "{codecs} {wanted}: {lengths:?}");
                }
            } => {}
        }
    }
}
