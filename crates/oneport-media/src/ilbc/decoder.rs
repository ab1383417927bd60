//! What is heard of iLBC (§4).

use crate::Decoder;

use super::bits::Parameters;
use super::concealment::Concealment;
use super::enhancer::Enhancer;
use super::lpc::{HighPass, Predictor, synthesise};
use super::lsf::{self, Lsf};
use super::tables::{LSF_MEAN, OUTPUT_FILTER};
use super::{LONGEST, Mode, ORDER, SUB_BLOCK, codebook, state};

/// iLBC into samples, of both modes, as frames come.
///
/// ```
/// use oneport_media::ilbc::{IlbcDecoder, IlbcEncoder, Mode};
/// use oneport_media::{Decoder as _, Encoder as _};
///
/// let (mut payload, mut samples) = (Vec::new(), Vec::new());
/// IlbcEncoder::new(Mode::Ms20).encode(&[0; 160], &mut payload);
/// let mut decoder = IlbcDecoder::default();
/// assert_eq!(decoder.mode(), Mode::Ms30);
/// // The length of what comes tells the mode.
/// decoder.decode(&payload, &mut samples);
/// assert_eq!((decoder.mode(), samples.len()), (Mode::Ms20, 160));
/// ```
#[derive(Clone, Debug)]
pub struct IlbcDecoder {
    /// That of the last frame.
    mode: Mode,
    lsf: Lsf,
    /// The predictors of the last two sub-blocks.
    last: [Predictor; 2],
    enhancer: Enhancer,
    concealment: Concealment,
    synthesis: Predictor,
    filter: HighPass,
    /// Whether noise is taken out of voices.
    enhances: bool,
}

impl Default for IlbcDecoder {
    /// One that has heard nothing yet. It takes noise out of voices, and is 5 ms behind what it decodes for that in
    /// frames of 20 ms, 10 in frames of 30.
    fn default() -> Self {
        Self {
            mode: Mode::Ms30,
            lsf: LSF_MEAN,
            last: [[0.0; ORDER]; 2],
            enhancer: Enhancer::default(),
            concealment: Concealment::default(),
            synthesis: [0.0; ORDER],
            filter: HighPass::new(OUTPUT_FILTER),
            enhances: true,
        }
    }
}

impl IlbcDecoder {
    /// One that says what it decodes as it is, without a delay.
    #[must_use]
    pub fn plain() -> Self {
        Self { enhances: false, ..Self::default() }
    }

    /// How long the frames were that came last; 30 ms before any has come.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    fn frame(&mut self, frame: &Parameters, out: &mut Vec<i16>) {
        let mode = self.mode;
        let now = frame.lsf.map(lsf::said);
        let predictors = lsf::between(mode, &self.lsf, &now).map(|lsf| lsf::predictor(&lsf));
        self.lsf = now[mode.predictors() - 1];
        let mut residual = [0.0; LONGEST];
        let at = codebook::state_at(mode, frame.start, frame.is_first);
        state::construct(
            frame.scale,
            &frame.state[..mode.state()],
            &predictors[usize::from(frame.start) - 1],
            &mut residual[at..at + mode.state()],
        );
        codebook::construct(mode, frame, &mut residual);
        self.enhancer.hear(&residual[..mode.samples()]);
        if self.concealment.is_going_on() {
            if self.enhances {
                self.enhancer.join(mode);
            }
            self.concealment.end();
        }
        self.synthesise(&predictors[..mode.sub_blocks()], out);
    }

    fn lost(&mut self, out: &mut Vec<i16>) {
        let len = self.mode.samples();
        // Neither what waits in the enhancer nor the echo of the filters is there any more.
        if self.concealment.is_over() {
            self.synthesis = [0.0; ORDER];
        }
        let mut residual = [0.0; LONGEST];
        self.concealment.go_on(self.enhancer.past(), &mut residual[..len]);
        self.enhancer.hear(&residual[..len]);
        self.synthesise(&[self.last[1]; LONGEST / SUB_BLOCK][..self.mode.sub_blocks()], out);
    }

    /// Says the residual that was heard last, or what the enhancer makes of it, which is behind its predictors.
    fn synthesise(&mut self, predictors: &[Predictor], out: &mut Vec<i16>) {
        let mut signal = [0.0; LONGEST];
        let signal = &mut signal[..self.mode.samples()];
        let behind = if self.enhances {
            self.enhancer.enhance(self.mode, signal);
            self.mode.delay() / SUB_BLOCK
        } else {
            signal.copy_from_slice(self.enhancer.latest(signal.len()));
            0
        };
        let predictors = || self.last[2 - behind..].iter().chain(predictors);
        for (block, predictor) in signal.chunks_mut(SUB_BLOCK).zip(predictors()) {
            synthesise(predictor, &mut self.synthesis, block);
        }
        let mut latest = predictors().rev().copied();
        if let (Some(last), Some(before)) = (latest.next(), latest.next()) {
            self.last = [before, last];
        }
        // No voice comes near to this. What no encoder says may, and would never end.
        if !self.synthesis.iter().all(|sample| sample.abs() < 1e6) {
            (self.synthesis, self.filter) = ([0.0; ORDER], HighPass::new(OUTPUT_FILTER));
            signal.fill(0.0);
        }
        out.extend(signal.iter().map(|sample| self.filter.pass(*sample).round() as i16));
    }
}

impl Decoder for IlbcDecoder {
    /// A payload is of frames of 50 bytes, 30 ms, or of 38, 20 ms, as its length tells, else of those that
    /// were heard last. A frame that is marked as lost, or that no encoder
    /// makes, counts as lost.
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        self.mode = Mode::of_payload(payload.len()).unwrap_or(self.mode);
        for bytes in payload.chunks_exact(self.mode.bytes()) {
            match Parameters::unpack(self.mode, bytes) {
                Some(frame) => self.frame(&frame, out),
                None => self.lost(out),
            }
        }
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) -> bool {
        for _ in 0..samples.div_ceil(self.mode.samples()) {
            self.lost(out);
        }
        true
    }
}
