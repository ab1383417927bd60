//! Legs of calls: how they sound, and have sounded.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was heard on one leg.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::{CallView, Heard};
///
/// // CALL is an answer of `GET /v1/calls/{id}`.
/// let call: CallView = serde_json::from_str(CALL)?;
/// let Heard { frames, lost, mos, .. } = call.caller.heard;
/// println!("{lost} of {} frames were lost", frames + lost);
/// assert_eq!((frames, lost, mos), (4216, 85, Some(3.22)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Heard {
    /// Frames that came in time.
    pub frames: u64,
    /// Frames that did not.
    pub lost: u64,
    /// Frames too late for any jitter buffer; they are among the lost.
    pub late: u64,
    /// Frames older than one before them.
    pub out_of_order: u64,
    /// Frames that had come before.
    pub duplicates: u64,
    /// Interarrival jitter (RFC 3550).
    pub jitter_ms: f64,
    /// Half of the frames came later than this behind the fastest ones.
    pub late_p50_ms: f64,
    /// One frame of twenty came later than this.
    pub late_p95_ms: f64,
    /// One frame of a hundred came later than this.
    pub late_p99_ms: f64,
    /// The latest.
    pub late_max_ms: f64,
    /// How late the newest came: a queue that fills shows here first.
    pub late_now_ms: f64,
    /// Bursts of loss (RFC 3611).
    pub bursts: u64,
    /// How long a burst is, on average.
    pub burst_ms: f64,
    /// How long a gap between bursts is, on average.
    pub gap_ms: f64,
    /// Frames lost of those in bursts, per cent.
    pub burst_loss_percent: f64,
    /// Frames lost of those in gaps, per cent.
    pub gap_loss_percent: f64,
    /// How much longer runs of loss are than at random; 1: they are not.
    pub burst_ratio: f64,
    /// By how many millionths the other side's clock is faster than ours; null before a minute of
    /// voice shows it.
    pub clock_ppm: Option<i32>,
    /// The rating R of the E-model (ITU-T G.107), 0 to 93.2; null before anything was heard.
    pub rating: Option<f64>,
    /// The mean opinion score, 1 to 4.41.
    pub mos: Option<f64>,
}

/// What the other side says it heard.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::{CallView, HeardThere};
///
/// // CALL is an answer of `GET /v1/calls/{id}`.
/// let call: CallView = serde_json::from_str(CALL)?;
/// let there: Option<HeardThere> = call.called[0].heard_there.clone();
/// assert_eq!(there.map(|there| (there.lost_percent, there.jitter_ms)), Some((0, 1)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeardThere {
    /// Frames received.
    pub frames: u32,
    /// Frames lost.
    pub lost: u32,
    /// The same, per cent.
    pub lost_percent: u8,
    /// Frames that came too late.
    pub dropped: u32,
    /// Frames out of order.
    pub out_of_order: u32,
    /// Jitter.
    pub jitter_ms: u64,
    /// Delay of its jitter buffer.
    pub delay_ms: u64,
    /// The rating R of the E-model by these figures; null where they cannot be.
    pub rating: Option<f64>,
    /// The mean opinion score.
    pub mos: Option<f64>,
}

/// One leg of a call: one IAX2 call between this switch and somebody.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::{CallView, LegView};
///
/// // CALL is an answer of `GET /v1/calls/{id}`.
/// let call: CallView = serde_json::from_str(CALL)?;
/// let LegView { channel, diagnosis, remedies, .. } = call.caller;
/// assert_eq!(channel, "IAX2/dialer-15678");
/// println!("{}: {}", diagnosis.unwrap_or_default(), remedies.join("; "));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LegView {
    /// The call it belongs to.
    pub call: String,
    /// Its name as Asterisk would write it: `IAX2/PEER-NUMBER`.
    pub channel: String,
    /// Whether it came in or went out.
    pub incoming: bool,
    /// The peer; null for a guest.
    pub peer: Option<String>,
    /// Where the other side is.
    pub address: String,
    /// Our call number.
    pub our_number: Option<u16>,
    /// Theirs.
    pub their_number: Option<u16>,
    /// The codec.
    pub codec: Option<String>,
    /// Whether its frames are encrypted.
    pub encrypted: bool,
    /// Since it began.
    pub seconds: f64,
    /// Round trip, smoothed.
    pub rtt_ms: Option<f64>,
    /// Round trip of the last LAGRQ.
    pub lag_ms: Option<f64>,
    /// The shortest of them.
    pub lag_least_ms: Option<f64>,
    /// The longest of them.
    pub lag_greatest_ms: Option<f64>,
    /// How much longer than the fastest the other side's last poll took to us.
    pub lag_here_ms: Option<f64>,
    /// The same of our last poll to it, as far as round trips tell.
    pub lag_there_ms: Option<f64>,
    /// What we heard.
    pub heard: Heard,
    /// What the other side says it heard; null where it says nothing.
    pub heard_there: Option<HeardThere>,
    /// Why it is choppy: names of causes, as docs/choppy.md lists them; empty where it is not.
    pub causes: Vec<String>,
    /// The same as a sentence, with the figures that show it.
    pub diagnosis: Option<String>,
    /// What mends it.
    pub remedies: Vec<String>,
    /// Who is not heard, and why; null where both sides are.
    #[serde(default)]
    pub one_way: Option<OneWayView>,
    /// Voice frames sent.
    pub sent_frames: u64,
    /// Reliable frames sent again.
    pub retransmissions: u64,
    /// Number of the next full frame that we send.
    pub sent_sequence: u8,
    /// Number of the next that we expect.
    pub received_sequence: u8,
    /// The first IAX message, such as `Rx:NEW`.
    pub first_message: String,
    /// The last so far.
    pub last_message: String,
}

