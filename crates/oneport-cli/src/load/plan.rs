//! How many calls a load wants at which time.

use std::str::FromStr;
use std::time::Duration;

/// How much more each step of a search asks for: a quarter.
const GROWTH: f64 = 1.25;

/// A number of calls, or a range through which it grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Calls {
    pub(crate) first: usize,
    pub(crate) last: usize,
}

impl Calls {
    /// Always so many.
    pub(crate) const fn just(calls: usize) -> Self {
        Self { first: calls, last: calls }
    }
}

impl FromStr for Calls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let number = text.replace(['_', ','], "").parse().ok().filter(|number| *number > 0);
            number
                .ok_or_else(|| "it is a number such as 100, or a range such as 10..500".to_string())
        };
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let calls = Self { first: number(first)?, last: number(last)? };
        if calls.first > calls.last {
            return Err("a range grows: give the smaller number first".into());
        }
        Ok(calls)
    }
}

/// What is wanted now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Aim {
    /// Calls at once.
    pub(crate) calls: usize,
    /// Calls begun in a second at most.
    pub(crate) rate: f64,
}

/// What is wanted when.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// A number that stays, or grows evenly.
    Ramp {
        /// From where to where.
        calls: Calls,
        /// How long.
        duration: Duration,
        /// Calls begun in a second at most.
        rate: f64,
    },
    /// Steps, each a quarter more than the one before.
    Steps {
        /// The present one.
        calls: usize,
        /// The most; the same as the first: there is none.
        most: Option<usize>,
        /// How long each lasts.
        length: Duration,
        /// When the present one ends.
        ends: Duration,
        /// Calls begun in a second at most.
        rate: f64,
    },
}

impl Plan {
    pub(crate) const fn ramp(calls: Calls, duration: Duration, rate: f64) -> Self {
        Self::Ramp { calls, duration, rate }
    }

    pub(crate) fn steps(calls: Calls, length: Duration, rate: f64) -> Self {
        let most = (calls.last > calls.first).then_some(calls.last);
        let ends = length + set_up(calls.first, rate);
        Self::Steps { calls: calls.first, most, length, ends, rate }
    }

    /// What is wanted so long after the start, `None` when all is over; and whether a step has ended
    /// that was not told of before.
    pub(crate) fn at(&mut self, elapsed: Duration) -> (Option<Aim>, bool) {
        match self {
            Self::Ramp { calls, duration, rate } => {
                if elapsed >= *duration {
                    return (None, false);
                }
                let share = elapsed.as_secs_f64() / duration.as_secs_f64();
                let grown = ((calls.last - calls.first) as f64 * share).round();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0 and a number of calls"
                )]
                let calls = calls.first + grown as usize;
                (Some(Aim { calls, rate: *rate }), false)
            }
            Self::Steps { calls, most, length, ends, rate } => {
                if elapsed < *ends {
                    return (Some(Aim { calls: *calls, rate: *rate }), false);
                }
                if most.is_some_and(|most| *calls >= most) {
                    return (None, true);
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a number of calls"
                )]
                let grown = ((*calls as f64 * GROWTH).round() as usize).max(*calls + 1);
                let next = most.map_or(grown, |most| grown.min(most));
                *ends = elapsed + *length + set_up(next - *calls, *rate);
                *calls = next;
                (Some(Aim { calls: next, rate: *rate }), true)
            }
        }
    }
}

/// How long it takes to begin so many calls.
fn set_up(calls: usize, rate: f64) -> Duration {
    Duration::try_from_secs_f64(calls as f64 / rate).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_number_and_a_range_are_understood() {
        assert_eq!("100".parse(), Ok(Calls { first: 100, last: 100 }));
        assert_eq!("10..1,500".parse(), Ok(Calls { first: 10, last: 1_500 }));
        for wrong in ["", "0", "x", "5..", "9..3"] {
            assert!(wrong.parse::<Calls>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_ramp_grows_evenly_and_ends() {
        let calls = Calls { first: 10, last: 110 };
        let mut plan = Plan::ramp(calls, 10 * SECOND, 50.0);
        let wanted = [0, 1, 5].map(|second| plan.at(second * SECOND).0.map(|aim| aim.calls));
        assert_eq!(wanted, [Some(10), Some(20), Some(60)]);
        assert_eq!(plan.at(10 * SECOND), (None, false));
    }

    #[test]
    fn steps_grow_by_a_quarter_and_leave_time_for_the_calls_they_add() {
        let mut plan = Plan::steps(Calls { first: 100, last: 150 }, 5 * SECOND, 100.0);
        let aim = |calls| Some(Aim { calls, rate: 100.0 });
        assert_eq!(plan.at(5 * SECOND), (aim(100), false));
        assert_eq!(plan.at(6 * SECOND), (aim(125), true));
        assert_eq!(plan.at(11 * SECOND), (aim(125), false));
        assert_eq!(plan.at(12 * SECOND), (aim(150), true));
        assert_eq!(plan.at(18 * SECOND), (None, true));
    }
}
