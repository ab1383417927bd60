//! Finding somebody who takes a call: its route, the legs that are placed, and which of them gets it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::ZonedDateTime;
use oneport_proto::{CallEnd, CallId, EndReason, Endpoint, Instant, NewCall, Offer};
use oneport_wire::{AuthMethods, CauseCode, Format, FormatSet};

use super::leg::Marks;
use super::nodes::node_reason;
use super::siblings::is_sibling;
use super::{LeaseId, Leg, State, Switch, records};
use crate::bridge;
use crate::builtin::Announcement;
use crate::cluster::{CALL, PEER};
use crate::config::{Config, Peer};
use crate::limits::{Attempt, Direction};
use crate::refusal::{Reason, Stage};
use crate::routing::{self, Question, Strategy, Target, WallTime};
use crate::sip::settings::{CARRIER, HOPS, LEG};
use crate::traces::Step;
use crate::trunks::Owner;
use crate::watch::Bounds;

/// A call that came through so many switches runs in a circle.
pub(super) const MOST_HOPS: u32 = 10;

/// The way to a peer.
pub(super) struct Way {
    /// Where its leg goes.
    pub(super) to: SocketAddr,
    /// The switch that is there, where the peer is registered at another.
    pub(super) through: Option<String>,
}

/// What the dial plan says of a call.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) left: VecDeque<Vec<Target>>,
    pub(super) timeout: Option<Duration>,
    pub(super) continue_on: Vec<CauseCode>,
    pub(super) route: Option<String>,
    pub(super) bounds: Bounds,
    pub(super) notice: Option<Announcement>,
    /// The route names its callers, so it means it when it leads back to one of them: boxes call
    /// themselves so.
    pub(super) may_return: bool,
    /// No limit stands against its calls.
    pub(super) is_emergency: bool,
}

impl Switch {
    /// The time of day where this switch is.
    pub(super) fn wall_time(&self) -> WallTime {
        wall_time(&ZonedDateTime::now().with_time_zone(self.config.timezone.clone()))
    }

    /// What the dial plan says of a peer's call; `None` where it has nothing to say.
    pub(super) fn plan(&self, peer: &str, offer: &Offer) -> Result<Option<Plan>, String> {
        let contexts = contexts_of(&self.config, peer, offer.called_context.as_deref())?;
        let number = offer.called_number.as_str();
        let time = self.wall_time();
        let question = Question { number, from: Some(peer), contexts: &contexts, time };
        let Some(route) = routing::find(&self.config.routes, &question) else { return Ok(None) };
        tracing::debug!("{peer} calls {number}: route {}", route.name);
        let targets = route.targets(number, |below| fastrand::u32(..below.max(1)));
        let left = match route.strategy {
            Strategy::All => [targets].into(),
            _ => targets.into_iter().map(|target| vec![target]).collect(),
        };
        Ok(Some(Plan {
            left,
            timeout: route.timeout,
            continue_on: route.continue_on.clone(),
            route: Some(route.name.clone()),
            bounds: route.bounds.clone(),
            notice: route.notice.clone(),
            may_return: !route.from.is_empty(),
            is_emergency: route.emergency,
        }))
    }

    /// Tries the caller's next destination; `cause` is said if there is none.
    pub(super) fn try_next(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        mut cause: CauseCode,
    ) {
        let mut why = "no destination took it".to_string();
        loop {
            let Some(leg) = self.legs.get_mut(&call) else { return };
            let State::Caller(caller) = &mut leg.state else { return };
            let Some(targets) = caller.left.pop_front() else {
                return self.refuse(endpoint, now, call, cause, &why);
            };
            self.book.goes_on(now, call);
            let targets = match self.forwarded(call, targets) {
                Ok(targets) => targets,
                Err(circle) => {
                    let reason = Reason::new(Stage::Destination, "circle", circle.1.as_str())
                        .fix("correct the peers that forward to each other");
                    self.book.because(now, call, reason);
                    (cause, why) = circle;
                    continue;
                }
            };
            let Some(targets) = self.await_nodes(now, call, targets) else {
                return self.book.goes_on(now, call);
            };
            let result = match &*targets {
                [Target::Builtin(place)] => self.enter_builtin(endpoint, now, call, place),
                [Target::End(end)] => Err((*end, "its route ends here".into())),
                peers => self.place_all(endpoint, now, call, peers),
            };
            match result {
                Ok(()) => return self.book.goes_on(now, call),
                Err((failed, failure)) => {
                    tracing::debug!("{call}: {failure}");
                    self.forward_where_absent(call, &targets, failed);
                    if let [target @ (Target::Builtin(_) | Target::End(_))] = &*targets {
                        let reason =
                            records::not_led_to(target, self.book.route(call), failed, &failure);
                        self.book.because(now, call, reason);
                    }
                    (cause, why) = (failed, failure);
                }
            }
        }
    }

