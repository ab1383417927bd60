//! SQLite, in a file and in memory, and what is its own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use oneport_switch::Utc;
use oneport_switch::store::{
    CdrFilter, Paging, QueuedStore, Record, SqliteStore, Store, StoredRegistration,
};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

async fn in_file() -> (SqliteStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(&directory.path().join("oneport.db")).await.expect("opened");
    (store, directory)
}

async fn in_memory() -> (SqliteStore, ()) {
    (SqliteStore::in_memory().await.expect("made"), ())
}

mod file {
    crate::conformance!(super::in_file);
}

mod memory {
    crate::conformance!(super::in_memory);
}

fn registration(peer: &str) -> StoredRegistration {
    StoredRegistration {
        peer: peer.into(),
        address: "192.0.2.1:4569".into(),
        registered: Utc::from_unix_millis(0),
        expires: Utc::from_unix_millis(60_000),
        contact: None,
        switch: None,
    }
}

#[tokio::test]
async fn what_was_written_is_there_when_the_file_is_opened_again() {
    let (store, directory) = in_file().await;
    store.write(&[Record::Registered(registration("ann"))]).await.expect("written");
    // No farewell, as when it is killed: another opens the file while this one has it.
    let again = SqliteStore::open(&directory.path().join("oneport.db")).await.expect("opened");
    assert_eq!(again.registrations().await, Ok(vec![registration("ann")]));
    again.check().await.expect("whole");
    drop(store);
}

#[tokio::test]
async fn records_of_the_first_version_are_read_and_new_ones_stand_beside_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("oneport.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut old = options.connect().await.expect("made");
    let migrations = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite"));
    let mut first = Migrator::new(migrations).await.expect("read");
    first.migrations.to_mut().retain(|migration| migration.version == 1);
    first.run(&mut old).await.expect("as the first version made it");
    let sql = "INSERT INTO cdr (call_id, leg, direction, address, called_number, start_time, end_time,
               duration_ms, billable_ms, reason, cause, hung_up_by, encrypted, trunk, frames, bytes,
               lost, late, out_of_order, duplicates, jitter_us, sent_frames, sent_bytes, send_drops,
               retransmissions, agreement) VALUES ('01990000-0000-7000-8000-000000000001', 1, 'in',
               '192.0.2.1:4569', '600', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:01.000Z', 1000,
               0, 'remote_hangup', 16, 'peer', 0, 0, 50, 8000, 3, 0, 0, 0, 0, 50, 8000, 0, 0, 'agrees')";
    sqlx::raw_sql(sql).execute(&mut old).await.expect("written");
    old.close().await.expect("closed");
    let store = SqliteStore::open(&path).await.expect("brought up");
    let page = store.cdrs(&CdrFilter::default(), Paging::default()).await.expect("read");
    let quality = &page.records[0].quality;
    assert_eq!((quality.frames, quality.lost, quality.bursts), (50, 3, 0));
    assert_eq!((quality.burst_ratio, quality.mos, quality.clock_ppm), (1.0, None, None));
}

