//! The two sides of a recorded call, put beside each other in time.
//!
//! Each side is placed by its sender's timestamps, so that a timely stream is recorded bit for bit.
//! The clock of this machine says only where a side begins, and where it goes on behind a pause or a
//! jump; a sender whose timestamps run away is not followed further than [`TOLERANCE_MS`].

use std::collections::VecDeque;

use oneport_media::Recorder;

/// How far timestamps and arrival may differ. A side that is silent for longer gets silence.
const TOLERANCE_MS: u64 = 5_000;

/// Which side of a call: the channels of its file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Side {
    /// Left.
    Caller,
    /// Right.
    Called,
}

/// Where timestamps and time meet.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    timestamp: u32,
    /// Milliseconds since the recording began.
    at: u64,
}

#[derive(Debug)]
struct Stream {
    rate: u32,
    recorder: Recorder,
    anchor: Option<Anchor>,
    /// Samples that are settled since the recording began.
    settled: u64,
    /// Those of them that wait for the other side.
    waiting: VecDeque<i16>,
}

impl Stream {
    fn new(rate: u32) -> Self {
        let recorder = Recorder::new(rate);
        Self { rate, recorder, anchor: None, settled: 0, waiting: VecDeque::new() }
    }

    fn samples_in(&self, millis: u64) -> u64 {
        millis * u64::from(self.rate) / 1_000
    }

    /// Settles what the recorder holds.
    fn settle(&mut self) {
        let Self { recorder, settled, waiting, .. } = self;
        recorder.finish(|samples| {
            waiting.extend(samples);
            *settled += samples.len() as u64;
        });
    }

    /// Settles all, and silence up to a moment.
    fn fill(&mut self, millis: u64) {
        self.settle();
        self.recorder = Recorder::new(self.rate);
        self.anchor = None;
        let silence = self.samples_in(millis).saturating_sub(self.settled);
        self.waiting.extend(std::iter::repeat_n(0, usize::try_from(silence).unwrap_or(0)));
        self.settled += silence;
    }

    fn place(&mut self, millis: u64, timestamp: u32, samples: &[i16]) {
        let follows = self.anchor.is_some_and(|anchor| {
            // It may be older than the first.
            let since = timestamp.wrapping_sub(anchor.timestamp).cast_signed();
            let expected = anchor.at.checked_add_signed(since.into());
            expected.is_some_and(|expected| expected.abs_diff(millis) <= TOLERANCE_MS)
        });
        if !follows {
            self.fill(millis);
            // Behind what was placed too early there is no way back.
            let at = self.settled * 1_000 / u64::from(self.rate);
            if at.abs_diff(millis) > TOLERANCE_MS {
                return;
            }
            self.anchor = Some(Anchor { timestamp, at });
        }
        let Self { recorder, settled, waiting, .. } = self;
        recorder.place(timestamp, samples, |samples| {
            waiting.extend(samples);
            *settled += samples.len() as u64;
        });
    }

    /// Time goes on; whoever has been silent for long has said nothing.
    fn advance(&mut self, millis: u64) {
        let Some(due) = millis.checked_sub(TOLERANCE_MS) else { return };
        if self.settled < self.samples_in(due) {
            self.fill(due);
        }
    }
}

/// Both sides, on their way to a file with two channels.
#[derive(Debug)]
pub(crate) struct Sides {
    caller: Stream,
    called: Stream,
    pairs: Vec<i16>,
}

impl Sides {
    pub(crate) fn new(rate: u32) -> Self {
        Self { caller: Stream::new(rate), called: Stream::new(rate), pairs: Vec::new() }
    }

    /// Takes a frame that has come `millis` after the beginning; gives what can be written.
    pub(crate) fn frame(
        &mut self,
        side: Side,
        millis: u64,
        timestamp: u32,
        samples: &[i16],
    ) -> &[i16] {
        match side {
            Side::Caller => self.caller.place(millis, timestamp, samples),
            Side::Called => self.called.place(millis, timestamp, samples),
        }
        self.caller.advance(millis);
        self.called.advance(millis);
        self.pair()
    }

