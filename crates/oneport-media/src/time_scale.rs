//! Audio made shorter or longer without changing its pitch: one period of it, or some of a pause, is left
//! out or said twice, with a cross-fade where the ends meet (pitch-synchronous overlap and add). In place,
//! at 8 and 16 kHz, and without allocating where the vector has room.

/// Periods of a voice, in µs: 400 Hz to 62 Hz.
const SHORTEST_US: usize = 2_500;
const LONGEST_US: usize = 16_000;

/// How much is compared with what lies one period off.
const COMPARED_US: usize = 12_500;

/// Whole numbers of samples at `rate` in so many µs.
pub(crate) const fn samples_in_us(us: usize, rate: u32) -> usize {
    us * rate as usize / 1_000_000
}

/// After how many samples audio repeats itself, and how well.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Period {
    pub(crate) samples: usize,
    /// The normalised correlation, −1 to 1.
    pub(crate) likeness: f32,
}

/// How much `a` and `b` are alike, −1 to 1, and 0 where one of them is nothing.
fn likeness(a: &[i16], b: &[i16]) -> f32 {
    let (mut ab, mut aa, mut bb) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f32::from(*a), f32::from(*b));
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    let energy = (aa * bb).sqrt();
    if energy < 1.0 { 0.0 } else { ab / energy }
}

/// The same of every `step`th sample, each the sum of `step`: cheaper, and good enough to begin with.
fn rough_likeness(a: &[i16], b: &[i16], step: usize) -> f32 {
    let (mut ab, mut aa, mut bb) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (a, b) in a.chunks_exact(step).zip(b.chunks_exact(step)) {
        let sum = |part: &[i16]| part.iter().map(|sample| f32::from(*sample)).sum::<f32>();
        let (a, b) = (sum(a), sum(b));
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    let energy = (aa * bb).sqrt();
    if energy < 1.0 { 0.0 } else { ab / energy }
}

/// The best of the lags at which `pair` gives two parts to compare.
fn best_lag<'a>(
    shortest: usize,
    longest: usize,
    rate: u32,
    pair: impl Fn(usize) -> (&'a [i16], &'a [i16]),
) -> Option<Period> {
    if shortest > longest {
        return None;
    }
    let step = rate as usize / 4_000;
    let rough = (shortest..=longest).step_by(step).map(|lag| {
        let (a, b) = pair(lag);
        (lag, rough_likeness(a, b, step))
    });
    let (near, _) = rough.max_by(|a, b| a.1.total_cmp(&b.1))?;
    let fine = near.saturating_sub(step).max(shortest)..=(near + step).min(longest);
    let fine = fine.map(|lag| {
        let (a, b) = pair(lag);
        Period { samples: lag, likeness: likeness(a, b) }
    });
    fine.max_by(|a, b| a.likeness.total_cmp(&b.likeness))
}

/// The period at the beginning of `samples`, no longer than half of them.
pub(crate) fn period_at_start(samples: &[i16], rate: u32) -> Option<Period> {
    let longest = samples_in_us(LONGEST_US, rate).min(samples.len() / 2);
    let compared = samples_in_us(COMPARED_US, rate);
    best_lag(samples_in_us(SHORTEST_US, rate), longest, rate, |lag| {
        let len = compared.min(samples.len() - lag);
        (&samples[..len], &samples[lag..lag + len])
    })
}

/// The period at the end of `samples`.
pub(crate) fn period_at_end(samples: &[i16], rate: u32) -> Option<Period> {
    let compared = samples_in_us(COMPARED_US, rate);
    let longest = samples_in_us(LONGEST_US, rate).min(samples.len().saturating_sub(compared));
    let end = samples.len();
    best_lag(samples_in_us(SHORTEST_US, rate), longest, rate, |lag| {
        (&samples[end - compared..], &samples[end - compared - lag..end - lag])
    })
}

/// From `a` to `b` in equal steps, `n` of `len`.
pub(crate) fn mixed(a: i16, b: i16, n: usize, len: usize) -> i16 {
    let part = (n as f32 + 0.5) / len as f32;
    linear(f32::from(a) * (1.0 - part) + f32::from(b) * part)
}

