//! All slots that this switch holds, and their renewal.

use std::collections::{BTreeMap, BTreeSet};

use oneport_proto::Instant;

use super::block::{Block, Bound, Share};
use super::ledger::{Ledger, News, Outdated, Renewal};
use super::sessions::Sessions;
use super::{Key, Timing};

/// How well the leases of a switch stand, by the one that was renewed longest ago.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Standing {
    /// They are renewed in time.
    #[default]
    Fresh,
    /// The database does not answer; no call begins beyond what it has been told.
    Stale,
    /// Other switches may take what is idle here.
    Over,
    /// They may take everything.
    PresumedDead,
}

/// What the ledgers are to say. It may be done twice, and late: each change that it makes is one that another
/// would have to have seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    /// Which one.
    pub(crate) number: u64,
    /// What is said of each.
    pub(crate) renewals: Vec<(Key, Renewal)>,
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// Of which.
    pub(crate) number: u64,
    /// The ledgers as they were once the renewal was in them, or why it is not. One that is missing was changed
    /// by others all the time.
    pub(crate) ledgers: Vec<(Key, Result<Ledger, Outdated>)>,
    /// By which session with the database, by a number that changes with each.
    pub(crate) session: u64,
    /// Which runs of switches have sessions.
    pub(crate) present: BTreeSet<i64>,
}

/// A request that is under way.
#[derive(Debug)]
struct Flight {
    number: u64,
    sent: Instant,
}

/// The slots of this switch under all limits that it shares.
#[derive(Debug)]
pub(crate) struct Leases {
    name: String,
    timing: Timing,
    /// This run; `None`: the database cannot be asked.
    incarnation: Option<i64>,
    blocks: BTreeMap<Key, Block>,
    number: u64,
    flight: Option<Flight>,
    sessions: Sessions,
    /// Another process is this switch now.
    superseded: bool,
}

impl Leases {
    /// Nothing is leased yet.
    #[must_use]
    pub(crate) fn new(name: &str, timing: Timing) -> Self {
        Self {
            name: name.into(),
            timing,
            incarnation: None,
            blocks: BTreeMap::new(),
            number: 0,
            flight: None,
            sessions: Sessions::default(),
            superseded: false,
        }
    }

    /// These limits are shared, each with so many slots for all switches together; others are not any more. Calls of
    /// one that was not are up already in so many slots as `used` says.
    pub(crate) fn configure(
        &mut self,
        now: Instant,
        limits: &BTreeMap<Key, usize>,
        used: impl Fn(&Key) -> usize,
    ) {
        for (key, block) in &mut self.blocks {
            block.configure(now, limits.get(key).copied(), || used(key));
        }
        for (key, max) in limits {
            let block = || Block::new(now, key, *max, used(key));
            self.blocks.entry(key.clone()).or_insert_with(block);
        }
    }

    /// Another process is this switch now, or will be: nothing begins here any more.
    pub(crate) fn retire(&mut self) {
        self.superseded = true;
        self.blocks.values_mut().for_each(Block::supersede);
    }

    /// How well they stand; `None`: there are none yet.
    #[must_use]
    pub(crate) fn standing(&self, now: Instant) -> Option<Standing> {
        let ages = self.blocks.values().filter_map(|block| block.age(now));
        let Timing { fresh, lease, presumed_dead, .. } = self.timing;
        ages.max().map(|age| match age {
            _ if presumed_dead.is_some_and(|time| age >= time) => Standing::PresumedDead,
            _ if age >= lease => Standing::Over,
            _ if age >= fresh => Standing::Stale,
            _ => Standing::Fresh,
        })
    }

    /// How many slots may be in use; `None`: the limit is not shared.
    #[must_use]
    pub(crate) fn bound(&self, now: Instant, key: &Key) -> Option<Bound> {
        let block = self.blocks.get(key).filter(|block| block.is_configured())?;
        Some(block.bound(now, &self.timing))
    }

    /// A call has begun, and `used` slots are in use.
    pub(crate) fn begun(&mut self, now: Instant, key: &Key, used: usize) {
        if let Some(block) = self.blocks.get_mut(key) {
            block.begun(now, &self.timing, used);
        }
    }

    /// A call was refused since no slot is free here.
    pub(crate) fn refuse(&mut self, now: Instant, key: &Key) {
        if let Some(block) = self.blocks.get_mut(key) {
            block.refuse(now);
        }
    }

