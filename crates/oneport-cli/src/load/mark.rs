//! What the voice of a load says: which call and frame it is, and when it left. Whoever hears it
//! again knows what was lost, damaged, put into another call, and how long it took.
//!
//! ```text
//! 0..4    number of the run, so that nobody else's voice is taken for ours
//! 4..8    line
//! 8..12   sequence
//! 12..20  µs since the start of the run
//! 20..    one byte again and again, which depends on line and sequence
//! ```
//! All numbers have their most significant byte first.

/// Bytes of a mark.
pub(crate) const LENGTH: usize = 20;

/// A mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    /// Which run of the load it belongs to.
    pub(crate) run: u32,
    /// Which of its calls.
    pub(crate) line: u32,
    /// Which frame of that.
    pub(crate) sequence: u32,
    /// When it left, in µs.
    pub(crate) sent: u64,
}

/// What a frame turns out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// Ours, each byte as it left.
    Whole(Mark),
    /// Ours, but other bytes than left.
    Damaged,
    /// No mark of this run: transcoded, or somebody else's.
    Foreign,
}

impl Mark {
    /// Writes it over a whole frame of voice; one shorter than a mark stays as it is.
    pub(crate) fn write(&self, frame: &mut [u8]) {
        let Some((head, rest)) = frame.split_at_mut_checked(LENGTH) else { return };
        head[0..4].copy_from_slice(&self.run.to_be_bytes());
        head[4..8].copy_from_slice(&self.line.to_be_bytes());
        head[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        head[12..20].copy_from_slice(&self.sent.to_be_bytes());
        rest.fill(self.filling());
    }

    /// Reads a frame of the run `run`.
    pub(crate) fn read(run: u32, frame: &[u8]) -> Reading {
        let Some((head, rest)) = frame.split_at_checked(LENGTH) else { return Reading::Foreign };
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if word(0) != run {
            return Reading::Foreign;
        }
        let sent = u64::from(word(12)) << 32 | u64::from(word(16));
        let mark = Self { run, line: word(4), sequence: word(8), sent };
        let filling = mark.filling();
        match rest.iter().all(|byte| *byte == filling) {
            true => Reading::Whole(mark),
            false => Reading::Damaged,
        }
    }

    fn filling(&self) -> u8 {
        let [.., low] = (self.line ^ self.sequence).to_be_bytes();
        low
    }
}

/// What was heard of one call, by the sequence of its marks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    /// The sequence after the highest.
    next: u32,
    /// Which of the 64 before that came; the lowest bit is the one right before.
    came: u64,
}

/// What one more frame means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// It is newer than all before; so many in between have not come.
    New {
        /// How many.
        missing: u32,
    },
    /// It was missing, and comes behind newer ones.
    Late,
    /// It came before.
    Again,
}

impl Heard {
    /// Takes the frame `sequence`.
    pub(crate) fn take(&mut self, sequence: u32) -> Arrival {
        if let Some(missing) = sequence.checked_sub(self.next) {
            self.came = self.came.checked_shl(missing.saturating_add(1)).unwrap_or(0) | 1;
            self.next = sequence.wrapping_add(1);
            return Arrival::New { missing };
        }
        let bit = 1_u64.checked_shl(self.next - sequence - 1);
        match bit {
            Some(bit) if self.came & bit == 0 => {
                self.came |= bit;
                Arrival::Late
            }
            _ => Arrival::Again,
        }
    }

    /// The sequence after the highest that came.
    pub(crate) const fn next(&self) -> u32 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { run: 7, line: 70_000, sequence: 300, sent: 5_000_000_000 };

    #[test]
    fn a_mark_comes_back_as_it_left() {
        let mut frame = [0xFF; 160];
        MARK.write(&mut frame);
        assert_eq!(Mark::read(7, &frame), Reading::Whole(MARK));
    }

    #[test]
    fn other_bytes_and_other_runs_are_told_apart() {
        let mut frame = [0xFF; 160];
        MARK.write(&mut frame);
        assert_eq!(Mark::read(8, &frame), Reading::Foreign);
        frame[159] ^= 1;
        assert_eq!(Mark::read(7, &frame), Reading::Damaged);
        assert_eq!(Mark::read(7, &frame[..10]), Reading::Foreign);
    }

    #[test]
    fn frames_that_are_missing_late_or_there_again_are_counted_as_such() {
        let mut heard = Heard::default();
        let arrivals = [0, 1, 4, 2, 2, 4, 5, 105, 40, 104].map(|sequence| heard.take(sequence));
        let new = |missing| Arrival::New { missing };
        let expected = [
            new(0),
            new(0),
            new(2),
            Arrival::Late,
            Arrival::Again,
            Arrival::Again,
            new(0),
            new(99),
            // Older than what is remembered.
            Arrival::Again,
            Arrival::Late,
        ];
        assert_eq!(arrivals, expected);
        assert_eq!(heard.next(), 106);
    }
}
