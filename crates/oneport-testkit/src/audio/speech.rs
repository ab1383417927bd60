//! Something like speech, made by rule from a seed: voiced and unvoiced sounds of a vocal tract whose
//! formants move from sound to sound, an intonation, words and pauses. No recording is needed.
//!
//! A source (pulses of the vocal cords, or noise) passes a cascade of resonances, after the manner of
//! formant synthesizers (D. Klatt, 1980).

use std::f64::consts::{PI, TAU};

/// Level of the speech, pauses left out, in dB of a full-scale square wave: what telephony tests use
/// (ITU-T P.56, P.800).
const LEVEL_DB: f64 = -26.0;

/// How often the vocal tract changes its shape, in a second.
const SHAPES_PER_SECOND: u32 = 200;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Voice {
    /// A voice around 115 Hz.
    Low,
    /// A voice around 205 Hz, with a shorter vocal tract.
    High,
}

/// What the vocal tract does at one moment.
#[derive(Clone, Copy, Debug)]
struct Shape {
    formants: [f64; 4],
    /// How much of the vocal cords, of noise through the whole tract, and of noise at the teeth.
    voiced: f64,
    breath: f64,
    hiss: f64,
    /// Where that hiss has its power, in Hz.
    hiss_at: f64,
}

/// One sound: how it looks when it is fully there, and how long it takes in ms.
#[derive(Clone, Copy)]
struct Sound {
    shape: Shape,
    ms: f64,
}

const fn vowel(f1: f64, f2: f64, f3: f64, ms: f64) -> Sound {
    let formants = [f1, f2, f3, 3_500.0];
    Sound { shape: Shape { formants, voiced: 1.0, breath: 0.02, hiss: 0.0, hiss_at: 3_000.0 }, ms }
}

const fn consonant(formants: [f64; 3], voiced: f64, hiss: f64, hiss_at: f64, ms: f64) -> Sound {
    let [f1, f2, f3] = formants;
    let formants = [f1, f2, f3, 3_500.0];
    Sound { shape: Shape { formants, voiced, breath: 0.0, hiss, hiss_at }, ms }
}

/// Formants as in "heed, hid, head, had, hod, hawed, hood, who'd, hut, heard" (G. Peterson and H. Barney,
/// 1952, men).
const VOWELS: [Sound; 10] = [
    vowel(270.0, 2_290.0, 3_010.0, 130.0),
    vowel(390.0, 1_990.0, 2_550.0, 90.0),
    vowel(530.0, 1_840.0, 2_480.0, 110.0),
    vowel(660.0, 1_720.0, 2_410.0, 140.0),
    vowel(730.0, 1_090.0, 2_440.0, 140.0),
    vowel(570.0, 840.0, 2_410.0, 140.0),
    vowel(440.0, 1_020.0, 2_240.0, 90.0),
    vowel(300.0, 870.0, 2_240.0, 130.0),
    vowel(640.0, 1_190.0, 2_390.0, 90.0),
    vowel(490.0, 1_350.0, 1_690.0, 130.0),
];

/// Glides, nasals, and fricatives with and without voice.
const CONSONANTS: [Sound; 10] = [
    consonant([350.0, 1_100.0, 2_700.0], 0.6, 0.0, 3_000.0, 65.0),
    consonant([330.0, 1_060.0, 1_400.0], 0.6, 0.0, 3_000.0, 65.0),
    consonant([300.0, 700.0, 2_200.0], 0.6, 0.0, 3_000.0, 60.0),
    consonant([270.0, 1_100.0, 2_200.0], 0.35, 0.0, 3_000.0, 70.0),
    consonant([270.0, 1_600.0, 2_600.0], 0.35, 0.0, 3_000.0, 70.0),
    consonant([300.0, 1_700.0, 2_600.0], 0.0, 0.30, 5_500.0, 95.0),
    consonant([300.0, 1_800.0, 2_500.0], 0.0, 0.40, 2_900.0, 95.0),
    consonant([300.0, 1_100.0, 2_200.0], 0.0, 0.10, 4_000.0, 80.0),
    consonant([260.0, 1_600.0, 2_500.0], 0.25, 0.15, 5_000.0, 70.0),
    consonant([260.0, 1_100.0, 2_200.0], 0.30, 0.06, 4_000.0, 60.0),
];

