//! What became of registrations in a fleet of switches, in the one true time that none of them knows, and what each
//! look-up may say of it. The checks know nothing of how the switches do it: they are docs/cluster.md in other words.
//!
//! Each operation has a moment at which it is asked for and one at which it is answered; in between it may have been
//! done at any moment, and a look-up at the same time may see either. One whose switch has died before the answer
//! may have been done, then or once that switch is back, or not at all. Since a binding says which registrations it may be
//! of, no order of all operations has to be searched for: each look-up is judged by itself.

use std::collections::BTreeMap;

/// µs of the true time.
pub(super) type Time = u64;

pub(super) const SECOND: Time = 1_000_000;

/// How long a newer registration takes to switches that have the database.
const HEARD: Time = SECOND;

/// How long a switch that is back, or begins, takes until it knows all that was written, and has written what it kept.
const SETTLES: Time = 20 * SECOND;

/// How much longer than was granted a registration holds.
pub(super) const GRACE: Time = 10 * SECOND;

/// The longest time that a registration is granted for.
pub(super) const LONGEST: Time = 120 * SECOND;

/// How much clocks differ, in a million.
pub(super) const DRIFT: Time = 500;

/// Of two registrations that are apart by less either may count as the later: what waits on a disk grows old by
/// the clock of its switch, for as long as it was granted.
const CLOSE: Time = 2_000 + 2 * (LONGEST + GRACE) * DRIFT / 1_000_000;

/// Where a phone is reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Binding {
    pub(super) switch: usize,
    /// Its port there.
    pub(super) port: u16,
}

/// What a phone wants of a switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// To be registered there, for so long.
    Register(Binding, Time),
    /// To be so no more.
    Leave { switch: usize },
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Nothing yet.
    Open,
    Acknowledged(Time),
    /// Its switch has died.
    Cut(Time),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Operation {
    pub(super) phone: usize,
    pub(super) wish: Wish,
    pub(super) asked: Time,
    pub(super) end: End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LookUp {
    pub(super) phone: usize,
    /// At which switch.
    pub(super) at: usize,
    pub(super) asked: Time,
    pub(super) answered: Time,
    pub(super) found: Option<Binding>,
}

/// What is wrong with a look-up; the worse it is the sooner it comes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Wrong {
    /// Nobody has registered so.
    Invented,
    /// That was not acknowledged.
    Unacknowledged,
    /// That has expired.
    Expired,
    /// It has left there.
    Left,
    /// It has registered elsewhere since.
    Superseded,
    /// It is registered, and was not found, or not there.
    NotFound,
    /// It was found elsewhere before, and has not moved since.
    Disagreed,
}

/// How a history looked, for tests that want to know that it was worth looking at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    pub(super) operations: usize,
    /// Operations whose switch has died meanwhile.
    pub(super) cut: usize,
    pub(super) look_ups: usize,
    pub(super) found: usize,
    /// Look-ups that had to find somebody.
    pub(super) due: usize,
    /// Look-ups that found somebody who had registered elsewhere, as may be while switches are cut off.
    pub(super) stale: usize,
}

pub(super) struct History {
    pub(super) operations: Vec<Operation>,
    pub(super) look_ups: Vec<LookUp>,
    /// When each switch did not run or was without the database, from and until, in order.
    pub(super) away: Vec<Vec<(Time, Option<Time>)>>,
}

impl History {
    /// Of so many switches, none of which is there yet.
    pub(super) fn new(switches: usize) -> Self {
        let away = vec![vec![(0, Some(0))]; switches];
        Self { operations: Vec::new(), look_ups: Vec::new(), away }
    }

    /// A switch is there and has the database from now on, or is not.
    pub(super) fn mark(&mut self, now: Time, switch: usize, is_away: bool) {
        let away = &mut self.away[switch];
        match away.last_mut() {
            Some((_, until)) if until.is_none() && !is_away => *until = Some(now),
            Some((_, Some(_))) if is_away => away.push((now, None)),
            _ => {}
        }
    }

