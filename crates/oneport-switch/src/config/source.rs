//! The file with its text, to say where something in it is wrong.

use std::path::Path;

use oneport_proto::Secret;

use super::error::{ConfigError, nearest};
use super::hosts::Hosts;
use super::secret::Place;
use super::spanned::Spanned;

/// How what the file names and does not hold is looked at: secrets, keys, hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Beside {
    /// What is not there is a mistake.
    Needed,
    /// Hosts may be missing for a while.
    MayBeMissing,
    /// Nothing needs to be there.
    Ignored,
}

/// The file and its text, to say where something is wrong, and what was found beside it.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    pub(super) beside: Beside,
    pub(super) hosts: &'a Hosts,
}

impl Source<'_> {
    pub(super) const fn path(&self) -> &Path {
        self.path
    }

    pub(super) fn wrong<T>(&self, at: &Spanned<T>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.path, self.text, at.span(), message)
    }

    pub(super) fn wrong_at(
        &self,
        span: std::ops::Range<usize>,
        message: impl Into<String>,
    ) -> ConfigError {
        ConfigError::at(self.path, self.text, span, message)
    }

    /// A secret, or a stand-in where secrets are of no account; `span` is where it is named.
    pub(super) fn secret(
        &self,
        span: std::ops::Range<usize>,
        place: &Place<'_>,
    ) -> Result<Secret, ConfigError> {
        match (place.read(), self.beside) {
            (Ok(secret), _) => Ok(secret),
            (Err(_), Beside::Ignored) => Ok(Secret::from("of no account, for nobody is called")),
            (Err(what), _) => {
                let error = ConfigError::at(self.path, self.text, span, what);
                Err(match place {
                    Place::Inline(_) => error,
                    Place::File(_) => error.with_help(
                        "make the file, readable for the user that the switch runs as, with nothing but \
                         the secret in it; a relative path begins where the command runs",
                    ),
                    Place::Environment(_) => error.with_help(
                        "set it where the switch is started, such as by EnvironmentFile= of its \
                         systemd unit",
                    ),
                })
            }
        }
    }

    /// A word that is none of `known`.
    pub(super) fn unknown_word(
        &self,
        at: &Spanned<String>,
        what: &str,
        known: &[&str],
    ) -> ConfigError {
        let word = at.get_ref();
        let error = self.wrong(at, format!("`{word}` is no {what}"));
        match nearest(word, known.iter().copied()) {
            Some(name) => error.with_help(format!("did you mean `{name}`?")),
            None if known.is_empty() => error.with_help(format!("add [peers.{word}]")),
            None => error.with_help(format!("it is one of {}", known.join(", "))),
        }
    }
}

/// What the parser says, without the names of its own types.
pub(super) fn in_plain_words(message: &str) -> String {
    let Some((before, expected)) = message.split_once(", expected ") else { return message.into() };
    let expected = match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" | "i64" => "a whole number",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other,
    };
    format!("{before}, expected {expected}")
}

/// How to mend a value of the wrong type, from what the parser expected.
pub(super) fn help_for_type(message: &str) -> Option<String> {
    let (_, expected) = message.split_once(", expected ")?;
    let help = match expected {
        "a list" => "put it into brackets: [\"…\"]",
        "a string" => "put it into quotes: \"…\"",
        "a boolean" => "write true or false, without quotes",
        "a whole number" => "write it without quotes, 0 or more",
        _ => return None,
    };
    Some(help.into())
}

/// How to mend what is no TOML.
pub(super) fn help_for_syntax(message: &str) -> Option<String> {
    let help = match message {
        "duplicate key" => "it stands in the file already, further up: put both together",
        _ if message.starts_with("unclosed") || message.starts_with("invalid") => {
            "tables are [peers.NAME] or [[routes]], keys are NAME = VALUE, and texts stand in quotes"
        }
        _ if message.starts_with("missing field") => {
            "add the key; docs/configuration.md has them all"
        }
        _ => return None,
    };
    Some(help.into())
}
