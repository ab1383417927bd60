//! How long a call's link takes: round trips of LAGRQ (RFC 5456 §6.7.4), and what can be known of one
//! direction alone.

use core::time::Duration;

use oneport_wire::{FullHeader, Timestamp};

/// How long the link of a call takes, to the millisecond that timestamps have.
///
/// A round trip says nothing of its two halves, and the clocks of two ends have nothing in common. But
/// how much longer than the fastest one the peer's last PING or LAGRQ was on its way can be told
/// without: a queue in one direction shows there.
///
/// A queue on the way to the peer: the last round trip took 50 ms more than the shortest, and the way back 10 of them:
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::LagStats;
///
/// let lag = LagStats {
///     last: Some(Duration::from_millis(80)),
///     least: Some(Duration::from_millis(30)),
///     incoming_excess: Some(Duration::from_millis(10)),
///     ..LagStats::default()
/// };
/// assert_eq!(lag.outgoing_excess(), Some(Duration::from_millis(40)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LagStats {
    /// The last round trip of a LAGRQ, not smoothed: what Asterisk shows as lag.
    pub last: Option<Duration>,
    /// The shortest so far.
    pub least: Option<Duration>,
    /// The longest so far.
    pub greatest: Option<Duration>,
    /// Their average.
    pub mean: Option<Duration>,
    /// How much longer the peer's last PING or LAGRQ took to us than the fastest of the last 64.
    pub incoming_excess: Option<Duration>,
}

impl LagStats {
    /// How much longer than the fastest the last LAGRQ of ours took to the peer: what its round trip was
    /// above the shortest, without what the way back explains. That was measured at another moment, by up
    /// to 10 s, so of a queue that comes and goes this is an estimate.
    #[must_use]
    pub fn outgoing_excess(&self) -> Option<Duration> {
        let above = self.last?.saturating_sub(self.least?);
        Some(above.saturating_sub(self.incoming_excess.unwrap_or_default()))
    }
}

/// Polls of the peer after which the fastest of them is looked for anew, so that clocks which run
/// apart (50 in a million is 3 ms a minute) do not add up to a queue.
const WINDOW: u8 = 32;

/// A step of this many ms is another clock rather than a queue.
const OTHER_CLOCK: i32 = 60_000;

/// Measures one call.
#[derive(Debug, Default)]
pub(crate) struct LagMeter {
    stats: LagStats,
    count: u32,
    sum: Duration,
    /// The LAGRQ on its way, the clock when it left, and how many frames had been repeated then. Its
    /// timestamp may be ahead of the clock: each is later than the one before.
    asked: Option<(Timestamp, u32, u64)>,
    /// A time on the way, by the difference of the two clocks, against which others are counted.
    reference: Option<u32>,
    /// The fastest, against the reference, of this window and the one before.
    fastest: [Option<i32>; 2],
    seen: u8,
}

impl LagMeter {
    pub(crate) fn stats(&self) -> LagStats {
        self.stats
    }

    /// A LAGRQ left at `clock`; `repetitions` is the exchange's count.
    pub(crate) fn asked(&mut self, clock: u32, stamp: Timestamp, repetitions: u64) {
        self.asked = Some((stamp, clock, repetitions));
    }

    /// A LAGRP came at `clock`. If anything was repeated meanwhile, it cannot be known which copy it
    /// answers.
    pub(crate) fn answered(&mut self, clock: u32, stamp: Timestamp, repetitions: u64) {
        let Some((_, left, repeated)) = self.asked.take_if(|(asked, ..)| *asked == stamp) else {
            return;
        };
        if repeated != repetitions {
            return;
        }
        let took = Duration::from_millis(clock.wrapping_sub(left).into());
        let stats = &mut self.stats;
        stats.last = Some(took);
        stats.least = Some(stats.least.map_or(took, |least| least.min(took)));
        stats.greatest = Some(stats.greatest.map_or(took, |greatest| greatest.max(took)));
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(took);
        stats.mean = Some(self.sum / self.count);
    }

