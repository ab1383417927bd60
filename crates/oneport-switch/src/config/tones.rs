//! Tones: keys in the voice of a peer, and what its callers hear of how their calls go.

use oneport_media::progress::{COUNTRIES, Country, Progress};

use super::error::{ConfigError, nearest};
use super::source::Source;
use super::spanned::Spanned;
use crate::inband::KeyRule;

/// How keys come from a peer and go to it.
pub(super) const DTMF: [&str; 5] = ["frames", "inband", "inband_from", "inband_to", "info"];

/// Tones that callers may hear before an answer.
pub(super) const EARLY_TONES: [&str; 3] = ["ringback", "busy", "congestion"];

/// Where nothing else is said.
pub(super) const DEFAULT_COUNTRY: &str = "us";

/// The codes of all countries whose tones are known.
pub(super) fn country_words(schema: &mut schemars::Schema) {
    use schemars::transform::Transform;
    let codes: Vec<&str> = COUNTRIES.iter().map(|country| country.code).collect();
    super::schema::Words(&codes).transform(schema);
}

pub(super) fn read_country(
    source: &Source<'_>,
    code: &Spanned<String>,
) -> Result<&'static Country, ConfigError> {
    let written = code.get_ref();
    Country::find(written).ok_or_else(|| {
        let error = source.wrong(code, format!("`{written}` is no country whose tones are known"));
        let codes = COUNTRIES.iter().map(|country| country.code);
        match nearest(written, codes.clone()) {
            Some(code) => error.with_help(format!("did you mean `{code}`?")),
            None => {
                let codes: Vec<&str> = codes.collect();
                error.with_help(format!("it is one of {}", codes.join(", ")))
            }
        }
    })
}

pub(super) fn read_dtmf(
    source: &Source<'_>,
    word: Option<&Spanned<String>>,
    passes: Option<bool>,
) -> Result<KeyRule, ConfigError> {
    let passes = passes.unwrap_or(false);
    let (hears, speaks) = match word.map(|word| (word, word.get_ref().as_str())) {
        None | Some((_, "frames" | "info")) => (false, false),
        Some((_, "inband")) => (true, true),
        Some((_, "inband_from")) => (true, false),
        Some((_, "inband_to")) => (false, true),
        Some((word, _)) => return Err(source.unknown_word(word, "way of keys", &DTMF)),
    };
    Ok(KeyRule { hears, speaks, passes })
}

pub(super) fn read_early_tones(
    source: &Source<'_>,
    words: &[Spanned<String>],
) -> Result<Vec<Progress>, ConfigError> {
    let read = |word: &Spanned<String>| match word.get_ref().as_str() {
        "ringback" => Ok(Progress::Ringback),
        "busy" => Ok(Progress::Busy),
        "congestion" => Ok(Progress::Congestion),
        _ => Err(source.unknown_word(word, "tone before an answer", &EARLY_TONES)),
    };
    words.iter().map(read).collect()
}
