//! The slots of one limit that this switch holds, and what it makes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use oneport_proto::Instant;

use super::ledger::{Fate, Holding, Judged, Ledger, Need, Renewal};
use super::recent::Recent;
use super::sessions::Sessions;
use super::{Key, Timing, flaw};
use crate::limits::Ceiling;

/// A switch that has refused a call says so for as long.
const REFUSED: Duration = Duration::from_secs(2);

/// A second by any clock.
const A_SECOND_FOR_CERTAIN: Duration = Duration::from_millis(1_125);

/// No more than one renewal in such a time, whatever happens.
const PACE: Duration = Duration::from_millis(20);

/// How many slots may be in use, and why not more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bound {
    /// All that are leased.
    Leased(usize),
    /// The database does not answer; so many have been told to it, and are kept for this switch.
    Told(usize),
    /// It has not answered for so long that others may take all.
    Lapsed,
}

impl Bound {
    /// As a number.
    #[must_use]
    pub(crate) fn slots(self) -> usize {
        match self {
            Self::Leased(slots) | Self::Told(slots) => slots,
            Self::Lapsed => 0,
        }
    }
}

/// How a limit is shared just now, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Share {
    /// Slots that this switch may use.
    pub(crate) bound: Bound,
    /// Switches that have the limit.
    pub(crate) switches: usize,
    /// Slots that other switches hold.
    pub(crate) elsewhere: usize,
    /// Of these, slots whose calls they have told of.
    pub(crate) told_elsewhere: usize,
    /// The limit that is in force.
    pub(crate) max: usize,
    /// How long ago the last renewal was sent that has been confirmed; `None`: none has been.
    pub(crate) age: Option<Duration>,
}

/// What was seen of another switch's holding.
#[derive(Clone, Copy, Debug)]
struct Seen {
    incarnation: i64,
    renewal: u64,
    /// Since when it has been just that.
    since: Instant,
    /// It was something else then, so it has renewed later; `None`: we have not seen it change.
    after: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Block {
    /// As it is configured; `None`: it is not, any more.
    max: Option<usize>,
    ceiling: Ceiling,
    /// What may be in use whatever became of a renewal that was not confirmed: as long as the lease lasts, and
    /// beyond it.
    slots: usize,
    told: usize,
    /// Of the calls that were up when the limit began to be shared, as many as may be up still, until there are slots
    /// for all that are up. None of them ends for want of one: nobody has counted it before.
    inherited: usize,
    /// When the last renewal was sent that is confirmed.
    confirmed: Option<Instant>,
    /// When the next is to be sent, and not before when.
    due: Instant,
    not_before: Instant,
    /// How badly we said to want more when we said it last.
    asked: Need,
    /// When a call was refused for want of slots.
    refused: Option<Instant>,
    /// Others want what is idle here.
    pressed: Option<Need>,
    /// Somebody refuses calls, nothing is idle here, and we have more than an even part: the next slot that comes
    /// free is not used again.
    owes: bool,
    recent: Recent,
    /// As it was when we changed it last.
    ledger: Ledger,
    others: BTreeMap<String, Seen>,
}

impl Block {
    /// The limit is shared from now on, and `used` slots are in use already.
    pub(super) fn new(now: Instant, key: &Key, max: usize, used: usize) -> Self {
        // What a process of this switch began before this one is over by then.
        let not_before = match key.ceiling {
            Ceiling::Calls => now,
            Ceiling::CallsPerSecond => now + A_SECOND_FOR_CERTAIN,
        };
        Self {
            max: Some(max),
            ceiling: key.ceiling,
            slots: 0,
            told: 0,
            inherited: used,
            confirmed: None,
            due: not_before,
            not_before,
            asked: Need::None,
            refused: None,
            pressed: None,
            owes: false,
            recent: Recent::default(),
            ledger: Ledger::default(),
            others: BTreeMap::new(),
        }
    }

    pub(super) fn configure(
        &mut self,
        now: Instant,
        max: Option<usize>,
        used: impl FnOnce() -> usize,
    ) {
        if self.max != max {
            if self.max.is_none() {
                // It was given back, or is to be: it begins anew.
                (self.slots, self.told, self.confirmed, self.owes) = (0, 0, None, false);
                self.inherited = used();
            }
            self.max = max;
            self.is_due(now);
        }
    }

