//! `[store]`: where records and registrations are kept.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oneport_proto::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::error::ConfigError;
use super::secret::{Place, places};
use super::source::Source;
use super::spanned::Spanned;

/// The name of the database where none is given.
const FILE_NAME: &str = "oneport.db";

/// The name of the queue before a server where none is given.
const QUEUE_NAME: &str = "oneport-queue.db";

/// The path that stands for no file.
const MEMORY: &str = ":memory:";

/// Where a SQLite file stands.
const IN_PATH: &str = "a SQLite file goes into `path`";

const DAY: Duration = Duration::from_secs(86_400);

/// What is kept, and where.
///
/// ```
/// use std::path::Path;
/// use std::time::Duration;
///
/// use oneport_switch::{Config, StoreConfig, StorePlace};
///
/// let store = Config::parse(Path::new("oneport.toml"), "[store]\npath = \"/srv/oneport.db\"")?.store;
/// assert_eq!(store.place, StorePlace::File("/srv/oneport.db".into()));
/// assert_eq!(store.max_waiting, StoreConfig::default().max_waiting);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreConfig {
    /// Where.
    pub place: StorePlace,
    /// How long call detail records are kept; `None`: for ever.
    pub keep_cdrs: Option<Duration>,
    /// Records that may wait to be written before new calls are refused.
    pub max_waiting: u64,
    /// Records that may wait on the disk for a server.
    pub max_queued: u64,
}

/// Where records are kept.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::{Config, StorePlace};
///
/// let config = Config::parse(Path::new("oneport.toml"), "[store]\npath = \":memory:\"")?;
/// assert_eq!(config.store.place, StorePlace::Memory);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StorePlace {
    /// Nowhere.
    Nowhere,
    /// In memory, as long as the process lives.
    Memory,
    /// In this SQLite file.
    File(PathBuf),
    /// In a database on a server.
    Server {
        /// Which.
        url: DatabaseUrl,
        /// The file in which records wait while it does not answer.
        queue: PathBuf,
    },
}

/// Kinds of database servers.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::{Config, DatabaseKind, StorePlace};
///
/// let text = "[store]\nurl = \"mysql://oneport@db.example.org/oneport\"";
/// let config = Config::parse(Path::new("oneport.toml"), text)?;
/// let StorePlace::Server { url, .. } = config.store.place else { panic!("{config:?}") };
/// assert_eq!(url.kind(), DatabaseKind::MySql);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatabaseKind {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    MySql,
}

/// Schemes of URLs, and what they mean.
const SCHEMES: [(&str, DatabaseKind); 4] = [
    ("postgres", DatabaseKind::Postgres),
    ("postgresql", DatabaseKind::Postgres),
    ("mysql", DatabaseKind::MySql),
    ("mariadb", DatabaseKind::MySql),
];

/// A database on a server, and the secret that opens it. It prints without that.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::{Config, StorePlace};
///
/// let text = "[store]\nurl = \"postgres://oneport@db.example.org/oneport\"\nsecret = \"hush\"";
/// let config = Config::parse(Path::new("oneport.toml"), text)?;
/// let StorePlace::Server { url, .. } = config.store.place else { panic!("{config:?}") };
/// assert!(!url.to_string().contains("hush"));
/// assert_eq!(url.with_secret().password(), Some("hush"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    kind: DatabaseKind,
    url: Url,
    secret: Option<Secret>,
}

impl DatabaseUrl {
    /// Which kind of server it is.
    #[must_use]
    pub const fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// The URL with the secret in it.
    #[must_use]
    pub fn with_secret(&self) -> Url {
        let mut url = self.url.clone();
        // There is a host, so that there is room for a password.
        let _ = url.set_password(self.secret.as_ref().map(Secret::expose));
        url
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.as_str().fmt(f)
    }
}