    /// All look-ups are as they may be.
    ///
    /// # Errors
    /// Which is not, and why.
    pub(super) fn check(&self) -> Result<Seen, String> {
        let cut = self.operations.iter().filter(|one| matches!(one.end, End::Cut(_))).count();
        let mut seen = Seen { operations: self.operations.len(), cut, ..Seen::default() };
        let mut agreed: BTreeMap<(usize, Time), Binding> = BTreeMap::new();
        for look_up in &self.look_ups {
            let of_phone: Vec<&Operation> =
                self.operations.iter().filter(|one| one.phone == look_up.phone).collect();
            let judged = self.judge(&of_phone, look_up, &mut seen);
            judged.and_then(|()| self.agree(&of_phone, look_up, &mut agreed)).map_err(|wrong| {
                let context = of_phone.iter().map(|one| format!("{one:?}\n"));
                let away = &self.away;
                format!(
                    "{wrong:?}: {look_up:?} after\n{}away: {away:?}",
                    context.collect::<String>()
                )
            })?;
        }
        Ok(seen)
    }

    fn judge(&self, all: &[&Operation], look_up: &LookUp, seen: &mut Seen) -> Result<(), Wrong> {
        seen.look_ups += 1;
        if let Some(found) = look_up.found {
            seen.found += 1;
            let of = |one: &&&Operation| {
                matches!(one.wish, Wish::Register(there, _) if there == found)
                    && one.asked < look_up.answered
            };
            // Of several registrations at the same place one is enough.
            let verdicts = all.iter().filter(of).map(|one| self.stands(all, one, look_up));
            verdicts
                .max_by_key(|verdict| verdict.err().map_or(u8::MAX, |wrong| wrong as u8))
                .unwrap_or(Err(Wrong::Invented))?;
        }
        let Some(due) = self.due(all, look_up) else {
            let before =
                |one: &&&Operation| matches!(one.end, End::Acknowledged(at) if at < look_up.asked);
            let newest = all.iter().rev().find(before);
            let newest = newest.and_then(|one| one.wish.binding());
            seen.stale += usize::from(look_up.found.is_some() && newest != look_up.found);
            return Ok(());
        };
        seen.due += 1;
        if look_up.found == Some(due) { Ok(()) } else { Err(Wrong::NotFound) }
    }

