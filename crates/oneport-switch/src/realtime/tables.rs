//! Asterisk's tables in a database: which columns they have, their rows as texts, and what is written of
//! registrations.
//!
//! Tables are as somebody has made them: columns come in any order and of several types, so that all is read as text,
//! and numbers are written where the column takes nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, MySql, Pool, Postgres};
use tokio::sync::Mutex;
use tokio::time;

use crate::config::{DatabaseKind, RealtimeConfig, RealtimePlace};
use crate::store::columns::{Row, Value};
use crate::store::server::{Server, is_away};
use crate::store::sql::Engine;
use crate::store::statement::{Dialect, Statement};
use crate::store::{Answer, MySqlStore, PostgresStore, SqliteStore};

/// How long a connection is waited for, or another program that writes to a SQLite file.
const CONNECTING: Duration = Duration::from_secs(2);

/// How long the database has for what it is asked.
const ANSWERING: Duration = Duration::from_secs(10);

/// Connections: one that looks at everything and writes, and one for names that are looked up meanwhile.
const CONNECTIONS: u32 = 2;

/// What a table must have of which peers register and are called, as Asterisk wants it.
const NEEDED_OF_PEERS: [&str; 5] = ["name", "host", "ipaddr", "port", "regseconds"];

/// The same where they only call.
const NEEDED_OF_USERS: [&str; 1] = ["name"];

/// Asterisk's tables cannot be used.
///
/// ```
/// use oneport_switch::realtime::RealtimeError;
///
/// let error = RealtimeError::Away { place: "db.example.org".into(), why: "refused".into() };
/// assert_eq!(error.to_string(), "db.example.org does not answer: refused");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RealtimeError {
    /// The database does not answer now, and may do so later.
    #[error("{place} does not answer: {why}")]
    Away {
        /// Which database, without its password.
        place: String,
        /// What came in place of an answer.
        why: String,
    },
    /// It answers, and what is wrong does not mend itself.
    #[error("{place}: {why}")]
    Wrong {
        /// Which database, without its password.
        place: String,
        /// What is wrong: which column of which table is missing.
        why: String,
    },
}

/// A table, or some rows of one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Table {
    pub(super) name: String,
    /// Names of its columns, in their order.
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

impl Table {
    /// Where a column of this name is.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))
    }
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Look {
    /// Of those who register and are called.
    pub(super) peers: Table,
    /// Of those who call; `None`: it is the same table.
    pub(super) users: Option<Table>,
}

/// What is written of a registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// It began, or was renewed, so many seconds after 1970.
    Registered { address: SocketAddr, seconds: i64 },
    /// Whoever was there has ended it.
    Ended { was: SocketAddr },
    /// It was not renewed.
    Expired { was: SocketAddr },
}

/// The tables of a database.
pub(super) trait Tables: Send + Sync {
    /// All rows, or those of one name.
    fn look<'a>(&'a self, name: Option<&'a str>) -> Answer<'a, Look, RealtimeError>;

    /// Writes what has become of the registration of a peer.
    fn write<'a>(&'a self, name: &'a str, written: Written) -> Answer<'a, (), RealtimeError>;
}

/// Those that `config` names. Nothing is asked of the database yet. It must be made within a runtime of tokio.
///
/// # Errors
/// Its URL is none.
pub(super) fn open(config: &RealtimeConfig) -> Result<Box<dyn Tables>, RealtimeError> {
    let url = match &config.place {
        RealtimePlace::File(path) => {
            let options = SqliteConnectOptions::new()
                .filename(path)
                .busy_timeout(CONNECTING)
                .disable_statement_logging();
            let place = format!("SQLite {}", path.display());
            let pool = pool().connect_lazy_with(options);
            return Ok(Box::new(Of::<SqliteStore>::new(config, place, pool)));
        }
        RealtimePlace::Server(url) => url,
    };
    let wrong =
        |why: sqlx::Error| RealtimeError::Wrong { place: url.to_string(), why: why.to_string() };
    let with_secret = url.with_secret();
    Ok(match url.kind() {
        DatabaseKind::Postgres => {
            let options = <Postgres as Server>::options(&with_secret).map_err(wrong)?;
            let options = options.disable_statement_logging();
            let pool = pool().connect_lazy_with(options);
            Box::new(Of::<PostgresStore>::new(config, format!("PostgreSQL {url}"), pool))
        }
        DatabaseKind::MySql => {
            let options = <MySql as Server>::options(&with_secret).map_err(wrong)?;
            let options = options.disable_statement_logging();
            let pool = pool().connect_lazy_with(options);
            Box::new(Of::<MySqlStore>::new(config, format!("MySQL {url}"), pool))
        }
    })
}

