//! A store in MySQL or MariaDB.

use sqlx::error::BoxDynError;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::types::time::{OffsetDateTime, PrimitiveDateTime};
use sqlx::{Arguments, MySql, Row, TypeInfo, ValueRef};
use url::Url;

use super::columns::Value;
use super::migrations::{Forms, MYSQL};
use super::server::{Server, ServerStore};
use super::sql::statements;
use super::statement::Dialect;
use crate::utc::Utc;

/// A database of MySQL or MariaDB: `mysql://USER:PASSWORD@HOST/DATABASE`.
///
/// ```no_run
/// use oneport_switch::store::{MySqlStore, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MySqlStore::new(&"mysql://oneport:hush@db.example.org/oneport".parse()?)?;
/// println!("{}: {} are registered", store.describe(), store.registrations().await?.len());
/// # Ok(())
/// # }
/// ```
pub type MySqlStore = ServerStore<MySql>;

impl Server for MySql {
    const DIALECT: Dialect = Dialect::MySql;

    const FORMS: &'static Forms = &MYSQL;

    fn options(url: &Url) -> Result<MySqlConnectOptions, sqlx::Error> {
        url.as_str().parse()
    }

    /// A server may be told to acknowledge what it has not written yet, and only its administrator can tell
    /// it otherwise.
    async fn examine(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        let sql = "SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED)";
        let flush: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
        if flush != 1 {
            tracing::warn!(
                "innodb_flush_log_at_trx_commit of the database server is {flush}: a record that was \
                 acknowledged may be lost when its machine fails; set it to 1"
            );
        }
        Ok(())
    }

    /// The migrator's lock is to be waited for without end (−1 s), which MariaDB takes for a mistake and gives none.
    async fn hold_others_off(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        let sql = "SELECT CAST(GET_LOCK(CONCAT('oneport_', LEFT(SHA2(DATABASE(), 256), 40)), 60) AS SIGNED)";
        let held: Option<i64> = sqlx::query_scalar(sql).fetch_one(connection).await?;
        if held == Some(1) {
            return Ok(());
        }
        let why = "another switch has been changing its tables for a minute";
        Err(sqlx::Error::Configuration(why.into()))
    }

    async fn prepare(_: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        Ok(())
    }

    statements!(MySql, bind, value);
}

fn bind(arguments: &mut MySqlArguments, value: &Value) -> Result<(), BoxDynError> {
    match value {
        Value::None => arguments.add(None::<String>),
        Value::Flag(flag) => arguments.add(*flag),
        Value::Integer(number) => arguments.add(*number),
        Value::Real(number) => arguments.add(*number),
        Value::Text(text) => arguments.add(text.clone()),
        Value::Moment(moment) => {
            let nanos = i128::from(moment.unix_millis()) * 1_000_000;
            let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos)?;
            arguments.add(PrimitiveDateTime::new(moment.date(), moment.time()))
        }
        Value::Id(id) => arguments.add(id.to_string()),
    }
}

fn value(row: &MySqlRow, place: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(place)?;
    if raw.is_null() {
        return Ok(Value::None);
    }
    Ok(match raw.type_info().name() {
        "BOOLEAN" => Value::Flag(row.try_get(place)?),
        "BIGINT" => Value::Integer(row.try_get(place)?),
        "DOUBLE" => Value::Real(row.try_get(place)?),
        "DATETIME" => {
            let moment: PrimitiveDateTime = row.try_get(place)?;
            let millis = moment.assume_utc().unix_timestamp_nanos() / 1_000_000;
            Value::Moment(Utc::from_unix_millis(i64::try_from(millis).unwrap_or_default()))
        }
        _ => Value::Text(row.try_get(place)?),
    })
}
