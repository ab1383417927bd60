//! The switch itself: its state, its processes, and what was done to it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of the switch in a few figures.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::Status;
///
/// // STATUS is an answer of `GET /v1/status`.
/// let status: Status = serde_json::from_str(STATUS)?;
/// assert_eq!((status.calls, status.legs, status.peers), (3, 4, 2));
/// assert!(status.ready && status.troubles.is_empty());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// Since it started.
    pub uptime_seconds: u64,
    /// UDP addresses it listens on.
    pub listen: Vec<String>,
    /// Calls that are up.
    pub calls: usize,
    /// Legs of calls.
    pub legs: usize,
    /// Older processes of this switch, whose calls are not counted above.
    #[serde(default)]
    pub older: Vec<OlderView>,
    /// The profile of the configuration: `amateur-radio`; null without one.
    #[serde(default)]
    pub profile: Option<String>,
    /// Whether calls are encrypted: `off`, `allowed` (some may be), `required` (all are).
    #[serde(default)]
    pub encryption: String,
    /// Peers configured.
    pub peers: usize,
    /// Those of them that are LAGGED or UNREACHABLE.
    pub peers_unreachable: usize,
    /// Peers registered here.
    pub registered_here: usize,
    /// Registrations of ours.
    pub registrations: usize,
    /// Those of them that stand.
    pub registrations_good: usize,
    /// Limits of which all places are taken.
    pub limits_full: usize,
    /// Whether new calls are taken.
    pub ready: bool,
    /// Why they are not: the switch is drained, or has more to do than can be done in time.
    pub refusing: Option<String>,
    /// What is not as it should be, a sentence each.
    pub troubles: Vec<String>,
}

/// A process that has handed the port over to a newer one, and still has calls.
///
/// ```
/// use oneport_switch::api::model::OlderView;
///
/// let json = r#"{"generation": 0, "pid": 712, "version": "0.1.0", "legs": 4, "calls": 2}"#;
/// let older: OlderView = serde_json::from_str(json)?;
/// assert_eq!((older.pid, older.calls), (712, 2));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct OlderView {
    /// Its place among the processes of the switch since that was started: the first is 0.
    pub generation: u32,
    /// Its number in the system.
    pub pid: u32,
    /// Of the program.
    pub version: String,
    /// Legs of its calls.
    pub legs: usize,
    /// Its calls.
    pub calls: usize,
}

/// Another process has taken over.
///
/// ```
/// use oneport_switch::api::model::UpgradeView;
///
/// let json = r#"{
///     "pid": 901,
///     "older": {"generation": 0, "pid": 712, "version": "0.1.0", "legs": 4, "calls": 2}
/// }"#;
/// let upgrade: UpgradeView = serde_json::from_str(json)?;
/// println!("{} serves, {} has {} calls still", upgrade.pid, upgrade.older.pid, upgrade.older.calls);
/// assert_ne!(upgrade.pid, upgrade.older.pid);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpgradeView {
    /// The number in the system of the process that serves now.
    pub pid: u32,
    /// The process that served before, with the calls that stay with it.
    pub older: OlderView,
}

/// The process lives, or takes calls.
///
/// ```
/// use oneport_switch::api::model::Health;
///
/// let json = r#"{"status": "ok"}"#;
/// let health: Health = serde_json::from_str(json)?;
/// assert_eq!(health.status, "ok");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
}

/// Whether the switch takes calls.
///
/// ```
/// use oneport_switch::api::model::DrainState;
///
/// let state: DrainState = serde_json::from_str(r#""draining""#)?;
/// assert_eq!(state, DrainState::Draining);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrainState {
    /// It does.
    Serving,
    /// It takes no new ones, and waits for those that are up.
    Draining,
    /// It takes no new ones, and none is up.
    Drained,
}

/// Whether the switch takes calls, and which are up.
///
/// ```
/// use oneport_switch::api::model::{DrainState, DrainView};
///
/// let json = r#"{"state": "drained", "legs": 0}"#;
/// let drain: DrainView = serde_json::from_str(json)?;
/// assert_eq!(drain, DrainView { state: DrainState::Drained, legs: 0 });
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DrainView {
    /// Whether it takes calls.
    pub state: DrainState,
    /// Legs of calls that are up.
    pub legs: usize,
}

/// What a reload has changed, or would change.
///
/// ```
/// use oneport_switch::api::model::Reloaded;
///
/// let json = r#"{"applied": false, "changes": ["route office is gone"], "calls": 3}"#;
/// let reloaded: Reloaded = serde_json::from_str(json)?;
/// assert!(!reloaded.applied, "it was asked for with `dry_run=true`");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// Whether it was carried out.
    pub applied: bool,
    /// A line for each change.
    pub changes: Vec<String>,
    /// Calls that go on untouched.
    pub calls: usize,
}
