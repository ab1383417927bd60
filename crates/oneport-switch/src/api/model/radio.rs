//! Radio nodes, and the links between them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A radio node (docs/allstarlink.md): at the far end of a call, or one of which such a node tells.
///
/// ```
/// use oneport_switch::api::model::RadioNodeView;
///
/// let json = r#"{
///     "node": "2001", "call": "01a22a61-ef44-7850-8427-5f029ea63443", "peer": "radio", "keyed": true,
///     "keyed_by": "frames", "for_seconds": 7.0, "keyed_seconds": 61.5, "times": 4, "linked": 12,
///     "said": null
/// }"#;
/// let radio_node: RadioNodeView = serde_json::from_str(json)?;
/// assert_eq!((radio_node.node.as_str(), radio_node.keyed), ("2001", Some(true)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RadioNodeView {
    /// Its number; of one without a number its peer.
    pub node: String,
    /// The id of its call; null where others tell of it.
    pub call: Option<String>,
    /// The peer of its leg; null for a guest, and where others tell of it.
    pub peer: Option<String>,
    /// Whether it is keyed; null where nobody says.
    pub keyed: Option<bool>,
    /// How that is known: `frames` (KEY and UNKEY), `voice` (it sends some), `report` (it has said so in a text).
    pub keyed_by: Option<String>,
    /// How long it has been so; null of a node of this switch that is not keyed.
    pub for_seconds: Option<f64>,
    /// How long it was keyed since its call began.
    pub keyed_seconds: Option<f64>,
    /// How often.
    pub times: Option<u64>,
    /// With how many others it is linked, as it says.
    pub linked: Option<usize>,
    /// The last that it has said to people, in words.
    pub said: Option<String>,
}

/// A link of two nodes.
///
/// ```
/// use oneport_switch::api::model::RadioLinkView;
///
/// let json = r#"{"from": "2000", "to": "2001", "mode": "transceive", "call": null}"#;
/// let radio_link: RadioLinkView = serde_json::from_str(json)?;
/// assert!(radio_link.call.is_none(), "2000 tells of it");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RadioLinkView {
    /// The node that tells of it.
    pub from: String,
    /// The other one. A node tells of those that it reaches through others, too.
    pub to: String,
    /// `transceive`, `monitor` (`to` is heard, and hears nothing), `local_monitor` or `connecting`.
    pub mode: String,
    /// The id of the call that it is; null where a node tells of it.
    pub call: Option<String>,
}

/// Which radio nodes are linked with which, and who is keyed.
///
/// ```
/// use oneport_switch::api::model::RadioView;
///
/// let json = r#"{"nodes": [], "links": [], "keyed": 0, "left_out": 0}"#;
/// let radio: RadioView = serde_json::from_str(json)?;
/// assert_eq!((radio.nodes.len(), radio.left_out), (0, 0));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RadioView {
    /// In the order of their numbers, 1,000 at most and those of calls.
    pub nodes: Vec<RadioNodeView>,
    /// Links, 2,000 at most.
    pub links: Vec<RadioLinkView>,
    /// Nodes of calls that are keyed now.
    pub keyed: usize,
    /// Nodes that are told of, and had no room here or where they are told of.
    pub left_out: usize,
}
