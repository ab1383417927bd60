//! The thread that carries what is said of slots to the database and back, by a connection of its own.
//!
//! That connection is also what others see of the life of this process: it holds a lock under the number of this
//! run, and nobody closes it but the machine when the process has ended. One that has failed is kept beside the next
//! until that one holds the lock as well, so that what closes it is never a process that lives
//! ([`Kept`](super::lease::Kept)).

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use oneport_proto::Instant;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use sqlx::{Error, Row as _};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time;
use url::Url;

use super::connection::{Database, Over, Session};
use super::lease::{Answer, Exchange, Kept, Key, Ledger, News, Request, Timing, Versioned};
use crate::config::ClusterConfig;

/// On which changes of slots are told.
const CHANNEL: &str = "oneport_slots";

/// What locks of runs are known by among all advisory locks of the database.
const RUNS: i32 = 0x1A_02;

/// Time between two attempts to have a connection.
const PAUSE: Duration = Duration::from_millis(500);

/// What the switch is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// The database can be asked.
    Ready { incarnation: i64 },
    /// It cannot, or does not answer.
    Lost,
    /// It has answered.
    Answer(Answer),
    /// Another switch has changed a ledger.
    News(Key, News),
}

/// What the thread is asked for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// That it begins, for this run.
    Begin { incarnation: i64 },
    /// To say this.
    Request(Request),
    /// To give back all that this run holds, and to end.
    Leave,
}

/// How the switch is told.
pub(super) type Tell = Box<dyn Fn(Told) + Send>;

/// News as the others are told them.
#[derive(Serialize, Deserialize)]
struct Notice {
    by: String,
    key: Key,
    news: News,
}

/// Begins; the receiver ends with the thread. The clock is that of the leases.
pub(super) fn start(
    config: &ClusterConfig,
    clock: fn() -> Instant,
    url: Url,
    asked: mpsc::UnboundedReceiver<Ask>,
    tell: Tell,
) -> io::Result<oneshot::Receiver<()>> {
    let (end, ended) = oneshot::channel();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let database = Database { url, patience: config.lease / 5 };
    let kept = Kept::new(Timing::of_lease(config.lease));
    let name = config.name.clone();
    let body = move || {
        let _end = end;
        Carrier { name, clock, database, asked, tell, kept, sessions: 0 }.work(&runtime);
    };
    std::thread::Builder::new().name("slots".into()).spawn(body)?;
    Ok(ended)
}

struct Carrier {
    name: String,
    clock: fn() -> Instant,
    database: Database,
    asked: mpsc::UnboundedReceiver<Ask>,
    tell: Tell,
    kept: Kept<Session>,
    /// How many there have been.
    sessions: u64,
}

