//! What Asterisk's tables were asked for since the start: how long the database took, and how often it did not do it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::tally::Histogram;

/// Bounds of the time that the database takes, in seconds; it has ten at most.
const BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0];

/// What the database is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Query {
    /// All rows.
    Look,
    /// Those of one name.
    LookUp,
    /// To write what became of a registration.
    Write,
}

impl Query {
    /// All kinds, and the word for each.
    pub(crate) const NAMES: [(Self, &'static str); 3] =
        [(Self::Look, "look"), (Self::LookUp, "lookup"), (Self::Write, "write")];
}

/// What became of questions of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// How long those took that were answered.
    pub(crate) took: Histogram,
    /// How many were not, or not in time.
    pub(crate) failed: u64,
}

impl Default for Asked {
    fn default() -> Self {
        Self { took: Histogram::new(BOUNDS), failed: 0 }
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    asked: [Asked; Query::NAMES.len()],
    /// The database did not answer when it was asked last.
    pub(crate) is_away: bool,
    /// Registrations that wait until it takes them.
    pub(crate) waiting: usize,
}

impl Figures {
    /// Those of one kind.
    pub(crate) const fn asked(&self, query: Query) -> &Asked {
        let [looks, look_ups, writes] = &self.asked;
        match query {
            Query::Look => looks,
            Query::LookUp => look_ups,
            Query::Write => writes,
        }
    }
}

/// What the thread counts, and the switch shows.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<Figures>);

impl Counts {
    fn lock(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database has been asked, and has done it within `took`; `None`: it has not.
    pub(super) fn asked(&self, query: Query, took: Option<Duration>) {
        let mut figures = self.lock();
        let [looks, look_ups, writes] = &mut figures.asked;
        let asked = match query {
            Query::Look => looks,
            Query::LookUp => look_ups,
            Query::Write => writes,
        };
        match took {
            Some(took) => asked.took.note(took, None),
            None => asked.failed += 1,
        }
    }

    /// How it stands with the database, and how many registrations wait for it.
    pub(super) fn stands(&self, is_away: bool, waiting: usize) {
        let mut figures = self.lock();
        (figures.is_away, figures.waiting) = (is_away, waiting);
    }

    /// As it is now.
    pub(crate) fn read(&self) -> Figures {
        self.lock().clone()
    }
}
