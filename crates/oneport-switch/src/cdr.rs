//! Call detail records: one for each leg of a call, written when it ends.
//!
//! `docs/cdr.md` describes the fields.

use std::fmt;

use oneport::{Diagnosis, LossBursts, Score};
use oneport_proto::{CallStats, EndReason};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::utc::Utc;

/// Which way a leg goes, seen from this switch.
///
/// ```
/// use oneport_switch::LegDirection;
///
/// assert_eq!(LegDirection::ALL.map(LegDirection::name), ["in", "out"]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegDirection {
    /// It came from the peer.
    In,
    /// We placed it.
    Out,
}

impl LegDirection {
    /// Both.
    pub const ALL: [Self; 2] = [Self::In, Self::Out];

    /// Its name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

impl fmt::Display for LegDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who ended a leg.
///
/// ```
/// use oneport_switch::HungUpBy;
///
/// assert_eq!(HungUpBy::ALL.map(HungUpBy::name), ["peer", "other_leg", "switch", "network"]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HungUpBy {
    /// Its far end did.
    Peer,
    /// The call's other leg ended, and took this one with it.
    OtherLeg,
    /// This switch did: it refused the call, its time was up, or an operator wanted it.
    Switch,
    /// Nobody did: the peer fell silent, or has lost the call.
    Network,
}

impl HungUpBy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Peer, Self::OtherLeg, Self::Switch, Self::Network];

    /// Its name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::OtherLeg => "other_leg",
            Self::Switch => "switch",
            Self::Network => "network",
        }
    }

    /// Who ended a leg of which the engine gives `reason`; `followed`: its other leg had ended.
    pub(crate) fn of(reason: EndReason, followed: bool) -> Self {
        match reason {
            EndReason::RemoteHangup | EndReason::RemoteReject | EndReason::Transferred => {
                Self::Peer
            }
            EndReason::LocalHangup | EndReason::LocalReject if followed => Self::OtherLeg,
            EndReason::TimedOut
            | EndReason::Unanswered
            | EndReason::SetupTimedOut
            | EndReason::Undecided
            | EndReason::Invalidated
            | EndReason::PeerRestarted => Self::Network,
            _ => Self::Switch,
        }
    }
}

impl fmt::Display for HungUpBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call detail record: what became of one leg of a call.
///
/// `start`, `answer` and `end` are dated by the clock as it was when the leg began, and lie as far
/// apart as a monotonic clock says: no step of the system's clock makes a duration wrong.
///
/// ```
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// let cdr = cdr();
/// assert_eq!((cdr.end.since(cdr.start).as_millis(), cdr.billable_ms), (9_900, 8_900));
/// assert_eq!(cdr.billable_seconds(), 8);
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Cdr {
    /// The call: the same for all its legs, in its refusals and in the log.
    #[schema(value_type = String)]
    pub call: Uuid,
    /// The leg: 1 came from the caller, the others were placed for it or joined it, in this order. Of a call that goes
    /// over several switches each counts its own.
    pub leg: u32,
    /// Which of several switches with one database has written it; none where it is alone.
    #[serde(default)]
    pub switch: Option<String>,
    /// Which way it goes.
    pub direction: LegDirection,
    /// The peer's name; none for a guest.
    pub peer: Option<String>,
    /// Where the peer was when the leg ended: IP address and port.
    pub address: String,
    /// The caller's number.
    pub calling_number: Option<String>,
    /// The caller's name.
    pub calling_name: Option<String>,
    /// The number called over this leg.
    pub called_number: String,
    /// The number dialled at first, where it came with the call.
    pub dnid: Option<String>,
    /// The number that redirected the call, where it came with it.
    pub rdnis: Option<String>,
    /// The route that led the call, by its name.
    pub route: Option<String>,
    /// Where the call was led last: `peer:NAME/NUMBER` or `builtin:NAME`.
    pub destination: Option<String>,
    /// When it began.
    #[schema(value_type = String)]
    pub start: Utc,
    /// When it was answered, if it was.
    #[schema(value_type = Option<String>)]
    pub answer: Option<Utc>,
    /// When it ended.
    #[schema(value_type = String)]
    pub end: Utc,
    /// From start to end, in ms.
    pub duration_ms: u64,
    /// From answer to end, in ms; 0 where nobody answered.
    pub billable_ms: u64,
    /// Why it ended: a name of `EndReason`, such as `remote_hangup`, or `max_duration` or `no_media`.
    pub reason: String,
    /// The cause sent or received, as Q.850 numbers it.
    pub cause: u8,
    /// The peer's own words.
    pub cause_text: Option<String>,
    /// Who ended it.
    pub hung_up_by: HungUpBy,
    /// The codec spoken last, by Asterisk's name.
    pub codec: Option<String>,
    /// The codec of its other leg, where its voice was made into that and back: the last one.
    #[serde(default)]
    pub transcoded: Option<String>,
    /// Whether it was encrypted.
    pub encrypted: bool,
    /// Whether its voice went out in trunk frames.
    pub trunk: bool,
    /// The limit that stood against it, if one did.
    pub limit: Option<String>,
    /// The peer's `account_code`.
    pub account_code: Option<String>,
    /// Figures of its voice, both ways.
    pub quality: Quality,
}

