//! What is heard in place of a frame that is lost, after the manner of §4.5.2: the last period of the residual again and again,
//! and with it noise like it, more of that the less of a pitch there was.

use super::dot;
use super::enhancer::PAST;

/// Samples of the residual that are kept for it.
const KEPT: usize = 160;
/// Delays of a pitch.
const DELAYS: std::ops::RangeInclusive<usize> = 20..=120;
/// The end of the past that is looked for before.
const LOOKED_FOR: usize = 80;
/// How like itself a voice is that has no noise in it, and one that is nothing else.
const VOICED: f32 = 0.85;
const UNVOICED: f32 = 0.5;
/// For so many samples it is as loud as it was: 20 ms.
const FULL: usize = 160;
/// From then on there is nothing: 120 ms.
const GONE: usize = 960;

/// How the residual goes on.
#[derive(Clone, Debug)]
pub(super) struct Concealment {
    past: [f32; KEPT],
    period: usize,
    /// How much of it is voice.
    voice: f32,
    /// Samples that were made since the last frame.
    made: usize,
    dice: u32,
}

impl Default for Concealment {
    fn default() -> Self {
        Self { past: [0.0; KEPT], period: KEPT, voice: 0.0, made: 0, dice: 0x1234_5678 }
    }
}

impl Concealment {
    /// Whether what was heard last was made here.
    pub(super) const fn is_going_on(&self) -> bool {
        self.made > 0
    }

    /// A frame has come.
    pub(super) fn end(&mut self) {
        self.made = 0;
    }

    /// Whether nothing is left of what was said.
    pub(super) const fn is_over(&self) -> bool {
        self.made >= GONE
    }

    /// Looks how the past should go on.
    fn begin(&mut self, past: &[f32; PAST]) {
        self.past.copy_from_slice(&past[PAST - KEPT..]);
        let end = &past[PAST - LOOKED_FOR..];
        let power = dot(end, end);
        let mut most = 0.0;
        self.period = KEPT;
        for delay in DELAYS {
            let before = &past[PAST - LOOKED_FOR - delay..PAST - delay];
            let both = power * dot(before, before);
            let likeness = if both > 0.0 { dot(end, before) / both.sqrt() } else { 0.0 };
            if likeness > most {
                (most, self.period) = (likeness, delay);
            }
        }
        self.voice = ((most - UNVOICED) / (VOICED - UNVOICED)).clamp(0.0, 1.0);
    }

    /// Goes on behind the past.
    pub(super) fn go_on(&mut self, past: &[f32; PAST], out: &mut [f32]) {
        if self.made == 0 {
            self.begin(past);
        }
        let noise = (1.0 - self.voice * self.voice).sqrt();
        for sample in out {
            self.dice ^= self.dice << 13;
            self.dice ^= self.dice >> 17;
            self.dice ^= self.dice << 5;
            let any = self.past[(self.dice >> 8) as usize % KEPT];
            let again = self.past[KEPT - self.period + self.made % self.period];
            let left = GONE.saturating_sub(self.made).min(GONE - FULL);
            let gain = left as f32 / (GONE - FULL) as f32;
            *sample = gain * (self.voice * again + noise * any);
            // No call lasts so long.
            self.made = self.made.saturating_add(1);
        }
    }
}
