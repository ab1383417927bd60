//! Which of several registrars has us: the next where one does not answer, and a better one again once it is steadily there.
//!
//! It knows no frames and sends nothing: it is told what polls and cycles came to, and says where the next goes.

use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::clock::Instant;

/// How long a better registrar answers each poll before we go back to it.
const STEADY: Duration = Duration::from_secs(60);
/// Whoever is lost so soon after we went back to it has to be steady for twice as long the next time.
const RELAPSE: Duration = Duration::from_secs(600);
/// Twice as long so often at most: 16 minutes.
const MOST_RELAPSES: u32 = 4;

/// One of several addresses that lead to the same (RFC 2782).
///
/// Nobody answers at the first address, and the other is tried after some seconds:
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::{Event, Place, RegistrationConfig};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let mut now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// let other = Place { address: THERE, rank: 1 };
/// here.register(now, RegistrationConfig {
///     to: ([192, 0, 2, 99], 4569).into(),
///     others: vec![other],
///     # username: "ann".into(), secret: None, key: None, allow_plaintext: false,
///     # refresh: Duration::from_secs(60),
///     // …
/// });
/// let register = loop {
///     exchange(now, &mut here, &mut there);
///     if let Some(Event::RegisterRequested { register, .. }) = there.poll_event() {
///         break register;
///     }
///     now = here.poll_timeout().ok_or("it goes on trying")?;
///     here.handle_timeout(now);
/// };
/// assert_eq!(register.path.remote, HERE);
/// assert!(now.since(oneport_proto::Instant::from_micros(0)) < Duration::from_secs(10));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Where it is.
    pub address: SocketAddr,
    /// How far behind the first choice it comes. 0: as good, so nobody goes back from it to the first.
    pub rank: u16,
}

/// What to do when a registrar has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Another is tried.
    AtOnce,
    /// All have failed: a pause, then from the first on.
    Pause,
}

/// A better registrar than the one that has us, and how it answers polls.
#[derive(Debug)]
struct Better {
    index: usize,
    next_poll: Instant,
    interval: Duration,
    well_since: Option<Instant>,
}

/// All registrars of one registration.
#[derive(Debug)]
pub(crate) struct Registrars {
    /// In the order in which they are tried. Never empty.
    places: Vec<Place>,
    /// The one in use.
    at: usize,
    /// Those that have failed since one last had us.
    silent: Vec<bool>,
    better: Option<Better>,
    /// Which one we are about to leave for a better one.
    left: Option<usize>,
    /// When a better one had us again.
    returned: Option<Instant>,
    relapses: u32,
}

impl Registrars {
    pub(crate) fn new(to: SocketAddr, others: &[Place]) -> Self {
        let mut places = vec![Place { address: to, rank: 0 }];
        places.extend(others);
        let silent = vec![false; places.len()];
        Self { places, at: 0, silent, better: None, left: None, returned: None, relapses: 0 }
    }

    /// Whether there is a choice.
    pub(crate) const fn are_several(&self) -> bool {
        self.places.len() > 1
    }

