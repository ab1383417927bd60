//! Conferences: rooms whose members hear each other. It knows nothing of calls but their handles, and
//! of time what it is told.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use oneport_media::mixer::{Input, InputStats, MemberId, Mixer};
use oneport_media::{Codec, Encoder, Rate, tone};
use oneport_proto::{CallId, Instant};
use oneport_wire::Format;

use crate::builtin::FRAME_MS;

/// Time between two turns.
const TURN: Duration = Duration::from_millis(FRAME_MS as u64);

/// Rooms that are further behind than this, as on a machine that slept, go on from now.
const FURTHEST_BEHIND: Duration = Duration::from_secs(1);

/// What a room is like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RoomConfig {
    /// Digits that let somebody in.
    pub(crate) pin: Option<String>,
    pub(crate) max_members: usize,
    /// Whether a tone tells who is there that somebody comes or goes.
    pub(crate) announce: bool,
    /// Whether who comes in is not heard before it wants to be.
    pub(crate) muted: bool,
    /// The rate at which it is mixed, in samples a second.
    pub(crate) rate: u32,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self { pin: None, max_members: 32, announce: true, muted: false, rate: 8_000 }
    }
}

/// A member of a conference.
///
/// ```
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let driver = start("");
/// for (room, members) in driver.with(|_, switch, _| switch.conferences()).await? {
///     let talk = members.iter().filter(|member| member.talks && !member.muted);
///     println!("{room}: {} of {} speak", talk.count(), members.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct ConferenceMember {
    /// Its call.
    pub call: CallId,
    /// Who it is: a peer's name.
    pub who: String,
    /// Whether the others hear it.
    pub muted: bool,
    /// For how long it has been there.
    pub since: Instant,
    /// By how many dB it is made louder for the others.
    pub gain_db: f32,
    /// Whether it speaks.
    pub talks: bool,
    /// What was heard of it.
    pub heard: InputStats,
}

/// A member has begun to speak, or ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Talker {
    pub(crate) room: String,
    pub(crate) call: CallId,
    pub(crate) who: String,
    pub(crate) talks: bool,
}

struct Member {
    call: CallId,
    id: MemberId,
    who: String,
    since: Instant,
    codec: Codec,
    encoder: Box<dyn Encoder>,
    /// What it says.
    input: Input,
    /// Whether it was told that it speaks.
    talks: bool,
    /// From the rate of the room to that of its codec.
    to_codec: Rate,
}

struct Room {
    config: RoomConfig,
    mixer: Mixer,
    members: Vec<Member>,
    /// Tones that tell that somebody comes or goes.
    comes: Vec<i16>,
    goes: Vec<i16>,
    /// The one that is to be heard, and how much of it was.
    announcement: Option<(Tone, usize)>,
}

#[derive(Clone, Copy)]
enum Tone {
    Comes,
    Goes,
}

/// All rooms. One is there while somebody is in it.
#[derive(Default)]
pub(crate) struct Conferences {
    rooms: BTreeMap<String, Room>,
    members: HashMap<CallId, String>,
    /// When the next turn is due.
    next: Option<Instant>,
    /// When it first was.
    origin: Option<Instant>,
    /// Who has begun to speak, or ended.
    talkers: Vec<Talker>,
    /// What is worked on, kept so that frames cost no allocation.
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    tone: Vec<i16>,
    mix: Vec<i16>,
    samples: Vec<i16>,
    payload: Vec<u8>,
}

/// Two tones of 100 ms, each a whole number of turns.
fn two_tones(first: f64, second: f64, rate: u32) -> Vec<i16> {
    let tone = |frequency| tone::Sine::new(frequency, rate, 0.1).take(rate as usize / 10);
    tone(first).chain(tone(second)).collect()
}

