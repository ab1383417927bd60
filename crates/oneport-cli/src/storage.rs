//! The store of a switch that runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use oneport::{Driver, WeakDriver};
use oneport_switch::store::{
    MySqlStore, PostgresStore, QueuedStore, Records, SqliteStore, Store, StoreError,
    StoredRegistration, Writer,
};
use oneport_switch::{DatabaseKind, StoreConfig, StorePlace, Switch};
use tokio::time;

use crate::exit::{Failure, failed};

/// How long a stop waits for the store to be closed.
const CLOSING: Duration = Duration::from_secs(2);

/// An open store, before its switch runs.
pub(crate) struct Storage {
    store: Option<Arc<dyn Store>>,
    records: Records,
    config: StoreConfig,
    registered: Vec<StoredRegistration>,
}

impl Storage {
    /// Opens what the configuration names, and reads who was registered.
    pub(crate) async fn open(config: &StoreConfig) -> Result<Self, Failure> {
        let explain = |error| failed(error).hint(hint(&config.place));
        let store = open(config).await.map_err(explain)?;
        let registered = match &store {
            Some(store) => store.registrations().await.map_err(explain)?,
            None => Vec::new(),
        };
        Ok(Self { store, records: Records::default(), config: config.clone(), registered })
    }

    /// Lets a switch keep its records here.
    pub(crate) fn attach(&self, switch: &mut Switch) {
        if self.store.is_some() {
            switch.keep_records(self.records.sender(), self.registered.clone());
        }
        if self.misses_registrations() {
            switch.misses_registrations();
        }
    }

    fn misses_registrations(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.missing_registrations().is_some())
    }

    /// The store itself, to be read.
    pub(crate) fn store(&self) -> Option<Arc<dyn Store>> {
        self.store.clone()
    }

    /// Begins to write what the switch of `driver` hands over.
    pub(crate) fn start(self, driver: &Driver<Switch>) -> io::Result<Option<Writer>> {
        let Some(store) = self.store else { return Ok(None) };
        tracing::info!("records go to {}", store.describe());
        let driver = driver.downgrade();
        if store.missing_registrations().is_some() {
            tokio::spawn(find_registrations(store.clone(), driver.clone()));
        }
        let report = move |count| {
            driver.post(move |endpoint, switch, now| switch.durable(endpoint, now, count));
        };
        let keep = self.config.keep_cdrs;
        self.records.write_to(store, keep, report).map(Some)
    }
}

/// Hands over who was registered, once the database says it.
async fn find_registrations(store: Arc<dyn Store>, driver: WeakDriver<Switch>) {
    let Some(missing) = store.missing_registrations() else { return };
    match missing.await {
        Ok(all) => {
            driver.post(move |endpoint, switch, now| {
                switch.registrations_found(endpoint, now, all);
            });
        }
        Err(error) => tracing::error!("who was registered before is not known: {error}"),
    }
}

/// Opens what `config` names; `None`: nothing is kept. A server that is not there now may come later: what
/// waits for it waits on the disk.
async fn open(config: &StoreConfig) -> Result<Option<Arc<dyn Store>>, StoreError> {
    Ok(Some(match &config.place {
        StorePlace::Nowhere => return Ok(None),
        StorePlace::Memory => Arc::new(SqliteStore::in_memory().await?),
        StorePlace::File(path) => Arc::new(SqliteStore::open(path).await?),
        StorePlace::Server { url, queue } => {
            let (kind, url) = (url.kind(), url.with_secret());
            // That one is not there now is told by the queue, when it is asked for registrations.
            let store: Arc<dyn Store> = match kind {
                DatabaseKind::Postgres => {
                    let store = PostgresStore::new(&url)?;
                    store.check().await?;
                    Arc::new(store)
                }
                DatabaseKind::MySql => {
                    let store = MySqlStore::new(&url)?;
                    store.check().await?;
                    Arc::new(store)
                }
            };
            QueuedStore::new(store, queue, config.max_queued).await?
        }
    }))
}

/// Opens what `place` names, to read it, whether its switch runs or not; `None`: only the switch itself
/// could.
pub(crate) async fn open_to_read(place: &StorePlace) -> Result<Option<Box<dyn Store>>, StoreError> {
    Ok(Some(match place {
        StorePlace::Nowhere | StorePlace::Memory => return Ok(None),
        StorePlace::File(path) => Box::new(SqliteStore::open_to_read(path).await?),
        StorePlace::Server { url, .. } => {
            let (kind, url) = (url.kind(), url.with_secret());
            match kind {
                // That one is not there now is told when it is asked for something.
                DatabaseKind::Postgres => {
                    let store = PostgresStore::to_read(&url)?;
                    store.check().await?;
                    Box::new(store)
                }
                DatabaseKind::MySql => {
                    let store = MySqlStore::to_read(&url)?;
                    store.check().await?;
                    Box::new(store)
                }
            }
        }
    }))
}

/// Opens what `place` names, to put something into it while no switch runs on it; `None`: nothing is kept
/// there.
pub(crate) async fn open_to_fill(place: &StorePlace) -> Result<Option<Box<dyn Store>>, StoreError> {
    Ok(Some(match place {
        StorePlace::Nowhere | StorePlace::Memory => return Ok(None),
        StorePlace::File(path) => Box::new(SqliteStore::open(path).await?),
        StorePlace::Server { url, .. } => {
            let (kind, url) = (url.kind(), url.with_secret());
            match kind {
                DatabaseKind::Postgres => Box::new(PostgresStore::new(&url)?),
                DatabaseKind::MySql => Box::new(MySqlStore::new(&url)?),
            }
        }
    }))
}

/// Leaves a store of which nothing is asked any more in one file, if it is one. What takes longer than a stop may stays
/// as after a crash: whoever opens the file finds everything.
pub(crate) async fn close(store: &dyn Store) {
    let place = store.describe();
    match time::timeout(CLOSING, store.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("{error}; its -wal belongs to it"),
        Err(_) => tracing::warn!("{place} is not closed in time; its -wal belongs to it"),
    }
}

/// How to mend a place that cannot be opened.
pub(crate) const fn hint(place: &StorePlace) -> &'static str {
    match place {
        StorePlace::Server { .. } => {
            "url of [store] names the database, and secret, secret_file or secret_env its password; \
             docs/store.md says how to make one"
        }
        _ => {
            "[store] of the configuration names the file: path = \"…\"; enabled = false keeps nothing"
        }
    }
}
