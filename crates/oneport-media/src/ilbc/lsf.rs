//! Predictors as line spectral frequencies: how they are found, said (§3.2.3, §3.2.4), kept stable (§3.2.5)
//! and what lies between two of them (§3.2.6, §3.2.7).

use super::lpc::Predictor;
use super::tables::{HIGH, LOW, MIDDLE};
use super::{MOST_SUB_BLOCKS, Mode, ORDER};

/// Line spectral frequencies in radians, rising.
pub(super) type Lsf = [f32; ORDER];

/// Steps over the frequencies, in each of which a line is looked for.
const STEPS: usize = 120;
/// How often the place of a line is halved.
const HALVINGS: usize = 6;

/// How far apart lines have to be: 50 Hz. And the lowest and highest that they may be.
const APART: f32 = 0.039;
const LOWEST: f32 = 0.01;
#[expect(clippy::approx_constant, reason = "the RFC has this number, which is not π")]
const HIGHEST: f32 = 3.14;

const HALF: usize = ORDER / 2;

/// The polynomials of half the order whose roots are the odd and the even lines.
fn halves(predictor: &Predictor) -> [[f32; HALF + 1]; 2] {
    let (mut sum, mut difference) = ([1.0; HALF + 1], [1.0; HALF + 1]);
    for i in 0..HALF {
        let (one, other) = (predictor[i], predictor[ORDER - 1 - i]);
        // Both have a root at half or at none of the rate, which is divided out.
        sum[i + 1] = one + other - sum[i];
        difference[i + 1] = one - other + difference[i];
    }
    [sum, difference]
}

/// The value of such a polynomial where the cosine of the frequency is `x` (Clenshaw's recurrence).
fn value(half: &[f32; HALF + 1], x: f32) -> f32 {
    let (mut last, mut one_before) = (1.0, 0.0);
    for coefficient in &half[1..HALF] {
        (last, one_before) = (2.0 * x * last - one_before + coefficient, last);
    }
    x * last - one_before + 0.5 * half[HALF]
}

/// The lines of a predictor; `None`: it has not all of them, for it is not stable.
pub(super) fn lines(predictor: &Predictor) -> Option<Lsf> {
    let halves = halves(predictor);
    let (mut lsf, mut found) = ([0.0; ORDER], 0);
    let at = |step: usize| (std::f32::consts::PI * step as f32 / STEPS as f32).cos();
    let mut high = 1.0;
    for step in 1..=STEPS {
        let low = at(step);
        // Lines of both kinds take turns, and there may be two in a step.
        let mut from = high;
        while found < ORDER {
            let half = &halves[found % 2];
            let Some(line) = root(half, from, low) else { break };
            lsf[found] = line.acos();
            (found, from) = (found + 1, line);
        }
        high = low;
    }
    (found == ORDER).then_some(lsf)
}

/// The root between two cosines, the lower of which comes last, if the sign changes there.
fn root(half: &[f32; HALF + 1], mut high: f32, mut low: f32) -> Option<f32> {
    let (mut at_high, mut at_low) = (value(half, high), value(half, low));
    if at_high * at_low > 0.0 || high <= low {
        return None;
    }
    for _ in 0..HALVINGS {
        let middle = 0.5 * (high + low);
        let at_middle = value(half, middle);
        if at_middle * at_low > 0.0 {
            (low, at_low) = (middle, at_middle);
        } else {
            (high, at_high) = (middle, at_middle);
        }
    }
    let slope = at_high - at_low;
    Some(if slope == 0.0 { low } else { low - at_low * (high - low) / slope })
}

/// The predictor of these lines.
pub(super) fn predictor(lsf: &Lsf) -> Predictor {
    let mut both = [[0.0_f32; ORDER + 2]; 2];
    for (kind, polynomial) in both.iter_mut().enumerate() {
        polynomial[0] = 1.0;
        for line in lsf.iter().skip(kind).step_by(2) {
            let middle = -2.0 * line.cos();
            for n in (1..ORDER + 2).rev() {
                let two_before = if n > 1 { polynomial[n - 2] } else { 0.0 };
                polynomial[n] += middle * polynomial[n - 1] + two_before;
            }
        }
        let sign = if kind == 0 { 1.0 } else { -1.0 };
        for n in (1..ORDER + 2).rev() {
            polynomial[n] += sign * polynomial[n - 1];
        }
    }
    std::array::from_fn(|n| 0.5 * (both[0][n + 1] + both[1][n + 1]))
}

/// The numbers of the lines that are nearest in each part of the codebook.
pub(super) fn choose(lsf: &Lsf) -> [u8; 3] {
    [closest(&LOW, &lsf[..3]), closest(&MIDDLE, &lsf[3..6]), closest(&HIGH, &lsf[6..])]
}

