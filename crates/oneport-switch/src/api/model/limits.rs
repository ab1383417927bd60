//! Limits and their use.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who holds places under a limit.
///
/// ```
/// use oneport_switch::api::model::User;
///
/// let json = r#"{"name": "dialer", "calls": 3}"#;
/// let user: User = serde_json::from_str(json)?;
/// assert_eq!((user.name.as_str(), user.calls), ("dialer", 3));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The peer.
    pub name: String,
    /// How many.
    pub calls: usize,
}

/// How much of a limit other switches hold.
///
/// ```
/// use oneport_switch::api::model::SharedView;
///
/// let json = r#"{
///     "leased": 12, "elsewhere": 8, "in_use_elsewhere": 5, "max": 30, "switches": 3, "age_seconds": 1.9
/// }"#;
/// let shared: SharedView = serde_json::from_str(json)?;
/// assert_eq!(shared.max - shared.leased - shared.elsewhere, 10, "nobody holds these");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SharedView {
    /// Slots that are leased to this switch, or that it may use still.
    pub leased: usize,
    /// Slots that the others hold.
    pub elsewhere: usize,
    /// Of these, slots that stay theirs when the database does not hear of them: calls, and a few more.
    pub in_use_elsewhere: usize,
    /// How many there are: the least that any of them is configured with.
    pub max: usize,
    /// How many switches have the limit.
    pub switches: usize,
    /// How long ago the lease was renewed; null: not since the start.
    pub age_seconds: Option<f64>,
}

/// A limit and its use.
///
/// ```
/// use oneport_switch::api::model::LimitView;
///
/// let json = r#"{
///     "name": "dialer", "used": 3, "soft": false, "max_calls": 30, "max_calls_per_second": null,
///     "begun_within_second": 0, "peak": 3, "refused": 0, "at_cap_seconds": 0.0, "history": [3, 3],
///     "top": [{"name": "dialer", "calls": 3}]
/// }"#;
/// let limit: LimitView = serde_json::from_str(json)?;
/// assert_eq!(limit.max_calls.map(|most| most - limit.used), Some(27), "so many more may be up");
/// assert!(limit.shared.is_none(), "no other switch has it");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LimitView {
    /// Its name; the number behind it where each number has a limit of its own.
    pub name: String,
    /// Calls up now.
    pub used: usize,
    /// Whether it only warns.
    pub soft: bool,
    /// How many may be up.
    pub max_calls: Option<usize>,
    /// How many may begin within a second.
    pub max_calls_per_second: Option<usize>,
    /// How many have begun within the last.
    pub begun_within_second: usize,
    /// The most at once since the start.
    pub peak: usize,
    /// Calls refused since the start.
    pub refused: u64,
    /// How long all places were taken.
    pub at_cap_seconds: f64,
    /// The most at once in each of the last minutes, oldest first; a day at most.
    pub history: Vec<usize>,
    /// The ten who hold the most.
    pub top: Vec<User>,
    /// Where several switches keep it together: calls at once.
    #[serde(default)]
    pub shared: Option<SharedView>,
    /// The same of calls within a second.
    #[serde(default)]
    pub shared_rate: Option<SharedView>,
}

/// All limits.
///
/// ```
/// use oneport_switch::api::model::LimitsView;
///
/// let json = r#"{"limits": []}"#;
/// let limits: LimitsView = serde_json::from_str(json)?;
/// assert!(limits.limits.is_empty(), "none is configured");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LimitsView {
    /// In the order of the configuration; 1,000 at most.
    pub limits: Vec<LimitView>,
}