/// Where stops burst: at the lips, the teeth, the palate; with the formants that lead there.
const STOPS: [([f64; 3], f64); 3] = [
    ([250.0, 900.0, 2_200.0], 900.0),
    ([250.0, 1_700.0, 2_600.0], 3_300.0),
    ([250.0, 1_900.0, 2_300.0], 1_900.0),
];

/// A small generator of numbers that are the same for the same seed everywhere.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next 32 bits.
    pub fn bits(&mut self) -> u32 {
        // xorshift64* (S. Vigna, 2016)
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }

    /// From 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        f64::from(self.bits()) / (f64::from(u32::MAX) + 1.0)
    }

    /// From `low` up to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Whether something happens that happens with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Around 0 with a deviation of 1, nearly normal.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.bits() as usize % list.len()]
    }
}

/// What happens at each step of the vocal tract: its shape, and the frequency of the voice.
struct Score {
    steps: Vec<(Shape, f64)>,
    dice: Dice,
    pitch: f64,
    tract: f64,
}

impl Score {
    fn steps_in(ms: f64) -> usize {
        (ms * f64::from(SHAPES_PER_SECOND) / 1000.0).round() as usize
    }

    /// Holds a sound; the way there from the one before takes up to 40 ms of it.
    fn hold(&mut self, sound: Sound, pitch: f64) {
        let mut to = sound.shape;
        to.formants = to.formants.map(|formant| formant * self.tract);
        let from = self.steps.last().map_or(to, |(shape, _)| *shape);
        let ms = sound.ms * self.dice.between(0.8, 1.25);
        let way = Self::steps_in(ms.min(40.0));
        for n in 0..Self::steps_in(ms) {
            let part = ((n + 1) as f64 / way as f64).min(1.0);
            let mix = |a: f64, b: f64| a + (b - a) * part;
            let mut formants = to.formants;
            for (to, from) in formants.iter_mut().zip(from.formants) {
                *to = mix(from, *to);
            }
            let shape = Shape {
                formants,
                voiced: mix(from.voiced, to.voiced),
                breath: mix(from.breath, to.breath),
                hiss: mix(from.hiss, to.hiss),
                hiss_at: to.hiss_at,
            };
            self.steps.push((shape, pitch));
        }
    }

    /// Closes the mouth, and lets it burst open.
    fn stop(&mut self, pitch: f64) {
        let (formants, burst_at) = self.dice.pick(&STOPS);
        let voiced = if self.dice.happens(0.4) { 0.08 } else { 0.0 };
        self.hold(consonant(formants, voiced, 0.0, burst_at, 55.0), pitch);
        // The burst comes at once.
        let [f1, f2, f3] = formants.map(|formant| formant * self.tract);
        let formants = [f1, f2, f3, 3_500.0 * self.tract];
        let burst = Shape { formants, voiced, breath: 0.1, hiss: 0.5, hiss_at: burst_at };
        self.steps.extend([(burst, pitch); 2]);
    }

    fn silence(&mut self, ms: f64) {
        let Some((mut shape, pitch)) = self.steps.last().copied() else { return };
        (shape.voiced, shape.breath, shape.hiss) = (0.0, 0.0, 0.0);
        self.hold(
            Sound {
                shape: Shape { formants: shape.formants.map(|f| f / self.tract), ..shape },
                ms,
            },
            pitch,
        );
    }

