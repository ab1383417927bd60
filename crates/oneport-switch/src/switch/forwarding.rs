//! Calls to a peer that are forwarded: always, when it is busy, when it does not answer.

use oneport_proto::{CallEnd, CallId, EndReason};
use oneport_wire::CauseCode;

use super::hunting::MOST_HOPS;
use super::siblings::is_sibling;
use super::{State, Switch};
use crate::routing::{Destination, Target};

/// How often a call was forwarded here.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    times: u32,
    /// The number, or the peer, that it was forwarded from first (RDNIS).
    pub(super) from: Option<String>,
}

impl Switch {
    /// `targets` with those replaced whose calls are always forwarded.
    ///
    /// # Errors
    /// The call was forwarded too often: it runs in a circle.
    pub(super) fn forwarded(
        &mut self,
        call: CallId,
        mut targets: Vec<Target>,
    ) -> Result<Vec<Target>, (CauseCode, String)> {
        if self.legs.get(&call).is_some_and(is_sibling) {
            // The switch that it comes from has looked at that.
            return Ok(targets);
        }
        for target in &mut targets {
            while let Target::Peer { name, number } = target {
                let peer = self.config.peers.get(name);
                let Some(to) = peer.and_then(|peer| peer.forwarding.always.clone()) else { break };
                *target = self.forward(call, name, number, &to)?;
            }
        }
        Ok(targets)
    }

    /// Counts that a call is forwarded, and says where to.
    fn forward(
        &mut self,
        call: CallId,
        name: &str,
        number: &str,
        to: &Destination,
    ) -> Result<Target, (CauseCode, String)> {
        let target = to.target(number, &[number]);
        if let Some(State::Caller(caller)) = self.legs.get_mut(&call).map(|leg| &mut leg.state) {
            let forwarded = &mut caller.forwarded;
            forwarded.times += 1;
            if forwarded.times > MOST_HOPS {
                let why = format!("the call is forwarded in a circle, at last by {name}");
                return Err((CauseCode::ROUTING_ERROR, why));
            }
            forwarded.from.get_or_insert_with(|| number.to_string());
            tracing::debug!("{call}: {name} is forwarded to {target}");
        }
        Ok(target)
    }

    /// A called leg has ended: where its peer is forwarded because of that, the next destination is
    /// this. Whether it is.
    pub(super) fn forward_ended(&mut self, call: CallId, name: &str, end: &CallEnd) -> bool {
        let Some(peer) = self.config.peers.get(name) else { return false };
        let busy = end.cause == CauseCode::USER_BUSY
            && matches!(end.reason, EndReason::RemoteHangup | EndReason::RemoteReject);
        let to = match busy {
            true => peer.forwarding.busy.clone(),
            false if has_not_answered(end) => peer.forwarding.no_answer.clone(),
            false => None,
        };
        to.is_some_and(|to| self.forward_next(call, name, &to))
    }

    /// A peer could not be called at all.
    pub(super) fn forward_where_absent(
        &mut self,
        call: CallId,
        targets: &[Target],
        cause: CauseCode,
    ) {
        let [Target::Peer { name, .. }] = targets else { return };
        let absent = [CauseCode::SUBSCRIBER_ABSENT, CauseCode::DESTINATION_OUT_OF_ORDER];
        let peer = self.config.peers.get(name).filter(|_| absent.contains(&cause));
        if let Some(to) = peer.and_then(|peer| peer.forwarding.no_answer.clone()) {
            self.forward_next(call, name, &to);
        }
    }

    /// Puts the destination before those that are left. Whether there is one.
    fn forward_next(&mut self, call: CallId, name: &str, to: &Destination) -> bool {
        let leg = self.legs.get(&call).filter(|leg| !is_sibling(leg));
        let Some(State::Caller(caller)) = leg.map(|leg| &leg.state) else { return false };
        let number = caller.offer.called_number.clone();
        let target = match self.forward(call, name, &number, to) {
            Ok(target) => target,
            Err((cause, why)) => {
                tracing::info!("{call}: {why}");
                Target::End(cause)
            }
        };
        if let Some(State::Caller(caller)) = self.legs.get_mut(&call).map(|leg| &mut leg.state) {
            caller.left.push_front(vec![target]);
        }
        true
    }
}

/// Whether nobody was there who could have taken the call, or nobody took it in time.
fn has_not_answered(end: &CallEnd) -> bool {
    match end.reason {
        EndReason::TimedOut | EndReason::Unanswered | EndReason::SetupTimedOut => true,
        EndReason::LocalHangup | EndReason::RemoteHangup | EndReason::RemoteReject => matches!(
            end.cause,
            CauseCode::NO_ANSWER
                | CauseCode::NO_USER_RESPONSE
                | CauseCode::SUBSCRIBER_ABSENT
                | CauseCode::DESTINATION_OUT_OF_ORDER
        ),
        _ => false,
    }
}