    /// Whether this registration may be what a look-up has found.
    fn stands(&self, all: &[&Operation], one: &Operation, look_up: &LookUp) -> Result<(), Wrong> {
        let Wish::Register(binding, granted) = one.wish else { return Err(Wrong::Invented) };
        let over = match one.end {
            End::Acknowledged(at) | End::Cut(at) if at <= look_up.answered => at,
            _ => return Err(Wrong::Unacknowledged),
        };
        let holds = (granted + GRACE) * (1_000_000 + DRIFT) / 1_000_000 + 2_000;
        if look_up.asked > over + holds {
            return Err(Wrong::Expired);
        }
        for later in all {
            let End::Acknowledged(acknowledged) = later.end else { continue };
            match later.wish {
                Wish::Leave { switch }
                    if switch == binding.switch
                        && later.asked > over
                        && look_up.asked > acknowledged =>
                {
                    return Err(Wrong::Left);
                }
                Wish::Register(there, _) if there != binding && later.asked > over + CLOSE => {
                    let known = match there.switch == binding.switch {
                        true => Some(acknowledged),
                        false => self.known(
                            later.asked,
                            acknowledged,
                            there.switch,
                            &[binding.switch, look_up.at],
                        ),
                    };
                    if known.is_some_and(|known| look_up.asked > known) {
                        return Err(Wrong::Superseded);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// When a registration at `switch` must be known to one of `others` at the latest; `None`: not yet.
    fn known(
        &self,
        asked: Time,
        acknowledged: Time,
        switch: usize,
        others: &[usize],
    ) -> Option<Time> {
        // It is written at once, or once the switch has the database again.
        let written = match self.settled(switch, asked) {
            Some((from, until)) if from == asked && acknowledged < until => acknowledged,
            _ => self.settled(switch, acknowledged)?.0,
        };
        others.iter().filter_map(|other| self.hears(*other, written)).min()
    }

    /// When a switch knows at the latest what was written then.
    fn hears(&self, switch: usize, written: Time) -> Option<Time> {
        let mut from = written;
        loop {
            let (settled, until) = self.settled(switch, from)?;
            if settled + HEARD < until {
                return Some(settled + HEARD);
            }
            from = until;
        }
    }

    /// The first moment from `from` on at which a switch is there, has the database, and knows what is in it; and until
    /// when.
    fn settled(&self, switch: usize, from: Time) -> Option<(Time, Time)> {
        let away = &self.away[switch];
        let ends = away.iter().skip(1).map(|(begun, _)| *begun).chain([Time::MAX]);
        let there = away.iter().zip(ends).filter_map(|((_, until), end)| Some(((*until)?, end)));
        let mut settled = there.map(|(back, end)| ((back + SETTLES).max(from), end));
        settled.find(|(settled, end)| settled < end)
    }

    /// Look-ups find the same, once all switches have the database and nothing is asked for any more; whatever that is,
    /// where two registrations were asked for at the same time.
    fn agree(
        &self,
        all: &[&Operation],
        look_up: &LookUp,
        agreed: &mut BTreeMap<(usize, Time), Binding>,
    ) -> Result<(), Wrong> {
        let (Some(found), Some(last)) = (look_up.found, self.still(all, look_up)) else {
            return Ok(());
        };
        let before = *agreed.entry((look_up.phone, last)).or_insert(found);
        if before == found { Ok(()) } else { Err(Wrong::Disagreed) }
    }

    /// When the last operation of a phone ended, if all has been still since.
    fn still(&self, all: &[&Operation], look_up: &LookUp) -> Option<Time> {
        let mut last = 0;
        for one in all.iter().filter(|one| one.asked <= look_up.answered) {
            match one.end {
                End::Acknowledged(at) | End::Cut(at) if at <= look_up.asked => last = last.max(at),
                _ => return None,
            }
        }
        let is_there = |switch: usize| {
            let settled = self.settled(switch, look_up.asked);
            settled.is_some_and(|(from, until)| from == look_up.asked && look_up.answered < until)
        };
        let are_there = (0..self.away.len()).all(is_there);
        (are_there && last + HEARD < look_up.asked).then_some(last)
    }

    /// What a look-up has to find, if it has to: the phone has registered last of all at a switch that has the database
    /// all the time, as has the one that is asked.
    fn due(&self, all: &[&Operation], look_up: &LookUp) -> Option<Binding> {
        let registered =
            |one: &&&Operation| matches!(one.wish, Wish::Register(..)) && one.asked < look_up.asked;
        let last = all.iter().filter(registered).max_by_key(|one| one.asked)?;
        let Wish::Register(binding, granted) = last.wish else { return None };
        let End::Acknowledged(acknowledged) = last.end else { return None };
        let until = acknowledged + granted * (1_000_000 - DRIFT) / 1_000_000;
        let is_last = all.iter().filter(|other| **other != *last).all(|other| match other.end {
            End::Open => false,
            End::Acknowledged(at) | End::Cut(at) => at + CLOSE < last.asked,
        });
        let is_there = |switch: usize| {
            self.settled(switch, last.asked)
                .is_some_and(|(from, until)| from == last.asked && look_up.answered < until)
        };
        let is_due = is_last
            && acknowledged + HEARD < look_up.asked
            && look_up.answered < until
            && is_there(binding.switch)
            && is_there(look_up.at);
        is_due.then_some(binding)
    }
}

impl Wish {
    fn binding(self) -> Option<Binding> {
        match self {
            Self::Register(binding, _) => Some(binding),
            Self::Leave { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Binding = Binding { switch: 0, port: 1 };
    const THERE: Binding = Binding { switch: 1, port: 2 };

    fn operation(wish: Wish, asked: Time, end: End) -> Operation {
        Operation { phone: 0, wish, asked: asked * SECOND, end }
    }

    fn comes(binding: Binding, asked: Time) -> Operation {
        let end = End::Acknowledged((asked + 1) * SECOND);
        operation(Wish::Register(binding, 60 * SECOND), asked, end)
    }

    /// What is wrong if this is found at switch 2, a tenth of a second behind that second.
    fn found(history: &History, at: Time, found: Option<Binding>) -> Option<Wrong> {
        let asked = at * SECOND + SECOND / 10;
        let look_up = LookUp { phone: 0, at: 2, asked, answered: asked + 1, found };
        let all: Vec<&Operation> = history.operations.iter().collect();
        history.judge(&all, &look_up, &mut Seen::default()).err()
    }

    /// After these operations, of three switches that are there from the beginning.
    fn after(operations: &[Operation]) -> History {
        History { operations: operations.to_vec(), ..History::new(3) }
    }

    #[test]
    fn nobody_is_found_who_was_not_acknowledged() {
        let mut history = after(&[comes(HERE, 30)]);
        assert_eq!(found(&history, 30, Some(HERE)), Some(Wrong::Unacknowledged));
        assert_eq!(found(&history, 31, Some(HERE)), None);
        assert_eq!(found(&history, 31, Some(THERE)), Some(Wrong::Invented));
        // Its switch has died: it may have been done, or not.
        history.operations[0].end = End::Cut(31 * SECOND);
        assert_eq!(found(&history, 60, Some(HERE)), None);
        assert_eq!(found(&history, 60, None), None);
    }

    #[test]
    fn nobody_is_found_ten_seconds_behind_what_was_granted() {
        let mut history = after(&[comes(HERE, 30)]);
        assert_eq!(found(&history, 100, Some(HERE)), None);
        assert_eq!(found(&history, 102, Some(HERE)), Some(Wrong::Expired));
        history.operations.push(comes(HERE, 80));
        assert_eq!(found(&history, 102, Some(HERE)), None);
    }

    #[test]
    fn nobody_is_found_where_it_has_left() {
        let leaves = |switch| operation(Wish::Leave { switch }, 40, End::Acknowledged(41 * SECOND));
        assert_eq!(found(&after(&[comes(HERE, 30), leaves(0)]), 40, Some(HERE)), None);
        let left = found(&after(&[comes(HERE, 30), leaves(0)]), 41, Some(HERE));
        assert_eq!(left, Some(Wrong::Left));
        assert_eq!(found(&after(&[comes(HERE, 30), leaves(1)]), 41, Some(HERE)), None);
        let again = [comes(HERE, 30), leaves(0), comes(HERE, 50)];
        assert_eq!(found(&after(&again), 51, Some(HERE)), None);
    }

    #[test]
    fn nobody_is_found_a_second_after_it_has_registered_elsewhere() {
        let history = after(&[comes(HERE, 30), comes(THERE, 40)]);
        assert_eq!(found(&history, 41, Some(HERE)), None);
        assert_eq!(found(&history, 42, Some(HERE)), Some(Wrong::Superseded));
        assert_eq!(found(&history, 42, Some(THERE)), None);
    }

    #[test]
    fn who_has_registered_elsewhere_may_be_found_while_those_who_could_know_are_away() {
        let moved = [comes(HERE, 30), comes(THERE, 40)];
        let mut history = after(&moved);
        // The newer one is not in the database before second 70.
        history.mark(35 * SECOND, 1, true);
        history.mark(50 * SECOND, 1, false);
        assert_eq!(found(&history, 70, Some(HERE)), None);
        assert_eq!(found(&history, 71, Some(HERE)), Some(Wrong::Superseded));
        // It is, and neither who had it nor who is asked has heard of it.
        let mut history = after(&moved);
        history.mark(35 * SECOND, 0, true);
        assert_eq!(found(&history, 60, Some(HERE)), Some(Wrong::Superseded), "who is asked knows");
        history.mark(35 * SECOND, 2, true);
        assert_eq!(found(&history, 60, Some(HERE)), None);
        history.mark(50 * SECOND, 0, false);
        assert_eq!(found(&history, 70, Some(HERE)), None);
        assert_eq!(found(&history, 71, Some(HERE)), Some(Wrong::Superseded));
    }

    #[test]
    fn all_switches_find_the_same_where_two_registrations_were_asked_for_at_the_same_time() {
        let history = after(&[comes(HERE, 30), comes(THERE, 30)]);
        let all: Vec<&Operation> = history.operations.iter().collect();
        let mut agreed = BTreeMap::new();
        let mut agrees = |at: Time, found| {
            let (asked, found) = (at * SECOND, Some(found));
            let look_up = LookUp { phone: 0, at: 2, asked, answered: asked, found };
            history.agree(&all, &look_up, &mut agreed).err()
        };
        assert_eq!((agrees(31, THERE), agrees(32, HERE)), (None, None), "not yet");
        assert_eq!((agrees(34, THERE), agrees(35, THERE)), (None, None));
        assert_eq!(agrees(36, HERE), Some(Wrong::Disagreed));
    }

    #[test]
    fn who_is_registered_is_found_at_every_switch_that_has_the_database() {
        let mut history = after(&[comes(HERE, 30)]);
        assert_eq!(found(&history, 32, None), Some(Wrong::NotFound));
        assert_eq!(found(&history, 31, None), None, "too soon");
        assert_eq!(found(&history, 92, None), None, "too late");
        history.mark(31 * SECOND, 2, true);
        assert_eq!(found(&history, 32, None), None, "away");
    }
}
