//! Streams at a multiple or at a part of their rate, frame by frame, without allocating: 8, 16, 24, 32 and
//! 48 kHz become each other where one is a multiple of the other.
//!
//! A filter (a sinc within Hamming's window) lets pass what both rates can carry.

/// Taps of the filter for each sample of the lower rate.
const TAPS_EACH: usize = 24;

/// The greatest factor: from 8 to 48 kHz.
const MOST: u32 = 6;

/// Where the filter ends, as a part of the lower rate.
const CUTOFF: f32 = 0.46;

fn taps(factor: usize) -> Vec<f32> {
    let len = factor * TAPS_EACH;
    let cutoff = CUTOFF / factor as f32;
    let middle = (len - 1) as f32 / 2.0;
    let tap = |n: usize| {
        // There are as many on either side: none is in the middle.
        let x = n as f32 - middle;
        let sinc = (std::f32::consts::TAU * cutoff * x).sin() / (std::f32::consts::PI * x);
        let window = (std::f32::consts::TAU * n as f32 / (len - 1) as f32).cos();
        sinc * (0.54 - 0.46 * window)
    };
    let taps: Vec<f32> = (0..len).map(tap).collect();
    // What stands still comes out as loud as it went in.
    let sum: f32 = taps.iter().sum();
    taps.into_iter().map(|tap| tap / sum).collect()
}

/// The last samples of a stream, as many as a filter has taps, the oldest first, in one piece.
#[derive(Clone, Debug)]
struct Past {
    /// Each twice, so that from any place on there are as many as are needed.
    samples: Vec<f32>,
    at: usize,
}

impl Past {
    fn new(len: usize) -> Self {
        Self { samples: vec![0.0; 2 * len], at: 0 }
    }

    fn push(&mut self, sample: f32) {
        let len = self.samples.len() / 2;
        (self.samples[self.at], self.samples[self.at + len]) = (sample, sample);
        self.at = if self.at + 1 == len { 0 } else { self.at + 1 };
    }

    fn dot(&self, taps: &[f32]) -> f32 {
        let mut sums = [0.0_f32; 8];
        let past = self.samples[self.at..self.at + taps.len()].as_chunks::<8>().0;
        for (past, taps) in past.iter().zip(taps.as_chunks::<8>().0) {
            for ((sum, past), tap) in sums.iter_mut().zip(past).zip(taps) {
                *sum += past * tap;
            }
        }
        sums.iter().sum()
    }
}

/// Takes a stream to a part of its rate: each so many samples to one.
#[derive(Clone, Debug)]
pub(crate) struct Lowerer {
    factor: usize,
    taps: Vec<f32>,
    past: Past,
    phase: usize,
}

impl Lowerer {
    /// By a factor of 2 to 6; others are taken for the next of these.
    pub(crate) fn new(factor: u32) -> Self {
        let factor = factor.clamp(2, MOST) as usize;
        let taps = taps(factor);
        Self { factor, past: Past::new(taps.len()), taps, phase: 0 }
    }

    /// Takes a sample; each so many yield one.
    pub(crate) fn pass(&mut self, sample: i16) -> Option<f32> {
        self.past.push(f32::from(sample));
        self.phase += 1;
        if self.phase < self.factor {
            return None;
        }
        self.phase = 0;
        Some(self.past.dot(&self.taps))
    }
}

/// Takes a stream to a multiple of its rate.
#[derive(Clone, Debug)]
struct Raiser {
    /// Those of each sample that one becomes.
    taps: Vec<Vec<f32>>,
    past: Past,
}

impl Raiser {
    /// By a factor of 2 to 6; others are taken for the next of these.
    fn new(factor: u32) -> Self {
        let factor = factor.clamp(2, MOST) as usize;
        let taps = taps(factor);
        let of_phase = |phase: usize| {
            // The newest sample stands last.
            let own = taps.iter().skip(phase).step_by(factor).map(|tap| tap * factor as f32);
            let mut own: Vec<f32> = own.collect();
            own.reverse();
            own
        };
        Self { taps: (0..factor).map(of_phase).collect(), past: Past::new(TAPS_EACH) }
    }

    /// Takes a sample, and gives those that it becomes.
    fn pass(&mut self, sample: i16) -> impl Iterator<Item = f32> {
        let Self { taps, past } = self;
        past.push(f32::from(sample));
        let past = &*past;
        taps.iter().map(move |taps| past.dot(taps))
    }
}