    pub(super) fn is_configured(&self) -> bool {
        self.max.is_some()
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn is_due(&mut self, at: Instant) {
        self.due = self.due.min(at).max(self.not_before);
    }

    /// How many slots may be in use.
    pub(super) fn bound(&self, now: Instant, timing: &Timing) -> Bound {
        let Some(confirmed) = self.confirmed else { return Bound::Lapsed };
        let age = now.since(confirmed);
        if age < timing.fresh {
            return Bound::Leased(self.slots.saturating_sub(self.owes.into()));
        }
        if timing.presumed_dead.is_some_and(|time| age >= time) {
            return Bound::Lapsed;
        }
        Bound::Told(self.told.min(self.slots))
    }

    /// How many calls there may be at most that have begun already.
    pub(super) fn most(&self, now: Instant, timing: &Timing) -> usize {
        // Until the database has answered once, nothing that is up was ever leased, and nothing begins.
        let Some(confirmed) = self.confirmed else { return usize::MAX };
        let has_lease = now.since(confirmed) < timing.lease || flaw::KeepsCallsOverLease.is_there();
        let leased = if has_lease { self.slots } else { self.bound(now, timing).slots() };
        leased.max(self.inherited)
    }

    /// Whether calls may be up that were so before the limit was shared.
    pub(super) fn inherits(&self) -> bool {
        self.inherited > 0
    }

    /// Calls have ended, and `used` slots are in use.
    pub(super) fn ended(&mut self, used: usize) {
        self.inherited = self.inherited.min(used);
    }

    /// How long ago the last confirmed renewal was sent.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.confirmed.filter(|_| self.is_configured()).map(|sent| now.since(sent))
    }

    /// When [`bound`](Self::bound) or [`most`](Self::most) falls next.
    pub(super) fn falls(&self, now: Instant, timing: &Timing) -> Option<Instant> {
        let confirmed = self.confirmed?;
        let times = [Some(timing.fresh), Some(timing.lease), timing.presumed_dead];
        times.into_iter().flatten().map(|time| confirmed + time).find(|moment| *moment > now)
    }

    /// A call has begun, and `used` slots are in use.
    pub(super) fn begun(&mut self, now: Instant, timing: &Timing, used: usize) {
        self.recent.note(now, timing.looks_back());
        let more = self.may_grow() && self.need(now, used) > self.asked;
        if more || used > self.told && self.told < self.slots {
            self.soon(now);
        }
    }

    /// A call was refused for want of slots.
    pub(super) fn refuse(&mut self, now: Instant) {
        self.refused = Some(now);
        if self.owes {
            self.soon(now);
        }
        if self.asked < Need::Now && self.may_grow() {
            self.soon(now);
        }
    }

    fn may_grow(&self) -> bool {
        self.max.is_some_and(|max| self.slots < max)
    }

    /// The next renewal comes at once, if there was none just now.
    fn soon(&mut self, now: Instant) {
        let next = self.confirmed.map_or(now, |confirmed| (confirmed + PACE).max(now));
        self.is_due(next);
    }

    fn need(&self, now: Instant, used: usize) -> Need {
        if self.refused.is_some_and(|refused| now.since(refused) < REFUSED) {
            return Need::Now;
        }
        // A call may always begin, and of many a quarter more.
        match used > 0 && used + (used / 4).max(1) > self.slots {
            true => Need::Soon,
            false => Need::None,
        }
    }

    /// Others want slots of this limit.
    pub(super) fn is_wanted(&mut self, now: Instant, need: Need, used: usize) {
        if self.idle_for(Some(need), used) > 0 && self.pressed < Some(need) {
            self.pressed = Some(need);
            self.soon(now);
        }
        self.owes |= self.is_owed(Some(need), used);
    }

    /// Whether whoever needs slots so badly is owed one of those in use.
    fn is_owed(&self, need: Option<Need>, used: usize) -> bool {
        let share = self.max.unwrap_or(0) / (self.others.len() + 1);
        need == Some(Need::Now) && used >= self.slots && self.slots > share.max(1)
    }

    /// Slots have come free.
    pub(super) fn is_free(&mut self, now: Instant, used: usize) {
        if self.may_grow() && self.need(now, used) > Need::None {
            self.soon(now);
        }
    }

    /// What is to be said now. From here on no more may be in use than is left if it is heard.
    pub(super) fn renew(
        &mut self,
        now: Instant,
        timing: &Timing,
        name: &str,
        (incarnation, number): (i64, u64),
        used: usize,
        sessions: &Sessions,
    ) -> Renewal {
        let back = timing.looks_back();
        let judged = self.judge(now, timing, sessions);
        let mut pressed = self.pressed.take().max(self.ledger.wanted_by_others(name));
        let owes = self.owes && used < self.slots;
        if owes {
            (self.owes, pressed) = (false, Some(Need::Now));
        }
        // While nothing is confirmed, a run before this one may have left slots.
        let first = self.confirmed.is_none();
        self.due = now + timing.renew;
        let Some(max) = self.max else {
            (self.slots, self.told) = (0, 0);
            let (keep, told, target, need) = (0, 0, 0, Need::None);
            return Renewal { incarnation, number, max: None, keep, told, target, need, judged };
        };
        let share = (max / self.ledger.others(name).count().saturating_add(1)).max(1);
        let comfort = used + (used / 2).max(1);
        let desired = share.max(comfort).min(max);
        let is_over = self.ledger.held() > self.ledger.max().min(max);
        let keep = match pressed {
            _ if first => desired,
            _ if is_over => used,
            Some(Need::Now | Need::Soon) => self.slots - self.idle_for(pressed, used),
            Some(Need::None) => self.slots.min(desired),
            // What is a little too much is kept, so that not every call changes something.
            None if self.slots > desired + desired.div_ceil(4) => desired,
            None => self.slots,
        };
        let keep = keep.max(used);
        let need = self.need(now, used);
        let gives = is_over || owes || pressed.is_some_and(|pressed| pressed > need);
        let target = if gives { keep } else { desired.max(keep).min(max) };
        let growth = match self.ceiling {
            Ceiling::Calls => used + self.recent.count(now, back),
            Ceiling::CallsPerSecond => used.max(self.recent.peak(now, back)),
        };
        // One call may begin at any time, if that is not half of all there is.
        let told = growth.max(usize::from(target > 1)).min(target.max(used));
        self.asked = need;
        if !first && !flaw::GivesBackLate.is_there() {
            (self.slots, self.told) = (self.slots.min(keep), self.told.min(told).min(keep));
        }
        Renewal { incarnation, number, max: Some(max), keep, told, target, need, judged }
    }

