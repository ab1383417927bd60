//! Opus (RFC 6716), by libopus, at 16 kHz: what telephones have of it.

use opusic_c::{Application, Channels, SampleRate};

use crate::{Decoder, Encoder};

/// Samples of 20 ms.
const FRAME: usize = 320;
/// Samples of 120 ms, the longest payload.
const LONGEST: usize = 6 * FRAME;
/// Bytes of the longest payload that is made, well above what speech needs.
const BYTES: usize = 1_500;

/// Samples into Opus: what is encoded at once, up to 120 ms, is one payload, which takes no other behind
/// it.
///
/// ```
/// use oneport_media::opus::OpusEncoder;
/// use oneport_media::{Codec, Encoder as _};
///
/// // 60 ms at once are one payload.
/// let (mut payload, mut samples) = (Vec::new(), Vec::new());
/// OpusEncoder::default().encode(&[0; 960], &mut payload);
/// Codec::Opus.decode(&payload, &mut samples);
/// assert_eq!(samples.len(), 960);
/// ```
pub struct OpusEncoder(opusic_c::Encoder);

impl std::fmt::Debug for OpusEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpusEncoder")
    }
}

impl Default for OpusEncoder {
    /// One that has heard nothing yet.
    ///
    /// # Panics
    /// There is no memory.
    fn default() -> Self {
        let encoder =
            opusic_c::Encoder::new(Channels::Mono, SampleRate::Hz16000, Application::Voip);
        Self(encoder.expect("memory for an encoder"))
    }
}

impl Encoder for OpusEncoder {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        let samples = &samples[..samples.len().min(LONGEST)];
        let mut frames = [0; LONGEST];
        for (place, sample) in frames.iter_mut().zip(samples) {
            *place = sample.cast_unsigned();
        }
        let whole = samples.len().next_multiple_of(FRAME);
        let mut bytes = [0; BYTES];
        // It refuses only what has no length of a frame.
        let written = self.0.encode_to_slice(&frames[..whole], &mut bytes).unwrap_or_default();
        out.extend(&bytes[..written]);
    }
}

/// Opus into samples at 16 kHz.
///
/// ```
/// use oneport_media::Decoder as _;
/// use oneport_media::opus::OpusDecoder;
///
/// let (mut decoder, mut samples) = (OpusDecoder::default(), Vec::new());
/// // A payload without bytes is none. One that makes no sense counts as 20 ms that are lost.
/// decoder.decode(&[], &mut samples);
/// assert!(samples.is_empty());
/// decoder.decode(&[0xFF], &mut samples);
/// assert_eq!(samples.len(), 320);
/// ```
pub struct OpusDecoder(opusic_c::Decoder);

impl std::fmt::Debug for OpusDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpusDecoder")
    }
}

impl Default for OpusDecoder {
    /// One that has heard nothing yet.
    ///
    /// # Panics
    /// There is no memory.
    fn default() -> Self {
        let decoder = opusic_c::Decoder::new(Channels::Mono, SampleRate::Hz16000);
        Self(decoder.expect("memory for a decoder"))
    }
}

impl OpusDecoder {
    /// Decodes into so many samples at most; without a payload into just as many. Whether it was one.
    fn decode_up_to(&mut self, most: usize, payload: &[u8], out: &mut Vec<i16>) -> bool {
        let mut samples = [0; LONGEST];
        match self.0.decode_to_slice(payload, &mut samples[..most], false) {
            Ok(len) => out.extend(samples[..len].iter().map(|sample| sample.cast_signed())),
            Err(_) => return false,
        }
        true
    }
}

impl Decoder for OpusDecoder {
    /// What is no payload counts as 20 ms that are lost.
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        if !payload.is_empty() && !self.decode_up_to(LONGEST, payload, out) {
            self.conceal(FRAME, out);
        }
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) -> bool {
        for _ in 0..samples.div_ceil(FRAME) {
            let end = out.len() + FRAME;
            self.decode_up_to(FRAME, &[], out);
            out.resize(end, 0);
        }
        true
    }
}