impl Cdr {
    /// Billable time in whole seconds, rounded down, as Asterisk's `billsec`.
    #[must_use]
    pub const fn billable_seconds(&self) -> u64 {
        self.billable_ms / 1_000
    }
}

/// Figures of a leg's voice, both ways. Counts are of frames unless they say otherwise.
///
/// ```
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// let quality = cdr().quality;
/// let sent = quality.frames + quality.lost;
/// assert_eq!(quality.lost * 1_000 / sent, 11, "per mille");
/// assert_eq!(quality.mos, None, "nobody has rated it");
/// ```
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// Frames heard here in time.
    pub frames: u64,
    /// Their payload in bytes.
    pub bytes: u64,
    /// Frames that were sent to us and did not come in time.
    pub lost: u64,
    /// Those of the lost that came too late for any jitter buffer.
    pub late: u64,
    /// Frames that came behind newer ones.
    pub out_of_order: u64,
    /// Frames that came twice.
    pub duplicates: u64,
    /// Interarrival jitter (RFC 3550), in µs.
    pub jitter_us: u64,
    /// Frames sent.
    pub sent_frames: u64,
    /// Their payload in bytes.
    pub sent_bytes: u64,
    /// Frames that could not be sent on.
    pub send_drops: u64,
    /// Reliable frames sent again.
    pub retransmissions: u64,
    /// Round trip in µs, where one was measured.
    pub rtt_us: Option<u64>,
    /// What the far end says it heard, where it says so.
    pub remote: Option<RemoteQuality>,
    /// Whether that fits what we sent: a name of `Agreement`, such as `agrees`.
    pub agreement: String,
    /// Length of a frame heard here, in ms; 0 where it is not known.
    pub frame_ms: u64,
    /// Half of the frames came later than this behind the fastest ones, in µs; 0 below a millisecond,
    /// here and below.
    pub late_p50_us: u64,
    /// One frame of twenty came later than this.
    pub late_p95_us: u64,
    /// One frame of a hundred came later than this.
    pub late_p99_us: u64,
    /// The latest.
    pub late_max_us: u64,
    /// Bursts of loss (RFC 3611 §4.7.2, `Gmin` 16).
    pub bursts: u64,
    /// How long a burst is, on average, in ms.
    pub burst_ms: u64,
    /// How long a gap between bursts is, on average, in ms.
    pub gap_ms: u64,
    /// Frames lost of those in bursts, per cent.
    pub burst_loss_percent: f64,
    /// Frames lost of those in gaps, per cent.
    pub gap_loss_percent: f64,
    /// How much longer runs of loss are than at random (`BurstR` of ITU-T G.107); 1: they are not.
    pub burst_ratio: f64,
    /// By how many millionths the far end's clock is faster than ours, where that was measured.
    pub clock_ppm: Option<i32>,
    /// The last round trip of a LAGRQ, in µs.
    pub lag_us: Option<u64>,
    /// The shortest of them.
    pub lag_least_us: Option<u64>,
    /// The longest of them.
    pub lag_greatest_us: Option<u64>,
    /// How much longer than the fastest the far end's last poll took to us, in µs.
    pub lag_here_us: Option<u64>,
    /// The same of our last poll to it, as far as round trips tell.
    pub lag_there_us: Option<u64>,
    /// What was heard here, by the rating R of the E-model (ITU-T G.107); none where nothing was.
    pub rating: Option<f64>,
    /// The same as a mean opinion score.
    pub mos: Option<f64>,
    /// What the far end heard of us, by what it reports; none where it reports nothing.
    pub remote_rating: Option<f64>,
    /// The same as a mean opinion score.
    pub remote_mos: Option<f64>,
    /// What ailed it: names of causes, joined by commas; none where nothing did.
    pub causes: Option<String>,
    /// The same as a sentence, with the figures that show it.
    pub diagnosis: Option<String>,
    /// Why voice flowed one way only, or not at all: names of reasons, joined by commas; none where both
    /// were heard.
    #[serde(default)]
    pub one_way: Option<String>,
    /// The first of them as a sentence.
    #[serde(default)]
    pub one_way_why: Option<String>,
    /// For how long, in ms.
    #[serde(default)]
    pub one_way_ms: Option<u64>,
}

