//! The switch at a glance.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CallState;

/// How many calls are so far.
///
/// ```
/// use oneport_switch::api::model::{CallState, StateCount};
///
/// let json = r#"{"state": "ringing", "calls": 2}"#;
/// let state_count: StateCount = serde_json::from_str(json)?;
/// assert_eq!(state_count, StateCount { state: CallState::Ringing, calls: 2 });
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StateCount {
    /// How far.
    pub state: CallState,
    /// How many.
    pub calls: usize,
}

/// Calls whose worst leg has a mean opinion score of this and less than that of the class before.
///
/// ```
/// use oneport_switch::api::model::MosClass;
///
/// let json = r#"{"at_least": 4.34, "calls": 3}"#;
/// let mos_class: MosClass = serde_json::from_str(json)?;
/// assert_eq!(mos_class.calls, 3, "and all of them sound well");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct MosClass {
    /// The lower bound of the score.
    pub at_least: f64,
    /// How many.
    pub calls: usize,
}

/// The last hour, oldest first.
///
/// ```
/// use oneport_switch::api::model::History;
///
/// let json = r#"{"seconds": 10, "calls": [3, 4, 2], "begun": [3, 1, 0], "refused": [0, 0, 0]}"#;
/// let history: History = serde_json::from_str(json)?;
/// let rate = history.begun[0] as f64 / history.seconds as f64;
/// assert_eq!(rate, 0.3, "calls in a second, half a minute ago");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// How long a point is.
    pub seconds: usize,
    /// The most calls at once.
    pub calls: Vec<usize>,
    /// Calls that have begun.
    pub begun: Vec<u64>,
    /// Calls that were refused.
    pub refused: Vec<u64>,
}

/// How the process does.
///
/// ```
/// use oneport_switch::api::model::ProcessView;
///
/// let json = r#"{"cpu_percent": 1.6, "cores": 2, "memory_peak_bytes": 35999744, "lag_ms": 4.4}"#;
/// let process: ProcessView = serde_json::from_str(json)?;
/// assert!(process.cpu_percent < 100.0 * process.cores as f64);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProcessView {
    /// CPU of the last seconds, of one core.
    pub cpu_percent: f64,
    /// Cores that it may use.
    pub cores: usize,
    /// The most memory that it has had.
    pub memory_peak_bytes: u64,
    /// The longest that the switch took to answer in the last seconds.
    pub lag_ms: f64,
}

/// How its sockets do.
///
/// ```
/// use oneport_switch::api::model::SocketView;
///
/// let json = r#"{"datagrams_per_second": 202.4, "overflowed": 0, "dropped": 5, "retransmissions": 0}"#;
/// let socket: SocketView = serde_json::from_str(json)?;
/// assert_eq!(socket.overflowed, 0, "the kernel has dropped nothing");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SocketView {
    /// Datagrams that came, of the last seconds.
    pub datagrams_per_second: f64,
    /// Datagrams that the kernel dropped as the socket's buffer was full, since the start.
    pub overflowed: u64,
    /// Frames dropped for any reason, since the start.
    pub dropped: u64,
    /// Reliable frames sent again, since the start.
    pub retransmissions: u64,
}

/// How the switch does.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::{CallState, Overview};
///
/// // OVERVIEW is an answer of `GET /v1/overview`.
/// let overview: Overview = serde_json::from_str(OVERVIEW)?;
/// let states = overview.states.iter().filter(|count| count.calls > 0);
/// let states: Vec<_> = states.map(|count| (count.state, count.calls)).collect();
/// assert_eq!(states, [(CallState::Answered, 2), (CallState::Parked, 1)]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// Calls that are up.
    pub calls: usize,
    /// Legs of calls.
    pub legs: usize,
    /// How far they are.
    pub states: Vec<StateCount>,
    /// Calls begun, of the last seconds.
    pub begun_per_second: f64,
    /// Calls refused since the start.
    pub refused: u64,
    /// How calls sound that are up, the best first.
    pub mos: Vec<MosClass>,
    /// Calls of which nothing was heard yet.
    pub unheard: usize,
    /// Legs on which somebody is not heard.
    pub one_way: usize,
    /// The last hour.
    pub history: History,
    /// How the process does.
    pub process: ProcessView,
    /// How its sockets do.
    pub sockets: SocketView,
}
