//! Calls to nodes of AllStarLink and from there, which wait until it is known where the node is.

use oneport_proto::{CallId, Endpoint, Instant, Offer};
use oneport_wire::CauseCode;

use super::leg::Caller;
use super::{State, Switch};
use crate::allstar::NotFound;
use crate::config::NodeRule;
use crate::refusal::{Reason, Stage};
use crate::routing::Target;

/// Whether a caller is let in.
pub(super) enum NodeCalls {
    /// It is where it should be, or no node.
    Welcome,
    /// It is looked up where it should be.
    Waits,
    /// It is not let in.
    Refused(CauseCode, Box<Reason>),
}

/// Why a node cannot be called.
pub(super) fn node_reason(unknown: &NotFound) -> (CauseCode, Box<Reason>) {
    let fix = match unknown.kind {
        "node_unknown" => "see whether it is registered at AllStarLink, or stands in allstar.list",
        _ => "see whether the name servers of [allstar] answer, and allstar.list is there",
    };
    let reason = Reason::new(Stage::Destination, unknown.kind, unknown.why.as_str()).fix(fix);
    (unknown.cause, reason.into())
}

impl Switch {
    /// Whether whoever calls as a node is where that node is. It may have to be looked up first; then it is asked again.
    pub(super) fn node_calls(
        &mut self,
        now: Instant,
        call: CallId,
        peer: Option<&str>,
        offer: &Offer,
    ) -> NodeCalls {
        let known = peer.and_then(|name| Some((name, self.config.peers.get(name)?)));
        let Some((name, Some(NodeRule::Checked))) = known.map(|(name, peer)| (name, peer.nodes))
        else {
            return NodeCalls::Welcome;
        };
        let number = offer.calling_number.as_deref().unwrap_or_default();
        let from = offer.path.remote.ip().to_canonical();
        let refused = |cause, kind, why: String, fix: &str| {
            let reason = Reason::new(Stage::Identification, kind, why)
                .decided_by(format!("peers.{name}.allstar_check"), "true")
                .fix(fix);
            NodeCalls::Refused(cause, reason.into())
        };
        match self.nodes.find(now, number, Some(call)) {
            None => NodeCalls::Waits,
            Some(Err(unknown)) => {
                let cause = match unknown.cause {
                    CauseCode::UNALLOCATED => CauseCode::REJECTED,
                    cause => cause,
                };
                let fix = "see whether it is registered at AllStarLink, and sends its number as that of the caller";
                refused(
                    cause,
                    unknown.kind,
                    format!("calls as node `{number}`: {}", unknown.why),
                    fix,
                )
            }
            Some(Ok(node)) => match node.calls_from.map(|own| own.to_canonical()) {
                Some(own) if own != from => {
                    let why = format!("node {number} is at {own}, and calls from {from}");
                    let fix =
                        "have it registered at AllStarLink from the address that it calls from";
                    refused(CauseCode::REJECTED, "node_elsewhere", why, fix)
                }
                _ => NodeCalls::Welcome,
            },
        }
    }

    /// The targets of a call, once it is known where all nodes among them are; `None` while it waits for that.
    pub(super) fn await_nodes(
        &mut self,
        now: Instant,
        call: CallId,
        targets: Vec<Target>,
    ) -> Option<Vec<Target>> {
        let mut waits = false;
        for target in &targets {
            let Target::Peer { name, number } = target else { continue };
            if self.config.peers.get(name).is_some_and(|peer| peer.nodes.is_some()) {
                waits |= self.nodes.find(now, number, Some(call)).is_none();
            }
        }
        if !waits {
            return Some(targets);
        }
        if let Some(State::Caller(caller)) = self.legs.get_mut(&call).map(|leg| &mut leg.state) {
            caller.left.push_front(targets);
        }
        None
    }

    fn waits_for_node(&self, caller: &Caller) -> bool {
        let next = caller.left.front().into_iter().flatten();
        let mut names = next.filter_map(|target| match target {
            Target::Peer { name, .. } => Some(name),
            _ => None,
        });
        caller.called.is_empty()
            && names
                .any(|name| self.config.peers.get(name).is_some_and(|peer| peer.nodes.is_some()))
    }

    /// Leads calls on whose nodes have been looked up.
    pub(super) fn nodes_found(&mut self, endpoint: &mut Endpoint, now: Instant) {
        while let Some(calls) = self.nodes.poll(now) {
            for call in calls {
                let _inside = self.span(call).entered();
                match self.legs.get(&call).map(|leg| &leg.state) {
                    Some(State::Identifying(_)) => self.identified(endpoint, now, call),
                    Some(State::Caller(caller)) if self.waits_for_node(caller) => {
                        self.try_next(endpoint, now, call, CauseCode::NO_ROUTE);
                    }
                    _ => {}
                }
            }
        }
    }
}
