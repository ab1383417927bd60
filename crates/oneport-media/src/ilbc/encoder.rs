//! What is said in iLBC (§3).

use crate::Encoder;

use super::bits::Parameters;
use super::codebook::{self, Codebook};
use super::lpc::{HighPass, Predictor, WINDOWS, measure, residual, smoothed, synthesise};
use super::lsf::{self, Lsf};
use super::tables::{INPUT_FILTER, LSF_MEAN};
use super::{LONGEST, MOST_SUB_BLOCKS, Mode, ORDER, SUB_BLOCK, dot, search, state};

/// Samples before a frame of 30 ms that its predictors are measured of as well.
const BEFORE: usize = 60;
const HISTORY: usize = BEFORE + LONGEST;
/// By this the ear's tolerance follows the spectrum.
const WEIGHTING: f32 = 0.4222;
/// Samples at both ends of two sub-blocks that count less when the strongest are looked for.
const FADE: usize = 5;

/// Samples into iLBC. What is less than a frame is kept for the next time.
///
/// ```
/// use oneport_media::Encoder as _;
/// use oneport_media::ilbc::{IlbcEncoder, Mode};
///
/// let mut payload = Vec::new();
/// IlbcEncoder::new(Mode::Ms20).encode(&[0; 320], &mut payload);
/// assert_eq!(payload.len(), 2 * 38);
/// ```
#[derive(Clone, Debug)]
pub struct IlbcEncoder {
    mode: Mode,
    frame: [i16; LONGEST],
    /// How many samples of the frame are there.
    kept: usize,
    filter: HighPass,
    /// The latest samples behind the filter.
    history: [f32; HISTORY],
    /// The last LSFs, as measured and as said.
    measured: Lsf,
    said: Lsf,
}

impl Default for IlbcEncoder {
    /// One that says frames of 30 ms, as Asterisk does, and has heard nothing yet.
    fn default() -> Self {
        Self::new(Mode::Ms30)
    }
}

impl IlbcEncoder {
    /// One that has heard nothing yet.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self {
            mode,
            frame: [0; LONGEST],
            kept: 0,
            filter: HighPass::new(INPUT_FILTER),
            history: [0.0; HISTORY],
            measured: LSF_MEAN,
            said: LSF_MEAN,
        }
    }

    /// Encodes the frame that is there.
    fn encode_frame(&mut self) -> Parameters {
        let mode = self.mode;
        let (len, mut said) = (mode.samples(), Parameters::default());
        self.history.copy_within(len.., 0);
        for (place, sample) in self.history[HISTORY - len..].iter_mut().zip(&self.frame) {
            *place = self.filter.pass(f32::from(*sample));
        }
        let (predictors, weightings) = self.predictors(&mut said);
        let mut wanted = [0.0; LONGEST];
        for (n, block) in wanted[..len].chunks_mut(SUB_BLOCK).enumerate() {
            let from = HISTORY - len + n * SUB_BLOCK;
            residual(&predictors[n], &self.history, from, block);
        }
        (said.start, said.is_first) = strongest(mode, &wanted);
        let (at, first) =
            (codebook::state_at(mode, said.start, said.is_first), usize::from(said.start) - 1);
        let place = at..at + mode.state();
        let state = state::choose(
            &wanted[place.clone()],
            &predictors[first],
            [&weightings[first], &weightings[first + 1]],
            state::behind(mode.state(), said.is_first),
        );
        (said.scale, said.state) = (state.scale, state.samples);
        let mut heard = [0.0; LONGEST];
        let samples = &said.state[..mode.state()];
        state::construct(said.scale, samples, &predictors[first], &mut heard[place]);
        codebook::fill(mode, said.start, said.is_first, &mut heard, |n, place, memory| {
            let mut target = [0.0; SUB_BLOCK];
            let target = &mut target[..place.len];
            target.copy_from_slice(&wanted[place.at..place.at + place.len]);
            if place.is_backward {
                target.reverse();
            }
            // The ear hears both through the same filter.
            let (mut weighed, weighting) = ([0.0; LONGEST], &weightings[place.sub_block()]);
            let weighed = &mut weighed[..memory.len() + place.len];
            let (weighed_memory, weighed_target) = weighed.split_at_mut(memory.len());
            let mut filter = [0.0; ORDER];
            weighed_memory.copy_from_slice(memory);
            synthesise(weighting, &mut filter, weighed_memory);
            weighed_target.copy_from_slice(target);
            synthesise(weighting, &mut filter, weighed_target);
            let weighed = Codebook::new(weighed_memory, place.len);
            said.blocks[n] = search::search(&weighed, weighed_target, n == 1);
            Codebook::new(memory, place.len).sum(&said.blocks[n])
        });
        said
    }

    /// Measures the predictors of the frame and says them. Those of each sub-block as they are said, and as the
    /// ear weighs errors.
    fn predictors(
        &mut self,
        said: &mut Parameters,
    ) -> ([Predictor; MOST_SUB_BLOCKS], [Predictor; MOST_SUB_BLOCKS]) {
        let (mode, windows) = (self.mode, &*WINDOWS);
        let end = &self.history[BEFORE..];
        let found = match mode {
            Mode::Ms20 => [measure(end, &windows.asymmetric); 2],
            Mode::Ms30 => {
                [measure(&self.history, &windows.symmetric), measure(end, &windows.asymmetric)]
            }
        };
        // One that has no lines, which rounding may make, is taken for the last one.
        let measured = found.map(|predictor| lsf::lines(&predictor).unwrap_or(self.measured));
        for (numbers, lsf) in said.lsf[..mode.predictors()].iter_mut().zip(&measured) {
            *numbers = lsf::choose(lsf);
        }
        let now = said.lsf.map(lsf::said);
        let predictors = lsf::between(mode, &self.said, &now).map(|lsf| lsf::predictor(&lsf));
        let weightings = lsf::between(mode, &self.measured, &measured)
            .map(|lsf| smoothed(&lsf::predictor(&lsf), WEIGHTING));
        let last = mode.predictors() - 1;
        (self.measured, self.said) = (measured[last], now[last]);
        (predictors, weightings)
    }
}

