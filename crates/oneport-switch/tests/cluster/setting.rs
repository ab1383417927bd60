//! Switches with one database, each with a driver of its own on this machine.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oneport::{
    CallEnd, CallError, Driver, DriverConfig, IncomingCall, NewCall, Phone, PhoneConfig,
    Registration, RegistrationConfig, RegistrationEvent, Secret,
};
use oneport_switch::api::model::{SwitchState, SwitchesView};
use oneport_switch::cluster::{Cluster, SharedConfiguration};
use oneport_switch::store::{PostgresStore, Records, Store};
use oneport_switch::{Config, StorePlace, Switch};
use oneport_testkit::peers::database::{DatabaseServer, Kind, PASSWORD};
use oneport_testkit::peers::own_loopback;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::oneshot;

/// What the switches prove to each other that they belong together with.
pub(crate) const SECRET: &str = "sturdy bridge";

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

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

    /// The database, as a store.
    pub(crate) async fn store(&self) -> Arc<PostgresStore> {
        Self::opened(self.url.parse().expect("a URL")).await
    }

    /// The same by another way.
    pub(crate) async fn store_by(&self, database: SocketAddr) -> Arc<PostgresStore> {
        Self::opened(self.url_by(database)).await
    }

    async fn opened(mut url: url::Url) -> Arc<PostgresStore> {
        with_password(&mut url);
        let store = PostgresStore::new(&url).expect("such a URL");
        while !store.check().await.expect("opened") {}
        Arc::new(store)
    }

    pub(crate) fn url_by(&self, database: SocketAddr) -> url::Url {
        let mut url: url::Url = self.url.parse().expect("a URL");
        url.set_ip_host(database.ip()).expect("it has a host");
        url.set_port(Some(database.port())).expect("it has a host");
        url
    }

    /// What a configuration says of this database.
    pub(crate) fn section_of_store(url: &str) -> String {
        format!("[store]\nurl = \"{url}\"\nsecret = \"{PASSWORD}\"\n")
    }

    /// The server's log says each statement that sessions from now on execute.
    pub(crate) async fn log_statements(&self) {
        let mut url: url::Url = self.url.parse().expect("a URL");
        url.set_password(Some(PASSWORD)).expect("there is a host");
        let name = url.path().trim_start_matches('/').to_string();
        let mut connection = PgConnection::connect(url.as_str()).await.expect("it answers");
        let sql = format!("ALTER DATABASE {name} SET log_statement = 'all'");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.expect("it may");
    }

    /// A switch of this name with these sections beside those that make it one of several.
    pub(crate) async fn switch(&self, name: &str, more: &str) -> Member {
        self.start(name, more, true).await
    }

    /// One that keeps no records, so that nobody waits for them while the database is away.
    pub(crate) async fn switch_without_records(&self, name: &str, more: &str) -> Member {
        self.start(name, more, false).await
    }

    /// One that reaches the database of its siblings by another way, and keeps no records.
    pub(crate) async fn switch_by(&self, name: &str, database: SocketAddr, more: &str) -> Member {
        self.start_with(self.url_by(database).as_str(), name, more, false).await
    }

    async fn start(&self, name: &str, more: &str, keeps: bool) -> Member {
        self.start_with(&self.url, name, more, keeps).await
    }

    async fn start_with(&self, url: &str, name: &str, more: &str, keeps: bool) -> Member {
        let ip = own_loopback();
        let text = format!(
            "[overload]\nenabled = false\n{}\
             [cluster]\nname = \"{name}\"\nsecret = \"{SECRET}\"\naddress = \"{ip}\"\n\
             heartbeat_ms = 100\ndead_after_ms = 3000\n{more}",
            Self::section_of_store(url)
        );
        let config = Config::parse(Path::new("oneport.toml"), &text).expect("it is well");
        let StorePlace::Server { url, .. } = &config.store.place else { panic!("a server") };
        let store = self.store().await;
        let records = Records::default();
        let mut switch = Switch::new(config.clone());
        if keeps {
            let registered = store.registrations().await.expect("readable");
            switch.keep_records(records.sender(), registered);
        }
        let listen = vec![(ip, oneport::DEFAULT_PORT).into()];
        let endpoint = config.endpoint.clone();
        let driver = DriverConfig { listen, endpoint, ..DriverConfig::default() };
        let driver = Driver::start(driver, switch).expect("it starts");
        let address = driver.local_addresses()[0];
        let weak = driver.downgrade();
        let report = move |count| {
            weak.post(move |endpoint, switch, now| switch.durable(endpoint, now, count));
        };
        records.write_to(store, None, report).expect("a thread");
        let cluster = config.cluster.as_ref().expect("it is one of several");
        let cluster = Cluster::join(cluster, url, &driver, &SharedConfiguration::default())
            .expect("a thread");
        Member { driver, address, cluster }
    }
}

/// The same with the password of all.
pub(crate) fn with_password(url: &mut url::Url) {
    url.set_password(Some(PASSWORD)).expect("there is a host");
}

/// A switch that runs.
pub(crate) struct Member {
    pub(crate) driver: Driver<Switch>,
    pub(crate) address: SocketAddr,
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

    /// Waits until it knows of so many peers that are registered at other switches.
    pub(crate) async fn until_elsewhere(&self, wanted: usize) {
        let seen = async {
            while self.shown().await.registered_elsewhere != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        seen.unwrap_or_else(|_| panic!("{wanted} registered at others are never known"));
    }
}

/// Ann and Bob, whose secrets are the first letters of their names.
pub(crate) const PEERS: &str = "[peers.ann]\nsecret = \"a\"\n[peers.bob]\nsecret = \"b\"\n";

pub(crate) fn phone() -> Phone {
    let listen = vec![([127, 0, 0, 1], 0).into()];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound")
}

/// Registers a telephone as `name`.
pub(crate) async fn register(phone: &Phone, at: &Member, name: &str) -> Registration {
    let config = RegistrationConfig {
        to: at.address,
        others: Vec::new(),
        username: name.into(),
        secret: Some(Secret::from(&name[..1])),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = phone.register(config).await.expect("running");
    let event = tokio::time::timeout(PATIENCE, registration.next_event()).await.expect("in time");
    assert!(matches!(event, Some(RegistrationEvent::Registered { .. })), "{event:?}");
    registration
}

/// A call to `number` by `name`, whose secret is its first letter.
pub(crate) fn from(name: &str, number: &str) -> NewCall {
    let mut call = NewCall::to(number);
    call.username = Some(name.into());
    call.secret = Some(Secret::from(&name[..1]));
    call
}

/// The next call that a telephone gets.
pub(crate) async fn incoming(phone: &Phone) -> IncomingCall {
    let incoming = tokio::time::timeout(PATIENCE, phone.incoming()).await;
    incoming.expect("it rings").expect("running")
}

/// How a call ends that is not answered.
pub(crate) async fn refused(phone: &Phone, at: &Member, call: NewCall) -> CallEnd {
    let mut call = phone.call(at.address, call).await.expect("placed");
    match tokio::time::timeout(PATIENCE, call.answered()).await.expect("in time") {
        Err(CallError::Ended(end)) => *end,
        other => panic!("{other:?}"),
    }
}