#[tokio::test]
async fn only_its_owner_may_read_the_file() {
    let (_store, directory) = in_file().await;
    for name in ["oneport.db", "oneport.db-wal"] {
        let mode = std::fs::metadata(directory.path().join(name)).expect("there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_reader_reads_while_a_switch_has_the_file_and_cannot_write() {
    let (store, directory) = in_file().await;
    let path = directory.path().join("oneport.db");
    let reader = SqliteStore::open_to_read(&path).await.expect("opened");
    store.write(&[Record::Registered(registration("ann"))]).await.expect("written");
    assert_eq!(reader.registrations().await, Ok(vec![registration("ann")]));
    let refused = reader.write(&[Record::Registered(registration("bob"))]).await;
    assert!(refused.is_err(), "{refused:?}");
    let page = reader.cdrs(&CdrFilter::default(), Paging::default()).await.expect("read");
    assert_eq!(page.records, []);
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("oneport.toml");
    let text = "[server]\nlisten = [\"0.0.0.0:4569\"]\n".repeat(100);
    std::fs::write(&path, &text).expect("written");
    let error = SqliteStore::open(&path).await.expect_err("no database");
    assert!(error.to_string().contains("oneport.toml"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), text);
    let missing = directory.path().join("missing.db");
    assert!(SqliteStore::open_to_read(&missing).await.is_err());
    assert!(!Path::new(&missing).exists(), "reading makes no file");
}

#[tokio::test]
async fn an_older_version_refuses_the_database_of_a_newer_one_in_a_clear_sentence() {
    let (store, directory) = in_file().await;
    store.write(&[Record::Registered(registration("ann"))]).await.expect("written");
    drop(store);
    let path = directory.path().join("oneport.db");
    let mut newer = SqliteConnectOptions::new().filename(&path).connect().await.expect("opened");
    let sql =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
               VALUES (9999, 'of tomorrow', TRUE, x'00', 0)";
    sqlx::raw_sql(sql).execute(&mut newer).await.expect("written");
    newer.close().await.expect("closed");
    for refused in [SqliteStore::open(&path).await, SqliteStore::open_to_read(&path).await] {
        let said = refused.map(drop).expect_err("a newer one").to_string();
        assert!(said.contains("oneport.db"), "{said}");
        assert!(said.contains("a newer version of oneport has made it"), "{said}");
        assert!(!said.contains("migration"), "{said}");
    }
    // What is in it is left as it is.
    let mut there = SqliteConnectOptions::new().filename(&path).connect().await.expect("opened");
    let sql =
        "SELECT (SELECT count(*) FROM registration), (SELECT max(version) FROM _sqlx_migrations)";
    let found: (i64, i64) = sqlx::query_as(sql).fetch_one(&mut there).await.expect("read");
    assert_eq!(found, (1, 9999));
}

#[tokio::test]
async fn a_file_that_no_switch_has_used_is_told_from_one_that_is_not_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("oneport.db");
    let missing = SqliteStore::open_to_read(&path).await.map(drop).expect_err("there is none");
    assert!(!missing.is_unused, "{missing}");
    std::fs::write(&path, "").expect("written");
    let unused = SqliteStore::open_to_read(&path).await.map(drop).expect_err("it has no tables");
    assert!(unused.is_unused, "{unused}");
}

#[tokio::test]
async fn a_store_that_is_closed_leaves_all_of_it_in_one_file() {
    let (store, directory) = in_file().await;
    store.write(&[Record::Registered(registration("ann"))]).await.expect("written");
    // Somebody has read as well.
    store.registrations().await.expect("read");
    store.close().await.expect("closed");
    let path = directory.path().join("oneport.db");
    assert!(!directory.path().join("oneport.db-wal").exists());
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).expect("copied");
    let copy = SqliteStore::open_to_read(&copy).await.expect("opened");
    assert_eq!(copy.registrations().await, Ok(vec![registration("ann")]));
}

#[tokio::test]
async fn a_store_is_closed_while_another_reads_and_a_third_writes_and_takes_nothing_from_them() {
    let (store, directory) = in_file().await;
    let path = directory.path().join("oneport.db");
    let heir = SqliteStore::open(&path).await.expect("opened");
    store.write(&[Record::Registered(registration("ann"))]).await.expect("written");
    let open =
        async || SqliteConnectOptions::new().filename(&path).connect().await.expect("opened");
    let count = "SELECT count(*) FROM registration";
    let mut reader = open().await;
    sqlx::raw_sql("BEGIN").execute(&mut reader).await.expect("begun");
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut reader).await.expect("read");
    let mut writer = open().await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut writer).await.expect("begun");
    store.close().await.expect("closed");
    sqlx::raw_sql("COMMIT").execute(&mut writer).await.expect("committed");
    heir.write(&[Record::Registered(registration("bob"))]).await.expect("written");
    let still: i64 = sqlx::query_scalar(count).fetch_one(&mut reader).await.expect("read");
    assert_eq!((before, still), (1, 1), "it reads what was there when it began");
    for one in [reader, writer] {
        one.close().await.expect("closed");
    }
    heir.close().await.expect("closed");
    assert!(!directory.path().join("oneport.db-wal").exists(), "the last one takes it away");
    let again = SqliteStore::open_to_read(&path).await.expect("opened");
    assert_eq!(again.registrations().await.expect("read").len(), 2);
}

#[tokio::test]
async fn a_queue_that_is_closed_is_whole_in_one_file_too() {
    let (inner, directory) = in_file().await;
    let (inner, path) = (Arc::new(inner), directory.path().join("queue.db"));
    let store = QueuedStore::new(inner.clone(), &path, 1_000).await.expect("opened");
    // The database takes nothing, so that it waits.
    inner.close().await.expect("closed");
    store.write(&[Record::Registered(registration("ann"))]).await.expect("queued");
    store.close().await.expect_err("the database is closed already");
    assert!(!directory.path().join("queue.db-wal").exists());
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).expect("copied");
    assert_eq!(QueuedStore::waiting_in(&copy).await, Ok(1));
}
