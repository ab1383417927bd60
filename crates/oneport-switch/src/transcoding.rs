//! Bridged calls whose legs speak different codecs, or want frames of another length. It knows nothing
//! of the engine but what it says: whoever changes this sees to the links.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use oneport_media::transcode::{Said, Transcoder, Wishes};
use oneport_proto::{CallId, DropReason, Instant, Media, Speech};
use oneport_wire::{Format, Timestamp};

/// Frames of noise, where pauses are told and the other leg cannot be told of them.
const NOISE: Duration = Duration::from_millis(20);

/// What is said on one leg, on its way to the other.
#[derive(Debug)]
struct Way {
    to: CallId,
    format: Format,
    wishes: Wishes,
    /// None while what comes is what is wanted, or is not understood here.
    transcoder: Option<Transcoder>,
    /// The format that comes.
    heard: Option<Format>,
}

impl Way {
    /// Makes itself ready for a format.
    fn hear(&mut self, format: Format) {
        if self.heard == Some(format) {
            return;
        }
        self.heard = Some(format);
        let as_it_is = format == self.format && self.wishes == Wishes::default();
        self.transcoder = match as_it_is {
            true => None,
            false => Transcoder::new(format, self.format, self.wishes),
        };
    }
}

/// Speech of the far leg.
fn speech<'a>(format: Format, said: &Said<'a>) -> Speech<'a> {
    match *said {
        Said::Voice { timestamp, payload } => {
            Speech::Voice(Media { format, timestamp: Timestamp(timestamp), payload })
        }
        Said::Pause { timestamp, level } => {
            Speech::Pause { timestamp: Timestamp(timestamp), level }
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Transcodings {
    /// By the leg that is heard.
    ways: HashMap<CallId, Way>,
    /// Legs whose calls are transcoded, or will be when they are accepted.
    places: HashSet<CallId>,
    /// Legs that have told of a pause, in place of which noise is made; and when its next frame is due.
    pauses: BTreeSet<CallId>,
    next: Option<Instant>,
    /// Frames of formats that are not understood, since the driver last asked.
    left_out: Vec<(CallId, u64)>,
}

impl Transcodings {
    /// How many calls are transcoded, or will be when they are accepted.
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    /// Takes a place for the call of a leg, if fewer than `most` are taken, or it has one.
    pub(crate) fn take(&mut self, leg: CallId, most: usize) -> bool {
        let has = self.places.contains(&leg) || self.places.len() < most;
        if has {
            self.places.insert(leg);
        }
        has
    }

    /// Begins between two legs: each with the format of what is said there, and what its peer wants.
    pub(crate) fn begin(&mut self, legs: [(CallId, Format, Wishes); 2]) {
        let [one, other] = legs;
        for ((heard, ..), (to, format, wishes)) in [(one, other), (other, one)] {
            self.pauses.remove(&heard);
            let way = Way { to, format, wishes, transcoder: None, heard: None };
            self.ways.insert(heard, way);
        }
    }

    /// Two legs are linked no more; one of them is `leg`.
    pub(crate) fn end(&mut self, leg: CallId) {
        let Some(way) = self.ways.remove(&leg) else { return };
        self.pauses.remove(&leg);
        if self.ways.get(&way.to).is_some_and(|back| back.to == leg) {
            self.ways.remove(&way.to);
            self.pauses.remove(&way.to);
        }
    }

    /// A leg is over.
    pub(crate) fn leave(&mut self, leg: CallId) {
        self.end(leg);
        self.places.remove(&leg);
    }

    /// Says on the other leg what was heard on `from`.
    pub(crate) fn translate(
        &mut self,
        now: Instant,
        from: CallId,
        heard: Speech<'_>,
        say: &mut dyn FnMut(Speech<'_>),
    ) {
        let Some(way) = self.ways.get_mut(&from) else { return };
        let format = way.format;
        match heard {
            Speech::Voice(media) => {
                way.hear(media.format);
                let (timestamp, payload) = (media.timestamp.0, media.payload);
                match &mut way.transcoder {
                    Some(transcoder) => {
                        transcoder
                            .voice(timestamp, payload, &mut |said| say(speech(format, &said)));
                    }
                    None if media.format == format => return say(heard),
                    None => return self.leave_out(from),
                }
            }
            Speech::Pause { timestamp, level } => match &mut way.transcoder {
                Some(transcoder) => {
                    transcoder.pause(timestamp.0, level, &mut |said| say(speech(format, &said)));
                }
                None => return say(heard),
            },
        }
        if way.transcoder.as_ref().is_some_and(Transcoder::makes_noise) {
            self.pauses.insert(from);
            self.next.get_or_insert(now + NOISE);
        }
    }

    fn leave_out(&mut self, leg: CallId) {
        match self.left_out.last_mut() {
            Some((of, count)) if *of == leg => *count += 1,
            _ => self.left_out.push((leg, 1)),
        }
    }

    /// What was left out since this was last asked; `None` when there is no more.
    pub(crate) fn poll_left_out(&mut self) -> Option<(DropReason, u64, Option<CallId>)> {
        let (leg, count) = self.left_out.pop()?;
        Some((DropReason::UnknownFormat, count, Some(leg)))
    }

    /// When noise is due.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Makes the noise of pauses up to `now`.
    pub(crate) fn turn(&mut self, now: Instant, mut send: impl FnMut(CallId, Speech<'_>)) {
        while let Some(next) = self.next.filter(|next| *next <= now) {
            // Where this machine slept, nobody waits for the noise of that time.
            let late = now.since(next) > 10 * NOISE;
            self.next = Some(if late { now } else { next } + NOISE);
            let Self { ways, pauses, .. } = self;
            pauses.retain(|leg| {
                let Some(way) = ways.get_mut(leg) else { return false };
                let (to, format) = (way.to, way.format);
                let Some(transcoder) = &mut way.transcoder else { return false };
                transcoder.noise(NOISE, &mut |said| send(to, speech(format, &said))).is_some()
            });
            if pauses.is_empty() {
                self.next = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
