//! Keys that are tones in the voice of a leg, heard and said there. It knows nothing of calls but their
//! handles and codecs: whoever owns it leads keys to where they go.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use oneport_media::dtmf::{Detector, Key, Keyer};
use oneport_media::{Codec, Encoder, Listener};
use oneport_proto::{CallId, DtmfPhase, Endpoint, Instant, Media};
use oneport_wire::Format;

use crate::builtin::FRAME_MS;

/// Time between two frames that are made here.
const TURN: Duration = Duration::from_millis(FRAME_MS as u64);

/// One that is further behind than this, as on a machine that slept, goes on from now.
const FURTHEST_BEHIND: Duration = Duration::from_secs(1);

/// When nothing has come of a voice for so long, no key is down in it.
const SILENCE: Duration = Duration::from_millis(300);

/// A frame this near to the end of the one before, in ms, follows it: timestamps are of a clock that is
/// not the samples' own. What is further behind is late, unless the sender's clock was set back.
const SEAM_MS: i32 = 10;
const LATEST_MS: i32 = 1_000;

/// What is missing between two frames up to this is lost, and a tone goes on through it; what is more
/// is a pause.
const LONGEST_LOSS_MS: i32 = 60;

/// How keys come from a peer, and go to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct KeyRule {
    /// Its voice is listened to for them.
    pub(crate) hears: bool,
    /// They are said in the voice that goes to it.
    pub(crate) speaks: bool,
    /// What is heard so goes on to the other party, too.
    pub(crate) passes: bool,
}

/// The voice of a leg, listened to.
#[derive(Default)]
struct Ear {
    listener: Listener,
    /// For voice at a rate.
    detector: Option<(u32, Detector)>,
    /// The end of the newest frame, by the sender's clock in ms.
    end: Option<u32>,
    /// When it came.
    came: Option<Instant>,
    /// Who is kept from hearing it now.
    keeps_from: Option<CallId>,
}

impl Ear {
    fn suspects(&self) -> bool {
        self.detector.as_ref().is_some_and(|(_, detector)| detector.suspects())
    }

    /// Takes a frame; `tell` gets what becomes of keys.
    fn hear(
        &mut self,
        now: Instant,
        media: Media<'_>,
        samples: &mut Vec<i16>,
        mut tell: impl FnMut(Key),
    ) {
        samples.clear();
        let codec = self.listener.hear(media.format, media.payload, samples);
        let Some(rate) = codec.map(Codec::sample_rate) else { return };
        let length = u32::try_from(samples.len()).unwrap_or(0) * 1000 / rate;
        let end = media.timestamp.0.wrapping_add(length);
        let missing = self.end.map_or(0, |end| media.timestamp.0.wrapping_sub(end).cast_signed());
        if (-LATEST_MS..-SEAM_MS).contains(&missing) {
            return;
        }
        (self.end, self.came) = (Some(end), Some(now));
        if self.detector.as_ref().is_none_or(|(of, _)| *of != rate) {
            self.pause(&mut tell);
            self.detector = Detector::new(rate).map(|detector| (rate, detector));
        }
        if !(-SEAM_MS..=LONGEST_LOSS_MS).contains(&missing) {
            self.pause(&mut tell);
        }
        if let Some((_, detector)) = &mut self.detector {
            detector.hear(samples, tell);
        }
    }

    fn pause(&mut self, tell: impl FnMut(Key)) {
        if let Some((_, detector)) = &mut self.detector {
            detector.pause(tell);
        }
    }
}

/// What a leg hears in place of its other party: tones, and silence around them.
struct Mouth {
    codec: Codec,
    encoder: Box<dyn Encoder>,
    keyer: Keyer,
    next: Instant,
    frame: Vec<i16>,
}

impl Mouth {
    fn new(codec: Codec, now: Instant) -> Self {
        let (encoder, keyer) = (codec.encoder(), Keyer::new(codec.sample_rate()));
        Self { codec, encoder, keyer, next: now, frame: vec![0; codec.samples_in(FRAME_MS)] }
    }
}

/// All legs whose keys are tones.
#[derive(Default)]
pub(crate) struct Inband {
    rules: HashMap<CallId, KeyRule>,
    ears: HashMap<CallId, Ear>,
    /// Those in whose voice a key is down, or seems so.
    suspicious: BTreeSet<CallId>,
    mouths: BTreeMap<CallId, Mouth>,
    /// What was heard.
    keys: VecDeque<(CallId, Key)>,
    /// When somebody must look at what has changed.
    look: Option<Instant>,
    /// What is worked on, kept so that frames cost no allocation.
    samples: Vec<i16>,
    payload: Vec<u8>,
}

impl Inband {
    /// A leg comes.
    pub(crate) fn enter(&mut self, endpoint: &mut Endpoint, call: CallId, rule: KeyRule) {
        if rule.hears {
            self.ears.insert(call, Ear::default());
            let _ = endpoint.tap(call, true);
        }
        if rule.hears || rule.speaks {
            self.rules.insert(call, rule);
        }
    }

    /// A leg is over.
    pub(crate) fn leave(&mut self, call: CallId) {
        self.rules.remove(&call);
        self.ears.remove(&call);
        self.suspicious.remove(&call);
        self.mouths.remove(&call);
    }

