//! What waits between two legs: bytes that nobody has to understand, or samples.

use std::time::Duration;

use oneport_wire::Format;

use crate::comfort_noise::ComfortNoise;
use crate::ilbc::{IlbcEncoder, Mode};
use crate::rate::Rate;
use crate::{Codec, Decoder, Encoder, g711};

/// What the shortest payload of a format is, where payloads may be cut and put together without being
/// understood. A millisecond, where a sample would do.
fn unit_of(format: Format) -> Option<(usize, Duration)> {
    let ms = Duration::from_millis;
    Some(match format {
        Format::ULAW | Format::ALAW | Format::G722 => (8, ms(1)),
        Format::SLIN => (16, ms(1)),
        Format::SLIN16 => (32, ms(1)),
        Format::G726 | Format::G726_AAL2 | Format::ADPCM => (4, ms(1)),
        Format::GSM => (33, ms(20)),
        Format::G729 => (10, ms(10)),
        Format::LPC10 => (7, Duration::from_micros(22_500)),
        _ => return None,
    })
}

/// How many bytes of a format last so long; of one whose frames tell their length themselves, any number, but of iLBC
/// those of its longer frames.
pub(super) fn bytes_lasting(format: Format, lasts: Duration) -> usize {
    let unit = match format {
        Format::ILBC => Some((50, Duration::from_millis(30))),
        _ => unit_of(format),
    };
    unit.map_or(usize::MAX, |unit| bytes_in(unit, lasts))
}

/// µ-law to A-law, or back.
type Table = fn(u8) -> u8;

/// What waits.
#[derive(Debug)]
pub(super) enum Line {
    /// Bytes of the far leg's format.
    Bytes { unit: (usize, Duration), table: Option<Table>, waiting: Vec<u8> },
    /// Samples at the rate of the far leg.
    Samples(Box<Samples>),
}

#[derive(Debug)]
pub(super) struct Samples {
    to: Codec,
    /// Samples of the shortest frame.
    unit: usize,
    decoder: Box<dyn Decoder>,
    /// Samples a second that the decoder gives.
    hears: u32,
    rate: Rate,
    encoder: Box<dyn Encoder>,
    decoded: Vec<i16>,
    waiting: Vec<i16>,
}

impl Samples {
    /// How long so many samples last.
    fn lasting(&self, samples: usize) -> Duration {
        Duration::from_micros(samples as u64 * 1_000_000 / u64::from(self.to.sample_rate()))
    }

    fn count(&self, lasts: Duration) -> usize {
        let samples = lasts.as_micros() * u128::from(self.to.sample_rate()) / 1_000_000;
        usize::try_from(samples).unwrap_or(usize::MAX)
    }
}

impl Line {
    /// One on which nothing has to be understood.
    pub(super) fn unheard(from: Format, to: Format) -> Option<Self> {
        let table: Option<Table> = match (from, to) {
            (Format::ULAW, Format::ALAW) => Some(g711::ulaw_to_alaw),
            (Format::ALAW, Format::ULAW) => Some(g711::alaw_to_ulaw),
            _ if from == to => None,
            _ => return None,
        };
        let unit = unit_of(to)?;
        Some(Self::Bytes { unit, table, waiting: Vec::with_capacity(8_192) })
    }

    /// One on which all is decoded; frames of iLBC are made in this mode.
    pub(super) fn heard(from: Format, to: Format, ilbc: Mode) -> Option<Self> {
        let (from, to) = (Codec::for_format(from)?, Codec::for_format(to)?);
        let (frame, encoder): (_, Box<dyn Encoder>) = match to {
            Codec::Ilbc => (ilbc.samples(), Box::new(IlbcEncoder::new(ilbc))),
            _ => (to.frame_samples(), to.encoder()),
        };
        // What is shorter than a millisecond is not sent alone.
        let unit = frame.max(to.samples_in(1));
        Some(Self::Samples(Box::new(Samples {
            to,
            unit,
            decoder: from.decoder(),
            hears: from.sample_rate(),
            rate: Rate::between(from.sample_rate(), to.sample_rate()),
            encoder,
            decoded: Vec::with_capacity(8_192),
            waiting: Vec::with_capacity(8_192),
        })))
    }

    /// Whether audio is understood here.
    pub(super) const fn is_heard(&self) -> bool {
        matches!(self, Self::Samples(_))
    }

    /// How long what waits lasts.
    pub(super) fn waiting(&self) -> Duration {
        match self {
            Self::Bytes { unit, waiting, .. } => lasting(*unit, waiting.len()),
            Self::Samples(samples) => samples.lasting(samples.waiting.len()),
        }
    }

