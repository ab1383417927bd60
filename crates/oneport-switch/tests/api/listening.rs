//! Calls that somebody listens to while they are up (WebSocket).

use std::time::Duration;

use oneport::media::comfort_noise::level_of;
use oneport::media::{Codec, tone};
use oneport::{AudioWriter, Call, EncryptionPolicy, Format, NewCall, Phone, Registration};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::recording::{contains, noise};
use crate::{CONFIG, PATIENCE, Scene, named, phone, registered, scene_with};

/// `look` and `desk` are as in [`CONFIG`]; `ear` may listen.
pub(crate) fn config() -> String {
    format!(
        "{CONFIG}\n[api.tokens.ear]\nsecret = \"ear-ear-ear-ear-ear\"\nlisten = true\n\
         [[routes]]\nnumber = \"8\"\nto = [\"peer:bob\"]\n"
    )
}

/// A listener's end of the WebSocket.
pub(crate) struct Socket(pub(crate) BufReader<TcpStream>);

pub(crate) enum Message {
    Text(Value),
    Audio(Vec<i16>),
    /// With what the ping had.
    Pong(Vec<u8>),
    /// With its code (RFC 6455 §7.4.1).
    Close(u16),
}

/// Asks for a call's audio with a token: the socket, or the status of the refusal and its body.
pub(crate) async fn listen(
    scene: &Scene,
    path: &str,
    token: &str,
) -> Result<Socket, (u16, String)> {
    let stream = TcpStream::connect(scene.api.address()).await.expect("it listens");
    listen_by(stream, path, token).await
}

/// The same by a connection that is there.
pub(crate) async fn listen_by(
    mut stream: TcpStream,
    path: &str,
    token: &str,
) -> Result<Socket, (u16, String)> {
    let address = stream.peer_addr().expect("connected");
    // Key and answer are those of RFC 6455 §1.3.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("text").to_lowercase();
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("one");
    if status == 101 {
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        return Ok(Socket(stream));
    }
    let length = head.split_once("content-length: ").expect("a length").1;
    let length = length.split("\r\n").next().and_then(|length| length.parse().ok());
    let mut body = vec![0; length.expect("a number")];
    stream.read_exact(&mut body).await.expect("a body");
    Err((status, String::from_utf8(body).expect("text")))
}

impl Socket {
    pub(crate) async fn next(&mut self) -> Message {
        let [first, length] =
            [self.0.read_u8().await, self.0.read_u8().await].map(|byte| byte.expect("up"));
        let length = match length {
            126 => usize::from(self.0.read_u16().await.expect("up")),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.expect("up");
        match first {
            0x81 => Message::Text(serde_json::from_slice(&payload).expect("JSON")),
            0x82 => {
                let samples = payload.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair));
                Message::Audio(samples.collect())
            }
            0x8A => Message::Pong(payload),
            0x88 => Message::Close(u16::from_be_bytes([payload[0], payload[1]])),
            other => panic!("opcode {other:x}"),
        }
    }

    pub(crate) async fn first(&mut self) -> Value {
        match self.next().await {
            Message::Text(begins) => begins,
            _ => panic!("it does not say what it sends"),
        }
    }
}

/// A call from ann to bob that is up.
pub(crate) struct Bridged {
    pub(crate) ours: Call,
    pub(crate) theirs: Call,
    /// Its path in the API.
    pub(crate) call: String,
    _phones: [Phone; 2],
    _registration: Registration,
}

/// Has ann place this call, which bob answers.
pub(crate) async fn bridged(scene: &Scene, call: NewCall) -> Bridged {
    let (ann, bob) = (phone(), phone());
    let registration = registered(&bob, scene, "bob").await;
    let mut ours = ann.call(scene.switch(), call).await.expect("placed");
    let theirs = bob.incoming().await.expect("it rings").answer().await.expect("answered");
    ours.answered().await.expect("answered");
    let calls = scene.client.get("/v1/calls").await.json();
    let id = calls["calls"][0]["id"].as_str().expect("a call is up");
    let call = format!("/v1/calls/{id}");
    Bridged { ours, theirs, call, _phones: [ann, bob], _registration: registration }
}

/// Says a tone until it is dropped.
pub(crate) async fn say(call: &Call, frequency: f64) {
    let speaker = call.speaker().expect("accepted");
    let mut tone = tone::Sine::new(frequency, 8_000, 0.3);
    loop {
        let samples: Vec<i16> = tone.by_ref().take(160).collect();
        let mut payload = Vec::new();
        Codec::Ulaw.encode(&samples, &mut payload);
        speaker.send(Format::ULAW, &payload, 20);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Listens until the caller is heard left and the called right.
pub(crate) async fn hears_both(socket: &mut Socket, rate: u32) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        if let Message::Audio(samples) = socket.next().await {
            assert_eq!(samples.len(), rate as usize / 50 * 2);
            for pair in samples.as_chunks::<2>().0 {
                left.push(pair[0]);
                right.push(pair[1]);
            }
        }
        let part = rate as usize / 5;
        let Some(begin) = left.len().checked_sub(part) else { continue };
        let level = |side: &[i16], frequency| tone::level_dbm0(&side[begin..], frequency, rate);
        if level(&left, 500.0) > -15.0
            && level(&right, 1_000.0) > -15.0
            && level(&left, 1_000.0) < -35.0
            && level(&right, 500.0) < -35.0
        {
            return;
        }
    }
}