impl Default for StoreConfig {
    /// In memory, a year of it at most.
    fn default() -> Self {
        let keep_cdrs = Some(DAY * 365);
        Self { place: StorePlace::Memory, keep_cdrs, max_waiting: 10_000, max_queued: 1_000_000 }
    }
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreKeys {
    /// Whether anything is kept at all.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
    /// The file; it is made where there is none, readable for its owner alone. A relative path
    /// starts from the directory that systemd gives for state (`STATE_DIRECTORY`), and where there
    /// is none from that of this file. `":memory:"` keeps the newest 100,000 records until the
    /// switch stops. Without a configuration file that is the default.
    #[schemars(extend("default" = "oneport.db"))]
    path: Option<PathBuf>,
    /// A database on a server, in place of a file: `postgres://USER@HOST/DATABASE`, or `mysql://…` for MySQL
    /// and MariaDB (docs/store.md). The database must be there; its tables are made.
    url: Option<Spanned<String>>,
    /// The password for `url`.
    secret: Option<Spanned<String>>,
    /// A file with it.
    secret_file: Option<Spanned<PathBuf>>,
    /// An environment variable with it.
    secret_env: Option<Spanned<String>>,
    /// The file in which records wait while the database of `url` does not answer; a relative path starts where
    /// that of `path` does.
    #[schemars(extend("default" = "oneport-queue.db"))]
    queue: Option<PathBuf>,
    /// Records that may wait there, 1 to 2 kB each. When so many do, further ones wait in memory, up to
    /// `max_waiting`.
    #[schemars(range(min = 1), extend("default" = 1000000))]
    max_queued: Option<Spanned<u64>>,
    /// Call detail records of calls that ended longer ago are deleted, bit by bit. 0: never.
    #[schemars(extend("default" = 365))]
    keep_cdrs_days: Option<u64>,
    /// New calls and registrations are refused (cause 42) while so many records wait to be written,
    /// as behind a full disk. Calls that are up keep their records.
    #[schemars(range(min = 1), extend("default" = 10000))]
    max_waiting: Option<Spanned<u64>>,
}

impl StoreKeys {
    pub(super) fn check(&self, source: &Source<'_>) -> Result<StoreConfig, ConfigError> {
        let default = StoreConfig::default();
        let place = match (self.enabled, self.path.as_deref()) {
            (Some(false), _) => StorePlace::Nowhere,
            (_, _) if let Some(url) = &self.url => {
                let queue = self.queue.as_deref().unwrap_or_else(|| Path::new(QUEUE_NAME));
                let queue = state_directory(source.path()).join(queue);
                let secret = places(
                    self.secret.as_ref(),
                    self.secret_file.as_ref(),
                    self.secret_env.as_ref(),
                )
                .next();
                StorePlace::Server { url: read_url(source, url, secret, IN_PATH)?, queue }
            }
            (_, Some(path)) if path == Path::new(MEMORY) => StorePlace::Memory,
            (_, path) => {
                let path = path.unwrap_or_else(|| Path::new(FILE_NAME));
                StorePlace::File(state_directory(source.path()).join(path))
            }
        };
        let keep_cdrs = match self.keep_cdrs_days {
            None => default.keep_cdrs,
            Some(0) => None,
            Some(days) => Some(DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX))),
        };
        let max_waiting = match &self.max_waiting {
            None => default.max_waiting,
            Some(most) if *most.get_ref() == 0 => {
                let what = "with 0 no call could ever begin";
                return Err(source.wrong(most, what).with_help("10000 is usual"));
            }
            Some(most) => *most.get_ref(),
        };
        let max_queued = match &self.max_queued {
            None => default.max_queued,
            Some(most) if *most.get_ref() == 0 => {
                let what = "with 0 nothing could wait while the database does not answer";
                return Err(source.wrong(most, what).with_help("1000000 is usual"));
            }
            Some(most) => *most.get_ref(),
        };
        Ok(StoreConfig { place, keep_cdrs, max_waiting, max_queued })
    }
}

/// A database on a server, as it is written, and its secret if it has one; `file`: how a SQLite file is named instead.
pub(super) fn read_url(
    source: &Source<'_>,
    written: &Spanned<String>,
    secret: Option<(Range<usize>, Place<'_>)>,
    file: &str,
) -> Result<DatabaseUrl, ConfigError> {
    let example = "such as \"postgres://oneport@db.example.org/oneport\"";
    let wrong = |what: String| source.wrong(written, what);
    let url = Url::parse(written.get_ref())
        .map_err(|why| wrong(format!("this is no URL: {why}")).with_help(example))?;
    let Some((_, kind)) = SCHEMES.into_iter().find(|(scheme, _)| *scheme == url.scheme()) else {
        let what = format!("`{}` is no kind of database that is known here", url.scheme());
        let help = format!("it begins with postgres:// or mysql://; {file}");
        return Err(wrong(what).with_help(help));
    };
    if url.password().is_some() {
        let what = "a password in a URL is seen wherever that is shown";
        let help = "put it into `secret`, `secret_file` or `secret_env`, as it is, without any %";
        return Err(wrong(what.into()).with_help(help));
    }
    if url.host_str().is_none_or(str::is_empty) {
        let what = "it names no host".to_string();
        return Err(wrong(what).with_help(example));
    }
    if url.path().trim_matches('/').is_empty() {
        let what = "it names no database".to_string();
        return Err(wrong(what).with_help(example));
    }
    let secret = secret.map(|(span, place)| source.secret(span, &place)).transpose()?;
    Ok(DatabaseUrl { kind, url, secret })
}

/// The directory that systemd gives a service for its state, or that of the configuration file.
fn state_directory(file: &Path) -> PathBuf {
    let given = std::env::var_os("STATE_DIRECTORY").unwrap_or_default();
    // Several are joined by colons; the first is ours.
    let given = std::env::split_paths(&given).next().filter(|path| !path.as_os_str().is_empty());
    given.unwrap_or_else(|| file.parent().unwrap_or_else(|| Path::new("")).into())
}
