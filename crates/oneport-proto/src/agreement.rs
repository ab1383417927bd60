//! What the peer says it heard, against what we sent.
//!
//! Some peers count nothing, some count wrongly, and some lose what they do not count. Figures that
//! contradict ours are told as such and not believed.

use core::fmt;
use core::time::Duration;

use oneport_wire::Timestamp;

use crate::stats::RemoteReport;

/// Whether the peer's last report (RR elements of a PONG) fits what we sent.
///
/// ```
/// use oneport_proto::Agreement;
/// use oneport_wire::Format;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let mut now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, _) = call_up(now, &mut here, &mut there);
/// assert_eq!(here.call_stats(ours).map(|stats| stats.agreement), Some(Agreement::Unreported));
/// for _ in 0..100 {
///     here.send_voice(now, ours, Format::ULAW, &[0xFF; 160], 20)?;
/// }
/// // Until the first poll: its answer says what the peer heard.
/// while here.call_stats(ours).is_some_and(|stats| stats.remote.is_none()) {
///     exchange(now, &mut here, &mut there);
///     now = here.poll_timeout().ok_or("a call polls")?;
///     here.handle_timeout(now);
/// }
/// assert_eq!(here.call_stats(ours).map(|stats| stats.agreement), Some(Agreement::Agrees));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Agreement {
    /// There is nothing to compare: no report has come, nothing was sent, or our voice goes
    /// elsewhere.
    #[default]
    Unreported,
    /// All of it is zero though we sent voice: the peer does not count. Asterisk with
    /// `jitterbuffer=no` is so.
    NotCounted,
    /// It adds up, give or take what was on its way and two per cent.
    Agrees,
    /// Frames that we sent and the peer neither received nor misses.
    Unaccounted {
        /// How many.
        frames: u64,
    },
    /// Frames that the peer received or misses beyond those that we sent.
    Excess {
        /// How many.
        frames: u64,
    },
    /// It cannot be.
    Nonsense(Nonsense),
}

/// What is wrong with a report that cannot be.
///
/// ```
/// use oneport_proto::{Agreement, Nonsense};
///
/// let agreement = Agreement::Nonsense(Nonsense::MoreThanSent);
/// assert_eq!(agreement.name(), "nonsense");
/// assert!(agreement.is_contradiction());
/// assert!(agreement.to_string().ends_with("it received more frames than were sent"));
/// // A peer that counts nothing contradicts nobody.
/// assert!(!Agreement::NotCounted.is_contradiction());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Nonsense {
    /// More frames received than were sent.
    MoreThanSent,
    /// More than 100 per cent lost.
    Percent,
    /// A count that is smaller than in the report before.
    WentBack,
    /// A negative number, as 32 or 24 bits hold it.
    Negative,
}

impl Agreement {
    /// Name for metrics: lower case, words joined by underscores.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreported => "unreported",
            Self::NotCounted => "not_counted",
            Self::Agrees => "agrees",
            Self::Unaccounted { .. } => "unaccounted",
            Self::Excess { .. } => "excess",
            Self::Nonsense(_) => "nonsense",
        }
    }

    /// Whether the two sides contradict each other.
    #[must_use]
    pub const fn is_contradiction(self) -> bool {
        matches!(self, Self::Unaccounted { .. } | Self::Excess { .. } | Self::Nonsense(_))
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreported => f.write_str("the other side has reported nothing"),
            Self::NotCounted => {
                f.write_str("the other side does not count (Asterisk with jitterbuffer=no)")
            }
            Self::Agrees => f.write_str("the other side's count agrees with what was sent"),
            Self::Unaccounted { frames } => write!(
                f,
                "the other side's count disagrees: {frames} frames sent are neither received nor \
                 missed there"
            ),
            Self::Excess { frames } => {
                write!(f, "the other side's count disagrees: {frames} frames more than were sent")
            }
            Self::Nonsense(nonsense) => {
                let what = match nonsense {
                    Nonsense::MoreThanSent => "it received more frames than were sent",
                    Nonsense::Percent => "more than 100 % lost",
                    Nonsense::WentBack => "a count went back",
                    Nonsense::Negative => "a negative count",
                };
                write!(f, "the other side's count is nonsense: {what}")
            }
        }
    }
}

