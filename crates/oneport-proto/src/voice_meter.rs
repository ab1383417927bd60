//! Counts the voice of one direction by the sender's timestamps.

use alloc::boxed::Box;
use core::time::Duration;

use oneport_wire::Format;

use crate::clock::Instant;
use crate::delay_variation::DelayMeter;
use crate::frame_length::{FrameLength, PAUSE_MS};
use crate::loss_pattern::LossPattern;
use crate::stats::VoiceStats;

/// Deviations beyond this, in µs, are steps of a clock rather than jitter.
const CLOCK_STEP: u32 = 2_000_000;

/// Frames behind the newest of which it is known whether they came.
const WINDOW: u32 = 64;

/// Frames of one stream of old ones after which the sender is taken to have put its clock back.
const NEW_CLOCK: u32 = 4;

/// Counts voice by the sender's timestamps, as it does that of each call.
///
/// ```
/// use oneport_proto::{Instant, VoiceMeter};
/// use oneport_wire::Format;
///
/// let mut meter = VoiceMeter::default();
/// // When it came in ms, and the sender's clock: one frame comes twice, one is overtaken.
/// for (arrived, timestamp) in [(0, 0), (20, 20), (21, 20), (60, 60), (61, 40), (80, 80)] {
///     meter.receive(Instant::from_micros(arrived * 1_000), timestamp, Format::ULAW, 160);
/// }
/// let stats = meter.snapshot();
/// assert_eq!((stats.frames, stats.lost), (5, 0));
/// assert_eq!((stats.duplicates, stats.out_of_order), (1, 1));
/// ```
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct VoiceMeter {
    frames: u64,
    bytes: u64,
    /// Arrival of the newest frame, and its timestamp, which says nothing without that.
    arrival: Option<Instant>,
    /// Bit n: the frame n lengths before the newest came, or is counted as lost.
    came: u64,
    missing: u64,
    timestamp: u32,
    /// Jitter in µs times 16, as RFC 3550 keeps it.
    jitter_16: u32,
    lengths: FrameLength,
    /// The sender has announced a pause.
    pause: bool,
    /// Frames came that are far behind the newest, and none since that is newer than it.
    is_behind: bool,
    delays: DelayMeter,
    losses: Box<Losses>,
}

/// What few frames need.
#[derive(Clone, Debug, Default)]
struct Losses {
    lost: u64,
    late: u64,
    out_of_order: u64,
    duplicates: u64,
    pattern: LossPattern,
    /// Those far behind the newest that follow one another.
    behind: Behind,
}

#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    timestamp: u32,
    count: u32,
    bytes: u64,
}

/// `bits` moved on by `n` frames.
fn moved(bits: u64, n: u32) -> u64 {
    bits.checked_shl(n).unwrap_or(0)
}

impl VoiceMeter {
    /// Reads some of each line of memory that a frame needs.
    pub(crate) fn look(&self) -> u64 {
        u64::from(self.timestamp ^ self.delays.look())
    }

    /// Where that ends which each frame needs.
    #[cfg(test)]
    pub(crate) const EACH_FRAME_TO: usize =
        core::mem::offset_of!(Self, delays) + DelayMeter::EACH_FRAME_TO;

    /// Counts one frame with the sender's unwrapped `timestamp` in ms.
    pub fn receive(&mut self, now: Instant, timestamp: u32, format: Format, bytes: usize) {
        if self.lengths.measure(format, bytes) {
            self.begin_window();
        }
        let Some((arrival, last)) = self.newest() else {
            self.start(now, timestamp);
            self.count(bytes as u64);
            return;
        };
        let step = timestamp.wrapping_sub(last);
        let elapsed = now.as_micros().saturating_sub(arrival.as_micros());
        if !self.pause && self.lengths.is_usual(step) {
            // What most frames are takes the short way.
            if self.missing.cast_signed() < 0 {
                self.settle(1);
            }
            self.came = self.came << 1 | 1;
            self.missing <<= 1;
            self.time(elapsed, step, last);
            (self.arrival, self.timestamp) = (Some(now), timestamp);
            self.is_behind = false;
            self.count(bytes as u64);
        } else if step == 0 {
            self.losses.duplicates += 1;
        } else if step > u32::MAX / 2 {
            self.receive_older(now, timestamp, last.wrapping_sub(timestamp), bytes as u64);
        } else {
            self.receive_newer(elapsed, step, last);
            (self.arrival, self.timestamp) = (Some(now), timestamp);
            self.is_behind = false;
            self.count(bytes as u64);
        }
    }

