//! The shared configuration as a process knows it: which version it runs, which is the newest, and the copy on its own
//! disk, by which it starts where the database is away.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::configuration::{Newest, NotShared, read_shared};
use crate::config::{ClusterConfig, Config, ConfigError, DatabaseUrl, KnownHosts, SharedText};
use crate::private_file;

/// What a process knows of the shared configuration; the same for all who have it.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::KnownHosts;
/// use oneport_switch::cluster::SharedConfiguration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// let file = directory.path().join("oneport.toml");
/// std::fs::write(&file, "[peers.ann]\nsecret = \"a b c\"")?;
/// // Of a switch that is alone it is empty, and no database is asked.
/// let loaded = SharedConfiguration::at_start(&file, &KnownHosts::new(), directory.path()).await?;
/// let (config, _shared) = loaded;
/// assert!(config.cluster.is_none());
/// # Ok(())
/// # }
/// ```
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
    /// Nothing was kept, and nothing was read since the database has said for the first time what is shared.
    is_unread: bool,
    is_told: bool,
    /// The database has none, and one runs.
    is_missing: bool,
}

impl Known {
    /// The database has none, and what runs stays: whoever has lost it is to hear of that, and no call to suffer.
    fn misses(&mut self) {
        if let (Some(running), false) = (&self.running, self.is_missing) {
            tracing::warn!("{}", missing(running));
            self.is_missing = true;
        }
    }
}

/// Says that the database has none where there was one.
pub(crate) fn missing(kept: &SharedText) -> String {
    format!("the database has no shared configuration; {kept:?} is as it was kept here")
}

/// How this switch stands to the shared configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SharedStanding {
    /// The version that it runs.
    pub(crate) running: Option<i64>,
    /// The newest that it has heard of.
    pub(crate) newest: Option<i64>,
    /// Why it does not run the newest.
    pub(crate) refused: Option<String>,
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

/// What a switch finds of the shared configuration before it runs.
///
/// ```no_run
/// use std::path::Path;
///
/// use oneport_switch::Config;
/// use oneport_switch::cluster::SharedOffer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = Path::new("/etc/oneport/oneport.toml");
/// if let Some((cluster, url)) = Config::cluster_place(file)? {
///     let offer = SharedOffer::of(&cluster, &url, Path::new("/var/lib/oneport")).await;
///     match offer.newest {
///         Ok(shared) => println!("there is one: {}", shared.is_some()),
///         Err(why) => println!("{why}; kept is {:?}", offer.kept),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SharedOffer {
    /// The newest version in the database; none where nobody has set one.
    pub newest: Result<Option<SharedText>, NotShared>,
    /// The one that it ran last, as far as its own disk says.
    pub kept: Option<SharedText>,
}

/// Where the switch `cluster` keeps what it ran last, in its directory `state`.
fn kept_in(cluster: &ClusterConfig, state: &Path) -> PathBuf {
    state.join(format!("shared-{}.json", cluster.name))
}

impl SharedOffer {
    /// Asks the database `url` of the switch `cluster`, and looks into its directory `state`.
    pub async fn of(cluster: &ClusterConfig, url: &DatabaseUrl, state: &Path) -> Self {
        let kept = std::fs::read(kept_in(cluster, state)).ok();
        let kept = kept.and_then(|kept| serde_json::from_slice(&kept).ok());
        Self { newest: read_shared(url, None).await, kept }
    }
}

impl SharedConfiguration {
    /// Reads the file of a switch that starts, and beside it what is shared: the newest version, or the copy that is
    /// kept in the directory `state` where the database does not answer or has none any more, or where the newest does
    /// not go with the file. Where none is kept it is the file alone.
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
        let SharedOffer { newest, kept } = SharedOffer::of(&cluster, &url, state).await;
        let is_unread = newest.is_err() && kept.is_none();
        let is_none = matches!(newest, Ok(None));
        let newest = match newest {
            Ok(newest) => newest,
            Err(error) => {
                match &kept {
                    Some(kept) => tracing::warn!("{error}; {kept:?} is as it was kept here"),
                    None => tracing::warn!("{error}; nothing is known of a shared configuration"),
                }
                None
            }
        };
        let mut known_here = Known { running: kept, newest, is_unread, ..Known::default() };
        if is_none {
            known_here.misses();
        }
        let inner = Inner {
            file: Some(kept_in(&cluster, state)),
            known: Mutex::new(known_here),
            news: Notify::new(),
        };
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
    pub(crate) fn standing(&self) -> SharedStanding {
        let known = self.known();
        let version = |text: &Option<SharedText>| text.as_ref().and_then(|text| text.version);
        SharedStanding {
            running: version(&known.running),
            newest: version(&known.newest).or_else(|| version(&known.running)),
            refused: known
                .refused
                .clone()
                .or_else(|| known.running.as_ref().filter(|_| known.is_missing).map(missing)),
        }
    }

