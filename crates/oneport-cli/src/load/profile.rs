//! What a load looks like: as its options say, or as a kind of traffic that has a name.

use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

use super::plan::Calls;

/// A kind of traffic. What an option says of it counts more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Profile {
    /// A predictive dialer: 200 short calls, 20 begun in a second; four of ten ring until they are given
    /// up, one of ten is busy
    Dialer,
    /// Radio nodes on a hub: 30 calls that stay, of which two speak at a time, with KEY and UNKEY
    RadioHub,
    /// A registration storm: 1,000 devices come back at 200 in a second, and each again and again
    Registrations,
    /// 10 calls beside 1,000 in a second that begin and never go on
    HalfOpen,
}

/// How long something lasts: always the same, or a time between two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    least: Duration,
    most: Duration,
}

impl Span {
    const fn seconds(least: u64, most: u64) -> Self {
        Self { least: Duration::from_secs(least), most: Duration::from_secs(most) }
    }

    /// One of its times, by chance.
    pub(crate) fn draw(&self) -> Duration {
        self.least + (self.most - self.least).mul_f64(fastrand::f64())
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = |text: &str| {
            humantime::parse_duration(text).map_err(|error| {
                format!("{error}: it is a time such as 20s, or a range such as 5s..60s")
            })
        };
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let span = Self { least: time(least)?, most: time(most)? };
        if span.least > span.most {
            return Err("give the shorter time first".into());
        }
        Ok(span)
    }
}

/// All that makes up a load.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Calls at once.
    pub(crate) calls: Calls,
    /// What is begun in a second at most.
    pub(crate) rate: f64,
    /// How long an answered call, or a registration, lasts; `None`: until the load ends.
    pub(crate) hold: Option<Span>,
    /// How long a call that is not answered is let ring.
    pub(crate) give_up: Option<Duration>,
    /// How long calls that are taken ring, and how many of a hundred are busy, or are never answered.
    pub(crate) ring: Duration,
    pub(crate) busy: f64,
    pub(crate) unanswered: f64,
    /// How many calls speak at a time, and for how long; `None`: all.
    pub(crate) talkers: Option<usize>,
    pub(crate) turn: Duration,
    /// Devices that register.
    pub(crate) registrations: usize,
    /// Calls in a second that begin and never go on.
    pub(crate) half_open: f64,
}

impl Shape {
    /// What holds where nothing is said.
    const PLAIN: Self = Self {
        calls: Calls::just(10),
        rate: 50.0,
        hold: None,
        give_up: None,
        ring: Duration::ZERO,
        busy: 0.0,
        unanswered: 0.0,
        talkers: None,
        turn: Duration::from_secs(5),
        registrations: 0,
        half_open: 0.0,
    };

    /// That of a profile.
    pub(crate) fn of(profile: Option<Profile>) -> Self {
        let plain = Self::PLAIN;
        match profile {
            None => plain,
            Some(Profile::Dialer) => Self {
                calls: Calls::just(200),
                rate: 20.0,
                hold: Some(Span::seconds(5, 60)),
                give_up: Some(Duration::from_secs(20)),
                ring: Duration::from_secs(4),
                busy: 10.0,
                unanswered: 40.0,
                ..plain
            },
            Some(Profile::RadioHub) => {
                Self { calls: Calls::just(30), rate: 10.0, talkers: Some(2), ..plain }
            }
            Some(Profile::Registrations) => Self {
                calls: Calls::just(0),
                rate: 200.0,
                hold: Some(Span::seconds(2, 20)),
                registrations: 1_000,
                ..plain
            },
            Some(Profile::HalfOpen) => Self { half_open: 1_000.0, ..plain },
        }
    }
}

/// A share in per cent, as an option.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let share = text.trim_end_matches('%').parse().ok();
    share
        .filter(|share| (0.0..=100.0).contains(share))
        .ok_or_else(|| "it is a number of per cent, 0 to 100".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_or_any_of_a_range() {
        let one: Span = "20s".parse().expect("a time");
        assert_eq!(one.draw(), Duration::from_secs(20));
        let range: Span = "1s..3s".parse().expect("a range");
        let drawn: Vec<Duration> = (0..200).map(|_| range.draw()).collect();
        assert!(drawn.iter().all(|time| (1.0..=3.0).contains(&time.as_secs_f64())));
        assert!(drawn.iter().any(|time| time.as_secs_f64() < 1.5));
        assert!(drawn.iter().any(|time| time.as_secs_f64() > 2.5));
        for wrong in ["3s..1s", "20", "..", "1s.."] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_per_cent() {
        assert_eq!((percent("2.5"), percent("100%")), (Ok(2.5), Ok(100.0)));
        for wrong in ["-1", "101", "much", "NaN"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
