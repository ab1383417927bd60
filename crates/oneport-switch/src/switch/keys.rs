//! Keys that are pressed: where they go, as frames or as tones.

use oneport_media::dtmf::Key;
use oneport_proto::{CallId, DtmfPhase, Endpoint, Instant};

use super::{Leg, Switch};
use crate::bridge;
use crate::builtin::FRAME_MS;

impl Switch {
    /// A key is pressed or released by one leg.
    pub(super) fn key(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        digit: u8,
        phase: DtmfPhase,
    ) {
        if self.is_in_room(call) {
            return self.key_in_room(endpoint, now, call, digit, phase);
        }
        let Some(other) = self.legs.get(&call).and_then(Leg::other) else { return };
        if !self.inband.say(endpoint, now, other, digit, phase) {
            bridge::pass_digit(endpoint, now, other, digit, phase);
        }
    }

    /// Whether keys of a leg are tones, which are heard or made here.
    pub(super) fn has_keys_inband(&self, leg: CallId) -> bool {
        let peer = self.legs.get(&leg).and_then(|leg| self.config.peers.get(leg.peer.as_ref()?));
        peer.is_some_and(|peer| peer.keys_by.hears || peer.keys_by.speaks)
    }

    /// Passes on keys that were heard in voices, and says those that are to be.
    pub(super) fn go_on_with_keys(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.inband.expire(now);
        while let Some((call, key)) = self.inband.poll() {
            let _inside = self.span(call).entered();
            let (digit, phase) = match key {
                Key::Pressed(digit) => (digit, DtmfPhase::Begin),
                Key::Released { digit, .. } => (digit, DtmfPhase::End),
            };
            tracing::debug!("{call}: key {} in its voice, {phase:?}", char::from(digit));
            self.key(endpoint, now, call, digit, phase);
        }
        let legs = &self.legs;
        let other = |call: CallId| legs.get(&call).and_then(Leg::other);
        self.inband.keep_quiet(endpoint, now, other);
        self.inband.turn(endpoint, now, |endpoint, call, format, payload| {
            // The call may have ended; then its end follows.
            let _ = endpoint.send_voice(now, call, format, payload, FRAME_MS);
        });
        self.end_ringing_behind_voice(endpoint);
    }
}
