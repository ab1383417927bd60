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
pub(crate) use registrations::{bring_up, said, write_at_postgresql};
pub use server::ServerStore;
pub use sqlite::SqliteStore;
pub use state::{StateCounts, StateError, copy_state, export_state, import_state};
pub use writer::{RecordSender, Records, Writer};

/// Refusals that are kept: the last of them.
const KEPT_REFUSALS: u64 = 10_000;

/// What a store gives in a while.
///
/// ```
/// use oneport_switch::store::Answer;
///
/// /// As a store answers that knows it already.
/// fn known(count: u64) -> Answer<'static, u64> {
///     Box::pin(async move { Ok(count) })
/// }
/// ```
pub type Answer<'a, T, E = StoreError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// A store could not do what it was asked for.
///
/// ```
/// use oneport_switch::store::StoreError;
///
/// let error = StoreError::new("writing records", "the disk is full");
/// assert_eq!(error.to_string(), "writing records: the disk is full");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{doing}: {why}")]
pub struct StoreError {
    /// What it was about to do.
    pub doing: String,
    /// What went wrong.
    pub why: String,
    /// Nothing is wrong with the database, but that no switch has made its tables yet.
    pub is_unused: bool,
}

impl StoreError {
    /// `doing` is what could not be done, `why` what the database says.
    pub fn new(doing: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { doing: doing.into(), why: why.to_string(), is_unused: false }
    }

    /// The same of a database that no switch has used yet.
    fn unused(doing: impl Into<String>) -> Self {
        Self { is_unused: true, ..Self::new(doing, migrations::Unused) }
    }
}

/// A peer's registration as it is kept.
///
/// ```
/// use oneport_switch::Utc;
/// use oneport_switch::store::{Record, SqliteStore, Store, StoredRegistration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::in_memory().await?;
/// let registration = StoredRegistration {
///     peer: "ann".into(),
///     address: "192.0.2.1:4569".into(),
///     registered: Utc::from_unix_millis(0),
///     expires: Utc::from_unix_millis(60_000),
///     contact: None,
///     switch: None,
/// };
/// store.write(&[Record::Registered(registration.clone())]).await?;
/// assert_eq!(store.registrations().await?, [registration]);
/// # Ok(())
/// # }
/// ```
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
///
/// ```
/// use oneport_switch::api::Role;
/// use oneport_switch::store::{SqliteStore, Store, StoredUser};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::in_memory().await?;
/// // The hash of a password, as Argon2 writes it.
/// let password = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA".to_string();
/// let user = StoredUser { name: "eve".into(), role: Role::Viewer, listens: false, password };
/// store.put_user(&user).await?;
/// assert_eq!(store.users().await?, [user]);
/// # Ok(())
/// # }
/// ```
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

/// A version of what switches with one database share of their configuration.
///
/// ```
/// use oneport_switch::Utc;
/// use oneport_switch::store::{SqliteStore, Store, StoredConfiguration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::in_memory().await?;
/// let version = StoredConfiguration {
///     version: 1,
///     author: "eve".into(),
///     time: Utc::now(),
///     text: "[peers.ann]\nsecret = \"a b c\"".into(),
/// };
/// assert!(store.put_configuration(&version).await?);
/// assert_eq!(store.configuration_behind(0).await?, Some(version));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredConfiguration {
    /// Later ones are greater.
    pub version: i64,
    /// Who has set it: the name of a token, or of a user of the console.
    pub author: String,
    /// When, by the clock of the database.
    pub time: Utc,
    /// TOML.
    pub text: String,
}

/// Secrets may be in the text.
impl fmt::Debug for StoredConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} of {} ({}, text ***)", self.version, self.author, self.time)
    }
}

/// Something to be kept.
///
/// ```
/// use oneport_switch::store::Record;
///
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// let records = [Record::Cdr(Box::new(cdr())), Record::Refusal(Box::new(refusal()))];
/// let refused = records.iter().filter(|record| matches!(record, Record::Refusal(_)));
/// assert_eq!(refused.count(), 1);
/// ```
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
///
/// ```
/// use oneport_switch::store::{SqliteStore, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Nothing stands before a file.
/// assert_eq!(SqliteStore::in_memory().await?.queue(), None);
/// # Ok(())
/// # }
/// ```
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
///
/// ```
/// use oneport_switch::store::{Paging, Record, RefusalFilter, SqliteStore, Store};
///
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store: &dyn Store = &SqliteStore::in_memory().await?;
/// store.write(&[Record::Refusal(Box::new(refusal()))]).await?;
/// let of_bob = RefusalFilter { peer: Some("bob".into()), ..RefusalFilter::default() };
/// assert_eq!(store.refusals(&of_bob, Paging::default()).await?.records, []);
/// # Ok(())
/// # }
/// ```
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

    /// The first version of the shared configuration behind `version`; `None`: there is none. Whatever database it is
    /// keeps them, but switches share one of PostgreSQL alone.
    fn configuration_behind(&self, version: i64) -> Answer<'_, Option<StoredConfiguration>>;

    /// Keeps a version of the shared configuration, and says whether it is there now: one that is there already stays as
    /// it is, and may be another.
    fn put_configuration<'a>(&'a self, version: &'a StoredConfiguration) -> Answer<'a, bool>;

    /// Deletes records of legs that ended before `before`, at most `most` of them, and says how many
    /// it were.
    fn prune(&self, before: Utc, most: u32) -> Answer<'_, u64>;

    /// Lets go of what it has open on this machine's disk; nothing may be asked of it any more. A file of SQLite holds
    /// everything then, without its `-wal` beside it, unless another process has it open, which is not waited for.
    /// Without it nothing is lost either, but only both files together are whole.
    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Everything that is kept of one call.
///
/// ```
/// use oneport_switch::store::{CallStory, Record, SqliteStore, Store};
///
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::in_memory().await?;
/// store.write(&[Record::Cdr(Box::new(cdr())), Record::Refusal(Box::new(refusal()))]).await?;
/// let story = CallStory::find(&store, cdr().call).await?.ok_or("there is no such call")?;
/// assert_eq!((story.legs.len(), story.refusals.len()), (1, 1));
/// println!("{story}");
/// # Ok(())
/// # }
/// ```
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
