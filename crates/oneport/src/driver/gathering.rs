//! Where media comes fast, datagrams gather before they are taken: a wake-up, a receive and a send are then shared by
//! many. Signalling alone does not gather: a call is set up by some ten frames, each the answer to another.

use std::time::{Duration, Instant};

/// How often it is looked at how fast it comes.
const PERIOD: Duration = Duration::from_millis(10);
/// So much must come in the time for which it gathers, or it is not worth the delay.
const LEAST: u32 = 4;
/// For more than this none of it waits: more is hardly cheaper, and sockets with small buffers hold little more.
const MOST: u32 = 256;
/// No timer of the kernel is as fine as this.
const BRIEF: Duration = Duration::from_micros(50);

/// How long datagrams may gather, and whether media comes so fast that they do.
#[derive(Debug)]
pub(super) struct Gathering {
    longest: Duration,
    begun: Instant,
    came: u32,
    /// From one look at the sockets to the next; zero where it comes slowly.
    apart: Duration,
    taken: Instant,
}

impl Gathering {
    /// Longer than this nothing gathers, whatever is asked for.
    const LIMIT: Duration = Duration::from_millis(100);

    /// Zero: nothing gathers.
    pub(super) fn new(longest: Duration, now: Instant) -> Self {
        let longest = longest.min(Self::LIMIT);
        Self { longest, begun: now, came: 0, apart: Duration::ZERO, taken: now }
    }

    /// So much media has been taken off the sockets: datagrams, or bundles of one sender.
    pub(super) fn note(&mut self, came: u32) {
        self.came = self.came.saturating_add(came);
    }

    /// The work is done at `now`: how long the sockets may be left alone. What is due meanwhile is late by so much.
    pub(super) fn rest(&mut self, now: Instant) -> Duration {
        let period = now - self.begun;
        if period >= PERIOD {
            let is_fast = self.longest * self.came >= period * LEAST;
            let most = if is_fast { period * MOST / self.came.max(1) } else { Duration::ZERO };
            self.apart = self.longest.min(most);
            (self.begun, self.came) = (now, 0);
        }
        let rest = self.apart.saturating_sub(now - self.taken);
        if rest < BRIEF { Duration::ZERO } else { rest }
    }

    /// The sockets are read now.
    pub(super) const fn take(&mut self, now: Instant) {
        self.taken = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_micros(500);

    /// What it says behind a second in which so many came, a millisecond each time.
    fn rest_behind(time: Duration, each_ms: u32) -> Duration {
        let begun = Instant::now();
        let mut gathering = Gathering::new(time, begun);
        let mut rest = Duration::ZERO;
        for ms in 1..=1_000 {
            let now = begun + Duration::from_millis(ms);
            gathering.take(now);
            gathering.note(each_ms);
            rest = gathering.rest(now + Duration::from_micros(100));
        }
        rest
    }

    #[test]
    fn only_what_comes_fast_gathers() {
        assert_eq!(rest_behind(TIME, 7), Duration::ZERO);
        assert_eq!(rest_behind(TIME, 9), Duration::from_micros(400));
        assert_eq!(rest_behind(Duration::ZERO, 1_000), Duration::ZERO);
        assert_eq!(rest_behind(Duration::MAX, 0), Duration::ZERO);
    }

    #[test]
    fn what_comes_very_fast_gathers_more_briefly() {
        assert_eq!(rest_behind(TIME, 800), Duration::from_micros(220), "256 in 320 µs");
        assert_eq!(rest_behind(TIME, 1_707), Duration::ZERO, "150 µs, less than 50 of them left");
        assert_eq!(rest_behind(Duration::MAX, 5), Duration::from_micros(51_100));
        assert_eq!(rest_behind(TIME, u32::MAX), Duration::ZERO);
    }

    #[test]
    fn nothing_rests_longer_than_from_one_look_to_the_next() {
        let begun = Instant::now();
        let mut gathering = Gathering::new(TIME, begun);
        gathering.note(1_000);
        let now = begun + PERIOD;
        assert_eq!(gathering.rest(now), Duration::ZERO, "the last look is long ago");
        gathering.take(now);
        assert_eq!(gathering.rest(now), TIME);
        // Nothing comes any more.
        let later = now + PERIOD;
        gathering.take(later);
        assert_eq!(gathering.rest(later), Duration::ZERO);
    }
}