/// Takes a stream from one rate to another, frame by frame. Once `out` has room, nothing allocates.
///
/// ```
/// use oneport_media::Rate;
/// use oneport_media::tone::{Sine, level_dbm0};
///
/// let sent: Vec<i16> = Sine::new(1_000.0, 8_000, 0.25).take(1_600).collect();
/// let (mut rate, mut heard) = (Rate::between(8_000, 16_000), Vec::new());
/// for frame in sent.chunks(160) {
///     rate.pass(frame, &mut heard);
/// }
/// assert_eq!(heard.len(), 3_200);
/// let change = level_dbm0(&heard[320..], 1_000.0, 16_000) - level_dbm0(&sent, 1_000.0, 8_000);
/// assert!(change.abs() < 0.1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rate(Way);

#[derive(Clone, Debug, Default)]
enum Way {
    #[default]
    Same,
    Lower(Box<Lowerer>),
    Raise(Box<Raiser>),
}

impl Rate {
    /// The way between two rates, in samples a second, of which one is up to six times the other; between
    /// others the stream stays as it is.
    #[must_use]
    pub fn between(from: u32, to: u32) -> Self {
        let factor = |more: u32, less: u32| {
            let factor = more.checked_div(less)?;
            let fits = more.is_multiple_of(less) && (2..=MOST).contains(&factor);
            fits.then_some(factor)
        };
        if let Some(factor) = factor(from, to) {
            Self(Way::Lower(Box::new(Lowerer::new(factor))))
        } else if let Some(factor) = factor(to, from) {
            Self(Way::Raise(Box::new(Raiser::new(factor))))
        } else {
            Self::default()
        }
    }

    /// Appends the next samples at the other rate.
    pub fn pass(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        match &mut self.0 {
            Way::Same => out.extend_from_slice(samples),
            Way::Lower(lowerer) => {
                let passed = samples.iter().filter_map(|sample| lowerer.pass(*sample));
                out.extend(passed.map(linear));
            }
            Way::Raise(raiser) => {
                for sample in samples {
                    out.extend(raiser.pass(*sample).map(linear));
                }
            }
        }
    }
}

fn linear(value: f32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "a float cast to an integer saturates")]
    let sample = value.round() as i16;
    sample
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Sine;

    const RATES: [u32; 5] = [8_000, 16_000, 24_000, 32_000, 48_000];

    /// The amplitude of a tone behind a conversion, against what it was, and what else is there.
    fn passed(from: u32, to: u32, frequency: f64) -> (f64, f64) {
        let (mut rate, mut out) = (Rate::between(from, to), Vec::new());
        let tone: Vec<i16> = Sine::new(frequency, from, 0.5).take(from as usize).collect();
        for frame in tone.chunks(from as usize / 50) {
            rate.pass(frame, &mut out);
        }
        assert_eq!(out.len(), to as usize, "{from} to {to}");
        let out = &out[to as usize / 20..];
        let power = out.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() * 2.0;
        let all = power / out.len() as f64 / 16_384.0_f64.powi(2);
        let step = std::f64::consts::TAU * frequency / f64::from(to);
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in out.iter().enumerate() {
            re += f64::from(*sample) * (step * n as f64).cos();
            im += f64::from(*sample) * (step * n as f64).sin();
        }
        let own = (2.0 * re.hypot(im) / out.len() as f64 / 16_384.0).powi(2);
        (own.sqrt(), (all - own).max(0.0).sqrt())
    }

    #[test]
    fn what_both_rates_can_carry_passes_and_nothing_else_comes_of_it() {
        for from in RATES {
            for to in RATES {
                if !from.is_multiple_of(to) && !to.is_multiple_of(from) {
                    continue;
                }
                for frequency in [300.0, 700.0, 1_600.0, 3_000.0] {
                    let (own, other) = passed(from, to, frequency);
                    assert!((own - 1.0).abs() < 0.03, "{frequency}, {from} to {to}: {own}");
                    assert!(other < 0.01, "{frequency}, {from} to {to}: {other}");
                }
                if to < from {
                    let (_, aliases) = passed(from, to, f64::from(to) * 0.62);
                    assert!(aliases < 0.01, "{from} to {to}: {aliases}");
                }
            }
        }
    }

    #[test]
    fn rates_of_which_none_is_a_multiple_stay_as_they_are() {
        for (from, to) in
            [(0, 8_000), (8_000, 0), (11_025, 8_000), (8_000, 56_000), (16_000, 24_000)]
        {
            let mut out = Vec::new();
            Rate::between(from, to).pass(&[1, 2, 3], &mut out);
            assert_eq!(out, [1, 2, 3]);
        }
    }
}
