//! What all switches together know of one limit: who holds how many of its slots. One such ledger for each limit
//! lies in the database, as a text with a version, and a switch changes it by one statement that has no effect
//! where somebody else was first (compare and set). All that a change means is here, and has no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::flaw;

/// How badly a switch wants more slots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Need {
    /// It would take some if nobody else did.
    #[default]
    None,
    /// Most of what it has is in use.
    Soon,
    /// It has refused a call.
    Now,
}

/// What one switch holds of a limit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Holding {
    /// Which run of the switch; later ones have greater numbers.
    pub(crate) incarnation: i64,
    /// The number of its last renewal, which grows within a run. The lease has no time here: who wants to know
    /// whether it is over looks at whether this still grows.
    pub(crate) renewal: u64,
    /// The limit as this switch is configured; the least of all counts.
    pub(crate) max: usize,
    /// Slots that are its own as long as it renews.
    pub(crate) slots: usize,
    /// Of these, so many stay its own when it does not: it has no more calls than that then.
    pub(crate) told: usize,
    /// How many more it would like.
    #[serde(default)]
    pub(crate) wants: usize,
    /// How badly.
    #[serde(default)]
    pub(crate) need: Need,
}

/// What a switch has found out about another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Its lease is over: what it has not told is free.
    Late,
    /// It has no calls any more.
    Dead,
}

/// Such a finding. It is of no account if the other has renewed meanwhile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Judged {
    /// The other's name.
    pub(crate) name: String,
    /// Its run.
    pub(crate) incarnation: i64,
    /// Its last renewal that was seen.
    pub(crate) renewal: u64,
    /// What has become of it.
    pub(crate) fate: Fate,
}

/// What a switch says of itself under one limit. It says what is to be, and not what is to change: so it may be
/// said twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Renewal {
    /// Which run of the switch.
    pub(crate) incarnation: i64,
    /// Its number; each is greater than the one before.
    pub(crate) number: u64,
    /// The limit as it is configured; `None`: the switch has it no more, and gives back what it holds.
    pub(crate) max: Option<usize>,
    /// Of the slots that it has it gives back all above this many.
    pub(crate) keep: usize,
    /// How many it will not give back by being silent, if it has so many.
    pub(crate) told: usize,
    /// How many it would like to have.
    pub(crate) target: usize,
    /// How badly, where that is more than it has.
    pub(crate) need: Need,
    /// What it has found out about others.
    pub(crate) judged: Vec<Judged>,
}

/// Why a renewal is not to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outdated {
    /// A later run of the switch has taken over.
    Superseded,
    /// A later renewal of this run is there already.
    Overtaken,
}

/// What switches tell each other when a ledger has changed, so that nobody has to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    /// A switch wants slots, so badly, and none are free.
    Wanted(Need),
    /// Slots are free that somebody waits for.
    Freed,
}

/// Who holds slots of one limit, by name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ledger {
    /// By the names of switches.
    pub(crate) holders: BTreeMap<String, Holding>,
}

impl Ledger {
    /// The limit that is in force: the least that any of them is configured with.
    #[must_use]
    pub(crate) fn max(&self) -> usize {
        self.holders.values().map(|holding| holding.max).min().unwrap_or(0)
    }

