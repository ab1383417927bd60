//! Conferences: rooms whose members hear each other. It knows nothing of calls but their handles, and
//! of time what it is told.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use oneport_media::comfort_noise::ComfortNoise;
use oneport_media::half_band::{Doubler, Halver};
use oneport_media::mixer::{FRAME, Heard, MemberId, Mixer, SAMPLE_RATE};
use oneport_media::{Codec, Encoder, Listener, tone};
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
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self { pin: None, max_members: 32, announce: true, muted: false }
    }
}

/// A member of a conference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConferenceMember {
    /// Its call.
    pub call: CallId,
    /// Who it is: a peer's name.
    pub who: String,
    /// Whether the others hear it.
    pub muted: bool,
    /// For how long it has been there.
    pub since: Instant,
    /// What was heard of it.
    pub heard: Heard,
}

struct Member {
    call: CallId,
    id: MemberId,
    who: String,
    since: Instant,
    codec: Codec,
    encoder: Box<dyn Encoder>,
    listener: Listener,
    halver: Halver,
    doubler: Doubler,
    /// Where what it has said ends, by its own clock in ms, and then its silence up to now.
    end: u32,
    /// Whether it has spoken since the last turn.
    spoke: bool,
    /// What is heard of it while it sends nothing, since it has told of a pause.
    pause: Option<ComfortNoise>,
}

#[derive(Default)]
struct Room {
    config: RoomConfig,
    mixer: Mixer,
    members: Vec<Member>,
    /// The tone that is to be heard, and how much of it was.
    announcement: Option<(Tone, usize)>,
}

#[derive(Clone, Copy)]
enum Tone {
    Comes,
    Goes,
}

/// All rooms. One is there while somebody is in it.
pub(crate) struct Conferences {
    rooms: BTreeMap<String, Room>,
    members: HashMap<CallId, String>,
    /// When the next turn is due.
    next: Option<Instant>,
    comes: Vec<i16>,
    goes: Vec<i16>,
    /// What is worked on, kept so that frames cost no allocation.
    samples: Vec<i16>,
    narrow: Vec<i16>,
    payload: Vec<u8>,
}

impl Default for Conferences {
    fn default() -> Self {
        Self {
            rooms: BTreeMap::new(),
            members: HashMap::new(),
            next: None,
            comes: two_tones(440.0, 660.0),
            goes: two_tones(660.0, 440.0),
            samples: Vec::with_capacity(2 * FRAME),
            narrow: Vec::with_capacity(2 * FRAME),
            payload: Vec::with_capacity(4 * FRAME),
        }
    }
}

