//! A carrier that is not heard: told while the call is up, and kept when it is over. And one that is heard before
//! it has answered.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oneport::{CallEvent, CauseCode, Progress};
use oneport_switch::sip::Gateway;
use oneport_switch::sip::rtp::Header;
use oneport_switch::{Config, Switch};
use oneport_testkit::peers::free_port;

use crate::stream::Listener;
use crate::{CONFIG, PATIENCE, Scene, named, phone, scene_with, wait_for};

/// A carrier that answers every call and sends voice only when it is let.
struct Carrier {
    sip: SocketAddr,
    speaks: Arc<AtomicBool>,
    answers: Arc<AtomicBool>,
}

/// What stands in a message behind `before` up to the end of the line.
fn line<'a>(message: &'a str, before: &str) -> &'a str {
    let at = message.find(before).unwrap_or_else(|| panic!("no {before} in {message}"));
    message[at + before.len()..].lines().next().unwrap_or_default()
}

impl Carrier {
    fn start() -> Self {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let (socket, media) = (UdpSocket::bind(here), UdpSocket::bind(here));
        let (socket, media) = (socket.expect("bound"), media.expect("bound"));
        let sip = socket.local_addr().expect("bound");
        let speaks = Arc::new(AtomicBool::new(false));
        let speaks_now = speaks.clone();
        let answers = Arc::new(AtomicBool::new(true));
        let answers_now = answers.clone();
        std::thread::spawn(move || {
            let mut voice_to = None;
            let mut waits = None;
            socket.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
            for n in 0_u16.. {
                if let Some(to) = voice_to.filter(|_| speaks_now.load(Ordering::Relaxed)) {
                    let timestamp = u32::from(n) * 160;
                    let header = Header {
                        marker: false,
                        payload_type: 0,
                        sequence: n,
                        timestamp,
                        source: 1,
                    };
                    media.send_to(&[&header.write()[..], &[5; 160]].concat(), to).expect("sent");
                }
                let mut datagram = [0; 4_096];
                let received = socket.recv_from(&mut datagram);
                let received = received.map(|(length, from)| {
                    (String::from_utf8_lossy(&datagram[..length]).into_owned(), from)
                });
                let waited = waits.take_if(|_| answers_now.load(Ordering::Relaxed));
                let Some((message, from)) = received.ok().or(waited) else { continue };
                if message.starts_with("ACK") {
                    continue;
                }
                let mut body = String::new();
                if message.starts_with("INVITE") {
                    let port = line(&message, "m=audio ").split(' ').next();
                    let port = port.and_then(|port| port.parse().ok()).expect("a port");
                    voice_to = Some(SocketAddr::new(from.ip(), port));
                    if !answers_now.load(Ordering::Relaxed) {
                        waits = Some((message, from));
                        continue;
                    }
                    let port = media.local_addr().expect("bound").port();
                    body = format!(
                        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                         m=audio {port} RTP/AVP 0\r\n"
                    );
                }
                let answer = format!(
                    "SIP/2.0 200 OK\r\nVia:{}\r\nFrom:{}\r\nTo:{};tag=1\r\nCall-ID:{}\r\nCSeq:{}\r\n\
                     Contact: <sip:{sip}>\r\nContent-Type: application/sdp\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    line(&message, "Via:"),
                    line(&message, "From:"),
                    line(&message, "To:"),
                    line(&message, "Call-ID:"),
                    line(&message, "CSeq:"),
                    body.len(),
                );
                socket.send_to(answer.as_bytes(), from).expect("sent");
            }
        });
        Self { sip, speaks, answers }
    }
}