    /// Places legs to all of `targets` at once. One that can be placed is enough.
    fn place_all(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        targets: &[Target],
    ) -> Result<(), (CauseCode, String)> {
        // Whoever answers should speak what the caller was accepted with.
        let only = if targets.len() > 1 { self.format_for_all(call, targets) } else { None };
        if let Some(State::Caller(caller)) = self.legs.get_mut(&call).map(|leg| &mut leg.state) {
            caller.together = only;
        }
        let mut failure = (CauseCode::NO_ROUTE, "nobody to be called".to_string());
        let mut placed = 0;
        for target in targets {
            let Target::Peer { name, number } = target else { continue };
            match self.place(endpoint, now, call, name, number, only) {
                Ok(()) => placed += 1,
                Err(error) => {
                    tracing::debug!("{call}: {}", error.1);
                    failure = (error.0, error.1.to_string());
                    self.book.because(now, call, error.1.at(target.to_string()));
                }
            }
        }
        if placed > 0 { Ok(()) } else { Err(failure) }
    }

    /// The format that most of `targets` may speak, of several the one the caller likes best.
    fn format_for_all(&self, call: CallId, targets: &[Target]) -> Option<Format> {
        let State::Caller(caller) = &self.legs.get(&call)?.state else { return None };
        let peers = targets.iter().filter_map(|target| match target {
            Target::Peer { name, .. } => self.config.peers.get(name),
            _ => None,
        });
        let mut counts: Vec<(Format, usize)> = Vec::new();
        for format in peers.flat_map(|peer| common_formats(peer, &caller.offer)) {
            match counts.iter_mut().find(|(known, _)| *known == format) {
                Some((_, count)) => *count += 1,
                None => counts.push((format, 1)),
            }
        }
        let most = counts.iter().map(|(_, count)| *count).max()?;
        counts.into_iter().find(|(_, count)| *count == most).map(|(format, _)| format)
    }

