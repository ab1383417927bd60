//! Which radio nodes are linked with which, and who is keyed: gathered from KEY and UNKEY, from voice, and from what nodes
//! say of each other in texts. It knows nothing of calls but their handles.

use std::collections::BTreeMap;
use std::time::Duration;

use oneport_proto::Instant;
use oneport_wire::{LinkMode, RadioText};

/// Nodes that are kept of one list, and answers of nodes by way of one leg.
const MOST_LINKED: usize = 500;
const MOST_REPORTS: usize = 100;

/// A text is kept no longer, in characters.
const LONGEST_TEXT: usize = 120;

/// How often it is looked whether voice comes, where that is what keys.
const LOOK: Duration = Duration::from_millis(200);

/// Voice that is so old is the last of a transmission.
const LINGERS: Duration = Duration::from_millis(300);

/// How a node says that it is keyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keying {
    /// By KEY and UNKEY.
    Frames,
    /// By sending voice at all (`!NEWKEY1!`).
    Voice,
}

impl Keying {
    /// Its name, which stays.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Voice => "voice",
        }
    }
}

/// What a node elsewhere has said of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    pub(crate) keyed: bool,
    /// Since when it has been so.
    pub(crate) for_seconds: u32,
    /// When it said so.
    pub(crate) at: Instant,
}

/// A node at the far end of a leg.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Station {
    pub(crate) node: String,
    pub(crate) keying: Keying,
    /// Since when it is keyed.
    pub(crate) keyed: Option<Instant>,
    /// For how long it was, before.
    keyed_before: Duration,
    /// How often.
    pub(crate) times: u64,
    /// Who it says it is linked with.
    pub(crate) linked: Vec<(LinkMode, String)>,
    /// Nodes that its list has beside these, as far as it says.
    pub(crate) more_linked: usize,
    /// What nodes behind it have said of themselves.
    pub(crate) reports: BTreeMap<String, Report>,
    /// The last text that says something to people.
    pub(crate) said: Option<String>,
}

impl Station {
    fn of(node: String) -> Self {
        Self {
            node,
            keying: Keying::Frames,
            keyed: None,
            keyed_before: Duration::ZERO,
            times: 0,
            linked: Vec::new(),
            more_linked: 0,
            reports: BTreeMap::new(),
            said: None,
        }
    }

    /// For how long it has been keyed in all.
    pub(crate) fn keyed_for(&self, now: Instant) -> Duration {
        self.keyed_before + self.keyed.map_or(Duration::ZERO, |since| now.since(since))
    }
}

/// What has changed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Change<K> {
    /// The node at the far end of this leg is keyed, or was for so long.
    Keyed(K, Option<Duration>),
    /// It is linked with others than before.
    Linked(K),
    /// It has said something to people.
    Said(K, &'static str),
}

/// All of it, and what is counted for metrics.
#[derive(Debug)]
pub(crate) struct Radio<K> {
    stations: BTreeMap<K, Station>,
    /// When it is to be looked for voice.
    look: Option<Instant>,
    /// For how long nodes were keyed whose legs are over.
    keyed_before: Duration,
    /// Transmissions.
    pub(crate) times: u64,
    /// Texts by their kind.
    pub(crate) texts: BTreeMap<&'static str, u64>,
}

impl<K> Default for Radio<K> {
    fn default() -> Self {
        Self {
            stations: BTreeMap::new(),
            look: None,
            keyed_before: Duration::ZERO,
            times: 0,
            texts: BTreeMap::new(),
        }
    }
}

