//! What several switches share of their configuration: a text beside the file of each.
//!
//! Both are read as one, the file first. Each section is about names or has a list, so that what both say adds up, and
//! what stands in both is a mistake: nothing is overridden, so that whoever reads one of both knows that it holds.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use super::Config;
use super::error::ConfigError;
use super::file::File;
use super::hosts::KnownHosts;
use super::source::Beside;

/// Sections that may be shared; the others are of each switch alone.
const SHARED: [&str; 7] = ["acls", "peers", "carriers", "routes", "limits", "conferences", "music"];

/// What switches share, in one of its versions.
///
/// ```
/// use oneport_switch::SharedText;
///
/// let shared = SharedText { version: Some(7), text: "[peers.ann]\nsecret = \"hush\"".into() };
/// assert_eq!(shared.name().to_str(), Some("shared configuration 7"));
/// assert!(!format!("{shared:?}").contains("hush"));
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedText {
    /// Later ones are greater; `None`: nobody has taken it yet.
    pub version: Option<i64>,
    /// TOML.
    pub text: String,
}

/// Secrets may be in the text.
impl fmt::Debug for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name().display())
    }
}

impl SharedText {
    /// In place of the name of a file.
    #[must_use]
    pub fn name(&self) -> PathBuf {
        match self.version {
            None => "shared configuration".into(),
            Some(version) => format!("shared configuration {version}").into(),
        }
    }

    /// What a switch is told by its file `path`, which has the text `own`, and by this.
    pub(super) fn check_with(
        &self,
        path: &Path,
        own: &str,
        beside: Beside,
        known: &KnownHosts,
    ) -> Result<Config, ConfigError> {
        // Each by itself first: what one leaves open is not closed by the other.
        File::parse(path, own)?;
        let (name, text) = (self.name(), self.text.as_str());
        File::parse(&name, text)?;
        check_sections(&name, text, path, own)?;
        let both = format!("{own}\n{text}");
        let begin = own.len() + 1;
        let read = File::parse(path, &both).and_then(|file| file.check(path, &both, beside, known));
        read.map_err(|error| match error.span.start >= begin {
            true => error.within(&name, text, begin),
            false => error.within(path, own, 0),
        })
    }
}

/// Whether the text has only what may be shared, and nothing that stands in the file as well.
fn check_sections(name: &Path, text: &str, path: &Path, own: &str) -> Result<(), ConfigError> {
    let wrong = |span, message: String| ConfigError::at(name, text, span, message);
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let written = line.trim();
        if written.starts_with('[') {
            break;
        }
        if !written.is_empty() && !written.starts_with('#') {
            let what = "what is shared begins with a table";
            let help = "write [peers.NAME] and below it the keys";
            return Err(wrong(begin..begin + line.trim_end().len(), what.into()).with_help(help));
        }
        begin += line.len();
    }
    let (shared, own) = (DeTable::parse_recoverable(text).0, DeTable::parse_recoverable(own).0);
    for (section, contents) in shared.get_ref() {
        let word: &str = section.get_ref();
        if !SHARED.contains(&word) {
            let what = format!("[{word}] is of each switch alone");
            let help = format!("write it into the file of each; shared are {}", SHARED.join(", "));
            return Err(wrong(section.span(), what).with_help(help));
        }
        let (DeValue::Table(shared), Some(DeValue::Table(own))) =
            (contents.get_ref(), own.get_ref().get(word).map(toml::Spanned::get_ref))
        else {
            continue;
        };
        let is_own = |name: &str| own.contains_key(name);
        if let Some((twice, _)) = shared.iter().find(|(name, _)| is_own(name.get_ref())) {
            let what = format!("{word}.{} stands in {} as well", twice.get_ref(), path.display());
            let help = "take it out of one of them: what is shared is for all switches";
            return Err(wrong(twice.span(), what).with_help(help));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "[server]\nmax_calls = 9\n[peers.box]\nsecret = \"b\"\n[[routes]]\nnumber = \"1\"\nto = [\"peer:box\"]";

    fn check(text: &str) -> Result<Config, ConfigError> {
        let shared = SharedText { version: Some(7), text: text.into() };
        shared.check_with(Path::new("own.toml"), OWN, Beside::Needed, &KnownHosts::new())
    }

    /// What is wrong, with its place.
    fn wrong(text: &str) -> (String, String) {
        let error = check(text).expect_err("it is wrong");
        assert!(!error.source_text.contains("secret = \"b\""), "{}", error.source_text);
        (error.to_string(), error.help.unwrap_or_default())
    }

    #[test]
    fn what_is_shared_adds_to_what_the_file_says_behind_it() {
        let text = "# ann\n\n[peers.ann]\nsecret = \"a\"\n[[routes]]\nnumber = \"2\"\nto = [\"peer:ann\", \"peer:box\"]\n\
                    [[limits]]\nname = \"all\"\npeers = [\"ann\", \"box\"]\nmax_calls = 3\n";
        let config = check(text).expect("it is well");
        assert_eq!(config.peers.keys().collect::<Vec<_>>(), ["ann", "box"]);
        assert_eq!((config.routes.len(), config.limits.len()), (2, 1));
        assert_eq!(check("").expect("nothing is well").peers.len(), 1);
        assert_eq!(check("# nothing\n").expect("nothing is well").peers.len(), 1);
    }

    #[test]
    fn a_mistake_is_told_where_it_stands_in_whichever_of_both() {
        let (what, help) = wrong("[peers.ann]\n secrt = \"a\"\n");
        assert!(what.starts_with("shared configuration 7:2:2: unknown field `secrt`"), "{what}");
        assert_eq!(help, "did you mean `secret`?");
        let (what, _) = wrong("[[routes]]\nnumber = \"2\"\nto = [\"peer:bob\"]\n");
        assert!(what.starts_with("shared configuration 7:3:7: "), "{what}");
        let own = "[[routes]]\nnumber = \"1\"\nto = [\"peer:ann\"]\n";
        let shared = SharedText { version: None, text: "[peers.bob]\nsecret = \"b\"\n".into() };
        let error = shared
            .check_with(Path::new("own.toml"), own, Beside::Needed, &KnownHosts::new())
            .expect_err("there is no ann");
        assert!(error.to_string().starts_with("own.toml:3:7: "), "{error}");
        let (what, _) = wrong("[peers.ann]\nsecret = \"a\n");
        assert!(what.starts_with("shared configuration 7:2:"), "{what}");
    }

    #[test]
    fn what_stands_in_both_and_what_is_of_each_alone_is_refused() {
        let (what, help) = wrong("[peers.ann]\nsecret = \"a\"\n[peers.box]\nsecret = \"c\"\n");
        assert_eq!(what, "shared configuration 7:3:8: peers.box stands in own.toml as well");
        assert!(help.contains("take it out of one of them"), "{help}");
        let (what, help) = wrong("\n[server]\nmax_calls = 3\n");
        assert_eq!(what, "shared configuration 7:2:2: [server] is of each switch alone");
        assert!(help.contains("shared are acls, peers, "), "{help}");
        let (what, _) = wrong("max_calls = 3\n");
        assert!(what.starts_with("shared configuration 7:1:1: "), "{what}");
        let (what, _) = wrong("peers.ann.secret = \"a\"\n");
        assert_eq!(what, "shared configuration 7:1:1: what is shared begins with a table");
    }
}
