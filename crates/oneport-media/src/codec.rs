//! The codecs that can be spoken here, under one name.

use std::fmt::Debug;

use oneport_wire::Format;

use crate::adpcm::{AdpcmDecoder, AdpcmEncoder};
use crate::g722::{G722Decoder, G722Encoder};
use crate::g726::{G726Decoder, G726Encoder, Packing};
use crate::gsm::{GsmDecoder, GsmEncoder};
use crate::ilbc::{IlbcDecoder, IlbcEncoder, Mode};
#[cfg(feature = "lpc10")]
use crate::lpc10::{self, Lpc10Decoder, Lpc10Encoder};
#[cfg(feature = "opus")]
use crate::opus::{OpusDecoder, OpusEncoder};
#[cfg(feature = "speex")]
use crate::speex::{Band, SpeexDecoder, SpeexEncoder};
use crate::{g711, slin};

/// Speaks a codec. Once `out` has room, nothing allocates.
///
/// ```
/// use oneport_media::Codec;
///
/// // 20 ms are less than a frame of iLBC; 40 are one, and 10 ms that wait.
/// let (mut encoder, mut payload) = (Codec::Ilbc.encoder(), Vec::new());
/// encoder.encode(&[0; 160], &mut payload);
/// assert!(payload.is_empty());
/// encoder.encode(&[0; 160], &mut payload);
/// assert_eq!(payload.len(), 50);
/// ```
pub trait Encoder: Debug + Send {
    /// Appends the payload of the samples that follow those of the last time, whole frames
    /// ([`Codec::frame_samples`]); what the last one lacks is silence. iLBC and LPC-10 keep what is
    /// less than a frame for the next time, so that nothing may be appended.
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>);
}

/// Understands a codec. Once `out` has room, nothing allocates.
///
/// ```
/// use oneport_media::Codec;
///
/// // GSM says what is heard in place of a frame that is lost.
/// let mut samples = Vec::new();
/// assert!(Codec::Gsm.decoder().conceal(150, &mut samples));
/// assert_eq!(samples.len(), 160);
/// // G.711 leaves that to others.
/// assert!(!Codec::Ulaw.decoder().conceal(150, &mut samples));
/// ```
pub trait Decoder: Debug + Send {
    /// Appends the samples of the payload that follows the last one. Any bytes are taken: a frame
    /// that is none counts as lost, and less than a frame at the end is left out.
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>);

    /// Appends what the codec itself says in place of so many samples, rounded up to frames, that
    /// are lost; `false`, and nothing is appended: it has no such rule.
    fn conceal(&mut self, _samples: usize, _out: &mut Vec<i16>) -> bool {
        false
    }
}

/// A codec.
///
/// ```
/// use oneport_media::Codec;
/// use oneport_media::tone::{MILLIWATT_ULAW, level_dbm0};
/// use oneport_wire::Format;
///
/// let codec = Codec::for_format(Format::ULAW).expect("it is spoken here");
/// let mut samples = Vec::new();
/// codec.decode(&MILLIWATT_ULAW.repeat(20), &mut samples);
/// assert_eq!(samples.len(), codec.samples_in(20));
/// assert!(level_dbm0(&samples, 1_000.0, codec.sample_rate()).abs() < 0.05);
/// assert_eq!(Codec::for_format(Format::G729), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Codec {
    /// G.711 µ-law.
    Ulaw,
    /// G.711 A-law.
    Alaw,
    /// Linear, 8 kHz.
    Slin,
    /// Linear, 16 kHz.
    Slin16,
    /// G.722 at 64 kbit/s.
    G722,
    /// G.726 at 32 kbit/s, packed as in RFC 3551.
    G726,
    /// G.726 at 32 kbit/s, packed as for AAL2.
    G726Aal2,
    /// ADPCM at 32 kbit/s.
    Adpcm,
    /// GSM 06.10 full rate.
    Gsm,
    /// iLBC: frames of 30 ms are said, as Asterisk does, and those of 20 ms understood, too. [`Wishes`](crate::transcode::Wishes)
    /// may want those of 20.
    Ilbc,
    /// Speex at 8 kHz.
    #[cfg(feature = "speex")]
    Speex,
    /// Speex at 16 kHz.
    #[cfg(feature = "speex")]
    Speex16,
    /// Opus, at 16 kHz.
    #[cfg(feature = "opus")]
    Opus,
    /// LPC-10.
    #[cfg(feature = "lpc10")]
    Lpc10,
}

