//! What became of each line that was read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::conf::{Conf, Place};

/// What became of a line.
///
/// ```
/// use oneport_switch::import::Verdict;
///
/// assert_eq!(Verdict::NotCarried.to_string(), "not carried");
/// assert_eq!(Verdict::ALL.len(), 5);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It means the same as before.
    Kept,
    /// It means something else now.
    Changed,
    /// It was kept, and is a weakness.
    Unsafe,
    /// Asterisk does not know it either.
    Unknown,
    /// It is not in the new configuration.
    NotCarried,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Kept, Self::Changed, Self::Unsafe, Self::Unknown, Self::NotCarried];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kept => "kept",
            Self::Changed => "changed",
            Self::Unsafe => "unsafe",
            Self::Unknown => "unknown",
            Self::NotCarried => "not carried",
        })
    }
}

/// A line and its fate.
///
/// ```
/// use oneport_switch::import::Verdict;
///
/// # mod asterisk { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/import.rs")); } use asterisk::*;
/// let lines = imported("[general]\nbindport = 4569\nnosuch = yes\n", &options()).report.lines;
/// let unknown = lines.iter().find(|line| line.verdict == Verdict::Unknown).ok_or("none")?;
/// assert_eq!((unknown.file.as_str(), unknown.line), ("iax.conf", 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
    /// The file it stands in.
    pub file: String,
    /// Its number, from 1.
    pub line: usize,
    /// What it says, secrets as `***`.
    pub text: String,
    /// The worst that is to be said of it: a line of a template may be used several times.
    pub verdict: Verdict,
    /// How it was changed, what is weak in it, or why it is not there.
    pub notes: Vec<String>,
}

/// All lines, and what concerns them together.
///
/// ```
/// use oneport_switch::import::Verdict;
///
/// # mod asterisk { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/import.rs")); } use asterisk::*;
/// let report = imported("[general]\nbindport = 4569\nnosuch = yes\n", &options()).report;
/// assert_eq!(report.count(Verdict::Unknown), 1);
/// println!("{report}");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Each line that says something, file by file.
    pub lines: Vec<Line>,
    /// What to do beside.
    pub advice: Vec<String>,
}

impl Report {
    /// How many lines had this fate.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{:<11}  {}:{}  {}", line.verdict, line.file, line.line, line.text)?;
            for note in &line.notes {
                writeln!(f, "{:13}{note}", "")?;
            }
        }
        if !self.lines.is_empty() {
            writeln!(f)?;
        }
        for advice in &self.advice {
            writeln!(f, "note: {advice}")?;
        }
        let counts = Verdict::ALL.map(|verdict| format!("{} {verdict}", self.count(verdict)));
        writeln!(f, "{} lines: {}", self.lines.len(), counts.join(", "))
    }
}

/// Collects the fates of lines.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// In the order in which files were met.
    files: Vec<Arc<str>>,
    lines: BTreeMap<(usize, usize), Entry>,
    /// Values that no report shows.
    secrets: Vec<String>,
    advice: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    text: String,
    verdict: Option<Verdict>,
    notes: Vec<String>,
}

/// Shorter values are hidden where they stand, not wherever they occur: `a` occurs in any text.
const SHORTEST_HIDDEN: usize = 4;

impl Ledger {
    fn key(&mut self, place: &Place) -> (usize, usize) {
        let index = self.files.iter().position(|file| *file == place.file);
        let index = index.unwrap_or_else(|| {
            self.files.push(place.file.clone());
            self.files.len() - 1
        });
        (index, place.line)
    }

    /// A line that must have a fate in the end.
    pub(super) fn expect(&mut self, place: &Place, text: impl Into<String>) {
        let key = self.key(place);
        let text = text.into();
        self.lines.entry(key).or_insert(Entry { text, verdict: None, notes: Vec::new() });
    }

    /// Lines of `conf` that are no settings: includes that were followed are kept, and what could not
    /// be read is left out.
    pub(super) fn remark(&mut self, conf: &Conf) {
        for remark in &conf.remarks {
            self.expect(&remark.place, without_secrets(&remark.text));
            match &remark.trouble {
                None => self.kept(&remark.place),
                Some(trouble) => self.dropped(&remark.place, trouble.clone()),
            }
        }
    }

