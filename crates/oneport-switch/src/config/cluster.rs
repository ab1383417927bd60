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

/// Of a lease, in ms.
const LEASE: (u64, u64) = (2_000, 600_000);

/// A switch is not presumed dead before so many leases.
const LEAST_LEASES: u32 = 2;

/// The longest time after which a switch is presumed dead, in s.
const MOST_PRESUMED_DEAD_S: u64 = 604_800;

/// Heartbeats that fit at least into the time after which a switch counts as dead: one or two may be late.
const LEAST_HEARTBEATS: u32 = 3;

/// This switch among others with the same database.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::Config;
///
/// let text = "[store]\nurl = \"postgres://oneport@db.example.org/oneport\"\n\
///             [cluster]\nname = \"berlin\"\nsecret = \"sturdy bridge\"\naddress = \"192.0.2.1\"";
/// let config = Config::parse(Path::new("oneport.toml"), text)?;
/// let cluster = config.cluster.ok_or("it is alone")?;
/// assert_eq!((cluster.name.as_str(), cluster.address.port()), ("berlin", 4569));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// How long its slots of shared limits are its own without being renewed.
    pub lease: Duration,
    /// When the slots of its calls are free even if nobody knows that it is dead: by then it has ended them itself.
    pub presumed_dead_after: Option<Duration>,
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
    /// How long idle slots of shared limits stay with a switch that the database does not hear of.
    #[schemars(range(min = 2000, max = 600000), extend("default" = 15000))]
    lease_ms: Option<Spanned<u64>>,
    /// After so many seconds without the database a switch ends its calls under shared limits, and a little later
    /// the others have their slots, even if nobody knows that it is dead; `0`: never, and the slots of a machine
    /// that is lost stay taken until the switch of its name starts again.
    #[schemars(range(min = 0, max = 604800), extend("default" = 3600))]
    presumed_dead_after_s: Option<Spanned<u64>>,
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
        let lease = millis(source, self.lease_ms.as_ref(), LEASE, 15_000)?;
        let presumed_dead_after = self.read_presumed_dead(source, lease)?;
        Ok(Some(ClusterConfig {
            name: written.clone(),
            secret,
            address: read_address(source, address)?,
            heartbeat,
            dead_after,
            lease,
            presumed_dead_after,
        }))
    }

    fn read_presumed_dead(
        &self,
        source: &Source<'_>,
        lease: Duration,
    ) -> Result<Option<Duration>, ConfigError> {
        let Some(written) = &self.presumed_dead_after_s else {
            return Ok(Some(Duration::from_secs(3_600).max(lease * LEAST_LEASES)));
        };
        let time = Duration::from_secs(*written.get_ref());
        if time.is_zero() {
            return Ok(None);
        }
        let within = lease * LEAST_LEASES..=Duration::from_secs(MOST_PRESUMED_DEAD_S);
        if within.contains(&time) {
            return Ok(Some(time));
        }
        let what = format!(
            "{} is not within {} (twice lease_ms) to {MOST_PRESUMED_DEAD_S}",
            time.as_secs(),
            (lease * LEAST_LEASES).as_secs_f64()
        );
        let help = "choose a time that no outage of the database lasts, or 0 for never";
        Err(source.wrong(written, what).with_help(help))
    }

    /// Where the first of its keys stands.
    fn first_span(&self) -> Option<std::ops::Range<usize>> {
        let texts = [&self.secret, &self.secret_env, &self.address];
        let texts = texts.into_iter().flatten().map(Spanned::span);
        let numbers =
            [&self.heartbeat_ms, &self.dead_after_ms, &self.lease_ms, &self.presumed_dead_after_s];
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
