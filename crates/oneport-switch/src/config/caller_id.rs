//! `[peers.NAME.caller_id]`: what a peer may say of who calls, as it is written, and its check.

use serde::Deserialize;
use toml::Spanned;

use super::error::ConfigError;
use super::source::Source;
use crate::caller_id::{CallerIdRule, Numbers, Presentation};
use crate::routing::Pattern;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallerIdKeys {
    number: Option<String>,
    name: Option<String>,
    allow: Option<Vec<Spanned<String>>>,
    presentation: Option<Spanned<String>>,
}

impl CallerIdKeys {
    pub(super) fn check(self, source: &Source<'_>) -> Result<CallerIdRule, ConfigError> {
        let allow = match self.allow {
            None => None,
            Some(written) => {
                let mut numbers = Numbers { written: Vec::new(), patterns: Vec::new() };
                for text in written {
                    numbers.patterns.push(match text.get_ref().starts_with('_') {
                        true => Pattern::asterisk(text.get_ref())
                            .map_err(|(what, help)| source.wrong(&text, what).with_help(help))?,
                        false => Pattern::number(text.get_ref()),
                    });
                    numbers.written.push(text.into_inner());
                }
                Some(numbers)
            }
        };
        let presentation = match &self.presentation {
            None => None,
            Some(word) => Some(match word.get_ref().as_str() {
                "allowed" => Presentation::Allowed,
                "restricted" => Presentation::Restricted,
                _ => {
                    let known = ["allowed", "restricted"];
                    return Err(source.unknown_word(word, "presentation", &known));
                }
            }),
        };
        Ok(CallerIdRule { number: self.number, name: self.name, allow, presentation })
    }
}
