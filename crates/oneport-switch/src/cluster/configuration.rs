//! The configuration that switches share, in their database: each version of its text, who has set it, and when.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::time::OffsetDateTime;
use sqlx::{Connection as _, Error, Executor, Postgres, Row as _};
use utoipa::ToSchema;

use crate::Utc;
use crate::config::{DatabaseUrl, SharedText};
use crate::store::postgres_options;

/// What is told when there is a new version.
pub(super) const CHANGED: &str = "configuration";

/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Versions that are kept.
const KEPT: i64 = 1_000;

/// What PostgreSQL says where there is no such table, or no such column.
const MISSING: [&str; 2] = ["42P01", "42703"];

/// A version of the shared configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Later ones are greater.
    pub version: i64,
    /// Who has set it: the name of a token, or of a user of the console.
    pub author: String,
    /// When, by the clock of the database.
    pub time: String,
}

/// Why the shared configuration is not read or set.
#[derive(Debug, thiserror::Error)]
pub enum NotShared {
    /// Somebody else has set one.
    #[error("version {0} is the newest")]
    Overtaken(i64),
    /// The database does not answer, or refuses.
    #[error("{0}")]
    Database(#[from] Error),
    /// It takes too long.
    #[error("the database does not answer within {} s", PATIENCE.as_secs())]
    Late,
}

async fn within<T>(
    url: &DatabaseUrl,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, NotShared>,
) -> Result<T, NotShared> {
    let options = postgres_options(&url.with_secret())?;
    let done = tokio::time::timeout(PATIENCE, async {
        let mut connection = PgConnection::connect_with(&options).await?;
        let done = work(&mut connection).await?;
        connection.close().await?;
        Ok(done)
    });
    done.await.map_err(|_| NotShared::Late)?
}

/// Sets a new version, which all switches take that can; its number. `over`: only if that is the newest, 0 where there
/// is none. Whether it is right has been looked at before.
///
/// # Errors
/// Another is the newest, or the database does not take it.
pub async fn set_shared(
    url: &DatabaseUrl,
    text: &str,
    author: &str,
    over: Option<i64>,
) -> Result<i64, NotShared> {
    within(url, async |connection| {
        let sql = "SELECT coalesce(max(version), 0) FROM shared_configuration";
        let newest: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
        if over.is_some_and(|over| over != newest) {
            return Err(NotShared::Overtaken(newest));
        }
        let sql = "INSERT INTO shared_configuration (version, text, author) VALUES ($1, $2, $3) \
                   ON CONFLICT DO NOTHING";
        let insert = sqlx::query(sql).bind(newest + 1).bind(text).bind(author);
        if insert.execute(&mut *connection).await?.rows_affected() == 0 {
            return Err(NotShared::Overtaken(newest + 1));
        }
        let sql = "DELETE FROM shared_configuration WHERE version <= $1";
        sqlx::query(sql).bind(newest + 1 - KEPT).execute(connection).await?;
        Ok(newest + 1)
    })
    .await
}

/// A version of it, the newest where none is named; `None`: there is none.
///
/// # Errors
/// The database does not answer, or refuses.
pub async fn read_shared(
    url: &DatabaseUrl,
    version: Option<i64>,
) -> Result<Option<SharedText>, NotShared> {
    within(url, async |connection| {
        let sql = "SELECT version, text FROM shared_configuration \
                   WHERE $1 IS NULL OR version = $1 ORDER BY version DESC LIMIT 1";
        let row = sqlx::query(sql).bind(version).fetch_optional(connection).await;
        Ok(or_none(row)?.map(|row| text(&row)).transpose()?)
    })
    .await
}

/// Its versions, the newest first.
///
/// # Errors
/// The database does not answer, or refuses.
pub async fn shared_versions(url: &DatabaseUrl) -> Result<Vec<VersionView>, NotShared> {
    within(url, async |connection| {
        let sql = "SELECT version, author, time FROM shared_configuration ORDER BY version DESC";
        let rows = sqlx::query(sql).fetch_all(connection).await?;
        let view = |row: &PgRow| {
            let time: OffsetDateTime = row.try_get(2)?;
            let millis = time.unix_timestamp_nanos() / 1_000_000;
            let time = Utc::from_unix_millis(i64::try_from(millis).unwrap_or_default());
            Ok(VersionView {
                version: row.try_get(0)?,
                author: row.try_get(1)?,
                time: time.to_string(),
            })
        };
        rows.iter().map(view).collect()
    })
    .await
}

/// The newest version, unless it is the one that is known.
pub(super) async fn newest(
    connection: impl Executor<'_, Database = Postgres>,
    known: Option<i64>,
) -> Result<Option<SharedText>, Error> {
    let sql = "SELECT version, text FROM shared_configuration \
               WHERE version = (SELECT max(version) FROM shared_configuration) \
                 AND version IS DISTINCT FROM $1";
    let row = sqlx::query(sql).bind(known).fetch_optional(connection).await?;
    row.map(|row| text(&row)).transpose()
}

fn text(row: &PgRow) -> Result<SharedText, Error> {
    Ok(SharedText { version: Some(row.try_get(0)?), text: row.try_get(1)? })
}

/// Before a switch of this version has made the tables there is nothing.
fn or_none(row: Result<Option<PgRow>, Error>) -> Result<Option<PgRow>, Error> {
    match row {
        Err(Error::Database(error))
            if error.code().is_some_and(|code| MISSING.contains(&code.as_ref())) =>
        {
            Ok(None)
        }
        row => row,
    }
}
