//! ADPCM at 32 kbit/s as Asterisk speaks it. RFC 5456 calls the format IMA ADPCM; what is on the
//! wire is the older code of Oki's and Dialogic's chips: 12-bit samples, 49 step sizes, the first
//! sample of a byte in its upper half. Half of an odd step is rounded up, which the chips do not do.

use crate::{Decoder, Encoder};

/// Each step is a tenth wider than the one before.
const STEPS: [i16; 49] = [
    16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107, 118, 130,
    143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796,
    876, 963, 1060, 1166, 1282, 1411, 1552,
];

/// How many steps up or down a code's magnitude leads.
const MOVES: [i8; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];

/// What both directions remember: the last value, in 12 bits, and which step is used.
#[derive(Clone, Default, Debug)]
struct State {
    value: i16,
    step: u8,
}

impl State {
    fn step(&self) -> i16 {
        STEPS[usize::from(self.step)]
    }

    /// Goes on by the low four bits of a code: a sign and three bits of magnitude.
    fn advance(&mut self, code: u8) -> i16 {
        let step = self.step();
        let mut difference = step >> 3;
        for (bit, part) in [(4, step), (2, step >> 1), (1, step >> 2)] {
            if code & bit != 0 {
                difference += part;
            }
        }
        // What halving an odd step has cut off.
        difference += i16::from(code >> 1 & 1) & step & 1;
        let value = if code & 8 == 0 { self.value + difference } else { self.value - difference };
        self.value = value.clamp(-2_047, 2_047);
        let moved = self.step.saturating_add_signed(MOVES[usize::from(code & 7)]);
        self.step = moved.min(STEPS.len() as u8 - 1);
        self.value << 4
    }

    fn code(&mut self, sample: i16) -> u8 {
        let step = self.step();
        let difference = (sample >> 4) - self.value;
        let mut code = if difference < 0 { 8 } else { 0 };
        let mut rest = difference.abs();
        for (bit, part) in [(4, step), (2, step >> 1), (1, step >> 2)] {
            if rest >= part {
                code |= bit;
                rest -= part;
            }
        }
        self.advance(code);
        code
    }
}

/// Samples into ADPCM, two a byte.
///
/// ```
/// use oneport_media::Encoder as _;
/// use oneport_media::adpcm::AdpcmEncoder;
///
/// // Up by all that a code can say, then down by the least of what the step has become.
/// let mut payload = Vec::new();
/// AdpcmEncoder::default().encode(&[30 << 4, 26 << 4], &mut payload);
/// assert_eq!(payload, [0x78]);
/// ```
#[derive(Clone, Default, Debug)]
pub struct AdpcmEncoder(State);

impl Encoder for AdpcmEncoder {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        out.extend(samples.chunks(2).map(|pair| {
            let first = self.0.code(pair[0]);
            first << 4 | self.0.code(pair.get(1).copied().unwrap_or_default())
        }));
    }
}

/// ADPCM into samples.
///
/// ```
/// use oneport_media::Decoder as _;
/// use oneport_media::adpcm::AdpcmDecoder;
///
/// let (mut decoder, mut samples) = (AdpcmDecoder::default(), Vec::new());
/// decoder.decode(&[0x78], &mut samples);
/// assert_eq!(samples, [30 << 4, 26 << 4]);
/// // The same byte means something else now: what was said before counts.
/// decoder.decode(&[0x78], &mut samples);
/// assert!(samples[2] > 80 << 4);
/// ```
#[derive(Clone, Default, Debug)]
pub struct AdpcmDecoder(State);

impl Decoder for AdpcmDecoder {
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        for byte in payload {
            out.push(self.0.advance(byte >> 4));
            out.push(self.0.advance(byte & 0x0F));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_move_the_value_by_eighths_of_a_step() {
        // From nothing, at a step of 16: 7 is one and seven eighths of it, and eight steps on; 8 one
        // eighth of what is then 34 down.
        let mut samples = Vec::new();
        AdpcmDecoder::default().decode(&[0x78], &mut samples);
        assert_eq!(samples, [30 << 4, (30 - 4) << 4]);
    }

    #[test]
    fn what_is_too_loud_is_as_loud_as_can_be() {
        let mut samples = Vec::new();
        let mut decoder = AdpcmDecoder::default();
        decoder.decode(&[0x77; 50], &mut samples);
        decoder.decode(&[0xFF; 50], &mut samples);
        assert_eq!((samples[99], samples[199]), (2_047 << 4, -2_047 << 4));
    }
}
