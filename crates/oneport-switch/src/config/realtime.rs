//! `[realtime]`: peers out of Asterisk's tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use oneport_proto::{EncryptionPolicy, TokenRule};
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::ConfigError;
use super::file::File;
use super::hosts::{Hosts, KnownHosts};
use super::music::read_class;
use super::peers::PeerKeys;
use super::secret::places;
use super::source::{Beside, Source};
use super::spanned::Spanned;
use super::store::{DatabaseUrl, read_url};
use super::timers::PeerTimers;
use super::{Acl, Peer};
use crate::builtin::MusicClass;

/// The table where none is named: the one of Asterisk's examples.
const TABLE: &str = "iaxfriends";

/// Begins the URL of a SQLite file.
const SQLITE: &str = "sqlite:";

/// How a file is named.
const AS_URL: &str = "a SQLite file is named by sqlite:/PATH/OF/FILE";

/// Time between two looks at the tables, in s.
const POLL: (u64, u64) = (1, 60);
const USUAL_POLL: u64 = 5;

/// Names that are looked up in a second, because somebody calls or registers under them.
const MOST_LOOKUPS: u64 = 1_000;
const USUAL_LOOKUPS: u64 = 20;

/// Where Asterisk keeps keys.
const KEYS: &str = "/var/lib/asterisk/keys";

/// Tables of Asterisk whose rows are peers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RealtimeConfig {
    /// Where they are.
    pub(crate) place: RealtimePlace,
    /// The table of who registers and is called: `iaxpeers` of Asterisk's extconfig.conf.
    pub(crate) peers: String,
    /// That of who calls: `iaxusers`. It may be the same.
    pub(crate) users: String,
    /// Time between two looks at the tables.
    pub(crate) poll: Duration,
    /// Names that are looked up in a second at most.
    pub(crate) lookups_per_second: u32,
    /// What is written into `regserver`; `None`: nothing.
    pub(crate) regserver: Option<String>,
    /// The directory of the keys that `inkeys` and `outkey` name.
    pub(crate) keys: PathBuf,
}

/// Where tables are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RealtimePlace {
    /// In this SQLite file.
    File(PathBuf),
    /// In a database on a server.
    Server(DatabaseUrl),
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RealtimeKeys {
    /// The database with Asterisk's tables: `postgres://USER@HOST/DATABASE`, `mysql://…`, or `sqlite:/PATH/OF/FILE`.
    url: Option<Spanned<String>>,
    /// The password for `url`.
    secret: Option<Spanned<String>>,
    /// A file with it.
    secret_file: Option<Spanned<PathBuf>>,
    /// An environment variable with it.
    secret_env: Option<Spanned<String>>,
    /// The table of who registers and is called: what `iaxpeers` names in Asterisk's `extconfig.conf`.
    #[schemars(extend("default" = TABLE))]
    peers: Option<Spanned<String>>,
    /// The table of who calls: what `iaxusers` names there.
    #[schemars(extend("x-default" = "that of `peers`"))]
    users: Option<Spanned<String>>,
    /// Time between two looks at the tables, after which changes of rows hold.
    #[schemars(range(min = 1, max = 60), extend("default" = 5))]
    poll_seconds: Option<Spanned<u64>>,
    /// How many names are looked up in a second at most, since somebody calls or registers under them and no peer is
    /// known by them. 0: none; then they are known with the next look.
    #[schemars(range(max = 1000), extend("default" = 20))]
    lookups_per_second: Option<Spanned<u64>>,
    /// What is written into the column `regserver` with a registration, as Asterisk writes its `systemname` there
    /// with `rtsavesysname=yes`.
    regserver: Option<String>,
    /// The directory of the keys that the columns `inkeys` and `outkey` name.
    #[schemars(extend("default" = KEYS))]
    keys: Option<PathBuf>,
}

