//! When a route holds.

/// A moment as a clock on the wall shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WallTime {
    /// 0 is Monday.
    pub(crate) weekday: u8,
    /// Minutes since midnight.
    pub(crate) minute: u16,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
}

/// Days and times: `mon-fri 09:00-17:30`, `sat,sun`, `22:00-06:00`, `12-24..12-26`. What is left out
/// holds always. A time that runs over midnight belongs to the day it begins on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hours {
    text: String,
    /// A bit for each weekday, Monday first.
    days: u8,
    /// Minutes since midnight: first, and the one behind the last.
    times: Option<(u16, u16)>,
    /// Month and day: first and last.
    dates: Option<((u8, u8), (u8, u8))>,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const ALL_DAYS: u8 = 0x7F;

impl Hours {
    /// Reads them; `None` where they make no sense.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut hours = Self { text: text.into(), days: 0, times: None, dates: None };
        for word in text.split_whitespace() {
            if word.contains(':') {
                hours.times = Some(read_times(word).filter(|_| hours.times.is_none())?);
            } else if word.starts_with(|first: char| first.is_ascii_digit()) {
                hours.dates = Some(read_dates(word).filter(|_| hours.dates.is_none())?);
            } else {
                hours.days |= read_days(word)?;
            }
        }
        if hours.days == 0 {
            hours.days = ALL_DAYS;
        }
        (!text.trim().is_empty()).then_some(hours)
    }

    /// Whether they hold at `time`.
    pub(crate) fn hold(&self, time: WallTime) -> bool {
        let WallTime { weekday, minute, month, day } = time;
        let in_dates = self.dates.is_none_or(|(first, last)| {
            let today = (month, day);
            if first <= last {
                (first..=last).contains(&today)
            } else {
                today >= first || today <= last
            }
        });
        let on = |weekday: u8| self.days & (1 << (weekday % 7)) != 0;
        let in_times = match self.times {
            None => on(weekday),
            Some((from, to)) if from < to => on(weekday) && (from..to).contains(&minute),
            Some((from, to)) => on(weekday) && minute >= from || on(weekday + 6) && minute < to,
        };
        in_dates && in_times
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn read_day(word: &str) -> Option<u8> {
    let day = DAYS.iter().position(|day| word.eq_ignore_ascii_case(day))?;
    u8::try_from(day).ok()
}

fn read_days(word: &str) -> Option<u8> {
    let mut days = 0;
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (read_day(first)?, read_day(last)?);
        let mut day = first;
        days |= 1 << day;
        while day != last {
            day = (day + 1) % 7;
            days |= 1 << day;
        }
    }
    Some(days)
}

/// Two numbers around a separator, each with two digits at most.
fn read_pair(word: &str, separator: char) -> Option<(u8, u8)> {
    let (one, two) = word.split_once(separator)?;
    let read = |text: &str| text.parse().ok().filter(|_| text.len() <= 2);
    Some((read(one)?, read(two)?))
}

fn read_times(word: &str) -> Option<(u16, u16)> {
    let read = |text: &str| {
        let (hour, minute) = read_pair(text, ':')?;
        let minutes = u16::from(hour) * 60 + u16::from(minute);
        (minute < 60 && minutes <= 24 * 60).then_some(minutes)
    };
    let (from, to) = word.split_once('-')?;
    let (from, to) = (read(from)?, read(to)?);
    (from != to).then_some((from, to))
}

fn read_dates(word: &str) -> Option<((u8, u8), (u8, u8))> {
    let read = |text: &str| {
        // Two digits each: `9-17` is more likely meant for a time.
        let (month, day) = read_pair(text, '-').filter(|_| text.len() == 5)?;
        ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some((month, day))
    };
    let (first, last) = word.split_once("..").unwrap_or((word, word));
    Some((read(first)?, read(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(weekday: u8, hour: u16, minute: u16) -> WallTime {
        WallTime { weekday, minute: hour * 60 + minute, month: 11, day: 28 }
    }

    fn holds(text: &str, time: WallTime) -> bool {
        Hours::parse(text).unwrap().hold(time)
    }

    #[test]
    fn days_and_times_hold_when_they_say() {
        let office = "mon-fri 09:00-17:30";
        assert!(holds(office, at(0, 9, 0)) && holds(office, at(4, 17, 29)));
        assert!(!holds(office, at(4, 17, 30)) && !holds(office, at(5, 12, 0)));
        assert!(!holds(office, at(0, 8, 59)));
        assert!(holds("sat,sun", at(6, 0, 0)) && !holds("sat,sun", at(0, 0, 0)));
        assert!(holds("fri-mon", at(6, 1, 1)) && !holds("fri-mon", at(2, 1, 1)));
        assert!(holds("00:00-24:00", at(3, 23, 59)));
    }

    #[test]
    fn a_night_belongs_to_the_day_it_begins_on() {
        let night = "fri 22:00-06:00";
        assert!(holds(night, at(4, 23, 0)) && holds(night, at(5, 5, 59)));
        assert!(!holds(night, at(4, 5, 0)) && !holds(night, at(5, 22, 0)));
        assert!(holds("sun 22:00-06:00", at(0, 1, 0)), "over the end of the week");
    }

    #[test]
    fn dates_may_run_over_the_new_year() {
        let on = |month, day| WallTime { weekday: 2, minute: 720, month, day };
        assert!(holds("12-24..01-01", on(12, 31)) && holds("12-24..01-01", on(1, 1)));
        assert!(!holds("12-24..01-01", on(1, 2)) && !holds("12-24..01-01", on(12, 23)));
        assert!(holds("11-28 12:00-13:00", on(11, 28)));
    }

    #[test]
    fn nonsense_is_not_taken() {
        for text in
            ["", " ", "mo-fr", "9-17", "09:00", "09:00-09:00", "25:00-26:00", "13-01", "mon-"]
        {
            assert_eq!(Hours::parse(text), None, "{text:?}");
        }
    }
}
