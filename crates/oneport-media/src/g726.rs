//! G.726 at 32 kbit/s (ITU-T G.726, formerly G.721), on linear samples (its Annex A). Names in
//! capitals in the comments are those of the Recommendation's blocks (§4).

use crate::{Decoder, Encoder};

/// How two codes share a byte. IAX2 has a format for each.
///
/// ```
/// use oneport_media::Encoder as _;
/// use oneport_media::g726::{G726Encoder, Packing};
///
/// let say = |packing| {
///     let mut payload = Vec::new();
///     G726Encoder::new(packing).encode(&[1_000, -1_000], &mut payload);
///     payload[0]
/// };
/// // The same two codes, the other way round.
/// assert_eq!(say(Packing::Rfc3551), say(Packing::Aal2).rotate_left(4));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    /// The first in the lower half (RFC 3551 §4.5.4).
    Rfc3551,
    /// The first in the upper half (ITU-T I.366.2 Annex E, for AAL2).
    Aal2,
}

impl Packing {
    const fn join(self, first: u8, second: u8) -> u8 {
        match self {
            Self::Rfc3551 => second << 4 | first,
            Self::Aal2 => first << 4 | second,
        }
    }

    const fn split(self, byte: u8) -> [u8; 2] {
        match self {
            Self::Rfc3551 => [byte & 0x0F, byte >> 4],
            Self::Aal2 => [byte >> 4, byte & 0x0F],
        }
    }
}

/// QUAN, table 8: the least logarithm of each magnitude but the first.
const DECISIONS: [i32; 7] = [-124, 80, 178, 246, 300, 349, 400];
/// RECONST, table 12: the logarithm of each magnitude's difference.
const LOGARITHMS: [i32; 8] = [-2_048, 4, 135, 213, 273, 323, 373, 425];
/// FUNCTW, table 14: how each magnitude changes the scale.
const SCALE_CHANGES: [i32; 8] = [-12, 18, 41, 64, 112, 198, 355, 1_122];
/// FUNCTF, table 15: how far each magnitude says that the signal moves.
const ACTIVITY: [i32; 8] = [0, 0, 0, 1, 1, 1, 3, 7];

/// A number of 11 bits: sign, exponent of four bits, mantissa of six.
#[derive(Clone, Copy, Debug)]
struct Float {
    negative: bool,
    exponent: u32,
    mantissa: i32,
}

impl Float {
    const ZERO: Self = Self { negative: false, exponent: 0, mantissa: 32 };

    /// FLOATA, FLOATB.
    const fn new(value: i32) -> Self {
        let magnitude = value.abs() & 0x7FFF;
        let exponent = bits(magnitude);
        let mantissa = if magnitude == 0 { 32 } else { magnitude << 6 >> exponent };
        Self { negative: value < 0, exponent, mantissa }
    }

    /// FMULT: its product with a coefficient of 14 fractional bits.
    const fn times(self, coefficient: i32) -> i32 {
        let magnitude = if coefficient < 0 {
            (16_384 - (coefficient >> 2 & 0x3FFF)) & 0x1FFF
        } else {
            coefficient >> 2
        };
        let by = bits(magnitude);
        let mantissa = if magnitude == 0 { 32 } else { magnitude << 6 >> by };
        let exponent = self.exponent + by;
        let product = (self.mantissa * mantissa + 48) >> 4;
        let product = if exponent <= 26 {
            product << 7 >> (26 - exponent)
        } else {
            product << 7 << (exponent - 26) & 0x7FFF
        };
        if self.negative == (coefficient < 0) { product } else { -product }
    }
}

/// How many bits a magnitude has.
const fn bits(magnitude: i32) -> u32 {
    32 - magnitude.leading_zeros()
}

/// The low 16 bits, as a number with a sign.
const fn wrap(value: i32) -> i32 {
    value << 16 >> 16
}

/// What encoder and decoder have in common.
#[derive(Clone, Debug)]
struct State {
    /// The last two reconstructed samples, the last first.
    samples: [Float; 2],
    /// The last six quantised differences, the last first, and the coefficients for each.
    differences: [Float; 6],
    zeros: [i32; 6],
    poles: [i32; 2],
    /// Whether the last two partial reconstructions were negative.
    negative: [bool; 2],
    /// Short and long mean of the activity; the weight of the fast scale.
    short_mean: i32,
    long_mean: i32,
    weight: i32,
    fast_scale: i32,
    slow_scale: i32,
    /// Whether there is a tone in a narrow band.
    tone: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            samples: [Float::ZERO; 2],
            differences: [Float::ZERO; 6],
            zeros: [0; 6],
            poles: [0; 2],
            negative: [false; 2],
            short_mean: 0,
            long_mean: 0,
            weight: 0,
            fast_scale: 544,
            slow_scale: 34_816,
            tone: false,
        }
    }
}

