//! The file with its text, to say where something in it is wrong.

use std::path::Path;

use super::error::{ConfigError, nearest};
use super::spanned::Spanned;

/// The file and its text, to say where something is wrong.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) const fn path(&self) -> &Path {
        self.path
    }

    pub(super) fn wrong<T>(&self, at: &Spanned<T>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.path, self.text, at.span(), message)
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

/// How to mend a value of the wrong type, from what the parser expected.
pub(super) fn help_for_type(message: &str) -> Option<String> {
    let (_, expected) = message.split_once(", expected ")?;
    let help = match expected {
        "a sequence" => "put it into brackets: [\"…\"]",
        "a string" => "put it into quotes: \"…\"",
        "a boolean" => "write true or false, without quotes",
        "usize" | "u64" => "write a whole number, without quotes",
        _ => return None,
    };
    Some(help.into())
}
