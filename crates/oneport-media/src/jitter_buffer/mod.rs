//! A jitter buffer that adapts: frames come when the network lets them, audio goes out at a steady pace.
//!
//! It aims at the least delay at which nearly all frames are there in time, told by a histogram of their
//! delays that forgets, and stays there: each change of the delay is heard. When the delay is far enough from
//! what it aims at, audio is made shorter or longer, pauses first, then by whole periods of the voice; frames
//! are dropped for it only where more delay has come together than there may be at all. Clocks that drift apart
//! are nothing else. What is missing is made up, of both sides of the gap where what is behind it has come
//! already; what comes too late is heard from where it would be by then. Where nothing has come at all and
//! there should be more delay anyway, the buffer waits.
//! A pause of which the sender tells is none of that: noise is heard in it as loud as it says.
//!
//! It has no clock: `now` is handed in, since an origin of the caller's choice. All memory is taken at
//! the beginning; what comes from the network, timestamps above all, may be anything.
//!
//! Relevant reading: R. Ramjee and others, "Adaptive playout mechanisms for packetized audio
//! applications" (1994); Y. Liang and others, "Adaptive playout scheduling and loss concealment" (2003).

mod arrivals;
mod filling;
mod frames;
mod sound;

use std::time::Duration;

use arrivals::Arrivals;
use frames::{Frames, Put};
use sound::Sound;

use crate::Decoder;

/// How a [`JitterBuffer`] is made.
///
/// ```
/// use oneport_media::jitter_buffer::{JitterBuffer, JitterConfig};
/// use std::time::Duration;
///
/// let usual = JitterConfig::new(8_000);
/// let patient = JitterConfig { least_delay: Duration::from_millis(120), ..usual };
/// assert!(JitterBuffer::new(usual).target() < Duration::from_millis(60));
/// assert_eq!(JitterBuffer::new(patient).target(), Duration::from_millis(120));
/// ```
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
///
/// ```
/// use oneport_media::jitter_buffer::{Inserted, JitterBuffer, JitterConfig};
/// use std::time::Duration;
///
/// let mut buffer = JitterBuffer::new(JitterConfig::new(8_000));
/// let mut comes = |timestamp, payload: &[u8]| buffer.insert(Duration::ZERO, timestamp, payload);
/// assert_eq!(comes(0, &[0xFF; 160]), Inserted::Kept);
/// assert_eq!(comes(0, &[0xFF; 160]), Inserted::Duplicate);
/// assert_eq!(comes(20, &[]), Inserted::Unusable);
/// // An hour ahead of its own time: this is of another clock.
/// assert_eq!(comes(3_600_000, &[0xFF; 160]), Inserted::Odd);
/// ```
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
    /// It is empty, longer than can be kept, or older than all that fill the buffer.
    Unusable,
}

