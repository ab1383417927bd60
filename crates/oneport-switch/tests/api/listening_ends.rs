//! When somebody listens to a call no more, and when still.

use std::net::SocketAddr;
use std::time::Duration;

use oneport::Format;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use crate::listening::{
    Bridged, Message, Socket, bridged, config, hears_both, listen, listen_by, say,
};
use crate::{PATIENCE, Scene, named, phone, registered, scene_with, wait_for};

const EAR: &str = "ear-ear-ear-ear-ear";

async fn listeners(scene: &Scene, call: &str) -> Value {
    scene.client.get(call).await.json()["listeners"].clone()
}

/// The code with which the switch ends it.
async fn closes(socket: &mut Socket) -> u16 {
    let closes = async {
        loop {
            if let Message::Close(code) = socket.next().await {
                return code;
            }
        }
    };
    tokio::time::timeout(PATIENCE, closes).await.expect("it goes on and on")
}

async fn reload(scene: &Scene, text: &str) {
    std::fs::write(scene.file(), text).expect("writable");
    let done = scene.client.send("POST", "/v1/reload", None).await;
    assert_eq!(done.status, 200, "{}", done.body);
}

#[tokio::test]
async fn a_reload_that_takes_the_right_or_the_token_away_ends_the_listening_at_once() {
    let other = "[api.tokens.other]\nsecret = \"other-other-other-other\"\nlisten = true\n";
    let all = format!("{}{other}", config());
    let scene = scene_with(&all).await;
    let Bridged { ours, theirs, call, .. } =
        bridged(&scene, named("8", "ann", "secret of ann")).await;
    let path = format!("{call}/audio");
    let mut stays = listen(&scene, &path, "other-other-other-other").await.expect("it may");
    stays.first().await;
    let own = format!("[api.tokens.ear]\nsecret = \"{EAR}\"\nlisten = true\n");
    for (without, refused) in [
        (all.replace(&own, &format!("[api.tokens.ear]\nsecret = \"{EAR}\"\n")), 403),
        (all.replace(&own, ""), 401),
        (all.replace(EAR, "another-another-another"), 401),
    ] {
        assert_ne!(without, all);
        let mut socket = listen(&scene, &path, EAR).await.expect("it may");
        socket.first().await;
        assert_eq!(listeners(&scene, &call).await, serde_json::json!(["other", "ear"]));
        reload(&scene, &without).await;
        assert_eq!(closes(&mut socket).await, 1008);
        wait_for("one who listens", async || {
            (listeners(&scene, &call).await == serde_json::json!(["other"])).then_some(())
        })
        .await;
        let again = listen(&scene, &path, EAR).await.err().expect("it may no more");
        assert_eq!(again.0, refused, "{}", again.1);
        reload(&scene, &all).await;
    }
    // Who may still listen does, and the call is up.
    let heard = tokio::select! {
        () = say(&ours, 500.0) => unreachable!(),
        () = say(&theirs, 1_000.0) => unreachable!(),
        heard = tokio::time::timeout(PATIENCE, hears_both(&mut stays, 8_000)) => heard,
    };
    assert!(heard.is_ok(), "not heard in {PATIENCE:?}");
}

