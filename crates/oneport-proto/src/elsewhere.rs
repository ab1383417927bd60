//! Several processes at one port: calls of an older process stay with it, and the newest reads the socket.
//!
//! Each process is a [`Generation`]. The newest is told which numbers the older ones hold
//! ([`Endpoint::learn_elsewhere`]), and says of each datagram whose it is ([`Endpoint::whose`]). An older
//! process is retired ([`Endpoint::retire`]): its calls go on, and what begins anew is not taken.
//!
//! No two of them may give the same number to two calls of one peer, and none can ask another before it
//! takes one. So the newest takes none that it knows to be held, and a retired process takes only those of
//! its own class, one in [`CLASSES`], in which the newest takes none as long as that process lives.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use oneport_wire::{CallNumber, Datagram};

use crate::clock::Instant;
use crate::endpoint::Endpoint;
use crate::index::address_bits;
use crate::moved::numbers;
use crate::path::Path;
use crate::slots::Role;
use crate::token::CallTokenKeys;

/// Classes of call numbers: those with the same rest when they are divided by it.
const CLASSES: u32 = 64;

/// Address, port and call number: what others hold is known by it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    /// [`address_bits`] as its bytes, so that the key is not aligned to 16.
    address: [u8; 16],
    port_and_number: u32,
}

impl Key {
    fn new(remote: SocketAddr, number: CallNumber) -> Self {
        Self {
            address: address_bits(remote.ip()).to_ne_bytes(),
            port_and_number: u32::from(remote.port()) << 16 | u32::from(number.get()),
        }
    }

    /// What it was made of.
    fn parts(&self) -> (SocketAddr, CallNumber) {
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

/// A process among those that serve one port after each other; each is one above the one before.
///
/// ```
/// use oneport_proto::Generation;
///
/// // One process that takes over from another has the next generation, and other call numbers.
/// let (older, newer) = (Generation(7), Generation(8));
/// assert!(newer > older);
/// assert_ne!(older.class(), newer.class());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation(pub u32);

impl Generation {
    /// The class of call numbers that is its own when it is retired. Two that live at the same time must not
    /// have the same.
    #[must_use]
    pub const fn class(self) -> u32 {
        self.0 % CLASSES
    }
}

/// What a datagram is known by.
///
/// ```
/// use oneport_proto::{Generation, Held};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, _) = call_up(now, &mut here, &mut there);
/// let (number, _) = here.call_numbers(ours).ok_or("it goes on")?;
/// let held = here.held_numbers(Generation(1));
/// assert!(held.contains(&(Generation(1), Held::Ours(THERE, number))));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Held {
    /// A number of ours towards an address.
    Ours(SocketAddr, CallNumber),
    /// A number of whoever is there.
    Theirs(SocketAddr, CallNumber),
    /// Both numbers of a call, ours first: by these it is found when its peer has another address.
    Both(SocketAddr, CallNumber, CallNumber),
    /// Whatever begins there.
    Openings(SocketAddr),
}

/// Something is held, or no more.
///
/// ```
/// use oneport_proto::{Held, HeldChange, NewCall};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// here.note_numbers(true);
/// let call = here.place_call(now, THERE, NewCall::to("100"))?;
/// let (number, _) = here.call_numbers(call).ok_or("it goes on")?;
/// let held = Held::Ours(THERE, number);
/// assert!(here.take_number_changes().contains(&HeldChange { held, is_held: true }));
/// assert_eq!(here.take_number_changes(), []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HeldChange {
    /// What.
    pub held: Held,
    /// Whether it is.
    pub is_held: bool,
}

