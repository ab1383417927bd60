//! A jitter buffer that adapts: frames come when the network lets them, audio goes out at a steady pace.
//!
//! It aims at the least delay at which nearly all frames are there in time, told by a histogram of their
//! delays that forgets, and by spikes that come again. When the delay is another than that, audio is made
//! shorter or longer, pauses first, then by whole periods of the voice; frames are never dropped for it.
//! Clocks that drift apart are nothing else. What is missing is concealed, and where nothing has come at all, the buffer
//! waits some time for it rather than go on without it.
//!
//! It has no clock: `now` is handed in, since an origin of the caller's choice. All memory is taken at
//! the beginning; what comes from the network, timestamps above all, may be anything.
//!
//! Relevant reading: R. Ramjee and others, "Adaptive playout mechanisms for packetized audio
//! applications" (1994); Y. Liang and others, "Adaptive playout scheduling and loss concealment" (2003).

mod arrivals;
mod frames;
mod sound;

use std::time::Duration;

use arrivals::Arrivals;
use frames::{Frames, Put};
use sound::Sound;

use crate::Decoder;

/// How a [`JitterBuffer`] is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JitterConfig {
    /// Samples in a second, 8,000 or 16,000.
    pub sample_rate: u32,
    /// Frames that can wait.
    pub frames: usize,
    /// The longest payload, in bytes.
    pub frame_bytes: usize,
    /// It never aims at less delay than this.
    pub least_delay: Duration,
    /// It never aims at more, and a frame that is later than this is not played.
    pub most_delay: Duration,
}

impl JitterConfig {
    /// For a sample rate: 100 frames of up to 960 bytes, any delay up to 1 s.
    #[must_use]
    pub const fn new(sample_rate: u32) -> Self {
        Self {
            sample_rate,
            frames: 100,
            frame_bytes: 960,
            least_delay: Duration::ZERO,
            most_delay: Duration::from_secs(1),
        }
    }
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Inserted {
    /// It will be heard.
    Kept,
    /// Its time is over.
    Late,
    /// It came before.
    Duplicate,
    /// Its timestamp has nothing to do with those before. It will be heard if the next one follows it.
    Odd,
    /// It is empty, or longer than can be kept.
    Unusable,
}

/// What a pull was made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pulled {
    /// What was said.
    Said,
    /// Some of it was made up.
    Concealed,
    /// Nobody speaks: noise as soft as pauses were.
    Pause,
}

/// What a [`JitterBuffer`] has done so far. Times are in samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JitterStats {
    /// Frames that were kept.
    pub frames: u64,
    /// Frames that came when their time was over.
    pub late: u64,
    /// Frames that came before.
    pub duplicates: u64,
    /// Frames that had to go because others came, or were no frames.
    pub refused: u64,
    /// How often the sender's clock was met anew, the first time aside.
    pub restarts: u64,
    /// What went out, pauses in which nothing came aside.
    pub played: u64,
    /// Made up of it.
    pub concealed: u64,
    /// Made up because nothing had come yet; what came was played behind it.
    pub waited: u64,
    /// Left out in order to have less delay.
    pub shortened: u64,
    /// Said twice in order to have more.
    pub lengthened: u64,
}

/// A time in µs, far from where sums overflow.
fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 8)
}

/// A µs count of a sample count.
fn us(samples: usize, rate: u32) -> i64 {
    (samples as u64 * 1_000_000 / u64::from(rate)) as i64
}

/// Samples in some µs, none for a negative time, and those of a minute for all beyond.
fn samples(us: i64, rate: u32) -> usize {
    (us.clamp(0, 60_000_000) as u64 * u64::from(rate) / 1_000_000) as usize
}

