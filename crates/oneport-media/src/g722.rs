//! G.722 at 64 kbit/s (ITU-T G.722): 16 kHz in two bands, each ADPCM. The letters and names in
//! capitals in the comments are those of the Recommendation's blocks (§6).

use crate::fixed::saturate;
use crate::{Decoder, Encoder};

/// Every other coefficient of the filter that splits the bands (table 11); the others are the same
/// backwards.
const HALF_FILTER: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

/// QUANTL, table 12: where each magnitude of the lower band begins.
const LOW_DECISIONS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023,
    1_121, 1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];
/// INVQAL, table 13: what the upper four bits of a lower code stand for.
const LOW_FOUR: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288,
    4_240, 2_584, 1_200, 0,
];
/// INVQBL, table 15: what all six stand for.
const LOW_SIX: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008,
    -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008,
    16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000,
    5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432,
    136, -432, -136,
];
/// LOGSCL, table 17: how they change the scale.
const LOW_CHANGES: [i32; 16] =
    [-60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60];
/// INVQAH, LOGSCH: what an upper code stands for, and how it changes the scale.
const HIGH_VALUES: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];
const HIGH_CHANGES: [i32; 4] = [798, -214, 798, -214];
/// SCALEL, SCALEH, table 20: 2^(n/32), of 11 fractional bits.
const POWERS: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656,
    2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520,
    3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

/// What fits 15 bits.
const fn limit(value: i32) -> i32 {
    if value > 16_383 {
        16_383
    } else if value < -16_384 {
        -16_384
    } else {
        value
    }
}

const fn saturated(value: i32) -> i32 {
    saturate(value) as i32
}

/// One band: its predictor of two poles and six zeros, and its scale.
#[derive(Clone, Debug)]
struct Band {
    expected: i32,
    /// The part of it that the zeros give.
    from_zeros: i32,
    poles: [i32; 2],
    zeros: [i32; 6],
    /// The last reconstructed values, partial ones and quantised differences, the last first.
    values: [i32; 2],
    partial: [i32; 2],
    differences: [i32; 6],
    logarithm: i32,
    scale: i32,
}

impl Band {
    const fn new(scale: i32) -> Self {
        Self {
            expected: 0,
            from_zeros: 0,
            poles: [0; 2],
            zeros: [0; 6],
            values: [0; 2],
            partial: [0; 2],
            differences: [0; 6],
            logarithm: 0,
            scale,
        }
    }

    const fn low() -> Self {
        Self::new(32)
    }

    const fn high() -> Self {
        Self::new(8)
    }

    /// LOGSCL and SCALEL, LOGSCH and SCALEH.
    fn rescale(&mut self, change: i32, most: i32, shift: i32) {
        self.logarithm = (((self.logarithm * 127) >> 7) + change).clamp(0, most);
        let power = POWERS[(self.logarithm >> 6 & 31) as usize];
        let by = shift - (self.logarithm >> 11);
        self.scale = if by < 0 { power << -by } else { power >> by } << 2;
    }

    /// Goes on by a quantised difference.
    fn advance(&mut self, difference: i32) {
        // RECONS, PARREC.
        let value = saturated(self.expected + difference);
        let partial = saturated(self.from_zeros + difference);
        self.adapt_poles(partial);
        self.adapt_zeros(difference);
        // DELAYA.
        self.values = [value, self.values[0]];
        self.partial = [partial, self.partial[0]];
        self.differences.rotate_right(1);
        self.differences[0] = difference;
        // FILTEP, FILTEZ, PREDIC.
        let part = |coefficient: i32, value: i32| (coefficient * saturated(2 * value)) >> 15;
        let [first, second] = [0, 1].map(|n| part(self.poles[n], self.values[n]));
        let zeros = self.zeros.iter().zip(self.differences);
        self.from_zeros = saturated(zeros.map(|(zero, value)| part(*zero, value)).sum());
        self.expected = saturated(saturated(first + second) + self.from_zeros);
    }

    /// UPPOL1, UPPOL2.
    fn adapt_poles(&mut self, partial: i32) {
        let [first, second] = self.poles;
        let like = |before: i32| (partial < 0) == (before < 0);
        let turn = saturated(first << 2);
        let turn = if like(self.partial[0]) { saturated(-turn) } else { turn } >> 7;
        let up = if like(self.partial[1]) { 128 } else { -128 };
        let second = (turn + up + ((second * 32_512) >> 15)).clamp(-12_288, 12_288);
        let up = if like(self.partial[0]) { 192 } else { -192 };
        let limit = 15_360 - second;
        let first = (up + ((first * 32_640) >> 15)).clamp(-limit, limit);
        self.poles = [first, second];
    }

    /// UPZERO.
    fn adapt_zeros(&mut self, difference: i32) {
        for (zero, before) in self.zeros.iter_mut().zip(self.differences) {
            let up = match difference {
                0 => 0,
                _ if (difference < 0) == (before < 0) => 128,
                _ => -128,
            };
            *zero = saturated(up + ((*zero * 32_640) >> 15));
        }
    }

