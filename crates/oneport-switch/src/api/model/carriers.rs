//! SIP carriers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PeerState, RegistrationState};

/// A SIP carrier as it is configured, and as it is now.
///
/// ```
/// use oneport_switch::api::model::{CarrierView, PeerState};
///
/// let json = r#"{
///     "name": "acme", "state": "unreachable", "since_seconds": 340, "latency_ms": null,
///     "host": "sip.acme.example", "addresses": ["198.51.100.2:5060"], "transport": "udp",
///     "down": "it does not answer", "registration": "registered", "registered_seconds": 300,
///     "registration_failure": null, "calls_in": 0, "calls_out": 2, "turned_away": 5, "codecs": ["alaw"]
/// }"#;
/// let carrier: CarrierView = serde_json::from_str(json)?;
/// assert_eq!(carrier.state, PeerState::Unreachable);
/// println!("{}: {}", carrier.name, carrier.down.unwrap_or_default());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CarrierView {
    /// Its name, without the `carrier:` by which it is a peer.
    pub name: String,
    /// Whether it answers OPTIONS.
    pub state: PeerState,
    /// Since when it is so.
    pub since_seconds: u64,
    /// How fast it answered the last time.
    pub latency_ms: Option<f64>,
    /// Its host, as it is configured.
    pub host: String,
    /// Where it is, that which answers first.
    pub addresses: Vec<String>,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// Why no call can go there, if none can.
    pub down: Option<String>,
    /// How our registration stands there, if there is one.
    pub registration: Option<RegistrationState>,
    /// For how long it is granted.
    pub registered_seconds: Option<u64>,
    /// Why it failed.
    pub registration_failure: Option<String>,
    /// Calls from it that are up, those that are not answered among them.
    pub calls_in: usize,
    /// Calls to it that are up.
    pub calls_out: usize,
    /// Calls that were turned away because there were too many, since the start.
    pub turned_away: u64,
    /// What it may speak, best first.
    pub codecs: Vec<String>,
}

/// Carriers in the order of their names.
///
/// ```
/// use oneport_switch::api::model::CarriersView;
///
/// let json = r#"{"carriers": []}"#;
/// let carriers: CarriersView = serde_json::from_str(json)?;
/// assert!(carriers.carriers.is_empty(), "no carrier is configured");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CarriersView {
    /// All of them.
    pub carriers: Vec<CarrierView>,
}
