//! Legs whose voice flows one way only, or not at all: what the gateway finds is told in the log, to
//! listeners, in figures and in the record, and so is that both are heard again.

use std::time::Duration;

use oneport_proto::{CallId, Instant};

use super::{State, Switch};
use crate::api::model::OneWayView;
use crate::cdr::Quality;
use crate::news::What;
use crate::sip::one_way::{OneWay, Reason};

/// So many lines the log gets in [`WINDOW`]; the rest are counted.
const MOST_LINES: u64 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// What was told of one leg.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What is so now, and since when that is known.
    now: Option<(OneWay, Instant)>,
    /// Names of all reasons that were told, each once, and the first of them as a sentence.
    reasons: Vec<&'static str>,
    why: String,
    /// How long it was so, of times that are over.
    lasted: Duration,
}

impl Told {
    fn lasted(&self, now: Instant) -> Duration {
        self.lasted + self.now.map_or(Duration::ZERO, |(_, since)| now.since(since))
    }
}

/// Keeps the log from being flooded where many calls have the same fault.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Option<Instant>,
    told: u64,
    untold: u64,
}

impl Lines {
    /// Whether one more may be told at `now`, and how many before it were not.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.begun.is_none_or(|begun| now.since(begun) >= WINDOW) {
            (self.begun, self.told) = (Some(now), 0);
        }
        if self.told == MOST_LINES {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

impl Switch {
    /// The gateway has found that on the leg that it knows by this word voice flows one way only; `None`:
    /// both are heard again.
    pub(super) fn gateway_found(&mut self, now: Instant, word: &str, one_way: Option<OneWay>) {
        // It may have ended meanwhile.
        let Some(call) = self.leg_at_gateway(word) else { return };
        match one_way {
            Some(one_way) => self.one_way_begins(now, call, one_way),
            None => self.one_way_ends(now, call),
        }
    }

    fn one_way_begins(&mut self, now: Instant, call: CallId, one_way: OneWay) {
        let Some(leg) = self.legs.get_mut(&call) else { return };
        // What we have in a call we let be silent ourselves, such as a recording.
        let is_ours = matches!(leg.state, State::Builtin(_));
        if is_ours && one_way.reason == Reason::NothingSaid {
            return;
        }
        let told = leg.marks.one_way.get_or_insert_default();
        let since = told.now.map_or(now, |(_, since)| since);
        told.now = Some((one_way, since));
        let name = one_way.reason.name();
        if told.reasons.is_empty() {
            told.why = one_way.to_string();
        }
        if !told.reasons.contains(&name) {
            told.reasons.push(name);
            self.tally.one_way(name);
        }
        if let Some(untold) = self.one_way_lines.next(now) {
            let _inside = leg.span.enter();
            let before = match untold {
                0 => String::new(),
                untold => format!("; {untold} others before it went untold"),
            };
            tracing::warn!("{call}: {}: {one_way}{before}", leg.who());
        }
        let (id, peer) = (leg.id.to_string(), leg.peer.clone());
        self.news.tell(|| What::CallOneWay {
            call: id,
            peer,
            unheard: one_way.unheard.name().into(),
            reason: name.into(),
            why: one_way.to_string(),
        });
    }

    fn one_way_ends(&mut self, now: Instant, call: CallId) {
        let Some(leg) = self.legs.get_mut(&call) else { return };
        let Some(told) = &mut leg.marks.one_way else { return };
        let Some((_, since)) = told.now.take() else { return };
        let lasted = now.since(since);
        told.lasted += lasted;
        let seconds = (lasted.as_secs_f64() * 10.0).round() / 10.0;
        if self.one_way_lines.next(now).is_some() {
            let _inside = leg.span.enter();
            tracing::info!("{call}: {}: both sides are heard again, behind {seconds} s", leg.who());
        }
        let (id, peer) = (leg.id.to_string(), leg.peer.clone());
        self.news.tell(|| What::CallBothWays { call: id, peer, seconds });
    }

    /// Puts into the figures of a leg what was told of it.
    pub(super) fn note_one_way(&self, now: Instant, call: CallId, quality: &mut Quality) {
        let told = self.legs.get(&call).and_then(|leg| leg.marks.one_way.as_deref());
        let Some(told) = told else { return };
        quality.one_way = Some(told.reasons.join(","));
        quality.one_way_why = Some(told.why.clone());
        let millis = told.lasted(now).as_millis();
        quality.one_way_ms = Some(u64::try_from(millis).unwrap_or(u64::MAX));
    }

    /// What is so of a leg now.
    pub(super) fn show_one_way(&self, now: Instant, call: CallId) -> Option<OneWayView> {
        let (one_way, since) = self.legs.get(&call)?.marks.one_way.as_deref()?.now?;
        Some(OneWayView {
            unheard: one_way.unheard.name().into(),
            reason: one_way.reason.name().into(),
            why: one_way.to_string(),
            seconds: (now.since(since).as_secs_f64() * 10.0).round() / 10.0,
        })
    }

    /// Legs on which somebody is not heard now.
    pub(super) fn count_one_way(&self) -> usize {
        let is_now = |told: &Told| told.now.is_some();
        let told = self.legs.values().filter_map(|leg| leg.marks.one_way.as_deref());
        told.filter(|told| is_now(told)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_gets_ten_lines_in_ten_seconds_and_then_how_many_were_left_out() {
        let mut lines = Lines::default();
        let at = |second: u64| Instant::from_micros(second * 1_000_000);
        let told = (0..25).filter(|_| lines.next(at(1)).is_some()).count();
        assert_eq!(told, 10);
        assert_eq!(lines.next(at(12)), Some(15));
        assert_eq!(lines.next(at(12)), Some(0));
    }
}
