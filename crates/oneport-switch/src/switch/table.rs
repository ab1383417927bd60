//! What the console shows of many calls at once: how they sound in all, and a table of them that can be
//! searched and sorted. Each costs a look at every leg, and figures in full for the rows of a page alone.

use std::cmp::Ordering;

use oneport::Score;
use oneport_proto::{CallId, CallStats, DropReason, Endpoint, Instant};
use serde::{Deserialize, Serialize};

use super::snapshot::tenths;
use super::{Leg, State, Switch};
use crate::api::Beat;
use crate::api::model::{CallRow, CallRows, CallSort, CallState, LegRow, MosClass, StateCount};
use crate::cdr::hundredths;
use crate::limits::Direction;
use crate::routing::peer_as_destination;

/// Lower bounds of the classes of mean opinion scores, best first: the categories of ITU-T G.109, of which
/// the last takes all below.
const MOS_CLASSES: [f64; 5] = [4.34, 4.03, 3.6, 3.1, 1.0];

/// What is wanted of the table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TableQuery {
    /// In lower case; in a number, a name, a destination or the id.
    pub(crate) search: Option<String>,
    pub(crate) state: Option<CallState>,
    pub(crate) sort: CallSort,
    pub(crate) descending: bool,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

/// How calls do in all.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) calls: usize,
    pub(crate) legs: usize,
    pub(crate) states: Vec<StateCount>,
    pub(crate) mos: Vec<MosClass>,
    pub(crate) unheard: usize,
    pub(crate) one_way: usize,
    pub(crate) refused: u64,
    pub(crate) overflowed: u64,
    pub(crate) dropped: u64,
    pub(crate) retransmissions: u64,
}

/// By what a row is put in its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Key {
    Number(f64),
    Text(String),
    /// What is not known comes last, whichever way it is sorted.
    Unknown,
}

impl Key {
    fn text(text: Option<&str>) -> Self {
        text.map_or(Self::Unknown, |text| Self::Text(text.to_lowercase()))
    }

    fn order(&self, other: &Self, descending: bool) -> Ordering {
        match (self, other) {
            (Self::Unknown, Self::Unknown) => Ordering::Equal,
            (Self::Unknown, _) => Ordering::Greater,
            (_, Self::Unknown) => Ordering::Less,
            _ => {
                let order = match (self, other) {
                    (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
                    (Self::Text(a), Self::Text(b)) => a.cmp(b),
                    // Nothing is sorted by numbers and texts at once.
                    _ => Ordering::Equal,
                };
                if descending { order.reverse() } else { order }
            }
        }
    }
}

/// Rows of one process, with what puts each in its place among those of others.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ranked {
    rows: Vec<(Key, u64, CallRow)>,
    total: usize,
    up: usize,
}

impl Ranked {
    /// Those of all processes, as they are wanted. Each has its first ones, as many as could be among them.
    pub(crate) fn merge(all: Vec<Self>, query: &TableQuery) -> CallRows {
        let (mut total, mut up, mut rows) = (0, 0, Vec::new());
        for one in all {
            (total, up) = (total + one.total, up + one.up);
            rows.extend(one.rows);
        }
        rows.sort_by(|(a, first, _), (b, second, _)| {
            a.order(b, query.descending).then(first.cmp(second))
        });
        let page = rows.into_iter().skip(query.offset).take(query.limit);
        CallRows { rows: page.map(|(_, _, row)| row).collect(), total, up }
    }
}

/// The worse of what is heard here and what the other side says it hears.
fn worst_mos(stats: &CallStats) -> Option<f64> {
    let scores = [Score::here(stats), Score::there(stats)];
    scores.into_iter().flatten().map(|score| score.mos).min_by(f64::total_cmp)
}

#[expect(clippy::cast_precision_loss, reason = "it is a share")]
fn loss_percent(stats: &CallStats) -> Option<f64> {
    let all = stats.received.frames + stats.received.lost;
    (all > 0).then(|| hundredths(stats.received.lost as f64 * 100.0 / all as f64))
}

impl Switch {
    /// What is counted all the time.
    pub(crate) fn beat(&self, endpoint: &Endpoint) -> Beat {
        let counters = endpoint.counters();
        Beat {
            calls: self.count_calls(),
            begun: self.tally.begun.get(&Direction::In).copied().unwrap_or(0),
            refused: self.book.refused_counts().values().sum(),
            datagrams: counters.datagrams_received,
        }
    }

    pub(super) fn figures_of(&self, endpoint: &Endpoint, call: CallId) -> CallStats {
        let stats = self.stats_of_carrier(call).or_else(|| endpoint.call_stats(call));
        stats.unwrap_or_default()
    }

