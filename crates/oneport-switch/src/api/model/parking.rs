//! The parking lot.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A call that waits in the parking lot.
///
/// ```
/// use oneport_switch::api::model::ParkedView;
///
/// let json = r#"{
///     "slot": 1, "call": "01a22a61-ef9c-7fe5-afb4-1dc4349e90b4", "who": "dialer", "by": "ann",
///     "seconds_left": 40.0
/// }"#;
/// let parked: ParkedView = serde_json::from_str(json)?;
/// assert_eq!(parked.slot, 1);
/// println!("in {:?} s it goes back to {:?}", parked.seconds_left, parked.by);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ParkedView {
    /// Its slot.
    pub slot: u32,
    /// Its id.
    pub call: String,
    /// Who waits: a peer's name.
    pub who: String,
    /// Who has parked it, and gets it back; null: it came by itself.
    pub by: Option<String>,
    /// Until it goes back, or is hung up.
    pub seconds_left: Option<f64>,
}

/// The parking lot.
///
/// ```
/// use oneport_switch::api::model::ParkingView;
///
/// let json = r#"{"slots": 20, "parked": []}"#;
/// let parking: ParkingView = serde_json::from_str(json)?;
/// assert_eq!(parking.slots as usize - parking.parked.len(), 20, "all are free");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ParkingView {
    /// How many calls may wait.
    pub slots: u32,
    /// Those that do, by their slots.
    pub parked: Vec<ParkedView>,
}
