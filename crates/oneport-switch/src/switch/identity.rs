//! Who calls: by a secret, by an address, or as a guest.

use std::net::SocketAddr;

use oneport_proto::{CallId, Challenge, CommandError, Endpoint, Instant, Offer};
use oneport_wire::CauseCode;

use super::leg::Marks;
use super::nodes::NodeCalls;
use super::spans::span_of;
use super::{Leg, State, Switch, printable, records};
use crate::cluster::SWITCH;
use crate::config::Peer;
use crate::limits::Direction;
use crate::refusal::{Reason, Stage};
use crate::sip::settings::LEG;
use crate::trunks::Owner;

impl Switch {
    /// A call comes in: who is it?
    pub(super) fn offered(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        mut offer: Box<Offer>,
    ) {
        // Both go into logs, and no peer or number has control characters.
        offer.called_number = printable(&offer.called_number);
        offer.username = offer.username.as_deref().map(printable);
        let id = self.book.offered(now, call, &offer);
        let span = span_of(id);
        let _inside = span.enter();
        if self.refuse_draining(endpoint, now, call, &offer)
            || self.refuse_overloaded(endpoint, now, call, &offer)
        {
            return;
        }
        let address = offer.path.remote;
        let to = Some(offer.called_number.clone());
        let lease = self.new_lease();
        let leg = |peer, state| Leg {
            id,
            span: span.clone(),
            lease,
            came_from: address.ip(),
            peer,
            address,
            begun: now,
            direction: Direction::In,
            to,
            state,
            marks: Marks::default(),
        };
        let Some(username) = offer.username.clone() else {
            let peer = self.peer_at(address);
            self.legs.insert(call, leg(peer, State::Identifying(offer)));
            self.capture_leg(endpoint, call);
            return self.identified_by_address(endpoint, now, call);
        };
        self.legs.insert(call, leg(Some(username.clone()), State::Identifying(offer)));
        self.capture_leg(endpoint, call);
        if !self.awaits_caller(now, call, &username) {
            self.ask_caller(endpoint, now, call, &username);
        }
    }

    /// Asks a caller for a proof of who it is, unless its address is one.
    pub(super) fn ask_caller(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        username: &str,
    ) {
        let Some(address) = self.legs.get(&call).map(|leg| leg.address) else { return };
        let known = self.config.peers.get(username);
        let known = known.filter(|peer| peer.permits(address.ip()));
        let challenge = match known {
            Some(peer) if !peer.has_proof() => {
                // It is known by its address alone, or by that of the node it says it is.
                if peer.nodes.is_some() || peer.address.map(|own| own.ip()) == Some(address.ip()) {
                    return self.identified_by_address(endpoint, now, call);
                }
                self.decoy.challenge(username)
            }
            Some(peer) => challenge(peer, username),
            None => self.decoy.challenge(username),
        };
        match endpoint.challenge_call(now, call, challenge) {
            Ok(()) => {}
            Err(error @ CommandError::EncryptionNotOffered) => {
                let why = format!("{error}: set encryption=yes there, or encryption = \"allowed\"");
                let reason =
                    Reason::new(Stage::Identification, "encryption_not_offered", error.to_string())
                        .decided_by("encryption", "required")
                        .fix("set encryption=yes there, or encryption = \"allowed\" here");
                self.book.because(now, call, reason);
                self.refuse(endpoint, now, call, CauseCode::FACILITY_NOT_SUBSCRIBED, &why);
            }
            Err(error) => {
                let cause = CauseCode::SWITCH_CONGESTION;
                let reason =
                    Reason::new(Stage::Identification, "too_many_proofs", error.to_string())
                        .decided_by("server.max_challenges_per_user", error.to_string());
                self.book.because(now, call, reason);
                self.refuse(endpoint, now, call, cause, &error.to_string());
            }
        }
    }

    /// The peer that is known to be at `address` and has no secret. Where none has this port, as
    /// behind a NAT, it is the one that has the IP address, if there is only one.
    pub(super) fn peer_at(&self, address: SocketAddr) -> Option<String> {
        let known = self.config.peers.iter().filter_map(|(name, peer)| {
            let own = peer.address.filter(|own| own.ip() == address.ip())?;
            (!peer.has_proof() && peer.permits(address.ip())).then_some((name, own))
        });
        let known: Vec<_> = known.collect();
        let exact = known.iter().find(|(_, own)| *own == address);
        let only = known.first().filter(|_| known.len() == 1);
        exact.or(only).map(|(name, _)| (*name).clone())
    }

