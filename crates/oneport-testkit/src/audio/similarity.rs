//! How much alike two recordings of speech sound, as a number from 1 to 5, without a listener.
//!
//! After the manner of ViSQOL (A. Hines and others, 2015): both become pictures of the power in bands
//! as wide as the ear's (gammatone filters on the ERB scale, B. Glasberg and B. Moore, 1990) over time, in dB.
//! Parts of 0.4 s of the reference in which somebody speaks are looked for in the other recording, so
//! that a delay, even one that changes, is no fault of its own. Their pictures are compared by the
//! neurogram similarity index (NSIM: means and correlation of 3 × 3 cells). The mean index s of all parts
//! becomes 1 + 4 s³ (0 for a negative one): a scale of our own, on which G.711 is about 4.5. It orders
//! treatments of the same speech; it is no listener's opinion score.

use super::fourier::Spectrum;

/// Columns of a picture are this far apart.
const COLUMN_MS: usize = 16;
/// Each looks at so much.
const WINDOW_MS: usize = 32;
/// Columns of a part.
const COLUMNS: usize = 24;
/// Delays that are tried first are this far apart.
const STEP_MS: usize = 4;
/// What is so much below the loudest cell of the reference is silence.
const RANGE_DB: f64 = 45.0;
/// How far a part may be from where its neighbours are.
const APART_MS: usize = 100;
/// Weights of a cell and of its neighbours: in the corners, at the sides, in the middle.
const WEIGHTS: [f64; 3] = [0.0113, 0.0838, 0.6193];

/// What a comparison found.
#[derive(Clone, Debug)]
pub struct Similarity {
    /// From 1, nothing in common, to 5, the same.
    pub score: f64,
    /// The mean NSIM of all parts.
    pub index: f64,
    /// Each part that was compared.
    pub parts: Vec<Part>,
}

/// A part of the reference in which somebody speaks.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Part {
    /// Where it begins in the reference, in ms.
    pub at_ms: f64,
    /// How much later it is heard, in ms.
    pub delay_ms: f64,
    /// Its NSIM.
    pub index: f64,
}

/// The ear: bands, and the Fourier transform they are made of.
struct Ear {
    rate: usize,
    /// The weight of each frequency in each band.
    bands: Vec<Vec<f64>>,
    window: Vec<f64>,
    spectrum: Spectrum,
    powers: Vec<f64>,
}

/// A picture: its columns, each a level in dB for each band.
type Picture = Vec<Vec<f64>>;

/// Width of the ear's filter at a frequency, in Hz.
fn width(frequency: f64) -> f64 {
    24.7 * (4.37 * frequency / 1000.0 + 1.0)
}

impl Ear {
    fn new(rate: usize) -> Self {
        let len = (rate * WINDOW_MS / 1000).next_power_of_two();
        let (count, low, high) =
            if rate < 16_000 { (16, 150.0, 3_400.0) } else { (21, 50.0, 7_000.0) };
        let scale = |frequency: f64| (4.37 * frequency / 1000.0_f64 + 1.0).ln();
        let step = (scale(high) - scale(low)) / f64::from(count - 1);
        let bands = (0..count).map(|n| {
            let middle = ((scale(low) + f64::from(n) * step).exp() - 1.0) * 1000.0 / 4.37;
            let weight = |bin: usize| {
                let off =
                    (bin as f64 * rate as f64 / len as f64 - middle) / (1.019 * width(middle));
                (1.0 + off * off).powi(-4)
            };
            (0..=len / 2).map(weight).collect()
        });
        let used = rate * WINDOW_MS / 1000;
        let window = (0..used).map(|n| {
            let angle = std::f64::consts::TAU * (n as f64 + 0.5) / used as f64;
            0.5 - 0.5 * angle.cos()
        });
        Self {
            rate,
            bands: bands.collect(),
            window: window.collect(),
            spectrum: Spectrum::new(len),
            powers: Vec::new(),
        }
    }

