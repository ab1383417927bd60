//! `[hep]`: copies of signalling for Homer.

use std::ops::Range;
use std::path::PathBuf;

use oneport_proto::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::ConfigError;
use super::schema::Words;
use super::secret::places;
use super::source::Source;
use super::spanned::Spanned;

/// The port of whoever collects, where none is given: that of heplify-server and captagent.
const PORT: u16 = 9060;

/// Where copies of signalling go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HepConfig {
    /// Host and port of whoever collects them.
    pub(crate) to: String,
    /// Whether by TCP.
    pub(crate) tcp: bool,
    /// Whether frames of IAX2 are written as text.
    pub(crate) text: bool,
    /// What this switch is called by there.
    pub(crate) capture_id: u32,
    /// What the collector wants to see.
    pub(crate) password: Option<Secret>,
}

/// By what it may be reached.
const TRANSPORTS: [&str; 2] = ["udp", TCP];
const TCP: &str = "tcp";

/// How frames may be written.
const FRAMES: [&str; 2] = ["text", RAW];
const RAW: &str = "raw";

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HepKeys {
    /// The collector: host or IP address, with a port where that is not 9060. Without it nothing is sent.
    to: Option<Spanned<String>>,
    /// By what.
    #[schemars(transform = Words(&TRANSPORTS), extend("default" = "udp"))]
    transport: Option<Spanned<String>>,
    /// How frames of IAX2 are written: as text, which Homer shows, or as they are on the wire.
    #[schemars(transform = Words(&FRAMES), extend("default" = "text"))]
    frames: Option<Spanned<String>>,
    /// The number of this switch among those that send there.
    #[schemars(extend("default" = 1))]
    capture_id: Option<u32>,
    /// What is sent along to prove that the switch may send (the authenticate key of HEP); it goes in the clear.
    secret: Option<Spanned<String>>,
    /// A file with it.
    secret_file: Option<Spanned<PathBuf>>,
    /// An environment variable with it.
    secret_env: Option<Spanned<String>>,
}

impl HepKeys {
    /// `None`: nothing is sent.
    pub(super) fn check(&self, source: &Source<'_>) -> Result<Option<HepConfig>, ConfigError> {
        let secrets =
            places(self.secret.as_ref(), self.secret_file.as_ref(), self.secret_env.as_ref());
        let mut secrets: Vec<(Range<usize>, _)> = secrets.collect();
        let Some(to) = &self.to else {
            return match secrets.first() {
                None => Ok(None),
                Some((span, _)) => {
                    let what = "[hep] does not say where copies go";
                    let help = "add to = \"HOST\", or \"HOST:PORT\" where the port is not 9060";
                    Err(source.wrong_at(span.clone(), what).with_help(help))
                }
            };
        };
        let password = match secrets.is_empty() {
            true => None,
            false => {
                let (span, place) = secrets.swap_remove(0);
                Some(source.secret(span, &place)?)
            }
        };
        let transport = self.transport.as_ref();
        if let Some(word) = transport.filter(|word| !TRANSPORTS.contains(&word.get_ref().as_str()))
        {
            return Err(source.unknown_word(word, "transport", &TRANSPORTS));
        }
        let frames = self.frames.as_ref();
        if let Some(word) = frames.filter(|word| !FRAMES.contains(&word.get_ref().as_str())) {
            return Err(source.unknown_word(word, "way to write frames", &FRAMES));
        }
        Ok(Some(HepConfig {
            to: address(source, to)?,
            tcp: transport.is_some_and(|word| word.get_ref() == TCP),
            text: frames.is_none_or(|word| word.get_ref() != RAW),
            capture_id: self.capture_id.unwrap_or(1),
            password,
        }))
    }
}

/// Host and port as they are looked up.
fn address(source: &Source<'_>, written: &Spanned<String>) -> Result<String, ConfigError> {
    let text = written.get_ref().trim();
    let wrong = || {
        let what = format!("`{text}` names no host and port");
        let help = "such as \"homer.example.org\", \"192.0.2.1:9060\" or \"[2001:db8::1]:9060\"";
        source.wrong(written, what).with_help(help)
    };
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(std::net::SocketAddr::new(address, PORT).to_string());
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return if address.port() == 0 { Err(wrong()) } else { Ok(address.to_string()) };
    }
    let (host, port) = match text.split_once(':') {
        None => (text, PORT),
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
    };
    let in_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() || !host.chars().all(in_name) || port == 0 {
        return Err(wrong());
    }
    Ok(format!("{host}:{port}"))
}
