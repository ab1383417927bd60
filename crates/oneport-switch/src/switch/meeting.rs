//! Calls in conferences: the PIN at the door, and the keys of members.

use oneport_media::Codec;
use oneport_proto::{CallId, DtmfPhase, Endpoint, Instant};
use oneport_wire::CauseCode;

use super::Switch;
use crate::builtin::{Builtin, FRAME_MS, Player};
use crate::conference::{ConferenceMember, RoomConfig, Talker};
use crate::news::What;
use crate::watch::Ending;

/// How long somebody may take for the PIN.
const AT_THE_DOOR: std::time::Duration = std::time::Duration::from_secs(20);

/// How often it may be wrong.
const TRIES: u32 = 3;

/// The room of a call that names none.
const DEFAULT_ROOM: &str = "main";

/// Somebody who has not said the PIN yet.
#[derive(Debug)]
pub(super) struct AtTheDoor {
    room: String,
    codec: Codec,
    digits: String,
    tries: u32,
}

impl Switch {
    /// Whether a call to a room can be led there.
    ///
    /// # Errors
    /// It is full.
    pub(super) fn room_for_one(&self, name: Option<&str>) -> Result<String, (CauseCode, String)> {
        let name = name.unwrap_or(DEFAULT_ROOM);
        if !crate::builtin::is_plain(name) {
            return Err((CauseCode::UNALLOCATED, format!("{name:?} is no name of a conference")));
        }
        let most = self.room_config(name).max_members;
        let there = self.conferences.members(name).len();
        if there >= most {
            let why = format!("conference {name} is full: {there} of {most} members");
            return Err((CauseCode::USER_BUSY, why));
        }
        Ok(name.into())
    }

    fn room_config(&self, name: &str) -> RoomConfig {
        self.config.conferences.get(name).cloned().unwrap_or_default()
    }

    /// A call is answered that wants into a room.
    pub(super) fn come_to_room(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        room: String,
        codec: Codec,
    ) {
        if self.room_config(&room).pin.is_none() {
            return self.enter_room(endpoint, now, call, &room, codec);
        }
        self.players.insert(call, Player::prompt(codec, now));
        if self.legs.contains_key(&call) {
            self.ends.set(call, now + AT_THE_DOOR);
        }
        self.at_the_door.insert(call, AtTheDoor { room, codec, digits: String::new(), tries: 0 });
    }

    fn enter_room(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        room: &str,
        codec: Codec,
    ) {
        let Some(leg) = self.legs.get_mut(&call) else { return };
        self.ends.clear(&call);
        let who = leg.peer.clone().unwrap_or_else(|| leg.address.to_string());
        self.players.remove(&call);
        let config = self.room_config(room);
        match self.conferences.join(now, room, &config, call, codec, who) {
            Ok(()) => tracing::debug!("{call}: is in conference {room}"),
            Err(why) => {
                // It was let in when there was room, and came too late.
                tracing::info!("{call}: {why}");
                let _ = endpoint.hangup(now, call, CauseCode::USER_BUSY, Some("full"));
            }
        }
    }

    /// A key is pressed by somebody in a conference, or at its door. `*` is for being heard or not.
    pub(super) fn key_in_room(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        digit: u8,
        phase: DtmfPhase,
    ) {
        if phase != DtmfPhase::Begin {
            return;
        }
        let Some(waits) = self.at_the_door.get_mut(&call) else {
            if digit == b'*'
                && let Some(muted) = self.conferences.mute(call, None)
            {
                tracing::debug!("{call}: is {}", if muted { "muted" } else { "heard" });
            }
            return;
        };
        let pin = self.config.conferences.get(&waits.room).and_then(|room| room.pin.as_deref());
        // Whoever has changed the configuration may have taken the PIN away.
        let pin = pin.unwrap_or_default();
        if digit != b'#' {
            waits.digits.push(char::from(digit));
        }
        if waits.digits.len() < pin.len() && digit != b'#' {
            return;
        }
        if waits.digits == pin {
            let Some(AtTheDoor { room, codec, .. }) = self.at_the_door.remove(&call) else {
                return;
            };
            return self.enter_room(endpoint, now, call, &room, codec);
        }
        waits.digits.clear();
        waits.tries += 1;
        if waits.tries < TRIES {
            self.players.insert(call, Player::prompt(waits.codec, now));
            return;
        }
        let ending = Ending::WrongPin { room: waits.room.clone() };
        let (cause, text) = (ending.cause(), ending.text());
        if let Some(leg) = self.legs.get_mut(&call) {
            leg.marks.ending = Some(ending);
        }
        let _ = endpoint.hangup(now, call, cause, Some(text));
    }

    /// Whether a call is in a conference, or at the door of one.
    pub(super) fn is_in_room(&self, call: CallId) -> bool {
        self.legs.get(&call).is_some_and(|leg| leg.state.is_at(Builtin::Conference))
    }

    /// A call in a conference is over.
    pub(super) fn leave_room(&mut self, call: CallId) {
        self.at_the_door.remove(&call);
        if let Some(heard) = self.conferences.leave(call) {
            tracing::debug!(
                "{call}: has left its conference; mixed {} frames, {} late, {} ms made up",
                heard.frames,
                heard.late,
                heard.concealed_ms
            );
        }
    }

    /// Sends each member what it hears, when that is due.
    pub(super) fn mix(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.conferences.turn(now, |call, format, payload| {
            if endpoint.hears_us(call) {
                // The call may have ended; then its end follows.
                let _ = endpoint.send_voice(now, call, format, payload, FRAME_MS);
            }
        });
        let Self { conferences, legs, news, .. } = self;
        for Talker { room, call, who, talks } in conferences.talkers() {
            let Some(call) = legs.get(&call).map(|leg| leg.id.to_string()) else { continue };
            news.tell(|| What::ConferenceTalker { room, call, who, talks });
        }
    }

    /// All conferences that somebody is in, and who is in them, in the order in which they came.
    #[must_use]
    pub fn conferences(&self) -> Vec<(String, Vec<ConferenceMember>)> {
        let names = self.conferences.names();
        names.map(|name| (name.to_string(), self.conferences.members(name))).collect()
    }

    /// Lets the others in a conference hear a member, or not; `false` if it is in none.
    pub fn mute(&mut self, call: CallId, muted: bool) -> bool {
        self.conferences.mute(call, Some(muted)).is_some()
    }

    /// Makes a member of a conference louder or softer for the others, by -40 to 20 dB; `false` if it is
    /// in none.
    pub fn set_gain(&mut self, call: CallId, db: f32) -> bool {
        self.conferences.set_gain(call, db)
    }
}
