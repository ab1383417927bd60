//! `[[registrations]]`: where we register, and the check of it.

use std::path::PathBuf;
use std::time::Duration;

use oneport::Place;
use oneport_proto::RegistrationConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use super::addresses::resolve_registrar;
use super::error::ConfigError;
use super::keys::read_own_key;
use super::secret::places;
use super::source::Source;
use super::spanned::Spanned;
use super::timers;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistrationKeys {
    /// The registrar: a name without a port leads to the servers that its SRV entries (`_iax._udp`) name.
    to: Spanned<String>,
    /// Where else we are taken, while it does not answer.
    #[serde(default)]
    fallback: Vec<Spanned<String>>,
    /// The name it knows us by.
    username: String,
    /// The secret by which we prove who we are.
    secret: Option<Spanned<String>>,
    /// A file with the secret.
    secret_file: Option<Spanned<PathBuf>>,
    /// An environment variable with the secret.
    secret_env: Option<Spanned<String>>,
    /// A file with the RSA private key that proves who we are.
    outkey: Option<Spanned<PathBuf>>,
    /// Seconds to ask for; the registrar decides.
    #[schemars(transform = timers::REFRESH.schema(), extend("default" = 60))]
    refresh: Option<Spanned<u64>>,
    /// Whether the secret may be sent in the clear.
    #[schemars(extend("default" = false))]
    allow_plaintext: Option<bool>,
}

impl RegistrationKeys {
    /// The registrar and the others, as they are written.
    pub(super) fn written_addresses(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.to).chain(&self.fallback).map(|written| written.get_ref().as_str())
    }

    /// `None` while none of its hosts can be found.
    pub(super) fn check(
        self,
        source: &Source<'_>,
    ) -> Result<Option<RegistrationConfig>, ConfigError> {
        let place =
            places(self.secret.as_ref(), self.secret_file.as_ref(), self.secret_env.as_ref())
                .next();
        let secret = match place {
            None => None,
            Some((span, place)) => Some(source.secret(span, &place)?),
        };
        let mut refresh = Duration::from_secs(60);
        timers::REFRESH.set(source, self.refresh.as_ref(), &mut refresh)?;
        let mut places: Vec<Place> = Vec::new();
        for written in std::iter::once(&self.to).chain(&self.fallback) {
            let behind = places.last().map_or(0, |last| last.rank.saturating_add(1));
            let found = resolve_registrar(source, written)?.unwrap_or_default();
            places.extend(
                found
                    .into_iter()
                    .map(|place| Place { rank: place.rank.saturating_add(behind), ..place }),
            );
        }
        let Some(first) = places.first().copied() else { return Ok(None) };
        Ok(Some(RegistrationConfig {
            to: first.address,
            others: places.split_off(1),
            username: self.username,
            secret,
            key: read_own_key(source, self.outkey.as_ref())?,
            allow_plaintext: self.allow_plaintext.unwrap_or(false),
            refresh,
        }))
    }
}
