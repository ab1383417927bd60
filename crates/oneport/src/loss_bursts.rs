//! How loss lies, in the figures of RFC 3611 (§4.7.2): bursts, and the gaps between them.

use std::time::Duration;

use oneport_proto::VoiceStats;

/// Bursts of lost frames, and the gaps between them, in which frames are lost singly at most (RFC 3611
/// §4.7.2, `Gmin` 16). A frame counts here 64 frames after it was lost, when it cannot come late any more.
///
/// ```no_run
/// # async fn example(call: oneport::Call) {
/// use oneport::LossBursts;
///
/// if let Some(stats) = call.stats().await {
///     let loss = LossBursts::of(&stats.received);
///     println!("{} bursts of {:?}", loss.bursts, loss.burst_length);
/// }
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LossBursts {
    /// How many bursts there were.
    pub bursts: u64,
    /// How long one is, on average; zero where there was none.
    pub burst_length: Duration,
    /// How many frames of those in bursts are lost, per cent.
    pub burst_density: f64,
    /// How long a gap is, on average: there is one more of them than there are bursts.
    pub gap_length: Duration,
    /// How many frames of those in gaps are lost, per cent.
    pub gap_density: f64,
    /// How much longer runs of lost frames are than loss at random would make them (`BurstR` of ITU-T
    /// G.107).
    pub burst_ratio: f64,
}

impl LossBursts {
    /// Those of voice that was heard. What came in which order is told by it alone.
    #[must_use]
    pub fn of(heard: &VoiceStats) -> Self {
        let pattern = &heard.pattern;
        let total = heard.frames + heard.lost;
        let outside = total.saturating_sub(pattern.burst_frames);
        let length = |frames: u64, parts: u64| match parts {
            0 => Duration::ZERO,
            parts => heard.frame.mul_f64(frames as f64 / parts as f64),
        };
        Self {
            bursts: pattern.bursts,
            burst_length: length(pattern.burst_frames, pattern.bursts),
            burst_density: percent(pattern.burst_lost, pattern.burst_frames),
            gap_length: length(outside, pattern.bursts + 1),
            gap_density: percent(pattern.lost.saturating_sub(pattern.burst_lost), outside),
            burst_ratio: pattern.burst_ratio(total),
        }
    }
}

/// `part` of `whole`, per cent; 0 of nothing.
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_proto::LossPattern;

    #[test]
    fn densities_and_lengths_are_those_of_a_case_done_by_hand() {
        // Of 1,000 frames of 20 ms: 5 are lost singly, and 2 bursts of 12 frames have lost 4 each, as the
        // example of RFC 3611 §4.7.2 has one (X111X1011110).
        let mut pattern = LossPattern::default();
        (pattern.lost, pattern.runs, pattern.bursts) = (13, 13, 2);
        (pattern.burst_frames, pattern.burst_lost) = (24, 8);
        let frame = Duration::from_millis(20);
        let heard = VoiceStats { frames: 987, lost: 13, frame, pattern, ..VoiceStats::default() };
        let found = LossBursts::of(&heard);
        assert_eq!((found.bursts, found.burst_length), (2, Duration::from_millis(240)));
        // 976 frames in three gaps.
        assert_eq!(found.gap_length.as_millis(), 6_506);
        assert!((found.burst_density - 33.333).abs() < 1e-3, "{found:?}");
        assert!((found.gap_density - 0.512).abs() < 1e-3, "{found:?}");
        // Runs of one frame are what loss at random makes.
        assert_eq!(found.burst_ratio, 1.0);
    }

    #[test]
    fn without_loss_all_is_one_gap() {
        let frame = Duration::from_millis(20);
        let heard = VoiceStats { frames: 500, frame, ..VoiceStats::default() };
        let found = LossBursts::of(&heard);
        assert_eq!((found.bursts, found.burst_length), (0, Duration::ZERO));
        assert_eq!((found.gap_length, found.gap_density), (Duration::from_secs(10), 0.0));
    }
}
