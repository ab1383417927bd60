//! How busy the switch is, and how many more calls fit.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How busy a thread is that does media.
///
/// ```
/// use oneport_switch::api::model::ThreadView;
///
/// let json = r#"{"thread": "media", "cpu_percent": 1.06, "delay_ms": 3.8}"#;
/// let thread: ThreadView = serde_json::from_str(json)?;
/// assert_eq!((thread.thread.as_str(), thread.cpu_percent), ("media", Some(1.06)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ThreadView {
    /// `media`: that of the switch, with signalling of IAX2; `sip`: that of the SIP gateway.
    pub thread: String,
    /// CPU time of the last second, of all of its time; null where the system does not tell.
    pub cpu_percent: Option<f64>,
    /// The most that it came later than it was wanted, in the last quarter of a second.
    pub delay_ms: f64,
}

/// How many more calls fit.
///
/// ```
/// use oneport_switch::api::model::ForecastView;
///
/// let json = r#"{
///     "calls": 38, "at_least": 35, "at_most": 41, "bound": "cpu",
///     "words": "about 38 more calls, CPU-bound"
/// }"#;
/// let forecast: ForecastView = serde_json::from_str(json)?;
/// assert!((forecast.at_least..=forecast.at_most).contains(&forecast.calls));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ForecastView {
    /// So many.
    pub calls: usize,
    /// Nine times of ten it is no less.
    pub at_least: usize,
    /// Nine times of ten it is no more.
    pub at_most: usize,
    /// What bounds it: `cpu`, `cpu_quota`, `limit`, `max_calls`,
    /// `max_calls_per_address`, `max_transcoded_calls`, `store`, `socket` or `overload`.
    pub bound: String,
    /// All of it in words.
    pub words: String,
}

/// How many more calls like those that are up with a peer fit.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::{CapacityView, PeerCapacityView};
///
/// // CAPACITY is an answer of `GET /v1/capacity`.
/// let capacity: CapacityView = serde_json::from_str(CAPACITY)?;
/// let PeerCapacityView { peer, calls, forecast, why_not, .. } = &capacity.peers[0];
/// assert_eq!((peer.as_str(), *calls), ("ann", 1));
/// assert!(forecast.is_none() && why_not.is_some());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PeerCapacityView {
    /// The peer: a trunk, a carrier (`carrier:NAME`), a telephone.
    pub peer: String,
    /// Whether its voice goes in trunk frames.
    pub trunk: bool,
    /// The codec that most legs of its calls speak.
    pub codec: Option<String>,
    /// Its calls that are answered and bridged.
    pub calls: usize,
    /// Those whose ends speak different codecs.
    pub transcoded: usize,
    /// How many more fit.
    pub forecast: Option<ForecastView>,
    /// Why that is not known.
    pub why_not: Option<String>,
}

/// How busy the switch is, and how many more calls fit.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::CapacityView;
///
/// // CAPACITY is an answer of `GET /v1/capacity`.
/// let capacity: CapacityView = serde_json::from_str(CAPACITY)?;
/// match (&capacity.forecast, &capacity.why_not) {
///     (Some(forecast), _) => println!("{}", forecast.words),
///     (None, why) => println!("not known: {}", why.as_deref().unwrap_or("?")),
/// }
/// assert_eq!((capacity.threads[0].thread.as_str(), capacity.mark_percent), ("media", 90));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CapacityView {
    /// Why new calls are refused.
    pub refusing: Option<String>,
    /// Threads that do media.
    pub threads: Vec<ThreadView>,
    /// CPU time used of the process's CPU quota, where it has one.
    pub cpu_quota_percent: Option<f64>,
    /// The CPU at which new calls are refused.
    pub mark_percent: u32,
    /// Calls that are answered and bridged.
    pub calls: usize,
    /// Those whose ends speak different codecs.
    pub transcoded: usize,
    /// CPU time that one of them takes in each second, as it was fitted to what was measured.
    pub call_cpu_ms: Option<f64>,
    /// The standard error of that.
    pub call_cpu_ms_error: Option<f64>,
    /// How many more of the present mix fit.
    pub forecast: Option<ForecastView>,
    /// Why that is not known.
    pub why_not: Option<String>,
    /// Peers that have such calls, by name.
    pub peers: Vec<PeerCapacityView>,
}
