//! A store in SQL, whatever database speaks it: what is asked, and what becomes of the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use sqlx::{Database, Pool, Transaction};
use uuid::Uuid;

use super::columns::{self, Field, Row, Unfit, Value, stored};
use super::migrations::Unused;
use super::registrations;
use super::statement::{Dialect, Statement};
use super::{
    Answer, CdrFilter, KEPT_REFUSALS, Order, Page, Paging, Record, RefusalFilter, Store,
    StoreError, StoredConfiguration, StoredRegistration, StoredUser,
};
use crate::cdr::Cdr;
use crate::refusal::{Refusal, RefusalCount, Stage};
use crate::utc::Utc;

/// Records in one statement, as many of the first as there are, and so on. A statement of each size is
/// parsed once; SQLite takes 32,766 values in one, the others 65,535.
const ROWS: [usize; 4] = [64, 16, 4, 1];

/// Columns of `refusal` behind its number, in the order in which they are written and read.
const REFUSAL: &str = "call_id, number, switch, time, peer, address, calling_number, called_number, stage, \
                       kind, rule, value, destination, ended_call, cause, said, why, fix";

/// A database by its own protocol.
pub(crate) trait Engine: Send + Sync + 'static {
    type Database: Database;

    const DIALECT: Dialect;

    /// How long a database that may be far away has for what it is asked; `None`: as long as it takes.
    const PATIENCE: Option<Duration>;

    /// What it is, for people.
    fn place(&self) -> String;

    /// Records of calls that it holds; `None`: all.
    fn most_cdrs(&self) -> Option<u64> {
        None
    }

    /// Connections for what only reads. The database has all its tables.
    fn reader(
        &self,
    ) -> impl Future<Output = Result<&Pool<Self::Database>, sqlx::Error>> + Send + '_;

    /// Begins what is written whole or not at all, and is durable then.
    fn begin(
        &self,
    ) -> impl Future<Output = Result<Transaction<'static, Self::Database>, sqlx::Error>> + Send + '_;

    /// [`Store::close`].
    fn close(&self) -> impl Future<Output = Result<(), sqlx::Error>> + Send + '_ {
        async { Ok(()) }
    }

    /// Carries out a statement, and says how many rows it has changed.
    fn execute<'a>(
        connection: &'a mut <Self::Database as Database>::Connection,
        statement: &'a Statement,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send + 'a;

    /// The rows that a statement finds.
    fn fetch<'a>(
        connection: &'a mut <Self::Database as Database>::Connection,
        statement: &'a Statement,
    ) -> impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send + 'a;
}

/// [`Engine::execute`] and [`Engine::fetch`] by `$bind`, which takes a value into arguments, and `$value`,
/// which reads one of a row.
macro_rules! statements {
    ($database:ty, $bind:path, $value:path) => {
        async fn execute(
            connection: &mut <$database as sqlx::Database>::Connection,
            statement: &$crate::store::statement::Statement,
        ) -> Result<u64, sqlx::Error> {
            let mut arguments = <$database as sqlx::Database>::Arguments::default();
            for value in statement.values() {
                $bind(&mut arguments, value).map_err(sqlx::Error::Encode)?;
            }
            let text = sqlx::AssertSqlSafe(statement.text());
            let done = sqlx::query_with(text, arguments).execute(connection).await?;
            Ok(done.rows_affected())
        }

        async fn fetch(
            connection: &mut <$database as sqlx::Database>::Connection,
            statement: &$crate::store::statement::Statement,
        ) -> Result<Vec<$crate::store::columns::Row>, sqlx::Error> {
            let mut arguments = <$database as sqlx::Database>::Arguments::default();
            for value in statement.values() {
                $bind(&mut arguments, value).map_err(sqlx::Error::Encode)?;
            }
            let text = sqlx::AssertSqlSafe(statement.text());
            let rows = sqlx::query_with(text, arguments).fetch_all(connection).await?;
            let values = |row| {
                let columns = 0..sqlx::Row::len(row);
                columns.map(|place| $value(row, place)).collect::<Result<Vec<_>, _>>()
            };
            rows.iter().map(|row| Ok($crate::store::columns::Row::new(values(row)?))).collect()
        }
    };
}

pub(super) use statements;

