//! Switches with one database.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether a switch with the same database is there.
///
/// ```
/// use oneport_switch::api::model::SwitchState;
///
/// let state: SwitchState = serde_json::from_str(r#""cut_off""#)?;
/// assert_eq!(state, SwitchState::CutOff);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwitchState {
    /// It gives signs of life.
    Alive,
    /// It gave none for too long.
    Dead,
    /// It has said goodbye.
    Left,
    /// It is this one, and the database does not answer.
    CutOff,
}

impl SwitchState {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Alive, Self::Dead, Self::Left, Self::CutOff];

    /// Its name in answers and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Dead => "dead",
            Self::Left => "left",
            Self::CutOff => "cut_off",
        }
    }
}

/// A switch among those with the same database.
///
/// ```
/// use oneport_switch::api::model::{SwitchState, SwitchView};
///
/// let json = r#"{
///     "name": "bonn", "here": false, "state": "dead", "address": "192.0.2.11:4569",
///     "version": "0.1.0", "incarnation": 2, "configuration": 3
/// }"#;
/// let switch: SwitchView = serde_json::from_str(json)?;
/// assert_eq!((switch.name.as_str(), switch.state), ("bonn", SwitchState::Dead));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SwitchView {
    /// Its name.
    pub name: String,
    /// Whether it is the one that answers.
    pub here: bool,
    /// Whether it is there.
    pub state: SwitchState,
    /// Where its IAX2 port is reached.
    pub address: String,
    /// The version of oneport that it runs.
    pub version: String,
    /// Which run of it; later ones are greater. Null while the database has not seen it.
    pub incarnation: Option<i64>,
    /// The version of the shared configuration that it runs; null: none.
    #[serde(default)]
    pub configuration: Option<i64>,
}

/// The switches with the same database.
///
/// ```
/// use oneport_switch::api::model::SwitchesView;
///
/// let json = r#"{
///     "switches": [], "registered_elsewhere": 0, "cut_off": null, "cut_off_seconds": null
/// }"#;
/// let switches: SwitchesView = serde_json::from_str(json)?;
/// assert!(switches.switches.is_empty(), "the switch is alone");
/// assert_eq!(switches.configuration, None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SwitchesView {
    /// This one first, then the others by their names; none where `[cluster]` is missing.
    pub switches: Vec<SwitchView>,
    /// Peers that are registered at others, and called through them.
    pub registered_elsewhere: usize,
    /// Why this one knows nothing new of the others; null while the database answers.
    pub cut_off: Option<String>,
    /// Since when that is so.
    pub cut_off_seconds: Option<u64>,
    /// The newest version of the shared configuration that this one has heard of; null: there is none.
    #[serde(default)]
    pub configuration: Option<i64>,
    /// Why this one does not run it.
    #[serde(default)]
    pub configuration_refused: Option<String>,
}
