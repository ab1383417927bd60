//! `[peers.NAME.caller_id]`: what a peer may say of who calls, as it is written, and its check.

use schemars::JsonSchema;
use serde::Deserialize;

use super::error::ConfigError;
use super::schema::Words;
use super::source::Source;
use super::spanned::Spanned;
use crate::caller_id::{CallerIdRule, Numbers, Presentation};
use crate::routing::Pattern;

/// Whether a number is to be shown.
const PRESENTATION: [&str; 2] = ["allowed", "restricted"];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallerIdKeys {
    /// The number in place of what it may not say.
    number: Option<String>,
    /// The name in its place.
    #[schemars(extend("x-default" = "what it says"))]
    name: Option<String>,
    /// Numbers and patterns (`_2125550XXX`) that it may call from.
    allow: Option<Vec<Spanned<String>>>,
    /// `allowed`, or `restricted`: the number is not to be shown.
    #[schemars(transform = Words(&PRESENTATION), extend("x-default" = "what it says"))]
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
                    return Err(source.unknown_word(word, "presentation", &PRESENTATION));
                }
            }),
        };
        Ok(CallerIdRule { number: self.number, name: self.name, allow, presentation })
    }
}