#[tokio::test]
async fn both_sides_are_heard_at_any_rate_by_whoever_may_and_by_nobody_else() {
    let scene = scene_with(&config()).await;
    let Bridged { ours, theirs, call, .. } =
        bridged(&scene, named("8", "ann", "secret of ann")).await;
    let path = format!("{call}/audio");
    let ear = "ear-ear-ear-ear-ear";
    // An administrator has not that right of itself.
    let Err((status, body)) = listen(&scene, &path, "admin-admin-admin-admin").await else {
        panic!("anybody may listen");
    };
    assert!(status == 403 && body.contains("listen = true"), "{status} {body}");
    for (path, token, expected) in [
        (path.as_str(), "nobody-nobody-nobody", 401),
        ("/v1/calls/none/audio", ear, 404),
        (&format!("{path}?rate=11025"), ear, 422),
    ] {
        let Err((status, body)) = listen(&scene, path, token).await else { panic!("{path}") };
        assert_eq!(status, expected, "{body}");
    }
    let plain = crate::client::Client::new(scene.api.address(), Some(ear)).get(&path).await;
    assert_eq!(plain.status, 400, "{}", plain.body);
    let mut narrow = listen(&scene, &path, ear).await.expect("it may");
    let begins = narrow.first().await;
    assert_eq!((&begins["rate"], &begins["sides"][1]), (&8_000.into(), &"called".into()));
    let mut wide = listen(&scene, &format!("{path}?rate=48000"), ear).await.expect("it may");
    assert_eq!(wide.first().await["rate"], 48_000);
    tokio::select! {
        () = say(&ours, 500.0) => {}
        () = say(&theirs, 1_000.0) => {}
        () = async {
            hears_both(&mut narrow, 8_000).await;
            hears_both(&mut wide, 48_000).await;
        } => {}
    }
    // One that goes leaves the other, and with the call that ends too.
    drop(narrow);
    drop(ours);
    let closes = async { while !matches!(wide.next().await, Message::Close(1000)) {} };
    let closed = tokio::time::timeout(PATIENCE, closes).await;
    assert!(closed.is_ok(), "the call is over, and nobody says so");
}

#[tokio::test]
async fn a_call_that_is_encrypted_is_heard_in_plain_by_whoever_may_listen() {
    let text = config().replace("[peers.ann]\n", "[peers.ann]\nencryption = \"required\"\n");
    let scene = scene_with(&text).await;
    let mut call = named("8", "ann", "secret of ann");
    call.encryption = EncryptionPolicy::Required;
    let Bridged { ours, theirs, call, .. } = bridged(&scene, call).await;
    let mut socket =
        listen(&scene, &format!("{call}/audio"), "ear-ear-ear-ear-ear").await.expect("it may");
    socket.first().await;
    let heard = tokio::select! {
        () = say(&ours, 500.0) => unreachable!(),
        () = say(&theirs, 1_000.0) => unreachable!(),
        heard = tokio::time::timeout(PATIENCE, hears_both(&mut socket, 8_000)) => heard,
    };
    assert!(heard.is_ok(), "not heard in {PATIENCE:?}");
}

/// Says the same again and again.
async fn repeat(mouth: &AudioWriter, said: &[i16]) {
    loop {
        mouth.play(said).await;
    }
}

/// Listens until `enough` says that of what was heard left and right.
async fn listen_until(socket: &mut Socket, what: &str, enough: impl Fn(&[i16], &[i16]) -> bool) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let hears = async {
        loop {
            let Message::Audio(samples) = socket.next().await else { continue };
            left.extend(samples.iter().step_by(2));
            right.extend(samples.iter().skip(1).step_by(2));
            if left.len().is_multiple_of(800) && enough(&left, &right) {
                return;
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, hears).await;
    assert!(heard.is_ok(), "{what}: not heard in {PATIENCE:?}");
}

#[tokio::test]
async fn what_both_sides_say_is_heard_bit_for_bit_from_the_middle_of_a_call_on_and_pauses_as_noise()
{
    let scene = scene_with(&config()).await;
    let Bridged { ours, theirs, call, .. } =
        bridged(&scene, named("8", "ann", "secret of ann")).await;
    let path = format!("{call}/audio");
    let (ours_said, theirs_said) = (noise(1, 16_000), noise(2, 16_000));
    let twice = |said: &[i16]| [said, said].concat();
    let (ours_twice, theirs_twice) = (twice(&ours_said), twice(&theirs_said));
    let (mouth, their_mouth) = (ours.speaker().expect("up"), theirs.speaker().expect("up"));
    // Half a second of it, with nothing in between.
    let last = |heard: &[i16]| heard[heard.len().saturating_sub(4_000)..].to_vec();
    let exact = |heard: &[i16], said: &[i16]| heard.len() >= 4_000 && contains(said, &last(heard));
    let mut socket = tokio::select! {
        () = repeat(&mouth, &ours_said) => unreachable!(),
        () = repeat(&their_mouth, &theirs_said) => unreachable!(),
        socket = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let mut socket = listen(&scene, &path, "ear-ear-ear-ear-ear").await.expect("it may");
            socket.first().await;
            listen_until(&mut socket, "both voices", |left, right| {
                exact(left, &ours_twice) && exact(right, &theirs_twice)
            })
            .await;
            socket
        } => socket,
    };
    // The caller falls silent, and says so.
    mouth.pause(40);
    tokio::select! {
        () = repeat(&their_mouth, &theirs_said) => unreachable!(),
        () = listen_until(&mut socket, "a pause left, and a voice right", |left, right| {
            left.len() >= 4_000
                && level_of(&last(left)).abs_diff(40) <= 2
                && exact(right, &theirs_twice)
        }) => {}
    }
}
