//! Takes noise out of voices (§4.6): what is repeated with the pitch, up to three periods before and behind, is
//! averaged, as far as that changes a twentieth of the power at most. For what is behind it delays by a
//! sub-block or two.

use super::tables::{HALVING, QUARTERS};
use super::{LONGEST, Mode, dot};

/// What is enhanced at once, and of what the pitch is measured.
const BLOCK: usize = 80;
/// Samples that are remembered.
pub(super) const PAST: usize = 640;
const BLOCKS: usize = PAST / BLOCK;
/// Delays of the pitch, at half of the rate.
const DELAYS: std::ops::Range<usize> = 10..60;
/// Periods to each side.
const SIDE: usize = 3;
/// How far from where it should be a period is looked for.
const SLOP: usize = 2;
/// What may change, of the power.
const MOST_CHANGE: f32 = 0.05;

/// The weights of the periods to each side, the nearest first: 0.5 (1 − cos(2π(i + 4)/8)).
const WEIGHTS: [f32; SIDE] = [0.853_553_4, 0.5, 0.146_446_6];

/// The residual of the last frames.
#[derive(Clone, Debug)]
pub(super) struct Enhancer {
    past: [f32; PAST],
    /// The delay of the pitch in each block of the past, in samples.
    delays: [usize; BLOCKS],
}

impl Default for Enhancer {
    fn default() -> Self {
        Self { past: [0.0; PAST], delays: [BLOCK / 2; BLOCKS] }
    }
}

/// How much one is like what was before it: positive likeness alone, beside the power of that.
fn likeness(samples: &[f32], before: &[f32]) -> f32 {
    let product = dot(samples, before);
    if product <= 0.0 { 0.0 } else { product * product / dot(before, before) }
}

impl Enhancer {
    /// What was heard last.
    pub(super) const fn past(&self) -> &[f32; PAST] {
        &self.past
    }

    /// So many samples that were heard last.
    pub(super) fn latest(&self, len: usize) -> &[f32] {
        &self.past[PAST - len..]
    }

    /// Hears a frame.
    pub(super) fn hear(&mut self, residual: &[f32]) {
        let (len, new) = (residual.len(), residual.len() / BLOCK);
        self.past.copy_within(len.., 0);
        self.past[PAST - len..].copy_from_slice(residual);
        self.delays.copy_within(new.., 0);
        // The pitch is looked for at half of the rate, from the longest delay before the new blocks on.
        let from = PAST - len - 2 * DELAYS.end;
        let mut halved = [0.0; LONGEST / 2 + DELAYS.end];
        let halved = &mut halved[..len / 2 + DELAYS.end];
        for (n, place) in halved.iter_mut().enumerate() {
            let weighted = |(k, weight): (usize, &f32)| {
                weight * self.past.get(from + 2 * n + 3 - k).copied().unwrap_or_default()
            };
            *place = HALVING.iter().enumerate().map(weighted).sum();
        }
        for (n, place) in self.delays[BLOCKS - new..].iter_mut().enumerate() {
            let at = DELAYS.end + n * BLOCK / 2;
            let block = &halved[at..at + BLOCK / 2];
            let (mut best, mut most) = (DELAYS.start, 0.0);
            for delay in DELAYS {
                let likeness = likeness(block, &halved[at - delay..at - delay + BLOCK / 2]);
                if likeness > most {
                    (best, most) = (delay, likeness);
                }
            }
            *place = 2 * best;
        }
    }

