//! `[[registrations]]`: where we register, and the check of it.

use std::path::PathBuf;
use std::time::Duration;

use oneport_proto::RegistrationConfig;
use serde::Deserialize;
use toml::Spanned;

use super::addresses::resolve;
use super::error::ConfigError;
use super::keys::read_own_key;
use super::secret::Place;
use super::source::Source;
use super::timers;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistrationKeys {
    to: Spanned<String>,
    username: String,
    secret: Option<Spanned<String>>,
    secret_file: Option<Spanned<PathBuf>>,
    secret_env: Option<Spanned<String>>,
    outkey: Option<Spanned<PathBuf>>,
    refresh: Option<Spanned<u64>>,
    allow_plaintext: Option<bool>,
}

impl RegistrationKeys {
    pub(super) fn check(self, source: &Source<'_>) -> Result<RegistrationConfig, ConfigError> {
        let place = self
            .secret
            .as_ref()
            .map(|secret| (secret.span(), Place::Inline(secret.get_ref())))
            .or_else(|| {
                self.secret_file.as_ref().map(|file| (file.span(), Place::File(file.get_ref())))
            })
            .or_else(|| {
                let env = self.secret_env.as_ref();
                env.map(|env| (env.span(), Place::Environment(env.get_ref())))
            });
        let secret = match place {
            None => None,
            Some((span, place)) => {
                let wrong = |what| ConfigError::at(source.path, source.text, span, what);
                Some(place.read().map_err(wrong)?)
            }
        };
        let mut refresh = Duration::from_secs(60);
        timers::REFRESH.set(source, self.refresh.as_ref(), &mut refresh)?;
        Ok(RegistrationConfig {
            to: resolve(source, &self.to)?,
            username: self.username,
            secret,
            key: read_own_key(source, self.outkey.as_ref())?,
            allow_plaintext: self.allow_plaintext.unwrap_or(false),
            refresh,
        })
    }
}
