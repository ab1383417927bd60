//! From a datagram to its call.
//!
//! Call numbers have 15 bits, but belong to one remote address: two tables map (address, their
//! number) and (address, our number) to a slot, so one port holds as many calls as memory allows.
//! Both keys are chosen by strangers, hence the seeded hash. An address is kept once, as a [`Remote`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use oneport_wire::CallNumber;
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use crate::elsewhere::{Elsewhere, Held, HeldChange};
use crate::numbers::{Numbers, Remote};

/// IPv4 as its mapped IPv6 form, so that both families share one table.
pub(crate) fn address_bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The addresses to which numbers belong.
struct Remotes {
    known: HashMap<(u128, u16), Known, FixedState>,
    /// Those that are nobody's any more.
    free: Vec<Remote>,
    next: u32,
}

struct Known {
    remote: Remote,
    /// How many belong to it.
    numbers: u32,
}

impl Remotes {
    fn get(&self, remote: SocketAddr) -> Option<Remote> {
        self.known.get(&address_of(remote)).map(|known| known.remote)
    }

    /// One number more belongs to it. `None`: there are as many addresses as there can be.
    fn hold(&mut self, remote: SocketAddr) -> Option<Remote> {
        let Self { known, free, next } = self;
        let known = match known.entry(address_of(remote)) {
            hashbrown::hash_map::Entry::Occupied(known) => known.into_mut(),
            hashbrown::hash_map::Entry::Vacant(entry) => {
                let remote = free.pop().or_else(|| {
                    let new = (*next < Numbers::REMOTES).then_some(Remote(*next));
                    *next += u32::from(new.is_some());
                    new
                });
                entry.insert(Known { remote: remote?, numbers: 0 })
            }
        };
        known.numbers += 1;
        Some(known.remote)
    }

    /// One number less belongs to it.
    fn release(&mut self, remote: SocketAddr) {
        let address = address_of(remote);
        let Some(known) = self.known.get_mut(&address) else { return };
        known.numbers -= 1;
        if known.numbers == 0 {
            self.free.push(known.remote);
            self.known.remove(&address);
        }
    }
}

fn address_of(remote: SocketAddr) -> (u128, u16) {
    (address_bits(remote.ip()), remote.port())
}

/// The two tables, and how many calls each address holds.
pub(crate) struct Index {
    remotes: Remotes,
    by_theirs: Numbers,
    by_ours: Numbers,
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
        let mut seed = || rng.next_u64();
        let (by_theirs, by_ours) = (Numbers::new(seed()), Numbers::new(seed()));
        let addresses = FixedState::with_seed(seed());
        let known = HashMap::with_hasher(addresses.clone());
        let per_address = HashMap::with_hasher(addresses);
        let remotes = Remotes { known, free: Vec::new(), next: 0 };
        Self { remotes, by_theirs, by_ours, per_address, elsewhere: None, changes: None }
    }

    /// The remote of an address; `None`: no number belongs to it. Where many numbers of one are looked
    /// up, it is asked for once.
    pub(crate) fn remote(&self, remote: SocketAddr) -> Option<Remote> {
        self.remotes.get(remote)
    }

    pub(crate) fn find_theirs_of(&self, remote: Remote, number: CallNumber) -> Option<u32> {
        self.by_theirs.get(remote, number)
    }

    pub(crate) fn find_by_theirs(&self, remote: SocketAddr, number: CallNumber) -> Option<u32> {
        self.by_theirs.get(self.remote(remote)?, number)
    }

    pub(crate) fn find_by_ours(&self, remote: SocketAddr, number: CallNumber) -> Option<u32> {
        self.by_ours.get(self.remote(remote)?, number)
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
        let Some(held) = self.remotes.hold(remote) else { return false };
        if !self.by_ours.insert(held, number, slot) {
            self.remotes.release(remote);
            return false;
        }
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
        if let Some(held) = self.remote(remote) {
            self.by_ours.replace(held, ours, slot);
        }
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
        let held = self.remotes.hold(remote)?;
        if self.by_theirs.insert(held, number, slot) {
            self.note(Held::Theirs(remote, number), true);
            return None;
        }
        self.remotes.release(remote);
        self.by_theirs.replace(held, number, slot).filter(|before| *before != slot)
    }

    /// Forgets the numbers of a slot. A number that another slot has taken over stays.
    pub(crate) fn forget(
        &mut self,
        remote: SocketAddr,
        ours: CallNumber,
        theirs: Option<CallNumber>,
        slot: u32,
    ) {
        if let Some(held) = self.remote(remote)
            && self.by_ours.remove(held, ours).is_some()
        {
            self.remotes.release(remote);
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
        if let Some(held) = self.remote(remote)
            && self.by_theirs.get(held, number) == Some(slot)
        {
            self.by_theirs.remove(held, number);
            self.remotes.release(remote);
            self.note(Held::Theirs(remote, number), false);
        }
    }

    /// Entries of each table, and the calls counted by address.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let per_address = self.per_address.values().map(|count| *count as usize).sum();
        (self.by_ours.len(), self.by_theirs.len(), per_address)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sizes() == (0, 0, 0) && self.remotes.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn an_address_without_numbers_is_forgotten_and_its_place_is_used_again() {
        let mut rng = ChaCha12Rng::from_seed([3; 32]);
        let mut index = Index::new(&mut rng);
        let number = CallNumber::from_bits(7);
        for port in 1..=1_000 {
            let remote = SocketAddr::from(([192, 0, 2, 1], port));
            assert!(index.claim(remote, number, port.into()));
            assert_eq!(index.learn(remote, number, port.into()), None);
            // Nobody but its slot forgets it, and twice is once.
            assert_eq!(index.learn(remote, number, port.into()), None);
            index.forget_theirs(remote, number, 0);
            assert_eq!(index.find_by_theirs(remote, number), Some(port.into()));
            index.forget(remote, number, Some(number), port.into());
            assert_eq!(index.remote(remote), None);
        }
        assert_eq!((index.remotes.next, index.remotes.free.len()), (1, 1));
        assert!(index.is_empty());
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
