//! Where a call leads: its number, the limits on the way, and the first destination.

use oneport_proto::{CallId, Endpoint, Instant, Offer};
use oneport_wire::{CauseCode, Format};

use super::forwarding::Forwarded;
use super::hunting::{Plan, contexts_of};
use super::leg::Caller;
use super::{State, Switch, dialling, records};
use crate::builtin::Place;
use crate::limits::{Attempt, Direction};
use crate::refusal::{Reason, Stage};
use crate::routing::Target;

impl Switch {
    /// Leads a call to where its number says, by the rights of `peer`. `accepted` is its format, if
    /// it has one already.
    pub(super) fn route(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        peer: Option<String>,
        offer: Box<Offer>,
        accepted: Option<Format>,
    ) {
        let number = offer.called_number.as_str();
        let plan = match peer.as_deref().map(|peer| self.plan(peer, &offer)) {
            Some(Err(why)) => {
                let rule = format!("peers.{}.contexts", peer.as_deref().unwrap_or_default());
                let reason = Reason::new(Stage::Route, "context", why.clone())
                    .decided_by(rule.clone(), offer.called_context.clone().unwrap_or_default())
                    .fix(format!("add the context to {rule}, or ask for none at the other end"));
                self.book.because(now, call, reason);
                return self.refuse(endpoint, now, call, CauseCode::NO_ROUTE, &why);
            }
            Some(Ok(plan)) => plan,
            None => None,
        };
        let Some(leg) = self.legs.get_mut(&call) else { return };
        let begins = matches!(leg.state, State::Identifying(_) | State::Dialling { .. });
        let Plan {
            mut left,
            timeout,
            continue_on,
            route,
            may_return,
            is_emergency,
            bounds,
            notice,
        } = plan.unwrap_or_default();
        self.book.routed(now, call, number, route.as_deref());
        let replaced = self.replaced_by(peer.as_deref(), &offer);
        let dials = number == dialling::TO_BE_DIALLED && replaced.is_none();
        if begins
            && !(is_emergency || dials || replaced.is_some())
            && self.refuse_overloaded_late(endpoint, now, call)
        {
            return;
        }
        let Some(leg) = self.legs.get(&call) else { return };
        let attempt = Attempt {
            peer: leg.peer.as_deref(),
            direction: Direction::In,
            number,
            route: route.as_deref(),
            is_emergency,
        };
        let taken = self.limits.take(now, leg.lease, &attempt);
        self.tell_of_limits();
        let extension = peer.as_deref().filter(|_| left.is_empty()).and_then(|peer| {
            let contexts = contexts_of(&self.config, peer, offer.called_context.as_deref()).ok()?;
            self.extension(now, &contexts, number).map(ToString::to_string)
        });
        let Some(leg) = self.legs.get_mut(&call) else { return };
        if let Err(full) = taken {
            self.book.because(now, call, records::full_limit(&full));
            if let Some(heard) = full.notice.clone().or(notice)
                && self.notify(endpoint, now, call, full.cause, heard)
            {
                return self.tell_refusal(now, call, full.cause, &full.to_string());
            }
            return self.refuse(endpoint, now, call, full.cause, &full.to_string());
        }
        if replaced.is_some() {
            // It goes to whoever is in that call, whatever it dials.
            left.clear();
        } else if left.is_empty() {
            if let Some(name) = extension {
                left.push_back(vec![Target::Peer { name, number: number.into() }]);
            } else if let Some(place) = Place::find(number) {
                left.push_back(vec![Target::Builtin(place)]);
            } else if peer.is_some() && self.config.is_peer_by_name(number) {
                left.push_back(vec![Target::Peer { name: number.into(), number: number.into() }]);
            }
        }
        if dials && accepted.is_none() && peer.is_some() {
            // It dials digit by digit: accepted now, led on when it has dialled.
            return self.begin_dialling(endpoint, now, call);
        }
        match left.front().map(Vec::as_slice) {
            None if peer.is_none() => {
                let why = "guests reach echo, milliwatt and probe only; give the caller a peer with a \
                           secret";
                self.refuse(endpoint, now, call, CauseCode::NO_ROUTE, why);
            }
            None if replaced.is_none() => {
                self.refuse(endpoint, now, call, CauseCode::NO_ROUTE, "no route");
            }
            Some([Target::Builtin(place)]) if peer.is_none() && !place.builtin.is_for_guests() => {
                let why = "guests reach echo, milliwatt and probe only; give the caller a peer with a \
                           secret";
                self.refuse(endpoint, now, call, CauseCode::REJECTED, why);
            }
            _ => {
                let called = Vec::new();
                let answered = false;
                let caller = Caller {
                    offer,
                    called,
                    left,
                    timeout,
                    continue_on,
                    may_return,
                    is_emergency,
                    accepted,
                    together: None,
                    foreign: Vec::new(),
                    answered,
                    bounds,
                    forwarded: Forwarded::default(),
                    notice,
                };
                leg.state = State::Caller(Box::new(caller));
                let Some(replaced) = replaced else {
                    return self.try_next(endpoint, now, call, CauseCode::NO_ROUTE);
                };
                if let Err((cause, why)) = self.take_place(endpoint, now, call, &replaced) {
                    self.refuse(endpoint, now, call, cause, &why);
                }
            }
        }
    }
}
