//! Calls that become one: the far ends of two legs that the gateway has for one telephone (an attended
//! transfer), a leg that takes the place of another, and whoever fetches a call that is parked.

use std::net::SocketAddr;

use oneport::{To, WeakDriver};
use oneport_media::Codec;
use oneport_proto::{CallId, CodecPriority, Endpoint, Instant, Offer, negotiate};
use oneport_wire::{CauseCode, Control, Format};
use tokio::sync::oneshot;

use super::hunting::common_formats;
use super::leg::Caller;
use super::{Leg, State, Switch, printable};
use crate::bridge;
use crate::builtin::Place;
use crate::news::What;
use crate::refusal::Reason;
use crate::sip::one_way::OneWay;
use crate::sip::settings::{EARLY_ONLY, REPLACES};
use crate::sip::{SipWord, Switchboard};

/// What the gateway tells of legs, and wants of them.
pub(super) struct Board(pub(super) WeakDriver<Switch>);

impl Switchboard for Board {
    fn one_way(&self, word: &str, one_way: Option<OneWay>) {
        let word = word.to_string();
        self.0.post(move |_, switch, now| switch.gateway_found(now, &word, one_way));
    }

    fn say(&self, to: To, word: SipWord) {
        self.0.post(move |_, switch, _| switch.say_of_sip(to, word));
    }

    fn turned_away(&self, peer: &str, from: SocketAddr, number: &str, why: Reason) {
        let (peer, number) = (printable(peer), printable(number));
        self.0.post(move |_, switch, _| switch.sip_call_refused(&peer, from, &number, why));
    }

    fn join(&self, words: [String; 2]) -> oneshot::Receiver<Result<(), String>> {
        let (done, answer) = oneshot::channel();
        self.0.post(move |endpoint, switch, now| {
            let joined = switch.join_far_ends(endpoint, now, &words);
            // Whoever wanted it may have hung up meanwhile.
            let _ = done.send(joined);
        });
        answer
    }
}

/// The leg whose place a call is to take.
pub(super) struct Replaced {
    /// The word by which the gateway knows it.
    word: String,
    /// Only if it still rings.
    rings: bool,
}

impl Switch {
    /// The leg that the gateway knows by this word.
    pub(super) fn leg_at_gateway(&self, word: &str) -> Option<CallId> {
        let mut legs = self.legs.iter();
        legs.find(|(_, leg)| leg.marks.sip.as_deref() == Some(word)).map(|(call, _)| *call)
    }

    /// Whether a leg is that of a call that is answered.
    fn is_answered(&self, call: CallId) -> bool {
        let caller = |call: CallId| match self.legs.get(&call).map(|leg| &leg.state) {
            Some(State::Caller(caller)) => Some(caller.answered),
            _ => None,
        };
        let other = self.legs.get(&call).and_then(Leg::other);
        caller(call).or_else(|| caller(other?)).unwrap_or(false)
    }

    /// Whoever is at the other end of a leg whose call is answered.
    fn far_end(&self, call: CallId) -> Option<CallId> {
        let other = self.legs.get(&call)?.other()?;
        (self.is_answered(call) && self.legs.contains_key(&other)).then_some(other)
    }

    /// Joins the far ends of two legs of one peer, and ends the legs.
    ///
    /// # Errors
    /// In words, why not: then both calls are as they were.
    fn join_far_ends(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        [one, other]: &[String; 2],
    ) -> Result<(), String> {
        let found = self.leg_at_gateway(one).zip(self.leg_at_gateway(other));
        let Some((one, other)) = found.filter(|(one, other)| one != other) else {
            return Err("one of the calls is over".into());
        };
        let _inside = self.span(one).entered();
        match (self.far_end(one), self.far_end(other)) {
            (Some(stays), _) if stays == other => Err("they are one call".into()),
            (Some(stays), Some(comes)) => {
                self.may_be_linked(endpoint, stays, comes)?;
                let who = self.legs.get(&one).map(Leg::who).unwrap_or_default();
                tracing::info!("{one}: {who} joins {stays} and {comes}");
                let caller = self.leave_bridge(endpoint, now, one, stays);
                self.leave_bridge(endpoint, now, other, comes);
                if let Some(caller) = caller {
                    self.become_one(endpoint, now, (stays, caller), comes);
                    self.let_ends_meet(endpoint, now, stays, comes);
                }
                for leg in [one, other] {
                    let _ = endpoint.hangup(now, leg, CauseCode::NORMAL_CLEARING, None);
                }
                Ok(())
            }
            // The other call has come to something that is here, or rings: there it is led, too.
            (Some(_), None) => self.follow(endpoint, now, one, other),
            (None, Some(_)) => self.follow(endpoint, now, other, one),
            (None, None) => Err("there is nobody at the other end of either".into()),
        }
    }

