//! Events.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::{CONFIG, PATIENCE, Scene, ann_calls, phone, scene};

/// Listens to events.
pub(crate) struct Listener {
    lines: tokio::io::Lines<BufReader<TcpStream>>,
}

impl Listener {
    pub(crate) async fn begin(scene: &Scene, query: &str) -> Self {
        let client = Client::new(scene.api.address(), Some("viewer-viewer-viewer"));
        Self::begin_by(&client, query, "").await
    }

    /// The same by this client, with headers of its own.
    pub(crate) async fn begin_by(client: &Client, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(client.address).await.expect("it listens");
        let host = client.address.to_string();
        let head = client.head("GET", &format!("/v1/events{query}"), &host, headers);
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut listener = Self { lines: BufReader::new(stream).lines() };
        let status = listener.line().await;
        assert!(status.contains(" 200 "), "{status}");
        while !listener.line().await.is_empty() {}
        listener
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("a line in time").expect("readable").expect("the stream goes on")
    }

    /// Returns when the stream ends; what still comes is not looked at.
    pub(crate) async fn ends(&mut self) {
        let ended = async { while self.lines.next_line().await.expect("readable").is_some() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("it ends, though nothing happens");
    }

    /// The next event: its kind, its number, and what it says.
    pub(crate) async fn next(&mut self) -> (String, u64, serde_json::Value) {
        loop {
            if let Some(event) = self.next_unless_idle().await {
                return event;
            }
        }
    }

    /// The same; `None`: the switch says that it lives, as there is nothing else to be said.
    async fn next_unless_idle(&mut self) -> Option<(String, u64, serde_json::Value)> {
        let (mut kind, mut number, mut data) = (String::new(), 0, serde_json::Value::Null);
        loop {
            let line = self.line().await;
            if let Some(text) = line.strip_prefix("event: ") {
                kind = text.into();
            } else if let Some(text) = line.strip_prefix("id: ") {
                number = text.parse().expect("a number");
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = serde_json::from_str(text).expect("JSON");
            } else if line.starts_with(':') {
                return None;
            } else if line.is_empty() && !kind.is_empty() {
                return Some((kind, number, data));
            }
        }
    }
}

#[tokio::test]
async fn a_call_is_told_from_its_beginning_to_its_end() {
    let scene = scene().await;
    let mut all = Listener::begin(&scene, "?kinds=call_begun,call_answered,call_ended,limit").await;
    let mut ends = Listener::begin(&scene, "?kinds=call_ended").await;
    let phone = phone();
    drop(ann_calls(&phone, &scene, "7").await);
    let mut kinds = Vec::new();
    let mut before = 0;
    let mut calls = std::collections::BTreeSet::new();
    while kinds.last().is_none_or(|kind| kind != "call_ended") {
        let (kind, number, data) = all.next().await;
        assert!(number > before, "{kind} has the number {number}");
        before = number;
        assert_eq!(
            (&data["event"], &data["event_number"]),
            (&kind.as_str().into(), &number.into())
        );
        calls.extend(data["call"].as_str().map(ToString::to_string));
        if kind == "call_begun" {
            assert_eq!((&data["from"], &data["number"]), (&"ann".into(), &"7".into()));
        }
        kinds.push(kind);
    }
    assert_eq!(kinds, ["call_begun", "call_answered", "call_ended"]);
    assert_eq!(calls.len(), 1, "one id from beginning to end: {calls:?}");
    let (kind, number, data) = ends.next().await;
    assert_eq!((kind.as_str(), number), ("call_ended", before));
    let document = scene.client.get("/openapi.json").await.json();
    let schema = &document["components"]["schemas"]["News"];
    assert_eq!(crate::schema::mistakes(&document, schema, &data), [""; 0]);
}

#[tokio::test]
async fn so_many_may_listen_and_no_more() {
    let scene = scene().await;
    let mut listeners = Vec::new();
    for _ in 0..32 {
        listeners.push(Listener::begin(&scene, "").await);
    }
    assert_eq!(scene.client.get("/v1/events").await.status, 503);
    drop(listeners);
    crate::wait_for("a place to be free", async || {
        let metrics = scene.client.get("/v1/status").await;
        assert_eq!(metrics.status, 200);
        let free = tokio::time::timeout(PATIENCE, async {
            let client = Client::new(scene.api.address(), Some("viewer-viewer-viewer"));
            let mut stream = TcpStream::connect(client.address).await.expect("it listens");
            let head = client.head("GET", "/v1/events", &client.address.to_string(), "");
            stream.write_all(head.as_bytes()).await.expect("sent");
            let line = BufReader::new(stream).lines().next_line().await.expect("readable");
            line.expect("a status").contains(" 200 ")
        });
        free.await.expect("in time").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_began_it_though_nothing_happens() {
    let scene = scene().await;
    let mut looks = Listener::begin(&scene, "?kinds=overload").await;
    let mut other = Listener::begin_by(&scene.as_role("operator"), "?kinds=registration", "").await;
    let withdrawn = "[api.tokens.look]\nsecret = \"viewer-viewer-viewer\"\n";
    assert!(CONFIG.contains(withdrawn));
    std::fs::write(scene.file(), CONFIG.replace(withdrawn, "")).expect("writable");
    assert_eq!(scene.client.send("POST", "/v1/reload", None).await.status, 200);
    looks.ends().await;
    let phone = phone();
    let _registration = crate::registered(&phone, &scene, "ann").await;
    assert_eq!(other.next().await.0, "registration", "who may still listen does");
}

/// So many calls that end at once, and of which there are three events each.
async fn refuse_many(scene: &Scene, number: &str, count: usize) {
    let phone = phone();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..count {
        let call = oneport::NewCall::to(number);
        let mut call = phone.call(scene.switch(), call).await.expect("placed");
        calls.spawn(async move { call.answered().await.expect_err("there is no such number") });
        if calls.len() >= 50 {
            calls.join_next().await;
        }
    }
    while calls.join_next().await.is_some() {}
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_how_much_it_has_missed() {
    let server = "[server]\nmax_calls_per_address = 60000\n";
    let config = CONFIG.replace("[server]\n", server);
    let text = format!("{config}\n[guests]\nmax_calls = 1000\nmax_calls_per_address = 1000\n");
    let scene = crate::scene_with(&text).await;
    let client = Client::new(scene.api.address(), Some("viewer-viewer-viewer"));
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    // Little waits in the system.
    socket.set_recv_buffer_size(4_096).expect("a size");
    let mut stream = socket.connect(client.address).await.expect("it listens");
    let head = client.head("GET", "/v1/events", &client.address.to_string(), "");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut listener = Listener { lines: BufReader::with_capacity(512, stream).lines() };
    while !listener.line().await.is_empty() {}
    // Each of these becomes three bytes, so the events are longer than the calls.
    let number = "\u{1}".repeat(250);
    // How much the system keeps nobody knows, but it is less than that.
    refuse_many(&scene, &number, 8_000).await;
    // Now it reads, until nothing is left.
    let (mut missed, mut before) = (None, None);
    while let Some((kind, number, data)) = listener.next_unless_idle().await {
        if kind == "missed" {
            missed = data["missed"].as_u64();
            break;
        }
        let next = before.map_or(number, |before: u64| before + 1);
        assert_eq!(number, next, "nothing is missing before that is said");
        before = Some(number);
    }
    let missed = missed.expect("so much is not kept for anybody");
    assert!(missed > 0);
    let (_, number, _) = listener.next().await;
    let before = before.expect("some came in time");
    assert_eq!(number, before + missed + 1, "as many as were said");
    let metrics = scene.client.get("/metrics").await.body;
    let line = metrics.lines().find(|line| line.starts_with("oneport_events_missed_total "));
    let counted = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    // It may have missed more since.
    assert!(counted >= Some(missed), "{counted:?} of {missed}");
}
