//! What happened in a fleet of switches, in the order of the one true time that none of them knows, and what must
//! hold of it. The checks know nothing of how the switches do it.

use std::collections::{BTreeMap, VecDeque};

/// µs of the true time.
pub(super) type Time = u64;

/// What happened at a switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fact {
    /// A call began under a limit.
    Began { limit: usize, call: u64 },
    /// It ended.
    Ended { limit: usize, call: u64 },
    /// A call began under a limit of calls per second.
    Counted { limit: usize },
    /// Its process ended, and all its calls with it.
    Killed,
    /// Its process stands still. Of its calls only as many count as it has told of: it ends the others before it
    /// does anything else.
    Paused { told: Vec<usize> },
    /// It goes on.
    Resumed,
}

/// Limits, facts, and the time of each.
#[derive(Default)]
pub(super) struct History {
    facts: Vec<(Time, usize, Fact)>,
    /// What may be at most, by limit, from a time on.
    limits: Vec<(Time, usize, usize)>,
}

/// How a history looked, for tests that want to know that it was worth looking at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    /// Calls that began.
    pub(super) calls: usize,
    /// How often a limit was reached to its last slot.
    pub(super) full: usize,
}

/// A second, by the slowest clock of all: who counts beginnings by a fast one has shorter ones.
const SECOND: Time = 930_000;

impl History {
    pub(super) fn note(&mut self, at: Time, switch: usize, fact: Fact) {
        self.facts.push((at, switch, fact));
    }

    pub(super) fn limit(&mut self, at: Time, limit: usize, max: usize) {
        self.limits.push((at, limit, max));
    }

    /// What may be at most.
    pub(super) fn max(&self, at: Time, limit: usize) -> usize {
        let mut known = self.limits.iter().filter(|(from, of, _)| *of == limit && *from <= at);
        known.next_back().map_or(0, |(.., max)| *max)
    }

    /// No limit is ever passed.
    ///
    /// # Errors
    /// When, where, and by how much.
    pub(super) fn check_limits(&self) -> Result<Seen, String> {
        let mut seen = Seen::default();
        let mut up: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut paused: BTreeMap<usize, &Vec<usize>> = BTreeMap::new();
        let mut recent: BTreeMap<usize, VecDeque<Time>> = BTreeMap::new();
        for (at, switch, fact) in &self.facts {
            match fact {
                Fact::Began { limit, .. } => {
                    *up.entry((*limit, *switch)).or_default() += 1;
                    seen.calls += 1;
                    let counts = up.iter().filter(|((of, _), _)| of == limit);
                    let counts = counts.map(|((_, at), count)| match paused.get(at) {
                        Some(told) => told[*limit].min(*count),
                        None => *count,
                    });
                    let (sum, max): (usize, usize) = (counts.sum(), self.max(*at, *limit));
                    seen.full += usize::from(sum == max);
                    if sum > max {
                        return Err(format!(
                            "at {at}: {sum} calls under limit {limit} of {max}: {up:?}"
                        ));
                    }
                }
                Fact::Ended { limit, .. } => {
                    if let Some(count) = up.get_mut(&(*limit, *switch)) {
                        *count -= 1;
                    }
                }
                Fact::Counted { limit } => {
                    let times = recent.entry(*limit).or_default();
                    times.push_back(*at);
                    times.retain(|time| *time + SECOND > *at);
                    let (sum, max) = (times.len(), self.max(*at, *limit));
                    if sum > max {
                        return Err(format!(
                            "at {at}: {sum} calls within a second, limit {limit}: {max}"
                        ));
                    }
                }
                Fact::Killed => {
                    up.retain(|(_, at), _| at != switch);
                    paused.remove(switch);
                }
                Fact::Paused { told } => drop(paused.insert(*switch, told)),
                Fact::Resumed => drop(paused.remove(switch)),
            }
        }
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(facts: &[(Time, usize, Fact)]) -> History {
        History { facts: facts.to_vec(), limits: vec![(0, 0, 2), (0, 1, 1), (90, 0, 1)] }
    }

    fn began(at: Time, switch: usize) -> (Time, usize, Fact) {
        (at, switch, Fact::Began { limit: 0, call: at })
    }

    #[test]
    fn one_call_too_many_is_found_wherever_it_begins() {
        let mut facts = vec![began(1, 0), began(2, 1)];
        assert_eq!(history(&facts).check_limits().unwrap(), Seen { calls: 2, full: 1 });
        facts.push(began(3, 2));
        history(&facts).check_limits().unwrap_err();
        facts.insert(2, (2, 1, Fact::Killed));
        history(&facts).check_limits().unwrap();
        facts[2] = (2, 0, Fact::Ended { limit: 0, call: 1 });
        history(&facts).check_limits().unwrap();
        history(&[began(90, 0), began(91, 1)]).check_limits().unwrap_err();
    }

    #[test]
    fn two_calls_within_a_second_are_found_where_one_may_begin() {
        let counted = |at| (at, 0, Fact::Counted { limit: 1 });
        history(&[counted(0), counted(1_000_000)]).check_limits().unwrap();
        history(&[counted(0), counted(900_000)]).check_limits().unwrap_err();
    }
}
