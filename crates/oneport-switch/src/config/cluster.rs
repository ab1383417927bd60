//! `[cluster]`: several switches with one state.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use oneport_proto::Secret;
use oneport_wire::DEFAULT_PORT;
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::ConfigError;
use super::secret::places;
use super::source::Source;
use super::spanned::Spanned;
use super::{DatabaseKind, StorePlace};

/// Times of the heartbeat, in ms.
const HEARTBEAT: (u64, u64) = (100, 60_000);
const DEAD_AFTER: (u64, u64) = (500, 600_000);

/// Heartbeats that fit at least into the time after which a switch counts as dead: one or two may be late.
const LEAST_HEARTBEATS: u32 = 3;

/// This switch among others with the same database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterConfig {
    /// Its name, which no other has.
    pub name: String,
    /// What switches prove to each other that they belong together with.
    pub secret: Secret,
    /// Where the others reach its IAX2 port.
    pub address: SocketAddr,
    /// Time between two signs of life in the database.
    pub heartbeat: Duration,
    /// A switch without one for so long counts as dead.
    pub dead_after: Duration,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClusterKeys {
    /// The name of this switch among those with the same database; no two have the same.
    name: Option<Spanned<String>>,
    /// What the switches prove to each other that they belong together with: the same for all of them.
    secret: Option<Spanned<String>>,
    /// A file with it.
    secret_file: Option<Spanned<PathBuf>>,
    /// An environment variable with it.
    secret_env: Option<Spanned<String>>,
    /// The IP address, with a port where that is not 4569, at which the others reach the IAX2 port of this
    /// switch.
    address: Option<Spanned<String>>,
    /// Time between two signs of life that this switch gives in the database.
    #[schemars(range(min = 100, max = 60000), extend("default" = 1000))]
    heartbeat_ms: Option<Spanned<u64>>,
    /// A switch that gave none for so long, by the clock of the database, counts as dead. At least three times
    /// `heartbeat_ms`.
    #[schemars(range(min = 500, max = 600000), extend("default" = 5000))]
    dead_after_ms: Option<Spanned<u64>>,
}

impl ClusterKeys {
    /// `None`: this switch is alone. `place`: where its store is.
    pub(super) fn check(
        &self,
        source: &Source<'_>,
        place: &StorePlace,
    ) -> Result<Option<ClusterConfig>, ConfigError> {
        let Some(name) = &self.name else {
            return match self.first_span() {
                None => Ok(None),
                Some(span) => {
                    let what = "[cluster] names no switch";
                    let help = "add name = \"…\": the name of this switch, which no other has";
                    Err(source.wrong_at(span, what).with_help(help))
                }
            };
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let written = name.get_ref();
        if written.is_empty() || written.len() > 40 || !written.chars().all(is_name) {
            let what = format!("`{written}` cannot be the name of a switch");
            let help = "it is made of letters, digits, `-`, `_` and `.`, 40 at most";
            return Err(source.wrong(name, what).with_help(help));
        }
        let on_postgres =
            matches!(place, StorePlace::Server { url, .. } if url.kind() == DatabaseKind::Postgres);
        if !on_postgres {
            let what = "switches share their state in PostgreSQL alone, and [store] is not there";
            let help =
                "give [store] a url = \"postgres://USER@HOST/DATABASE\", or leave [cluster] out";
            return Err(source.wrong(name, what).with_help(help));
        }
        let secret =
            places(self.secret.as_ref(), self.secret_file.as_ref(), self.secret_env.as_ref())
                .next();
        let Some((span, secret)) = secret else {
            let what = "[cluster] has no secret";
            let help = "add secret_file = \"…\" or secret_env = \"…\", the same for all switches";
            return Err(source.wrong(name, what).with_help(help));
        };
        let secret = source.secret(span, &secret)?;
        let Some(address) = &self.address else {
            let what = "[cluster] does not say where the others reach this switch";
            let help = "add address = \"ADDRESS\", or \"ADDRESS:PORT\" where that is not 4569";
            return Err(source.wrong(name, what).with_help(help));
        };
        let heartbeat = millis(source, self.heartbeat_ms.as_ref(), HEARTBEAT, 1_000)?;
        let dead_after = millis(source, self.dead_after_ms.as_ref(), DEAD_AFTER, 5_000)?;
        if let Some(written) = self.dead_after_ms.as_ref().or(self.heartbeat_ms.as_ref())
            && dead_after < heartbeat * LEAST_HEARTBEATS
        {
            let what = "a switch would count as dead before a few of its signs of life are late";
            let help = format!(
                "let dead_after_ms be at least {LEAST_HEARTBEATS} times heartbeat_ms ({})",
                (heartbeat * LEAST_HEARTBEATS).as_millis()
            );
            return Err(source.wrong(written, what).with_help(help));
        }
        let address = read_address(source, address)?;
        Ok(Some(ClusterConfig { name: written.clone(), secret, address, heartbeat, dead_after }))
    }

    /// Where the first of its keys stands.
    fn first_span(&self) -> Option<std::ops::Range<usize>> {
        let texts = [&self.secret, &self.secret_env, &self.address];
        let texts = texts.into_iter().flatten().map(Spanned::span);
        let numbers = [&self.heartbeat_ms, &self.dead_after_ms];
        let numbers = numbers.into_iter().flatten().map(Spanned::span);
        let file = self.secret_file.as_ref().map(Spanned::span);
        texts.chain(numbers).chain(file).min_by_key(|span| span.start)
    }
}

fn read_address(source: &Source<'_>, written: &Spanned<String>) -> Result<SocketAddr, ConfigError> {
    let text = written.get_ref();
    let address = text.parse::<SocketAddr>().ok();
    let address = address.or_else(|| Some((text.parse::<IpAddr>().ok()?, DEFAULT_PORT).into()));
    let wrong = |what: String| source.wrong(written, what);
    let help = "such as \"192.0.2.1\", \"192.0.2.1:4570\" or \"[2001:db8::1]:4569\"";
    let address =
        address.ok_or_else(|| wrong(format!("`{text}` is no IP address")).with_help(help))?;
    if address.ip().is_unspecified() || address.port() == 0 {
        let what = format!("nobody is reached at {text}");
        return Err(wrong(what).with_help("it is the address that the others send to"));
    }
    Ok(address)
}

fn millis(
    source: &Source<'_>,
    key: Option<&Spanned<u64>>,
    (least, most): (u64, u64),
    default: u64,
) -> Result<Duration, ConfigError> {
    match key {
        None => Ok(Duration::from_millis(default)),
        Some(key) if (least..=most).contains(key.get_ref()) => {
            Ok(Duration::from_millis(*key.get_ref()))
        }
        Some(key) => {
            let what = format!("{} is not within {least} to {most}", key.get_ref());
            let help = format!("choose {least} to {most}, or leave the key out");
            Err(source.wrong(key, what).with_help(help))
        }
    }
}
