//! What neither prediction knew, as thirteen pulses a quarter (§5.2.13 to §5.2.17).

use super::{QUARTER, parameters::Quarter};
use crate::fixed::{multiply, multiply_rounded, saturate};

/// Table 5.4: the weighting filter, of 13 fractional bits.
const WEIGHTS: [i32; 11] = [-134, -374, 0, 2_054, 5_741, 8_192, 5_741, 2_054, 0, -374, -134];
/// Tables 5.5 and 5.6: one by each mantissa, and each mantissa.
const DIVIDE: [i16; 8] = [29_128, 26_215, 23_832, 21_846, 20_165, 18_725, 17_476, 16_384];
const MULTIPLY: [i16; 8] = [18_431, 20_479, 22_527, 24_575, 26_623, 28_671, 30_719, 32_767];

/// Exponent and mantissa of the greatest pulse.
fn scale(greatest: i16) -> (i16, usize) {
    let mut exponent = if greatest > 15 { (greatest >> 3) - 1 } else { 0 };
    let mut mantissa = greatest - (exponent << 3);
    if mantissa == 0 {
        return (-4, 7);
    }
    while mantissa <= 7 {
        mantissa = mantissa << 1 | 1;
        exponent -= 1;
    }
    (exponent, (mantissa & 7) as usize)
}

fn weighted(rest: &[i16; QUARTER]) -> [i16; QUARTER] {
    std::array::from_fn(|k| {
        let taps = WEIGHTS.iter().enumerate().filter_map(|(n, weight)| {
            let sample = rest.get((k + n).checked_sub(5)?)?;
            Some(i32::from(*sample) * weight)
        });
        saturate((4_096 + taps.sum::<i32>()) >> 13)
    })
}

/// Chooses the pulses of a quarter and puts them into it.
pub(super) fn choose(rest: &[i16; QUARTER], quarter: &mut Quarter) {
    let weighted = weighted(rest);
    let every_third = |grid: usize| weighted[grid..].iter().step_by(3).take(13);
    let energy = |grid| every_third(grid).map(|value| i32::from(value >> 2).pow(2)).sum::<i32>();
    let grid = (1..4).fold(0, |best, grid| if energy(grid) > energy(best) { grid } else { best });
    let greatest = every_third(grid).map(|value| value.saturating_abs()).max().unwrap_or_default();
    let exponent = (16 - (greatest >> 9).leading_zeros()).min(6) as i16;
    quarter.grid = grid as i16;
    quarter.greatest = (greatest >> (exponent + 5)) + (exponent << 3);
    let (exponent, mantissa) = scale(quarter.greatest);
    for (pulse, value) in quarter.pulses.iter_mut().zip(every_third(grid)) {
        *pulse = (multiply(value << (6 - exponent), DIVIDE[mantissa]) >> 12) + 4;
    }
}

/// The pulses of a quarter where they belong; between them is nothing.
pub(super) fn place(quarter: &Quarter) -> [i16; QUARTER] {
    let (exponent, mantissa) = scale(quarter.greatest);
    let shift = 6 - exponent;
    let half = if shift == 0 { 0 } else { 1 << (shift - 1) };
    let mut rest = [0; QUARTER];
    let places = rest[quarter.grid as usize..].iter_mut().step_by(3);
    for (place, pulse) in places.zip(quarter.pulses) {
        let value = multiply_rounded(MULTIPLY[mantissa], (2 * pulse - 7) << 12);
        *place = value.saturating_add(half) >> shift;
    }
    rest
}