    /// A phrase of some words, whose pitch falls to its end, and the pause behind it.
    fn phrase(&mut self) {
        let syllables = 6 + self.dice.bits() % 9;
        for n in 0..syllables {
            let fall = 1.12 - 0.28 * f64::from(n) / f64::from(syllables);
            let accent = self.dice.between(0.93, 1.1);
            let pitch = self.pitch * fall * accent;
            match self.dice.bits() % 5 {
                0 => {}
                1 | 2 => self.stop(pitch),
                _ => {
                    let sound = self.dice.pick(&CONSONANTS);
                    self.hold(sound, pitch);
                }
            }
            let sound = self.dice.pick(&VOWELS);
            self.hold(sound, pitch);
            if self.dice.happens(0.25) {
                let sound = self.dice.pick(&CONSONANTS);
                self.hold(sound, pitch * 0.98);
            }
            if self.dice.happens(0.15) {
                self.silence(50.0);
            }
        }
        let pause = self.dice.between(250.0, 900.0);
        self.silence(pause);
    }
}

/// A resonance of two poles.
#[derive(Clone, Copy, Default)]
struct Resonance {
    gain: f64,
    b: f64,
    c: f64,
    past: [f64; 2],
}

impl Resonance {
    fn tune(&mut self, frequency: f64, width: f64, rate: f64) {
        // What lies beyond half of the rate stays below it, where it does no harm.
        let frequency = frequency.min(0.47 * rate);
        self.c = -(-TAU * width / rate).exp();
        self.b = 2.0 * (-PI * width / rate).exp() * (TAU * frequency / rate).cos();
        self.gain = 1.0 - self.b - self.c;
    }

    fn pass(&mut self, input: f64) -> f64 {
        let out = self.gain * input + self.b * self.past[0] + self.c * self.past[1];
        self.past = [out, self.past[0]];
        out
    }
}

/// The flow of air through the vocal cords at `phase` (0 to 1) of their period (A. Rosenberg, 1971).
fn flow(phase: f64) -> f64 {
    const OPENS: f64 = 0.4;
    const CLOSES: f64 = 0.16;
    if phase < OPENS {
        0.5 * (1.0 - (PI * phase / OPENS).cos())
    } else if phase < OPENS + CLOSES {
        (PI / 2.0 * (phase - OPENS) / CLOSES).cos()
    } else {
        0.0
    }
}

/// So many `ms` of speech at `sample_rate`, at a level of -26 dBov; the same for the same seed.
///
/// Phrases of one to three seconds are followed by pauses of a quarter to nearly one second, with noise
/// at -80 dBov throughout.
#[must_use]
pub fn synthesize(seed: u64, voice: Voice, sample_rate: u32, ms: u32) -> Vec<i16> {
    let (pitch, tract) = match voice {
        Voice::Low => (115.0, 1.0),
        Voice::High => (205.0, 1.16),
    };
    let mut score = Score { steps: Vec::new(), dice: Dice::new(seed), pitch, tract };
    let needed = (ms as usize * SHAPES_PER_SECOND as usize).div_ceil(1000);
    while score.steps.len() < needed {
        score.phrase();
    }
    let Score { mut steps, mut dice, .. } = score;
    steps.truncate(needed);
    let rate = f64::from(sample_rate);
    let per_step = (sample_rate / SHAPES_PER_SECOND) as usize;
    let (mut tract, mut teeth) = ([Resonance::default(); 4], Resonance::default());
    let (mut phase, mut period, mut strength, mut past_flow) = (0.0, 1.0, 1.0, 0.0);
    let mut last = steps[0].0;
    let mut out = Vec::with_capacity(steps.len() * per_step);
    for (shape, pitch) in steps {
        for (resonance, (formant, width)) in
            tract.iter_mut().zip(shape.formants.into_iter().zip([60.0, 90.0, 150.0, 200.0]))
        {
            resonance.tune(formant, width, rate);
        }
        teeth.tune(shape.hiss_at, 900.0, rate);
        for n in 0..per_step {
            let part = n as f64 / per_step as f64;
            let mix = |from: f64, to: f64| from + (to - from) * part;
            phase += pitch * period / rate;
            if phase >= 1.0 {
                // No two periods are quite alike.
                phase -= 1.0;
                period = 1.0 + 0.008 * dice.normal();
                strength = 1.0 + 0.05 * dice.normal();
            }
            let flow = flow(phase) * strength;
            let source = (flow - past_flow) * rate / 2_000.0;
            past_flow = flow;
            let noise = dice.between(-1.0, 1.0);
            let source = source * mix(last.voiced, shape.voiced);
            let source = source + noise * mix(last.breath, shape.breath);
            let through = tract.iter_mut().fold(source, |signal, resonance| resonance.pass(signal));
            let hiss = teeth.pass(noise * mix(last.hiss, shape.hiss));
            out.push(through + 0.5 * hiss);
        }
        last = shape;
    }
    level(&out, &mut dice)
}