/// Whose a datagram is.
///
/// A new process takes over the port of one that has a call, and learns what that holds:
///
/// ```
/// use oneport_proto::{Generation, HeldChange, TransmitBuffer, Whose};
/// use oneport_wire::CauseCode;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut old, mut there) = two_ends(now);
/// # let (_, theirs) = call_up(now, &mut old, &mut there);
/// # let (mut new, _) = two_ends(now);
/// let older = Generation(1);
/// new.older_lives(older);
/// for (_, held) in old.held_numbers(older) {
///     new.learn_elsewhere(older, HeldChange { held, is_held: true });
/// }
/// // What the peer of that call says now is for the old one.
/// there.hangup(now, theirs, CauseCode::NORMAL_CLEARING, None)?;
/// let mut datagram = TransmitBuffer::with_capacity(1_500, 1);
/// there.poll_transmit(&mut datagram);
/// assert_eq!(new.whose(THERE, datagram.as_bytes()), Whose::Of(older));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// Nobody else's.
    Here,
    /// An older process's.
    Of(Generation),
    /// A trunk frame with voice of several: bit n is that of the class n, and `here` ours.
    Shared {
        /// The classes of those whose it is.
        classes: u64,
        /// Whether some of it is ours, or nobody's.
        here: bool,
    },
}

/// What older processes hold, or what a retired one may still take.
pub(crate) struct Elsewhere {
    ours: HashMap<Key, Generation, FixedState>,
    theirs: HashMap<Key, Generation, FixedState>,
    /// Our number, theirs, whose, and where the peer is.
    by_both: BTreeSet<(CallNumber, CallNumber, Generation, SocketAddr)>,
    /// The same by the peer's IP address and number.
    by_ip: BTreeSet<(IpAddr, CallNumber, Generation, SocketAddr)>,
    openings: Vec<(SocketAddr, Generation)>,
    living: BTreeSet<Generation>,
    /// This process is retired.
    retired: Option<Generation>,
}

/// Below and above all addresses of peers.
const LOWEST: SocketAddr = SocketAddr::new(IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED), 0);

impl Elsewhere {
    fn new(hasher: FixedState) -> Self {
        Self {
            ours: HashMap::with_hasher(hasher.clone()),
            theirs: HashMap::with_hasher(hasher),
            by_both: BTreeSet::new(),
            by_ip: BTreeSet::new(),
            openings: Vec::new(),
            living: BTreeSet::new(),
            retired: None,
        }
    }

    /// Whether a call here may have this number of ours.
    pub(crate) fn leaves(&self, remote: SocketAddr, number: CallNumber) -> bool {
        let class = u32::from(number.get()) % CLASSES;
        let in_class = match self.retired {
            Some(own) => own.class() == class,
            None => self.living.iter().all(|older| older.class() != class),
        };
        in_class && !self.ours.contains_key(&Key::new(remote, number))
    }

    fn learn(&mut self, whose: Generation, change: HeldChange) {
        let HeldChange { held, is_held } = change;
        let set = |table: &mut HashMap<Key, Generation, FixedState>, key| match is_held {
            true => drop(table.insert(key, whose)),
            // Somebody else may have it by now.
            false if table.get(&key) == Some(&whose) => drop(table.remove(&key)),
            false => {}
        };
        match held {
            Held::Ours(remote, number) => set(&mut self.ours, Key::new(remote, number)),
            Held::Theirs(remote, number) => set(&mut self.theirs, Key::new(remote, number)),
            Held::Both(remote, ours, theirs) => {
                let (both, ip) =
                    ((ours, theirs, whose, remote), (remote.ip(), theirs, whose, remote));
                match is_held {
                    true => drop((self.by_both.insert(both), self.by_ip.insert(ip))),
                    false => drop((self.by_both.remove(&both), self.by_ip.remove(&ip))),
                }
            }
            Held::Openings(remote) => {
                self.openings.retain(|known| *known != (remote, whose));
                self.openings.extend(is_held.then_some((remote, whose)));
            }
        }
    }

    fn forget(&mut self, gone: Generation) {
        self.ours.retain(|_, whose| *whose != gone);
        self.theirs.retain(|_, whose| *whose != gone);
        self.by_both.retain(|(.., whose, _)| *whose != gone);
        self.by_ip.retain(|(.., whose, _)| *whose != gone);
        self.openings.retain(|(_, whose)| *whose != gone);
        self.living.remove(&gone);
    }

