//! How good a call was: as a table and as JSON.

use std::time::Duration;

use oneport::{Agreement, CallStats, Cause, Diagnosis, LossBursts, Score, Surroundings};
use serde::Serialize;

use crate::live::millis;

/// The figures of one direction.
#[derive(Serialize, Debug, PartialEq)]
pub(crate) struct Direction {
    frames: u64,
    lost: u64,
    lost_percent: f64,
    late: u64,
    out_of_order: u64,
    jitter_ms: f64,
    /// Rating R and mean opinion score of the E-model; null where there is nothing to judge.
    rating: Option<f64>,
    mos: Option<f64>,
}

/// How the frames that we heard came.
#[derive(Serialize, Debug, PartialEq)]
pub(crate) struct Spread {
    /// How much later than the fastest ones half of the frames came at most.
    late_p50_ms: f64,
    late_p95_ms: f64,
    late_p99_ms: f64,
    late_max_ms: f64,
    /// Bursts of loss (RFC 3611), and how long one is.
    bursts: u64,
    burst_mean_ms: f64,
    /// Share of the frames that is lost within bursts, and outside of them.
    burst_loss_percent: f64,
    gap_loss_percent: f64,
    /// How much longer runs of loss are than at random.
    burst_ratio: f64,
    /// By how many millionths the other side's clock is faster than ours; null while that is not known.
    clock_ppm: Option<i32>,
}

impl Spread {
    fn of(stats: &CallStats) -> Option<Self> {
        let heard = &stats.received;
        let late = &heard.delay;
        let loss = LossBursts::of(heard);
        (heard.frames > 0).then(|| Self {
            late_p50_ms: round(millis(late.p50)),
            late_p95_ms: round(millis(late.p95)),
            late_p99_ms: round(millis(late.p99)),
            late_max_ms: round(millis(late.greatest)),
            bursts: loss.bursts,
            burst_mean_ms: round(millis(loss.burst_length)),
            burst_loss_percent: round(loss.burst_density),
            gap_loss_percent: round(loss.gap_density),
            burst_ratio: round(loss.burst_ratio),
            clock_ppm: late.clock_ppm,
        })
    }
}

/// The figures of a call.
#[derive(Serialize, Debug, PartialEq)]
pub(crate) struct Quality {
    rtt_ms: Option<f64>,
    /// The last round trip of a LAGRQ, not smoothed.
    lag_ms: Option<f64>,
    /// How much longer than the fastest the last poll of the other side took to us.
    lag_incoming_excess_ms: Option<f64>,
    /// The same of our last to it, as far as round trips tell.
    lag_outgoing_excess_ms: Option<f64>,
    /// What we heard.
    heard: Direction,
    /// How it came; null before anything did.
    spread: Option<Spread>,
    /// What the other side says it heard; null where it says nothing.
    heard_there: Option<Direction>,
    /// Whether what it says fits what we sent.
    agreement: &'static str,
    #[serde(skip)]
    judgement: Agreement,
    sent_frames: u64,
    sent_bytes: u64,
    retransmissions: u64,
    /// Why it is choppy, by name; empty where it is not.
    causes: Vec<&'static str>,
    /// The same as a sentence.
    diagnosis: Option<String>,
    /// What mends it.
    remedies: Vec<&'static str>,
}

impl Quality {
    pub(crate) fn of(stats: &CallStats) -> Self {
        let direction =
            |frames: u64, lost: u64, late, out_of_order, jitter: Duration, score: Option<Score>| {
                let total = frames + lost;
                let share = if total == 0 { 0.0 } else { lost as f64 * 100.0 / total as f64 };
                Direction {
                    frames,
                    lost,
                    lost_percent: round(share),
                    late,
                    out_of_order,
                    jitter_ms: round(millis(jitter)),
                    rating: score.map(|score| round(score.rating)),
                    mos: score.map(|score| round(score.mos)),
                }
            };
        let diagnosis = Diagnosis::of(stats, &Surroundings::default());
        let heard = &stats.received;
        // What cannot be is not shown as if it were.
        let nonsense = matches!(stats.agreement, Agreement::Nonsense(_));
        let remote = stats.remote.filter(|remote| remote.frames > 0 && !nonsense);
        Self {
            rtt_ms: stats.rtt.map(|rtt| round(millis(rtt))),
            lag_ms: stats.lag.last.map(millis),
            lag_incoming_excess_ms: stats.lag.incoming_excess.map(millis),
            lag_outgoing_excess_ms: stats.lag.outgoing_excess().map(millis),
            heard: direction(
                heard.frames,
                heard.lost,
                heard.late,
                heard.out_of_order,
                heard.jitter,
                Score::here(stats),
            ),
            spread: Spread::of(stats),
            heard_there: remote.map(|remote| {
                let (frames, lost) = (remote.frames.into(), remote.lost.into());
                let (late, out_of_order) = (remote.dropped.into(), remote.out_of_order.into());
                direction(frames, lost, late, out_of_order, remote.jitter, Score::there(stats))
            }),
            agreement: stats.agreement.name(),
            judgement: stats.agreement,
            sent_frames: stats.sent_frames,
            sent_bytes: stats.sent_bytes,
            retransmissions: stats.retransmissions,
            causes: diagnosis.iter().flat_map(Diagnosis::causes).map(Cause::name).collect(),
            remedies: diagnosis.iter().flat_map(Diagnosis::remedies).collect(),
            diagnosis: diagnosis.map(|diagnosis| diagnosis.to_string()),
        }
    }

