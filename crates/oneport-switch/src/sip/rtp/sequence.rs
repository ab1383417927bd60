//! Sequence numbers made whole, and what they tell of loss (RFC 3550 §6.4.1, A.1, A.3).

/// Packets behind the newest of which it is known whether they came.
const WINDOW: u64 = 64;

/// Further ahead than this there is another stream (A.1).
const MOST_AHEAD: i16 = 3_000;

/// A packet among those before it.
///
/// ```
/// use oneport_switch::sip::rtp::{Come, Sequence};
///
/// let mut sequence = Sequence::default();
/// sequence.take(65_535);
/// assert!(matches!(sequence.take(1), Come::New { missing: 1 }));
/// assert!(matches!(sequence.take(0), Come::Late));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Come {
    /// The newest; so many between it and the one before are missing so far.
    New {
        /// How many.
        missing: u32,
    },
    /// It was overtaken.
    Late,
    /// It has come before.
    Twice,
    /// It is far from all others: one more that follows it makes another stream of them.
    Stray,
    /// It follows none: the first, or the first of a stream that jumped.
    Begins,
}

/// What has come of one source.
///
/// ```
/// use oneport_switch::sip::rtp::Sequence;
///
/// let mut sequence = Sequence::default();
/// for number in [7, 8, 10] {
///     sequence.take(number);
/// }
/// assert_eq!(sequence.received(), 3);
/// assert_eq!(sequence.report().lost, 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    /// The number of the newest, made whole; the first has 2¹⁶ or more.
    newest: u64,
    /// Bit n: the packet n before the newest came.
    came: u64,
    /// A number far from the others, which another may follow.
    far: Option<u16>,
    /// The first of the stream.
    base: u64,
    received: u64,
    /// Of streams before, that jumped.
    expected_before: u64,
    /// What was told of it last.
    told: (u64, u64),
}

/// What a report says of a source.
///
/// ```
/// use oneport_switch::sip::rtp::Sequence;
///
/// let mut sequence = Sequence::default();
/// for number in [1, 2, 4] {
///     sequence.take(number);
/// }
/// let reception = sequence.report();
/// assert_eq!((reception.lost, reception.fraction_lost, reception.highest), (1, 64, 4), "of 256");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reception {
    /// The share that was lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// How many were lost in all, less those that came twice.
    pub lost: i32,
    /// The highest number, with how often it has turned above it.
    pub highest: u32,
}

