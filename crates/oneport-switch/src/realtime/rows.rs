//! Rows of Asterisk's tables as peers: each becomes a section of `iax.conf`, and that what `oneport import` makes of it.
//!
//! Facts observed with Asterisk 22.10 and its PostgreSQL driver: columns count in their order; a text is cut at `;`,
//! and each part is an option of its own, without blanks at its end, with `^` and two hexadecimal digits for a
//! character; empty ones do not count. A row without a type is of either kind. A registration counts for 60 s after
//! `regseconds`, whatever was granted, and one in the future counts as well.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use oneport_proto::{Secret, TokenRule};

use super::tables::{Look, Table};
use crate::cluster::SWITCH;
use crate::config::{Peer, PeerBasis, RealtimeConfig};
use crate::import::read::{Section, Setting};
use crate::import::{self, Options, Place, SecretPlace, Verdict};
use crate::sip::settings::CARRIER;

/// How long Asterisk believes in a registration that it reads.
pub(crate) const BELIEVED: Duration = Duration::from_secs(60);

/// Columns that are no options.
const NO_OPTIONS: [&str; 6] = ["id", "uniqueid", "name", "ipaddr", "regseconds", "regserver"];

/// Names that mean something else in `iax.conf`.
const NO_NAMES: [&str; 2] = ["general", "callnumberlimits"];

/// A peer of a row, and its rule for call tokens.
pub(crate) type Known = (Arc<Peer>, TokenRule);

/// What becomes of a name.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    /// `None`: it is no peer.
    pub(super) peer: Option<Known>,
    /// What is said of its rows: options that mean something else here, or nothing, and why it is no peer.
    pub(super) remarks: Vec<String>,
    /// Whether it registers, so that this is written.
    pub(super) is_dynamic: bool,
}

/// Where a peer is registered, as its row says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Registered {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// When, in seconds after 1970.
    pub(crate) seconds: i64,
}

/// A row with the names of its columns.
#[derive(Clone, Copy)]
struct Row<'a> {
    table: &'a Table,
    texts: &'a [Option<String>],
}

impl<'a> Row<'a> {
    /// What stands in a column, if anything does.
    fn get(self, column: &str) -> Option<&'a str> {
        let text = self.texts.get(self.table.column(column)?)?.as_deref()?;
        Some(text.trim_end()).filter(|text| !text.is_empty())
    }

    fn is_dynamic(self) -> bool {
        self.get("host").is_some_and(|host| host.eq_ignore_ascii_case("dynamic"))
    }

    /// What makes it the peer that it is: all but its registration.
    fn lasting(self) -> Vec<Option<String>> {
        let dynamic = self.is_dynamic();
        let changes = |column: &str| {
            let is = |name: &str| column.eq_ignore_ascii_case(name);
            ["ipaddr", "regseconds", "regserver"].into_iter().any(is) || is("port") && dynamic
        };
        let texts = self.table.columns.iter().zip(self.texts);
        texts.filter(|(column, _)| !changes(column)).map(|(_, text)| text.clone()).collect()
    }

    fn registered(self, name: &str) -> Option<Registered> {
        if !self.is_dynamic() {
            return None;
        }
        let ip: IpAddr = self.get("ipaddr")?.parse().ok()?;
        let port: u16 = self.get("port")?.parse().ok().filter(|port| *port != 0)?;
        let seconds: i64 = self.get("regseconds")?.parse().ok().filter(|seconds| *seconds > 0)?;
        Some(Registered { name: name.into(), address: SocketAddr::new(ip, port), seconds })
    }

    /// Its options, in the order of its columns.
    fn settings(self) -> Vec<Setting> {
        let dynamic = self.is_dynamic();
        let mut settings = Vec::new();
        for (index, (column, text)) in self.table.columns.iter().zip(self.texts).enumerate() {
            let key = column.to_ascii_lowercase();
            if NO_OPTIONS.contains(&key.as_str()) || key == "port" && dynamic {
                continue;
            }
            for value in text.iter().flat_map(|text| parts(text)) {
                let place = Place { file: self.table.name.as_str().into(), line: index + 1 };
                settings.push(Setting { key: key.clone(), name: column.clone(), value, place });
            }
        }
        settings
    }
}

/// What a text of a column says.
fn parts(text: &str) -> Vec<String> {
    let parts = text.split(';').map(str::trim_end).filter(|part| !part.is_empty());
    parts.map(decoded).collect()
}

