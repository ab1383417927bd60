//! DATETIME: a date and a time of day in 32 bits (RFC 5456 §8.6.28).

use core::fmt;

/// A date and time, to two seconds, in no particular time zone: peers send local time or UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DateTime {
    /// 2000 to 2127.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 58, even.
    pub second: u8,
}

impl DateTime {
    /// From its bits, highest first: 7 of year − 2000, 4 month, 5 day, 5 hour, 6 minute, 5 of
    /// second / 2. Values out of range are kept as they came.
    #[must_use]
    pub const fn from_packed(bits: u32) -> Self {
        Self {
            year: 2000 + (bits >> 25) as u16,
            month: (bits >> 21 & 15) as u8,
            day: (bits >> 16 & 31) as u8,
            hour: (bits >> 11 & 31) as u8,
            minute: (bits >> 5 & 63) as u8,
            second: (bits & 31) as u8 * 2,
        }
    }

    /// Its bits.
    #[must_use]
    pub const fn to_packed(self) -> u32 {
        let year = (self.year.saturating_sub(2000) & 127) as u32;
        year << 25
            | (self.month as u32 & 15) << 21
            | (self.day as u32 & 31) << 16
            | (self.hour as u32 & 31) << 11
            | (self.minute as u32 & 63) << 5
            | ((self.second as u32 / 2) & 31)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_bit_pattern_survives() {
        assert_eq!(DateTime::from_packed(0x3578_1626).to_string(), "2026-11-24 02:49:12");
        for bits in (0..=u32::MAX).step_by(65_521) {
            assert_eq!(DateTime::from_packed(bits).to_packed(), bits);
        }
    }
}