    /// As people read it.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from("             frames    lost  late order    jitter    MOS\n");
        let mut row = |name: &str, way: &Direction| {
            let score = way.mos.map_or_else(|| "-".into(), |mos| format!("{mos:.1}"));
            text.push_str(&format!(
                "{name:<11} {:>7} {:>6.1}% {:>5} {:>5} {:>6.1} ms {score:>6}\n",
                way.frames, way.lost_percent, way.late, way.out_of_order, way.jitter_ms,
            ));
        };
        row("heard here", &self.heard);
        if let Some(there) = &self.heard_there {
            row("heard there", there);
        }
        if let Some(spread) = &self.spread {
            text.push_str(&format!(
                "later than the fastest: {:.0} ms (50 %), {:.0} ms (95 %), {:.0} ms (99 %), {:.0} ms at most",
                spread.late_p50_ms, spread.late_p95_ms, spread.late_p99_ms, spread.late_max_ms,
            ));
            if spread.bursts > 0 {
                text.push_str(&format!(
                    "; {} bursts of loss, {:.0} ms each, {:.0} % lost in them",
                    spread.bursts, spread.burst_mean_ms, spread.burst_loss_percent,
                ));
            }
            if let Some(ppm) = spread.clock_ppm.filter(|ppm| ppm.unsigned_abs() >= NOTABLE_PPM) {
                let how = if ppm > 0 { "fast" } else { "slow" };
                text.push_str(&format!("; its clock is {} ppm {how}", ppm.unsigned_abs()));
            }
            text.push('\n');
        }
        let rtt = self.rtt_ms.map_or_else(|| "not measured".into(), |rtt| format!("{rtt:.1} ms"));
        text.push_str(&format!(
            "sent {} frames; round trip {rtt}; {} frames repeated\n",
            self.sent_frames, self.retransmissions
        ));
        if let Some(lag) = self.lag_ms {
            text.push_str(&format!("lag {lag:.0} ms"));
            if let Some(excess) = self.lag_incoming_excess_ms {
                text.push_str(&format!("; the way here {excess:.0} ms above its fastest"));
            }
            text.push('\n');
        }
        if self.judgement != Agreement::Unreported {
            text.push_str(&format!("{}\n", self.judgement));
        }
        if let Some(diagnosis) = &self.diagnosis {
            text.push_str(&format!("choppy: {diagnosis}\n"));
        }
        for remedy in &self.remedies {
            text.push_str(&format!("  to mend it: {remedy}\n"));
        }
        text
    }
}

/// Clocks of sound cards and computers differ by less, as a rule.
const NOTABLE_PPM: u32 = 100;

/// Two digits are more than any of this is worth.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport::{Format, LagStats, VoiceStats};
    use std::time::Duration;

    #[test]
    fn a_table_says_what_was_counted() {
        let jitter = Duration::from_micros(1_230);
        let stats = CallStats {
            format: Some(Format::ULAW),
            rtt: Some(Duration::from_micros(23_400)),
            received: VoiceStats { frames: 990, lost: 10, jitter, ..VoiceStats::default() },
            lag: LagStats {
                last: Some(Duration::from_millis(24)),
                incoming_excess: Some(Duration::from_millis(3)),
                ..LagStats::default()
            },
            sent_frames: 1_000,
            agreement: Agreement::Unaccounted { frames: 120 },
            ..CallStats::default()
        };
        insta::assert_snapshot!(Quality::of(&stats).table());
    }

    #[test]
    fn a_call_without_audio_has_no_score() {
        let quality = Quality::of(&CallStats::default());
        assert_eq!((quality.heard.mos, quality.heard_there), (None, None));
    }
}
