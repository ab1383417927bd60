//! How much later than the fastest ones frames of voice come, and how fast the sender's clock runs.
//!
//! Clocks of two ends have nothing in common, so how long a frame was on its way is not known. But how
//! much longer than another can be told: the fastest of the last seconds had no queue before it, and
//! what the others took beyond that is what a jitter buffer has to hold.

use alloc::boxed::Box;
use core::time::Duration;

use crate::stalls::{self, StallMeter, Stalls};

/// How late voice comes, compared with the fastest frames of the last 8 to 16 s.
///
/// Each tenth frame comes 15 ms late:
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::{Instant, VoiceMeter};
/// use oneport_wire::Format;
///
/// let mut meter = VoiceMeter::default();
/// for n in 0..500_u32 {
///     let late = if n % 10 == 9 { 15_000 } else { 0 };
///     let now = Instant::from_micros(u64::from(n) * 20_000 + late);
///     meter.receive(now, n * 20, Format::ULAW, 160);
/// }
/// let delay = meter.snapshot().delay;
/// assert_eq!(delay.p50, Duration::ZERO);
/// assert_eq!(delay.greatest, Duration::from_millis(15));
/// assert!(delay.p95 > Duration::from_millis(10));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DelayVariation {
    /// Half of the frames were later than this; zero where that is less than a millisecond, here and
    /// below.
    pub p50: Duration,
    /// One frame of twenty was later: a jitter buffer as long loses 5 %.
    pub p95: Duration,
    /// One frame of a hundred was later.
    pub p99: Duration,
    /// The latest.
    pub greatest: Duration,
    /// How late the newest came: a queue that fills now shows here first.
    pub now: Duration,
    /// By how much the delay changes from one frame to the next, on average over all frames; changes below
    /// a millisecond count as none. Where frames are late and this is small, the delay moves slowly, as
    /// a queue lets it.
    pub step: Duration,
    /// By how many millionths the sender's clock is faster than ours. `None` before a minute of voice
    /// shows it, and where pauses or changes of the way are all that it shows.
    pub clock_ppm: Option<i32>,
}

/// Frames less late than this are not told apart, in µs.
const FINEST: i32 = 1_000;

/// Frames later than [`FINEST`] are counted by these ranges, of which each ends here, in µs. The last
/// has no end.
const RANGES: [i32; 19] = [
    2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000, 30_000, 40_000, 60_000, 80_000, 120_000,
    160_000, 240_000, 320_000, 480_000, 640_000, 1_000_000, 2_000_000,
];

/// Windows of this many bits of the sender's clock in ms, 8.192 s, in each of which the fastest frame
/// is looked for.
const WINDOW_BITS: u32 = 13;

/// One for each of the [`RANGES`], and one for what is later than all.
type Later<T> = [T; RANGES.len() + 1];

/// Measures one stream.
///
/// What each frame needs is small, since there is one of it for each call: times, all in µs, are counted from
/// [`Seldom::base`], and counts that are full go to [`Seldom`].
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct DelayMeter {
    /// What the fastest took, of this window and of both this one and the last.
    fastest_in_window: i32,
    fastest: i32,
    /// What the newest took.
    took: i32,
    /// By how much the latest was late; 35 minutes at most.
    greatest: i32,
    /// All changes of the delay from one frame to the next, either way.
    swung: u32,
    /// How many frames were as late.
    later: Later<u8>,
    /// A stall is coming to its end.
    held_up: bool,
    seldom: Box<Seldom>,
}

/// What few frames need.
#[derive(Clone, Debug, Default)]
struct Seldom {
    /// Where times begin, by how much longer than the first frame that took: so they stay small while clocks run
    /// apart for months.
    base: i64,
    swung: u64,
    later: Later<u32>,
    stalls: StallMeter,
    clock: ClockMeter,
}

impl DelayMeter {
    /// Where that ends which each frame needs.
    #[cfg(test)]
    pub(crate) const EACH_FRAME_TO: usize = core::mem::offset_of!(Self, seldom);

    /// Reads some of what each frame needs.
    pub(crate) const fn look(&self) -> u32 {
        self.took.cast_unsigned()
    }

    /// A frame that follows the newest, with `timestamp` behind `last`, came `drift` µs later than it
    /// should have by the distance of the two.
    #[inline]
    pub(crate) fn follow(&mut self, drift: i32, last: u32, timestamp: u32) {
        self.took = self.took.saturating_add(drift);
        if self.took < self.fastest_in_window {
            self.fastest_in_window = self.took;
            self.fastest = self.fastest.min(self.took);
        }
        let late = self.took.saturating_sub(self.fastest);
        if late >= FINEST {
            self.note(late);
        }
        if drift.unsigned_abs() >= FINEST.unsigned_abs() {
            self.swing(drift, last, timestamp);
        }
        if (last ^ timestamp) >> WINDOW_BITS != 0 {
            self.turn(last, timestamp);
        }
    }

