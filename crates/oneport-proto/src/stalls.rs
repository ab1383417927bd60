//! Times in which a sender stood still, told from a network that is merely uneven.

use core::num::NonZeroU32;
use core::time::Duration;

/// What shows that the sender, or a link near it, stood still now and then.
///
/// Nothing comes for 200 ms, and then all of it at once. Nothing was lost:
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::{Instant, VoiceMeter};
/// use oneport_wire::Format;
///
/// let mut meter = VoiceMeter::default();
/// for timestamp in (0_u32..1_000).step_by(20) {
///     let stood_still = (400..600).contains(&timestamp);
///     let arrived = if stood_still { 600 } else { timestamp };
///     meter.receive(Instant::from_micros(u64::from(arrived) * 1_000), timestamp, Format::ULAW, 160);
/// }
/// let stats = meter.snapshot();
/// assert_eq!((stats.stalls.count, stats.lost), (1, 0));
/// assert_eq!(stats.stalls.longest, Duration::from_millis(200));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stalls {
    /// Times when nothing came for 60 ms or longer beyond its turn, and then everything at once: nothing
    /// was lost, and all of it was late.
    pub count: u64,
    /// How long all of them were.
    pub total: Duration,
    /// The longest.
    pub longest: Duration,
    /// Frames that were late because of them.
    pub frames: u64,
    /// Frames that came 60 ms or more later than their turn, behind one that did not.
    pub leaps: u64,
    /// Times when the sender fell behind by 20 ms or more for good: its clock stood still as well.
    pub halts: u64,
    /// How far it fell behind, in all.
    pub halted: Duration,
    /// How far it caught up again, in all. A sender never does; a way that was longer for a while does.
    pub regained: Duration,
    /// Gaps in its timestamps that are no whole number of frames, as no loss can make them: it did not
    /// send, or falls silent without saying so.
    pub skips: u64,
    /// How long those were, in all.
    pub skipped: Duration,
    /// Frames that would have filled them. They are among the lost.
    pub skipped_frames: u64,
}

/// Frames later than their turn by this, in µs, begin a stall.
pub(crate) const SHORTEST: i32 = 60_000;

/// A stall that all at once is coming to its end.
#[derive(Clone, Copy, Debug)]
struct Backlog {
    /// How late its first frame was, in µs, and how much of that its followers have made up for.
    grew: i64,
    regained: i64,
    /// Timestamp of the newest of them.
    newest: u32,
    /// Never 0, so that none takes no room of its own.
    frames: NonZeroU32,
}

/// What is counted, in half of the room: each leg has one. Times are in µs.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    total: u64,
    longest: u64,
    halted: u64,
    regained: u64,
    skipped: u64,
    count: u32,
    frames: u32,
    leaps: u32,
    halts: u32,
    skips: u32,
    skipped_frames: u32,
}

/// Watches one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct StallMeter {
    backlog: Option<Backlog>,
    counts: Counts,
}

const fn micros(value: i64) -> u64 {
    if value > 0 { value.unsigned_abs() } else { 0 }
}

/// One more, in a count that stays at its end.
const fn count(counter: &mut u32, more: u32) {
    *counter = counter.saturating_add(more);
}

const fn add(time: &mut u64, more: u64) {
    *time = time.saturating_add(more);
}

impl StallMeter {
    /// A frame of `timestamp` came `drift` µs later than its distance from the one before it, `last`, says.
    /// Gives whether a stall is coming to its end. While one is, all drifts of a millisecond and more, either way,
    /// have to be told; while none is, those of [`SHORTEST`] and more.
    pub(crate) fn swing(&mut self, drift: i64, last: u32, timestamp: u32) -> bool {
        if drift >= i64::from(SHORTEST) {
            count(&mut self.counts.leaps, 1);
            self.backlog = Some(Backlog {
                grew: drift,
                regained: 0,
                newest: timestamp,
                frames: NonZeroU32::MIN,
            });
            return true;
        }
        // What comes at its own pace, or not behind the last of them, was not held up by the same thing.
        let Some(mut backlog) = self.backlog.take().filter(|one| drift < 0 && one.newest == last)
        else {
            return false;
        };
        backlog.regained = backlog.regained.saturating_sub(drift);
        backlog.newest = timestamp;
        backlog.frames = backlog.frames.saturating_add(1);
        if backlog.regained < backlog.grew / 4 * 3 {
            self.backlog = Some(backlog);
            return true;
        }
        let length = micros(backlog.grew);
        count(&mut self.counts.count, 1);
        count(&mut self.counts.frames, backlog.frames.get());
        add(&mut self.counts.total, length);
        self.counts.longest = self.counts.longest.max(length);
        false
    }

    /// The fastest frames take `change` µs longer than those of some seconds ago.
    pub(crate) fn shift(&mut self, change: i64) {
        if change > 0 {
            count(&mut self.counts.halts, 1);
            add(&mut self.counts.halted, micros(change));
        } else {
            add(&mut self.counts.regained, micros(change.saturating_neg()));
        }
    }

    /// The timestamps leave out `gap_ms`, in which `frames` would have fitted.
    pub(crate) fn skip(&mut self, gap_ms: u32, frames: u32) {
        count(&mut self.counts.skips, 1);
        count(&mut self.counts.skipped_frames, frames);
        add(&mut self.counts.skipped, u64::from(gap_ms) * 1_000);
    }

    /// Another clock: what was under way is not.
    pub(crate) fn begin_anew(&mut self) {
        self.backlog = None;
    }

    pub(crate) fn snapshot(&self) -> Stalls {
        let Counts { total, longest, halted, regained, skipped, .. } = self.counts;
        let Counts { count, frames, leaps, halts, skips, skipped_frames, .. } = self.counts;
        Stalls {
            count: count as u64,
            total: Duration::from_micros(total),
            longest: Duration::from_micros(longest),
            frames: frames as u64,
            leaps: leaps as u64,
            halts: halts as u64,
            halted: Duration::from_micros(halted),
            regained: Duration::from_micros(regained),
            skips: skips as u64,
            skipped: Duration::from_micros(skipped),
            skipped_frames: skipped_frames as u64,
        }
    }
}