impl Sequence {
    /// Takes the number of a packet.
    pub fn take(&mut self, number: u16) -> Come {
        if self.came == 0 {
            self.begin(number);
            return Come::Begins;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the number that was sent is its low 16 bits"
        )]
        let ahead = number.wrapping_sub(self.newest as u16).cast_signed();
        if ahead > MOST_AHEAD || i64::from(ahead) <= -WINDOW.cast_signed() {
            // Of one stray packet nothing follows.
            if self.far.replace(number.wrapping_add(1)) == Some(number) {
                self.expected_before += self.newest + 1 - self.base;
                self.begin(number);
                // The one before it counts.
                (self.base, self.received) = (self.base - 1, self.received + 1);
                return Come::Begins;
            }
            return Come::Stray;
        }
        self.far = None;
        if ahead > 0 {
            let steps = u64::from(ahead.unsigned_abs());
            self.newest += steps;
            self.came = self.came.checked_shl(u32::from(ahead.unsigned_abs())).unwrap_or(0) | 1;
            self.received += 1;
            return Come::New { missing: u32::from(ahead.unsigned_abs()) - 1 };
        }
        let bit = 1 << ahead.unsigned_abs();
        self.received += 1;
        if self.came & bit != 0 {
            return Come::Twice;
        }
        self.came |= bit;
        // One before the first belongs to the stream all the same.
        self.base = self.base.min(self.newest - u64::from(ahead.unsigned_abs()));
        Come::Late
    }

    fn begin(&mut self, number: u16) {
        self.newest = (self.newest & !0xFFFF) + 0x1_0000 + u64::from(number);
        (self.base, self.came, self.far) = (self.newest, 1, None);
        self.received += 1;
    }

    /// The number of the newest, made whole: each is told by it for ever.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// How many packets have come.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    fn expected(&self) -> u64 {
        let now = if self.came == 0 { 0 } else { self.newest + 1 - self.base };
        self.expected_before + now
    }

    /// What is to be reported of it, since this was last asked.
    pub fn report(&mut self) -> Reception {
        let (expected, received) = (self.expected(), self.received);
        let (expected_before, received_before) =
            std::mem::replace(&mut self.told, (expected, received));
        let interval = expected.saturating_sub(expected_before);
        let lost = interval.saturating_sub(received.saturating_sub(received_before));
        let fraction = lost.saturating_mul(256).checked_div(interval).unwrap_or(0);
        let all = expected.cast_signed().saturating_sub(received.cast_signed());
        // 24 bits, and no turning (§6.4.1).
        let all = all.clamp(-0x80_0000, 0x7F_FFFF);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the first turn is not counted, and 32 bits are sent"
        )]
        let highest = self.newest.saturating_sub(0x1_0000) as u32;
        Reception {
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: i32::try_from(all).unwrap_or(i32::MAX),
            highest,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(numbers: &[u16]) -> (Sequence, Vec<Come>) {
        let mut sequence = Sequence::default();
        let come = numbers.iter().map(|number| sequence.take(*number)).collect();
        (sequence, come)
    }

    #[test]
    fn numbers_go_on_over_their_turn_and_loss_and_copies_are_told_apart() {
        let (mut sequence, come) = taken(&[65_534, 65_535, 0, 3, 2, 3, 0]);
        let new = |missing| Come::New { missing };
        assert_eq!(
            come,
            [Come::Begins, new(0), new(0), new(2), Come::Late, Come::Twice, Come::Twice]
        );
        // Six places, seven packets.
        let report = sequence.report();
        assert_eq!((report.lost, report.fraction_lost, report.highest), (-1, 0, 0x1_0003));
    }

    #[test]
    fn a_report_tells_the_loss_since_the_one_before() {
        let mut sequence = Sequence::default();
        for number in (100..150).chain(200..250_u16) {
            sequence.take(number);
        }
        let report = sequence.report();
        assert_eq!((report.lost, report.fraction_lost), (50, 85));
        for number in 250..300 {
            sequence.take(number);
        }
        let report = sequence.report();
        assert_eq!((report.lost, report.fraction_lost, report.highest), (50, 0, 299));
        assert_eq!(sequence.report().fraction_lost, 0, "nothing was expected");
    }

    #[test]
    fn a_stray_number_changes_nothing_and_two_that_follow_each_other_are_a_new_stream() {
        let (mut sequence, come) = taken(&[10, 11, 30_000, 12, 30_000, 30_001, 30_002]);
        assert_eq!(come[2], Come::Stray);
        assert_eq!(come[3], Come::New { missing: 0 });
        assert_eq!(come[4..], [Come::Stray, Come::Begins, Come::New { missing: 0 }]);
        assert_eq!(sequence.received(), 6);
        assert_eq!(sequence.report().lost, 0, "the stray one belongs to neither");
    }

    proptest! {
        #[test]
        fn what_is_lost_is_what_did_not_come(first: u16, came in proptest::collection::vec(any::<bool>(), 2..300)) {
            let mut sequence = Sequence::default();
            let mut numbers: Vec<u16> = Vec::new();
            for (n, came) in (0_u16..).zip(&came) {
                if *came {
                    numbers.push(first.wrapping_add(n));
                }
            }
            for number in &numbers {
                prop_assert!(!matches!(sequence.take(*number), Come::Twice));
            }
            if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
                let places = i32::from(last.wrapping_sub(*first)) + 1;
                let came = i32::try_from(numbers.len()).unwrap_or(0);
                prop_assert_eq!(sequence.report().lost, places - came);
            }
        }

        #[test]
        fn any_numbers_can_come(numbers: Vec<u16>) {
            let (mut sequence, _) = taken(&numbers);
            sequence.report();
            prop_assert_eq!(sequence.received() <= numbers.len() as u64, true);
        }
    }
}
