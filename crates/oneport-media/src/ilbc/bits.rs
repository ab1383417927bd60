//! What a frame says, and in which order its bits stand (§3.8, table 3.2).

use super::{Mode, STAGES};

/// Stretches of what was said, and how loud each is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Block {
    pub(super) shapes: [u8; STAGES],
    pub(super) gains: [u8; STAGES],
}

/// What a frame says. What is of the longer frame alone is zero in the shorter one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parameters {
    /// For each predictor the number of its LSFs in each part of the codebook.
    pub(super) lsf: [[u8; 3]; 2],
    /// The start state is in this sub-block and the one before it.
    pub(super) start: u8,
    /// It is at the beginning of these two rather than at their end.
    pub(super) is_first: bool,
    pub(super) scale: u8,
    pub(super) state: [u8; 58],
    /// First what the start state leaves of its two sub-blocks, then the sub-blocks behind, and those before it from the
    /// last to the first.
    pub(super) blocks: [Block; 5],
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            lsf: [[0; 3]; 2],
            start: 1,
            is_first: false,
            scale: 0,
            state: [0; 58],
            blocks: [Block::default(); 5],
        }
    }
}

/// How many bits of a number are in each class: the highest are in the first.
type Classes = [u32; 3];

/// Where the numbers of a block stand.
struct Allocation {
    shapes: [Classes; STAGES],
    gains: [Classes; STAGES],
}

const fn allocation(shapes: [Classes; STAGES], gains: [Classes; STAGES]) -> Allocation {
    Allocation { shapes, gains }
}

const ALL_7: Classes = [0, 0, 7];
const ALL_8: Classes = [0, 0, 8];
const ALL_3: Classes = [0, 0, 3];

static BLOCKS_20: [Allocation; 3] = [
    allocation([[6, 0, 1], ALL_7, ALL_7], [[2, 0, 3], [1, 1, 2], ALL_3]),
    allocation([[7, 0, 1], ALL_7, ALL_7], [[1, 2, 2], [1, 1, 2], ALL_3]),
    allocation([ALL_8, ALL_8, ALL_8], [[1, 1, 3], [0, 2, 2], ALL_3]),
];

static BLOCKS_30: [Allocation; 5] = [
    allocation([[4, 2, 1], ALL_7, ALL_7], [[1, 1, 3], [1, 1, 2], ALL_3]),
    allocation([[6, 1, 1], ALL_7, ALL_7], [[1, 2, 2], [1, 2, 1], ALL_3]),
    allocation([[0, 7, 1], ALL_8, ALL_8], [[0, 2, 3], [0, 2, 2], ALL_3]),
    allocation([[0, 7, 1], ALL_8, ALL_8], [[0, 1, 4], [0, 1, 3], ALL_3]),
    allocation([[0, 7, 1], ALL_8, ALL_8], [[0, 1, 4], [0, 1, 3], ALL_3]),
];

impl Parameters {
    /// Shows each number and its bits in the order of the table, at last whether the frame is empty.
    fn each(&mut self, mode: Mode, empty: &mut u8, mut show: impl FnMut(&mut u8, Classes)) {
        let (predictors, blocks) = (mode.predictors(), &mut self.blocks);
        for lsf in &mut self.lsf[..predictors] {
            for (number, bits) in lsf.iter_mut().zip([6, 7, 7]) {
                show(number, [bits, 0, 0]);
            }
        }
        show(&mut self.start, [mode.predictors() as u32 + 1, 0, 0]);
        let mut is_first = u8::from(self.is_first);
        show(&mut is_first, [1, 0, 0]);
        self.is_first = is_first != 0;
        show(&mut self.scale, [6, 0, 0]);
        for sample in &mut self.state[..mode.state()] {
            show(sample, [0, 1, 2]);
        }
        let allocations: &[Allocation] = match mode {
            Mode::Ms20 => &BLOCKS_20,
            Mode::Ms30 => &BLOCKS_30,
        };
        // The rest of the two sub-blocks has its gains behind its shapes, the others behind all shapes.
        for part in [0..1, 1..allocations.len()] {
            for (block, allocation) in
                blocks[part.clone()].iter_mut().zip(&allocations[part.clone()])
            {
                block.shapes.iter_mut().zip(allocation.shapes).for_each(|(n, bits)| show(n, bits));
            }
            for (block, allocation) in blocks[part.clone()].iter_mut().zip(&allocations[part]) {
                block.gains.iter_mut().zip(allocation.gains).for_each(|(n, bits)| show(n, bits));
            }
        }
        show(empty, [0, 0, 1]);
    }

