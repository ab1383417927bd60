//! The short-term filter: its coefficients, as both sides know them, and how they change in the
//! course of a frame (§5.2.7 to §5.2.10, §5.3.4).

use super::SAMPLES;
use crate::fixed::{multiply, multiply_rounded};

/// Table 5.1.
const A: [i16; 8] = [20_480, 20_480, 20_480, 20_480, 13_964, 15_360, 8_534, 9_036];
const B: [i16; 8] = [0, 0, 2_048, -2_560, 94, -1_792, -341, -1_144];
const LEAST: [i16; 8] = [-32, -32, -16, -16, -8, -8, -4, -4];
const GREATEST: [i16; 8] = [31, 31, 15, 15, 7, 7, 3, 3];
/// Table 5.2.
const INVERSE_A: [i16; 8] = [13_107, 13_107, 13_107, 13_107, 19_223, 17_476, 31_454, 29_708];

/// Eight log area ratios, or reflection coefficients.
type Eight = [i16; 8];

/// A function of a magnitude, for numbers with a sign.
fn odd(value: i16, of: impl FnOnce(i16) -> i16) -> i16 {
    let magnitude = of(value.saturating_abs());
    if value < 0 { -magnitude } else { magnitude }
}

/// The ratio of a reflection coefficient.
pub(super) fn ratio(coefficient: i16) -> i16 {
    odd(coefficient, |magnitude| match magnitude {
        ..22_118 => magnitude >> 1,
        22_118..31_130 => magnitude - 11_059,
        _ => (magnitude - 26_112) << 2,
    })
}

fn coefficient(ratio: i16) -> i16 {
    odd(ratio, |magnitude| match magnitude {
        ..11_059 => magnitude << 1,
        11_059..20_070 => magnitude + 11_059,
        _ => (magnitude >> 2).saturating_add(26_112),
    })
}

pub(super) fn quantise(ratios: Eight) -> Eight {
    std::array::from_fn(|n| {
        let scaled = multiply(A[n], ratios[n]).saturating_add(B[n]).saturating_add(256) >> 9;
        scaled.clamp(LEAST[n], GREATEST[n]) - LEAST[n]
    })
}

fn dequantise(codes: Eight) -> Eight {
    std::array::from_fn(|n| {
        let scaled = ((codes[n] + LEAST[n]) << 10).saturating_sub(B[n] << 1);
        let value = multiply_rounded(INVERSE_A[n], scaled);
        value.saturating_add(value)
    })
}

/// The filter of either side; what it remembers lies between two frames.
#[derive(Clone, Default, Debug)]
pub(super) struct Lattice {
    before: Eight,
    stages: Eight,
}

impl Lattice {
    /// Lets `part` see the samples of each part of a frame, and its coefficients.
    fn in_parts(
        &mut self,
        codes: Eight,
        samples: &mut [i16; SAMPLES],
        part: fn(&mut Eight, Eight, &mut [i16]),
    ) {
        let now = dequantise(codes);
        let before = std::mem::replace(&mut self.before, now);
        let mix =
            |of: fn(i16, i16) -> i16| std::array::from_fn(|n| coefficient(of(before[n], now[n])));
        let parts: [(usize, Eight); 4] = [
            (0, mix(|a, b| (a >> 2).saturating_add(b >> 2).saturating_add(a >> 1))),
            (13, mix(|a, b| (a >> 1).saturating_add(b >> 1))),
            (27, mix(|a, b| (a >> 2).saturating_add(b >> 2).saturating_add(b >> 1))),
            (40, mix(|_, b| b)),
        ];
        for (n, (from, coefficients)) in parts.iter().enumerate() {
            let to = parts.get(n + 1).map_or(SAMPLES, |(next, _)| *next);
            part(&mut self.stages, *coefficients, &mut samples[*from..to]);
        }
    }

    /// Takes away what the short term predicts.
    pub(super) fn analyse(&mut self, codes: Eight, samples: &mut [i16; SAMPLES]) {
        self.in_parts(codes, samples, |stages, coefficients, samples| {
            for sample in samples {
                let mut delayed = *sample;
                for (stage, by) in stages.iter_mut().zip(coefficients) {
                    let before = *stage;
                    *stage = delayed;
                    delayed = before.saturating_add(multiply_rounded(by, *sample));
                    *sample = sample.saturating_add(multiply_rounded(by, before));
                }
            }
        });
    }

    /// Adds it again.
    pub(super) fn synthesise(&mut self, codes: Eight, samples: &mut [i16; SAMPLES]) {
        self.in_parts(codes, samples, |stages, coefficients, samples| {
            for sample in samples {
                for n in (0..8).rev() {
                    let by = coefficients[n];
                    *sample = sample.saturating_sub(multiply_rounded(by, stages[n]));
                    let next = stages[n].saturating_add(multiply_rounded(by, *sample));
                    if let Some(stage) = stages.get_mut(n + 1) {
                        *stage = next;
                    }
                }
                stages[0] = *sample;
            }
        });
    }
}