    /// Where a peer can be called now; `from_sibling`: for another switch, which has found that it is here.
    ///
    /// # Errors
    /// It is not there, or does not answer polls.
    pub(super) fn way_to(
        &self,
        now: Instant,
        name: &str,
        peer: &Peer,
        from_sibling: bool,
    ) -> Result<Way, (CauseCode, Box<Reason>)> {
        let refused = |kind, why: String| Reason::new(Stage::Destination, kind, why);
        if peer.nodes.is_some() {
            let why = format!("{name} is every node of AllStarLink, and none is asked for");
            let reason = refused("no_node", why)
                .fix("ring a peer of one's own, and lead the call to a route with `allstar:`");
            return Err((CauseCode::INVALID_NUMBER, reason.into()));
        }
        if let Some(written) =
            peer.lost.as_deref().filter(|_| self.registrar.find(now, name).is_none())
        {
            let reason = refused("host_not_found", format!("{written} of {name} cannot be found"))
                .decided_by(format!("peers.{name}.address"), written)
                .fix(
                    "correct the name, or see why the name server does not know it; it is asked \
                      every minute",
                );
            return Err((CauseCode::DESTINATION_OUT_OF_ORDER, reason.into()));
        }
        if let Some(why) = self.carrier_down(name) {
            let carrier = name.strip_prefix(CARRIER).unwrap_or(name);
            let reason = refused("carrier_down", format!("{name} is down: {why}"))
                .decided_by(format!("carriers.{carrier}"), why)
                .fix("see `oneport show carriers`, and what lies between");
            return Err((CauseCode::DESTINATION_OUT_OF_ORDER, reason.into()));
        }
        let Some(to) = peer.address.or_else(|| self.registrar.find(now, name)) else {
            if let Some(through) = self.registrar.elsewhere(name).filter(|_| !from_sibling) {
                return self.way_through(name, through);
            }
            let reason = refused("not_registered", format!("{name} is not registered"))
                .decided_by(format!("peers.{name}"), "no address, and not registered")
                .fix(format!("see why {name} does not register, or give it an address"));
            return Err((CauseCode::SUBSCRIBER_ABSENT, reason.into()));
        };
        let is_phone = self.config.phones.contains_key(name);
        let status = if is_phone { self.phone_status(name) } else { self.qualify.status(name) };
        if !status.takes_calls() {
            let reason = refused("peer_not_reachable", format!("{name} is {status}"))
                .decided_by(format!("peers.{name}.qualify"), status.to_string())
                .fix("see whether it runs and what lies between, or raise its qualify_limit_ms");
            return Err((CauseCode::DESTINATION_OUT_OF_ORDER, reason.into()));
        }
        match &self.gateway {
            _ if !is_phone => Ok(Way { to, through: None }),
            // The gateway knows the way to it.
            Some(link) => Ok(Way { to: link.address, through: None }),
            None => {
                let reason = refused("no_gateway", "the SIP gateway does not run".into())
                    .fix("restart the switch: it begins with the first peer that speaks SIP");
                Err((CauseCode::DESTINATION_OUT_OF_ORDER, reason.into()))
            }
        }
    }

