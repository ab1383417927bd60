//! Streams at twice or half their rate, frame by frame, without allocating: for conferences, which mix
//! at 8 kHz, and members that speak at 16 kHz.
//!
//! A filter of 47 taps (windowed by Hamming's) lets pass what both rates can carry. It delays by 1.4 ms.

/// Taps of the filter; its middle is a tap, and every other one beside that is zero.
const TAPS: usize = 47;

/// What the filter still needs of what came before, in samples of the greater rate.
type History = [f32; TAPS];

fn taps() -> History {
    let middle = (TAPS / 2) as f32;
    let mut taps = [0.0; TAPS];
    for (tap, n) in taps.iter_mut().zip(0_u8..) {
        let x = f32::from(n) - middle;
        let sinc = match x == 0.0 {
            true => 0.5,
            false => (std::f32::consts::PI * x / 2.0).sin() / (std::f32::consts::PI * x),
        };
        let phase = std::f32::consts::TAU * f32::from(n) / (TAPS - 1) as f32;
        *tap = sinc * (0.54 - 0.46 * phase.cos());
    }
    // What stands still comes out as loud as it went in.
    let sum: f32 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

#[derive(Clone, Debug)]
struct Filter {
    taps: History,
    /// The newest sample last.
    history: History,
}

impl Default for Filter {
    fn default() -> Self {
        Self { taps: taps(), history: [0.0; TAPS] }
    }
}

impl Filter {
    fn push(&mut self, sample: f32) {
        self.history.rotate_left(1);
        self.history[TAPS - 1] = sample;
    }

    fn value(&self) -> f32 {
        self.taps.iter().zip(&self.history).map(|(tap, sample)| tap * sample).sum()
    }
}

fn linear(value: f32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "a float cast to an integer saturates")]
    let sample = value.round() as i16;
    sample
}

/// Takes a stream to half its rate.
#[derive(Clone, Debug, Default)]
pub struct Halver(Filter);

impl Halver {
    /// Appends the next samples at half the rate to `out`. Of an odd one the last is left out.
    pub fn halve(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        for [one, other] in samples.as_chunks().0 {
            self.0.push(f32::from(*one));
            out.push(linear(self.0.value()));
            self.0.push(f32::from(*other));
        }
    }
}

/// Takes a stream to twice its rate.
#[derive(Clone, Debug, Default)]
pub struct Doubler(Filter);

impl Doubler {
    /// Appends the next samples at twice the rate to `out`.
    pub fn double(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        for sample in samples {
            // Half of what is filtered is nothing, so the rest counts twice.
            for part in [2.0 * f32::from(*sample), 0.0] {
                self.0.push(part);
                out.push(linear(self.0.value()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Sine;

    /// The amplitude of a sine.
    fn amplitude(samples: &[i16]) -> f64 {
        let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        (2.0 * power / samples.len() as f64).sqrt()
    }

    fn halved(frequency: f64) -> Vec<i16> {
        let (mut halver, mut out) = (Halver::default(), Vec::new());
        let tone: Vec<i16> = Sine::new(frequency, 16_000, 0.5).take(16_000).collect();
        for frame in tone.chunks(320) {
            halver.halve(frame, &mut out);
        }
        assert_eq!(out.len(), 8_000);
        out.split_off(100)
    }

    #[test]
    fn what_both_rates_can_carry_passes_and_the_rest_is_removed() {
        for frequency in [300.0, 1_000.0, 3_000.0] {
            let level = amplitude(&halved(frequency));
            assert!((level - 16_384.0).abs() < 330.0, "{frequency} Hz: {level}");
        }
        for frequency in [5_000.0, 6_000.0, 7_500.0] {
            let level = amplitude(&halved(frequency));
            assert!(level < 164.0, "{frequency} Hz: {level}");
        }
    }

    #[test]
    fn doubled_and_halved_it_is_what_it_was_a_little_later() {
        let tone: Vec<i16> = Sine::new(1_000.0, 8_000, 0.5).take(8_000).collect();
        let (mut doubler, mut halver) = (Doubler::default(), Halver::default());
        let (mut wide, mut back) = (Vec::new(), Vec::new());
        for frame in tone.chunks(160) {
            doubler.double(frame, &mut wide);
        }
        assert_eq!(wide.len(), 16_000);
        for frame in wide.chunks(320) {
            halver.halve(frame, &mut back);
        }
        // Each filter delays by 23 samples at 16 kHz.
        let later = &back[1_000 + 23..];
        assert!(tone[1_000..7_000].iter().zip(later).all(|(a, b)| a.abs_diff(*b) < 200));
    }
}
