//! Transfers: calls that go on without this switch, and parties led to another number.

use oneport_proto::{CallId, Endpoint, Instant, TransferKind};
use oneport_wire::CauseCode;

use super::leg::VoiceWay;
use super::parking::TransferredBy;
use super::{Leg, State, Switch};
use crate::api::model::{Side, Transfer};
use crate::traces::Step;

impl Switch {
    /// Where both peers allow it, their calls go on without us, or their voice does.
    pub(super) fn let_ends_meet(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        called: CallId,
    ) {
        if self.is_heard(call) || self.has_keys_inband(call) || self.has_keys_inband(called) {
            return;
        }
        let kind = |id: CallId| {
            let peer = self.legs.get(&id)?.peer.as_ref()?;
            self.config.peers.get(peer)?.transfer
        };
        let kind = match (kind(call), kind(called)) {
            (Some(TransferKind::Full), Some(TransferKind::Full)) => TransferKind::Full,
            (Some(_), Some(_)) => TransferKind::Media,
            _ => return,
        };
        match endpoint.transfer(now, call, called, kind) {
            Ok(()) => self.voice_goes(now, call, VoiceWay::Seeking),
            Err(error) => tracing::debug!("{call}: stays here: {error}"),
        }
    }

    /// The voice of a leg, and of its other one, goes this way from now on.
    pub(super) fn voice_goes(&mut self, now: Instant, call: CallId, way: VoiceWay) {
        let before = self.legs.get(&call).map(|leg| leg.marks.way);
        let is_direct = way == VoiceWay::Direct;
        if before.is_some_and(|before| (before == VoiceWay::Direct) != is_direct) {
            self.book.note(now, call, || Step::Direct(is_direct));
        }
        let other = self.legs.get(&call).and_then(Leg::other);
        for call in [Some(call), other].into_iter().flatten() {
            if let Some(leg) = self.legs.get_mut(&call) {
                leg.marks.way = way;
            }
            self.watches.go_elsewhere(now, call, is_direct);
        }
    }

    /// Somebody wants to hear a call: its voice comes through here again where it goes straight between the far
    /// ends, and does not leave where these look for each other.
    pub(super) fn keep_voice_here(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId) {
        let Some(leg) = self.legs.get(&call) else { return };
        let Some(other) = leg.other().filter(|_| leg.marks.way != VoiceWay::Here) else { return };
        self.voice_goes(now, call, VoiceWay::Here);
        // With the link ends what became of it; music on hold has ended it already.
        self.part(endpoint, call);
        let holds = [call, other].iter().any(|leg| self.players.contains_key(leg));
        if !holds && let Err(error) = self.connect(endpoint, call, other) {
            tracing::warn!("{call}: cannot be linked to {other} again: {error}");
        }
    }

    /// Leads one side of a call to another number because an operator says so; the other side, by
    /// whose rights that number is called, is hung up.
    ///
    /// # Errors
    /// There is no other side, or it has no rights.
    pub(crate) fn transfer_call(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        transfer: Transfer,
    ) -> Result<(), &'static str> {
        let _inside = self.span(call).entered();
        let called = self.legs.get(&call).and_then(Leg::other);
        let Some(called) = called else {
            return Err("only a call between two can be transferred, and this one is not");
        };
        let leg = match transfer.party {
            Side::Caller => called,
            Side::Called => call,
        };
        if self.legs.get(&leg).is_none_or(|leg| leg.peer.is_none()) {
            return Err("the other side is a guest, who may call nobody");
        }
        self.blind_transfer(endpoint, now, leg, transfer.to, transfer.context);
        Ok(())
    }

    /// A blind transfer: the party at the other end of this leg is led to another number, as if it
    /// had called that.
    pub(super) fn blind_transfer(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        leg: CallId,
        number: String,
        context: Option<String>,
    ) {
        let Some(transferring) = self.legs.get(&leg) else { return };
        let (Some(party), Some(peer)) = (transferring.other(), transferring.peer.clone()) else {
            return;
        };
        let who = transferring.who();
        // One of the two is the caller, and knows what was called.
        let offer = [leg, party].into_iter().find_map(|id| match &self.legs.get(&id)?.state {
            State::Caller(caller) => Some(caller.offer.clone()),
            _ => None,
        });
        let (Some(mut offer), true) = (offer, self.legs.contains_key(&party)) else { return };
        tracing::info!("{leg}: {who} transfers its party to {number}");
        self.book.note(now, leg, || Step::Transferred { by: peer.clone(), to: number.clone() });
        // What the two had together is over.
        self.end_hold(party);
        self.watches.end(party);
        // Its places are for whoever is called now. Its end is nothing to the call that goes on.
        self.release(now, leg);
        let Some(transferring) = self.legs.get_mut(&leg) else { return };
        let before = std::mem::replace(&mut transferring.state, State::Called { caller: party });
        let own_number = match before {
            State::Caller(_) => offer.calling_number.clone(),
            _ => Some(offer.called_number.clone()),
        };
        self.part(endpoint, party);
        self.hear_no_more(endpoint, now, leg);
        let format = endpoint.call_format(party);
        let Some(party_leg) = self.legs.get_mut(&party) else { return };
        let own_number = own_number.unwrap_or_else(|| peer.clone());
        let by = TransferredBy { peer: peer.clone(), number: own_number };
        party_leg.marks.transferred_by = Some(by);
        offer.called_number = number;
        offer.called_context = context;
        party_leg.to = Some(offer.called_number.clone());
        if let State::Called { .. } = party_leg.state {
            // It was called; its formats are those of the call it is in.
            offer.formats = format.into_iter().collect();
            offer.wanted = offer.formats;
            offer.preferences = format.into_iter().collect();
        }
        self.route(endpoint, now, party, Some(peer), offer, format);
        if let Some((slot, _)) = self.parking.all().find(|(_, parked)| *parked == party) {
            // Whoever parks wants to know where.
            let _ = endpoint.send_text(now, leg, &format!("parked in slot {slot}"));
        }
        let _ = endpoint.hangup(now, leg, CauseCode::NORMAL_CLEARING, None);
    }
}

#[cfg(test)]
mod tests;
