//! Calls that an operator places: somebody is rung, and led on when it answers.

use std::time::Duration;

use oneport_media::Codec;
use oneport_proto::{CallId, Endpoint, Instant, Offer, Path};
use oneport_wire::{CauseCode, EncryptionMethods, Format, FormatSet, SamplingRates};

use super::forwarding::Forwarded;
use super::hunting::{Way, new_call};
use super::leg::{Caller, Marks};
use super::spans::span_of;
use super::{Leg, State, Switch, records};
use crate::api::model::Originate;
use crate::builtin::Place;
use crate::config::Peer;
use crate::limits::{Attempt, Direction};
use crate::news::What;
use crate::refusal::{Reason, Stage};
use crate::routing::{Target, peer_as_destination};
use crate::traces::Parent;
use crate::trunks::Owner;

/// How long somebody is rung where the operator does not say it.
const USUAL_RINGING: Duration = Duration::from_secs(30);

/// The number that is called where none is named.
const START: &str = "s";

/// A call that an operator has placed, before it was answered.
pub(super) struct Origination {
    /// What it calls then, as if it had done so itself.
    pub(super) offer: Box<Offer>,
    /// Where it is led, where that is no number to be looked up.
    target: Option<Target>,
}

/// Why a call is not placed.
#[derive(Debug)]
pub(crate) enum NotPlaced {
    /// What is asked for makes no sense, in words.
    Senseless(String),
    /// It cannot be now.
    Refused(Box<Reason>),
}

impl From<(CauseCode, Box<Reason>)> for NotPlaced {
    fn from((_, reason): (CauseCode, Box<Reason>)) -> Self {
        Self::Refused(reason)
    }
}

/// What stands in front of a destination.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    matches!(scheme, "peer" | "phone" | "carrier" | "builtin").then_some((scheme, rest))
}

impl Switch {
    /// The peer and the number that `peer:NAME/NUMBER` names.
    fn peer_named(&self, text: &str) -> Result<(String, String), NotPlaced> {
        let (name, number) = text.split_once('/').unwrap_or((text, START));
        if !self.config.peers.contains_key(name) {
            return Err(NotPlaced::Senseless(format!("there is no peer `{name}`")));
        }
        if number.is_empty() || number.chars().any(char::is_control) {
            return Err(NotPlaced::Senseless(format!("`{text}` names no number")));
        }
        Ok((name.into(), number.into()))
    }

    fn target_named(&self, text: &str) -> Result<Option<Target>, NotPlaced> {
        match scheme(text) {
            None if text.is_empty() || text.chars().any(char::is_control) => {
                Err(NotPlaced::Senseless("`to` is no number".into()))
            }
            None => Ok(None),
            Some(("builtin", name)) => {
                let unknown = || NotPlaced::Senseless(format!("there is no built-in `{name}`"));
                Place::named(name).map(|place| Some(Target::Builtin(place))).ok_or_else(unknown)
            }
            Some((scheme, rest)) => {
                let known = if scheme == "carrier" { text } else { rest };
                let (name, number) = self.peer_named(known)?;
                Ok(Some(Target::Peer { name, number }))
            }
        }
    }

    /// The formats in which somebody is rung that is led on to `target` or to where its number leads:
    /// both must speak the same, so only those are offered that the other can, where that is known.
    fn formats_towards(&self, name: &str, peer: &Peer, of: &Origination) -> Vec<Format> {
        let found = match &of.target {
            Some(target) => Some(target.clone()),
            None => {
                let plan = self.plan(name, &of.offer).ok().flatten();
                let first = plan.and_then(|plan| plan.left.into_iter().flatten().next());
                first.or_else(|| Place::find(&of.offer.called_number).map(Target::Builtin))
            }
        };
        let understands = |format: &Format| match &found {
            Some(Target::Peer { name, .. }) => {
                let other = self.config.peers.get(name);
                other.is_none_or(|other| other.codecs.contains(format))
            }
            Some(Target::Builtin(place)) => {
                !place.builtin.needs_codec() || Codec::for_format(*format).is_some()
            }
            _ => true,
        };
        let common: Vec<Format> = peer.codecs.iter().copied().filter(understands).collect();
        // Where there is none, it is told so when it is led on, with what mends it.
        if common.is_empty() { peer.codecs.clone() } else { common }
    }

