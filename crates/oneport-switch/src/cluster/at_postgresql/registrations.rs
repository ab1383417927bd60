//! Who is registered where: transactions that overlap, end in any order or without effect, and what switches read
//! meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnection, PgListener};

use super::Place;
use crate::cluster::registrations::Reader;
use crate::cluster::roaming::database::Database;
use crate::flaw::made;
use crate::registrar::Shared;
use crate::store::{
    PostgresStore, Record, Store as _, StoredRegistration, said, write_at_postgresql,
};
use crate::switch::boot_clock;
use crate::utc::Utc;

/// Stories in each run of the tests, and what happens in one.
const RUNS: u64 = 40;
const STEPS: usize = 60;

const SWITCHES: [&str; 3] = ["berlin", "bonn", "paris"];
const PEERS: [&str; 3] = ["ann", "bob", "carol"];

/// Between two registrations: longer than anything takes here, so that which is the later never hangs on how long the
/// database took.
const APART: u64 = 60;

/// What a switch has read of all others: where each peer is, and what of its own has lost.
#[derive(Default)]
struct Known {
    reader: Reader,
    peers: BTreeMap<String, (Option<String>, Option<Utc>)>,
}

impl Known {
    fn learn(&mut self, whole: bool, read: Vec<Shared>) {
        if whole {
            self.peers.clear();
        }
        for Shared { peer, switch, lost } in read {
            match (&switch, lost) {
                (None, None) => drop(self.peers.remove(&peer)),
                _ => drop(self.peers.insert(peer, (switch, lost))),
            }
        }
    }
}

/// How much of what matters there was.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    transactions: usize,
    undone: usize,
    overlapped: usize,
    reads: usize,
    lost: usize,
}

struct Story<'a> {
    rng: Rng,
    store: &'a PostgresStore,
    listener: &'a mut PgListener,
    connections: &'a mut [PgConnection],
    simulated: Database,
    /// What each connection has begun: its number in the simulated database, and whom it concerns.
    open: BTreeMap<usize, (u64, Vec<String>)>,
    /// Who has registered where and when, for ends of it.
    registered: Vec<(String, String, Utc)>,
    /// Moments at which nobody has registered yet.
    moments: Vec<u64>,
    today: Utc,
    known: Vec<[Known; 2]>,
    seen: Seen,
}

impl Story<'_> {
    fn draw(&mut self) -> Option<Record> {
        let peer = self.rng.choice(PEERS)?.to_string();
        let switch = self.rng.choice(SWITCHES)?.to_string();
        if self.rng.u8(..3) > 0 {
            let registered = self.today.before(Duration::from_secs(APART * self.moments.pop()?));
            // It has run out on its way to the database, or holds for long.
            let refresh = if self.rng.u8(..5) == 0 { APART / 2 } else { 86_400 };
            let address = format!("192.0.2.{}:4569", self.rng.u8(1..4));
            self.registered.push((peer.clone(), switch.clone(), registered));
            return Some(Record::Registered(StoredRegistration {
                peer,
                address,
                registered,
                expires: registered.after(Duration::from_secs(refresh)),
                contact: None,
                switch: Some(switch),
            }));
        }
        if self.rng.bool() {
            return Some(Record::Unregistered { peer, switch: Some(switch), registered: None });
        }
        let (peer, switch, registered) = self.rng.choice(&self.registered)?.clone();
        let registered = Some(registered);
        Some(Record::Unregistered { peer, switch: Some(switch), registered })
    }

    /// A batch of one switch is written, and not there yet.
    async fn begin(&mut self) -> Result<(), String> {
        let free = (0..self.connections.len()).find(|n| !self.open.contains_key(n));
        let Some(free) = free else { return Ok(()) };
        let most = self.rng.usize(1..=4);
        let records: Vec<Record> = (0..most).filter_map(|_| self.draw()).collect();
        let peers: Vec<String> = said(&records).into_keys().map(Into::into).collect();
        let is_locked = |peer| self.open.values().any(|(_, locked)| locked.contains(peer));
        // It would wait for the other.
        if peers.is_empty() || peers.iter().any(is_locked) {
            return Ok(());
        }
        let connection = &mut self.connections[free];
        connection.execute("BEGIN").await.map_err(|error| error.to_string())?;
        write_at_postgresql(connection, &records).await?;
        let now = u64::try_from(self.today.unix_millis()).unwrap() * 1_000;
        let transaction = self.simulated.begin(now, self.today, &records);
        self.open.insert(free, (transaction, peers));
        self.seen.transactions += 1;
        self.seen.overlapped += usize::from(self.open.len() > 1);
        Ok(())
    }

    async fn end(&mut self) -> Result<(), String> {
        let Some(one) = self.rng.choice(self.open.keys().copied().collect::<Vec<_>>()) else {
            return Ok(());
        };
        let Some((transaction, _)) = self.open.remove(&one) else { return Ok(()) };
        let is_undone = self.rng.u8(..5) == 0;
        let sql = if is_undone { "ROLLBACK" } else { "COMMIT" };
        self.connections[one].execute(sql).await.map_err(|error| error.to_string())?;
        match is_undone {
            true => self.simulated.abort(transaction),
            false => drop(self.simulated.commit(transaction)),
        }
        self.seen.undone += usize::from(is_undone);
        Ok(())
    }

    /// A switch reads what is new, from either.
    async fn read(&mut self, n: usize) -> Result<(), String> {
        let name = SWITCHES[n];
        let [real, simulated] = &mut self.known[n];
        let read = real.reader.read(self.listener, name).await;
        let (whole, read) = read.map_err(|error| error.to_string())?;
        real.learn(whole, read);
        let (begun, horizon) = (boot_clock(), self.simulated.horizon());
        let from = simulated.reader.begin(begun).map(|from| from.parse().unwrap());
        let read = self.simulated.read(name, from);
        simulated.reader.done(horizon.to_string(), begun);
        simulated.learn(from.is_none(), read);
        self.seen.reads += 1;
        self.seen.lost += real.peers.values().filter(|(_, lost)| lost.is_some()).count();
        match real.peers == simulated.peers {
            true => Ok(()),
            false => Err(format!(
                "{name} has read {:?}, and of the simulated database {:?}",
                real.peers, simulated.peers
            )),
        }
    }

    /// Who is registered at each, as a switch that starts asks for it.
    async fn look(&self) -> Result<(), String> {
        let there = self.store.registrations().await.map_err(|error| error.to_string())?;
        for name in SWITCHES {
            let at = there.iter().filter(|one| one.switch.as_deref() == Some(name));
            let real: BTreeMap<_, _> = at.map(|one| (one.peer.clone(), one.clone())).collect();
            let simulated = self.simulated.registered(name);
            if real != simulated {
                return Err(format!("at {name} are {real:?}, and simulated {simulated:?}"));
            }
        }
        Ok(())
    }

    async fn run(&mut self) -> Result<(), String> {
        self.rng.shuffle(&mut self.moments);
        for _ in 0..STEPS {
            match self.rng.u8(..8) {
                0..4 => self.begin().await?,
                4..6 => self.end().await?,
                6 => self.look().await?,
                _ => {
                    let n = self.rng.usize(..SWITCHES.len());
                    self.read(n).await?;
                }
            }
        }
        while !self.open.is_empty() {
            self.end().await?;
        }
        for n in 0..SWITCHES.len() {
            self.read(n).await?;
            // Who has not read anything yet hears the same.
            self.known[n] = <[Known; 2]>::default();
            self.read(n).await?;
        }
        self.look().await
    }
}

