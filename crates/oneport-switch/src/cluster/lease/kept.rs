//! Connections of this process that have failed, and that it may not close yet: others might take that for its end.
//!
//! The last one that held the lock of this run is kept until the next one holds it. One that has asked for the lock
//! and was not answered may hold it, and be all that the others see: it is kept as well. These are few, however long
//! the database takes connections and answers nothing, since the end of a session proves nothing where the others have
//! seen no renewal within a lease before it: so one may be closed when this run has said nothing for so long.

use std::collections::VecDeque;

use oneport_proto::Instant;

use super::{Timing, flaw};

/// How many connections there are at most that have asked for the lock and were not answered.
const MOST_ASKED: usize = 4;

/// Connections of type `C` that stay open though nothing is said by them.
#[derive(Debug)]
pub(crate) struct Kept<C> {
    timing: Timing,
    /// It held the lock when it failed.
    held: Option<C>,
    /// They may hold it; the oldest first.
    asked: VecDeque<C>,
    /// When a change of a ledger was sent last; `None`: the others know nothing of this run.
    changed: Option<Instant>,
}

impl<C> Kept<C> {
    /// There are none.
    #[must_use]
    pub(crate) fn new(timing: Timing) -> Self {
        Self { timing, held: None, asked: VecDeque::new(), changed: None }
    }

    /// A change of a ledger is sent now.
    pub(crate) fn changes(&mut self, now: Instant) {
        self.changed = Some(now);
    }

    /// Whether one more may ask for the lock: there are few, or the oldest of them may be closed.
    #[must_use]
    pub(crate) fn has_room(&self, now: Instant) -> bool {
        let lease = Timing::for_certain(self.timing.lease);
        let is_over = self.changed.is_none_or(|changed| now.since(changed) >= lease);
        self.asked.len() < MOST_ASKED || is_over
    }

    /// This one has asked for the lock, which there was room for, and there is no answer. The one that is to be closed
    /// for it, if any.
    pub(crate) fn keep_asked(&mut self, connection: C) -> Option<C> {
        if flaw::ClosesUnanswered.is_there() {
            return Some(connection);
        }
        self.asked.push_back(connection);
        if self.asked.len() > MOST_ASKED { self.asked.pop_front() } else { None }
    }

    /// This one held the lock, and has failed. The one that is to be closed now, if any.
    pub(crate) fn keep_held(&mut self, connection: C) -> Option<C> {
        match flaw::ClosesFailed.is_there() {
            true => Some(connection),
            false => self.held.replace(connection),
        }
    }

    /// Another one holds the lock: all these are to be closed now.
    pub(crate) fn replaced(&mut self) -> impl Iterator<Item = C> {
        self.held.take().into_iter().chain(self.asked.drain(..))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn however_often_nobody_answers_there_are_few_and_none_is_closed_while_the_lease_may_go_on() {
        let timing = Timing::of_lease(Duration::from_secs(8));
        let begun = Instant::from_micros(1_000_000);
        let mut kept = Kept::new(timing);
        kept.changes(begun);
        assert_eq!(kept.keep_held(0), None);
        for asked in 1..=MOST_ASKED {
            assert!(kept.has_room(begun));
            assert_eq!(kept.keep_asked(asked), None);
        }
        assert!(!kept.has_room(begun + timing.lease));
        let over = begun + Timing::for_certain(timing.lease);
        for asked in 1..100 {
            assert!(kept.has_room(over));
            assert_eq!(kept.keep_asked(asked + MOST_ASKED), Some(asked));
        }
        assert!(kept.replaced().eq([0, 100, 101, 102, 103]));
    }
}
