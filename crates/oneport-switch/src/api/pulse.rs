//! What the switch does in a second, and what it has done in the last hour: a look at its counters each second,
//! which costs no look at any call.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tokio::time::{Instant, MissedTickBehavior};

use super::Shared;

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Rates are of so many looks.
const RECENT: usize = 5;

/// Looks in a point of the history, and points of an hour.
pub(super) const POINT: usize = 10;
const POINTS: usize = 360;

/// What the switch has counted since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beat {
    /// Calls that are up.
    pub(crate) calls: usize,
    /// Calls that have begun, and that were refused.
    pub(crate) begun: u64,
    pub(crate) refused: u64,
    /// Datagrams that came.
    pub(crate) datagrams: u64,
}

/// Ten seconds of the history.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point {
    /// The most calls at once.
    pub(super) calls: usize,
    pub(super) begun: u64,
    pub(super) refused: u64,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    beat: Beat,
    cpu: Duration,
    lag: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// The last looks, oldest first.
    looks: VecDeque<Look>,
    points: VecDeque<Point>,
    /// Looks in the newest point.
    filled: usize,
}

/// What is told of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Rhythm {
    pub(super) begun_per_second: f64,
    pub(super) datagrams_per_second: f64,
    /// Of one core, per cent.
    pub(super) cpu_percent: f64,
    /// The longest that the switch took to answer of late.
    pub(super) lag: Duration,
    /// Oldest first.
    pub(super) points: Vec<Point>,
}

/// All that is kept.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<State>);

impl Pulse {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, look: Look) {
        let mut state = self.state();
        let before = state.looks.back().map_or(look.beat, |last| last.beat);
        if state.filled == 0 || state.filled == POINT {
            state.points.push_back(Point::default());
            state.filled = 0;
            if state.points.len() > POINTS {
                state.points.pop_front();
            }
        }
        state.filled += 1;
        if let Some(point) = state.points.back_mut() {
            point.calls = point.calls.max(look.beat.calls);
            point.begun += look.beat.begun.saturating_sub(before.begun);
            point.refused += look.beat.refused.saturating_sub(before.refused);
        }
        state.looks.push_back(look);
        if state.looks.len() > RECENT + 1 {
            state.looks.pop_front();
        }
    }

    /// What is known by now.
    #[expect(clippy::cast_precision_loss, reason = "rates are floats")]
    pub(super) fn tell(&self) -> Rhythm {
        let state = self.state();
        let points = state.points.iter().copied().collect();
        let (Some(first), Some(last)) = (state.looks.front(), state.looks.back()) else {
            return Rhythm::default();
        };
        let lag = state.looks.iter().map(|look| look.lag).max().unwrap_or_default();
        let seconds = last.at.duration_since(first.at).as_secs_f64();
        if seconds <= 0.0 {
            return Rhythm { lag, points, ..Rhythm::default() };
        }
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
        Rhythm {
            begun_per_second: rate(last.beat.begun, first.beat.begun),
            datagrams_per_second: rate(last.beat.datagrams, first.beat.datagrams),
            cpu_percent: last.cpu.saturating_sub(first.cpu).as_secs_f64() / seconds * 100.0,
            lag,
            points,
        }
    }
}

/// The CPU time that this process has used.
fn cpu() -> Duration {
    let time = |time: TimeVal| {
        let micros = time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_usec());
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    usage.map_or(Duration::ZERO, |usage| time(usage.user_time()) + time(usage.system_time()))
}

/// The most memory that this process has had, in bytes.
pub(super) fn memory_peak() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    usage.map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0) * 1024)
}

/// Looks at the switch as long as the API runs.
pub(super) async fn beat(shared: Shared) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let asked = Instant::now();
        // A switch that does not answer in time is looked at again; one that has stopped ends the API, too.
        let Ok(beat) = shared.ask(|endpoint, switch, _| switch.beat(endpoint)).await else {
            continue;
        };
        let at = Instant::now();
        shared.pulse.note(Look { at, beat, cpu: cpu(), lag: at.duration_since(asked) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_seconds_and_the_history_of_an_hour() {
        let (pulse, start) = (Pulse::default(), Instant::now());
        assert!(pulse.tell().points.is_empty());
        for n in 0..4_000_u64 {
            // Two calls in each second, and thirty behind an hour.
            let begun = if n < 3_990 { 2 * n } else { 7_980 + 30 * (n - 3_990) };
            let beat = Beat { calls: 7, begun, refused: n / 10, ..Beat::default() };
            let (at, cpu) = (start + PERIOD * u32::try_from(n).expect("small"), PERIOD * 1);
            pulse.note(Look { at, beat, cpu, lag: Duration::from_millis(n % 7) });
        }
        let rhythm = pulse.tell();
        assert!((rhythm.begun_per_second - 30.0).abs() < 1e-9, "{rhythm:?}");
        assert_eq!((rhythm.points.len(), rhythm.cpu_percent), (POINTS, 0.0));
        let first = rhythm.points.first().expect("an hour");
        assert_eq!((first.calls, first.begun, first.refused), (7, 20, 1));
    }

    #[test]
    fn this_process_has_used_some_cpu_and_memory() {
        assert!(cpu() > Duration::ZERO && memory_peak() > 1_000_000);
    }
}
