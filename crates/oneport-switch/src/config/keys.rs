//! RSA keys, each in a PEM file of its own.

use std::path::{Path, PathBuf};

use oneport_proto::{KeyError, PrivateKey, PublicKey};

use super::error::ConfigError;
use super::source::{Beside, Source};
use super::spanned::Spanned;

fn read<K>(path: &Path, parse: impl Fn(&str) -> Result<K, KeyError>) -> Result<K, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads the key by which we prove who we are, or says what keeps it from being read.
pub(crate) fn read_private(path: &Path) -> Result<PrivateKey, String> {
    read(path, PrivateKey::from_pem)
}

/// Reads the key by which a peer's proof is checked.
pub(crate) fn read_public(path: &Path) -> Result<PublicKey, String> {
    read(path, PublicKey::from_pem)
}

/// How to come by a key.
pub(super) const KEY_HELP: &str = "`oneport key generate NAME` makes a pair; Asterisk's keys are in \
                        /var/lib/asterisk/keys";

/// The key by which we prove who we are, if one is named.
pub(super) fn read_own_key(
    source: &Source<'_>,
    file: Option<&Spanned<PathBuf>>,
) -> Result<Option<PrivateKey>, ConfigError> {
    let Some(file) = file else { return Ok(None) };
    match read_private(file.get_ref()) {
        Ok(key) => Ok(Some(key)),
        Err(_) if source.beside == Beside::Ignored => Ok(None),
        Err(what) => Err(source.wrong(file, what).with_help(KEY_HELP)),
    }
}