    /// Places one leg for a caller; `only`: in this format, where it can speak that.
    pub(super) fn place(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        name: &str,
        number: &str,
        only: Option<Format>,
    ) -> Result<(), (CauseCode, Box<Reason>)> {
        let refused = |kind, why: String| Reason::new(Stage::Destination, kind, why);
        let Some(leg) = self.legs.get(&call) else { return Ok(()) };
        let State::Caller(caller) = &leg.state else { return Ok(()) };
        let Some(peer) = self.config.peers.get(name) else { return Ok(()) };
        let from_sibling = is_sibling(leg);
        let offer = &caller.offer;
        if number.is_empty() {
            let why = format!("nothing is left of {} for {name}", offer.called_number);
            let reason = refused("nothing_left_to_dial", why)
                .fix("correct how its route rewrites the number, or what the caller dials");
            return Err((CauseCode::INVALID_NUMBER, reason.into()));
        }
        let node = match peer.nodes {
            Some(_) => {
                Some(self.nodes.known(now, number).map_err(|unknown| node_reason(&unknown))?)
            }
            None => None,
        };
        let Way { to, through } = match &node {
            Some(node) => Way { to: node.address, through: None },
            None => self.way_to(now, name, peer, from_sibling)?,
        };
        let dialled_there = node.as_ref().map_or(number, |node| node.number.as_str());
        let variables = with_one_more_hop(&offer.variables).ok_or_else(|| {
            let reason = refused("circle", "the call runs in a circle".into())
                .decided_by("the most switches on the way", MOST_HOPS.to_string())
                .fix("correct the routes that lead the call back to a switch it came from");
            (CauseCode::ROUTING_ERROR, Box::new(reason))
        })?;
        // All that speak SIP are at the same address: that of the gateway.
        let by_sip = through.is_none() && self.config.is_behind_gateway(name);
        let same = through.is_none()
            && to == leg.address
            && (!by_sip || leg.peer.as_deref() == Some(name));
        if same && number == offer.called_number && !caller.may_return {
            let why = format!("{name} would get its own call back");
            let reason = refused("own_call_back", why)
                .fix(format!("give the route from = [\"{name}\"] if that is what it is for"));
            return Err((CauseCode::NO_ROUTE, reason.into()));
        }
        // Both legs speak the same where they can: then no codec is offered that the caller does not hear.
        let mut common = common_formats(peer, offer);
        if caller.foreign.iter().any(|known| known == name) {
            common.clear();
        }
        let mut formats: Vec<Format> = match caller.accepted.or(only) {
            // It must be able to, all the same.
            Some(format) => [format].into_iter().filter(|one| common.contains(one)).collect(),
            None => common,
        };
        let native = !formats.is_empty();
        if !native {
            formats = self.formats_to_transcode(name, peer, leg, caller)?;
        }
        formats.extend((self.video_of(leg) & peer.video).iter());
        // Whoever is registered at another switch is called as that switch, which completes the call.
        let sibling = through.as_deref().and_then(|switch| self.peer_of_switch(switch)).cloned();
        let called_as = sibling.as_ref().unwrap_or(peer);
        let mut new = new_call(called_as, dialled_there);
        if let Some(node) = &node {
            new.username = new.username.or_else(|| node.user.clone());
            new.secret = new.secret.or_else(|| node.secret.clone());
        }
        new.calling_number = offer.calling_number.clone();
        new.calling_name = offer.calling_name.clone();
        new.calling_ani = offer.calling_ani.clone();
        new.calling_presentation = offer.calling_presentation.unwrap_or(0);
        new.calling_type_of_number = offer.calling_type_of_number.unwrap_or(0);
        new.calling_transit_network = offer.calling_transit_network.unwrap_or(0);
        new.calling_ani2 = offer.calling_ani2.unwrap_or(0);
        new.osp_token = offer.osp_token.clone();
        new.language = offer.language.clone();
        new.dnid = offer.dnid.clone();
        new.rdnis = caller.forwarded.from.clone().or_else(|| offer.rdnis.clone());
        new.variables = variables;
        self.next_lease += 1;
        let lease = LeaseId(self.next_lease);
        let sip = by_sip.then(|| lease.0.to_string());
        new.variables.extend(sip.clone().map(|word| (LEG.into(), word)));
        if through.is_some() {
            new.variables.push((PEER.into(), name.into()));
            new.variables.push((CALL.into(), leg.id.to_string()));
        }
        new.formats = formats;
        let (direction, route) = (Direction::Out, None);
        let is_emergency = caller.is_emergency;
        let attempt = Attempt { peer: Some(name), direction, number, route, is_emergency };
        // What another switch sends has its place there.
        let taken = match from_sibling {
            true => Ok(()),
            false => self.limits.take(now, lease, &attempt),
        };
        taken.map_err(|full| (full.cause, records::full_limit(&full).into()))?;
        let called = match endpoint.place_call(now, to, new) {
            Ok(called) => called,
            Err(error) => {
                self.limits.release(now, lease);
                let reason = refused("cannot_place", error.to_string());
                return Err((CauseCode::SWITCH_CONGESTION, reason.into()));
            }
        };
        if !native {
            // There was room a moment ago.
            self.transcodings.take(called, self.config.max_transcoded_calls);
        }
        self.tally.begun(Direction::Out);
        let _ = endpoint.allow_transfer(called, called_as.transfer.is_some());
        self.inband.enter(endpoint, called, called_as.keys_by);
        let (who, dialled) = (leg.who(), &offer.called_number);
        tracing::debug!("{call}: {who} calls {dialled} at {name} ({to}): {called}");
        let state = State::Called { caller: call };
        let rings = caller.timeout.or(peer.forwarding.rings);
        if let Some(rings) = rings {
            self.ends.set(called, now + rings);
        }
        if let Some(trunk) = called_as.trunk {
            self.trunks.set(Owner::Call(called), Some((to, trunk)));
        }
        let peer = Some(name.into());
        let leg = Leg {
            id: leg.id,
            span: leg.span.clone(),
            lease,
            came_from: to.ip(),
            peer,
            address: to,
            begun: now,
            direction: Direction::Out,
            to: None,
            state,
            marks: Marks {
                native_to: native.then(|| number.into()),
                through_sibling: through.is_some(),
                sip,
                ..Marks::default()
            },
        };
        self.legs.insert(called, leg);
        self.legs_have_changed();
        if let Some(leg) = self.legs.get_mut(&call)
            && let State::Caller(caller) = &mut leg.state
        {
            leg.to = Some(format!("{} at {name} ({to})", caller.offer.called_number));
            caller.called.push(called);
        }
        self.capture_leg(endpoint, called);
        self.begin_placed_record(endpoint, now, (called, call), name, number);
        self.tell_of_limits();
        Ok(())
    }

