//! From a datagram to its call.
//!
//! Call numbers have 15 bits, but belong to one remote address: two tables map (address, their
//! number) and (address, our number) to a slot, so one port holds as many calls as memory allows.
//! Both keys are chosen by strangers, hence the seeded hash.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash, Hasher};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use oneport_wire::CallNumber;
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use crate::elsewhere::{Elsewhere, Held, HeldChange};

/// Address, port and call number in 20 bytes; with its slot an entry has 24, and cache misses are
/// what looking up costs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// [`address_bits`] as its bytes, so that the key is not aligned to 16.
    address: [u8; 16],
    port_and_number: u32,
}

impl Key {
    pub(crate) fn new(remote: SocketAddr, number: CallNumber) -> Self {
        Self {
            address: address_bits(remote.ip()).to_ne_bytes(),
            port_and_number: u32::from(remote.port()) << 16 | u32::from(number.get()),
        }
    }

    /// What it was made of.
    pub(crate) fn parts(&self) -> (SocketAddr, CallNumber) {
        let ip = Ipv6Addr::from_bits(u128::from_ne_bytes(self.address)).to_canonical();
        let [p0, p1, n0, n1] = self.port_and_number.to_be_bytes();
        let number = CallNumber::from_bits(u16::from_be_bytes([n0, n1]));
        (SocketAddr::new(ip, u16::from_be_bytes([p0, p1])), number)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.address));
        state.write_u32(self.port_and_number);
    }
}

/// IPv4 as its mapped IPv6 form, so that both families share one table.
fn address_bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The two tables, and how many calls each address holds.
pub(crate) struct Index {
    by_theirs: HashMap<Key, u32, FixedState>,
    by_ours: HashMap<Key, u32, FixedState>,
    per_address: HashMap<u128, u32, FixedState>,
    /// Numbers of calls that other processes have at this port.
    pub(crate) elsewhere: Option<Box<Elsewhere>>,
    /// What has changed, where another process wants to know.
    changes: Option<Vec<HeldChange>>,
}

/// Numbers a call may have: 0 means "not known yet" and 1 is the stateless responder's.
const FIRST_NUMBER: u16 = 2;

impl Index {
    /// Numbers that calls of one address and port may have.
    pub(crate) const NUMBERS: usize = (CallNumber::MAX.get() - FIRST_NUMBER) as usize + 1;

    pub(crate) fn new(rng: &mut ChaCha12Rng) -> Self {
        let mut table = || HashMap::with_hasher(FixedState::with_seed(rng.next_u64()));
        let (by_theirs, by_ours) = (table(), table());
        let per_address = HashMap::with_hasher(FixedState::with_seed(rng.next_u64()));
        Self { by_theirs, by_ours, per_address, elsewhere: None, changes: None }
    }

    pub(crate) fn find_by_theirs(&self, remote: SocketAddr, number: CallNumber) -> Option<u32> {
        self.by_theirs.get(&Key::new(remote, number)).copied()
    }

    pub(crate) fn find_by_ours(&self, remote: SocketAddr, number: CallNumber) -> Option<u32> {
        self.by_ours.get(&Key::new(remote, number)).copied()
    }

    /// The seeded hash, for other tables with such keys.
    pub(crate) fn hasher(&self) -> FixedState {
        self.by_ours.hasher().clone()
    }

    /// Begins to note what changes, or ends that.
    pub(crate) fn note_changes(&mut self, on: bool) {
        self.changes = on.then(Vec::new);
    }

    /// What has changed since this was last asked.
    pub(crate) fn take_changes(&mut self) -> Vec<HeldChange> {
        self.changes.as_mut().map(core::mem::take).unwrap_or_default()
    }

    fn note(&mut self, held: Held, is_held: bool) {
        if let Some(changes) = &mut self.changes {
            changes.push(HeldChange { held, is_held });
        }
    }

    /// By what bytes are known again without being kept.
    pub(crate) fn fingerprint(&self, bytes: &[u8]) -> u64 {
        self.by_theirs.hasher().hash_one(bytes)
    }

    /// Calls of one IP address, whatever the port.
    pub(crate) fn calls_of(&self, ip: IpAddr) -> usize {
        self.per_address.get(&address_bits(ip)).copied().unwrap_or_default() as usize
    }

