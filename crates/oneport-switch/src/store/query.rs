//! What is asked of a store.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::refusal::Stage;
use crate::utc::Utc;

/// Which call detail records; all that is given must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CdrFilter {
    /// Of this call.
    pub call: Option<Uuid>,
    /// Of legs that ended then or later.
    pub from: Option<Utc>,
    /// Of legs that ended before.
    pub to: Option<Utc>,
    /// Of this peer.
    pub peer: Option<String>,
    /// From or to this number; with a `*` at its end, to any that begins so.
    pub number: Option<String>,
    /// With this cause.
    pub cause: Option<u8>,
    /// Refused by this limit.
    pub limit: Option<String>,
}

/// Which refusals; all that is given must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RefusalFilter {
    /// Of this call.
    pub call: Option<Uuid>,
    /// Then or later.
    pub from: Option<Utc>,
    /// Before.
    pub to: Option<Utc>,
    /// Of calls that came under this name.
    pub peer: Option<String>,
    /// Of calls from or to this number; with a `*` at its end, to any that begins so.
    pub number: Option<String>,
    /// With this cause.
    pub cause: Option<u8>,
    /// At this stage.
    pub stage: Option<Stage>,
    /// Of this kind.
    pub kind: Option<String>,
}

/// The order of a page: that in which the records were written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// Which part of what a filter finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paging {
    /// In which order.
    pub order: Order,
    /// Where the page before ended ([`Page::next`]); `None`: from the beginning.
    pub after: Option<u64>,
    /// Records in a page, [`MOST`](Self::MOST) at most.
    pub most: u32,
}

impl Paging {
    /// Records that a page may have.
    pub const MOST: u32 = 1_000;
}

impl Default for Paging {
    fn default() -> Self {
        Self { order: Order::NewestFirst, after: None, most: 100 }
    }
}

/// A page of records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The records.
    pub records: Vec<T>,
    /// What to give as [`Paging::after`] for the next page; `None`: there is none.
    pub next: Option<u64>,
}
