//! Several switches with one state: what each knows of the others, by the database that they share.
//!
//! A thread of its own holds one connection to PostgreSQL ([`thread`](self)), by which this switch gives signs of
//! life, hears of changes (LISTEN) and tells the switch what is new. The switch itself asks the database nothing:
//! whatever a call needs is in its memory when it comes.

#[cfg(test)]
mod at_postgresql;
mod configuration;
mod connection;
#[cfg(test)]
mod fleet;
mod forget;
pub(crate) mod lease;
mod registrations;
#[cfg(test)]
mod roaming;
mod shared;
pub(crate) mod slots;
mod switches;
mod thread;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use oneport::Driver;
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use crate::config::{ClusterConfig, DatabaseUrl};
use crate::registrar::Shared;
use crate::switch::{Switch, boot_clock};

pub use configuration::{
    NotShared, SwitchBehind, VersionView, read_shared, set_shared, shared_versions, switches_behind,
};
pub use forget::{Forgotten, NotForgotten, Session, forget};
pub(crate) use shared::{Loaded, SharedStanding, missing};
pub use shared::{SharedConfiguration, SharedOffer};

/// How long the threads have for their goodbyes. Each waits for one answer of the database as a rule.
const GOODBYE: Duration = Duration::from_secs(10);

/// Begins the name under which another switch is known as a peer.
pub(crate) const SWITCH: &str = "switch:";

/// The variable in which a switch says to another whom a call is for.
pub(crate) const PEER: &str = "ONEPORT_PEER";

/// The variable in which a switch says to another which of its calls it is.
pub(crate) const CALL: &str = "ONEPORT_CALL";

/// Another switch, as the database has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sibling {
    pub(crate) name: String,
    /// Which run of it; later ones are greater.
    pub(crate) incarnation: i64,
    /// Where its IAX2 port is.
    pub(crate) address: SocketAddr,
    /// Of oneport.
    pub(crate) version: String,
    pub(crate) presence: Presence,
    /// The version of the shared configuration that it runs.
    pub(crate) configuration: Option<i64>,
}

/// Whether a switch is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Presence {
    /// It gives signs of life.
    Alive,
    /// It gave none for too long.
    Dead,
    /// It has said goodbye.
    Left,
}

/// What the thread tells the switch.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Told {
    /// The database knows this run of the switch by this number.
    Joined { incarnation: i64 },
    /// The others: whenever something about them is new, and whenever the database is back.
    Switches(Vec<Sibling>),
    /// Where peers are registered; `whole`: who is not among them is registered nowhere.
    Registrations { whole: bool, peers: Vec<Shared> },
    /// The database does not answer, for this reason.
    CutOff(String),
}

/// What the thread is asked for.
enum Ask {
    /// It says goodbye and ends.
    Leave,
}

/// This switch among the others, as long as it lives.
///
/// ```no_run
/// use oneport_switch::StorePlace;
/// use oneport_switch::cluster::{Cluster, SharedConfiguration};
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = "[store]\nurl = \"postgres://oneport@db.example.org/oneport\"\n\
///             [cluster]\nname = \"berlin\"\nsecret = \"sturdy bridge\"\naddress = \"192.0.2.1\"";
/// let (config, driver) = (config(text), start(text));
/// if let (Some(cluster), StorePlace::Server { url, .. }) = (&config.cluster, &config.store.place) {
///     let cluster = Cluster::join(cluster, url, &driver, &SharedConfiguration::default())?;
///     cluster.leave().await;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cluster {
    asks: mpsc::UnboundedSender<Ask>,
    ended: oneshot::Receiver<()>,
    slots: mpsc::UnboundedSender<slots::Ask>,
    gave_back: oneshot::Receiver<()>,
}

impl Cluster {
    /// Joins the switches of the database `url` with the switch of `driver`, and lets `shared` hear of what they share
    /// of their configuration. Whether the database is there now is of no account.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn join(
        config: &ClusterConfig,
        url: &DatabaseUrl,
        driver: &Driver<Switch>,
        shared: &SharedConfiguration,
    ) -> io::Result<Self> {
        let driver = driver.downgrade();
        let of_switch = shared.clone();
        driver.post(move |_, switch, _| switch.share_configuration(of_switch));
        let (slots, slots_asked) = mpsc::unbounded_channel();
        let asks_slots = slots.clone();
        driver.post(move |_, switch, _| switch.share_limits(asks_slots));
        let told = driver.clone();
        let tell = Box::new(move |news| {
            told.post(move |endpoint, switch, now| switch.slots_tell(endpoint, now, news));
        });
        let gave_back = slots::start(config, boot_clock, url.with_secret(), slots_asked, tell)?;
        let tell = Box::new(move |told| {
            driver.post(move |endpoint, switch, now| switch.cluster_tells(endpoint, now, told));
        });
        let (asks, asked) = mpsc::unbounded_channel();
        let ended = thread::start(config.clone(), url.with_secret(), shared.clone(), asked, tell)?;
        Ok(Self { asks, ended, slots, gave_back })
    }

    /// Says goodbye to the others, if the database takes it soon.
    pub async fn leave(self) {
        let _ = self.slots.send(slots::Ask::Leave);
        let _ = self.asks.send(Ask::Leave);
        // An error says the same: its thread is gone. One that waits for the database is left behind.
        let _ = time::timeout(GOODBYE, async { (self.gave_back.await, self.ended.await) }).await;
    }
}
