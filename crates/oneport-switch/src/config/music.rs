//! `[music.NAME]`: folders of music on hold, as they are written, and their check.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::error::{ConfigError, nearest};
use super::source::Source;
use super::spanned::Spanned;
use crate::builtin::{MusicClass, is_plain};

/// Bytes of all music together: it is kept in memory. 23 minutes.
const MOST_MUSIC: usize = 64 << 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MusicKeys {
    /// A directory of WAV files, mono or stereo, 8 to 48 kHz. They are read at the start and at
    /// each reload, and kept in memory at the rates that are spoken: 64 MiB in all, which is 23
    /// minutes.
    folder: Spanned<PathBuf>,
    /// Whether each listener hears the files in an order of its own. Else they come in the order of
    /// their names.
    #[serde(default)]
    shuffle: bool,
}

/// Reads the folders.
pub(super) fn read_music(
    source: &Source<'_>,
    keys: BTreeMap<Spanned<String>, MusicKeys>,
) -> Result<BTreeMap<String, Arc<MusicClass>>, ConfigError> {
    let mut room = MOST_MUSIC;
    let mut music = BTreeMap::new();
    for (name, MusicKeys { folder, shuffle }) in keys {
        if !is_plain(name.get_ref()) {
            let what = format!("`{}` is no name for music", name.get_ref());
            let help = "letters, digits, - and _ may be in it: [music.default]";
            return Err(source.wrong(&name, what).with_help(help));
        }
        let class = MusicClass::load(folder.get_ref(), shuffle, &mut room).map_err(|what| {
            let help = "it needs WAV files, mono or stereo, 8 to 48 kHz; all music together may last \
                        23 minutes";
            source.wrong(&folder, what).with_help(help)
        })?;
        music.insert(name.into_inner(), Arc::new(class));
    }
    Ok(music)
}

/// Reads the name of a class that must be there.
pub(super) fn read_class(
    source: &Source<'_>,
    name: Option<&Spanned<String>>,
    music: &BTreeMap<String, Arc<MusicClass>>,
) -> Result<Option<String>, ConfigError> {
    let Some(name) = name else { return Ok(None) };
    let written = name.get_ref();
    if music.contains_key(written) {
        return Ok(Some(written.clone()));
    }
    let error = source.wrong(name, format!("there is no music `{written}`"));
    Err(match nearest(written, music.keys().map(String::as_str)) {
        Some(name) => error.with_help(format!("did you mean `{name}`?")),
        None => error.with_help(format!("add [music.{written}] with its folder")),
    })
}
