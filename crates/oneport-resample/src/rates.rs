//! Streams at other rates, such as those of sound cards, 10 ms at a time, without allocating.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

/// Takes a stream from one rate to another.
///
/// ```
/// use oneport_resample::rates::Converter;
///
/// // A call of 8 kHz, for a sound card.
/// let mut converter = Converter::new(8_000, 48_000).ok_or("both have whole samples in 10 ms")?;
/// assert_eq!(converter.takes(), 80);
/// for _ in 0..10 {
///     assert_eq!(converter.convert(&[1_000; 80]).len(), 480);
/// }
/// // It has settled: what is constant stays so.
/// assert!(converter.converted().iter().all(|sample| sample.abs_diff(1_000) < 10));
/// assert!(Converter::new(8_000, 11_025).is_none());
/// # Ok::<(), &str>(())
/// ```
pub struct Converter {
    /// `None`: the rates are equal.
    resampler: Option<Fft<f32>>,
    input: Vec<f32>,
    output: Vec<f32>,
    converted: Vec<i16>,
}

impl Converter {
    /// From a rate to another; `None`: it is less than 8 kHz, or 10 ms are no whole number of samples at such a rate.
    #[must_use]
    pub fn new(from: u32, to: u32) -> Option<Self> {
        let part =
            |rate: u32| (rate >= 8_000 && rate.is_multiple_of(100)).then_some(rate as usize / 100);
        let (takes, gives) = (part(from)?, part(to)?);
        let resampler = (from != to)
            .then(|| Fft::new(from as usize, to as usize, takes, 1, FixedSync::Both).ok());
        let resampler = match resampler {
            Some(made) => Some(made?),
            None => None,
        };
        if let Some(resampler) = &resampler
            && (resampler.input_frames_next(), resampler.output_frames_next()) != (takes, gives)
        {
            return None;
        }
        Some(Self {
            resampler,
            input: vec![0.0; takes],
            output: vec![0.0; gives],
            converted: vec![0; gives],
        })
    }

    /// Samples that it takes at once.
    #[must_use]
    pub fn takes(&self) -> usize {
        self.input.len()
    }

    /// Takes 10 ms in two parts, the second behind the first; what is missing stays as it was.
    pub fn put(&mut self, first: &[i16], second: &[i16]) {
        for (value, sample) in self.input.iter_mut().zip(first.iter().chain(second)) {
            *value = f32::from(*sample);
        }
        if let Some(resampler) = &mut self.resampler {
            let (takes, gives) = (self.input.len(), self.output.len());
            // Both are as long as they are said to be.
            if let (Ok(input), Ok(mut output)) = (
                InterleavedSlice::new(&self.input, 1, takes),
                InterleavedSlice::new_mut(&mut self.output, 1, gives),
            ) {
                let _ = resampler.process_into_buffer(&input, &mut output, None);
            }
        } else {
            self.output.copy_from_slice(&self.input);
        }
        for (sample, value) in self.converted.iter_mut().zip(&self.output) {
            #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
            let linear = value.round() as i16;
            *sample = linear;
        }
    }

    /// What became of it.
    #[must_use]
    pub fn converted(&self) -> &[i16] {
        &self.converted
    }

    /// Both at once.
    pub fn convert(&mut self, samples: &[i16]) -> &[i16] {
        self.put(samples, &[]);
        &self.converted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_the_same_at_any_rate_of_a_card() {
        for (from, to) in [
            (16_000, 48_000),
            (48_000, 16_000),
            (16_000, 44_100),
            (44_100, 16_000),
            (16_000, 16_000),
        ] {
            let step = std::f64::consts::TAU * 1_000.0 / f64::from(from);
            let tone: Vec<i16> =
                (0..from / 2).map(|n| ((step * f64::from(n)).sin() * 16_384.0) as i16).collect();
            let mut converter = Converter::new(from, to).unwrap();
            let takes = converter.takes();
            let out: Vec<i16> = tone
                .chunks_exact(takes)
                .flat_map(|part| converter.convert(part).to_vec())
                .collect();
            assert_eq!(out.len(), to as usize / 2);
            let level = |samples: &[i16]| {
                let sum: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
                (sum / samples.len() as f64).sqrt()
            };
            let (before, after) = (level(&tone), level(&out[to as usize / 10..]));
            assert!((after / before - 1.0).abs() < 0.02, "{from} to {to}: {before} {after}");
            // Before the tone has come through the filter, its noise goes up and down as it likes.
            let settled = &out[to as usize / 10..];
            let rises = settled.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
            assert!(rises.abs_diff(400) < 3, "{from} to {to}: {rises} periods");
        }
        assert!(Converter::new(16_000, 22_050).is_none());
    }
}
