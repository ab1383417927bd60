//! Switches with one database, each with a driver of its own on this machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oneport::{Driver, DriverConfig};
use oneport_switch::api::model::{SwitchState, SwitchesView};
use oneport_switch::cluster::Cluster;
use oneport_switch::{Config, StorePlace, Switch};
use oneport_testkit::peers::database::{DatabaseServer, Kind, PASSWORD};
use tokio::sync::oneshot;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database, and what a configuration says of it.
pub(crate) struct Setting {
    pub(crate) server: Arc<DatabaseServer>,
    pub(crate) url: String,
}

impl Setting {
    pub(crate) fn of(server: Arc<DatabaseServer>) -> Self {
        let url = server.new_database();
        Self { server, url }
    }

    /// A server that other tests have as well.
    pub(crate) fn shared() -> Self {
        Self::of(DatabaseServer::shared(Kind::Postgres))
    }

    /// A switch of this name with these sections beside those that make it one of several.
    pub(crate) fn switch(&self, name: &str, more: &str) -> Member {
        let text = format!(
            "[store]\nurl = \"{}\"\nsecret = \"{PASSWORD}\"\n\
             [cluster]\nname = \"{name}\"\nsecret = \"sturdy bridge\"\naddress = \"127.0.0.1\"\n\
             heartbeat_ms = 100\ndead_after_ms = 3000\n{more}",
            self.url
        );
        let config = Config::parse(Path::new("oneport.toml"), &text).expect("it is well");
        let listen = vec![([127, 0, 0, 1], 0).into()];
        let endpoint = config.endpoint.clone();
        let driver = DriverConfig { listen, endpoint, ..DriverConfig::default() };
        let driver = Driver::start(driver, Switch::new(config.clone())).expect("it starts");
        let StorePlace::Server { url, .. } = &config.store.place else { panic!("a server") };
        let cluster = config.cluster.as_ref().expect("it is one of several");
        let cluster = Cluster::join(cluster, url, &driver).expect("a thread");
        Member { driver, cluster }
    }
}

/// A switch that runs.
pub(crate) struct Member {
    pub(crate) driver: Driver<Switch>,
    pub(crate) cluster: Cluster,
}

impl Member {
    /// What it knows of the others and itself.
    pub(crate) async fn shown(&self) -> SwitchesView {
        let (told, shown) = oneshot::channel();
        self.driver.post(move |_, switch, now| {
            let _ = told.send(switch.show_switches(now));
        });
        shown.await.expect("it runs")
    }

    /// Waits until it knows those of these names to be as they are said to be, itself first.
    pub(crate) async fn until(&self, wanted: &[(&str, SwitchState)]) {
        let mut last = None;
        let seen = async {
            loop {
                let shown = self.shown().await;
                let states = shown.switches.iter().map(|one| (one.name.as_str(), one.state));
                if states.eq(wanted.iter().copied()) {
                    return;
                }
                last = Some(shown);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            panic!("{wanted:?} wanted, but it is {last:?}");
        }
    }
}
