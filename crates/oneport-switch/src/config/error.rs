//! What is wrong with a configuration, where, and how to mend it.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use regex::Regex;
use thiserror::Error;

/// A configuration that cannot be used.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::Config;
///
/// let text = "[peers.ann]\nsecrett = \"a b c\"";
/// let error = Config::parse(Path::new("oneport.toml"), text).expect_err("no such key");
/// assert!(error.to_string().starts_with("oneport.toml:2:1: "));
/// assert_eq!(&text[error.span.clone()], "secrett");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{}: {message}", self.place())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Its text, to show the place; empty when it could not be read.
    pub source_text: Arc<str>,
    /// Line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The bytes in question.
    pub span: Range<usize>,
    /// What is wrong, and what was expected.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

/// The text with asterisks in the place of secrets, byte for byte: it is shown to people, and logged.
fn without_secrets(text: &str) -> String {
    let secret = Regex::new(
        r#"\b(?:secret|pin)\s*=\s*(?:"([^"\n]*)|'([^'\n]*))|://[^\s"'/@:]*:([^\s"']*)@"#,
    );
    let mut shown = text.to_string();
    for found in secret.iter().flat_map(|secret| secret.captures_iter(text)) {
        if let Some(value) = found.iter().skip(1).flatten().next() {
            shown.replace_range(value.range(), &"*".repeat(value.len()));
        }
    }
    shown
}

impl ConfigError {
    /// File, line and column, if it is about a place in the file.
    fn place(&self) -> String {
        match self.line {
            0 => self.file.display().to_string(),
            line => format!("{}:{line}:{}", self.file.display(), self.column),
        }
    }

    pub(crate) fn unreadable(file: &Path, error: &io::Error) -> Self {
        Self {
            file: file.into(),
            source_text: Arc::from(""),
            line: 0,
            column: 0,
            span: 0..0,
            message: format!("it cannot be read: {error}"),
            help: Some(
                "--config names the file; the user that asks must be able to read it".into(),
            ),
        }
    }

    pub(crate) fn at(
        file: &Path,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
        Self {
            file: file.into(),
            source_text: without_secrets(text).into(),
            line,
            column,
            span,
            message: message.into(),
            help: None,
        }
    }

    /// The same mistake, where the text is another that stands from byte `begin` on in the one it was found in.
    pub(crate) fn within(self, file: &Path, text: &str, begin: usize) -> Self {
        if self.line == 0 {
            return self;
        }
        let place = |at: usize| at.saturating_sub(begin).min(text.len());
        let span = place(self.span.start)..place(self.span.end);
        Self { help: self.help, ..Self::at(file, text, span, self.message) }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The name among `known` that `wrong` was probably meant to be.
pub(crate) fn nearest<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