impl Conferences {
    /// Lets a call into a room.
    ///
    /// # Errors
    /// In words: it is full.
    pub(crate) fn join(
        &mut self,
        now: Instant,
        name: &str,
        config: &RoomConfig,
        call: CallId,
        codec: Codec,
        who: String,
    ) -> Result<(), String> {
        let room = self.rooms.entry(name.into()).or_insert_with(|| Room::new(config));
        // Its rate is that of its first member, as long as anybody is in it.
        room.config = config.clone();
        let most = room.config.max_members;
        if room.members.len() >= most {
            let there = room.members.len();
            return Err(format!("conference {name} is full: {there} of {most} members"));
        }
        let id = room.mixer.join();
        room.mixer.set_muted(id, config.muted);
        room.announce(Tone::Comes);
        room.members.push(Member {
            call,
            id,
            who,
            since: now,
            codec,
            encoder: codec.encoder(),
            input: Input::new(room.mixer.sample_rate()),
            talks: false,
            to_codec: Rate::between(room.mixer.sample_rate(), codec.sample_rate()),
        });
        self.members.insert(call, name.into());
        self.origin.get_or_insert(now);
        self.next.get_or_insert(now + TURN);
        Ok(())
    }

    /// A call is over. What was heard of it, if it was a member.
    pub(crate) fn leave(&mut self, call: CallId) -> Option<InputStats> {
        let name = self.members.remove(&call)?;
        let room = self.rooms.get_mut(&name)?;
        let place = room.members.iter().position(|member| member.call == call)?;
        let member = room.members.remove(place);
        let heard = member.input.stats();
        room.mixer.leave(member.id);
        room.announce(Tone::Goes);
        if room.members.is_empty() {
            self.rooms.remove(&name);
        }
        if self.rooms.is_empty() {
            self.next = None;
        }
        Some(heard)
    }

    fn find(&mut self, call: CallId) -> Option<(&mut Room, usize)> {
        let room = self.rooms.get_mut(self.members.get(&call)?)?;
        let place = room.members.iter().position(|member| member.call == call)?;
        Some((room, place))
    }

    /// Whether it was changed: `muted` says whether the others shall not hear a member; `None` changes
    /// it to what it is not. What it is then.
    pub(crate) fn mute(&mut self, call: CallId, muted: Option<bool>) -> Option<bool> {
        let (room, place) = self.find(call)?;
        let id = room.members.get(place)?.id;
        let muted = muted.unwrap_or(!room.mixer.is_muted(id)?);
        room.mixer.set_muted(id, muted);
        Some(muted)
    }

    /// Whether it was changed: a member is louder for the others by so many dB.
    pub(crate) fn set_gain(&mut self, call: CallId, db: f32) -> bool {
        let Some((room, place)) = self.find(call) else { return false };
        let Some(member) = room.members.get(place) else { return false };
        room.mixer.set_gain(member.id, db);
        true
    }

    /// Who is in a room, in the order in which they came.
    pub(crate) fn members(&self, name: &str) -> Vec<ConferenceMember> {
        let Some(room) = self.rooms.get(name) else { return Vec::new() };
        let member = |member: &Member| ConferenceMember {
            call: member.call,
            who: member.who.clone(),
            muted: room.mixer.is_muted(member.id).unwrap_or(false),
            since: member.since,
            gain_db: room.mixer.gain(member.id).unwrap_or(0.0),
            talks: room.mixer.talks(member.id),
            heard: member.input.stats(),
        };
        room.members.iter().map(member).collect()
    }

    /// The room that a call is in.
    pub(crate) fn room_of(&self, call: CallId) -> Option<&str> {
        self.members.get(&call).map(String::as_str)
    }