    /// A PING or LAGRQ of the peer came at `clock`.
    pub(crate) fn arrived(&mut self, clock: u32, header: &FullHeader) {
        if header.retransmission {
            return;
        }
        let way = clock.wrapping_sub(header.timestamp.0);
        let reference = *self.reference.get_or_insert(way);
        let way = way.wrapping_sub(reference).cast_signed();
        if way.unsigned_abs() > OTHER_CLOCK.unsigned_abs() {
            (self.reference, self.fastest, self.seen) = (None, [None; 2], 0);
            return;
        }
        if self.seen >= WINDOW {
            let [now, _] = self.fastest;
            (self.fastest, self.seen) = ([None, now], 0);
        }
        self.seen += 1;
        let [now, before] = &mut self.fastest;
        *now = Some(now.map_or(way, |fastest| fastest.min(way)));
        let fastest = [*now, *before].into_iter().flatten().min().unwrap_or(way);
        let excess = way.saturating_sub(fastest).unsigned_abs();
        self.stats.incoming_excess = Some(Duration::from_millis(excess.into()));
    }

    /// The peer has another clock now, or is another.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_wire::{CallNumber, Seq};

    fn poll(timestamp: u32, retransmission: bool) -> FullHeader {
        FullHeader {
            source: CallNumber::from_bits(5),
            destination: CallNumber::from_bits(6),
            retransmission,
            timestamp: Timestamp(timestamp),
            oseq: Seq(0),
            iseq: Seq(0),
        }
    }

    fn ms(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[test]
    fn the_last_the_shortest_and_the_longest_round_trip_are_kept() {
        let mut meter = LagMeter::default();
        for (sent, came) in [(10, 50), (1_000, 1_020), (u32::MAX - 4, 95)] {
            meter.asked(sent, Timestamp(sent), 0);
            meter.answered(came, Timestamp(sent), 0);
        }
        let LagStats { last, least, greatest, mean, .. } = meter.stats();
        assert_eq!((last, least, greatest), (ms(100), ms(20), ms(100)));
        assert_eq!(mean.map(|mean| mean.as_millis()), Some(53));
    }

    #[test]
    fn a_question_with_a_timestamp_ahead_of_the_clock_takes_no_longer_for_it() {
        let mut meter = LagMeter::default();
        meter.asked(1_000, Timestamp(1_003), 0);
        meter.answered(1_001, Timestamp(1_003), 0);
        assert_eq!(meter.stats().greatest, ms(1));
    }

    #[test]
    fn a_queue_on_the_way_out_is_what_the_round_trip_has_above_the_way_back() {
        let of = |last, incoming_excess| {
            let least = ms(20);
            LagStats { last: ms(last), least, incoming_excess, ..LagStats::default() }
        };
        assert_eq!(of(140, ms(0)).outgoing_excess(), ms(120));
        assert_eq!(of(140, ms(100)).outgoing_excess(), ms(20));
        assert_eq!(of(140, ms(130)).outgoing_excess(), ms(0));
        assert_eq!(of(140, None).outgoing_excess(), ms(120), "the peer never polls");
        assert_eq!(LagStats::default().outgoing_excess(), None);
    }

    #[test]
    fn an_answer_to_another_question_or_to_a_repeated_one_measures_nothing() {
        let mut meter = LagMeter::default();
        meter.asked(10, Timestamp(10), 3);
        meter.answered(20, Timestamp(11), 3);
        meter.answered(2_020, Timestamp(10), 4);
        meter.answered(2_021, Timestamp(10), 3);
        assert_eq!(meter.stats().last, None);
    }

    #[test]
    fn a_queue_in_one_direction_shows_whatever_the_clocks_say() {
        let mut meter = LagMeter::default();
        // Its clock is far ahead of ours and wraps meanwhile.
        let theirs = u32::MAX - 15_000;
        let excess: [_; 5] = core::array::from_fn(|n| {
            let sent = n as u32 * 10_000;
            let way = [40, 25, 25, 145, 30][n];
            meter.arrived(sent + way, &poll(theirs.wrapping_add(sent), false));
            meter.stats().incoming_excess
        });
        assert_eq!(excess, [ms(0), ms(0), ms(0), ms(120), ms(5)]);
        // A repeated frame has the time of its first copy.
        meter.arrived(60_000, &poll(theirs.wrapping_add(50_000), true));
        assert_eq!(meter.stats().incoming_excess, ms(5));
    }

    #[test]
    fn clocks_that_run_apart_do_not_add_up_to_a_queue() {
        let mut meter = LagMeter::default();
        // A day; the peer's clock loses 100 in a million, 1 ms between two polls.
        for n in 0..8_640_u32 {
            meter.arrived(n * 10_000, &poll(n * 9_999, false));
            let excess = meter.stats().incoming_excess.unwrap_or_default();
            assert!(excess <= Duration::from_millis(63), "{excess:?}");
        }
    }
}
