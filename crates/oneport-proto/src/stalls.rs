//! Times in which a sender stood still, told from a network that is merely uneven.

use core::time::Duration;

/// What shows that the sender, or a link near it, stood still now and then.
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
const STALL: i64 = 60_000;

/// A stall that all at once is coming to its end.
#[derive(Clone, Copy, Debug)]
struct Backlog {
    /// How late its first frame was, in µs, and how much of that its followers have made up for.
    grew: i64,
    regained: i64,
    /// Timestamp of the newest of them.
    newest: u32,
    frames: u64,
}

/// Watches one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct StallMeter {
    stalls: Stalls,
    backlog: Option<Backlog>,
}

fn micros(value: i64) -> Duration {
    Duration::from_micros(value.max(0).unsigned_abs())
}

impl StallMeter {
    /// A frame of `timestamp` came `drift` µs later than its distance from the one before it, `last`, says:
    /// by a millisecond at least, either way.
    pub(crate) fn swing(&mut self, drift: i64, last: u32, timestamp: u32) {
        if drift >= STALL {
            self.stalls.leaps += 1;
            self.backlog = Some(Backlog { grew: drift, regained: 0, newest: timestamp, frames: 1 });
            return;
        }
        // What comes at its own pace, or not behind the last of them, was not held up by the same thing.
        let Some(mut backlog) = self.backlog.take().filter(|one| drift < 0 && one.newest == last)
        else {
            return;
        };
        backlog.regained = backlog.regained.saturating_sub(drift);
        backlog.newest = timestamp;
        backlog.frames += 1;
        if backlog.regained < backlog.grew / 4 * 3 {
            self.backlog = Some(backlog);
            return;
        }
        let length = micros(backlog.grew);
        self.stalls.count += 1;
        self.stalls.frames += backlog.frames;
        self.stalls.total = self.stalls.total.saturating_add(length);
        self.stalls.longest = self.stalls.longest.max(length);
    }

    /// The fastest frames take `change` µs longer than those of some seconds ago.
    pub(crate) fn shift(&mut self, change: i64) {
        if change > 0 {
            self.stalls.halts += 1;
            self.stalls.halted = self.stalls.halted.saturating_add(micros(change));
        } else {
            self.stalls.regained =
                self.stalls.regained.saturating_add(micros(change.saturating_neg()));
        }
    }

    /// The timestamps leave out `gap_ms`, in which `frames` would have fitted.
    pub(crate) fn skip(&mut self, gap_ms: u32, frames: u32) {
        self.stalls.skips += 1;
        self.stalls.skipped_frames += u64::from(frames);
        let gap = Duration::from_millis(gap_ms.into());
        self.stalls.skipped = self.stalls.skipped.saturating_add(gap);
    }

    /// Another clock: what was under way is not.
    pub(crate) fn begin_anew(&mut self) {
        self.backlog = None;
    }

    pub(crate) const fn snapshot(&self) -> Stalls {
        self.stalls
    }
}
