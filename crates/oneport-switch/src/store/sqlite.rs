//! A store in one SQLite file.
//!
//! The file is in WAL mode: readers, in this process or in others, do not hold up the writer.
//! `synchronous` is FULL, so that a commit is on the disk when it returns: with NORMAL, SQLite's
//! advice for WAL, a commit outlives the process but not a loss of power, and a record that was
//! acknowledged could be gone. It costs one `fsync` for each batch, not for each record.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    ConnectOptions, Connection, QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool, TypeInfo,
    ValueRef,
};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::columns::{self, Value, stored};
use super::migrations::MIGRATIONS;
use super::{
    Answer, CdrFilter, KEPT_REFUSALS, Order, Page, Paging, Record, RefusalFilter, Store,
    StoreError, StoredRegistration, StoredUser,
};
use crate::api::Role;
use crate::cdr::Cdr;
use crate::refusal::{Refusal, RefusalCount, Stage};
use crate::utc::Utc;

/// How long a process waits for another that writes.
const BUSY: Duration = Duration::from_secs(10);

/// Connections that read at the same time.
const READERS: u32 = 4;

/// Call detail records that a database in memory holds: the last of them.
const IN_MEMORY: u64 = 100_000;

/// Records in one INSERT, as many of the first as there are, and so on. A statement of each size is
/// parsed once; SQLite takes 32,766 values in one.
const ROWS: [usize; 4] = [64, 16, 4, 1];

/// Columns of `refusal` behind its number, in the order in which they are written and read.
const REFUSAL: &str = "call_id, number, time, peer, address, calling_number, called_number, stage, \
                       kind, rule, value, destination, ended_call, cause, said, why, fix";

/// A SQLite database.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None`: in memory.
    path: Option<PathBuf>,
    writer: Mutex<SqliteConnection>,
    /// None for a database in memory: it exists in its one connection only.
    readers: Option<SqlitePool>,
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
        let mut writer = options.connect().await.map_err(|why| StoreError::new(&doing, why))?;
        migrate(&mut writer).await.map_err(|why| match why {
            MigrateError::VersionMissing(version) if Some(version) > newest_form() => {
                StoreError::new(&doing, OF_A_NEWER_VERSION)
            }
            why => StoreError::new(&doing, why),
        })?;
        let readers = readers(path, READERS);
        Ok(Self { path: Some(path.into()), writer: Mutex::new(writer), readers: Some(readers) })
    }

    /// Opens a file that is there already, to read it: a running switch is not held up.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, or it is no database of this version of Oneport.
    pub async fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let doing = format!("cannot read the database {}", path.display());
        let wrong = |why: &dyn std::fmt::Display| StoreError::new(&doing, why);
        let options = quiet().filename(path).busy_timeout(BUSY);
        let options = options.pragma("query_only", "ON");
        let mut writer = options.connect().await.map_err(|why| wrong(&why))?;
        let sql = "SELECT max(version) FROM _sqlx_migrations WHERE success";
        let version: Option<i64> =
            sqlx::query_scalar(sql).fetch_one(&mut writer).await.map_err(|why| wrong(&why))?;
        match version.cmp(&newest_form()) {
            Ordering::Equal => {}
            Ordering::Greater => return Err(wrong(&OF_A_NEWER_VERSION)),
            Ordering::Less => {
                let why = "an older version of oneport has made it; let this version's `oneport \
                           serve` open it once";
                return Err(wrong(&why));
            }
        }
        let readers = Some(readers(path, 1));
        Ok(Self { path: Some(path.into()), writer: Mutex::new(writer), readers })
    }

    /// A database that lives as long as this value.
    ///
    /// # Errors
    /// SQLite could not make it.
    pub async fn in_memory() -> Result<Self, StoreError> {
        let doing = "cannot make a database in memory";
        let options = quiet().in_memory(true);
        let mut writer = options.connect().await.map_err(|why| StoreError::new(doing, why))?;
        migrate(&mut writer).await.map_err(|why| StoreError::new(doing, why))?;
        Ok(Self { path: None, writer: Mutex::new(writer), readers: None })
    }

    /// Whether all of the file is as SQLite wrote it (`PRAGMA integrity_check`). It reads all of it.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn check(&self) -> Result<(), StoreError> {
        let doing = || format!("cannot check {}", self.describe());
        let mut reader = self.reader().await?;
        let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_all(reader.connection())
            .await
            .map_err(|why| StoreError::new(doing(), why))?;
        match found.as_slice() {
            [ok] if ok == "ok" => Ok(()),
            found => Err(StoreError::new(doing(), found.join("; "))),
        }
    }

    async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        match &self.readers {
            Some(pool) => {
                let acquired = pool.acquire().await;
                let error =
                    |why| StoreError::new(format!("cannot read from {}", self.describe()), why);
                Ok(Reader::Own(acquired.map_err(error)?))
            }
            None => Ok(Reader::Shared(self.writer.lock().await)),
        }
    }
}

