//! Tones.

/// One period of the digital milliwatt in µ-law: 1 kHz at 0 dBm0 (ITU-T G.711, table 5).
pub const MILLIWATT_ULAW: [u8; 8] = [0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E];
/// The same in A-law (table 6).
pub const MILLIWATT_ALAW: [u8; 8] = [0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4];

/// The level of a full-scale sine, in dBm0 (G.711, §4, of µ-law; that of A-law is 3.14).
pub const FULL_SCALE_DBM0: f64 = 3.17;

/// The amplitude of a sine of so many dBm0, 0 to 1 of full scale.
#[must_use]
pub fn amplitude_of(dbm0: f64) -> f64 {
    10.0_f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0)
}

/// The level of the sine of `frequency` Hz in `samples`, in dBm0.
#[must_use]
pub fn level_dbm0(samples: &[i16], frequency: f64, sample_rate: u32) -> f64 {
    let step = std::f64::consts::TAU * frequency / f64::from(sample_rate);
    let sum = samples.iter().enumerate().fold((0.0, 0.0), |(re, im), (n, sample)| {
        let (sin, cos) = (step * n as f64).sin_cos();
        (re + f64::from(*sample) * cos, im + f64::from(*sample) * sin)
    });
    let amplitude = 2.0 * f64::hypot(sum.0, sum.1) / samples.len().max(1) as f64;
    20.0 * (amplitude / f64::from(i16::MAX)).max(1e-9).log10() + FULL_SCALE_DBM0
}

/// A sine without end.
///
/// ```
/// use oneport_media::tone::{Sine, amplitude_of, level_dbm0};
///
/// let tone: Vec<i16> = Sine::new(1_000.0, 8_000, amplitude_of(-10.0)).take(8_000).collect();
/// assert!((level_dbm0(&tone, 1_000.0, 8_000) + 10.0).abs() < 0.01);
/// // Of another pitch there is nothing in it.
/// assert!(level_dbm0(&tone, 1_100.0, 8_000) < -60.0);
/// ```
#[derive(Clone, Debug)]
pub struct Sine {
    step: f64,
    phase: f64,
    amplitude: f64,
}

impl Sine {
    /// `frequency` Hz at `sample_rate`, `amplitude` 0 to 1 of full scale.
    #[must_use]
    pub fn new(frequency: f64, sample_rate: u32, amplitude: f64) -> Self {
        let step = std::f64::consts::TAU * frequency / f64::from(sample_rate);
        Self { step, phase: 0.0, amplitude: amplitude * f64::from(i16::MAX) }
    }
}

impl Iterator for Sine {
    type Item = i16;

    fn next(&mut self) -> Option<i16> {
        let sample = self.phase.sin() * self.amplitude;
        self.phase = (self.phase + self.step) % std::f64::consts::TAU;
        #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
        Some(sample.round() as i16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Codec;

    #[test]
    fn both_milliwatts_are_a_milliwatt() {
        let (mut ulaw, mut alaw) = (Vec::new(), Vec::new());
        Codec::Ulaw.decode(&MILLIWATT_ULAW, &mut ulaw);
        Codec::Alaw.decode(&MILLIWATT_ALAW, &mut alaw);
        let power = |samples: &[i16]| {
            samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / 8.0
        };
        // A full-scale sine is +3.17 dBm0 in µ-law and +3.14 dBm0 in A-law (G.711, §4).
        for (samples, largest, level) in [(ulaw, 32_636.0, 317.0), (alaw, 32_768.0, 314.0)] {
            let full = f64::powi(largest, 2) / 2.0;
            let dbm0 = 10.0 * (power(&samples) / full).log10() + level / 100.0;
            assert!(dbm0.abs() < 0.05, "{dbm0} dBm0");
        }
    }

    #[test]
    fn a_sine_has_its_amplitude_and_frequency() {
        let samples: Vec<i16> = Sine::new(1000.0, 8000, 0.5).take(8).collect();
        assert_eq!(samples, [0, 11585, 16384, 11585, 0, -11585, -16384, -11585]);
    }
}