    fn judge(&self, now: Instant, timing: &Timing, sessions: &Sessions) -> Vec<Judged> {
        if flaw::NeverFindsDead.is_there() {
            return Vec::new();
        }
        let of = |(name, seen): (&String, &Seen)| {
            let silent = now.since(seen.since);
            let is_over = |time| silent >= Timing::for_certain(time);
            let ended = sessions.gone_since(seen.incarnation).is_some_and(|gone| {
                let renewed = seen.after.is_some_and(|after| gone.since(after) < timing.lease);
                now.since(gone) >= timing.gone && (renewed || flaw::TrustsLateEnd.is_there())
            });
            let dead = ended || timing.presumed_dead.is_some_and(is_over);
            let fate = match dead {
                true => Fate::Dead,
                false if is_over(timing.lease) => Fate::Late,
                false => return None,
            };
            let (incarnation, renewal) = (seen.incarnation, seen.renewal);
            Some(Judged { name: name.clone(), incarnation, renewal, fate })
        };
        self.others.iter().filter_map(of).collect()
    }

    /// The ledger is as it is here since a moment after `sent`, when the renewal left that `holding` says.
    pub(super) fn confirm(
        &mut self,
        now: Instant,
        sent: Instant,
        name: &str,
        ledger: Ledger,
        used: usize,
    ) {
        let Holding { slots, told, wants, .. } =
            ledger.holders.get(name).cloned().unwrap_or_default();
        (self.slots, self.told) = (slots, told);
        self.inherited = if used > slots { self.inherited.min(used) } else { 0 };
        let looked = self.confirmed.replace(sent);
        if wants == 0 {
            self.refused = None;
            self.asked = Need::None;
        }
        let before = std::mem::take(&mut self.others);
        for (other, holding) in ledger.others(name) {
            let (incarnation, renewal) = (holding.incarnation, holding.renewal);
            let same = before.get(other).copied();
            let same =
                same.filter(|seen| (seen.incarnation, seen.renewal) == (incarnation, renewal));
            let new = Seen { incarnation, renewal, since: now, after: looked };
            let seen = same.unwrap_or(new);
            self.others.insert(other.clone(), seen);
        }
        self.ledger = ledger;
        let pressed = self.ledger.wanted_by_others(name);
        if pressed > Some(Need::None) && self.idle_for(pressed, used) > 0
            || self.ledger.held() > self.ledger.max() && self.slots > used
        {
            self.soon(now);
        }
        self.owes = self.is_owed(pressed, used);
        if used > self.told && self.told < self.slots {
            self.soon(now);
        }
    }

    /// How many idle slots another gets that wants them so badly.
    fn idle_for(&self, pressed: Option<Need>, used: usize) -> usize {
        let idle = self.slots.saturating_sub(used);
        match pressed {
            _ if flaw::GivesNothing.is_there() => 0,
            Some(Need::Now) => idle.div_ceil(2),
            Some(Need::Soon) => idle / 2,
            _ => 0,
        }
    }

    /// Another run of this switch has all of it.
    pub(super) fn supersede(&mut self) {
        (self.slots, self.told, self.confirmed, self.owes) = (0, 0, None, false);
    }

    /// Whether another may be dead, and is known to be before long.
    pub(super) fn waits_for_death(&self, sessions: &Sessions) -> bool {
        self.others.values().any(|seen| sessions.gone_since(seen.incarnation).is_some())
    }

    pub(super) fn share(&self, now: Instant, timing: &Timing, name: &str) -> Share {
        Share {
            bound: self.bound(now, timing),
            switches: self.ledger.others(name).count() + 1,
            elsewhere: self.ledger.held_by_others(name),
            told_elsewhere: self.ledger.others(name).map(|(_, holding)| holding.told).sum(),
            max: self.ledger.max(),
            age: self.confirmed.map(|confirmed| now.since(confirmed)),
        }
    }
}
