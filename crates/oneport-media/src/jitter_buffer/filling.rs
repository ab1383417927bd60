//! Whether a queue on the way is filling (bufferbloat), and so how late frames will be soon.
//!
//! Somebody uploads, and the queue before the line grows for a second or more, frame by frame. Who follows that
//! must change the delay again and again, and each change is heard. Who knows it changes it once for what has
//! come and for what will: up to what such queues usually become, and in steps beyond. What rises at once is no such
//! queue, nor is what has risen as high before.

/// So many frames show it, that came one by one.
const FRAMES: usize = 12;
/// By how much they must be later at the end than at the beginning, in µs,
const LEAST_RISE: f64 = 20_000.0;
/// and so many times as much as they scatter about a straight line. Of a single step up, wherever it is, that is
/// 5.1 at most.
const STRAIGHT: f64 = 7.0;
/// By how much the delay must be above all that there was: in µs, and as a part of that. A queue that is full goes up
/// and down as well.
const RECORD_US: i64 = 8_000;
const RECORD_PART: i64 = 8;
/// What there was is forgotten by this part of it with each frame.
const FORGOTTEN: i64 = 10_000;
/// How long such queues become as a rule, in µs: a modem keeps a fifth of a second of its line's rate or more. One step
/// to there is heard less than several that come to as much.
const USUAL_US: i64 = 225_000;
/// By how much more one that is about as long as that, or longer, is thought to become: the part of it.
const AHEAD_PART: i64 = 4;
/// How long that is believed, in µs. What it has become is known by then.
const BELIEVED_US: i64 = 2_000_000;

#[derive(Debug)]
pub(super) struct Filling {
    delays: [i64; FRAMES],
    next: usize,
    seen: usize,
    /// The most there was before `delays`.
    deepest: i64,
    expected: Option<i64>,
    until: i64,
}

impl Filling {
    pub(super) const fn new() -> Self {
        Self { delays: [0; FRAMES], next: 0, seen: 0, deepest: 0, expected: None, until: 0 }
    }

    /// How late frames are expected to be soon, in µs, where a queue fills.
    pub(super) const fn expected(&self) -> Option<i64> {
        self.expected
    }

    /// Another frame has come together with the last one, and was less late.
    pub(super) fn came_together(&mut self, delay: i64) {
        let last = (self.next + FRAMES - 1) % FRAMES;
        self.delays[last] = self.delays[last].min(delay);
    }

    /// A frame has come, this late; `known` is what nearly all have needed so far. All are µs.
    pub(super) fn came(&mut self, now: i64, delay: i64, known: i64) {
        if now > self.until {
            self.expected = None;
        }
        let oldest = std::mem::replace(&mut self.delays[self.next], delay);
        self.next = (self.next + 1) % FRAMES;
        if self.seen < FRAMES {
            self.seen += 1;
            return;
        }
        self.deepest -= self.deepest / FORGOTTEN;
        let Some(late) = self.rising_to() else {
            // What rises is no record of itself.
            self.deepest = self.deepest.max(oldest);
            return;
        };
        let known = known
            .max(self.deepest + self.deepest / RECORD_PART)
            .max(self.expected.unwrap_or_default());
        if late > known + RECORD_US {
            self.expected = Some((late + late / AHEAD_PART).max(USUAL_US));
            self.until = now + BELIEVED_US;
        }
    }