    /// A value that must not be shown anywhere.
    pub(super) fn hide(&mut self, secret: &str) {
        if secret.len() >= SHORTEST_HIDDEN && !self.secrets.iter().any(|known| known == secret) {
            self.secrets.push(secret.into());
        }
    }

    /// What became of a line; the worst of several counts.
    pub(super) fn note(&mut self, place: &Place, verdict: Verdict, note: impl Into<String>) {
        let key = self.key(place);
        let Some(entry) = self.lines.get_mut(&key) else { return };
        entry.verdict = entry.verdict.max(Some(verdict));
        let note = note.into();
        if !note.is_empty() && !entry.notes.contains(&note) {
            entry.notes.push(note);
        }
    }

    pub(super) fn kept(&mut self, place: &Place) {
        self.note(place, Verdict::Kept, "");
    }

    pub(super) fn changed(&mut self, place: &Place, note: impl Into<String>) {
        self.note(place, Verdict::Changed, note);
    }

    pub(super) fn dropped(&mut self, place: &Place, note: impl Into<String>) {
        self.note(place, Verdict::NotCarried, note);
    }

    /// Takes the lines of `other` behind its own.
    pub(super) fn append(&mut self, other: Self) {
        for ((file, line), entry) in other.lines {
            let place = Place { file: other.files[file].clone(), line };
            let key = self.key(&place);
            self.lines.insert(key, entry);
        }
        other.secrets.iter().for_each(|secret| self.hide(secret));
        other.advice.into_iter().for_each(|advice| self.advise(advice));
    }

    /// What the administrator has to know beside.
    pub(super) fn advise(&mut self, advice: impl Into<String>) {
        let advice = advice.into();
        if !self.advice.contains(&advice) {
            self.advice.push(advice);
        }
    }

    /// The report. A line that nothing was said of is one that nothing uses.
    pub(super) fn finish(mut self) -> Report {
        // A secret may be a part of another one.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let hide = |text: &str| {
            self.secrets
                .iter()
                .fold(text.to_string(), |text, secret| text.replace(&**secret, "***"))
        };
        let lines = self.lines.iter().map(|((file, line), entry)| {
            let unused = || vec!["nothing uses it".to_string()];
            Line {
                file: self.files[*file].to_string(),
                line: *line,
                text: hide(&entry.text),
                verdict: entry.verdict.unwrap_or(Verdict::NotCarried),
                notes: match entry.verdict {
                    None => unused(),
                    Some(_) => entry.notes.iter().map(|note| hide(note)).collect(),
                },
            }
        });
        Report {
            lines: lines.collect(),
            advice: self.advice.iter().map(|advice| hide(advice)).collect(),
        }
    }
}

/// `user:secret@host` without its secret, wherever it stands in `text`.
pub(super) fn without_secrets(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, behind) = rest.split_at(at);
        let start = before.rfind(['/', '>', '=', '&', ',', '(']).map_or(0, |last| last + 1);
        match before[start..].find(':') {
            Some(colon) => {
                shown.push_str(&before[..=start + colon]);
                shown.push_str("***");
            }
            None => shown.push_str(before),
        }
        shown.push('@');
        rest = &behind[1..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_dial_strings_are_not_shown() {
        for (text, shown) in [
            ("register => site:staple@192.0.2.1:4570", "register => site:***@192.0.2.1:4570"),
            ("register => site:[key]@host", "register => site:***@host"),
            ("OUT=IAX2/site:two words@host", "OUT=IAX2/site:***@host"),
            ("Dial(IAX2/a:b@c/1&IAX2/d@e/2@f,20)", "Dial(IAX2/a:***@c/1&IAX2/d@e/2@f,20)"),
            ("no secret at all", "no secret at all"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }

    #[test]
    fn the_worst_fate_of_a_line_counts_and_known_secrets_are_hidden() {
        let place = |line| Place { file: "iax.conf".into(), line };
        let mut ledger = Ledger::default();
        for line in 1..=2 {
            ledger.expect(&place(line), "setvar=x=staple");
        }
        ledger.hide("staple");
        ledger.dropped(&place(1), "no staple here");
        ledger.kept(&place(1));
        let report = ledger.finish();
        assert_eq!(report.lines[0].verdict, Verdict::NotCarried);
        assert_eq!(report.lines[0].notes, ["no *** here"]);
        assert_eq!(report.lines[1].notes, ["nothing uses it"]);
        assert!(!report.to_string().contains("staple"));
    }
}
