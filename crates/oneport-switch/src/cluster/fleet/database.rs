//! The table of ledgers as the statements of [`slots`](super::super::slots) treat it.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::lease::{Key, Ledger, Versioned};

#[derive(Default)]
pub(in crate::cluster) struct Ledgers(BTreeMap<Key, (i64, Ledger)>);

impl Ledgers {
    /// Those of these keys that there are.
    pub(in crate::cluster) fn read(&self, keys: &[Key]) -> Vec<Versioned> {
        let read = keys.iter().filter_map(|key| {
            let (version, ledger) = self.0.get(key)?.clone();
            Some(Versioned { key: key.clone(), version, ledger })
        });
        read.collect()
    }

    /// Sets those whose version is still that: of which keys.
    pub(in crate::cluster) fn set(&mut self, changes: Vec<Versioned>) -> BTreeSet<Key> {
        let mut set = BTreeSet::new();
        for Versioned { key, version, ledger } in changes {
            let now = self.0.get(&key).map_or(0, |(version, _)| *version);
            if now == version {
                self.0.insert(key.clone(), (version + 1, ledger));
                set.insert(key);
            }
        }
        set
    }

    /// All there are.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Key, &Ledger)> {
        self.0.iter().map(|(key, (_, ledger))| (key, ledger))
    }
}