/// Why a database is not opened that has tables which this version cannot know.
const OF_A_NEWER_VERSION: &str = "a newer version of oneport has made it, or changed it, and this one \
                                  does not know its tables; run that version, or go on with the copy \
                                  from before the upgrade";

/// The form that this version gives to its tables.
fn newest_form() -> Option<i64> {
    MIGRATIONS.iter().map(|migration| migration.version).max()
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    MIGRATIONS.run(connection).await
}

/// The log is of calls, not of statements, whatever its level.
fn quiet() -> SqliteConnectOptions {
    SqliteConnectOptions::new().disable_statement_logging()
}

fn readers(path: &Path, most: u32) -> SqlitePool {
    let options = quiet().filename(path).busy_timeout(BUSY);
    // Nothing is to be tended in the background: connections stay.
    SqlitePoolOptions::new()
        .max_connections(most)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options.pragma("query_only", "ON"))
}

/// A connection to read from.
enum Reader<'a> {
    Own(sqlx::pool::PoolConnection<Sqlite>),
    Shared(MutexGuard<'a, SqliteConnection>),
}

impl Reader<'_> {
    fn connection(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Own(connection) => connection,
            Self::Shared(connection) => connection,
        }
    }
}

impl Store for SqliteStore {
    fn describe(&self) -> String {
        match &self.path {
            Some(path) => format!("SQLite {}", path.display()),
            None => "SQLite in memory".into(),
        }
    }

