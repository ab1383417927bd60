//! What the switch counts since its start, for metrics. All of it is bounded by the configuration and
//! by the number of cause codes: nothing is kept for a call or a caller.

use std::collections::BTreeMap;
use std::time::Duration;

use oneport::{Cause, Score};
use oneport_proto::{CallEnd, CallStats};
use oneport_wire::CauseCode;

use crate::limits::Direction;

/// Bounds of the time until a call is answered, in seconds.
const SETUP_BOUNDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0];

/// Bounds of the time that a call lasts from its answer, in seconds.
const DURATION_BOUNDS: &[f64] =
    &[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0];

/// Bounds of round trips, in seconds.
const RTT_BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 2.0];

/// Bounds of mean opinion scores: from one at which nobody is content to the best of telephony (G.109).
const MOS_BOUNDS: &[f64] = &[1.5, 2.0, 2.58, 3.1, 3.6, 4.03, 4.2, 4.34, 4.41];

/// How often a value lay below each of some bounds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    pub(crate) bounds: &'static [f64],
    /// One for each bound, and one for what lies above all.
    pub(crate) counts: Vec<u64>,
    pub(crate) sum: f64,
    /// The last call that fell into each of them; nothing while there was none: polls, of which each peer has its
    /// own histogram, are no calls.
    examples: Vec<Option<(String, f64)>>,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        let places = bounds.len() + 1;
        Self { bounds, counts: vec![0; places], sum: 0.0, examples: Vec::new() }
    }

    /// The last call that fell into a place of `counts`, and its value.
    pub(crate) fn example(&self, place: usize) -> Option<&(String, f64)> {
        self.examples.get(place)?.as_ref()
    }

    pub(crate) fn note(&mut self, value: Duration, example: Option<String>) {
        self.note_number(value.as_secs_f64(), example);
    }

    fn note_number(&mut self, value: f64, example: Option<String>) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place] += 1;
        self.sum += value;
        if let Some(call) = example {
            self.examples.resize(self.counts.len(), None);
            self.examples[place] = Some((call, value));
        }
    }
}

/// Voice of the calls of one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Voice {
    /// Frames heard from it, and missed.
    pub(crate) heard: u64,
    pub(crate) lost: u64,
    /// Frames it says it heard, and missed.
    pub(crate) heard_there: u64,
    pub(crate) lost_there: u64,
}

impl Voice {
    /// Adds that of one leg.
    pub(crate) fn add(&mut self, stats: &CallStats) {
        self.heard += stats.received.frames;
        self.lost += stats.received.lost;
        if let Some(there) = stats.remote {
            self.heard_there += u64::from(there.frames);
            self.lost_there += u64::from(there.lost);
        }
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) begun: BTreeMap<Direction, u64>,
    pub(crate) answered: u64,
    pub(crate) ended: BTreeMap<(Direction, CauseCode), u64>,
    pub(crate) registrations_refused: u64,
    pub(crate) setup: Histogram,
    pub(crate) duration: Histogram,
    /// Mean opinion scores of legs: here, and there.
    pub(crate) mos: (Histogram, Histogram),
    /// Legs that were choppy, by the cause.
    pub(crate) choppy: BTreeMap<&'static str, u64>,
    /// Legs whose voice flowed one way only, or not at all, by the reason.
    pub(crate) one_way: BTreeMap<&'static str, u64>,
    /// Round trips of polls, by the peer's name.
    pub(crate) rtt: BTreeMap<String, Histogram>,
    /// By the peer's name.
    pub(crate) voice: BTreeMap<String, Voice>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            begun: BTreeMap::new(),
            answered: 0,
            ended: BTreeMap::new(),
            registrations_refused: 0,
            setup: Histogram::new(SETUP_BOUNDS),
            duration: Histogram::new(DURATION_BOUNDS),
            mos: (Histogram::new(MOS_BOUNDS), Histogram::new(MOS_BOUNDS)),
            choppy: BTreeMap::new(),
            one_way: BTreeMap::new(),
            rtt: BTreeMap::new(),
            voice: BTreeMap::new(),
        }
    }
}

impl Tally {
    pub(crate) fn begun(&mut self, direction: Direction) {
        *self.begun.entry(direction).or_default() += 1;
    }

    /// A leg of `call` has ended. `peer` is one that is configured.
    pub(crate) fn ended(
        &mut self,
        call: &str,
        direction: Direction,
        peer: Option<&str>,
        end: &CallEnd,
    ) {
        *self.ended.entry((direction, end.cause)).or_default() += 1;
        let scores = [Score::here(&end.stats), Score::there(&end.stats)];
        for (histogram, score) in [&mut self.mos.0, &mut self.mos.1].into_iter().zip(scores) {
            if let Some(score) = score {
                histogram.note_number(score.mos, Some(call.into()));
            }
        }
        let Some(peer) = peer else { return };
        let voice = match self.voice.get_mut(peer) {
            Some(voice) => voice,
            None => self.voice.entry(peer.into()).or_default(),
        };
        voice.add(&end.stats);
    }

    /// A leg that has ended was choppy.
    pub(crate) fn choppy(&mut self, cause: &Cause) {
        *self.choppy.entry(cause.name()).or_default() += 1;
    }

    /// On a leg voice flows one way only, or not at all.
    pub(crate) fn one_way(&mut self, reason: &'static str) {
        *self.one_way.entry(reason).or_default() += 1;
    }

    /// A peer has answered a poll.
    pub(crate) fn answered_poll(&mut self, peer: &str, rtt: Duration) {
        match self.rtt.get_mut(peer) {
            Some(histogram) => histogram.note(rtt, None),
            None => {
                let mut histogram = Histogram::new(RTT_BOUNDS);
                histogram.note(rtt, None);
                self.rtt.insert(peer.into(), histogram);
            }
        }
    }

    /// Forgets peers that are not configured any more.
    pub(crate) fn keep_peers(&mut self, known: impl Fn(&str) -> bool) {
        self.voice.retain(|name, _| known(name));
        self.rtt.retain(|name, _| known(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        let mut histogram = Histogram::new(&[0.1, 1.0]);
        for (millis, call) in [(100, "a"), (101, "b"), (1_000, "c"), (1_001, "d")] {
            histogram.note(Duration::from_millis(millis), Some(call.into()));
        }
        assert_eq!(histogram.counts, [1, 2, 1]);
        assert!((histogram.sum - 2.202).abs() < 1e-9);
        let last: Vec<_> = histogram.examples.iter().flatten().map(|(call, _)| call).collect();
        assert_eq!(last, ["a", "c", "d"]);
    }
}
