//! `musiconhold.conf`: folders of music.

use std::path::{Path, PathBuf};

use super::conf::{Conf, Files, Section, Setting};
use super::iax::is_true;
use super::plan::{Music, Plan, text};
use super::report::{Ledger, Verdict};
use super::{Options, iax};
use crate::builtin::is_plain;

/// Folders that `musiconhold.conf` names; those that hold WAV files belong into
/// [`Options::music`].
#[must_use]
pub fn music_folders(files: &Files, data_directory: &Path) -> Vec<PathBuf> {
    let conf = Conf::read(files, "musiconhold.conf");
    classes(&conf).filter_map(|class| folder(class, data_directory)).collect()
}

/// Sections that stand for music.
fn classes(conf: &Conf) -> impl Iterator<Item = &Section> {
    let sections = conf.sections.iter().filter(|section| !section.template);
    sections.filter(|section| !section.name.eq_ignore_ascii_case("general"))
}

/// Where its files are; a relative path starts from Asterisk's data.
fn folder(class: &Section, data_directory: &Path) -> Option<PathBuf> {
    Some(data_directory.join(class.last("directory")?))
}

/// Adds the folders of `conf` to `plan`.
pub(super) fn read(conf: &Conf, options: &Options, ledger: &mut Ledger, plan: &mut Plan) {
    ledger.remark(conf);
    for section in conf.sections.iter().filter(|section| !section.template) {
        for setting in &section.settings {
            ledger.expect(&setting.place, format!("{}={}", setting.name, setting.value));
            if section.name.eq_ignore_ascii_case("general") {
                ledger.dropped(&setting.place, "music is read from files alone");
            }
        }
    }
    for class in classes(conf) {
        if let Err(why) = read_class(class, options, ledger, plan) {
            for setting in &class.settings {
                ledger.dropped(&setting.place, why.clone());
            }
        }
    }
}

fn read_class(
    class: &Section,
    options: &Options,
    ledger: &mut Ledger,
    plan: &mut Plan,
) -> Result<(), String> {
    let mode = class.last("mode").unwrap_or("files");
    if !mode.eq_ignore_ascii_case("files") {
        return Err(format!("mode {mode}: music comes from a folder of WAV files"));
    }
    if !is_plain(&class.name) {
        return Err(format!("[{}] has more than letters, digits, - and _", class.name));
    }
    let folder = folder(class, &options.data_directory).ok_or("it has no directory")?;
    if !options.music.contains(&folder) {
        return Err(format!("there are no WAV files in {}", folder.display()));
    }
    let mut shuffle = false;
    for setting in &class.settings {
        shuffle |= read_option(setting, ledger);
    }
    let mut keys = vec![("folder", text(&folder.display().to_string()))];
    if shuffle {
        keys.push(("shuffle", "true".into()));
    }
    plan.music.push(Music {
        name: class.name.clone(),
        comments: vec![class.place.to_string()],
        keys,
    });
    Ok(())
}

/// Whether the option says that the order is drawn.
fn read_option(setting: &Setting, ledger: &mut Ledger) -> bool {
    let place = &setting.place;
    let value = setting.value.to_ascii_lowercase();
    match (setting.key.as_str(), value.as_str()) {
        ("mode" | "directory", _) => ledger.kept(place),
        ("random", _) if iax::is_false(&value) => ledger.kept(place),
        ("random", _) if is_true(&value) => {
            ledger.kept(place);
            return true;
        }
        ("sort", "random") => {
            ledger.kept(place);
            return true;
        }
        ("sort", "alpha") => ledger.kept(place),
        ("sort", "randstart") => {
            ledger.changed(place, "in an order that is drawn for each listener");
            return true;
        }
        ("format", _) => ledger.dropped(place, "files are WAV, and are resampled"),
        ("digit", _) => ledger.dropped(place, "keys do not change the music"),
        ("announcement" | "loop_last", _) => {
            ledger.dropped(place, "nothing is said between the files");
        }
        ("sort", _) => ledger.note(place, Verdict::Unknown, "it is random, alpha or randstart"),
        _ => ledger.note(place, Verdict::Unknown, "Asterisk does not know it, and passes over it"),
    }
    false
}