    /// A frame that was overtaken came `drift` µs later than it should have, seen from the newest.
    pub(crate) fn overtaken(&mut self, drift: i32) {
        let late = self.took.saturating_add(drift).saturating_sub(self.fastest);
        if late >= FINEST {
            self.note(late);
        }
    }

    fn swing(&mut self, drift: i32, last: u32, timestamp: u32) {
        if let Some(swung) = self.swung.checked_add(drift.unsigned_abs()) {
            self.swung = swung;
        } else {
            let before = core::mem::replace(&mut self.swung, drift.unsigned_abs());
            self.seldom.swung = self.seldom.swung.saturating_add(before.into());
        }
        if self.held_up || drift >= stalls::SHORTEST {
            self.held_up = self.seldom.stalls.swing(drift.into(), last, timestamp);
        }
    }

    /// The sender's timestamps leave out `gap_ms`, in which `frames` would have fitted.
    pub(crate) fn skip(&mut self, gap_ms: u32, frames: u32) {
        self.seldom.stalls.skip(gap_ms, frames);
    }

    /// What shows that the sender stood still.
    pub(crate) fn stalls(&self) -> Stalls {
        self.seldom.stalls.snapshot()
    }

    fn note(&mut self, late: i32) {
        self.greatest = self.greatest.max(late);
        let range = RANGES.partition_point(|end| *end <= late);
        let Some(count) = self.later.get_mut(range) else { return };
        if let Some(more) = count.checked_add(1) {
            *count = more;
        } else if let Some(before) = self.seldom.later.get_mut(range) {
            *before = before.saturating_add(core::mem::replace(count, 1).into());
        }
    }

    /// A window is over: the newest frame is in another.
    #[cold]
    fn turn(&mut self, last: u32, timestamp: u32) {
        let windows = (timestamp >> WINDOW_BITS).wrapping_sub(last >> WINDOW_BITS);
        let Seldom { base, stalls, clock, .. } = &mut *self.seldom;
        let fastest = base.saturating_add(self.fastest_in_window.into());
        if let Some(change) = clock.window(fastest, windows == 1) {
            stalls.shift(change);
        }
        *base = fastest;
        self.took = self.took.saturating_sub(self.fastest_in_window);
        (self.fastest, self.fastest_in_window) = (0, self.took);
    }

    /// The clocks have nothing to do with each other any more. The counts go on.
    pub(crate) fn begin_anew(&mut self) {
        (self.took, self.fastest_in_window, self.fastest) = (0, 0, 0);
        self.held_up = false;
        self.seldom.base = 0;
        self.seldom.clock.begin_anew();
        self.seldom.stalls.begin_anew();
    }

    /// The figures up to now, of `frames` frames.
    pub(crate) fn snapshot(&self, frames: u64) -> DelayVariation {
        let micros = |value: i32| Duration::from_micros(value.max(0).unsigned_abs().into());
        let swung = self.seldom.swung.saturating_add(self.swung.into());
        let percentile = |percent: u64| {
            // So many frames may be later than what is looked for.
            let left = frames.saturating_mul(100 - percent) / 100;
            micros(self.later_than(left))
        };
        DelayVariation {
            p50: percentile(50),
            p95: percentile(95),
            p99: percentile(99),
            greatest: micros(self.greatest),
            now: micros(self.took.saturating_sub(self.fastest)),
            step: Duration::from_micros(swung / frames.max(1)),
            clock_ppm: self.seldom.clock.ppm(),
        }
    }

    /// What at most `left` frames are later than, in µs; the frames of a range are taken to be spread
    /// evenly over it.
    fn later_than(&self, mut left: u64) -> i32 {
        let begins = core::iter::once(FINEST).chain(RANGES);
        let counts = self.later.into_iter().zip(self.seldom.later);
        let mut ranges = Later::default();
        for (place, range) in ranges.iter_mut().zip(begins.zip(counts)) {
            *place = range;
        }
        let mut end = self.greatest;
        for (begin, (newer, older)) in ranges.into_iter().rev() {
            let count = u64::from(newer) + u64::from(older);
            if count > left {
                let width = u64::from((end - begin).max(0).unsigned_abs());
                // Of 31 and of 33 bits.
                let share = width * left / count;
                return end - i32::try_from(share).unwrap_or(0);
            }
            left -= count;
            end = end.min(begin);
        }
        0
    }
}

/// A line through what the fastest frames of the windows took: its slope is the difference of the two
/// clocks.
#[derive(Clone, Copy, Debug, Default)]
struct ClockMeter {
    windows: i64,
    /// What the first took, and the last.
    first: i64,
    last: i64,
    /// Sums of what they took beyond the first, and of that times the number of the window.
    sum: i64,
    weighted: i64,
    /// What an earlier line showed.
    before: Option<i32>,
}