    /// The party of a leg is led to where its peer has called by `other`, which ends.
    fn follow(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        leg: CallId,
        other: CallId,
    ) -> Result<(), String> {
        let called = match self.legs.get(&other).map(|leg| &leg.state) {
            Some(State::Caller(caller)) => caller.called.clone(),
            Some(State::Builtin(_) | State::Parked(_)) => Vec::new(),
            _ => return Err("nobody was called by the other".into()),
        };
        let Some(number) = self.book.called_number(other).map(String::from) else {
            return Err("nobody was called by the other".into());
        };
        // Their places are for whoever comes now.
        for left in called.into_iter().chain([other]) {
            if let Some(lease) = self.legs.get(&left).map(|leg| leg.lease) {
                self.limits.release(now, lease);
            }
        }
        let _ = endpoint.hangup(now, other, CauseCode::NORMAL_CLEARING, None);
        self.blind_transfer(endpoint, now, leg, number, None);
        Ok(())
    }

    /// Whether two legs that are up can be linked.
    ///
    /// # Errors
    /// In words, why not.
    fn may_be_linked(&self, endpoint: &Endpoint, one: CallId, other: CallId) -> Result<(), String> {
        let formats = endpoint.call_format(one).zip(endpoint.call_format(other));
        let Some((first, second)) = formats else {
            return Err("one of them has no codec yet".into());
        };
        if first == second {
            return Ok(());
        }
        let spoken = [first, second].iter().all(|one| Codec::for_format(*one).is_some());
        let allowed = [one, other].iter().all(|leg| {
            let peer = self.legs.get(leg).and_then(|leg| self.peer_of(leg));
            peer.is_none_or(|peer| peer.transcoding)
        });
        if !spoken || !allowed {
            return Err(format!("{first} and {second} are not transcoded for them"));
        }
        self.room_to_transcode().map_err(|(_, reason)| reason.to_string())
    }

    /// A leg gives up its party, and is to be hung up: what it held is held no more. What is known of the
    /// call's caller.
    fn leave_bridge(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        leg: CallId,
        party: CallId,
    ) -> Option<Box<Caller>> {
        // Its end is nothing to the call that goes on.
        let of_leg = self.take_state(leg, State::Called { caller: party })?;
        let of_party = self.take_state(party, State::Gone)?;
        let held = self.legs.get_mut(&leg).is_some_and(|leg| std::mem::take(&mut leg.marks.holds));
        self.watches.end(party);
        self.players.remove(&leg);
        if held && self.players.remove(&party).is_none() {
            let result = endpoint.send_control(now, party, Control::Unhold, &[]);
            bridge::passed(endpoint, party, result);
        }
        self.part(endpoint, party);
        match (of_leg, of_party) {
            (State::Caller(caller), _) | (_, State::Caller(caller)) => Some(caller),
            _ => None,
        }
    }

    fn take_state(&mut self, leg: CallId, new: State) -> Option<State> {
        self.legs.get_mut(&leg).map(|leg| std::mem::replace(&mut leg.state, new))
    }

    /// A leg becomes one of the call of another, which is its caller from now on.
    fn moves_to_call_of(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        comes: CallId,
        stays: CallId,
    ) {
        let Some(id) = self.legs.get(&stays).map(|leg| leg.id) else { return };
        // Who recorded the other call, or listened to it, did so of that one.
        self.leave_recording(endpoint, now, comes);
        self.live.leave(comes);
        let Some(leg) = self.legs.get_mut(&comes) else { return };
        leg.state = State::Called { caller: stays };
        let own = std::mem::replace(&mut leg.id, id);
        self.book.joins(now, comes, stays);
        self.news.tell(|| What::CallJoined { call: own.to_string(), into: id.to_string() });
        tracing::info!(call = %own, "{comes}: it becomes part of call {id}");
    }

