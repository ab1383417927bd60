//! Whether the delay of a way follows what is sent along it.

use std::fmt;
use std::time::Duration;

/// How the delay follows the load: a queue that our own voice fills.
///
/// ```
/// use std::time::Duration;
///
/// use oneport::LoadEffect;
///
/// let effect = LoadEffect {
///     kbits: (80.0, 800.0),
///     delay: (Duration::from_millis(20), Duration::from_millis(180)),
///     correlation: 0.9,
/// };
/// assert_eq!(effect.to_string(), "20 ms at 80 kbit/s, 180 ms at 800");
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LoadEffect {
    /// The least and the most that was sent, in kbit/s.
    pub kbits: (f64, f64),
    /// The delay, as a rule, at the one and at the other.
    pub delay: (Duration, Duration),
    /// How closely the one follows the other: 1 exactly, 0 not at all (Pearson).
    pub correlation: f64,
}

impl fmt::Display for LoadEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = self.kbits;
        let (short, long) = self.delay;
        write!(
            f,
            "{} ms at {least:.0} kbit/s, {} ms at {most:.0}",
            short.as_millis(),
            long.as_millis()
        )
    }
}

/// Sees a way's delay beside what is sent along it. What is old counts less and less.
///
/// ```
/// use std::time::Duration;
///
/// use oneport::LoadMeter;
///
/// let (mut queue, mut wireless) = (LoadMeter::default(), LoadMeter::default());
/// for n in 0..40_u16 {
///     let calls = 1 + n % 10;
///     let kbits = f64::from(calls) * 80.0;
///     // Here each call adds 10 ms; there the delay jumps whatever is sent.
///     queue.note(kbits, Duration::from_millis(20 + u64::from(calls) * 10));
///     wireless.note(kbits, Duration::from_millis(if n % 3 == 0 { 120 } else { 20 }));
/// }
/// let effect = queue.effect().ok_or("the delay follows the load")?;
/// assert_eq!(effect.kbits, (80.0, 800.0));
/// assert_eq!(effect.delay.1.as_millis().abs_diff(120), 0);
/// assert!(wireless.effect().is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LoadMeter {
    weight: f64,
    /// Sums of load (kbit/s), delay (ms), their squares and their product.
    load: f64,
    delay: f64,
    load_2: f64,
    delay_2: f64,
    both: f64,
    least: f64,
    most: f64,
    seen: u32,
}

/// Of what was seen so much is kept at each look: half of it after 69 looks.
const KEPT: f64 = 0.99;

/// Looks that show something.
const FEWEST: u32 = 8;

/// A weaker bond may be chance.
const LEAST_CORRELATION: f64 = 0.6;

/// The load must have changed by this factor.
const LEAST_CHANGE: f64 = 1.5;

impl LoadMeter {
    /// While so much was sent, in kbit/s, the delay, or the round trip, was this.
    pub fn note(&mut self, kbits: f64, delay: Duration) {
        let ms = delay.as_secs_f64() * 1e3;
        let sums =
            [&mut self.load, &mut self.delay, &mut self.load_2, &mut self.delay_2, &mut self.both];
        let news = [kbits, ms, kbits * kbits, ms * ms, kbits * ms];
        for (sum, new) in sums.into_iter().zip(news) {
            *sum = *sum * KEPT + new;
        }
        self.weight = self.weight * KEPT + 1.0;
        if self.seen == 0 {
            (self.least, self.most) = (kbits, kbits);
        }
        (self.least, self.most) = (self.least.min(kbits), self.most.max(kbits));
        self.seen = self.seen.saturating_add(1);
    }

    /// What was seen, if the delay does follow the load: upwards, and closely.
    #[must_use]
    pub fn effect(&self) -> Option<LoadEffect> {
        if self.seen < FEWEST || self.most < self.least * LEAST_CHANGE {
            return None;
        }
        let n = self.weight;
        let covariance = n * self.both - self.load * self.delay;
        let of_load = n * self.load_2 - self.load * self.load;
        let of_delay = n * self.delay_2 - self.delay * self.delay;
        let correlation = covariance / (of_load * of_delay).sqrt();
        // Not a number: one of them has not changed at all.
        if correlation.is_nan() || correlation < LEAST_CORRELATION {
            return None;
        }
        let slope = covariance / of_load;
        let at = |kbits: f64| {
            let ms = self.delay / n + slope * (kbits - self.load / n);
            Duration::from_secs_f64(ms.max(0.0) / 1e3)
        };
        let delay = (at(self.least), at(self.most));
        Some(LoadEffect { kbits: (self.least, self.most), delay, correlation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(samples: impl IntoIterator<Item = (f64, u64)>) -> Option<LoadEffect> {
        let mut meter = LoadMeter::default();
        for (kbits, ms) in samples {
            meter.note(kbits, Duration::from_millis(ms));
        }
        meter.effect()
    }

    #[test]
    fn a_delay_that_grows_with_the_load_is_told_with_its_figures() {
        let found = effect((0..40).map(|n| if n % 4 < 2 { (80.0, 20) } else { (640.0, 300) }));
        let found = found.expect("it follows");
        assert_eq!(found.kbits, (80.0, 640.0));
        assert_eq!(found.to_string(), "20 ms at 80 kbit/s, 300 ms at 640");
        assert!(found.correlation > 0.99);
    }

    #[test]
    fn chance_a_steady_load_and_a_delay_that_falls_are_no_effect() {
        assert_eq!(effect((0..40).map(|n| (80.0 * f64::from(n % 8), 20))), None);
        assert_eq!(effect((0..40).map(|n| (80.0, 20 + n % 300))), None);
        assert_eq!(effect((0..40_u32).map(|n| (80.0 + f64::from(n), u64::from(400 - n)))), None);
        let unrelated = (0..40_u64).map(|n| (80.0 * (1 + n % 7) as f64, 20 + n * 7_919 % 211));
        assert_eq!(effect(unrelated), None);
        assert_eq!(effect([(80.0, 20), (640.0, 300)]), None, "two looks show nothing");
    }
}
