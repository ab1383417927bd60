//! What is asked of a store.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::refusal::Stage;
use crate::utc::Utc;

/// Which call detail records; all that is given must fit.
///
/// ```
/// use oneport_switch::store::{CdrFilter, Paging, Record, SqliteStore, Store};
///
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::in_memory().await?;
/// store.write(&[Record::Cdr(Box::new(cdr()))]).await?;
/// let filter = CdrFilter { from: Some("2026-02-03T04:05:06Z".parse()?), ..CdrFilter::default() };
/// assert!(store.cdrs(&filter, Paging::default()).await?.records.is_empty());
/// # Ok(())
/// # }
/// ```
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
///
/// ```
/// use oneport_switch::Stage;
/// use oneport_switch::store::RefusalFilter;
///
/// let filter = RefusalFilter { stage: Some(Stage::Limit), ..RefusalFilter::default() };
/// assert_eq!(filter.kind, None, "of whatever kind");
/// ```
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
///
/// ```
/// use oneport_switch::store::{Order, Paging};
///
/// let paging = Paging { order: Order::OldestFirst, ..Paging::default() };
/// assert_eq!(Paging::default().order, Order::NewestFirst);
/// ```
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
///
/// ```
/// use oneport_switch::Cdr;
/// use oneport_switch::store::{CdrFilter, Paging, Record, SqliteStore, Store};
///
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::in_memory().await?;
/// let legs = [1, 2, 3].map(|leg| Record::Cdr(Box::new(Cdr { leg, ..cdr() })));
/// store.write(&legs).await?;
/// let mut paging = Paging { most: 2, ..Paging::default() };
/// let mut count = 0;
/// loop {
///     let page = store.cdrs(&CdrFilter::default(), paging).await?;
///     count += page.records.len();
///     paging.after = page.next;
///     if page.next.is_none() {
///         break;
///     }
/// }
/// assert_eq!(count, 3);
/// # Ok(())
/// # }
/// ```
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
///
/// ```
/// use oneport_switch::store::Page;
///
/// let page = Page { records: vec!["a", "b"], next: None };
/// assert!(page.next.is_none(), "it is the last");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The records.
    pub records: Vec<T>,
    /// What to give as [`Paging::after`] for the next page; `None`: there is none.
    pub next: Option<u64>,
}
