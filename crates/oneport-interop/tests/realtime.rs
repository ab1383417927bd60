//! Asterisk's realtime tables, on PostgreSQL, MariaDB and SQLite: read as they are, and shared with a real Asterisk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use oneport::{
    Driver, DriverConfig, Phone, Registration, RegistrationConfig, RegistrationEvent, Secret,
};
use oneport_interop::{PATIENCE, named, phone};
use oneport_switch::doctor::{Weakness, examine_rows};
use oneport_switch::realtime::{Realtime, RealtimeError, RealtimePeers};
use oneport_switch::{Config, Switch};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::database::{DatabaseServer, Kind, PASSWORD, USER};
use oneport_testkit::peers::wait_for;

/// Columns as Asterisk's examples have them.
const COLUMNS: &str = "name VARCHAR(40) NOT NULL, type VARCHAR(10), username VARCHAR(40), secret VARCHAR(40), \
                       context VARCHAR(40), host VARCHAR(40), ipaddr VARCHAR(45), port VARCHAR(5), \
                       regseconds INTEGER, regserver VARCHAR(40), auth VARCHAR(20), \
                       requirecalltoken VARCHAR(4), disallow VARCHAR(40), allow VARCHAR(40), \
                       setvar VARCHAR(40)";

/// Peers that register.
const PEERS: &str = "INSERT INTO iaxfriends (name, type, secret, context, host, requirecalltoken, disallow, allow) \
     VALUES ('ann', 'friend', 'right', 'test', 'dynamic', 'yes', 'all', 'ulaw,alaw'), \
            ('bob', 'friend', 'right', 'test', 'dynamic', 'yes', 'all', 'ulaw,alaw')";

const EXTENSIONS: &str = "[test]\nexten => echo,1,Answer()\nsame => n,Echo()\n";

/// A database of one of the engines.
enum Database {
    Server(Arc<DatabaseServer>, String),
    File { path: PathBuf, _directory: Option<tempfile::TempDir> },
}

impl Database {
    fn of(kind: Kind) -> Self {
        let server = DatabaseServer::shared(kind);
        let url = server.new_database();
        Self::Server(server, url)
    }

    fn postgres() -> Self {
        Self::of(Kind::Postgres)
    }

    fn mariadb() -> Self {
        Self::of(Kind::MariaDb)
    }

    fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("realtime.sqlite3");
        Self::File { path, _directory: Some(directory) }
    }

    /// The rows that statements find, one a line, with `|` between columns.
    fn run(&self, sql: &str) -> String {
        match self {
            Self::Server(server, url) => server.run(url, sql),
            Self::File { path, .. } => {
                let mut sqlite = Command::new("sqlite3");
                sqlite.args(["-cmd", ".timeout 10000"]).arg(path).arg(sql).stdin(Stdio::null());
                let output = sqlite.output().expect("sqlite3 is installed");
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{sql}: {said}");
                String::from_utf8_lossy(&output.stdout).trim_end().into()
            }
        }
    }

    /// The same database with the table and the peers.
    fn with_peers(self) -> Self {
        if let Self::File { .. } = &self {
            // Without it, whoever reads and Asterisk, which does not wait, keep each other out.
            self.run("PRAGMA journal_mode = WAL");
        }
        self.run(&format!("CREATE TABLE iaxfriends ({COLUMNS})"));
        self.run(PEERS);
        self
    }

    /// What a configuration says of it.
    fn section(&self) -> String {
        match self {
            Self::Server(_, url) => {
                format!("[realtime]\nurl = \"{url}\"\nsecret = \"{PASSWORD}\"\n")
            }
            Self::File { path, .. } => format!("[realtime]\nurl = \"sqlite:{}\"\n", path.display()),
        }
    }

    /// Where a peer is, as its row says: address, port, and whether that is a registration.
    fn registered(&self, name: &str) -> String {
        let text = "CASE WHEN regseconds > 1500000000 THEN 'registered' ELSE 'not' END";
        self.run(&format!(
            "SELECT COALESCE(ipaddr, ''), COALESCE(port, ''), {text} FROM iaxfriends WHERE name = '{name}'"
        ))
    }

    fn until(&self, name: &str, wanted: &str) {
        wait_for(&format!("the row of {name} to say {wanted}"), PATIENCE, || {
            self.registered(name) == wanted
        });
    }
}