impl Codec {
    /// All of them, the formats in the order in which they are best offered to strangers.
    pub const ALL: &'static [Self] = &[
        Self::Ulaw,
        Self::Alaw,
        Self::Slin,
        Self::Slin16,
        Self::G722,
        Self::G726,
        Self::G726Aal2,
        Self::Adpcm,
        Self::Gsm,
        Self::Ilbc,
        #[cfg(feature = "speex")]
        Self::Speex16,
        #[cfg(feature = "speex")]
        Self::Speex,
        #[cfg(feature = "opus")]
        Self::Opus,
        #[cfg(feature = "lpc10")]
        Self::Lpc10,
    ];

    /// The codec of a format, if it can be spoken here.
    #[must_use]
    pub fn for_format(format: Format) -> Option<Self> {
        Self::ALL.iter().copied().find(|codec| codec.format() == format)
    }

    /// Its format.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Ulaw => Format::ULAW,
            Self::Alaw => Format::ALAW,
            Self::Slin => Format::SLIN,
            Self::Slin16 => Format::SLIN16,
            Self::G722 => Format::G722,
            Self::G726 => Format::G726,
            Self::G726Aal2 => Format::G726_AAL2,
            Self::Adpcm => Format::ADPCM,
            Self::Gsm => Format::GSM,
            Self::Ilbc => Format::ILBC,
            #[cfg(feature = "speex")]
            Self::Speex => Format::SPEEX,
            #[cfg(feature = "speex")]
            Self::Speex16 => Format::SPEEX16,
            #[cfg(feature = "opus")]
            Self::Opus => Format::OPUS,
            #[cfg(feature = "lpc10")]
            Self::Lpc10 => Format::LPC10,
        }
    }

    /// Samples in a second.
    #[must_use]
    pub const fn sample_rate(self) -> u32 {
        match self {
            Self::Slin16 | Self::G722 => 16_000,
            #[cfg(feature = "speex")]
            Self::Speex16 => 16_000,
            #[cfg(feature = "opus")]
            Self::Opus => 16_000,
            _ => 8_000,
        }
    }

    /// Samples in `millis` ms.
    #[must_use]
    pub const fn samples_in(self, millis: u16) -> usize {
        self.sample_rate() as usize * millis as usize / 1000
    }

    /// Samples of the shortest payload; each has a multiple of them.
    #[must_use]
    pub const fn frame_samples(self) -> usize {
        match self {
            Self::Ulaw | Self::Alaw | Self::Slin | Self::Slin16 => 1,
            Self::G722 | Self::G726 | Self::G726Aal2 | Self::Adpcm => 2,
            Self::Gsm => 160,
            Self::Ilbc => Mode::Ms30.samples(),
            #[cfg(feature = "speex")]
            Self::Speex => 160,
            #[cfg(feature = "speex")]
            Self::Speex16 => 320,
            #[cfg(feature = "opus")]
            Self::Opus => 320,
            #[cfg(feature = "lpc10")]
            Self::Lpc10 => lpc10::FRAME,
        }
    }

    /// Somebody who speaks it and has said nothing yet. One for each direction of each call: most
    /// codecs remember what was said.
    #[must_use]
    pub fn encoder(self) -> Box<dyn Encoder> {
        match self {
            Self::Ulaw | Self::Alaw | Self::Slin | Self::Slin16 => Box::new(Plain(self)),
            Self::G722 => Box::new(G722Encoder::default()),
            Self::G726 => Box::new(G726Encoder::new(Packing::Rfc3551)),
            Self::G726Aal2 => Box::new(G726Encoder::new(Packing::Aal2)),
            Self::Adpcm => Box::new(AdpcmEncoder::default()),
            Self::Gsm => Box::new(GsmEncoder::default()),
            Self::Ilbc => Box::new(IlbcEncoder::default()),
            #[cfg(feature = "speex")]
            Self::Speex => Box::new(SpeexEncoder::new(Band::Narrow)),
            #[cfg(feature = "speex")]
            Self::Speex16 => Box::new(SpeexEncoder::new(Band::Wide)),
            #[cfg(feature = "opus")]
            Self::Opus => Box::new(OpusEncoder::default()),
            #[cfg(feature = "lpc10")]
            Self::Lpc10 => Box::new(Lpc10Encoder::default()),
        }
    }

    /// Somebody who understands it and has heard nothing yet.
    #[must_use]
    pub fn decoder(self) -> Box<dyn Decoder> {
        match self {
            Self::Ulaw | Self::Alaw | Self::Slin | Self::Slin16 => Box::new(Plain(self)),
            Self::G722 => Box::new(G722Decoder::default()),
            Self::G726 => Box::new(G726Decoder::new(Packing::Rfc3551)),
            Self::G726Aal2 => Box::new(G726Decoder::new(Packing::Aal2)),
            Self::Adpcm => Box::new(AdpcmDecoder::default()),
            Self::Gsm => Box::new(GsmDecoder::default()),
            Self::Ilbc => Box::new(IlbcDecoder::default()),
            #[cfg(feature = "speex")]
            Self::Speex => Box::new(SpeexDecoder::new(Band::Narrow)),
            #[cfg(feature = "speex")]
            Self::Speex16 => Box::new(SpeexDecoder::new(Band::Wide)),
            #[cfg(feature = "opus")]
            Self::Opus => Box::new(OpusDecoder::default()),
            #[cfg(feature = "lpc10")]
            Self::Lpc10 => Box::new(Lpc10Decoder::default()),
        }
    }

    /// Appends the samples of a payload that follows none to `out`.
    pub fn decode(self, payload: &[u8], out: &mut Vec<i16>) {
        self.decoder().decode(payload, out);
    }

    /// Appends the payload of samples that follow none to `out`.
    pub fn encode(self, samples: &[i16], out: &mut Vec<u8>) {
        self.encoder().encode(samples, out);
    }
}

