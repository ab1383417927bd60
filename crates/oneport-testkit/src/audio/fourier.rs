//! The discrete Fourier transform, for lengths that are powers of two.

use std::f64::consts::TAU;

/// The power of each frequency of a real signal, from 0 to half of the sample rate.
pub(super) struct Spectrum {
    /// Cosines and sines of the angles that occur.
    turns: Vec<(f64, f64)>,
    real: Vec<f64>,
    imaginary: Vec<f64>,
}

impl Spectrum {
    /// For signals of `len` samples, a power of two.
    pub(super) fn new(len: usize) -> Self {
        assert!(len.is_power_of_two(), "{len} is no power of two");
        let turns = (0..len / 2).map(|n| {
            let angle = TAU * n as f64 / len as f64;
            (angle.cos(), -angle.sin())
        });
        Self { turns: turns.collect(), real: vec![0.0; len], imaginary: vec![0.0; len] }
    }

    /// Gives `len / 2 + 1` powers of `signal`.
    pub(super) fn powers(&mut self, signal: impl Iterator<Item = f64>, powers: &mut Vec<f64>) {
        let len = self.real.len();
        let shift = usize::BITS - len.trailing_zeros();
        for (n, sample) in signal.take(len).enumerate() {
            self.real[n.reverse_bits() >> shift] = sample;
        }
        self.imaginary.fill(0.0);
        let mut half = 1;
        while half < len {
            for start in (0..len).step_by(2 * half) {
                for n in 0..half {
                    let (cos, sin) = self.turns[n * (len / 2 / half)];
                    let (a, b) = (start + n, start + n + half);
                    let real = self.real[b] * cos - self.imaginary[b] * sin;
                    let imaginary = self.real[b] * sin + self.imaginary[b] * cos;
                    self.real[b] = self.real[a] - real;
                    self.imaginary[b] = self.imaginary[a] - imaginary;
                    self.real[a] += real;
                    self.imaginary[a] += imaginary;
                }
            }
            half *= 2;
        }
        powers.clear();
        let parts = self.real.iter().zip(&self.imaginary).take(len / 2 + 1);
        powers.extend(parts.map(|(real, imaginary)| real * real + imaginary * imaginary));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_of_a_sine_is_at_its_frequency() {
        let mut powers = Vec::new();
        let signal = (0..64).map(|n| (TAU * 5.0 * f64::from(n) / 64.0).cos());
        Spectrum::new(64).powers(signal, &mut powers);
        assert_eq!(powers.len(), 33);
        for (n, power) in powers.iter().enumerate() {
            let expected = if n == 5 { 32.0 * 32.0 } else { 0.0 };
            assert!((power - expected).abs() < 1e-6, "{n}: {power}");
        }
    }
}
