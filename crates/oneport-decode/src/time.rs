//! When a packet passed.

use std::time::Duration;

/// A moment by the clock of whoever captured: nanoseconds since 1970.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_decode::Time;
///
/// let (ring, answer) = (Time(1_700_000_000_000_000_000), Time(1_700_000_004_500_000_000));
/// assert_eq!(answer.since(ring), Duration::from_millis(4_500));
/// assert_eq!(answer.seconds(), 1_700_000_004.5);
/// // The clock was put back.
/// assert_eq!(ring.since(answer), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// Of `ticks`, of which a second has `per_second`, and whole seconds beside.
    pub(crate) fn from_ticks(ticks: u64, per_second: u64, offset_seconds: i64) -> Self {
        let per_second = u128::from(per_second.max(1));
        let nanos = u128::from(ticks) * 1_000_000_000 / per_second;
        let offset = i128::from(offset_seconds) * 1_000_000_000;
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX).saturating_add(offset);
        Self(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }

    /// How long ago another was; zero where the clock was put back.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Seconds since 1970, with the parts of one.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_any_length_are_nanoseconds() {
        assert_eq!(Time::from_ticks(1_500_000, 1_000_000, 0), Time(1_500_000_000));
        assert_eq!(Time::from_ticks(3, 1 << 1, 10), Time(11_500_000_000));
        assert_eq!(Time::from_ticks(u64::MAX, 1, i64::MAX), Time(u64::MAX));
        assert_eq!(Time::from_ticks(5, 0, -100), Time(0));
        assert_eq!(Time(5).since(Time(9)), Duration::ZERO);
    }
}
