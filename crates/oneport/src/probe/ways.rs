//! What became of marked frames on each way, out of those that came back.

use std::ops::Range;
use std::time::Duration;

use oneport_proto::{Instant, VoiceMeter, VoiceStats};
use oneport_wire::Format;

use super::clock::ClockOffset;
use super::mark::Seen;

/// Where meters begin, in µs: far enough from zero for frames that were faster than the first.
const ORIGIN: i64 = 3_600_000_000;

/// A marked frame that has come back.
///
/// ```
/// use oneport::probe::{Returned, Ways};
/// use oneport_wire::Format;
///
/// // Ten frames come back from an echo, each after 30 ms.
/// let frames: Vec<Returned> = (0..10_u32)
///     .map(|sequence| {
///         let sent = u64::from(sequence) * 20_000;
///         Returned { sequence, sent, seen: None, came: sent + 30_000 }
///     })
///     .collect();
/// let ways = Ways::of(&frames, 0..10, 20, Format::ULAW).ok_or("all came back")?;
/// assert_eq!(ways.round_trip(100.0).as_millis(), 30);
/// // An echo does not say what it has seen.
/// assert!(ways.apart.is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Returned {
    /// Which frame of its call.
    pub sequence: u32,
    /// When it left, in µs.
    pub sent: u64,
    /// What the other end has seen; `None`: it echoes and says nothing.
    pub seen: Option<Seen>,
    /// When it came back, by the clock of `sent`.
    pub came: u64,
}

/// One way, or both together.
///
/// ```
/// use std::time::Duration;
///
/// use oneport::probe::{Returned, Ways};
/// use oneport_wire::Format;
///
/// // Each tenth frame is lost, and the one behind it is 15 ms late.
/// let frames: Vec<Returned> = (0..100_u32)
///     .filter(|sequence| sequence % 10 != 5)
///     .map(|sequence| {
///         let sent = u64::from(sequence) * 20_000;
///         let late = if sequence % 10 == 6 { 15_000 } else { 0 };
///         Returned { sequence, sent, seen: None, came: sent + 30_000 + late }
///     })
///     .collect();
/// let both = Ways::of(&frames, 0..100, 20, Format::ULAW).ok_or("most came back")?.both;
/// assert_eq!(both.lost_percent(), 10.0);
/// assert_eq!((both.late(50.0), both.late(95.0)), (Duration::ZERO, Duration::from_millis(15)));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct OneWay {
    /// What a receiver at its end counts.
    pub stats: VoiceStats,
    /// When each frame left, and how much later than the fastest it came, in µs, in order of arrival.
    pub late: Vec<(u64, u64)>,
}

impl OneWay {
    /// Frames lost, per cent.
    #[must_use]
    pub fn lost_percent(&self) -> f64 {
        let VoiceStats { frames, lost, .. } = self.stats;
        lost as f64 * 100.0 / (frames + lost).max(1) as f64
    }

    /// Frames that were overtaken, per cent.
    #[must_use]
    pub fn reordered_percent(&self) -> f64 {
        self.stats.out_of_order as f64 * 100.0 / self.stats.frames.max(1) as f64
    }

    /// How much later than the fastest `percent` of the frames came at most.
    #[must_use]
    pub fn late(&self, percent: f64) -> Duration {
        let mut late: Vec<u64> = self.late.iter().map(|(_, late)| *late).collect();
        late.sort_unstable();
        percentile(&late, percent).map_or(Duration::ZERO, Duration::from_micros)
    }
}

/// Of values in order, the one that `percent` of them do not exceed.
#[must_use]
pub fn percentile<T: Copy>(sorted: &[T], percent: f64) -> Option<T> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list, which `min` bounds"
    )]
    let place = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted.get(place.saturating_sub(1).min(last)).copied()
}

/// What both ways did to the frames of one call.
///
/// All frames arrive at the other end, and each fifth is lost on the way back:
///
/// ```
/// use oneport::probe::{Returned, Seen, Ways};
/// use oneport_wire::Format;
///
/// let frames: Vec<Returned> = (0..101_u32)
///     .filter(|sequence| sequence % 5 != 3)
///     .map(|sequence| {
///         let sent = u64::from(sequence) * 20_000;
///         // The other clock stands somewhere.
///         let seen = Some(Seen { order: sequence, at: 77_000_000 + sent + 10_000 });
///         Returned { sequence, sent, seen, came: sent + 30_000 }
///     })
///     .collect();
/// let ways = Ways::of(&frames, 0..101, 20, Format::ULAW).ok_or("most came back")?;
/// let [there, back] = ways.apart.ok_or("the other end says what it has seen")?;
/// assert_eq!((there.stats.lost, back.stats.lost), (0, 20));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Ways {
    /// There and back together.
    pub both: OneWay,
    /// From us to the other end, and back; `None`: it only echoes.
    pub apart: Option<[OneWay; 2]>,
    /// How long frames took there and back, in order of arrival, in µs.
    pub round_trips: Vec<u64>,
    /// How the other end's clock runs; `None` where that is not to be known.
    pub clock: Option<ClockOffset>,
}