fn pool<S: sqlx::Database>() -> PoolOptions<S> {
    PoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CONNECTING)
}

/// The columns of a table, and whether each takes numbers alone.
#[derive(Clone, Debug)]
struct Head {
    columns: Vec<(String, bool)>,
}

impl Head {
    fn find(&self, name: &str) -> Option<&(String, bool)> {
        self.columns.iter().find(|(column, _)| column.eq_ignore_ascii_case(name))
    }
}

/// The heads of both tables.
#[derive(Clone, Debug)]
struct Heads {
    peers: Head,
    users: Option<Head>,
}

struct Of<E: Engine> {
    config: RealtimeConfig,
    /// Which database, for people.
    place: String,
    pool: Pool<E::Database>,
    /// Looked at once, and again after each failure: somebody may change a table.
    heads: Mutex<Option<Heads>>,
}

/// What a statement did not do.
enum Trouble {
    Database(sqlx::Error),
    Other(String),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Whether another program writes to a SQLite file for long (SQLITE_BUSY, SQLITE_LOCKED).
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "5" | "6" | "261" | "517"))
}

impl<E: Engine> Of<E> {
    fn new(config: &RealtimeConfig, place: String, pool: Pool<E::Database>) -> Self {
        Self { config: config.clone(), place, pool, heads: Mutex::new(None) }
    }

    /// Does something that the database has to do in time.
    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Trouble>> + Send,
    ) -> Result<T, RealtimeError> {
        let place = self.place.clone();
        let why = match time::timeout(ANSWERING, work).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(Trouble::Other(why))) => RealtimeError::Wrong { place, why },
            Ok(Err(Trouble::Database(why))) if is_away(&why) || is_busy(&why) => {
                RealtimeError::Away { place, why: why.to_string() }
            }
            Ok(Err(Trouble::Database(why))) => RealtimeError::Wrong { place, why: why.to_string() },
            Err(_) => RealtimeError::Away {
                place,
                why: format!("no answer in {} s", ANSWERING.as_secs()),
            },
        };
        self.heads.lock().await.take();
        Err(why)
    }

    async fn fetch(&self, statement: &Statement) -> Result<Vec<Row>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        E::fetch(&mut connection, statement).await
    }

    async fn heads(&self) -> Result<Heads, Trouble> {
        let known = self.heads.lock().await.clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let peers = self.head(&self.config.peers, &NEEDED_OF_PEERS).await?;
        let users = match self.config.users == self.config.peers {
            true => None,
            false => Some(self.head(&self.config.users, &NEEDED_OF_USERS).await?),
        };
        let heads = Heads { peers, users };
        *self.heads.lock().await = Some(heads.clone());
        Ok(heads)
    }

    async fn head(&self, table: &str, needed: &[&str]) -> Result<Head, Trouble> {
        let mut statement = Statement::new(E::DIALECT, "");
        let text = |name: &str| as_text(E::DIALECT, name);
        match E::DIALECT {
            Dialect::Sqlite => {
                statement.push("SELECT name, type FROM pragma_table_info(");
                statement.bind(table.to_string()).push(") ORDER BY cid");
            }
            Dialect::Postgres | Dialect::MySql => {
                let own = match E::DIALECT {
                    Dialect::MySql => "DATABASE()",
                    _ => "current_schema()",
                };
                let (name, kind) = (text("column_name"), text("data_type"));
                statement.push(&format!(
                    "SELECT {name}, {kind} FROM information_schema.columns \
                     WHERE table_schema = {own} AND table_name = "
                ));
                statement.bind(table.to_string()).push(" ORDER BY ordinal_position");
            }
        }
        let mut columns = Vec::new();
        for row in self.fetch(&statement).await? {
            let [name, kind] = texts(row)?;
            let kind = kind.unwrap_or_default().to_ascii_lowercase();
            let numbers = ["int", "numeric", "decimal", "serial", "double", "real", "float"];
            // SQLite keeps any text in any column.
            let is_number =
                E::DIALECT != Dialect::Sqlite && numbers.iter().any(|number| kind.contains(number));
            columns.push((name.unwrap_or_default(), is_number));
        }
        if columns.is_empty() {
            let why = format!("there is no table {table}, or its user may not read it");
            return Err(Trouble::Other(why));
        }
        let head = Head { columns };
        let missing: Vec<&str> =
            needed.iter().copied().filter(|name| head.find(name).is_none()).collect();
        if !missing.is_empty() {
            let columns = if missing.len() == 1 { "column" } else { "columns" };
            let why = format!("table {table} has no {columns} {}", missing.join(", "));
            return Err(Trouble::Other(why));
        }
        Ok(head)
    }

    async fn rows(&self, table: &str, head: &Head, name: Option<&str>) -> Result<Table, Trouble> {
        let columns: Vec<String> =
            head.columns.iter().map(|(column, _)| as_text(E::DIALECT, column)).collect();
        let from = quoted(E::DIALECT, table);
        let text = format!("SELECT {} FROM {from}", columns.join(", "));
        let mut statement = Statement::new(E::DIALECT, text);
        if let (Some(name), Some((column, _))) = (name, head.find("name")) {
            statement.push(&format!(" WHERE {} = ", quoted(E::DIALECT, column)));
            statement.bind(name.to_string());
        }
        let mut rows = Vec::new();
        for mut row in self.fetch(&statement).await? {
            let places = 0..head.columns.len();
            let texts = places.map(|place| text_of(&mut row, place)).collect::<Result<Vec<_>, _>>();
            rows.push(texts?);
        }
        let columns = head.columns.iter().map(|(column, _)| column.clone()).collect();
        Ok(Table { name: table.into(), columns, rows })
    }
}

