//! PostgreSQL and MariaDB on real servers, and what is their own.

use std::sync::Arc;

use oneport_switch::Utc;
use oneport_switch::store::{
    MySqlStore, PostgresStore, Record, Store, StoreError, StoredRegistration,
};
use oneport_testkit::peers::database::{DatabaseServer, Kind, PASSWORD};
use url::Url;

/// An empty database of `server`.
pub(crate) fn database(server: &DatabaseServer) -> Url {
    let mut url: Url = server.new_database().parse().expect("a URL");
    url.set_password(Some(PASSWORD)).expect("there is a host");
    url
}

async fn postgres() -> (PostgresStore, Arc<DatabaseServer>) {
    let server = DatabaseServer::shared(Kind::Postgres);
    let store = PostgresStore::new(&database(&server)).expect("such a URL");
    while !store.check().await.expect("opened") {}
    (store, server)
}

async fn mariadb() -> (MySqlStore, Arc<DatabaseServer>) {
    let server = DatabaseServer::shared(Kind::MariaDb);
    let store = MySqlStore::new(&database(&server)).expect("such a URL");
    while !store.check().await.expect("opened") {}
    (store, server)
}

mod at_postgresql {
    crate::conformance!(super::postgres);
}

mod at_mariadb {
    crate::conformance!(super::mariadb);
}

/// The store of `kind` at `url`, its tables made, or those of this version there already. The server runs, and
/// on a busy machine may take its time.
pub(crate) async fn open(
    kind: Kind,
    url: &Url,
    to_read: bool,
) -> Result<Box<dyn Store>, StoreError> {
    Ok(match (kind, to_read) {
        (Kind::Postgres, false) => {
            let store = PostgresStore::new(url)?;
            while !store.check().await? {}
            Box::new(store)
        }
        (Kind::Postgres, true) => {
            let store = PostgresStore::to_read(url)?;
            while !store.check().await? {}
            Box::new(store)
        }
        (Kind::MariaDb, false) => {
            let store = MySqlStore::new(url)?;
            while !store.check().await? {}
            Box::new(store)
        }
        (Kind::MariaDb, true) => {
            let store = MySqlStore::to_read(url)?;
            while !store.check().await? {}
            Box::new(store)
        }
    })
}

pub(crate) fn registered(peer: &str) -> StoredRegistration {
    StoredRegistration {
        peer: peer.into(),
        address: "192.0.2.1:4569".into(),
        registered: Utc::from_unix_millis(0),
        expires: Utc::from_unix_millis(60_000),
        contact: None,
        switch: None,
    }
}

fn ann() -> StoredRegistration {
    registered("ann")
}

async fn what_was_written_outlives_a_killed_server_and_the_store_finds_it_again(kind: Kind) {
    let server = DatabaseServer::start(kind);
    let url = database(&server);
    let store = open(kind, &url, false).await.expect("opened");
    for number in 0..3 {
        let peer = registered(&format!("peer {number}"));
        store.write(&[Record::Registered(peer)]).await.expect("written");
        server.kill();
        let refused = store.write(&[Record::Registered(ann())]).await;
        refused.expect_err("there is no server");
        server.start_again();
        let there = store.registrations().await.expect("it is found again");
        assert_eq!(there.len(), number + 1, "{there:?}");
    }
}

async fn a_reader_makes_no_tables_and_a_writer_makes_them_once(kind: Kind) {
    let server = DatabaseServer::shared(kind);
    let url = database(&server);
    let error = open(kind, &url, true).await.map(drop).expect_err("there is nothing yet");
    assert!(error.is_unused, "{error}");
    // Switches that start at the same time do not get in each other's way.
    let (one, other) = tokio::join!(open(kind, &url, false), open(kind, &url, false));
    one.expect("opened").write(&[Record::Registered(ann())]).await.expect("written");
    let reader = open(kind, &url, true).await.expect("now there is");
    assert_eq!(reader.registrations().await, Ok(vec![ann()]));
    assert_eq!(other.expect("opened").registrations().await, Ok(vec![ann()]));
}

async fn no_error_has_the_password_and_each_says_which_database(kind: Kind) {
    let server = DatabaseServer::shared(kind);
    let mut url = database(&server);
    let described = open(kind, &url, false).await.expect("opened").describe();
    assert!(described.contains(url.path()) && !described.contains("%3A"), "{described}");
    url.set_password(Some("guess:ed")).expect("there is a host");
    let error = open(kind, &url, false).await.map(drop).expect_err("it is another");
    let said = error.to_string();
    assert!(said.contains(url.path()) && !said.contains("guess"), "{said}");
    assert!(!error.is_unused, "{said}");
    url.set_password(Some(PASSWORD)).expect("there is a host");
    url.set_path("/no_such_database");
    let error = open(kind, &url, false).await.map(drop).expect_err("it is not there");
    assert!(error.to_string().contains("no_such_database"), "{error}");
}

/// Makes a test of each claim for both servers, in a runtime of several threads as that of a switch.
macro_rules! of_each_kind {
    ($($claim:ident)+) => {
        mod at_postgresql_itself {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(super::Kind::Postgres).await;
            })+
        }

        mod at_mariadb_itself {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(super::Kind::MariaDb).await;
            })+
        }
    };
}

pub(crate) use of_each_kind;

of_each_kind! {
    what_was_written_outlives_a_killed_server_and_the_store_finds_it_again
    a_reader_makes_no_tables_and_a_writer_makes_them_once
    no_error_has_the_password_and_each_says_which_database
}
