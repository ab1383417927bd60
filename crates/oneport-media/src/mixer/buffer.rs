//! A small jitter buffer of fixed delay: frames come by their timestamps, and go out at a steady pace.

use super::FRAME;

/// How much audio waits before it is heard, in samples: 40 ms.
const DELAY: u64 = 320;

/// Samples that are kept at most: 200 ms.
const CAPACITY: usize = 1_600;

/// A frame this near to the end of the one before, in samples, follows it without a seam: timestamps
/// are whole milliseconds of a clock that is not the samples' own.
const SEAM: u64 = 80;

/// Late frames in a row after which the sender's clock is taken to go behind ours, and is met anew.
const LATE: u32 = 5;

/// Samples in a millisecond.
const PER_MS: u64 = 8;

/// What a buffer has heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// Frames taken.
    pub frames: u64,
    /// Frames that came too late to be heard, or twice.
    pub late: u64,
    /// Turns in which a member that was speaking had nothing to be heard.
    pub missing: u64,
    /// How often the sender's clock was met anew: at its first frame, and behind a jump.
    pub met: u64,
}

/// Samples by their place in time, from the one that goes out next.
#[derive(Debug)]
pub(super) struct JitterBuffer {
    /// A ring: the sample of place `p` stands at `p` modulo its length.
    samples: Box<[i16]>,
    /// Which of them are there.
    filled: Box<[bool]>,
    /// The place that goes out next.
    next: u64,
    /// The end of the newest frame.
    end: u64,
    /// A timestamp of the sender, and its place.
    clock: Option<(u32, u64)>,
    /// Where its clock was met.
    met_at: u64,
    late_in_a_row: u32,
    heard: Heard,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self {
            samples: vec![0; CAPACITY].into(),
            filled: vec![false; CAPACITY].into(),
            next: 0,
            end: 0,
            clock: None,
            met_at: 0,
            late_in_a_row: 0,
            heard: Heard::default(),
        }
    }
}

impl JitterBuffer {
    pub(super) const fn heard(&self) -> Heard {
        self.heard
    }

    /// The place of a frame, unless it lies beyond what is kept.
    fn place(&self, timestamp: u32, len: usize) -> Option<u64> {
        let (origin, place) = self.clock?;
        let since = timestamp.wrapping_sub(origin);
        let place = if since > u32::MAX / 2 {
            // Before the first place there is nothing; it is late in any case.
            place.saturating_sub(u64::from(since.wrapping_neg()) * PER_MS)
        } else {
            place + u64::from(since) * PER_MS
        };
        let place = if place.abs_diff(self.end) <= SEAM { self.end } else { place };
        (place + len as u64 <= self.next + CAPACITY as u64).then_some(place)
    }

    /// Puts a frame where it belongs.
    pub(super) fn put(&mut self, timestamp: u32, samples: &[i16]) {
        let samples = &samples[..samples.len().min(CAPACITY - DELAY as usize)];
        if samples.is_empty() {
            return;
        }
        let place = match self.place(timestamp, samples.len()) {
            Some(place) => place,
            None => self.meet(timestamp),
        };
        if place < self.next {
            self.heard.late += 1;
            self.late_in_a_row += 1;
            if self.late_in_a_row < LATE {
                return;
            }
            let place = self.meet(timestamp);
            return self.fill(timestamp, place, samples);
        }
        self.fill(timestamp, place, samples);
    }

    /// Takes the sender's clock as it is now; gives the place of its present frame.
    fn meet(&mut self, timestamp: u32) -> u64 {
        self.filled.fill(false);
        self.heard.met += 1;
        let place = self.next + DELAY;
        self.clock = Some((timestamp, place));
        (self.end, self.met_at) = (place, place);
        place
    }

    fn fill(&mut self, timestamp: u32, place: u64, samples: &[i16]) {
        self.late_in_a_row = 0;
        let mut any = false;
        for (at, sample) in (place..).zip(samples) {
            let at = (at % CAPACITY as u64) as usize;
            if !std::mem::replace(&mut self.filled[at], true) {
                self.samples[at] = *sample;
                any = true;
            }
        }
        match any {
            true => self.heard.frames += 1,
            false => self.heard.late += 1,
        }
        let end = place + samples.len() as u64;
        if end > self.end {
            self.end = end;
            // Each frame sets the time base, so that drift never adds up to a seam.
            self.clock = Some((timestamp, place));
        }
    }

