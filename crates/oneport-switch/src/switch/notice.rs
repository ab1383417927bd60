//! Calls that are refused, and hear why: as audio before an answer, so that nobody pays for it.

use oneport_media::Codec;
use oneport_proto::{CallId, CodecPriority, Endpoint, Instant, negotiate};
use oneport_wire::CauseCode;

use super::{State, Switch};
use crate::builtin::{Announcement, Builtin, Place};

/// Notices that are heard at once: they hold no places of any limit.
const MOST_NOTICES: usize = 100;

/// Causes that say that there is no room.
pub(super) const fn is_congestion(cause: CauseCode) -> bool {
    matches!(
        cause,
        CauseCode::CIRCUIT_CONGESTION
            | CauseCode::NETWORK_OUT_OF_ORDER
            | CauseCode::TEMPORARY_FAILURE
            | CauseCode::SWITCH_CONGESTION
            | CauseCode::CHANNEL_UNAVAILABLE
            | CauseCode::RESOURCE_UNAVAILABLE
    )
}

impl Switch {
    /// Ends a call that nobody took. Where there is no room, it hears the notice of its route first.
    pub(super) fn end_untaken(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        cause: CauseCode,
        text: Option<&str>,
    ) {
        let notice = match self.legs.get(&call).map(|leg| &leg.state) {
            Some(State::Caller(caller)) if !caller.answered => {
                let of_route = caller.notice.clone().filter(|_| is_congestion(cause));
                of_route.or_else(|| self.early_notice(call, cause))
            }
            _ => None,
        };
        if !notice.is_some_and(|notice| self.notify(endpoint, now, call, cause, notice)) {
            let _ = endpoint.hangup(now, call, cause, text);
        }
    }

    /// Plays a notice to a caller that is about to be refused, and refuses it then. Whether it does.
    pub(super) fn notify(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        cause: CauseCode,
        notice: Announcement,
    ) -> bool {
        let Some(leg) = self.legs.get(&call) else { return false };
        // Guests get no more than they ask for.
        let Some(peer) = leg.peer.as_ref().and_then(|name| self.config.peers.get(name)) else {
            return false;
        };
        let (offer, accepted) = match &leg.state {
            State::Caller(caller) => (&caller.offer, caller.accepted),
            State::Identifying(offer) => (offer, None),
            State::Dialling { offer, format } => (offer, Some(*format)),
            _ => return false,
        };
        let notified = self.legs.values().filter(|leg| leg.marks.refused_with.is_some()).count();
        let mut codecs = peer.codecs.clone();
        codecs.retain(|format| Codec::for_format(*format).is_some());
        let priority = if accepted.is_some() { CodecPriority::Host } else { peer.priority };
        let format = accepted.or_else(|| negotiate(priority, &codecs, offer));
        let codec = format.and_then(Codec::for_format);
        let (Some(format), Some(codec), true) = (format, codec, notified < MOST_NOTICES) else {
            return false;
        };
        if accepted.is_none() && endpoint.accept(now, call, format).is_err() {
            return false;
        }
        let _ = endpoint.progress(now, call);
        let country = peer.tones.unwrap_or(self.config.tones);
        self.players.insert(call, notice.player(codec, now, country));
        if let Some(leg) = self.legs.get_mut(&call) {
            let place = Place { builtin: Builtin::Congestion, argument: None };
            leg.state = State::Builtin(Box::new(place));
            leg.marks.refused_with = Some(cause);
        }
        true
    }
}
