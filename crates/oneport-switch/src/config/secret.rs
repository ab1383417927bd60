//! Secrets: in the file, in a file of their own, or in the environment.

use std::path::Path;

use oneport_proto::Secret;

/// Where a secret stands.
pub(crate) enum Place<'a> {
    /// Here.
    Inline(&'a str),
    /// In a file, whose line end does not count.
    File(&'a Path),
    /// In an environment variable.
    Environment(&'a str),
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
