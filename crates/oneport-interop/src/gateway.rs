//! A switch with its SIP gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oneport::{Application as _, Driver, DriverConfig, Workload};
use oneport_switch::sip::{Gateway, Held};
use oneport_switch::store::{Records, SqliteStore};
use oneport_switch::{Config, Switch};
use oneport_testkit::peers::{free_port, own_loopback};

/// A switch and its gateway.
pub struct System {
    gateway: Gateway,
    driver: Driver<Switch>,
    /// Where it speaks IAX2.
    pub iax: SocketAddr,
    /// Where it speaks SIP by UDP.
    pub sip: SocketAddr,
}

impl System {
    /// Tells the switch that its thread had no time left for three seconds.
    pub async fn overload(&self) {
        let quarter = Duration::from_millis(250);
        let busy = Workload { time: quarter, cpu: Some(quarter), ..Workload::default() };
        let fed = self.driver.with(move |endpoint, switch, now| {
            for _ in 0..12 {
                switch.handle_workload(endpoint, now, &busy);
            }
        });
        fed.await.expect("the switch runs");
    }

    /// What its gateway holds.
    #[must_use]
    pub fn held(&self) -> Held {
        self.gateway.held()
    }

    /// Connections that others have opened: those it knows, and strangers.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        self.gateway.connections()
    }

    /// Takes another configuration, as [`gateway`] is given it.
    ///
    /// # Panics
    /// The configuration is wrong.
    pub async fn reload(&self, text: &str) {
        let config = config(self.sip, text);
        let changes =
            self.driver.with(|endpoint, switch, now| switch.reload(endpoint, now, config));
        changes.await.expect("running");
    }
}

/// The whole of a configuration.
fn config(sip: SocketAddr, text: &str) -> Config {
    // A busy machine takes all calls, where that is not the test's subject.
    let overload = if text.contains("[overload]") { "" } else { "[overload]\nenabled = false\n" };
    let text = format!(
        "{overload}[server]\nlisten = [\"127.0.0.1:0\"]\n[peers.ann]\nsecret = \"a\"\n\
         [sip]\nudp = [\"{sip}\"]\n{text}"
    );
    Config::parse(Path::new("test.toml"), &text).expect("a good configuration")
}

/// A port of the loopback that is free.
#[must_use]
pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// The same for TCP, at an address of the caller's own.
#[must_use]
pub fn loopback_for_tcp() -> SocketAddr {
    (own_loopback(), 5060).into()
}

/// A switch with carriers or phones. Peer `ann` calls by the secret `a`.
///
/// # Panics
/// The configuration is wrong, or names nobody who speaks SIP.
#[must_use]
pub fn gateway(text: &str) -> System {
    let sip = loopback();
    let config = config(sip, text);
    let switch = Switch::new(config.clone());
    start(sip, &config, switch)
}

/// The same, and a store of its records.
///
/// # Panics
/// As there.
pub async fn gateway_with_records(text: &str) -> (System, Arc<SqliteStore>) {
    let sip = loopback();
    let config = config(sip, text);
    let store = Arc::new(SqliteStore::in_memory().await.expect("a store"));
    let (mut switch, records) = (Switch::new(config.clone()), Records::default());
    switch.keep_records(records.sender(), Vec::new());
    let system = start(sip, &config, switch);
    let reports = system.driver.downgrade();
    let report = move |count| {
        reports.post(move |endpoint, switch, now| switch.durable(endpoint, now, count));
    };
    // It writes until the switch has gone.
    drop(records.write_to(store.clone(), None, report).expect("started"));
    (system, store)
}

fn start(sip: SocketAddr, config: &Config, switch: Switch) -> System {
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    let driver = Driver::start(driver, switch).expect("started");
    let gateway = Switch::start_gateway(&driver, config).expect("started").expect("somebody");
    let iax = driver.local_addresses()[0];
    System { gateway, driver, iax, sip }
}