/// The databases, as stories have them one after the other.
struct Stage {
    place: Place,
    store: PostgresStore,
    listener: PgListener,
    connections: Vec<PgConnection>,
}

impl Stage {
    async fn new() -> Self {
        let place = Place::new().await;
        let store = PostgresStore::to_read(&place.url).unwrap();
        let connections = vec![place.connection().await, place.connection().await];
        Self { listener: place.listener().await, place, store, connections }
    }

    async fn tell(&mut self, seed: u64) -> Result<Seen, String> {
        // One that has failed may have left something open.
        for connection in &mut self.connections {
            *connection = self.place.connection().await;
        }
        self.connections[0].execute("TRUNCATE registration, registration_change").await.unwrap();
        let mut story = Story {
            rng: Rng::with_seed(seed),
            store: &self.store,
            listener: &mut self.listener,
            connections: &mut self.connections,
            simulated: Database::default(),
            open: BTreeMap::new(),
            registered: Vec::new(),
            moments: (1..=400).collect(),
            today: Utc::now(),
            known: SWITCHES.map(|_| Default::default()).into(),
            seen: Seen::default(),
        };
        story.run().await.map(|()| story.seen)
    }
}

#[tokio::test]
async fn the_database_says_of_registrations_what_the_simulated_one_says() {
    let mut stage = Stage::new().await;
    let mut all = Seen::default();
    for seed in 0..RUNS {
        let seen = stage.tell(seed).await.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        all.transactions += seen.transactions;
        all.undone += seen.undone;
        all.overlapped += seen.overlapped;
        all.reads += seen.reads;
        all.lost += seen.lost;
    }
    println!("{all:?}");
    // What is never seen is not tested.
    assert!(all.undone > 20 && all.overlapped > 50 && all.lost > 100, "{all:?}");
}

#[tokio::test]
async fn a_simulated_database_with_any_mistake_says_something_else_than_the_database() {
    let mut stage = Stage::new().await;
    for flaw in [
        "WritesTheEndAlone",
        "HearsNothingOfEnds",
        "ReadsTooFar",
        "OrdersByArrival",
        "LosesInSilence",
        "LeavesOutExpired",
    ] {
        assert!(crate::cluster::roaming::flaw::ALL.contains(&flaw), "there is no {flaw}");
        let mut found = None;
        for seed in 0..RUNS {
            made::make(Some(flaw));
            let told = stage.tell(seed).await;
            made::make(None);
            found = told.err();
            if found.is_some() {
                println!("{flaw}: seed {seed}");
                break;
            }
        }
        assert!(found.is_some(), "{flaw} is not found");
    }
}
