//! GSM 06.10 full rate, 13 kbit/s (ETSI EN 300 961), bit for bit. Section numbers are its own.
//!
//! 160 samples of which 13 bits count become 33 bytes: a mark of four bits, and 260 as in RFC 3551
//! §4.5.8.

mod analysis;
mod lattice;
mod long_term;
mod parameters;
mod pulses;

use crate::fixed::multiply_rounded;
use crate::{Decoder, Encoder};

use analysis::Preparation;
use lattice::Lattice;
use long_term::Past;
use parameters::{BYTES, Parameters};

/// Samples of a frame: 20 ms.
const SAMPLES: usize = 160;
/// From so many lost frames on there is silence.
const SILENT: u8 = 16;
/// Samples of a quarter of it.
const QUARTER: usize = SAMPLES / 4;

/// Samples into GSM.
///
/// ```
/// use oneport_media::Encoder as _;
/// use oneport_media::gsm::GsmEncoder;
///
/// // Two frames of 20 ms, each with its mark.
/// let mut payload = Vec::new();
/// GsmEncoder::default().encode(&[0; 320], &mut payload);
/// assert_eq!(payload.len(), 2 * 33);
/// assert_eq!([payload[0] >> 4, payload[33] >> 4], [0xD; 2]);
/// ```
#[derive(Clone, Default, Debug)]
pub struct GsmEncoder {
    preparation: Preparation,
    lattice: Lattice,
    past: Past,
}

impl GsmEncoder {
    fn frame(&mut self, samples: &[i16; SAMPLES]) -> Parameters {
        let mut signal = self.preparation.prepare(samples);
        let mut frame = Parameters { ratios: [0; 8], ..Parameters::default() };
        frame.ratios = lattice::quantise(analysis::ratios(&mut signal));
        self.lattice.analyse(frame.ratios, &mut signal);
        for (samples, quarter) in signal.as_chunks::<QUARTER>().0.iter().zip(&mut frame.quarters) {
            (quarter.lag, quarter.gain) = analysis::lag_and_gain(samples, &self.past);
            let expected = self.past.expected(quarter.lag, quarter.gain);
            let rest = std::array::from_fn(|n| samples[n].saturating_sub(expected[n]));
            pulses::choose(&rest, quarter);
            self.past.push(&sum(&pulses::place(quarter), &expected));
        }
        frame
    }
}

fn sum(a: &[i16; QUARTER], b: &[i16; QUARTER]) -> [i16; QUARTER] {
    std::array::from_fn(|n| a[n].saturating_add(b[n]))
}

impl Encoder for GsmEncoder {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        for part in samples.chunks(SAMPLES) {
            let mut frame = [0; SAMPLES];
            frame[..part.len()].copy_from_slice(part);
            out.extend(self.frame(&frame).pack());
        }
    }
}

/// GSM into samples.
///
/// ```
/// use oneport_media::comfort_noise::level_of;
/// use oneport_media::gsm::{GsmDecoder, GsmEncoder};
/// use oneport_media::tone::Sine;
/// use oneport_media::{Decoder as _, Encoder as _};
///
/// let sent: Vec<i16> = Sine::new(400.0, 8_000, 0.5).take(1_600).collect();
/// let (mut payload, mut heard, mut lost) = (Vec::new(), Vec::new(), Vec::new());
/// GsmEncoder::default().encode(&sent, &mut payload);
/// let mut decoder = GsmDecoder::default();
/// decoder.decode(&payload, &mut heard);
/// // What is lost sounds like what was before, and fades within 320 ms.
/// decoder.conceal(17 * 160, &mut lost);
/// assert!(level_of(&lost[..160]).abs_diff(level_of(&heard[1_440..])) < 6);
/// assert_eq!(level_of(&lost[16 * 160..]), 127);
/// ```
#[derive(Clone, Debug)]
pub struct GsmDecoder {
    lattice: Lattice,
    past: Past,
    lag: i16,
    last_sample: i16,
    last_frame: Parameters,
    /// How many frames in a row are lost.
    lost: u8,
}