    /// The column that begins at a sample, which may lie outside of the recording.
    fn column(&mut self, samples: &[i16], start: isize) -> Vec<f64> {
        let at = |n: usize| {
            let place = usize::try_from(start + n as isize).ok();
            place.and_then(|place| samples.get(place)).map_or(0.0, |sample| f64::from(*sample))
        };
        let len = self.window.len();
        let signal = self.window.iter().enumerate().map(|(n, weight)| weight * at(n));
        let padded = signal.chain(std::iter::repeat_n(0.0, self.spectrum_len() - len));
        self.spectrum.powers(padded, &mut self.powers);
        let level = |band: &Vec<f64>| {
            let power: f64 =
                band.iter().zip(&self.powers).map(|(weight, power)| weight * power).sum();
            10.0 * (power + 1.0).log10()
        };
        self.bands.iter().map(level).collect()
    }

    fn spectrum_len(&self) -> usize {
        2 * (self.bands[0].len() - 1)
    }

    /// `count` columns from a sample on, so many samples apart.
    fn picture(&mut self, samples: &[i16], start: isize, apart: usize, count: usize) -> Picture {
        (0..count).map(|n| self.column(samples, start + (n * apart) as isize)).collect()
    }

    const fn samples_in(&self, ms: usize) -> usize {
        self.rate * ms / 1000
    }
}

/// Raises what is below the floor, and counts from there.
fn floored(picture: &Picture, floor: f64) -> Picture {
    let column = |column: &Vec<f64>| column.iter().map(|level| (level - floor).max(0.0)).collect();
    picture.iter().map(column).collect()
}

/// NSIM of two pictures with levels from 0 to `RANGE_DB` (A. Hines and N. Harte, 2012).
fn nsim(reference: &Picture, heard: &Picture) -> f64 {
    let luminance = (0.01 * RANGE_DB).powi(2);
    let structure = (0.03 * RANGE_DB).powi(2) / 2.0;
    let (columns, bands) = (reference.len(), reference[0].len());
    let (mut sum, mut cells) = (0.0, 0.0);
    for column in 0..columns {
        for band in 0..bands {
            let (mut total, mut r, mut h) = (0.0, 0.0, 0.0);
            let (mut rr, mut hh, mut rh) = (0.0, 0.0, 0.0);
            for c in column.saturating_sub(1)..(column + 2).min(columns) {
                for b in band.saturating_sub(1)..(band + 2).min(bands) {
                    let near = usize::from(c == column) + usize::from(b == band);
                    let weight = WEIGHTS[near];
                    let (x, y) = (reference[c][b], heard[c][b]);
                    total += weight;
                    r += weight * x;
                    h += weight * y;
                    rr += weight * x * x;
                    hh += weight * y * y;
                    rh += weight * x * y;
                }
            }
            let (r, h) = (r / total, h / total);
            let deviation = |square: f64, mean: f64| (square / total - mean * mean).max(0.0).sqrt();
            let (dr, dh) = (deviation(rr, r), deviation(hh, h));
            let together = rh / total - r * h;
            let means = (2.0 * r * h + luminance) / (r * r + h * h + luminance);
            sum += means * (together + structure) / (dr * dh + structure);
            cells += 1.0;
        }
    }
    sum / cells
}

/// How far two pictures are from each other, cell by cell.
fn distance<'a>(a: &Picture, b: impl Iterator<Item = &'a Vec<f64>>) -> f64 {
    let column = |(a, b): (&Vec<f64>, &Vec<f64>)| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
    };
    a.iter().zip(b).map(column).sum()
}

