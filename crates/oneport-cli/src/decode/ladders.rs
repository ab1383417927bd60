//! Ladders of calls in a capture: gathers their messages in the model of a ladder that the API has, and draws them.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use oneport_decode::{Kind, Seen, Story, Time, UdpDatagram};
use oneport_switch::api::model::{Ladder, LadderMessage};
use oneport_wire::Datagram;

/// Messages of a call that are kept; of a long one the rest is left out, and counted.
const MOST_MESSAGES: usize = 1_000;

/// A message of a call, and what is said of it.
#[derive(Clone, Debug)]
struct Kept {
    time: Time,
    from_first: bool,
    message: LadderMessage,
    notes: Vec<String>,
    /// Frames of voice that it stands for, where it is no message.
    voice: u64,
}

/// The messages of one call.
#[derive(Debug, Default)]
struct Gathered {
    kept: Vec<Kept>,
    left_out: u64,
    /// The place of the voice that goes on, of each side.
    voice: [Option<usize>; 2],
}

/// The ladder of a call that is over.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) ends: [SocketAddr; 2],
    pub(crate) title: String,
    kept: Vec<Kept>,
    left_out: u64,
}

/// A ladder, what all its legs meet at, and what is said behind its messages.
pub(crate) struct Scene {
    pub(crate) title: String,
    pub(crate) ladder: Ladder,
    pub(crate) here: String,
    pub(crate) notes: BTreeMap<usize, Vec<String>>,
}

/// Gathers.
#[derive(Debug, Default)]
pub(crate) struct Ladders {
    open: HashMap<u64, Gathered>,
}

impl Ladders {
    /// Takes a frame of an exchange.
    pub(crate) fn take(&mut self, datagram: &UdpDatagram<'_>, seen: &Seen<'_>) {
        let Some(exchange) = seen.exchange else { return };
        let gathered = self.open.entry(exchange).or_default();
        let (message, repeated, text, is_voice) = match &seen.frame {
            Ok(Datagram::Full(frame)) => {
                let gist = Datagram::Full(*frame).gist().to_string();
                (gist, frame.header.retransmission, frame.to_string(), false)
            }
            Ok(frame @ (Datagram::Mini(_) | Datagram::VideoMini(_))) => {
                (frame.gist().to_string(), false, String::new(), true)
            }
            Ok(Datagram::Trunk(_)) => return,
            Err(unread) => (unread.to_string(), false, String::new(), true),
        };
        let notes: Vec<String> = seen.faults.iter().map(ToString::to_string).collect();
        if is_voice && notes.is_empty() {
            let going_on = gathered.voice.get(seen.side).copied().flatten();
            if let Some(kept) = going_on.and_then(|place| gathered.kept.get_mut(place)) {
                kept.voice += 1;
                return;
            }
        }
        if gathered.kept.len() >= MOST_MESSAGES {
            gathered.left_out += 1;
            return;
        }
        let place = gathered.kept.len();
        if is_voice {
            if let Some(voice) = gathered.voice.get_mut(seen.side) {
                *voice = Some(place);
            }
        } else if !is_quiet(&message) {
            gathered.voice = [None; 2];
        }
        let message = LadderMessage {
            ms: 0.0,
            leg: 0,
            incoming: seen.side == 0,
            message,
            repeated: repeated || again(seen),
            encrypted: false,
            text,
        };
        let (time, from_first) = (datagram.time, seen.side == 0);
        gathered.kept.push(Kept { time, from_first, message, notes, voice: u64::from(is_voice) });
    }

    /// The ladder of one that is over.
    pub(crate) fn end(&mut self, story: &Story) -> Option<Drawn> {
        let Gathered { mut kept, left_out, .. } = self.open.remove(&story.number)?;
        for one in kept.iter_mut().filter(|one| one.voice > 1) {
            one.message.message = format!("{}, {} frames", one.message.message, one.voice);
        }
        let title = super::report::headline(story);
        let ends = story.sides.each_ref().map(|side| side.address);
        Some(Drawn { ends, title, kept, left_out })
    }

    /// Forgets one that is over and not wanted.
    pub(crate) fn forget(&mut self, exchange: u64) {
        self.open.remove(&exchange);
    }
}

/// What comes all the time does not part voice.
fn is_quiet(message: &str) -> bool {
    matches!(message, "ACK" | "PING" | "PONG" | "LAGRQ" | "LAGRP")
}

fn again(seen: &Seen<'_>) -> bool {
    seen.faults.iter().any(|fault| fault.kind == oneport_decode::FaultKind::Repeated)
}

/// Whether an exchange has a ladder worth drawing where all are drawn.
pub(crate) fn is_drawn(story: &Story) -> bool {
    matches!(story.kind, Kind::Call | Kind::Registration | Kind::Device)
}

/// Puts calls that meet at a host on one axis of time; those that do not stand by themselves.
pub(crate) fn scenes(drawn: Vec<Drawn>) -> Vec<Scene> {
    let meeting = match drawn.as_slice() {
        [] | [_] => None,
        [first, rest @ ..] => first
            .ends
            .into_iter()
            .rev()
            .find(|end| rest.iter().all(|other| other.ends.contains(end))),
    };
    match meeting {
        Some(here) => vec![scene(&drawn, here)],
        None => {
            let alone = |one: Drawn| {
                let [_, here] = one.ends;
                scene(std::slice::from_ref(&one), here)
            };
            drawn.into_iter().map(alone).collect()
        }
    }
}

fn scene(drawn: &[Drawn], here: SocketAddr) -> Scene {
    let mut all: Vec<(Kept, usize)> = Vec::new();
    let mut legs = Vec::new();
    for (leg, one) in drawn.iter().enumerate() {
        // The far end of a leg; a call of a host to itself has the same at both.
        let [from, to] = one.ends;
        let far_began = from != here || to == here;
        legs.push(super::short(if far_began { from } else { to }));
        for kept in &one.kept {
            let mut kept = kept.clone();
            kept.message.leg = leg;
            kept.message.incoming = kept.from_first == far_began;
            all.push((kept, leg));
        }
        if one.left_out > 0
            && let Some((last, _)) = all.last_mut()
        {
            last.notes.push(format!("{} more frames are left out", one.left_out));
        }
    }
    all.sort_by_key(|(kept, _)| kept.time);
    let began = all.first().map(|(kept, _)| kept.time).unwrap_or_default();
    let mut notes = BTreeMap::new();
    let mut messages = Vec::with_capacity(all.len());
    for (place, (mut kept, _)) in all.into_iter().enumerate() {
        kept.message.ms = crate::live::millis(kept.time.since(began));
        if !kept.notes.is_empty() {
            notes.insert(place, kept.notes);
        }
        messages.push(kept.message);
    }
    let titles: Vec<&str> = drawn.iter().map(|one| one.title.as_str()).collect();
    Scene {
        title: titles.join("\n"),
        ladder: Ladder { legs, messages },
        here: super::short(here),
        notes,
    }
}
