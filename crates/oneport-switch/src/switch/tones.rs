//! Tones that callers hear before an answer, where their peers want them: audio in place of what is
//! signalled, for telephones that show nothing of that.

use oneport_media::Codec;
use oneport_media::progress::Progress as Tone;
use oneport_proto::{CallId, Endpoint, Instant, Progress};
use oneport_wire::CauseCode;

use super::notice::is_congestion;
use super::{State, Switch};
use crate::builtin::{Announcement, Player};
use crate::config::Peer;

impl Switch {
    /// The peer of a caller that wants to hear a tone.
    fn hears_early(&self, call: CallId, tone: Tone) -> Option<&Peer> {
        let peer = self.config.peers.get(self.legs.get(&call)?.peer.as_ref()?)?;
        peer.early_tones.contains(&tone).then_some(peer)
    }

    /// What a caller that is about to be refused hears where its route has nothing for it.
    pub(super) fn early_notice(&self, call: CallId, cause: CauseCode) -> Option<Announcement> {
        let tone = match cause {
            CauseCode::USER_BUSY => Tone::Busy,
            cause if is_congestion(cause) => Tone::Congestion,
            _ => return None,
        };
        self.hears_early(call, tone).map(|_| Announcement::Tone(tone))
    }

    /// A called leg has come further: its caller hears the tone of ringing, until there is something
    /// else to be heard.
    pub(super) fn sound_progress(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        (called, call): (CallId, CallId),
        progress: Progress,
    ) {
        match progress {
            Progress::Ringing => self.begin_ringing(endpoint, now, call, called),
            Progress::EarlyMedia | Progress::StopIndication => self.end_ringing(endpoint, call),
            _ => {}
        }
    }

    fn begin_ringing(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        called: CallId,
    ) {
        let Some(peer) = self.hears_early(call, Tone::Ringback) else { return };
        let country = peer.tones.unwrap_or(self.config.tones);
        let accepted = match self.legs.get(&call).map(|leg| &leg.state) {
            Some(State::Caller(caller)) if !caller.answered => caller.accepted,
            _ => None,
        };
        let codec = accepted.and_then(Codec::for_format);
        let speaks = endpoint.last_voice(called).is_some();
        let (Some(codec), false, false) = (codec, speaks, self.players.contains_key(&call)) else {
            return;
        };
        let _ = endpoint.progress(now, call);
        let _ = endpoint.withhold(call, true);
        let cadence = country.cadence(Tone::Ringback);
        self.players.insert(call, Player::tone(codec, now, cadence, None));
        if let Some(leg) = self.legs.get_mut(&call) {
            leg.marks.hears_ringing = true;
        }
    }

    /// A caller hears no ringing any more.
    pub(super) fn end_ringing(&mut self, endpoint: &mut Endpoint, call: CallId) {
        let Some(leg) = self.legs.get_mut(&call) else { return };
        if std::mem::take(&mut leg.marks.hears_ringing) {
            self.players.remove(&call);
            let _ = endpoint.withhold(call, self.inband.speaks(call));
        }
    }

    /// Destinations that ring may speak without a word before: then they are heard.
    pub(super) fn end_ringing_behind_voice(&mut self, endpoint: &mut Endpoint) {
        let speaks = |call: &CallId| match self.legs.get(call).map(|leg| &leg.state) {
            Some(State::Caller(caller)) => {
                caller.called.iter().any(|called| endpoint.last_voice(*called).is_some())
            }
            _ => false,
        };
        let ringing =
            |call: &&CallId| self.legs.get(*call).is_some_and(|leg| leg.marks.hears_ringing);
        let over: Vec<CallId> =
            self.players.keys().filter(ringing).filter(|call| speaks(call)).copied().collect();
        for call in over {
            self.end_ringing(endpoint, call);
        }
    }
}
