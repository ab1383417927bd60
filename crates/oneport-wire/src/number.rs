//! The small numbers of frame headers: call numbers, sequence numbers, timestamps.

use core::fmt;

/// A call number: 15 bits, chosen by each side for itself (RFC 5456 §8.1.1).
///
/// ```
/// use oneport_wire::CallNumber;
///
/// assert_eq!(CallNumber::new(0x8000), None);
/// // Of a header word the top bit is a flag.
/// assert_eq!(CallNumber::from_bits(0x8002).get(), 2);
/// assert!(CallNumber::NONE.is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CallNumber(u16);

impl CallNumber {
    /// As destination: not known yet. Never a call.
    pub const NONE: Self = Self(0);
    /// Source of answers that belong to no call. Never a call.
    pub const STATELESS: Self = Self(1);
    /// The greatest.
    pub const MAX: Self = Self(0x7FFF);

    /// A call number, if it fits 15 bits.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// The lower 15 bits of a header word.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::MAX.0)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether it is [`NONE`](Self::NONE).
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for CallNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CallNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A sequence number of full frames: 8 bits, wrapping (RFC 5456 §7.1).
///
/// ```
/// use oneport_wire::Seq;
///
/// assert_eq!(Seq(255).next(), Seq::ZERO);
/// // Frames 254, 255, 0 and 1 are between.
/// assert_eq!(Seq(2).since(Seq(254)), 4);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Seq(pub u8);

impl Seq {
    /// Where both directions begin.
    pub const ZERO: Self = Self(0);

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Steps from `earlier` to this, around the circle.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u8 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A timestamp of a full frame: ms since its sender began the call, wrapping after 49.7 days.
///
/// ```
/// use oneport_wire::{MiniTimestamp, Timestamp, VideoTimestamp};
///
/// let timestamp = Timestamp(0x0001_F00A);
/// assert_eq!(timestamp.low16(), MiniTimestamp(0xF00A));
/// assert_eq!(timestamp.low15(), VideoTimestamp(0x700A));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// The part that a voice mini frame carries.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
    pub const fn low16(self) -> MiniTimestamp {
        MiniTimestamp(self.0 as u16)
    }

    /// The part that a video mini frame carries.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low 15 bits are what is wanted")]
    pub const fn low15(self) -> VideoTimestamp {
        VideoTimestamp(self.0 as u16 & 0x7FFF)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The low 16 bits of a timestamp, as voice mini frames carry them; they wrap after 65.5 s.
///
/// ```
/// use oneport_wire::{MiniTimestamp, Timestamp};
///
/// // The clock has wrapped since the last frame.
/// assert_eq!(MiniTimestamp(14).unwrap_near(Timestamp(65_530)), Timestamp(65_550));
/// // One of before the wrap comes late.
/// assert_eq!(MiniTimestamp(65_510).unwrap_near(Timestamp(65_550)), Timestamp(65_510));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MiniTimestamp(pub u16);

impl MiniTimestamp {
    /// The whole timestamp, given the `last` one received: the same upper half, unless that would
    /// be a jump of more than 50 s, which is a wrap seen from one of its sides.
    #[must_use]
    pub const fn unwrap_near(self, last: Timestamp) -> Timestamp {
        unwrap(self.0 as u32, last.0, 0x1_0000, 50_000)
    }
}

/// The low 15 bits of a timestamp, as video mini frames carry them; they wrap after 32.8 s.
///
/// ```
/// use oneport_wire::{Timestamp, VideoTimestamp};
///
/// assert_eq!(VideoTimestamp(2).unwrap_near(Timestamp(32_760)), Timestamp(32_770));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct VideoTimestamp(pub u16);

impl VideoTimestamp {
    /// The whole timestamp, as [`MiniTimestamp::unwrap_near`] with half of the range.
    #[must_use]
    pub const fn unwrap_near(self, last: Timestamp) -> Timestamp {
        unwrap((self.0 & 0x7FFF) as u32, last.0, 0x8000, 25_000)
    }
}

const fn unwrap(low: u32, last: u32, range: u32, threshold: i64) -> Timestamp {
    let candidate = last & !(range - 1) | low;
    // Both have the same upper part, so the difference is within one range.
    let ahead = candidate as i64 - last as i64;
    Timestamp(if ahead < -threshold {
        candidate.wrapping_add(range)
    } else if ahead > threshold {
        candidate.wrapping_sub(range)
    } else {
        candidate
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mini_timestamp_unwraps_on_both_sides_of_the_wrap() {
        let check = |low, last, whole| {
            assert_eq!(MiniTimestamp(low).unwrap_near(Timestamp(last)), Timestamp(whole));
        };
        check(20, 65_520, 65_556); // stepped over
        check(65_520, 65_556, 65_520); // reordered around it
        check(40, 20, 40);
        check(20, 40, 20);
        check(10, u32::MAX - 5, 10); // 49.7 days
        check(0xFFFF, 3, 0xFFFF_FFFF); // and back
    }

    #[test]
    fn a_video_timestamp_unwraps_at_15_bits() {
        let check = |low, last, whole| {
            assert_eq!(VideoTimestamp(low).unwrap_near(Timestamp(last)), Timestamp(whole));
        };
        check(10, 32_760, 32_778);
        check(32_760, 32_778, 32_760);
        check(100, 90, 100);
    }

    #[test]
    fn sequence_numbers_go_round() {
        assert_eq!(Seq(255).next(), Seq::ZERO);
        assert_eq!(Seq(3).since(Seq(250)), 9);
    }
}
