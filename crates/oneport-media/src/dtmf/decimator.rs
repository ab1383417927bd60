//! Brings audio down to 8 kHz.

/// The rate that detection works at.
pub(super) const RATE: u32 = 8_000;

/// Taps of the filter for each step down.
const TAPS_EACH: usize = 24;

/// The greatest step: from 48 kHz.
const MOST: usize = 6;

/// Takes each so many samples to one.
#[derive(Clone, Debug)]
pub(super) struct Decimator {
    factor: usize,
    taps: Vec<f32>,
    /// What came last, twice, so that a whole filter's length always lies in one piece.
    past: Vec<f32>,
    at: usize,
    phase: usize,
}

impl Decimator {
    /// From `sample_rate`; `None`: it is no multiple of 8 kHz up to 48.
    pub(super) fn new(sample_rate: u32) -> Option<Self> {
        let factor = usize::try_from(sample_rate / RATE).ok()?;
        if !sample_rate.is_multiple_of(RATE) || !(1..=MOST).contains(&factor) {
            return None;
        }
        let len = if factor == 1 { 1 } else { factor * TAPS_EACH };
        let cutoff = 0.46 / factor as f32;
        let middle = (len - 1) as f32 / 2.0;
        let tap = |n: usize| {
            if len == 1 {
                return 1.0;
            }
            let x = n as f32 - middle;
            let sinc = match x == 0.0 {
                true => 2.0 * cutoff,
                false => (std::f32::consts::TAU * cutoff * x).sin() / (std::f32::consts::PI * x),
            };
            let window = (std::f32::consts::TAU * n as f32 / (len - 1) as f32).cos();
            sinc * (0.54 - 0.46 * window)
        };
        let taps: Vec<f32> = (0..len).map(tap).collect();
        let sum: f32 = taps.iter().sum();
        let taps = taps.into_iter().map(|tap| tap / sum).collect();
        Some(Self { factor, taps, past: vec![0.0; 2 * len], at: 0, phase: 0 })
    }

    /// Takes a sample; each so many yield one.
    pub(super) fn pass(&mut self, sample: i16) -> Option<f32> {
        if self.factor == 1 {
            return Some(f32::from(sample));
        }
        let len = self.taps.len();
        (self.past[self.at], self.past[self.at + len]) = (f32::from(sample), f32::from(sample));
        self.at = if self.at + 1 == len { 0 } else { self.at + 1 };
        self.phase += 1;
        if self.phase < self.factor {
            return None;
        }
        self.phase = 0;
        let mut sums = [0.0_f32; 8];
        let past = self.past[self.at..self.at + len].as_chunks::<8>().0;
        for (past, taps) in past.iter().zip(self.taps.as_chunks::<8>().0) {
            for ((sum, past), tap) in sums.iter_mut().zip(past).zip(taps) {
                *sum += past * tap;
            }
        }
        Some(sums.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Sine;

    #[test]
    fn what_8_khz_can_carry_passes_and_the_rest_is_removed() {
        for rate in [16_000, 24_000, 32_000, 48_000] {
            for (frequency, passes) in [
                (697.0, true),
                (1_633.0, true),
                (3_000.0, true),
                (5_500.0, false),
                (7_000.0, false),
            ] {
                let mut decimator = Decimator::new(rate).expect("a rate");
                let tone = Sine::new(frequency, rate, 0.5).take(rate as usize);
                let out: Vec<f32> = tone.filter_map(|sample| decimator.pass(sample)).collect();
                assert_eq!(out.len(), 8_000);
                let power = out[200..].iter().map(|sample| sample * sample).sum::<f32>() / 7_800.0;
                let level = (2.0 * power).sqrt() / 16_384.0;
                match passes {
                    true => assert!((level - 1.0).abs() < 0.03, "{frequency} of {rate}: {level}"),
                    false => assert!(level < 0.01, "{frequency} of {rate}: {level}"),
                }
            }
        }
        for rate in [0, 4_000, 11_025, 44_100, 56_000] {
            assert!(Decimator::new(rate).is_none(), "{rate}");
        }
    }
}