/// What a statement did not do.
pub(super) enum Trouble {
    Database(sqlx::Error),
    Unfit(Unfit),
    Slow(Duration),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Unfit> for Trouble {
    fn from(error: Unfit) -> Self {
        Self::Unfit(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Unfit(error) => error.fmt(f),
            Self::Slow(patience) => write!(f, "no answer within {} s", patience.as_secs()),
        }
    }
}

/// Waits for an answer of `engine` no longer than it may take.
async fn ask<E: Engine, T>(
    engine: &E,
    doing: &str,
    work: impl Future<Output = Result<T, Trouble>> + Send,
) -> Result<T, StoreError> {
    let done = match E::PATIENCE {
        None => work.await,
        Some(patience) => {
            tokio::time::timeout(patience, work).await.unwrap_or(Err(Trouble::Slow(patience)))
        }
    };
    done.map_err(|why| {
        let doing =
            if let Trouble::Unfit(_) = why { "cannot understand what is in" } else { doing };
        let doing = format!("{doing} {}", engine.place());
        match why {
            Trouble::Database(why) if Unused::is_why(&why) => StoreError::unused(doing),
            why => StoreError::new(doing, why),
        }
    })
}

/// Reads all that `statement` finds.
async fn read<E: Engine, T>(
    engine: &E,
    statement: Statement,
    of: impl Fn(&mut Row) -> Result<T, Unfit> + Send + Sync,
) -> Result<Vec<T>, StoreError> {
    let work = async {
        let mut connection = engine.reader().await?.acquire().await?;
        let rows = E::fetch(&mut connection, &statement).await?;
        let records: Result<Vec<T>, Unfit> = rows.into_iter().map(|mut row| of(&mut row)).collect();
        Ok(records?)
    };
    ask(engine, "cannot read from", work).await
}

/// A page of what `statement` finds, whose number stands in the last column, at `number`.
async fn page<E: Engine, T>(
    engine: &E,
    mut statement: Statement,
    number: usize,
    paging: Paging,
    of: impl Fn(&mut Row) -> Result<T, Unfit> + Send + Sync,
) -> Result<Page<T>, StoreError> {
    let most = paging.most.clamp(1, Paging::MOST);
    let (comparison, order) = match paging.order {
        Order::NewestFirst => (" AND id < ", " ORDER BY id DESC LIMIT "),
        Order::OldestFirst => (" AND id > ", " ORDER BY id LIMIT "),
    };
    if let Some(after) = paging.after {
        statement.push(comparison).bind(after);
    }
    // One more tells whether there is another page.
    statement.push(order).bind(most + 1);
    let numbered = |row: &mut Row| Ok((of(row)?, row.take::<u64>(number)?));
    let mut records = read(engine, statement, numbered).await?;
    let more = records.len() > most as usize;
    records.truncate(most as usize);
    let next = records.last().filter(|_| more).map(|(_, number)| *number);
    Ok(Page { records: records.into_iter().map(|(record, _)| record).collect(), next })
}

/// Carries out one statement, durably.
async fn change<E: Engine>(
    engine: &E,
    doing: &str,
    statement: Statement,
) -> Result<u64, StoreError> {
    let work = async {
        let mut transaction = engine.begin().await?;
        let changed = E::execute(&mut transaction, &statement).await?;
        transaction.commit().await?;
        Ok(changed)
    };
    ask(engine, doing, work).await
}

impl<E: Engine> Store for E {
    fn describe(&self) -> String {
        self.place()
    }

    fn write<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()> {
        Box::pin(ask(self, "cannot write to", async move {
            let mut transaction = self.begin().await?;
            write::<E>(&mut transaction, records, self.most_cdrs()).await?;
            Ok(transaction.commit().await?)
        }))
    }

    fn registrations(&self) -> Answer<'_, Vec<StoredRegistration>> {
        Box::pin(read(self, registrations::all(E::DIALECT), registrations::read))
    }

    fn cdrs<'a>(&'a self, filter: &'a CdrFilter, paging: Paging) -> Answer<'a, Page<Cdr>> {
        let columns = columns_of_cdr();
        let text = format!("SELECT {columns}, id FROM cdr WHERE 1 = 1");
        let mut statement = Statement::new(E::DIALECT, text);
        push(&mut statement, "call_id = ", filter.call);
        push(&mut statement, "end_time >= ", filter.from);
        push(&mut statement, "end_time < ", filter.to);
        push(&mut statement, "peer = ", filter.peer.clone());
        push_number(&mut statement, filter.number.as_deref());
        push(&mut statement, "cause = ", filter.cause);
        push(&mut statement, "limit_name = ", filter.limit.clone());
        Box::pin(page(self, statement, stored().count(), paging, columns::read))
    }

