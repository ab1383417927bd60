//! The thread that talks with the database: looks at the tables, looks names up, and writes registrations.
//!
//! Everything that the database is asked for is a task, so that none waits for another.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{self, MissedTickBehavior};

use super::counts::{Counts, Query};
use super::rows::{Found, Registered, Rows};
use super::tables::{Look, RealtimeError, Tables, Written, open};
use super::{Ask, Told};
use crate::config::{PeerBasis, RealtimeConfig};
use crate::utc::Utc;

/// How the switch is told.
pub(super) type Tell = Box<dyn Fn(Told) + Send>;

/// How long a caller waits for its name to be looked up.
const LOOKING_UP: Duration = Duration::from_secs(2);

/// How long the last writes may take: the process is about to end.
const GOODBYE: Duration = Duration::from_secs(1);

/// Begins; the receiver ends with the thread.
pub(super) fn start(
    config: RealtimeConfig,
    (basis, trusted): (Arc<PeerBasis>, Vec<IpNet>),
    asked: mpsc::UnboundedReceiver<Ask>,
    tell: Tell,
    counts: Arc<Counts>,
) -> io::Result<oneshot::Receiver<()>> {
    let (end, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = move || {
        let _end = end;
        runtime.block_on(async move {
            let tables = match open(&config) {
                Ok(tables) => Arc::from(tables),
                Err(error) => return tracing::error!("no peers of [realtime]: {error}"),
            };
            let rows = Rows::new(&config, basis, &trusted);
            let desk = Desk {
                tables,
                rows,
                tell,
                counts,
                tasks: JoinSet::new(),
                waiting: BTreeMap::new(),
                is_looking: false,
                is_writing: false,
                is_away: false,
                own: HashMap::new(),
                elsewhere: Vec::new(),
            };
            desk.work(config.poll, asked).await;
        });
    };
    std::thread::Builder::new().name("realtime".into()).spawn(body)?;
    Ok(ended)
}

/// Something that the database was asked for is over.
enum Done {
    Looked(Result<Look, RealtimeError>),
    /// A name was looked up; `None`: not in time.
    LookedUp(String, Option<Result<Look, RealtimeError>>),
    /// What was not written, since the database is away.
    Wrote(BTreeMap<String, Written>, Option<RealtimeError>),
}

/// A registration at this switch.
struct Own {
    address: SocketAddr,
    /// In seconds after 1970.
    seconds: i64,
    is_over: bool,
}

struct Desk {
    tables: Arc<dyn Tables>,
    rows: Rows,
    tell: Tell,
    counts: Arc<Counts>,
    tasks: JoinSet<Done>,
    /// What is to be written, the last of each name: it never grows beyond the peers that there are.
    waiting: BTreeMap<String, Written>,
    is_looking: bool,
    is_writing: bool,
    /// The database does not answer, or not as it should.
    is_away: bool,
    /// Registrations at this switch, the last of each name.
    own: HashMap<String, Own>,
    /// Those that others have, as they were told last.
    elsewhere: Vec<Registered>,
}

impl Desk {
    async fn work(mut self, poll: Duration, mut asked: mpsc::UnboundedReceiver<Ask>) {
        let mut ticks = time::interval(poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick(), if !self.is_looking => self.look(),
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Ok(done) = done {
                        self.done(done);
                    }
                }
                ask = asked.recv() => match ask {
                    Some(Ask::Leave) | None => break,
                    Some(ask) => self.asked(ask),
                },
            }
            self.write();
            self.counts.stands(self.is_away, self.waiting.len());
        }
        let last = async {
            while self.is_writing || !self.waiting.is_empty() && !self.is_away {
                self.write();
                let Some(done) = self.tasks.join_next().await else { return };
                if let Ok(done) = done {
                    self.done(done);
                }
            }
        };
        let _ = time::timeout(GOODBYE, last).await;
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Find(name) => {
                let (tables, counts) = (self.tables.clone(), self.counts.clone());
                self.tasks.spawn(async move {
                    let look = time::timeout(LOOKING_UP, tables.look(Some(&name)));
                    let is_done = |look: &Result<Result<_, _>, _>| matches!(look, Ok(Ok(_)));
                    let look = timed(&counts, Query::LookUp, look, is_done).await;
                    Done::LookedUp(name, look.ok())
                });
            }
            Ask::Registered { name, address } if self.rows.is_dynamic(&name) => {
                let seconds = now();
                self.own.insert(name.clone(), Own { address, seconds, is_over: false });
                self.waiting.insert(name, Written::Registered { address, seconds });
            }
            Ask::Over { name, unregistered } => {
                // It may never have been in a row.
                let own = self.own.get_mut(&name);
                if let Some(own) = own.filter(|own| !own.is_over) {
                    own.is_over = true;
                    let was = own.address;
                    let written = match unregistered {
                        true => Written::Ended { was },
                        false => Written::Expired { was },
                    };
                    self.waiting.insert(name, written);
                }
            }
            Ask::Basis(basis, trusted, config) => {
                let before = std::mem::replace(&mut self.rows, Rows::new(&config, basis, &trusted));
                // Peers that are none any more are among what has changed.
                self.rows.take_names_of(before);
                if !self.is_looking {
                    self.look();
                }
            }
            Ask::Registered { .. } | Ask::Leave => {}
        }
    }

    fn look(&mut self) {
        self.is_looking = true;
        let (tables, counts) = (self.tables.clone(), self.counts.clone());
        self.tasks.spawn(async move {
            let look = timed(&counts, Query::Look, tables.look(None), Result::is_ok);
            Done::Looked(look.await)
        });
    }

    /// Writes what waits, where nothing is being written.
    fn write(&mut self) {
        if self.is_writing || self.is_away || self.waiting.is_empty() {
            return;
        }
        self.is_writing = true;
        let (tables, counts) = (self.tables.clone(), self.counts.clone());
        let mut left = std::mem::take(&mut self.waiting);
        self.tasks.spawn(async move {
            while let Some((name, written)) = left.pop_first() {
                let wrote = tables.write(&name, written);
                match timed(&counts, Query::Write, wrote, Result::is_ok).await {
                    Ok(()) => {}
                    Err(error @ RealtimeError::Away { .. }) => {
                        left.insert(name, written);
                        return Done::Wrote(left, Some(error));
                    }
                    Err(error) => {
                        tracing::warn!("the registration of {name} is not written: {error}");
                    }
                }
            }
            Done::Wrote(left, None)
        });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Looked(Ok(look)) => {
                self.is_looking = false;
                if std::mem::take(&mut self.is_away) {
                    tracing::info!("the tables of [realtime] are back");
                }
                let found = self.rows.take_all(&look);
                self.tell_found(found, None);
            }
            Done::Looked(Err(error)) => {
                self.is_looking = false;
                self.went_away(&error);
            }
            Done::LookedUp(name, Some(Ok(look))) => {
                let found = self.rows.take_one(&name, &look);
                self.tell_found(found, Some(&name));
                (self.tell)(Told::LookedUp { name, answered: true });
            }
            Done::LookedUp(name, failed) => {
                if let Some(Err(error)) = failed {
                    self.went_away(&error);
                }
                (self.tell)(Told::LookedUp { name, answered: false });
            }
            Done::Wrote(left, error) => {
                self.is_writing = false;
                for (name, written) in left {
                    self.waiting.entry(name).or_insert(written);
                }
                if let Some(error) = error {
                    self.went_away(&error);
                }
            }
        }
    }

    fn went_away(&mut self, error: &RealtimeError) {
        if !std::mem::replace(&mut self.is_away, true) {
            tracing::warn!("tables of [realtime]: {error}; the peers that are known go on");
        }
    }

    /// Tells what has changed; `name`: it alone was looked at.
    fn tell_found(&mut self, found: Found, name: Option<&str>) {
        let Found { changed, registered } = found;
        let (own, waiting) = (&self.own, &mut self.waiting);
        let mut elsewhere: Vec<Registered> = registered
            .into_iter()
            .filter(|there| {
                // The row may be older than what was written since.
                let is_later = own.get(&there.name).is_none_or(|own| own.seconds < there.seconds);
                if is_later {
                    // What waits to be written was outdone meanwhile.
                    waiting.remove(&there.name);
                }
                is_later
            })
            .collect();
        if let Some(name) = name {
            let others = self.elsewhere.iter().filter(|there| there.name != name);
            elsewhere.extend(others.cloned());
        }
        elsewhere.sort_unstable();
        let is_new = self.elsewhere != elsewhere;
        let now = now();
        let age = |there: &Registered| {
            Duration::from_secs(u64::try_from(now.saturating_sub(there.seconds)).unwrap_or(0))
        };
        let told = is_new
            .then(|| elsewhere.iter().map(|there| (there.clone(), age(there))).collect::<Vec<_>>());
        self.elsewhere = elsewhere;
        (self.tell)(Told::Rows { changed, elsewhere: told });
    }
}

/// Does something that the database is asked for, and counts whether it was done, and in which time.
async fn timed<T>(
    counts: &Counts,
    query: Query,
    work: impl Future<Output = T>,
    is_done: impl Fn(&T) -> bool,
) -> T {
    let begun = time::Instant::now();
    let done = work.await;
    counts.asked(query, is_done(&done).then(|| begun.elapsed()));
    done
}

/// Seconds after 1970.
fn now() -> i64 {
    Utc::now().unix_millis() / 1_000
}