    fn write<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            let most = self.path.is_none().then_some(IN_MEMORY);
            let written = write(&mut writer, records, most).await;
            written
                .map_err(|why| StoreError::new(format!("cannot write to {}", self.describe()), why))
        })
    }

    fn registrations(&self) -> Answer<'_, Vec<StoredRegistration>> {
        Box::pin(async move {
            let sql = "SELECT peer, address, registered_time, expires_time, contact \
                       FROM registration ORDER BY peer";
            let rows = self.fetch(QueryBuilder::new(sql)).await?;
            let registration = |row: &SqliteRow| {
                Ok(StoredRegistration {
                    peer: row.try_get(0)?,
                    address: row.try_get(1)?,
                    registered: moment(row, 2)?,
                    expires: moment(row, 3)?,
                    contact: row.try_get(4)?,
                })
            };
            self.read(&rows, registration)
        })
    }

    fn cdrs<'a>(&'a self, filter: &'a CdrFilter, paging: Paging) -> Answer<'a, Page<Cdr>> {
        Box::pin(async move {
            let mut query =
                QueryBuilder::new(format!("SELECT {}, id FROM cdr WHERE 1 = 1", columns_of_cdr()));
            if let Some(call) = filter.call {
                query.push(" AND call_id = ").push_bind(call.to_string());
            }
            if let Some(from) = filter.from {
                query.push(" AND end_time >= ").push_bind(from.to_string());
            }
            if let Some(to) = filter.to {
                query.push(" AND end_time < ").push_bind(to.to_string());
            }
            push_equal(&mut query, "peer", filter.peer.as_ref());
            push_number(&mut query, filter.number.as_deref());
            if let Some(cause) = filter.cause {
                query.push(" AND cause = ").push_bind(i64::from(cause));
            }
            push_equal(&mut query, "limit_name", filter.limit.as_ref());
            self.page(query, paging, read_cdr).await
        })
    }

    fn refusals<'a>(
        &'a self,
        filter: &'a RefusalFilter,
        paging: Paging,
    ) -> Answer<'a, Page<Refusal>> {
        Box::pin(async move {
            let mut query =
                QueryBuilder::new(format!("SELECT {REFUSAL}, id FROM refusal WHERE 1 = 1"));
            if let Some(call) = filter.call {
                query.push(" AND call_id = ").push_bind(call.to_string());
            }
            if let Some(from) = filter.from {
                query.push(" AND time >= ").push_bind(from.to_string());
            }
            if let Some(to) = filter.to {
                query.push(" AND time < ").push_bind(to.to_string());
            }
            push_equal(&mut query, "peer", filter.peer.as_ref());
            push_number(&mut query, filter.number.as_deref());
            if let Some(cause) = filter.cause {
                query.push(" AND cause = ").push_bind(i64::from(cause));
            }
            if let Some(stage) = filter.stage {
                query.push(" AND stage = ").push_bind(stage.name());
            }
            push_equal(&mut query, "kind", filter.kind.as_ref());
            self.page(query, paging, read_refusal).await
        })
    }

    fn refusal_counts(&self) -> Answer<'_, Vec<RefusalCount>> {
        Box::pin(async move {
            let sql =
                "SELECT stage, kind, count FROM refusal_count ORDER BY count DESC, stage, kind";
            let rows = self.fetch(QueryBuilder::new(sql)).await?;
            let count = |row: &SqliteRow| {
                Ok(RefusalCount {
                    stage: named(row, 0, &Stage::ALL, Stage::name)?,
                    kind: row.try_get(1)?,
                    count: unsigned(row, 2)?,
                })
            };
            self.read(&rows, count)
        })
    }

    fn users(&self) -> Answer<'_, Vec<StoredUser>> {
        Box::pin(async move {
            let sql = "SELECT name, role, listens, password FROM user ORDER BY name";
            let rows = self.fetch(QueryBuilder::new(sql)).await?;
            let user = |row: &SqliteRow| {
                Ok(StoredUser {
                    name: row.try_get(0)?,
                    role: named(row, 1, &Role::ALL, Role::name)?,
                    listens: row.try_get(2)?,
                    password: row.try_get(3)?,
                })
            };
            self.read(&rows, user)
        })
    }

    fn put_user<'a>(&'a self, user: &'a StoredUser) -> Answer<'a, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO user (name, role, listens, password) VALUES (?, ?, ?, ?) \
                       ON CONFLICT (name) DO UPDATE SET role = excluded.role, \
                       listens = excluded.listens, password = excluded.password";
            let query = sqlx::query(sql).bind(&user.name).bind(user.role.name());
            let query = query.bind(user.listens).bind(&user.password);
            let mut writer = self.writer.lock().await;
            let doing = || format!("cannot write a user to {}", self.describe());
            let done = query.execute(&mut *writer).await;
            done.map(drop).map_err(|why| StoreError::new(doing(), why))
        })
    }

    fn remove_user<'a>(&'a self, name: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let query = sqlx::query("DELETE FROM user WHERE name = ?").bind(name);
            let mut writer = self.writer.lock().await;
            let doing = || format!("cannot delete a user from {}", self.describe());
            let done = query.execute(&mut *writer).await;
            Ok(done.map_err(|why| StoreError::new(doing(), why))?.rows_affected() > 0)
        })
    }

    fn prune(&self, before: Utc, most: u32) -> Answer<'_, u64> {
        Box::pin(async move {
            let sql = "DELETE FROM cdr WHERE id IN \
                       (SELECT id FROM cdr WHERE end_time < ? ORDER BY end_time LIMIT ?)";
            let query = sqlx::query(sql).bind(before.to_string()).bind(most);
            let mut writer = self.writer.lock().await;
            let doing = || format!("cannot delete old records from {}", self.describe());
            let done = query.execute(&mut *writer).await;
            Ok(done.map_err(|why| StoreError::new(doing(), why))?.rows_affected())
        })
    }
}

impl SqliteStore {
    async fn fetch(&self, mut query: QueryBuilder<Sqlite>) -> Result<Vec<SqliteRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query.build().fetch_all(reader.connection()).await;
        rows.map_err(|why| StoreError::new(format!("cannot read from {}", self.describe()), why))
    }

    fn read<T>(
        &self,
        rows: &[SqliteRow],
        read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let records: Result<Vec<T>, sqlx::Error> = rows.iter().map(read).collect();
        let doing = || format!("cannot understand what is in {}", self.describe());
        records.map_err(|why| StoreError::new(doing(), why))
    }

    /// A page of what `query` finds, whose number stands in the last column.
    async fn page<T>(
        &self,
        mut query: QueryBuilder<Sqlite>,
        paging: Paging,
        read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Page<T>, StoreError> {
        let most = paging.most.clamp(1, Paging::MOST);
        let after = paging.after.map(signed);
        let (comparison, order) = match paging.order {
            Order::NewestFirst => (" AND id < ", " ORDER BY id DESC LIMIT "),
            Order::OldestFirst => (" AND id > ", " ORDER BY id LIMIT "),
        };
        if let Some(after) = after {
            query.push(comparison).push_bind(after);
        }
        // One more tells whether there is another page.
        query.push(order).push_bind(i64::from(most) + 1);
        let mut rows = self.fetch(query).await?;
        let more = rows.len() > most as usize;
        rows.truncate(most as usize);
        let last = rows.last().filter(|_| more);
        let doing = || format!("cannot understand what is in {}", self.describe());
        let next = last.map(|row| unsigned(row, row.len().saturating_sub(1))).transpose();
        let next = next.map_err(|why| StoreError::new(doing(), why))?;
        Ok(Page { records: self.read(&rows, read)?, next })
    }
}