    /// Rings somebody for an operator; `parent` is whose trace the call is part of.
    ///
    /// # Errors
    /// What is asked for makes no sense, or cannot be done now.
    pub(crate) fn originate(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        asked: &Originate,
        parent: Option<Parent>,
    ) -> Result<CallId, NotPlaced> {
        let Some(("peer" | "phone", ring)) = scheme(&asked.ring) else {
            let what = format!("`{}` is nobody to be rung: write peer:NAME", asked.ring);
            return Err(NotPlaced::Senseless(what));
        };
        let (name, number) = self.peer_named(ring)?;
        let target = self.target_named(&asked.to)?;
        let said = [&asked.context, &asked.calling_number, &asked.calling_name];
        if said.into_iter().flatten().any(|text| text.chars().any(char::is_control)) {
            return Err(NotPlaced::Senseless("a name or number has control characters".into()));
        }
        if self.life() != super::Life::Serving {
            let reason = Reason::new(Stage::Opening, "draining", "this switch is being drained")
                .fix("end the draining: `oneport undrain`");
            return Err(NotPlaced::Refused(reason.into()));
        }
        if let Some(reason) = self.refused_by_overload(0) {
            return Err(NotPlaced::Refused(reason.into()));
        }
        let Some(peer) = self.config.peers.get(&name).cloned() else {
            return Err(NotPlaced::Senseless(format!("there is no peer `{name}`")));
        };
        let Way { to, through } = self.way_to(now, &name, &peer, false)?;
        if let Some(switch) = through {
            let why = format!("{name} is registered at switch {switch}");
            let reason = Reason::new(Stage::Destination, "at_another_switch", why)
                .fix(format!("ask switch {switch} to place the call"));
            return Err(NotPlaced::Refused(reason.into()));
        }
        let mut origination = Origination { offer: offer_of(asked, &name, to), target };
        if asked.calling_number.is_none() {
            let own = Some(number.clone()).filter(|number| number != START);
            origination.offer.calling_number = own;
            peer.caller_id.apply(&mut origination.offer);
        }
        let mut new = new_call(&peer, &number);
        new.formats = self.formats_towards(&name, &peer, &origination);
        new.calling_number = match &origination.target {
            _ if asked.calling_number.is_some() => asked.calling_number.clone(),
            None => Some(asked.to.clone()),
            Some(Target::Peer { number, .. }) => Some(number.clone()),
            Some(_) => None,
        };
        new.calling_name.clone_from(&asked.calling_name);
        let lease = self.new_lease();
        let attempt = Attempt {
            peer: Some(&name),
            direction: Direction::Out,
            number: &number,
            route: None,
            is_emergency: false,
        };
        let taken = self.limits.take(now, lease, &attempt);
        self.tell_of_limits();
        taken.map_err(|full| NotPlaced::Refused(records::full_limit(&full).into()))?;
        let call = match endpoint.place_call(now, to, new) {
            Ok(call) => call,
            Err(error) => {
                self.limits.release(now, lease);
                let reason = Reason::new(Stage::Destination, "cannot_place", error.to_string());
                return Err(NotPlaced::Refused(reason.into()));
            }
        };
        let _ = endpoint.allow_transfer(call, peer.transfer.is_some());
        self.inband.enter(endpoint, call, peer.keys_by);
        if let Some(trunk) = peer.trunk {
            self.trunks.set(Owner::Call(call), Some((to, trunk)));
        }
        let id = self.book.originated(now, call, &origination.offer, parent);
        self.book.led_to(call, format!("{}/{number}", peer_as_destination(&name)));
        let rings = asked.timeout_seconds.map_or(USUAL_RINGING, Duration::from_secs);
        self.ends.set(call, now + rings);
        let span = span_of(id);
        let _inside = span.enter();
        tracing::info!("{call}: {name} ({to}) is rung for {}", asked.to);
        let leg = Leg {
            id,
            span: span.clone(),
            lease,
            came_from: to.ip(),
            peer: Some(name.clone()),
            address: to,
            begun: now,
            direction: Direction::Out,
            to: Some(asked.to.clone()),
            state: State::Originated(Box::new(origination)),
            marks: Marks::default(),
        };
        self.legs.insert(call, leg);
        self.legs_have_changed();
        self.capture_leg(endpoint, call);
        if let Err((cause, why)) = self.begin_record(endpoint, now, call) {
            let _ = endpoint.hangup(now, call, cause, None);
            let reason = Reason::new(Stage::Limit, "records_waiting", why)
                .fix("see in the log what keeps the store from writing: a full or slow disk");
            return Err(NotPlaced::Refused(reason.into()));
        }
        self.tally.begun(Direction::Out);
        let (call_id, to) = (id.to_string(), asked.to.clone());
        self.news.tell(|| What::CallBegun { call: call_id, from: Some(name), number: to });
        self.trunks.apply(endpoint);
        Ok(call)
    }

