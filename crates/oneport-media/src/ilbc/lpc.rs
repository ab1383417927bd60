//! Linear prediction: how a voice's predictor is found (§3.2.1, §3.2.2), and what filters with it.

use std::f64::consts::PI;
use std::sync::LazyLock;

use super::{LONGEST, ORDER, dot};

/// A predictor's coefficients, without the first, which is 1: the residual is the sample and what these make of
/// those before it, the last one first.
pub(super) type Predictor = [f32; ORDER];

/// By what the spectrum that is measured is smoothed.
const SMOOTHING: f32 = 0.9025;

/// What samples are multiplied with before they are measured.
pub(super) struct Windows {
    /// Highest in the middle.
    pub(super) symmetric: [f32; LONGEST],
    /// Highest 20 samples before the end.
    pub(super) asymmetric: [f32; LONGEST],
    /// What is multiplied with what was measured.
    lags: [f32; ORDER + 1],
}

pub(super) static WINDOWS: LazyLock<Windows> = LazyLock::new(|| {
    let n = |n: usize| n as f64;
    let symmetric = |i: usize| {
        let i = i.min(LONGEST - 1 - i);
        0.5 * (1.0 - (2.0 * PI * n(i + 1) / n(LONGEST + 1)).cos())
    };
    let asymmetric = |i: usize| match i {
        0..220 => (PI * n(i + 1) / 441.0).sin().powi(2),
        _ => (n(i - 220) * PI / 40.0).cos(),
    };
    let lag = |i: usize| match i {
        0 => 1.0001,
        _ => (-0.5 * (2.0 * PI * 60.0 * n(i) / 8_000.0).powi(2)).exp(),
    };
    Windows {
        symmetric: std::array::from_fn(|i| symmetric(i) as f32),
        asymmetric: std::array::from_fn(|i| asymmetric(i) as f32),
        lags: std::array::from_fn(|i| lag(i) as f32),
    }
});

/// The predictor of what is heard through a window.
pub(super) fn measure(samples: &[f32], window: &[f32; LONGEST]) -> Predictor {
    let seen: [f32; LONGEST] = std::array::from_fn(|n| samples[n] * window[n]);
    let powers: [f32; ORDER + 1] =
        std::array::from_fn(|lag| dot(&seen[lag..], &seen[..LONGEST - lag]) * WINDOWS.lags[lag]);
    smoothed(&levinson(&powers), SMOOTHING)
}

/// The recursion of Levinson and Durbin.
fn levinson(powers: &[f32; ORDER + 1]) -> Predictor {
    let mut predictor = [0.0; ORDER];
    // What is all but silent has no spectrum.
    if powers[0] < 1e-3 {
        return predictor;
    }
    let mut left = powers[0];
    for n in 0..ORDER {
        let known: f32 = (0..n).map(|i| predictor[i] * powers[n - i]).sum();
        let reflection = -(powers[n + 1] + known) / left;
        let before = predictor;
        for i in 0..n {
            predictor[i] = before[i] + reflection * before[n - 1 - i];
        }
        predictor[n] = reflection;
        left *= 1.0 - reflection * reflection;
        if left <= 0.0 {
            return before;
        }
    }
    predictor
}

/// The predictor with each of its peaks wider.
pub(super) fn smoothed(predictor: &Predictor, by: f32) -> Predictor {
    let mut factor = 1.0;
    predictor.map(|coefficient| {
        factor *= by;
        coefficient * factor
    })
}

/// What is left of the samples from `from` on; those before them are in front.
pub(super) fn residual(predictor: &Predictor, samples: &[f32], from: usize, out: &mut [f32]) {
    for (out, n) in out.iter_mut().zip(from..) {
        let before = samples[n - ORDER..n].iter().rev();
        let known: f32 = predictor.iter().zip(before).map(|(a, sample)| a * sample).sum();
        *out = samples[n] + known;
    }
}

/// The filter that undoes [`residual`], in place; `memory` is what came out before, the last sample first.
pub(super) fn synthesise(predictor: &Predictor, memory: &mut Predictor, signal: &mut [f32]) {
    for sample in signal {
        let known: f32 = predictor.iter().zip(&*memory).map(|(a, before)| a * before).sum();
        *sample -= known;
        memory.copy_within(..ORDER - 1, 1);
        memory[0] = *sample;
    }
}

/// A filter of the second order that takes out what is too low to be heard.
#[derive(Clone, Debug)]
pub(super) struct HighPass {
    weights: [f32; 5],
    came: [f32; 2],
    left: [f32; 2],
}

impl HighPass {
    pub(super) const fn new(weights: [f32; 5]) -> Self {
        Self { weights, came: [0.0; 2], left: [0.0; 2] }
    }

    pub(super) fn pass(&mut self, sample: f32) -> f32 {
        let [now, one_ago, two_ago, left_one_ago, left_two_ago] = self.weights;
        let out = now * sample + one_ago * self.came[0] + two_ago * self.came[1]
            - left_one_ago * self.left[0]
            - left_two_ago * self.left[1];
        self.came = [sample, self.came[0]];
        self.left = [out, self.left[0]];
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_by_a_predictor_is_measured_as_that_and_synthesised_again() {
        // One resonance, excited by noise.
        let mut truth = [0.0; ORDER];
        (truth[0], truth[1]) = (-1.2, 0.6);
        let (mut memory, mut dice) = ([0.0; ORDER], 1_u32);
        let mut signal = [0.0; ORDER + LONGEST];
        for sample in &mut signal {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = (dice >> 16) as f32 - 32_768.0;
        }
        let noise = signal;
        synthesise(&truth, &mut memory, &mut signal);
        let found = measure(&signal[ORDER..], &WINDOWS.symmetric);
        let expected = smoothed(&truth, SMOOTHING);
        assert!((found[0] - expected[0]).abs() < 0.15, "{found:?}");
        assert!((found[1] - expected[1]).abs() < 0.15, "{found:?}");
        let mut left = [0.0; LONGEST];
        residual(&truth, &signal, ORDER, &mut left);
        let error =
            left.iter().zip(&noise[ORDER..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 1.0, "{error}");
    }

    #[test]
    fn silence_has_the_predictor_that_changes_nothing() {
        assert_eq!(measure(&[0.0; LONGEST], &WINDOWS.symmetric), [0.0; ORDER]);
    }
}
