//! What one member says, at a steady pace: frames as they come, through a [jitter buffer](JitterBuffer) that
//! adapts, in whatever codec, at the rate of the conference.

use std::time::Duration;

use oneport_wire::Format;

use super::TURNS_PER_SECOND;
use crate::jitter_buffer::{JitterBuffer, JitterConfig, JitterStats, Pulled};
use crate::rate::Rate;
use crate::{Codec, Decoder};

/// Frames that wait at most, as many as a second has.
const FRAMES: usize = 50;

/// What became of a member's voice so far. Frames of all its codecs.
///
/// ```
/// use oneport_media::mixer::{Input, InputStats};
/// use oneport_wire::Format;
/// use std::time::Duration;
///
/// let (mut input, mut out) = (Input::new(8_000), Vec::new());
/// for n in 0..50 {
///     let now = Duration::from_millis(u64::from(n) * 20);
///     // One frame of a second is lost.
///     if n != 20 {
///         input.hear(now, Format::ULAW, n * 20, &[0x90; 160]);
///     }
///     input.pull(now, &mut out);
/// }
/// assert_eq!(input.stats(), InputStats { frames: 49, late: 0, concealed_ms: 20 });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InputStats {
    /// Frames taken.
    pub frames: u64,
    /// Frames that came too late to be heard, or twice.
    pub late: u64,
    /// Audio that was made up in place of what did not come, in ms.
    pub concealed_ms: u64,
}

impl InputStats {
    fn plus(self, stats: &JitterStats, rate: u32) -> Self {
        let made_up = stats.concealed + stats.waited;
        Self {
            frames: self.frames + stats.frames,
            late: self.late + stats.late + stats.duplicates,
            concealed_ms: self.concealed_ms + made_up * 1000 / u64::from(rate.max(1)),
        }
    }
}

/// One codec of it.
#[derive(Debug)]
struct Voice {
    codec: Codec,
    decoder: Box<dyn Decoder>,
    buffer: JitterBuffer,
    to_ours: Rate,
}

/// What one member says.
///
/// ```
/// use oneport_media::mixer::Input;
/// use oneport_wire::Format;
/// use std::time::Duration;
///
/// // Who speaks at 8 kHz takes part in a conference at 16 kHz.
/// let (mut input, mut out) = (Input::new(16_000), Vec::new());
/// assert!(input.hear(Duration::ZERO, Format::GSM, 0, &[0; 33]));
/// assert!(!input.hear(Duration::ZERO, Format::G729, 20, &[0; 20]));
/// input.pull(Duration::ZERO, &mut out);
/// assert_eq!(out.len(), 320);
/// ```
#[derive(Debug)]
pub struct Input {
    sample_rate: u32,
    voice: Option<Voice>,
    /// Of codecs that were spoken before.
    before: InputStats,
    pulled: Vec<i16>,
}

impl Input {
    /// How long a frame may be, in bytes: 60 ms of linear audio at 16 kHz. Longer ones are not heard.
    pub const LONGEST: usize = 1_920;

    /// Of somebody who has said nothing yet, for a conference at `sample_rate`.
    #[must_use]
    pub fn new(sample_rate: u32) -> Self {
        Self { sample_rate, voice: None, before: InputStats::default(), pulled: Vec::new() }
    }

    /// Takes a frame that has come at `now`, with the sender's `timestamp` in ms. `false`: its format is
    /// not spoken here.
    pub fn hear(&mut self, now: Duration, format: Format, timestamp: u32, payload: &[u8]) -> bool {
        if self.voice.as_ref().is_none_or(|voice| voice.codec.format() != format) {
            let Some(codec) = Codec::for_format(format) else { return false };
            self.before = self.stats();
            let rate = codec.sample_rate();
            let config = JitterConfig {
                frames: FRAMES,
                frame_bytes: Self::LONGEST,
                ..JitterConfig::new(rate)
            };
            self.pulled.clear();
            self.pulled.resize((rate / TURNS_PER_SECOND) as usize, 0);
            self.voice = Some(Voice {
                codec,
                decoder: codec.decoder(),
                buffer: JitterBuffer::new(config),
                to_ours: Rate::between(rate, self.sample_rate),
            });
        }
        if let Some(voice) = &mut self.voice {
            // What became of it is counted there.
            let _ = voice.buffer.insert(now, timestamp, payload);
        }
        true
    }

