//! Radio nodes at the far ends of calls: what is heard of them, and what the API shows.

use std::collections::{BTreeMap, BTreeSet};

use oneport_proto::{CallId, Endpoint, Event, Instant};
use oneport_wire::RadioText;

use super::snapshot::{RadioFigures, tenths};
use super::{State, Switch};
use crate::allstar::is_node;
use crate::api::model::{RadioLinkView, RadioNodeView, RadioView};
use crate::limits::Direction;
use crate::news::What;
use crate::radio::{Change, Station};

/// Nodes and links that the API shows; the rest are counted.
const MOST_NODES: usize = 1_000;
const MOST_LINKS: usize = 2_000;

/// Nodes that an event names.
const MOST_NAMED: usize = 100;

impl Switch {
    /// What nodes say and do, of all that happens.
    pub(super) fn hear_of_radio(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Text { call, text } => self.hear_radio_text(now, *call, text),
            Event::Keyed { call, .. } => self.radio_keys(now, *call, true),
            Event::Unkeyed { call } => self.radio_keys(now, *call, false),
            _ => {}
        }
    }

    fn hear_radio_text(&mut self, now: Instant, call: CallId, text: &str) {
        let Some(text) = RadioText::parse(text) else { return };
        self.meet_stations(call);
        let change = self.radio.hear(now, call, &text);
        self.tell_of_radio(change);
    }

    fn radio_keys(&mut self, now: Instant, call: CallId, keyed: bool) {
        self.meet_stations(call);
        let change = self.radio.key(now, call, keyed);
        self.tell_of_radio(change);
    }

    /// Looks who sends voice, where that keys.
    pub(super) fn look_for_voice(&mut self, endpoint: &Endpoint, now: Instant) {
        for change in self.radio.look(now, |call| endpoint.last_voice(call)) {
            self.tell_of_radio(Some(change));
        }
    }

    /// A leg is over. To be called while it is still among the legs.
    pub(super) fn radio_over(&mut self, now: Instant, call: CallId) {
        let keyed = self.radio.station(call).and_then(|station| station.keyed);
        if let Some(since) = keyed {
            self.tell_of_radio(Some(Change::Keyed(call, Some(now.since(since)))));
        }
        self.radio.leave(now, call);
    }

    /// Both ends of a call are nodes from the first that one of them says as such.
    fn meet_stations(&mut self, call: CallId) {
        if self.radio.station(call).is_some() {
            return;
        }
        let other = self.legs.get(&call).and_then(super::Leg::other);
        for leg in [Some(call), other].into_iter().flatten() {
            let node = self.node_of(leg);
            self.radio.meet(leg, || node);
        }
    }

    /// The node at the far end of a leg: its number, else the peer.
    fn node_of(&self, call: CallId) -> String {
        let Some(leg) = self.legs.get(&call) else { return String::new() };
        let number = match (leg.direction, &leg.state) {
            (Direction::Out, _) => self.book.called_number(call),
            // What its peer may say of itself.
            (Direction::In, State::Caller(caller)) => caller.offer.calling_number.as_deref(),
            (Direction::In, _) => self.book.calling_number(call),
        };
        let number = number.filter(|number| is_node(number)).map(str::to_string);
        number.or_else(|| leg.peer.clone()).unwrap_or_else(|| leg.address.ip().to_string())
    }

    fn tell_of_radio(&mut self, change: Option<Change<CallId>>) {
        let Some(change) = change else { return };
        let (Change::Keyed(call, _) | Change::Linked(call) | Change::Said(call, _)) = change;
        let (Some(leg), Some(station)) = (self.legs.get(&call), self.radio.station(call)) else {
            return;
        };
        let (id, node) = (leg.id.to_string(), station.node.clone());
        let _inside = leg.span.enter();
        match change {
            Change::Keyed(_, lasted) => {
                tracing::debug!(
                    "{call}: node {node} is {}",
                    if lasted.is_none() { "keyed" } else { "not keyed" }
                );
                self.news.tell(|| What::RadioKeyed {
                    call: id,
                    node,
                    keyed: lasted.is_none(),
                    seconds: lasted.map(tenths),
                });
            }
            Change::Linked(_) => {
                let linked = &station.linked;
                let count = linked.len() + station.more_linked;
                tracing::debug!("{call}: node {node} is linked with {count} others");
                self.news.tell(|| What::RadioLinks {
                    call: id,
                    node,
                    count,
                    linked: linked.iter().take(MOST_NAMED).map(|(_, node)| node.clone()).collect(),
                });
            }
            Change::Said(_, kind) => {
                let said = station.said.clone().unwrap_or_default();
                match kind {
                    // Each link and each transmission has some.
                    "telemetry" => tracing::debug!("{call}: {said}"),
                    _ => tracing::info!("{call}: {said}"),
                }
                self.news.tell(|| What::RadioText { call: id, node, kind: kind.into(), said });
            }
        }
    }

    /// Who is linked with whom, and who is keyed.
    pub(crate) fn show_radio(&self, now: Instant) -> RadioView {
        let mut nodes: BTreeMap<&str, RadioNodeView> = BTreeMap::new();
        let mut links: BTreeMap<(&str, &str), RadioLinkView> = BTreeMap::new();
        let mut left_out = BTreeSet::new();
        for (call, station) in self.radio.stations() {
            // Of a node in several calls the one is shown in which it is keyed, or tells of others.
            let view = self.show_station(now, call, station);
            let does = |view: &RadioNodeView| (view.keyed, view.linked);
            if nodes.get(station.node.as_str()).is_none_or(|known| does(known) < does(&view)) {
                nodes.insert(&station.node, view);
            }
        }
        for (call, station) in self.radio.stations() {
            let Some(leg) = self.legs.get(&call) else { continue };
            let other = leg.other().and_then(|other| self.radio.station(other));
            if let (Some(other), State::Caller(_)) = (other, &leg.state) {
                let call = Some(leg.id.to_string());
                let link = link(&station.node, &other.node, "transceive", call);
                links.insert(key(&station.node, &other.node), link);
            }
            for (mode, node) in &station.linked {
                if nodes.len() >= MOST_NODES && !nodes.contains_key(node.as_str()) {
                    left_out.insert(node.as_str());
                    continue;
                }
                nodes.entry(node).or_insert_with(|| elsewhere(node));
                if links.len() < MOST_LINKS {
                    links
                        .entry(key(&station.node, node))
                        .or_insert_with(|| link(&station.node, node, mode.name(), None));
                }
            }
        }
        for (_, station) in self.radio.stations() {
            for (node, report) in &station.reports {
                let Some(view) = nodes.get_mut(node.as_str()).filter(|view| view.call.is_none())
                else {
                    continue;
                };
                let age = now.since(report.at).as_secs_f64();
                view.keyed = Some(report.keyed);
                view.keyed_by = Some("report".into());
                view.for_seconds = Some((f64::from(report.for_seconds) + age).round());
            }
        }
        let more: usize = self.radio.stations().map(|(_, station)| station.more_linked).sum();
        RadioView {
            nodes: nodes.into_values().collect(),
            links: links.into_values().collect(),
            keyed: self.radio.keyed_now(),
            left_out: left_out.len() + more,
        }
    }

    pub(super) fn radio_figures(&self, now: Instant) -> RadioFigures {
        let stations = || self.radio.stations().map(|(_, station)| station);
        let linked: BTreeSet<&str> =
            stations().flat_map(|one| &one.linked).map(|(_, node)| node.as_str()).collect();
        RadioFigures {
            nodes: stations().count(),
            linked: linked.len(),
            keyed: self.radio.keyed_now(),
            times: self.radio.times,
            seconds: self.radio.keyed_for(now).as_secs_f64(),
            texts: self.radio.texts.clone(),
        }
    }

    fn show_station(&self, now: Instant, call: CallId, station: &Station) -> RadioNodeView {
        let leg = self.legs.get(&call);
        RadioNodeView {
            node: station.node.clone(),
            call: leg.map(|leg| leg.id.to_string()),
            peer: leg.and_then(|leg| leg.peer.clone()),
            keyed: Some(station.keyed.is_some()),
            keyed_by: Some(station.keying.name().into()),
            for_seconds: station.keyed.map(|since| tenths(now.since(since))),
            keyed_seconds: Some(tenths(station.keyed_for(now))),
            times: Some(station.times),
            linked: Some(station.linked.len() + station.more_linked),
            said: station.said.clone(),
        }
    }
}

/// A node of which others tell.
fn elsewhere(node: &str) -> RadioNodeView {
    RadioNodeView {
        node: node.into(),
        call: None,
        peer: None,
        keyed: None,
        keyed_by: None,
        for_seconds: None,
        keyed_seconds: None,
        times: None,
        linked: None,
        said: None,
    }
}

/// Both directions of a link are one.
fn key<'a>(one: &'a str, other: &'a str) -> (&'a str, &'a str) {
    if one < other { (one, other) } else { (other, one) }
}

fn link(from: &str, to: &str, mode: &str, call: Option<String>) -> RadioLinkView {
    RadioLinkView { from: from.into(), to: to.into(), mode: mode.into(), call }
}