    /// A frame that came `elapsed` µs behind the newest, and is `step` ms younger.
    #[cold]
    fn receive_newer(&mut self, elapsed: u64, step: u32, last: u32) {
        if let Some(excess) = self.lengths.learn(step) {
            self.losses.lost = self.losses.lost.saturating_sub(excess);
            if excess > 0 {
                // Where those lay is not known any more.
                (self.missing, self.losses.pattern) = (0, LossPattern::default());
            }
            self.begin_window();
        }
        if core::mem::take(&mut self.pause) || step > PAUSE_MS {
            // Some count silence by their clock, and some do not.
            self.delays.begin_anew();
            self.begin_window();
            return;
        }
        self.time(elapsed, step, last);
        let steps = self.lengths.steps(step);
        let absent = steps - 1;
        if let Some(gap) = self.lengths.odd_gap(step) {
            self.delays.skip(gap, absent);
        }
        self.settle(steps);
        self.losses.lost += u64::from(absent);
        self.came = moved(self.came, steps) | 1;
        self.missing = moved(self.missing, steps) | (moved(1, absent).wrapping_sub(1) << 1);
    }

    /// The `steps` oldest frames of the window leave it: those that are missing are lost for good. So
    /// are, of more steps than it holds, the frames that never were in it.
    #[cold]
    fn settle(&mut self, steps: u32) {
        let newest = (self.frames + self.losses.lost).saturating_sub(1);
        let staying = WINDOW.saturating_sub(steps);
        let mut leaving = self.missing.checked_shr(staying).unwrap_or(0) << (staying % WINDOW);
        while leaving != 0 {
            let place = WINDOW - 1 - leaving.leading_zeros();
            leaving &= !moved(1, place);
            self.losses.pattern.lose(newest.saturating_sub(place.into()), 1);
        }
        if steps > WINDOW {
            self.losses.pattern.lose(newest + 1, (steps - WINDOW).into());
        }
    }

    /// A frame came `elapsed` µs behind the newest, which had the timestamp `last`, and is `step` ms
    /// younger.
    #[inline]
    fn time(&mut self, elapsed: u64, step: u32, last: u32) {
        let late = elapsed.cast_signed().saturating_sub(i64::from(step) * 1_000);
        let late = i32::try_from(late).ok().filter(|late| late.unsigned_abs() <= CLOCK_STEP);
        let Some(late) = late else { return self.delays.begin_anew() };
        // J += (|D| - J) / 16, with J kept sixteenfold.
        self.jitter_16 = self.jitter_16 - self.jitter_16 / 16 + late.unsigned_abs();
        self.delays.follow(late, last, last.wrapping_add(step));
    }

    /// A frame that is `back` ms older than the newest.
    #[cold]
    fn receive_older(&mut self, now: Instant, timestamp: u32, back: u32, bytes: u64) {
        let place = self.lengths.place(back);
        if place >= WINDOW {
            return self.receive_late(now, timestamp, bytes);
        }
        let bit = moved(1, place);
        if place > 0 && self.came & bit != 0 {
            self.losses.duplicates += 1;
            return;
        }
        if self.missing & bit != 0 {
            self.missing &= !bit;
            self.losses.lost = self.losses.lost.saturating_sub(1);
        }
        self.came |= bit;
        self.losses.out_of_order += 1;
        if let Some(arrival) = self.arrival {
            let elapsed = now.as_micros().saturating_sub(arrival.as_micros());
            let drift = elapsed.saturating_add(u64::from(back) * 1_000);
            self.delays.overtaken(i32::try_from(drift).unwrap_or(i32::MAX));
        }
        self.count(bytes);
    }

    /// A frame far behind the newest: too late, or of a clock that was put back.
    fn receive_late(&mut self, now: Instant, timestamp: u32, bytes: u64) {
        self.losses.late += 1;
        let last = self.losses.behind;
        let step = timestamp.wrapping_sub(last.timestamp);
        let follows = self.is_behind && (1..=PAUSE_MS).contains(&step);
        let before = if follows { last } else { Behind::default() };
        let behind = Behind { timestamp, count: before.count + 1, bytes: before.bytes + bytes };
        (self.is_behind, self.losses.behind) = (true, behind);
        if behind.count >= NEW_CLOCK {
            let Behind { count, bytes, .. } = behind;
            self.is_behind = false;
            self.losses.late -= u64::from(count);
            self.frames += u64::from(count);
            self.bytes += bytes;
            self.start(now, timestamp);
        }
    }

    /// Arrival and timestamp of the newest frame.
    fn newest(&self) -> Option<(Instant, u32)> {
        self.arrival.map(|arrival| (arrival, self.timestamp))
    }

    fn start(&mut self, now: Instant, timestamp: u32) {
        (self.arrival, self.timestamp) = (Some(now), timestamp);
        self.delays.begin_anew();
        self.begin_window();
    }