fn push_equal(query: &mut QueryBuilder<Sqlite>, column: &str, value: Option<&String>) {
    if let Some(value) = value {
        query.push(format!(" AND {column} = ")).push_bind(value.clone());
    }
}

/// A number fits as that of either side.
fn push_number(query: &mut QueryBuilder<Sqlite>, number: Option<&str>) {
    let Some(number) = number else { return };
    query.push(" AND (");
    for (n, column) in ["calling_number", "called_number"].into_iter().enumerate() {
        if n > 0 {
            query.push(" OR ");
        }
        match number.strip_suffix('*') {
            // No LIKE: it has signs of its own, and takes capitals for small letters.
            Some(prefix) => {
                let length = signed(prefix.chars().count() as u64);
                query.push(format!("substr({column}, 1, ")).push_bind(length);
                query.push(") = ").push_bind(prefix.to_string());
            }
            None => {
                query.push(format!("{column} = ")).push_bind(number.to_string());
            }
        }
    }
    query.push(")");
}

/// Writes `records`; of call detail records at most `most` stay.
async fn write(
    connection: &mut SqliteConnection,
    records: &[Record],
    most: Option<u64>,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let cdrs: Vec<&Cdr> = records
        .iter()
        .filter_map(|record| match record {
            Record::Cdr(cdr) => Some(&**cdr),
            _ => None,
        })
        .collect();
    let mut rest = cdrs.as_slice();
    for rows in ROWS {
        while let Some((some, others)) = rest.split_at_checked(rows) {
            insert_cdrs(&mut transaction, some).await?;
            rest = others;
        }
    }
    if let Some(most) = most.filter(|_| !cdrs.is_empty()) {
        let sql = "DELETE FROM cdr WHERE id <= (SELECT max(id) FROM cdr) - ?";
        sqlx::query(sql).bind(signed(most)).execute(&mut *transaction).await?;
    }
    let refusals: Vec<&Refusal> = records
        .iter()
        .filter_map(|record| match record {
            Record::Refusal(refusal) => Some(&**refusal),
            _ => None,
        })
        .collect();
    insert_refusals(&mut transaction, &refusals).await?;
    // Of several about one peer the last holds.
    let mut standing: BTreeMap<&str, Option<&StoredRegistration>> = BTreeMap::new();
    for record in records {
        match record {
            Record::Registered(registration) => {
                standing.insert(&registration.peer, Some(registration));
            }
            Record::Unregistered { peer } => {
                standing.insert(peer, None);
            }
            _ => {}
        }
    }
    for (peer, registration) in standing {
        let Some(registration) = registration else {
            let sql = "DELETE FROM registration WHERE peer = ?";
            sqlx::query(sql).bind(peer).execute(&mut *transaction).await?;
            continue;
        };
        let sql = "INSERT INTO registration \
                   (peer, address, registered_time, expires_time, contact) \
                   VALUES (?, ?, ?, ?, ?) ON CONFLICT (peer) DO UPDATE SET \
                   address = excluded.address, registered_time = excluded.registered_time, \
                   expires_time = excluded.expires_time, contact = excluded.contact";
        sqlx::query(sql)
            .bind(peer)
            .bind(&registration.address)
            .bind(registration.registered.to_string())
            .bind(registration.expires.to_string())
            .bind(&registration.contact)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// The columns of `cdr` behind its number.
fn columns_of_cdr() -> String {
    stored().map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}

async fn insert_cdrs(connection: &mut SqliteConnection, cdrs: &[&Cdr]) -> Result<(), sqlx::Error> {
    let columns = columns_of_cdr();
    let mut query = QueryBuilder::<Sqlite>::new(format!("INSERT INTO cdr ({columns}) "));
    query.push_values(cdrs, |mut row, cdr| {
        for (column, _) in stored() {
            match (column.get)(cdr) {
                Value::None => row.push_bind(None::<String>),
                Value::Flag(flag) => row.push_bind(i64::from(flag)),
                Value::Integer(number) => row.push_bind(number),
                Value::Real(number) => row.push_bind(number),
                Value::Text(text) => row.push_bind(text),
            };
        }
    });
    query.push(" ON CONFLICT (call_id, leg) DO NOTHING");
    query.build().execute(connection).await?;
    Ok(())
}

async fn insert_refusals(
    connection: &mut SqliteConnection,
    refusals: &[&Refusal],
) -> Result<(), sqlx::Error> {
    if refusals.is_empty() {
        return Ok(());
    }
    let mut counts: BTreeMap<(Stage, &str), i64> = BTreeMap::new();
    for refusal in refusals {
        let mut query = QueryBuilder::<Sqlite>::new(format!("INSERT INTO refusal ({REFUSAL}) "));
        query.push_values([refusal], |mut row, refusal| {
            row.push_bind(refusal.call.to_string())
                .push_bind(i64::from(refusal.number))
                .push_bind(refusal.at.to_string())
                .push_bind(refusal.peer.clone())
                .push_bind(refusal.address.clone())
                .push_bind(refusal.calling_number.clone())
                .push_bind(refusal.called_number.clone())
                .push_bind(refusal.stage.name())
                .push_bind(refusal.kind.clone())
                .push_bind(refusal.rule.clone())
                .push_bind(refusal.value.clone())
                .push_bind(refusal.destination.clone())
                .push_bind(i64::from(refusal.ended_call))
                .push_bind(refusal.cause.map(i64::from))
                .push_bind(refusal.said.clone())
                .push_bind(refusal.why.clone())
                .push_bind(refusal.fix.clone());
        });
        query.push(" ON CONFLICT (call_id, number) DO NOTHING");
        // One that was written before is counted already.
        if query.build().execute(&mut *connection).await?.rows_affected() > 0 {
            *counts.entry((refusal.stage, &refusal.kind)).or_default() += 1;
        }
    }
    for ((stage, kind), count) in counts {
        let sql = "INSERT INTO refusal_count (stage, kind, count) VALUES (?, ?, ?) \
                   ON CONFLICT (stage, kind) DO UPDATE SET count = count + excluded.count";
        let query = sqlx::query(sql).bind(stage.name()).bind(kind).bind(count);
        query.execute(&mut *connection).await?;
    }
    let sql = "DELETE FROM refusal WHERE id <= (SELECT max(id) FROM refusal) - ?";
    sqlx::query(sql).bind(signed(KEPT_REFUSALS)).execute(connection).await?;
    Ok(())
}

/// Numbers are signed in SQL; none of ours comes near their end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn wrong(column: usize, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_string(), source: why.into() }
}

fn unsigned<N: TryFrom<i64>>(row: &SqliteRow, column: usize) -> Result<N, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    N::try_from(number).map_err(|_| wrong(column, format!("{number} is out of range")))
}

