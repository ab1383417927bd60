//! What the new configuration says, and how it is written.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use oneport_proto::Secret;

use super::conf::Place;

/// Where secrets are written.
///
/// ```
/// use oneport_switch::import::{Options, SecretPlace};
///
/// # mod asterisk { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/import.rs")); } use asterisk::*;
/// let secrets = SecretPlace::Files("/etc/oneport/secrets".into());
/// let options = Options { secrets, ..options() };
/// let imported = imported("[ann]\ntype = friend\nsecret = hush\n", &options);
/// assert!(!imported.config.contains("hush"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretPlace {
    /// Into the configuration itself.
    Inline,
    /// Into files of their own in this directory.
    Files(PathBuf),
}

/// A file to be written, that nobody else may read.
///
/// ```
/// use oneport_switch::import::{Options, SecretPlace};
///
/// # mod asterisk { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/import.rs")); } use asterisk::*;
/// let secrets = SecretPlace::Files("/etc/oneport/secrets".into());
/// let options = Options { secrets, ..options() };
/// let imported = imported("[ann]\ntype = friend\nsecret = hush\n", &options);
/// let [file] = &imported.secrets[..] else { panic!("{imported:?}") };
/// assert!(file.path.starts_with("/etc/oneport/secrets"));
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct SecretFile {
    /// Where.
    pub path: PathBuf,
    /// What it holds.
    pub secret: Secret,
}

/// Keys and their values, as TOML, in the order in which they are written.
pub(super) type Keys = Vec<(&'static str, String)>;

/// The whole of it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) server: Keys,
    pub(super) timers: Keys,
    pub(super) audio: Keys,
    pub(super) music: Vec<Music>,
    pub(super) conferences: Vec<(String, Keys)>,
    pub(super) parking: Keys,
    pub(super) peers: Vec<Peer>,
    pub(super) routes: Vec<Route>,
    pub(super) registrations: Vec<Registration>,
    /// Somebody proves by plaintext here, so others probably want the same of us.
    pub(super) plaintext: bool,
}

#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) name: String,
    /// Where it comes from, and what is said of it.
    pub(super) comments: Vec<String>,
    pub(super) secret: Option<String>,
    pub(super) keys: Keys,
    /// Host and port, if it is always there.
    pub(super) address: Option<(String, u16)>,
    /// Numbers that lead to it while it is registered.
    pub(super) extensions: Vec<String>,
    /// What it may say of who calls.
    pub(super) caller_id: Keys,
    /// Contexts that its section names, and where; what they include is not among them.
    pub(super) contexts: Vec<(String, Place)>,
    /// Whether it can be called.
    pub(super) dialable: bool,
    /// It stands for the box itself, which called itself through a relay on this port.
    pub(super) loop_port: Option<u16>,
}

#[derive(Debug, Default)]
pub(super) struct Music {
    pub(super) name: String,
    pub(super) comments: Vec<String>,
    pub(super) keys: Keys,
}

#[derive(Debug, Default)]
pub(super) struct Route {
    pub(super) comments: Vec<String>,
    pub(super) keys: Keys,
}

#[derive(Debug, Default)]
pub(super) struct Registration {
    pub(super) comments: Vec<String>,
    pub(super) username: String,
    pub(super) host: String,
    pub(super) secret: Option<String>,
    pub(super) keys: Keys,
}

/// A TOML string.
pub(super) fn text(value: &str) -> String {
    toml::Value::String(value.into()).to_string()
}

/// A TOML list of strings.
pub(super) fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| text(&value.to_string())).collect();
    format!("[{}]", values.join(", "))
}

/// A key as TOML wants it: quoted where it must be.
fn key(name: &str) -> String {
    let bare = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    if !name.is_empty() && name.chars().all(bare) { name.into() } else { text(name) }
}

