//! Timestamps of RTP, which count samples, and of IAX2, which count ms: one made of the other, exact over
//! loss and pauses.

use oneport_proto::Instant;

/// What stands further from where it is expected is of another clock.
const JUMP_MS: u32 = 2_000;

/// A gap that is longer is a pause rather than loss.
const LONGEST_LOSS_MS: u32 = 2_000;

/// What is said in ms of the timestamps that come. It never goes back for another stream.
#[derive(Clone, Debug)]
pub(crate) struct SenderClock {
    rate: u32,
    /// The newest timestamp, made whole.
    whole: u64,
    /// What is added to its ms.
    offset: u32,
    /// When the newest came, and what was made of it.
    last: Option<(Instant, u32)>,
}

impl SenderClock {
    /// One of so many timestamps in a second.
    #[must_use]
    pub(crate) const fn new(rate: u32) -> Self {
        Self { rate, whole: 1 << 40, offset: 0, last: None }
    }

    /// The timestamp in ms of what came at `now`. What `begins` follows nothing: another stream, whose
    /// clock has nothing to do with the one before.
    pub(crate) fn stamp(&mut self, now: Instant, rate: u32, timestamp: u32, begins: bool) -> u32 {
        let passed = |(came, _): (Instant, u32)| u32::try_from(now.since(came).as_millis());
        let expected = self.last.map(|last| last.1.wrapping_add(passed(last).unwrap_or(u32::MAX)));
        let (before, rate) = (self.rate, rate.max(1));
        self.rate = rate;
        #[expect(clippy::cast_possible_truncation, reason = "timestamps are its low 32 bits")]
        let step = timestamp.wrapping_sub(self.whole as u32).cast_signed();
        let whole = self.whole.saturating_add_signed(step.into());
        let stamp = self.millis(whole);
        let far = |expected: u32| distance(stamp, expected) > JUMP_MS;
        let (stamp, follows) = match expected {
            None => {
                self.offset = self.offset.wrapping_sub(stamp);
                (0, false)
            }
            Some(expected) if begins || rate != before || far(expected) => {
                // Behind what was said, and as late as it came.
                self.offset = self.offset.wrapping_add(expected.wrapping_sub(stamp));
                (expected, false)
            }
            Some(_) => (stamp, true),
        };
        if step > 0 || !follows {
            (self.whole, self.last) = (whole, Some((now, stamp)));
        }
        stamp
    }

    fn millis(&self, whole: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "ms turn at 32 bits")]
        let millis = (u128::from(whole) * 1_000 / u128::from(self.rate)) as u32;
        millis.wrapping_add(self.offset)
    }
}

/// How far apart two moments of the 32-bit circle are.
const fn distance(a: u32, b: u32) -> u32 {
    let (there, back) = (a.wrapping_sub(b), b.wrapping_sub(a));
    if there < back { there } else { back }
}

/// What a packet that leaves has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Departing {
    /// Its sequence number.
    pub(crate) sequence: u16,
    /// Its timestamp.
    pub(crate) timestamp: u32,
    /// Whether it begins a talkspurt.
    pub(crate) marker: bool,
}

/// The newest packet of voice.
#[derive(Clone, Copy, Debug)]
struct Newest {
    at: Instant,
    /// When it began, in ms of whoever says it, and how long it lasts.
    ms: u32,
    lasts: u32,
    departing: Departing,
}

/// Numbers and timestamps of a stream that leaves, made of those of the voice that it carries: frames that
/// were lost before they came here leave a gap in the numbers, so that the receiver sees it; those that
/// come late still fill it.
#[derive(Clone, Debug)]
pub(crate) struct Spacing {
    rate: u32,
    /// The number of the next packet.
    next: u16,
    /// Bit n: the number n + 1 before the next was used.
    used: u64,
    /// Where its clock began, and when.
    base: (u32, Instant),
    newest: Option<Newest>,
    /// The next follows a pause that was told.
    is_pause: bool,
}

impl Spacing {
    /// A stream that begins with these, which should be random (RFC 3550 §5.1).
    #[must_use]
    pub(crate) const fn new(now: Instant, rate: u32, sequence: u16, timestamp: u32) -> Self {
        let base = (timestamp, now);
        Self { rate, next: sequence, used: 0, base, newest: None, is_pause: false }
    }

