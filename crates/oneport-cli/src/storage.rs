//! The store of a switch that runs.

use std::io;
use std::sync::Arc;

use oneport::Driver;
use oneport_switch::store::{Records, SqliteStore, Store, StoredRegistration, Writer};
use oneport_switch::{StoreConfig, StorePlace, Switch};

use crate::exit::{Failure, failed};

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
        let hint = "[store] of the configuration names the file: path = \"…\"; enabled = false \
                    keeps nothing";
        let explain = |error| failed(error).hint(hint);
        let store: Option<Arc<dyn Store>> = match &config.place {
            StorePlace::Nowhere => None,
            StorePlace::Memory => Some(Arc::new(SqliteStore::in_memory().await.map_err(explain)?)),
            StorePlace::File(path) => {
                Some(Arc::new(SqliteStore::open(path).await.map_err(explain)?))
            }
        };
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
        let report = move |count| {
            driver.post(move |endpoint, switch, now| switch.durable(endpoint, now, count));
        };
        let keep = self.config.keep_cdrs;
        self.records.write_to(store, keep, report).map(Some)
    }
}
