//! RSA keys, each in a PEM file of its own.

use std::path::Path;

use oneport_proto::{KeyError, PrivateKey, PublicKey};

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