/// An Asterisk whose peers are in a table of that database. A SQLite file is where it can see it.
fn asterisk(of: fn() -> Database) -> (Asterisk, Database) {
    let database = of();
    let (driver, file, text) = match &database {
        Database::Server(server, url) => {
            let host = server.address();
            let name = url.rsplit('/').next().unwrap_or_default().to_string();
            match server.kind() {
                Kind::Postgres => (
                    "pgsql",
                    "etc/res_pgsql.conf",
                    format!(
                        "[general]\ndbhost={host}\ndbport=5432\ndbname={name}\ndbuser={USER}\n\
                         dbpass={PASSWORD}\n"
                    ),
                ),
                Kind::MariaDb => (
                    "mysql",
                    "etc/res_config_mysql.conf",
                    format!(
                        "[ast]\ndbhost={host}\ndbport=3306\ndbname={name}\ndbuser={USER}\n\
                         dbpass={PASSWORD}\n"
                    ),
                ),
            }
        }
        Database::File { .. } => (
            "sqlite3",
            "etc/res_config_sqlite3.conf",
            "[ast]\ndbfile => {home}/sounds/realtime.sqlite3\n".to_string(),
        ),
    };
    let database = database.with_peers();
    let tables = format!(
        "[settings]\niaxusers => {driver},ast,iaxfriends\niaxpeers => {driver},ast,iaxfriends\n"
    );
    let mut files = vec![("etc/extconfig.conf", tables.as_bytes()), (file, text.as_bytes())];
    // Asterisk makes a table of its own where the file has none.
    let made = match &database {
        Database::File { path, .. } => std::fs::read(path).expect("it is made"),
        Database::Server(..) => Vec::new(),
    };
    if !made.is_empty() {
        files.push(("sounds/realtime.sqlite3", &made));
    }
    let asterisk = Asterisk::start_with("requirecalltoken=yes\n", EXTENSIONS, &files);
    let database = match database {
        Database::File { .. } => {
            Database::File { path: asterisk.file("realtime.sqlite3").1, _directory: None }
        }
        server => server,
    };
    (asterisk, database)
}

/// A switch that runs, with its tables.
struct Running {
    driver: Driver<Switch>,
    address: SocketAddr,
    realtime: Realtime,
}

impl Running {
    async fn with(database: &Database, more: &str) -> Self {
        let text = format!("{}{more}", database.section());
        let config = Config::parse(Path::new("test.toml"), &text).expect("a good configuration");
        let rows = RealtimePeers::load(&config).await.expect("such tables");
        let mut switch = Switch::new(config.clone());
        rows.attach(&mut switch);
        let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        let endpoint = config.endpoint.clone();
        let driver = DriverConfig { listen, endpoint, ..DriverConfig::default() };
        let driver = Driver::start(driver, switch).expect("started");
        let address = driver.local_addresses()[0];
        let realtime = Realtime::start(&config, &driver).expect("a thread").expect("tables");
        Self { driver, address, realtime }
    }

    async fn stop(self) {
        self.driver.stop().await;
        self.realtime.leave().await;
    }
}

