//! A switch with a console, an administrator, and phones that call.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use oneport::media::{Codec, tone};
use oneport::{
    Call, Driver, DriverConfig, Format, NewCall, Phone, PhoneConfig, Registration,
    RegistrationConfig, Secret,
};
use oneport_switch::api::{Api, Given};
use oneport_switch::cluster::SharedConfiguration;
use oneport_switch::store::{Records, SqliteStore};
use oneport_switch::{KnownHosts, LogTail, Switch};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::browser::Browser;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The administrator.
pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) const CONFIG: &str = r#"
[overload]
enabled = false

[server]
listen = ["127.0.0.1:0"]

[api]
listen = "127.0.0.1:0"

[peers.dialer]
secret = "secret of dialer"

[peers.crowd]
secret = "secret of crowd"

[peers.scribe]
secret = "secret of scribe"

[peers.desk]
secret = "secret of desk"
qualify_seconds = 1

[peers.gone]
address = "127.0.0.1:9"
qualify_limit_ms = 100
qualify_not_ok_seconds = 1
qualify_seconds = 1

[[routes]]
name = "echo"
number = "7"
to = ["builtin:echo"]

[[routes]]
name = "office"
number = "8"
to = ["builtin:milliwatt"]

[[routes]]
name = "desk"
number = "9"
to = ["peer:desk"]

[[limits]]
name = "dialer lines"
peers = ["dialer"]
max_calls = 3
"#;

/// A telephone that has registered as `desk`.
pub(crate) struct Desk {
    phone: Phone,
    _registration: Registration,
}

impl Desk {
    /// Answers the call that rings next.
    pub(crate) async fn answers(&self) -> Call {
        self.phone.incoming().await.expect("it rings").answer().await.expect("answered")
    }
}

fn phone() -> Phone {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound")
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

/// The log of all switches of this process: lines of other tests are among its own.
fn log() -> LogTail {
    static LOG: LazyLock<LogTail> = LazyLock::new(|| {
        let tail = LogTail::default();
        tracing_subscriber::registry().with(LevelFilter::INFO).with(tail.clone()).init();
        tail
    });
    LOG.clone()
}

/// A switch with a console.
pub(crate) struct Scene {
    pub(crate) api: Api,
    pub(crate) driver: Driver<Switch>,
    phone: Phone,
    pub(crate) directory: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With these sections besides.
    pub(crate) async fn with(more: &str) -> Self {
        Self::within(tempfile::tempdir().expect("a directory"), more).await
    }

    /// The same with what is in its directory already.
    pub(crate) async fn within(directory: tempfile::TempDir, more: &str) -> Self {
        let file = directory.path().join("oneport.toml");
        let recordings = format!("{CONFIG}\n[audio]\nrecord = {:?}\n{more}", directory.path());
        std::fs::write(&file, recordings).expect("writable");
        let state: &Path = directory.path();
        let config = SharedConfiguration::at_start(&file, &KnownHosts::new(), state).await;
        let (config, shared) = config.expect("a good configuration");
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
        let (store, given) = (Some(store as _), Given { shared, ..Given::default() });
        let api = Api::start_with(&api, &driver, store, Some(&file), Some(log()), state, given)
            .expect("started");
        Self { api, driver, phone: phone(), directory }
    }

    fn switch(&self) -> SocketAddr {
        self.driver.local_addresses()[0]
    }

    /// A browser in which the administrator has just been made, by the printed link.
    pub(crate) async fn entered(&self) -> Browser {
        let browser = Browser::start().await;
        browser.go(&self.api.first_link().await.expect("there is no user")).await;
        browser.fill("user", USER).await;
        browser.fill("password", PASSWORD).await;
        browser.fill("again", PASSWORD).await;
        browser.press_button("Make this user").await;
        browser.sees("h1", "Overview").await;
        browser
    }

    /// A call by the dialer, placed and not waited for.
    pub(crate) async fn placed(&self, number: &str, calling: &str) -> Call {
        self.placed_by("dialer", number, calling).await
    }

    /// The same by this peer.
    pub(crate) async fn placed_by(&self, peer: &str, number: &str, calling: &str) -> Call {
        let mut call = NewCall::to(number);
        call.username = Some(peer.into());
        call.secret = Some(Secret::from(format!("secret of {peer}").as_str()));
        call.calling_number = Some(calling.into());
        self.phone.call(self.switch(), call).await.expect("placed")
    }

    /// A telephone that is the desk.
    pub(crate) async fn desk(&self) -> Desk {
        let phone = phone();
        let config = RegistrationConfig {
            to: self.switch(),
            others: Vec::new(),
            username: "desk".into(),
            secret: Some(Secret::from("secret of desk")),
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(60),
        };
        let mut registration = phone.register(config).await.expect("running");
        registration.next_event().await.expect("registered");
        Desk { phone, _registration: registration }
    }

    /// A call by the dialer that was answered.
    pub(crate) async fn answered(&self, number: &str, calling: &str) -> Call {
        self.answered_by("dialer", number, calling).await
    }

    /// The same by this peer.
    pub(crate) async fn answered_by(&self, peer: &str, number: &str, calling: &str) -> Call {
        let mut call = self.placed_by(peer, number, calling).await;
        call.answered().await.expect("answered");
        call
    }
}
