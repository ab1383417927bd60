//! Puts frames where their timestamps belong.

use std::collections::VecDeque;

/// How long a place stays open for a frame that comes late.
const WINDOW_MS: u32 = 200;
/// A frame this near to the end of the one before follows it without a seam: timestamps are whole
/// milliseconds of a clock that is not the samples' own.
const SEAM_MS: u32 = 10;
/// A jump beyond this is a new clock rather than a pause.
const LONGEST_PAUSE_MS: u32 = 60_000;

/// Makes one stream of samples of frames that may come late, twice or never.
///
/// Gaps become silence. With nothing lost the stream is bit for bit what was sent. It holds
/// 200 ms.
#[derive(Debug)]
pub struct Recorder {
    sample_rate: u32,
    /// Timestamp, in ms, of the first sample of `pending`, and how far beyond it that lies.
    base: Option<(u32, u64)>,
    /// Samples of `base` handed out already.
    emitted: u64,
    pending: VecDeque<i16>,
    /// Frames that came too late or twice.
    dropped: u64,
    /// Which samples of `pending` are silence put in for a gap.
    gaps: VecDeque<bool>,
}

impl Recorder {
    /// A recorder for frames of `sample_rate`.
    #[must_use]
    pub fn new(sample_rate: u32) -> Self {
        Self {
            sample_rate,
            base: None,
            emitted: 0,
            pending: VecDeque::new(),
            dropped: 0,
            gaps: VecDeque::new(),
        }
    }

    fn samples_in(&self, millis: u32) -> u64 {
        u64::from(millis) * u64::from(self.sample_rate) / 1000
    }

    /// Takes a frame with the sender's `timestamp` in ms; `write` gets what is settled.
    pub fn place(&mut self, timestamp: u32, samples: &[i16], write: impl FnMut(&[i16])) {
        let (origin, offset) = *self.base.get_or_insert((timestamp, 0));
        let end = self.emitted + self.pending.len() as u64;
        let since = timestamp.wrapping_sub(origin);
        let position = if since > u32::MAX / 2 {
            offset.checked_sub(self.samples_in(since.wrapping_neg()))
        } else {
            Some(offset + self.samples_in(since))
        };
        let seam = self.samples_in(SEAM_MS);
        let pause = self.samples_in(LONGEST_PAUSE_MS);
        let position = match position {
            Some(position) if position.abs_diff(end) <= seam => end,
            Some(position) if position.abs_diff(end) <= pause => position,
            _ => {
                // The sender's clock began anew: go on behind what is there.
                self.base = Some((timestamp, end));
                end
            }
        };
        if position == end {
            // Each frame sets the time base, so that drift never adds up to a seam.
            self.base = Some((timestamp, end));
        }
        self.put(position, samples);
        self.emit(self.samples_in(WINDOW_MS), write);
    }

    fn put(&mut self, position: u64, samples: &[i16]) {
        let Some(start) = position.checked_sub(self.emitted) else {
            self.dropped += 1;
            return;
        };
        let Ok(start) = usize::try_from(start) else { return };
        while self.pending.len() < start {
            self.pending.push_back(0);
            self.gaps.push_back(true);
        }
        let mut filled = false;
        for (n, sample) in samples.iter().enumerate() {
            match self.gaps.get_mut(start + n) {
                None => {
                    self.pending.push_back(*sample);
                    self.gaps.push_back(false);
                    filled = true;
                }
                Some(gap) if *gap => {
                    *gap = false;
                    self.pending[start + n] = *sample;
                    filled = true;
                }
                Some(_) => {}
            }
        }
        if !filled && !samples.is_empty() {
            self.dropped += 1;
        }
    }

    /// Hands out all but the last `keep` samples.
    fn emit(&mut self, keep: u64, mut write: impl FnMut(&[i16])) {
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let settled = self.pending.len().saturating_sub(keep);
        if settled == 0 {
            return;
        }
        let samples: &[i16] = self.pending.make_contiguous();
        write(&samples[..settled]);
        self.pending.drain(..settled);
        self.gaps.drain(..settled);
        self.emitted += settled as u64;
    }

    /// Hands out the rest.
    pub fn finish(&mut self, write: impl FnMut(&[i16])) {
        self.emit(0, write);
    }

    /// Frames that came too late or twice.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(n: u32) -> Vec<i16> {
        (0..160).map(|sample| (n * 160 + sample + 1) as i16).collect()
    }

    fn record(order: &[u32], base: u32) -> Vec<i16> {
        let (mut recorder, mut out) = (Recorder::new(8000), Vec::new());
        for n in order {
            let write = |samples: &[i16]| out.extend_from_slice(samples);
            recorder.place(base.wrapping_add(n * 20), &frame(*n), write);
        }
        recorder.finish(|samples| out.extend_from_slice(samples));
        out
    }

    #[test]
    fn in_order_it_is_what_was_sent_even_where_the_clock_wraps() {
        let order: Vec<u32> = (0..100).collect();
        let sent: Vec<i16> = order.iter().flat_map(|n| frame(*n)).collect();
        assert_eq!(record(&order, 0), sent);
        assert_eq!(record(&order, u32::MAX - 777), sent);
    }

    #[test]
    fn what_is_missing_is_silence_and_what_comes_twice_comes_once() {
        let out = record(&[0, 1, 1, 3, 4], 0);
        assert_eq!(out.len(), 800);
        assert_eq!(out[160..320], frame(1));
        assert_eq!(out[320..480], [0; 160]);
        assert_eq!(out[480..640], frame(3));
    }

    #[test]
    fn timestamps_off_by_some_milliseconds_leave_no_seam() {
        let (mut recorder, mut out) = (Recorder::new(8000), Vec::new());
        for (n, stamp) in [0, 23, 41, 58, 80].into_iter().enumerate() {
            recorder.place(stamp, &frame(n as u32), |samples| out.extend_from_slice(samples));
        }
        recorder.finish(|samples| out.extend_from_slice(samples));
        let sent: Vec<i16> = (0..5).flat_map(frame).collect();
        assert_eq!(out, sent);
    }

    #[test]
    fn a_new_clock_goes_on_behind_the_old_one() {
        let (mut recorder, mut out) = (Recorder::new(8000), Vec::new());
        for (n, stamp) in [(0, 500_000), (1, 500_020), (2, 40), (3, 60)] {
            recorder.place(stamp, &frame(n), |samples| out.extend_from_slice(samples));
        }
        recorder.finish(|samples| out.extend_from_slice(samples));
        assert_eq!(out, (0..4).flat_map(frame).collect::<Vec<i16>>());
    }

    proptest! {
        /// Any order in which no frame is more than eight places off gives the same recording.
        #[test]
        fn order_within_the_window_does_not_matter(keys in proptest::collection::vec(0_u32..8, 200)) {
            let mut order: Vec<u32> = (1..200).collect();
            order.sort_by_key(|n| n + keys[*n as usize]);
            order.insert(0, 0);
            let sorted: Vec<u32> = (0..200).collect();
            prop_assert_eq!(record(&order, 77), record(&sorted, 77));
        }
    }
}