impl Carrier {
    /// `idle` is for times without a connection.
    fn work(mut self, idle: &Runtime) {
        let incarnation = loop {
            match self.asked.blocking_recv() {
                Some(Ask::Begin { incarnation }) => break incarnation,
                Some(Ask::Request(_)) => {}
                Some(Ask::Leave) | None => return,
            }
        };
        let mut said = false;
        loop {
            let sessions = self.sessions;
            let over = self.attend(incarnation);
            said &= self.sessions == sessions;
            let over = match over {
                Over::Lost(why) => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!("slots of shared limits cannot be renewed: {why}");
                        (self.tell)(Told::Lost);
                    }
                    idle.block_on(self.pause())
                }
                over => Some(over),
            };
            match over {
                None | Some(Over::Lost(_)) => {}
                Some(Over::Left) => return,
                // Its calls stay until they end, and its connection says that it lives.
                Some(Over::Succeeded) => idle.block_on(std::future::pending()),
            }
        }
    }

    /// Serves by a connection, as long as there is one.
    fn attend(&mut self, incarnation: i64) -> Over {
        if !self.kept.has_room((self.clock)()) {
            return Over::Lost("the database takes connections and does not answer".into());
        }
        let mut session = match Session::open(&self.database, CHANNEL) {
            Ok(session) => session,
            Err(over) => return over,
        };
        if let Err(over) = session.run(async |connection| self.prepare(connection).await) {
            return over;
        }
        if let Err(over) = session.run(async |connection| self.claim(connection, incarnation).await)
        {
            self.kept.keep_asked(session);
            return over;
        }
        self.kept.replaced().for_each(drop);
        self.sessions += 1;
        (self.tell)(Told::Ready { incarnation });
        let over = session.run(async |connection| self.serve(connection, incarnation).await);
        match over {
            Ok(()) => Over::Left,
            Err(over) => {
                self.kept.keep_held(session);
                over
            }
        }
    }

    /// Waits for the next attempt. What was asked for meanwhile is not said any more: the switch has been told.
    async fn pause(&mut self) -> Option<Over> {
        let pause = time::sleep(PAUSE);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return None,
                asked = self.asked.recv() => match asked {
                    Some(Ask::Leave) => return Some(Over::Left),
                    None => return Some(Over::Succeeded),
                    Some(_) => {}
                },
            }
        }
    }

    async fn prepare(&self, connection: &mut PgListener) -> Result<(), Over> {
        // The database's machine is not to give this connection up before the lease is over.
        let sql = "SELECT set_config('tcp_keepalives_idle', '3600', false), \
                          set_config('tcp_user_timeout', '0', false), \
                          set_config('synchronous_commit', 'on', false)";
        self.database.within(sqlx::query(sql).execute(connection)).await.map(drop)
    }

    /// From here on others see that this run lives, and how it ends.
    async fn claim(&self, connection: &mut PgListener, incarnation: i64) -> Result<(), Over> {
        let run = i32::try_from(incarnation).unwrap_or(i32::MAX);
        let lock = sqlx::query("SELECT pg_advisory_lock_shared($1, $2)").bind(RUNS).bind(run);
        self.database.within(lock.execute(connection)).await.map(drop)
    }

    /// Until this run has given back all that there was.
    async fn serve(&mut self, connection: &mut PgListener, incarnation: i64) -> Result<(), Over> {
        loop {
            tokio::select! {
                told = connection.try_recv() => match told? {
                    None => return Err(Over::Lost("the connection has ended".into())),
                    Some(told) => self.hear(told.payload()),
                },
                asked = self.asked.recv() => match asked {
                    None => return Err(Over::Succeeded),
                    Some(Ask::Begin { .. }) => {}
                    Some(Ask::Request(request)) => self.exchange(connection, request).await?,
                    Some(Ask::Leave) => {
                        let given_back = give_back(connection, &self.name, incarnation);
                        if let Err(Over::Lost(why)) = self.database.within(given_back).await {
                            tracing::warn!("slots of shared limits are not given back: {why}");
                        }
                        return Ok(());
                    }
                },
            }
        }
    }

    fn hear(&self, payload: &str) {
        // What a later version says that is not known here concerns nobody here.
        let Ok(Notice { by, key, news }) = serde_json::from_str(payload) else { return };
        if by != self.name {
            (self.tell)(Told::News(key, news));
        }
    }

    async fn exchange(
        &mut self,
        connection: &mut PgListener,
        request: Request,
    ) -> Result<(), Over> {
        let mut exchange = Exchange::new(&self.name, request);
        loop {
            let keys = exchange.keys();
            if keys.is_empty() {
                break;
            }
            let read = self.database.within(read(connection, &keys)).await?;
            let changes = exchange.read(read);
            if changes.is_empty() {
                continue;
            }
            self.kept.changes((self.clock)());
            let set = self.database.within(set(connection, &changes)).await?;
            for (key, news) in exchange.set(&set) {
                self.database.within(tell(connection, &self.name, key, news)).await?;
            }
        }
        let present = self.database.within(present(connection)).await?;
        (self.tell)(Told::Answer(exchange.answer(self.sessions, present)));
        Ok(())
    }
}

fn text<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Encode(error.into()))
}

fn value<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Decode(error.into()))
}

/// The ledgers of these keys that there are.
pub(super) async fn read(
    connection: &mut PgListener,
    keys: &[Key],
) -> Result<Vec<Versioned>, Error> {
    let keys: Vec<String> = keys.iter().map(text).collect::<Result<_, _>>()?;
    let sql = "SELECT key, version, holders FROM slots WHERE key = ANY($1)";
    let rows = sqlx::query(sql).bind(keys).fetch_all(connection).await?;
    let row = |row: sqlx::postgres::PgRow| {
        let key = value(row.try_get(0)?)?;
        let ledger: Ledger = value(row.try_get(2)?)?;
        Ok(Versioned { key, version: row.try_get(1)?, ledger })
    };
    rows.into_iter().map(row).collect()
}

