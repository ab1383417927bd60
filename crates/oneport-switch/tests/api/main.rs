//! The HTTP API of a switch on the loopback, by a client that knows HTTP and nothing else.

mod choppy;
mod client;
mod console;
mod document;
mod examples;
mod exposition;
mod guard;
mod listening;
mod listening_ends;
mod log;
mod one_way;
mod originate;
mod radio;
mod realtime;
mod recording;
mod rooms;
mod schema;
mod straight;
mod stream;
mod timeline;
mod transcoded;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use oneport::{Call, Driver, DriverConfig, NewCall, Phone, PhoneConfig, Secret};
use oneport_switch::api::Api;
use oneport_switch::store::{Records, SqliteStore};
use oneport_switch::{Config, LogTail, Switch};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use client::Client;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One peer that registers and calls, one that is not there, and tokens for each role.
const CONFIG: &str = r#"
[overload]
enabled = false

[server]
listen = ["127.0.0.1:0"]

[api]
listen = "127.0.0.1:0"
hosts = ["pbx.example.org"]

[api.tokens.look]
secret = "viewer-viewer-viewer"

[api.tokens.desk]
secret = "operator-operator-operator"
role = "operator"

[api.tokens.boss]
secret = "admin-admin-admin-admin"
role = "admin"

[peers.ann]
secret = "secret of ann"
codecs = ["ulaw"]

[peers.bob]
secret = "secret of bob"
codecs = ["ulaw"]

[peers.gone]
address = "127.0.0.1:9"
qualify_limit_ms = 100
qualify_not_ok_seconds = 1
qualify_seconds = 1

[[routes]]
number = "7"
to = ["builtin:echo"]

[[limits]]
name = "ann"
peers = ["ann"]
max_calls = 2

[[registrations]]
to = "127.0.0.1:9"
username = "us"
secret = "anything"
"#;

/// The log of all switches of this process.
fn log() -> LogTail {
    static LOG: LazyLock<LogTail> = LazyLock::new(|| {
        let tail = LogTail::default();
        tracing_subscriber::registry().with(LevelFilter::INFO).with(tail.clone()).init();
        tail
    });
    LOG.clone()
}

/// A switch with an API.
struct Scene {
    api: Api,
    driver: Driver<Switch>,
    client: Client,
    /// Its file and its state.
    directory: tempfile::TempDir,
}

async fn scene() -> Scene {
    scene_with(CONFIG).await
}

async fn scene_with(text: &str) -> Scene {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("oneport.toml");
    std::fs::write(&file, text).expect("writable");
    let config = Config::load(&file).expect("a good configuration");
    let api = config.api.clone();
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    let store = Arc::new(SqliteStore::in_memory().await.expect("a store"));
    let (mut switch, records) = (Switch::new(config), Records::default());
    switch.keep_records(records.sender(), Vec::new());
    let driver = Driver::start(driver, switch).expect("started");
    let reports = driver.downgrade();
    let report = move |count| {
        reports.post(move |endpoint, switch, now| switch.durable(endpoint, now, count));
    };
    let _writer = records.write_to(store.clone(), None, report).expect("started");
    let state = directory.path();
    let api =
        Api::start(&api, &driver, Some(store), Some(&file), Some(log()), state).expect("started");
    let client = Client::new(api.address(), Some("admin-admin-admin-admin"));
    Scene { api, driver, client, directory }
}

impl Scene {
    fn as_role(&self, role: &str) -> Client {
        let token = match role {
            "viewer" => Some("viewer-viewer-viewer"),
            "operator" => Some("operator-operator-operator"),
            "admin" => Some("admin-admin-admin-admin"),
            _ => None,
        };
        Client::new(self.api.address(), token)
    }

    fn switch(&self) -> SocketAddr {
        self.driver.local_addresses()[0]
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("oneport.toml")
    }
}

fn phone() -> Phone {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound")
}

fn named(number: &str, name: &str, secret: &str) -> NewCall {
    let mut call = NewCall::to(number);
    call.username = Some(name.into());
    call.secret = Some(Secret::from(secret));
    call
}

/// A call by ann that was answered.
async fn ann_calls(phone: &Phone, scene: &Scene, number: &str) -> Call {
    let call = named(number, "ann", "secret of ann");
    let mut call = phone.call(scene.switch(), call).await.expect("placed");
    call.answered().await.expect("answered");
    call
}