    /// Takes the next frame out; silence where there is nothing.
    pub(super) fn take(&mut self, out: &mut [i16; FRAME]) {
        let mut any = false;
        for (at, out) in (self.next..).zip(out.iter_mut()) {
            let at = (at % CAPACITY as u64) as usize;
            let here = std::mem::replace(&mut self.filled[at], false);
            *out = if here { self.samples[at] } else { 0 };
            any |= here;
        }
        self.next += FRAME as u64;
        // A member that has not spoken for as long as the buffer is misses nothing.
        let speaks = self.clock.is_some() && self.next < self.end + CAPACITY as u64;
        let waits = self.next <= self.met_at;
        self.heard.missing += u64::from(speaks && !any && !waits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first sample of each of the next frames.
    fn next(buffer: &mut JitterBuffer, frames: usize) -> Vec<i16> {
        let mut out = [0; FRAME];
        let mut first = || {
            buffer.take(&mut out);
            assert_eq!(out, [out[0]; FRAME], "a seam");
            out[0]
        };
        (0..frames).map(|_| first()).collect()
    }

    #[test]
    fn frames_go_out_in_their_order_two_turns_later() {
        let mut buffer = JitterBuffer::default();
        buffer.put(u32::MAX - 10, &[1; FRAME]);
        buffer.put(29, &[3; FRAME]);
        assert_eq!(next(&mut buffer, 1), [0]);
        buffer.put(9, &[2; FRAME]);
        assert_eq!(next(&mut buffer, 4), [0, 1, 2, 3]);
        assert_eq!(buffer.heard(), Heard { frames: 3, late: 0, missing: 0, met: 1 });
    }

    #[test]
    fn late_frames_and_copies_are_counted_and_not_heard() {
        let mut buffer = JitterBuffer::default();
        buffer.put(0, &[1; FRAME]);
        buffer.put(40, &[3; FRAME]);
        buffer.put(40, &[9; FRAME]);
        assert_eq!(next(&mut buffer, 5), [0, 0, 1, 0, 3]);
        buffer.put(20, &[2; FRAME]);
        assert_eq!(next(&mut buffer, 1), [0]);
        assert_eq!(buffer.heard(), Heard { frames: 2, late: 2, missing: 2, met: 1 });
    }

    #[test]
    fn timestamps_off_by_some_milliseconds_leave_no_seam() {
        let mut buffer = JitterBuffer::default();
        for (n, stamp) in [(1, 0), (2, 23), (3, 41), (4, 58), (5, 80)] {
            buffer.put(stamp, &[n; FRAME]);
        }
        assert_eq!(next(&mut buffer, 7), [0, 0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_sender_whose_clock_falls_behind_or_jumps_is_met_anew() {
        let mut buffer = JitterBuffer::default();
        buffer.put(0, &[1; FRAME]);
        next(&mut buffer, 50);
        // It goes on with its clock as if a second had not passed.
        for n in 1..5 {
            buffer.put(n * 20, &[2; FRAME]);
        }
        assert_eq!((buffer.heard().late, buffer.heard().met), (4, 1));
        buffer.put(100, &[3; FRAME]);
        assert_eq!(next(&mut buffer, 3), [0, 0, 3]);
        buffer.put(5_000_000, &[4; FRAME]);
        assert_eq!(next(&mut buffer, 3), [0, 0, 4]);
        assert_eq!(buffer.heard().met, 3);
    }

    #[test]
    fn silence_of_a_member_that_pauses_is_not_counted_for_ever() {
        let mut buffer = JitterBuffer::default();
        next(&mut buffer, 100);
        assert_eq!(buffer.heard().missing, 0);
        buffer.put(0, &[1; FRAME]);
        next(&mut buffer, 1_000);
        assert!(buffer.heard().missing <= 10, "{:?}", buffer.heard());
        // Within a long pause the clocks may have drifted apart as they like.
        buffer.put(20_000, &[5; FRAME]);
        assert!(next(&mut buffer, 3).contains(&5));
    }
}
