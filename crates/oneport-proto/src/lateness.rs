//! How late this system itself was.

use core::ops::Sub;
use core::time::Duration;

/// Times when the thread that runs the engine came later than it was wanted, so that what had arrived
/// waited, and what was due left late.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::{Endpoint, EndpointConfig, Instant};
///
/// let mut endpoint = Endpoint::new(EndpointConfig::default(), [1; 32], Instant::from_micros(0));
/// let before = endpoint.counters().lateness;
/// // The thread was wanted 40 ms ago.
/// endpoint.report_lateness(Duration::from_millis(40));
/// let since = endpoint.counters().lateness - before;
/// assert_eq!((since.over_10_ms, since.over_30_ms, since.over_100_ms), (1, 1, 0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lateness {
    /// By 10 ms or more.
    pub over_10_ms: u64,
    /// By 30 ms or more.
    pub over_30_ms: u64,
    /// By 100 ms or more.
    pub over_100_ms: u64,
    /// How late it was in all those times together.
    pub total: Duration,
    /// Datagrams that the system dropped meanwhile, as its buffer was full.
    pub overflowed: u64,
}

impl Lateness {
    /// Less than this is what any system needs to wake a thread.
    pub const LEAST: Duration = Duration::from_millis(10);

    /// Counts one time.
    pub(crate) fn note(&mut self, late: Duration) {
        let over = |ms: u64| u64::from(late >= Duration::from_millis(ms));
        self.over_10_ms += over(10);
        self.over_30_ms += over(30);
        self.over_100_ms += over(100);
        if late >= Self::LEAST {
            self.total = self.total.saturating_add(late);
        }
    }
}

impl Sub for Lateness {
    type Output = Self;

    /// What has come since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            over_10_ms: self.over_10_ms.saturating_sub(earlier.over_10_ms),
            over_30_ms: self.over_30_ms.saturating_sub(earlier.over_30_ms),
            over_100_ms: self.over_100_ms.saturating_sub(earlier.over_100_ms),
            total: self.total.saturating_sub(earlier.total),
            overflowed: self.overflowed.saturating_sub(earlier.overflowed),
        }
    }
}
