//! From a remote and a call number to a slot. Each remote has numbers of its own.
//!
//! Waiting for memory is what looking up costs. So numbers of a remote that has few are entries of 8 bytes
//! of one table for all, and one that has many has a table to itself, in which a number is a place.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use oneport_wire::CallNumber;

/// A remote address as long as numbers belong to it: a small number in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Remote(pub(crate) u32);

/// A remote with so many numbers gets a table of its own, of 128 KiB, and keeps it until it has less than [`FEW`]: that
/// is 32 bytes for each number, and 128 at most.
const MANY: u32 = 4_096;
const FEW: u32 = 1_024;

/// Numbers that one remote may have, 0 and 1 among them.
const ALL: usize = CallNumber::MAX.get() as usize + 1;

/// The slot of a number that leads to none.
const NONE: u32 = u32::MAX;

/// What one remote has.
#[derive(Default)]
struct OfRemote {
    /// How many of its numbers lead somewhere.
    count: u32,
    /// The slot of each number, where there are many.
    table: Option<Box<[u32]>>,
}

/// Where the numbers of all remotes lead.
pub(crate) struct Numbers {
    /// Those of remotes without a table. From its top an entry is 24 bits of the remote, 15 of the number,
    /// and 25 of the slot. Strangers choose the numbers, hence the seeded hash.
    entries: HashTable<u64>,
    hasher: FixedState,
    /// By remote.
    remotes: Vec<OfRemote>,
}

impl Numbers {
    const SLOT_BITS: u32 = 25;
    const NUMBER_BITS: u32 = 15;
    const SLOTS: u32 = 1 << Self::SLOT_BITS;
    /// So many remotes can be told apart.
    pub(crate) const REMOTES: u32 = 1 << (u64::BITS - Self::SLOT_BITS - Self::NUMBER_BITS);

    pub(crate) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self { entries: HashTable::new(), hasher, remotes: Vec::new() }
    }

    /// The seeded hash, for other tables with such keys.
    pub(crate) const fn hasher(&self) -> &FixedState {
        &self.hasher
    }

    /// How many numbers lead somewhere.
    pub(crate) fn len(&self) -> usize {
        self.remotes.iter().map(|of_remote| of_remote.count as usize).sum()
    }

    /// The slot to which a number leads.
    pub(crate) fn get(&self, remote: Remote, number: CallNumber) -> Option<u32> {
        let of_remote = self.remotes.get(remote.0 as usize)?;
        if let Some(table) = &of_remote.table {
            return table.get(usize::from(number.get())).copied().filter(|slot| *slot != NONE);
        }
        let key = key(remote, number);
        let found = self.entries.find(self.hasher.hash_one(key), |it| key_of(*it) == key);
        found.map(|it| slot_of(*it))
    }

    /// Lets a number that leads nowhere lead to a slot. `false`: it leads somewhere, or the slot is beyond
    /// all that there can be.
    pub(crate) fn insert(&mut self, remote: Remote, number: CallNumber, slot: u32) -> bool {
        if slot >= Self::SLOTS || self.get(remote, number).is_some() {
            return false;
        }
        let place = remote.0 as usize;
        if self.remotes.len() <= place {
            self.remotes.resize_with(place + 1, OfRemote::default);
        }
        let Some(of_remote) = self.remotes.get_mut(place) else { return false };
        of_remote.count += 1;
        if of_remote.table.is_none() && of_remote.count >= MANY {
            let mut table = vec![NONE; ALL].into_boxed_slice();
            for entry in self.entries.extract_if(|entry| remote_of(*entry) == remote) {
                set(&mut table, number_of(entry), slot_of(entry));
            }
            let room = self.entries.len() * 2;
            self.entries.shrink_to(room, |it| self.hasher.hash_one(key_of(*it)));
            of_remote.table = Some(table);
        }
        match &mut of_remote.table {
            Some(table) => set(table, number, slot),
            None => self.insert_entry(remote, number, slot),
        }
        true
    }

    fn insert_entry(&mut self, remote: Remote, number: CallNumber, slot: u32) {
        let Self { entries, hasher, .. } = self;
        let key = key(remote, number);
        let entry = key << Self::SLOT_BITS | u64::from(slot);
        entries.insert_unique(hasher.hash_one(key), entry, |it| hasher.hash_one(key_of(*it)));
    }

    /// Lets a number that leads somewhere lead to another slot, and gives the one before.
    pub(crate) fn replace(&mut self, remote: Remote, number: CallNumber, slot: u32) -> Option<u32> {
        if slot >= Self::SLOTS {
            return None;
        }
        if let Some(table) = &mut self.remotes.get_mut(remote.0 as usize)?.table {
            let place = table.get_mut(usize::from(number.get())).filter(|slot| **slot != NONE)?;
            return Some(core::mem::replace(place, slot));
        }
        let key = key(remote, number);
        let found = self.entries.find_mut(self.hasher.hash_one(key), |it| key_of(*it) == key)?;
        let before = slot_of(*found);
        *found = key << Self::SLOT_BITS | u64::from(slot);
        Some(before)
    }

    /// Lets a number lead nowhere, and gives the slot to which it led.
    pub(crate) fn remove(&mut self, remote: Remote, number: CallNumber) -> Option<u32> {
        let of_remote = self.remotes.get_mut(remote.0 as usize)?;
        let slot = match &mut of_remote.table {
            Some(table) => {
                let place = table.get_mut(usize::from(number.get()))?;
                Some(core::mem::replace(place, NONE)).filter(|slot| *slot != NONE)?
            }
            None => {
                let key = key(remote, number);
                let hash = self.hasher.hash_one(key);
                let found = self.entries.find_entry(hash, |it| key_of(*it) == key).ok()?;
                slot_of(found.remove().0)
            }
        };
        of_remote.count -= 1;
        if of_remote.count < FEW
            && let Some(table) = of_remote.table.take()
        {
            for (number, slot) in (0..).zip(table.iter()).filter(|(_, slot)| **slot != NONE) {
                self.insert_entry(remote, CallNumber::from_bits(number), *slot);
            }
        }
        Some(slot)
    }
}