impl Ways {
    /// Of the frames of `frame_ms` with the numbers of `sent`, these came back, in this order. `None`: none
    /// did.
    ///
    /// Frames before the first and behind the last that came back count as lost of both ways together; on
    /// which of them nobody can say, so each way by itself leaves them out.
    #[must_use]
    pub fn of(
        frames: &[Returned],
        sent: Range<u32>,
        frame_ms: u16,
        format: Format,
    ) -> Option<Self> {
        let sequences = || frames.iter().map(|frame| frame.sequence);
        let (first, last) = (sequences().min()?, sequences().max()?);
        let frame_us = u64::from(frame_ms) * 1_000;
        let clock = ClockOffset::of(frames);
        let took = |frame: &Returned| frame.came.saturating_sub(frame.sent);
        let round_trips: Vec<u64> = frames.iter().map(took).collect();
        let both = frames.iter().map(|frame| Step {
            place: frame.sequence,
            sent: frame.sent,
            took: took(frame).cast_signed(),
            is_seen: true,
        });
        let mut both = measure(both.collect(), frame_us, format);
        let outside = first.saturating_sub(sent.start) + sent.end.saturating_sub(last + 1);
        both.stats.lost += u64::from(outside);
        let apart = frames.iter().all(|frame| frame.seen.is_some()).then(|| {
            let ppm = clock.map_or(0.0, |clock| clock.ppm);
            let ways = [there(frames, ppm), here(frames, ppm)];
            ways.map(|steps| measure(steps, frame_us, format))
        });
        Some(Self { both, apart, round_trips, clock })
    }

    /// The round trip that `percent` of the frames did not exceed.
    #[must_use]
    pub fn round_trip(&self, percent: f64) -> Duration {
        let mut times = self.round_trips.clone();
        times.sort_unstable();
        percentile(&times, percent).map_or(Duration::ZERO, Duration::from_micros)
    }
}

/// What the fastest frames took while little was sent, and how far others are above it: queues.
///
/// ```
/// use std::time::Duration;
///
/// use oneport::probe::{Baseline, Returned};
///
/// let frames = |round_trip: u64| -> Vec<Returned> {
///     let sent = (0..50).map(|n| n * 20_000);
///     sent.zip(0..)
///         .map(|(sent, sequence)| Returned { sequence, sent, seen: None, came: sent + round_trip })
///         .collect()
/// };
/// let calm = Baseline::of(&frames(30_000), None).ok_or("there are frames")?;
/// // While the line is full they take 80 ms longer.
/// assert_eq!(calm.above(&frames(110_000), 95.0).both, Duration::from_millis(80));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Baseline {
    round_trip: u64,
    apart: Option<[i64; 2]>,
    ppm: f64,
}

/// How much longer than the fastest frames others took.
///
/// The queue is on the way there:
///
/// ```
/// use std::time::Duration;
///
/// use oneport::probe::{Above, Baseline, Returned, Seen};
///
/// // There in so many µs, and back in 10 ms.
/// let frame = |there: u64| {
///     let seen = Some(Seen { order: 0, at: 77_000_000 + there });
///     [Returned { sequence: 0, sent: 0, seen, came: there + 10_000 }]
/// };
/// let calm = Baseline::of(&frame(20_000), None).ok_or("there is a frame")?;
/// let queue = Duration::from_millis(50);
/// let expected = Above { both: queue, apart: Some([queue, Duration::ZERO]) };
/// assert_eq!(calm.above(&frame(70_000), 100.0), expected);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Above {
    /// There and back.
    pub both: Duration,
    /// There, and back; `None`: that is not to be told apart.
    pub apart: Option<[Duration; 2]>,
}

