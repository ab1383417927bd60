//! From an Asterisk configuration to one of ours: `iax.conf`, a simple `extensions.conf`, music and
//! the parking lot go in, a configuration and a report of each line come out. It reads no file itself.

mod acl;
mod conf;
mod dialling;
mod expression;
mod extensions;
mod iax;
mod lots;
mod music;
mod options;
mod plan;
mod report;
mod rooms;
mod routes;
mod steps;

use std::collections::BTreeSet;
use std::path::PathBuf;

use ipnet::IpNet;

pub use conf::Files;
pub(crate) use conf::Place;
pub use music::music_folders;
pub use plan::{SecretFile, SecretPlace};
pub use report::{Line, Report, Verdict};

/// How Asterisk's files are read, for those who look at them otherwise.
pub(crate) mod read {
    pub(crate) use super::acl::{
        allowed, is_private, is_private_network, read_network, read_rules,
    };
    pub(crate) use super::conf::{Conf, Section, Setting};
    pub(crate) use super::iax::{entries, is_false, is_true, methods};
}

use conf::{Conf, Section};
use extensions::Dialplan;
use lots::Lots;
use plan::Plan;
use report::Ledger;
use routes::Routes;

/// What the administrator says beside the files.
///
/// ```
/// use oneport_switch::import::Options;
///
/// # mod asterisk { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/import.rs")); } use asterisk::*;
/// // Whoever comes from there needs no call token.
/// let options = Options { trusted: vec!["10.0.0.0/8".parse()?], ..options() };
/// let imported = imported("[ann]\ntype = friend\nhost = 10.0.0.7\nrequirecalltoken = no\n", &options);
/// println!("{}", imported.config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Where secrets go.
    pub secrets: SecretPlace,
    /// Networks from which plaintext and missing call tokens are accepted, for peers whose own
    /// access lists and addresses name none.
    pub trusted: Vec<IpNet>,
    /// Where RSA keys are.
    pub key_directory: PathBuf,
    /// Names of the files in there.
    pub keys: BTreeSet<String>,
    /// Where relative paths of music start: Asterisk's `astdatadir`.
    pub data_directory: PathBuf,
    /// Folders of [`music_folders`] that hold WAV files.
    pub music: BTreeSet<PathBuf>,
    /// Where files for `Playback` are.
    pub sound_directory: PathBuf,
    /// Names of the files in there.
    pub sounds: BTreeSet<String>,
}

/// What an import yields.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::Config;
///
/// # mod asterisk { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/import.rs")); } use asterisk::*;
/// let text = "[ann]\ntype = friend\nhost = dynamic\nsecret = a b c\n";
/// let imported = imported(text, &options());
/// let config = Config::parse(Path::new("oneport.toml"), &imported.config)?;
/// assert!(config.summary().to_string().contains("ann"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Imported {
    /// The text of `oneport.toml`.
    pub config: String,
    /// Files that it names, to be written so that nobody else reads them.
    pub secrets: Vec<SecretFile>,
    /// What became of each line.
    pub report: Report,
}

/// Imports `iax.conf` and what stands beside it. Files that are not there are empty.
#[must_use]
pub fn import(files: &Files, options: &Options) -> Imported {
    let mut ledger = Ledger::default();
    let mut plan = Plan::default();
    let iax = Conf::read(files, "iax.conf");
    let acls = Conf::read(files, "acl.conf");
    // Its lines come behind those of iax.conf in the report.
    let mut dialplan_ledger = Ledger::default();
    let extensions = Conf::read(files, "extensions.conf");
    let dialplan = Dialplan::read(&extensions, &mut dialplan_ledger);
    // Peers, the parking lot and routes name music.
    let mut lots_ledger = Ledger::default();
    music::read(&Conf::read(files, "musiconhold.conf"), options, &mut lots_ledger, &mut plan);
    let lots = Lots::read(files, &mut lots_ledger, &mut plan);
    iax::Iax::read(&iax, &acls, &dialplan.globals, options, &mut ledger, &mut plan);
    ledger.append(dialplan_ledger);
    ledger.append(lots_ledger);
    users(&Conf::read(files, "users.conf"), &mut ledger);
    tables(&Conf::read(files, "extconfig.conf"), &mut ledger);
    for other in ["extensions.ael", "extensions.lua"] {
        if files.contains_key(other) {
            ledger
                .advise(format!("{other} is not read: if it is in use, write its routes by hand."));
        }
    }
    Routes::read(&dialplan, &lots, options, &mut ledger, &mut plan);
    let sources = match extensions.sections.is_empty() {
        true => "iax.conf",
        false => "iax.conf and extensions.conf",
    };
    let (config, secrets) = plan.write(sources, &options.secrets);
    Imported { config, secrets, report: ledger.finish() }
}

/// Turns one section of `iax.conf`, or what stands for one, into the text of a configuration with the peer that it
/// is, secret and contexts included; `None`: it is none. The report says why, and what became of each setting.
pub(crate) fn entry(section: Section, options: &Options) -> (Option<String>, Report) {
    let mut ledger = Ledger::default();
    let mut plan = Plan::default();
    let conf = Conf { sections: vec![section], remarks: Vec::new() };
    let (acls, globals) = (Conf::default(), expression::Names::new());
    iax::Iax::read(&conf, &acls, &globals, options, &mut ledger, &mut plan);
    // There, the networks of one are excepted for all; here, the one is.
    let is_tokenless = plan.server.iter().any(|(key, _)| *key == "call_token_optional");
    for peer in &mut plan.peers {
        if is_tokenless {
            peer.keys.push(("call_token", plan::text("optional")));
        }
        if !peer.contexts.is_empty() {
            let contexts = peer.contexts.iter().map(|(context, _)| context);
            peer.keys.push(("contexts", plan::list(contexts)));
            peer.contexts.iter().for_each(|(_, place)| ledger.kept(place));
        }
    }
    let peers = Plan { peers: plan.peers, ..Plan::default() };
    let text = (!peers.peers.is_empty()).then(|| peers.write("a row", &SecretPlace::Inline).0);
    (text, ledger.finish())
}

/// Tables of a database that `extconfig.conf` has peers in.
fn tables(conf: &Conf, ledger: &mut Ledger) {
    for setting in conf.named("settings").flat_map(|section| &section.settings) {
        if ["iaxusers", "iaxpeers"].contains(&setting.key.as_str()) {
            ledger.expect(&setting.place, format!("{} => {}", setting.name, setting.value));
            let why = "[realtime] reads that table as it is (docs/realtime.md); it is not copied";
            ledger.dropped(&setting.place, why);
        }
    }
}

/// Sections of `users.conf` that Asterisk makes IAX2 peers of.
fn users(conf: &Conf, ledger: &mut Ledger) {
    for section in conf.sections.iter().filter(|section| !section.template) {
        for (key, what) in [
            ("hasiax", "users.conf is not read: write the section into iax.conf, with type=friend"),
            ("registeriax", "users.conf is not read: write a register line into iax.conf"),
        ] {
            let Some(setting) = section.settings.iter().rfind(|setting| setting.key == key) else {
                continue;
            };
            if iax::is_true(&setting.value) {
                let text = format!("[{}] {key}={}", section.name, setting.value);
                ledger.expect(&setting.place, text);
                ledger.dropped(&setting.place, what);
            }
        }
    }
}
