//! Who holds how many slots: switches that read and change ledgers at the same time, each by the statements of
//! [`slots`](crate::cluster::slots).

use std::collections::BTreeMap;

use fastrand::Rng;
use sqlx::Executor as _;
use sqlx::postgres::PgListener;

use super::Place;
use crate::cluster::fleet::database::Ledgers;
use crate::cluster::lease::{Exchange, Fate, Judged, Key, Need, Renewal, Request, Versioned};
use crate::cluster::slots::{read, set};
use crate::limits::Ceiling;

/// Stories in each run of the tests, and what happens in one.
const RUNS: u64 = 30;
const STEPS: usize = 100;

const SWITCHES: [&str; 3] = ["berlin", "bonn", "paris"];

/// A request under way: the same to both databases.
struct Asked {
    real: Exchange,
    simulated: Exchange,
    /// What is to be set next; none: ledgers are to be read.
    changes: Option<Vec<Versioned>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    set: usize,
    overtaken: usize,
}

struct Story<'a> {
    rng: Rng,
    connection: &'a mut PgListener,
    simulated: Ledgers,
    asked: BTreeMap<usize, Asked>,
    /// Of each switch the number of its run and of its last renewal.
    runs: [(i64, u64); SWITCHES.len()],
    seen: Seen,
}

fn keys() -> Vec<Key> {
    // Letters that databases order in different ways.
    let key = |limit: &str, ceiling| Key { limit: limit.into(), ceiling };
    vec![
        key("all", Ceiling::Calls),
        key("all", Ceiling::CallsPerSecond),
        key("Ärger \"x\"", Ceiling::Calls),
        key("B 'y' \\", Ceiling::Calls),
    ]
}

impl Story<'_> {
    fn draw(&mut self, n: usize) -> Request {
        let rng = &mut self.rng;
        let (run, renewal) = &mut self.runs[n];
        match rng.u8(..10) {
            // It starts again.
            0 => (*run, *renewal) = (*run + 1, 1),
            // It says the same once more.
            1 => {}
            _ => *renewal += 1,
        }
        let (incarnation, number) = self.runs[n];
        let judged = (0..SWITCHES.len()).filter(|other| *other != n && rng.u8(..4) == 0);
        let judged: Vec<usize> = judged.collect();
        let runs = self.runs;
        let judged = judged.into_iter().map(|other| Judged {
            name: SWITCHES[other].into(),
            incarnation: runs[other].0,
            renewal: runs[other].1.saturating_sub(self.rng.u64(..2)),
            fate: if self.rng.bool() { Fate::Late } else { Fate::Dead },
        });
        let judged: Vec<Judged> = judged.collect();
        let rng = &mut self.rng;
        let chosen: Vec<Key> = keys().into_iter().filter(|_| rng.bool()).collect();
        let renewals = chosen.into_iter().map(|key| {
            let renewal = Renewal {
                incarnation,
                number,
                max: (rng.u8(..10) > 0).then(|| rng.usize(4..12)),
                keep: rng.usize(..10),
                told: rng.usize(..6),
                target: rng.usize(..12),
                need: rng.choice([Need::None, Need::Soon, Need::Now]).unwrap_or_default(),
                judged: judged.clone(),
            };
            (key, renewal)
        });
        Request { number, renewals: renewals.collect() }
    }

    /// The next step of a switch's request, or another request.
    async fn step(&mut self, n: usize) -> Result<(), String> {
        let Some(mut asked) = self.asked.remove(&n) else {
            let request = self.draw(n);
            let name = SWITCHES[n];
            let (real, simulated) =
                (Exchange::new(name, request.clone()), Exchange::new(name, request));
            self.asked.insert(n, Asked { real, simulated, changes: None });
            return Ok(());
        };
        match asked.changes.take() {
            None => {
                let keys = asked.real.keys();
                if keys != asked.simulated.keys() {
                    return Err(format!("{keys:?}, and simulated {:?}", asked.simulated.keys()));
                }
                if keys.is_empty() {
                    return self.answered(asked);
                }
                let sorted = |mut read: Vec<Versioned>| {
                    read.sort_by(|one, other| one.key.cmp(&other.key));
                    read
                };
                let found = read(self.connection, &keys).await.map_err(|why| why.to_string())?;
                let (real, simulated) = (sorted(found), sorted(self.simulated.read(&keys)));
                if real != simulated {
                    return Err(format!("{real:?} is read, and simulated {simulated:?}"));
                }
                let changes = asked.real.read(real);
                assert_eq!(changes, asked.simulated.read(simulated), "the same of the same");
                asked.changes = (!changes.is_empty()).then_some(changes);
            }
            Some(changes) => {
                let done = set(self.connection, &changes).await.map_err(|why| why.to_string())?;
                self.seen.set += done.len();
                self.seen.overtaken += changes.len() - done.len();
                let simulated = self.simulated.set(changes);
                if done != simulated {
                    return Err(format!("{done:?} are set, and simulated {simulated:?}"));
                }
                let (real, simulated) = (asked.real.set(&done), asked.simulated.set(&simulated));
                if real != simulated {
                    return Err(format!("others hear {real:?}, and simulated {simulated:?}"));
                }
            }
        }
        self.asked.insert(n, asked);
        Ok(())
    }

    fn answered(&self, asked: Asked) -> Result<(), String> {
        let (real, simulated) = (
            asked.real.answer(1, Default::default()),
            asked.simulated.answer(1, Default::default()),
        );
        match real == simulated {
            true => Ok(()),
            false => Err(format!("the answer is {real:?}, and simulated {simulated:?}")),
        }
    }
}

#[tokio::test]
async fn the_database_keeps_ledgers_as_the_simulated_one_does() {
    let place = Place::new().await;
    let mut connection = place.listener().await;
    let mut all = Seen::default();
    for seed in 0..RUNS {
        connection.execute("TRUNCATE slots").await.unwrap();
        let mut story = Story {
            rng: Rng::with_seed(seed),
            connection: &mut connection,
            simulated: Ledgers::default(),
            asked: BTreeMap::new(),
            runs: [(1, 0), (2, 0), (3, 0)],
            seen: Seen::default(),
        };
        for _ in 0..STEPS {
            let n = story.rng.usize(..SWITCHES.len());
            story.step(n).await.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        }
        all.set += story.seen.set;
        all.overtaken += story.seen.overtaken;
    }
    println!("{all:?}");
    // What is never seen is not tested.
    assert!(all.set > 500 && all.overtaken > 100, "{all:?}");
}