    /// Other voice follows, with this many timestamps in a second.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: u32) {
        if self.rate != rate {
            self.base = (self.timestamp(now), now);
            (self.rate, self.newest, self.is_pause) = (rate, None, true);
        }
    }

    /// Nothing follows for a while, and that is no loss.
    pub(crate) const fn pause(&mut self) {
        self.is_pause = true;
    }

    /// Where the clock of the stream stands.
    #[must_use]
    pub(crate) fn timestamp(&self, now: Instant) -> u32 {
        let newest = self.newest.map(|newest| (newest.departing.timestamp, newest.at));
        let (timestamp, at) = newest.unwrap_or(self.base);
        let passed = u32::try_from(now.since(at).as_millis()).unwrap_or(u32::MAX);
        timestamp.wrapping_add(self.ticks(passed))
    }

    const fn ticks(&self, ms: u32) -> u32 {
        ms.wrapping_mul(self.rate / 1_000)
    }

    /// The next packet of voice that began at `ms` of its own clock and lasts so many ms. `None`: it has
    /// been sent, or its place in the stream is gone.
    pub(crate) fn voice(&mut self, now: Instant, ms: u32, lasts: u32) -> Option<Departing> {
        let lasts = lasts.max(1);
        let Some(newest) = self.newest else {
            let timestamp = self.timestamp(now);
            return Some(self.go_on(now, ms, lasts, timestamp, 0, true));
        };
        let passed = u32::try_from(now.since(newest.at).as_millis()).unwrap_or(u32::MAX);
        if distance(ms, newest.ms.wrapping_add(passed)) > JUMP_MS {
            // Another clock: its first word comes as late as it comes.
            let behind = self.ticks(passed.max(newest.lasts));
            let timestamp = newest.departing.timestamp.wrapping_add(behind);
            return Some(self.go_on(now, ms, lasts, timestamp, 0, true));
        }
        let ahead = ms.wrapping_sub(newest.ms).cast_signed();
        let timestamp = newest.departing.timestamp.wrapping_add(self.ticks(ahead.cast_unsigned()));
        if ahead <= 0 {
            return self.late(&newest, ahead.unsigned_abs(), timestamp);
        }
        let ahead = ahead.unsigned_abs();
        let lost = match self.is_pause || ahead > LONGEST_LOSS_MS {
            true => 0,
            false => ((ahead + newest.lasts / 2) / newest.lasts).saturating_sub(1),
        };
        let marker = self.is_pause;
        Some(self.go_on(now, ms, lasts, timestamp, lost, marker))
    }

    fn go_on(
        &mut self,
        now: Instant,
        ms: u32,
        lasts: u32,
        timestamp: u32,
        lost: u32,
        marker: bool,
    ) -> Departing {
        let lost = u16::try_from(lost).unwrap_or(u16::MAX);
        self.next = self.next.wrapping_add(lost);
        self.used = self.used.checked_shl(lost.into()).unwrap_or(0);
        let departing = Departing { sequence: self.number(), timestamp, marker };
        self.newest = Some(Newest { at: now, ms, lasts, departing });
        self.is_pause = false;
        departing
    }

    /// A frame that is so many ms older than the newest.
    fn late(&mut self, newest: &Newest, back: u32, timestamp: u32) -> Option<Departing> {
        let steps = u16::try_from((back + newest.lasts / 2) / newest.lasts).ok()?;
        let sequence = newest.departing.sequence.wrapping_sub(steps);
        let place = self.next.wrapping_sub(sequence).wrapping_sub(1);
        let bit = 1_u64.checked_shl(place.into())?;
        // A number is used once: with SRTP a second time would tell the key stream.
        if self.used & bit != 0 {
            return None;
        }
        self.used |= bit;
        Some(Departing { sequence, timestamp, marker: false })
    }

    /// The number of a packet that is no voice.
    pub(crate) fn number(&mut self) -> u16 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.used = self.used << 1 | 1;
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn timestamps_that_come_are_exact_in_ms_over_gaps_and_their_turn() {
        for rate in [8_000, 16_000, 48_000_u32] {
            let mut clock = SenderClock::new(rate);
            let first = u32::MAX - 3 * rate / 50;
            for n in (0..2_000_u32).filter(|n| n % 7 != 3 && !(500..560).contains(n)) {
                let timestamp = first.wrapping_add(n * rate / 50);
                assert_eq!(
                    clock.stamp(at(u64::from(n) * 20), rate, timestamp, false),
                    n * 20,
                    "{rate}"
                );
            }
            // One that was overtaken.
            let timestamp = first.wrapping_add(1_990 * rate / 50);
            assert_eq!(clock.stamp(at(40_000), rate, timestamp, false), 1_990 * 20);
        }
    }

    #[test]
    fn another_stream_goes_on_where_time_is() {
        let mut clock = SenderClock::new(8_000);
        assert_eq!(clock.stamp(at(1_000), 8_000, 77, false), 0);
        assert_eq!(clock.stamp(at(1_020), 8_000, 237, false), 20);
        assert_eq!(clock.stamp(at(1_500), 8_000, 9_999_999, true), 500);
        assert_eq!(clock.stamp(at(1_520), 8_000, 10_000_159, false), 520);
        // A jump that nobody announced.
        assert_eq!(clock.stamp(at(1_540), 8_000, 55, false), 540);
        assert_eq!(clock.stamp(at(1_560), 8_000, 215, false), 560);
        // Another codec with another clock.
        assert_eq!(clock.stamp(at(1_580), 48_000, 215 + 960, false), 580);
        assert_eq!(clock.stamp(at(1_600), 48_000, 215 + 1_920, false), 600);
    }

    fn sent(spacing: &mut Spacing, stamps: &[u32]) -> Vec<Option<(u16, u32)>> {
        let mut latest = 0;
        let one = |ms: &u32| {
            latest = latest.max(u64::from(*ms));
            let departing = spacing.voice(at(latest), *ms, 20)?;
            Some((departing.sequence, departing.timestamp))
        };
        stamps.iter().map(one).collect()
    }

    #[test]
    fn what_was_lost_before_leaves_a_gap_and_what_is_late_fills_it_once() {
        let mut spacing = Spacing::new(at(0), 8_000, 65_534, 100);
        let stamps = [0, 20, 80, 60, 40, 60, 100];
        let expected = [
            Some((65_534, 100)),
            Some((65_535, 260)),
            Some((2, 740)),
            Some((1, 580)),
            Some((0, 420)),
            None,
            Some((3, 900)),
        ];
        assert_eq!(sent(&mut spacing, &stamps), expected);
    }

    #[test]
    fn a_pause_leaves_no_gap_in_the_numbers_and_begins_with_a_marker() {
        let mut spacing = Spacing::new(at(0), 8_000, 10, 0);
        assert!(spacing.voice(at(0), 5_000, 20).expect("sent").marker);
        assert!(!spacing.voice(at(20), 5_020, 20).expect("sent").marker);
        spacing.pause();
        let behind = spacing.voice(at(820), 5_820, 20).expect("sent");
        assert_eq!(behind, Departing { sequence: 12, timestamp: 820 * 8, marker: true });
        // A silence that nobody told of.
        let behind = spacing.voice(at(9_000), 14_000, 20).expect("sent");
        assert_eq!((behind.sequence, behind.timestamp), (13, 9_000 * 8));
    }

    #[test]
    fn the_clock_of_a_stream_goes_before_its_first_word() {
        let mut spacing = Spacing::new(at(1_000), 8_000, 0, 7);
        assert_eq!(spacing.timestamp(at(1_100)), 7 + 800);
        let first = spacing.voice(at(1_200), 5, 20).map(|one| one.timestamp);
        assert_eq!((first, spacing.timestamp(at(1_210))), (Some(7 + 1_600), 7 + 1_680));
    }

    #[test]
    fn another_clock_goes_on_where_time_is_and_numbers_are_never_used_twice() {
        let mut spacing = Spacing::new(at(0), 8_000, 10, 0);
        spacing.voice(at(0), 5_000, 20);
        let jumped = spacing.voice(at(20), 900_000, 20).expect("sent");
        assert_eq!(jumped, Departing { sequence: 11, timestamp: 160, marker: true });
        assert_eq!(spacing.number(), 12);
        // It would have the number of what is no voice.
        let behind = spacing.voice(at(40), 900_020, 20).expect("sent");
        assert_eq!((behind.sequence, behind.timestamp), (13, 320));
        assert_eq!(spacing.voice(at(41), 900_000, 20), None);
        spacing.set_rate(at(60), 48_000);
        let other = spacing.voice(at(60), 1, 20).expect("sent");
        assert_eq!((other.timestamp, other.marker), (480, true));
    }

    proptest! {
        #[test]
        fn no_number_leaves_twice_whatever_comes(
            steps in proptest::collection::vec((0..400_u64, 0..4_000_u32, 10..60_u32, any::<bool>()), 1..200),
        ) {
            let mut spacing = Spacing::new(at(0), 8_000, 0, 0);
            let (mut now, mut seen) = (0, std::collections::VecDeque::new());
            for (passed, ms, lasts, is_event) in steps {
                now += passed;
                let number = match is_event {
                    true => Some(spacing.number()),
                    false => spacing.voice(at(now), ms, lasts).map(|one| one.sequence),
                };
                if let Some(number) = number {
                    prop_assert!(!seen.contains(&number), "{number}");
                    seen.push_back(number);
                    if seen.len() > 40 {
                        seen.pop_front();
                    }
                }
            }
        }
    }
}
