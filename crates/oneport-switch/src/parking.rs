//! Parking: places in which calls wait until somebody fetches them. It knows nothing of calls but
//! their handles.

use std::collections::BTreeMap;
use std::time::Duration;

/// What parking is like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ParkingConfig {
    /// How many calls can wait: in the slots 1 to this.
    pub(crate) slots: u32,
    /// How long before who parked it gets it back.
    pub(crate) timeout: Duration,
    /// The music that they hear.
    pub(crate) music: Option<String>,
}

impl Default for ParkingConfig {
    fn default() -> Self {
        Self { slots: 20, timeout: Duration::from_secs(120), music: None }
    }
}

/// Which slot has which call.
#[derive(Debug)]
pub(crate) struct Parking<K> {
    slots: BTreeMap<u32, K>,
}

impl<K> Default for Parking<K> {
    fn default() -> Self {
        Self { slots: BTreeMap::new() }
    }
}

impl<K: Copy + Eq> Parking<K> {
    /// Whether a slot is free; with `None` the first free one of `slots`.
    pub(crate) fn free(&self, slot: Option<u32>, slots: u32) -> Option<u32> {
        let free = |slot: &u32| !self.slots.contains_key(slot);
        match slot {
            Some(slot) => Some(slot).filter(|slot| (1..=slots).contains(slot)).filter(free),
            None => (1..=slots).find(free),
        }
    }

    /// Puts a call into a slot.
    pub(crate) fn put(&mut self, slot: u32, call: K) {
        self.slots.insert(slot, call);
    }

    /// The call in a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<K> {
        self.slots.get(&slot).copied()
    }

    /// A call waits no more. Which slot was its.
    pub(crate) fn leave(&mut self, call: K) -> Option<u32> {
        let slot = self.slots.iter().find(|(_, other)| **other == call).map(|(slot, _)| *slot)?;
        self.slots.remove(&slot);
        Some(slot)
    }

    /// All calls that wait, by their slots.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, K)> {
        self.slots.iter().map(|(slot, call)| (*slot, *call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_slot_is_taken_and_is_free_again() {
        let mut parking = Parking::default();
        for call in ["a", "b", "c"] {
            let slot = parking.free(None, 3).expect("a free one");
            parking.put(slot, call);
        }
        assert_eq!((parking.free(None, 3), parking.free(Some(2), 3)), (None, None));
        assert_eq!(parking.leave("b"), Some(2));
        assert_eq!((parking.leave("b"), parking.get(2)), (None, None));
        assert_eq!((parking.free(None, 3), parking.free(Some(2), 3)), (Some(2), Some(2)));
        assert_eq!((parking.free(Some(0), 3), parking.free(Some(4), 3)), (None, None));
        assert_eq!(parking.all().collect::<Vec<_>>(), [(1, "a"), (3, "c")]);
    }
}
