//! Bridged calls whose legs speak different codecs, or want frames of another length. It knows nothing
//! of the engine but what it says: whoever changes this sees to the links.

mod places;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use oneport::Transcoding;
use oneport_media::transcode::{Said, Transcoder, Wishes};
use oneport_proto::{CallId, DropReason, Instant, Media, Speech};
use oneport_wire::{Format, Timestamp};

pub(crate) use places::{Places, Ticket};

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

/// How translating fared of what a leg hears.
#[derive(Clone, Copy, Debug, Default)]
struct Effort {
    /// Of links that are over, and of frames.
    past: Transcoding,
    /// Of this link: when its first and its last frame came, and how long all work had taken before the
    /// one and behind the other.
    link: Option<[(Instant, Duration); 2]>,
}

impl Effort {
    fn note(&mut self, now: Instant, took: Duration, waited: Duration, all: Duration) {
        let [first, _] = self.link.unwrap_or_else(|| [(now, all.saturating_sub(took)); 2]);
        self.link = Some([first, (now, all)]);
        self.past.frames += 1;
        self.past.late += u64::from(waited >= Transcoding::LATE);
        self.past.longest = self.past.longest.max(waited);
    }

    fn so_far(&self) -> Transcoding {
        let Some([(begun, before), (now, behind)]) = self.link else { return self.past };
        let time = self.past.time + now.since(begun);
        Transcoding { time, busy: self.past.busy + behind.saturating_sub(before), ..self.past }
    }

    /// The link is over.
    fn end(&mut self) {
        *self = Self { past: self.so_far(), link: None };
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Transcodings {
    /// By the leg that is heard.
    ways: HashMap<CallId, Way>,
    /// By the leg that hears, until it is over.
    efforts: HashMap<CallId, Effort>,
    /// How long all work has taken; and that for what has come at one moment.
    worked: Duration,
    batch: Option<(Instant, Duration)>,
    /// What may be transcoded of all, and legs whose calls are, or will be when they are accepted.
    places: Places,
    tickets: HashMap<CallId, Ticket>,
    /// Legs that have told of a pause, in place of which noise is made; and when its next frame is due.
    pauses: BTreeSet<CallId>,
    next: Option<Instant>,
    /// Frames of formats that are not understood, since the driver last asked.
    left_out: Vec<(CallId, u64)>,
}

impl Transcodings {
    /// How many calls are transcoded, or will be when they are accepted: here, and by whoever shares the
    /// places.
    pub(crate) fn count(&self) -> usize {
        self.places.taken()
    }

    /// How long all of it has taken.
    pub(crate) const fn worked(&self) -> Duration {
        self.worked
    }

    /// From now on the places are these, which somebody else has a share in.
    pub(crate) fn share(&mut self, places: Places) {
        for ticket in self.tickets.values_mut() {
            *ticket = ticket.moved_to(&places);
        }
        self.places = places;
    }

    /// Takes a place for the call of a leg, if fewer than `most` are taken, or it has one.
    pub(crate) fn take(&mut self, leg: CallId, most: usize) -> bool {
        self.places.set_most(most);
        let has = self.tickets.contains_key(&leg);
        let ticket = self.tickets.entry(leg).or_insert_with(|| Ticket::new(&self.places));
        if has || ticket.take() {
            return true;
        }
        self.tickets.remove(&leg);
        false
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
        for leg in [leg, way.to] {
            if let Some(effort) = self.efforts.get_mut(&leg) {
                effort.end();
            }
        }
        self.pauses.remove(&leg);
        if self.ways.get(&way.to).is_some_and(|back| back.to == leg) {
            self.ways.remove(&way.to);
            self.pauses.remove(&way.to);
        }
    }

    /// A leg is over.
    pub(crate) fn leave(&mut self, leg: CallId) {
        self.end(leg);
        self.tickets.remove(&leg);
        self.efforts.remove(&leg);
    }

    /// To say what had come at `now` for the leg `to` took so long.
    pub(crate) fn took(&mut self, now: Instant, to: CallId, took: Duration) {
        let before = match self.batch {
            Some((at, before)) if at == now => before,
            _ => Duration::ZERO,
        };
        let waited = before.saturating_add(took);
        self.batch = Some((now, waited));
        self.worked = self.worked.saturating_add(took);
        self.efforts.entry(to).or_default().note(now, took, waited, self.worked);
    }

    /// How translating fared of what a leg hears; `None`: there was none.
    pub(crate) fn effort(&self, leg: CallId) -> Option<Transcoding> {
        Some(self.efforts.get(&leg)?.so_far())
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
