//! What a thread has sent of what it was handed, and what was left out.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted by whoever hands over and by the thread, and read by metrics.
#[derive(Default, Debug)]
pub(crate) struct Sent {
    sent: AtomicU64,
    left_out: AtomicU64,
}

impl Sent {
    /// How many were sent, and how many left out.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.left_out.load(Ordering::Relaxed))
    }

    /// So many more were sent.
    pub(crate) fn sent(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
    }

    /// So many more were left out.
    pub(crate) fn left_out(&self, count: u64) {
        self.left_out.fetch_add(count, Ordering::Relaxed);
    }
}
