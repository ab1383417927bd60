//! A stream at another rate, whichever of those that codecs have.

use crate::half_band::{Doubler, Halver};

/// Takes a stream from one rate to another, frame by frame. Once `out` has room, nothing allocates.
#[derive(Debug, Default)]
pub struct Rate(Way);

#[derive(Debug, Default)]
enum Way {
    #[default]
    Same,
    Halve(Box<Halver>),
    Double(Box<Doubler>),
}

impl Rate {
    /// The way between two rates, in samples a second. Codecs have 8,000 and 16,000; between rates of
    /// which none is twice the other the stream stays as it is.
    #[must_use]
    pub fn between(from: u32, to: u32) -> Self {
        Self(match (from, to) {
            _ if from == to.saturating_mul(2) => Way::Halve(Box::default()),
            _ if to == from.saturating_mul(2) => Way::Double(Box::default()),
            _ => Way::Same,
        })
    }

    /// Appends the next samples to `out`, at the other rate.
    pub fn pass(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        match &mut self.0 {
            Way::Same => out.extend_from_slice(samples),
            Way::Halve(halver) => halver.halve(samples, out),
            Way::Double(doubler) => doubler.double(samples, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_a_second_at_each_rate() {
        for from in [8_000, 16_000] {
            for to in [8_000, 16_000] {
                let mut out = Vec::new();
                let mut rate = Rate::between(from, to);
                for frame in vec![1_000; from as usize].chunks(from as usize / 50) {
                    rate.pass(frame, &mut out);
                }
                assert_eq!(out.len(), to as usize, "{from} to {to}");
                let last = out[out.len() - 1];
                assert!(last.abs_diff(1_000) <= 3, "{from} to {to}: {last}");
            }
        }
    }
}
