//! Codecs as they are written.

use oneport_wire::{Format, FormatSet, MediaKind};

use super::error::ConfigError;
use super::source::Source;
use super::spanned::Spanned;

pub(super) fn read_codecs(
    source: &Source<'_>,
    names: &[Spanned<String>],
) -> Result<Vec<Format>, ConfigError> {
    let mut codecs = Vec::new();
    for name in names {
        match Format::from_name(name.get_ref()) {
            Some(format) if format.kind() == MediaKind::Video => {
                let error = source.wrong(name, format!("`{format}` is video"));
                return Err(error.with_help(format!("write video = [\"{format}\"] besides")));
            }
            Some(format) => codecs.push(format),
            None => {
                let known = Format::all().filter(|format| format.kind() != MediaKind::Video);
                let known: Vec<&str> = known.map(Format::name).collect();
                return Err(source.unknown_word(name, "codec", &known));
            }
        }
    }
    Ok(codecs)
}

pub(super) fn read_video(
    source: &Source<'_>,
    names: &[Spanned<String>],
) -> Result<FormatSet, ConfigError> {
    let mut formats = FormatSet::EMPTY;
    for name in names {
        match Format::from_name(name.get_ref()) {
            Some(format) if format.kind() == MediaKind::Video => formats.insert(format),
            _ => {
                let known = Format::all().filter(|format| format.kind() == MediaKind::Video);
                let known: Vec<&str> = known.map(Format::name).collect();
                return Err(source.unknown_word(name, "video codec", &known));
            }
        }
    }
    Ok(formats)
}
