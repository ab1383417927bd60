//! Which stretches say a block best, as the ear weighs errors (§3.6.4, §3.7).

use super::bits::Block;
use super::codebook::{Codebook, scale};
use super::tables::{GAINS_1, GAINS_2, GAINS_3};
use super::{STAGES, SUB_BLOCK, dot, nearest};

/// No gain is greater.
const GREATEST_GAIN: f32 = 1.3;

/// Chooses stretches of a codebook for the target, both as the ear weighs them, one for each stage. `is_halved`:
/// the stages behind the first have half of the codebook.
pub(super) fn search(codebook: &Codebook, target: &[f32], is_halved: bool) -> Block {
    let mut block = Block::default();
    let mut rest = [0.0; SUB_BLOCK];
    let rest = &mut rest[..target.len()];
    rest.copy_from_slice(target);
    let mut powers = [0.0; 256];
    for (number, power) in powers[..codebook.count()].iter_mut().enumerate() {
        let mut room = [0.0; SUB_BLOCK];
        let stretch = codebook.stretch(number, &mut room);
        *power = dot(stretch, stretch);
    }
    let mut before = 1.0;
    for stage in 0..STAGES {
        let (mut number, mut best, mut gain) = (0, 0.0, 0.0);
        for (candidate, power) in powers.iter().copied().enumerate().take(codebook.count()) {
            if power <= 0.0 || stage > 0 && is_halved && !codebook.is_in_half(candidate) {
                continue;
            }
            let mut room = [0.0; SUB_BLOCK];
            let likeness = dot(codebook.stretch(candidate, &mut room), rest);
            let measure = likeness * likeness / power;
            let optimum = likeness / power;
            let is_allowed = optimum.abs() < GREATEST_GAIN && (stage > 0 || likeness > 0.0);
            if measure > best && is_allowed {
                (number, best, gain) = (candidate, measure, optimum);
            }
        }
        let gains: &[f32] = [&GAINS_1[..], &GAINS_2, &GAINS_3][stage];
        let chosen = nearest(gains, gain / before);
        let said = before * gains[usize::from(chosen)];
        let mut room = [0.0; SUB_BLOCK];
        let stretch = codebook.stretch(number, &mut room);
        rest.iter_mut().zip(stretch).for_each(|(rest, sample)| *rest -= said * sample);
        // There are 256 stretches at most.
        block.shapes[stage] = number as u8;
        block.gains[stage] = chosen;
        before = scale(said);
    }
    block.gains[0] = louder(block.gains[0], target, rest);
    block
}

/// The gain of the first stage by which what is said is as loud as the target, but no more than twice what it was: those of the
/// others follow it.
fn louder(gain: u8, target: &[f32], rest: &[f32]) -> u8 {
    let said = target.iter().zip(rest).map(|(target, rest)| (target - rest) * (target - rest));
    let (said, wanted): (f32, f32) = (said.sum(), dot(target, target));
    let first = GAINS_1[usize::from(gain)];
    let mut best = gain;
    for (number, other) in (0..).zip(GAINS_1).skip(usize::from(gain) + 1) {
        if said * other * other < wanted * first * first && other < 2.0 * first {
            best = number;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32, len: usize) -> Vec<f32> {
        let mut dice = seed;
        let mut next = || {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 16) as f32 - 32_768.0
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn a_stretch_that_is_in_the_codebook_is_found() {
        let memory = noise(1, 147);
        let codebook = Codebook::new(&memory, 40);
        for number in [0, 31, 107, 108, 127, 128, 235, 236, 255] {
            let mut room = [0.0; SUB_BLOCK];
            let target: Vec<f32> =
                codebook.stretch(number, &mut room).iter().map(|sample| sample * 0.75).collect();
            let block = search(&codebook, &target, false);
            assert_eq!((usize::from(block.shapes[0]), block.gains[0]), (number, 19));
        }
    }

    #[test]
    fn later_stages_of_the_first_sub_block_have_half_of_the_codebook() {
        let memory = noise(2, 147);
        let codebook = Codebook::new(&memory, 40);
        let target = noise(3, 40);
        let block = search(&codebook, &target, true);
        assert!(block.shapes[1..].iter().all(|shape| codebook.is_in_half(usize::from(*shape))));
        assert_eq!((0..256).filter(|number| codebook.is_in_half(*number)).count(), 128);
    }

    #[test]
    fn what_is_unlike_the_memory_is_said_louder_but_not_more_than_twice() {
        let target = noise(4, 40);
        let nearly_all: Vec<f32> = target.iter().map(|sample| sample * 0.9).collect();
        let gain = louder(9, &target, &nearly_all);
        let (before, after) = (GAINS_1[9], GAINS_1[usize::from(gain)]);
        assert!(after > 1.9 * before && after < 2.0 * before, "{after}");
        assert_eq!(louder(9, &target, &[0.0; 40]), 9, "it is as loud");
    }
}
