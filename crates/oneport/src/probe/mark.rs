//! What the voice of a measurement says: which call and frame it is, and when it left. Whoever hears it
//! again knows what was lost, damaged, put into another call, and how long it took.
//!
//! ```text
//! 0..4    number of the run, so that nobody else's voice is taken for ours
//! 4..8    line
//! 8..12   sequence
//! 12..20  µs since the start of the run
//! 20..36  a request, or what the other end has seen, where that is asked for
//! ..      one byte again and again, which depends on line and sequence
//! ```
//! All numbers have their most significant byte first. A request is `PROB` and twelve zeros, and the
//! answer of a [`Reflector`] `SEEN`, how many frames of the call had come to it before (32 bits), and its
//! clock in µs when this one did (64 bits): what a session reflector of TWAMP (RFC 5357 §4.2.1) says, in
//! the voice of a call.

/// Bytes of a mark.
pub const MARK_LENGTH: usize = 20;

/// Bytes of a mark and of what the other end has seen.
pub const SEEN_LENGTH: usize = 36;

const REQUEST: [u8; 4] = *b"PROB";
const ANSWER: [u8; 4] = *b"SEEN";

/// A mark.
///
/// ```
/// use oneport::probe::{Mark, Reading};
///
/// let mark = Mark { run: 5456, line: 3, sequence: 17, sent: 340_000 };
/// let mut frame = [0xFF; 160];
/// mark.write(&mut frame);
/// assert_eq!(Mark::read(5456, &frame), Reading::Whole(mark, None));
/// // Somebody on the way has changed a byte of voice.
/// frame[100] ^= 1;
/// assert_eq!(Mark::read(5456, &frame), Reading::Damaged);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Which run of the load it belongs to.
    pub run: u32,
    /// Which of its calls.
    pub line: u32,
    /// Which frame of that.
    pub sequence: u32,
    /// When it left, in µs.
    pub sent: u64,
}

/// What the other end says of a frame that came to it.
///
/// ```
/// use oneport::probe::{Mark, Reading, Reflector, Seen};
///
/// # let mark = Mark { run: 5456, line: 3, sequence: 17, sent: 340_000 };
/// # let mut frame = [0xFF; 160];
/// mark.write_request(&mut frame);
/// Reflector::default().reflect(7_000_000, &mut frame);
/// // It was the first of its call, though 17 had been sent before: these were lost on the way there.
/// let seen = Seen { order: 0, at: 7_000_000 };
/// assert_eq!(Mark::read(5456, &frame), Reading::Whole(mark, Some(seen)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// How many frames of the call had come before.
    pub order: u32,
    /// When it came, in µs of the other end's clock, whose origin nobody knows.
    pub at: u64,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn double_word(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) << 32 | u64::from(word(bytes, at + 4))
}

/// Says in each frame that asks for it what this end has seen of the call. One for each call.
///
/// ```
/// use oneport::probe::{Mark, Reading, Reflector};
///
/// let mut reflector = Reflector::default();
/// let mut orders = Vec::new();
/// for sequence in 0..3 {
///     let mark = Mark { run: 5456, line: 0, sequence, sent: 0 };
///     let mut frame = [0xFF; 160];
///     mark.write_request(&mut frame);
///     reflector.reflect(9_000, &mut frame);
///     if let Reading::Whole(_, Some(seen)) = Mark::read(5456, &frame) {
///         orders.push(seen.order);
///     }
/// }
/// assert_eq!(orders, [0, 1, 2]);
/// // Voice that asks for nothing comes back as it is.
/// let mut voice = [0xD5; 160];
/// reflector.reflect(9_000, &mut voice);
/// assert_eq!(voice, [0xD5; 160]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Reflector {
    came: u32,
}

impl Reflector {
    /// A frame has come when the clock stood at `micros`: writes that over it, where it asks for it.
    /// Whatever asks for nothing stays as it is.
    pub fn reflect(&mut self, micros: u64, frame: &mut [u8]) {
        let order = self.came;
        self.came = self.came.wrapping_add(1);
        let Some(room) = frame.get_mut(MARK_LENGTH..SEEN_LENGTH) else { return };
        if room.starts_with(&REQUEST) {
            room[..4].copy_from_slice(&ANSWER);
            room[4..8].copy_from_slice(&order.to_be_bytes());
            room[8..].copy_from_slice(&micros.to_be_bytes());
        }
    }
}

/// What a frame turns out to be.
///
/// ```
/// use oneport::probe::{Mark, Reading};
///
/// let mut frame = [0xFF; 160];
/// Mark { run: 5456, line: 0, sequence: 0, sent: 0 }.write(&mut frame);
/// assert!(matches!(Mark::read(5456, &frame), Reading::Whole(..)));
/// // That of another run, and voice that was transcoded on the way.
/// assert_eq!(Mark::read(5457, &frame), Reading::Foreign);
/// assert_eq!(Mark::read(5456, &[0x2A; 33]), Reading::Foreign);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Ours, each byte as it left, but for what the other end has seen, if it says that.
    Whole(Mark, Option<Seen>),
    /// Ours, but other bytes than left.
    Damaged,
    /// No mark of this run: transcoded, or somebody else's.
    Foreign,
}