/// What is expected of the next sample.
struct Expected {
    /// The part that the zeros give.
    partial: i32,
    sample: i32,
    scale: i32,
}

impl State {
    fn expect(&self) -> Expected {
        let partial = (self.differences.iter().zip(self.zeros))
            .fold(0, |sum, (difference, zero)| wrap(sum + difference.times(zero)));
        let sample = (self.samples.iter().zip(self.poles))
            .fold(partial, |sum, (sample, pole)| wrap(sum + sample.times(pole)));
        // LIMA, MIX.
        let weight = if self.weight >= 256 { 64 } else { self.weight >> 2 };
        let slow = self.slow_scale >> 6;
        let difference = self.fast_scale - slow;
        let part = (difference.abs() * weight) >> 6;
        let scale = slow + if difference < 0 { -part } else { part };
        Expected { partial: partial >> 1, sample: sample >> 1, scale }
    }

    /// The code of a sample of 14 bits.
    fn code(&mut self, sample: i32) -> u8 {
        let expected = self.expect();
        // SUBTA, LOG, SUBTB, QUAN.
        let difference = sample - expected.sample;
        let magnitude = difference.abs() & 0x7FFF;
        let exponent = bits(magnitude >> 1);
        let logarithm = ((exponent as i32) << 7) + (magnitude << 7 >> exponent & 0x7F);
        let logarithm = logarithm - (expected.scale >> 2);
        let level = DECISIONS.iter().take_while(|least| logarithm >= **least).count() as u8;
        // No difference has the code of a negative one; that of a positive one is not used.
        let code = if difference < 0 || level == 0 { 15 - level } else { level };
        self.advance(code, &expected);
        code
    }

    /// Goes on by a code: the sample that it stands for.
    fn sample(&mut self, code: u8) -> i32 {
        let expected = self.expect();
        self.advance(code, &expected)
    }

    fn advance(&mut self, code: u8, expected: &Expected) -> i32 {
        let minus = code & 8 != 0;
        let level = usize::from(if minus { 15 - code } else { code } & 7);
        // ADDA, ANTILOG.
        let logarithm = LOGARITHMS[level] + (expected.scale >> 2);
        let magnitude = match logarithm {
            ..0 => 0,
            _ => (128 + (logarithm & 127)) << 7 >> (14 - (logarithm >> 7 & 15)),
        };
        let difference = if minus { -magnitude } else { magnitude };
        let sample = wrap(expected.sample + difference);
        let leaves_tone = self.leaves_tone(magnitude);
        self.adapt_scale(level, expected.scale);
        self.adapt_predictor(minus, magnitude, wrap(expected.partial + difference), leaves_tone);
        self.tone = !leaves_tone && self.poles[1] < -11_776;
        self.adapt_weight(level, expected.scale, leaves_tone);
        self.samples = [Float::new(sample), self.samples[0]];
        self.differences.rotate_right(1);
        self.differences[0] = Float { negative: minus, ..Float::new(magnitude) };
        sample
    }

    /// TRANS: whether what was a tone has changed to something else.
    const fn leaves_tone(&self, magnitude: i32) -> bool {
        let whole = self.slow_scale >> 15;
        let fraction = self.slow_scale >> 10 & 31;
        let threshold = if whole > 9 { 31 << 10 } else { (32 + fraction) << whole };
        self.tone && magnitude > (threshold + (threshold >> 1)) >> 1
    }

    /// FUNCTW, FILTD, LIMB, FILTE.
    fn adapt_scale(&mut self, level: usize, scale: i32) {
        let fast = scale + (((SCALE_CHANGES[level] << 5) - scale) >> 5);
        self.fast_scale = fast.clamp(544, 5_120);
        self.slow_scale += self.fast_scale + (-self.slow_scale >> 6);
    }

