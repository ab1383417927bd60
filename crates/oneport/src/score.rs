//! How well the two ends of a call hear each other, by what was counted of it.

use std::time::Duration;

use oneport_media::quality::{Conditions, mos, rating};
use oneport_proto::{Agreement, CallStats};
use oneport_wire::Format;

use crate::loss_bursts::percent;

/// What one end of a call hears, judged by the E-model (ITU-T G.107).
///
/// ```no_run
/// # async fn example(call: oneport::Call) {
/// use oneport::Score;
///
/// if let Some(stats) = call.stats().await {
///     if let Some(score) = Score::here(&stats) {
///         println!("MOS {:.1}, {:.1} % lost", score.mos, score.loss_percent);
///     }
/// }
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Score {
    /// Frames of those that were sent to it which it does not hear, per cent.
    pub loss_percent: f64,
    /// From mouth to ear: a frame, half of the round trip, and a jitter buffer that holds all but one
    /// frame of a hundred. What happens behind the other end is not known.
    pub delay: Duration,
    /// The rating R, 0 to 93.2; below 50 nobody is content (G.109).
    pub rating: f64,
    /// The mean opinion score, 1 to 4.41.
    pub mos: f64,
}

impl Score {
    /// What we hear; `None` before anything was heard.
    #[must_use]
    pub fn here(stats: &CallStats) -> Option<Self> {
        let heard = &stats.received;
        let total = heard.frames + heard.lost;
        let judge = || {
            let burst_ratio = heard.pattern.burst_ratio(total);
            judge(stats, percent(heard.lost, total), burst_ratio, heard.delay.p99)
        };
        (heard.frames > 0).then(judge)
    }

    /// What the other end says it hears; `None` where it says nothing, or what cannot be. How its lost
    /// frames lie is not told: they count as lost at random.
    #[must_use]
    pub fn there(stats: &CallStats) -> Option<Self> {
        let possible = !matches!(stats.agreement, Agreement::Nonsense(_));
        let heard = stats.remote.filter(|heard| possible && heard.frames > 0)?;
        let unheard = u64::from(heard.lost) + u64::from(heard.dropped);
        let total = u64::from(heard.frames) + u64::from(heard.lost);
        let buffer = match heard.delay {
            Duration::ZERO => heard.jitter * 2,
            delay => delay,
        };
        Some(judge(stats, percent(unheard, total), 1.0, buffer))
    }
}

fn judge(stats: &CallStats, loss_percent: f64, burst_ratio: f64, buffer: Duration) -> Score {
    let frame = match stats.received.frame {
        Duration::ZERO => Duration::from_millis(20),
        frame => frame,
    };
    let delay = frame + stats.rtt.unwrap_or_default() / 2 + buffer;
    let rating = rating(&Conditions {
        format: stats.format.unwrap_or(Format::ULAW),
        loss_percent,
        burst_ratio,
        delay_ms: delay.as_secs_f64() * 1_000.0,
    });
    Score { loss_percent, delay, rating, mos: mos(rating) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_proto::{DelayVariation, RemoteReport, VoiceStats};

    #[test]
    fn what_was_lost_and_what_a_buffer_has_to_hold_is_judged() {
        let ms = Duration::from_millis;
        let delay = DelayVariation { p99: ms(30), ..DelayVariation::default() };
        let received = VoiceStats { frames: 990, lost: 10, delay, ..VoiceStats::default() };
        let stats = CallStats { rtt: Some(ms(40)), received, ..CallStats::default() };
        let score = Score::here(&stats).expect("something was heard");
        assert_eq!((score.loss_percent, score.delay), (1.0, ms(70)));
        assert!((score.rating - 73.39).abs() < 0.05, "{score:?}");
        assert_eq!(Score::there(&stats), None, "it says nothing");
        assert_eq!(Score::here(&CallStats::default()), None);
    }

    #[test]
    fn what_the_other_end_says_counts_with_what_it_dropped_and_unless_it_cannot_be() {
        let ms = Duration::from_millis;
        let remote = RemoteReport {
            frames: 980,
            lost: 20,
            dropped: 10,
            jitter: ms(5),
            ..RemoteReport::default()
        };
        let mut stats = CallStats { remote: Some(remote), ..CallStats::default() };
        let score = Score::there(&stats).expect("it says so");
        assert_eq!((score.loss_percent, score.delay), (3.0, ms(30)));
        stats.agreement = Agreement::Nonsense(oneport_proto::Nonsense::WentBack);
        assert_eq!(Score::there(&stats), None);
    }
}
