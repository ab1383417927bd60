//! The table of switches: who is there, where, and since when it gave no sign of life.

use sqlx::postgres::PgListener;
use sqlx::{Error, Row as _};

use super::{Presence, Sibling};
use crate::config::ClusterConfig;

/// On which changes are told.
pub(super) const CHANNEL: &str = "oneport";

/// What is told when a switch has come or gone.
pub(super) const CHANGED: &str = "switches";

/// This switch is there: in place of an earlier run of it. The number of its run; `None`: a later run is there.
pub(super) async fn join(
    connection: &mut PgListener,
    config: &ClusterConfig,
    incarnation: Option<i64>,
) -> Result<Option<i64>, Error> {
    let sql = "INSERT INTO switch AS s \
                   (name, incarnation, address, version, started_time, heartbeat_time) \
               VALUES ($1, coalesce($2, nextval('switch_incarnation')), $3, $4, \
                       clock_timestamp(), clock_timestamp()) \
               ON CONFLICT (name) DO UPDATE SET \
                   incarnation = excluded.incarnation, address = excluded.address, \
                   version = excluded.version, \
                   started_time = CASE WHEN s.incarnation = excluded.incarnation \
                       THEN s.started_time ELSE excluded.started_time END, \
                   heartbeat_time = excluded.heartbeat_time, left_time = NULL \
                   WHERE s.incarnation <= excluded.incarnation \
               RETURNING incarnation";
    let row = sqlx::query(sql)
        .bind(&config.name)
        .bind(incarnation)
        .bind(config.address.to_string())
        .bind(env!("CARGO_PKG_VERSION"))
        .fetch_optional(&mut *connection)
        .await?;
    tell(connection, CHANGED).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// A sign of life, and which version of the shared configuration runs here; `false`: another run of this switch has taken its place.
pub(super) async fn beat(
    connection: &mut PgListener,
    config: &ClusterConfig,
    incarnation: i64,
    configuration: Option<i64>,
) -> Result<bool, Error> {
    let sql = "UPDATE switch SET heartbeat_time = clock_timestamp(), configuration = $3 \
               WHERE name = $1 AND incarnation = $2";
    let query = sqlx::query(sql).bind(&config.name).bind(incarnation).bind(configuration);
    let done = query.execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// This switch goes.
pub(super) async fn leave(
    connection: &mut PgListener,
    config: &ClusterConfig,
    incarnation: i64,
) -> Result<(), Error> {
    let sql = "UPDATE switch SET left_time = clock_timestamp() \
               WHERE name = $1 AND incarnation = $2";
    sqlx::query(sql).bind(&config.name).bind(incarnation).execute(&mut *connection).await?;
    tell(connection, CHANGED).await
}

/// All others, by their names.
pub(super) async fn others(
    connection: &mut PgListener,
    config: &ClusterConfig,
) -> Result<Vec<Sibling>, Error> {
    let sql = "SELECT name, incarnation, address, version, left_time IS NOT NULL, \
                      clock_timestamp() - heartbeat_time > make_interval(secs => $2), \
                      configuration \
               FROM switch WHERE name <> $1 ORDER BY name";
    let rows = sqlx::query(sql)
        .bind(&config.name)
        .bind(config.dead_after.as_secs_f64())
        .fetch_all(connection)
        .await?;
    let mut others = Vec::with_capacity(rows.len());
    for row in rows {
        let (name, address): (String, String) = (row.try_get(0)?, row.try_get(2)?);
        let Ok(address) = address.parse() else {
            tracing::warn!("switch {name}: nobody is reached at {address:?}");
            continue;
        };
        let presence = match (row.try_get(4)?, row.try_get(5)?) {
            (true, _) => Presence::Left,
            (false, true) => Presence::Dead,
            (false, false) => Presence::Alive,
        };
        let (incarnation, version, configuration) =
            (row.try_get(1)?, row.try_get(3)?, row.try_get(6)?);
        others.push(Sibling { name, incarnation, address, version, presence, configuration });
    }
    Ok(others)
}

/// Tells all switches, this one too, that there is something new of this kind.
pub(super) async fn tell(connection: &mut PgListener, what: &str) -> Result<(), Error> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(what)
        .execute(connection)
        .await
        .map(drop)
}