impl<E: Engine> Tables for Of<E>
where
    Pool<E::Database>: Send + Sync,
{
    fn look<'a>(&'a self, name: Option<&'a str>) -> Answer<'a, Look, RealtimeError> {
        Box::pin(self.within(async move {
            let heads = self.heads().await?;
            let peers = self.rows(&self.config.peers, &heads.peers, name).await?;
            let users = match &heads.users {
                Some(head) => Some(self.rows(&self.config.users, head, name).await?),
                None => None,
            };
            Ok(Look { peers, users })
        }))
    }

    fn write<'a>(&'a self, name: &'a str, written: Written) -> Answer<'a, (), RealtimeError> {
        Box::pin(self.within(async move {
            let heads = self.heads().await?;
            let statement = update(E::DIALECT, &self.config, &heads.peers, name, written);
            let mut connection = self.pool.acquire().await?;
            E::execute(&mut connection, &statement).await?;
            Ok(())
        }))
    }
}

/// What Asterisk 22 writes: a registration and its renewals all of it, its end empty texts and 0, its expiry 0 for the
/// time alone. What is over is taken from nobody who has registered elsewhere since.
fn update(
    dialect: Dialect,
    config: &RealtimeConfig,
    head: &Head,
    name: &str,
    written: Written,
) -> Statement {
    let table = quoted(dialect, &config.peers);
    let mut statement = Statement::new(dialect, format!("UPDATE {table} SET "));
    let mut first = true;
    let mut set = |statement: &mut Statement, column: &str, text: &str, number: i64| {
        let Some((column, is_number)) = head.find(column) else { return };
        let comma = if std::mem::take(&mut first) { "" } else { ", " };
        statement.push(&format!("{comma}{} = ", quoted(dialect, column)));
        match is_number {
            true => statement.bind(Value::Integer(number)),
            false => statement.bind(text.to_string()),
        };
    };
    let mut was = None;
    match written {
        Written::Registered { address, seconds } => {
            set(&mut statement, "ipaddr", &ip_of(address), 0);
            let port = address.port();
            set(&mut statement, "port", &port.to_string(), port.into());
            set(&mut statement, "regseconds", &seconds.to_string(), seconds);
        }
        Written::Ended { was: address } => {
            was = Some(address);
            set(&mut statement, "ipaddr", "", 0);
            set(&mut statement, "port", "", 0);
            set(&mut statement, "regseconds", "0", 0);
        }
        Written::Expired { was: address } => {
            was = Some(address);
            set(&mut statement, "regseconds", "0", 0);
        }
    }
    if let Some(own) = &config.regserver {
        set(&mut statement, "regserver", own, 0);
    }
    let condition = |statement: &mut Statement, word: &str, column: &str, text: &str, number| {
        let Some((column, is_number)) = head.find(column) else { return };
        statement.push(&format!(" {word} {} = ", quoted(dialect, column)));
        match is_number {
            true => statement.bind(Value::Integer(number)),
            false => statement.bind(text.to_string()),
        };
    };
    condition(&mut statement, "WHERE", "name", name, 0);
    if let Some(was) = was {
        condition(&mut statement, "AND", "ipaddr", &ip_of(was), 0);
        condition(&mut statement, "AND", "port", &was.port().to_string(), was.port().into());
    }
    statement
}

