//! The shared configuration as a process knows it: which version it runs, which is the newest, and the copy on its own
//! disk, by which it starts where the database is away.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::configuration::read_shared;
use crate::config::{Config, ConfigError, KnownHosts, SharedText};
use crate::private_file;

/// What a process knows of the shared configuration; the same for all who have it.
#[derive(Clone, Debug, Default)]
pub struct SharedConfiguration(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Where the version that runs is kept; `None`: nowhere.
    file: Option<PathBuf>,
    known: Mutex<Known>,
    /// There is a newer one than before.
    news: Notify,
}

#[derive(Debug, Default)]
struct Known {
    running: Option<SharedText>,
    newest: Option<SharedText>,
    /// Why the newest does not run.
    refused: Option<String>,
}

/// How this switch stands to the shared configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SharedStanding {
    /// The version that it runs.
    pub running: Option<i64>,
    /// The newest that it has heard of.
    pub newest: Option<i64>,
    /// Why it does not run the newest.
    pub refused: Option<String>,
}

/// A configuration that can be run.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// What of it is shared.
    pub(crate) shared: Option<SharedText>,
    /// Why a newer one is not.
    pub(crate) refused: Option<ConfigError>,
}

impl SharedConfiguration {
    /// Reads the file of a switch that starts, and beside it what is shared: the newest version, or the copy that is
    /// kept in the directory `state` where the database does not answer, or where the newest does not go with the file.
    /// Where there is neither it is the file alone.
    ///
    /// # Errors
    /// None of these can be run.
    pub async fn at_start(
        path: &Path,
        known: &KnownHosts,
        state: &Path,
    ) -> Result<(Config, Self), ConfigError> {
        let Some((cluster, url)) = Config::cluster_place(path)? else {
            return Config::load_to_run(path, known).map(|config| (config, Self::default()));
        };
        let file = state.join(format!("shared-{}.json", cluster.name));
        let kept = std::fs::read(&file).ok();
        let kept: Option<SharedText> = kept.and_then(|kept| serde_json::from_slice(&kept).ok());
        let newest = match read_shared(&url, None).await {
            Ok(newest) => newest,
            Err(error) => {
                match &kept {
                    Some(kept) => tracing::warn!("{error}; {kept:?} is as it was kept here"),
                    None => tracing::warn!("{error}; nothing is known of a shared configuration"),
                }
                None
            }
        };
        let known_here = Known { running: kept, newest, refused: None };
        let inner = Inner { file: Some(file), known: Mutex::new(known_here), news: Notify::new() };
        let shared = Self(Arc::new(inner));
        let loaded = shared.load(path, known)?;
        shared.runs(loaded.shared, loaded.refused.as_ref());
        Ok((loaded.config, shared))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How this switch stands to it.
    #[must_use]
    pub fn standing(&self) -> SharedStanding {
        let known = self.known();
        let version = |text: &Option<SharedText>| text.as_ref().and_then(|text| text.version);
        SharedStanding {
            running: version(&known.running),
            newest: version(&known.newest).or_else(|| version(&known.running)),
            refused: known.refused.clone(),
        }
    }

    /// The text that runs; empty where there is none.
    pub(crate) fn text(&self) -> String {
        self.known().running.as_ref().map(|text| text.text.clone()).unwrap_or_default()
    }

    /// The version that was heard of last.
    pub(super) fn heard_of(&self) -> Option<i64> {
        self.known().newest.as_ref().and_then(|text| text.version)
    }

    /// The database has this one.
    pub(super) fn learn(&self, newest: SharedText) {
        self.known().newest = Some(newest);
        self.0.news.notify_one();
    }

    /// Returns when there is a newer one than before, to be run by reading the configuration again.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    /// Reads the file and what is shared: the newest of it that goes with the file.
    pub(crate) fn load(&self, path: &Path, hosts: &KnownHosts) -> Result<Loaded, ConfigError> {
        let (running, newest) = {
            let known = self.known();
            (known.running.clone(), known.newest.clone())
        };
        let mut refused: Option<ConfigError> = None;
        if let Some(newest) = newest.filter(|newest| running.as_ref() != Some(newest)) {
            match Config::load_to_run_with(path, &newest, hosts) {
                Ok(config) => return Ok(Loaded { config, shared: Some(newest), refused }),
                Err(error) => refused = Some(error),
            }
        }
        let config = match &running {
            Some(running) => Config::load_to_run_with(path, running, hosts),
            None => Config::load_to_run(path, hosts),
        };
        match (config, refused) {
            (Ok(config), refused) => Ok(Loaded { config, shared: running, refused }),
            // What is newest is what it is to be.
            (Err(_), Some(error)) | (Err(error), None) => Err(error),
        }
    }

    /// That runs now, and a newer one does not for this reason.
    pub(crate) fn runs(&self, text: Option<SharedText>, refused: Option<&ConfigError>) {
        let refused = refused.map(ToString::to_string);
        let mut known = self.known();
        if let Some(why) = refused.as_ref().filter(|why| known.refused.as_ref() != Some(*why)) {
            match &known.running {
                Some(running) => tracing::error!("{why}; {running:?} stays"),
                None => tracing::error!("{why}; nothing of it is taken"),
            }
        }
        known.refused = refused;
        let is_new = known.running != text;
        known.running.clone_from(&text);
        drop(known);
        if let (true, Some(text), Some(file)) = (is_new, text, &self.0.file) {
            tracing::info!("{text:?} is in force");
            let kept = serde_json::to_vec(&text).map_err(std::io::Error::other);
            if let Err(error) = kept.and_then(|kept| private_file::write(file, &kept)) {
                tracing::warn!("{text:?} is not kept in {}: {error}", file.display());
            }
        }
    }
}
