//! iLBC (RFC 3951), 13.33 kbit/s in frames of 30 ms, or 15.2 in frames of 20 ms. Section numbers are its own.
//!
//! A frame is understood without those before it: the strongest part of its residual, some 7 ms, is said
//! sample by sample, and what is before and behind that as sums of stretches of what is said already. So
//! what is lost spoils nothing that follows. What both ends do alike is here as the RFC describes it; what each may
//! do as it likes (the choice of what is said, the enhancer, concealment) follows its advice.

mod bits;
mod codebook;
mod concealment;
mod decoder;
mod encoder;
mod enhancer;
mod lpc;
mod lsf;
mod search;
mod state;
mod tables;

pub use decoder::IlbcDecoder;
pub use encoder::IlbcEncoder;

/// Coefficients of a predictor.
const ORDER: usize = 10;
/// Samples of a sub-block.
const SUB_BLOCK: usize = 40;
/// Stretches whose sum a sub-block is.
const STAGES: usize = 3;
/// Samples of the longest frame.
const LONGEST: usize = 240;
/// Sub-blocks of the longest frame.
const MOST_SUB_BLOCKS: usize = LONGEST / SUB_BLOCK;

/// How long frames are. Two that speak have to agree on it (RFC 3952 §5); a frame shows it by its bytes.
///
/// ```
/// use oneport_media::ilbc::Mode;
///
/// assert_eq!(Mode::of_payload(2 * 50), Some(Mode::Ms30));
/// assert_eq!(Mode::of_payload(38), Some(Mode::Ms20));
/// // A frame of GSM is none of iLBC.
/// assert_eq!(Mode::of_payload(33), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// 20 ms, in 38 bytes.
    Ms20,
    /// 30 ms, in 50 bytes: what is spoken where nobody says otherwise.
    #[default]
    Ms30,
}

impl Mode {
    /// That of a payload of so many bytes; `None`: it has no whole frames.
    #[must_use]
    pub fn of_payload(bytes: usize) -> Option<Self> {
        let is_of = |mode: &Self| bytes > 0 && bytes.is_multiple_of(mode.bytes());
        [Self::Ms30, Self::Ms20].into_iter().find(is_of)
    }

    /// Samples of a frame.
    #[must_use]
    pub const fn samples(self) -> usize {
        match self {
            Self::Ms20 => 160,
            Self::Ms30 => LONGEST,
        }
    }

    /// Bytes of a frame.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Ms20 => 38,
            Self::Ms30 => 50,
        }
    }

    const fn sub_blocks(self) -> usize {
        self.samples() / SUB_BLOCK
    }

    /// Predictors that a frame says; those of the other sub-blocks lie between.
    const fn predictors(self) -> usize {
        match self {
            Self::Ms20 => 1,
            Self::Ms30 => 2,
        }
    }

    /// Samples of the start state.
    const fn state(self) -> usize {
        match self {
            Self::Ms20 => 57,
            Self::Ms30 => 58,
        }
    }

    /// Samples by which the enhancer delays.
    const fn delay(self) -> usize {
        match self {
            Self::Ms20 => SUB_BLOCK,
            Self::Ms30 => 2 * SUB_BLOCK,
        }
    }
}

/// The sum of products, in lanes that a processor can do at once.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let (ones, one) = one.as_chunks::<8>();
    let (others, other) = other.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (one, other) in ones.iter().zip(others) {
        for ((lane, one), other) in lanes.iter_mut().zip(one).zip(other) {
            *lane += one * other;
        }
    }
    let rest: f32 = one.iter().zip(other).map(|(one, other)| one * other).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Which of these is nearest.
fn nearest(of: &[f32], value: f32) -> u8 {
    let (mut best, mut least) = (0, f32::INFINITY);
    for (n, one) in (0..).zip(of) {
        let distance = (one - value).abs();
        if distance < least {
            (best, least) = (n, distance);
        }
    }
    best
}

#[cfg(test)]
mod tests;