    /// Whether there may be peers that are shared and not known here: nothing was kept, and nothing was read since the
    /// database has answered.
    pub(crate) fn is_unread(&self) -> bool {
        self.known().is_unread
    }

    /// What runs of it.
    pub(crate) fn running(&self) -> Option<SharedText> {
        self.known().running.clone()
    }

    /// The version that was heard of last.
    pub(super) fn heard_of(&self) -> Option<i64> {
        self.known().newest.as_ref().and_then(|text| text.version)
    }

    /// The database says this.
    pub(super) fn learn(&self, newest: Newest) {
        let mut known = self.known();
        let mut is_news = !std::mem::replace(&mut known.is_told, true) && known.is_unread;
        match newest {
            Newest::Missing => known.misses(),
            Newest::Same => known.is_missing = false,
            Newest::New(newest) => {
                known.is_missing = false;
                known.newest = Some(newest);
                is_news = true;
            }
        }
        drop(known);
        if is_news {
            self.0.news.notify_one();
        }
    }

    /// Returns when there is a newer one than before, or the first answer of the database, to be run by reading the
    /// configuration again.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    /// What runs, and the newest, to be read.
    fn now(&self) -> (Option<SharedText>, Option<SharedText>) {
        let mut known = self.known();
        known.is_unread &= !known.is_told;
        (known.running.clone(), known.newest.clone())
    }

    /// Reads the file and what is shared: the newest of it that goes with the file.
    pub(crate) fn load(&self, path: &Path, hosts: &KnownHosts) -> Result<Loaded, ConfigError> {
        let (running, newest) = self.now();
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

    /// Nothing that was read can be run, for this reason: what runs stays.
    pub(crate) fn stays(&self, why: &ConfigError) {
        let known = self.known();
        if known.newest.is_some() && known.newest != known.running {
            let running = known.running.clone();
            drop(known);
            self.runs(running, Some(why));
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

#[cfg(test)]
impl SharedConfiguration {
    /// Nothing was kept, and the database has not answered.
    pub(crate) fn unread() -> Self {
        let shared = Self::default();
        shared.known().is_unread = true;
        shared
    }

    /// It has none, and that is read.
    pub(crate) fn is_told_of_none(&self) {
        self.learn(Newest::Missing);
        assert!(self.is_unread(), "what is read next has it");
        self.now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: i64, text: &str) -> SharedText {
        SharedText { version: Some(version), text: text.into() }
    }

    fn running(text: SharedText) -> SharedConfiguration {
        let shared = SharedConfiguration::default();
        shared.known().running = Some(text);
        shared
    }

    #[test]
    fn where_the_database_has_none_any_more_what_runs_stays_and_says_so_until_there_is_one() {
        let shared = running(version(7, ""));
        let why = "the database has no shared configuration; shared configuration 7 is as it was kept here";
        for back in [Newest::Same, Newest::New(version(1, ""))] {
            shared.learn(Newest::Missing);
            assert_eq!(shared.standing().refused.as_deref(), Some(why));
            assert_eq!(shared.standing().running, Some(7));
            shared.learn(back);
            assert_eq!(shared.standing().refused, None);
        }
        let alone = SharedConfiguration::default();
        alone.learn(Newest::Missing);
        assert_eq!(alone.standing(), SharedStanding::default());
    }

    #[test]
    fn where_neither_the_newest_nor_what_runs_goes_with_the_file_it_is_said_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("oneport.toml");
        std::fs::write(&path, "[peers.ann]\nsecret = \"s\"\n").unwrap();
        let ann = "[peers.ann]\nsecret = \"t\"\n";
        let shared = running(version(1, ann));
        shared.learn(Newest::New(version(2, ann)));
        let why = shared.load(&path, &KnownHosts::new()).expect_err("ann is in the file");
        shared.stays(&why);
        let SharedStanding { running, newest, refused } = shared.standing();
        assert_eq!((running, newest), (Some(1), Some(2)));
        assert_eq!(refused, Some(why.to_string()));
    }
}
