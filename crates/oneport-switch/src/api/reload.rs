//! Reading the configuration again: on a signal, when its file changes, and on request.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oneport::{Driver, Stopped};
use thiserror::Error;
use tokio::sync::Mutex;

use super::model::Reloaded;
use super::token::Tokens;
use crate::cluster::{Loaded, SharedConfiguration};
use crate::config::SharedText;
use crate::{Config, ConfigError, KnownHosts, Switch};

/// Why the configuration was not read again. The old one stays.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::api::{ReloadError, Reloader};
/// use oneport_switch::cluster::SharedConfiguration;
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let driver = start("");
/// let file = Path::new("/nowhere/oneport.toml");
/// let reloader = Reloader::new(file, &driver, SharedConfiguration::default());
/// let error = reloader.carry_out(true).await.expect_err("there is no file");
/// assert!(matches!(error, ReloadError::Config(_)) && error.hint().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
pub enum ReloadError {
    /// The file has a mistake.
    #[error("{0}")]
    Config(Box<ConfigError>),
    /// The switch has stopped.
    #[error("{0}")]
    Stopped(#[from] Stopped),
    /// The system could not run what reads it.
    #[error("the file could not be read: {0}")]
    Unread(tokio::task::JoinError),
}

impl ReloadError {
    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.help.clone(),
            _ => None,
        }
    }
}

/// Reads the configuration file of a running switch again, and hands it over.
///
/// ```
/// use oneport_switch::api::Reloader;
/// use oneport_switch::cluster::SharedConfiguration;
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// let file = directory.path().join("oneport.toml");
/// std::fs::write(&file, "[peers.ann]\nsecret = \"a b c\"")?;
/// let driver = start("");
/// let reloader = Reloader::new(&file, &driver, SharedConfiguration::default());
/// let reloaded = reloader.carry_out(false).await?;
/// assert!(reloaded.applied && reloaded.calls == 0);
/// println!("{}", reloaded.changes.join("\n"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Reloader {
    file: PathBuf,
    driver: Driver<Switch>,
    tokens: Arc<Tokens>,
    shared: SharedConfiguration,
    /// Held from reading until what was read is in force, by all that read for the same switch: of two at once, the
    /// later has read later.
    turn: Arc<Mutex<()>>,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reloader of {}", self.file.display())
    }
}

impl Reloader {
    /// For a switch without an API.
    #[must_use]
    pub fn new(file: &Path, driver: &Driver<Switch>, shared: SharedConfiguration) -> Self {
        Self::with_tokens(file, driver, Arc::default(), shared)
    }

    pub(super) fn with_tokens(
        file: &Path,
        driver: &Driver<Switch>,
        tokens: Arc<Tokens>,
        shared: SharedConfiguration,
    ) -> Self {
        Self { file: file.into(), driver: driver.clone(), tokens, shared, turn: Arc::default() }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Hosts with their addresses, and those that have none.
    async fn hosts(&self) -> Result<(KnownHosts, BTreeSet<String>), Stopped> {
        self.driver.with(|_, switch, _| switch.hosts()).await
    }

    /// Whether a host of the configuration has moved, or has been found at last. It takes as long as
    /// the name server does.
    ///
    /// # Errors
    /// The switch has stopped.
    pub async fn hosts_have_moved(&self) -> Result<bool, Stopped> {
        let (known, lost) = self.hosts().await?;
        if known.is_empty() && lost.is_empty() {
            return Ok(false);
        }
        let asked = tokio::task::spawn_blocking(move || Config::hosts_have_moved(&known, &lost));
        Ok(asked.await.unwrap_or(false))
    }

    /// What it has of what switches share.
    pub(super) const fn shared(&self) -> &SharedConfiguration {
        &self.shared
    }

    /// What would change if this were shared, a line each.
    ///
    /// # Errors
    /// It has a mistake, or does not go with the file, or the switch has stopped.
    pub(super) async fn try_shared(&self, text: SharedText) -> Result<Vec<String>, ReloadError> {
        let file = self.file.clone();
        let (known, _) = self.hosts().await?;
        let load = move || Config::load_to_run_with(&file, &text, &known);
        let loaded = tokio::task::spawn_blocking(load).await.map_err(ReloadError::Unread)?;
        let config = loaded.map_err(|error| ReloadError::Config(Box::new(error)))?;
        Ok(self.driver.with(move |_, switch, _| switch.changes(&config)).await?)
    }

    /// Reads it, with what switches share, and has the switch take it over unless it is a `dry_run`. Where the newest
    /// of what they share does not go with the file, that which runs stays.
    ///
    /// # Errors
    /// The file has a mistake, or the switch has stopped. Nothing has changed then.
    pub async fn carry_out(&self, dry_run: bool) -> Result<Reloaded, ReloadError> {
        let _turn = self.turn.lock().await;
        let file = self.file.clone();
        let (known, _) = self.hosts().await?;
        // Host names are looked up in here.
        let shared = self.shared.clone();
        let loaded = tokio::task::spawn_blocking(move || shared.load(&file, &known)).await;
        let loaded = loaded.map_err(ReloadError::Unread)?;
        if let (Err(error), false) = (&loaded, dry_run) {
            self.shared.stays(error);
        }
        let loaded = loaded.map_err(|error| ReloadError::Config(Box::new(error)))?;
        let Loaded { config, shared, refused } = loaded;
        let tokens = config.api.tokens.clone();
        let answer = self.driver.with(move |endpoint, switch, now| {
            let calls = switch.count_calls();
            let changes = match dry_run {
                true => switch.changes(&config),
                false => switch.reload(endpoint, now, config),
            };
            Reloaded { applied: !dry_run, changes, calls }
        });
        let reloaded = answer.await?;
        if !dry_run {
            self.tokens.replace(tokens);
            self.shared.runs(shared, refused.as_ref());
        }
        Ok(reloaded)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use oneport::DriverConfig;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn of_two_reloads_at_once_the_one_that_began_later_is_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let (path, newer) =
            (directory.path().join("oneport.toml"), directory.path().join("newer.toml"));
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let text = "[peers.newer]\nsecret = \"a\"\n";
        std::fs::write(&newer, text).unwrap();
        let listen = vec![([127, 0, 0, 1], 0).into()];
        let config = DriverConfig { listen, ..DriverConfig::default() };
        let driver = Driver::start(config, Switch::new(Config::default())).unwrap();
        let reloader = Reloader::new(&path, &driver, SharedConfiguration::default());
        let first = tokio::spawn({
            let reloader = reloader.clone();
            async move { reloader.carry_out(false).await }
        });
        // It is open for writing once the first reads it.
        let writer = tokio::task::spawn_blocking({
            let path = path.clone();
            move || std::fs::OpenOptions::new().write(true).open(path).unwrap()
        });
        let mut writer = writer.await.unwrap();
        std::fs::rename(&newer, &path).unwrap();
        let mut second = tokio::spawn(async move { reloader.carry_out(false).await });
        // It has the time to overtake the first, if anything lets it.
        let waited = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
        std::io::Write::write_all(&mut writer, b"[peers.older]\nsecret = \"a\"\n").unwrap();
        drop(writer);
        first.await.unwrap().unwrap();
        match waited {
            Ok(done) => done.unwrap().unwrap(),
            Err(_) => second.await.unwrap().unwrap(),
        };
        let newer = Config::parse(&path, text).unwrap();
        let changes = driver.with(move |_, switch, _| switch.changes(&newer)).await.unwrap();
        assert!(!changes.iter().any(|change| change.contains("newer")), "{changes:?}");
    }
}