/// Transits that differ by more than this are no jitter.
const EARLY_US: i64 = 500_000;
/// So many late frames in a row, within no less time than they would take, are of a clock that was set
/// back. Those that were held up somewhere come all at once.
const LATE: u32 = 5;
const LATE_US: i64 = 60_000;
/// More delay than nearly all frames need, so that few of the others are missed.
const MARGIN_US: i64 = 12_000;
/// How much delay above what is aimed at may come of waiting for frames. What is later is not heard.
const HOLD_US: i64 = 60_000;
/// How often speech may be made shorter or longer: usually, when there is not enough delay, and when there is
/// far too much.
const SPACING_US: i64 = 400_000;
const SHORT_SPACING_US: i64 = 60_000;
const FAR_US: i64 = 250_000;
/// How long it makes something up at once.
const STEP_US: i64 = 10_000;
/// What odd timestamps that fit together are apart at most, and differ by from when they came.
const ODD_US: i64 = 1_000_000;
/// When nothing has come for so long, nobody speaks.
const PAUSE_US: i64 = 240_000;
/// More delay than aimed at that is left alone: within a pause, and while somebody speaks.
const SLACK_PAUSE_US: i64 = 4_000;
const SLACK_US: i64 = 12_000;
/// Less delay than aimed at that is left alone; a little less, and frames are not there in time.
const SHORT_PAUSE_US: i64 = 2_000;
const SHORT_US: i64 = 6_000;
/// What is decoded in advance so that there is something to choose from when delay must go.
const CHOICE_US: i64 = 34_000;

/// The sender's clock.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// A timestamp, and the same without wrap.
    raw: u32,
    timestamp: i64,
}

/// Pulls come at a steady pace; what they are early or late by is no measure.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    next: Option<i64>,
    off: u32,
}

impl Pace {
    fn pulled(&mut self, now: i64, len: i64) -> i64 {
        let expected = self.next.unwrap_or(now);
        let off = now - expected;
        let steady = if off.abs() < 2 * len {
            self.off = 0;
            expected + off / 16
        } else {
            self.off += 1;
            if self.off > 5 { now } else { expected }
        };
        self.next = Some(steady + len);
        steady
    }
}

/// The buffer of one stream of audio.
#[derive(Debug)]
pub struct JitterBuffer {
    config: JitterConfig,
    frames: Frames,
    arrivals: Arrivals,
    sound: Sound,
    scratch: Vec<i16>,
    clock: Option<Clock>,
    /// A frame whose timestamp was odd: it, when it came, and its payload.
    odd: Option<(u32, i64)>,
    odd_payload: Vec<u8>,
    late_in_a_row: u32,
    /// When the first of them came.
    late_since: i64,
    pace: Pace,
    /// How long a pull is, and the frame that was decoded last, in µs.
    pull: i64,
    frame: i64,
    /// What is decoded next, in µs of the sender's clock; `None` while nobody speaks.
    next: Option<i64>,
    /// What was decoded last ended here, in ms of the sender's clock.
    decoded_to: Option<i64>,
    /// Made up since the last frame, in µs, and how much of that without going on.
    gap: i64,
    held: i64,
    /// Since audio was last made shorter or longer, in µs.
    unscaled: i64,
    stats: JitterStats,
}

impl JitterBuffer {
    /// An empty one.
    #[must_use]
    pub fn new(config: JitterConfig) -> Self {
        let config = JitterConfig {
            sample_rate: if config.sample_rate >= 16_000 { 16_000 } else { 8_000 },
            ..config
        };
        Self {
            frames: Frames::new(config.frames, config.frame_bytes),
            arrivals: Arrivals::new(),
            sound: Sound::new(config.sample_rate),
            scratch: Vec::with_capacity(config.sample_rate as usize * 120 / 1000),
            clock: None,
            odd: None,
            odd_payload: Vec::with_capacity(config.frame_bytes),
            late_in_a_row: 0,
            late_since: 0,
            pace: Pace::default(),
            pull: 20_000,
            frame: 20_000,
            next: None,
            decoded_to: None,
            gap: 0,
            held: 0,
            unscaled: 0,
            stats: JitterStats::default(),
            config,
        }
    }

    /// What it has done so far.
    #[must_use]
    pub const fn stats(&self) -> JitterStats {
        self.stats
    }

