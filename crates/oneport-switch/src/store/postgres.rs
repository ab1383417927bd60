//! A store in PostgreSQL.

use std::time::Duration;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgConnectOptions, PgConnection, PgRow, PgTypeInfo,
};
use sqlx::types::time::OffsetDateTime;
use sqlx::{Arguments, ConnectOptions, Encode, Postgres, Row, Type, TypeInfo, ValueRef};
use url::Url;

use super::columns::Value;
use super::migrations::{Forms, POSTGRES};
use super::server::{Server, ServerStore};
use super::sql::statements;
use super::statement::Dialect;
use crate::utc::Utc;

/// How long the server waits for the rest of what is written whole or not at all.
const UNFINISHED: Duration = Duration::from_secs(3);

/// A database of PostgreSQL: `postgres://USER:PASSWORD@HOST/DATABASE`.
///
/// ```no_run
/// use oneport_switch::store::{PostgresStore, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::new(&"postgres://oneport:hush@db.example.org/oneport".parse()?)?;
/// println!("{}: {} are registered", store.describe(), store.registrations().await?.len());
/// # Ok(())
/// # }
/// ```
pub type PostgresStore = ServerStore<Postgres>;

/// How the database of `url` is reached.
pub(crate) fn options(url: &Url) -> Result<PgConnectOptions, sqlx::Error> {
    let options: PgConnectOptions = url.as_str().parse()?;
    Ok(options.application_name("oneport").disable_statement_logging())
}

impl Server for Postgres {
    const DIALECT: Dialect = Dialect::Postgres;

    const FORMS: &'static Forms = &POSTGRES;

    fn options(url: &Url) -> Result<PgConnectOptions, sqlx::Error> {
        options(url)
    }

    async fn examine(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let sql = "SELECT current_setting('server_encoding')";
        let encoding: String = sqlx::query_scalar(sql).fetch_one(connection).await?;
        if encoding == "UTF8" {
            return Ok(());
        }
        let why = format!(
            "its texts are {encoding}, which has no place for all names of callers; make the database \
             with ENCODING 'UTF8' TEMPLATE template0"
        );
        Err(sqlx::Error::Configuration(why.into()))
    }

    /// The migrator takes a lock of the database.
    async fn hold_others_off(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("SET lock_timeout = '60 s'").execute(connection).await.map(drop)
    }

    /// A server may be told to acknowledge what it has not written yet; not for us. And what a switch has begun to
    /// write when its link is cut holds up all others, until the server gives it up: by itself after hours.
    async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let sql = "SELECT set_config('idle_in_transaction_session_timeout', $1, false), \
                          CASE current_setting('synchronous_commit') \
                              WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END";
        let unfinished = format!("{} ms", UNFINISHED.as_millis());
        sqlx::query(sql).bind(unfinished).execute(connection).await.map(drop)
    }

    statements!(Postgres, bind, value);
}

/// Nothing, of whatever type the column has.
struct Nothing;

impl Type<Postgres> for Nothing {
    /// `unknown`: the server finds out, as for a parameter of which nothing is said.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(705))
    }
}

impl Encode<'_, Postgres> for Nothing {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

fn bind(arguments: &mut PgArguments, value: &Value) -> Result<(), BoxDynError> {
    match value {
        Value::None => arguments.add(Nothing),
        Value::Flag(flag) => arguments.add(*flag),
        Value::Integer(number) => arguments.add(*number),
        Value::Real(number) => arguments.add(*number),
        // Texts have all characters but one, which a caller may send all the same.
        Value::Text(text) => arguments.add(text.replace('\0', "\u{fffd}")),
        Value::Moment(moment) => {
            let nanos = i128::from(moment.unix_millis()) * 1_000_000;
            arguments.add(OffsetDateTime::from_unix_timestamp_nanos(nanos)?)
        }
        Value::Id(id) => arguments.add(*id),
    }
}

fn value(row: &PgRow, place: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(place)?;
    if raw.is_null() {
        return Ok(Value::None);
    }
    Ok(match raw.type_info().name() {
        "BOOL" => Value::Flag(row.try_get(place)?),
        "INT8" => Value::Integer(row.try_get(place)?),
        "FLOAT8" => Value::Real(row.try_get(place)?),
        "UUID" => Value::Id(row.try_get(place)?),
        "TIMESTAMPTZ" => {
            let moment: OffsetDateTime = row.try_get(place)?;
            let millis = moment.unix_timestamp_nanos() / 1_000_000;
            Value::Moment(Utc::from_unix_millis(i64::try_from(millis).unwrap_or_default()))
        }
        _ => Value::Text(row.try_get(place)?),
    })
}