impl Plan {
    /// The text of the configuration, and the files of its secrets.
    pub(super) fn write(&self, sources: &str, secrets: &SecretPlace) -> (String, Vec<SecretFile>) {
        let mut writer = Writer { text: String::new(), place: secrets, files: Vec::new() };
        let _ = writeln!(writer.text, "# Made by `oneport import` out of {sources}.");
        if !self.server.is_empty() {
            writer.table("[server]", &[], &self.server);
        }
        if !self.timers.is_empty() {
            writer.table("[timers]", &[], &self.timers);
        }
        if !self.audio.is_empty() {
            writer.table("[audio]", &[], &self.audio);
        }
        for music in &self.music {
            writer.table(&format!("[music.{}]", key(&music.name)), &music.comments, &music.keys);
        }
        for (name, keys) in &self.conferences {
            writer.table(&format!("[conferences.{}]", key(name)), &[], keys);
        }
        if !self.parking.is_empty() {
            writer.table("[parking]", &[], &self.parking);
        }
        for peer in &self.peers {
            let mut keys = Keys::new();
            keys.extend(writer.secret(&peer.name, peer.secret.as_deref()));
            keys.extend(peer.keys.iter().cloned());
            writer.table(&format!("[peers.{}]", key(&peer.name)), &peer.comments, &keys);
            if !peer.caller_id.is_empty() {
                let table = format!("[peers.{}.caller_id]", key(&peer.name));
                writer.table(&table, &[], &peer.caller_id);
            }
        }
        for route in &self.routes {
            writer.table("[[routes]]", &route.comments, &route.keys);
        }
        for registration in &self.registrations {
            let name = format!("register-{}-{}", registration.username, registration.host);
            let mut keys =
                vec![("to", text(&registration.host)), ("username", text(&registration.username))];
            keys.extend(writer.secret(&name, registration.secret.as_deref()));
            keys.extend(registration.keys.iter().cloned());
            writer.table("[[registrations]]", &registration.comments, &keys);
        }
        (writer.text, writer.files)
    }

    /// A name for a peer that is not taken.
    pub(super) fn free_name(&self, wanted: &str) -> String {
        let taken: BTreeSet<&str> = self.peers.iter().map(|peer| &*peer.name).collect();
        if !taken.contains(wanted) {
            return wanted.into();
        }
        let mut names = (2_u32..).map(|number| format!("{wanted}-{number}"));
        names.find(|name| !taken.contains(name.as_str())).unwrap_or_default()
    }
}

struct Writer<'a> {
    text: String,
    place: &'a SecretPlace,
    files: Vec<SecretFile>,
}

impl Writer<'_> {
    fn table(&mut self, header: &str, comments: &[String], keys: &Keys) {
        self.text.push('\n');
        for comment in comments {
            // A comment that held a line end would end as a key.
            let _ = writeln!(self.text, "# {}", comment.replace(['\n', '\r'], " "));
        }
        let _ = writeln!(self.text, "{header}");
        for (key, value) in keys {
            let _ = writeln!(self.text, "{key} = {value}");
        }
    }

    /// The key that gives a secret.
    fn secret(&mut self, name: &str, secret: Option<&str>) -> Option<(&'static str, String)> {
        let secret = secret?;
        match self.place {
            SecretPlace::Inline => Some(("secret", text(secret))),
            SecretPlace::Files(directory) => {
                let path = self.free_path(directory, name);
                let value = text(&path.display().to_string());
                self.files.push(SecretFile { path, secret: Secret::from(secret) });
                Some(("secret_file", value))
            }
        }
    }

    fn free_path(&self, directory: &Path, name: &str) -> PathBuf {
        let plain = |character: char| match character {
            '-' | '_' | '.' => character,
            _ if character.is_ascii_alphanumeric() => character,
            _ => '_',
        };
        let name: String = name.chars().map(plain).collect();
        // `.` and `..` are no files.
        let name = if name.starts_with('.') { format!("_{name}") } else { name };
        let mut paths = std::iter::once(directory.join(&name))
            .chain((2_u32..).map(|number| directory.join(format!("{name}-{number}"))));
        let free = |path: &PathBuf| !self.files.iter().any(|file| file.path == *path);
        paths.find(free).unwrap_or_default()
    }
}