fn set(table: &mut [u32], number: CallNumber, slot: u32) {
    if let Some(place) = table.get_mut(usize::from(number.get())) {
        *place = slot;
    }
}

fn key(remote: Remote, number: CallNumber) -> u64 {
    u64::from(remote.0) << Numbers::NUMBER_BITS | u64::from(number.get())
}

const fn key_of(entry: u64) -> u64 {
    entry >> Numbers::SLOT_BITS
}

#[expect(clippy::cast_possible_truncation, reason = "24 bits are left")]
const fn remote_of(entry: u64) -> Remote {
    Remote((key_of(entry) >> Numbers::NUMBER_BITS) as u32)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the number is in the low 15 bits, and no more are taken"
)]
const fn number_of(entry: u64) -> CallNumber {
    CallNumber::from_bits(key_of(entry) as u16)
}

#[expect(clippy::cast_possible_truncation, reason = "25 bits are left")]
const fn slot_of(entry: u64) -> u32 {
    (entry & (Numbers::SLOTS - 1) as u64) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn number(bits: u16) -> CallNumber {
        CallNumber::from_bits(bits)
    }

    #[test]
    fn the_last_slot_and_the_last_remote_are_told_apart_from_all_others() {
        let (slot, last) = (Numbers::SLOTS - 1, Remote(Numbers::REMOTES - 1));
        let entry = key(last, CallNumber::MAX) << Numbers::SLOT_BITS | u64::from(slot);
        assert_eq!(entry, u64::MAX);
        assert_eq!(
            (remote_of(entry), number_of(entry), slot_of(entry)),
            (last, CallNumber::MAX, slot)
        );
        let mut numbers = Numbers::new(5);
        assert!(numbers.insert(Remote(0), CallNumber::MAX, slot));
        assert_eq!(numbers.get(Remote(0), CallNumber::MAX), Some(slot));
        assert!(!numbers.insert(Remote(0), number(2), slot + 1), "beyond all");
        assert_eq!(numbers.len(), 1);
    }

    #[test]
    fn who_has_many_numbers_has_a_table_until_they_are_few() {
        let mut numbers = Numbers::new(5);
        let has_table = |numbers: &Numbers| numbers.remotes[0].table.is_some();
        for n in 0..5_000_u16 {
            assert!(numbers.insert(Remote(0), number(n), n.into()));
            assert_eq!(has_table(&numbers), u32::from(n) + 1 >= MANY);
        }
        assert!(numbers.insert(Remote(1), number(5), 5) && numbers.remotes[1].table.is_none());
        for n in 0..5_000_u16 {
            assert_eq!(numbers.remove(Remote(0), number(n)), Some(n.into()));
            assert_eq!(has_table(&numbers), 4_999 - u32::from(n) >= FEW);
        }
        assert_eq!((numbers.len(), numbers.entries.len()), (1, 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn numbers_lead_where_they_were_led_whatever_table_they_are_in(
            // Spans of numbers, so that some remotes come to have many and lose them again.
            acts in vec((0..3_u32, 0..0x7fff_u16, 3_000..5_000_u16, 0..4_u8), 1..12),
        ) {
            let (mut numbers, mut model) = (Numbers::new(7), HashMap::new());
            for (act, (remote, first, span, act_of)) in (0_u32..).zip(acts) {
                for n in first..first.saturating_add(span).min(0x7fff) {
                    let (place, number) = (Remote(remote), number(n));
                    let before = model.get(&(remote, n)).copied();
                    let (shown, expected) = match act_of {
                        0 => (numbers.remove(place, number), model.remove(&(remote, n))),
                        1 if before.is_some() => {
                            (numbers.replace(place, number, act), model.insert((remote, n), act))
                        }
                        1 => (numbers.replace(place, number, act), None),
                        _ => {
                            prop_assert_eq!(numbers.insert(place, number, act), before.is_none());
                            model.entry((remote, n)).or_insert(act);
                            (None, None)
                        }
                    };
                    prop_assert_eq!(shown, expected);
                }
            }
            for (remote, n) in (0..3_u32).flat_map(|remote| (0..0x7fff_u16).map(move |n| (remote, n))) {
                let expected = model.get(&(remote, n)).copied();
                prop_assert_eq!(numbers.get(Remote(remote), number(n)), expected);
            }
            prop_assert_eq!(numbers.len(), model.len());
        }
    }
}