    /// The delay it aims at, above that of the fastest frames.
    #[must_use]
    pub fn target(&self) -> Duration {
        Duration::from_micros(self.target_us().unsigned_abs())
    }

    /// How much later than the fastest frames could be the next sample will be heard; `None` in a pause.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        let now = self.pace.next?;
        Some(Duration::from_micros(self.delay_at(now)?.max(0).unsigned_abs()))
    }

    fn most_us(&self) -> i64 {
        micros(self.config.most_delay)
    }

    fn target_us(&self) -> i64 {
        // What a pull takes must be there at its beginning.
        let wanted = self.arrivals.target() + self.pull + MARGIN_US;
        wanted.clamp(micros(self.config.least_delay).min(self.most_us()), self.most_us())
    }

    /// The delay of the next sample, should it be heard at `now`.
    fn delay_at(&self, now: i64) -> Option<i64> {
        let ready = us(self.sound.ready(), self.config.sample_rate);
        Some(now + ready - self.next? - self.arrivals.base()?)
    }

    /// Timestamps are whole milliseconds of a clock that is not the samples' own: a frame this near to the
    /// end of the one before, in µs, follows it.
    fn seam(&self) -> i64 {
        (self.frame / 2).min(10_000)
    }

    /// Takes a frame: what came at `now` with the sender's `timestamp` in ms.
    pub fn insert(&mut self, now: Duration, timestamp: u32, payload: &[u8]) -> Inserted {
        if payload.is_empty() || payload.len() > self.frames.frame_bytes() {
            self.stats.refused += 1;
            return Inserted::Unusable;
        }
        let now = micros(now);
        let Some(clock) = self.clock else {
            self.clock = Some(Clock { raw: timestamp, timestamp: 0 });
            return self.keep(now, 0, payload);
        };
        #[expect(clippy::cast_possible_wrap, reason = "half of the circle is before, half behind")]
        let since = timestamp.wrapping_sub(clock.raw) as i32;
        let at = clock.timestamp + i64::from(since);
        let transit = now - at * 1000;
        let off = self.arrivals.base().map_or(0, |base| transit - base);
        if off < -EARLY_US || off > self.most_us() {
            return self.odd(now, timestamp, payload);
        }
        self.odd = None;
        if since > 0 {
            self.clock = Some(Clock { raw: timestamp, timestamp: at });
        }
        self.keep(now, at, payload)
    }

    fn keep(&mut self, now: i64, at: i64, payload: &[u8]) -> Inserted {
        let over = self.next.or(self.decoded_to);
        if over.is_some_and(|over| at * 1000 < over - self.seam()) {
            self.stats.late += 1;
            if self.late_in_a_row == 0 {
                self.late_since = now;
            }
            self.late_in_a_row += 1;
            if self.late_in_a_row < LATE || now - self.late_since < LATE_US {
                self.arrivals.arrived(now, now - at * 1000);
                return Inserted::Late;
            }
            let behind = self.behind();
            if let Some(clock) = &mut self.clock {
                clock.timestamp += behind - at;
            }
            self.restart();
            // What looked like delay was none.
            self.arrivals.reset();
            return self.keep(now, behind, payload);
        }
        self.late_in_a_row = 0;
        match self.frames.put(at, payload) {
            Put::Twice => {
                self.stats.duplicates += 1;
                return Inserted::Duplicate;
            }
            Put::Displaced => self.stats.refused += 1,
            Put::Kept => {}
        }
        self.arrivals.arrived(now, now - at * 1000);
        self.stats.frames += 1;
        Inserted::Kept
    }

    /// Behind all that waits, in ms of the sender's clock.
    fn behind(&self) -> i64 {
        let waits = self.frames.last().map(|last| last * 1000 + self.frame);
        let over = self.next.max(self.decoded_to);
        waits.max(over).unwrap_or_default().div_euclid(1000)
    }

    fn restart(&mut self) {
        self.stats.restarts += 1;
        self.arrivals.restart();
        self.late_in_a_row = 0;
        self.odd = None;
    }

    /// One odd timestamp may be anything; two that fit together are those of another clock, whose audio
    /// goes on behind what there is.
    fn odd(&mut self, now: i64, timestamp: u32, payload: &[u8]) -> Inserted {
        let fits = self.odd.filter(|(before, came)| {
            let apart = i64::from(timestamp.wrapping_sub(*before)) * 1000;
            apart > 0 && apart <= ODD_US && (now - came - apart).abs() <= ODD_US
        });
        let Some((before, came)) = fits else {
            self.odd = Some((timestamp, now));
            self.odd_payload.clear();
            self.odd_payload.extend_from_slice(payload);
            return Inserted::Odd;
        };
        let place = self.behind();
        let at = place + i64::from(timestamp.wrapping_sub(before));
        self.restart();
        self.clock = Some(Clock { raw: timestamp, timestamp: at });
        let first = std::mem::take(&mut self.odd_payload);
        let _ = self.keep(came, place, &first);
        self.odd_payload = first;
        self.keep(now, at, payload)
    }

    /// Fills `out` with what is heard from `now` on; 10 or 20 ms are usual.
    pub fn pull(&mut self, now: Duration, decoder: &mut dyn Decoder, out: &mut [i16]) -> Pulled {
        let rate = self.config.sample_rate;
        let part = samples(20_000, rate);
        self.pull = us(out.len().min(part), rate);
        let mut now = self.pace.pulled(micros(now), us(out.len(), rate));
        let before = self.stats;
        let mut said = false;
        for part in out.chunks_mut(part) {
            self.fill(now, part.len(), decoder);
            if self.next.is_some() {
                said = true;
                self.stats.played += part.len() as u64;
            }
            self.sound.take(part);
            now += us(part.len(), rate);
        }
        let made_up = self.stats.concealed + self.stats.waited > before.concealed + before.waited;
        match (made_up, said) {
            (true, _) => Pulled::Concealed,
            (false, true) => Pulled::Said,
            (false, false) => Pulled::Pause,
        }
    }

    /// Gets so many samples ready.
    fn fill(&mut self, now: i64, need: usize, decoder: &mut dyn Decoder) {
        self.unscaled += us(need, self.config.sample_rate);
        let mut scalings = 2;
        loop {
            while self.sound.ready() < need {
                match self.next {
                    None => self.pause(now, need),
                    Some(next) => self.go_on(now, next, decoder),
                }
            }
            if scalings == 0 || !self.scale(now, need, decoder) {
                return;
            }
            scalings -= 1;
        }
    }

    /// Nobody speaks until the first frame that waits is due.
    fn pause(&mut self, now: i64, need: usize) {
        let rate = self.config.sample_rate;
        let missing = need - self.sound.ready();
        let heard_at = now + us(self.sound.ready(), rate);
        let (Some(first), Some(base)) = (self.frames.first(), self.arrivals.base()) else {
            return self.sound.conceal(missing);
        };
        let first = first * 1000;
        let wait = samples(first + base + self.target_us() - heard_at, rate);
        if wait > 0 {
            self.sound.conceal(missing.min(wait));
        } else if heard_at - first - base > self.most_us() + self.pull {
            // What is too old for any delay.
            self.frames.take();
            self.stats.late += 1;
        } else {
            self.next = Some(first);
            (self.gap, self.held) = (0, 0);
        }
    }

    /// Somebody speaks; the next of that is made ready.
    fn go_on(&mut self, now: i64, next: i64, decoder: &mut dyn Decoder) {
        let delay = self.delay_at(now).unwrap_or_default();
        let target = self.target_us();
        if self.gap >= PAUSE_US {
            self.next = None;
            return;
        }
        let Some(first) = self.frames.first() else {
            // It may still come. Behind it would be the rest, and so nothing is lost by waiting.
            let hold = delay < self.most_us().min(target + HOLD_US);
            return self.make_up(STEP_US, hold, decoder);
        };
        let ahead = first * 1000 - next;
        let missing = ahead - self.held;
        // Within a gap it is known to the millisecond how much is missing.
        let seam = if self.gap > 0 { 1_000 } else { self.seam() + 1 };
        if ahead < seam {
            self.decode(decoder);
        } else if missing <= 0 {
            self.next = Some(first * 1000);
            self.held = 0;
        } else if delay + STEP_US <= target {
            self.make_up(STEP_US, true, decoder);
        } else {
            self.make_up(missing.min(STEP_US), false, decoder);
        }
    }

    /// Makes up some audio. The sender's clock goes on meanwhile, or is held where it is.
    fn make_up(&mut self, length: i64, hold: bool, decoder: &mut dyn Decoder) {
        let rate = self.config.sample_rate;
        let mut count = samples(length, rate).max(1);
        let mut length = length;
        self.scratch.clear();
        if decoder.conceal(count, &mut self.scratch) && !self.scratch.is_empty() {
            // Whole frames, so that it may be more than was asked for.
            self.scratch.truncate(self.sound.room().min(self.scratch.capacity()));
            count = self.scratch.len();
            length = us(count, rate);
            self.sound.append_made_up(&self.scratch);
        } else {
            self.sound.conceal(count);
        }
        self.gap += length;
        if hold {
            self.held += length;
            self.stats.waited += count as u64;
        } else {
            self.next = self.next.map(|next| next + length);
            self.stats.concealed += count as u64;
        }
    }

    /// Decodes the first frame that waits.
    fn decode(&mut self, decoder: &mut dyn Decoder) {
        let Some((timestamp, payload)) = self.frames.take() else { return };
        self.scratch.clear();
        decoder.decode(payload, &mut self.scratch);
        self.scratch.truncate(self.sound.room().min(self.scratch.capacity()));
        if self.scratch.is_empty() {
            return;
        }
        self.frame = us(self.scratch.len(), self.config.sample_rate);
        let end = timestamp * 1000 + self.frame;
        (self.next, self.decoded_to) = (Some(end), Some(end));
        (self.gap, self.held) = (0, 0);
        self.sound.append(&self.scratch);
    }

    /// Makes what is ready shorter or longer if the delay wants it. Says whether it did.
    fn scale(&mut self, now: i64, need: usize, decoder: &mut dyn Decoder) -> bool {
        let rate = self.config.sample_rate;
        let Some(delay) = self.delay_at(now) else { return false };
        let error = delay - self.target_us();
        if self.gap > 0 {
            return false;
        }
        if error > SLACK_PAUSE_US {
            self.choose_from(need + samples(CHOICE_US, rate), decoder);
            let waits = self.frames.len() as i64 * self.frame;
            let spare = us(self.sound.ready() - need, rate) + waits;
            let speaks = !self.sound.is_quiet();
            let far = error > FAR_US;
            let spacing = if far { SHORT_SPACING_US } else { SPACING_US };
            if speaks && (error < SLACK_US || self.unscaled < spacing) {
                return false;
            }
            let removed = self.sound.shorten(samples(error.min(spare), rate), far);
            self.stats.shortened += removed as u64;
            return self.scaled(removed);
        }
        if error < -SHORT_PAUSE_US {
            let speaks = !self.sound.is_quiet();
            if speaks && (error > -SHORT_US || self.unscaled < SHORT_SPACING_US) {
                return false;
            }
            let added = self.sound.lengthen(samples(-error, rate), error < -40_000);
            self.stats.lengthened += added as u64;
            return self.scaled(added);
        }
        false
    }

    fn scaled(&mut self, by: usize) -> bool {
        if by > 0 {
            self.unscaled = 0;
        }
        by > 0
    }

    /// Decodes until so many samples are ready, if they are there without a gap.
    fn choose_from(&mut self, count: usize, decoder: &mut dyn Decoder) {
        while self.sound.ready() < count
            && let (Some(first), Some(next)) = (self.frames.first(), self.next)
            && first * 1000 - next <= self.seam()
        {
            self.decode(decoder);
        }
    }
}

#[cfg(test)]
mod tests;