    /// Whose call it is that had these numbers at another address.
    fn moved(
        &self,
        from: SocketAddr,
        theirs: CallNumber,
        ours: Option<CallNumber>,
    ) -> Option<Generation> {
        match ours {
            Some(ours) => {
                let first = (ours, theirs, Generation(0), LOWEST);
                let found = self.by_both.range(first..).next();
                found.filter(|(o, t, ..)| (*o, *t) == (ours, theirs)).map(|(.., whose, _)| *whose)
            }
            None => {
                let first = (from.ip(), theirs, Generation(0), LOWEST);
                let found = self.by_ip.range(first..).next();
                found
                    .filter(|(i, t, ..)| (*i, *t) == (from.ip(), theirs))
                    .map(|(.., whose, _)| *whose)
            }
        }
    }

    fn of_class(&self, number: CallNumber) -> Option<Generation> {
        let class = u32::from(number.get()) % CLASSES;
        self.living.iter().find(|older| older.class() == class).copied()
    }
}

impl Endpoint {
    fn elsewhere(&self) -> Option<&Elsewhere> {
        self.cx.index.elsewhere.as_deref()
    }

    fn elsewhere_mut(&mut self) -> &mut Elsewhere {
        let index = &mut self.cx.index;
        let hasher = index.hasher();
        index.elsewhere.get_or_insert_with(|| Box::new(Elsewhere::new(hasher)))
    }

    /// An older process lives: what it holds is told, and its class of numbers is its own.
    pub fn older_lives(&mut self, older: Generation) {
        self.elsewhere_mut().living.insert(older);
    }

    /// An older process holds something, or no more.
    pub fn learn_elsewhere(&mut self, older: Generation, change: HeldChange) {
        self.elsewhere_mut().learn(older, change);
    }

    /// An older process is gone, and all that it held is free.
    pub fn forget_elsewhere(&mut self, gone: Generation) {
        let index = &mut self.cx.index;
        let Some(elsewhere) = &mut index.elsewhere else { return };
        elsewhere.forget(gone);
        if elsewhere.living.is_empty() && elsewhere.retired.is_none() {
            index.elsewhere = None;
        }
    }

    /// All that is held here, and by older processes.
    #[must_use]
    pub fn held_numbers(&self, own: Generation) -> Vec<(Generation, Held)> {
        let mut all = Vec::new();
        for (place, slot) in self.slots.all() {
            for (remote, ours, theirs) in slot.role.numbers().into_iter().flatten() {
                all.push((own, Held::Ours(remote, ours)));
                let leads_here = |number: &CallNumber| {
                    self.cx.index.find_by_theirs(remote, *number) == Some(place)
                };
                if let Some(theirs) = theirs.filter(leads_here) {
                    all.push((own, Held::Theirs(remote, theirs)));
                }
            }
            if let Role::Call(call) = &slot.role
                && let Some(theirs) = call.exchange.theirs
            {
                all.push((own, Held::Both(call.exchange.path.remote, call.exchange.ours, theirs)));
            }
        }
        if let Some(elsewhere) = self.elsewhere() {
            let ours = elsewhere.ours.iter().map(|(key, whose)| {
                let (remote, number) = key.parts();
                (*whose, Held::Ours(remote, number))
            });
            let theirs = elsewhere.theirs.iter().map(|(key, whose)| {
                let (remote, number) = key.parts();
                (*whose, Held::Theirs(remote, number))
            });
            let mut known: Vec<(Generation, Held)> = ours.chain(theirs).collect();
            known.sort_unstable();
            all.extend(known);
            all.extend(elsewhere.by_both.iter().map(|(ours, theirs, whose, remote)| {
                (*whose, Held::Both(*remote, *ours, *theirs))
            }));
            let openings = elsewhere.openings.iter();
            all.extend(openings.map(|(remote, whose)| (*whose, Held::Openings(*remote))));
        }
        all.extend(self.cx.config.own_address.map(|remote| (own, Held::Openings(remote))));
        all
    }

    /// Begins to note which numbers come and go, or ends that.
    pub fn note_numbers(&mut self, on: bool) {
        self.cx.index.note_changes(on);
        self.cx.numbers.note_changes(on);
    }