#[tokio::test]
async fn who_sends_what_no_listener_has_to_say_is_cut_and_who_pings_is_answered() {
    let scene = scene_with(&config()).await;
    let Bridged { ours: _ours, theirs: _theirs, call, .. } =
        bridged(&scene, named("8", "ann", "secret of ann")).await;
    let path = format!("{call}/audio");
    // Masked by zeros where nothing else is said (RFC 6455 §5.2).
    let too_long = [&[0x82, 0xFE, 0x10, 0x01, 0, 0, 0, 0][..], &[0; 4_097]].concat();
    for (what, sent) in [
        ("a frame that is not masked", &b"\x81\x02hi"[..]),
        ("an opcode that there is not", b"\x83\x80\0\0\0\0"),
        ("a frame without end", b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0"),
        ("a long message", &too_long),
        ("text that is none", b"\x81\x82\0\0\0\0\xFF\xFE"),
        ("a ping in pieces", b"\x09\x80\0\0\0\0"),
        ("its end", b"\x88\x80\0\0\0\0"),
    ] {
        let Socket(mut stream) = listen(&scene, &path, EAR).await.expect("it may");
        stream.get_mut().write_all(sent).await.expect("sent");
        wait_for(what, async || {
            (listeners(&scene, &call).await == serde_json::json!([])).then_some(())
        })
        .await;
        let mut rest = Vec::new();
        let ends = read_to_end(&mut stream, &mut rest);
        tokio::time::timeout(PATIENCE, ends).await.expect(what);
    }
    let mut socket = listen(&scene, &path, EAR).await.expect("it may");
    socket.first().await;
    socket.0.get_mut().write_all(&b"\x89\x81\0\0\0\0\x07".repeat(500)).await.expect("sent");
    let mut pong = false;
    let answered = async {
        loop {
            match socket.next().await {
                Message::Pong(payload) => {
                    assert_eq!(payload, [7]);
                    pong = true;
                }
                Message::Audio(_) if pong => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("a pong, and audio behind it");
}

/// What the system keeps at most for a listener that takes nothing, both ends together: a second and a half at 48 kHz.
const KEPT: usize = 300_000;

/// Reads nothing, and has little room for what comes.
async fn narrow_stream(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    socket.connect(to).await.expect("it listens")
}

#[tokio::test]
async fn who_takes_nothing_is_cut_and_the_call_loses_no_frame_and_others_hear_on() {
    let scene = scene_with(&config()).await;
    let Bridged { ours, theirs, call, .. } =
        bridged(&scene, named("8", "ann", "secret of ann")).await;
    let stream = narrow_stream(scene.api.address()).await;
    let path = format!("{call}/audio?rate=48000");
    let stuck = listen_by(stream, &path, EAR).await.expect("it may");
    let mut quick = listen(&scene, &format!("{call}/audio"), EAR).await.expect("it may");
    quick.first().await;
    assert_eq!(listeners(&scene, &call).await, serde_json::json!(["ear", "ear"]));
    let (mut ear, _mouth) = theirs.audio().await.expect("accepted");
    let speaker = ours.speaker().expect("accepted");
    let says = async {
        for n in 0_u32.. {
            let mut payload = [0x55; 160];
            payload[..4].copy_from_slice(&n.to_be_bytes());
            speaker.send(Format::ULAW, &payload, 20);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let hears = async {
        for n in 0_u32.. {
            let frame = ear.next_frame().await.expect("the call is up");
            let first = frame.payload.first_chunk().expect("a frame");
            assert_eq!(u32::from_be_bytes(*first), n, "a frame is missing");
        }
    };
    let listens = async {
        loop {
            assert!(!matches!(quick.next().await, Message::Close(_)), "cut though it listens");
        }
    };
    // What the system keeps for it must be full first, which is little.
    let cut = async {
        while listeners(&scene, &call).await != serde_json::json!(["ear"]) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = says => unreachable!(),
        () = hears => unreachable!(),
        () = listens => unreachable!(),
        cut = tokio::time::timeout(3 * PATIENCE, cut) => cut.expect("it is never cut"),
    }
    // What was on its way comes, and nothing behind it.
    let mut rest = Vec::new();
    let Socket(mut stuck): Socket = stuck;
    let read = read_to_end(&mut stuck, &mut rest);
    tokio::time::timeout(PATIENCE, read).await.expect("it goes on and on");
    assert!((1..KEPT).contains(&rest.len()), "{} bytes were kept for it", rest.len());
    while !matches!(quick.next().await, Message::Audio(_)) {}
}

/// Reads until the other side is gone, in whatever way.
async fn read_to_end(stream: &mut BufReader<TcpStream>, rest: &mut Vec<u8>) {
    let _ = stream.read_to_end(rest).await;
}

#[tokio::test]
async fn a_call_that_is_led_on_is_heard_and_recorded_on_and_with_its_end_no_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!(
        "{}[[routes]]\nnumber = \"9\"\nto = [\"peer:carl\"]\n[peers.carl]\n\
         secret = \"secret of carl\"\ncodecs = [\"ulaw\"]\n[audio]\nrecord = {:?}\n",
        config(),
        directory.path()
    );
    for party in ["caller", "called"] {
        let scene = scene_with(&text).await;
        let carl = phone();
        let _registration = registered(&carl, &scene, "carl").await;
        let Bridged { ours, theirs, call, .. } =
            bridged(&scene, named("8", "ann", "secret of ann")).await;
        let begun = scene.client.send("POST", &format!("{call}/recording"), None).await;
        assert_eq!(begun.status, 200, "{}", begun.body);
        let mut socket = listen(&scene, &format!("{call}/audio"), EAR).await.expect("it may");
        socket.first().await;
        let body = format!(r#"{{"to": "9", "party": "{party}"}}"#);
        let led = scene.client.send("POST", &format!("{call}/transfer"), Some(&body)).await;
        assert_eq!(led.status, 204, "{}", led.body);
        let third = carl.incoming().await.expect("it rings").answer().await.expect("answered");
        // Who has come is heard where the one was who has gone.
        let (stays, left, right) = match party {
            "caller" => (&ours, &ours, &third),
            _ => (&theirs, &third, &theirs),
        };
        let heard = tokio::select! {
            () = say(left, 500.0) => unreachable!(),
            () = say(right, 1_000.0) => unreachable!(),
            heard = tokio::time::timeout(PATIENCE, hears_both(&mut socket, 8_000)) => heard,
        };
        assert!(heard.is_ok(), "{party}: not heard in {PATIENCE:?}");
        stays.hangup(oneport::CauseCode::NORMAL_CLEARING);
        assert_eq!(closes(&mut socket).await, 1000, "{party}");
        wait_for("the recording to be over", async || {
            scene
                .client
                .get("/metrics")
                .await
                .body
                .contains("\noneport_recordings 0\n")
                .then_some(())
        })
        .await;
    }
}