impl ClockMeter {
    /// Windows that show a slope.
    const FEWEST: i64 = 8;
    /// After so many, 2.3 hours, the line begins anew.
    const MOST: i64 = 1_024;
    /// From one window to the next this is another way rather than another clock, in µs.
    const OTHER_WAY: u64 = 20_000;

    /// A window is over. `Some`: it lay so much, in µs, above the one before it, or below, that it is
    /// another way.
    fn window(&mut self, fastest: i64, is_next: bool) -> Option<i64> {
        let other = self.windows > 0 && self.last.abs_diff(fastest) > Self::OTHER_WAY;
        let change = (other && is_next).then(|| fastest.saturating_sub(self.last));
        if !is_next || other || self.windows >= Self::MOST {
            self.begin_anew();
        }
        if self.windows == 0 {
            self.first = fastest;
        }
        let beyond = fastest.saturating_sub(self.first);
        self.sum = self.sum.saturating_add(beyond);
        self.weighted = self.weighted.saturating_add(beyond.saturating_mul(self.windows));
        self.windows += 1;
        self.last = fastest;
        change
    }

    fn begin_anew(&mut self) {
        *self = Self { before: self.ppm(), ..Self::default() };
    }

    fn ppm(&self) -> Option<i32> {
        let n = self.windows;
        if n < Self::FEWEST {
            return self.before;
        }
        // The slope in µs a window, and a window has 8.192 s. A slower clock lets frames come later.
        let slope = 12 * self.weighted - 6 * (n - 1) * self.sum;
        let ppm = -(slope * 125) / (n * (n * n - 1) * 1_024);
        i32::try_from(ppm).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of frames of 20 ms, each late by so many µs.
    fn figures(late: impl IntoIterator<Item = i32>) -> DelayVariation {
        let (mut meter, mut before, mut frames) = (DelayMeter::default(), 0, 0);
        for (n, late) in (1_u32..).zip(late) {
            meter.follow(late - before, (n - 1) * 20, n * 20);
            before = late;
            frames += 1;
        }
        meter.snapshot(frames)
    }

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn percentiles_are_those_of_the_frames() {
        // Of 1,000 frames 40 are 12 ms late and 8 are 100 ms.
        let late = |n: u32| match n % 125 {
            0 => 100_000,
            1..=5 => 12_000,
            _ => 300,
        };
        let found = figures((0..1_000).map(late));
        assert_eq!((found.p50, found.p95), (Duration::ZERO, Duration::ZERO), "{found:?}");
        assert!((ms(10)..=ms(15)).contains(&found.p99), "{found:?}");
        assert_eq!(found.greatest, ms(100));
        let found = figures((0..1_000).map(|n| if n % 10 == 0 { 0 } else { 35_000 }));
        assert!((ms(30)..=ms(35)).contains(&found.p50), "{found:?}");
        assert!((ms(34)..=ms(35)).contains(&found.p99), "{found:?}");
    }

    #[test]
    fn a_way_that_became_longer_is_forgotten_after_two_windows() {
        let found = figures((0..6_000).map(|n| if n < 100 { 0 } else { 50_000 }));
        assert_eq!(found.now, Duration::ZERO);
        assert_eq!(found.clock_ppm, Some(0));
        let found = figures((0..400).map(|n| if n < 100 { 0 } else { 50_000 }));
        assert_eq!(found.now, ms(50));
    }

    #[test]
    fn a_clock_that_runs_apart_is_told_with_its_sign_and_through_jitter() {
        for ppm in [-200, -30, 0, 30, 200] {
            // Half an hour, of which each frame is up to 12 ms late.
            let late = (0..90_000_i32).map(|n| -n * ppm / 50 + (n * 7_919 % 13) * 1_000);
            let found = figures(late);
            let told = found.clock_ppm.unwrap();
            assert!((told - ppm).abs() <= 1, "{told}, and not {ppm}");
            // The clock by itself makes nothing late.
            assert!(found.greatest <= ms(16), "{found:?}");
        }
        assert_eq!(figures((0..3_000).map(|_| 0)).clock_ppm, None, "one minute is too short");
    }

    #[test]
    fn counts_stay_exact_beyond_what_fits_into_a_frame_s_own() {
        // Every other frame is 50 ms late, for an hour: changes of 2.5 hours in all.
        let mut meter = DelayMeter::default();
        for n in 0..180_000_u32 {
            meter.follow(if n % 2 == 0 { 50_000 } else { -50_000 }, n * 20, n * 20 + 20);
        }
        let late: u32 = meter.seldom.later.iter().sum();
        assert_eq!(late + meter.later.iter().map(|count| u32::from(*count)).sum::<u32>(), 90_000);
        assert!(meter.seldom.swung > u64::from(u32::MAX), "one number does not hold all");
        let found = meter.snapshot(180_000);
        assert_eq!((found.step, found.greatest, found.p50), (ms(50), ms(50), Duration::ZERO));
        assert!((ms(40)..=ms(50)).contains(&found.p95), "{found:?}");
    }

    #[test]
    fn clocks_that_run_apart_for_a_year_are_told_as_on_the_first_day() {
        // A frame in each window; it comes 8 ms later than the one before, as by a clock that is slow by 1,000 ppm.
        let (mut meter, step) = (DelayMeter::default(), 1 << WINDOW_BITS);
        let windows = 365 * 86_400_000 / u64::from(step);
        let mut stamp = 0_u32;
        for _ in 0..windows {
            let last = stamp;
            stamp = stamp.wrapping_add(step);
            meter.follow(8_192, last, stamp);
        }
        let found = meter.snapshot(windows);
        // The fastest is that of the window before.
        assert_eq!(
            (found.clock_ppm, found.greatest),
            (Some(-1_000), Duration::from_micros(16_384))
        );
        assert!(meter.seldom.base > i64::from(i32::MAX), "one number does not hold all");
    }

    #[test]
    fn a_stream_that_begins_anew_behind_hours_has_a_clock_of_its_own() {
        let (mut meter, step) = (DelayMeter::default(), 1 << WINDOW_BITS);
        let mut stamp = 0_u32;
        let mut windows = |meter: &mut DelayMeter, drift| {
            for _ in 0..2_000 {
                meter.follow(drift, stamp, stamp.wrapping_add(step));
                stamp = stamp.wrapping_add(step);
            }
        };
        windows(&mut meter, 8_192);
        assert!(meter.seldom.base > 15_000_000);
        meter.begin_anew();
        windows(&mut meter, -819);
        assert!((-2_000_000..0).contains(&meter.seldom.base), "{}", meter.seldom.base);
        let found = meter.snapshot(4_000);
        assert_eq!(found.clock_ppm, Some(99));
        assert_eq!(meter.stalls(), Stalls::default(), "nobody stood still");
    }

    #[test]
    fn what_is_not_told_of_stalls_changes_nothing() {
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16).cast_signed()
        };
        let (mut meter, mut told_all, mut stamp) =
            (DelayMeter::default(), StallMeter::default(), 0);
        for _ in 0..50_000 {
            // Now and then something stands still, and mostly catches up at once.
            let drift = match random() % 16 {
                0 => 60_000 + random() * 4,
                1..=8 => -random() % 30_000,
                _ => random() % 3_000 - 1_500,
            };
            meter.follow(drift, stamp, stamp + 20);
            if drift.unsigned_abs() >= FINEST.unsigned_abs() {
                told_all.swing(drift.into(), stamp, stamp + 20);
            }
            stamp += 20;
        }
        let Stalls { count, total, longest, frames, leaps, .. } = meter.stalls();
        let expected = told_all.snapshot();
        assert_eq!((count, total, longest), (expected.count, expected.total, expected.longest));
        assert_eq!((frames, leaps), (expected.frames, expected.leaps));
        assert!(count > 20, "{count} stalls of {leaps}");
    }

    #[test]
    fn another_way_and_a_pause_are_no_clock_that_runs_apart() {
        let mut meter = DelayMeter::default();
        let mut stamp = 0;
        for minute in 0..10 {
            meter.follow(if minute % 2 == 0 { 90_000 } else { -90_000 }, stamp, stamp + 20);
            for _ in 0..6_000 {
                stamp += 20;
                meter.follow(0, stamp, stamp + 20);
            }
            stamp += 20;
        }
        assert_eq!(meter.snapshot(60_010).clock_ppm, Some(0));
    }

    #[test]
    fn hostile_times_end_in_no_panic() {
        let mut meter = DelayMeter::default();
        for n in 0..100_000_u32 {
            let drift = if n % 3 == 0 { i32::MAX } else { i32::MIN + n.cast_signed() };
            meter.follow(drift, n.wrapping_mul(77_777_777), n.wrapping_mul(3_333_333_331));
            meter.overtaken(drift);
        }
        meter.snapshot(u64::MAX);
        let seldom = Seldom { later: [u32::MAX; RANGES.len() + 1], ..Seldom::default() };
        let all = u64::from(u32::MAX) * seldom.later.len() as u64;
        let seldom = Box::new(seldom);
        let full = DelayMeter { greatest: i32::MAX, seldom, ..DelayMeter::default() };
        let DelayVariation { p50, p95, greatest, .. } = full.snapshot(all);
        assert!(p50 <= p95 && p95 <= greatest, "{p50:?} {p95:?} {greatest:?}");
    }
}