    fn refusals<'a>(
        &'a self,
        filter: &'a RefusalFilter,
        paging: Paging,
    ) -> Answer<'a, Page<Refusal>> {
        let text = format!("SELECT {REFUSAL}, id FROM refusal WHERE 1 = 1");
        let mut statement = Statement::new(E::DIALECT, text);
        push(&mut statement, "call_id = ", filter.call);
        push(&mut statement, "time >= ", filter.from);
        push(&mut statement, "time < ", filter.to);
        push(&mut statement, "peer = ", filter.peer.clone());
        push_number(&mut statement, filter.number.as_deref());
        push(&mut statement, "cause = ", filter.cause);
        push(&mut statement, "stage = ", filter.stage);
        push(&mut statement, "kind = ", filter.kind.clone());
        Box::pin(page(self, statement, REFUSAL.split(',').count(), paging, read_refusal))
    }

    fn refusal_counts(&self) -> Answer<'_, Vec<RefusalCount>> {
        let text = "SELECT stage, kind, count FROM refusal_count ORDER BY count DESC, stage, kind";
        Box::pin(read(self, Statement::new(E::DIALECT, text), |row| {
            Ok(RefusalCount { stage: row.take(0)?, kind: row.take(1)?, count: row.take(2)? })
        }))
    }

    fn raise_refusal_counts<'a>(&'a self, counts: &'a [RefusalCount]) -> Answer<'a, ()> {
        Box::pin(async move {
            for RefusalCount { stage, kind, count } in counts {
                let text = "INSERT INTO refusal_count (stage, kind, count) VALUES ";
                let mut statement = Statement::new(E::DIALECT, text);
                statement.bind_row([stage.value(), kind.value(), count.value()]);
                statement.push(&E::DIALECT.or_raise("refusal_count", "stage, kind", "count"));
                change(self, "cannot write counts of refusals to", statement).await?;
            }
            Ok(())
        })
    }

    fn users(&self) -> Answer<'_, Vec<StoredUser>> {
        let users = E::DIALECT.users();
        let text = format!("SELECT name, role, listens, password FROM {users} ORDER BY name");
        Box::pin(read(self, Statement::new(E::DIALECT, text), |row| {
            Ok(StoredUser {
                name: row.take(0)?,
                role: row.take(1)?,
                listens: row.take(2)?,
                password: row.take(3)?,
            })
        }))
    }

    fn put_user<'a>(&'a self, user: &'a StoredUser) -> Answer<'a, ()> {
        let users = E::DIALECT.users();
        let text = format!("INSERT INTO {users} (name, role, listens, password) VALUES ");
        let mut statement = Statement::new(E::DIALECT, text);
        let StoredUser { name, role, listens, password } = user;
        statement.bind_row([name.value(), role.value(), listens.value(), password.value()]);
        statement.push(&E::DIALECT.or_replace("name", &["role", "listens", "password"]));
        Box::pin(async move { change(self, "cannot write a user to", statement).await.map(drop) })
    }

    fn remove_user<'a>(&'a self, name: &'a str) -> Answer<'a, bool> {
        let text = format!("DELETE FROM {} WHERE name = ", E::DIALECT.users());
        let mut statement = Statement::new(E::DIALECT, text);
        statement.bind(name.to_string());
        Box::pin(async move { Ok(change(self, "cannot delete a user from", statement).await? > 0) })
    }

    fn configuration_behind(&self, version: i64) -> Answer<'_, Option<StoredConfiguration>> {
        let text = "SELECT version, author, time, text FROM shared_configuration WHERE version > ";
        let mut statement = Statement::new(E::DIALECT, text);
        statement.bind(version).push(" ORDER BY version LIMIT 1");
        let found = read(self, statement, read_configuration);
        Box::pin(async move { Ok(found.await?.into_iter().next()) })
    }

    fn put_configuration<'a>(&'a self, version: &'a StoredConfiguration) -> Answer<'a, bool> {
        Box::pin(async move {
            let before = self.configuration_behind(version.version - 1).await?;
            if let Some(there) = before.filter(|there| there.version == version.version) {
                return Ok(there == *version);
            }
            let text = "INSERT INTO shared_configuration (version, author, time, text) VALUES ";
            let mut statement = Statement::new(E::DIALECT, text);
            let StoredConfiguration { version, author, time, text } = version;
            statement.bind_row([version.value(), author.value(), time.value(), text.value()]);
            change(self, "cannot write the shared configuration to", statement).await?;
            Ok(true)
        })
    }

    fn prune(&self, before: Utc, most: u32) -> Answer<'_, u64> {
        // MySQL takes no LIMIT within IN, but behind DELETE, which the others do not.
        let (text, end) = match E::DIALECT {
            Dialect::Sqlite | Dialect::Postgres => {
                ("DELETE FROM cdr WHERE id IN (SELECT id FROM cdr WHERE end_time < ", ")")
            }
            Dialect::MySql => ("DELETE FROM cdr WHERE end_time < ", ""),
        };
        let mut statement = Statement::new(E::DIALECT, text);
        statement.bind(before).push(" ORDER BY end_time LIMIT ").bind(most).push(end);
        Box::pin(change(self, "cannot delete old records from", statement))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let closed = Engine::close(self).await;
            closed.map_err(|why| StoreError::new(format!("cannot close {}", self.place()), why))
        })
    }
}