    /// Joins a frame that was heard just now to one that was concealed: what waits of that goes over to what the
    /// pitch of the new one makes of it backwards (§4.5.3).
    pub(super) fn join(&mut self, mode: Mode) {
        let (len, waits) = (mode.samples(), mode.delay());
        let (old, new) = self.past.split_at_mut(PAST - len);
        let old = &mut old[PAST - len - waits..];
        let middle = self.delays[BLOCKS - len / BLOCK];
        let by_likeness = |delay: &usize| likeness(&new[..waits], &new[*delay..delay + waits]);
        let nearer = |one: usize, other: usize| match by_likeness(&other) > by_likeness(&one) {
            true => other,
            false => one,
        };
        let last = len - waits;
        let delay = (middle - 1..=middle + 1).filter(|delay| *delay <= last).reduce(nearer);
        let delay = delay.unwrap_or(last);
        // Sample k before the new frame is what comes a whole number of periods later.
        let backward = |k: usize| new[delay - 1 - (k - 1) % delay];
        let power = |samples: &mut dyn Iterator<Item = f32>| samples.map(|a| a * a).sum::<f32>();
        let made = power(&mut (1..=waits).map(backward));
        let there = power(&mut old.iter().copied());
        // It may be twice as loud as what was concealed, and no more.
        let gain = if made > 4.0 * there { (4.0 * there / made).sqrt() } else { 1.0 };
        for (n, sample) in old.iter_mut().enumerate() {
            let part = (n + 1) as f32 / (waits + 1) as f32;
            *sample += part * (gain * backward(waits - n) - *sample);
        }
    }

    /// Puts the frame that is `delay` behind the last one that was heard into `out`.
    pub(super) fn enhance(&self, mode: Mode, out: &mut [f32]) {
        let first = PAST - mode.samples() - mode.delay();
        for (n, block) in out.as_chunks_mut().0.iter_mut().enumerate() {
            self.block(first + n * BLOCK, block);
        }
    }

    fn block(&self, at: usize, out: &mut [f32; BLOCK]) {
        let now = &self.past[at..at + BLOCK];
        let mut mean = [0.0; BLOCK];
        // Backwards, by the pitch of each block.
        let mut place = at as f32;
        let mut delay = self.delays[nearest_block(place + BLOCK as f32 / 2.0)] as f32;
        for weight in WEIGHTS {
            place -= delay;
            if place < SLOP as f32 {
                break;
            }
            let next = self.delays[nearest_block(place + BLOCK as f32 / 2.0 - delay)] as f32;
            place = self.add_period(now, place, weight, &mut mean);
            delay = next;
        }
        // Forwards: the block is that whose period before it is where this one ends.
        place = at as f32;
        for weight in WEIGHTS {
            let middle = place + BLOCK as f32 / 2.0;
            let before = |n: &usize| ((80 * n + 40) as f32 - self.delays[*n] as f32 - middle).abs();
            let block = (0..BLOCKS).min_by(|a, b| before(a).total_cmp(&before(b)));
            place += self.delays[block.unwrap_or(BLOCKS - 1)] as f32;
            if place + (BLOCK + SLOP) as f32 >= PAST as f32 {
                break;
            }
            place = self.add_period(now, place, weight, &mut mean);
        }
        mix(now, &mean, out);
    }

    /// Adds the period near `place` that is most like `now`, to a quarter of a sample. Where that is.
    fn add_period(&self, now: &[f32], place: f32, weight: f32, mean: &mut [f32; BLOCK]) -> f32 {
        let first = (place.round() as usize).saturating_sub(SLOP).min(PAST - BLOCK - 2 * SLOP);
        // With silence around them.
        let mut products = [0.0; 2 * SLOP + 1 + 6];
        for (n, product) in products[3..3 + 2 * SLOP + 1].iter_mut().enumerate() {
            *product = dot(now, &self.past[first + n..first + n + BLOCK]);
        }
        let (mut best, mut most) = (0, f32::NEG_INFINITY);
        for quarters in 0..=4 * 2 * SLOP {
            let around = products[quarters / 4..].iter().take(7).rev();
            let between = QUARTERS[quarters % 4].iter().zip(around);
            let product = between.map(|(factor, product)| factor * product).sum();
            if product > most {
                (best, most) = (quarters, product);
            }
        }
        let (from, factors) = (first + best / 4, QUARTERS[best % 4]);
        for (n, mean) in mean.iter_mut().enumerate() {
            let sample = |(k, factor): (usize, &f32)| {
                let at = (from + n + 3).checked_sub(k);
                factor * at.and_then(|at| self.past.get(at)).copied().unwrap_or_default()
            };
            *mean += weight * factors.iter().enumerate().map(sample).sum::<f32>();
        }
        first as f32 + best as f32 / 4.0
    }
}