/// A sample that 16 bits can say.
pub(crate) fn linear(value: f32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "a float cast to an integer saturates")]
    let sample = value.round() as i16;
    sample
}

/// Leaves out `lag` samples behind `start`: what follows it fades over `fade` samples into what comes
/// `lag` later. Does nothing where there are not so many.
pub(crate) fn shorten(samples: &mut Vec<i16>, start: usize, lag: usize, fade: usize) -> bool {
    if lag == 0 || start + lag + fade > samples.len() {
        return false;
    }
    for n in start..start + fade {
        samples[n] = mixed(samples[n], samples[n + lag], n - start, fade);
    }
    samples.drain(start + fade..start + fade + lag);
    true
}

/// Says `lag` samples behind `start` twice: what follows them fades over `fade` samples, no more than
/// `lag`, into their beginning. Does nothing where there are not so many, or the vector has no room.
pub(crate) fn lengthen(samples: &mut Vec<i16>, start: usize, lag: usize, fade: usize) -> bool {
    let old = samples.len();
    if lag == 0 || fade > lag || start + lag + fade > old || old + lag > samples.capacity() {
        return false;
    }
    samples.resize(old + lag, 0);
    samples.copy_within(start + fade..old, start + fade + lag);
    for n in start..start + fade {
        samples[n + lag] = mixed(samples[n + lag], samples[n], n - start, fade);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Sine;
    use proptest::prelude::*;

    fn sine(frequency: f64, rate: u32, len: usize) -> Vec<i16> {
        Sine::new(frequency, rate, 0.5).take(len).collect()
    }

    #[test]
    fn the_period_of_a_tone_is_found_at_both_rates() {
        for rate in [8_000, 16_000] {
            for period in [30, 53, 77, 110] {
                let period = period * rate as usize / 8_000;
                let tone = sine(f64::from(rate) / period as f64, rate, 2 * period + 1_000);
                for found in [period_at_start(&tone, rate), period_at_end(&tone, rate)] {
                    let found = found.expect("long enough");
                    // Two or three periods are one as well.
                    let off = (found.samples + 1) % period;
                    assert!(off <= 2 && found.likeness > 0.99, "{period} at {rate} Hz: {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_tone_is_shorter_or_longer_by_a_period_and_still_the_tone() {
        let tone = sine(200.0, 8_000, 400);
        let mut shorter = tone.clone();
        assert!(shorten(&mut shorter, 60, 40, 40));
        assert_eq!(shorter, sine(200.0, 8_000, 360));
        let mut longer = Vec::with_capacity(440);
        longer.extend_from_slice(&tone);
        assert!(lengthen(&mut longer, 60, 40, 40));
        assert_eq!(longer, sine(200.0, 8_000, 440));
    }

    proptest! {
        /// Whatever is asked for, the length changes by what was asked for or not at all, what lies before
        /// stays, and so does what lies behind; nothing allocates.
        #[test]
        fn nothing_else_changes(
            samples in proptest::collection::vec(any::<i16>(), 0..300),
            start in 0_usize..320, lag in 0_usize..320, fade in 0_usize..320,
        ) {
            for (scale, sign) in [(shorten as fn(&mut Vec<i16>, usize, usize, usize) -> bool, -1), (lengthen, 1)] {
                let mut scaled = Vec::with_capacity(700);
                scaled.extend_from_slice(&samples);
                let place = scaled.as_ptr();
                let done = scale(&mut scaled, start, lag, fade);
                prop_assert_eq!(scaled.as_ptr(), place);
                let change = if done { sign * lag as isize } else { 0 };
                prop_assert_eq!(scaled.len() as isize, samples.len() as isize + change);
                if done {
                    prop_assert_eq!(&scaled[..start], &samples[..start]);
                    let rest = samples.len() - start - lag - fade;
                    prop_assert_eq!(&scaled[scaled.len() - rest..], &samples[samples.len() - rest..]);
                } else {
                    prop_assert_eq!(&scaled, &samples);
                }
            }
        }
    }
}