impl Baseline {
    /// By these frames; `None` without any.
    #[must_use]
    pub fn of(frames: &[Returned], clock: Option<ClockOffset>) -> Option<Self> {
        let ppm = clock.map_or(0.0, |clock| clock.ppm);
        let round_trip = frames.iter().map(|frame| frame.came.saturating_sub(frame.sent)).min()?;
        let fastest = |steps: Vec<Step>| steps.iter().map(|step| step.took).min();
        let both = fastest(there(frames, ppm)).zip(fastest(here(frames, ppm)));
        Some(Self { round_trip, apart: both.map(|(there, here)| [there, here]), ppm })
    }

    /// How much longer `percent` of other frames took at most. Zero where there are none.
    #[must_use]
    pub fn above(&self, frames: &[Returned], percent: f64) -> Above {
        let of = |took: Vec<i64>, least: i64| {
            let mut above: Vec<u64> =
                took.iter().map(|took| (took - least).max(0).cast_unsigned()).collect();
            above.sort_unstable();
            percentile(&above, percent).map_or(Duration::ZERO, Duration::from_micros)
        };
        let round_trips = frames.iter().map(|frame| frame.came.saturating_sub(frame.sent));
        let round_trips = round_trips.map(u64::cast_signed).collect();
        let apart = self.apart.filter(|_| frames.iter().all(|frame| frame.seen.is_some()));
        Above {
            both: of(round_trips, self.round_trip.cast_signed()),
            apart: apart.map(|[least_there, least_here]| {
                let took = |steps: Vec<Step>| steps.iter().map(|step| step.took).collect();
                let there = of(took(there(frames, self.ppm)), least_there);
                [there, of(took(here(frames, self.ppm)), least_here)]
            }),
        }
    }
}

/// A frame at the end of a way.
struct Step {
    /// Which it was at the beginning of the way.
    place: u32,
    sent: u64,
    /// How long it took, in µs above some constant.
    took: i64,
    /// Whether that is known, and not guessed.
    is_seen: bool,
}

/// By how much the other clock has gained since the origin of ours, in µs.
#[expect(clippy::cast_possible_truncation, reason = "a thousandth of a time of some minutes")]
fn gained(at: u64, ppm: f64) -> i64 {
    (at as f64 * ppm / 1e6).round() as i64
}

/// Frames as they came to the other end. Those that did and were lost on the way back are known by their
/// number alone; which of the missing ones they were is a guess, and as good as any other.
fn there(frames: &[Returned], ppm: f64) -> Vec<Step> {
    let mut came: Vec<(Seen, &Returned)> =
        frames.iter().filter_map(|frame| Some((frame.seen?, frame))).collect();
    came.sort_unstable_by_key(|(seen, _)| seen.order);
    // A copy made on the way back was there once.
    came.dedup_by_key(|(seen, _)| seen.order);
    let mut back: Vec<u32> = came.iter().map(|(_, frame)| frame.sequence).collect();
    back.sort_unstable();
    let (first, last) = (back.first().copied(), back.last().copied());
    let between = first.unwrap_or_default()..last.unwrap_or_default();
    let mut missing = between.filter(|sequence| back.binary_search(sequence).is_err()).peekable();
    let mut steps = Vec::with_capacity(frames.len());
    let mut next_order = came.first().map_or(0, |(seen, _)| seen.order);
    for (seen, frame) in came {
        let took =
            seen.at.wrapping_sub(frame.sent).cast_signed().saturating_sub(gained(frame.sent, ppm));
        for _ in next_order..seen.order {
            let Some(place) = missing.next_if(|place| *place < frame.sequence) else { break };
            steps.push(Step { place, sent: frame.sent, took, is_seen: false });
        }
        // Whatever else is missing before this one was lost on the way there.
        while missing.next_if(|place| *place < frame.sequence).is_some() {}
        steps.push(Step { place: frame.sequence, sent: frame.sent, took, is_seen: true });
        next_order = seen.order.saturating_add(1);
    }
    steps
}

/// Frames as they came back, by their number at the other end.
fn here(frames: &[Returned], ppm: f64) -> Vec<Step> {
    let step = |frame: &Returned| {
        let seen = frame.seen?;
        let took =
            frame.came.wrapping_sub(seen.at).cast_signed().saturating_add(gained(frame.sent, ppm));
        Some(Step { place: seen.order, sent: frame.sent, took, is_seen: true })
    };
    frames.iter().filter_map(step).collect()
}

