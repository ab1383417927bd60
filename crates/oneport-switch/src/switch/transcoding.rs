//! Legs that share no codec: what is offered then, and how they are linked.

use oneport_media::transcode::Wishes;
use oneport_media::{Codec, cost};
use oneport_proto::{CallEnd, CallId, CommandError, EndReason, Endpoint, Instant};
use oneport_wire::{CauseCode, Format};

use super::leg::Caller;
use super::{Leg, State, Switch};
use crate::api::model::TranscodedView;
use crate::config::Peer;
use crate::news::What;
use crate::refusal::{Reason, Stage};
use crate::routing::peer_as_destination;

/// The formats that a caller can hear, best first, as its peer and its call say.
fn heard_by(caller: &Caller, peer: Option<&Peer>) -> Vec<Format> {
    if let Some(accepted) = caller.accepted.or(caller.together) {
        return vec![accepted];
    }
    let offer = &caller.offer;
    let mut formats = offer.preferences.clone();
    formats.extend(offer.wanted.iter().chain(offer.formats.iter()));
    let mut seen = Vec::new();
    formats.retain(|format| {
        let new = offer.formats.contains(*format) && !seen.contains(format);
        seen.push(*format);
        new
    });
    let allowed = |format: &Format| peer.is_none_or(|peer| peer.codecs.contains(format));
    match formats.iter().any(allowed) {
        true => formats.into_iter().filter(allowed).collect(),
        false => formats,
    }
}

impl Switch {
    pub(super) fn peer_of(&self, leg: &Leg) -> Option<&Peer> {
        self.config.peer(leg.peer.as_ref()?)
    }

    /// What the peer of a leg wants of the voice that it hears.
    fn wishes(&self, leg: CallId) -> Wishes {
        let peer = self.legs.get(&leg).and_then(|leg| self.peer_of(leg));
        peer.map(|peer| peer.voice).unwrap_or_default()
    }

    /// The formats in which `peer` can be called for a caller with which it shares none: the cheapest
    /// first.
    ///
    /// # Errors
    /// There is none, or it is not allowed, or as many calls are transcoded as may be.
    pub(super) fn formats_to_transcode(
        &self,
        name: &str,
        peer: &Peer,
        leg: &Leg,
        caller: &Caller,
    ) -> Result<Vec<Format>, (CauseCode, Box<Reason>)> {
        let of_caller = self.peer_of(leg);
        let allowed = peer.transcoding && of_caller.is_none_or(|peer| peer.transcoding);
        let heard = heard_by(caller, of_caller);
        let mut formats = cost::by_cost(&heard, &peer.codecs);
        // What both speak it does not speak after all.
        let native = |format: Format| match caller.accepted.or(caller.together) {
            Some(one) => format == one,
            None => caller.offer.formats.contains(format),
        };
        formats.retain(|format| !native(*format));
        if !allowed || formats.is_empty() {
            let why = format!("{name} and its caller have no codec in common");
            let own: Vec<String> = peer.codecs.iter().map(ToString::to_string).collect();
            let fix = match allowed {
                true => "name a codec there that the caller speaks, or another at the caller",
                false => {
                    "name a codec there that the caller speaks, or let both peers be transcoded: \
                     transcoding = true"
                }
            };
            let reason = Reason::new(Stage::Destination, "no_common_codec", why)
                .decided_by(format!("peers.{name}.codecs"), own.join(", "))
                .fix(fix);
            return Err((CauseCode::BEARER_NOT_AVAILABLE, reason.into()));
        }
        self.room_to_transcode()?;
        Ok(formats)
    }

    /// # Errors
    /// As many calls are transcoded as may be.
    pub(super) fn room_to_transcode(&self) -> Result<(), (CauseCode, Box<Reason>)> {
        let (count, most) = (self.transcodings.count(), self.config.max_transcoded_calls);
        if count < most {
            return Ok(());
        }
        let why =
            format!("its two ends share no codec, and {count} of {most} calls are transcoded");
        let reason = Reason::new(Stage::Limit, "transcoding_full", why)
            .decided_by("audio.max_transcoded_calls", most.to_string())
            .fix("let more peers speak the same codec, or raise the limit if the machine can");
        Err((CauseCode::RESOURCE_UNAVAILABLE, reason.into()))
    }

    /// The format in which a caller is accepted whose call somebody takes in `spoken`: the same, or the
    /// one that costs least beside it.
    pub(super) fn format_for_caller(&self, call: CallId, spoken: Format) -> Format {
        let Some(leg) = self.legs.get(&call) else { return spoken };
        let State::Caller(caller) = &leg.state else { return spoken };
        match caller.together {
            Some(together) => together,
            None if caller.offer.formats.contains(spoken) => spoken,
            None => cost::cheapest(&heard_by(caller, self.peer_of(leg)), spoken).unwrap_or(spoken),
        }
    }

