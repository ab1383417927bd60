//! Registrations at other switches, as the database has them: all of them once, and what changes from then on.
//!
//! Changes are read from the last transaction that was surely seen: transactions end in another order than they
//! begin in. What is read twice is the same twice, since a change names a peer, and the peer is read as it is then.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgRow};
use sqlx::{Error, Row as _};
use tokio::time::Instant;

/// What is told when a registration has changed.
pub(super) const CHANGED: &str = "registrations";

/// How long changes are kept.
const KEPT: Duration = Duration::from_secs(3_600);

/// Whoever has not read for so long reads everything anew: well before changes are gone.
const TOO_LONG: Duration = Duration::from_secs(1_800);

/// How long it is remembered that a peer is registered no more, or was when its switch died: longer than any
/// registration holds.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// Where a peer is registered.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Shared {
    pub(crate) peer: String,
    /// At which switch; `None`: nowhere.
    pub(crate) switch: Option<String>,
    /// Since when, by the clock of the database.
    pub(crate) age: Duration,
}

/// How far changes were read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// All transactions before this one have ended, and what they changed was read; when that was.
    seen: Option<(String, Instant)>,
}

impl Reader {
    /// What is new; `true`: it is all there is, and who is not in it is nowhere.
    pub(super) async fn read(
        &mut self,
        connection: &mut PgListener,
    ) -> Result<(bool, Vec<Shared>), Error> {
        let begun = Instant::now();
        let horizon = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text";
        let horizon: String = sqlx::query_scalar(horizon).fetch_one(&mut *connection).await?;
        let seen = self.seen.take().filter(|(_, when)| begun.duration_since(*when) < TOO_LONG);
        let rows = match &seen {
            None => {
                let sql = "SELECT peer, switch, \
                               extract(epoch FROM clock_timestamp() - ordered_time)::float8 \
                           FROM registration WHERE NOT gone AND switch IS NOT NULL";
                sqlx::query(sql).fetch_all(connection).await?
            }
            Some((horizon, _)) => {
                let sql = "SELECT peer, CASE WHEN r.gone THEN NULL ELSE r.switch END, \
                               extract(epoch FROM clock_timestamp() - r.ordered_time)::float8 \
                           FROM (SELECT DISTINCT peer FROM registration_change \
                                 WHERE transaction >= $1::xid8) AS c \
                               LEFT JOIN registration AS r USING (peer)";
                sqlx::query(sql).bind(horizon).fetch_all(connection).await?
            }
        };
        let read: Result<Vec<Shared>, Error> = rows.iter().map(shared).collect();
        self.seen = Some((horizon, begun));
        Ok((seen.is_none(), read?))
    }
}

fn shared(row: &PgRow) -> Result<Shared, Error> {
    let age: Option<f64> = row.try_get(2)?;
    let age = Duration::try_from_secs_f64(age.unwrap_or_default()).unwrap_or_default();
    Ok(Shared { peer: row.try_get(0)?, switch: row.try_get(1)?, age })
}

/// Deletes what nobody will ask for any more.
pub(super) async fn prune(connection: &mut PgListener) -> Result<(), Error> {
    let old = "DELETE FROM registration_change \
               WHERE time < clock_timestamp() - make_interval(secs => $1)";
    sqlx::query(old).bind(KEPT.as_secs_f64()).execute(&mut *connection).await?;
    let gone = "DELETE FROM registration WHERE switch IS NOT NULL \
                AND CASE WHEN gone THEN ordered_time ELSE expires_time END \
                    < clock_timestamp() - make_interval(secs => $1)";
    sqlx::query(gone).bind(REMEMBERED.as_secs_f64()).execute(connection).await.map(drop)
}

/// Whoever registered while one switch had the database for itself is registered at that: the first that joins.
pub(super) async fn claim(connection: &mut PgListener, name: &str) -> Result<(), Error> {
    let sql = "UPDATE registration SET switch = $1 WHERE switch IS NULL";
    sqlx::query(sql).bind(name).execute(connection).await.map(drop)
}
