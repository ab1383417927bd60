//! From one sample rate to another.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

/// Input frames of one step of the transform.
const CHUNK: usize = 1024;

/// `samples` at another rate; unchanged when the rates are equal.
///
/// A rate of zero, which no audio has, yields nothing.
#[must_use]
pub fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to {
        return samples.to_vec();
    }
    let (from, to) = (from as usize, to as usize);
    let Ok(mut resampler) = Fft::<f32>::new(from, to, CHUNK, 1, FixedSync::Both) else {
        return Vec::new();
    };
    let input: Vec<f32> = samples.iter().map(|sample| f32::from(*sample) / 32768.0).collect();
    let Ok(adapter) = InterleavedSlice::new(&input, 1, input.len()) else { return Vec::new() };
    let Ok(output) = resampler.process_all(&adapter, input.len(), None) else { return Vec::new() };
    #[expect(clippy::cast_possible_truncation, reason = "a float cast to an integer saturates")]
    let linear = |value: f32| (value * 32768.0).round() as i16;
    output.take_data().into_iter().map(linear).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Level of `frequency` in `samples`, against a full-scale sine.
    fn level(samples: &[i16], rate: u32, frequency: f64) -> f64 {
        let step = std::f64::consts::TAU * frequency / f64::from(rate);
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let phase = step * n as f64;
            re += f64::from(*sample) * phase.cos();
            im += f64::from(*sample) * phase.sin();
        }
        2.0 * re.hypot(im) / samples.len() as f64 / 32768.0
    }

    #[test]
    fn a_tone_keeps_pitch_level_and_length() {
        for (from, to) in [(48_000, 8_000), (44_100, 8_000), (8_000, 16_000), (11_025, 8_000)] {
            let step = std::f64::consts::TAU * 1000.0 / f64::from(from);
            let tone: Vec<i16> =
                (0..from).map(|n| ((step * f64::from(n)).sin() * 16384.0) as i16).collect();
            let out = resample(&tone, from, to);
            assert!(out.len().abs_diff(to as usize) <= 1, "{from} to {to}: {}", out.len());
            let middle = &out[out.len() / 4..out.len() * 3 / 4];
            let heard = level(middle, to, 1000.0);
            assert!((heard - 0.5).abs() < 0.005, "{from} to {to}: {heard}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_removed() {
        let step = std::f64::consts::TAU * 7000.0 / 48_000.0;
        let tone: Vec<i16> =
            (0..48_000).map(|n| ((step * f64::from(n)).sin() * 16384.0) as i16).collect();
        let out = resample(&tone, 48_000, 8_000);
        let peak = out[800..7200].iter().map(|sample| sample.unsigned_abs()).max();
        assert!(peak < Some(100), "aliases at {peak:?}");
    }

    #[test]
    fn equal_rates_change_nothing() {
        let noise: Vec<i16> = (0..1000).map(|n| (n * 7919 % 65_536) as u16 as i16).collect();
        assert_eq!(resample(&noise, 8_000, 8_000), noise);
    }
}
