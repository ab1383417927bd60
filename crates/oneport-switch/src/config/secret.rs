//! Secrets: in the file, in a file of their own, or in the environment.

use std::ops::Range;
use std::path::{Path, PathBuf};

use oneport_proto::Secret;

use super::spanned::Spanned;

/// Where a secret stands.
pub(crate) enum Place<'a> {
    /// Here.
    Inline(&'a str),
    /// In a file, whose line end does not count.
    File(&'a Path),
    /// In an environment variable.
    Environment(&'a str),
}

/// The places that `secret`, `secret_file` and `secret_env` of a table name, in this order, and the bytes of
/// the file where each stands.
pub(super) fn places<'a>(
    secret: Option<&'a Spanned<String>>,
    file: Option<&'a Spanned<PathBuf>>,
    env: Option<&'a Spanned<String>>,
) -> impl Iterator<Item = (Range<usize>, Place<'a>)> {
    let secret = secret.map(|secret| (secret.span(), Place::Inline(secret.get_ref())));
    let file = file.map(|file| (file.span(), Place::File(file.get_ref())));
    let env = env.map(|env| (env.span(), Place::Environment(env.get_ref())));
    [secret, file, env].into_iter().flatten()
}

impl Place<'_> {
    /// The secret, or what keeps it from being read.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        let text = match self {
            Self::Inline(text) => (*text).to_string(),
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?,
            Self::Environment(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable {name} is not set"))?,
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err("the secret is empty".into());
        }
        Ok(Secret::from(text))
    }
}
