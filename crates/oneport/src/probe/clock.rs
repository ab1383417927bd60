//! How much faster the other end's clock runs than ours, out of frames that went there and came back.
//!
//! By the other clock a frame takes `there + offset` to arrive, and by ours `here - offset` to come back.
//! Half of the difference of both is the offset, whatever both ways have in common; the fastest frames of a
//! while had no queue on either. How that offset changes with time is what the clocks are apart.

use super::ways::Returned;

/// Frames of so long a time are looked at together, in µs: the fastest each way stand for it.
const WINDOW: u64 = 500_000;

/// Fewer of them show nothing.
const FEWEST: usize = 6;

/// How the other clock runs, against ours.
///
/// ```
/// use oneport::probe::{ClockOffset, Returned, Seen};
///
/// // Ten seconds of voice. The other clock gains a µs in 10,000, and stands somewhere.
/// let frames: Vec<Returned> = (0..500_u32)
///     .map(|sequence| {
///         let sent = u64::from(sequence) * 20_000;
///         let seen = Some(Seen { order: sequence, at: 77_000_000 + sent + sent / 10_000 });
///         Returned { sequence, sent, seen, came: sent + 30_000 }
///     })
///     .collect();
/// let clock = ClockOffset::of(&frames).ok_or("it was long enough")?;
/// assert!((clock.ppm - 100.0).abs() < 1.0);
/// // Of one second nothing is to be said.
/// assert!(ClockOffset::of(&frames[..50]).is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ClockOffset {
    /// By how many millionths it is faster.
    pub ppm: f64,
    /// How far off that may be: about two standard deviations.
    pub uncertainty_ppm: f64,
}

impl ClockOffset {
    /// What frames show that the other end has seen; `None` where these are too few, or of too short a
    /// time.
    #[must_use]
    pub fn of(frames: &[Returned]) -> Option<Self> {
        let points = points(frames);
        if points.len() < FEWEST {
            return None;
        }
        // Theil and Sen: the median of the slopes between all pairs, which a few queues do not move.
        let pairs = points.iter().enumerate();
        let slopes = pairs.flat_map(|(n, first)| {
            points[n + 1..].iter().map(move |next| (next.1 - first.1) / (next.0 - first.0))
        });
        let slope = median(slopes.collect())?;
        let level = median(points.iter().map(|(at, offset)| offset - slope * at).collect())?;
        let residuals = points.iter().map(|(at, offset)| (offset - level - slope * at).abs());
        // The deviation of a normal distribution is 1.48 times its median absolute one, and that of times
        // that are spread evenly the span divided by the root of 12.
        let deviation = 1.48 * median(residuals.collect())?;
        let span = points.last()?.0 - points.first()?.0;
        let spread = span / 12_f64.sqrt() * (points.len() as f64).sqrt();
        let uncertainty = 2.0 * deviation / spread;
        Some(Self { ppm: slope * 1e6, uncertainty_ppm: (uncertainty * 1e6).max(1.0) })
    }
}

/// For each window when it was, in µs, and the offset of the other clock, in µs above some constant.
fn points(frames: &[Returned]) -> Vec<(f64, f64)> {
    // Of each window: its number, the least by the other clock on the way there, and on the way back.
    let mut windows: Vec<(u64, i64, i64)> = Vec::new();
    let mut timed: Vec<_> = frames.iter().filter_map(|frame| Some((frame, frame.seen?))).collect();
    timed.sort_unstable_by_key(|(frame, _)| frame.sent);
    for (frame, seen) in timed {
        let there = seen.at.wrapping_sub(frame.sent).cast_signed();
        let here = frame.came.wrapping_sub(seen.at).cast_signed();
        let number = frame.sent / WINDOW;
        match windows.last_mut() {
            Some(window) if window.0 == number => {
                *window = (number, window.1.min(there), window.2.min(here));
            }
            _ => windows.push((number, there, here)),
        }
    }
    let point = |(number, there, here): (u64, i64, i64)| {
        ((number * WINDOW) as f64, there.wrapping_sub(here) as f64 / 2.0)
    };
    windows.into_iter().map(point).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ways::tests::Line;
    use oneport_impairment::Impairment;
    use std::time::Duration;

    #[test]
    fn a_clock_that_is_two_hundred_millionths_off_is_found_in_ten_seconds_over_a_link_that_jitters()
    {
        let jitter = Duration::from_millis(8);
        let uneven = Impairment { jitter, loss: 0.02, ..Impairment::NONE };
        for ppm in [-200.0, 0.0, 200.0] {
            let frames = Line { there: uneven, here: uneven, ppm }.carry(500).frames;
            let found = ClockOffset::of(&frames).expect("enough");
            assert!((found.ppm - ppm).abs() <= 40.0, "{found:?}, and not {ppm}");
            assert!(found.uncertainty_ppm < 60.0, "{found:?}");
        }
    }

    #[test]
    fn an_uneven_delay_of_both_ways_is_no_offset() {
        let there = Impairment::delayed(Duration::from_millis(80));
        let found =
            ClockOffset::of(&Line { there, here: Impairment::NONE, ppm: 0.0 }.carry(500).frames);
        assert!(found.is_some_and(|found| found.ppm.abs() < 1.0), "{found:?}");
    }

    #[test]
    fn two_seconds_and_an_echo_that_has_seen_nothing_show_nothing() {
        let line = Line { there: Impairment::NONE, here: Impairment::NONE, ppm: 100.0 };
        assert_eq!(ClockOffset::of(&line.carry(100).frames), None);
        let mut frames = line.carry(500).frames;
        frames.iter_mut().for_each(|frame| frame.seen = None);
        assert_eq!(ClockOffset::of(&frames), None);
    }
}