    /// Whether the voice of a leg is listened to.
    pub(crate) fn hears(&self, call: CallId) -> bool {
        self.ears.contains_key(&call)
    }

    /// Whether a leg hears something from here in place of all else.
    pub(crate) fn speaks(&self, call: CallId) -> bool {
        self.mouths.contains_key(&call)
    }

    /// A frame of a leg that is tapped.
    pub(crate) fn hear(&mut self, now: Instant, call: CallId, media: Media<'_>) {
        let Self { ears, suspicious, keys, samples, look, .. } = self;
        let Some(ear) = ears.get_mut(&call) else { return };
        let before = keys.len();
        ear.hear(now, media, samples, |key| keys.push_back((call, key)));
        let changed = match ear.suspects() {
            true => suspicious.insert(call),
            false => suspicious.remove(&call),
        };
        if changed || keys.len() > before {
            look.get_or_insert(now);
        }
    }

    /// Whether what a leg says now goes its way: tones of keys do not.
    pub(crate) fn passes(&self, call: CallId) -> bool {
        !self.suspicious.contains(&call) || self.rules.get(&call).is_some_and(|rule| rule.passes)
    }

    /// When there is something to be done.
    pub(crate) fn next(&self) -> Option<Instant> {
        let silent = self.suspicious.iter().filter_map(|call| self.ears.get(call));
        let silent = silent.filter_map(|ear| Some(ear.came? + SILENCE));
        silent.chain(self.mouths.values().map(|mouth| mouth.next)).chain(self.look).min()
    }

    /// Lets keys go in voices of which nothing comes any more.
    pub(crate) fn expire(&mut self, now: Instant) {
        let Self { ears, suspicious, keys, .. } = self;
        suspicious.retain(|call| {
            let Some(ear) = ears.get_mut(call) else { return false };
            if ear.came.is_some_and(|came| now.since(came) >= SILENCE) {
                ear.pause(|key| keys.push_back((*call, key)));
            }
            // Who was kept from hearing it is let go when that is looked at.
            ear.suspects() || ear.keeps_from.is_some()
        });
        self.look = None;
    }

    /// The next key that was heard.
    pub(crate) fn poll(&mut self) -> Option<(CallId, Key)> {
        self.keys.pop_front()
    }

    /// Keeps tones from those who get their keys otherwise; `other` tells who hears a leg.
    pub(crate) fn keep_quiet(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        other: impl Fn(CallId) -> Option<CallId>,
    ) {
        let Self { ears, suspicious, mouths, rules, .. } = self;
        suspicious.retain(|call| {
            let Some(ear) = ears.get_mut(call) else { return false };
            let passes = rules.get(call).is_some_and(|rule| rule.passes);
            let listens = other(*call).filter(|_| ear.suspects() && !passes);
            ear.keeps_from = listens.filter(|to| open(mouths, endpoint, now, *to).is_some());
            ear.suspects()
        });
    }

    /// Says a key to a leg that hears keys as tones. Whether it does.
    pub(crate) fn say(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        digit: u8,
        phase: DtmfPhase,
    ) -> bool {
        if !self.rules.get(&call).is_some_and(|rule| rule.speaks) {
            return false;
        }
        match phase {
            DtmfPhase::Begin => {
                let Some(mouth) = open(&mut self.mouths, endpoint, now, call) else { return false };
                if !mouth.keyer.press(digit) {
                    tracing::warn!("{call}: too many keys wait; {} is lost", char::from(digit));
                }
            }
            DtmfPhase::End => match self.mouths.get_mut(&call) {
                Some(mouth) => mouth.keyer.release(),
                None => return endpoint.call_format(call).and_then(Codec::for_format).is_some(),
            },
        }
        true
    }

    /// Goes on to `now`: `send` gets the next frame for each leg that hears one. Whoever has heard all
    /// hears its other party again.
    pub(crate) fn turn(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        mut send: impl FnMut(&mut Endpoint, CallId, Format, &[u8]),
    ) {
        let Self { mouths, ears, suspicious, payload, .. } = self;
        let is_kept = |call: CallId| {
            let ears = suspicious.iter().filter_map(|call| ears.get(call));
            ears.into_iter().any(|ear| ear.keeps_from == Some(call))
        };
        mouths.retain(|call, mouth| {
            while mouth.next <= now {
                if mouth.keyer.is_idle() && !is_kept(*call) {
                    let _ = endpoint.withhold(*call, false);
                    return false;
                }
                let behind = now.since(mouth.next) > FURTHEST_BEHIND;
                mouth.next = if behind { now } else { mouth.next } + TURN;
                mouth.keyer.fill(&mut mouth.frame);
                payload.clear();
                mouth.encoder.encode(&mouth.frame, payload);
                send(endpoint, *call, mouth.codec.format(), payload);
            }
            true
        });
    }
}

/// What is said to a leg; `None`: its codec is none that is spoken here.
fn open<'a>(
    mouths: &'a mut BTreeMap<CallId, Mouth>,
    endpoint: &mut Endpoint,
    now: Instant,
    call: CallId,
) -> Option<&'a mut Mouth> {
    let codec = Codec::for_format(endpoint.call_format(call)?)?;
    let mouth = mouths.entry(call).or_insert_with(|| {
        let _ = endpoint.withhold(call, true);
        Mouth::new(codec, now)
    });
    Some(mouth)
}