    /// ADDC, XOR, UPB, UPA1, UPA2, LIMC, LIMD, TRIGB.
    fn adapt_predictor(&mut self, minus: bool, magnitude: i32, partial: i32, leaves_tone: bool) {
        let [before, long_before] = self.negative;
        let negative = partial < 0;
        self.negative = [negative, before];
        if leaves_tone {
            self.zeros = [0; 6];
            self.poles = [0; 2];
            return;
        }
        let gain = |same: bool, gain: i32| if same { gain } else { -gain };
        for (zero, difference) in self.zeros.iter_mut().zip(&self.differences) {
            let up = if magnitude == 0 { 0 } else { gain(difference.negative == minus, 128) };
            *zero = wrap(*zero + up - (*zero >> 8));
        }
        let [first, second] = self.poles;
        let (mut first_up, mut second_up) = (0, 0);
        if partial != 0 {
            first_up = gain(negative == before, 192);
            let limited = first.clamp(-8_191, 8_191) << 2;
            let turn = gain(negative != before, limited);
            second_up = (gain(negative == long_before, 16_384) + turn) >> 7;
        }
        let second = (second + second_up - (second >> 7)).clamp(-12_288, 12_288);
        let limit = 15_360 - second;
        let first = (first + first_up - (first >> 8)).clamp(-limit, limit);
        self.poles = [first, second];
    }

    /// FUNCTF, FILTA, FILTB, SUBTC, FILTC, TRIGA.
    fn adapt_weight(&mut self, level: usize, scale: i32, leaves_tone: bool) {
        self.short_mean += ((ACTIVITY[level] << 9) - self.short_mean) >> 5;
        self.long_mean += ((ACTIVITY[level] << 11) - self.long_mean) >> 7;
        let apart = ((self.short_mean << 2) - self.long_mean).abs();
        let steady = scale >= 1_536 && apart < self.long_mean >> 3 && !self.tone;
        let aim = if steady { 0 } else { 512 };
        self.weight = if leaves_tone { 256 } else { self.weight + ((aim - self.weight) >> 4) };
    }
}

/// Samples into G.726, two a byte.
///
/// ```
/// use oneport_media::Encoder as _;
/// use oneport_media::g726::{G726Encoder, Packing};
///
/// // 32 kbit/s: 20 ms are 80 bytes, and silence is all ones.
/// let mut payload = Vec::new();
/// G726Encoder::new(Packing::Rfc3551).encode(&[0; 160], &mut payload);
/// assert_eq!(payload, [0xFF; 80]);
/// ```
#[derive(Clone, Debug)]
pub struct G726Encoder {
    packing: Packing,
    state: State,
}

impl G726Encoder {
    /// One that has heard nothing yet.
    #[must_use]
    pub fn new(packing: Packing) -> Self {
        Self { packing, state: State::default() }
    }
}

impl Encoder for G726Encoder {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        out.extend(samples.chunks(2).map(|pair| {
            let mut code = |sample: i16| self.state.code(i32::from(sample >> 2));
            let first = code(pair[0]);
            self.packing.join(first, code(pair.get(1).copied().unwrap_or_default()))
        }));
    }
}

/// G.726 into samples.
///
/// ```
/// use oneport_media::g726::{G726Decoder, G726Encoder, Packing};
/// use oneport_media::tone::{Sine, level_dbm0};
/// use oneport_media::{Decoder as _, Encoder as _};
///
/// let sent: Vec<i16> = Sine::new(1_000.0, 8_000, 0.25).take(1_600).collect();
/// let (mut payload, mut heard) = (Vec::new(), Vec::new());
/// G726Encoder::new(Packing::Aal2).encode(&sent, &mut payload);
/// G726Decoder::new(Packing::Aal2).decode(&payload, &mut heard);
/// let change = level_dbm0(&heard, 1_000.0, 8_000) - level_dbm0(&sent, 1_000.0, 8_000);
/// assert!(change.abs() < 0.5);
/// ```
#[derive(Clone, Debug)]
pub struct G726Decoder {
    packing: Packing,
    state: State,
}

impl G726Decoder {
    /// One that has heard nothing yet.
    #[must_use]
    pub fn new(packing: Packing) -> Self {
        Self { packing, state: State::default() }
    }
}

impl Decoder for G726Decoder {
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        for code in payload.iter().flat_map(|byte| self.packing.split(*byte)) {
            // LIMO.
            let sample = self.state.sample(code).clamp(-8_192, 8_191);
            #[expect(clippy::cast_possible_truncation, reason = "clamped")]
            out.push((sample << 2) as i16);
        }
    }
}
