//! What is heard in place of audio that is missing.
//!
//! The last periods of the voice go on, one at first and then up to three in turn, so that they do not
//! buzz; what has no pitch goes on backwards and forwards. It becomes softer, and what is heard in the end is
//! noise as loud as the pauses were. After the manner of ITU-T G.711 appendix I, without its delay, at
//! 8 and 16 kHz. A codec that conceals by itself does not need this: see
//! [`Decoder::conceal`](crate::Decoder::conceal).

use crate::time_scale::{linear, period_at_end, samples_in_us};

/// What is kept of the past to go on with: three of the longest periods, and a quarter.
const PAST_US: usize = 56_000;

/// How long it goes on as loud as it was.
const FULL_US: usize = 10_000;
/// When nothing is left of it.
const GONE_US: usize = 80_000;

/// Below this likeness with itself audio has no pitch worth repeating.
const VOICED: f32 = 0.5;
/// How much of what has no pitch is played back and forth.
const UNVOICED_US: usize = 20_000;

/// Pauses are never taken to be louder than this (about −45 dBov), nor softer than one step.
pub(crate) const LOUDEST_PAUSE: f32 = 184.0;

/// How loud the pauses are, and noise like that.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    level: f32,
    dice: u32,
    last: f32,
}

impl Default for Background {
    fn default() -> Self {
        Self { level: 1.0, dice: 0x2545_F491, last: 0.0 }
    }
}

/// The root of the mean square.
pub(crate) fn level(samples: &[i16]) -> f32 {
    let power: f32 = samples.iter().map(|sample| f32::from(*sample) * f32::from(*sample)).sum();
    (power / samples.len().max(1) as f32).sqrt()
}

impl Background {
    /// Noise as loud as the root of its mean square says.
    pub(crate) fn as_loud_as(level: f32) -> Self {
        Self { level, ..Self::default() }
    }

    /// Hears some 20 ms.
    pub(crate) fn hear(&mut self, samples: &[i16]) {
        // The softest of late; it may become louder by 1 dB in a second.
        let level = level(samples).clamp(1.0, LOUDEST_PAUSE);
        self.level = level.min(self.level * 1.0023).max(1.0);
    }

    /// Whether these are no louder than pauses.
    pub(crate) fn is_quiet(&self, samples: &[i16]) -> bool {
        level(samples) <= (2.0 * self.level).max(24.0)
    }

    /// The next sample of noise, without the hardness of white noise.
    pub(crate) fn noise(&mut self) -> f32 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        let white = (f64::from(self.dice) / f64::from(u32::MAX) * 2.0 - 1.0) as f32;
        self.last = 0.5 * self.last + white;
        // A uniform number has the power 1/3, the filter multiplies it by 4/3.
        self.last * self.level * 1.5
    }
}

/// How the past goes on.
#[derive(Clone, Copy, Debug)]
enum Course {
    /// Around and around the last periods.
    Periods { period: usize },
    /// Back and forth over the end.
    BackAndForth,
}

/// Goes on with audio that has stopped.
#[derive(Clone, Debug)]
pub(crate) struct Concealer {
    rate: u32,
    past: Vec<i16>,
    course: Course,
    /// Where in the past the next sample is, counted from where the present round begins.
    at: usize,
    /// How long the present round is.
    round: usize,
    forth: bool,
    /// Samples made since the audio stopped.
    made: usize,
    /// What the last sample heard is above the one before the first round; it fades.
    step: f32,
}

impl Concealer {
    pub(crate) fn new(rate: u32) -> Self {
        let past = Vec::with_capacity(samples_in_us(PAST_US, rate));
        let course = Course::BackAndForth;
        Self { rate, past, course, at: 0, round: 0, forth: false, made: 0, step: 0.0 }
    }

    /// How much of the past it likes to know.
    pub(crate) fn past_needed(rate: u32) -> usize {
        samples_in_us(PAST_US, rate)
    }

    /// The audio has stopped behind `past`.
    pub(crate) fn begin(&mut self, past: &[i16]) {
        let needed = samples_in_us(PAST_US, self.rate);
        self.past.clear();
        self.past.extend_from_slice(&past[past.len().saturating_sub(needed)..]);
        (self.made, self.at, self.step) = (0, 0, 0.0);
        let len = self.past.len();
        match period_at_end(&self.past, self.rate) {
            Some(period) if period.likeness >= VOICED => {
                let period = period.samples;
                self.course = Course::Periods { period };
                self.round = period;
                let before = self.past.get((len - period).wrapping_sub(1)).copied();
                let last = f32::from(self.past[len - 1]);
                self.step = before.map_or(0.0, |before| last - f32::from(before));
            }
            _ => {
                self.course = Course::BackAndForth;
                self.round = samples_in_us(UNVOICED_US, self.rate).min(len.saturating_sub(1));
                self.forth = false;
            }
        }
    }