/// Lets a meter see the frames as if they had left at an even pace, which ours may not have done.
fn measure(steps: Vec<Step>, frame_us: u64, format: Format) -> OneWay {
    let fastest = steps.iter().map(|step| step.took).min().unwrap_or_default();
    let mut meter = VoiceMeter::default();
    let mut late = Vec::with_capacity(steps.len());
    for Step { place, sent, took, is_seen } in steps {
        // What the other end says may be anything.
        let behind = took.saturating_sub(fastest);
        let left = (u64::from(place) * frame_us).cast_signed();
        let at =
            Instant::from_micros((ORIGIN + left).saturating_add(behind).max(0).cast_unsigned());
        let timestamp = u64::from(place) * frame_us / 1_000;
        #[expect(clippy::cast_possible_truncation, reason = "it wraps as those of calls do")]
        meter.receive(at, timestamp as u32, format, 0);
        if is_seen {
            late.push((sent, behind.cast_unsigned()));
        }
    }
    OneWay { stats: meter.snapshot(), late }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use oneport_impairment::{Impairment, Link};

    /// A link whose other end reflects, with a clock of its own.
    pub(crate) struct Line {
        pub(crate) there: Impairment,
        pub(crate) here: Impairment,
        pub(crate) ppm: f64,
    }

    /// What became of frames.
    pub(crate) struct Carried {
        pub(crate) frames: Vec<Returned>,
        /// Lost there, and on the way back.
        pub(crate) lost: [u64; 2],
    }

    impl Line {
        /// Sends so many frames, one each 20 ms.
        pub(crate) fn carry(&self, count: u32) -> Carried {
            let (mut there, mut here) = (Link::new(1, self.there), Link::new(2, self.here));
            let mut reached = Vec::new();
            for sequence in 0..count {
                let sent = Duration::from_millis(u64::from(sequence) * 20);
                let fate = there.pass(sent, 172);
                reached.extend(
                    [fate.arrives, fate.copy].into_iter().flatten().map(|at| (at, sequence, sent)),
                );
            }
            reached.sort_unstable();
            let mut frames = Vec::new();
            for (order, (at, sequence, sent)) in (0..).zip(reached) {
                let clock = at.as_secs_f64() * (1e6 + self.ppm);
                let seen = Some(Seen { order, at: 5_000_000_000 + clock.round() as u64 });
                let fate = here.pass(at, 172);
                let (sent, micros) =
                    (sent.as_micros() as u64, |at: Duration| at.as_micros() as u64);
                frames.extend(
                    [fate.arrives, fate.copy].into_iter().flatten().map(|came| Returned {
                        sequence,
                        sent,
                        seen,
                        came: micros(came),
                    }),
                );
            }
            frames.sort_by_key(|frame| frame.came);
            Carried {
                frames,
                lost: [there.lost().0 + there.lost().1, here.lost().0 + here.lost().1],
            }
        }
    }

    const GOOD: Impairment = Impairment::NONE;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn ways(there: Impairment, here: Impairment) -> (Ways, [u64; 2]) {
        let Carried { frames, lost } = Line { there, here, ppm: 0.0 }.carry(3_000);
        (Ways::of(&frames, 0..3_000, 20, Format::ULAW).expect("some came back"), lost)
    }

    #[test]
    fn loss_of_one_way_is_laid_to_that_way_alone() {
        let lossy = Impairment { loss: 0.05, ..GOOD };
        for (there, here) in [(lossy, GOOD), (GOOD, lossy), (lossy, lossy)] {
            let (ways, lost) = ways(there, here);
            let apart = ways.apart.expect("seen");
            let found = [apart[0].stats.lost, apart[1].stats.lost];
            for (found, lost) in found.into_iter().zip(lost) {
                assert!(found.abs_diff(lost) <= 2, "{found} lost, and not {lost}");
            }
            assert!(ways.both.stats.lost.abs_diff(lost[0] + lost[1]) <= 1);
        }
    }

    #[test]
    fn jitter_and_order_are_those_of_the_way_that_has_them() {
        let uneven = Impairment { jitter: ms(40), in_order: true, ..GOOD };
        let overtaken = Impairment { reordering: 0.03, reordered_by: ms(50), ..GOOD };
        let (ways, _) = ways(uneven, overtaken);
        let [there, here] = ways.apart.expect("seen");
        assert!(there.stats.jitter > ms(5) && there.late(95.0) > ms(30), "{:?}", there.stats);
        assert_eq!(there.reordered_percent(), 0.0);
        assert!((2.0..4.0).contains(&here.reordered_percent()), "{:?}", here.stats);
        assert!(here.late(90.0) < ms(2), "{:?}", here.late(90.0));
        assert!((ms(50)..ms(52)).contains(&here.late(99.0)), "{:?}", here.late(99.0));
        assert_eq!((there.stats.lost, here.stats.lost), (0, 0));
    }

    #[test]
    fn copies_are_no_losses_whichever_way_makes_them() {
        let twice = Impairment { duplication: 0.1, ..GOOD };
        for (there, here) in [(twice, GOOD), (GOOD, twice)] {
            let (ways, _) = ways(there, here);
            let apart = ways.apart.expect("seen");
            let duplicates = apart.map(|way| (way.stats.lost, way.stats.duplicates > 200));
            assert_eq!(duplicates, [(0, there.duplication > 0.0), (0, here.duplication > 0.0)]);
        }
    }

    #[test]
    fn bursts_stay_bursts() {
        let (ways, _) = ways(Impairment { loss: 0.05, loss_run: 6.0, ..GOOD }, GOOD);
        let [there, _] = ways.apart.expect("seen");
        let total = there.stats.frames + there.stats.lost;
        assert!(there.stats.pattern.burst_ratio(total) > 3.0, "{:?}", there.stats.pattern);
    }

    #[test]
    fn an_echo_shows_both_ways_together_and_the_end_that_never_came_back() {
        let mut frames =
            Line { there: GOOD, here: Impairment::delayed(ms(30)), ppm: 0.0 }.carry(90).frames;
        frames.iter_mut().for_each(|frame| frame.seen = None);
        let ways = Ways::of(&frames, 0..100, 20, Format::ULAW).expect("some came back");
        assert_eq!((ways.apart, ways.both.stats.lost), (None, 10));
        assert_eq!(Ways::of(&[], 0..100, 20, Format::ULAW), None);
    }

    #[test]
    fn a_clock_that_runs_apart_is_no_queue() {
        let Carried { frames, .. } = Line { there: GOOD, here: GOOD, ppm: 200.0 }.carry(3_000);
        let ways = Ways::of(&frames, 0..3_000, 20, Format::ULAW).expect("some came back");
        let [there, here] = ways.apart.expect("seen");
        // 200 millionths of a minute are 12 ms.
        assert!(there.late(99.0) < ms(1) && here.late(99.0) < ms(1), "{:?}", there.late(99.0));
    }

    #[test]
    fn a_queue_that_load_fills_is_above_the_quiet_line_on_its_way_alone() {
        let delay = Impairment::delayed(ms(20));
        let quiet = Line { there: delay, here: delay, ppm: 50.0 }.carry(500).frames;
        let baseline = Baseline::of(&quiet, ClockOffset::of(&quiet)).expect("some");
        assert_eq!(baseline.above(&quiet, 100.0).both, ms(0));
        let full = Line { there: Impairment::delayed(ms(140)), here: delay, ppm: 50.0 };
        let above = baseline.above(&full.carry(100).frames, 50.0);
        let near = |found: Duration, wanted| found.abs_diff(ms(wanted)) < ms(1);
        let [there, here] = above.apart.expect("seen");
        assert!(near(above.both, 120) && near(there, 120) && near(here, 0), "{above:?}");
        assert_eq!(baseline.above(&[], 50.0).both, ms(0));
    }

    #[test]
    fn a_part_of_a_call_is_measured_by_itself() {
        let lossy = Impairment { loss: 0.1, ..GOOD };
        let whole = Line { there: lossy, here: GOOD, ppm: 0.0 }.carry(1_000);
        let part: Vec<Returned> =
            whole.frames.iter().filter(|frame| frame.sequence >= 500).copied().collect();
        let ways = Ways::of(&part, 500..1_000, 20, Format::ULAW).expect("some came back");
        let [there, here] = ways.apart.expect("seen");
        let missing = 500 - part.len() as u64;
        assert_eq!((ways.both.stats.lost, here.stats.lost), (missing, 0));
        assert!(there.stats.lost.abs_diff(missing) <= 2, "{} of {missing}", there.stats.lost);
    }

    #[test]
    fn a_percentile_is_a_value_that_was_there() {
        let sorted: Vec<u64> = (1..=100).collect();
        let at = |percent| percentile(&sorted, percent);
        assert_eq!(
            (at(50.0), at(95.0), at(99.0), at(100.0)),
            (Some(50), Some(95), Some(99), Some(100))
        );
        assert_eq!((percentile(&[7], 1.0), percentile::<u64>(&[], 50.0)), (Some(7), None));
    }
}
