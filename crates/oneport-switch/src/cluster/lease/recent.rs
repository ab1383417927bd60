//! How many calls began of late, by the second.

use std::collections::VecDeque;
use std::time::Duration;

use oneport_proto::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Beginnings in each second of the last ones.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The oldest first; the moment is that of the first in that second.
    seconds: VecDeque<(Instant, usize)>,
}

impl Recent {
    /// One more.
    pub(super) fn note(&mut self, now: Instant, keep: Duration) {
        while self.seconds.front().is_some_and(|(began, _)| now.since(*began) > keep + SECOND) {
            self.seconds.pop_front();
        }
        match self.seconds.back_mut() {
            Some((began, count)) if now.since(*began) < SECOND => *count += 1,
            _ => self.seconds.push_back((now, 1)),
        }
    }

    fn within(&self, now: Instant, span: Duration) -> impl Iterator<Item = usize> {
        let recent = self.seconds.iter().filter(move |(began, _)| now.since(*began) <= span);
        recent.map(|(_, count)| *count)
    }

    /// How many within `span`.
    pub(super) fn count(&self, now: Instant, span: Duration) -> usize {
        self.within(now, span).sum()
    }

    /// The most in any second within `span`.
    pub(super) fn peak(&self, now: Instant, span: Duration) -> usize {
        self.within(now, span).max().unwrap_or(0)
    }
}