/// What the far end says it heard of us.
///
/// ```
/// use oneport_switch::RemoteQuality;
///
/// let remote = RemoteQuality { frames: 980, lost: 20, ..RemoteQuality::default() };
/// assert_eq!(remote.lost * 100 / (remote.frames + remote.lost), 2, "per cent");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RemoteQuality {
    /// Frames received.
    pub frames: u32,
    /// Frames lost.
    pub lost: u32,
    /// Frames that came too late and were dropped.
    pub dropped: u32,
    /// Frames out of order.
    pub out_of_order: u32,
    /// Jitter in ms.
    pub jitter_ms: u32,
    /// Playout delay above the least possible, in ms.
    pub delay_ms: u32,
}

impl Quality {
    /// The figures of a leg as the engine counted them.
    pub(crate) fn of(stats: &CallStats, diagnosis: Option<&Diagnosis>) -> Self {
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let millis =
            |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let heard = &stats.received;
        let loss = LossBursts::of(heard);
        let (here, there) = (Score::here(stats), Score::there(stats));
        Self {
            frames: heard.frames,
            bytes: heard.bytes,
            lost: heard.lost,
            late: heard.late,
            out_of_order: heard.out_of_order,
            duplicates: heard.duplicates,
            jitter_us: micros(heard.jitter),
            sent_frames: stats.sent_frames,
            sent_bytes: stats.sent_bytes,
            send_drops: stats.send_drops,
            retransmissions: stats.retransmissions,
            rtt_us: stats.rtt.map(micros),
            remote: stats.remote.map(|there| RemoteQuality {
                frames: there.frames,
                lost: there.lost,
                dropped: there.dropped,
                out_of_order: there.out_of_order,
                jitter_ms: millis(there.jitter),
                delay_ms: millis(there.delay),
            }),
            agreement: stats.agreement.name().into(),
            frame_ms: millis(heard.frame).into(),
            late_p50_us: micros(heard.delay.p50),
            late_p95_us: micros(heard.delay.p95),
            late_p99_us: micros(heard.delay.p99),
            late_max_us: micros(heard.delay.greatest),
            bursts: loss.bursts,
            burst_ms: millis(loss.burst_length).into(),
            gap_ms: millis(loss.gap_length).into(),
            burst_loss_percent: hundredths(loss.burst_density),
            gap_loss_percent: hundredths(loss.gap_density),
            burst_ratio: hundredths(loss.burst_ratio),
            clock_ppm: heard.delay.clock_ppm,
            lag_us: stats.lag.last.map(micros),
            lag_least_us: stats.lag.least.map(micros),
            lag_greatest_us: stats.lag.greatest.map(micros),
            lag_here_us: stats.lag.incoming_excess.map(micros),
            lag_there_us: stats.lag.outgoing_excess().map(micros),
            rating: here.map(|score| hundredths(score.rating)),
            mos: here.map(|score| hundredths(score.mos)),
            remote_rating: there.map(|score| hundredths(score.rating)),
            remote_mos: there.map(|score| hundredths(score.mos)),
            causes: diagnosis.map(Diagnosis::names),
            diagnosis: diagnosis.map(ToString::to_string),
            one_way: None,
            one_way_why: None,
            one_way_ms: None,
        }
    }
}