/// The block of the past whose middle is nearest.
fn nearest_block(place: f32) -> usize {
    ((place / BLOCK as f32).max(0.0) as usize).min(BLOCKS - 1)
}

/// What is as near to the mean as the power of the change allows (§4.6.3 to §4.6.5).
fn mix(now: &[f32], mean: &[f32; BLOCK], out: &mut [f32; BLOCK]) {
    let (power, of_mean, product) = (dot(now, now), dot(mean, mean), dot(now, mean));
    out.copy_from_slice(now);
    if of_mean <= f32::MIN_POSITIVE {
        return;
    }
    let gain = (power / of_mean).sqrt();
    let change: f32 = now.iter().zip(mean).map(|(a, b)| (a - gain * b) * (a - gain * b)).sum();
    let (of_mean_part, of_now) = if change <= MOST_CHANGE * power {
        (gain, 0.0)
    } else {
        // How much of the mean is not the block itself, beside the power of that.
        let apart = (power * of_mean - product * product) / (power * power);
        if apart.is_nan() || apart <= 1e-4 {
            return;
        }
        let part = ((MOST_CHANGE - MOST_CHANGE * MOST_CHANGE / 4.0) / apart).sqrt();
        (part, 1.0 - MOST_CHANGE / 2.0 - part * product / power)
    };
    for ((out, now), mean) in out.iter_mut().zip(now).zip(mean) {
        *out = of_mean_part * mean + of_now * now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(dice: &mut u32) -> f32 {
        *dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*dice >> 16) as f32 / 32_768.0 - 1.0
    }

    fn power(samples: &[f32]) -> f32 {
        dot(samples, samples)
    }

    #[test]
    fn noise_on_a_periodic_residual_becomes_less_and_its_power_stays() {
        for (mode, period) in [(Mode::Ms20, 57), (Mode::Ms30, 86)] {
            let mut dice = 9;
            let cycle: Vec<f32> = (0..period).map(|_| noise(&mut dice)).collect();
            let len = mode.samples();
            let clean: Vec<f32> = (0..8 * len).map(|n| cycle[n % period]).collect();
            let noisy: Vec<f32> = clean.iter().map(|a| a + 0.3 * noise(&mut dice)).collect();
            let (mut enhancer, mut heard) = (Enhancer::default(), Vec::new());
            for frame in noisy.chunks(len) {
                enhancer.hear(frame);
                let mut out = vec![0.0; len];
                enhancer.enhance(mode, &mut out);
                heard.extend(out);
            }
            let heard = &heard[4 * len + mode.delay()..];
            let apart = |of: &[f32]| {
                let apart: Vec<f32> =
                    of.iter().zip(&clean[4 * len..]).map(|(a, b)| a - b).collect();
                power(&apart[..heard.len()])
            };
            let noisy = &noisy[4 * len..][..heard.len()];
            assert!(apart(heard) < 0.6 * apart(noisy), "{} {}", apart(heard), apart(noisy));
            assert!((power(heard) / power(noisy) - 1.0).abs() < 0.1);
            let changed: Vec<f32> = heard.iter().zip(noisy).map(|(a, b)| a - b).collect();
            assert!(power(&changed) < 1.05 * MOST_CHANGE * power(noisy), "no more may change");
        }
    }

    #[test]
    fn quarters_of_a_sample_are_found() {
        let mut enhancer = Enhancer::default();
        let tone = |n: f32| (n * 0.3).sin();
        enhancer.past = std::array::from_fn(|n| tone(n as f32));
        let period = std::f32::consts::TAU / 0.3;
        let now = enhancer.past[400..480].to_vec();
        let mut mean = [0.0; BLOCK];
        let place = enhancer.add_period(&now, 400.0 - 21.0, 1.0, &mut mean);
        assert!((place - (400.0 - period)).abs() <= 0.13, "{place}");
        let error = now.iter().zip(&mean).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 0.06, "{error}");
    }
}
