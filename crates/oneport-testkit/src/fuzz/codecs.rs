use oneport_media::Codec;
#[cfg(feature = "codec2")]
use oneport_media::codec2::{Codec2Decoder, Codec2Encoder, Mode};
#[cfg(feature = "codec2")]
use oneport_media::{Decoder, Encoder};
use oneport_wire::Format;

use super::Input;

/// Samples at most that a byte stands for, where all frames have the same length: those of LPC-10.
const SAMPLES_PER_BYTE: usize = 26;
/// Samples at most of a payload where they have not: 340 ms at 16 kHz.
const LONGEST: usize = 5_440;

/// A decoder of any codec takes any payloads, losses between them and what an encoder makes of any
/// samples; what it says is no longer than that can be.
///
/// # Panics
/// When it is.
pub fn codecs(bytes: &[u8]) {
    let mut input = Input(bytes);
    #[cfg(feature = "codec2")]
    if let Some(mode) = codec2_mode(input.0) {
        input.byte();
        return codec2(mode, input);
    }
    let codec = Codec::ALL[usize::from(input.byte()) % Codec::ALL.len()];
    let (mut encoder, mut decoder) = (codec.encoder(), codec.decoder());
    let (mut payload, mut heard) = (Vec::new(), Vec::new());
    while !input.is_empty() {
        heard.clear();
        match input.below(4) {
            0 => {
                let lost = input.below(8) * codec.samples_in(10);
                if decoder.conceal(lost, &mut heard) {
                    // Of iLBC the frames that came last may be shorter than those that are said.
                    let most = lost + codec.frame_samples();
                    assert!((lost..most).contains(&heard.len()), "{codec:?}: {}", heard.len());
                } else {
                    assert!(heard.is_empty());
                }
            }
            1 => {
                let samples = input.bytes();
                let samples: Vec<i16> =
                    samples.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
                payload.clear();
                encoder.encode(&samples, &mut payload);
                decoder.decode(&payload, &mut heard);
                let whole = samples.len().next_multiple_of(codec.frame_samples());
                // These may have kept some from before, and keep some now.
                let keeps = [Format::ILBC, Format::LPC10].contains(&codec.format());
                let good = if keeps { heard.len() <= whole } else { heard.len() == whole };
                assert!(good, "{codec:?}: {} of {} samples", heard.len(), samples.len());
            }
            _ => {
                let payload = input.bytes();
                decoder.decode(&payload, &mut heard);
                let most = payload.len() * SAMPLES_PER_BYTE + LONGEST;
                assert!(heard.len() <= most, "{codec:?}: {}", heard.len());
            }
        }
    }
}

/// Inputs that begin with one of the last bytes are for modes of Codec 2, which is no [`Codec`].
#[cfg(feature = "codec2")]
fn codec2_mode(bytes: &[u8]) -> Option<Mode> {
    Mode::ALL.get(usize::from(u8::MAX - bytes.first()?)).copied()
}

/// The same of Codec 2.
#[cfg(feature = "codec2")]
fn codec2(mode: Mode, mut input: Input<'_>) {
    let (mut encoder, mut decoder) = (Codec2Encoder::new(mode), Codec2Decoder::new(mode));
    let (mut payload, mut heard) = (Vec::new(), Vec::new());
    while !input.is_empty() {
        heard.clear();
        if input.below(2) == 0 {
            let samples = input.bytes();
            let samples: Vec<i16> =
                samples.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
            payload.clear();
            encoder.encode(&samples, &mut payload);
            decoder.decode(&payload, &mut heard);
            assert_eq!(heard.len(), samples.len().next_multiple_of(mode.samples()), "{mode:?}");
        } else {
            let payload = input.bytes();
            decoder.decode(&payload, &mut heard);
            let whole = payload.len() / mode.bytes() * mode.samples();
            assert_eq!(heard.len(), whole.min(8_000), "{mode:?}");
        }
    }
}