    /// Which have come and gone since this was last asked, while it was noted.
    pub fn take_number_changes(&mut self) -> Vec<HeldChange> {
        let mut changes = self.cx.index.take_changes();
        changes.append(&mut self.cx.numbers.take_changes());
        changes
    }

    /// From now on another process, a newer one, reads the socket and takes what begins.
    pub fn retire(&mut self, own: Generation) {
        self.elsewhere_mut().retired = Some(own);
    }

    /// The newer process is gone, and this one is the newest again.
    pub fn resume(&mut self) {
        let index = &mut self.cx.index;
        let Some(elsewhere) = &mut index.elsewhere else { return };
        if elsewhere.retired.take().is_some() {
            self.cx.mint.take_back();
        }
        if elsewhere.living.is_empty() {
            index.elsewhere = None;
        }
    }

    /// Whether a newer process takes what begins.
    pub(crate) fn is_retired(&self) -> bool {
        self.elsewhere().is_some_and(|elsewhere| elsewhere.retired.is_some())
    }

    /// Whether media of a number is not for this process to miss.
    pub(crate) fn is_elsewhere(&self, remote: SocketAddr, theirs: CallNumber) -> bool {
        self.elsewhere().is_some_and(|elsewhere| {
            elsewhere.retired.is_some() || elsewhere.theirs.contains_key(&Key::new(remote, theirs))
        })
    }

    /// So many datagrams were handed to older processes.
    pub fn report_handed_on(&mut self, count: u64) {
        self.cx.counters.handed_on += count;
    }

    /// What other processes need to take the call tokens of this one.
    #[must_use]
    pub fn call_token_keys(&self, now: Instant) -> CallTokenKeys {
        self.cx.mint.keys(now)
    }

    /// Takes the call tokens that another process has given.
    pub fn adopt_call_token_keys(&mut self, now: Instant, keys: &CallTokenKeys) {
        self.cx.mint.adopt(now, keys);
    }

    /// Whose a datagram from `from` is.
    #[must_use]
    pub fn whose(&self, from: SocketAddr, datagram: &[u8]) -> Whose {
        let Some(elsewhere) = self.elsewhere() else { return Whose::Here };
        let here_or = |whose: Option<Generation>| whose.map_or(Whose::Here, Whose::Of);
        let Some((theirs, ours)) = numbers(datagram) else {
            return self.whose_without_call(elsewhere, from, datagram);
        };
        let index = &self.cx.index;
        let (is_here, known) = match ours {
            Some(ours) => (
                index.find_by_ours(from, ours).is_some(),
                elsewhere.ours.get(&Key::new(from, ours)),
            ),
            None => (
                index.find_by_theirs(from, theirs).is_some(),
                elsewhere.theirs.get(&Key::new(from, theirs)),
            ),
        };
        if is_here {
            return Whose::Here;
        }
        if let Some(whose) = known {
            return Whose::Of(*whose);
        }
        // No call has these numbers there: perhaps its peer has moved.
        if self.cx.numbers.finds(Path::from(from), theirs, ours) {
            return Whose::Here;
        }
        let moved = elsewhere.moved(from, theirs, ours);
        // What has just been taken may not be told of yet.
        here_or(moved.or_else(|| elsewhere.of_class(ours?)))
    }

