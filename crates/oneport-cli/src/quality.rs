//! How good a call was: as a table and as JSON.

use oneport::media::quality::{mos, rating};
use oneport::{Agreement, CallStats, Format};
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
    /// Mean opinion score of the E-model; null where there is nothing to judge.
    mos: Option<f64>,
}

/// The figures of a call.
#[derive(Serialize, Debug, PartialEq)]
pub(crate) struct Quality {
    rtt_ms: Option<f64>,
    /// The last round trip of a LAGRQ, not smoothed.
    lag_ms: Option<f64>,
    /// How much longer than the fastest the last poll of the other side took to us.
    lag_incoming_excess_ms: Option<f64>,
    /// What we heard.
    heard: Direction,
    /// What the other side says it heard; null where it says nothing.
    heard_there: Option<Direction>,
    /// Whether what it says fits what we sent.
    agreement: &'static str,
    #[serde(skip)]
    judgement: Agreement,
    sent_frames: u64,
    sent_bytes: u64,
    retransmissions: u64,
}

impl Quality {
    pub(crate) fn of(stats: &CallStats) -> Self {
        let format = stats.format.unwrap_or(Format::ULAW);
        let one_way = stats.rtt.map_or(0.0, |rtt| millis(rtt) / 2.0);
        let direction = |frames: u64, lost: u64, late: u64, out_of_order: u64, jitter_ms: f64| {
            let total = frames + lost;
            let share = if total == 0 { 0.0 } else { lost as f64 * 100.0 / total as f64 };
            // A frame, the way, and a buffer of twice the jitter.
            let delay = 20.0 + one_way + 2.0 * jitter_ms;
            let score = (frames > 0).then(|| round(mos(rating(format, share, delay))));
            Direction {
                frames,
                lost,
                lost_percent: round(share),
                late,
                out_of_order,
                jitter_ms: round(jitter_ms),
                mos: score,
            }
        };
        let heard = &stats.received;
        // What cannot be is not shown as if it were.
        let nonsense = matches!(stats.agreement, Agreement::Nonsense(_));
        let remote = stats.remote.filter(|remote| remote.frames > 0 && !nonsense);
        Self {
            rtt_ms: stats.rtt.map(|rtt| round(millis(rtt))),
            lag_ms: stats.lag.last.map(millis),
            lag_incoming_excess_ms: stats.lag.incoming_excess.map(millis),
            heard: direction(
                heard.frames,
                heard.lost,
                heard.late,
                heard.out_of_order,
                millis(heard.jitter),
            ),
            heard_there: remote.map(|remote| {
                let (frames, lost) = (remote.frames.into(), remote.lost.into());
                let (late, out_of_order) = (remote.dropped.into(), remote.out_of_order.into());
                direction(frames, lost, late, out_of_order, millis(remote.jitter))
            }),
            agreement: stats.agreement.name(),
            judgement: stats.agreement,
            sent_frames: stats.sent_frames,
            sent_bytes: stats.sent_bytes,
            retransmissions: stats.retransmissions,
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
        text
    }
}

/// Two digits are more than any of this is worth.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_proto::{LagStats, VoiceStats};
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