    /// The one in use.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.places.get(self.at).map(|place| place.address)
    }

    /// When a better one is polled next.
    pub(crate) fn next_poll(&self) -> Option<Instant> {
        self.better.as_ref().map(|better| better.next_poll)
    }

    /// The one in use has us. Better ones are polled every `interval`; `None`: never.
    pub(crate) fn registered(&mut self, now: Instant, interval: Option<Duration>) {
        self.silent.fill(false);
        if self.left.take().is_some() {
            self.returned = Some(now);
        }
        match (interval, self.better_after(None)) {
            (Some(interval), Some(index)) => {
                let next_poll = now + interval;
                self.better.get_or_insert(Better { index, next_poll, interval, well_since: None });
            }
            _ => self.better = None,
        }
    }

    /// The one in use does not answer, or (`refused`) does not want us: only silence leads to others.
    pub(crate) fn failed(&mut self, now: Instant, refused: bool) -> Next {
        self.better = None;
        if let Some(back) = self.left.take() {
            // The one before still has us, or had until just now.
            self.relapses = (self.relapses + 1).min(MOST_RELAPSES);
            self.at = back;
            return Next::AtOnce;
        }
        if let Some(returned) = self.returned.take() {
            let soon = now.since(returned) < RELAPSE;
            self.relapses = if soon { (self.relapses + 1).min(MOST_RELAPSES) } else { 0 };
        }
        if let Some(silent) = self.silent.get_mut(self.at) {
            *silent = true;
        }
        match self.silent.iter().position(|silent| !silent) {
            Some(next) if !refused => {
                self.at = next;
                Next::AtOnce
            }
            _ => {
                self.silent.fill(false);
                self.at = 0;
                Next::Pause
            }
        }
    }

    /// The better one that is to be polled now.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<SocketAddr> {
        let better = self.better.as_mut().filter(|better| better.next_poll <= now)?;
        better.next_poll = now + better.interval;
        self.places.get(better.index).map(|place| place.address)
    }

    /// A poll of `address` was answered, or was not. `true`: it is steadily there, and is the one in use from now on.
    pub(crate) fn polled(&mut self, now: Instant, address: SocketAddr, answered: bool) -> bool {
        let steady = STEADY * 2_u32.pow(self.relapses);
        let Some(better) = self.better.as_mut() else { return false };
        if self.places.get(better.index).is_none_or(|place| place.address != address) {
            return false;
        }
        if !answered {
            better.well_since = None;
            let index = better.index;
            let another = self.better_after(Some(index)).or_else(|| self.better_after(None));
            if let (Some(better), Some(another)) = (self.better.as_mut(), another) {
                better.index = another;
            }
            return false;
        }
        if now.since(*better.well_since.get_or_insert(now)) < steady {
            return false;
        }
        self.left = Some(self.at);
        self.at = better.index;
        self.better = None;
        true
    }

    /// Nobody is polled any more.
    pub(crate) fn stop(&mut self) {
        self.better = None;
    }

    /// The first behind `index` that is better than the one in use.
    fn better_after(&self, index: Option<usize>) -> Option<usize> {
        let rank = self.places.get(self.at).map_or(0, |place| place.rank);
        let from = index.map_or(0, |index| index + 1);
        let mut places = self.places.iter().enumerate().skip(from);
        places.find(|(_, place)| place.rank < rank).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 4569))
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn registrars(others: &[(u8, u16)]) -> Registrars {
        let others: Vec<Place> = others
            .iter()
            .map(|(last, rank)| Place { address: address(*last), rank: *rank })
            .collect();
        Registrars::new(address(1), &others)
    }

    /// Polls better ones every 20 s from `from` on, which all answer, and gives the moment at which we go back.
    fn returns(registrars: &mut Registrars, from: u64) -> u64 {
        for seconds in (from..from + 7_200).step_by(20) {
            if let Some(polled) = registrars.poll(at(seconds))
                && registrars.polled(at(seconds), polled, true)
            {
                return seconds;
            }
        }
        panic!("it never goes back");
    }

    #[test]
    fn silent_registrars_are_tried_once_each_in_order_before_a_pause() {
        let mut several = registrars(&[(2, 1), (3, 1)]);
        let mut tried = Vec::new();
        for _ in 0..6 {
            tried.push((several.address(), several.failed(at(0), false)));
        }
        let round = [
            (Some(address(1)), Next::AtOnce),
            (Some(address(2)), Next::AtOnce),
            (Some(address(3)), Next::Pause),
        ];
        assert_eq!(tried, [round, round].concat());
    }

    #[test]
    fn who_is_refused_is_not_taken_to_others_and_begins_at_the_first_again() {
        let mut several = registrars(&[(2, 1), (3, 1)]);
        assert_eq!(several.failed(at(0), true), Next::Pause);
        assert_eq!(several.address(), Some(address(1)));
        assert_eq!(several.failed(at(5), false), Next::AtOnce);
        assert_eq!(several.failed(at(5), true), Next::Pause);
        assert_eq!(several.address(), Some(address(1)));
    }

    #[test]
    fn when_the_one_in_use_is_lost_the_best_of_the_others_is_tried_first() {
        let mut several = registrars(&[(2, 1), (3, 2)]);
        assert_eq!(several.failed(at(0), false), Next::AtOnce);
        several.registered(at(1), Some(INTERVAL));
        assert_eq!(several.failed(at(100), false), Next::AtOnce);
        assert_eq!(several.address(), Some(address(1)), "it may be there again");
        assert_eq!(several.failed(at(108), false), Next::AtOnce);
        assert_eq!(several.address(), Some(address(3)));
    }

    #[test]
    fn a_better_one_has_us_again_when_it_has_answered_each_poll_for_a_minute() {
        let mut several = registrars(&[(2, 1)]);
        assert_eq!(several.failed(at(0), false), Next::AtOnce);
        several.registered(at(0), Some(INTERVAL));
        assert_eq!(several.poll(at(19)), None);
        // It is lost once more after two answers: the minute begins anew.
        for (seconds, answered) in
            [(20, true), (40, true), (60, false), (80, true), (100, true), (120, true)]
        {
            assert_eq!(several.poll(at(seconds)), Some(address(1)));
            assert!(!several.polled(at(seconds), address(1), answered), "{seconds}");
            several.registered(at(seconds), Some(INTERVAL));
        }
        assert_eq!(several.poll(at(140)), Some(address(1)));
        assert!(several.polled(at(140), address(1), true));
        assert_eq!(several.address(), Some(address(1)));
        several.registered(at(141), Some(INTERVAL));
        assert_eq!(several.next_poll(), None, "there is no better one");
    }

    #[test]
    fn nobody_goes_back_to_what_is_as_good() {
        let mut several = registrars(&[(2, 0), (3, 1)]);
        assert_eq!(several.failed(at(0), false), Next::AtOnce);
        several.registered(at(1), Some(INTERVAL));
        assert_eq!((several.address(), several.next_poll()), (Some(address(2)), None));
        assert_eq!(several.failed(at(2), false), Next::AtOnce);
        assert_eq!(several.failed(at(3), false), Next::AtOnce);
        several.registered(at(4), Some(INTERVAL));
        assert_eq!(several.address(), Some(address(3)));
        // The first stays silent, so the second is looked at, which is as good.
        assert_eq!(several.poll(at(24)), Some(address(1)));
        assert!(!several.polled(at(28), address(1), false));
        assert_eq!(several.poll(at(44)), Some(address(2)));
        assert!(!several.polled(at(48), address(2), false));
        assert_eq!(several.poll(at(64)), Some(address(1)));
    }

    #[test]
    fn each_return_that_does_not_last_doubles_the_time_up_to_sixteen_minutes() {
        let mut several = registrars(&[(2, 1)]);
        let (mut now, mut waited) = (0, Vec::new());
        assert_eq!(several.failed(at(now), false), Next::AtOnce);
        for _ in 0..7 {
            several.registered(at(now), Some(INTERVAL));
            let back = returns(&mut several, now + 20);
            waited.push(back - now - 20);
            several.registered(at(back), Some(INTERVAL));
            now = back + 60;
            assert_eq!(several.failed(at(now), false), Next::AtOnce);
        }
        assert_eq!(waited, [60, 120, 240, 480, 960, 960, 960]);
        // One that lasts is trusted as at first.
        several.registered(at(now), Some(INTERVAL));
        let back = returns(&mut several, now + 20);
        several.registered(at(back), Some(INTERVAL));
        now = back + 600;
        assert_eq!(several.failed(at(now), false), Next::AtOnce);
        several.registered(at(now), Some(INTERVAL));
        assert_eq!(returns(&mut several, now + 20) - now - 20, 60);
    }

    #[test]
    fn a_return_that_fails_ends_where_it_began() {
        for refused in [false, true] {
            let mut several = registrars(&[(2, 1)]);
            assert_eq!(several.failed(at(0), false), Next::AtOnce);
            several.registered(at(0), Some(INTERVAL));
            let back = returns(&mut several, 20);
            assert_eq!(several.address(), Some(address(1)));
            assert_eq!(several.failed(at(back + 8), refused), Next::AtOnce);
            assert_eq!(several.address(), Some(address(2)));
            several.registered(at(back + 8), Some(INTERVAL));
            assert_eq!(returns(&mut several, back + 28) - back - 28, 120);
        }
    }
}