    /// Calls have ended, and as many slots are in use as `used` says. It is asked only of limits with calls that are
    /// older than their share.
    pub(crate) fn ended(&mut self, used: impl Fn(&Key) -> usize) {
        for (key, block) in self.blocks.iter_mut().filter(|(_, block)| block.inherits()) {
            block.ended(used(key));
        }
    }

    /// How many of the calls that are up must end now, of `used`.
    #[must_use]
    pub(crate) fn over(&self, now: Instant, key: &Key, used: usize) -> usize {
        match self.blocks.get(key) {
            Some(block) if block.is_configured() && !self.superseded => {
                used.saturating_sub(block.most(now, &self.timing))
            }
            _ => 0,
        }
    }

    /// How a limit is shared, for people.
    #[must_use]
    pub(crate) fn share(&self, now: Instant, key: &Key) -> Option<Share> {
        let block = self.blocks.get(key).filter(|block| block.is_configured())?;
        Some(block.share(now, &self.timing, &self.name))
    }

    /// The database can be asked, by this run of the switch.
    pub(crate) fn joined(&mut self, now: Instant, incarnation: i64) {
        self.incarnation = Some(incarnation);
        self.flight = None;
        self.blocks.values_mut().for_each(|block| block.is_due(now));
    }

    /// The database does not answer: what became of the request that is under way is not known.
    pub(crate) fn cut_off(&mut self) {
        self.incarnation = None;
        self.flight = None;
    }

    /// Another switch has changed a ledger; `used` slots are in use here.
    pub(crate) fn hear(&mut self, now: Instant, key: &Key, news: News, used: usize) {
        let Some(block) = self.blocks.get_mut(key) else { return };
        match news {
            News::Wanted(need) => block.is_wanted(now, need, used),
            News::Freed => block.is_free(now, used),
        }
    }

