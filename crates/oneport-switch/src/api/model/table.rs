//! Calls as rows of a table.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CallState;

/// What a table of calls is sorted by.
///
/// ```
/// use oneport_switch::api::model::CallSort;
///
/// // As in `GET /v1/calls/table?sort=mos`.
/// assert_eq!(serde_json::from_str::<CallSort>(r#""mos""#)?, CallSort::Mos);
/// assert_eq!(CallSort::default(), CallSort::Age);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallSort {
    /// How long they have been up.
    #[default]
    Age,
    /// Who calls.
    From,
    /// The number called.
    Number,
    /// Where they lead.
    To,
    /// How far they are.
    State,
    /// The worst mean opinion score of their legs.
    Mos,
    /// The greatest loss on their legs.
    Loss,
}

/// One leg in a row of a table.
///
/// ```
/// use oneport_switch::api::model::LegRow;
///
/// let json = r#"{
///     "who": "dialer", "codec": "alaw", "encrypted": false, "mos_here": 3.22, "mos_there": 4.4,
///     "loss_percent": 2.0, "loss_percent_there": 0, "losses": [0.0, 2.0], "jitter_ms": 1.07,
///     "rtt_ms": 0.26, "trouble": "the network loses 2.0 % of the voice on the way here"
/// }"#;
/// let leg_row: LegRow = serde_json::from_str(json)?;
/// assert_eq!((leg_row.who.as_str(), leg_row.loss_percent), ("dialer", Some(2.0)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LegRow {
    /// The peer; for a guest its address.
    pub who: String,
    /// The codec.
    pub codec: Option<String>,
    /// Whether its frames are encrypted.
    pub encrypted: bool,
    /// The mean opinion score of what is heard here of it.
    pub mos_here: Option<f64>,
    /// The same of what it hears, as it says.
    pub mos_there: Option<f64>,
    /// Frames lost on the way from it.
    pub loss_percent: Option<f64>,
    /// Frames lost on the way to it, as it says.
    pub loss_percent_there: Option<u8>,
    /// The greater of both for each part of its timeline, oldest first; null where nothing was heard.
    #[serde(default)]
    pub losses: Vec<Option<f64>>,
    /// Interarrival jitter of what comes from it (RFC 3550).
    pub jitter_ms: f64,
    /// Round trip, smoothed.
    pub rtt_ms: Option<f64>,
    /// What ails it, as a sentence: one-way voice, or why it is choppy.
    pub trouble: Option<String>,
}

/// A call in a row of a table.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::{CallRow, CallRows, CallState};
///
/// // TABLE is an answer of `GET /v1/calls/table?search=dialer`.
/// let call_rows: CallRows = serde_json::from_str(TABLE)?;
/// let CallRow { number, state, caller, .. } = &call_rows.rows[0];
/// assert_eq!((number.as_str(), *state), ("conference/sales", CallState::Answered));
/// assert_eq!(caller.who, "dialer");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CallRow {
    /// Its id.
    pub id: String,
    /// The number of the process that has it, where that is an older one than serves now.
    #[serde(default)]
    pub process: Option<u32>,
    /// How far it is.
    pub state: CallState,
    /// The caller's number.
    pub calling_number: Option<String>,
    /// The number called.
    pub number: String,
    /// Where it leads; null while that is open.
    pub destination: Option<String>,
    /// Since it began.
    pub seconds: f64,
    /// Whether it is recorded.
    pub recorded: bool,
    /// Whether somebody listens.
    pub listened: bool,
    /// Whether its ends speak different codecs.
    pub transcoded: bool,
    /// The leg of the caller.
    pub caller: LegRow,
    /// Legs to those who are called.
    pub called: Vec<LegRow>,
}

/// A part of a table of calls.
///
/// ```
/// # mod answers { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/answers.rs")); } use answers::*;
/// use oneport_switch::api::model::CallRows;
///
/// // TABLE is an answer of `GET /v1/calls/table?search=dialer`.
/// let call_rows: CallRows = serde_json::from_str(TABLE)?;
/// assert_eq!((call_rows.rows.len(), call_rows.total, call_rows.up), (1, 1, 3));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CallRows {
    /// In the order that was asked for.
    pub rows: Vec<CallRow>,
    /// How many fit in all.
    pub total: usize,
    /// How many are up.
    pub up: usize,
}