    /// Takes a payload; how long it lasts.
    pub(super) fn take(&mut self, payload: &[u8]) -> Duration {
        match self {
            Self::Bytes { unit, table, waiting } => {
                match table {
                    Some(table) => waiting.extend(payload.iter().map(|byte| table(*byte))),
                    None => waiting.extend_from_slice(payload),
                }
                lasting(*unit, payload.len())
            }
            Self::Samples(samples) => {
                samples.decoded.clear();
                samples.decoder.decode(payload, &mut samples.decoded);
                let before = samples.waiting.len();
                samples.rate.pass(&samples.decoded, &mut samples.waiting);
                samples.lasting(samples.waiting.len() - before)
            }
        }
    }

    /// Takes noise that lasts so long.
    pub(super) fn take_noise(&mut self, noise: &mut ComfortNoise, lasts: Duration) {
        if let Self::Samples(samples) = self {
            // It goes through the filter of the voice, so that nothing is heard of where that ends.
            let count = lasts.as_micros() * u128::from(samples.hears) / 1_000_000;
            samples.decoded.clear();
            noise.extend(usize::try_from(count).unwrap_or(0), &mut samples.decoded);
            samples.rate.pass(&samples.decoded, &mut samples.waiting);
        }
    }

    /// The length of the shortest frame.
    fn unit(&self) -> Duration {
        match self {
            Self::Bytes { unit, .. } => unit.1,
            Self::Samples(samples) => samples.lasting(samples.unit),
        }
    }

    /// The shortest frame that is no shorter than this.
    pub(super) fn at_least(&self, length: Duration) -> Duration {
        let units = length.as_micros().div_ceil(self.unit().as_micros()).max(1);
        self.unit() * u32::try_from(units).unwrap_or(u32::MAX)
    }

    /// How long the next frame is, if enough waits for one no longer than `length`, or the shortest.
    pub(super) fn next(&self, length: Duration) -> Option<Duration> {
        let units = (length.as_micros() / self.unit().as_micros()).max(1);
        let frame = self.unit() * u32::try_from(units).unwrap_or(u32::MAX);
        (self.waiting() >= frame).then_some(frame)
    }

    /// Completes what waits with silence to what can be sent; of bytes, what is no unit is left out.
    pub(super) fn fill(&mut self) {
        match self {
            Self::Bytes { unit, waiting, .. } => waiting.truncate(waiting.len() / unit.0 * unit.0),
            Self::Samples(samples) => {
                let whole = samples.waiting.len().next_multiple_of(samples.unit);
                samples.waiting.resize(whole, 0);
            }
        }
    }

    /// The samples of a frame, where they are known.
    pub(super) fn samples(&self, lasts: Duration) -> Option<&[i16]> {
        match self {
            Self::Bytes { .. } => None,
            Self::Samples(samples) => samples.waiting.get(..samples.count(lasts)),
        }
    }

    /// Puts the payload of a frame into `payload`, and goes on behind it.
    pub(super) fn say(&mut self, lasts: Duration, payload: &mut Vec<u8>) {
        match self {
            Self::Bytes { unit, waiting, .. } => {
                let count = bytes_in(*unit, lasts).min(waiting.len());
                payload.extend(waiting.drain(..count));
            }
            Self::Samples(samples) => {
                let count = samples.count(lasts).min(samples.waiting.len());
                samples.encoder.encode(&samples.waiting[..count], payload);
                samples.waiting.drain(..count);
            }
        }
    }

    /// Goes on behind a frame.
    pub(super) fn drop(&mut self, lasts: Duration) {
        match self {
            Self::Bytes { unit, waiting, .. } => {
                drop(waiting.drain(..bytes_in(*unit, lasts).min(waiting.len())));
            }
            Self::Samples(samples) => {
                let count = samples.count(lasts).min(samples.waiting.len());
                samples.waiting.drain(..count);
            }
        }
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Bytes { waiting, .. } => waiting.clear(),
            Self::Samples(samples) => samples.waiting.clear(),
        }
    }
}

/// How long so many bytes last.
fn lasting((bytes, lasts): (usize, Duration), count: usize) -> Duration {
    let micros = lasts.as_micros() * count as u128 / bytes as u128;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

fn bytes_in((bytes, unit): (usize, Duration), lasts: Duration) -> usize {
    let units = lasts.as_micros() / unit.as_micros();
    usize::try_from(units).unwrap_or(usize::MAX).saturating_mul(bytes)
}