/// The offset within `reach` samples of `start` at which the samples themselves fit best.
fn refine(reference: &[i16], heard: &[i16], start: usize, reach: usize) -> usize {
    let energy = |samples: &[i16]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let fit = |offset: usize| {
        let Some(there) = heard.get(offset..offset + reference.len()) else { return -1.0 };
        let dot: f64 =
            reference.iter().zip(there).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        dot / (energy(there) + 1.0).sqrt()
    };
    let offsets = start.saturating_sub(reach)..=start + reach;
    offsets
        .map(|offset| (offset, fit(offset)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(start, |best| best.0)
}

/// Compares what was heard with what was said. A part of it is looked for up to `latest_ms` later than it
/// was said; `heard` should go on for so long behind the last word.
///
/// # Panics
/// The rate is not that of telephony, or nobody speaks in the reference for half a second.
#[must_use]
pub fn compare(reference: &[i16], heard: &[i16], sample_rate: u32, latest_ms: u32) -> Similarity {
    assert!([8_000, 16_000].contains(&sample_rate), "{sample_rate} Hz");
    let mut ear = Ear::new(sample_rate as usize);
    let apart = ear.samples_in(COLUMN_MS);
    let step = ear.samples_in(STEP_MS);
    let window = ear.samples_in(WINDOW_MS);
    let part_len = (COLUMNS - 1) * apart + window;
    let parts = reference.len() / (COLUMNS * apart);
    let whole = ear.picture(reference, 0, apart, parts * COLUMNS);
    let loudest = whole.iter().flatten().fold(0.0_f64, |most, level| most.max(*level));
    let floor = (loudest - RANGE_DB).max(0.0);
    let whole = floored(&whole, floor);
    // Columns as close as delays are tried, and the first try of each part.
    let tries = latest_ms as usize / STEP_MS + 1;
    let columns = reference.len() / step + tries + COLUMNS * COLUMN_MS / STEP_MS;
    let dense = ear.picture(heard, 0, step, columns);
    let dense = floored(&dense, floor);
    let speaks = |part: &Picture| {
        let loud = part.iter().filter(|column| column.iter().any(|level| *level > RANGE_DB / 3.0));
        3 * loud.count() >= COLUMNS
    };
    let pictures = whole.chunks_exact(COLUMNS).map(<[_]>::to_vec).enumerate();
    let spoken: Vec<(usize, Picture)> = pictures
        .filter(|(n, part)| n * COLUMNS * apart + part_len <= reference.len() && speaks(part))
        .collect();
    assert!(!spoken.is_empty(), "nobody speaks in the reference");
    let best = |n: usize, part: &Picture, tries: std::ops::Range<usize>| {
        let first = n * COLUMNS * apart / step;
        let off = |a: usize| distance(part, dense[first + a..].iter().step_by(apart / step));
        tries.map(|a| (a, off(a))).min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |best| best.0)
    };
    let guesses: Vec<usize> = spoken.iter().map(|(n, part)| best(*n, part, 0..tries)).collect();
    let found = spoken.iter().enumerate().map(|(k, (n, part))| {
        let mut near = guesses[k.saturating_sub(3)..(k + 4).min(guesses.len())].to_vec();
        near.sort_unstable();
        let middle = near[near.len() / 2];
        let reach = APART_MS / STEP_MS;
        let guess = best(*n, part, middle.saturating_sub(reach)..(middle + reach + 1).min(tries));
        let start = n * COLUMNS * apart;
        let samples = &reference[start..start + part_len];
        let coarse = start + guess * step;
        let fine = refine(samples, heard, coarse, step);
        let index = |ear: &mut Ear, at: usize| {
            let picture = ear.picture(heard, at as isize, apart, COLUMNS);
            nsim(part, &floored(&picture, floor))
        };
        let (coarse_index, fine_index) = (index(&mut ear, coarse), index(&mut ear, fine));
        let (at, index) =
            if fine_index >= coarse_index { (fine, fine_index) } else { (coarse, coarse_index) };
        let ms = |samples: f64| samples * 1000.0 / f64::from(sample_rate);
        Part { at_ms: ms(start as f64), delay_ms: ms(at as f64 - start as f64), index }
    });
    let parts: Vec<Part> = found.collect();
    let index = parts.iter().map(|part| part.index).sum::<f64>() / parts.len() as f64;
    Similarity { score: 1.0 + 4.0 * index.clamp(0.0, 1.0).powi(3), index, parts }
}

#[cfg(test)]
mod tests {
    use oneport_media::Codec;

    use super::*;
    use crate::audio::speech::{Dice, Voice, synthesize};

    const SECONDS: u32 = 6;

    fn speech() -> Vec<i16> {
        synthesize(7, Voice::Low, 8_000, SECONDS * 1000)
    }

    fn score(reference: &[i16], heard: &[i16]) -> f64 {
        compare(reference, heard, 8_000, 100).score
    }

    /// Treats speech ever worse, and sees the score fall each time.
    fn falls(treatments: impl Iterator<Item = Vec<i16>>) {
        let speech = speech();
        let scores: Vec<f64> = treatments.map(|heard| score(&speech, &heard)).collect();
        assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
        assert!(scores[0] > 3.5 && scores[scores.len() - 1] < 3.0, "{scores:?}");
    }

    #[test]
    fn the_same_is_a_five_at_either_rate() {
        for rate in [8_000, 16_000] {
            let speech = synthesize(7, Voice::High, rate, 3_000);
            let same = compare(&speech, &speech, rate, 50);
            assert!(same.score > 4.999, "{}", same.score);
            assert!(same.parts.iter().all(|part| part.delay_ms == 0.0), "{:?}", same.parts);
        }
    }

    #[test]
    fn a_delay_costs_nothing_and_is_told() {
        let speech = speech();
        for delay in [1, 123, 801] {
            let later: Vec<i16> =
                std::iter::repeat_n(0, delay).chain(speech.iter().copied()).collect();
            let found = compare(&speech, &later, 8_000, 200);
            assert!(found.score > 4.99, "{delay} samples: {}", found.score);
            let ms = delay as f64 / 8.0;
            assert!(
                found.parts.iter().all(|part| (part.delay_ms - ms).abs() < 0.01),
                "{:?}",
                found.parts
            );
        }
    }

    #[test]
    fn a_delay_that_changes_in_a_pause_costs_little() {
        let speech = speech();
        // The quietest 200 ms of the middle grow by 60 ms.
        let quiet = (16_000..32_000).step_by(80).min_by_key(|at| {
            speech[*at..at + 1_600].iter().map(|s| u64::from(s.unsigned_abs())).sum::<u64>()
        });
        let at = quiet.expect("some") + 800;
        let mut heard = speech.clone();
        heard.splice(at..at, std::iter::repeat_n(0, 480));
        let found = compare(&speech, &heard, 8_000, 200);
        assert!(found.score > 4.8, "{}", found.score);
        let last = found.parts.last().expect("some");
        assert!((last.delay_ms - 60.0).abs() < 0.01, "{last:?}");
    }

    #[test]
    fn noise_lowers_it_the_louder_the_more() {
        falls([30.0, 100.0, 300.0, 1_000.0, 3_000.0].into_iter().map(|level| {
            let mut dice = Dice::new(1);
            speech().iter().map(|s| (f64::from(*s) + level * dice.normal()) as i16).collect()
        }));
    }

    #[test]
    fn loss_lowers_it_the_more_the_more_is_lost() {
        falls([0.01, 0.03, 0.1, 0.3, 0.6].into_iter().map(|loss| {
            let mut dice = Dice::new(1);
            let mut heard = speech();
            for frame in heard.chunks_mut(160) {
                if dice.unit() < loss {
                    frame.fill(0);
                }
            }
            heard
        }));
    }

    #[test]
    fn clipping_lowers_it_the_harder_the_more() {
        falls(
            [6_000, 2_000, 700, 200, 50]
                .into_iter()
                .map(|most| speech().iter().map(|sample| *sample.clamp(&-most, &most)).collect()),
        );
    }

    #[test]
    fn telephone_speech_is_good_and_not_perfect() {
        let speech = speech();
        for codec in [Codec::Ulaw, Codec::Alaw] {
            let (mut payload, mut heard) = (Vec::new(), Vec::new());
            codec.encode(&speech, &mut payload);
            codec.decode(&payload, &mut heard);
            let score = score(&speech, &heard);
            assert!((4.3..4.9).contains(&score), "{codec:?}: {score}");
        }
    }

    #[test]
    fn other_speech_is_nearly_a_one() {
        let other = synthesize(8, Voice::High, 8_000, SECONDS * 1000);
        let score = score(&speech(), &other);
        assert!(score < 2.0, "{score}");
    }
}