/// A switch to which this carrier belongs.
async fn scene_of(carrier: &Carrier) -> (Scene, Option<Gateway>) {
    let text = format!(
        "{CONFIG}\n[sip]\nudp = [\"127.0.0.1:{}\"]\n\
         [carriers.acme]\nhost = \"{}\"\noptions_seconds = 0\n\
         [[routes]]\npattern = \"_9X.\"\nto = [\"carrier:acme\"]\n",
        free_port(),
        carrier.sip
    );
    let scene = scene_with(&text).await;
    let config = Config::load(&scene.directory.path().join("oneport.toml")).expect("good");
    let gateway = Switch::start_gateway(&scene.driver, &config).expect("started");
    (scene, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_is_not_heard_is_told_by_event_call_metrics_and_record_and_when_it_is() {
    let carrier = Carrier::start();
    let (scene, _gateway) = scene_of(&carrier).await;
    let mut events = Listener::begin(&scene, "?kinds=call_one_way,call_both_ways").await;
    let phone = phone();
    let call = phone.call(scene.switch(), named("9100", "ann", "secret of ann")).await;
    let mut call = call.expect("placed");
    call.answered().await.expect("answered");
    let speaker = call.speaker().expect("accepted");
    // Until it is hung up.
    let speaking = tokio::spawn(async move { speaker.play(&vec![1_000; 8_000 * 120]).await });

    let (kind, _, told) = events.next().await;
    assert_eq!((kind.as_str(), &told["peer"]), ("call_one_way", &"carrier:acme".into()), "{told}");
    assert_eq!((&told["unheard"], &told["reason"]), (&"peer".into(), &"no_packet".into()));
    let sentence = "one-way audio: the SIP side is not heard: no packet has come to 127.0.0.1:";
    assert!(told["why"].as_str().is_some_and(|why| why.starts_with(sentence)), "{told}");
    let id = told["call"].as_str().expect("an id").to_string();
    let shown = scene.client.get(&format!("/v1/calls/{id}")).await.json();
    assert_eq!(shown["called"][0]["one_way"]["reason"], "no_packet", "{shown}");
    assert!(shown["caller"]["one_way"].is_null(), "{shown}");
    let metrics = scene.client.get("/metrics").await.body;
    assert!(metrics.contains("oneport_legs_unheard 1\n"), "{metrics}");

    carrier.speaks.store(true, Ordering::Relaxed);
    let (kind, _, told) = events.next().await;
    assert_eq!((kind.as_str(), &told["call"]), ("call_both_ways", &id.as_str().into()), "{told}");
    let shown = scene.client.get(&format!("/v1/calls/{id}")).await.json();
    assert!(shown["called"][0]["one_way"].is_null(), "{shown}");
    let metrics = scene.client.get("/metrics").await.body;
    assert!(metrics.contains("oneport_legs_unheard 0\n"), "{metrics}");
    let counted = "oneport_one_way_legs_total{reason=\"no_packet\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");

    call.hangup(CauseCode::NORMAL_CLEARING);
    call.ended().await.expect("it ends");
    speaking.abort();
    let story = wait_for("the records", async || {
        let story = scene.client.get(&format!("/v1/calls/{id}/story")).await;
        let both = || story.json()["legs"].as_array().is_some_and(|legs| legs.len() == 2);
        (story.status == 200 && both()).then(|| story.json())
    })
    .await;
    let quality = &story["legs"][1]["quality"];
    assert_eq!(quality["one_way"], "no_packet", "{story}");
    assert!(quality["one_way_why"].as_str().is_some_and(|why| why.starts_with(sentence)));
    let (lasted, all) = (&quality["one_way_ms"], &story["legs"][1]["duration_ms"]);
    assert!(lasted.as_u64() < all.as_u64(), "{story}");
    assert!(story["legs"][0]["quality"]["one_way"].is_null(), "{story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_that_overtakes_the_answer_is_heard() {
    let carrier = Carrier::start();
    carrier.answers.store(false, Ordering::Relaxed);
    carrier.speaks.store(true, Ordering::Relaxed);
    let (scene, _gateway) = scene_of(&carrier).await;
    let phone = phone();
    let call = phone.call(scene.switch(), named("9100", "ann", "secret of ann")).await;
    let mut call = call.expect("placed");
    let mut events = Vec::new();
    // It says nothing by SIP, but its voice shows that there is something to be heard.
    while !events.contains(&CallEvent::Progress(Progress::EarlyMedia)) {
        let event = tokio::time::timeout(PATIENCE, call.next_event()).await.expect("in time");
        events.push(event.expect("it lives"));
    }
    assert!(!events.contains(&CallEvent::Answered), "{events:?}");
    let (mut reader, _speaker) = call.audio().await.expect("accepted");
    for _ in 0..10 {
        let frame = tokio::time::timeout(PATIENCE, reader.next_frame()).await.expect("in time");
        assert_eq!(frame.expect("the call lives").payload.as_slice(), [5; 160]);
    }
    carrier.answers.store(true, Ordering::Relaxed);
    call.answered().await.expect("answered");
    for _ in 0..10 {
        let frame = tokio::time::timeout(PATIENCE, reader.next_frame()).await.expect("in time");
        assert_eq!(frame.expect("the call lives").payload.as_slice(), [5; 160]);
    }
}
