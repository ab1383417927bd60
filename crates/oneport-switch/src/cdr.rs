//! Call detail records: one for each leg of a call, written when it ends.
//!
//! `docs/cdr.md` describes the fields.

use std::fmt;

use oneport_proto::{CallStats, EndReason};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::utc::Utc;

/// Which way a leg goes, seen from this switch.
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
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Cdr {
    /// The call: the same for all its legs, in its refusals and in the log.
    #[schema(value_type = String)]
    pub call: Uuid,
    /// The leg: 1 came from the caller, the others were placed for it or joined it, in this order.
    pub leg: u32,
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
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
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
}

/// What the far end says it heard of us.
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
    pub(crate) fn of(stats: &CallStats) -> Self {
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let millis =
            |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let heard = &stats.received;
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
        }
    }
}
