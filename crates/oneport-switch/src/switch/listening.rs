//! Listening to calls that are up. As with recordings, the voice goes its way as before.

use oneport_media::Codec;
use oneport_proto::{CallId, Endpoint, Instant};
use oneport_wire::Timestamp;
use uuid::Uuid;

use super::Switch;
use crate::builtin::Builtin;
use crate::live::Listening;
use crate::recording::Side;

impl Switch {
    /// Whether a leg's voice is wanted here, besides where it goes.
    pub(super) fn is_tapped(&self, leg: CallId) -> bool {
        self.inband.hears(leg) || self.live.hears(leg) || self.taps.side(leg).is_some()
    }

    /// A leg tells of a pause of `level` −dBov, in which it sends nothing (CNG). Where its voice is heard here,
    /// noise like that is heard instead.
    pub(super) fn hear_pause(
        &mut self,
        now: Instant,
        leg: CallId,
        timestamp: Timestamp,
        level: u8,
    ) {
        let timestamp = timestamp.0;
        self.live.pause(now, leg, timestamp, level);
        self.conferences.pause(leg, timestamp, level);
        if let Some((call, side)) = self.taps.side(leg) {
            let since = self.taps.since_begin(call, now);
            self.recordings.pause_of_side((call, side), since, timestamp, level);
        }
        if self.legs.get(&leg).is_some_and(|leg| leg.state.is_at(Builtin::Record)) {
            self.recordings.pause(leg, timestamp, level);
        }
    }

    /// Somebody, known by the name of its token, listens to a call from now on. `call` is the leg of its caller.
    ///
    /// # Errors
    /// In words: there is nothing to be heard of it here, or as many listen as may.
    pub(crate) fn listen_to(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        who: &str,
    ) -> Result<(Uuid, Listening), String> {
        let Some(leg) = self.legs.get(&call) else { return Err("it is over".into()) };
        let (id, other) = (leg.id, leg.other());
        let Some(format) = endpoint.call_format(call) else {
            return Err("it has no codec yet".into());
        };
        if Codec::for_format(format).is_none() {
            return Err(format!("{format} is passed on and not understood here"));
        }
        let listening = self.live.listen(now, id, who).ok_or("as many listen as may")?;
        self.keep_voice_here(endpoint, now, call);
        self.hear_leg(endpoint, id, call, Side::Caller);
        if let Some(other) = other {
            self.hear_leg(endpoint, id, other, Side::Called);
        }
        Ok((id, listening))
    }

    fn hear_leg(&mut self, endpoint: &mut Endpoint, id: Uuid, leg: CallId, side: Side) {
        self.live.add(id, leg, side);
        let _ = endpoint.tap(leg, true);
    }

    /// Who listens to a call.
    pub(super) fn listeners(&self, id: Uuid) -> Vec<String> {
        self.live.listeners(id)
    }

    /// A leg is no part of its call any more: nothing of it is heard, and with the last leg of a call it is recorded
    /// and listened to no more.
    pub(super) fn hear_no_more(&mut self, endpoint: &mut Endpoint, now: Instant, leg: CallId) {
        self.leave_recording(endpoint, now, leg);
        self.inband.leave(leg);
        self.live.leave(leg);
    }

    /// Two legs are linked: where somebody listens to their call, both are heard.
    pub(super) fn go_on_listening(
        &mut self,
        endpoint: &mut Endpoint,
        caller: CallId,
        called: CallId,
    ) {
        let Some(id) = self.legs.get(&caller).map(|leg| leg.id) else { return };
        if self.live.is_heard(id) {
            self.hear_leg(endpoint, id, caller, Side::Caller);
            self.hear_leg(endpoint, id, called, Side::Called);
        }
    }

    /// Somebody listens to a call no more.
    pub(crate) fn end_listening(&mut self, endpoint: &mut Endpoint, id: Uuid) {
        for leg in self.live.stop(id) {
            let _ = endpoint.tap(leg, self.is_tapped(leg));
        }
    }
}