fn maybe_unsigned<N: TryFrom<i64>>(
    row: &SqliteRow,
    column: usize,
) -> Result<Option<N>, sqlx::Error> {
    let number: Option<i64> = row.try_get(column)?;
    number.map(|_| unsigned(row, column)).transpose()
}

fn moment(row: &SqliteRow, column: usize) -> Result<Utc, sqlx::Error> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error: crate::utc::NoMoment| wrong(column, error))
}

fn uuid(row: &SqliteRow, column: usize) -> Result<Uuid, sqlx::Error> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error: uuid::Error| wrong(column, error))
}

fn named<T: Copy>(
    row: &SqliteRow,
    column: usize,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, sqlx::Error> {
    let text: String = row.try_get(column)?;
    let found = all.iter().copied().find(|one| name(*one) == text);
    found.ok_or_else(|| wrong(column, format!("`{text}` is unknown")))
}

fn read_cdr(row: &SqliteRow) -> Result<Cdr, sqlx::Error> {
    let mut cdr = columns::blank();
    for (place, (column, _)) in stored().enumerate() {
        (column.set)(&mut cdr, value(row, place)?).map_err(|why| wrong(place, why))?;
    }
    Ok(cdr)
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

fn read_refusal(row: &SqliteRow) -> Result<Refusal, sqlx::Error> {
    Ok(Refusal {
        call: uuid(row, 0)?,
        number: unsigned(row, 1)?,
        at: moment(row, 2)?,
        peer: row.try_get(3)?,
        address: row.try_get(4)?,
        calling_number: row.try_get(5)?,
        called_number: row.try_get(6)?,
        stage: named(row, 7, &Stage::ALL, Stage::name)?,
        kind: row.try_get(8)?,
        rule: row.try_get(9)?,
        value: row.try_get(10)?,
        destination: row.try_get(11)?,
        ended_call: row.try_get(12)?,
        cause: maybe_unsigned(row, 13)?,
        said: row.try_get(14)?,
        why: row.try_get(15)?,
        fix: row.try_get(16)?,
    })
}
