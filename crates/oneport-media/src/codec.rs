//! The codecs that can be spoken here, under one name.

use oneport_wire::Format;

use crate::{g711, slin};

/// A codec. Once `out` has room, neither direction allocates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
}

impl Codec {
    /// All of them, the formats in the order in which they are best offered to strangers.
    pub const ALL: [Self; 4] = [Self::Ulaw, Self::Alaw, Self::Slin, Self::Slin16];

    /// The codec of a format, if it can be spoken here.
    #[must_use]
    pub fn for_format(format: Format) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.format() == format)
    }

    /// Its format.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Ulaw => Format::ULAW,
            Self::Alaw => Format::ALAW,
            Self::Slin => Format::SLIN,
            Self::Slin16 => Format::SLIN16,
        }
    }

    /// Samples in a second.
    #[must_use]
    pub const fn sample_rate(self) -> u32 {
        match self {
            Self::Ulaw | Self::Alaw | Self::Slin => 8_000,
            Self::Slin16 => 16_000,
        }
    }

    /// Samples in `millis` ms.
    #[must_use]
    pub const fn samples_in(self, millis: u16) -> usize {
        self.sample_rate() as usize * millis as usize / 1000
    }

    /// Appends the samples of a payload to `out`.
    pub fn decode(self, payload: &[u8], out: &mut Vec<i16>) {
        match self {
            Self::Ulaw => out.extend(payload.iter().map(|byte| g711::ulaw_to_linear(*byte))),
            Self::Alaw => out.extend(payload.iter().map(|byte| g711::alaw_to_linear(*byte))),
            Self::Slin => slin::decode_big_endian(payload, out),
            Self::Slin16 => slin::decode_little_endian(payload, out),
        }
    }

    /// Appends the payload of `samples` to `out`.
    pub fn encode(self, samples: &[i16], out: &mut Vec<u8>) {
        match self {
            Self::Ulaw => out.extend(samples.iter().map(|sample| g711::linear_to_ulaw(*sample))),
            Self::Alaw => out.extend(samples.iter().map(|sample| g711::linear_to_alaw(*sample))),
            Self::Slin => slin::encode_big_endian(samples, out),
            Self::Slin16 => slin::encode_little_endian(samples, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(Codec::for_format(codec.format()), Some(codec));
        }
        assert_eq!(Codec::for_format(Format::OPUS), None);
    }
}