/// One more condition, if there is a value for it.
fn push(statement: &mut Statement, condition: &str, value: Option<impl Field>) {
    if let Some(value) = value {
        statement.push(" AND ").push(condition).bind(value);
    }
}

/// A number fits as that of either side.
fn push_number(statement: &mut Statement, number: Option<&str>) {
    let Some(number) = number else { return };
    for (before, column) in [(" AND (", "calling_number"), (" OR ", "called_number")] {
        statement.push(before);
        match number.strip_suffix('*') {
            // No LIKE: it has signs of its own, and takes capitals for small letters.
            Some(prefix) => {
                let length = prefix.chars().count();
                statement.push(&format!("substr({column}, 1, {length}) = "));
                statement.bind(prefix.to_string());
            }
            None => {
                statement.push(column).push(" = ").bind(number.to_string());
            }
        }
    }
    statement.push(")");
}

pub(super) type Connection<E> = <<E as Engine>::Database as Database>::Connection;

/// Writes `records`; of call detail records at most `most` stay.
async fn write<E: Engine>(
    connection: &mut Connection<E>,
    records: &[Record],
    most: Option<u64>,
) -> Result<(), Trouble> {
    let cdrs: Vec<&Cdr> = records
        .iter()
        .filter_map(|record| match record {
            Record::Cdr(cdr) => Some(&**cdr),
            _ => None,
        })
        .collect();
    for some in in_blocks(&cdrs) {
        let text = format!("INSERT INTO cdr ({}) VALUES ", columns_of_cdr());
        let mut statement = Statement::new(E::DIALECT, text);
        statement.bind_rows(some.iter().map(|cdr| stored().map(|(column, _)| (column.get)(cdr))));
        statement.push(&E::DIALECT.or_nothing(&E::DIALECT.keys_of("leg")));
        E::execute(connection, &statement).await?;
    }
    if let Some(most) = most.filter(|_| !cdrs.is_empty()) {
        forget_all_but::<E>(connection, "cdr", most).await?;
    }
    let refusals: Vec<&Refusal> = records
        .iter()
        .filter_map(|record| match record {
            Record::Refusal(refusal) => Some(&**refusal),
            _ => None,
        })
        .collect();
    insert_refusals::<E>(connection, &refusals).await?;
    registrations::write::<E>(connection, records).await
}

/// `rows` in blocks of [`ROWS`].
pub(super) fn in_blocks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = ROWS.into_iter().find(|length| *length <= rows.len())?;
        let (block, rest) = rows.split_at_checked(length)?;
        rows = rest;
        Some(block)
    })
}

/// The columns of `cdr` behind its number.
fn columns_of_cdr() -> String {
    stored().map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}

