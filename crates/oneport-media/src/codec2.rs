//! Codec 2, 700 to 3,200 bit/s, by libcodec2.
//!
//! IAX2 has no format for it, so that it is no [`Codec`](crate::Codec): no call carries it. Programs that talk with radios
//! have its encoder and decoder here. A frame is 20 or 40 ms, in whole bytes, of which the last bits say
//! nothing in some modes.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError};

use crate::{Decoder, Encoder};

/// Samples of the longest frame: 40 ms.
const LONGEST: usize = 320;
/// Bytes of the longest frame.
const BYTES: usize = 8;
/// Samples of a payload that are heard: a second. A few bytes would be many seconds else.
const MOST: usize = 8_000;

/// How many bits say a second: the number of libcodec2's mode.
///
/// ```
/// use oneport_media::codec2::Mode;
///
/// // The name tells the bits of a second, but for those that fill up the last byte of a frame.
/// let bits = |mode: Mode| mode.bytes() * 8 * 8_000 / mode.samples();
/// assert_eq!((bits(Mode::Bits3200), bits(Mode::Bits1200)), (3_200, 1_200));
/// assert_eq!(bits(Mode::Bits700C), 800);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// 3,200 bit/s: 20 ms in 8 bytes.
    Bits3200 = 0,
    /// 2,400 bit/s: 20 ms in 6 bytes.
    Bits2400 = 1,
    /// 1,600 bit/s: 40 ms in 8 bytes.
    Bits1600 = 2,
    /// 1,400 bit/s: 40 ms in 7 bytes.
    Bits1400 = 3,
    /// 1,300 bit/s: 40 ms in 52 bits, 7 bytes.
    Bits1300 = 4,
    /// 1,200 bit/s: 40 ms in 6 bytes.
    Bits1200 = 5,
    /// 700 bit/s, the mode called 700C: 40 ms in 28 bits, 4 bytes.
    Bits700C = 8,
}

impl Mode {
    /// All of them, the best one first.
    pub const ALL: [Self; 7] = [
        Self::Bits3200,
        Self::Bits2400,
        Self::Bits1600,
        Self::Bits1400,
        Self::Bits1300,
        Self::Bits1200,
        Self::Bits700C,
    ];

    /// Samples of a frame, at 8 kHz.
    #[must_use]
    pub const fn samples(self) -> usize {
        match self {
            Self::Bits3200 | Self::Bits2400 => LONGEST / 2,
            _ => LONGEST,
        }
    }

    /// Bytes of a frame.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bits3200 | Self::Bits1600 => BYTES,
            Self::Bits1400 | Self::Bits1300 => 7,
            Self::Bits2400 | Self::Bits1200 => 6,
            Self::Bits700C => 4,
        }
    }
}

#[link(name = "codec2")]
#[expect(unsafe_code, reason = "libcodec2 is written in C")]
unsafe extern "C" {
    fn codec2_create(mode: c_int) -> *mut c_void;
    fn codec2_destroy(state: *mut c_void);
    fn codec2_encode(state: *mut c_void, bytes: *mut u8, samples: *mut i16);
    fn codec2_decode(state: *mut c_void, samples: *mut i16, bytes: *const u8);
    fn codec2_samples_per_frame(state: *mut c_void) -> c_int;
    fn codec2_bytes_per_frame(state: *mut c_void) -> c_int;
}

/// Held by who decodes: all decoders of libcodec2 throw the same dice, a variable of its own.
static DICE: Mutex<()> = Mutex::new(());

/// What libcodec2 knows of one direction.
struct State {
    mode: Mode,
    state: *mut c_void,
}

// SAFETY: the state belongs to its owner alone; libcodec2 ties it to no thread.
#[expect(unsafe_code, reason = "pointers of C")]
unsafe impl Send for State {}

impl State {
    fn new(mode: Mode) -> Self {
        #[expect(unsafe_code, reason = "libcodec2 is written in C")]
        // SAFETY: the mode is one that it has; the state that it makes is asked for its sizes alone.
        let (state, samples, bytes) = unsafe {
            let state = codec2_create(mode as c_int);
            assert!(!state.is_null(), "no memory, or libcodec2 was built without {mode:?}");
            (state, codec2_samples_per_frame(state), codec2_bytes_per_frame(state))
        };
        let state = Self { mode, state };
        let sizes = [samples, bytes].map(|size| usize::try_from(size).unwrap_or_default());
        assert_eq!(
            sizes,
            [mode.samples(), mode.bytes()],
            "another libcodec2 than the one that is known"
        );
        state
    }
}

impl Drop for State {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "libcodec2 is written in C")]
        // SAFETY: the state was made by `codec2_create`, and is not used again.
        unsafe {
            codec2_destroy(self.state);
        }
    }
}

/// Samples at 8 kHz into Codec 2.
///
/// ```
/// use oneport_media::Encoder as _;
/// use oneport_media::codec2::{Codec2Encoder, Mode};
///
/// // A second of voice in 100 bytes.
/// let mut payload = Vec::new();
/// Codec2Encoder::new(Mode::Bits700C).encode(&[0; 8_000], &mut payload);
/// assert_eq!(payload.len(), 25 * 4);
/// ```
pub struct Codec2Encoder(State);

impl std::fmt::Debug for Codec2Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Codec2Encoder({:?})", self.0.mode)
    }
}

