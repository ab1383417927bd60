//! Voice on its way from one leg of a call to another that speaks another codec, or wants frames of
//! another length.
//!
//! There is no jitter buffer on the way: frames come by their timestamps and leave with timestamps of
//! the same clock. What is missing stays missing, so that the far end's buffer sees what was lost, and
//! what comes late leaves late.

mod line;

use std::time::Duration;

use oneport_wire::Format;

use crate::comfort_noise::{ComfortNoise, Verdict, VoiceActivity};
use crate::ilbc::Mode;
use line::Line;

/// The longest payload that is taken, in bytes: no frame is longer.
pub const LONGEST_PAYLOAD: usize = 4_000;

/// Nor one that lasts longer than this: bytes of a codec with few of them would become hundreds of datagrams.
const LONGEST_TAKEN: Duration = Duration::from_secs(1);

/// The longest frame that is made.
const LONGEST_FRAME: Duration = Duration::from_millis(120);

/// A frame this near to where it is expected follows the one before; half a frame, where that is less.
const SEAM_MS: i32 = 10;

/// Further on or back than this there is a new clock.
const JUMP_MS: u32 = 2_000;

/// So many timestamps are remembered, to know what comes twice.
const REMEMBERED: usize = 16;

/// What the far leg wants.
///
/// ```
/// use oneport_media::transcode::{Said, Transcoder, Wishes};
/// use oneport_wire::Format;
/// use std::time::Duration;
///
/// let wishes = Wishes { frame: Some(Duration::from_millis(40)), ..Wishes::default() };
/// // The same format in longer frames: two become one.
/// let mut transcoder = Transcoder::new(Format::ULAW, Format::ULAW, wishes).expect("it is spoken");
/// let mut lengths = Vec::new();
/// for timestamp in [0, 20, 40, 60] {
///     transcoder.voice(timestamp, &[0xFF; 160], &mut |said| {
///         let Said::Voice { payload, .. } = said else { return };
///         lengths.push(payload.len());
///     });
/// }
/// assert_eq!(lengths, [320, 320]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wishes {
    /// Frames of this length, rounded up to what its codec can; `None`: as they come.
    pub frame: Option<Duration>,
    /// Nothing while nobody speaks, but for frames of comfort noise. Where it is not set, comfort noise
    /// that comes is made audible.
    pub silence_suppression: bool,
    /// How long frames of iLBC have to be, where it speaks that: what comes in others is made anew. `None`: 30 ms
    /// where they are made here, and as they come where iLBC comes.
    pub ilbc: Option<Mode>,
}

/// What is said.
///
/// ```
/// use oneport_media::transcode::{Said, Transcoder, Wishes};
/// use oneport_wire::Format;
///
/// let wishes = Wishes { silence_suppression: true, ..Wishes::default() };
/// let transcoder = Transcoder::new(Format::SLIN, Format::ULAW, wishes);
/// let (mut transcoder, mut pauses) = (transcoder.expect("both are spoken"), Vec::new());
/// for timestamp in (0..1_000).step_by(20) {
///     transcoder.voice(timestamp, &[0; 320], &mut |said| {
///         let Said::Pause { level, .. } = said else { return };
///         pauses.push(level);
///     });
/// }
/// // Of a second of silence it is told once.
/// assert_eq!(pauses, [127]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said<'a> {
    /// A frame of voice.
    Voice {
        /// When it begins by the sender's clock, in ms.
        timestamp: u32,
        /// The encoded audio.
        payload: &'a [u8],
    },
    /// A pause of this many −dBov begins, or goes on so.
    Pause {
        /// When, by the sender's clock, in ms.
        timestamp: u32,
        /// How loud it is.
        level: u8,
    },
}

/// What was left out.
///
/// ```
/// use oneport_media::transcode::{LeftOut, Transcoder, Wishes};
/// use oneport_wire::Format;
///
/// let transcoder = Transcoder::new(Format::ULAW, Format::ALAW, Wishes::default());
/// let mut transcoder = transcoder.expect("both are spoken");
/// for (timestamp, payload) in [(0, &[0xFF; 160][..]), (0, &[0xFF; 160]), (20, &[])] {
///     transcoder.voice(timestamp, payload, &mut |_| {});
/// }
/// assert_eq!(transcoder.left_out(), LeftOut { duplicates: 1, late: 0, malformed: 1 });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LeftOut {
    /// Frames that came twice.
    pub duplicates: u64,
    /// Frames that came when their place was gone.
    pub late: u64,
    /// Payloads that are empty or too long to be one.
    pub malformed: u64,
}