    /// What is known of the frames before the newest does not count any more.
    fn begin_window(&mut self) {
        self.settle(WINDOW);
        (self.came, self.missing) = (1, 0);
    }

    /// The sender says that it falls silent: the gap that follows is no loss.
    pub fn pause(&mut self) {
        self.pause = true;
    }

    /// The sender has a new clock: what comes next follows nothing.
    pub fn begin_anew(&mut self) {
        self.arrival = None;
        self.is_behind = false;
    }

    /// How many ms the last frame lasts, where its size tells.
    pub(crate) fn told_length(&self) -> Option<u32> {
        self.lengths.told_ms()
    }

    fn count(&mut self, bytes: u64) {
        self.frames += 1;
        self.bytes += bytes;
    }

    /// The figures up to now.
    #[must_use]
    pub fn snapshot(&self) -> VoiceStats {
        let Self { frames, bytes, .. } = *self;
        let Losses { lost, late, out_of_order, duplicates, pattern, .. } = *self.losses;
        VoiceStats {
            frames,
            bytes,
            lost,
            late,
            out_of_order,
            duplicates,
            jitter: Duration::from_micros((self.jitter_16 / 16).into()),
            delay: self.delays.snapshot(frames),
            pattern,
            stalls: self.delays.stalls(),
            frame: Duration::from_millis(self.lengths.known_ms().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    /// µ-law of 20 ms with these timestamps, each on time.
    fn heard(stamps: impl IntoIterator<Item = u32>) -> VoiceStats {
        let mut meter = VoiceMeter::default();
        for stamp in stamps {
            meter.receive(at(stamp.into()), stamp, Format::ULAW, 160);
        }
        meter.snapshot()
    }

    fn figures(stats: VoiceStats) -> [u64; 5] {
        let VoiceStats { frames, lost, late, out_of_order, duplicates, .. } = stats;
        [frames, lost, late, out_of_order, duplicates]
    }

    #[test]
    fn loss_reordering_and_copies_are_told_apart() {
        for (name, stamps, expected) in [
            ("one comes after all", vec![0, 20, 60, 40, 80, 140], [6, 2, 0, 1, 0]),
            ("a copy of the newest", vec![0, 20, 20, 40], [3, 0, 0, 0, 1]),
            ("a copy of an older one", vec![0, 20, 40, 20, 60], [4, 0, 0, 0, 1]),
            ("a copy of one that came late", vec![0, 40, 20, 20, 60], [4, 0, 0, 1, 1]),
            ("one before the first", vec![20, 0, 40], [3, 0, 0, 1, 0]),
            ("one odd step of 1 ms", vec![0, 20, 21, 40, 60, 80, 100], [7, 0, 0, 0, 0]),
            ("a step halfway between", vec![0, 20, 50, 80], [4, 0, 0, 0, 0]),
            ("the first step is a gap", vec![0, 60, 80, 100], [4, 2, 0, 0, 0]),
            ("a pause", vec![0, 20, 5_000, 5_020], [4, 0, 0, 0, 0]),
            ("one behind a pause", vec![0, 20, 5_000, 4_980, 5_020], [5, 0, 0, 1, 0]),
            ("too late for any buffer", vec![0, 20, 1_000, 2_000, 40, 2_020], [5, 97, 1, 0, 0]),
        ] {
            assert_eq!(figures(heard(stamps)), expected, "{name}");
        }
    }

    #[test]
    fn a_clock_put_back_or_forward_costs_nothing() {
        let forward = (0..50).map(|n| n * 20).chain((0..50).map(|n| 3_600_000 + n * 20));
        assert_eq!(figures(heard(forward)), [100, 0, 0, 0, 0]);
        let back = (0..50).map(|n| 3_600_000 + n * 20).chain((0..50).map(|n| n * 20));
        assert_eq!(figures(heard(back)), [100, 0, 0, 0, 0]);
    }

    #[test]
    fn frames_may_become_longer_or_shorter() {
        let mut meter = VoiceMeter::default();
        let mut stamp = 0_u32;
        for (count, length) in [(200, 20), (200, 60), (200, 30), (200, 10), (200, 40)] {
            for _ in 0..count {
                stamp += length;
                // Of a format that does not tell.
                meter.receive(at(stamp.into()), stamp, Format::OPUS, 77);
            }
        }
        assert_eq!(figures(meter.snapshot()), [1_000, 0, 0, 0, 0]);
        for _ in 0..10 {
            stamp += 40;
            meter.receive(at(stamp.into()), stamp, Format::ULAW, 320);
        }
        for _ in 0..10 {
            stamp += 20;
            meter.receive(at(stamp.into()), stamp, Format::ULAW, 160);
        }
        assert_eq!(figures(meter.snapshot()), [1_020, 0, 0, 0, 0]);
    }

    #[test]
    fn half_of_the_frames_may_be_lost_and_the_count_stays_exact() {
        // A fixed pseudo-random pattern; the first and the last frame come.
        let mut state = 1_u32;
        let mut stamps = vec![0];
        for n in 1..100_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 || n == 99_999 {
                stamps.push(n * 20);
            }
        }
        let came = stamps.len() as u64;
        assert_eq!(figures(heard(stamps)), [came, 100_000 - came, 0, 0, 0]);
    }

    #[test]
    fn an_announced_pause_is_no_loss() {
        let mut meter = VoiceMeter::default();
        for stamp in [0, 20, 40] {
            meter.receive(at(stamp.into()), stamp, Format::ULAW, 160);
        }
        meter.pause();
        for stamp in [640, 660] {
            meter.receive(at(stamp.into()), stamp, Format::ULAW, 160);
        }
        assert_eq!(figures(meter.snapshot()), [5, 0, 0, 0, 0]);
    }

    #[test]
    fn counts_stay_sane_around_the_32_bit_wrap() {
        let mut meter = VoiceMeter::default();
        for n in 0..100_u32 {
            let stamp = (u32::MAX - 1000).wrapping_add(n * 20);
            meter.receive(at(u64::from(n) * 20), stamp, Format::ULAW, 160);
        }
        let stats = meter.snapshot();
        assert_eq!(figures(stats), [100, 0, 0, 0, 0]);
        assert_eq!(stats.jitter, Duration::ZERO);
    }

    #[test]
    fn steady_deviation_of_one_frame_converges_to_its_length() {
        let mut meter = VoiceMeter::default();
        let mut arrival = 0;
        for n in 0..2_000_u32 {
            arrival += if n % 2 == 0 { 10 } else { 30 };
            meter.receive(at(arrival), n * 20, Format::ULAW, 160);
        }
        let jitter = meter.snapshot().jitter.as_micros();
        assert!((9_000..=10_100).contains(&jitter), "{jitter} µs");
        // Our clock steps by an hour: that is no jitter.
        meter.receive(at(arrival + 3_600_000), 40_000, Format::ULAW, 160);
        assert!(meter.snapshot().jitter.as_micros() <= jitter);
    }

    #[test]
    fn where_the_lost_frames_lie_is_known_once_none_can_come_late() {
        // Of 400: a run of 3, one that comes late, two with three between them, one by itself.
        let lost = |n: u32| matches!(n, 50..=52 | 100 | 200 | 204 | 300);
        let mut meter = VoiceMeter::default();
        for n in 0..400_u32 {
            if n == 110 {
                meter.receive(at(u64::from(n) * 20), 100 * 20, Format::ULAW, 160);
            }
            if !lost(n) {
                meter.receive(at(u64::from(n) * 20), n * 20, Format::ULAW, 160);
            }
            if n == 100 {
                let LossPattern { lost, .. } = meter.snapshot().pattern;
                assert_eq!(lost, 0, "frame 50 may still come");
            }
        }
        let stats = meter.snapshot();
        assert_eq!(figures(stats), [394, 6, 0, 1, 0]);
        let LossPattern { lost, runs, bursts, burst_frames, burst_lost, .. } = stats.pattern;
        assert_eq!([lost, runs, bursts, burst_frames, burst_lost], [6, 4, 2, 8, 5]);
        assert!((stats.pattern.burst_ratio(400) - 1.5 * 394.0 / 400.0).abs() < 1e-9);
        assert_eq!(stats.frame, Duration::from_millis(20));
    }

    #[test]
    fn a_gap_longer_than_the_window_is_one_run() {
        let stamps = (0..100).chain([195]).chain(196..400).map(|n| n * 20);
        let stats = heard(stamps);
        assert_eq!((stats.lost, stats.frames), (95, 305));
        let LossPattern { lost, runs, bursts, burst_frames, burst_lost, .. } = stats.pattern;
        assert_eq!([lost, runs, bursts, burst_frames, burst_lost], [95, 1, 1, 95, 95]);
    }

    #[test]
    fn frames_that_come_in_a_heap_are_late_by_what_they_waited() {
        // Every ten frames come together when the last of them is due.
        let mut meter = VoiceMeter::default();
        for n in 0..1_000_u32 {
            meter.receive(at(u64::from(n / 10 * 10 + 9) * 20), n * 20, Format::ULAW, 160);
        }
        let delay = meter.snapshot().delay;
        assert_eq!((delay.greatest, delay.now), (Duration::from_millis(180), Duration::ZERO));
        assert!((80..=120).contains(&delay.p50.as_millis()), "{delay:?}");
    }
}
