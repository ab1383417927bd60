//! Peers, and whether they answer polls.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is known of a peer by polls.
///
/// ```
/// use oneport_switch::api::model::PeerState;
///
/// let state: PeerState = serde_json::from_str(r#""lagged""#)?;
/// assert_eq!(state, PeerState::Lagged);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It is not polled.
    Unmonitored,
    /// It has not been asked yet, or nobody knows where it is.
    Unknown,
    /// It answers in time.
    Ok,
    /// It answers too late for calls.
    Lagged,
    /// It does not answer.
    Unreachable,
}

/// A peer as it is configured, and as it is now.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::{PeerInFull, PeerState, PeerView};
///
/// // PEER is an answer of `GET /v1/peers/ann`.
/// let peer_in_full: PeerInFull = serde_json::from_str(PEER)?;
/// let PeerView { name, state, address, calls_out, .. } = peer_in_full.peer;
/// assert_eq!((name.as_str(), state, calls_out), ("ann", PeerState::Ok, 1));
/// assert_eq!(address.as_deref(), Some("192.0.2.7:4569"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// What polls say of it.
    pub state: PeerState,
    /// Round trip of the last poll.
    pub latency_ms: Option<f64>,
    /// Where it is: its configured address, or that from which it has registered.
    pub address: Option<String>,
    /// Whether it says by registering where it is.
    pub registers: bool,
    /// Until its registration is forgotten.
    pub expires_seconds: Option<u64>,
    /// The name under which we call it.
    pub username: Option<String>,
    /// Whether voice to it goes in trunk frames.
    pub trunk: bool,
    /// `off`, `allowed` or `required`.
    pub encryption: String,
    /// Whose order of codecs counts.
    pub codec_priority: String,
    /// What it may speak, best first.
    pub codecs: Vec<String>,
    /// Where the numbers that it calls are looked up.
    pub contexts: Vec<String>,
    /// How it may prove who it is.
    pub auth: Vec<String>,
    /// Whether it may come from some networks only.
    pub restricted: bool,
    /// Legs of calls that came from it.
    pub calls_in: usize,
    /// Legs of calls that went to it.
    pub calls_out: usize,
    /// The limits on it by name.
    pub limits: Vec<String>,
}

/// A poll of a peer.
///
/// ```
/// use oneport_switch::api::model::PollView;
///
/// let json = r#"{"seconds_ago": 35.4, "round_trip_ms": null}"#;
/// let poll: PollView = serde_json::from_str(json)?;
/// assert!(poll.round_trip_ms.is_none(), "nobody has answered it");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PollView {
    /// Since it ended.
    pub seconds_ago: f64,
    /// Until the answer came; null where none did.
    pub round_trip_ms: Option<f64>,
}

/// A peer, and how fast it has answered of late.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::PeerInFull;
///
/// // PEER is an answer of `GET /v1/peers/ann`.
/// let peer_in_full: PeerInFull = serde_json::from_str(PEER)?;
/// let slowest = peer_in_full.polls.iter().filter_map(|poll| poll.round_trip_ms).fold(0.0, f64::max);
/// assert_eq!((peer_in_full.peer.name.as_str(), slowest), ("ann", 42.4));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PeerInFull {
    /// As in the list.
    pub peer: PeerView,
    /// Its last polls, oldest first: 180 at most.
    pub polls: Vec<PollView>,
}

/// Peers in the order of their names.
///
/// ```
/// use oneport_switch::api::model::Peers;
///
/// let json = r#"{"peers": [], "total": 214, "next": null}"#;
/// let peers: Peers = serde_json::from_str(json)?;
/// assert!(peers.peers.is_empty() && peers.next.is_none(), "it was the last page of 214 peers");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Peers {
    /// Some of them.
    pub peers: Vec<PeerView>,
    /// How many there are in all.
    pub total: usize,
    /// Where the next page begins: the value for `after`.
    pub next: Option<String>,
}