    /// Slots that have an owner.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.holders.values().map(|holding| holding.slots).sum()
    }

    /// Slots that others than `name` hold.
    #[must_use]
    pub(crate) fn held_by_others(&self, name: &str) -> usize {
        self.others(name).map(|(_, holding)| holding.slots).sum()
    }

    /// All but `name`.
    pub(crate) fn others<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Holding)> {
        self.holders.iter().filter(move |(other, _)| *other != name)
    }

    /// How badly anybody but `name` wants slots that it did not get.
    #[must_use]
    pub(crate) fn wanted_by_others(&self, name: &str) -> Option<Need> {
        let wanting = self.others(name).filter(|(_, holding)| holding.wants > 0);
        wanting.map(|(_, holding)| holding.need).max()
    }

    /// Slots that nobody holds.
    #[must_use]
    pub(crate) fn free(&self) -> usize {
        self.max().saturating_sub(self.held())
    }

    /// What the others should hear once `name` has changed a ledger in which so many slots were free `before`. A
    /// switch that gives slots to those who come before it may want some itself.
    pub(crate) fn news(&self, name: &str, before: usize) -> impl Iterator<Item = News> + use<> {
        let mine = self.holders.get(name).filter(|mine| mine.wants > 0 && mine.need > Need::None);
        let waits = self.wanted_by_others(name) > Some(Need::None);
        let is_freed = self.free() > if mine.is_some() { before } else { 0 };
        let freed = (waits && is_freed).then_some(News::Freed);
        mine.map(|mine| News::Wanted(mine.need)).into_iter().chain(freed)
    }

    /// Writes down what a switch says. It gets what it would like as far as that is free, and as far as nobody
    /// else needs it more.
    ///
    /// # Errors
    /// It is outdated, and nothing has changed.
    pub(crate) fn renew(&mut self, name: &str, renewal: &Renewal) -> Result<(), Outdated> {
        let before = self.holders.get(name);
        if let Some(before) = before {
            if before.incarnation > renewal.incarnation {
                return Err(Outdated::Superseded);
            }
            if before.incarnation == renewal.incarnation && before.renewal >= renewal.number {
                return Err(Outdated::Overtaken);
            }
        }
        // A run takes over what the one before it had.
        let kept = before.map_or(0, |before| before.slots).min(renewal.keep);
        for judged in &renewal.judged {
            self.judge(name, judged);
        }
        let Some(max) = renewal.max else {
            self.holders.remove(name);
            return Ok(());
        };
        let mine = Holding {
            incarnation: renewal.incarnation,
            renewal: renewal.number,
            max,
            slots: kept,
            ..Holding::default()
        };
        self.holders.insert(name.into(), mine);
        let wants = renewal.target.saturating_sub(kept);
        // Where all refuse calls, those come first that have less than an even part.
        let share = self.max() / self.holders.len().max(1);
        let has_its_part = kept >= share;
        let first = self.others(name).filter(|(_, holding)| {
            let refuses = holding.need == Need::Now && renewal.need == Need::Now;
            holding.need > renewal.need || refuses && has_its_part && holding.slots < share
        });
        let first: usize = first.map(|(_, holding)| holding.wants).sum();
        let granted = wants.min(self.free().saturating_sub(first));
        if let Some(mine) = self.holders.get_mut(name) {
            mine.slots += granted;
            mine.told = renewal.told.min(mine.slots);
            mine.wants = wants - granted;
            mine.need = if mine.wants > 0 { renewal.need } else { Need::None };
        }
        Ok(())
    }

    fn judge(&mut self, judge: &str, judged: &Judged) {
        let Judged { name, incarnation, renewal, fate } = judged;
        let Some(other) = self.holders.get_mut(name) else { return };
        let is_seen = (other.incarnation, other.renewal) == (*incarnation, *renewal);
        if name == judge || !is_seen && !flaw::JudgesUnseen.is_there() {
            return;
        }
        other.slots = other.told.min(other.slots);
        (other.wants, other.need) = (0, Need::None);
        if *fate == Fate::Dead || other.slots == 0 {
            self.holders.remove(name);
        }
    }

    /// A switch has no calls any more of this run and those before it; whether it held anything. What a limit that
    /// it was not configured with since has is of an earlier one.
    pub(crate) fn forget(&mut self, name: &str, run: i64) -> bool {
        let found = self.holders.get(name).is_some_and(|held| held.incarnation <= run);
        found && self.holders.remove(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewal(number: u64, keep: usize, told: usize, target: usize) -> Renewal {
        let (max, need) = (Some(10), Need::None);
        Renewal { incarnation: 1, number, max, keep, told, target, need, judged: Vec::new() }
    }

    fn slots(ledger: &Ledger) -> Vec<(&str, usize, usize)> {
        let holders = ledger.holders.iter();
        holders.map(|(name, holding)| (name.as_str(), holding.slots, holding.told)).collect()
    }

    #[test]
    fn what_is_free_is_granted_and_no_more() {
        let mut ledger = Ledger::default();
        ledger.renew("a", &renewal(1, 0, 2, 7)).unwrap();
        ledger.renew("b", &renewal(1, 0, 9, 9)).unwrap();
        assert_eq!(slots(&ledger), [("a", 7, 2), ("b", 3, 3)]);
        assert_eq!((ledger.holders["b"].wants, ledger.free()), (6, 0));
        ledger.renew("a", &renewal(2, 4, 2, 4)).unwrap();
        ledger.renew("b", &renewal(2, 3, 1, 9)).unwrap();
        assert_eq!(slots(&ledger), [("a", 4, 2), ("b", 6, 1)]);
    }

    #[test]
    fn who_needs_slots_more_gets_them_first() {
        let mut ledger = Ledger::default();
        ledger.renew("a", &renewal(1, 0, 0, 10)).unwrap();
        ledger.renew("b", &Renewal { need: Need::Now, ..renewal(1, 0, 0, 4) }).unwrap();
        assert_eq!(ledger.wanted_by_others("a"), Some(Need::Now));
        ledger.renew("a", &renewal(2, 6, 0, 6)).unwrap();
        ledger.renew("c", &renewal(1, 0, 0, 3)).unwrap();
        assert_eq!(slots(&ledger), [("a", 6, 0), ("b", 0, 0), ("c", 0, 0)]);
        ledger.renew("b", &Renewal { need: Need::Now, ..renewal(2, 0, 0, 4) }).unwrap();
        assert_eq!(ledger.holders["b"].slots, 4);
    }

    #[test]
    fn whoever_gives_a_slot_and_wants_more_says_both_and_what_was_free_before_only_once() {
        let mut ledger = Ledger::default();
        let now =
            |number, keep, target| Renewal { need: Need::Now, ..renewal(number, keep, 0, target) };
        ledger.renew("a", &now(1, 0, 6)).unwrap();
        ledger.renew("b", &now(1, 0, 7)).unwrap();
        assert_eq!(slots(&ledger), [("a", 6, 0), ("b", 4, 0)]);
        // It has more than an even part, and its idle slot is for the other.
        ledger.renew("a", &now(2, 5, 8)).unwrap();
        assert_eq!((slots(&ledger), ledger.free()), (vec![("a", 5, 0), ("b", 4, 0)], 1));
        assert!(ledger.news("a", 0).eq([News::Wanted(Need::Now), News::Freed]));
        ledger.renew("a", &now(3, 5, 8)).unwrap();
        assert!(ledger.news("a", 1).eq([News::Wanted(Need::Now)]), "all know of that one");
        ledger.renew("b", &now(2, 4, 7)).unwrap();
        assert_eq!(slots(&ledger), [("a", 5, 0), ("b", 5, 0)]);
    }

    #[test]
    fn a_late_switch_keeps_what_it_has_told_and_a_dead_one_nothing_unless_it_has_renewed() {
        let mut ledger = Ledger::default();
        ledger.renew("a", &renewal(1, 0, 3, 7)).unwrap();
        let judged = |renewal, fate| Judged { name: "a".into(), incarnation: 1, renewal, fate };
        let judges =
            |judged: Judged, number| Renewal { judged: vec![judged], ..renewal(number, 9, 0, 9) };
        ledger.renew("b", &judges(judged(0, Fate::Late), 1)).unwrap();
        assert_eq!(slots(&ledger), [("a", 7, 3), ("b", 3, 0)], "it has renewed");
        ledger.renew("b", &judges(judged(1, Fate::Late), 2)).unwrap();
        assert_eq!(slots(&ledger), [("a", 3, 3), ("b", 7, 0)]);
        ledger.renew("b", &judges(judged(1, Fate::Dead), 3)).unwrap();
        assert_eq!(slots(&ledger), [("b", 9, 0)]);
    }

    #[test]
    fn the_least_limit_counts_and_a_lowered_one_takes_nothing_away() {
        let mut ledger = Ledger::default();
        ledger.renew("a", &renewal(1, 0, 5, 5)).unwrap();
        ledger.renew("b", &Renewal { max: Some(6), ..renewal(1, 0, 5, 5) }).unwrap();
        assert_eq!((slots(&ledger), ledger.max()), (vec![("a", 5, 5), ("b", 1, 1)], 6));
        ledger.renew("b", &Renewal { max: Some(2), ..renewal(2, 5, 1, 5) }).unwrap();
        assert_eq!((ledger.held(), ledger.free()), (6, 0));
        ledger.renew("b", &Renewal { max: None, ..renewal(3, 0, 0, 0) }).unwrap();
        assert_eq!((slots(&ledger), ledger.max()), (vec![("a", 5, 5)], 10));
    }

    #[test]
    fn a_later_run_takes_over_and_an_earlier_one_changes_nothing() {
        let mut ledger = Ledger::default();
        ledger.renew("a", &renewal(7, 0, 5, 5)).unwrap();
        assert_eq!(ledger.renew("a", &renewal(7, 0, 0, 0)), Err(Outdated::Overtaken));
        ledger.renew("a", &Renewal { incarnation: 2, ..renewal(1, 4, 1, 4) }).unwrap();
        assert_eq!(ledger.renew("a", &renewal(8, 9, 9, 9)), Err(Outdated::Superseded));
        assert_eq!(slots(&ledger), [("a", 4, 1)]);
    }

    #[test]
    fn a_switch_is_forgotten_with_what_its_earlier_runs_hold_and_not_with_what_a_later_one_does() {
        let mut ledger = Ledger::default();
        ledger.renew("a", &renewal(1, 0, 5, 5)).unwrap();
        assert!(!ledger.clone().forget("a", 0), "a later run has it");
        assert!(ledger.clone().forget("a", 1));
        assert!(ledger.forget("a", 2), "the limit was not there any more in run 2");
        assert_eq!(slots(&ledger), []);
        assert!(!ledger.forget("a", 2));
    }

    #[test]
    fn it_is_read_as_it_was_written_and_what_a_later_version_adds_is_left_out() {
        let mut ledger = Ledger::default();
        ledger.renew("a", &renewal(1, 0, 2, 7)).unwrap();
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
        let later = text.replace("\"max\"", "\"more\":1,\"max\"");
        assert_eq!(serde_json::from_str::<Ledger>(&later).unwrap(), ledger);
    }
}