/// Makes one direction of a call's voice what the other leg wants. Once it has made its first frames,
/// nothing allocates.
///
/// ```
/// use oneport_media::transcode::{Said, Transcoder, Wishes};
/// use oneport_wire::Format;
///
/// let transcoder = Transcoder::new(Format::ULAW, Format::GSM, Wishes::default());
/// let mut transcoder = transcoder.expect("both are spoken");
/// let mut said = Vec::new();
/// // The frame of 120 ms is lost: nothing is made up for it here.
/// for timestamp in [100, 140] {
///     transcoder.voice(timestamp, &[0xFF; 160], &mut |frame| {
///         let Said::Voice { timestamp, payload } = frame else { return };
///         said.push((timestamp, payload.len()));
///     });
/// }
/// assert_eq!(said, [(100, 33), (140, 33)]);
/// ```
#[derive(Debug)]
pub struct Transcoder {
    from: Format,
    to: Format,
    wishes: Wishes,
    /// The longest payload that is taken, in bytes.
    longest: usize,
    /// The length of the frames that it makes, if that is settled.
    frame: Option<Duration>,
    line: Line,
    /// Where the next frame should begin, and how long the last one was, in ms.
    expected: Option<(u32, u32)>,
    /// The timestamps of the latest frames.
    seen: [Option<u32>; REMEMBERED],
    activity: Option<VoiceActivity>,
    /// Noise that is made where a pause was told, and where its next frame begins.
    noise: Option<(ComfortNoise, u32)>,
    payload: Vec<u8>,
    left_out: LeftOut,
}

impl Transcoder {
    /// One from `from` to `to`. `None`: one of them is not understood here, or there is nothing to be
    /// done that can be done without hearing it.
    #[must_use]
    pub fn new(from: Format, to: Format, wishes: Wishes) -> Option<Self> {
        let heard = || Line::heard(from, to, wishes.ilbc.unwrap_or_default());
        let anew = to == Format::ILBC && wishes.ilbc.is_some();
        let line = match wishes.silence_suppression {
            true => heard(),
            false if from == to && !anew => Line::unheard(from, to),
            false => Line::unheard(from, to).or_else(heard),
        }?;
        Some(Self {
            from,
            to,
            wishes,
            longest: line::bytes_lasting(from, LONGEST_TAKEN).min(LONGEST_PAYLOAD),
            frame: wishes.frame.map(|frame| line.at_least(frame.min(LONGEST_FRAME))),
            line,
            expected: None,
            seen: [None; REMEMBERED],
            activity: wishes.silence_suppression.then(VoiceActivity::default),
            noise: None,
            payload: Vec::with_capacity(LONGEST_PAYLOAD),
            left_out: LeftOut::default(),
        })
    }

    /// The format that it understands.
    #[must_use]
    pub const fn from(&self) -> Format {
        self.from
    }

    /// The format that it makes.
    #[must_use]
    pub const fn to(&self) -> Format {
        self.to
    }

    /// What the far leg wants.
    #[must_use]
    pub const fn wishes(&self) -> Wishes {
        self.wishes
    }

