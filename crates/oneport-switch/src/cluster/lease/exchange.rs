//! One request on its way through the database: the ledgers are read, changed and set, and those that somebody
//! else has changed meanwhile once more.

use std::collections::BTreeSet;

use super::leases::{Answer, Request};
use super::ledger::{Ledger, News, Outdated, Renewal};
use super::{Key, flaw};

/// After so many attempts at a ledger the switch is told that it is as it was.
const ATTEMPTS: usize = 20;

/// A ledger as it lies in the database. Its version grows with each change; 0: there is none yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Versioned {
    /// Of what.
    pub(crate) key: Key,
    /// Which one this is; as a change: which one it is made to.
    pub(crate) version: i64,
    /// What it says.
    pub(crate) ledger: Ledger,
}

/// A request, from its beginning to its answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    name: String,
    number: u64,
    left: Vec<(Key, Renewal)>,
    changes: Vec<Versioned>,
    /// How many slots were free in each of these before.
    free: Vec<usize>,
    done: Vec<(Key, Result<Ledger, Outdated>)>,
    attempts: usize,
}

impl Exchange {
    /// Of the switch `name`.
    #[must_use]
    pub(crate) fn new(name: &str, request: Request) -> Self {
        let Request { number, renewals: left } = request;
        let (changes, free, done) = (Vec::new(), Vec::new(), Vec::new());
        Self { name: name.into(), number, left, changes, free, done, attempts: 0 }
    }

    /// Which ledgers are to be read now; none: it is over.
    #[must_use]
    pub(crate) fn keys(&self) -> Vec<Key> {
        match self.attempts < ATTEMPTS {
            true => self.left.iter().map(|(key, _)| key.clone()).collect(),
            false => Vec::new(),
        }
    }

    /// They have been read; a missing one is empty. What is to be set now, each if its version is still that.
    pub(crate) fn read(&mut self, mut read: Vec<Versioned>) -> Vec<Versioned> {
        self.attempts += 1;
        self.changes.clear();
        self.free.clear();
        for (key, renewal) in std::mem::take(&mut self.left) {
            let found = read.iter().position(|versioned| versioned.key == key);
            let mut versioned = match found {
                Some(found) => read.swap_remove(found),
                None => Versioned { key: key.clone(), version: 0, ledger: Ledger::default() },
            };
            let mine = versioned.ledger.holders.get(&self.name);
            let is_there = mine.is_some_and(|mine| {
                (mine.incarnation, mine.renewal) == (renewal.incarnation, renewal.number)
            });
            if is_there {
                self.done.push((key, Ok(versioned.ledger)));
                continue;
            }
            let free = versioned.ledger.free();
            match versioned.ledger.renew(&self.name, &renewal) {
                Err(outdated) => self.done.push((key, Err(outdated))),
                Ok(()) => {
                    self.free.push(free);
                    self.changes.push(versioned);
                    self.left.push((key, renewal));
                }
            }
        }
        self.changes.clone()
    }

    /// These were set. What the others are to hear of it.
    pub(crate) fn set(&mut self, keys: &BTreeSet<Key>) -> Vec<(Key, News)> {
        let mut news = Vec::new();
        let set = |key: &Key| keys.contains(key) || flaw::SetsWhateverVersion.is_there();
        let free = std::mem::take(&mut self.free);
        for (Versioned { key, ledger, .. }, free) in
            std::mem::take(&mut self.changes).into_iter().zip(free)
        {
            if set(&key) {
                news.extend(ledger.news(&self.name, free).map(|news| (key.clone(), news)));
                self.done.push((key, Ok(ledger)));
            }
        }
        self.left.retain(|(key, _)| !set(key));
        news
    }

    /// What the switch is told.
    #[must_use]
    pub(crate) fn answer(self, session: u64, present: BTreeSet<i64>) -> Answer {
        Answer { number: self.number, ledgers: self.done, session, present }
    }
}
