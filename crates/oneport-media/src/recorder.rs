//! Puts frames where their timestamps belong.

use std::collections::VecDeque;

use crate::comfort_noise::ComfortNoise;

/// How long a place stays open for a frame that comes late.
const WINDOW_MS: u32 = 200;
/// A frame this near to the end of the one before follows it without a seam: timestamps are whole
/// milliseconds of a clock that is not the samples' own.
const SEAM_MS: u32 = 10;
/// A jump beyond this is a new clock rather than a pause.
const LONGEST_PAUSE_MS: u32 = 60_000;

/// Makes one stream of samples of frames that may come late, twice or never.
///
/// Gaps become silence, and pauses of which the sender told the noise that it told of. With nothing lost the stream is bit for bit what was sent. It holds
/// 200 ms.
///
/// ```
/// use oneport_media::Recorder;
///
/// let (mut recorder, mut recorded) = (Recorder::new(8_000), Vec::new());
/// // The frame of 20 ms never comes, and that of 40 ms comes last.
/// for (timestamp, sample) in [(0, 1), (60, 4), (40, 3)] {
///     recorder.place(timestamp, &[sample; 160], |samples| recorded.extend_from_slice(samples));
/// }
/// recorder.finish(|samples| recorded.extend_from_slice(samples));
/// let frames: Vec<i16> = recorded.chunks(160).map(|frame| frame[80]).collect();
/// assert_eq!(frames, [1, 0, 3, 4]);
/// ```
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
    /// Where a pause begins, as `emitted` counts, and what is heard in it.
    pause: Option<(u64, ComfortNoise)>,
    noise: Vec<i16>,
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
            pause: None,
            noise: Vec::new(),
        }
    }

    fn samples_in(&self, millis: u32) -> u64 {
        u64::from(millis) * u64::from(self.sample_rate) / 1000
    }

    /// Where what is there ends.
    fn end(&self) -> u64 {
        self.emitted + self.pending.len() as u64
    }

    /// Where a timestamp belongs; `None`: before the beginning.
    fn position(&self, (origin, offset): (u32, u64), timestamp: u32) -> Option<u64> {
        let since = timestamp.wrapping_sub(origin);
        if since > u32::MAX / 2 {
            offset.checked_sub(self.samples_in(since.wrapping_neg()))
        } else {
            Some(offset + self.samples_in(since))
        }
    }

    /// Takes word of a pause of `level` −dBov that begins at the sender's `timestamp` (CNG, RFC 5456 §8.3):
    /// up to the next frame there is noise. `false`: what came behind it is there already, or it is no time
    /// of this sender.
    pub fn pause(&mut self, timestamp: u32, level: u8) -> bool {
        let Some(base) = self.base else { return true };
        let end = self.end();
        let Some(begins) = self.position(base, timestamp) else { return false };
        let begins = if begins.abs_diff(end) <= self.samples_in(SEAM_MS) { end } else { begins };
        if begins < end || begins - end > self.samples_in(LONGEST_PAUSE_MS) {
            return false;
        }
        // One that is described anew is filled up to there as it was described before.
        self.fill_to(begins);
        self.pause = Some((begins, ComfortNoise::new(level)));
        true
    }

    /// Appends silence, and from where a pause begins its noise, up to a position.
    fn fill_to(&mut self, position: u64) {
        let count = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(0);
        let end = self.end();
        let quiet =
            self.pause.as_ref().map_or(position, |(begins, _)| *begins).clamp(end, position);
        self.noise.clear();
        self.noise.resize(count(end, quiet), 0);
        if let Some((_, noise)) = &mut self.pause {
            noise.extend(count(quiet, position), &mut self.noise);
        }
        self.gaps.extend(std::iter::repeat_n(true, self.noise.len()));
        self.pending.extend(self.noise.drain(..));
    }

    /// Takes a frame with the sender's `timestamp` in ms; `write` gets what is settled.
    pub fn place(&mut self, timestamp: u32, samples: &[i16], write: impl FnMut(&[i16])) {
        let base = *self.base.get_or_insert((timestamp, 0));
        let end = self.end();
        let position = self.position(base, timestamp);
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
        if self.pending.len() < start {
            self.fill_to(position);
        }
        self.pause = self.pause.take().filter(|(begins, _)| position < *begins);
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
    fn a_pause_of_which_the_sender_told_is_noise_as_loud_as_it_said_up_to_the_next_word() {
        let (mut recorder, mut out) = (Recorder::new(8000), Vec::new());
        let mut write = |samples: &[i16]| out.extend_from_slice(samples);
        recorder.place(40, &frame(0), &mut write);
        assert!(recorder.pause(60, 40));
        assert!(recorder.pause(1_060, 60));
        recorder.place(2_060, &frame(1), &mut write);
        // What was there before is no pause any more, and what is lost behind it is silence.
        assert!(!recorder.pause(1_500, 30));
        recorder.place(2_100, &frame(2), &mut write);
        recorder.finish(write);
        assert_eq!(out.len(), 8 * 2_080);
        for (part, expected) in [(160..8_160, 40), (8_160..16_160, 60)] {
            let level = crate::comfort_noise::level_of(&out[part]);
            assert!(level.abs_diff(expected) <= 2, "{level} for {expected}");
        }
        assert_eq!(out[16_160..16_320], frame(1));
        assert_eq!(out[16_320..16_480], [0; 160]);
        assert_eq!(out[16_480..], frame(2));
    }

    #[test]
    fn a_pause_at_no_time_of_the_sender_fills_nothing() {
        let mut recorder = Recorder::new(8000);
        assert!(recorder.pause(7, 40));
        recorder.place(1_000_000, &frame(0), |_| ());
        for timestamp in [0, 500_000, 1_100_000, 1_000_000_000, 3_000_000_000] {
            assert!(!recorder.pause(timestamp, 40), "{timestamp}");
        }
        let mut most = 0;
        recorder.place(1_000_020, &frame(1), |samples| most += samples.len());
        recorder.finish(|samples| most += samples.len());
        assert_eq!(most, 2 * 160);
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
