//! Limits that several switches keep together, by leased blocks of slots.
//!
//! A [`Ledger`] says who holds how many slots of a limit; the switches change it one after the other. Each has
//! [`Leases`]: what it knows of its own slots, by which it decides at once, without asking anybody, whether a call
//! may begin. Why the sum of all calls is never beyond the limit is written in docs/shared-limits.md.
//!
//! Nothing here reads a clock, draws lots or waits: time, answers and findings come in, and renewals go out.

mod block;
mod exchange;
pub(in crate::cluster) mod flaw;
mod kept;
mod leases;
mod ledger;
mod recent;
mod sessions;

pub(crate) use block::{Bound, Share};
pub(crate) use exchange::{Exchange, Versioned};
pub(crate) use kept::Kept;
pub(crate) use leases::{Answer, Leases, Request, Standing};
#[cfg(test)]
pub(crate) use ledger::{Fate, Judged, Need, Renewal};
pub(crate) use ledger::{Ledger, News};

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::Ceiling;

/// Which slots: each key has a ledger of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    /// The limit's name. Where each number has the limit for itself, the slots are those of each number alike.
    pub(crate) limit: String,
    /// What is counted.
    pub(crate) ceiling: Ceiling,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ceiling {
            Ceiling::Calls => f.write_str(&self.limit),
            Ceiling::CallsPerSecond => write!(f, "{} per second", self.limit),
        }
    }
}

/// How long things last, by clocks that do not step and go on while a machine sleeps. They may differ by an eighth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timing {
    /// A lease, from the moment before its renewal was sent.
    pub(crate) lease: Duration,
    /// When it is renewed.
    pub(crate) renew: Duration,
    /// Without an answer for so long a switch begins no calls beyond those it has told.
    pub(crate) fresh: Duration,
    /// A switch is dead whose session with the database its own machine has closed, if no other comes for so long.
    pub(crate) gone: Duration,
    /// A switch that has not renewed for so long has no calls any more, since it ends them itself by then;
    /// `None`: there is no such time.
    pub(crate) presumed_dead: Option<Duration>,
}

/// What each clock may be late by when another's time is over, beside an eighth. Calls that have begun within a
/// second count under a limit of calls per second until that is over.
const SLACK: Duration = Duration::from_secs(2);

impl Timing {
    /// All times in the usual proportion to that of a lease.
    #[must_use]
    pub(crate) fn of_lease(lease: Duration) -> Self {
        Self {
            lease,
            renew: lease / 5,
            fresh: lease / 2,
            gone: Duration::from_secs(2),
            presumed_dead: Some(Duration::from_secs(3_600)),
        }
    }

    /// When another's time is over for certain, if it is `time` by its own clock.
    #[must_use]
    pub(crate) fn for_certain(time: Duration) -> Duration {
        match flaw::TakesTooEarly.is_there() {
            true => time - time / 4,
            false => time + time / 8 + SLACK,
        }
    }

    /// Over how long a time beginnings of calls tell how many more will begin before the next answer.
    fn looks_back(&self) -> Duration {
        self.fresh + self.renew
    }
}