    /// The video that a leg's peer may use, as far as a caller offers it.
    fn video_of(&self, leg: &Leg) -> FormatSet {
        let peer = leg.peer.as_ref().and_then(|name| self.config.peers.get(name));
        let allowed = peer.map_or(FormatSet::EMPTY, |peer| peer.video);
        match &leg.state {
            State::Caller(caller) => allowed & caller.offer.formats,
            _ => allowed,
        }
    }

    /// A placed leg was accepted: now the caller's can be, in the same format if it speaks that. One that
    /// rings alone may be heard from here on; of several, the one that answers.
    pub(super) fn called_accepted(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        called: CallId,
        format: Format,
    ) {
        let Some(State::Called { caller: call }) = self.legs.get(&called).map(|leg| &leg.state)
        else {
            return;
        };
        let call = *call;
        self.book.note(now, called, || Step::Accepted(format));
        let video =
            |id: CallId| self.legs.get(&id).map_or(FormatSet::EMPTY, |leg| self.video_of(leg));
        let video = video(call) & video(called);
        let heard = self.format_for_caller(call, format);
        let Some(State::Caller(caller)) = self.legs.get_mut(&call).map(|leg| &mut leg.state) else {
            return;
        };
        if caller.accepted.is_none() {
            let _ = endpoint.allow_video(call, video);
            caller.accepted = Some(heard);
            let _ = endpoint.accept(now, call, heard);
        }
        if caller.called.len() == 1 {
            // Where that cannot be, whoever answers is told then.
            let _ = self.connect(endpoint, call, called);
        }
    }

    /// A placed leg was answered: the call is its, and the others ring no more.
    pub(super) fn called_answered(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        called: CallId,
    ) {
        let Some(leg) = self.legs.get_mut(&called) else { return };
        let State::Called { caller: call } = leg.state else { return };
        self.ends.clear(&called);
        let Some(State::Caller(caller)) = self.legs.get_mut(&call).map(|leg| &mut leg.state) else {
            return;
        };
        if caller.answered || !caller.called.contains(&called) {
            // Another was quicker, and this one's answer was on its way already.
            let _ = endpoint.hangup(now, called, CauseCode::ANSWERED_ELSEWHERE, None);
            return;
        }
        caller.answered = true;
        let others: Vec<CallId> =
            caller.called.iter().copied().filter(|other| *other != called).collect();
        caller.called = vec![called];
        self.end_ringing(endpoint, call);
        if let Err(error) = self.connect(endpoint, call, called) {
            tracing::warn!("{call}: cannot be linked to {called}: {error}");
            let _ = endpoint.hangup(now, call, CauseCode::BEARER_NOT_AVAILABLE, None);
            return;
        }
        let _ = endpoint.answer(now, call);
        self.watch_bridge(now, call, called);
        self.go_on_recording(endpoint, call, called);
        self.go_on_listening(endpoint, call, called);
        self.call_answered(now, call);
        // The one who was called says by whom.
        for leg in [called, call] {
            self.book.answered(now, leg);
        }
        for other in others {
            let _ = endpoint.hangup(now, other, CauseCode::ANSWERED_ELSEWHERE, None);
        }
        self.let_ends_meet(endpoint, now, call, called);
    }

