//! Options that make telephones comfortable: numbers that come and go, names of callers, music on
//! hold, mailboxes.

use super::Iax;
use super::draft::{Draft, Kind};
use crate::import::conf::Setting;
use crate::import::plan::text;
use crate::import::report::Verdict;

/// Where Asterisk's voicemail keeps its messages.
const VOICEMAIL: &str = "/var/spool/asterisk/voicemail";

impl Iax<'_> {
    /// `regexten`: numbers, each perhaps with a context of its own.
    pub(super) fn extensions(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        self.ledger.kept(place);
        let regcontext = self.defaults.regcontext.clone().unwrap_or_default();
        let taken: Vec<String> =
            self.plan.peers.iter().flat_map(|peer| &peer.extensions).cloned().collect();
        for extension in setting.value.split('&').map(str::trim) {
            let (number, context) = extension.split_once('@').unwrap_or((extension, &regcontext));
            if context != regcontext {
                let why = format!("{number} would be in [{context}]; all are in [{regcontext}]");
                self.ledger.dropped(place, why);
            } else if taken.iter().any(|other| other == number) {
                let why = format!("{number} has another peer already; ring both by a route");
                self.ledger.dropped(place, why);
            } else if !draft.extensions.iter().any(|other| other == number) {
                draft.extensions.push(number.into());
            }
        }
    }

    /// `callerid`, `fullname` and `cid_number`: what stands in the place of what it says.
    pub(super) fn caller_id(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        let value = setting.value.trim();
        if draft.kind == Kind::Peer {
            return self.ledger.dropped(place, "Asterisk tells it to the peer when it registers");
        }
        if value.is_empty() || value.eq_ignore_ascii_case("asreceived") {
            draft.caller_id.clear();
            return self.ledger.kept(place);
        }
        let (name, number) = match setting.key.as_str() {
            "fullname" => (Some(value), None),
            "cid_number" => (None, Some(value)),
            _ => split_caller_id(value),
        };
        for (key, value) in [("number", number), ("name", name)] {
            if let Some(value) = value {
                draft.caller_id.retain(|(other, _)| *other != key);
                draft.caller_id.push((key, text(value)));
            }
        }
        match (setting.key.as_str(), name, number) {
            ("callerid", None, _) => {
                self.ledger.changed(place, "the name stays what the peer says");
            }
            ("callerid", _, None) => {
                self.ledger.changed(place, "the number stays what the peer says");
            }
            _ => self.ledger.kept(place),
        }
    }

    /// The class that `mohsuggest` or `mohinterpret` names, if it is carried over.
    pub(super) fn music_class(&mut self, setting: &Setting) -> Option<String> {
        let place = &setting.place;
        let class = setting.value.as_str();
        if class.is_empty() || class.eq_ignore_ascii_case("passthrough") {
            self.ledger.kept(place);
            return None;
        }
        if !self.plan.music.iter().any(|music| music.name == class) {
            let why = format!("the music `{class}` is not carried over (musiconhold.conf)");
            self.ledger.dropped(place, why);
            return None;
        }
        if setting.key == "mohsuggest" {
            self.ledger.kept(place);
        } else {
            self.ledger.changed(place, "the music that peers who hold let others hear");
        }
        Some(class.into())
    }

    /// What `connectedline` says, in our words.
    pub(super) fn connected_line(&mut self, setting: &Setting) -> Option<String> {
        let value = setting.value.to_ascii_lowercase();
        let word = match value.as_str() {
            "send" | "receive" => value,
            _ if super::is_true(&value) => "yes".into(),
            _ if super::is_false(&value) => "no".into(),
            _ => {
                let what = "it is yes, no, send or receive";
                self.ledger.note(&setting.place, Verdict::Unknown, what);
                return None;
            }
        };
        self.ledger.kept(&setting.place);
        Some(word)
    }

    /// `mailbox`: `100`, `100@context`, or several.
    pub(super) fn mailbox(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        let first = setting.value.split(',').next().unwrap_or_default().trim();
        let (number, context) = first.split_once('@').unwrap_or((first, "default"));
        if [number, context].iter().any(|part| part.contains('/') || part.starts_with('.')) {
            return self.ledger.dropped(place, "it is no name of a mailbox");
        }
        draft.set("mailbox", text(&format!("{VOICEMAIL}/{context}/{number}")));
        let note = match setting.value.contains(',') {
            true => "the first of them, counted where Asterisk's voicemail keeps it",
            false => "counted where Asterisk's voicemail keeps it",
        };
        self.ledger.changed(place, note);
    }
}

/// `"Name" <number>`, `Name <number>`, `<number>`, or one of the two: a number has only digits and
/// what stands between them.
fn split_caller_id(value: &str) -> (Option<&str>, Option<&str>) {
    let some = |text: &'_ str| -> bool { !text.is_empty() };
    if let Some((name, rest)) = value.split_once('<') {
        let number = rest.split('>').next().unwrap_or_default().trim();
        let name = name.trim().trim_matches('"').trim();
        return (Some(name).filter(|name| some(name)), Some(number).filter(|number| some(number)));
    }
    let value = value.trim_matches('"').trim();
    let number = |character: char| character.is_ascii_digit() || "+*#()-. ".contains(character);
    match value.chars().all(number) {
        true => (None, Some(value)),
        false => (Some(value), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_of_callers_are_told_apart() {
        for (text, name, number) in [
            ("\"Front Desk\" <100>", Some("Front Desk"), Some("100")),
            ("Front Desk <100>", Some("Front Desk"), Some("100")),
            ("<100>", None, Some("100")),
            ("+1 212 555-0100", None, Some("+1 212 555-0100")),
            ("Front Desk", Some("Front Desk"), None),
        ] {
            assert_eq!(split_caller_id(text), (name, number), "{text}");
        }
    }
}