/// Registers a phone under a name.
async fn registered(phone: &Phone, scene: &Scene, name: &str) -> oneport::Registration {
    let config = oneport::RegistrationConfig {
        to: scene.switch(),
        others: Vec::new(),
        username: name.into(),
        secret: Some(Secret::from(format!("secret of {name}").as_str())),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = phone.register(config).await.expect("running");
    registration.next_event().await.expect("registered");
    registration
}

/// Asks until the answer is as it shall be.
async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_call_is_seen_and_hung_up() {
    let scene = scene().await;
    let phone = phone();
    let mut call = ann_calls(&phone, &scene, "7").await;
    let calls = scene.client.get("/v1/calls").await.json();
    assert_eq!((&calls["total"], &calls["next"]), (&1.into(), &serde_json::Value::Null));
    let seen = &calls["calls"][0];
    assert_eq!(seen["state"], "answered");
    assert_eq!(seen["destination"], "builtin:echo");
    assert_eq!(
        (&seen["caller"]["peer"], &seen["caller"]["codec"]),
        (&"ann".into(), &"ulaw".into())
    );
    let id = seen["id"].as_str().expect("an id");
    assert_eq!(scene.client.get(&format!("/v1/calls/{id}")).await.json()["id"], *id);
    for (filter, found) in [
        ("peer=ann", 1),
        ("peer=bob", 0),
        ("state=answered", 1),
        ("state=ringing", 0),
        ("peer=ann&state=answered", 1),
    ] {
        let calls = scene.client.get(&format!("/v1/calls?{filter}")).await.json();
        assert_eq!(calls["total"], found, "{filter}");
    }
    let answer = scene.client.send("DELETE", &format!("/v1/calls/{id}?cause=21"), None).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    let end = call.ended().await.expect("it ends");
    assert_eq!(end.cause.0, 21);
    wait_for("the call to be gone", async || {
        let answer = scene.client.get(&format!("/v1/calls/{id}")).await;
        (answer.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pages_hold_each_call_once() {
    let text = format!("{CONFIG}\n[guests]\nmax_calls = 100\nmax_calls_per_address = 100\n");
    let scene = scene_with(&text).await;
    let phone = phone();
    let mut calls = Vec::new();
    for _ in 0..23 {
        let mut call = phone.call(scene.switch(), NewCall::to("echo")).await.expect("placed");
        call.answered().await.expect("answered");
        calls.push(call);
    }
    for list in ["calls", "netstats"] {
        let mut path = format!("/v1/{list}?limit=10");
        let (mut seen, mut pages) = (std::collections::BTreeSet::new(), 0);
        loop {
            let page = scene.client.get(&path).await.json();
            assert_eq!(page["total"], 23);
            let entries = page["calls"].as_array().or_else(|| page["legs"].as_array());
            for entry in entries.expect("a list") {
                let id = entry["id"].as_str().or_else(|| entry["call"].as_str());
                assert!(seen.insert(id.expect("an id").to_string()), "twice: {entry}");
            }
            pages += 1;
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/{list}?limit=10&after={next}");
        }
        assert_eq!((seen.len(), pages), (23, 3), "{list}");
    }
}

#[tokio::test]
async fn peers_registrations_and_limits_are_shown() {
    let scene = scene().await;
    let phone = phone();
    let _registration = registered(&phone, &scene, "ann").await;
    let ann = wait_for("ann to be OK", async || {
        let peers = scene.client.get("/v1/peers").await.json();
        let ann = peers["peers"][0].clone();
        (ann["state"] == "ok").then_some(ann)
    })
    .await;
    assert_eq!(ann["name"], "ann");
    assert_eq!(ann["address"], phone.local_addresses()[0].to_string());
    assert_eq!(ann["limits"], serde_json::json!(["ann"]));
    wait_for("the peer that is gone to be UNREACHABLE", async || {
        let peers = scene.client.get("/v1/peers?state=unreachable").await.json();
        (peers["total"] == 1 && peers["peers"][0]["name"] == "gone").then_some(())
    })
    .await;
    let page = scene.client.get("/v1/peers?limit=1&after=ann").await.json();
    assert_eq!((&page["peers"][0]["name"], &page["next"]), (&"bob".into(), &"bob".into()));
    let registrations = scene.client.get("/v1/registrations").await.json();
    assert_eq!(registrations["here"][0]["name"], "ann");
    assert_eq!(registrations["elsewhere"][0]["username"], "us");
    let _calls = [ann_calls(&phone, &scene, "7").await, ann_calls(&phone, &scene, "7").await];
    let third = phone.call(scene.switch(), named("7", "ann", "secret of ann")).await;
    third.expect("placed").answered().await.expect_err("the limit is full");
    let limits = scene.client.get("/v1/limits").await.json();
    let limit = &limits["limits"][0];
    assert_eq!((&limit["used"], &limit["max_calls"]), (&2.into(), &2.into()));
    assert_eq!((&limit["refused"], &limit["peak"]), (&1.into(), &2.into()));
    assert_eq!(limit["top"], serde_json::json!([{ "name": "ann", "calls": 2 }]));
    let status = scene.client.get("/v1/status").await.json();
    assert_eq!((&status["calls"], &status["limits_full"]), (&2.into(), &1.into()));
    let troubles = status["troubles"].to_string();
    assert!(troubles.contains("peer gone is UNREACHABLE"), "{troubles}");
    assert!(troubles.contains("limit ann is full: 2 calls"), "{troubles}");
}

#[tokio::test]
async fn a_reload_can_be_tried_first_and_takes_tokens_too() {
    let scene = scene().await;
    let changed = CONFIG
        .replace("[peers.bob]", "[peers.carl]")
        .replace("secret = \"viewer-viewer-viewer\"", "secret = \"another-viewer-another\"");
    std::fs::write(scene.file(), &changed).expect("writable");
    let dry = scene.client.send("POST", "/v1/reload?dry_run=true", None).await.json();
    let changes =
        serde_json::json!(["peer bob is gone", "peer carl is new", "token look has changed"]);
    assert_eq!((&dry["applied"], &dry["changes"]), (&false.into(), &changes));
    assert_eq!(scene.client.get("/v1/peers").await.json()["peers"][1]["name"], "bob");
    assert_eq!(scene.as_role("viewer").get("/v1/status").await.status, 200);
    std::fs::write(scene.file(), "[peers.x]\nsecrt = \"a\"\n").expect("writable");
    let wrong = scene.client.send("POST", "/v1/reload", None).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.json()["error"].as_str().expect("a text").contains("oneport.toml:2:1"));
    assert_eq!(wrong.json()["hint"], "did you mean `secret`?");
    std::fs::write(scene.file(), &changed).expect("writable");
    let done = scene.client.send("POST", "/v1/reload", None).await.json();
    assert_eq!((&done["applied"], &done["changes"]), (&true.into(), &changes));
    assert_eq!(scene.client.get("/v1/peers").await.json()["peers"][1]["name"], "carl");
    assert_eq!(scene.as_role("viewer").get("/v1/status").await.status, 401);
}

#[tokio::test]
async fn without_a_configured_token_one_is_made_for_whoever_reads_the_state() {
    let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[api]\nlisten = \"127.0.0.1:0\"\n";
    let scene = scene_with(text).await;
    let port = scene.api.address().port();
    let file = oneport_switch::api::token_file(scene.directory.path(), port);
    let token = std::fs::read_to_string(file).expect("it is written");
    let client = Client::new(scene.api.address(), Some(token.trim_end()));
    assert_eq!(client.send("POST", "/v1/reload", None).await.status, 200);
    assert_eq!(client.get("/v1/status").await.status, 200, "it is good behind a reload too");
    assert_eq!(scene.client.get("/v1/status").await.status, 401);
}

#[tokio::test]
async fn an_operator_leads_a_caller_to_another_number() {
    let text = format!("{CONFIG}\n[[routes]]\nnumber = \"8\"\nto = [\"peer:bob\"]\n");
    let scene = scene_with(&text).await;
    let (ann, bob) = (phone(), phone());
    let _registration = registered(&bob, &scene, "bob").await;
    let mut call =
        ann.call(scene.switch(), named("8", "ann", "secret of ann")).await.expect("placed");
    let incoming = bob.incoming().await.expect("it rings at bob's");
    let mut answered = incoming.answer().await.expect("answered");
    call.answered().await.expect("answered");
    let calls = scene.client.get("/v1/calls").await.json();
    let seen = &calls["calls"][0];
    assert_eq!(seen["destination"], "peer:bob");
    assert_eq!(seen["called"][0]["incoming"], false);
    let id = seen["id"].as_str().expect("an id");
    let path = format!("/v1/calls/{id}/transfer");
    let to_echo = r#"{"to": "7", "party": "caller"}"#;
    assert_eq!(scene.as_role("viewer").send("POST", &path, Some(to_echo)).await.status, 403);
    let answer = scene.as_role("operator").send("POST", &path, Some(to_echo)).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    answered.ended().await.expect("bob is hung up");
    wait_for("the caller to be in the echo", async || {
        let calls = scene.client.get("/v1/calls").await.json();
        (calls["calls"][0]["destination"] == "builtin:echo").then_some(())
    })
    .await;
    let again = scene.client.send("POST", &path, Some(to_echo)).await;
    assert_eq!(again.status, 409, "there is nobody at the other end: {}", again.body);
}

#[tokio::test]
async fn one_id_leads_from_the_event_to_the_record_and_the_reasons() {
    let scene = scene().await;
    let phone = phone();
    drop(ann_calls(&phone, &scene, "7").await);
    let nobody = phone.call(scene.switch(), named("none", "ann", "secret of ann")).await;
    nobody.expect("placed").answered().await.expect_err("no such number");
    let cdrs = wait_for("both records", async || {
        let cdrs = scene.client.get("/v1/cdrs?order=oldest_first").await.json();
        (cdrs["records"].as_array().expect("a list").len() == 2).then_some(cdrs)
    })
    .await;
    let (heard, refused) = (&cdrs["records"][0], &cdrs["records"][1]);
    assert_eq!((&heard["peer"], &heard["called_number"]), (&"ann".into(), &"7".into()));
    assert_eq!(heard["destination"], "builtin:echo");
    let id = refused["call"].as_str().expect("an id");
    let refusals = scene.client.get(&format!("/v1/refusals?call={id}&stage=route")).await.json();
    assert_eq!(refusals["records"][0]["called_number"], "none");
    let story = scene.client.get(&format!("/v1/calls/{id}/story")).await.json();
    assert_eq!(
        (&story["legs"][0]["cause"], &story["refusals"][0]["cause"]),
        (&3.into(), &3.into())
    );
    let counts = scene.client.get("/v1/refusals/counts").await.json();
    assert_eq!((&counts[0]["stage"], &counts[0]["count"]), (&"route".into(), &1.into()));
    let csv = scene.client.get("/v1/cdrs?format=csv&limit=1").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(csv.header("x-next").is_some_and(|next| !next.is_empty()));
    let lines: Vec<&str> = csv.body.lines().collect();
    assert_eq!(lines.len(), 2, "a heading and a record: {}", csv.body);
    let none = scene.client.get("/v1/cdrs?format=csv&peer=nobody").await;
    assert_eq!(
        none.body.trim_end(),
        oneport_switch::store::column_names().collect::<Vec<_>>().join(",")
    );
    assert_eq!(lines[0], none.body.trim_end(), "with records or without");
    assert!(lines[0].starts_with("call,leg,direction,peer,") && lines[1].starts_with(id));
    let unknown = scene.client.get("/v1/calls/00000000-0000-0000-0000-000000000000/story").await;
    assert_eq!(unknown.status, 404);
    let routes = scene.client.get("/v1/routes").await.json();
    assert_eq!(routes["total"], 1);
    assert_eq!(
        (&routes["routes"][0]["number"], &routes["routes"][0]["from"]),
        (&"7".into(), &serde_json::json!([]))
    );
    assert_eq!(routes["routes"][0]["to"], serde_json::json!(["echo"]));
    let decision = scene.client.get("/v1/route?number=7&from=ann").await.json();
    assert_eq!(decision["targets"], serde_json::json!(["builtin:echo"]));
    assert_eq!(scene.client.get("/v1/route?number=7&from=nobody").await.status, 422);
}

/// What `Config::parse` says of this.
fn mistake(text: &str) -> String {
    let error = Config::parse(Path::new("oneport.toml"), text).expect_err(text);
    format!("{error} / {}", error.help.as_deref().unwrap_or("-"))
}

#[test]
fn tokens_and_addresses_that_are_no_good_are_named() {
    let short = mistake("[api.tokens.a]\nsecret = \"short\"\nrole = \"admin\"");
    assert!(short.contains("16 characters") && !short.contains("short"), "{short}");
    let role = mistake("[api.tokens.a]\nsecret = \"long enough for all\"\nrole = \"admn\"");
    assert!(role.contains("did you mean `admin`?"), "{role}");
    let none = mistake("[api.tokens.a]\nrole = \"admin\"");
    assert!(none.contains("exactly one secret"), "{none}");
    let listen = mistake("[api]\nlisten = \"localhost\"");
    assert!(listen.contains("127.0.0.1:8569"), "{listen}");
    let host = mistake("[api]\nhosts = [\"http://pbx\"]");
    assert!(host.contains("is no host name"), "{host}");
}