/// Registers a telephone, and says what became of it first.
async fn ask(phone: &Phone, to: SocketAddr, name: &str, secret: &str) -> (Registration, bool) {
    let config = RegistrationConfig {
        to,
        username: name.into(),
        secret: Some(Secret::from(secret)),
        key: None,
        others: Vec::new(),
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = phone.register(config).await.expect("running");
    let event = tokio::time::timeout(PATIENCE, registration.next_event()).await.expect("in time");
    let registered = matches!(event, Some(RegistrationEvent::Registered { .. }));
    (registration, registered)
}

async fn register(phone: &Phone, to: SocketAddr, name: &str) -> Registration {
    let (registration, registered) = ask(phone, to, name, "right").await;
    assert!(registered, "{name} is not let in");
    registration
}

/// Registers a telephone until its row says so, and goes on to. One of Asterisk's threads that read the row before may
/// write there that it is over, after another has written the registration: each names a row whose time is up so,
/// wherever it reads it.
async fn register_in_row(
    phone: &Phone,
    to: SocketAddr,
    name: &str,
    database: &Database,
    row: &str,
) -> Registration {
    for _ in 0..10 {
        let registration = register(phone, to, name).await;
        // Looks in a row at which it was there.
        let mut seen = 0;
        for _ in 0..30 {
            seen = if database.registered(name) == row { seen + 1 } else { 0 };
            if seen == 5 {
                return registration;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        registration.unregister().await;
    }
    panic!("the row of {name} says {}, and not {row}", database.registered(name))
}

/// Whether a call is taken.
async fn is_taken(phone: &Phone, to: SocketAddr, number: &str, name: &str, secret: &str) -> bool {
    let mut call = phone.call(to, named(number, name, secret)).await.expect("placed");
    let taken = tokio::time::timeout(PATIENCE, call.answered()).await.expect("in time");
    taken.is_ok()
}

/// Calls, ten times a second at most, until a call is taken.
async fn until_taken(phone: &Phone, to: SocketAddr, number: &str, name: &str, secret: &str) {
    while !is_taken(phone, to, number, name, secret).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn a_phone_is_written_as_asterisk_does_it_and_called_by_it(of: fn() -> Database) {
    let (asterisk, database) = asterisk(of);
    let switch = Running::with(&database, "poll_seconds = 1\n").await;
    // What Asterisk writes comes first, so that it is clear what is wanted.
    let mut written = Vec::new();
    for to in [asterisk.address(), switch.address] {
        let (phone, address) = phone();
        let there = format!("{}|{}|registered", address.ip(), address.port());
        let registration = register_in_row(&phone, to, "ann", &database, &there).await;
        if to == switch.address {
            asterisk.originate("IAX2/ann/600", "echo@test");
            let incoming = tokio::time::timeout(PATIENCE, phone.incoming()).await;
            drop(incoming.expect("Asterisk calls it").expect("running"));
        }
        registration.unregister().await;
        wait_for("the row to say that it is over", PATIENCE, || {
            database.registered("ann") != there
        });
        written.push(database.registered("ann"));
    }
    assert_eq!(written, ["||not"; 2]);
    switch.stop().await;
}

async fn what_is_not_renewed_is_written_as_expired_and_the_row_says_where_it_was(
    of: fn() -> Database,
) {
    let database = of().with_peers();
    let more = "[timers]\nmin_refresh_seconds = 10\nmax_refresh_seconds = 10\n";
    let switch = Running::with(&database, more).await;
    let (phone, address) = phone();
    let registration = register(&phone, switch.address, "ann").await;
    let row = format!("{}|{}", address.ip(), address.port());
    database.until("ann", &format!("{row}|registered"));
    // It is gone, and has told nobody.
    std::mem::forget(registration);
    phone.stop().await;
    database.until("ann", &format!("{row}|not"));
    switch.stop().await;
}

async fn a_phone_that_registers_at_asterisk_is_called_from_here(of: fn() -> Database) {
    let (asterisk, database) = asterisk(of);
    let switch = Running::with(&database, "poll_seconds = 1\n").await;
    let ((bob, address), (ann, _)) = (phone(), phone());
    let there = format!("{}|{}|registered", address.ip(), address.port());
    let registration = register_in_row(&bob, asterisk.address(), "bob", &database, &there).await;
    let answers = async {
        let incoming = bob.incoming().await.expect("running");
        let _call = incoming.answer().await.expect("it waits");
        std::future::pending::<()>().await;
    };
    // The switch looks at the rows once a second.
    let calls = until_taken(&ann, switch.address, "bob", "ann", "right");
    let called = async {
        tokio::select! {
            () = answers => {}
            () = calls => {}
        }
    };
    tokio::time::timeout(PATIENCE, called).await.expect("Bob is called");
    drop(registration);
    switch.stop().await;
}

async fn a_name_that_nobody_knows_yet_is_looked_up_when_it_comes(of: fn() -> Database) {
    let database = of().with_peers();
    let switch = Running::with(&database, "poll_seconds = 60\n").await;
    let (phone, _) = phone();
    // It has looked once by now.
    drop(register(&phone, switch.address, "ann").await);
    let insert = "INSERT INTO iaxfriends (name, secret, context, host) VALUES";
    database.run(&format!("{insert} ('new', 'right', 'test', 'dynamic')"));
    // On a busy machine the database may be too late; then the next attempt asks it again.
    let known = async { while !ask(&phone, switch.address, "new", "right").await.1 {} };
    tokio::time::timeout(PATIENCE, known).await.expect("it is let in");
    database.run(&format!("{insert} ('newer', 'right', 'default', 'dynamic')"));
    let called = until_taken(&phone, switch.address, "600", "newer", "right");
    tokio::time::timeout(PATIENCE, called).await.expect("it is let in");
    let (_registration, registered) = ask(&phone, switch.address, "newest", "right").await;
    assert!(!registered, "nobody has that name");
    switch.stop().await;
}

async fn rows_that_change_hold_soon(of: fn() -> Database) {
    let database = of().with_peers();
    let switch = Running::with(&database, "poll_seconds = 1\n").await;
    let (phone, _) = phone();
    drop(register(&phone, switch.address, "ann").await);
    database.run("UPDATE iaxfriends SET secret = 'other' WHERE name = 'ann'");
    let changed = async { while !ask(&phone, switch.address, "ann", "other").await.1 {} };
    tokio::time::timeout(PATIENCE, changed).await.expect("the new secret holds");
    database.run("DELETE FROM iaxfriends WHERE name = 'ann'");
    let gone = async { while ask(&phone, switch.address, "ann", "other").await.1 {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("it is gone");
    switch.stop().await;
}

async fn tables_of_users_and_peers_are_read_both(of: fn() -> Database) {
    let database = of();
    database
        .run("CREATE TABLE iaxusers (name VARCHAR(40), secret VARCHAR(40), context VARCHAR(40))");
    database.run(
        "CREATE TABLE iaxpeers (name VARCHAR(40), host VARCHAR(40), secret VARCHAR(40), \
         ipaddr VARCHAR(45), port INTEGER, regseconds BIGINT)",
    );
    database.run("INSERT INTO iaxusers VALUES ('ann', 'calls', 'default')");
    database.run("INSERT INTO iaxpeers VALUES ('ann', 'dynamic', 'registers', NULL, NULL, 0)");
    let more = "peers = \"iaxpeers\"\nusers = \"iaxusers\"\n";
    let switch = Running::with(&database, more).await;
    let (phone, address) = phone();
    let (registration, registered) = ask(&phone, switch.address, "ann", "registers").await;
    assert!(registered);
    assert!(is_taken(&phone, switch.address, "600", "ann", "calls").await);
    let row = || database.run("SELECT ipaddr, port, regseconds > 0 FROM iaxpeers");
    let there = format!("{}|{}|", address.ip(), address.port());
    wait_for("the registration to be written", PATIENCE, || row().starts_with(&there));
    registration.unregister().await;
    // A column that takes numbers alone has no empty text.
    let sqlite = matches!(database, Database::File { .. });
    let over = if sqlite { "||" } else { "|0|" };
    wait_for("its end to be written", PATIENCE, || row().starts_with(over));
    switch.stop().await;
}

async fn what_is_missing_is_named_with_its_table(of: fn() -> Database) {
    let database = of();
    let load = async |database: &Database| {
        let config = Config::parse(Path::new("test.toml"), &database.section()).expect("good");
        match RealtimePeers::load(&config).await {
            Err(RealtimeError::Wrong { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    };
    // A file that nobody has made is none at all.
    database.run("CREATE TABLE other (name VARCHAR(40))");
    let why = load(&database).await;
    assert_eq!(why, "there is no table iaxfriends, or its user may not read it");
    database.run("CREATE TABLE iaxfriends (name VARCHAR(40), host VARCHAR(40), port INTEGER)");
    let why = load(&database).await;
    assert_eq!(why, "table iaxfriends has no columns ipaddr, regseconds");
    database.run("ALTER TABLE iaxfriends ADD COLUMN ipaddr VARCHAR(45)");
    let why = load(&database).await;
    assert_eq!(why, "table iaxfriends has no column regseconds");
    let findings =
        examine_rows(Path::new("test.toml"), &database.section(), None).await.expect("good");
    let found: Vec<Weakness> = findings.iter().map(|finding| finding.id).collect();
    assert_eq!(found, [Weakness::RealtimeTables]);
}

async fn the_doctor_says_of_each_row_once_what_it_loses(of: fn() -> Database) {
    let database = of().with_peers();
    database.run("UPDATE iaxfriends SET setvar = 'A=1', regserver = 'x' WHERE name = 'ann'");
    database.run("UPDATE iaxfriends SET secret = NULL WHERE name = 'bob'");
    let findings =
        examine_rows(Path::new("test.toml"), &database.section(), None).await.expect("good");
    let said: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(
        said,
        [
            "ann is a peer, but setvar=A=1: variables that a caller sends pass on; none is set here",
            "bob is no peer: [bob]: it registers without a secret or key, so everybody could in its \
             place",
        ]
    );
}

/// Each of these on each engine.
macro_rules! on_each_engine {
    ($($name:ident),* $(,)?) => {
        mod at_postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Database::postgres).await;
            })*
        }

        mod at_mariadb {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Database::mariadb).await;
            })*
        }

        mod at_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Database::sqlite).await;
            })*
        }
    };
}

