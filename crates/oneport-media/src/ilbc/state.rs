//! The start state: the strongest samples of the residual, each said by itself (§3.5, §4.2).

use super::lpc::{Predictor, synthesise};
use super::tables::{SCALES, STATE};
use super::{ORDER, SUB_BLOCK, nearest};

/// Samples of the longest state.
const LONGEST: usize = 58;
/// What the greatest sample becomes before they are said.
const GREATEST: f32 = 4.5;

/// What is said of a state.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) scale: u8,
    pub(super) samples: [u8; LONGEST],
}

/// Spreads peaks over time: an all-pass filter, around the end of the samples to their beginning.
fn disperse(predictor: &Predictor, samples: &mut [f32]) {
    let len = samples.len();
    let mut both = [0.0; 2 * LONGEST];
    // The numerator is the predictor the other way round.
    for (n, sample) in samples.iter().enumerate() {
        for (coefficient, place) in predictor.iter().rev().chain(&[1.0]).zip(&mut both[n..]) {
            *place += coefficient * sample;
        }
    }
    synthesise(predictor, &mut [0.0; ORDER], &mut both[..2 * len]);
    for (n, sample) in samples.iter_mut().enumerate() {
        *sample = both[n] + both[len + n];
    }
}

/// Chooses what is said of the samples. `predictor` is that of the first of the two sub-blocks, `weighting` those
/// of both, as the ear weighs errors; `behind` of the samples are in the second.
pub(super) fn choose(
    samples: &[f32],
    predictor: &Predictor,
    weighting: [&Predictor; 2],
    behind: usize,
) -> State {
    let mut all = [0.0; LONGEST];
    let samples = {
        let place = &mut all[..samples.len()];
        place.copy_from_slice(samples);
        place
    };
    disperse(predictor, samples);
    let greatest = samples.iter().map(|sample| sample.abs()).fold(10.0, f32::max);
    let scale = nearest(&SCALES, greatest.log10());
    let factor = GREATEST / power_of_ten(scale);
    samples.iter_mut().for_each(|sample| *sample *= factor);
    let mut state = State { scale, samples: [0; LONGEST] };
    let before = samples.len() - behind;
    let (mut heard, mut said) = ([0.0; ORDER], [0.0; ORDER]);
    for (n, sample) in samples.iter_mut().enumerate() {
        let weighting = weighting[usize::from(n >= before)];
        synthesise(weighting, &mut heard, std::slice::from_mut(sample));
        // What is said of it comes on top of what follows from what was said before.
        let expected: f32 = -weighting.iter().zip(&said).map(|(a, b)| a * b).sum::<f32>();
        let number = nearest(&STATE, *sample - expected);
        state.samples[n] = number;
        said.copy_within(..ORDER - 1, 1);
        said[0] = expected + STATE[usize::from(number)];
    }
    state
}

/// How many samples of a state are in the second of its sub-blocks.
pub(super) const fn behind(len: usize, is_first: bool) -> usize {
    if is_first { len - SUB_BLOCK } else { SUB_BLOCK }
}

fn power_of_ten(scale: u8) -> f32 {
    10_f32.powf(SCALES[usize::from(scale)])
}

/// Puts what is said into `out`.
pub(super) fn construct(scale: u8, samples: &[u8], predictor: &Predictor, out: &mut [f32]) {
    let factor = power_of_ten(scale) / GREATEST;
    for (out, number) in out.iter_mut().rev().zip(samples) {
        *out = factor * STATE[usize::from(*number)];
    }
    // Backwards the same filter takes back what it did.
    disperse(predictor, out);
    out.reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_said_with_little_noise() {
        let mut predictor = [0.0; ORDER];
        (predictor[0], predictor[1]) = (-0.9, 0.4);
        let flat = [0.0; ORDER];
        for (len, is_first) in [(57, true), (58, false)] {
            let samples: Vec<f32> = (0..len)
                .map(|n| 3_000.0 * (n as f32 * 0.7).sin() * (n as f32 * 0.11).cos())
                .collect();
            let state = choose(&samples, &predictor, [&flat; 2], behind(len, is_first));
            let mut again = vec![0.0; len];
            construct(state.scale, &state.samples[..len], &predictor, &mut again);
            let power: f32 = samples.iter().map(|a| a * a).sum();
            let noise: f32 = samples.iter().zip(&again).map(|(a, b)| (a - b) * (a - b)).sum();
            assert!(power / noise > 20.0, "{} dB", 10.0 * (power / noise).log10());
        }
    }

    #[test]
    fn dispersion_and_the_same_backwards_change_nothing() {
        let mut predictor = [0.0; ORDER];
        (predictor[0], predictor[1], predictor[9]) = (-0.5, 0.3, 0.1);
        let samples: Vec<f32> = (0..57).map(|n| (n * n % 31) as f32 - 15.0).collect();
        let mut both = samples.clone();
        disperse(&predictor, &mut both);
        both.reverse();
        disperse(&predictor, &mut both);
        both.reverse();
        let error = samples.iter().zip(&both).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 0.05, "{error}");
    }
}