/// A codec that remembers nothing.
#[derive(Debug)]
struct Plain(Codec);

impl Encoder for Plain {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        match self.0 {
            Codec::Ulaw => out.extend(samples.iter().map(|sample| g711::linear_to_ulaw(*sample))),
            Codec::Alaw => out.extend(samples.iter().map(|sample| g711::linear_to_alaw(*sample))),
            Codec::Slin16 => slin::encode_little_endian(samples, out),
            _ => slin::encode_big_endian(samples, out),
        }
    }
}

impl Decoder for Plain {
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        match self.0 {
            Codec::Ulaw => out.extend(payload.iter().map(|byte| g711::ulaw_to_linear(*byte))),
            Codec::Alaw => out.extend(payload.iter().map(|byte| g711::alaw_to_linear(*byte))),
            Codec::Slin16 => slin::decode_little_endian(payload, out),
            _ => slin::decode_big_endian(payload, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Sine;

    #[test]
    fn linear_audio_passes_unchanged_in_each_byte_order() {
        let samples = [0, 1, -1, 256, i16::MIN, i16::MAX];
        for (codec, second) in [(Codec::Slin, [0, 1]), (Codec::Slin16, [1, 0])] {
            let (mut payload, mut back) = (Vec::new(), Vec::new());
            codec.encode(&samples, &mut payload);
            assert_eq!(payload[2..4], second, "{codec:?}");
            codec.decode(&payload, &mut back);
            assert_eq!(back, samples);
        }
    }

    #[test]
    fn every_codec_is_found_by_its_format() {
        for codec in Codec::ALL {
            assert_eq!(Codec::for_format(codec.format()), Some(*codec));
        }
        assert_eq!(Codec::for_format(Format::G729), None);
    }

    /// Whether what is less than a frame waits for the next time.
    fn keeps(codec: Codec) -> bool {
        [Format::ILBC, Format::LPC10].contains(&codec.format())
    }

    /// Samples that are heard of so many.
    fn whole(codec: Codec, samples: usize) -> usize {
        let frame = codec.frame_samples();
        if keeps(codec) { samples / frame * frame } else { samples.next_multiple_of(frame) }
    }

    /// A sine through the codec, 20 ms at a time, and how much louder it is than what is added, in dB.
    fn clarity(codec: Codec, frequency: f64) -> f64 {
        let rate = codec.sample_rate();
        let sent: Vec<i16> = Sine::new(frequency, rate, 0.5).take(rate as usize).collect();
        let (mut encoder, mut decoder) = (codec.encoder(), codec.decoder());
        let (mut payload, mut heard) = (Vec::new(), Vec::new());
        for frame in sent.chunks(codec.samples_in(20)) {
            payload.clear();
            encoder.encode(frame, &mut payload);
            decoder.decode(&payload, &mut heard);
        }
        assert_eq!(heard.len(), whole(codec, sent.len()), "{codec:?}");
        let heard = &heard[rate as usize / 2..];
        // A sine is all there is, so that whatever else is heard was added.
        let step = std::f64::consts::TAU * frequency / f64::from(rate);
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (n, sample) in heard.iter().enumerate() {
            let (phase, sample) = (step * n as f64, f64::from(*sample));
            re += sample * phase.cos();
            im += sample * phase.sin();
            all += sample * sample;
        }
        let tone = 2.0 * (re * re + im * im) / heard.len() as f64;
        10.0 * (tone / (all - tone).max(1.0)).log10()
    }

    #[test]
    fn a_tone_is_heard_clearly_through_every_codec() {
        for codec in Codec::ALL {
            let least = match codec {
                Codec::Slin | Codec::Slin16 => 80.0,
                Codec::Ulaw | Codec::Alaw => 35.0,
                Codec::G722 => 40.0,
                Codec::G726 | Codec::G726Aal2 | Codec::Adpcm => 20.0,
                // It says pulses of a voice, and no sine.
                codec if codec.format() == Format::LPC10 => continue,
                _ => 15.0,
            };
            let clarity = clarity(*codec, 700.0);
            assert!(clarity > least, "{codec:?}: {clarity:.1} dB");
        }
    }

    /// Whether payloads cannot be put behind each other.
    fn takes_one_payload(codec: Codec) -> bool {
        [Format::SPEEX, Format::SPEEX16, Format::OPUS].contains(&codec.format())
    }

    #[test]
    fn frames_of_any_length_say_the_same_as_one_long_one() {
        let sent: Vec<i16> = Sine::new(440.0, 8_000, 0.7).take(7_200).collect();
        for codec in Codec::ALL {
            if takes_one_payload(*codec) {
                continue;
            }
            let (mut whole, mut parts, mut encoder) = (Vec::new(), Vec::new(), codec.encoder());
            codec.encode(&sent, &mut whole);
            for part in sent.chunks(480) {
                encoder.encode(part, &mut parts);
            }
            assert_eq!(parts, whole, "{codec:?}");
            let (mut long, mut short, mut decoder) = (Vec::new(), Vec::new(), codec.decoder());
            codec.decode(&whole, &mut long);
            assert_eq!(long.len(), sent.len(), "{codec:?}");
            let frames = if *codec == Codec::Ilbc { 50 * 7 } else { 33 * 7 };
            for part in whole.chunks(frames) {
                decoder.decode(part, &mut short);
            }
            // Two bytes of a sample may be torn apart.
            if !matches!(codec, Codec::Slin | Codec::Slin16) {
                assert_eq!(short, long, "{codec:?}");
            }
        }
    }

    #[cfg(feature = "lpc10")]
    #[test]
    fn of_lpc_10_what_is_less_than_a_frame_waits_for_the_next_time() {
        let (mut encoder, mut payload) = (Codec::Lpc10.encoder(), Vec::new());
        let frames = (0..18).map(|_| {
            payload.clear();
            encoder.encode(&[1_000; 160], &mut payload);
            payload.len() / 7
        });
        let frames: Vec<usize> = frames.collect();
        assert_eq!(frames, [0, 1, 1, 1, 1, 1, 1, 1, 1].repeat(2));
    }

    #[test]
    fn what_is_less_than_a_frame_is_filled_up_with_silence() {
        for codec in Codec::ALL.iter().filter(|codec| !keeps(**codec)) {
            let frame = codec.frame_samples();
            let (mut short, mut filled) = (Vec::new(), Vec::new());
            codec.encode(&[4_000; 1], &mut short);
            let mut samples = vec![0; frame];
            samples[0] = 4_000;
            codec.encode(&samples, &mut filled);
            assert_eq!(short, filled, "{codec:?}");
        }
    }
}
