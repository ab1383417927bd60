//! What must hold when all is over.

use std::fmt::Write as _;

use oneport_proto::EndReason;

use super::{NODES, Record, Story};

impl Story {
    /// All is over: nothing may be left, and both sides must agree on what happened.
    pub(super) fn judge(&self) -> Result<(), String> {
        for node in 0..NODES {
            if !self.network.nodes[node].endpoint.is_quiescent() {
                return Err(format!("node {node} is not silent at the end"));
            }
            if let Some(call) = self.legs[node].keys().next() {
                return Err(format!("{call} of node {node} never ended"));
            }
            let open = |over: &bool| !over;
            if self.requests[node].values().any(open)
                || self.registrations[node].values().any(open)
                || self.pokes[node].values().any(open)
                || self.devices.is_open(node)
            {
                return Err(format!(
                    "a request, registration, poll, fetch or provision of node {node} never ended"
                ));
            }
        }
        if self.is_disturbed() || self.restarted {
            return Ok(());
        }
        for ((key, placed), caller) in &self.records {
            if !placed || self.doubled.contains(key) {
                continue;
            }
            let callee = self.records.get(&(*key, false));
            self.compare(caller, callee).map_err(|what| format!("call {key}: {what}"))?;
        }
        Ok(())
    }

    fn compare(&self, caller: &Record, callee: Option<&Record>) -> Result<(), String> {
        let ours = caller.end.as_ref().ok_or("no end")?;
        let Some(callee) = callee else {
            let unseen = matches!(ours.reason, EndReason::LocalHangup)
                || !self.fair && ours.reason == EndReason::TimedOut
                // Its token was for another address than it came from.
                || self.moved && ours.reason == EndReason::RemoteReject;
            return unseen.then_some(()).ok_or_else(|| format!("{:?}, never offered", ours.reason));
        };
        let theirs = callee.end.as_ref().ok_or("no end at the called side")?;
        if [ours.reason, theirs.reason].contains(&EndReason::Transferred) {
            // It went on without one of the two, who knows nothing of what was said since.
            return Ok(());
        }
        check_prefix(&caller.digits_sent, &callee.digits_heard, "digits")?;
        check_prefix(&callee.digits_sent, &caller.digits_heard, "digits")?;
        if !caller.said.starts_with(&callee.told) || !callee.said.starts_with(&caller.told) {
            let (one, other) = ((&caller.said, &callee.told), (&callee.said, &caller.told));
            return Err(format!("said and told differ: {one:?}, {other:?}"));
        }
        if self.moved {
            // One side may look for the other where it is no more.
            return Ok(());
        }
        use EndReason as End;
        let agreed = match (ours.reason, theirs.reason) {
            (End::LocalHangup, End::RemoteHangup) => {
                ours.cause == theirs.cause && caller.digits_sent == callee.digits_heard
            }
            (End::RemoteHangup, End::LocalHangup) => {
                ours.cause == theirs.cause && callee.digits_sent == caller.digits_heard
            }
            (End::RemoteReject, End::LocalReject) => ours.cause == theirs.cause,
            (End::RemoteReject, End::Undecided | End::AuthenticationFailed) => true,
            // Both at once.
            (
                End::LocalHangup,
                End::LocalHangup | End::LocalReject | End::Undecided | End::AuthenticationFailed,
            ) => true,
            (
                End::CannotAuthenticate | End::EncryptionRefused,
                End::RemoteHangup | End::Undecided | End::LocalHangup | End::LocalReject,
            ) => true,
            (End::TimedOut | End::SetupTimedOut, _) | (_, End::TimedOut) => !self.fair,
            // HANGUP, or what was said before it, was lost until the peer was given up; who comes back
            // later hears that all is over.
            (
                End::LocalHangup | End::CannotAuthenticate | End::EncryptionRefused,
                End::Invalidated,
            )
            | (End::Invalidated, End::LocalHangup) => !self.fair,
            _ => false,
        };
        agreed.then_some(()).ok_or_else(|| {
            let mut what = String::new();
            let _ = write!(what, "caller: {:?} {}, ", ours.reason, ours.cause);
            let _ = write!(what, "called: {:?} {}", theirs.reason, theirs.cause);
            what
        })
    }
}

fn check_prefix(sent: &str, heard: &str, what: &str) -> Result<(), String> {
    sent.starts_with(heard)
        .then_some(())
        .ok_or_else(|| format!("{what}: sent {sent}, heard {heard}"))
}
