//! A switch that does not come back is forgotten: what the database has of it goes.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgListener, PgPoolOptions};

use super::{slots, switches};
use crate::config::DatabaseUrl;
use crate::store::postgres_options;

/// Whoever has given a sign of life within this time lives.
const ALIVE: Duration = Duration::from_secs(60);

/// How long the database may take for all of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is known of a switch whose process seems to have a session with the database.
///
/// ```no_run
/// use oneport_switch::cluster::{Session, forget};
/// use oneport_switch::{Config, StorePlace};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::load("/etc/oneport/oneport.toml".as_ref())?;
/// let StorePlace::Server { url, .. } = config.store.place else { return Ok(()) };
/// // Its machine is gone, as somebody has seen, though the database has a session of it.
/// forget(&url, "hamburg", Session::IsLeftBehind).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Session {
    /// Nothing else: the process may live.
    MayLive,
    /// It is gone for certain, and only the database's machine has not noticed: it waits for more than an hour where a
    /// machine has vanished without a word. The session is ended.
    IsLeftBehind,
}

/// What has gone.
///
/// ```
/// use oneport_switch::cluster::Forgotten;
///
/// let Forgotten { limits, registrations } = Forgotten { limits: 2, registrations: 40 };
/// println!("it gave back places of {limits} limits, and ended {registrations} registrations");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forgotten {
    /// Limits of which it held slots.
    pub limits: usize,
    /// Peers that were registered at it.
    pub registrations: u64,
}

/// Why a switch is not forgotten.
///
/// ```
/// use oneport_switch::cluster::NotForgotten;
///
/// let error = NotForgotten::Alive("hamburg".into(), 2);
/// assert_eq!(error.to_string(), "switch hamburg gave a sign of life 2 s ago");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum NotForgotten {
    /// The database has no such switch.
    #[error("the database knows no switch {0}")]
    Unknown(String),
    /// It lives, or did just now.
    #[error("switch {0} gave a sign of life {1} s ago")]
    Alive(String, u64),
    /// Its process has a session with the database.
    #[error("the database has a session with the process of switch {0}")]
    Connected(String),
    /// The database does not answer, or refuses.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// It takes too long.
    #[error("the database does not answer within {} s", PATIENCE.as_secs())]
    Late,
}

/// Takes a switch out of the database `url`: its place among the switches, its slots of shared limits and who is
/// registered at it. Its calls must be over: nobody else counts them any more.
///
/// # Errors
/// It is not known, it lives, or the database does not take it.
pub async fn forget(
    url: &DatabaseUrl,
    name: &str,
    session: Session,
) -> Result<Forgotten, NotForgotten> {
    let done = tokio::time::timeout(PATIENCE, forget_now(url, name, session)).await;
    done.map_err(|_| NotForgotten::Late)?
}

async fn forget_now(
    url: &DatabaseUrl,
    name: &str,
    session: Session,
) -> Result<Forgotten, NotForgotten> {
    let options = postgres_options(&url.with_secret())?;
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let mut connection = PgListener::connect_with(&pool).await?;
    let sql = "SELECT incarnation, left_time IS NOT NULL, \
                      extract(epoch FROM clock_timestamp() - heartbeat_time)::float8 \
               FROM switch WHERE name = $1";
    let row = sqlx::query(sql).bind(name).fetch_optional(&mut connection).await?;
    let row = row.ok_or_else(|| NotForgotten::Unknown(name.into()))?;
    let (run, has_left): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
    let silent = Duration::try_from_secs_f64(row.try_get(2)?).unwrap_or_default();
    if !has_left && silent < ALIVE {
        return Err(NotForgotten::Alive(name.into(), silent.as_secs()));
    }
    // What an earlier run holds may be of a process that goes on until its calls are over.
    let mut runs = slots::runs(&mut connection, name).await?;
    runs.insert(run);
    let present = slots::present(&mut connection).await?;
    for of in runs.into_iter().filter(|of| *of <= run && present.contains(of)) {
        match session {
            Session::MayLive => return Err(NotForgotten::Connected(name.into())),
            Session::IsLeftBehind => slots::end_sessions(&mut connection, of).await?,
        }
    }
    // A run that comes meanwhile has a greater number, and keeps what it has.
    let limits = slots::give_back(&mut connection, name, run).await?;
    let sql = "WITH gone AS (DELETE FROM switch WHERE name = $1 AND incarnation = $2 RETURNING name) \
               DELETE FROM registration USING gone WHERE switch = gone.name";
    let done = sqlx::query(sql).bind(name).bind(run).execute(&mut connection).await?;
    switches::tell(&mut connection, switches::CHANGED).await?;
    Ok(Forgotten { limits, registrations: done.rows_affected() })
}