    /// The sample at `at` of a round of `round` samples at the end of the past. The end of a round fades
    /// into what lies before its beginning, so that no seam is heard.
    fn of_round(&self, period: usize) -> f32 {
        let start = self.past.len() - self.round;
        let sample = f32::from(self.past[start + self.at]);
        let fade = period / 4;
        let into = (self.at + fade).checked_sub(self.round);
        match into {
            Some(n) if start >= fade && self.round > period => {
                let before = f32::from(self.past[start - fade + n]);
                let part = (n as f32 + 0.5) / fade as f32;
                sample * (1.0 - part) + before * part
            }
            _ => sample,
        }
    }

    fn next(&mut self) -> f32 {
        if self.round == 0 {
            return 0.0;
        }
        match self.course {
            Course::Periods { period } => {
                let sample = self.of_round(period);
                self.at += 1;
                if self.at == self.round {
                    self.at = 0;
                    // One more period each 10 ms.
                    let periods = (1 + self.made / samples_in_us(10_000, self.rate)).min(3);
                    let most = self.past.len() / period;
                    self.round = period * periods.min(most).max(1);
                }
                let fade = period / 4;
                let left = fade.saturating_sub(self.made) as f32 / fade.max(1) as f32;
                sample + self.step * left
            }
            Course::BackAndForth => {
                let end = self.past.len() - 1;
                let place = if self.forth { end - self.round + self.at } else { end - self.at };
                self.at += 1;
                if self.at == self.round {
                    (self.at, self.forth) = (0, !self.forth);
                }
                f32::from(self.past[place])
            }
        }
    }

    /// The next sample in place of what is missing.
    pub(crate) fn sample(&mut self, background: &mut Background) -> i16 {
        let (full, gone) = (samples_in_us(FULL_US, self.rate), samples_in_us(GONE_US, self.rate));
        let sample = if self.made >= gone { 0.0 } else { self.next() };
        let left = gone.saturating_sub(self.made.max(full)) as f32 / (gone - full) as f32;
        self.made = self.made.saturating_add(1);
        linear(sample * left + background.noise() * (1.0 - left))
    }

    /// How many samples the way back into real audio takes: 4 ms, and more behind a longer gap.
    pub(crate) fn way_back(&self) -> usize {
        let most = samples_in_us(10_000, self.rate);
        (samples_in_us(4_000, self.rate) + self.made * 2 / 5).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Sine;

    fn conceal(past: &[i16], rate: u32, len: usize) -> Vec<i16> {
        let (mut concealer, mut background) = (Concealer::new(rate), Background::default());
        concealer.begin(past);
        (0..len).map(|_| concealer.sample(&mut background)).collect()
    }

    #[test]
    fn a_tone_goes_on_without_a_seam_and_fades() {
        for rate in [8_000, 16_000] {
            let tone: Vec<i16> = Sine::new(200.0, rate, 0.5).take(rate as usize / 5).collect();
            let (past, next) = tone.split_at(rate as usize / 10);
            let heard = conceal(past, rate, rate as usize / 5);
            let full = samples_in_us(FULL_US, rate);
            for (heard, said) in heard[..full].iter().zip(next) {
                assert!(heard.abs_diff(*said) < 300, "{heard} for {said}");
            }
            let levels: Vec<f32> = heard.chunks(rate as usize / 50).map(level).collect();
            assert!(levels.is_sorted_by(|a, b| a > b || *a < 3.0), "{levels:?}");
            assert!(levels[5] < 3.0, "{levels:?}");
        }
    }

    #[test]
    fn what_has_no_pitch_goes_on_as_noise_of_the_same_level() {
        let mut background = Background { level: 1_000.0, ..Background::default() };
        let noise: Vec<i16> = (0..800).map(|_| linear(background.noise())).collect();
        let heard = conceal(&noise, 8_000, 160);
        let (said, heard) = (level(&noise), level(&heard));
        assert!((heard / said - 1.0).abs() < 0.3, "{heard} behind {said}");
    }

    #[test]
    fn noise_is_as_loud_as_the_pauses_were() {
        let mut background = Background::default();
        let mut pause = Background { level: 60.0, ..Background::default() };
        for _ in 0..5_000 {
            let frame: Vec<i16> = (0..160).map(|_| linear(pause.noise())).collect();
            background.hear(&frame);
        }
        let noise: Vec<i16> = (0..8_000).map(|_| linear(background.noise())).collect();
        assert!((level(&noise) / 60.0 - 1.0).abs() < 0.25, "{}", level(&noise));
    }

    #[test]
    fn with_no_past_or_little_there_is_noise_and_no_harm() {
        for len in 0..300 {
            let past: Vec<i16> = (0..len).map(|n: u32| (n * 7_919 % 20_000) as i16).collect();
            assert_eq!(conceal(&past, 8_000, 2_000).len(), 2_000);
        }
    }
}