    /// A guest, or a peer that has nothing but its address to show for who it is. Anybody can write
    /// that address, so this is a proof only where a call token has shown that it is the sender's,
    /// or where the configuration trusts its network. The rule of the peer itself does not count.
    fn identified_by_address(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId) {
        let Some(Leg { peer: Some(name), state: State::Identifying(offer), address, .. }) =
            self.legs.get(&call)
        else {
            return self.identified(endpoint, now, call);
        };
        let from = address.ip();
        let trusted = &self.config.endpoint.call_token.optional_networks;
        if offer.address_validated || trusted.iter().any(|network| network.contains(from)) {
            return self.identified(endpoint, now, call);
        }
        let reason = records::address_unproved(name, from);
        let why = reason.to_string();
        self.book.because(now, call, reason);
        self.refuse(endpoint, now, call, CauseCode::FACILITY_NOT_SUBSCRIBED, &why);
    }

    /// The caller is who it says: where does it want to go?
    pub(super) fn identified(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId) {
        let Some(leg) = self.legs.get(&call) else { return };
        let State::Identifying(offer) = &leg.state else { return };
        let mut offer = offer.clone();
        let (peer, address) = (leg.peer.clone(), leg.address);
        match self.node_calls(now, call, peer.as_deref(), &offer) {
            NodeCalls::Welcome => {}
            NodeCalls::Waits => return,
            NodeCalls::Refused(cause, reason) => {
                let why = reason.to_string();
                self.book.because(now, call, *reason);
                return self.refuse(endpoint, now, call, cause, &why);
            }
        }
        let known = peer.as_ref().and_then(|name| self.config.peers.get(name));
        if let Some(peer) = known {
            peer.caller_id.apply(&mut offer);
        }
        // It may be the middle that lets us go, as we may be for it.
        let transfers = known.is_some_and(|peer| peer.transfer.is_some());
        let _ = endpoint.allow_transfer(call, transfers);
        let keys_by = known.map(|peer| peer.keys_by).unwrap_or_default();
        self.inband.enter(endpoint, call, keys_by);
        if let Some(trunk) = known.and_then(|peer| peer.trunk) {
            self.trunks.set(Owner::Call(call), Some((address, trunk)));
            self.trunks.apply(endpoint);
        }
        if peer.is_none() {
            let limits = &self.config.guests;
            if let Err(why) = self.guests.enter(limits, address.ip()) {
                let cause = CauseCode::REJECTED;
                // It is not among the guests, so it must not be counted out.
                let path = offer.path;
                self.remove_leg(now, call);
                let reason = Reason::new(Stage::Limit, "guests", why.to_string())
                    .decided_by("guests", why.to_string())
                    .fix("raise the limits of [guests], or give the caller a peer with a secret");
                self.book.refused_for(now, call, cause, reason);
                tracing::info!("{call}: guest {path} refused, {cause}: {why}");
                let _ = endpoint.reject(now, call, cause, Some("not allowed"));
                return;
            }
            self.ends.set(call, now + limits.duration);
        }
        if peer.as_deref().is_some_and(|name| name.starts_with(SWITCH)) {
            self.joins_call_of_sibling(call, &offer);
        }
        let source = peer.as_deref().and_then(|name| self.source_behind_gateway(name, &offer));
        if let Some(source) = source {
            self.book.moved(call, source);
            let word = offer.variables.iter().find(|(name, _)| name == LEG);
            if let (Some(leg), Some((_, word))) = (self.legs.get_mut(&call), word) {
                leg.marks.sip = Some(word.clone());
            }
            self.export_leg_again(endpoint, call);
        }
        if let Some(name) = &peer {
            self.set_up(endpoint, now, name, offer.path.remote, &offer.device);
        }
        if let Err((cause, why)) = self.begin_record(endpoint, now, call) {
            return self.refuse(endpoint, now, call, cause, &why);
        }
        if peer.as_deref().is_some_and(|name| name.starts_with(SWITCH)) {
            return self.complete_for_sibling(endpoint, now, call, offer);
        }
        self.call_begun(call, &offer.called_number);
        self.route(endpoint, now, call, peer, offer, None);
    }
}

pub(super) fn challenge(peer: &Peer, username: &str) -> Challenge {
    Challenge {
        methods: peer.methods,
        secrets: peer.secrets.clone(),
        keys: peer.keys.clone(),
        encryption: peer.encryption,
        ..Challenge::unknown(username)
    }
}