    /// Legs to those who are called for a call.
    pub(super) fn called_legs<'a>(
        &'a self,
        leg: &'a Leg,
    ) -> impl Iterator<Item = (CallId, &'a Leg)> {
        let called = match &leg.state {
            State::Caller(caller) => caller.called.as_slice(),
            _ => &[],
        };
        called.iter().filter_map(|call| Some((*call, self.legs.get(call)?)))
    }

    /// The worst score of all legs of a call.
    fn mos_of(&self, endpoint: &Endpoint, call: CallId, leg: &Leg) -> Option<f64> {
        let own = worst_mos(&self.figures_of(endpoint, call));
        let called = self
            .called_legs(leg)
            .filter_map(|(call, _)| worst_mos(&self.figures_of(endpoint, call)));
        own.into_iter().chain(called).min_by(f64::total_cmp)
    }

    /// How calls do in all.
    pub(crate) fn look(&self, endpoint: &Endpoint) -> Look {
        let mut states = CallState::ALL.map(|state| StateCount { state, calls: 0 });
        let mut mos = MOS_CLASSES.map(|at_least| MosClass { at_least, calls: 0 });
        let (mut calls, mut unheard) = (0, 0);
        for (call, leg) in &self.legs {
            let Some(state) = self.call_state(leg) else { continue };
            calls += 1;
            if let Some(count) = states.iter_mut().find(|count| count.state == state) {
                count.calls += 1;
            }
            match self.mos_of(endpoint, *call, leg) {
                None => unheard += 1,
                Some(score) => {
                    if let Some(class) = mos.iter_mut().find(|class| class.at_least <= score) {
                        class.calls += 1;
                    }
                }
            }
        }
        let counters = endpoint.counters();
        Look {
            calls,
            legs: self.legs.len(),
            states: states.into(),
            mos: mos.into(),
            unheard,
            one_way: self.count_one_way(),
            refused: self.book.refused_counts().values().sum(),
            overflowed: counters.dropped(DropReason::SocketBufferFull),
            dropped: counters.drops().map(|(_, count)| count).sum(),
            retransmissions: counters.retransmissions,
        }
    }

    /// Where a call leads, for people.
    pub(super) fn destination_of(&self, leg: &Leg) -> Option<String> {
        if let State::Builtin(place) = &leg.state {
            return Some(format!("builtin:{}", place.builtin));
        }
        let names: Vec<String> = self
            .called_legs(leg)
            .filter_map(|(_, called)| called.peer.as_deref().map(peer_as_destination))
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    fn is_found(&self, call: CallId, leg: &Leg, wanted: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(wanted);
        has(self.number_of(call))
            || self.book.calling_number(call).is_some_and(has)
            || leg.peer.as_deref().is_some_and(has)
            || self.called_legs(leg).any(|(_, called)| called.peer.as_deref().is_some_and(has))
            || leg.id.to_string().starts_with(wanted)
            || has(&leg.address.to_string())
            || self.destination_of(leg).is_some_and(|to| has(&to))
    }

    /// The first of all calls in the order that is wanted, as far as they could be on its page.
    pub(crate) fn call_rows(
        &self,
        endpoint: &Endpoint,
        now: Instant,
        query: &TableQuery,
    ) -> Ranked {
        let key = |call: CallId, leg: &Leg| match query.sort {
            CallSort::Age => Key::Number(now.since(leg.begun).as_secs_f64()),
            CallSort::From => Key::text(Some(&self.name_of(leg))),
            CallSort::Number => Key::text(Some(self.number_of(call))),
            CallSort::To => Key::text(self.destination_of(leg).as_deref()),
            CallSort::State => Key::text(self.call_state(leg).map(CallState::name)),
            CallSort::Mos => self.mos_of(endpoint, call, leg).map_or(Key::Unknown, Key::Number),
            CallSort::Loss => {
                let called = self.called_legs(leg).map(|(call, _)| call);
                let losses = std::iter::once(call).chain(called);
                let losses =
                    losses.filter_map(|call| loss_percent(&self.figures_of(endpoint, call)));
                losses.max_by(f64::total_cmp).map_or(Key::Unknown, Key::Number)
            }
        };
        let (mut up, mut found) = (0, Vec::new());
        for (call, leg) in &self.legs {
            let Some(state) = self.call_state(leg) else { continue };
            up += 1;
            let fits = query.state.is_none_or(|wanted| wanted == state)
                && query.search.as_deref().is_none_or(|wanted| self.is_found(*call, leg, wanted));
            if fits {
                found.push((key(*call, leg), leg.lease.0, *call));
            }
        }
        // Rows that are equal stay where they are from one look to the next.
        found.sort_by(|(a, first, _), (b, second, _)| {
            a.order(b, query.descending).then(first.cmp(second))
        });
        let total = found.len();
        let first = found.into_iter().take(query.offset.saturating_add(query.limit));
        let rows = first.filter_map(|(key, lease, call)| {
            Some((key, lease, self.call_row(endpoint, now, call)?))
        });
        Ranked { rows: rows.collect(), total, up }
    }

    /// Who a leg is with: a peer's name, or a guest's address.
    fn name_of(&self, leg: &Leg) -> String {
        leg.peer.clone().unwrap_or_else(|| leg.address.to_string())
    }

    fn call_row(&self, endpoint: &Endpoint, now: Instant, call: CallId) -> Option<CallRow> {
        let leg = self.legs.get(&call)?;
        let called: Vec<LegRow> = self
            .called_legs(leg)
            .map(|(call, leg)| self.leg_row(endpoint, now, call, leg))
            .collect();
        Some(CallRow {
            id: leg.id.to_string(),
            process: self.older_process(),
            state: self.call_state(leg)?,
            calling_number: self.book.calling_number(call).map(Into::into),
            number: self.number_of(call).into(),
            destination: self.destination_of(leg),
            seconds: tenths(now.since(leg.begun)),
            recorded: self.show_recording(leg.id, now).is_some(),
            listened: !self.listeners(leg.id).is_empty(),
            transcoded: self.show_transcoding(endpoint, call).is_some(),
            caller: self.leg_row(endpoint, now, call, leg),
            called,
        })
    }

    fn leg_row(&self, endpoint: &Endpoint, now: Instant, call: CallId, leg: &Leg) -> LegRow {
        let stats = self.figures_of(endpoint, call);
        let mos = |score: Option<Score>| score.map(|score| hundredths(score.mos));
        let diagnosis = self.diagnose(call, &stats);
        LegRow {
            who: self.name_of(leg),
            codec: stats.format.map(|format| format.name().into()),
            encrypted: stats.encrypted,
            mos_here: mos(Score::here(&stats)),
            mos_there: mos(Score::there(&stats)),
            loss_percent: loss_percent(&stats),
            loss_percent_there: stats.remote.map(|there| there.lost_percent),
            losses: leg
                .marks
                .timeline
                .as_ref()
                .map(|timeline| timeline.losses())
                .unwrap_or_default(),
            jitter_ms: super::snapshot::millis(stats.received.jitter),
            rtt_ms: stats.rtt.map(super::snapshot::millis),
            trouble: match self.show_one_way(now, call) {
                Some(one_way) => Some(one_way.why),
                None => diagnosis.map(|diagnosis| diagnosis.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_several_processes_are_one_table() {
        let ranked = |keys: &[f64], first: u64| Ranked {
            rows: keys
                .iter()
                .zip(first..)
                .map(|(key, lease)| (Key::Number(*key), lease, row(&lease.to_string())))
                .collect(),
            total: keys.len() + 1,
            up: 7,
        };
        let page = |offset, limit, descending| {
            let query = TableQuery { offset, limit, descending, ..TableQuery::default() };
            let all = vec![ranked(&[1.0, 3.0, 5.0], 0), ranked(&[2.0, 3.0], 10)];
            let CallRows { rows, total, up } = Ranked::merge(all, &query);
            assert_eq!((total, up), (7, 14));
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(page(0, 3, false), ["0", "10", "1"]);
        assert_eq!(page(2, 2, false), ["1", "11"]);
        assert_eq!(page(0, 2, true), ["2", "1"]);
        let text = serde_json::to_string(&ranked(&[1.0], 4)).expect("JSON");
        let back: Ranked = serde_json::from_str(&text).expect("the same");
        assert_eq!(back.rows.len(), 1);
    }

    fn row(id: &str) -> CallRow {
        let leg = || LegRow {
            who: "ann".into(),
            codec: None,
            encrypted: false,
            mos_here: None,
            mos_there: None,
            loss_percent: None,
            loss_percent_there: None,
            losses: Vec::new(),
            jitter_ms: 0.0,
            rtt_ms: None,
            trouble: None,
        };
        CallRow {
            id: id.into(),
            process: None,
            state: CallState::Answered,
            calling_number: None,
            number: "600".into(),
            destination: None,
            seconds: 1.0,
            recorded: false,
            listened: false,
            transcoded: false,
            caller: leg(),
            called: Vec::new(),
        }
    }

    #[test]
    fn what_is_not_known_comes_last_whichever_way_it_is_sorted() {
        let order = |descending| {
            let mut keys = [Key::Unknown, Key::Number(2.0), Key::Number(10.0), Key::Unknown];
            keys.sort_by(|a, b| a.order(b, descending));
            keys.map(|key| match key {
                Key::Number(number) => Some(number),
                _ => None,
            })
        };
        assert_eq!(order(false), [Some(2.0), Some(10.0), None, None]);
        assert_eq!(order(true), [Some(10.0), Some(2.0), None, None]);
    }
}