/// Sets ledgers whose version is still that: of which keys. Rows are locked in the order of their keys, so that two
/// switches do not wait for each other.
pub(super) async fn set(
    connection: &mut PgListener,
    changes: &[Versioned],
) -> Result<BTreeSet<Key>, Error> {
    let keys = changes.iter().map(|change| text(&change.key));
    let keys: Vec<String> = keys.collect::<Result<_, _>>()?;
    let versions: Vec<i64> = changes.iter().map(|change| change.version).collect();
    let holders = changes.iter().map(|change| text(&change.ledger));
    let holders: Vec<String> = holders.collect::<Result<_, _>>()?;
    let sql = "WITH change AS (\
                   SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[]) AS c (key, version, holders)\
               ), locked AS (\
                   SELECT key FROM slots WHERE key = ANY($1) ORDER BY key FOR UPDATE\
               ), updated AS (\
                   UPDATE slots AS s SET version = s.version + 1, holders = change.holders \
                   FROM change JOIN locked ON locked.key = change.key \
                   WHERE s.key = change.key AND s.version = change.version RETURNING s.key\
               ), inserted AS (\
                   INSERT INTO slots (key, version, holders) \
                   SELECT key, 1, holders FROM change WHERE version = 0 ORDER BY key \
                   ON CONFLICT DO NOTHING RETURNING key\
               ) \
               SELECT key FROM updated UNION ALL SELECT key FROM inserted";
    let query = sqlx::query(sql).bind(keys).bind(versions).bind(holders);
    let rows = query.fetch_all(connection).await?;
    rows.into_iter().map(|row| value(row.try_get(0)?)).collect()
}

/// Which runs of switches have sessions.
pub(super) async fn present(connection: &mut PgListener) -> Result<BTreeSet<i64>, Error> {
    let sql = "SELECT DISTINCT objid::bigint FROM pg_locks \
               WHERE locktype = 'advisory' AND granted AND classid = $1::bigint::oid AND objsubid = 2 \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let rows = sqlx::query(sql).bind(i64::from(RUNS)).fetch_all(connection).await?;
    rows.into_iter().map(|row| row.try_get(0)).collect()
}

/// Ends the sessions of a run whose machine is gone.
pub(super) async fn end_sessions(connection: &mut PgListener, run: i64) -> Result<(), Error> {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_locks \
               WHERE locktype = 'advisory' AND granted AND classid = $1::bigint::oid AND objsubid = 2 \
                 AND objid = $2::bigint::oid \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let query = sqlx::query(sql).bind(i64::from(RUNS)).bind(run);
    query.execute(connection).await.map(drop)
}

async fn tell(connection: &mut PgListener, name: &str, key: Key, news: News) -> Result<(), Error> {
    let payload = text(&Notice { by: name.into(), key, news })?;
    let query = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(payload);
    query.execute(connection).await.map(drop)
}

/// All ledgers.
async fn read_all(connection: &mut PgListener) -> Result<Vec<Versioned>, Error> {
    let rows =
        sqlx::query("SELECT key FROM slots ORDER BY key").fetch_all(&mut *connection).await?;
    let keys: Vec<Key> =
        rows.into_iter().map(|row| value(row.try_get(0)?)).collect::<Result<_, Error>>()?;
    read(connection, &keys).await
}

/// The runs of a switch that hold anything.
pub(super) async fn runs(connection: &mut PgListener, name: &str) -> Result<BTreeSet<i64>, Error> {
    let all = read_all(connection).await?;
    let run = |one: Versioned| one.ledger.holders.get(name).map(|held| held.incarnation);
    Ok(all.into_iter().filter_map(run).collect())
}

/// Takes all that a switch holds out of the ledgers, of this run and those before it; of how many.
pub(super) async fn give_back(
    connection: &mut PgListener,
    name: &str,
    run: i64,
) -> Result<usize, Error> {
    let mut given_back = 0;
    loop {
        let mut changes = read_all(connection).await?;
        changes.retain_mut(|change| change.ledger.forget(name, run));
        if changes.is_empty() {
            return Ok(given_back);
        }
        let set = set(connection, &changes).await?;
        given_back += set.len();
        for Versioned { key, ledger, .. } in
            changes.into_iter().filter(|change| set.contains(&change.key))
        {
            for news in ledger.news(name, 0) {
                tell(connection, name, key.clone(), news).await?;
            }
        }
    }
}