/// The two sub-blocks that are strongest, of which the second is told, and whether the start state is at their
/// beginning (§3.5.1).
fn strongest(mode: Mode, residual: &[f32; LONGEST]) -> (u8, bool) {
    // The middle of the frame is preferred a little.
    let weights: &[f32] = match mode {
        Mode::Ms20 => &[0.9, 1.0, 0.9],
        Mode::Ms30 => &[0.8, 0.9, 1.0, 0.9, 0.8],
    };
    let power = |n: usize| {
        let two = &residual[n * SUB_BLOCK..][..2 * SUB_BLOCK];
        let faded = |(k, sample): (usize, &f32)| {
            let part = (k.min(2 * SUB_BLOCK - 1 - k) + 1) as f32 / (FADE + 1) as f32;
            part.min(1.0) * sample * sample
        };
        two.iter().enumerate().map(faded).sum::<f32>()
    };
    let (mut second, mut most) = (1, -1.0);
    for (n, weight) in weights.iter().enumerate() {
        let power = weight * power(n);
        if power > most {
            (second, most) = (n + 1, power);
        }
    }
    let two = &residual[(second - 1) * SUB_BLOCK..][..2 * SUB_BLOCK];
    let (first, last) = (&two[..2 * SUB_BLOCK - mode.state()], &two[mode.state()..]);
    // There are six sub-blocks at most.
    (second as u8, dot(first, first) >= dot(last, last))
}

impl Encoder for IlbcEncoder {
    fn encode(&mut self, mut samples: &[i16], out: &mut Vec<u8>) {
        let len = self.mode.samples();
        while !samples.is_empty() {
            let count = samples.len().min(len - self.kept);
            let (first, rest) = samples.split_at(count);
            self.frame[self.kept..self.kept + count].copy_from_slice(first);
            self.kept = (self.kept + count) % len;
            samples = rest;
            if self.kept == 0 {
                self.encode_frame().pack(self.mode, out);
            }
        }
    }
}