/// Frames by which two counts may differ: a second of voice on its way or not yet missed, and two
/// per cent.
const fn tolerance(frames: u64) -> u64 {
    50 + frames / 50
}

/// The greatest loss that the 24 bits of an RR LOSS element hold; who counts right stops there.
const MOST_LOST: u32 = 0x00FF_FFFF;

/// Loss may be taken back by frames that come late.
const TAKEN_BACK: u32 = 64;

/// What was sent, for a comparison.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// When the report was asked for; `None`: not known.
    least: Option<u64>,
    /// When it came.
    most: u64,
    /// Frames that are missing in what we sent ourselves, as where a relayed caller's were lost.
    gaps: u64,
}

fn judge(before: Option<&RemoteReport>, report: &RemoteReport, sent: Sent) -> Agreement {
    let RemoteReport { jitter, lost, lost_percent, frames, delay: _, dropped, out_of_order } =
        *report;
    let is_negative = |value: u32| value > u32::MAX / 2;
    let Sent { least, most, gaps } = sent;
    let (most_heard, most_known) = (most + tolerance(most), most + gaps + tolerance(most));
    if (frames, lost, dropped, out_of_order) == (0, 0, 0, 0) {
        return match least {
            Some(least) if least > tolerance(0) => Agreement::NotCounted,
            _ => Agreement::Unreported,
        };
    }
    if is_negative(frames)
        || is_negative(dropped)
        || is_negative(out_of_order)
        || jitter >= Duration::from_millis(1 << 31)
        || (lost > MOST_LOST / 2 && u64::from(lost) > most_known)
    {
        return Agreement::Nonsense(Nonsense::Negative);
    }
    if lost_percent > 100 {
        return Agreement::Nonsense(Nonsense::Percent);
    }
    if u64::from(frames) > most_heard {
        return Agreement::Nonsense(Nonsense::MoreThanSent);
    }
    if before.is_some_and(|before| {
        frames < before.frames || lost.saturating_add(TAKEN_BACK) < before.lost
    }) {
        return Agreement::Nonsense(Nonsense::WentBack);
    }
    let known = u64::from(frames) + u64::from(lost);
    match least {
        _ if known > most_known => Agreement::Excess { frames: known - most - gaps },
        Some(least) if lost < MOST_LOST && known + tolerance(least) < least => {
            Agreement::Unaccounted { frames: least - known }
        }
        _ => Agreement::Agrees,
    }
}

/// Compares the reports of one call.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) last: Option<RemoteReport>,
    pub(crate) agreement: Agreement,
    /// Timestamp of the last PING, and the frames sent by then.
    asked: Option<(Timestamp, u64)>,
    /// Frames sent, and missing in them, before the present peer began to count.
    before: (u64, u64),
    elsewhere: bool,
}

impl Audit {
    /// A PING leaves.
    pub(crate) fn ask(&mut self, timestamp: Timestamp, sent: u64) {
        self.asked = Some((timestamp, sent));
    }

    /// A PONG has come.
    pub(crate) fn report(
        &mut self,
        timestamp: Timestamp,
        report: RemoteReport,
        sent: u64,
        gaps: u64,
    ) {
        let (sent_before, gaps_before) = self.before;
        let asked = self.asked.filter(|(asked, _)| *asked == timestamp);
        let sent = Sent {
            least: asked.map(|(_, sent)| sent.saturating_sub(sent_before)),
            most: sent.saturating_sub(sent_before),
            gaps: gaps.saturating_sub(gaps_before),
        };
        self.agreement = match self.elsewhere {
            true => Agreement::Unreported,
            false => judge(self.last.as_ref(), &report, sent),
        };
        self.last = Some(report);
    }

