//! Whose session with the database has ended while ours went on.
//!
//! A switch that lives does not close its connection, not even one that has failed it: the machine does that when
//! the process has ended. So a session that ends before our eyes, and that no other of the same run follows, is a
//! switch that has died. One that ended while we had none ourselves proves nothing: the database may have been the
//! one that ended. Nor does one whose switch was silent before: the database's machine gives up a connection to a
//! machine that it does not reach.

use std::collections::{BTreeMap, BTreeSet};

use oneport_proto::Instant;

use super::flaw;

/// Sessions of other switches, by their runs.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Our own session, by a number that changes with each.
    own: u64,
    /// Runs that we have seen with a session during ours.
    seen: BTreeSet<i64>,
    /// Of these, when we saw first that they had none.
    gone: BTreeMap<i64, Instant>,
}

impl Sessions {
    /// These runs have sessions now.
    pub(super) fn look(&mut self, now: Instant, own: u64, present: &BTreeSet<i64>) {
        let is_new = std::mem::replace(&mut self.own, own) != own;
        if is_new && !flaw::TrustsNewSession.is_there() {
            self.seen.clear();
            self.gone.clear();
        }
        for run in present {
            self.gone.remove(run);
        }
        for run in self.seen.difference(present) {
            self.gone.entry(*run).or_insert(now);
        }
        self.seen.extend(present);
    }

    /// Since when this run has been without a session, before our eyes.
    pub(super) fn gone_since(&self, run: i64) -> Option<Instant> {
        self.gone.get(&run).copied()
    }
}
