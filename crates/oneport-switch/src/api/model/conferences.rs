//! Conferences and their members.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A member of a conference.
///
/// ```
/// use oneport_switch::api::model::MemberView;
///
/// let json = r#"{
///     "call": "01a22a61-efae-79d5-a7f8-9ca62b03765c", "who": "dialer", "muted": false, "seconds": 79.3,
///     "gain_db": -6.0, "talks": true, "frames": 3947, "late": 0, "concealed_ms": 0
/// }"#;
/// let member: MemberView = serde_json::from_str(json)?;
/// assert!(member.talks && !member.muted && member.gain_db == -6.0);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// Its call.
    pub call: String,
    /// Who it is: a peer's name, or a guest's address.
    pub who: String,
    /// Whether the others do not hear it.
    pub muted: bool,
    /// Since it came in.
    pub seconds: f64,
    /// By how many dB the others hear it louder than it speaks.
    pub gain_db: f32,
    /// Whether it speaks, muted or not.
    pub talks: bool,
    /// Frames of it that were taken.
    pub frames: u64,
    /// Frames that came too late to be heard, or twice.
    pub late: u64,
    /// Audio that was made up in place of what did not come.
    pub concealed_ms: u64,
}

/// A conference that somebody is in.
///
/// ```
/// use oneport_switch::api::model::ConferenceView;
///
/// let json = r#"{"room": "sales", "members": []}"#;
/// let conference: ConferenceView = serde_json::from_str(json)?;
/// assert_eq!((conference.room.as_str(), conference.members.len()), ("sales", 0));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConferenceView {
    /// Its name.
    pub room: String,
    /// In the order in which they came.
    pub members: Vec<MemberView>,
}

/// Conferences in the order of their names.
///
/// ```
/// use oneport_switch::api::model::ConferencesView;
///
/// let json = r#"{"conferences": [], "total": 0, "next": null}"#;
/// let conferences: ConferencesView = serde_json::from_str(json)?;
/// assert_eq!(conferences.total, 0, "nobody is in any");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConferencesView {
    /// Some of them.
    pub conferences: Vec<ConferenceView>,
    /// How many there are in all.
    pub total: usize,
    /// Where the next page begins: the value for `after`.
    pub next: Option<String>,
}
