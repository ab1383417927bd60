//! Called legs that say that they are busy, or have no line, and leave it to us to hang up: Asterisk's
//! `Busy` and `Congestion` say so and wait.

use oneport_proto::{CallEnd, CallId, EndReason, Endpoint, Instant};
use oneport_wire::{CauseCode, Control};

use super::{Leg, State, Switch};

impl Switch {
    /// Ends a leg that says no, as if it had hung up itself. Of one that is answered the other side is
    /// told, which plays a tone or hangs up.
    pub(super) fn said_no(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        (control, cause): (Control, CauseCode),
    ) {
        let Some(leg) = self.legs.get(&call) else { return };
        let waits = match leg.state {
            State::Originated(_) => true,
            State::Called { caller } => match self.legs.get(&caller).map(|leg| &leg.state) {
                Some(State::Caller(caller)) => !caller.answered,
                _ => false,
            },
            _ => false,
        };
        if !waits {
            if let Some(other) = leg.other() {
                let _ = endpoint.send_control(now, other, control, &[]);
            }
            return;
        }
        if let Some(leg) = self.legs.get_mut(&call) {
            leg.marks.said_no = Some(cause);
        }
        let _ = endpoint.hangup(now, call, cause, None);
    }

    /// What its end means of a leg that had said no: its word, not ours.
    pub(super) fn ended_by_its_no(&self, call: CallId, end: &mut CallEnd) {
        let said = self.legs.get(&call).and_then(|leg: &Leg| leg.marks.said_no);
        if let Some(cause) = said.filter(|_| end.reason == EndReason::LocalHangup) {
            (end.reason, end.cause) = (EndReason::RemoteReject, cause);
        }
    }
}