/// What a pull was made of.
///
/// ```
/// use oneport_media::Codec;
/// use oneport_media::jitter_buffer::{JitterBuffer, JitterConfig, Pulled};
/// use std::time::Duration;
///
/// let mut buffer = JitterBuffer::new(JitterConfig::new(8_000));
/// let (mut decoder, mut out) = (Codec::Ulaw.decoder(), [0; 160]);
/// let mut pulled = Vec::new();
/// for n in 0..30 {
///     let now = Duration::from_millis(u64::from(n) * 20);
///     // One frame is lost.
///     if n != 20 {
///         let _ = buffer.insert(now, n * 20, &[0x90; 160]);
///     }
///     pulled.push(buffer.pull(now, &mut *decoder, &mut out));
/// }
/// // Before all, while the first frame waits, there is nothing to be heard.
/// assert_eq!(pulled[0], Pulled::Pause);
/// assert_eq!(pulled[20..23], [Pulled::Said, Pulled::Concealed, Pulled::Said]);
/// ```
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
///
/// ```
/// use oneport_media::Codec;
/// use oneport_media::jitter_buffer::{Inserted, JitterBuffer, JitterConfig};
/// use std::time::Duration;
///
/// let mut buffer = JitterBuffer::new(JitterConfig::new(8_000));
/// let (mut decoder, mut out) = (Codec::Ulaw.decoder(), [0; 160]);
/// for n in (0..30).filter(|n| *n != 20) {
///     let now = Duration::from_millis(u64::from(n) * 20);
///     let _ = buffer.insert(now, n * 20, &[0x90; 160]);
///     buffer.pull(now, &mut *decoder, &mut out);
/// }
/// // What was missing comes when it is heard no more.
/// let late = buffer.insert(Duration::from_millis(600), 400, &[0x90; 160]);
/// assert_eq!(late, Inserted::Late);
/// let stats = buffer.stats();
/// assert_eq!((stats.frames, stats.late, stats.concealed), (29, 1, 160));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JitterStats {
    /// Frames that were kept.
    pub frames: u64,
    /// Frames that came when their time was over.
    pub late: u64,
    /// Frames that came before.
    pub duplicates: u64,
    /// Frames that had to go because others came or since there was more delay than there may be, or were no frames.
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
const LATE: u32 = 10;
const LATE_US: i64 = 60_000;
/// More delay than nearly all frames need, so that few of the others are missed: so much, and as much as they
/// need themselves, up to the most.
const MARGIN_US: i64 = 12_000;
const MOST_MARGIN_US: i64 = 27_000;
/// How often speech may be made shorter or longer: usually, and when the delay is far from what is aimed at.
const SPACING_US: i64 = 400_000;
const SHORT_SPACING_US: i64 = 60_000;
const FAR_US: i64 = 250_000;
/// How often frames may be late before the buffer waits for them, whatever the arrivals say: whoever pulls may be
/// late too. What counts is the first of each row; a frame in time makes it a hundredth less.
const OFTEN_LATE: f32 = 5.0;
const NOT_LATE: f32 = 0.99;
/// How long it makes something up at once.
const STEP_US: i64 = 5_000;
/// What is missing before a frame that is there is made up of both sides, if it is no longer than this.
const BRIDGE_US: i64 = 60_000;
/// What odd timestamps that fit together are apart at most, and differ by from when they came.
const ODD_US: i64 = 1_000_000;
/// A pause that begins later than this behind the latest frame is not believed.
const FAR_AHEAD_US: i64 = 60_000_000;
/// When nothing has come for so long, nobody speaks.
const PAUSE_US: i64 = 240_000;
/// Behind a pause it begins with no more delay than this above what it aims at, if it can.
const RESUMED_US: i64 = 40_000;
/// More delay than aimed at that is left alone: within a pause, and while somebody speaks. What is changed
/// is heard, however little; a delay that stays is not.
const SLACK_PAUSE_US: i64 = 20_000;
const SLACK_US: i64 = 30_000;
/// Less delay than aimed at that is left alone.
const SHORT_PAUSE_US: i64 = 6_000;
const SHORT_US: i64 = 14_000;
/// With so much less it is made longer even where that may be noticed.
const FAR_SHORT_US: i64 = 40_000;
/// So much of a frame at least is worth being heard when the rest came too late.
const LEAST_REST_US: i64 = 4_000;
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
///
/// ```
/// use oneport_media::Codec;
/// use oneport_media::jitter_buffer::{JitterBuffer, JitterConfig};
/// use std::time::Duration;
///
/// let mut buffer = JitterBuffer::new(JitterConfig::new(8_000));
/// let (mut decoder, mut out) = (Codec::Ulaw.decoder(), [0; 160]);
/// let target = buffer.target();
/// for n in 0..50 {
///     let now = Duration::from_millis(u64::from(n) * 20);
///     // Frames of 20 ms come by twos, so that each other one is late.
///     for frame in (n.max(1) - 1..=n).filter(|_| n % 2 == 1) {
///         let _ = buffer.insert(now, frame * 20, &[0x90; 160]);
///     }
///     buffer.pull(now, &mut *decoder, &mut out);
/// }
/// // It waits for them, and nothing is missing.
/// assert!(buffer.target() > target);
/// assert_eq!(buffer.stats().concealed, 0);
/// ```
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
    /// How often frames were late lately.
    often_late: f32,
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
    /// Where the sender told that a pause begins, in ms of its clock, and how loud that is, in −dBov.
    told: Option<(i64, u8)>,
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
            often_late: 0.0,
            late_since: 0,
            pace: Pace::default(),
            pull: 20_000,
            frame: 20_000,
            next: None,
            decoded_to: None,
            gap: 0,
            held: 0,
            told: None,
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
        let needed = self.arrivals.target();
        let wanted = needed + self.pull + (MARGIN_US + needed).min(MOST_MARGIN_US);
        let soon = self.arrivals.expected().map_or(0, |expected| expected + self.pull);
        let wanted = wanted.max(soon);
        wanted.clamp(micros(self.config.least_delay).min(self.most_us()), self.most_us())
    }

    /// The delay of the next sample, should it be heard at `now`.
    fn delay_at(&self, now: i64) -> Option<i64> {
        let ready = us(self.sound.ready(), self.config.sample_rate);
        Some(now + ready - self.next? - self.arrivals.base()?)
    }

    /// Whether a queue on the way fills, so that the delay is to be changed at once, in a pause or where frames are
    /// missing, rather than little by little.
    fn fills(&self) -> bool {
        self.arrivals.expected().is_some()
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
        if self.is_over(at * 1000) {
            self.stats.late += 1;
            if self.late_in_a_row == 0 {
                self.late_since = now;
                self.often_late += 1.0;
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
        self.often_late *= NOT_LATE;
        match self.frames.put(at, payload) {
            Put::Twice => {
                self.stats.duplicates += 1;
                return Inserted::Duplicate;
            }
            Put::Refused => {
                self.stats.refused += 1;
                return Inserted::Unusable;
            }
            Put::Displaced => self.stats.refused += 1,
            Put::Kept => {}
        }
        self.arrivals.arrived(now, now - at * 1000);
        self.stats.frames += 1;
        Inserted::Kept
    }

    /// Whether nothing of a frame said at `at` can be heard any more. What was made up in its place counts
    /// only if it was all of it.
    fn is_over(&self, at: i64) -> bool {
        let decoded = self.decoded_to.is_some_and(|end| at < end - self.seam());
        let made_up = self.next.is_some_and(|next| match self.gap > 0 {
            true => at + self.frame < next + LEAST_REST_US,
            false => at < next - self.seam(),
        });
        decoded || made_up
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
        (self.odd, self.told) = (None, None);
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

    /// Takes word of a pause of `level` −dBov that begins at the sender's `timestamp` in ms, in which it sends
    /// nothing (CNG, RFC 5456 §8.3). Noise like that is heard from there until the next frame.
    pub fn pause(&mut self, timestamp: u32, level: u8) {
        let Some(clock) = self.clock else { return self.sound.set_pause(level) };
        #[expect(clippy::cast_possible_wrap, reason = "half of the circle is before, half behind")]
        let since = timestamp.wrapping_sub(clock.raw) as i32;
        // Behind what came later it is no pause any more, and far ahead no clock of this sender.
        if since < 0 || i64::from(since) * 1000 > FAR_AHEAD_US {
            return;
        }
        self.told = Some((clock.timestamp + i64::from(since), level));
        if self.next.is_none() {
            self.sound.set_pause(level);
        }
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
        self.leave_out(now);
        let mut scalings = 2;
        loop {
            while self.sound.ready() < need {
                match self.next {
                    None => self.be_silent(now, need),
                    Some(next) => self.go_on(now, next, decoder),
                }
            }
            if scalings == 0 || !self.scale(now, need, decoder) {
                return;
            }
            scalings -= 1;
        }
    }

    /// Leaves out frames until there is no more delay than there may be. It comes of clocks that make no sense, and
    /// shortened by periods of the voice it would be heard for long.
    fn leave_out(&mut self, now: i64) {
        let most = self.most_us() + self.pull + SLACK_US;
        while self.frames.len() > 1 && self.delay_at(now).is_some_and(|delay| delay > most) {
            self.frames.take();
            self.stats.refused += 1;
            self.next = self.frames.first().map(|first| first * 1000);
            (self.gap, self.held) = (0, 0);
        }
    }

    /// Nobody speaks until the first frame that waits is due.
    fn be_silent(&mut self, now: i64, need: usize) {
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
        } else if self.is_too_old(heard_at - first - base) {
            self.frames.take();
            self.stats.late += 1;
        } else {
            self.next = Some(first);
            (self.gap, self.held) = (0, 0);
        }
    }

    /// Whether a frame that would be heard with such a delay is left out at the end of a pause: where all
    /// was held up, there are others behind it that are nearer to their time.
    fn is_too_old(&self, delay: i64) -> bool {
        let spoke_before = self.decoded_to.is_some() && self.frames.len() > 1;
        let all_held_up = spoke_before && delay > self.target_us() + RESUMED_US;
        all_held_up || delay > self.most_us() + self.pull
    }

    /// Somebody speaks; the next of that is made ready.
    fn go_on(&mut self, now: i64, next: i64, decoder: &mut dyn Decoder) {
        let delay = self.delay_at(now).unwrap_or_default();
        let target = self.target_us();
        if self.gap >= PAUSE_US {
            self.next = None;
            return;
        }
        if let Some((begins, level)) = self.told
            && begins * 1000 - next <= self.seam()
            && self.frames.first().is_none_or(|first| first >= begins)
            && self.frames.first().is_none_or(|first| first * 1000 - next > self.seam())
        {
            self.sound.set_pause(level);
            self.next = None;
            return;
        }
        let Some(first) = self.frames.first() else {
            // It may still come. If there should be more delay, this is the place to get it; else what is
            // late will be heard from where it would be by then.
            let often_late = self.often_late > OFTEN_LATE && delay < self.most_us();
            let hold = delay < target || often_late;
            return self.make_up(STEP_US, hold, decoder);
        };
        let ahead = first * 1000 - next;
        let missing = ahead - self.held;
        // Within a gap it is known to the millisecond how much is missing.
        let seam = if self.gap > 0 { 1_000 } else { self.seam() + 1 };
        if self.held > 0 && self.fills() && delay + STEP_US <= target {
            // One long wait is heard less than many short ones.
            self.make_up(STEP_US, true, decoder);
        } else if ahead < seam {
            self.decode(decoder);
        } else if missing <= 0 {
            self.next = Some(first * 1000);
            self.held = 0;
        } else if delay + STEP_US <= target {
            self.make_up(STEP_US, true, decoder);
        } else if missing <= BRIDGE_US {
            self.bridge(missing, decoder);
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

    /// Makes up what is missing between what was heard last and the first frame that waits, from both.
    fn bridge(&mut self, missing: i64, decoder: &mut dyn Decoder) {
        let count = samples(missing, self.config.sample_rate).max(1);
        self.scratch.clear();
        if decoder.conceal(0, &mut self.scratch) {
            return self.make_up(missing.min(STEP_US), false, decoder);
        }
        let Some(timestamp) = self.take_apart(decoder) else { return };
        self.sound.bridge(count, &self.scratch);
        self.gap += missing;
        self.next = Some(timestamp * 1000);
        self.stats.concealed += count as u64;
        self.hear(timestamp);
    }

    /// Decodes the first frame that waits.
    fn decode(&mut self, decoder: &mut dyn Decoder) {
        if let Some(timestamp) = self.take_apart(decoder) {
            self.hear(timestamp);
        }
    }

    /// Takes the first frame that waits and has its audio in `scratch`: when it was said, if there is any.
    fn take_apart(&mut self, decoder: &mut dyn Decoder) -> Option<i64> {
        let (timestamp, payload) = self.frames.take()?;
        self.scratch.clear();
        decoder.decode(payload, &mut self.scratch);
        self.scratch.truncate(self.sound.room().min(self.scratch.capacity()));
        (!self.scratch.is_empty()).then_some(timestamp)
    }

    /// Lets what is in `scratch` be heard.
    fn hear(&mut self, timestamp: i64) {
        let rate = self.config.sample_rate;
        self.frame = us(self.scratch.len(), rate);
        let end = timestamp * 1000 + self.frame;
        // The beginning of a frame that came late was made up.
        let overdue = self.next.filter(|_| self.gap > 0).map_or(0, |next| next - timestamp * 1000);
        let overdue =
            if overdue > 1_000 { samples(overdue, rate).min(self.scratch.len()) } else { 0 };
        self.told = self.told.filter(|(begins, _)| timestamp < *begins);
        (self.next, self.decoded_to) = (Some(end), Some(end));
        (self.gap, self.held) = (0, 0);
        self.sound.append(&self.scratch[overdue..]);
    }

    /// Makes what is ready shorter or longer if the delay wants it. Says whether it did.
    fn scale(&mut self, now: i64, need: usize, decoder: &mut dyn Decoder) -> bool {
        let rate = self.config.sample_rate;
        let Some(delay) = self.delay_at(now) else { return false };
        let error = delay - self.target_us();
        if self.gap > 0 {
            return false;
        }
        let spacing = if error.abs() > FAR_US { SHORT_SPACING_US } else { SPACING_US };
        if error > SLACK_PAUSE_US {
            self.choose_from(need + samples(CHOICE_US, rate), decoder);
            let waits = self.frames.len() as i64 * self.frame;
            let spare = us(self.sound.ready() - need, rate) + waits;
            let speaks = !self.sound.is_quiet();
            if speaks && (error < SLACK_US || self.unscaled < spacing) {
                return false;
            }
            let removed = self.sound.shorten(samples(error.min(spare), rate), error > FAR_US);
            self.stats.shortened += removed as u64;
            return self.scaled(removed);
        }
        if error < -SHORT_PAUSE_US {
            let speaks = !self.sound.is_quiet();
            if speaks && (self.fills() || error > -SHORT_US || self.unscaled < spacing) {
                return false;
            }
            let added = self.sound.lengthen(samples(-error, rate), error < -FAR_SHORT_US);
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