fn ip_of(address: SocketAddr) -> String {
    address.ip().to_canonical().to_string()
}

/// A name as SQL wants it. None has quotes in it that comes from the configuration; in those of columns they are doubled.
fn quoted(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::MySql => format!("`{}`", name.replace('`', "``")),
        Dialect::Sqlite | Dialect::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// What stands in a column, as text.
fn as_text(dialect: Dialect, column: &str) -> String {
    let text = if dialect == Dialect::MySql { "CHAR" } else { "TEXT" };
    format!("CAST({} AS {text})", quoted(dialect, column))
}

fn text_of(row: &mut Row, place: usize) -> Result<Option<String>, Trouble> {
    match row.take(place).map_err(|why| Trouble::Other(why.to_string()))? {
        Value::None => Ok(None),
        other => Ok(Some(other.to_string())),
    }
}

fn texts<const N: usize>(mut row: Row) -> Result<[Option<String>; N], Trouble> {
    let mut texts = [const { None }; N];
    for (place, text) in texts.iter_mut().enumerate() {
        *text = text_of(&mut row, place)?;
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Config;

    fn check(columns: &[(&str, bool)], regserver: &str, written: Written, expected: &str) {
        let text = format!("[realtime]\nurl = \"sqlite:/x\"\n{regserver}");
        let config = Config::parse(Path::new("test.toml"), &text).expect("good");
        let config = config.realtime.expect("tables");
        let columns = columns.iter().map(|(name, is)| ((*name).to_string(), *is)).collect();
        let statement = update(Dialect::Postgres, &config, &Head { columns }, "al'ice", written);
        let values: Vec<String> =
            statement.values().iter().map(|value| format!("{value:?}")).collect();
        assert_eq!(format!("{} {}", statement.text(), values.join(" ")), expected);
    }

    const TEXTS: [(&str, bool); 6] = [
        ("name", false),
        ("ipaddr", false),
        ("port", false),
        ("regseconds", false),
        ("RegServer", false),
        ("host", false),
    ];

    #[test]
    fn a_registration_is_written_as_asterisk_does_it() {
        let address = SocketAddr::from(([192, 0, 2, 1], 4570));
        let registered = Written::Registered { address, seconds: 1_800_000_000 };
        check(
            &TEXTS,
            "",
            registered,
            "UPDATE \"iaxfriends\" SET \"ipaddr\" = $1, \"port\" = $2, \"regseconds\" = $3 \
             WHERE \"name\" = $4 Text(\"192.0.2.1\") Text(\"4570\") Text(\"1800000000\") \
             Text(\"al'ice\")",
        );
        let numbers = TEXTS.map(|(name, _)| (name, ["port", "regseconds"].contains(&name)));
        check(
            &numbers,
            "regserver = \"berlin\"",
            registered,
            "UPDATE \"iaxfriends\" SET \"ipaddr\" = $1, \"port\" = $2, \"regseconds\" = $3, \
             \"RegServer\" = $4 WHERE \"name\" = $5 Text(\"192.0.2.1\") Integer(4570) \
             Integer(1800000000) Text(\"berlin\") Text(\"al'ice\")",
        );
    }

    #[test]
    fn what_is_over_is_written_where_nobody_has_registered_elsewhere_since() {
        let was = SocketAddr::from(([192, 0, 2, 1], 4570));
        check(
            &TEXTS,
            "",
            Written::Ended { was },
            "UPDATE \"iaxfriends\" SET \"ipaddr\" = $1, \"port\" = $2, \"regseconds\" = $3 \
             WHERE \"name\" = $4 AND \"ipaddr\" = $5 AND \"port\" = $6 Text(\"\") Text(\"\") Text(\"0\") \
             Text(\"al'ice\") Text(\"192.0.2.1\") Text(\"4570\")",
        );
        check(
            &TEXTS,
            "",
            Written::Expired { was },
            "UPDATE \"iaxfriends\" SET \"regseconds\" = $1 \
             WHERE \"name\" = $2 AND \"ipaddr\" = $3 AND \"port\" = $4 Text(\"0\") \
             Text(\"al'ice\") Text(\"192.0.2.1\") Text(\"4570\")",
        );
    }
}
