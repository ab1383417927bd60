//! A bad network inside of a driver, for tests of what it does to calls: datagrams that leave and that come are
//! lost, late, overtaken and repeated as an [`Impairment`] says.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use oneport_impairment::{Fate, Impairment, Link};
use oneport_proto::Path;

/// Datagrams that wait at the same time; more are lost, as in any machine.
const MOST_WAITING: usize = 1 << 20;

/// What is made of a driver's datagrams on their way. The same seed has the same fates.
///
/// ```
/// use std::time::Duration;
///
/// use oneport::{BadNetwork, DriverConfig, Impairment};
///
/// // One datagram of a hundred is lost, and all are 80 ms on the way.
/// let bad = Impairment {
///     loss: 0.01,
///     delay: Duration::from_millis(80),
///     ..Impairment::NONE
/// };
/// let network = BadNetwork { seed: 5456, sent: bad, received: bad };
/// let config = DriverConfig { bad_network: Some(network), ..DriverConfig::default() };
/// assert!(config.bad_network.is_some());
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BadNetwork {
    /// Where chance begins.
    pub seed: u64,
    /// Of those that leave.
    pub sent: Impairment,
    /// Of those that come.
    pub received: Impairment,
}

/// Which way a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Way {
    Out,
    In,
}

/// A datagram under way.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct UnderWay {
    due: Duration,
    serial: u64,
    pub(crate) way: Way,
    pub(crate) path: Path,
    pub(crate) bytes: Vec<u8>,
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.serial).cmp(&(other.due, other.serial))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Both directions, and what is on them.
pub(crate) struct BadLink {
    sent: Link,
    received: Link,
    waiting: BinaryHeap<Reverse<UnderWay>>,
    serial: u64,
}

impl BadLink {
    pub(crate) fn new(network: &BadNetwork) -> Self {
        Self {
            sent: Link::new(network.seed, network.sent),
            // Both directions have a chance of their own.
            received: Link::new(network.seed.wrapping_add(1), network.received),
            waiting: BinaryHeap::new(),
            serial: 0,
        }
    }

    /// A datagram enters, at `now` since any origin.
    pub(crate) fn enter(&mut self, now: Duration, way: Way, path: Path, bytes: &[u8]) {
        let link = match way {
            Way::Out => &mut self.sent,
            Way::In => &mut self.received,
        };
        let Fate { arrives, copy } = link.pass(now, bytes.len());
        for due in [arrives, copy].into_iter().flatten() {
            if self.waiting.len() < MOST_WAITING {
                self.serial += 1;
                let (serial, bytes) = (self.serial, bytes.to_vec());
                self.waiting.push(Reverse(UnderWay { due, serial, way, path, bytes }));
            }
        }
    }

    /// The next that comes out by `now`.
    pub(crate) fn leave(&mut self, now: Duration) -> Option<UnderWay> {
        self.waiting.peek().filter(|Reverse(first)| first.due <= now)?;
        self.waiting.pop().map(|Reverse(first)| first)
    }

    /// When the next comes out.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.waiting.peek().map(|Reverse(first)| first.due)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn what_enters_comes_out_in_time_each_way_by_its_own_rules() {
        let path = Path::from(SocketAddr::from(([192, 0, 2, 1], 4569)));
        let late = |ms| Impairment::delayed(Duration::from_millis(ms));
        let network = BadNetwork { seed: 1, sent: late(30), received: late(10) };
        let mut link = BadLink::new(&network);
        link.enter(Duration::ZERO, Way::Out, path, b"out");
        link.enter(Duration::ZERO, Way::In, path, b"in");
        link.enter(Duration::from_millis(1), Way::In, path, b"in too");
        assert_eq!(link.next(), Some(Duration::from_millis(10)));
        assert_eq!(link.leave(Duration::from_millis(9)), None);
        let mut out = |ms| {
            std::iter::from_fn(|| link.leave(Duration::from_millis(ms)))
                .map(|one| (one.way, one.bytes))
                .collect::<Vec<_>>()
        };
        assert_eq!(out(20), [(Way::In, b"in".to_vec()), (Way::In, b"in too".to_vec())]);
        assert_eq!(out(30), [(Way::Out, b"out".to_vec())]);
    }

    #[test]
    fn what_is_lost_never_comes_out() {
        let path = Path::from(SocketAddr::from(([192, 0, 2, 1], 4569)));
        let lost = Impairment { loss: 1.0, ..Impairment::NONE };
        let network = BadNetwork { seed: 1, sent: lost, received: Impairment::NONE };
        let mut link = BadLink::new(&network);
        link.enter(Duration::ZERO, Way::Out, path, b"out");
        link.enter(Duration::ZERO, Way::In, path, b"in");
        assert_eq!(link.leave(Duration::MAX).map(|one| one.way), Some(Way::In));
        assert_eq!(link.leave(Duration::MAX), None);
    }
}