impl<K: Copy + Ord> Radio<K> {
    /// When to look again.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.look
    }

    /// The nodes at far ends.
    pub(crate) fn stations(&self) -> impl Iterator<Item = (K, &Station)> {
        self.stations.iter().map(|(call, station)| (*call, station))
    }

    pub(crate) fn station(&self, call: K) -> Option<&Station> {
        self.stations.get(&call)
    }

    /// Nodes that are keyed now.
    pub(crate) fn keyed_now(&self) -> usize {
        self.stations.values().filter(|station| station.keyed.is_some()).count()
    }

    /// For how long nodes have been keyed in all.
    pub(crate) fn keyed_for(&self, now: Instant) -> Duration {
        self.stations.values().map(|one| one.keyed_for(now)).sum::<Duration>() + self.keyed_before
    }

    /// A node is at the far end of a leg, if it is not there already.
    pub(crate) fn meet(&mut self, call: K, node: impl FnOnce() -> String) {
        self.stations.entry(call).or_insert_with(|| Station::of(node()));
    }

    /// KEY or UNKEY has come.
    pub(crate) fn key(&mut self, now: Instant, call: K, keyed: bool) -> Option<Change<K>> {
        let station = self.stations.get_mut(&call)?;
        if station.keying == Keying::Voice {
            return None;
        }
        set(now, call, station, keyed, &mut self.times)
    }

    /// A text has come.
    pub(crate) fn hear(
        &mut self,
        now: Instant,
        call: K,
        text: &RadioText<'_>,
    ) -> Option<Change<K>> {
        *self.texts.entry(text.kind()).or_default() += 1;
        let station = self.stations.get_mut(&call)?;
        match text {
            RadioText::NewKey => station.keying = Keying::Frames,
            RadioText::NewKey1 => {
                station.keying = Keying::Voice;
                self.look.get_or_insert(now + LOOK);
            }
            RadioText::Links(list) => {
                let mut nodes = list.nodes();
                let linked: Vec<_> = nodes
                    .by_ref()
                    .take(MOST_LINKED)
                    .map(|(mode, node)| (mode, node.to_string()))
                    .collect();
                station.more_linked = nodes.count() + usize::from(list.is_cut());
                if linked != station.linked {
                    station.linked = linked;
                    return Some(Change::Linked(call));
                }
            }
            RadioText::Keyed { from, keyed, seconds, .. } => {
                let report = Report { keyed: *keyed, for_seconds: *seconds, at: now };
                if station.reports.len() >= MOST_REPORTS && !station.reports.contains_key(*from) {
                    let oldest = station.reports.iter().min_by_key(|(_, report)| report.at);
                    if let Some(node) = oldest.map(|(node, _)| node.clone()) {
                        station.reports.remove(&node);
                    }
                }
                station.reports.insert((*from).into(), report);
            }
            RadioText::Message { .. }
            | RadioText::Telemetry { .. }
            | RadioText::Ident { .. }
            | RadioText::Disconnect => {
                station.said = Some(text.to_string().chars().take(LONGEST_TEXT).collect());
                return Some(Change::Said(call, text.kind()));
            }
            _ => {}
        }
        None
    }

    /// Looks who sends voice; `last_voice` says when the last came over a leg.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        last_voice: impl Fn(K) -> Option<Instant>,
    ) -> Vec<Change<K>> {
        if self.look.is_none_or(|look| look > now) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let mut is_needed = false;
        for (call, station) in &mut self.stations {
            if station.keying == Keying::Voice {
                is_needed = true;
                let speaks = last_voice(*call).is_some_and(|last| now.since(last) < LINGERS);
                changes.extend(set(now, *call, station, speaks, &mut self.times));
            }
        }
        self.look = is_needed.then_some(now + LOOK);
        changes
    }

    /// A leg is over.
    pub(crate) fn leave(&mut self, now: Instant, call: K) -> Option<Station> {
        let station = self.stations.remove(&call)?;
        self.keyed_before += station.keyed_for(now);
        Some(station)
    }
}

