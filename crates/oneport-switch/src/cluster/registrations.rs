//! Registrations at other switches, as the database has them: all of them once, and what changes from then on.
//!
//! Changes are read from the last transaction that was surely seen: transactions end in another order than they
//! begin in. What is read twice is the same twice, since a change names a peer, and the peer is read as it is then.

use std::time::Duration;

use oneport_proto::Instant;
use sqlx::postgres::{PgListener, PgRow};
use sqlx::{Error, Row as _};

use crate::registrar::Shared;
use crate::switch::boot_clock;
use crate::utc::Utc;

/// What is told when a registration has changed.
pub(super) const CHANGED: &str = "registrations";

/// How long changes are kept.
const KEPT: Duration = Duration::from_secs(3_600);

/// Whoever has not read for so long reads everything anew: well before changes are gone.
const TOO_LONG: Duration = Duration::from_secs(1_800);

/// How long it is remembered that a peer is registered no more, or was when its switch died: longer than any
/// registration holds.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// How far changes were read.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// All transactions before this one have ended, and what they changed was read; when that was.
    seen: Option<(String, Instant)>,
}

impl Reader {
    /// A reading begins: of what has changed from this transaction on; `None`: of all there is. Until it is
    /// [done](Self::done) nothing counts as read.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<String> {
        let seen = self.seen.take().filter(|(_, when)| now.since(*when) < TOO_LONG);
        seen.map(|(horizon, _)| horizon)
    }

    /// It is done. All transactions before `horizon` had ended when it began, at `begun`.
    pub(crate) fn done(&mut self, horizon: String, begun: Instant) {
        self.seen = Some((horizon, begun));
    }

    /// What is new for the switch `own`; `true`: it is all there is, and who is not in it is nowhere else.
    pub(super) async fn read(
        &mut self,
        connection: &mut PgListener,
        own: &str,
    ) -> Result<(bool, Vec<Shared>), Error> {
        let begun = boot_clock();
        let horizon = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text";
        let horizon: String = sqlx::query_scalar(horizon).fetch_one(&mut *connection).await?;
        let from = self.begin(begun);
        let rows = match &from {
            None => {
                let sql = "SELECT peer, CASE WHEN NOT gone THEN switch END, (lost ->> $1)::bigint \
                           FROM registration WHERE switch <> $1 AND (NOT gone OR lost ? $1)";
                sqlx::query(sql).bind(own).fetch_all(connection).await?
            }
            Some(from) => {
                let sql = "SELECT peer, CASE WHEN NOT r.gone THEN r.switch END, (r.lost ->> $1)::bigint \
                           FROM (SELECT DISTINCT peer FROM registration_change \
                                 WHERE transaction >= $2::xid8) AS c \
                               LEFT JOIN (SELECT * FROM registration WHERE switch <> $1) AS r \
                               USING (peer)";
                sqlx::query(sql).bind(own).bind(from).fetch_all(connection).await?
            }
        };
        let read: Result<Vec<Shared>, Error> = rows.iter().map(shared).collect();
        self.done(horizon, begun);
        Ok((from.is_none(), read?))
    }
}

fn shared(row: &PgRow) -> Result<Shared, Error> {
    let lost: Option<i64> = row.try_get(2)?;
    let lost = lost.map(Utc::from_unix_millis);
    Ok(Shared { peer: row.try_get(0)?, switch: row.try_get(1)?, lost })
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