/// Deletes all rows of a table but the last.
async fn forget_all_but<E: Engine>(
    connection: &mut Connection<E>,
    table: &str,
    most: u64,
) -> Result<(), Trouble> {
    // MySQL looks at the table that it deletes from in a table of its own alone.
    let newest = format!("SELECT newest FROM (SELECT max(id) AS newest FROM {table}) AS ends");
    let text = format!("DELETE FROM {table} WHERE id <= ({newest}) - ");
    let mut statement = Statement::new(E::DIALECT, text);
    E::execute(connection, statement.bind(most)).await?;
    Ok(())
}

async fn insert_refusals<E: Engine>(
    connection: &mut Connection<E>,
    refusals: &[&Refusal],
) -> Result<(), Trouble> {
    if refusals.is_empty() {
        return Ok(());
    }
    // One that was written before is counted already.
    let mut written: BTreeSet<(Uuid, u32, String)> = BTreeSet::new();
    for some in in_blocks(refusals) {
        let text = "SELECT call_id, number, switch FROM refusal WHERE call_id IN ";
        let mut statement = Statement::new(E::DIALECT, text);
        statement.bind_row(some.iter().map(|refusal| refusal.call.value()));
        for mut row in E::fetch(connection, &statement).await? {
            written.insert((row.take(0)?, row.take(1)?, row.take(2)?));
        }
    }
    let new = |refusal: &&&Refusal| {
        let switch = refusal.switch.clone().unwrap_or_default();
        written.insert((refusal.call, refusal.number, switch))
    };
    let new: Vec<&Refusal> = refusals.iter().filter(new).copied().collect();
    let mut counts: BTreeMap<(Stage, &str), u64> = BTreeMap::new();
    for refusal in &new {
        *counts.entry((refusal.stage, &refusal.kind)).or_default() += 1;
    }
    for some in in_blocks(&new) {
        let text = format!("INSERT INTO refusal ({REFUSAL}) VALUES ");
        let mut statement = Statement::new(E::DIALECT, text);
        statement.bind_rows(some.iter().map(|refusal| values(refusal)));
        E::execute(connection, &statement).await?;
    }
    for ((stage, kind), count) in counts {
        let text = "INSERT INTO refusal_count (stage, kind, count) VALUES ";
        let mut statement = Statement::new(E::DIALECT, text);
        statement.bind_row([stage.value(), kind.to_string().value(), count.value()]);
        statement.push(&E::DIALECT.or_add("refusal_count", "stage, kind", "count"));
        E::execute(connection, &statement).await?;
    }
    forget_all_but::<E>(connection, "refusal", KEPT_REFUSALS).await
}

/// A refusal as [`REFUSAL`] has it.
fn values(refusal: &Refusal) -> impl Iterator<Item = Value> {
    [
        refusal.call.value(),
        refusal.number.value(),
        refusal.switch.clone().unwrap_or_default().value(),
        refusal.at.value(),
        refusal.peer.value(),
        refusal.address.value(),
        refusal.calling_number.value(),
        refusal.called_number.value(),
        refusal.stage.value(),
        refusal.kind.value(),
        refusal.rule.value(),
        refusal.value.value(),
        refusal.destination.value(),
        refusal.ended_call.value(),
        refusal.cause.value(),
        refusal.said.value(),
        refusal.why.value(),
        refusal.fix.value(),
    ]
    .into_iter()
}

fn read_configuration(row: &mut Row) -> Result<StoredConfiguration, Unfit> {
    Ok(StoredConfiguration {
        version: row.take(0)?,
        author: row.take(1)?,
        time: row.take(2)?,
        text: row.take(3)?,
    })
}

fn read_refusal(row: &mut Row) -> Result<Refusal, Unfit> {
    Ok(Refusal {
        call: row.take(0)?,
        number: row.take(1)?,
        switch: Some(row.take(2)?).filter(|name: &String| !name.is_empty()),
        at: row.take(3)?,
        peer: row.take(4)?,
        address: row.take(5)?,
        calling_number: row.take(6)?,
        called_number: row.take(7)?,
        stage: row.take(8)?,
        kind: row.take(9)?,
        rule: row.take(10)?,
        value: row.take(11)?,
        destination: row.take(12)?,
        ended_call: row.take(13)?,
        cause: row.take(14)?,
        said: row.take(15)?,
        why: row.take(16)?,
        fix: row.take(17)?,
    })
}
