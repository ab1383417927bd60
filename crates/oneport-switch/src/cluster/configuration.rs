//! The configuration that switches share, in their database: each version of its text, who has set it, and when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::time::OffsetDateTime;
use sqlx::{Connection as _, Error, Executor, Postgres, Row as _};
use utoipa::ToSchema;

use crate::Utc;
use crate::config::{ClusterConfig, DatabaseUrl, SharedText};
use crate::store::postgres_options;

/// What is told when there is a new version.
pub(super) const CHANGED: &str = "configuration";

/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take with a goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Versions that are kept.
const KEPT: i64 = 1_000;

/// What PostgreSQL says where there is no such table, or no such column.
const MISSING: [&str; 2] = ["42P01", "42703"];

/// A version of the shared configuration.
///
/// ```
/// use oneport_switch::cluster::VersionView;
///
/// let line = r#"{"version": 7, "author": "eve", "time": "2026-02-03T04:05:06.000Z"}"#;
/// let version: VersionView = serde_json::from_str(line)?;
/// assert_eq!(version.version, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use oneport_switch::cluster::NotShared;
///
/// // Somebody else has set one meanwhile.
/// assert_eq!(NotShared::Overtaken(8).to_string(), "version 8 is the newest");
/// ```
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
    /// It has been told to set it, and its answer has not come.
    #[error(
        "the database has not said whether it is set; `oneport cluster config history` shows it, once the database answers"
    )]
    Unsure,
}

async fn within<T>(
    url: &DatabaseUrl,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, NotShared>,
) -> Result<T, NotShared> {
    let options = postgres_options(&url.with_secret())?;
    let done = tokio::time::timeout(PATIENCE, async {
        let mut connection = PgConnection::connect_with(&options).await?;
        let done = work(&mut connection).await?;
        Ok::<_, NotShared>((connection, done))
    });
    let (connection, done) = done.await.map_err(|_| NotShared::Late)??;
    // What was asked for is done, whether the database takes a goodbye or not.
    let _ = tokio::time::timeout(GOODBYE, connection.close()).await;
    Ok(done)
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
    let is_said = AtomicBool::new(false);
    let set = within(url, async |connection| {
        let sql = "SELECT coalesce(max(version), 0) FROM shared_configuration";
        let newest: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
        if over.is_some_and(|over| over != newest) {
            return Err(NotShared::Overtaken(newest));
        }
        let sql = "INSERT INTO shared_configuration (version, text, author) VALUES ($1, $2, $3) \
                   ON CONFLICT DO NOTHING";
        let insert = sqlx::query(sql).bind(newest + 1).bind(text).bind(author);
        is_said.store(true, Ordering::Relaxed);
        if insert.execute(connection).await?.rows_affected() == 0 {
            return Err(NotShared::Overtaken(newest + 1));
        }
        Ok(newest + 1)
    })
    .await;
    let set = set.map_err(|error| match error {
        NotShared::Late | NotShared::Database(Error::Io(_)) if is_said.load(Ordering::Relaxed) => {
            NotShared::Unsure
        }
        error => error,
    })?;
    // It is in force, whatever becomes of this: the next one that is set does it as well.
    let pruned = within(url, async |connection| {
        let sql = "DELETE FROM shared_configuration WHERE version <= $1";
        Ok(sqlx::query(sql).bind(set - KEPT).execute(connection).await?)
    });
    if let Err(error) = pruned.await {
        tracing::warn!("old versions of the shared configuration are not deleted: {error}");
    }
    Ok(set)
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

/// A switch that lives and does not run the newest version.
///
/// ```
/// use oneport_switch::cluster::SwitchBehind;
///
/// let behind = SwitchBehind { name: "berlin".into(), version: Some(6) };
/// assert_eq!((behind.name.as_str(), behind.version), ("berlin", Some(6)));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwitchBehind {
    /// Its name.
    pub name: String,
    /// Which version it runs; `None`: none.
    pub version: Option<i64>,
}

/// Those that do not run `newest`, by their names, of those that have given a sign of life within the time after which
/// the others are dead for the switch `cluster`.
///
/// # Errors
/// The database does not answer, or refuses.
pub async fn switches_behind(
    url: &DatabaseUrl,
    cluster: &ClusterConfig,
    newest: i64,
) -> Result<Vec<SwitchBehind>, NotShared> {
    within(url, async |connection| {
        let sql = "SELECT name, configuration FROM switch \
                   WHERE left_time IS NULL AND configuration IS DISTINCT FROM $1 \
                     AND clock_timestamp() - heartbeat_time <= make_interval(secs => $2) \
                   ORDER BY name";
        let query = sqlx::query(sql).bind(newest).bind(cluster.dead_after.as_secs_f64());
        let rows = query.fetch_all(connection).await?;
        let behind =
            |row: &PgRow| Ok(SwitchBehind { name: row.try_get(0)?, version: row.try_get(1)? });
        rows.iter().map(behind).collect()
    })
    .await
}

/// What the database says of the newest version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Newest {
    /// There is none.
    Missing,
    /// It is the one that is known.
    Same,
    /// It is this one.
    New(SharedText),
}

/// The newest version, where another is `known`.
pub(super) async fn newest(
    connection: impl Executor<'_, Database = Postgres>,
    known: Option<i64>,
) -> Result<Newest, Error> {
    let sql = "SELECT version, CASE WHEN version IS DISTINCT FROM $1 THEN text END \
               FROM shared_configuration ORDER BY version DESC LIMIT 1";
    let row = sqlx::query(sql).bind(known).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(Newest::Missing) };
    let (version, text): (i64, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let new = |text| Newest::New(SharedText { version: Some(version), text });
    Ok(text.map_or(Newest::Same, new))
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