    /// Goes on by a code of six bits of the lower band, of which the last two do not count.
    fn advance_low(&mut self, code: u8) {
        let four = usize::from(code >> 2 & 15);
        let difference = (self.scale * LOW_FOUR[four]) >> 15;
        self.rescale(LOW_CHANGES[four], 18_432, 8);
        self.advance(difference);
    }

    /// Goes on by a code of two bits of the upper band: the difference.
    fn advance_high(&mut self, code: u8) -> i32 {
        let code = usize::from(code & 3);
        let difference = (self.scale * HIGH_VALUES[code]) >> 15;
        self.rescale(HIGH_CHANGES[code], 22_528, 10);
        self.advance(difference);
        difference
    }

    /// QUANTL.
    fn code_low(&self, value: i32) -> u8 {
        let difference = saturated(value - self.expected);
        let magnitude = if difference < 0 { !difference } else { difference };
        let above = |least: &&i32| magnitude >= (**least * self.scale) >> 12;
        let level = LOW_DECISIONS.iter().take_while(above).count() as u8;
        match (difference < 0, level) {
            (false, _) => 61 - level,
            (true, 0 | 1) => 63 - level,
            (true, _) => 33 - level,
        }
    }

    /// QUANTH.
    fn code_high(&self, value: i32) -> u8 {
        let difference = saturated(value - self.expected);
        let magnitude = if difference < 0 { !difference } else { difference };
        let loud = magnitude >= (564 * self.scale) >> 12;
        match (difference < 0, loud) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }
    }
}

/// The last 24 values of the filter that splits or joins the bands: twelve pairs, the last last.
type Pairs = [[i32; 2]; 12];

/// Sums of both halves of the filter.
fn filtered(pairs: &Pairs) -> [i32; 2] {
    let mut sums = [0; 2];
    for (n, [first, second]) in pairs.iter().enumerate() {
        sums[0] += first * HALF_FILTER[n];
        sums[1] += second * HALF_FILTER[11 - n];
    }
    sums
}

/// Samples at 16 kHz into G.722, two a byte.
///
/// ```
/// use oneport_media::Encoder as _;
/// use oneport_media::g722::G722Encoder;
///
/// // 20 ms at 16 kHz are as many bytes as those of G.711 at half the rate.
/// let mut payload = Vec::new();
/// G722Encoder::default().encode(&[0; 320], &mut payload);
/// assert_eq!(payload.len(), 160);
/// ```
#[derive(Clone, Debug)]
pub struct G722Encoder {
    low: Band,
    high: Band,
    pairs: Pairs,
}

impl Default for G722Encoder {
    fn default() -> Self {
        Self { low: Band::low(), high: Band::high(), pairs: [[0; 2]; 12] }
    }
}

impl Encoder for G722Encoder {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        out.extend(samples.chunks(2).map(|pair| {
            self.pairs.rotate_left(1);
            let second = pair.get(1).copied().unwrap_or_default();
            self.pairs[11] = [pair[0].into(), second.into()];
            // TRANSMIT QMF.
            let [odd, even] = filtered(&self.pairs);
            let (low, high) = (limit((even + odd) >> 14), limit((even - odd) >> 14));
            let (low, high) = (self.low.code_low(low), self.high.code_high(high));
            self.low.advance_low(low);
            self.high.advance_high(high);
            high << 6 | low
        }));
    }
}

/// G.722 into samples at 16 kHz.
///
/// ```
/// use oneport_media::g722::{G722Decoder, G722Encoder};
/// use oneport_media::tone::{Sine, level_dbm0};
/// use oneport_media::{Decoder as _, Encoder as _};
///
/// // 6 kHz, which no codec at 8 kHz can say.
/// let sent: Vec<i16> = Sine::new(6_000.0, 16_000, 0.25).take(3_200).collect();
/// let (mut payload, mut heard) = (Vec::new(), Vec::new());
/// G722Encoder::default().encode(&sent, &mut payload);
/// G722Decoder::default().decode(&payload, &mut heard);
/// let change = level_dbm0(&heard, 6_000.0, 16_000) - level_dbm0(&sent, 6_000.0, 16_000);
/// assert!(change.abs() < 1.0);
/// ```
#[derive(Clone, Debug)]
pub struct G722Decoder {
    low: Band,
    high: Band,
    pairs: Pairs,
}

impl Default for G722Decoder {
    fn default() -> Self {
        Self { low: Band::low(), high: Band::high(), pairs: [[0; 2]; 12] }
    }
}

impl Decoder for G722Decoder {
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        for byte in payload {
            let code = byte & 63;
            let exact = (self.low.scale * LOW_SIX[usize::from(code)]) >> 15;
            let low = limit(self.low.expected + exact);
            self.low.advance_low(code);
            let expected = self.high.expected;
            let high = limit(expected + self.high.advance_high(byte >> 6));
            self.pairs.rotate_left(1);
            // RECEIVE QMF.
            self.pairs[11] = [low + high, low - high];
            let [sum, difference] = filtered(&self.pairs);
            out.push(saturate(difference >> 11));
            out.push(saturate(sum >> 11));
        }
    }
}