/// More digits than two are not worth keeping.
pub(crate) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_proto::{DelayVariation, LagStats, RemoteReport, VoiceStats};
    use oneport_wire::Format;
    use std::time::Duration;

    #[test]
    fn a_leg_is_worth_what_is_worked_out_by_hand() {
        let ms = Duration::from_millis;
        let mut received =
            VoiceStats { frames: 990, lost: 10, frame: ms(20), ..VoiceStats::default() };
        // Two bursts of 4 frames in a row, and 2 frames singly.
        let pattern = &mut received.pattern;
        (pattern.lost, pattern.runs, pattern.bursts) = (10, 4, 2);
        (pattern.burst_frames, pattern.burst_lost) = (8, 8);
        received.delay = DelayVariation { p99: ms(30), clock_ppm: Some(-40), ..received.delay };
        let remote =
            RemoteReport { frames: 900, lost: 100, delay: ms(40), ..RemoteReport::default() };
        let stats = CallStats {
            format: Some(Format::ULAW),
            rtt: Some(ms(40)),
            lag: LagStats {
                last: Some(ms(90)),
                least: Some(ms(40)),
                greatest: Some(ms(120)),
                incoming_excess: Some(ms(10)),
                mean: Some(ms(70)),
            },
            received,
            remote: Some(remote),
            ..CallStats::default()
        };
        let quality = Quality::of(&stats, None);
        assert_eq!((quality.bursts, quality.burst_ms, quality.gap_ms), (2, 80, 6_613));
        assert_eq!((quality.burst_loss_percent, quality.gap_loss_percent), (100.0, 0.2));
        // Runs of 2.5 frames with 1 % lost: 2.5 × 0.99.
        assert!((2.47..=2.48).contains(&quality.burst_ratio), "{}", quality.burst_ratio);
        assert_eq!((quality.lag_here_us, quality.lag_there_us), (Some(10_000), Some(40_000)));
        assert_eq!(quality.clock_ppm, Some(-40));
        // G.107: 70 ms (20 + 40/2 + 30) leave 91.30 of 93.21; 1 % of loss with BurstR 2.475 costs
        // 95 × 1 / (1 / 2.475 + 4.3) = 20.20; R 71.10 has MOS 3.65 (B-4).
        let near = |found: Option<f64>, expected: f64| {
            let found = found.expect("judged");
            assert!((found - expected).abs() <= 0.02, "{found}, and not {expected}");
        };
        near(quality.rating, 71.10);
        near(quality.mos, 3.65);
        // There: 80 ms leave 91.09; 10 % at random costs 95 × 10 / (10 + 4.3) = 66.43.
        near(quality.remote_rating, 24.66);
        near(quality.remote_mos, 1.40);
        let silent = Quality::of(&CallStats::default(), None);
        assert_eq!((silent.rating, silent.remote_mos), (None, None));
    }
}
