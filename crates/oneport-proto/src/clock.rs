//! Time as the engine sees it: handed in by the caller, never read.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::Add;
use core::time::Duration;

/// A moment: µs since an origin of the caller's choice.
///
/// Eight bytes, also as `Option<Instant>`. The origin must not move while an
/// `Endpoint` lives; a monotonic clock does that, a wall clock does not.
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
    fn an_optional_instant_takes_no_more_room_than_an_instant() {
        assert_eq!(size_of::<Option<Instant>>(), 8);
    }

    #[test]
    fn milliseconds_wrap_after_49_days() {
        let start = Instant::from_micros(5);
        let later = start + Duration::from_millis((1 << 32) + 7);
        assert_eq!(later.millis_since(start), 7);
        assert_eq!(start.since(later), Duration::ZERO);
    }
}
