//! Moments as people date them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment in UTC, to the millisecond.
///
/// It is written as RFC 3339 with three digits of fraction, `2026-02-03T04:05:06.789Z`, so that the
/// order of the texts is that of the moments.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_switch::Utc;
///
/// let moment: Utc = "2026-02-03T05:05:06+01:00".parse()?;
/// assert_eq!(moment.to_string(), "2026-02-03T04:05:06.000Z");
/// assert_eq!(moment.after(Duration::from_millis(1_500)).since(moment).as_millis(), 1_500);
/// # Ok::<(), oneport_switch::NoMoment>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Utc(i64);

impl Utc {
    /// Years beyond these have no four digits.
    const EARLIEST: i64 = -62_135_596_800_000;
    const LATEST: i64 = 253_402_207_200_000;

    /// So many milliseconds after the beginning of 1970, or before it.
    #[must_use]
    pub fn from_unix_millis(millis: i64) -> Self {
        Self(millis.clamp(Self::EARLIEST, Self::LATEST))
    }

    /// Milliseconds since the beginning of 1970.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// The moment now, by the system's clock.
    #[must_use]
    pub fn now() -> Self {
        Self::from_unix_millis(Timestamp::now().as_millisecond())
    }

    /// Now, in µs since the beginning of 1970.
    pub(crate) fn micros_now() -> u64 {
        u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0)
    }

    /// The moment so much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_millis(self.0.saturating_add(millis))
    }

    /// The moment so much earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_millis(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` it is; zero where it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = Timestamp::from_millisecond(self.0).unwrap_or_default();
        write!(f, "{moment:.3}")
    }
}

/// A text is no moment.
///
/// ```
/// use oneport_switch::Utc;
///
/// let error = "yesterday".parse::<Utc>().expect_err("nobody knows when that is");
/// assert!(error.to_string().starts_with("`yesterday` is no moment"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is no moment as RFC 3339 writes it, such as 2026-02-03T04:05:06Z: {why}")]
pub struct NoMoment {
    text: String,
    why: String,
}

impl FromStr for Utc {
    type Err = NoMoment;

    /// Reads any RFC 3339 time with an offset; parts of a millisecond are left out.
    fn from_str(text: &str) -> Result<Self, NoMoment> {
        let moment: Timestamp = text
            .parse()
            .map_err(|error: jiff::Error| NoMoment { text: text.into(), why: error.to_string() })?;
        Ok(Self::from_unix_millis(moment.as_millisecond()))
    }
}

impl Serialize for Utc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Utc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_milliseconds_always_and_sort_as_their_moments_do() {
        let moments = [-1_000, 0, 5, 1_000, 1_764_300_000_120, 1_764_300_000_123];
        let texts: Vec<String> =
            moments.iter().map(|millis| Utc::from_unix_millis(*millis).to_string()).collect();
        assert_eq!(texts[1], "1970-01-01T00:00:00.000Z");
        assert_eq!(texts[4], "2025-11-28T03:20:00.120Z");
        assert!(texts.is_sorted(), "{texts:?}");
        for (text, millis) in texts.iter().zip(moments) {
            assert_eq!(text.parse(), Ok(Utc::from_unix_millis(millis)));
        }
        for millis in [i64::MIN, i64::MAX] {
            let moment = Utc::from_unix_millis(millis);
            assert_eq!(moment.to_string().parse(), Ok(moment));
            assert_eq!(moment.to_string().len(), texts[0].len());
        }
    }

    #[test]
    fn an_offset_is_understood_and_no_offset_is_a_mistake() {
        let there: Utc = "2026-02-03T05:05:06.7899+01:00".parse().expect("a moment");
        assert_eq!(there.to_string(), "2026-02-03T04:05:06.789Z");
        assert!("2026-02-03 04:05".parse::<Utc>().is_err());
        assert!("yesterday".parse::<Utc>().is_err());
    }

    #[test]
    fn spans_saturate_and_are_never_negative() {
        let noon = Utc::from_unix_millis(1_000);
        assert_eq!(noon.after(Duration::from_millis(7)).since(noon), Duration::from_millis(7));
        assert_eq!(noon.before(Duration::from_millis(7)).since(noon), Duration::ZERO);
        assert_eq!(noon.after(Duration::MAX), Utc::from_unix_millis(i64::MAX));
    }
}