    /// Takes a free number towards `remote` for `slot`, chosen at random so that strangers cannot
    /// guess it.
    pub(crate) fn allocate(
        &mut self,
        rng: &mut ChaCha12Rng,
        remote: SocketAddr,
        slot: u32,
    ) -> Option<CallNumber> {
        let span = u32::from(CallNumber::MAX.get() - FIRST_NUMBER) + 1;
        let start = ((u64::from(rng.next_u32()) * u64::from(span)) >> 32) as u32;
        for step in 0..span {
            #[expect(clippy::cast_possible_truncation, reason = "below 32,766")]
            let offset = ((start + step) % span) as u16;
            let number = CallNumber::from_bits(FIRST_NUMBER + offset);
            let elsewhere = self.elsewhere.as_deref();
            if elsewhere.is_some_and(|elsewhere| !elsewhere.leaves(remote, number)) {
                continue;
            }
            if self.claim(remote, number, slot) {
                return Some(number);
            }
        }
        None
    }

    /// Takes one certain number towards `remote`, if it is free.
    pub(crate) fn claim(&mut self, remote: SocketAddr, number: CallNumber, slot: u32) -> bool {
        let hashbrown::hash_map::Entry::Vacant(entry) =
            self.by_ours.entry(Key::new(remote, number))
        else {
            return false;
        };
        entry.insert(slot);
        *self.per_address.entry(address_bits(remote.ip())).or_default() += 1;
        self.note(Held::Ours(remote, number), true);
        true
    }

    /// Leads the numbers of one slot to another.
    pub(crate) fn reassign(
        &mut self,
        remote: SocketAddr,
        ours: CallNumber,
        theirs: Option<CallNumber>,
        slot: u32,
    ) {
        self.by_ours.insert(Key::new(remote, ours), slot);
        if let Some(theirs) = theirs {
            self.learn(remote, theirs, slot);
        }
    }

    /// Learns the peer's number of a call. Returns the slot that had it before.
    pub(crate) fn learn(
        &mut self,
        remote: SocketAddr,
        number: CallNumber,
        slot: u32,
    ) -> Option<u32> {
        let before = self.by_theirs.insert(Key::new(remote, number), slot);
        if before.is_none() {
            self.note(Held::Theirs(remote, number), true);
        }
        before.filter(|before| *before != slot)
    }

    /// Forgets the numbers of a slot. A number that another slot has taken over stays.
    pub(crate) fn forget(
        &mut self,
        remote: SocketAddr,
        ours: CallNumber,
        theirs: Option<CallNumber>,
        slot: u32,
    ) {
        if self.by_ours.remove(&Key::new(remote, ours)).is_some() {
            self.note(Held::Ours(remote, ours), false);
            let address = address_bits(remote.ip());
            if let Some(count) = self.per_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    self.per_address.remove(&address);
                }
            }
        }
        if let Some(number) = theirs {
            self.forget_theirs(remote, number, slot);
        }
    }

    /// Forgets that a peer's number is that of a slot, if it is.
    pub(crate) fn forget_theirs(&mut self, remote: SocketAddr, number: CallNumber, slot: u32) {
        let key = Key::new(remote, number);
        if self.by_theirs.get(&key) == Some(&slot) {
            self.by_theirs.remove(&key);
            self.note(Held::Theirs(remote, number), false);
        }
    }

    /// Entries of each table, and the calls counted by address.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let per_address = self.per_address.values().map(|count| *count as usize).sum();
        (self.by_ours.len(), self.by_theirs.len(), per_address)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_theirs.is_empty() && self.by_ours.is_empty() && self.per_address.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn an_entry_has_24_bytes() {
        assert_eq!(size_of::<(Key, u32)>(), 24);
    }

    #[test]
    fn each_address_has_its_own_numbers_and_all_of_them() {
        let mut rng = ChaCha12Rng::from_seed([3; 32]);
        let mut index = Index::new(&mut rng);
        let here: SocketAddr = "192.0.2.1:4569".parse().unwrap();
        let there: SocketAddr = "[2001:db8::1]:4569".parse().unwrap();
        let mut seen = std::collections::HashSet::new();
        for slot in 0..32_766 {
            let number = index.allocate(&mut rng, here, slot).unwrap();
            assert!(number.get() >= 2 && seen.insert(number));
            assert_eq!(index.find_by_ours(here, number), Some(slot));
        }
        assert_eq!(index.allocate(&mut rng, here, 40_000), None);
        let number = index.allocate(&mut rng, there, 40_000).unwrap();
        assert_eq!(index.find_by_ours(there, number), Some(40_000));
        assert_eq!(index.calls_of(here.ip()), 32_766);
        for (slot, number) in seen.into_iter().enumerate() {
            index.forget(here, number, None, slot as u32);
        }
        index.forget(there, number, None, 40_000);
        assert!(index.is_empty());
    }
}
