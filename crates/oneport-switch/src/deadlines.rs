//! Who must be looked at when: one moment for each, and the earliest of all at once.

use std::collections::{BTreeMap, BTreeSet};

use oneport_proto::Instant;

/// Moments, by whom they concern.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    order: BTreeSet<(Instant, K)>,
    of: BTreeMap<K, Instant>,
}

impl<K: Ord> Default for Deadlines<K> {
    fn default() -> Self {
        Self { order: BTreeSet::new(), of: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Sets the moment of `who`, in place of the one before.
    pub(crate) fn set(&mut self, who: K, at: Instant) {
        self.clear(&who);
        self.of.insert(who.clone(), at);
        self.order.insert((at, who));
    }

    /// `who` has none any more.
    pub(crate) fn clear(&mut self, who: &K) {
        if let Some((who, at)) = self.of.remove_entry(who) {
            self.order.remove(&(at, who));
        }
    }

    /// The moment of `who`.
    pub(crate) fn of(&self, who: &K) -> Option<Instant> {
        self.of.get(who).copied()
    }

    /// The earliest.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes one that is due, the earliest first and equal ones in the order of their keys.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, _) = self.order.first()?;
        if *at > now {
            return None;
        }
        let (_, who) = self.order.pop_first()?;
        self.of.remove(&who);
        Some(who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn each_has_one_moment_and_the_earliest_is_due_first() {
        let mut deadlines = Deadlines::default();
        for (who, seconds) in [("c", 5), ("a", 5), ("b", 3), ("d", 9), ("b", 7)] {
            deadlines.set(who, at(seconds));
        }
        deadlines.clear(&"d");
        deadlines.clear(&"nobody");
        assert_eq!(deadlines.next(), Some(at(5)));
        assert_eq!(deadlines.pop_due(at(4)), None);
        let due: Vec<&str> = std::iter::from_fn(|| deadlines.pop_due(at(6))).collect();
        assert_eq!(due, ["a", "c"]);
        assert_eq!((deadlines.next(), deadlines.pop_due(at(7))), (Some(at(7)), Some("b")));
        assert_eq!((deadlines.next(), deadlines.of.len()), (None, 0));
    }
}
