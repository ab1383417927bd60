//! How long frames of voice are, and so how many are missing between two. Frames have no numbers:
//! formats of constant rate say it by their size, others by the steps of their timestamps.

use oneport_wire::Format;

use crate::relay_clock::is_after;

/// A step beyond this is a pause, a new talk spurt or a new clock rather than loss.
pub(crate) const PAUSE_MS: u32 = 2_000;

/// Lengths of a frame, in ms, that are believed.
const LENGTHS: core::ops::RangeInclusive<u32> = 5..=200;

/// Equal steps in a row that show frames to be shorter than was thought, or longer. Loss makes
/// longer steps too, but not for so long.
const SHORTER: u16 = 3;
const LONGER: u16 = 50;

/// How many ms of audio `bytes` of a format hold, where it has a constant rate.
fn told_length(format: Format, bytes: u16) -> u16 {
    let ms = match format {
        Format::ULAW | Format::ALAW | Format::G722 => bytes / 8,
        Format::SLIN => bytes / 16,
        Format::SLIN16 => bytes / 32,
        Format::ADPCM | Format::G726 | Format::G726_AAL2 => bytes / 4,
        Format::GSM => bytes / 33 * 20,
        Format::G729 => bytes / 10 * 10,
        Format::ILBC if bytes.is_multiple_of(50) => bytes / 50 * 30,
        Format::ILBC => bytes / 38 * 20,
        _ => 0,
    };
    // Anything else is the rest of something, or no audio at all.
    if ms.is_multiple_of(10) && ms <= 120 { ms } else { 0 }
}

/// How many ms of voice leave in a turn of `turn_ms`; `None`: all of it waits for the next one. An encoder of iLBC keeps
/// what is less than a frame, so that its frames of 30 ms leave in two of three turns of 20, and follow each other all the same.
pub(crate) fn lasts_in_turn(format: Format, bytes: usize, turn_ms: u16) -> Option<u16> {
    if format != Format::ILBC {
        return Some(turn_ms);
    }
    match told_length(format, u16::try_from(bytes).unwrap_or(u16::MAX)) {
        _ if bytes == 0 => None,
        0 => Some(turn_ms),
        told => Some(told),
    }
}

/// The length of a stream's frames. Each call has two of it, hence the small numbers: no datagram has more bytes, and
/// the greatest stands for all steps beyond, which say nothing of how long a frame is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FrameLength {
    /// In ms; 0 while unknown.
    length: u16,
    /// The last length that a frame's size told.
    told: u16,
    /// Format and bytes of the last frame, whose length is the one told.
    measured: (Option<Format>, u16),
    /// The last step, and how often it came in a row, as far as it was not usual.
    run: (u16, u16),
}

impl FrameLength {
    /// Whether a step leads from one frame to the next, as the one before it did. Most frames are so.
    pub(crate) const fn is_usual(&self, step: u32) -> bool {
        self.run.0 == self.length && step == self.length as u32 && step != 0
    }

    /// Learns from a frame's size, where its format tells; `true` when that changes the length.
    #[inline]
    pub(crate) fn measure(&mut self, format: Format, bytes: usize) -> bool {
        let size = u16::try_from(bytes).unwrap_or(u16::MAX);
        self.measured != (Some(format), size) && self.measure_anew(format, size)
    }

    #[cold]
    fn measure_anew(&mut self, format: Format, size: u16) -> bool {
        self.measured = (Some(format), size);
        let told = told_length(format, size);
        let changes = told != 0 && told != self.told;
        if changes {
            self.set(told);
            self.told = told;
        }
        changes
    }

    /// Learns from a step. Where that changes the length, says how many frames were taken for lost
    /// that were not.
    pub(crate) fn learn(&mut self, step: u32) -> Option<u64> {
        let (last, times) = self.run;
        let capped = u16::try_from(step).unwrap_or(u16::MAX);
        let times = if last.abs_diff(capped) <= 2 { times.saturating_add(1) } else { 1 };
        self.run = (capped, times);
        let length = self.known_ms();
        if length.abs_diff(step) <= 2 || !LENGTHS.contains(&step) {
            return None;
        }
        let excess = if length == 0 || step < length && times >= SHORTER {
            0
        } else if step > length && times >= LONGER {
            u64::from(self.steps(step) - 1) * u64::from(times - 1)
        } else {
            return None;
        };
        self.set(capped);
        Some(excess)
    }

    fn set(&mut self, length: u16) {
        (self.length, self.run) = (length, (0, 0));
    }

    /// How many frames on a step leads; never 0.
    pub(crate) fn steps(&self, step: u32) -> u32 {
        let length = self.known_ms();
        if step == length {
            // Mostly, and without a division.
            return 1;
        }
        let Some(whole) = step.checked_div(length) else { return 1 };
        // Timestamps may be a little uneven; a step halfway between is not called loss.
        let nearly = step % length + length / 4 >= length;
        (whole + u32::from(nearly)).max(1)
    }

