//! A switch with a console, an administrator, and phones that call.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oneport::{Call, Driver, DriverConfig, NewCall, Phone, PhoneConfig, Secret};
use oneport_switch::api::Api;
use oneport_switch::store::{Records, SqliteStore};
use oneport_switch::{Config, Switch};

use crate::browser::Browser;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The administrator.
pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) const CONFIG: &str = r#"
[server]
listen = ["127.0.0.1:0"]

[api]
listen = "127.0.0.1:0"

[peers.dialer]
secret = "secret of dialer"

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

[[limits]]
name = "dialer lines"
peers = ["dialer"]
max_calls = 3
"#;

/// A switch with a console.
pub(crate) struct Scene {
    pub(crate) api: Api,
    driver: Driver<Switch>,
    phone: Phone,
    pub(crate) directory: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("oneport.toml");
        std::fs::write(&file, CONFIG).expect("writable");
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
        let state: &Path = directory.path();
        let api = Api::start(&api, &driver, Some(store), Some(&file), state).expect("started");
        let listen = vec!["127.0.0.1:0".parse().expect("an address")];
        let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
        Self { api, driver, phone, directory }
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
        let mut call = NewCall::to(number);
        call.username = Some("dialer".into());
        call.secret = Some(Secret::from("secret of dialer"));
        call.calling_number = Some(calling.into());
        self.phone.call(self.driver.local_addresses()[0], call).await.expect("placed")
    }

    /// A call by the dialer that was answered.
    pub(crate) async fn answered(&self, number: &str, calling: &str) -> Call {
        let mut call = self.placed(number, calling).await;
        call.answered().await.expect("answered");
        call
    }
}
