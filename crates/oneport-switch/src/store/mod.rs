//! What must outlive the switch: call detail records, refusals, registrations.
//!
//! [`Store`] is all that the switch, the HTTP API and the tools know of a database. A batch is
//! written by one writer; anybody may read at the same time.

pub(crate) mod columns;
mod export;
mod migrations;
mod mysql;
mod postgres;
mod query;
mod queue;
mod queued;
mod registrations;
pub(crate) mod server;
pub(crate) mod sql;
mod sqlite;
mod state;
pub(crate) mod statement;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::Role;
use crate::cdr::Cdr;
use crate::refusal::{Refusal, RefusalCount};
use crate::utc::Utc;

pub(crate) use export::write_table;
pub use export::{ExportError, ExportFormat, column_names, export};
pub use mysql::MySqlStore;
pub use postgres::PostgresStore;
pub(crate) use postgres::options as postgres_options;
pub use query::{CdrFilter, Order, Page, Paging, RefusalFilter};
pub use queued::QueuedStore;
#[cfg(test)]
pub(crate) use registrations::{bring_up, said};
pub use server::ServerStore;
pub use sqlite::SqliteStore;
pub use state::{StateCounts, StateError, copy_state, export_state, import_state};
pub use writer::{RecordSender, Records, Writer};

/// Refusals that are kept: the last of them.
const KEPT_REFUSALS: u64 = 10_000;

/// What a store gives in a while.
pub type Answer<'a, T, E = StoreError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// A store could not do what it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{doing}: {why}")]
pub struct StoreError {
    /// What it was about to do.
    pub doing: String,
    /// What went wrong.
    pub why: String,
}

impl StoreError {
    /// `doing` is what could not be done, `why` what the database says.
    pub fn new(doing: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { doing: doing.into(), why: why.to_string() }
    }
}

/// A peer's registration as it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoredRegistration {
    /// The peer's name.
    pub peer: String,
    /// Where it is: IP address and port.
    pub address: String,
    /// When it registered or renewed.
    #[schema(value_type = String)]
    pub registered: Utc,
    /// Until when it holds.
    #[schema(value_type = String)]
    pub expires: Utc,
    /// Transport and URI of a peer that registered by SIP.
    pub contact: Option<String>,
    /// At which of several switches with one database; none where it is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
}

/// Somebody who may use the console.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUser {
    /// By which the log and those who look know them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may listen to calls.
    pub listens: bool,
    /// The hash of their password, in the form of the PHC.
    pub password: String,
}

impl fmt::Debug for StoredUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, listens: {}, password ***)", self.name, self.role, self.listens)
    }
}

/// Something to be kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A leg has ended.
    Cdr(Box<Cdr>),
    /// A call was refused.
    Refusal(Box<Refusal>),
    /// A peer has registered, for the first time, again, or from elsewhere.
    Registered(StoredRegistration),
    /// A peer's registration is over.
    Unregistered {
        /// The peer's name.
        peer: String,
        /// At which of several switches with one database: whoever has registered at another since stays there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        switch: Option<String>,
        /// When the one that is over was registered or renewed: a later one stays. None: whichever there is is over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        registered: Option<Utc>,
    },
}

/// What waits on this machine's disk for a database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueReport {
    /// How many records.
    pub waiting: u64,
    /// How many may.
    pub most: u64,
    /// Since when the database takes nothing, and what it was last asked for in vain; `None`: it does.
    pub outage: Option<(Utc, String)>,
}