impl Mark {
    /// Writes it over a whole frame of voice; one shorter than a mark stays as it is.
    pub fn write(&self, frame: &mut [u8]) {
        let Some((head, rest)) = frame.split_at_mut_checked(MARK_LENGTH) else { return };
        head[0..4].copy_from_slice(&self.run.to_be_bytes());
        head[4..8].copy_from_slice(&self.line.to_be_bytes());
        head[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        head[12..20].copy_from_slice(&self.sent.to_be_bytes());
        rest.fill(self.filling());
    }

    /// The same, with room for what the other end has seen; a frame too short for that stays as it is.
    pub fn write_request(&self, frame: &mut [u8]) {
        if frame.len() < SEEN_LENGTH {
            return;
        }
        self.write(frame);
        if let Some(room) = frame.get_mut(MARK_LENGTH..SEEN_LENGTH) {
            room.fill(0);
            room[..4].copy_from_slice(&REQUEST);
        }
    }

    /// Reads a frame of the run `run`.
    #[must_use]
    pub fn read(run: u32, frame: &[u8]) -> Reading {
        let Some((head, rest)) = frame.split_at_checked(MARK_LENGTH) else {
            return Reading::Foreign;
        };
        if word(head, 0) != run {
            return Reading::Foreign;
        }
        let sent = double_word(head, 12);
        let mark = Self { run, line: word(head, 4), sequence: word(head, 8), sent };
        let (seen, rest) = match rest.split_at_checked(SEEN_LENGTH - MARK_LENGTH) {
            Some((room, rest)) if room.starts_with(&REQUEST) => (None, rest),
            Some((room, rest)) if room.starts_with(&ANSWER) => {
                (Some(Seen { order: word(room, 4), at: double_word(room, 8) }), rest)
            }
            _ => (None, rest),
        };
        let filling = mark.filling();
        match rest.iter().all(|byte| *byte == filling) {
            true => Reading::Whole(mark, seen),
            false => Reading::Damaged,
        }
    }

    fn filling(&self) -> u8 {
        let [.., low] = (self.line ^ self.sequence).to_be_bytes();
        low
    }
}

/// What was heard of one call, by the sequence of its marks.
///
/// ```
/// use oneport::probe::{Arrival, Heard};
///
/// let mut heard = Heard::default();
/// let arrivals = [0, 1, 4, 2, 4].map(|sequence| heard.take(sequence));
/// assert_eq!(arrivals[2], Arrival::New { missing: 2 });
/// assert_eq!(heard.next(), 5);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// The sequence after the highest.
    next: u32,
    /// Which of the 64 before that came; the lowest bit is the one right before.
    came: u64,
}

/// What one more frame means.
///
/// ```
/// use oneport::probe::{Arrival, Heard};
///
/// let mut heard = Heard::default();
/// assert_eq!(heard.take(0), Arrival::New { missing: 0 });
/// assert_eq!(heard.take(2), Arrival::New { missing: 1 });
/// // What was missing comes late, and then once more.
/// assert_eq!(heard.take(1), Arrival::Late);
/// assert_eq!(heard.take(1), Arrival::Again);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
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
    pub fn take(&mut self, sequence: u32) -> Arrival {
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
    #[must_use]
    pub const fn next(&self) -> u32 {
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
        assert_eq!(Mark::read(7, &frame), Reading::Whole(MARK, None));
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
    fn the_other_end_says_when_a_frame_came_and_how_many_before_it() {
        let (mut frame, mut reflector) = ([0xFF; 160], Reflector::default());
        MARK.write_request(&mut frame);
        assert_eq!(Mark::read(7, &frame), Reading::Whole(MARK, None), "an echo brings it back");
        reflector.reflect(1, &mut [0; 160]);
        reflector.reflect(77_000_000_000, &mut frame);
        let seen = Seen { order: 1, at: 77_000_000_000 };
        assert_eq!(Mark::read(7, &frame), Reading::Whole(MARK, Some(seen)));
        frame[40] ^= 1;
        assert_eq!(Mark::read(7, &frame), Reading::Damaged);
    }

    #[test]
    fn a_reflector_changes_nothing_that_does_not_ask() {
        let mut reflector = Reflector::default();
        for mut frame in [vec![0xD5; 160], vec![1; 20], b"PROB".to_vec(), Vec::new()] {
            let before = frame.clone();
            reflector.reflect(5, &mut frame);
            assert_eq!(frame, before);
        }
        let mut short = [0xFF; 33];
        MARK.write_request(&mut short);
        assert_eq!(short, [0xFF; 33], "what cannot be answered does not ask");
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
