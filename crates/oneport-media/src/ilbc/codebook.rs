//! The codebook that is made of what was said already (§3.6.1, §3.6.3), and what is said by it (§4.3, §4.4).

use super::bits::{Block, Parameters};
use super::tables::{EXPANSION, GAINS_1, GAINS_2, GAINS_3};
use super::{LONGEST, Mode, STAGES, SUB_BLOCK};

/// Samples that the codebook of a sub-block is made of, and of what the start state leaves of two.
const MEMORY: usize = 147;
const MEMORY_OF_REST: usize = 85;
/// The shortest delay of which there is a stretch.
const SHORTEST_DELAY: usize = SUB_BLOCK / 2;
/// Samples over which an augmented stretch goes from one period to the next.
const SEAM: usize = 5;

/// Stretches of the memory as they are, for what the start state leaves.
pub(super) const fn stretches_of_rest(mode: Mode) -> usize {
    MEMORY_OF_REST - rest(mode) + 1
}

const fn rest(mode: Mode) -> usize {
    2 * SUB_BLOCK - mode.state()
}

/// Where something is that is said by the codebook.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its first sample.
    pub(super) at: usize,
    pub(super) len: usize,
    /// It is said backwards, by what is behind it.
    pub(super) is_backward: bool,
}

impl Place {
    /// The sub-block by which errors are weighed.
    pub(super) const fn sub_block(&self) -> usize {
        self.at / SUB_BLOCK
    }
}

/// The first sample of the start state.
pub(super) fn state_at(mode: Mode, start: u8, is_first: bool) -> usize {
    let at = (usize::from(start) - 1) * SUB_BLOCK;
    if is_first { at } else { at + rest(mode) }
}

/// Fills in a residual of which the start state is there: `say` is given the number of each block, its place and what
/// its codebook is made of, and says its samples, in the direction in which they are said.
pub(super) fn fill(
    mode: Mode,
    start: u8,
    is_first: bool,
    residual: &mut [f32; LONGEST],
    mut say: impl FnMut(usize, Place, &[f32]) -> [f32; SUB_BLOCK],
) {
    let state = state_at(mode, start, is_first);
    let (mut from, mut to) = (state, state + mode.state());
    let second = usize::from(start);
    let forward = (second + 1..mode.sub_blocks()).map(|n| (n * SUB_BLOCK, SUB_BLOCK, false));
    let backward = (0..second - 1).rev().map(|n| (n * SUB_BLOCK, SUB_BLOCK, true));
    let rest = match is_first {
        true => (to, rest(mode), false),
        false => (from - rest(mode), rest(mode), true),
    };
    let places = std::iter::once(rest).chain(forward).chain(backward);
    for (n, (at, len, is_backward)) in places.enumerate() {
        let mut memory = [0.0; MEMORY];
        // Where less is known, there is silence before it.
        for (place, sample) in memory.iter_mut().rev().zip(0..to - from) {
            *place = residual[if is_backward { from + sample } else { to - 1 - sample }];
        }
        let memory = if n == 0 { &memory[MEMORY - MEMORY_OF_REST..] } else { &memory[..] };
        let said = say(n, Place { at, len, is_backward }, memory);
        let place = &mut residual[at..at + len];
        place.copy_from_slice(&said[..len]);
        if is_backward {
            place.reverse();
            from = at;
        } else {
            to = at + len;
        }
    }
}

/// Stretches of what was said.
#[derive(Clone, Debug)]
pub(super) struct Codebook {
    /// The memory as it is, and filtered.
    sections: [[f32; MEMORY]; 2],
    memory: usize,
    /// Samples of a stretch.
    len: usize,
}

impl Codebook {
    pub(super) fn new(memory: &[f32], len: usize) -> Self {
        let mut sections = [[0.0; MEMORY]; 2];
        sections[0][..memory.len()].copy_from_slice(memory);
        // With silence around it.
        let mut padded = [0.0; MEMORY + EXPANSION.len() - 1];
        padded[3..3 + memory.len()].copy_from_slice(memory);
        for (n, place) in sections[1][..memory.len()].iter_mut().enumerate() {
            let around = padded[n..n + EXPANSION.len()].iter().rev();
            *place = EXPANSION.iter().zip(around).map(|(weight, sample)| weight * sample).sum();
        }
        Self { sections, memory: memory.len(), len }
    }

    /// Stretches of a section as they stand in it.
    const fn plain(&self) -> usize {
        self.memory - self.len + 1
    }

    /// All stretches of a section.
    const fn section(&self) -> usize {
        let augmented = if self.len == SUB_BLOCK { SUB_BLOCK - SHORTEST_DELAY } else { 0 };
        self.plain() + augmented
    }

    /// How many stretches there are.
    pub(super) const fn count(&self) -> usize {
        2 * self.section()
    }

    /// Whether the second and third stage of the first sub-block may say it: 44 of the plain stretches and
    /// all augmented ones of each section.
    pub(super) const fn is_in_half(&self, number: usize) -> bool {
        let number = number % self.section();
        number < 44 || number >= self.plain()
    }