    /// Two legs that are up, and in no bridge, become one call: that of `stays`, which is its caller from now
    /// on.
    pub(super) fn become_one(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        (stays, mut caller): (CallId, Box<Caller>),
        comes: CallId,
    ) {
        self.moves_to_call_of(endpoint, now, comes, stays);
        (caller.called, caller.answered) = (vec![comes], true);
        caller.accepted = endpoint.call_format(stays).or(caller.accepted);
        self.take_state(stays, State::Caller(caller));
        if let Err(error) = self.connect(endpoint, stays, comes) {
            tracing::warn!("{comes}: cannot be linked to {stays}: {error}");
            let _ = endpoint.hangup(now, comes, CauseCode::BEARER_NOT_AVAILABLE, None);
        }
        self.watch_bridge(now, stays, comes);
        self.go_on_recording(endpoint, stays, comes);
        self.go_on_listening(endpoint, stays, comes);
        for leg in [stays, comes] {
            if self.legs.get(&leg).is_some_and(|leg| leg.marks.holds) {
                self.hold(endpoint, now, leg, "");
            }
        }
    }

    /// Whose place a call is to take, as its gateway says it.
    pub(super) fn replaced_by(&self, peer: Option<&str>, offer: &Offer) -> Option<Replaced> {
        let peer = peer.filter(|peer| self.config.is_behind_gateway(peer))?;
        self.source_behind_gateway(peer, offer)?;
        let (_, word) = offer.variables.iter().find(|(name, _)| name == REPLACES)?;
        let (word, rings) = match word.strip_suffix(EARLY_ONLY) {
            Some(word) => (word, true),
            None => (word.as_str(), false),
        };
        Some(Replaced { word: word.into(), rings })
    }

    /// Whoever waits for a leg that was placed and is not answered.
    fn who_waits_for(&self, rings: CallId) -> Option<CallId> {
        let State::Called { caller } = self.legs.get(&rings)?.state else { return None };
        match &self.legs.get(&caller)?.state {
            State::Caller(waits) if !waits.answered && waits.called.contains(&rings) => {
                Some(caller)
            }
            _ => None,
        }
    }

    /// A call takes the place of a leg that rings: it answers whoever waits for that, as if it had been called
    /// beside it.
    ///
    /// # Errors
    /// They share no codec.
    fn pick_up(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        (rings, waits): (CallId, CallId),
    ) -> Result<(), (CauseCode, String)> {
        // Whoever waits has been accepted when something rings; what both speak, if that is not so.
        let format = endpoint.call_format(waits).or_else(|| self.common_format(call, waits));
        let Some(format) = format else {
            return Err((CauseCode::BEARER_NOT_AVAILABLE, "they share no codec".into()));
        };
        self.answer_in(endpoint, now, call, waits, format)?;
        let who = self.legs.get(&call).map(Leg::who).unwrap_or_default();
        let other = self.legs.get(&waits).map(Leg::who).unwrap_or_default();
        tracing::info!("{call}: {who} answers {other} in the place of {rings}");
        self.book.led_to(call, "replaces".into());
        self.moves_to_call_of(endpoint, now, call, waits);
        if let Some(leg) = self.legs.get_mut(&call) {
            leg.to = Some(format!("{other}, in another's place"));
        }
        if let Some(State::Caller(caller)) = self.legs.get_mut(&waits).map(|leg| &mut leg.state) {
            caller.called.push(call);
            if caller.accepted.is_none() {
                caller.accepted = Some(format);
                let _ = endpoint.accept(now, waits, format);
            }
        }
        self.called_answered(endpoint, now, call);
        Ok(())
    }

    /// A codec in which a call can be answered by another, both of which are callers.
    fn common_format(&self, call: CallId, waits: CallId) -> Option<Format> {
        let offer = |id: CallId| match &self.legs.get(&id)?.state {
            State::Caller(caller) => Some(&caller.offer),
            _ => None,
        };
        let peer = self.peer_of(self.legs.get(&call)?)?;
        let (own, others) = (offer(call)?, offer(waits)?);
        common_formats(peer, others).into_iter().find(|format| own.formats.contains(*format))
    }

