//! How fast somebody has answered of late: the last polls, each in four bytes, for a graph.

use std::collections::VecDeque;
use std::time::Duration;

/// Polls that are kept: those of an hour, where there is one in 20 s.
const KEPT: usize = 180;

/// One poll. A time longer than fits is the longest that does: an hour and three quarters, and six seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Poll {
    /// Since the poll before, in tenths of a second.
    after: u16,
    /// In tenths of a millisecond; `LOST` where no answer came.
    round_trip: u16,
}

const LOST: u16 = u16::MAX;

/// Those that are kept, oldest first.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Polls {
    polls: VecDeque<Poll>,
    /// When the newest ended, in tenths of a second.
    newest: u64,
}

/// How many units of `unit` µs a duration has, at most what fits below [`LOST`].
fn units(duration: Duration, unit: u128) -> u16 {
    u16::try_from((duration.as_micros() + unit / 2) / unit).unwrap_or(LOST).min(LOST - 1)
}

fn tenths(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / 100).unwrap_or(u64::MAX)
}

impl Polls {
    /// A poll has ended `at` this time, counted from any moment that stays the same: with an answer in so
    /// much time, or with none.
    pub(crate) fn note(&mut self, at: Duration, round_trip: Option<Duration>) {
        let at = tenths(at);
        let after = u16::try_from(at.saturating_sub(self.newest)).unwrap_or(u16::MAX);
        self.newest = at;
        if self.polls.len() == KEPT {
            self.polls.pop_front();
        }
        let round_trip = round_trip.map_or(LOST, |took| units(took, 100));
        self.polls.push_back(Poll { after, round_trip });
    }

    /// Each with the seconds that have passed since, and the milliseconds that the answer took if one came;
    /// oldest first.
    pub(crate) fn tell(&self, now: Duration) -> Vec<(f64, Option<f64>)> {
        let mut tenths_ago = tenths(now).saturating_sub(self.newest) as f64;
        let each = self.polls.iter().rev().map(|poll| {
            let took = (poll.round_trip != LOST).then(|| f64::from(poll.round_trip) / 10.0);
            let told = (tenths_ago / 10.0, took);
            tenths_ago += f64::from(poll.after);
            told
        });
        let mut all: Vec<_> = each.collect();
        all.reverse();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_polls_are_kept_with_their_times_and_no_more() {
        let mut polls = Polls::default();
        assert!(polls.tell(Duration::ZERO).is_empty());
        for n in 0..1_000_u64 {
            let took = (n % 10 != 0).then(|| Duration::from_micros(n * 100));
            polls.note(Duration::from_millis(n * 20_040), took);
        }
        let told = polls.tell(Duration::from_millis(999 * 20_040 + 5_000));
        assert_eq!((told.len(), told.last()), (KEPT, Some(&(5.0, Some(99.9)))));
        let (oldest, lost) = told[0];
        let exact = 5.0 + 20.04 * (KEPT - 1) as f64;
        assert!((oldest - exact).abs() < 0.2, "{oldest} is {exact}: roundings do not add up");
        assert_eq!(lost, None, "820 was lost");
        assert_eq!(told.iter().filter(|(_, took)| took.is_none()).count(), KEPT / 10);
    }

    #[test]
    fn what_took_longer_than_fits_is_no_loss() {
        let mut polls = Polls::default();
        polls.note(Duration::from_secs(1), Some(Duration::from_secs(60)));
        polls.note(Duration::from_secs(1_000_000), Some(Duration::from_micros(40)));
        let told = polls.tell(Duration::from_secs(1_000_000));
        assert_eq!(told, [(6_553.5, Some(6_553.4)), (0.0, Some(0.0))]);
    }
}