/// Two tones of 100 ms, each a whole number of turns.
fn two_tones(first: f64, second: f64) -> Vec<i16> {
    let tone = |frequency| tone::Sine::new(frequency, SAMPLE_RATE, 0.1).take(5 * FRAME);
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
        let room = self.rooms.entry(name.into()).or_default();
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
            listener: Listener::default(),
            halver: Halver::default(),
            doubler: Doubler::default(),
            end: 0,
            spoke: false,
            pause: None,
        });
        self.members.insert(call, name.into());
        self.next.get_or_insert(now + TURN);
        Ok(())
    }

    /// A call is over. What was heard of it, if it was a member.
    pub(crate) fn leave(&mut self, call: CallId) -> Option<Heard> {
        let name = self.members.remove(&call)?;
        let room = self.rooms.get_mut(&name)?;
        let place = room.members.iter().position(|member| member.call == call)?;
        let member = room.members.remove(place);
        let heard = room.mixer.heard(member.id);
        room.mixer.leave(member.id);
        room.announce(Tone::Goes);
        if room.members.is_empty() {
            self.rooms.remove(&name);
        }
        if self.rooms.is_empty() {
            self.next = None;
        }
        heard
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

    /// Who is in a room, in the order in which they came.
    pub(crate) fn members(&self, name: &str) -> Vec<ConferenceMember> {
        let Some(room) = self.rooms.get(name) else { return Vec::new() };
        let member = |member: &Member| ConferenceMember {
            call: member.call,
            who: member.who.clone(),
            muted: room.mixer.is_muted(member.id).unwrap_or(false),
            since: member.since,
            heard: room.mixer.heard(member.id).unwrap_or_default(),
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

    /// Takes what a member says. Of a format that is not spoken here nothing is heard; whether it is.
    pub(crate) fn hear(
        &mut self,
        call: CallId,
        format: Format,
        timestamp: u32,
        payload: &[u8],
    ) -> bool {
        let (mut samples, mut narrow) =
            (std::mem::take(&mut self.samples), std::mem::take(&mut self.narrow));
        let mut spoken = true;
        if let Some((room, place)) = self.find(call)
            && let Some(member) = room.members.get_mut(place)
        {
            samples.clear();
            (member.pause, member.spoke) = (None, true);
            let codec = member.listener.hear(format, payload, &mut samples);
            if let Some(codec) = codec {
                let lasts = samples.len() / codec.samples_in(1);
                member.end = timestamp.wrapping_add(u32::try_from(lasts).unwrap_or(0));
            }
            match codec.map(Codec::sample_rate) {
                None => spoken = false,
                Some(SAMPLE_RATE) => room.mixer.push(member.id, timestamp, &samples),
                Some(_) => {
                    narrow.clear();
                    member.halver.halve(&samples, &mut narrow);
                    room.mixer.push(member.id, timestamp, &narrow);
                }
            }
        }
        (self.samples, self.narrow) = (samples, narrow);
        spoken
    }

    /// A member says that a pause of this many −dBov begins, in which it sends nothing. Noise is heard
    /// of it until it speaks.
    pub(crate) fn pause(&mut self, call: CallId, level: u8) {
        if let Some((room, place)) = self.find(call)
            && let Some(member) = room.members.get_mut(place)
        {
            member.pause = Some(ComfortNoise::new(level));
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
            self.next = Some(if behind { now } else { next } + TURN);
            let Self { rooms, comes, goes, samples, payload, .. } = self;
            for room in rooms.values_mut() {
                room.turn(comes, goes, samples, payload, &mut send);
            }
        }
    }
}

impl Room {
    fn announce(&mut self, tone: Tone) {
        if self.config.announce {
            self.announcement = Some((tone, 0));
        }
    }

    fn turn(
        &mut self,
        comes: &[i16],
        goes: &[i16],
        samples: &mut Vec<i16>,
        payload: &mut Vec<u8>,
        send: &mut impl FnMut(CallId, Format, &[u8]),
    ) {
        for member in &mut self.members {
            if let Some(noise) = &mut member.pause {
                samples.clear();
                noise.extend(FRAME, samples);
                self.mixer.push(member.id, member.end, samples);
            }
            if !std::mem::take(&mut member.spoke) || member.pause.is_some() {
                member.end = member.end.wrapping_add(u32::from(FRAME_MS));
            }
        }
        self.mixer.turn();
        let tone = self.announcement.map(|(tone, heard)| {
            let whole = match tone {
                Tone::Comes => comes,
                Tone::Goes => goes,
            };
            whole.get(heard..heard + FRAME).unwrap_or_default()
        });
        self.announcement = match (self.announcement, tone) {
            (Some((tone, heard)), Some(part)) if !part.is_empty() => Some((tone, heard + FRAME)),
            _ => None,
        };
        let mut mix = [0; FRAME];
        for member in &mut self.members {
            self.mixer.mix(member.id, &mut mix);
            for (sample, tone) in mix.iter_mut().zip(tone.unwrap_or_default()) {
                *sample = sample.saturating_add(*tone);
            }
            payload.clear();
            if member.codec.sample_rate() == SAMPLE_RATE {
                member.encoder.encode(&mix, payload);
            } else {
                samples.clear();
                member.doubler.double(&mix, samples);
                member.encoder.encode(samples, payload);
            }
            send(member.call, member.codec.format(), payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use oneport_media::comfort_noise::level_of;
    use oneport_proto::{Endpoint, NewCall};

    use super::*;

    #[test]
    fn who_tells_of_a_pause_is_heard_as_noise_until_it_speaks() {
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let mut endpoint = Endpoint::new(Default::default(), [0; 32], at(0));
        let [ann, bob] = [1, 2].map(|last| {
            let to = std::net::SocketAddr::from(([192, 0, 2, last], 4569));
            endpoint.place_call(at(0), to, NewCall::to("1")).expect("placed")
        });
        let mut rooms = Conferences::default();
        let config = RoomConfig { announce: false, ..RoomConfig::default() };
        for call in [ann, bob] {
            rooms.join(at(0), "main", &config, call, Codec::Slin, "x".into()).expect("room");
        }
        let hears = |rooms: &mut Conferences, ms: u64| {
            let mut heard = Vec::new();
            rooms.turn(at(ms), |call, _, payload| {
                if call == bob {
                    Codec::Slin.decode(payload, &mut heard);
                }
            });
            level_of(&heard)
        };
        for n in 0..50_u32 {
            match n {
                0..5 | 40.. => drop(rooms.hear(ann, Format::SLIN, n * 20, &[0; 320])),
                10 => rooms.pause(ann, 40),
                _ => {}
            }
            let level = hears(&mut rooms, u64::from(n + 1) * 20);
            match n {
                14..40 => assert!(level.abs_diff(40) <= 3, "{n}: {level}"),
                44.. => assert_eq!(level, 127, "{n}"),
                ..10 => assert_eq!(level, 127, "{n}"),
                _ => {}
            }
        }
    }
}
