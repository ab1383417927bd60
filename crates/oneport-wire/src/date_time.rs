//! DATETIME: a date and a time of day in 32 bits (RFC 5456 §8.6.28).

use core::fmt;

/// A date and time, to two seconds, in no particular time zone: peers send local time or UTC.
///
/// ```
/// use oneport_wire::DateTime;
///
/// let time = DateTime::from_unix(1_795_488_553);
/// assert_eq!(time.to_packed(), 0x3578_1626);
/// // The odd second has no bit.
/// assert_eq!(time.to_string(), "2026-11-24 02:49:12");
/// ```
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

    /// The date and time in UTC of a moment `seconds` after the beginning of 1970.
    #[must_use]
    pub fn from_unix(seconds: u64) -> Self {
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March end with the leap day; eras of 400 of them are alike.
        let since_march = days + 719_468;
        let (era, day) = (since_march / 146_097, since_march % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let small = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
        Self {
            year: u16::try_from(year).unwrap_or(u16::MAX),
            month: small(month),
            day: small(day),
            hour: small(second / 3_600),
            minute: small(second / 60 % 60),
            second: small((second % 60) & !1),
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

    #[test]
    fn a_moment_has_its_date_in_utc() {
        for (seconds, date) in [
            (946_684_800, "2000-01-01 00:00:00"),
            (951_868_799, "2000-02-29 23:59:58"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_795_488_552, "2026-11-24 02:49:12"),
            (1_798_761_599, "2026-12-31 23:59:58"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(DateTime::from_unix(seconds).to_string(), date);
        }
    }
}