    /// A stretch, which is made in `room` where it does not stand in the memory.
    pub(super) fn stretch<'a>(
        &'a self,
        number: usize,
        room: &'a mut [f32; SUB_BLOCK],
    ) -> &'a [f32] {
        let section = &self.sections[number / self.section()][..self.memory];
        let number = number % self.section();
        let Some(augmented) = number.checked_sub(self.plain()) else {
            let end = self.memory - number;
            return &section[end - self.len..end];
        };
        // A period that is shorter than the stretch, and then the same again, with a seam between them.
        let delay = SHORTEST_DELAY + augmented;
        let period = &section[self.memory - delay..];
        let before = &section[self.memory - delay - SEAM..];
        room[..delay].copy_from_slice(period);
        for n in 0..SEAM {
            let part = n as f32 / SEAM as f32;
            let place = &mut room[delay - SEAM + n];
            *place += part * (before[n] - *place);
        }
        room[delay..].copy_from_slice(&period[..SUB_BLOCK - delay]);
        room
    }

    /// The sum of stretches that a block says.
    pub(super) fn sum(&self, block: &Block) -> [f32; SUB_BLOCK] {
        let mut sum = [0.0; SUB_BLOCK];
        for (shape, gain) in block.shapes.iter().zip(gains(block)) {
            let mut room = [0.0; SUB_BLOCK];
            let stretch = self.stretch(usize::from(*shape), &mut room);
            sum.iter_mut().zip(stretch).for_each(|(sum, sample)| *sum += gain * sample);
        }
        sum
    }
}

/// By what the gain of the stage behind one of this gain is multiplied.
pub(super) fn scale(gain: f32) -> f32 {
    gain.abs().max(0.1)
}

/// The gains that a block says.
fn gains(block: &Block) -> [f32; STAGES] {
    let [first, second, third] = block.gains.map(usize::from);
    let first = GAINS_1[first];
    let second = scale(first) * GAINS_2[second];
    [first, second, scale(second) * GAINS_3[third]]
}

/// The residual that a frame says, its start state being there.
pub(super) fn construct(mode: Mode, frame: &Parameters, residual: &mut [f32; LONGEST]) {
    fill(mode, frame.start, frame.is_first, residual, |n, place, memory| {
        Codebook::new(memory, place.len).sum(&frame.blocks[n])
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(mode: Mode, start: u8, is_first: bool) -> Vec<(usize, usize, bool, usize)> {
        let (mut places, mut residual) = (Vec::new(), [0.0; LONGEST]);
        let at = state_at(mode, start, is_first);
        residual[at..at + mode.state()].fill(1.0);
        fill(mode, start, is_first, &mut residual, |_, place, memory| {
            let known = memory.iter().filter(|sample| **sample != 0.0).count();
            places.push((place.at, place.len, place.is_backward, known));
            [1.0; SUB_BLOCK]
        });
        assert!(residual[..mode.samples()].iter().all(|sample| *sample == 1.0));
        places
    }

    #[test]
    fn blocks_are_said_from_the_start_state_on_forwards_and_then_backwards() {
        // Figure 3.5.
        let expected = [
            (40, 22, true, 58),
            (120, 40, false, 80),
            (160, 40, false, 120),
            (200, 40, false, 147),
            (0, 40, true, 147),
        ];
        assert_eq!(places(Mode::Ms30, 2, false), expected);
        let expected = [(57, 23, false, 57), (80, 40, false, 80), (120, 40, false, 120)];
        assert_eq!(places(Mode::Ms20, 1, true), expected);
        let expected = [(80, 23, true, 57), (40, 40, true, 80), (0, 40, true, 120)];
        assert_eq!(places(Mode::Ms20, 3, false), expected);
    }

    #[test]
    fn stretches_are_numbered_by_their_delay_plain_ones_first() {
        let memory: Vec<f32> = (0..147).map(|n| n as f32).collect();
        let codebook = Codebook::new(&memory, 40);
        assert_eq!((codebook.plain(), codebook.section(), codebook.count()), (108, 128, 256));
        let mut room = [0.0; 40];
        assert_eq!(codebook.stretch(0, &mut room), &memory[107..]);
        assert_eq!(codebook.stretch(107, &mut room), &memory[..40]);
        // The augmented one of delay 20: 15 samples, 5 that go over, and 20 from the beginning.
        let augmented = codebook.stretch(108, &mut room).to_vec();
        assert_eq!(augmented[..15], memory[127..142]);
        assert_eq!(augmented[15..20], [142.0, 139.0, 136.0, 133.0, 130.0]);
        assert_eq!(augmented[20..], memory[127..]);
        // The filter keeps a straight line but for its gain and for the ends.
        let gain: f32 = EXPANSION.iter().sum();
        let filtered = codebook.stretch(128 + 60, &mut room);
        let steps = filtered.windows(2).map(|two| two[1] - two[0]);
        assert!(steps.into_iter().all(|step| (step - gain).abs() < 1e-3), "{filtered:?}");
        let rest = Codebook::new(&memory[..85], 23);
        assert_eq!(rest.count(), 2 * stretches_of_rest(Mode::Ms20));
        assert_eq!(rest.stretch(62, &mut room), &memory[..23]);
    }

    #[test]
    fn a_gain_is_beside_that_of_the_stage_before() {
        let block = Block { shapes: [0; 3], gains: [31, 0, 0] };
        let [first, second, third] = gains(&block);
        assert!((first - 1.200_012).abs() < 1e-6);
        assert!((second + 1.200_012 * 1.049_988).abs() < 1e-5);
        assert!((third + 1.26).abs() < 1e-3);
        let [_, second, third] = gains(&Block { gains: [0, 0, 7], ..block });
        assert!(
            (second + 0.104_998_8).abs() < 1e-6 && (third - 0.105).abs() < 1e-3,
            "{second} {third}"
        );
    }
}