    /// The names of all rooms.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.rooms.keys().map(String::as_str)
    }

    /// Time since somebody first came in.
    fn since_origin(&self, now: Instant) -> Duration {
        self.origin.map(|origin| now.since(origin)).unwrap_or_default()
    }

    /// Takes what a member says, which has come at `now`. Of a format that is not spoken here nothing is
    /// heard; whether it is.
    pub(crate) fn hear(
        &mut self,
        now: Instant,
        call: CallId,
        format: Format,
        timestamp: u32,
        payload: &[u8],
    ) -> bool {
        let now = self.since_origin(now);
        let Some((room, place)) = self.find(call) else { return true };
        let Some(member) = room.members.get_mut(place) else { return true };
        member.input.hear(now, format, timestamp, payload)
    }

    /// A member says that a pause of this many −dBov begins at its `timestamp`, in which it sends nothing.
    /// Noise is heard of it until it speaks.
    pub(crate) fn pause(&mut self, call: CallId, timestamp: u32, level: u8) {
        if let Some((room, place)) = self.find(call)
            && let Some(member) = room.members.get_mut(place)
        {
            member.input.pause(timestamp, level);
        }
    }

    /// When [`turn`](Self::turn) is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Goes on to `now`: `send` gets a frame for each member.
    pub(crate) fn turn(&mut self, now: Instant, mut send: impl FnMut(CallId, Format, &[u8])) {
        while let Some(next) = self.next.filter(|next| *next <= now) {
            let behind = now.since(next) > FURTHEST_BEHIND;
            let at = self.since_origin(next);
            self.next = Some(if behind { now } else { next } + TURN);
            for (name, room) in &mut self.rooms {
                room.turn(at, &mut self.scratch, &mut send);
                room.note_talkers(name, &mut self.talkers);
            }
        }
    }

    /// Who has begun to speak, or ended, since this was last asked.
    pub(crate) fn talkers(&mut self) -> impl Iterator<Item = Talker> {
        self.talkers.drain(..)
    }
}

impl Room {
    fn new(config: &RoomConfig) -> Self {
        Self {
            mixer: Mixer::new(config.rate),
            members: Vec::new(),
            comes: two_tones(440.0, 660.0, config.rate),
            goes: two_tones(660.0, 440.0, config.rate),
            announcement: None,
            config: config.clone(),
        }
    }

    fn announce(&mut self, tone: Tone) {
        if self.config.announce {
            self.announcement = Some((tone, 0));
        }
    }

    /// Names those who have begun to speak, or ended.
    fn note_talkers(&mut self, room: &str, talkers: &mut Vec<Talker>) {
        let Self { mixer, members, .. } = self;
        for member in members {
            let talks = mixer.talks(member.id);
            if std::mem::replace(&mut member.talks, talks) != talks {
                let (room, who) = (room.to_string(), member.who.clone());
                talkers.push(Talker { room, call: member.call, who, talks });
            }
        }
    }

    /// The next 20 ms of the tone that is to be heard.
    fn announcement(&mut self) -> &[i16] {
        let Some((tone, heard)) = self.announcement else { return &[] };
        let whole = match tone {
            Tone::Comes => &self.comes,
            Tone::Goes => &self.goes,
        };
        let end = heard + self.mixer.frame();
        self.announcement = (end < whole.len()).then_some((tone, end));
        whole.get(heard..end).unwrap_or_default()
    }

    fn turn(
        &mut self,
        now: Duration,
        scratch: &mut Scratch,
        send: &mut impl FnMut(CallId, Format, &[u8]),
    ) {
        let Scratch { tone, mix, samples, payload } = scratch;
        self.mixer.turn();
        for member in &mut self.members {
            samples.clear();
            member.input.pull(now, samples);
            self.mixer.say(member.id, samples);
        }
        let frame = self.mixer.frame();
        tone.clear();
        tone.extend_from_slice(self.announcement());
        for member in &mut self.members {
            mix.clear();
            mix.resize(frame, 0);
            self.mixer.mix(member.id, mix);
            for (sample, tone) in mix.iter_mut().zip(&*tone) {
                *sample = sample.saturating_add(*tone);
            }
            samples.clear();
            member.to_codec.pass(mix, samples);
            payload.clear();
            member.encoder.encode(samples, payload);
            send(member.call, member.codec.format(), payload);
        }
    }
}

#[cfg(test)]
mod tests;
