//! How calls that are up sound: each leg is looked at every ten seconds, a few at a time, and what ails it
//! is told once.

use std::collections::HashMap;
use std::time::Duration;

use oneport::{Cause, Diagnosis, LoadMeter, Score, Surroundings};
use oneport_proto::{CallId, CallStats, Endpoint, Instant};

use super::Switch;
use crate::cdr::hundredths;
use crate::news::What;

/// From the beginning of one round to that of the next.
const PERIOD: Duration = Duration::from_secs(10);

/// Legs that are looked at in one go, and how long others have their turn between two.
const AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_millis(5);

/// Voice that shows something, in frames: five seconds.
const FEWEST_FRAMES: u64 = 250;

/// Lines that the log gets in a round; the rest are counted.
const MOST_LINES: u64 = 10;

/// What is seen of a peer in one round.
#[derive(Debug, Default)]
struct Seen {
    /// Bytes of voice sent to it since the round before.
    bytes: u64,
    /// Round trips of its legs: their sum and how many there are.
    lag: (Duration, u32),
    /// Its clock against ours, of the leg that was seen last.
    clock_ppm: Option<i32>,
}

/// What is known of a peer from all rounds.
#[derive(Debug, Default)]
struct Known {
    load: LoadMeter,
    clock_ppm: Option<i32>,
}

/// How far a round is, and what rounds have shown.
#[derive(Debug, Default)]
pub(super) struct Judging {
    /// `None`: there is nobody to look at.
    next: Option<Instant>,
    begun: Option<Instant>,
    left: Vec<CallId>,
    /// By the names of peers, which the configuration bounds.
    seen: HashMap<String, Seen>,
    known: HashMap<String, Known>,
    lines: u64,
}

impl Judging {
    /// When it is to go on.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// A call is up.
    pub(super) fn begin(&mut self, now: Instant) {
        self.next.get_or_insert(now + PERIOD);
    }

    /// All legs have been looked at.
    fn end_round(&mut self, now: Instant, is_peer: impl Fn(&str) -> bool) {
        let took = self.begun.map_or(PERIOD, |begun| now.since(begun)).max(PERIOD);
        self.known.retain(|name, _| is_peer(name));
        for (name, seen) in self.seen.drain() {
            let known = self.known.entry(name).or_default();
            let (sum, count) = seen.lag;
            if let Some(lag) = sum.checked_div(count) {
                known.load.note(seen.bytes as f64 * 8.0 / 1e3 / took.as_secs_f64(), lag);
            }
            known.clock_ppm = seen.clock_ppm.or(known.clock_ppm);
        }
        if self.lines > MOST_LINES {
            let untold = self.lines - MOST_LINES;
            tracing::warn!("{untold} more legs of calls do not sound as they should");
        }
        self.lines = 0;
    }

    /// The median of the clocks of other peers than this, where there are two or more.
    fn clocks_beside(&self, peer: &str) -> Option<i32> {
        let others = self.known.iter().filter(|(name, _)| *name != peer);
        let mut clocks: Vec<i32> = others.filter_map(|(_, known)| known.clock_ppm).collect();
        clocks.sort_unstable();
        (clocks.len() >= 2).then(|| clocks[clocks.len() / 2])
    }
}

/// The bit of a cause among those that were told.
fn bit(cause: &Cause) -> u32 {
    let place = Cause::NAMES.iter().position(|name| *name == cause.name());
    place.and_then(|place| 1_u32.checked_shl(u32::try_from(place).ok()?)).unwrap_or(0)
}

impl Switch {
    /// What ails a leg with these figures.
    pub(super) fn diagnose(&self, call: CallId, stats: &CallStats) -> Option<Diagnosis> {
        if stats.received.frames.max(stats.sent_frames) < FEWEST_FRAMES {
            return None;
        }
        let peer = self.legs.get(&call).and_then(|leg| leg.peer.as_deref());
        let known = peer.and_then(|peer| self.judging.known.get(peer));
        let surroundings = Surroundings {
            load: known.and_then(|known| known.load.effect()),
            other_clocks_ppm: peer.and_then(|peer| self.judging.clocks_beside(peer)),
            transcoding: self.transcodings.effort(call),
        };
        Diagnosis::of(stats, &surroundings)
    }