    /// Gives the rest.
    pub(crate) fn finish(&mut self) -> &[i16] {
        for stream in [&mut self.caller, &mut self.called] {
            stream.settle();
        }
        let longest = self.caller.waiting.len().max(self.called.waiting.len());
        self.caller.waiting.resize(longest, 0);
        self.called.waiting.resize(longest, 0);
        self.pair()
    }

    fn pair(&mut self) -> &[i16] {
        self.pairs.clear();
        let both = self.caller.waiting.len().min(self.called.waiting.len());
        let (left, right) = (self.caller.waiting.drain(..both), self.called.waiting.drain(..both));
        self.pairs.extend(left.zip(right).flat_map(|(left, right)| [left, right]));
        &self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: i16) -> Vec<i16> {
        vec![n; 160]
    }

    /// What is recorded of frames: side, arrival, timestamp, level.
    fn record(frames: &[(Side, u64, u32, i16)]) -> (Vec<i16>, Vec<i16>) {
        let mut sides = Sides::new(8_000);
        let mut all = Vec::new();
        for (side, millis, timestamp, level) in frames {
            all.extend_from_slice(sides.frame(*side, *millis, *timestamp, &frame(*level)));
        }
        all.extend_from_slice(sides.finish());
        let (pairs, rest) = all.as_chunks::<2>();
        assert!(rest.is_empty());
        pairs.iter().map(|[left, right]| (*left, *right)).unzip()
    }

    #[test]
    fn what_is_said_at_the_same_time_stands_beside_each_other() {
        let mut frames = Vec::new();
        for n in 0..100_u32 {
            let at = u64::from(n) * 20;
            frames.push((Side::Caller, 40 + at, 500_000 + n * 20, 1));
            frames.push((Side::Called, 100 + at, 7 + n * 20, 2));
        }
        let (left, right) = record(&frames);
        assert_eq!(left.len(), (100 + 2_000) * 8);
        assert!(left[..320].iter().all(|sample| *sample == 0));
        assert!(left[320..320 + 16_000].iter().all(|sample| *sample == 1));
        assert!(right[..800].iter().all(|sample| *sample == 0));
        assert!(right[800..].iter().all(|sample| *sample == 2));
    }

    #[test]
    fn a_burst_of_late_frames_is_placed_by_its_timestamps() {
        let frames: Vec<_> =
            (0..100_u32).map(|n| (Side::Caller, 2_000, n * 20, n as i16 + 1)).collect();
        let (left, _) = record(&frames);
        let said: Vec<i16> = (1..=100).flat_map(frame).collect();
        assert_eq!(left[2_000 * 8..], said);
    }

    #[test]
    fn a_side_that_says_nothing_for_long_holds_the_other_up_no_longer() {
        let mut sides = Sides::new(8_000);
        let mut written = 0;
        for n in 0..1_000_u32 {
            let pairs = sides.frame(Side::Caller, u64::from(n) * 20, n * 20, &frame(1));
            written += pairs.len() / 2;
        }
        assert!(written >= (20_000 - 5_300) * 8, "{written}");
        // It speaks at last, by a clock of its own, and at its place.
        let pairs = sides.frame(Side::Called, 20_000, 3_000_000_000, &frame(2)).to_vec();
        let mut all = pairs;
        all.extend_from_slice(sides.finish());
        let first = all.as_chunks::<2>().0.iter().position(|[_, right]| *right == 2);
        assert_eq!(first.map(|place| place + written), Some(20_000 * 8));
    }

    #[test]
    fn timestamps_that_run_away_fill_no_disk() {
        let frames: Vec<_> =
            (0..10_000_u32).map(|n| (Side::Caller, u64::from(n), n * 4_000, 1)).collect();
        let (left, _) = record(&frames);
        assert!(left.len() <= (10_000 + 2 * 5_000 + 200) * 8, "{} samples", left.len());
        let back: Vec<_> = (0..10_000_u32)
            .map(|n| (Side::Caller, u64::from(n), u32::MAX - n * 7_000, 1))
            .collect();
        let (left, _) = record(&back);
        assert!(left.len() <= (10_000 + 2 * 5_000 + 200) * 8, "{} samples", left.len());
    }
}