    /// What was left out so far.
    #[must_use]
    pub const fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Takes the frame with this timestamp (ms, the sender's clock); `say` gets what is made of it, and
    /// of what waited for it.
    pub fn voice(&mut self, timestamp: u32, payload: &[u8], say: &mut dyn FnMut(Said<'_>)) {
        if payload.is_empty() || payload.len() > self.longest {
            self.left_out.malformed += 1;
            return;
        }
        if self.noise.take().is_some() {
            // Noise may have gone a little further than the pause.
            self.flush(say);
            self.expected = None;
        }
        if let Some((expected, length)) = self.expected {
            let seam = SEAM_MS.min(i32::try_from(length / 2).unwrap_or(SEAM_MS));
            let ahead = timestamp.wrapping_sub(expected).cast_signed();
            if ahead.unsigned_abs() > JUMP_MS {
                self.seen = [None; REMEMBERED];
                self.flush(say);
            } else if self.seen.contains(&Some(timestamp)) {
                self.left_out.duplicates += 1;
                return;
            } else if ahead > seam {
                self.flush(say);
            } else if ahead < -seam {
                return self.late(timestamp, payload, say);
            }
        }
        self.remember(timestamp);
        let waiting = millis(self.line.waiting());
        let lasts = self.line.take(payload);
        self.expected = Some((timestamp.wrapping_add(millis(lasts)), millis(lasts)));
        self.say_waiting(timestamp.wrapping_sub(waiting), say);
    }

    /// Takes word of a pause of `level` −dBov.
    pub fn pause(&mut self, timestamp: u32, level: u8, say: &mut dyn FnMut(Said<'_>)) {
        self.flush(say);
        if self.wishes.silence_suppression || !self.line.is_heard() {
            return say(Said::Pause { timestamp, level });
        }
        let begins = self.noise.take().map_or(timestamp, |(_, next)| next);
        self.noise = Some((ComfortNoise::new(level), begins));
    }

    /// Whether [`noise`](Self::noise) is to be called at a steady pace.
    #[must_use]
    pub const fn makes_noise(&self) -> bool {
        self.noise.is_some()
    }

    /// Makes the next frame of noise, of about `lasts`; `None`: there is no pause any more.
    pub fn noise(&mut self, lasts: Duration, say: &mut dyn FnMut(Said<'_>)) -> Option<()> {
        let (noise, next) = self.noise.as_mut()?;
        let timestamp = *next;
        self.line.take_noise(noise, lasts);
        *next = next.wrapping_add(millis(lasts));
        let waiting = self.line.waiting().saturating_sub(lasts);
        self.say_waiting(timestamp.wrapping_sub(millis(waiting)), say);
        Some(())
    }

    fn remember(&mut self, timestamp: u32) {
        self.seen.rotate_right(1);
        self.seen[0] = Some(timestamp);
    }

    /// A frame whose time is over. It may still fit into the far end's buffer, unless its place is in a
    /// frame that has left.
    fn late(&mut self, timestamp: u32, payload: &[u8], say: &mut dyn FnMut(Said<'_>)) {
        let fits = self.line.waiting().is_zero() && self.frame.is_none();
        if !fits || self.activity.is_some() {
            self.left_out.late += 1;
            return;
        }
        self.remember(timestamp);
        let next = self.expected;
        let lasts = self.line.take(payload);
        self.expected = Some((timestamp.wrapping_add(millis(lasts)), millis(lasts)));
        self.say_waiting(timestamp, say);
        self.flush(say);
        self.expected = next;
    }

    /// Says whole frames; the first begins at `timestamp`.
    fn say_waiting(&mut self, mut timestamp: u32, say: &mut dyn FnMut(Said<'_>)) {
        let length = self.frame.unwrap_or_else(|| self.line.waiting().min(LONGEST_FRAME));
        while let Some(lasts) = self.line.next(length) {
            self.say_next(timestamp, lasts, say);
            timestamp = timestamp.wrapping_add(millis(lasts));
        }
    }

    /// Says what waits for more, since that will not come.
    fn flush(&mut self, say: &mut dyn FnMut(Said<'_>)) {
        let waiting = self.line.waiting();
        if let Some((expected, _)) = self.expected.take()
            && !waiting.is_zero()
        {
            self.line.fill();
            let lasts = self.line.waiting();
            // Of bytes less may have waited than can be sent.
            if !lasts.is_zero() {
                self.say_next(expected.wrapping_sub(millis(waiting)), lasts, say);
            }
        }
        self.line.clear();
    }

    fn say_next(&mut self, timestamp: u32, lasts: Duration, say: &mut dyn FnMut(Said<'_>)) {
        let Self { line, payload, activity, noise, .. } = self;
        let verdict = match (activity, line.samples(lasts)) {
            (Some(activity), Some(samples)) if noise.is_none() => activity.judge(samples, lasts),
            _ => Verdict::Voice,
        };
        payload.clear();
        match verdict {
            Verdict::Voice => {
                line.say(lasts, payload);
                say(Said::Voice { timestamp, payload });
            }
            Verdict::Pause(level) => {
                line.drop(lasts);
                say(Said::Pause { timestamp, level });
            }
            Verdict::GoesOn => line.drop(lasts),
        }
    }
}

/// Whole milliseconds, rounded down.
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
