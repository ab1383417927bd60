//! A store in one SQLite file.
//!
//! The file is in WAL mode: readers, in this process or in others, do not hold up the writer.
//! `synchronous` is FULL, so that a commit is on the disk when it returns: with NORMAL, SQLite's
//! advice for WAL, a commit outlives the process but not a loss of power, and a record that was
//! acknowledged could be gone. It costs one `fsync` for each batch, not for each record.

use std::cmp::Ordering;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::error::BoxDynError;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Arguments, ConnectOptions, Row, Sqlite, SqlitePool, Transaction, TypeInfo, ValueRef};

use super::StoreError;
use super::columns::Value;
use super::migrations::{OF_A_NEWER_VERSION, OF_AN_OLDER_VERSION, SQLITE};
use super::sql::{Engine, statements};
use super::statement::Dialect;

/// How long a process waits for another that writes.
const BUSY: Duration = Duration::from_secs(10);

/// Connections that read at the same time.
const READERS: u32 = 4;

/// Call detail records that a database in memory holds: the last of them.
const IN_MEMORY: u64 = 100_000;

/// A SQLite database.
///
/// ```
/// use oneport_switch::store::{CdrFilter, Paging, Record, SqliteStore, Store};
///
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// let store = SqliteStore::open(&directory.path().join("oneport.db")).await?;
/// store.write(&[Record::Cdr(Box::new(cdr()))]).await?;
/// let page = store.cdrs(&CdrFilter::default(), Paging::default()).await?;
/// assert_eq!(page.records, [cdr()]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    /// `None`: in memory.
    path: Option<PathBuf>,
    /// One connection.
    writer: SqlitePool,
    /// Those for what only reads. A database in memory exists in its one connection only, so that is it.
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, makes it where there is none (readable for its owner alone, since it tells
    /// who called whom), and brings its tables to the newest form.
    ///
    /// # Errors
    /// It cannot be opened or made, is no database of Oneport, or one of a newer version.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let doing = format!("cannot open the database {}", path.display());
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match made {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StoreError::new(doing, error)),
        }
        let options = quiet()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        let writer = pool(1, options);
        migrate(&writer).await.map_err(|why| match why {
            MigrateError::VersionMissing(version) if Some(version) > SQLITE.newest() => {
                StoreError::new(&doing, OF_A_NEWER_VERSION)
            }
            why => StoreError::new(&doing, why),
        })?;
        Ok(Self { path: Some(path.into()), writer, readers: readers(path, READERS) })
    }

    /// Opens a file that is there already, to read it: a running switch is not held up.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, no switch has used it yet, or it is no database of this version of
    /// Oneport.
    pub async fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let doing = format!("cannot read the database {}", path.display());
        let wrong = |why: &dyn std::fmt::Display| StoreError::new(&doing, why);
        let readers = readers(path, 1);
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
        let tables: i64 =
            sqlx::query_scalar(sql).fetch_one(&readers).await.map_err(|why| wrong(&why))?;
        if tables == 0 {
            return Err(StoreError::unused(doing));
        }
        let sql = "SELECT max(version) FROM _sqlx_migrations WHERE success";
        let version: Option<i64> =
            sqlx::query_scalar(sql).fetch_one(&readers).await.map_err(|why| wrong(&why))?;
        match version.cmp(&SQLITE.newest()) {
            Ordering::Equal => {}
            Ordering::Greater => return Err(wrong(&OF_A_NEWER_VERSION)),
            Ordering::Less => return Err(wrong(&OF_AN_OLDER_VERSION)),
        }
        Ok(Self { path: Some(path.into()), writer: readers.clone(), readers })
    }

    /// A database that lives as long as this value.
    ///
    /// # Errors
    /// SQLite could not make it.
    pub async fn in_memory() -> Result<Self, StoreError> {
        let doing = "cannot make a database in memory";
        let writer = pool(1, quiet().in_memory(true));
        migrate(&writer).await.map_err(|why| StoreError::new(doing, why))?;
        Ok(Self { path: None, readers: writer.clone(), writer })
    }

    /// Whether all of the file is as SQLite wrote it (`PRAGMA integrity_check`). It reads all of it.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn check(&self) -> Result<(), StoreError> {
        let doing = || format!("cannot check {}", self.place());
        let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_all(&self.readers)
            .await
            .map_err(|why| StoreError::new(doing(), why))?;
        match found.as_slice() {
            [ok] if ok == "ok" => Ok(()),
            found => Err(StoreError::new(doing(), found.join("; "))),
        }
    }
}

async fn migrate(writer: &SqlitePool) -> Result<(), MigrateError> {
    SQLITE.migrator().run(writer).await
}

/// The log is of calls, not of statements, whatever its level.
fn quiet() -> SqliteConnectOptions {
    SqliteConnectOptions::new().disable_statement_logging()
}

fn readers(path: &Path, most: u32) -> SqlitePool {
    pool(most, quiet().filename(path).busy_timeout(BUSY).pragma("query_only", "ON"))
}

/// Nothing is to be tended in the background, and nothing breaks on the way to a file: connections stay.
fn pool(most: u32, options: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(most)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Ends the connections of `readers` and `writer`. The last one to a file takes its `-wal` away.
///
/// What is in that goes into the file before, so that the file is whole even where a connection that is in its pool no
/// more has not ended yet. A passive checkpoint waits for nobody: what another process still needs stays where it is.
pub(super) async fn close(readers: &SqlitePool, writer: &SqlitePool) -> Result<(), sqlx::Error> {
    let done = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(writer).await;
    readers.close().await;
    writer.close().await;
    done.map(drop)
}

impl Engine for SqliteStore {
    type Database = Sqlite;

    const DIALECT: Dialect = Dialect::Sqlite;

    const PATIENCE: Option<Duration> = None;

    fn place(&self) -> String {
        match &self.path {
            Some(path) => format!("SQLite {}", path.display()),
            None => "SQLite in memory".into(),
        }
    }

    fn most_cdrs(&self) -> Option<u64> {
        self.path.is_none().then_some(IN_MEMORY)
    }

    async fn reader(&self) -> Result<&SqlitePool, sqlx::Error> {
        Ok(&self.readers)
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    async fn close(&self) -> Result<(), sqlx::Error> {
        if self.path.is_none() {
            return Ok(());
        }
        close(&self.readers, &self.writer).await
    }

    statements!(Sqlite, bind, value);
}

/// Moments and ids are text: the order of the texts is that of the moments.
fn bind(arguments: &mut SqliteArguments, value: &Value) -> Result<(), BoxDynError> {
    match value {
        Value::None => arguments.add(None::<String>),
        Value::Flag(flag) => arguments.add(i64::from(*flag)),
        Value::Integer(number) => arguments.add(*number),
        Value::Real(number) => arguments.add(*number),
        Value::Text(text) => arguments.add(text.clone()),
        Value::Moment(moment) => arguments.add(moment.to_string()),
        Value::Id(id) => arguments.add(id.to_string()),
    }
}

/// What stands in a column, whatever that is: tables are strict, so it is of the column's kind, or nothing.
fn value(row: &SqliteRow, place: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(place)?;
    if raw.is_null() {
        return Ok(Value::None);
    }
    Ok(match raw.type_info().name() {
        "INTEGER" => Value::Integer(row.try_get(place)?),
        "REAL" => Value::Real(row.try_get(place)?),
        _ => Value::Text(row.try_get(place)?),
    })
}