    /// A call takes the place of a leg, which ends: it is linked to whoever is at the other end of that, or waits
    /// for it.
    ///
    /// # Errors
    /// There is nobody, or they share no codec; it is answered, and only one that rings is wanted.
    pub(super) fn take_place(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        replaced: &Replaced,
    ) -> Result<(), (CauseCode, String)> {
        let only_rings = replaced.rings;
        let replaced = self.leg_at_gateway(&replaced.word).filter(|replaced| *replaced != call);
        if let Some((rings, waits)) =
            replaced.and_then(|rings| Some((rings, self.who_waits_for(rings)?)))
        {
            return self.pick_up(endpoint, now, call, (rings, waits));
        }
        if only_rings {
            let why = "the call whose place it takes is answered, or over";
            return Err((CauseCode::USER_BUSY, why.into()));
        }
        let at = replaced.and_then(|replaced| match &self.legs.get(&replaced)?.state {
            State::Builtin(place) => Some((replaced, place.clone())),
            _ => None,
        });
        if let Some((replaced, place)) = at {
            return self.take_place_here(endpoint, now, call, (replaced, &place));
        }
        let far_end = replaced.and_then(|replaced| Some((replaced, self.far_end(replaced)?)));
        let Some((replaced, stays)) = far_end else {
            let why = "nobody is at the other end of the call whose place it takes";
            return Err((CauseCode::NO_ANSWER, why.into()));
        };
        let Some(format) = endpoint.call_format(stays) else { return Ok(()) };
        self.answer_in(endpoint, now, call, stays, format)?;
        let who = self.legs.get(&call).map(Leg::who).unwrap_or_default();
        let Some(caller) = self.leave_bridge(endpoint, now, replaced, stays) else { return Ok(()) };
        let other = self.legs.get(&stays).map(Leg::who).unwrap_or_default();
        tracing::info!("{call}: {who} takes the place of {replaced}, with {other}");
        self.book.led_to(call, "replaces".into());
        self.book.answered(now, call);
        self.become_one(endpoint, now, (stays, caller), call);
        if let Some(leg) = self.legs.get_mut(&call) {
            leg.to = Some(format!("{other}, in another's place"));
        }
        let _ = endpoint.hangup(now, replaced, CauseCode::NORMAL_CLEARING, None);
        Ok(())
    }

    /// A call takes the place of a leg that is at a built-in, which ends.
    ///
    /// # Errors
    /// It cannot be there, as in a room that is full, or speaks no codec that is spoken there.
    fn take_place_here(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        (replaced, place): (CallId, &Place),
    ) -> Result<(), (CauseCode, String)> {
        self.enter_builtin(endpoint, now, call, place)?;
        let who = self.legs.get(&call).map(Leg::who).unwrap_or_default();
        tracing::info!("{call}: {who} takes the place of {replaced}, at {}", place.builtin);
        let _ = endpoint.hangup(now, replaced, CauseCode::NORMAL_CLEARING, None);
        Ok(())
    }

    /// Accepts and answers a caller that is to be linked to `waits`, who speaks `spoken`.
    ///
    /// # Errors
    /// They share no codec, and it cannot be transcoded.
    pub(super) fn answer_in(
        &self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        waits: CallId,
        spoken: Format,
    ) -> Result<(), (CauseCode, String)> {
        let Some(leg) = self.legs.get(&call) else { return Ok(()) };
        let State::Caller(caller) = &leg.state else { return Ok(()) };
        let peer = leg.peer.as_ref().and_then(|name| self.config.peers.get(name));
        let may = peer.is_none_or(|peer| peer.codecs.contains(&spoken));
        let priority = peer.map_or(CodecPriority::Host, |peer| peer.priority);
        let format = caller.accepted.or_else(|| negotiate(priority, &[spoken], &caller.offer));
        let accepted = caller.accepted.is_some();
        let format = match format.filter(|format| may && *format == spoken) {
            Some(format) => format,
            None => self.format_to_fetch(call, waits, spoken)?,
        };
        if !accepted {
            let _ = endpoint.accept(now, call, format);
        }
        let _ = endpoint.answer(now, call);
        Ok(())
    }
}
