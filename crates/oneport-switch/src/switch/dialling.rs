//! Calls whose number comes digit by digit (overlap dialling, RFC 5456 §6.4).

use std::time::Duration;

use oneport_proto::{CallId, Endpoint, Instant, negotiate};
use oneport_wire::{CauseCode, DialplanStatus};

use super::hunting::contexts_of;
use super::{State, Switch};
use crate::builtin::Place;
use crate::routing::{self, Question};

/// The number of a call that is dialled digit by digit.
pub(super) const TO_BE_DIALLED: &str = "TBD";

/// How long a call may take to be dialled.
const DIALLING: Duration = Duration::from_secs(30);

/// How long what we say of a number is good for: as long as Asterisk says.
const DIALPLAN_REFRESH: Duration = Duration::from_secs(600);

impl Switch {
    /// A call whose number comes digit by digit (RFC 5456 §6.4): it may ask and dial.
    pub(super) fn begin_dialling(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId) {
        let Some(leg) = self.legs.get_mut(&call) else { return };
        let State::Identifying(offer) = &leg.state else { return };
        let peer = leg.peer.as_ref().and_then(|name| self.config.peers.get(name));
        let format = peer.and_then(|peer| negotiate(peer.priority, &peer.codecs, offer));
        let Some(format) = format else {
            let cause = CauseCode::BEARER_NOT_AVAILABLE;
            return self.refuse(endpoint, now, call, cause, "no common codec");
        };
        self.ends.set(call, now + DIALLING);
        leg.state = State::Dialling { offer: offer.clone(), format };
        let _ = endpoint.accept(now, call, format);
    }

    pub(super) fn dialplan_queried(
        &self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        number: &str,
    ) {
        let peer = self.legs.get(&call).and_then(|leg| leg.peer.as_deref());
        let contexts =
            peer.and_then(|peer| contexts_of(&self.config, peer, None).ok()).unwrap_or_default();
        let time = self.wall_time();
        let question = Question { number, from: peer, contexts: &contexts, time };
        let exists = peer.is_some()
            && (routing::find(&self.config.routes, &question).is_some()
                || self.extension(now, &contexts, number).is_some()
                || Place::find(number).is_some()
                || self.config.peers.contains_key(number));
        let longer = routing::may_grow(&self.config.routes, &question);
        let mut status = match (exists, longer) {
            (true, _) => DialplanStatus::EXISTS,
            (false, true) => DialplanStatus::CAN_EXIST,
            (false, false) => DialplanStatus::NONEXISTENT,
        };
        if longer {
            status.0 |= DialplanStatus::MATCH_MORE.0;
        }
        let _ = endpoint.dialplan_reply(now, call, number, status, DIALPLAN_REFRESH);
    }

    pub(super) fn dialled(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        number: String,
        context: Option<String>,
    ) {
        let Some(leg) = self.legs.get_mut(&call) else { return };
        let State::Dialling { offer, format } = &leg.state else { return };
        let (mut offer, format, peer) = (offer.clone(), *format, leg.peer.clone());
        self.ends.clear(&call);
        leg.to = Some(number.clone());
        offer.called_number = number;
        offer.called_context = context.or(offer.called_context);
        let _ = endpoint.proceeding(now, call);
        self.route(endpoint, now, call, peer, offer, Some(format));
    }
}