fn closest<const N: usize>(codebook: &[[f32; N]], lsf: &[f32]) -> u8 {
    let (mut best, mut least) = (0, f32::INFINITY);
    for (n, entry) in (0..).zip(codebook) {
        let distance: f32 = entry.iter().zip(lsf).map(|(a, b)| (a - b) * (a - b)).sum();
        if distance < least {
            (best, least) = (n, distance);
        }
    }
    best
}

/// The lines of these numbers, stable.
pub(super) fn said(numbers: [u8; 3]) -> Lsf {
    let [low, middle, high] = numbers.map(usize::from);
    let mut lsf = [0.0; ORDER];
    // The first number has 6 bits, the others 7.
    lsf[..3].copy_from_slice(&LOW[low]);
    lsf[3..6].copy_from_slice(&MIDDLE[middle]);
    lsf[6..].copy_from_slice(&HIGH[high]);
    stabilise(&mut lsf);
    lsf
}

/// Moves lines apart that are too near to each other, twice over all pairs, as both ends have to (appendix
/// A.26): two in the wrong order come half of the least distance behind the lower one, others move by that much to
/// both sides.
fn stabilise(lsf: &mut Lsf) {
    for _ in 0..2 {
        for n in 0..ORDER - 1 {
            let (line, next) = (lsf[n], lsf[n + 1]);
            if next < line {
                lsf[n + 1] = line + APART / 2.0;
            } else if next - line < APART {
                (lsf[n], lsf[n + 1]) = (line - APART / 2.0, next + APART / 2.0);
            }
            lsf[n] = lsf[n].clamp(LOWEST, HIGHEST);
        }
    }
}

/// The lines of each sub-block: between those that were said at the end of the last frame and those of this one.
pub(super) fn between(mode: Mode, last: &Lsf, now: &[Lsf; 2]) -> [Lsf; MOST_SUB_BLOCKS] {
    let mix = |one: &Lsf, other: &Lsf, part: f32| -> Lsf {
        std::array::from_fn(|n| part * one[n] + (1.0 - part) * other[n])
    };
    std::array::from_fn(|n| match (mode, n) {
        (Mode::Ms20, 0..3) => mix(last, &now[0], (3 - n) as f32 / 4.0),
        (Mode::Ms20, _) => now[0],
        (Mode::Ms30, 0) => mix(last, &now[0], 0.5),
        (Mode::Ms30, 1..4) => mix(&now[0], &now[1], (4 - n) as f32 / 3.0),
        (Mode::Ms30, _) => now[1],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ilbc::tables::LSF_MEAN;

    #[test]
    fn lines_become_a_predictor_and_lines_again() {
        let mut checked = 0;
        for n in 0..64_u8 {
            let lsf = said([n, 2 * n, 127 - 2 * n]);
            if lsf.windows(2).any(|two| two[1] - two[0] < 0.03) {
                continue;
            }
            let again = lines(&predictor(&lsf)).expect("it is stable");
            let error = lsf.iter().zip(&again).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error < 0.003, "{lsf:?} became {again:?}");
            checked += 1;
        }
        assert!(checked > 30, "{checked}");
    }

    #[test]
    fn lines_of_the_codebook_are_said_by_their_numbers() {
        for n in 0..64_u8 {
            let numbers = [n, 2 * n, 127 - n];
            let [low, middle, high] = numbers.map(usize::from);
            let lsf: Vec<f32> = [&LOW[low][..], &MIDDLE[middle], &HIGH[high]].concat();
            assert_eq!(choose(lsf.as_array().expect("ten")), numbers);
        }
    }

    #[test]
    fn a_predictor_that_is_not_stable_has_no_lines() {
        let mut wild = [0.0; ORDER];
        wild[ORDER - 1] = -3.0;
        assert_eq!(lines(&wild), None);
    }

    #[test]
    fn whatever_is_said_is_stable() {
        // Whether lines are in order in one part depends on its neighbours alone.
        for middle in 0..128 {
            for other in 0..128 {
                let lsf = said([other % 64, middle, other]);
                // Two may be the same, which is the edge of it.
                let is_rising = |two: &[f32]| two[1] - two[0] > -1e-6;
                assert!(lsf.windows(2).all(is_rising), "{lsf:?}");
            }
        }
    }

    #[test]
    fn each_sub_block_has_lines_between_the_last_and_these() {
        let (one, two) = ([1.0; ORDER], [2.0; ORDER]);
        let first = |mode, last: &Lsf, now: &[Lsf; 2]| between(mode, last, now).map(|lsf| lsf[0]);
        assert_eq!(first(Mode::Ms20, &one, &[two; 2])[..4], [1.25, 1.5, 1.75, 2.0]);
        let thirds = first(Mode::Ms30, &[0.0; ORDER], &[one, two]);
        let expected = [0.5, 1.0, 1.333_333_3, 1.666_666_6, 2.0, 2.0];
        assert!(thirds.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{thirds:?}");
        assert!(lines(&predictor(&LSF_MEAN)).is_some());
    }
}