/// Brings the signal to its level, and puts a little noise to it.
fn level(signal: &[f64], dice: &mut Dice) -> Vec<i16> {
    let loudest = signal.iter().fold(0.0_f64, |most, sample| most.max(sample.abs()));
    let active = signal.chunks(160).filter(|part| {
        let power = part.iter().map(|sample| sample * sample).sum::<f64>() / part.len() as f64;
        power.sqrt() > loudest / 100.0
    });
    let (sum, count) = active
        .flatten()
        .fold((0.0, 0.0), |(sum, count), sample| (sum + sample * sample, count + 1.0));
    let wanted = f64::from(i16::MAX) * 10.0_f64.powf(LEVEL_DB / 20.0);
    let gain = wanted / (sum / f64::max(count, 1.0)).sqrt().max(f64::MIN_POSITIVE);
    let noise = f64::from(i16::MAX) * 1e-4;
    let sample = |sample: &f64| (sample * gain + noise * dice.between(-1.7, 1.7)).round();
    signal.iter().map(sample).map(|sample| sample.clamp(-32_768.0, 32_767.0) as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_says_the_same_and_another_something_else() {
        let says = |seed| synthesize(seed, Voice::Low, 8_000, 500);
        assert_eq!(says(1), says(1));
        assert_ne!(says(1), says(2));
        assert_eq!(says(1).len(), 4_000);
    }

    #[test]
    fn it_is_as_loud_as_tests_want_it_and_has_pauses() {
        for (voice, rate) in [(Voice::Low, 8_000), (Voice::High, 16_000)] {
            let speech = synthesize(3, voice, rate, 10_000);
            let frames = speech.chunks(rate as usize / 50);
            let level = |frame: &[i16]| {
                let power = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
                20.0 * ((power / frame.len() as f64).sqrt() / 32_768.0).log10()
            };
            let levels: Vec<f64> = frames.map(level).collect();
            let loud = levels.iter().filter(|level| **level > -40.0).count();
            let quiet = levels.iter().filter(|level| **level < -70.0).count();
            assert!(loud > 250 && quiet > 25, "{loud} loud, {quiet} quiet of {}", levels.len());
            let clipped = speech.iter().filter(|sample| sample.unsigned_abs() > 32_766).count();
            assert_eq!(clipped, 0);
        }
    }

    #[test]
    fn its_vowels_have_a_pitch() {
        for (voice, low, high) in [(Voice::Low, 85, 150), (Voice::High, 150, 270)] {
            let speech = synthesize(5, voice, 8_000, 10_000);
            // Of the loudest parts, most repeat themselves after a period of the voice.
            let mut parts: Vec<&[i16]> = speech.chunks_exact(320).collect();
            parts
                .sort_by_key(|part| part.iter().map(|s| -i64::from(s.unsigned_abs())).sum::<i64>());
            let periodic = parts.iter().take(40).filter(|part| {
                let alike = |lag: usize| {
                    let (a, b) = (&part[lag..], &part[..part.len() - lag]);
                    let dot = |a: &[i16], b: &[i16]| {
                        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
                    };
                    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
                };
                (8_000 / high..8_000 / low).any(|lag| alike(lag) > 0.7)
            });
            let periodic = periodic.count();
            assert!(periodic >= 25, "{voice:?}: {periodic} of 40");
        }
    }
}
