//! What devices get: firmware, and their settings.

use std::net::Ipv4Addr;
use std::path::Path;

use oneport_proto::{FirmwareImage, Settings};
use oneport_wire::{FormatSet, ProvisioningElement};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;
use super::codecs::read_codecs;
use super::schema::{Words, audio_words};
use super::source::Source;
use super::spanned::Spanned;

/// Bytes of all images together: they are kept in memory.
const MOST_FIRMWARE: usize = 64 << 20;

/// Settings for a device, and which device that is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Provision {
    pub(crate) service_ident: String,
    pub(crate) settings: Settings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProvisionKeys {
    /// Which device: what it calls itself (SERVICEIDENT).
    service_ident: Spanned<String>,
    /// Where it registers: an IPv4 address.
    server: Option<Ipv4Addr>,
    /// Where it registers: the UDP port.
    server_port: Option<u16>,
    /// A second server.
    alternate_server: Option<Ipv4Addr>,
    /// Its own port.
    port: Option<u16>,
    /// The name that it registers with.
    username: Option<String>,
    /// The secret that it registers with.
    password: Option<String>,
    /// Language tag.
    language: Option<String>,
    /// What it may speak.
    #[schemars(transform = audio_words)]
    codecs: Option<Vec<Spanned<String>>>,
    /// IP type of service of what it sends.
    type_of_service: Option<u8>,
    /// Any of `register`, `secure`, `heartbeat`, `debug`, `disablecid`, `disablecw`,
    /// `disablecidcw`, `disable3way`.
    #[serde(default)]
    #[schemars(transform = Words(&FLAGS))]
    flags: Vec<Spanned<String>>,
}

/// The flags by Asterisk's names.
const FLAGS: [&str; 8] = [
    "register",
    "secure",
    "heartbeat",
    "debug",
    "disablecid",
    "disablecw",
    "disablecidcw",
    "disable3way",
];

impl ProvisionKeys {
    pub(super) fn check(&self, source: &Source<'_>) -> Result<Provision, ConfigError> {
        use ProvisioningElement as P;
        let mut flags = 0;
        for word in &self.flags {
            match FLAGS.iter().position(|flag| flag == word.get_ref()) {
                Some(bit) => flags |= 1 << bit,
                None => return Err(source.unknown_word(word, "flag of a device", &FLAGS)),
            }
        }
        let formats: Option<FormatSet> = match &self.codecs {
            Some(names) => Some(read_codecs(source, names)?.into_iter().collect()),
            None => None,
        };
        let text = |text: &'_ Option<String>| text.clone().unwrap_or_default();
        let (username, password) = (text(&self.username), text(&self.password));
        let language = text(&self.language);
        let all = [
            self.username.is_some().then(|| P::User(username.as_str().into())),
            self.password.is_some().then(|| P::Password(password.as_str().into())),
            self.language.is_some().then(|| P::Language(language.as_str().into())),
            self.port.map(P::Port),
            self.server.map(P::Server),
            self.server_port.map(P::ServerPort),
            self.alternate_server.map(P::AlternateServer),
            (!self.flags.is_empty()).then_some(P::Flags(flags)),
            formats.map(P::Format),
            self.type_of_service.map(P::TypeOfService),
        ];
        let all: Vec<P<'_>> = all.into_iter().flatten().collect();
        let settings = Settings::new(&all).map_err(|_| {
            let what = "these settings do not fit into one frame, which has 255 bytes";
            source.wrong(&self.service_ident, what).with_help("shorten username or password")
        })?;
        Ok(Provision { service_ident: self.service_ident.get_ref().clone(), settings })
    }
}

/// Reads all images of a directory, or says what is wrong with it.
pub(super) fn read_firmware(directory: &Path) -> Result<Vec<FirmwareImage>, String> {
    let cannot =
        |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let files = std::fs::read_dir(directory).map_err(|error| cannot(directory, &error))?;
    let mut images = Vec::new();
    let mut bytes = 0;
    for file in files {
        let path = file.map_err(|error| cannot(directory, &error))?.path();
        let size = std::fs::metadata(&path).map_err(|error| cannot(&path, &error))?;
        if !size.is_file() {
            continue;
        }
        bytes += usize::try_from(size.len()).unwrap_or(usize::MAX);
        if bytes > MOST_FIRMWARE {
            return Err(cannot(directory, &"more than 64 MiB of firmware"));
        }
        let content = std::fs::read(&path).map_err(|error| cannot(&path, &error))?;
        images.push(FirmwareImage::parse(&content).map_err(|error| cannot(&path, &error))?);
    }
    Ok(images)
}