    /// The format in which a caller fetches somebody who speaks `parked`, which it does not.
    ///
    /// # Errors
    /// There is none, or it is not allowed, or as many calls are transcoded as may be.
    pub(super) fn format_to_fetch(
        &self,
        call: CallId,
        waits: CallId,
        parked: Format,
    ) -> Result<Format, (CauseCode, String)> {
        let peers = [call, waits].map(|leg| self.legs.get(&leg).and_then(|leg| self.peer_of(leg)));
        let allowed = peers.into_iter().flatten().all(|peer| peer.transcoding);
        let format = self.legs.get(&call).filter(|_| allowed).and_then(|leg| {
            let State::Caller(caller) = &leg.state else { return None };
            cost::cheapest(&heard_by(caller, self.peer_of(leg)), parked)
        });
        let format = format.ok_or_else(|| {
            let why = format!("who is parked there speaks {parked}, and the caller does not");
            (CauseCode::BEARER_NOT_AVAILABLE, why)
        })?;
        self.room_to_transcode().map_err(|(cause, reason)| (cause, reason.to_string()))?;
        Ok(format)
    }

    /// Links two legs: natively where that does, else so that their voice is transcoded.
    ///
    /// # Errors
    /// One of them is not accepted, or they speak different codecs of which one is not understood here,
    /// or as many calls are transcoded as may be.
    pub(super) fn connect(
        &mut self,
        endpoint: &mut Endpoint,
        one: CallId,
        other: CallId,
    ) -> Result<(), CommandError> {
        self.transcodings.end(one);
        self.transcodings.end(other);
        let legs = [one, other].map(|leg| (leg, endpoint.call_format(leg), self.wishes(leg)));
        let [(_, Some(first), wishes), (_, Some(second), others_wishes)] = legs else {
            return endpoint.link(one, other);
        };
        if first == second && wishes == Wishes::default() && others_wishes == wishes {
            return endpoint.link(one, other);
        }
        if first != second {
            let spoken = [first, second].iter().all(|one| Codec::for_format(*one).is_some());
            let most = self.config.max_transcoded_calls;
            if !spoken || !self.transcodings.take(other, most) {
                return Err(CommandError::FormatsDiffer);
            }
            tracing::debug!("{one}: transcoded, {first} and {second}");
            self.tell_of_transcoding([(one, first), (other, second)]);
        }
        endpoint.link_translated(one, other)?;
        self.transcodings.begin([(one, first, wishes), (other, second, others_wishes)]);
        Ok(())
    }

    /// A call's two ends speak different codecs from now on.
    fn tell_of_transcoding(&mut self, [one, other]: [(CallId, Format); 2]) {
        self.book.transcoded(one.0, other.1);
        self.book.transcoded(other.0, one.1);
        let is_caller = |call: CallId| {
            self.legs.get(&call).is_some_and(|leg| matches!(leg.state, State::Caller(_)))
        };
        let (caller, called) = if is_caller(one.0) { (one, other) } else { (other, one) };
        let Some(id) = self.legs.get(&caller.0).map(|leg| leg.id.to_string()) else { return };
        self.news.tell(|| What::CallTranscoded {
            call: id,
            caller: caller.1.to_string(),
            called: called.1.to_string(),
        });
    }

    /// The codecs of a caller's leg and of the other, where they are linked and differ.
    pub(super) fn show_transcoding(
        &self,
        endpoint: &Endpoint,
        call: CallId,
    ) -> Option<TranscodedView> {
        let other = self.legs.get(&call)?.other()?;
        let (one, other) = (endpoint.call_format(call)?, endpoint.call_format(other)?);
        let name = |format: Format| format.name().to_string();
        (one != other).then(|| TranscodedView { caller: name(one), called: name(other) })
    }

    /// Ends the link of a leg.
    pub(super) fn part(&mut self, endpoint: &mut Endpoint, leg: CallId) {
        endpoint.unlink(leg);
        self.transcodings.end(leg);
    }

    /// A peer has said that it speaks none of the codecs that it was offered, all of which its caller
    /// speaks: it is called once more with others. Whether it is.
    pub(super) fn calls_to_transcode(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        name: &str,
        number: &str,
        end: &CallEnd,
    ) -> bool {
        let speaks_none =
            end.reason == EndReason::RemoteReject && end.cause == CauseCode::BEARER_NOT_AVAILABLE;
        if !speaks_none {
            return false;
        }
        let Some(State::Caller(caller)) = self.legs.get_mut(&call).map(|leg| &mut leg.state) else {
            return false;
        };
        if caller.answered || caller.foreign.iter().any(|known| known == name) {
            return false;
        }
        caller.foreign.push(name.into());
        let together = caller.together;
        match self.place(endpoint, now, call, name, number, together) {
            Ok(()) => true,
            Err((_, reason)) => {
                tracing::debug!("{call}: {reason}");
                let reason = reason.at(format!("{}/{number}", peer_as_destination(name)));
                self.book.because(now, call, reason);
                false
            }
        }
    }

    /// Makes the noise of pauses, when that is due.
    pub(super) fn make_noise(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.transcodings.turn(now, |call, speech| {
            // The call may have ended; then its end follows.
            let _ = endpoint.send_translated(now, call, speech);
        });
    }
}