    /// When something is to be done next: a request, or calls that are over the lease.
    #[must_use]
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let asks = self.incarnation.is_some() && self.flight.is_none() && !self.superseded;
        let blocks = self.blocks.values();
        let due = blocks.clone().map(Block::due).filter(|_| asks).min();
        let falls = blocks.filter_map(|block| block.falls(now, &self.timing)).min();
        [due, falls].into_iter().flatten().min()
    }

    /// What is to be asked of the database now, where `used` says how many slots of each are in use. There is no
    /// more than one request at a time.
    pub(crate) fn poll_request(
        &mut self,
        now: Instant,
        used: impl Fn(&Key) -> usize,
    ) -> Option<Request> {
        let incarnation = self.incarnation.filter(|_| !self.superseded)?;
        if self.flight.is_some() || !self.blocks.values().any(|block| block.due() <= now) {
            return None;
        }
        self.number += 1;
        let number = self.number;
        // Those that are due before long come along.
        let due = now + self.timing.renew / 4;
        let blocks = self.blocks.iter_mut().filter(|(_, block)| block.due() <= due);
        let renew = |(key, block): (&Key, &mut Block)| {
            let run = (incarnation, number);
            let used = used(key);
            let renewal = block.renew(now, &self.timing, &self.name, run, used, &self.sessions);
            (key.clone(), renewal)
        };
        let renewals = blocks.map(renew).collect();
        self.flight = Some(Flight { number, sent: now });
        Some(Request { number, renewals })
    }

    /// The database has answered.
    pub(crate) fn answer(&mut self, now: Instant, answer: Answer, used: impl Fn(&Key) -> usize) {
        let Some(flight) = self.flight.take_if(|flight| flight.number == answer.number) else {
            return;
        };
        let sent = flight.sent;
        self.sessions.look(now, answer.session, &answer.present);
        for (key, ledger) in answer.ledgers {
            let Some(block) = self.blocks.get_mut(&key) else { continue };
            match ledger {
                Ok(ledger) if !block.is_configured() => {
                    if !ledger.holders.contains_key(&self.name) {
                        self.blocks.remove(&key);
                    }
                }
                Ok(ledger) => block.confirm(now, sent, &self.name, ledger, used(&key)),
                Err(Outdated::Superseded) => return self.retire(),
                Err(Outdated::Overtaken) => {}
            }
        }
        let known = now + self.timing.gone;
        for block in self.blocks.values_mut() {
            if block.waits_for_death(&self.sessions) {
                block.is_due(known);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::lease::{Exchange, Versioned};
    use crate::limits::Ceiling;

    /// Two switches with one limit, where more call than there are slots for, and no call is short.
    struct Crowded {
        now: Instant,
        key: Key,
        ledger: Vec<Versioned>,
        /// Each with its calls.
        switches: [(Leases, usize); 2],
    }

    impl Crowded {
        fn new(max: usize) -> Self {
            let now = Instant::from_micros(1_000_000);
            let key = Key { limit: "carrier".into(), ceiling: Ceiling::Calls };
            let leases = |name: &str| {
                let mut leases = Leases::new(name, Timing::of_lease(Duration::from_secs(8)));
                leases.configure(now, &[(key.clone(), max)].into(), |_| 0);
                (leases, 0)
            };
            let switches = [leases("berlin"), leases("paris")];
            Self { now, key, ledger: Vec::new(), switches }
        }

        fn bound(&self, n: usize) -> usize {
            self.switches[n].0.bound(self.now, &self.key).map_or(0, Bound::slots)
        }

        /// Somebody calls.
        fn is_called(&mut self, n: usize) {
            let free = self.switches[n].1 < self.bound(n);
            let (leases, used) = &mut self.switches[n];
            match free {
                true => {
                    *used += 1;
                    leases.begun(self.now, &self.key, *used);
                }
                false => leases.refuse(self.now, &self.key),
            }
        }

        /// Ten milliseconds pass, and who has something to say says it.
        fn passes(&mut self) {
            self.now = self.now + Duration::from_millis(10);
            for n in 0..2 {
                let (leases, used) = &mut self.switches[n];
                let Some(request) = leases.poll_request(self.now, |_| *used) else { continue };
                let mut exchange = Exchange::new(["berlin", "paris"][n], request);
                let mut changes = exchange.read(self.ledger.clone());
                let set = changes.iter().map(|change| change.key.clone()).collect();
                let news = exchange.set(&set);
                changes.iter_mut().for_each(|change| change.version += 1);
                if !changes.is_empty() {
                    self.ledger = changes;
                }
                leases.answer(self.now, exchange.answer(1, [1, 2].into()), |_| *used);
                let (other, used) = &mut self.switches[1 - n];
                for (key, news) in news {
                    other.hear(self.now, &key, news, *used);
                }
            }
        }
    }

    /// Calls end all the time, and each slot is wanted the moment it is free.
    #[test]
    fn a_switch_that_comes_to_a_full_limit_gets_its_part_of_it_as_calls_end() {
        let mut crowded = Crowded::new(10);
        crowded.switches[0].0.joined(crowded.now, 1);
        for _ in 0..50 {
            crowded.is_called(0);
            crowded.passes();
        }
        assert_eq!((crowded.switches[0].1, crowded.bound(0)), (10, 10), "it has all of it");
        crowded.switches[1].0.joined(crowded.now, 2);
        for round in 0..200 {
            if round % 10 == 0 {
                crowded.switches.iter_mut().for_each(|(_, used)| *used = used.saturating_sub(1));
            }
            (0..2).for_each(|n| crowded.is_called(n));
            crowded.passes();
            assert!(crowded.switches.iter().map(|(_, used)| used).sum::<usize>() <= 10);
        }
        let parts = [0, 1].map(|n| crowded.switches[n].1);
        assert!(parts.iter().all(|part| (4..=6).contains(part)), "{parts:?}");
    }

    #[test]
    fn a_lease_counts_from_before_its_renewal_was_sent_however_late_the_answer_comes() {
        let timing = Timing::of_lease(Duration::from_secs(8));
        let key = Key { limit: "box".into(), ceiling: Ceiling::Calls };
        let begun = Instant::from_micros(1_000_000);
        let mut leases = Leases::new("berlin", timing);
        leases.configure(begun, &[(key.clone(), 10)].into(), |_| 0);
        leases.joined(begun, 1);
        let request = leases.poll_request(begun, |_| 0).expect("it is due");
        let mut exchange = Exchange::new("berlin", request);
        let changes = exchange.read(Vec::new());
        exchange.set(&changes.into_iter().map(|change| change.key).collect());
        let answered = begun + (timing.fresh - Duration::from_millis(1));
        assert_eq!(leases.bound(answered, &key), Some(Bound::Lapsed), "nothing is known yet");
        leases.answer(answered, exchange.answer(1, [1].into()), |_| 0);
        assert_eq!(leases.bound(answered, &key), Some(Bound::Leased(10)));
        let stale = leases.bound(begun + timing.fresh, &key);
        assert!(matches!(stale, Some(Bound::Told(told)) if told < 10), "{stale:?}");
    }
}
