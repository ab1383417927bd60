//! What the encoder finds in a frame: a signal without offset, its reflection coefficients, and
//! when the voice was like this before (§5.2.1 to §5.2.6, §5.2.11).

use super::lattice::ratio;
use super::long_term::{GAINS, Past};
use super::{QUARTER, SAMPLES};
use crate::fixed::{multiply, multiply_rounded, saturate};

/// Table 5.3a: where each gain begins.
const GAIN_STEPS: [i16; 3] = [6_554, 16_384, 26_214];

/// By how many bits a number can grow before it does not fit 32 any more.
const fn room(value: i32) -> u32 {
    if value < 0 { (!value).leading_zeros() - 1 } else { value.leading_zeros() - 1 }
}

/// Takes the offset away and makes high tones louder.
#[derive(Clone, Default, Debug)]
pub(super) struct Preparation {
    before: i16,
    offset: i32,
    last: i16,
}

impl Preparation {
    pub(super) fn prepare(&mut self, samples: &[i16; SAMPLES]) -> [i16; SAMPLES] {
        samples.map(|sample| {
            let sample = sample >> 3 << 2;
            let change = sample - self.before;
            self.before = sample;
            let high = self.offset >> 15;
            let low = saturate(self.offset - (high << 15));
            let change = (i32::from(change) << 15) + i32::from(multiply_rounded(low, 32_735));
            self.offset = (high * 32_735).saturating_add(change);
            let free = saturate(self.offset.saturating_add(16_384) >> 15);
            let last = std::mem::replace(&mut self.last, free);
            free.saturating_add(multiply_rounded(last, -28_180))
        })
    }
}

/// The log area ratios of a frame.
pub(super) fn ratios(samples: &mut [i16; SAMPLES]) -> [i16; 8] {
    reflections(correlations(samples)).map(ratio)
}

/// How a frame is like itself, up to eight samples later.
fn correlations(samples: &mut [i16; SAMPLES]) -> [i32; 9] {
    let loudest = samples.iter().map(|sample| sample.saturating_abs()).max().unwrap_or_default();
    // So that no sum is too great. Samples lose their last bits by that, in what follows too.
    let scale = match loudest {
        0 => 0,
        _ => 4_u32.saturating_sub(room(i32::from(loudest) << 16)),
    };
    if scale > 0 {
        for sample in samples.iter_mut() {
            *sample = multiply_rounded(*sample, 16_384 >> (scale - 1));
        }
    }
    let products = std::array::from_fn(|lag| {
        let pairs = samples[lag..].iter().zip(samples.iter());
        pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>() << 1
    });
    for sample in samples.iter_mut() {
        *sample <<= scale;
    }
    products
}

/// A fraction of 15 bits; the dividend is not greater than the divisor.
fn divide(dividend: i16, divisor: i16) -> i16 {
    match dividend {
        0 => 0,
        _ => saturate((i32::from(dividend) << 15) / i32::from(divisor)),
    }
}

/// Schur's recursion.
fn reflections(correlations: [i32; 9]) -> [i16; 8] {
    let mut found = [0; 8];
    if correlations[0] == 0 {
        return found;
    }
    let grow = room(correlations[0]);
    let mut p = correlations.map(|value| saturate(value << grow >> 16));
    let mut k = p;
    for (n, found) in found.iter_mut().enumerate() {
        if p[0] < p[1].saturating_abs() {
            break;
        }
        let size = divide(p[1].saturating_abs(), p[0]);
        let reflection = if p[1] > 0 { -size } else { size };
        *found = reflection;
        p[0] = p[0].saturating_add(multiply_rounded(p[1], reflection));
        for m in 1..8 - n {
            let next = p[m + 1];
            p[m] = next.saturating_add(multiply_rounded(k[m], reflection));
            k[m] = k[m].saturating_add(multiply_rounded(next, reflection));
        }
    }
    found
}

/// When the voice was like this quarter (40 to 120 samples ago), and the code of how much so.
pub(super) fn lag_and_gain(quarter: &[i16; QUARTER], past: &Past) -> (i16, i16) {
    let loudest = quarter.iter().map(|sample| sample.saturating_abs()).max().unwrap_or_default();
    let free = if loudest == 0 { 0 } else { room(i32::from(loudest) << 16) };
    let scale = 6_u32.saturating_sub(free);
    let scaled = quarter.map(|sample| sample >> scale);
    let mut best = (40, 0);
    for lag in 40..=120 {
        let pairs = scaled.iter().zip(past.ago(lag));
        let like = pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>() << 1;
        if like > best.1 {
            best = (lag, like);
        }
    }
    let (lag, like) = best;
    let like = like >> (6 - scale);
    let power = past.ago(lag).iter().map(|sample| i32::from(sample >> 3).pow(2)).sum::<i32>() << 1;
    let gain = if like <= 0 {
        0
    } else if like >= power {
        GAINS.len() - 1
    } else {
        let grow = room(power);
        let (like, power) = (saturate(like << grow >> 16), saturate(power << grow >> 16));
        GAIN_STEPS.iter().take_while(|step| like > multiply(power, **step)).count()
    };
    (lag as i16, gain as i16)
}