on_each_engine!(
    a_phone_is_written_as_asterisk_does_it_and_called_by_it,
    what_is_not_renewed_is_written_as_expired_and_the_row_says_where_it_was,
    a_phone_that_registers_at_asterisk_is_called_from_here,
    a_name_that_nobody_knows_yet_is_looked_up_when_it_comes,
    rows_that_change_hold_soon,
    tables_of_users_and_peers_are_read_both,
    what_is_missing_is_named_with_its_table,
    the_doctor_says_of_each_row_once_what_it_loses,
);

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_peers_go_on_and_what_they_did_is_written_then() {
    let server = Arc::new(DatabaseServer::start(Kind::Postgres));
    let url = server.new_database();
    let database = Database::Server(server.clone(), url).with_peers();
    let switch = Running::with(&database, "poll_seconds = 1\n").await;
    let ((ann, address), (bob, _)) = (phone(), phone());
    let first = register(&bob, switch.address, "bob").await;
    server.kill();
    let _registration = register(&ann, switch.address, "ann").await;
    let (_nobody, registered) = ask(&ann, switch.address, "nobody", "right").await;
    assert!(!registered, "who cannot be looked up is not let in");
    first.unregister().await;
    server.start_again();
    database.until("ann", &format!("{}|{}|registered", address.ip(), address.port()));
    database.until("bob", "||not");
    switch.stop().await;
}
