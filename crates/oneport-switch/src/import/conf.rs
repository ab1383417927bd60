//! Asterisk's configuration language: sections with templates, settings in their order, comments,
//! and files that include others.
//!
//! It knows nothing of what settings mean.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Files of a configuration directory, by their path inside it.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::import::{Files, music_folders};
///
/// let files = Files::from([("iax.conf".into(), "[general]\nbindport = 4569\n".into())]);
/// assert!(music_folders(&files, Path::new("/var/lib/asterisk")).is_empty());
/// ```
pub type Files = BTreeMap<String, String>;

/// Where Asterisk keeps its configuration: includes that name it mean the directory read here.
const HOME: &str = "/etc/asterisk/";

/// Files that include each other end somewhere.
const MAX_DEPTH: usize = 16;

/// A file and one of its lines, from 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Place {
    /// Path inside of the directory.
    pub(crate) file: Arc<str>,
    /// The line.
    pub(crate) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A `key = value` or `key => value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Setting {
    /// In lower case: Asterisk does not tell them apart.
    pub(crate) key: String,
    /// The same as it is written.
    pub(crate) name: String,
    /// As it is written, without comments.
    pub(crate) value: String,
    pub(crate) place: Place,
}

/// What stands between two `[names]`, with what its templates give first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    /// It is only there to be used by others: `[name](!)`.
    pub(crate) template: bool,
    pub(crate) place: Place,
    pub(crate) settings: Vec<Setting>,
}

impl Section {
    /// The last value of `key`.
    pub(crate) fn last(&self, key: &str) -> Option<&str> {
        self.settings.iter().rfind(|setting| setting.key == key).map(|setting| &*setting.value)
    }
}

/// Something that is no setting and no section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Remark {
    pub(crate) place: Place,
    pub(crate) text: String,
    /// What is wrong with it; `None` for an include that was followed.
    pub(crate) trouble: Option<String>,
}

/// A file with all that it includes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Conf {
    pub(crate) sections: Vec<Section>,
    pub(crate) remarks: Vec<Remark>,
}

impl Conf {
    /// Reads `name` and what it includes; empty, if it is not there.
    pub(crate) fn read(files: &Files, name: &str) -> Self {
        let mut reader = Reader { files, conf: Self::default(), open: Vec::new() };
        reader.file(name, 0);
        reader.conf
    }

    /// The sections of this name.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Section> {
        self.sections.iter().filter(move |section| section.name.eq_ignore_ascii_case(name))
    }
}

struct Reader<'a> {
    files: &'a Files,
    conf: Conf,
    /// Sections that take what follows: one, or with `(+)` all of that name.
    open: Vec<usize>,
}

impl Reader<'_> {
    fn file(&mut self, name: &str, depth: usize) {
        let Some((name, text)) = self.files.get_key_value(name) else { return };
        let file: Arc<str> = name.as_str().into();
        let mut comments = 0;
        for (number, line) in text.lines().enumerate() {
            let line = without_comments(line, &mut comments);
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let place = Place { file: file.clone(), line: number + 1 };
            if line.starts_with('[') {
                self.section(place, line);
            } else if line.starts_with('#') {
                self.directive(place, line, depth);
            } else {
                self.setting(place, line);
            }
        }
    }

    fn trouble(&mut self, place: Place, text: &str, trouble: impl Into<String>) {
        self.conf.remarks.push(Remark { place, text: text.into(), trouble: Some(trouble.into()) });
    }

    fn section(&mut self, place: Place, line: &str) {
        self.open.clear();
        let Some((name, behind)) = line[1..].split_once(']') else {
            return self.trouble(place, line, "the bracket is not closed");
        };
        let options = behind.trim().strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let options = options.map_or("", |(inside, _)| inside);
        let mut section =
            Section { name: name.trim().into(), template: false, place, settings: Vec::new() };
        let mut adds = false;
        let options = options.split(',').map(str::trim).filter(|option| !option.is_empty());
        for option in options.collect::<Vec<_>>() {
            match option {
                "!" => section.template = true,
                "+" => adds = true,
                template => {
                    let found = self.conf.sections.iter().rfind(|other| other.name == template);
                    match found {
                        Some(found) => section.settings.extend(found.settings.iter().cloned()),
                        None => {
                            let trouble = format!("there is no template [{template}] above it");
                            self.trouble(section.place.clone(), line, trouble);
                        }
                    }
                }
            }
        }
        if adds {
            let own = &section.name;
            let first = self.conf.sections.iter().position(|other| other.name == *own);
            if let Some(first) = first {
                self.conf.sections[first].settings.extend(section.settings);
                self.open.push(first);
                return;
            }
            let trouble = format!("there is no [{own}] above it to add to");
            self.trouble(section.place.clone(), line, trouble);
        }
        self.open.push(self.conf.sections.len());
        self.conf.sections.push(section);
    }

    fn directive(&mut self, place: Place, line: &str, depth: usize) {
        let (word, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim().trim_matches(['"', '<', '>', '\'']);
        let may_be_missing = match word.to_ascii_lowercase().as_str() {
            "#include" => false,
            "#tryinclude" => true,
            "#exec" => {
                let trouble = "programs are not run by the import; put their output into the file";
                return self.trouble(place, line, trouble);
            }
            _ => return self.trouble(place, line, "no such directive"),
        };
        let names = included(self.files, argument);
        if names.is_empty() && !may_be_missing {
            let trouble = "that file is not in the directory; Asterisk refuses all without it";
            return self.trouble(place, line, trouble);
        }
        if depth == MAX_DEPTH {
            return self.trouble(place, line, "the files include each other without end");
        }
        self.conf.remarks.push(Remark { place, text: line.into(), trouble: None });
        for name in names {
            self.file(&name, depth + 1);
        }
    }

    fn setting(&mut self, place: Place, line: &str) {
        let Some((key, value)) = line.split_once('=') else {
            return self.trouble(place, line, "it is neither a section nor a setting");
        };
        let value = value.strip_prefix('>').unwrap_or(value).trim();
        let (key, adds) = match key.strip_suffix('+') {
            Some(key) => (key.trim(), true),
            None => (key.trim(), false),
        };
        if self.open.is_empty() {
            return self.trouble(place, line, "it stands in no section");
        }
        for index in self.open.clone() {
            let settings = &mut self.conf.sections[index].settings;
            let name = key.to_string();
            let key = key.to_ascii_lowercase();
            let mut value = value.to_string();
            if adds && let Some(before) = settings.iter().rfind(|setting| setting.key == key) {
                value = format!("{}{value}", before.value);
            }
            settings.push(Setting { key, name, value, place: place.clone() });
        }
    }
}

/// A line without `; to its end` and `;-- between these --;`; `depth` comments are open before it.
fn without_comments(line: &str, depth: &mut usize) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        let opens = rest.starts_with(";--") && !rest.starts_with(";---");
        let step = if opens {
            *depth += 1;
            3
        } else if *depth > 0 && rest.starts_with("--;") {
            *depth -= 1;
            3
        } else if *depth > 0 {
            character.len_utf8()
        } else if rest.starts_with("\\;") {
            kept.push(';');
            2
        } else if character == ';' {
            break;
        } else {
            kept.push(character);
            character.len_utf8()
        };
        rest = &rest[step..];
    }
    kept
}

/// The files that an include names.
fn included(files: &Files, argument: &str) -> Vec<String> {
    let name = argument.strip_prefix(HOME).unwrap_or(argument);
    let name = name.strip_prefix("./").unwrap_or(name);
    if name.contains(['*', '?', '[']) {
        files.keys().filter(|file| glob(name, file)).cloned().collect()
    } else {
        files.contains_key(name).then(|| name.to_string()).into_iter().collect()
    }
}

/// Whether `name` fits a pattern of the shell: `*` and `?` stand for anything but a slash, `[a-c]`
/// for one of these, `[!a]` for any other.
fn glob(pattern: &str, name: &str) -> bool {
    let mut pattern_left = pattern.chars();
    let mut name_left = name.chars();
    match pattern_left.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = pattern_left.as_str();
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            let run = name.find('/').unwrap_or(name.len());
            ends.any(|at| at <= run && glob(rest, &name[at..]))
        }
        Some('[') if pattern_left.as_str().contains(']') => {
            let (set, rest) = pattern_left.as_str().split_once(']').unwrap_or_default();
            let Some(character) = name_left.next() else { return false };
            in_set(set, character) && glob(rest, name_left.as_str())
        }
        Some(expected) => {
            let found = name_left.next();
            let fits =
                found.is_some_and(|found| found == expected || expected == '?' && found != '/');
            fits && glob(pattern_left.as_str(), name_left.as_str())
        }
    }
}

fn in_set(set: &str, character: char) -> bool {
    let (set, wanted) = match set.strip_prefix(['!', '^']) {
        Some(others) => (others, false),
        None => (set, true),
    };
    let set: Vec<char> = set.chars().collect();
    let mut at = 0;
    let mut found = false;
    while let Some(first) = set.get(at) {
        match (set.get(at + 1), set.get(at + 2)) {
            (Some('-'), Some(last)) => {
                found |= (*first..=*last).contains(&character);
                at += 3;
            }
            _ => {
                found |= *first == character;
                at += 1;
            }
        }
    }
    found == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[(&str, &str)]) -> Files {
        of.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect()
    }

    /// The sections as `name: key=value …`, and the remarks.
    fn check(of: &[(&str, &str)], sections: &[&str], remarks: &[&str]) {
        let conf = Conf::read(&files(of), of[0].0);
        let print = |section: &Section| {
            let settings = section.settings.iter();
            let settings: Vec<String> =
                settings.map(|setting| format!("{}={}", setting.key, setting.value)).collect();
            let template = if section.template { "!" } else { "" };
            format!("{}{template}: {}", section.name, settings.join(" "))
        };
        assert_eq!(conf.sections.iter().map(print).collect::<Vec<_>>(), sections);
        let print = |remark: &Remark| {
            format!("{} {}", remark.place, remark.trouble.as_deref().unwrap_or("ok"))
        };
        assert_eq!(conf.remarks.iter().map(print).collect::<Vec<_>>(), remarks);
    }

    #[test]
    fn settings_stay_in_their_order_and_may_come_again() {
        let text = "[general]\nDisAllow = all\nallow=>ulaw ; the best\nallow = gsm\n";
        check(&[("a", text)], &["general: disallow=all allow=ulaw allow=gsm"], &[]);
    }

    #[test]
    fn templates_give_their_settings_first() {
        let text = "[a](!)\nx=1\n[b](!)\ny=2\n[c](a,b)\nx=3\n[c](+)\nz=4\n[d](!,a)\n";
        check(&[("a", text)], &["a!: x=1", "b!: y=2", "c: x=1 y=2 x=3 z=4", "d!: x=1"], &[]);
        let text = "[c](none)\nx=1\n[d](+)\ny=2\n";
        check(
            &[("a", text)],
            &["c: x=1", "d: y=2"],
            &["a:1 there is no template [none] above it", "a:3 there is no [d] above it to add to"],
        );
    }

    #[test]
    fn comments_end_where_they_should() {
        let text = "[a]\nx=1;2\nx=1\\;2\n;-- all\nx=3\n--;x=4\nx=5 ;-- not this --; 6\n;--- a line\nx=7\n\
                    ;-- outer ;-- inner --; still --;\nx=8\n";
        check(&[("a", text)], &["a: x=1 x=1;2 x=4 x=5  6 x=7 x=8"], &[]);
    }

    #[test]
    fn a_value_can_be_added_to() {
        check(&[("a", "[a]\nx=1\nx+=2\nx += 3\n")], &["a: x=1 x=12 x=123"], &[]);
    }

    #[test]
    fn includes_are_followed_where_they_stand_and_nothing_is_run() {
        check(
            &[
                (
                    "iax.conf",
                    "[a]\n#include \"more/*.conf\"\ny=1\n#include </etc/asterisk/b>\nz=1\n",
                ),
                ("b", "[b]\nx=5\n"),
                ("more/1.conf", "x=1\n"),
                ("more/2.conf", "x=2\n"),
                ("more/3.txt", "x=3\n"),
                ("more/deep/4.conf", "x=4\n"),
            ],
            &["a: x=1 x=2 y=1", "b: x=5 z=1"],
            &["iax.conf:2 ok", "iax.conf:4 ok"],
        );
        let text = "#include none\n#tryinclude none\n#exec /bin/ls\n#import x\nx=1\nnonsense\n[x\n";
        check(
            &[("a", text)],
            &[],
            &[
                "a:1 that file is not in the directory; Asterisk refuses all without it",
                "a:2 ok",
                "a:3 programs are not run by the import; put their output into the file",
                "a:4 no such directive",
                "a:5 it stands in no section",
                "a:6 it is neither a section nor a setting",
                "a:7 the bracket is not closed",
            ],
        );
    }

    #[test]
    fn files_that_include_themselves_come_to_an_end() {
        let conf = Conf::read(&files(&[("a", "#include a\n")]), "a");
        let last = conf.remarks.last().and_then(|remark| remark.trouble.as_deref());
        assert_eq!(last, Some("the files include each other without end"));
    }

    #[test]
    fn patterns_of_file_names_fit_as_in_a_shell() {
        for (pattern, name, fits) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "b/a.conf", false),
            ("b/*", "b/a.conf", true),
            ("?[a-c][!x].*", "1bz.conf", true),
            ("?[a-c][!x].*", "1bx.conf", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }
}
