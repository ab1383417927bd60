//! Time as the engine sees it: handed in by the caller, never read.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::Add;
use core::time::Duration;

/// A moment: µs since an origin of the caller's choice.
///
/// Eight bytes, also as `Option<Instant>`. The origin must not move while an
/// `Endpoint` lives; a monotonic clock does that, a wall clock does not.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::Instant;
///
/// let start = Instant::from_micros(5_000);
/// let later = start + Duration::from_millis(20);
/// assert_eq!(later.as_micros(), 25_000);
/// assert_eq!(later.since(start), Duration::from_millis(20));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The moment `micros` µs after the origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        // One is added so that the niche at zero stays free for `Option`.
        match NonZeroU64::new(micros.saturating_add(1)) {
            Some(value) => Self(value),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// µs since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0.get() - 1
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.as_micros().saturating_sub(earlier.as_micros()))
    }

    /// Whole milliseconds after `earlier`, wrapping at 2³² (49.7 days) as timestamps do.
    #[must_use]
    pub(crate) fn millis_since(self, earlier: Self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "timestamps wrap at 32 bits")]
        let millis = (self.as_micros().saturating_sub(earlier.as_micros()) / 1000) as u32;
        millis
    }
}

/// Moments at which what is repeated is due are this far apart at most.
const SHARED: Duration = Duration::from_millis(100);

impl Instant {
    /// When what is done every `interval` is due again: at the next of the moments that all of that
    /// interval share, so that one wake-up serves the polls of many calls. That is later by a 64th of the
    /// interval at most.
    pub(crate) fn next_shared(self, interval: Duration) -> Self {
        let due = (self + interval).as_micros();
        let apart = (interval / 64).min(SHARED).as_micros();
        let apart = u64::try_from(apart).unwrap_or(1).max(1);
        Self::from_micros(due.div_ceil(apart).saturating_mul(apart))
    }
}

/// Turns the caller's moments into ones that never go back.
///
/// A monotonic clock needs none of it. Where a caller's clock steps back all the same, time goes on
/// from where it was: no timer waits for the clock to catch up.
#[derive(Debug)]
pub(crate) struct Timekeeper {
    latest: Instant,
    /// How far we are ahead of the caller's clock.
    ahead: Duration,
}

/// A moment this little before the last is taken for the same: it was looked up early.
const EARLY: Duration = Duration::from_millis(100);

impl Timekeeper {
    pub(crate) fn new(now: Instant) -> Self {
        Self { latest: now, ahead: Duration::ZERO }
    }

    /// Our moment for the caller's. One of ours stays what it is, so commands may call each other.
    pub(crate) fn enter(&mut self, now: Instant) -> Instant {
        if now == self.latest {
            return now;
        }
        let moved = now + self.ahead;
        if moved >= self.latest {
            self.latest = moved;
        } else if self.latest.since(moved) > EARLY {
            self.ahead = self.ahead.saturating_add(self.latest.since(moved));
        }
        self.latest
    }

    /// The last moment that was told: that of a command which has no time of its own.
    pub(crate) const fn latest(&self) -> Instant {
        self.latest
    }

    /// The caller's moment for ours.
    pub(crate) fn leave(&self, moment: Instant) -> Instant {
        let ahead = u64::try_from(self.ahead.as_micros()).unwrap_or(u64::MAX);
        Instant::from_micros(moment.as_micros().saturating_sub(ahead))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX);
        Self::from_micros(self.as_micros().saturating_add(micros))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.as_micros();
        write!(f, "{}.{:06}s", micros / 1_000_000, micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_of_an_interval_are_due_together_and_hardly_later() {
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let interval = Duration::from_secs(10);
        for ms in 1..=100 {
            assert_eq!(at(ms).next_shared(interval), at(10_100), "{ms}");
        }
        assert_eq!(at(0).next_shared(interval), at(10_000));
        assert_eq!(at(3).next_shared(Duration::from_millis(64)), at(67));
        assert_eq!(at(3).next_shared(Duration::from_micros(5)), Instant::from_micros(3_005));
    }

    #[test]
    fn an_optional_instant_takes_no_more_room_than_an_instant() {
        assert_eq!(size_of::<Option<Instant>>(), 8);
    }

    #[test]
    fn time_goes_on_when_the_clock_goes_back() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut time = Timekeeper::new(at(5_000));
        assert_eq!(time.enter(at(5_001)), at(5_001));
        assert_eq!(time.enter(at(1_401)), at(5_001), "an hour back");
        let inner = time.enter(at(1_402));
        assert_eq!(inner, at(5_002));
        assert_eq!(time.enter(inner), inner, "entered already");
        assert_eq!(time.leave(at(5_010)), at(1_410));
        let early = Instant::from_micros(at(1_402).as_micros() - 50_000);
        assert_eq!(time.enter(early), at(5_002));
        assert_eq!(time.enter(at(1_403)), at(5_003), "no drift");
        assert_eq!(time.enter(at(9_000)), at(12_600), "forward is believed");
    }

    #[test]
    fn milliseconds_wrap_after_49_days() {
        let start = Instant::from_micros(5);
        let later = start + Duration::from_millis((1 << 32) + 7);
        assert_eq!(later.millis_since(start), 7);
        assert_eq!(start.since(later), Duration::ZERO);
    }
}