/// A text without `^3B` for `;`.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = hex.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (first, code) {
            (b'^', Some(code)) => {
                bytes.push(code);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What both tables say of a name, as text: as long as it is the same, so is the peer.
type Lasting = (Option<Vec<Option<String>>>, Option<Vec<Option<String>>>);

/// Makes peers of rows, each once as long as it stays as it is.
pub(super) struct Rows {
    users: String,
    peers: String,
    basis: Arc<PeerBasis>,
    options: Options,
    known: BTreeMap<String, (Lasting, Entry)>,
}

/// What a look at all rows has brought.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Names that are otherwise than at the last look, and what they are now.
    pub(super) changed: Vec<(String, Option<Known>)>,
    /// Where peers are registered.
    pub(super) registered: Vec<Registered>,
}

impl Rows {
    /// `trusted`: from where calls without a token are let in.
    pub(super) fn new(config: &RealtimeConfig, basis: Arc<PeerBasis>, trusted: &[IpNet]) -> Self {
        let keys = std::fs::read_dir(&config.keys).into_iter().flatten().flatten();
        let keys = keys.filter_map(|file| file.file_name().into_string().ok()).collect();
        let options = Options {
            secrets: SecretPlace::Inline,
            trusted: trusted.to_vec(),
            key_directory: config.keys.clone(),
            keys,
            data_directory: PathBuf::new(),
            music: BTreeSet::new(),
            sound_directory: PathBuf::new(),
            sounds: BTreeSet::new(),
        };
        let (users, peers) = (config.users.clone(), config.peers.clone());
        Self { users, peers, basis, options, known: BTreeMap::new() }
    }