/// Voice flows one way only on a leg, or not at all.
///
/// ```
/// use oneport_switch::api::model::OneWayView;
///
/// let json = r#"{
///     "unheard": "peer", "reason": "no_packet", "seconds": 4.2,
///     "why": "the SIP side is not heard: no packet has come to 192.0.2.1:10000"
/// }"#;
/// let one_way: OneWayView = serde_json::from_str(json)?;
/// assert_eq!((one_way.unheard.as_str(), one_way.reason.as_str()), ("peer", "no_packet"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct OneWayView {
    /// Who is not heard: `peer`, `other` (whoever it speaks with) or `both`.
    pub unheard: String,
    /// The name of the likeliest reason, as docs/media.md lists them.
    pub reason: String,
    /// The same as a sentence.
    pub why: String,
    /// Since that is known.
    pub seconds: f64,
}

/// Legs in the order in which they began.
///
/// ```
/// use oneport_switch::api::model::Legs;
///
/// let json = r#"{"legs": [], "total": 0, "next": null}"#;
/// let legs: Legs = serde_json::from_str(json)?;
/// assert_eq!(legs.total, 0, "no call is up");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Legs {
    /// Some of them.
    pub legs: Vec<LegView>,
    /// How many there are in all.
    pub total: usize,
    /// Where the next page begins: the value for `after`.
    pub next: Option<String>,
}

/// How a leg has sounded for a part of its life, at worst; null: not known, or nothing was heard.
///
/// ```
/// use oneport_switch::api::model::PartView;
///
/// let json = r#"{
///     "seconds_ago": 43.9, "lost_percent": 2.0, "jitter_ms": 1.3, "late_ms": 9.2, "round_trip_ms": 0.3,
///     "lost_percent_there": null, "jitter_ms_there": null, "buffer_ms_there": null
/// }"#;
/// let part: PartView = serde_json::from_str(json)?;
/// assert_eq!((part.lost_percent, part.lost_percent_there), (Some(2.0), None));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PartView {
    /// Since the part ended.
    pub seconds_ago: f64,
    /// Frames lost on their way here.
    pub lost_percent: Option<f64>,
    /// Interarrival jitter (RFC 3550).
    pub jitter_ms: Option<f64>,
    /// How late frames came behind the fastest.
    pub late_ms: Option<f64>,
    /// Round trip.
    pub round_trip_ms: Option<f64>,
    /// Frames lost on their way there, as the other side says.
    pub lost_percent_there: Option<f64>,
    /// Jitter there.
    pub jitter_ms_there: Option<f64>,
    /// Delay of the jitter buffer there.
    pub buffer_ms_there: Option<f64>,
}

/// How a leg has sounded since its beginning.
///
/// ```
/// use oneport_switch::api::model::LegTimeline;
///
/// let json = r#"{"channel": "IAX2/dialer-15678", "parts": []}"#;
/// let leg_timeline: LegTimeline = serde_json::from_str(json)?;
/// assert!(leg_timeline.parts.is_empty(), "it is younger than ten seconds");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LegTimeline {
    /// The leg, as in the call.
    pub channel: String,
    /// Oldest first: of ten seconds each, and of twice as long whenever there would be more than 24.
    pub parts: Vec<PartView>,
}

/// How a call has sounded since its beginning.
///
/// ```
/// use oneport_switch::api::model::TimelineView;
///
/// let json = r#"{
///     "call": "01a22a61-ef44-7850-8427-5f029ea63443",
///     "legs": [{"channel": "IAX2/dialer-15678", "parts": []}, {"channel": "IAX2/ann-7013", "parts": []}]
/// }"#;
/// let timeline: TimelineView = serde_json::from_str(json)?;
/// assert_eq!(timeline.legs[0].channel, "IAX2/dialer-15678");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TimelineView {
    /// Its id.
    pub call: String,
    /// Its legs, that of the caller first.
    pub legs: Vec<LegTimeline>,
}
