//! Calls that are up, and what can be asked of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::LegView;

/// How far a call is.
///
/// ```
/// use oneport_switch::api::model::CallState;
///
/// let state: CallState = serde_json::from_str(r#""ringing""#)?;
/// assert_eq!(state, CallState::Ringing);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// The caller must prove who it is.
    Identifying,
    /// It dials digit by digit.
    Dialling,
    /// Somebody is being looked for who takes it.
    Calling,
    /// It rings there.
    Ringing,
    /// It was answered.
    Answered,
    /// It waits in the parking lot.
    Parked,
}

impl CallState {
    /// All of them, in the order in which a call goes through them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Identifying,
        Self::Dialling,
        Self::Calling,
        Self::Ringing,
        Self::Answered,
        Self::Parked,
    ];

    /// Its name in answers and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Identifying => "identifying",
            Self::Dialling => "dialling",
            Self::Calling => "calling",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Parked => "parked",
        }
    }
}

/// A call through the switch: its caller, and whoever is called for it.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::{CallState, CallView};
///
/// // CALL is an answer of `GET /v1/calls/{id}`.
/// let call: CallView = serde_json::from_str(CALL)?;
/// assert_eq!((call.state, call.route.as_deref()), (CallState::Answered, Some("ann")));
/// let peers = [&call.caller, &call.called[0]].map(|leg| leg.peer.as_deref());
/// assert_eq!(peers, [Some("dialer"), Some("ann")]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CallView {
    /// Its name in all of the API, the log and the records.
    pub id: String,
    /// The number of the process that has it, where that is an older one than serves now.
    #[serde(default)]
    pub process: Option<u32>,
    /// How far it is.
    pub state: CallState,
    /// The number called.
    pub number: String,
    /// The caller's number.
    pub calling_number: Option<String>,
    /// The route that leads it; null where none does.
    pub route: Option<String>,
    /// Where it leads: `builtin:NAME`, `peer:NAME`; null while that is open.
    pub destination: Option<String>,
    /// Since it began.
    pub seconds: f64,
    /// Its recording, while it is recorded.
    pub recording: Option<RecordingView>,
    /// Whose tokens are used to listen to it now.
    #[serde(default)]
    pub listeners: Vec<String>,
    /// The codecs of its two ends, where they differ and its voice is transcoded.
    #[serde(default)]
    pub transcoded: Option<TranscodedView>,
    /// The leg of the caller.
    pub caller: LegView,
    /// Legs to those who are called; several while they ring at once.
    pub called: Vec<LegView>,
}

/// The recording of a call.
///
/// ```
/// use oneport_switch::api::model::RecordingView;
///
/// let json = r#"{"file": "recordings/call.wav", "seconds": 1.1, "frames_left_out": 0, "failed": false}"#;
/// let recording: RecordingView = serde_json::from_str(json)?;
/// assert!(!recording.failed && recording.frames_left_out == 0);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordingView {
    /// A WAV file with two channels: left the caller, right who was called.
    pub file: String,
    /// Since it began.
    pub seconds: f64,
    /// Frames that are missing since the disk did not keep up.
    pub frames_left_out: u64,
    /// Whether the file could not be written.
    pub failed: bool,
}

/// Between which codecs a call is transcoded.
///
/// ```
/// use oneport_switch::api::model::TranscodedView;
///
/// let json = r#"{"caller": "alaw", "called": "ulaw"}"#;
/// let transcoded: TranscodedView = serde_json::from_str(json)?;
/// assert_ne!(transcoded.caller, transcoded.called);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TranscodedView {
    /// What the caller speaks and hears.
    pub caller: String,
    /// What who was called speaks and hears.
    pub called: String,
}

/// Calls in the order in which they began.
///
/// ```
/// use oneport_switch::api::model::Calls;
///
/// let json = r#"{"calls": [], "total": 3, "next": null}"#;
/// let calls: Calls = serde_json::from_str(json)?;
/// assert_eq!((calls.calls.len(), calls.total), (0, 3), "a page behind the last of three calls");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Calls {
    /// Some of them.
    pub calls: Vec<CallView>,
    /// How many fit the filter in all.
    pub total: usize,
    /// Where the next page begins: the value for `after`.
    pub next: Option<String>,
}

/// One of the two sides of a call.
///
/// ```
/// use oneport_switch::api::model::Side;
///
/// assert_eq!(serde_json::to_value(Side::Called)?, "called");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Who has placed it.
    Caller,
    /// Who was called.
    Called,
}

/// Where one side of a call shall go.
///
/// ```
/// use oneport_switch::api::model::{Side, Transfer};
///
/// // The body of `POST /v1/calls/{id}/transfer`.
/// let transfer = Transfer { to: "600".into(), context: None, party: Side::Caller };
/// let body = serde_json::to_value(&transfer)?;
/// assert_eq!((&body["to"], &body["party"]), (&"600".into(), &"caller".into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Transfer {
    /// The number, as the other side may call it.
    pub to: String,
    /// The context in which it is looked up; null: that of the other side.
    #[serde(default)]
    pub context: Option<String>,
    /// Who is led on; the other side is hung up.
    pub party: Side,
}

/// A call to be placed: somebody is rung, and led on when it answers.
///
/// ```
/// use oneport_switch::api::model::Originate;
///
/// // The body of `POST /v1/calls`.
/// let body = r#"{"ring": "peer:ann", "to": "600", "calling_name": "desk", "timeout_seconds": 20}"#;
/// let originate: Originate = serde_json::from_str(body)?;
/// assert_eq!((originate.ring.as_str(), originate.to.as_str()), ("peer:ann", "600"));
/// assert_eq!(originate.calling_number, None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Originate {
    /// Who is rung first: `peer:NAME` or `peer:NAME/NUMBER`.
    pub ring: String,
    /// Where it is led then: a number, looked up as if the peer had called it, or a destination:
    /// `peer:NAME/NUMBER`, `builtin:NAME`.
    pub to: String,
    /// The context in which the number is looked up; null: those of the peer.
    #[serde(default)]
    pub context: Option<String>,
    /// The caller's number that both are shown. Null: who is rung sees `to`, and who is called
    /// then sees the number of the first as its peer may say it.
    #[serde(default)]
    pub calling_number: Option<String>,
    /// The caller's name that both are shown.
    #[serde(default)]
    pub calling_name: Option<String>,
    /// How long the first may ring: 30 s where it is not said, 600 at most.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 600)]
    pub timeout_seconds: Option<u64>,
}