    /// Appends the bytes of a frame.
    pub(super) fn pack(mut self, mode: Mode, out: &mut Vec<u8>) {
        for shape in &mut self.blocks[1].shapes[1..] {
            *shape = narrow(*shape);
        }
        let mut bytes = [0_u8; Mode::Ms30.bytes()];
        let mut at = 0;
        for class in 0..3 {
            self.each(mode, &mut 0, |number, classes| {
                let behind: u32 = classes[class + 1..].iter().sum();
                for bit in (behind..behind + classes[class]).rev() {
                    bytes[at / 8] |= (*number >> bit & 1) << (7 - at % 8);
                    at += 1;
                }
            });
        }
        out.extend_from_slice(&bytes[..mode.bytes()]);
    }

    /// What the bytes of a frame say; `None`: it is marked as lost, or says what no encoder does.
    pub(super) fn unpack(mode: Mode, bytes: &[u8]) -> Option<Self> {
        let (mut frame, mut empty, mut at) = (Self { start: 0, ..Self::default() }, 0, 0);
        for class in 0..3 {
            frame.each(mode, &mut empty, |number, classes| {
                for _ in 0..classes[class] {
                    *number = *number << 1 | bytes[at / 8] >> (7 - at % 8) & 1;
                    at += 1;
                }
            });
        }
        for shape in &mut frame.blocks[1].shapes[1..] {
            *shape = widen(*shape);
        }
        let places = 1..mode.sub_blocks() as u8;
        let stretches = 2 * super::codebook::stretches_of_rest(mode);
        let is_known = |shape: &u8| usize::from(*shape) < stretches;
        let is_frame = empty == 0
            && places.contains(&frame.start)
            && frame.blocks[0].shapes.iter().all(is_known);
        is_frame.then_some(frame)
    }
}

/// The second and third stage of the first whole sub-block have half of the codebook: 44 of its 108
/// stretches, the 20 augmented ones, and both again in the expanded part. These are counted without a gap.
const fn narrow(shape: u8) -> u8 {
    match shape {
        236.. => shape - 128,
        108.. => shape - 64,
        _ => shape,
    }
}

