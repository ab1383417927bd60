//! How loss is spread over a stream: in bursts, or here and there (RFC 3611 §4.7.2).

/// Frames in time that end a burst (RFC 3611, `Gmin`).
const LONGEST_INSIDE: u64 = 16;

/// How the frames that were lost lie. It knows of each only when none can come late any more, 64 frames
/// later, and so is behind the count of the lost.
///
/// A burst begins and ends with a lost frame, has two at least, and no 16 in a row that came.
///
/// Four frames of a hundred are lost in a row. Singly they would hardly be heard:
///
/// ```
/// use oneport_proto::{Instant, VoiceMeter};
/// use oneport_wire::Format;
///
/// let mut meter = VoiceMeter::default();
/// for n in (0..100_u32).filter(|n| !(10..14).contains(n)) {
///     let now = Instant::from_micros(u64::from(n) * 20_000);
///     meter.receive(now, n * 20, Format::ULAW, 160);
/// }
/// let pattern = meter.snapshot().pattern;
/// assert_eq!((pattern.lost, pattern.runs, pattern.bursts), (4, 1, 1));
/// assert!(pattern.burst_ratio(100) > 3.8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LossPattern {
    /// Frames lost for good.
    pub lost: u64,
    /// Runs of lost frames, of which each has one or more.
    pub runs: u64,
    /// Bursts.
    pub bursts: u64,
    /// Frames in bursts, lost and not.
    pub burst_frames: u64,
    /// Lost frames in bursts; all others are lost singly.
    pub burst_lost: u64,
    /// Where the last burst, or what may become one, began, and where a frame was lost last.
    began: u64,
    last: u64,
    /// Frames lost since it began.
    recent: u64,
}

impl LossPattern {
    /// `count` frames in a row are lost, of which the first is number `first` of the stream.
    pub(crate) fn lose(&mut self, first: u64, count: u64) {
        let follows = self.lost > 0 && first > self.last;
        let came = first.saturating_sub(self.last).saturating_sub(1);
        self.runs += u64::from(!follows || came > 0);
        if !follows || came >= LONGEST_INSIDE {
            (self.began, self.recent) = (first, 0);
        }
        let (was, before) = (self.recent, self.last);
        self.lost += count;
        self.recent += count;
        self.last = first.saturating_add(count.saturating_sub(1));
        if self.recent < 2 {
            return;
        }
        if was < 2 {
            self.bursts += 1;
            self.burst_lost += was;
            self.burst_frames += self.last - self.began + 1;
        } else {
            self.burst_frames += self.last - before;
        }
        self.burst_lost += count;
    }

    /// How much longer runs of lost frames are than if each of `frames` were as likely to be lost as
    /// any other (`BurstR` of ITU-T G.107): 1 where they are not, and before anything is known.
    #[must_use]
    pub fn burst_ratio(&self, frames: u64) -> f64 {
        if self.runs == 0 {
            return 1.0;
        }
        let share = self.lost as f64 / frames.max(self.lost) as f64;
        let length = self.lost as f64 / self.runs as f64;
        (length * (1.0 - share)).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn pattern(lost: &[u64]) -> LossPattern {
        let mut pattern = LossPattern::default();
        for place in lost {
            pattern.lose(*place, 1);
        }
        pattern
    }

    fn figures(pattern: &LossPattern) -> [u64; 5] {
        let LossPattern { lost, runs, bursts, burst_frames, burst_lost, .. } = *pattern;
        [lost, runs, bursts, burst_frames, burst_lost]
    }

    #[test]
    fn bursts_and_single_losses_are_told_apart() {
        for (name, lost, expected) in [
            ("nothing", &[][..], [0, 0, 0, 0, 0]),
            ("single ones", &[5, 100, 200], [3, 3, 0, 0, 0]),
            ("a run", &[5, 6, 7], [3, 1, 1, 3, 3]),
            ("15 between", &[5, 21], [2, 2, 1, 17, 2]),
            ("16 between", &[5, 22], [2, 2, 0, 0, 0]),
            ("a burst, a single one, a burst", &[5, 7, 50, 90, 91], [5, 4, 2, 5, 4]),
        ] {
            assert_eq!(figures(&pattern(lost)), expected, "{name}");
        }
        let mut long = LossPattern::default();
        long.lose(10, 1);
        long.lose(12, 50);
        assert_eq!(figures(&long), [51, 2, 1, 52, 51]);
    }

    #[test]
    fn the_ratio_of_bursts_is_one_at_random_and_grows_with_the_runs() {
        assert_eq!(pattern(&[]).burst_ratio(1_000), 1.0);
        // Runs of 4 in 5 % of the frames: 4 × 0.95.
        let mut runs = LossPattern::default();
        for n in 0..100 {
            runs.lose(n * 80, 4);
        }
        assert!((runs.burst_ratio(8_000) - 3.8).abs() < 1e-9);
        let random: Vec<u64> =
            (0..100_000_u64).filter(|n| ((n * 2_654_435_761) >> 7) & 15 == 0).collect();
        let ratio = pattern(&random).burst_ratio(100_000);
        assert!((1.0..1.1).contains(&ratio), "{ratio}");
    }
}