fn set<K>(
    now: Instant,
    call: K,
    station: &mut Station,
    keyed: bool,
    times: &mut u64,
) -> Option<Change<K>> {
    match (station.keyed, keyed) {
        (None, true) => {
            station.keyed = Some(now);
            station.times += 1;
            *times += 1;
            Some(Change::Keyed(call, None))
        }
        (Some(since), false) => {
            station.keyed = None;
            let lasted = now.since(since);
            station.keyed_before += lasted;
            Some(Change::Keyed(call, Some(lasted)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: u32 = 7;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1 + millis * 1_000)
    }

    fn radio() -> Radio<u32> {
        let mut radio = Radio::default();
        radio.meet(CALL, || "2000".into());
        radio
    }

    fn hear(radio: &mut Radio<u32>, now: Instant, text: &str) -> Option<Change<u32>> {
        radio.hear(now, CALL, &RadioText::parse(text).expect("a text of a node"))
    }

    #[test]
    fn a_node_is_keyed_from_key_to_unkey_and_its_seconds_are_counted_once() {
        let mut radio = radio();
        assert_eq!(radio.key(at(0), CALL, true), Some(Change::Keyed(CALL, None)));
        assert_eq!(radio.key(at(500), CALL, true), None, "KEY comes again and again");
        assert_eq!(radio.keyed_for(at(1_500)), Duration::from_millis(1_500));
        let lasted = Some(Duration::from_secs(2));
        assert_eq!(radio.key(at(2_000), CALL, false), Some(Change::Keyed(CALL, lasted)));
        assert_eq!(radio.key(at(2_100), CALL, false), None);
        assert_eq!((radio.times, radio.keyed_now()), (1, 0));
        radio.key(at(3_000), CALL, true);
        assert!(radio.leave(at(4_000), CALL).is_some_and(|station| station.keyed.is_some()));
        assert_eq!(radio.keyed_for(at(9_000)), Duration::from_secs(3), "it is over with the call");
    }

    #[test]
    fn behind_newkey1_voice_is_what_keys_and_key_is_not_looked_at() {
        let mut radio = radio();
        assert_eq!(radio.next(), None);
        hear(&mut radio, at(0), "!NEWKEY1!");
        assert_eq!(radio.key(at(1), CALL, true), None);
        assert_eq!(radio.look(at(100), |_| Some(at(90))), [], "not yet");
        let look = radio.next().expect("it looks for voice");
        assert_eq!(radio.look(look, |_| Some(at(190))), [Change::Keyed(CALL, None)]);
        assert_eq!(radio.look(at(400), |_| Some(at(390))), []);
        let ends = radio.look(at(1_000), |_| Some(at(600)));
        assert_eq!(ends, [Change::Keyed(CALL, Some(Duration::from_millis(800)))]);
        hear(&mut radio, at(1_100), "!NEWKEY!");
        assert_eq!(radio.look(at(2_000), |_| Some(at(2_000))), []);
        assert_eq!(radio.next(), None, "nobody is to be looked at any more");
        assert_eq!(radio.key(at(2_000), CALL, true), Some(Change::Keyed(CALL, None)));
    }

    #[test]
    fn a_list_is_told_when_it_has_changed() {
        let mut radio = radio();
        assert_eq!(hear(&mut radio, at(0), "L T2001,R2002"), Some(Change::Linked(CALL)));
        assert_eq!(hear(&mut radio, at(10_000), "L T2001,R2002"), None);
        assert_eq!(hear(&mut radio, at(20_000), "L "), Some(Change::Linked(CALL)));
        assert_eq!(radio.station(CALL).expect("there").linked, []);
        assert_eq!(radio.texts["links"], 3);
    }

    #[test]
    fn what_a_node_makes_us_keep_has_bounds() {
        let mut radio = radio();
        let many: Vec<String> = (0..2_000).map(|node| format!("T{}", 2_000 + node)).collect();
        hear(&mut radio, at(0), &format!("L {}", many.join(",")));
        for node in 0..300 {
            hear(&mut radio, at(node), &format!("K 1 {} 1 {node}", 2_000 + node));
        }
        hear(&mut radio, at(400), &format!("M 2000 0 {}", "x".repeat(2_000)));
        let station = radio.station(CALL).expect("there");
        assert_eq!((station.linked.len(), station.more_linked), (MOST_LINKED, 1_500));
        assert_eq!(station.reports.len(), MOST_REPORTS);
        assert!(station.reports.contains_key("2299") && !station.reports.contains_key("2000"));
        assert_eq!(station.said.as_ref().map(|said| said.chars().count()), Some(LONGEST_TEXT));
    }
}