const fn widen(shape: u8) -> u8 {
    match shape {
        44..108 => shape + 64,
        108..128 => shape + 128,
        _ => shape,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each number of a frame, one after the other, all ones, and so the places of its bits in the frame.
    fn places(mode: Mode, set: impl Fn(&mut Parameters)) -> Vec<usize> {
        let (mut frame, mut bytes, mut nothing) = (Parameters::default(), vec![], vec![]);
        frame.start = 0;
        frame.pack(mode, &mut nothing);
        set(&mut frame);
        frame.pack(mode, &mut bytes);
        let set = |n: &usize| (bytes[n / 8] ^ nothing[n / 8]) >> (7 - n % 8) & 1 == 1;
        (0..mode.bytes() * 8).filter(set).collect()
    }

    #[test]
    fn the_most_sensitive_bits_stand_in_front_of_both_frames() {
        let first = |n: usize| (0..n).collect::<Vec<_>>();
        for mode in [Mode::Ms20, Mode::Ms30] {
            assert_eq!(places(mode, |frame| frame.lsf[0] = [63, 127, 127]), first(20));
        }
        // 3 bits of the place where 20 ms have 2, and 20 bits more in front of it.
        assert_eq!(places(Mode::Ms20, |frame| frame.start = 3), [20, 21]);
        assert_eq!(places(Mode::Ms30, |frame| frame.start = 7), [40, 41, 42]);
        assert_eq!(places(Mode::Ms20, |frame| frame.is_first = true), [22]);
        assert_eq!(places(Mode::Ms30, |frame| frame.is_first = true), [43]);
        assert_eq!(places(Mode::Ms20, |frame| frame.scale = 63), [23, 24, 25, 26, 27, 28]);
    }

    #[test]
    fn a_number_is_spread_over_the_classes_with_its_highest_bit_first() {
        // Class 2 begins behind 48 and 64 bits, class 3 behind 112 and 160.
        assert_eq!(places(Mode::Ms20, |frame| frame.state[0] = 7), [48, 112, 113]);
        assert_eq!(places(Mode::Ms20, |frame| frame.state[0] = 4), [48]);
        assert_eq!(
            places(Mode::Ms30, |frame| frame.state[57] = 7),
            [64 + 57, 160 + 114, 160 + 115]
        );
        let last_gain = places(Mode::Ms20, |frame| frame.blocks[2].gains[2] = 7);
        assert_eq!(last_gain, [300, 301, 302], "and behind it whether the frame is empty");
        let first_shape = places(Mode::Ms30, |frame| frame.blocks[0].shapes[0] = 127);
        assert_eq!(first_shape, [50, 51, 52, 53, 64 + 58, 64 + 59, 160 + 116]);
    }

    #[test]
    fn classes_are_as_long_as_the_rfc_says() {
        for (mode, expected) in [(Mode::Ms20, [48, 64, 192]), (Mode::Ms30, [64, 96, 240])] {
            let mut sums = [0; 3];
            Parameters::default().each(mode, &mut 0, |_, bits| {
                sums.iter_mut().zip(bits).for_each(|(sum, bits)| *sum += bits);
            });
            assert_eq!(sums, expected, "{mode:?}");
        }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let shapes = [5, 43, 108, 127, 128, 171, 236, 255];
        for mode in [Mode::Ms20, Mode::Ms30] {
            for n in 0..64_u8 {
                let mut frame = Parameters {
                    start: 1 + n % 3,
                    is_first: n % 2 == 0,
                    scale: n,
                    ..Parameters::default()
                };
                for (place, lsf) in frame.lsf[..mode.predictors()].iter_mut().zip(0..) {
                    *place = [n, n * 2 + lsf, 127 - n];
                }
                for (sample, place) in frame.state[..mode.state()].iter_mut().zip(n..) {
                    *sample = place % 8;
                }
                let count = mode.sub_blocks() - 1;
                for (block, place) in frame.blocks[..count].iter_mut().zip(n..) {
                    let shape = shapes[usize::from(place) % 8];
                    *block = Block {
                        shapes: [place * 2, shape, shape],
                        gains: [place % 32, place % 16, place % 8],
                    };
                }
                frame.blocks[0].shapes = [n, n * 2 % 126, 0];
                let mut bytes = Vec::new();
                frame.pack(mode, &mut bytes);
                assert_eq!(bytes.len(), mode.bytes());
                assert_eq!(Parameters::unpack(mode, &bytes), Some(frame), "{mode:?}");
            }
        }
    }

    #[test]
    fn what_no_encoder_says_is_no_frame() {
        let pack = |mode, frame: Parameters| {
            let mut bytes = Vec::new();
            frame.pack(mode, &mut bytes);
            bytes
        };
        for (mode, starts) in [(Mode::Ms20, 0..4), (Mode::Ms30, 0..8)] {
            let known: Vec<u8> = starts
                .filter(|start| {
                    let frame = Parameters { start: *start, ..Parameters::default() };
                    Parameters::unpack(mode, &pack(mode, frame)).is_some()
                })
                .collect();
            assert!(known.iter().copied().eq(1..mode.sub_blocks() as u8), "{known:?}");
            let mut bytes = pack(mode, Parameters::default());
            *bytes.last_mut().expect("bytes") |= 1;
            assert_eq!(Parameters::unpack(mode, &bytes), None, "marked as lost");
        }
        // There are 63 stretches of 23 samples in 85.
        for (shape, is_known) in [(125, true), (126, false)] {
            let mut frame = Parameters::default();
            frame.blocks[0].shapes[2] = shape;
            assert_eq!(
                Parameters::unpack(Mode::Ms20, &pack(Mode::Ms20, frame)).is_some(),
                is_known
            );
        }
    }
}