/// A database.
///
/// All of it is safe to be called again after an error: what was written already is not written
/// twice.
pub trait Store: Send + Sync + 'static {
    /// What it is, for people: kind and place, no secret.
    fn describe(&self) -> String;

    /// What waits on this machine's disk for it; `None`: nothing ever does.
    fn queue(&self) -> Option<QueueReport> {
        None
    }

    /// Writes all of `records`, in this order, or none of them. When it returns without an error
    /// they are durable: they are there after a crash of the process, the system or its power.
    fn write<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()>;

    /// All registrations, those that have expired too, by their names.
    fn registrations(&self) -> Answer<'_, Vec<StoredRegistration>>;

    /// All registrations as soon as a database answers that did not when they were
    /// [asked for](Self::registrations), so that some were missing; `None`: none was.
    fn missing_registrations(&self) -> Option<Answer<'_, Vec<StoredRegistration>>> {
        None
    }

    /// The records of `filter`, a page of them.
    fn cdrs<'a>(&'a self, filter: &'a CdrFilter, paging: Paging) -> Answer<'a, Page<Cdr>>;

    /// The refusals of `filter`, a page of them.
    fn refusals<'a>(
        &'a self,
        filter: &'a RefusalFilter,
        paging: Paging,
    ) -> Answer<'a, Page<Refusal>>;

    /// How many were refused for each kind of reason since the store was made; the most frequent
    /// first.
    fn refusal_counts(&self) -> Answer<'_, Vec<RefusalCount>>;

    /// Makes counts of refusals as high as these, where they are lower.
    fn raise_refusal_counts<'a>(&'a self, counts: &'a [RefusalCount]) -> Answer<'a, ()>;

    /// All users of the console, by their names.
    fn users(&self) -> Answer<'_, Vec<StoredUser>>;

    /// Keeps a user, in place of one of the same name.
    fn put_user<'a>(&'a self, user: &'a StoredUser) -> Answer<'a, ()>;

    /// Forgets a user, and says whether there was one.
    fn remove_user<'a>(&'a self, name: &'a str) -> Answer<'a, bool>;

    /// Deletes records of legs that ended before `before`, at most `most` of them, and says how many
    /// it were.
    fn prune(&self, before: Utc, most: u32) -> Answer<'_, u64>;
}

/// Everything that is kept of one call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CallStory {
    /// Its legs, in their order.
    pub legs: Vec<Cdr>,
    /// Its refusals, in their order.
    pub refusals: Vec<Refusal>,
}

impl CallStory {
    /// What `store` has of a call; `None`: nothing.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find(store: &dyn Store, call: Uuid) -> Result<Option<Self>, StoreError> {
        let all = Paging { order: Order::OldestFirst, after: None, most: Paging::MOST };
        let of_call = CdrFilter { call: Some(call), ..CdrFilter::default() };
        let mut legs = store.cdrs(&of_call, all).await?.records;
        // Those of the switch that the call came to first.
        let mut begun: BTreeMap<Option<String>, Utc> = BTreeMap::new();
        for leg in &legs {
            let first = begun.entry(leg.switch.clone()).or_insert(leg.start);
            *first = leg.start.min(*first);
        }
        legs.sort_by_key(|leg| (begun.get(&leg.switch).copied(), leg.switch.clone(), leg.leg));
        let of_call = RefusalFilter { call: Some(call), ..RefusalFilter::default() };
        let refusals = store.refusals(&of_call, all).await?.records;
        Ok((!legs.is_empty() || !refusals.is_empty()).then_some(Self { legs, refusals }))
    }
}

impl fmt::Display for CallStory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for leg in &self.legs {
            let Cdr { leg: number, direction, address, called_number, start, .. } = leg;
            let way = if direction.name() == "in" { "from" } else { "to" };
            let peer = leg.peer.as_deref().unwrap_or("a guest");
            let seconds = Duration::from_millis(leg.duration_ms).as_secs_f64();
            let cause = oneport_wire::CauseCode(leg.cause);
            let at = leg.switch.as_deref().map(|switch| format!(" at {switch}"));
            let at = at.unwrap_or_default();
            writeln!(
                f,
                "leg {number}{at} {way} {peer} ({address}), number {called_number}: {start}"
            )?;
            let answered = match leg.answer {
                Some(_) => format!("answered, {} s to be billed", leg.billable_seconds()),
                None => "not answered".into(),
            };
            let said = leg.cause_text.as_deref().map(|text| format!(" ({text:?})"));
            let said = said.unwrap_or_default();
            writeln!(f, "   {seconds:.1} s, {answered}; {}, {cause}{said}", leg.reason)?;
            if let Some(diagnosis) = &leg.quality.diagnosis {
                writeln!(f, "   choppy: {diagnosis}")?;
            }
            if let Some(why) = &leg.quality.one_way_why {
                let lasted = leg.quality.one_way_ms.unwrap_or(0) as f64 / 1e3;
                writeln!(f, "   {why} (for {lasted:.1} s)")?;
            }
        }
        for refusal in &self.refusals {
            write!(f, "{refusal}")?;
        }
        Ok(())
    }
}
