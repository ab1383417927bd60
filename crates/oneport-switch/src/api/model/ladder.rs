//! The messages of a call.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A message of a call.
///
/// ```
/// use oneport_switch::api::model::LadderMessage;
///
/// let json = r#"{
///     "ms": 0.0, "leg": 0, "incoming": false, "message": "AUTHREQ md5", "repeated": false,
///     "encrypted": false,
///     "text": "15678>13979 0ms 0/1 IAX AUTHREQ AuthMethods({md5})"
/// }"#;
/// let ladder_message: LadderMessage = serde_json::from_str(json)?;
/// assert!(!ladder_message.incoming, "the switch has sent it");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LadderMessage {
    /// When it passed, from the beginning of the call.
    pub ms: f64,
    /// The place of its leg.
    pub leg: usize,
    /// Whether it came to the switch.
    pub incoming: bool,
    /// What it says in a few words, such as `NEW 600`.
    pub message: String,
    /// Whether its sender had sent it before.
    pub repeated: bool,
    /// Whether it was encrypted on the wire. One that no key opens any more says its length alone.
    #[serde(default)]
    pub encrypted: bool,
    /// All that it says, in one line.
    pub text: String,
}

/// The messages by which a call came about.
///
/// ```
/// use oneport_switch::api::model::Ladder;
///
/// let json = r#"{"legs": ["IAX2/dialer-15678", "IAX2/ann-7013"], "messages": []}"#;
/// let ladder: Ladder = serde_json::from_str(json)?;
/// assert_eq!(ladder.legs[0], "IAX2/dialer-15678");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Ladder {
    /// Its legs in the order in which they began, the caller's first.
    pub legs: Vec<String>,
    /// The oldest first.
    pub messages: Vec<LadderMessage>,
}