impl Default for GsmDecoder {
    fn default() -> Self {
        Self {
            lattice: Lattice::default(),
            past: Past::default(),
            lag: 40,
            last_sample: 0,
            last_frame: Parameters::default(),
            lost: 0,
        }
    }
}

impl GsmDecoder {
    fn frame(&mut self, frame: &Parameters, out: &mut Vec<i16>) {
        let mut signal = [0; SAMPLES];
        for (samples, quarter) in
            signal.as_chunks_mut::<QUARTER>().0.iter_mut().zip(&frame.quarters)
        {
            if (40..=120).contains(&quarter.lag) {
                self.lag = quarter.lag;
            }
            let expected = self.past.expected(self.lag, quarter.gain);
            *samples = sum(&pulses::place(quarter), &expected);
            self.past.push(samples);
        }
        self.lattice.synthesise(frame.ratios, &mut signal);
        out.extend(signal.map(|sample| {
            self.last_sample = sample.saturating_add(multiply_rounded(self.last_sample, 28_180));
            self.last_sample.saturating_add(self.last_sample) & !7
        }));
    }
}

impl Decoder for GsmDecoder {
    /// A frame without the mark counts as lost.
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        for bytes in payload.as_chunks::<BYTES>().0 {
            match Parameters::unpack(*bytes) {
                Some(frame) => {
                    (self.last_frame, self.lost) = (frame, 0);
                    self.frame(&frame, out);
                }
                None => self.lost(out),
            }
        }
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) -> bool {
        for _ in 0..samples.div_ceil(SAMPLES) {
            self.lost(out);
        }
        true
    }
}

impl GsmDecoder {
    /// As in the example of GSM 06.11: the last frame again, then each time more quietly, and silence
    /// after 320 ms. What the voice repeats fades with it, or a steady tone would never end.
    fn lost(&mut self, out: &mut Vec<i16>) {
        if self.lost == SILENT {
            return out.resize(out.len() + SAMPLES, 0);
        }
        self.lost += 1;
        let frame = self.last_frame;
        self.frame(&frame, out);
        for quarter in &mut self.last_frame.quarters {
            quarter.greatest = (quarter.greatest - 4).max(0);
            quarter.gain = (quarter.gain - 1).max(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Sine;

    fn loudness(samples: &[i16]) -> i64 {
        samples.iter().map(|sample| i64::from(*sample).pow(2)).sum()
    }

    #[test]
    fn what_is_lost_fades_away_and_what_bears_no_mark_is_lost() {
        let sent: Vec<i16> = Sine::new(400.0, 8_000, 0.5).take(10 * SAMPLES).collect();
        let mut payload = Vec::new();
        GsmEncoder::default().encode(&sent, &mut payload);
        let (mut decoder, mut heard) = (GsmDecoder::default(), Vec::new());
        decoder.decode(&payload, &mut heard);
        let before = loudness(&heard[9 * SAMPLES..]);
        heard.clear();
        decoder.decode(&[0; BYTES], &mut heard);
        assert!(decoder.conceal(19 * SAMPLES - 1, &mut heard));
        let levels: Vec<i64> = heard.chunks(SAMPLES).map(loudness).collect();
        assert_eq!(levels.len(), 20);
        assert!((before / 2..before * 2).contains(&levels[0]), "{before}: {levels:?}");
        assert!(levels[3] < levels[0] / 10, "{levels:?}");
        assert_eq!(levels[19], 0, "{levels:?}");
    }

    #[test]
    fn silence_is_a_known_frame() {
        let mut payload = Vec::new();
        GsmEncoder::default().encode(&[0; SAMPLES], &mut payload);
        let mut silence = vec![0xD8, 0x20, 0xA2, 0xE1, 0x5A];
        silence.extend([0x50, 0x00, 0x49, 0x24, 0x92, 0x49, 0x24].repeat(4));
        assert_eq!(payload, silence);
    }
}