impl RealtimeKeys {
    /// `None`: there are no such tables.
    pub(super) fn check(&self, source: &Source<'_>) -> Result<Option<RealtimeConfig>, ConfigError> {
        let Some(url) = &self.url else {
            let texts = [&self.secret, &self.secret_env, &self.peers, &self.users];
            let texts = texts.into_iter().flatten().map(Spanned::span);
            let numbers = [&self.poll_seconds, &self.lookups_per_second];
            let numbers = numbers.into_iter().flatten().map(Spanned::span);
            let file = self.secret_file.as_ref().map(Spanned::span);
            let first = texts.chain(numbers).chain(file).min_by_key(|span| span.start);
            return match first {
                None => Ok(None),
                Some(span) => {
                    let what = "[realtime] names no database";
                    let help = "add url = \"postgres://USER@HOST/DATABASE\", the one of Asterisk";
                    Err(source.wrong_at(span, what).with_help(help))
                }
            };
        };
        let place = match url.get_ref().strip_prefix(SQLITE) {
            Some(path) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                if path.is_empty() {
                    let error = source.wrong(url, "it names no file");
                    let help = "such as \"sqlite:/var/lib/asterisk/realtime.sqlite3\"";
                    return Err(error.with_help(help));
                }
                RealtimePlace::File(path.into())
            }
            None => {
                let secret = places(
                    self.secret.as_ref(),
                    self.secret_file.as_ref(),
                    self.secret_env.as_ref(),
                )
                .next();
                RealtimePlace::Server(read_url(source, url, secret, AS_URL)?)
            }
        };
        let peers = read_table(source, self.peers.as_ref())?;
        let peers = peers.unwrap_or_else(|| TABLE.into());
        let users = read_table(source, self.users.as_ref())?.unwrap_or_else(|| peers.clone());
        let poll = read_number(source, self.poll_seconds.as_ref(), POLL, USUAL_POLL)?;
        let lookups = self.lookups_per_second.as_ref();
        let lookups = read_number(source, lookups, (0, MOST_LOOKUPS), USUAL_LOOKUPS)?;
        Ok(Some(RealtimeConfig {
            place,
            peers,
            users,
            poll: Duration::from_secs(poll),
            lookups_per_second: u32::try_from(lookups).unwrap_or(u32::MAX),
            regserver: self.regserver.clone(),
            keys: self.keys.clone().unwrap_or_else(|| KEYS.into()),
        }))
    }
}

/// The name of a table. It goes into statements as it stands.
fn read_table(
    source: &Source<'_>,
    written: Option<&Spanned<String>>,
) -> Result<Option<String>, ConfigError> {
    let Some(written) = written else { return Ok(None) };
    let name = written.get_ref();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_plain) {
        let error = source.wrong(written, format!("`{name}` is no name of a table"));
        return Err(error.with_help("it is made of letters, digits and `_`, such as iaxfriends"));
    }
    Ok(Some(name.clone()))
}

fn read_number(
    source: &Source<'_>,
    key: Option<&Spanned<u64>>,
    (least, most): (u64, u64),
    usual: u64,
) -> Result<u64, ConfigError> {
    match key {
        None => Ok(usual),
        Some(key) if (least..=most).contains(key.get_ref()) => Ok(*key.get_ref()),
        Some(key) => {
            let what = format!("{} is not within {least} to {most}", key.get_ref());
            let help = format!("choose {least} to {most}, or leave the key out");
            Err(source.wrong(key, what).with_help(help))
        }
    }
}

/// What a configuration says for all of its peers, and what they may name.
#[derive(Clone, Debug)]
pub(crate) struct PeerBasis {
    pub(super) encryption: EncryptionPolicy,
    pub(super) timers: PeerTimers,
    pub(super) acls: BTreeMap<String, Acl>,
    pub(super) music: BTreeMap<String, Arc<MusicClass>>,
    pub(super) transcoding: bool,
}

impl PeerBasis {
    /// A peer of its keys, but for what concerns others as well.
    pub(super) fn check(
        &self,
        source: &Source<'_>,
        name: &Spanned<String>,
        keys: PeerKeys,
    ) -> Result<(Peer, TokenRule), ConfigError> {
        let lists = keys.read_acls(source, &self.acls)?;
        let hold_music = read_class(source, keys.hold_music.as_ref(), &self.music)?;
        let transcoding = keys.transcoding;
        let (mut peer, rule) = keys.check(source, name, self.encryption, &self.timers)?;
        peer.acls = lists;
        if peer.lost.is_some() && !peer.has_proof() {
            // It is known by an address that nobody knows: it is nobody.
            peer.acls.push(Acl { permit: Some(Vec::new()), deny: Vec::new() });
        }
        peer.hold_music = hold_music;
        peer.transcoding = transcoding.unwrap_or(self.transcoding);
        Ok((peer, rule))
    }

    /// A list of addresses by its name.
    pub(crate) fn acl(&self, name: &str) -> Option<&Acl> {
        self.acls.get(name)
    }

    /// The one peer of `text`, which came from `table`. Its host is looked up, which may take as long as the
    /// name server does; one that cannot be found is no mistake.
    ///
    /// # Errors
    /// It is no good peer.
    pub(crate) fn read(&self, table: &str, text: &str) -> Result<(Peer, TokenRule), ConfigError> {
        let path = Path::new(table);
        let file = File::parse(path, text)?;
        let hosts = file.peers.values().filter_map(|keys| keys.written_address());
        let hosts = Hosts::of(hosts, std::iter::empty(), &KnownHosts::new());
        let source = Source { path, text, beside: Beside::MayBeMissing, hosts: &hosts };
        match file.peers.into_iter().next() {
            Some((name, keys)) => self.check(&source, &name, *keys),
            None => Err(source.wrong_at(0..0, "it is no peer")),
        }
    }
}