    /// Whether an operator has placed this call, and it has not been answered yet.
    pub(super) fn is_originated(&self, call: CallId) -> bool {
        matches!(self.legs.get(&call).map(|leg| &leg.state), Some(State::Originated(_)))
    }

    /// Who was rung has answered, and is led on.
    pub(super) fn originated_answered(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
    ) {
        self.ends.clear(&call);
        let Some(format) = endpoint.call_format(call) else { return };
        let Some(leg) = self.legs.get_mut(&call) else { return };
        let peer = leg.peer.clone();
        let State::Originated(origination) = std::mem::replace(&mut leg.state, State::Gone) else {
            return;
        };
        let Origination { mut offer, target } = *origination;
        offer.formats = [format].into_iter().collect();
        offer.wanted = offer.formats;
        offer.preferences = vec![format];
        match target {
            None => {
                // It is as if it had been accepted and had dialled.
                leg.state = State::Dialling { offer: offer.clone(), format };
                self.route(endpoint, now, call, peer, offer, Some(format));
            }
            Some(target) => self.lead_to(endpoint, now, call, offer, target, format),
        }
    }

    /// Leads a call to a destination that needs no route.
    fn lead_to(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        offer: Box<Offer>,
        target: Target,
        accepted: Format,
    ) {
        self.book.routed(now, call, &offer.called_number, None);
        let Some(leg) = self.legs.get_mut(&call) else { return };
        leg.state = State::Caller(Box::new(Caller {
            offer,
            called: Vec::new(),
            left: [vec![target]].into(),
            timeout: None,
            continue_on: Vec::new(),
            may_return: true,
            is_emergency: false,
            accepted: Some(accepted),
            together: None,
            foreign: Vec::new(),
            answered: false,
            bounds: Default::default(),
            forwarded: Forwarded::default(),
            notice: None,
        }));
        self.try_next(endpoint, now, call, CauseCode::NO_ROUTE);
    }
}

/// What somebody would have sent who had called by itself.
fn offer_of(asked: &Originate, name: &str, at: std::net::SocketAddr) -> Box<Offer> {
    let called_number = match scheme(&asked.to) {
        // The number there, or the built-in's own.
        Some(("builtin", place)) => place.to_string(),
        Some((_, rest)) => rest.split_once('/').map_or(START, |(_, number)| number).to_string(),
        None => asked.to.clone(),
    };
    Box::new(Offer {
        path: Path::from(at),
        address_validated: true,
        called_number,
        called_context: asked.context.clone(),
        calling_number: asked.calling_number.clone(),
        calling_name: asked.calling_name.clone(),
        calling_ani: None,
        username: Some(name.into()),
        language: None,
        dnid: None,
        rdnis: None,
        calling_presentation: None,
        calling_type_of_number: None,
        calling_transit_network: None,
        calling_ani2: None,
        osp_token: Vec::new(),
        formats: FormatSet::EMPTY,
        wanted: FormatSet::EMPTY,
        preferences: Vec::new(),
        sampling_rates: SamplingRates::default(),
        auto_answer: false,
        date_time: None,
        encryption: EncryptionMethods::default(),
        device: Default::default(),
        variables: Vec::new(),
    })
}
