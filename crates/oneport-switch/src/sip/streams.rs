//! Connections of TCP and TLS that others open: how many there may be, and whose.
//!
//! A connection holds memory before anything has been said on it. So strangers have at most half of all
//! places, and whoever has not become known after a while loses his. It knows addresses and counts alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long somebody may be connected of whom nothing is known: a phone registers at once.
pub(super) const STRANGERS_TIME: Duration = Duration::from_secs(10);

/// How many connections there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Most {
    /// In all.
    pub(crate) in_all: usize,
    /// From one address.
    pub(crate) of_address: usize,
}

/// Why a connection was closed by us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turned {
    /// All places are taken, or all that strangers have.
    Full,
    /// All that its address may have are.
    AddressFull,
    /// Nobody became known by it in time.
    Stranger,
}

impl Turned {
    /// All of them, by the names that metrics have for them.
    pub(crate) const NAMES: [(Self, &str); 3] =
        [(Self::Full, "full"), (Self::AddressFull, "address_full"), (Self::Stranger, "stranger")];
}

/// What is open, and what was closed by us since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Connections of those whom we know.
    pub(crate) known: usize,
    pub(crate) strangers: usize,
    turned: [u64; Turned::NAMES.len()],
}

impl Counts {
    /// How many were closed for this reason.
    pub(crate) fn turned(&self, why: Turned) -> u64 {
        let places = Turned::NAMES.iter().zip(self.turned);
        places.filter(|((known, _), _)| *known == why).map(|(_, count)| count).sum()
    }
}

#[derive(Default)]
struct Table {
    counts: Counts,
    at: HashMap<IpAddr, usize>,
}

/// All connections that others have opened.
#[derive(Default)]
pub(crate) struct Streams(Mutex<Table>);

impl Streams {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// A place for a connection from `address`, by somebody whom we know or by a stranger.
    ///
    /// # Errors
    /// There is none; that is counted.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        is_known: bool,
        most: Most,
    ) -> Result<Place, Turned> {
        let mut table = self.lock();
        let Counts { known, strangers, .. } = table.counts;
        let is_full =
            known + strangers >= most.in_all || !is_known && strangers >= most.in_all.div_ceil(2);
        let of_address = table.at.get(&address).copied().unwrap_or_default();
        let turned = match (is_full, of_address >= most.of_address) {
            (false, false) => None,
            (_, true) => Some(Turned::AddressFull),
            (true, false) => Some(Turned::Full),
        };
        if let Some(turned) = turned {
            drop(table);
            self.turn(turned);
            return Err(turned);
        }
        match is_known {
            true => table.counts.known += 1,
            false => table.counts.strangers += 1,
        }
        *table.at.entry(address).or_default() += 1;
        Ok(Place { streams: self.clone(), address, is_known })
    }

    /// Counts one that is closed.
    pub(super) fn turn(&self, why: Turned) {
        let mut table = self.lock();
        let places = Turned::NAMES.iter().zip(&mut table.counts.turned);
        places.filter(|((known, _), _)| *known == why).for_each(|(_, count)| *count += 1);
    }
}

/// The place of a connection, given back when it is dropped.
pub(super) struct Place {
    streams: Arc<Streams>,
    address: IpAddr,
    is_known: bool,
}

impl Place {
    /// Whoever has it is no stranger any more.
    pub(super) fn becomes_known(&mut self) {
        if !std::mem::replace(&mut self.is_known, true) {
            let counts = &mut self.streams.lock().counts;
            counts.strangers -= 1;
            counts.known += 1;
        }
    }

    pub(super) const fn is_known(&self) -> bool {
        self.is_known
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.streams.lock();
        match self.is_known {
            true => table.counts.known -= 1,
            false => table.counts.strangers -= 1,
        }
        if let Some(count) = table.at.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                table.at.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { in_all: 6, of_address: 2 };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn strangers_leave_half_of_all_places_to_those_we_know() {
        let streams = Arc::new(Streams::default());
        let enter = |last, is_known| streams.enter(address(last), is_known, MOST);
        let strangers: Vec<Place> = (0..3).map(|last| enter(last, false).expect("free")).collect();
        assert_eq!(enter(3, false).err(), Some(Turned::Full));
        let known: Vec<Place> = (3..6).map(|last| enter(last, true).expect("free")).collect();
        assert_eq!(enter(6, true).err(), Some(Turned::Full), "in all");
        let counts = streams.counts();
        assert_eq!((counts.known, counts.strangers), (3, 3));
        assert_eq!(counts.turned(Turned::Full), 2);
        drop((strangers, known));
        assert_eq!((streams.counts().known, streams.counts().strangers), (0, 0));
        assert!(streams.lock().at.is_empty(), "nothing is kept of an address");
    }

    #[test]
    fn a_stranger_who_becomes_known_makes_room_for_another() {
        let streams = Arc::new(Streams::default());
        let enter = |last| streams.enter(address(last), false, MOST);
        let mut strangers: Vec<Place> = (0..3).map(|last| enter(last).expect("free")).collect();
        let first = strangers.first_mut().expect("three");
        first.becomes_known();
        first.becomes_known();
        assert_eq!((streams.counts().known, streams.counts().strangers), (1, 2));
        let another = enter(3).expect("free");
        drop((strangers, another));
        assert_eq!((streams.counts().known, streams.counts().strangers), (0, 0));
    }

    #[test]
    fn one_address_has_so_many_and_gets_them_back() {
        let streams = Arc::new(Streams::default());
        let enter = |last| streams.enter(address(last), true, MOST);
        let (first, second) = (enter(1).expect("free"), enter(1).expect("free"));
        assert_eq!(enter(1).err(), Some(Turned::AddressFull));
        assert!(enter(2).is_ok(), "another has");
        drop(first);
        assert!(enter(1).is_ok());
        assert_eq!(streams.counts().turned(Turned::AddressFull), 1);
        drop(second);
    }
}