impl Codec2Encoder {
    /// One that has heard nothing yet.
    ///
    /// # Panics
    /// There is no memory, or the library lacks the mode.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self(State::new(mode))
    }
}

impl Encoder for Codec2Encoder {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        let mode = self.0.mode;
        for part in samples.chunks(mode.samples()) {
            let (mut frame, mut bytes) = ([0; LONGEST], [0; BYTES]);
            frame[..part.len()].copy_from_slice(part);
            #[expect(unsafe_code, reason = "libcodec2 is written in C")]
            // SAFETY: the state is alive and ours; a frame of its mode is read, and its bytes are written: `State::new` has
            // made sure that both fit.
            unsafe {
                codec2_encode(self.0.state, bytes.as_mut_ptr(), frame.as_mut_ptr());
            }
            out.extend_from_slice(&bytes[..mode.bytes()]);
        }
    }
}

/// Codec 2 into samples at 8 kHz.
///
/// ```
/// use oneport_media::Decoder as _;
/// use oneport_media::codec2::{Codec2Decoder, Mode};
///
/// // Nobody can make hours of audio of a datagram: a second is heard.
/// let mut samples = Vec::new();
/// Codec2Decoder::new(Mode::Bits700C).decode(&[0; 1_400], &mut samples);
/// assert_eq!(samples.len(), 8_000);
/// ```
pub struct Codec2Decoder(State);

impl std::fmt::Debug for Codec2Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Codec2Decoder({:?})", self.0.mode)
    }
}

impl Codec2Decoder {
    /// One that has heard nothing yet.
    ///
    /// # Panics
    /// There is no memory, or the library lacks the mode.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self(State::new(mode))
    }
}

impl Decoder for Codec2Decoder {
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        let mode = self.0.mode;
        for bytes in payload.chunks_exact(mode.bytes()).take(MOST / mode.samples()) {
            let mut samples = [0; LONGEST];
            let dice = DICE.lock().unwrap_or_else(PoisonError::into_inner);
            #[expect(unsafe_code, reason = "libcodec2 is written in C")]
            // SAFETY: the state is alive and ours; the bytes of a frame are read, and its samples are written: `State::new`
            // has made sure that both fit. Nobody else throws its dice.
            unsafe {
                codec2_decode(self.0.state, samples.as_mut_ptr(), bytes.as_ptr());
            }
            drop(dice);
            out.extend_from_slice(&samples[..mode.samples()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pulses of 100 Hz through one resonance at 500 Hz.
    fn voice(len: usize) -> Vec<i16> {
        let mut memory = [0.0_f64; 2];
        let sample = |n: usize| {
            let pulse = if n.is_multiple_of(80) { 2_000.0 } else { 0.0 };
            let out = pulse + 1.8 * memory[0] - 0.95 * memory[1];
            memory = [out, memory[0]];
            out as i16
        };
        (0..len).map(sample).collect()
    }

    /// How much the samples are like themselves a period later.
    fn likeness(samples: &[i16], period: usize) -> f64 {
        let later = &samples[period..];
        let both = |one: &[i16], other: &[i16]| {
            one.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
        };
        let samples = &samples[..later.len()];
        both(samples, later) / (both(samples, samples) * both(later, later)).sqrt()
    }

    #[test]
    fn a_voice_keeps_its_pitch_in_every_mode() {
        let sent = voice(16_000);
        for mode in Mode::ALL {
            let (mut payload, mut heard) = (Vec::new(), Vec::new());
            Codec2Encoder::new(mode).encode(&sent, &mut payload);
            assert_eq!(payload.len(), sent.len() / mode.samples() * mode.bytes(), "{mode:?}");
            Codec2Decoder::new(mode).decode(&payload[..payload.len() / 2], &mut heard);
            assert_eq!(heard.len(), sent.len() / 2, "{mode:?}");
            let heard = &heard[3_200..];
            // The pitch is said in steps.
            let best = (40..140).max_by(|a, b| likeness(heard, *a).total_cmp(&likeness(heard, *b)));
            assert!(best.is_some_and(|period| (77..=83).contains(&period)), "{mode:?}: {best:?}");
        }
    }

    #[test]
    fn frames_follow_each_other_however_they_are_cut_and_the_last_is_filled_with_silence() {
        let sent = voice(3_200 + 1);
        for mode in Mode::ALL {
            let (mut whole, mut parts, mut encoder) =
                (Vec::new(), Vec::new(), Codec2Encoder::new(mode));
            Codec2Encoder::new(mode).encode(&sent, &mut whole);
            sent.chunks(mode.samples()).for_each(|part| encoder.encode(part, &mut parts));
            assert_eq!(parts, whole, "{mode:?}");
            assert_eq!(whole.len(), (3_200 / mode.samples() + 1) * mode.bytes(), "{mode:?}");
        }
    }

    #[test]
    fn any_bytes_are_taken_and_no_more_than_a_second_of_them() {
        let noise: Vec<u8> =
            (0..4_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for mode in Mode::ALL {
            let (mut decoder, mut heard) = (Codec2Decoder::new(mode), Vec::new());
            decoder.decode(&noise, &mut heard);
            assert_eq!(heard.len(), MOST, "{mode:?}");
            heard.clear();
            decoder.decode(&noise[..mode.bytes() * 3 - 1], &mut heard);
            assert_eq!(heard.len(), 2 * mode.samples(), "{mode:?}");
        }
    }
}
