//! Peers out of the tables of Asterisk's realtime (docs/realtime.md): rows become what `oneport import` makes of
//! sections of `iax.conf`, and registrations are written into them as Asterisk does it.
//!
//! A thread of its own looks at the tables and tells the switch what has changed, so that no call and no registration
//! waits for the database: but one under a name that no peer has, which is looked up, so many of them a second.

mod counts;
mod rows;
mod tables;
mod thread;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use oneport::Driver;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, PeerBasis, RealtimeConfig};
use crate::switch::Switch;

pub(crate) use counts::{Counts, Figures, Query};
pub(crate) use rows::{BELIEVED, Known, Registered};
pub use tables::RealtimeError;

/// What the thread is asked for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// To look a name up.
    Find(String),
    /// To write that a peer has registered.
    Registered { name: String, address: SocketAddr },
    /// To write that it is not any more; `unregistered`: it said so itself.
    Over { name: String, unregistered: bool },
    /// What peers have in common is otherwise now.
    Basis(Arc<PeerBasis>, Vec<IpNet>, Box<RealtimeConfig>),
    /// It writes what waits, and ends.
    Leave,
}

/// What the thread tells the switch.
#[derive(Debug)]
pub(crate) enum Told {
    /// It has looked at rows.
    Rows {
        /// Names whose rows are otherwise, and the peers that they are now.
        changed: Vec<(String, Option<Known>)>,
        /// Peers that have registered elsewhere, and how long ago; `None`: they are the same.
        elsewhere: Option<Vec<(Registered, Duration)>>,
    },
    /// A name was looked up: whoever has it is a peer now, or nobody has it; `answered` is false where the database did
    /// not say which in time.
    LookedUp { name: String, answered: bool },
}

/// What is said of a name of Asterisk's tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RowRemarks {
    /// The name.
    pub(crate) name: String,
    /// Whether it is a peer.
    pub(crate) is_peer: bool,
    /// Options that mean something else here or nothing, each with why.
    pub(crate) remarks: Vec<String>,
}

/// Peers of tables, before their switch runs.
///
/// ```no_run
/// use oneport_switch::Switch;
/// use oneport_switch::realtime::RealtimePeers;
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Before the switch begins, so that it knows them from the first call on.
/// let config = config("[realtime]\nurl = \"postgres://oneport@db.example.org/asterisk\"");
/// let mut switch = Switch::new(config.clone());
/// RealtimePeers::load(&config).await?.attach(&mut switch);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RealtimePeers {
    pub(crate) peers: Vec<(String, Known)>,
    /// Whether the tables could be read.
    pub(crate) is_whole: bool,
}

/// From where calls need no token.
pub(crate) fn trusted(config: &Config) -> Vec<IpNet> {
    let networks = &config.endpoint.call_token.optional_networks;
    networks.iter().filter_map(|one| IpNet::new(one.address, one.prefix).ok()).collect()
}

/// All rows of `config`, or nothing where it names none.
async fn read(config: &Config) -> Result<Option<(rows::Rows, rows::Found)>, RealtimeError> {
    let (Some(realtime), Some(basis)) = (&config.realtime, &config.peer_basis) else {
        return Ok(None);
    };
    let tables = tables::open(realtime)?;
    let look = tables.look(None).await?;
    let mut rows = rows::Rows::new(realtime, basis.clone(), &trusted(config));
    let found = rows.take_all(&look);
    Ok(Some((rows, found)))
}

impl RealtimePeers {
    /// The peers that the tables of `config` have, none where it names no tables. A database that does not answer
    /// now has none yet: the log says so, and they come when it does.
    ///
    /// # Errors
    /// It answers, and its tables cannot be used.
    pub async fn load(config: &Config) -> Result<Self, RealtimeError> {
        match read(config).await {
            Ok(None) => Ok(Self { peers: Vec::new(), is_whole: true }),
            Ok(Some((_, found))) => {
                let peers = found.changed.into_iter();
                let peers = peers.filter_map(|(name, known)| Some((name, known?))).collect();
                Ok(Self { peers, is_whole: true })
            }
            Err(error @ RealtimeError::Away { .. }) => {
                tracing::warn!("tables of [realtime]: {error}; their peers come when it does");
                Ok(Self { peers: Vec::new(), is_whole: false })
            }
            Err(error) => Err(error),
        }
    }

    /// Lets a switch know them, before it starts.
    pub fn attach(&self, switch: &mut Switch) {
        switch.begin_with_rows(self.clone());
    }
}

/// What is to be said of the rows of `config`, of names in their order; those that are as they were in Asterisk are
/// not among them.
///
/// # Errors
/// The tables cannot be read.
pub(crate) async fn remarks(config: &Config) -> Result<Vec<RowRemarks>, RealtimeError> {
    let Some((rows, _)) = read(config).await? else { return Ok(Vec::new()) };
    let said = rows.entries().filter(|(_, entry)| !entry.remarks.is_empty());
    let remarks = said.map(|(name, entry)| RowRemarks {
        name: name.into(),
        is_peer: entry.peer.is_some(),
        remarks: entry.remarks.clone(),
    });
    Ok(remarks.collect())
}

/// The tables of a switch that runs, as long as it looks at them.
///
/// ```
/// use oneport_switch::realtime::Realtime;
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let driver = start("");
/// // No tables are configured.
/// assert!(Realtime::start(&config(""), &driver)?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Realtime {
    asks: mpsc::UnboundedSender<Ask>,
    ended: Option<oneshot::Receiver<()>>,
}

impl Realtime {
    /// Begins to look at the tables of `config` for the switch of `driver`; `None`: it names none.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(config: &Config, driver: &Driver<Switch>) -> io::Result<Option<Self>> {
        let (Some(realtime), Some(basis)) = (&config.realtime, &config.peer_basis) else {
            return Ok(None);
        };
        let driver = driver.downgrade();
        let (asks, asked) = mpsc::unbounded_channel();
        let counts = Arc::new(Counts::default());
        let (own, shown) = (asks.clone(), counts.clone());
        driver.post(move |_, switch, _| switch.look_at_rows(own, shown));
        let tell = Box::new(move |told| {
            driver.post(move |endpoint, switch, now| switch.rows_tell(endpoint, now, told));
        });
        let basis = (basis.clone(), trusted(config));
        let ended = thread::start(realtime.clone(), basis, asked, tell, counts)?;
        Ok(Some(Self { asks, ended: Some(ended) }))
    }

    /// Ends, when what waits is written, if the database takes it soon.
    pub async fn leave(mut self) {
        let _ = self.asks.send(Ask::Leave);
        if let Some(ended) = self.ended.take() {
            // An error says the same: its thread is gone.
            let _ = ended.await;
        }
    }
}

impl Drop for Realtime {
    fn drop(&mut self) {
        let _ = self.asks.send(Ask::Leave);
    }
}