    /// Looks at the legs whose turn it is.
    pub(super) fn judge(&mut self, endpoint: &Endpoint, now: Instant) {
        if self.judging.next.is_none_or(|next| next > now) {
            return;
        }
        if self.judging.left.is_empty() {
            self.judging.begun = Some(now);
            self.judging.left = self.legs.keys().copied().collect();
        }
        let from = self.judging.left.len().saturating_sub(AT_ONCE);
        for call in self.judging.left.split_off(from) {
            self.look_at(endpoint, now, call);
        }
        if !self.judging.left.is_empty() {
            self.judging.next = Some(now + PAUSE);
            return;
        }
        let Self { judging, config, legs, .. } = self;
        judging.end_round(now, |peer| config.peers.contains_key(peer));
        let begun = judging.begun.unwrap_or(now);
        judging.next = (!legs.is_empty()).then(|| begun + PERIOD);
    }

    fn look_at(&mut self, endpoint: &Endpoint, now: Instant, call: CallId) {
        let Some(stats) = endpoint.call_stats(call) else { return };
        let diagnosis = self.diagnose(call, &stats);
        // What a carrier's packets show, where the leg leads to the gateway.
        let figures = self.stats_of_carrier(call);
        let Some(leg) = self.legs.get_mut(&call) else { return };
        let timeline = leg.marks.timeline.get_or_insert_default();
        timeline.note(now, figures.as_ref().unwrap_or(&stats));
        if let Some(peer) = leg.peer.as_deref().filter(|peer| self.config.peers.contains_key(*peer))
        {
            let seen = self.judging.seen.entry(peer.into()).or_default();
            seen.bytes += stats.sent_bytes.saturating_sub(leg.marks.bytes_seen);
            if let Some(lag) = stats.lag.last {
                seen.lag = (seen.lag.0 + lag, seen.lag.1 + 1);
            }
            seen.clock_ppm = stats.received.delay.clock_ppm.or(seen.clock_ppm);
        }
        leg.marks.bytes_seen = stats.sent_bytes;
        let Some(diagnosis) = diagnosis else { return };
        let causes = diagnosis.causes().iter().fold(0, |bits, cause| bits | bit(cause));
        if causes & !leg.marks.causes_told == 0 {
            return;
        }
        leg.marks.causes_told |= causes;
        self.judging.lines += 1;
        if self.judging.lines <= MOST_LINES {
            let _inside = leg.span.enter();
            let remedy = diagnosis.remedies().first().copied().unwrap_or_default();
            tracing::warn!("{call}: {} is choppy: {diagnosis}; {remedy}", leg.who());
        }
        let (id, peer) = (leg.id.to_string(), leg.peer.clone());
        let mos = |score: Option<Score>| score.map(|score| hundredths(score.mos));
        self.news.tell(|| What::CallChoppy {
            call: id,
            peer,
            causes: diagnosis.causes().iter().map(|cause| cause.name().into()).collect(),
            why: diagnosis.to_string(),
            mos: mos(Score::here(&stats)),
            mos_there: mos(Score::there(&stats)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_bit_of_its_own() {
        let bits: Vec<u32> = (0..Cause::NAMES.len()).map(|place| 1 << place).collect();
        assert!(bits.len() <= 32);
        assert_eq!(bit(&Cause::ClockDrift { ppm: 300, ours: false }), bits[bits.len() - 1]);
        assert_eq!(bit(&Cause::NotSent { frames: 9, percent: 1.0 }), 1 << 3);
    }

    #[test]
    fn clocks_of_others_are_a_median_of_two_at_least() {
        let mut judging = Judging::default();
        for (name, ppm) in [("a", 300), ("b", 310), ("c", -5)] {
            let seen = Seen { clock_ppm: Some(ppm), ..Seen::default() };
            judging.seen.insert(name.into(), seen);
            judging.end_round(Instant::from_micros(0), |_| true);
        }
        assert_eq!(judging.clocks_beside("c"), Some(310));
        judging.end_round(Instant::from_micros(0), |name| name != "b");
        assert_eq!(judging.clocks_beside("a"), None, "one other is not enough");
    }
}