    /// How many ms a step of two frames or more leaves out, if that cannot be whole frames.
    pub(crate) fn odd_gap(&self, step: u32) -> Option<u32> {
        let length = self.known_ms();
        let rest = step.checked_rem(length)?;
        let odd = rest.min(length - rest) >= (length / 4).max(1);
        (odd && step / length >= 2).then(|| step - length)
    }

    /// How many frames behind the newest one lies that is `back` ms older; 0 while that is not known.
    pub(crate) fn place(&self, back: u32) -> u32 {
        let length = self.known_ms();
        (back.saturating_add(length / 2)).checked_div(length).unwrap_or(0)
    }

    /// How many ms the last frame that was measured lasts, where its size tells.
    pub(crate) fn told_ms(&self) -> Option<u32> {
        let (format, size) = self.measured;
        Some(told_length(format?, size).into()).filter(|length| *length != 0)
    }

    /// In ms; 0 while it is not known.
    pub(crate) const fn known_ms(&self) -> u32 {
        self.length as u32
    }
}

/// Counts what is missing in voice that we send, as where a relayed caller's frames were lost: the
/// peer misses it too. It is less exact than the count of what we hear, and much smaller.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gaps {
    lengths: FrameLength,
    missing: u32,
    /// What follows is behind a pause that was told.
    pause: bool,
}

impl Gaps {
    /// A frame leaves with `stamp`, `last` being the latest before it.
    #[inline]
    pub(crate) fn sent(&mut self, last: Option<u32>, stamp: u32, format: Format, bytes: usize) {
        self.lengths.measure(format, bytes);
        let Some(last) = last else { return };
        let step = stamp.wrapping_sub(last);
        if !self.lengths.is_usual(step) && step != 0 {
            self.sent_unusual(last, stamp, step);
        }
    }

    #[cold]
    fn sent_unusual(&mut self, last: u32, stamp: u32, step: u32) {
        if is_after(last, stamp) {
            // It fills one.
            self.missing = self.missing.saturating_sub(1);
            return;
        }
        if core::mem::take(&mut self.pause) {
            return;
        }
        if let Some(excess) = self.lengths.learn(step) {
            let excess = u32::try_from(excess).unwrap_or(u32::MAX);
            self.missing = self.missing.saturating_sub(excess);
        }
        if step <= PAUSE_MS {
            self.missing = self.missing.saturating_add(self.lengths.steps(step) - 1);
        }
    }

    /// A pause begins, and is told.
    pub(crate) fn pause(&mut self) {
        self.pause = true;
    }

    /// Frames missing so far.
    pub(crate) const fn missing(&self) -> u64 {
        self.missing as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is missing when frames of 20 ms leave with these timestamps.
    fn missing(stamps: impl IntoIterator<Item = u32>) -> u64 {
        let (mut gaps, mut last) = (Gaps::default(), None::<u32>);
        for stamp in stamps {
            gaps.sent(last, stamp, Format::ULAW, 160);
            if last.is_none_or(|last| is_after(stamp, last)) {
                last = Some(stamp);
            }
        }
        gaps.missing()
    }

    #[test]
    fn gaps_are_what_the_peer_misses_and_late_frames_fill_them() {
        assert_eq!(missing((0..100).map(|n| n * 20)), 0);
        assert_eq!(missing([0, 20, 40, 120, 140]), 3);
        assert_eq!(missing([0, 20, 40, 120, 60, 80, 140]), 1);
        assert_eq!(missing([u32::MAX - 19, 0, 20, 80, 40]), 1, "across the turn of the clock");
        assert_eq!(missing([0, 20, 40, 2_060, 2_080]), 0, "a pause");
        assert_eq!(missing([0, 20, 41, 59, 80, 80, 100]), 0, "uneven timestamps");
    }

    #[test]
    fn frames_of_ilbc_last_as_long_as_they_tell_and_those_of_others_as_their_turn() {
        for (format, bytes, lasts) in [
            (Format::ILBC, 0, None),
            (Format::ILBC, 50, Some(30)),
            (Format::ILBC, 38, Some(20)),
            (Format::ILBC, 100, Some(60)),
            (Format::ILBC, 7, Some(20)),
            (Format::LPC10, 0, Some(20)),
            (Format::ULAW, 80, Some(20)),
        ] {
            assert_eq!(lasts_in_turn(format, bytes, 20), lasts, "{bytes} bytes of {format}");
        }
    }

    #[test]
    fn a_pause_that_was_told_is_no_gap_and_the_next_is() {
        let (mut gaps, mut last) = (Gaps::default(), None);
        for (stamp, told) in [(0, false), (20, true), (400, false), (420, false), (500, false)] {
            gaps.sent(last, stamp, Format::ULAW, 160);
            last = Some(stamp);
            if told {
                gaps.pause();
            }
        }
        assert_eq!(gaps.missing(), 3);
    }

    #[test]
    fn gaps_of_a_format_that_does_not_tell_its_length_go_by_the_steps() {
        let (mut gaps, mut last) = (Gaps::default(), None);
        for n in (0..200).filter(|n| n % 50 != 49) {
            gaps.sent(last, n * 60, Format::OPUS, 60 + n as usize % 7);
            last = Some(n * 60);
        }
        assert_eq!(gaps.missing(), 3);
    }
}