    /// Where the straight line through the delays ends, if it rises and they are near it.
    fn rising_to(&self) -> Option<i64> {
        let middle = (FRAMES as f64 - 1.0) / 2.0;
        let in_order = self.delays[self.next..].iter().chain(&self.delays[..self.next]);
        let points =
            (0_u32..).zip(in_order).map(|(n, delay)| (f64::from(n) - middle, *delay as f64));
        let mean = points.clone().map(|(_, delay)| delay).sum::<f64>() / FRAMES as f64;
        let spread: f64 = points.clone().map(|(at, _)| at * at).sum();
        let slope = points.clone().map(|(at, delay)| at * delay).sum::<f64>() / spread;
        let off = points.map(|(at, delay)| (delay - mean - slope * at).powi(2)).sum::<f64>();
        let scatter = (off / (FRAMES as f64 - 2.0)).sqrt();
        let rise = 2.0 * middle * slope;
        let rises = rise >= LEAST_RISE && rise >= STRAIGHT * scatter;
        #[expect(clippy::cast_possible_truncation, reason = "a float cast to an integer saturates")]
        rises.then_some((mean + middle * slope) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames each 20 ms with these delays in ms: what was expected behind each.
    fn expected(delays: impl IntoIterator<Item = i64>, known_ms: i64) -> Vec<Option<i64>> {
        let mut filling = Filling::new();
        let behind = (0..).zip(delays).map(|(n, delay)| {
            filling.came(n * 20_000, delay * 1_000, known_ms * 1_000);
            filling.expected().map(|expected| expected / 1_000)
        });
        behind.collect()
    }

    fn changes(expected: &[Option<i64>]) -> Vec<i64> {
        let mut told: Vec<i64> = expected.iter().copied().flatten().collect();
        told.dedup();
        told
    }

    #[test]
    fn a_queue_that_fills_is_expected_to_become_as_long_as_usual_at_once() {
        // 2 to 4 ms a frame, up to 200 ms.
        let ramp = (0..66).map(|n| 3 * n + n % 2);
        let expected = expected(std::iter::repeat_n(0, 100).chain(ramp), 3);
        let first = expected.iter().position(Option::is_some).expect("it rises");
        assert!(first < 115, "{first}");
        assert_eq!(changes(&expected), [USUAL_US / 1_000]);
    }

    #[test]
    fn beyond_that_it_is_expected_to_go_on_in_steps() {
        let ramp = (0..300).map(|n| 3 * n);
        let told = changes(&expected(std::iter::repeat_n(0, 100).chain(ramp), 3));
        assert_eq!(told[0], USUAL_US / 1_000);
        assert!(told.windows(2).all(|pair| pair[1] > pair[0] * 5 / 4), "{told:?}");
        // The last frame is 897 ms late.
        assert!(told.last().is_some_and(|told| (898..1_200).contains(told)), "{told:?}");
    }

    #[test]
    fn what_was_as_late_before_is_no_news() {
        let ramp = || (0..66).map(|n| 3 * n);
        let twice = ramp().chain(ramp().rev()).chain([0; 50]).chain(ramp());
        let expected = expected(twice, 3);
        assert_eq!(changes(&expected[150..]), [0; 0]);
        // Nor is what all frames have needed.
        assert_eq!(changes(&self::expected([0; 50].into_iter().chain(ramp()), 200)), [0; 0]);
    }

    #[test]
    fn a_step_is_no_queue_and_neither_is_a_spike_or_noise() {
        let step = [0; 50].into_iter().chain([150; 50]);
        assert_eq!(changes(&expected(step, 3)), [0; 0]);
        let spike = [0; 50].into_iter().chain((0..15).map(|n| 300 - 20 * n)).chain([0; 50]);
        assert_eq!(changes(&expected(spike, 3)), [0; 0]);
        let noise = (0..5_000).map(|n: i64| n * 7_919 % 101 * (n * 104_729 % 89) / 89);
        assert_eq!(changes(&expected(noise, 3)), [0; 0]);
    }

    #[test]
    fn it_is_believed_for_two_seconds() {
        let ramp = (0..14).map(|n| 3 * n).chain([39; 200]);
        let expected = expected([0; 50].into_iter().chain(ramp), 3);
        let first = expected.iter().position(Option::is_some).expect("it rises");
        let last = expected.iter().rposition(Option::is_some).expect("it rises");
        assert!((95..=110).contains(&(last - first)), "{first} to {last}");
    }
}
