//! What polls show, as `oneport ping` and `oneport probe` tell it.

use std::time::Duration;

use serde::Serialize;

use crate::live::millis;

/// Figures of polls. Times are null where nothing came back.
#[derive(Serialize, Clone, Debug, PartialEq, Default)]
pub(crate) struct Polls {
    pub(crate) sent: usize,
    pub(crate) received: usize,
    pub(crate) lost_percent: f64,
    pub(crate) rtt_min_ms: Option<f64>,
    pub(crate) rtt_avg_ms: Option<f64>,
    pub(crate) rtt_p50_ms: Option<f64>,
    pub(crate) rtt_p95_ms: Option<f64>,
    pub(crate) rtt_p99_ms: Option<f64>,
    pub(crate) rtt_max_ms: Option<f64>,
    /// Mean difference of neighbouring round trips.
    pub(crate) jitter_ms: Option<f64>,
}

/// Three digits behind the point.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Polls {
    /// Of polls in order, each with its round trip if it was answered.
    pub(crate) fn of(answers: &[Option<Duration>]) -> Self {
        let times: Vec<f64> = answers.iter().flatten().copied().map(millis).collect();
        let mean = |values: &[f64]| {
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let steps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
        let mut sorted = times.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |percent| oneport::probe::percentile(&sorted, percent).map(thousandths);
        let lost = answers.len() - times.len();
        Self {
            sent: answers.len(),
            received: times.len(),
            lost_percent: thousandths(lost as f64 * 100.0 / answers.len().max(1) as f64),
            rtt_min_ms: at(0.0),
            rtt_avg_ms: mean(&times).map(thousandths),
            rtt_p50_ms: at(50.0),
            rtt_p95_ms: at(95.0),
            rtt_p99_ms: at(99.0),
            rtt_max_ms: at(100.0),
            jitter_ms: mean(&steps).map(thousandths),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_what_came_back() {
        let ms = |value| Some(Duration::from_millis(value));
        let polls = Polls::of(&[ms(10), None, ms(14), ms(12)]);
        assert_eq!((polls.sent, polls.received, polls.lost_percent), (4, 3, 25.0));
        assert_eq!((polls.rtt_min_ms, polls.rtt_avg_ms), (Some(10.0), Some(12.0)));
        assert_eq!((polls.rtt_p50_ms, polls.rtt_p99_ms), (Some(12.0), Some(14.0)));
        assert_eq!((polls.rtt_max_ms, polls.jitter_ms), (Some(14.0), Some(3.0)));
        let nothing = Polls::of(&[None]);
        assert_eq!((nothing.rtt_avg_ms, nothing.rtt_p95_ms), (None, None));
    }
}