    /// Takes word of a pause of `level` −dBov at the sender's `timestamp`, in which it sends nothing.
    pub fn pause(&mut self, timestamp: u32, level: u8) {
        if let Some(voice) = &mut self.voice {
            voice.buffer.pause(timestamp, level);
        }
    }

    /// Appends what is said in the turn at `now`, 20 ms; whether it is anything but a pause.
    pub fn pull(&mut self, now: Duration, out: &mut Vec<i16>) -> bool {
        let Some(voice) = &mut self.voice else {
            out.resize(out.len() + (self.sample_rate / TURNS_PER_SECOND) as usize, 0);
            return false;
        };
        let pulled = voice.buffer.pull(now, &mut *voice.decoder, &mut self.pulled);
        voice.to_ours.pass(&self.pulled, out);
        pulled != Pulled::Pause
    }

    /// What became of it so far.
    #[must_use]
    pub fn stats(&self) -> InputStats {
        match &self.voice {
            None => self.before,
            Some(voice) => self.before.plus(&voice.buffer.stats(), voice.codec.sample_rate()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Sine, level_dbm0};

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_tone_comes_through_each_codec_at_each_rate_without_a_gap() {
        for codec in [Codec::Ulaw, Codec::Slin16, Codec::G722, Codec::Gsm] {
            for rate in [8_000, 16_000, 48_000] {
                let (mut input, mut heard) = (Input::new(rate), Vec::new());
                let mut tone = Sine::new(600.0, codec.sample_rate(), 0.3);
                let mut encoder = codec.encoder();
                for n in 0..100_u32 {
                    let now = ms(u64::from(n) * 20);
                    let frame: Vec<i16> = tone.by_ref().take(codec.samples_in(20)).collect();
                    let mut payload = Vec::new();
                    encoder.encode(&frame, &mut payload);
                    assert!(input.hear(now, codec.format(), 70_000 + n * 20, &payload));
                    input.pull(now + ms(5), &mut heard);
                }
                assert_eq!(heard.len(), 2 * rate as usize, "{codec:?} at {rate}");
                let behind = &heard[rate as usize / 2..];
                let level = level_dbm0(behind, 600.0, rate)
                    - level_dbm0(
                        &Sine::new(600.0, rate, 0.3).take(behind.len()).collect::<Vec<i16>>(),
                        600.0,
                        rate,
                    );
                assert!(level.abs() < 1.0, "{codec:?} at {rate}: {level}");
                assert_eq!((input.stats().frames, input.stats().late), (100, 0));
            }
        }
    }

    #[test]
    fn a_change_of_codec_goes_on_and_counts_on() {
        let (mut input, mut heard) = (Input::new(8_000), Vec::new());
        assert!(!input.pull(ms(0), &mut heard));
        assert_eq!(heard, [0; 160]);
        assert!(!input.hear(ms(0), Format::G729, 0, &[0; 20]));
        for n in 0..20_u32 {
            let now = ms(u64::from(n) * 20);
            let (format, payload) = match n {
                ..10 => (Format::ULAW, vec![0x10; 160]),
                _ => (Format::SLIN16, vec![0x20; 640]),
            };
            assert!(input.hear(now, format, n * 20, &payload));
            input.pull(now + ms(1), &mut heard);
        }
        assert_eq!(input.stats().frames, 20);
        assert_eq!(heard.len(), 21 * 160);
    }
}
