//! Bridged calls while they are up: how long they may last, how long be silent, and hold.

use oneport_media::Codec;
use oneport_proto::{CallId, Endpoint, Instant};
use oneport_wire::Control;

use super::leg::VoiceWay;
use super::{State, Switch};
use crate::bridge;
use crate::builtin::Player;
use crate::watch::Bounds;

impl Switch {
    /// Watches both legs of a bridge, by what their peers and the caller's route say.
    pub(super) fn watch_bridge(&mut self, now: Instant, call: CallId, called: CallId) {
        let of_peer = |leg: CallId| {
            let name = self.legs.get(&leg)?.peer.as_ref()?;
            Some(self.config.peers.get(name)?.bounds.clone())
        };
        let (one, other) = (of_peer(call), of_peer(called));
        let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
        let route = match self.legs.get(&call).map(|leg| &leg.state) {
            Some(State::Caller(caller)) => caller.bounds.clone(),
            _ => Bounds::default(),
        };
        // Both end together; each is heard for itself.
        let duration = one.clone().and(other.clone()).and(route.clone()).duration;
        for (leg, own) in [(call, one), (called, other)] {
            let bounds = Bounds { duration: duration.clone(), ..own.and(route.clone()) };
            self.watches.begin(now, leg, bounds);
        }
    }

    /// Ends calls that have lasted too long, or are silent.
    pub(super) fn end_watched(&mut self, endpoint: &mut Endpoint, now: Instant) {
        while let Some((call, ending)) = self.watches.ended(now, |call| endpoint.last_voice(call)) {
            let other = self.legs.get(&call).and_then(super::Leg::other);
            for leg in [Some(call), other].into_iter().flatten() {
                if let Some(leg) = self.legs.get_mut(&leg) {
                    leg.marks.ending = Some(ending.clone());
                }
            }
            let _ = endpoint.hangup(now, call, ending.cause(), Some(ending.text()));
        }
    }

    /// A leg puts its other party on hold: that hears music, where this leg's peer has some here, else
    /// is told of the hold. `class` is the music that the leg asks for.
    pub(super) fn hold(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        class: &str,
    ) {
        let Some((leg, other)) = self.legs.get_mut(&call).and_then(|leg| {
            let other = leg.other()?;
            Some((leg, other))
        }) else {
            return;
        };
        leg.marks.holds = true;
        let direct = leg.marks.way == VoiceWay::Direct;
        for held in [call, other] {
            self.watches.hold(now, held, true);
        }
        let player = (!direct).then(|| self.hold_player(endpoint, now, call, other, class));
        match player.flatten() {
            Some(player) => {
                self.part(endpoint, other);
                self.players.insert(other, player);
            }
            None => {
                let result = endpoint.send_control(now, other, Control::Hold, class.as_bytes());
                bridge::passed(endpoint, other, result);
            }
        }
    }

    /// What `other` hears while `call` holds it.
    fn hold_player(
        &self,
        endpoint: &Endpoint,
        now: Instant,
        call: CallId,
        other: CallId,
        class: &str,
    ) -> Option<Player> {
        let peer = self.legs.get(&call)?.peer.as_ref()?;
        let own = self.config.peers.get(peer)?.hold_music.as_ref()?;
        let music = self.config.music.get(class).or_else(|| self.config.music.get(own))?;
        let codec = Codec::for_format(endpoint.call_stats(other)?.format?)?;
        Some(Player::music(codec, now, music.clone()))
    }

    /// A leg takes its other party back.
    pub(super) fn unhold(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId) {
        let Some(leg) = self.legs.get_mut(&call) else { return };
        leg.marks.holds = false;
        let Some(other) = leg.other() else { return };
        // The other may hold too, and goes on doing so.
        if self.legs.get(&other).is_some_and(|leg| !leg.marks.holds) {
            for held in [call, other] {
                self.watches.hold(now, held, false);
            }
        }
        if self.players.remove(&other).is_none() {
            let result = endpoint.send_control(now, other, Control::Unhold, &[]);
            bridge::passed(endpoint, other, result);
        } else if !self.players.contains_key(&call)
            && let Err(error) = self.connect(endpoint, call, other)
        {
            tracing::warn!("{call}: cannot be linked to {other} again: {error}");
        }
    }

    /// A leg wants no voice for a while: that is a hold by its other name, but the engine keeps voice
    /// from it, and only music is of account.
    pub(super) fn quelched(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        music: Option<String>,
    ) {
        match music {
            Some(class) if !class.is_empty() => self.hold(endpoint, now, call, &class),
            Some(_) => {}
            None if self.legs.get(&call).is_some_and(|leg| leg.marks.holds) => {
                self.unhold(endpoint, now, call);
            }
            None => {}
        }
    }

    /// A party leaves the bridge in which it was held, or held the other.
    pub(super) fn end_hold(&mut self, party: CallId) {
        self.players.remove(&party);
        if let Some(leg) = self.legs.get_mut(&party) {
            leg.marks.holds = false;
            leg.marks.way = VoiceWay::Here;
        }
    }
}