    /// A placed leg is over. The caller goes on with those that still ring, or with the next
    /// destination, or is told why not.
    pub(super) fn called_ended(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        (called, leg): (CallId, &Leg),
        end: &CallEnd,
    ) {
        let peer = leg.peer.as_deref();
        let Some(State::Caller(caller)) = self.legs.get_mut(&call).map(|leg| &mut leg.state) else {
            return;
        };
        if !caller.called.contains(&called) {
            // Another has answered.
            return;
        }
        caller.called.retain(|other| *other != called);
        if let (Some(name), Some(number)) = (peer, &leg.marks.native_to)
            && self.calls_to_transcode(endpoint, now, call, name, number, end)
        {
            return self.book.goes_on(now, call);
        }
        let Some(State::Caller(caller)) = self.legs.get_mut(&call).map(|leg| &mut leg.state) else {
            return;
        };
        if !caller.called.is_empty() {
            if let [left] = *caller.called {
                // It rings alone now, and may be heard if it was accepted.
                let _ = self.connect(endpoint, call, left);
            }
            return self.book.goes_on(now, call);
        }
        let cause = match end.reason {
            // No answer of another switch says that it is gone, and nothing of lines.
            EndReason::TimedOut | EndReason::Unanswered | EndReason::SetupTimedOut
                if leg.marks.through_sibling =>
            {
                CauseCode::DESTINATION_OUT_OF_ORDER
            }
            _ => bridge::cause_for_caller(end),
        };
        let mut goes_on = bridge::tries_next(end) || caller.continue_on.contains(&end.cause);
        let answered = caller.answered;
        if !answered && let Some(name) = peer {
            goes_on |= self.forward_ended(call, name, end);
        }
        let Some(State::Caller(caller)) = self.legs.get(&call).map(|leg| &leg.state) else {
            return;
        };
        if !answered && !caller.left.is_empty() && goes_on {
            self.try_next(endpoint, now, call, cause);
        } else {
            self.book.refused(now, call, cause);
            self.book.follows(call);
            self.end_untaken(endpoint, now, call, cause, end.text.as_deref());
        }
    }
}

/// A call to a peer, with which nothing is said yet but who we are.
pub(super) fn new_call(peer: &Peer, number: &str) -> NewCall {
    let mut new = NewCall::to(number);
    new.date_time = Some(oneport::date_time());
    new.username = peer.username.clone();
    new.secret = peer.secrets.first().cloned();
    new.key = peer.own_key.clone();
    new.encryption = peer.encryption;
    new.allow_plaintext = peer.methods.contains(AuthMethods::PLAINTEXT);
    new.autokill = peer.autokill;
    new
}

/// A moment as the dial plan wants it.
pub(crate) fn wall_time(moment: &ZonedDateTime) -> WallTime {
    let small = |number: i8| u8::try_from(number).unwrap_or(0);
    WallTime {
        weekday: small(moment.weekday().to_monday_zero_offset()),
        minute: u16::from(small(moment.hour())) * 60 + u16::from(small(moment.minute())),
        month: small(moment.month()),
        day: small(moment.day()),
    }
}

/// The contexts in which a peer's number is looked up, when it asks for one, or for none.
///
/// # Errors
/// It may not call in the one it asks for.
pub(crate) fn contexts_of(
    config: &Config,
    peer: &str,
    asked: Option<&str>,
) -> Result<Vec<String>, String> {
    let own = config.peers.get(peer).map(|peer| peer.contexts.as_slice()).unwrap_or_default();
    match asked {
        None => Ok(own.to_vec()),
        Some(asked) if own.iter().any(|own| own == asked || own == "*") => Ok(vec![asked.into()]),
        Some(asked) => {
            Err(format!("it asks for context {asked}, which peers.{peer}.contexts lacks"))
        }
    }
}

/// The variables of a call that goes on from here; `None` when it has gone on too often.
fn with_one_more_hop(variables: &[(String, String)]) -> Option<Vec<(String, String)>> {
    let before = variables.iter().find(|(name, _)| name == HOPS);
    let before: u32 = before.and_then(|(_, hops)| hops.parse().ok()).unwrap_or(0);
    let mut variables: Vec<_> = variables
        .iter()
        .filter(|(name, _)| ![HOPS, LEG, PEER, CALL].contains(&&**name))
        .cloned()
        .collect();
    variables.push((HOPS.into(), (before + 1).to_string()));
    (before < MOST_HOPS).then_some(variables)
}

/// The formats that a peer may speak and its caller can hear, in the caller's order.
pub(super) fn common_formats(peer: &Peer, offer: &Offer) -> Vec<Format> {
    let mut formats: Vec<Format> = offer.preferences.clone();
    formats.extend(offer.wanted.iter());
    formats.extend(&peer.codecs);
    let mut seen = Vec::new();
    formats.retain(|format| {
        let common = peer.codecs.contains(format) && offer.formats.contains(*format);
        let new = common && !seen.contains(format);
        seen.push(*format);
        new
    });
    formats
}
