//! Calls that end here: built-in destinations and their voice.

use std::time::Duration;

use oneport::probe::Reflector;
use oneport_media::Codec;
use oneport_media::progress::Progress;
use oneport_proto::{CallId, CodecPriority, Endpoint, Instant, Media, Speech, negotiate};
use oneport_wire::{CauseCode, Format, FormatSet};

use super::parking::{Parked, Slot};
use super::{State, Switch};
use crate::builtin::{Announcement, Builtin, FRAME_MS, Place, Player};
use crate::routing::Target;

/// How long a player waits behind its last frame before it hangs up, so that the far end's jitter
/// buffer plays all of it.
pub(super) const AFTER_PLAYBACK: Duration = Duration::from_millis(500);

/// The class of music that is played where none is named.
pub(super) const DEFAULT_MUSIC: &str = "default";

impl Switch {
    /// Answers a call here.
    pub(super) fn enter_builtin(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        place: &Place,
    ) -> Result<(), (CauseCode, String)> {
        let builtin = place.builtin;
        self.end_ringing(endpoint, call);
        let Some(leg) = self.legs.get(&call) else { return Ok(()) };
        let State::Caller(caller) = &leg.state else { return Ok(()) };
        // What the route names goes before what was dialled.
        let dialled = Place::find(&caller.offer.called_number);
        let dialled = dialled.filter(|dialled| dialled.builtin == builtin);
        let argument = place.argument.clone().or_else(|| dialled?.argument);
        let slot = match builtin {
            Builtin::Park => Some(self.parking_slot(call, argument.as_deref())?),
            _ => None,
        };
        if let Some(Slot::Taken(waits)) = slot {
            return self.fetch(endpoint, now, call, waits);
        }
        let room = match builtin {
            Builtin::Conference => Some(self.room_for_one(argument.as_deref())?),
            _ => None,
        };
        let peer = leg.peer.as_ref().and_then(|name| self.config.peers.get(name));
        let format = caller.accepted.or_else(|| {
            let mut ours = peer.map_or_else(default_formats, |peer| peer.codecs.clone());
            if builtin.needs_codec() {
                ours.retain(|format| Codec::for_format(*format).is_some());
            }
            let priority = peer.map_or(CodecPriority::Host, |peer| peer.priority);
            negotiate(priority, &ours, &caller.offer)
        });
        let no_codec = || (CauseCode::BEARER_NOT_AVAILABLE, "no common codec".to_string());
        let format = format.ok_or_else(no_codec)?;
        let codec = Codec::for_format(format);
        let (bounds, accepted) = (caller.bounds.clone(), caller.accepted.is_some());
        let files = &self.config.files;
        let player = 'player: {
            match (builtin, codec) {
                (Builtin::Milliwatt, Some(codec)) => Some(Player::milliwatt(codec, now)),
                (Builtin::Playback, Some(codec)) => {
                    let not_there = |why| (CauseCode::UNALLOCATED, why);
                    let Some(name) = argument.as_deref() else {
                        break 'player Some(Player::melody(codec, now));
                    };
                    let path = Player::file(files.playback.as_deref(), name).map_err(not_there)?;
                    let rate = codec.sample_rate();
                    match self.read.take().and_then(|read| read.of(call, &path, rate)) {
                        Some(samples) => {
                            Some(Player::once(codec, now, samples.map_err(not_there)?))
                        }
                        None => {
                            self.reader.ask(now, call, path, rate).map_err(not_there)?;
                            self.await_file(call, place);
                            return Ok(());
                        }
                    }
                }
                (Builtin::Music, Some(codec)) => {
                    let name = argument.as_deref().unwrap_or(DEFAULT_MUSIC);
                    let no_music =
                        || (CauseCode::UNALLOCATED, format!("there is no music `{name}`"));
                    let class = self.config.music.get(name).cloned().ok_or_else(no_music)?;
                    Some(Player::music(codec, now, class))
                }
                (Builtin::Congestion, Some(codec)) => {
                    let country = peer.and_then(|peer| peer.tones).unwrap_or(self.config.tones);
                    Some(Announcement::Tone(Progress::Congestion).player(codec, now, country))
                }
                (Builtin::Park, Some(codec)) => self.parking_music(now, codec),
                (Builtin::Echo | Builtin::Probe | Builtin::Park, _)
                | (Builtin::Record | Builtin::Conference, Some(_)) => None,
                _ => return Err(no_codec()),
            }
        };
        let video = match (builtin, peer) {
            (Builtin::Echo, Some(peer)) => peer.video,
            _ => FormatSet::EMPTY,
        };
        let _ = endpoint.allow_video(call, video);
        let Some(leg) = self.legs.get_mut(&call) else { return Ok(()) };
        let id = leg.id;
        tracing::debug!("{call}: {} calls {builtin}, {format}", leg.who());
        leg.to = Some(match &argument {
            Some(argument) => format!("{builtin}/{argument}, {format}"),
            None => format!("{builtin}, {format}"),
        });
        if !accepted {
            // The caller may have gone; then its end follows.
            let _ = endpoint.accept(now, call, format);
        }
        let _ = endpoint.answer(now, call);
        let entered = Place { builtin, argument };
        let state = std::mem::replace(&mut leg.state, State::Builtin(Box::new(entered)));
        self.book.led_to(call, format!("builtin:{builtin}"));
        self.book.answered(now, call);
        let mut bounds = peer.map(|peer| peer.bounds.clone()).unwrap_or_default().and(bounds);
        if player.is_some() || builtin == Builtin::Park {
            // Who listens need not speak.
            bounds.silence = None;
        }
        self.watches.begin(now, call, bounds);
        if let Some(player) = player {
            self.players.insert(call, player);
        }
        match (builtin, codec) {
            (Builtin::Echo, _) => drop(endpoint.link(call, call)),
            (Builtin::Probe, _) => {
                self.reflectors.insert(call, Reflector::default());
                // It has just been accepted, or has ended meanwhile.
                let _ = endpoint.link_translated(call, call);
            }
            (Builtin::Record, Some(codec)) => {
                self.ends.set(call, now + files.longest_recording);
                let directory = files.record.clone();
                let wanted = (files.rate.unwrap_or_else(|| codec.sample_rate()), files.depth);
                self.recordings.begin((call, id), wanted, directory, self.span(call));
            }
            (Builtin::Conference, Some(codec)) => {
                self.come_to_room(endpoint, now, call, room.unwrap_or_default(), codec);
            }
            (Builtin::Park, _) => {
                if let (Some(Slot::Free(slot)), State::Caller(caller)) = (slot, state) {
                    self.park(now, call, slot, Parked { caller, format });
                }
            }
            _ => {}
        }
        self.call_answered(now, call);
        Ok(())
    }

    /// Sends back what is heard of a probe, with what it asks for.
    pub(super) fn reflect(
        &mut self,
        now: Instant,
        call: CallId,
        heard: Media<'_>,
        say: &mut dyn FnMut(Speech<'_>),
    ) {
        let Some(reflector) = self.reflectors.get_mut(&call) else { return };
        self.payload.clear();
        self.payload.extend_from_slice(heard.payload);
        reflector.reflect(now.as_micros(), &mut self.payload);
        say(Speech::Voice(Media { payload: &self.payload, ..heard }));
    }

    /// A call comes here again when its file has been read.
    fn await_file(&mut self, call: CallId, place: &Place) {
        if let Some(State::Caller(caller)) = self.legs.get_mut(&call).map(|leg| &mut leg.state) {
            caller.left.push_front(vec![Target::Builtin(place.clone())]);
        }
    }

    /// Leads calls on whose files have been read.
    pub(super) fn files_read(&mut self, endpoint: &mut Endpoint, now: Instant) {
        while let Some(read) = self.reader.poll(now) {
            let call = read.call;
            let _inside = self.span(call).entered();
            let waits = match self.legs.get(&call).map(|leg| &leg.state) {
                Some(State::Caller(caller)) => {
                    matches!(caller.left.front().map(Vec::as_slice), Some([Target::Builtin(_)]))
                        && caller.called.is_empty()
                }
                _ => false,
            };
            if waits {
                self.read = Some(read);
                self.try_next(endpoint, now, call, CauseCode::NO_ROUTE);
            }
        }
    }

    pub(super) fn play(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let mut done = Vec::new();
        for (call, player) in &mut self.players {
            if !endpoint.hears_us(*call) {
                // It begins with its first frame when that can leave.
                player.wait(now);
            }
            while player.next <= now {
                if !player.frame(now, &mut self.payload) {
                    done.push((*call, player.hangs_up));
                    break;
                }
                if self.inband.speaks(*call) {
                    // It hears keys in place of this.
                    continue;
                }
                let format = player.codec.format();
                // The call may have ended; then its end follows.
                let _ = endpoint.send_voice(now, *call, format, &self.payload, FRAME_MS);
            }
        }
        for (call, hangs_up) in done {
            self.players.remove(&call);
            if hangs_up && self.legs.contains_key(&call) {
                self.ends.set(call, now + AFTER_PLAYBACK);
            }
        }
    }
}

/// What a guest may speak.
pub(super) fn default_formats() -> Vec<Format> {
    vec![Format::ULAW, Format::ALAW, Format::SLIN, Format::SLIN16, Format::GSM, Format::G722]
}