    /// The same for openings, answers without a number, video, and trunk frames.
    fn whose_without_call(
        &self,
        elsewhere: &Elsewhere,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Whose {
        let [s0, s1, d0, d1, ..] = *datagram else { return Whose::Here };
        let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        let ours = CallNumber::from_bits(destination);
        let index = &self.cx.index;
        let by_theirs = |number: CallNumber| match index.find_by_theirs(from, number) {
            Some(_) => None,
            None => elsewhere.theirs.get(&Key::new(from, number)).copied(),
        };
        let found = if source & 0x8000 != 0 && ours.is_none() {
            let openings = elsewhere.openings.iter().find(|(remote, _)| *remote == from);
            let known = by_theirs(CallNumber::from_bits(source));
            known.or_else(|| openings.map(|(_, whose)| *whose))
        } else if source & 0x8000 != 0 {
            // From somebody without a number of its own: an answer to what one of ours asked.
            let known = elsewhere.ours.get(&Key::new(from, ours)).copied();
            let known = known.or_else(|| elsewhere.of_class(ours));
            known.filter(|_| index.find_by_ours(from, ours).is_none())
        } else if source == 0 && destination & 0x8000 != 0 {
            by_theirs(ours)
        } else {
            return self.whose_trunk(elsewhere, from, datagram);
        };
        found.map_or(Whose::Here, Whose::Of)
    }

    fn whose_trunk(&self, elsewhere: &Elsewhere, from: SocketAddr, datagram: &[u8]) -> Whose {
        let Ok(Datagram::Trunk(trunk)) = Datagram::decode(datagram) else { return Whose::Here };
        let (mut classes, mut here) = (0, false);
        for entry in trunk.entries() {
            match elsewhere.theirs.get(&Key::new(from, entry.source)) {
                Some(whose) if self.cx.index.find_by_theirs(from, entry.source).is_none() => {
                    classes |= 1 << whose.class();
                }
                _ => here = true,
            }
        }
        match classes {
            0 => Whose::Here,
            classes => Whose::Shared { classes, here },
        }
    }

    /// Forgets all registrations of ours without telling the peers, since another process renews them.
    pub fn leave_registrations(&mut self, now: Instant) {
        let now = self.cx.time.enter(now);
        let all: Vec<u32> = self
            .slots
            .all()
            .filter_map(|(place, slot)| matches!(slot.role, Role::Registration(_)).then_some(place))
            .collect();
        for place in all {
            self.leave_registration(now, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use oneport_wire::{Format, MiniTimestamp, TrunkWriter};

    use super::*;
    use crate::config::EndpointConfig;
    use crate::offer::NewCall;

    fn endpoint() -> Endpoint {
        Endpoint::new(EndpointConfig::default(), [5; 32], Instant::from_micros(0))
    }

    fn remote(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn number(n: u16) -> CallNumber {
        CallNumber::from_bits(n)
    }

    fn held(endpoint: &mut Endpoint, whose: u32, held: Held) {
        let change = HeldChange { held, is_held: true };
        endpoint.learn_elsewhere(Generation(whose), change);
    }

    /// Places calls, and gives their numbers.
    fn place(endpoint: &mut Endpoint, count: usize) -> Vec<CallNumber> {
        let now = Instant::from_micros(1);
        let calls = (0..count).map(|_| {
            let new = NewCall { formats: vec![Format::ULAW], ..NewCall::to("600") };
            let call = endpoint.place_call(now, remote(4569), new).unwrap();
            endpoint.call_numbers(call).unwrap().0
        });
        calls.collect()
    }

    #[test]
    fn numbers_of_older_processes_and_their_classes_are_left_to_them_and_no_others() {
        let mut newest = endpoint();
        newest.older_lives(Generation(3));
        for n in 1_000..11_000 {
            held(&mut newest, 3, Held::Ours(remote(4569), number(n)));
        }
        let taken = place(&mut newest, 1_500);
        let is_free = |n: &CallNumber| n.get() % 64 != 3 && !(1_000..11_000).contains(&n.get());
        assert!(taken.iter().all(is_free), "{taken:?}");
        newest.retire(Generation(5));
        let own = place(&mut newest, 300);
        assert!(own.iter().all(|n| n.get() % 64 == 5 && is_free(n)), "{own:?}");
        newest.resume();
        newest.forget_elsewhere(Generation(3));
        let any = place(&mut newest, 200);
        assert!(any.iter().any(|n| n.get() % 64 != 5), "{any:?}");
        assert_eq!(newest.inconsistency(), None);
    }

    #[test]
    fn each_datagram_is_whose_call_it_is_for() {
        let full = |theirs: u16, ours: u16| {
            let numbers = [(0x8000 | theirs).to_be_bytes(), ours.to_be_bytes()].concat();
            [&numbers[..], &[0, 0, 0, 9, 0, 0, 6, 2]].concat()
        };
        let mini = |theirs: u16| [&theirs.to_be_bytes()[..], &[0, 20, 1, 2]].concat();
        let video =
            |theirs: u16| [&[0, 0][..], &(0x8000 | theirs).to_be_bytes(), &[0, 20, 1, 2]].concat();
        let mut newest = endpoint();
        assert_eq!(newest.whose(remote(1), &full(7, 70)), Whose::Here);
        newest.older_lives(Generation(1));
        newest.older_lives(Generation(2));
        held(&mut newest, 1, Held::Ours(remote(1), number(70)));
        held(&mut newest, 1, Held::Theirs(remote(1), number(7)));
        held(&mut newest, 1, Held::Both(remote(1), number(70), number(7)));
        held(&mut newest, 2, Held::Theirs(remote(1), number(8)));
        held(&mut newest, 2, Held::Openings(remote(9)));
        let (first, second) = (Whose::Of(Generation(1)), Whose::Of(Generation(2)));
        let expected = [
            (remote(1), full(7, 70), first),
            (remote(1), full(1, 70), first),
            (remote(1), mini(7), first),
            (remote(1), video(7), first),
            // A copy of what opened the call, or the peer's next.
            (remote(1), full(7, 0), first),
            (remote(1), mini(8), second),
            (remote(1), full(9, 0), Whose::Here),
            (remote(9), full(9, 0), second),
            // Of the class of the second, so that it may have taken it just now.
            (remote(5), full(9, 130), second),
            (remote(5), full(9, 131), Whose::Here),
            // Its peer has moved.
            (remote(3), full(7, 70), first),
            (remote(3), mini(7), first),
            (remote(3), full(8, 70), Whose::Here),
            (remote(1), vec![0x80], Whose::Here),
            (remote(1), Vec::new(), Whose::Here),
        ];
        for (from, datagram, whose) in &expected {
            assert_eq!(newest.whose(*from, datagram), *whose, "{from} {datagram:02X?}");
        }
        newest.forget_elsewhere(Generation(1));
        newest.forget_elsewhere(Generation(2));
        for (from, datagram, _) in expected {
            assert_eq!(newest.whose(from, &datagram), Whose::Here);
        }
    }

    #[test]
    fn a_trunk_frame_is_of_all_whose_voice_is_in_it() {
        let mut newest = endpoint();
        for (whose, theirs) in [(1, 7), (2, 8)] {
            newest.older_lives(Generation(whose));
            held(&mut newest, whose, Held::Theirs(remote(1), number(theirs)));
        }
        let check = |numbers: &[u16], whose: Whose| {
            let mut writer = TrunkWriter::new(true, 1_400);
            for theirs in numbers {
                assert!(writer.push(number(*theirs), MiniTimestamp(20), &[1; 20]));
            }
            let datagram = writer.finish(oneport_wire::Timestamp(20)).to_vec();
            assert_eq!(newest.whose(remote(1), &datagram), whose, "{numbers:?}");
        };
        check(&[7, 8], Whose::Shared { classes: 0b110, here: false });
        check(&[7, 9], Whose::Shared { classes: 0b10, here: true });
        check(&[9], Whose::Here);
    }

    #[test]
    fn what_is_held_is_told_once_and_each_change_of_it() {
        let mut older = endpoint();
        older.note_numbers(true);
        let taken = place(&mut older, 3);
        let told = older.take_number_changes();
        assert!(told.iter().all(|change| change.is_held));
        let all: Vec<Held> =
            older.held_numbers(Generation(0)).into_iter().map(|(_, held)| held).collect();
        assert_eq!(all, told.iter().map(|change| change.held).collect::<Vec<_>>());
        let expected: Vec<Held> = taken.iter().map(|n| Held::Ours(remote(4569), *n)).collect();
        assert_eq!(all, expected);
        assert_eq!(older.take_number_changes(), []);
    }
}
