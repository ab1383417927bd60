//! Which calls that are up are recorded. It knows nothing of the engine: whoever changes this sees to
//! what is heard.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oneport_proto::{CallId, Instant};
use uuid::Uuid;

use crate::deadlines::Deadlines;
use crate::recording::Side;

/// One call that is recorded.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) file: PathBuf,
    since: Instant,
    /// Frames left out because the disk did not keep up.
    left_out: u64,
    /// The file could not be written.
    failed: Arc<AtomicBool>,
}

impl Recorded {
    pub(crate) fn new(file: PathBuf, since: Instant) -> Self {
        Self { file, since, left_out: 0, failed: Arc::default() }
    }

    pub(crate) fn lasts(&self, now: Instant) -> Duration {
        now.since(self.since)
    }

    pub(crate) const fn left_out(&self) -> u64 {
        self.left_out
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Where the writer says that it cannot.
    pub(crate) fn failure(&self) -> Arc<AtomicBool> {
        self.failed.clone()
    }
}

/// Legs of calls that are listened to, and their sides.
#[derive(Debug, Default)]
pub(crate) struct Legs(HashMap<CallId, (Uuid, Side)>);

impl Legs {
    /// One more leg of a call. One that takes the place of another gets its side.
    pub(crate) fn add(&mut self, call: Uuid, leg: CallId, wanted: Side) {
        let taken = |side| self.0.values().any(|(of, own)| *of == call && *own == side);
        let side = match wanted {
            Side::Caller if taken(Side::Caller) => Side::Called,
            Side::Called if taken(Side::Called) => Side::Caller,
            wanted => wanted,
        };
        self.0.entry(leg).or_insert((call, side));
    }

    /// Whose voice a leg's is, and on which side.
    pub(crate) fn side(&self, leg: CallId) -> Option<(Uuid, Side)> {
        self.0.get(&leg).copied()
    }

    /// A leg is over. Its call, if no other leg of it is listened to.
    pub(crate) fn leave(&mut self, leg: CallId) -> Option<Uuid> {
        let (call, _) = self.0.remove(&leg)?;
        (!self.0.values().any(|(other, _)| *other == call)).then_some(call)
    }

    /// A call is listened to no more. Its legs.
    pub(crate) fn end(&mut self, call: Uuid) -> Vec<CallId> {
        self.0.extract_if(|_, (of, _)| *of == call).map(|(leg, _)| leg).collect()
    }
}

/// All of them, and the legs on which they listen.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    calls: HashMap<Uuid, Recorded>,
    legs: Legs,
    ends: Deadlines<Uuid>,
    /// Frames left out since the start.
    pub(crate) left_out: u64,
}

impl Taps {
    pub(crate) fn get(&self, call: Uuid) -> Option<&Recorded> {
        self.calls.get(&call)
    }

    /// How many calls are recorded.
    pub(crate) fn count(&self) -> usize {
        self.calls.len()
    }

    /// Begins, until `ends` at the latest.
    pub(crate) fn begin(&mut self, call: Uuid, recorded: Recorded, ends: Instant) {
        self.calls.insert(call, recorded);
        self.ends.set(call, ends);
    }

    /// Listens to one more leg of a recorded call.
    pub(crate) fn listen(&mut self, call: Uuid, leg: CallId, wanted: Side) {
        self.legs.add(call, leg, wanted);
    }

    /// Whose voice a leg's is, and on which side.
    pub(crate) fn side(&self, leg: CallId) -> Option<(Uuid, Side)> {
        self.legs.side(leg)
    }

    /// When a frame came, since the recording began.
    pub(crate) fn since_begin(&self, call: Uuid, now: Instant) -> Duration {
        self.calls.get(&call).map(|recorded| recorded.lasts(now)).unwrap_or_default()
    }

    /// A frame was left out.
    pub(crate) fn leave_out(&mut self, call: Uuid) {
        self.left_out += 1;
        if let Some(recorded) = self.calls.get_mut(&call) {
            recorded.left_out += 1;
        }
    }

    /// A leg is over. Its call, if no other leg of it is listened to.
    pub(crate) fn leave(&mut self, leg: CallId) -> Option<Uuid> {
        self.legs.leave(leg)
    }

    /// Ends a recording. What it was, and the legs that were listened to.
    pub(crate) fn end(&mut self, call: Uuid) -> Option<(Recorded, Vec<CallId>)> {
        let recorded = self.calls.remove(&call)?;
        self.ends.clear(&call);
        let legs = self.legs.end(call);
        Some((recorded, legs))
    }

    /// When the next recording is long enough.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.ends.next()
    }

    /// A recording that is.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Uuid> {
        self.ends.pop_due(now)
    }
}