    /// Names, and what is known of each.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.known.iter().map(|(name, (_, entry))| (name.as_str(), entry))
    }

    /// Whether a peer registers that a row has.
    pub(super) fn is_dynamic(&self, name: &str) -> bool {
        self.known.get(name).is_some_and(|(_, entry)| entry.is_dynamic)
    }

    /// Takes all rows that there are.
    pub(super) fn take_all(&mut self, look: &Look) -> Found {
        let mut found = Found::default();
        let names = by_name(look);
        let gone: Vec<String> =
            self.known.keys().filter(|name| !names.contains_key(name.as_str())).cloned().collect();
        for name in gone {
            self.known.remove(&name);
            found.changed.push((name, None));
        }
        for (name, rows) in names {
            self.take(name, rows, &mut found);
        }
        found
    }

    /// Names that others knew as peers and no row has any more are among what changes next.
    pub(super) fn take_names_of(&mut self, before: Self) {
        for (name, (_, entry)) in before.known {
            // As no row is: it is looked at anew.
            self.known.insert(name, ((None, None), entry));
        }
    }

    /// Takes the rows of one name.
    pub(super) fn take_one(&mut self, name: &str, look: &Look) -> Found {
        let mut found = Found::default();
        // Some databases find `Alice` where `alice` is asked for.
        match by_name(look).remove(name) {
            Some(rows) => self.take(name, rows, &mut found),
            None => {
                if self.known.remove(name).is_some() {
                    found.changed.push((name.into(), None));
                }
            }
        }
        found
    }

    fn take(&mut self, name: &str, (user, peer): Pair<'_>, found: &mut Found) {
        found.registered.extend(peer.and_then(|peer| peer.registered(name)));
        let lasting = (user.map(Row::lasting), peer.map(Row::lasting));
        if self.known.get(name).is_some_and(|(before, _)| *before == lasting) {
            return;
        }
        let entry = self.entry(name, (user, peer));
        let before = self.known.insert(name.into(), (lasting, entry.clone()));
        let before = before.and_then(|(_, entry)| entry.peer);
        if before != entry.peer {
            found.changed.push((name.into(), entry.peer));
        }
    }

    /// What a name is.
    fn entry(&self, name: &str, rows: Pair<'_>) -> Entry {
        let is_dynamic = rows.1.is_some_and(Row::is_dynamic);
        let mut remarks = Vec::new();
        let peer = self.peer(name, rows, &mut remarks);
        Entry { is_dynamic: is_dynamic && peer.is_some(), peer, remarks }
    }

    fn peer(&self, name: &str, rows: Pair<'_>, remarks: &mut Vec<String>) -> Option<Known> {
        let Some((mut section, secrets)) = self.section(name, rows) else {
            remarks.push("its name is empty, or one that means something else".into());
            return None;
        };
        let (lists, settings): (Vec<_>, Vec<_>) =
            section.settings.into_iter().partition(|setting| setting.key == "acl");
        section.settings = settings;
        let head = section.place.clone();
        let (text, report) = import::entry(section, &self.options);
        for line in report.lines.iter().filter(|line| line.verdict != Verdict::Kept) {
            // Of one that is no peer, why not.
            if text.is_some() || line.line == head.line {
                remarks.push(format!("{}: {}", line.text, line.notes.join("; ")));
            }
        }
        let text = text?;
        let (mut peer, rule) = match self.basis.read(&head.file, &text) {
            Ok(read) => read,
            Err(error) => {
                let help = error.help.map(|help| format!(" ({help})")).unwrap_or_default();
                remarks.push(format!("it cannot be used: {}{help}", error.message));
                return None;
            }
        };
        for list in lists.iter().flat_map(|setting| setting.value.split(',')).map(str::trim) {
            let Some(acl) = self.basis.acl(list) else {
                remarks.push(format!("acl={list}: there is no [acls.{list}] in the configuration"));
                return None;
            };
            peer.acls.push(acl.clone());
        }
        for secret in secrets.iter().map(|secret| Secret::from(secret.as_str())) {
            if !peer.secrets.contains(&secret) {
                peer.secrets.push(secret);
            }
        }
        // Who reads the row does not believe in it for longer.
        let (least, most) = &mut peer.refresh;
        (*least, *most) = ((*least).min(BELIEVED), (*most).min(BELIEVED));
        Some((Arc::new(peer), rule))
    }

    /// The section that rows of one name are, and other secrets by which it may call.
    fn section(&self, name: &str, (user, peer): Pair<'_>) -> Option<(Section, Vec<String>)> {
        let is_kept = [CARRIER, SWITCH].iter().any(|kind| name.starts_with(kind));
        let is_section = NO_NAMES.iter().any(|no| name.eq_ignore_ascii_case(no));
        if name.is_empty() || is_kept || is_section {
            return None;
        }
        let is_one = self.users == self.peers;
        let is = |row: Row<'_>, kind: &str| {
            row.get("type").is_some_and(|own| own.eq_ignore_ascii_case(kind))
        };
        // In a table of users a peer is not one, nor the other way around.
        let user = user.filter(|row| is_one || !is(*row, "peer"));
        let peer = peer.filter(|row| is_one || !is(*row, "user"));
        let row = peer.or(user)?;
        let place = Place { file: row.table.name.as_str().into(), line: 0 };
        let mut settings = row.settings();
        let mut secrets = Vec::new();
        let kind = match (user, peer) {
            _ if is_one => row.get("type").unwrap_or("friend").to_string(),
            (Some(user), Some(_)) => {
                let of_peers = ["type", "host", "port", "username", "secret"];
                let (secret, own): (Vec<_>, Vec<_>) =
                    user.settings().into_iter().partition(|setting| setting.key == "secret");
                secrets.extend(secret.into_iter().map(|setting| setting.value));
                // Its own come first: those of the peer add to them.
                let own = own.into_iter().filter(|one| !of_peers.contains(&one.key.as_str()));
                settings = own.chain(settings).collect();
                "friend".into()
            }
            (Some(_), None) => "user".into(),
            (None, _) => "peer".into(),
        };
        match settings.iter_mut().find(|setting| setting.key == "type") {
            Some(setting) => setting.value = kind,
            None => settings.insert(
                0,
                Setting {
                    key: "type".into(),
                    name: "type".into(),
                    value: kind,
                    place: Place { file: place.file.clone(), line: row.table.columns.len() + 1 },
                },
            ),
        }
        Some((Section { name: name.into(), template: false, place, settings }, secrets))
    }
}

/// Rows of one name: of a user, and of a peer.
type Pair<'a> = (Option<Row<'a>>, Option<Row<'a>>);

/// The first row of each name, as Asterisk takes it.
fn by_name(look: &Look) -> BTreeMap<&str, Pair<'_>> {
    let mut names: BTreeMap<&str, Pair<'_>> = BTreeMap::new();
    for (name, row) in rows_of(&look.peers) {
        names.entry(name).or_default().1.get_or_insert(row);
    }
    for (name, row) in look.users.iter().flat_map(rows_of) {
        names.entry(name).or_default().0.get_or_insert(row);
    }
    names
}

/// Rows with their names.
fn rows_of(table: &Table) -> impl Iterator<Item = (&str, Row<'_>)> {
    let name = table.column("name");
    let rows = table.rows.iter();
    rows.filter_map(move |texts| Some((texts.get(name?)?.as_deref()?, Row { table, texts })))
}

#[cfg(test)]
mod tests;