    /// Another peer, that begins to count.
    pub(crate) fn begin_anew(&mut self, sent: u64, gaps: u64) {
        *self = Self { before: (sent, gaps), ..Self::default() };
    }

    /// Our voice does not go to this peer, or not all that it hears comes from us.
    pub(crate) fn leave_off(&mut self) {
        (self.elsewhere, self.agreement) = (true, Agreement::Unreported);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(frames: u32, lost: u32) -> RemoteReport {
        RemoteReport { frames, lost, ..RemoteReport::default() }
    }

    #[test]
    fn reports_that_fit_and_reports_that_do_not_are_told_apart() {
        use Agreement::{Agrees, Excess, Nonsense as No, NotCounted, Unaccounted, Unreported};
        let sent = Sent { least: Some(10_000), most: 10_010, gaps: 0 };
        let negative_loss = (-1_300_000_i32).cast_unsigned() & MOST_LOST;
        for (name, report, sent, expected) in [
            ("all came", report(10_000, 0), sent, Agrees),
            ("some were lost", report(9_000, 1_000), sent, Agrees),
            ("the last are on their way", report(9_760, 0), sent, Agrees),
            ("nobody counts", report(0, 0), sent, NotCounted),
            ("too early", report(0, 0), Sent { least: Some(20), ..sent }, Unreported),
            ("nobody misses them", report(9_000, 100), sent, Unaccounted { frames: 900 }),
            ("out of nothing", report(10_000, 400), sent, Excess { frames: 390 }),
            ("our own gaps", report(10_000, 400), Sent { gaps: 400, ..sent }, Agrees),
            ("more than were sent", report(11_000, 0), sent, No(Nonsense::MoreThanSent)),
            ("Asterisk's loss", report(10_000, negative_loss), sent, No(Nonsense::Negative)),
            ("minus one frame", report(u32::MAX, 0), sent, No(Nonsense::Negative)),
            ("fewer than before", report(4_999, 0), sent, No(Nonsense::WentBack)),
            ("loss that goes back", report(9_990, 0), Sent { gaps: 7, ..sent }, Agrees),
            (
                "101 per cent",
                RemoteReport { lost_percent: 101, ..report(9_000, 1_000) },
                sent,
                No(Nonsense::Percent),
            ),
            (
                "a count at its stop",
                report(50_000_000, MOST_LOST),
                Sent { least: Some(90_000_000), most: 90_000_000, gaps: 0 },
                Agrees,
            ),
        ] {
            let before = RemoteReport { frames: 5_000, lost: 40, ..RemoteReport::default() };
            assert_eq!(judge(Some(&before), &report, sent), expected, "{name}");
        }
        let before = report(5_000, 400);
        let back = judge(Some(&before), &report(9_000, 300), sent);
        assert_eq!(back, No(Nonsense::WentBack), "more than late frames undo");
    }

    #[test]
    fn a_new_peer_begins_to_count_at_zero() {
        let mut audit = Audit::default();
        audit.ask(Timestamp(1), 5_000);
        audit.report(Timestamp(1), report(5_000, 0), 5_001, 0);
        assert_eq!(audit.agreement, Agreement::Agrees);
        audit.begin_anew(5_001, 0);
        audit.ask(Timestamp(2), 6_001);
        audit.report(Timestamp(2), report(1_000, 0), 6_002, 0);
        assert_eq!(audit.agreement, Agreement::Agrees);
        audit.report(Timestamp(9), report(1_001, 0), 9_000, 0);
        assert_eq!(audit.agreement, Agreement::Agrees, "an answer to another PING");
        audit.leave_off();
        audit.report(Timestamp(3), report(9, 0), 9_000, 0);
        assert_eq!(audit.agreement, Agreement::Unreported);
    }
}
