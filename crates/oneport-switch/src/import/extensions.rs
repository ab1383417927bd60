//! `extensions.conf`: contexts, what they include, and the steps of their extensions.
//!
//! It knows what a step says, not what it does.

use std::collections::BTreeMap;

use super::conf::{Conf, Place, Section, Setting};
use super::expression::{self, Called, Names};
use super::report::{Ledger, without_secrets};
use crate::routing::Hours;

/// One step of an extension: an application and its arguments, not expanded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// In lower case.
    pub(super) application: String,
    pub(super) arguments: Vec<String>,
    pub(super) place: Place,
}

/// A number or pattern, and what is done for it, by priority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Extension {
    pub(super) pattern: String,
    pub(super) steps: BTreeMap<u32, Step>,
    pub(super) labels: BTreeMap<String, u32>,
}

/// A context that is searched behind another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Include {
    pub(super) name: String,
    /// At these hours only, in our words.
    pub(super) hours: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Context {
    pub(super) name: String,
    pub(super) extensions: Vec<Extension>,
    pub(super) includes: Vec<Include>,
}

/// All of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Dialplan {
    /// By name in lower case.
    pub(super) globals: Names,
    pub(super) global_settings: Vec<Setting>,
    pub(super) contexts: Vec<Context>,
}

impl Dialplan {
    pub(super) fn context(&self, name: &str) -> Option<&Context> {
        self.contexts.iter().find(|context| context.name == name)
    }

    /// A context and those that it includes, in the order in which Asterisk searches them.
    pub(super) fn searched<'a>(&'a self, name: &'a str, found: &mut Vec<&'a str>) {
        if found.contains(&name) {
            return;
        }
        found.push(name);
        for included in self.context(name).iter().flat_map(|context| &context.includes) {
            self.searched(&included.name, found);
        }
    }

    /// The hours at which a context is included, if it is at some hours only.
    pub(super) fn hours_of(&self, name: &str) -> Option<&str> {
        let includes = self.contexts.iter().flat_map(|context| &context.includes);
        let mut hours = includes.filter(|include| include.name == name).map(|one| &one.hours);
        match (hours.next(), hours.next()) {
            (Some(only), None) => only.as_deref(),
            _ => None,
        }
    }

    /// Reads the file's sections.
    pub(super) fn read(conf: &Conf, ledger: &mut Ledger) -> Self {
        ledger.remark(conf);
        let mut dialplan = Self::default();
        for section in &conf.sections {
            for setting in &section.settings {
                let arrow = match setting.key.as_str() {
                    "exten" | "same" | "include" | "switch" | "ignorepat" => " => ",
                    _ => "=",
                };
                let text = format!("{}{arrow}{}", setting.name, without_secrets(&setting.value));
                ledger.expect(&setting.place, text);
            }
            if section.name.eq_ignore_ascii_case("general") {
                for setting in &section.settings {
                    ledger.dropped(&setting.place, "the file is read once, and never written");
                }
            } else if section.name.eq_ignore_ascii_case("globals") {
                for setting in &section.settings {
                    dialplan.globals.insert(setting.key.clone(), setting.value.clone());
                    dialplan.global_settings.push(setting.clone());
                }
            } else if !section.template {
                dialplan.read_context(section, ledger);
            }
        }
        dialplan
    }

    fn read_context(&mut self, section: &Section, ledger: &mut Ledger) {
        let index = self.contexts.iter().position(|context| context.name == section.name);
        let index = index.unwrap_or_else(|| {
            let name = section.name.clone();
            self.contexts.push(Context { name, ..Context::default() });
            self.contexts.len() - 1
        });
        let mut last: Option<(String, u32)> = None;
        for setting in &section.settings {
            let place = &setting.place;
            match setting.key.as_str() {
                "exten" => {
                    let (pattern, rest) = setting.value.split_once(',').unwrap_or_default();
                    let none = Names::new();
                    let names = [&none, &self.globals];
                    let pattern = match expression::expand(pattern.trim(), &Called::None, &names) {
                        Ok(pattern) => pattern,
                        Err(why) => {
                            ledger.dropped(place, why);
                            last = None;
                            continue;
                        }
                    };
                    let before = last.take().filter(|(known, _)| *known == pattern);
                    let before = before.map_or(0, |(_, priority)| priority);
                    last = self.contexts[index].step(&pattern, before, rest, place, ledger);
                }
                "same" => match last.take() {
                    Some((pattern, before)) => {
                        let value = &setting.value;
                        last = self.contexts[index].step(&pattern, before, value, place, ledger);
                    }
                    None => ledger.dropped(place, "no extension that was carried over is above it"),
                },
                "include" => {
                    let name = setting.value.split([',', '|']).next().unwrap_or_default();
                    let name = name.trim().to_string();
                    match read_hours(&setting.value) {
                        Ok(hours) => {
                            self.contexts[index].includes.push(Include { name, hours });
                            ledger.kept(place);
                        }
                        Err(why) => ledger.dropped(place, why),
                    }
                }
                "switch" | "lswitch" | "eswitch" => {
                    ledger.dropped(place, "the dial plans of others are not asked");
                }
                "ignorepat" => ledger.dropped(place, "there is no dial tone"),
                "autohints" => ledger.dropped(place, "there are no hints"),
                _ => {
                    let what = "Asterisk does not know it, and passes over it";
                    ledger.note(place, super::report::Verdict::Unknown, what);
                }
            }
        }
    }
}

impl Context {
    /// Reads `priority(label),application(arguments)` of `pattern`; the priority before was
    /// `before`. What it was, for the next one.
    fn step(
        &mut self,
        pattern: &str,
        before: u32,
        text: &str,
        place: &Place,
        ledger: &mut Ledger,
    ) -> Option<(String, u32)> {
        let Some((priority, application)) = text.split_once(',') else {
            ledger.dropped(place, "it has no application");
            return Some((pattern.into(), before));
        };
        let (priority, label) = match priority.split_once('(') {
            Some((priority, label)) => (priority, label.trim_end().strip_suffix(')')),
            None => (priority, None),
        };
        let priority = priority.trim();
        let number = match priority.split_once('+') {
            Some(("n", more)) => more.trim().parse().ok().map(|more: u32| before + more),
            Some(("s", more)) => more.trim().parse().ok().map(|more: u32| before + more),
            _ if priority.eq_ignore_ascii_case("n") => Some(before + 1),
            _ if priority.eq_ignore_ascii_case("s") => Some(before),
            _ => priority.parse().ok(),
        };
        let Some(number) = number else {
            let why = match priority.eq_ignore_ascii_case("hint") {
                true => "there are no hints",
                false => "its priority is no number",
            };
            ledger.dropped(place, why);
            return Some((pattern.into(), before));
        };
        let (pattern, caller) = pattern.split_once('/').unwrap_or((pattern, ""));
        if !caller.is_empty() {
            ledger.dropped(place, "routes do not look at the caller's number");
            return None;
        }
        let (application, arguments) = read_application(application.trim());
        let step = Step { application, arguments, place: place.clone() };
        let index = self.extensions.iter().position(|known| known.pattern == pattern);
        let index = index.unwrap_or_else(|| {
            let (steps, labels) = (BTreeMap::new(), BTreeMap::new());
            self.extensions.push(Extension { pattern: pattern.into(), steps, labels });
            self.extensions.len() - 1
        });
        let extension = &mut self.extensions[index];
        if let Some(label) = label {
            extension.labels.insert(label.into(), number);
        }
        match extension.steps.get(&number) {
            Some(first) => {
                let why = format!("{} has this priority already", first.place);
                ledger.dropped(place, why);
            }
            None => {
                extension.steps.insert(number, step);
            }
        }
        Some((pattern.into(), number))
    }
}

/// The hours behind an included context, `context,9:00-17:00,mon-fri,*,*`, in our words.
fn read_hours(include: &str) -> Result<Option<String>, &'static str> {
    let parts: Vec<&str> = include.split([',', '|']).skip(1).map(str::trim).collect();
    let part = |index: usize| parts.get(index).copied().filter(|part| !part.is_empty());
    let any = |part: Option<&str>| part.is_none_or(|part| part == "*");
    if !any(part(2)) || !any(part(3)) {
        return Err("days of the month are not told to routes");
    }
    let mut words = Vec::new();
    if !any(part(1)) {
        words.extend(part(1).map(|days| days.replace('&', ",")));
    }
    if !any(part(0)) {
        words.extend(part(0).map(Into::into));
    }
    match words.join(" ") {
        hours if hours.is_empty() => Ok(None),
        hours if Hours::parse(&hours).is_some() => Ok(Some(hours)),
        _ => Err("its hours cannot be read"),
    }
}

/// `Name(a,b)`, or as of old `Name,a,b`; and of very old `a|b`.
fn read_application(text: &str) -> (String, Vec<String>) {
    let end = text.find(['(', ',']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let inside = match rest.strip_prefix('(') {
        Some(rest) => rest.rsplit_once(')').map_or(rest, |(inside, _)| inside),
        None => rest.strip_prefix(',').unwrap_or(""),
    };
    let arguments = expression::split(inside, ',');
    let arguments = match arguments.as_slice() {
        [only] if only.contains('|') => expression::split(only, '|'),
        _ => arguments,
    };
    (name.trim().to_ascii_lowercase(), arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::conf::Files;

    fn extension<'a>(dialplan: &'a Dialplan, pattern: &str) -> &'a Extension {
        let mut extensions = dialplan.contexts[0].extensions.iter();
        extensions.find(|extension| extension.pattern == pattern).unwrap()
    }

    fn read(text: &str) -> Dialplan {
        let files = Files::from([("extensions.conf".into(), text.into())]);
        Dialplan::read(&Conf::read(&files, "extensions.conf"), &mut Ledger::default())
    }

    #[test]
    fn priorities_and_labels_are_counted() {
        let dialplan = read(
            "[a]\nexten => 1,1,Answer\nexten => 1,n(again),Dial(IAX2/x&IAX2/y,20,m(a,b))\n\
             same => n+2,Hangup(17)\nexten => _2X,3,Wait,5\nexten => 2,1,Dial(IAX2/x|20|r)\n",
        );
        let first = extension(&dialplan, "1");
        let priorities: Vec<u32> = first.steps.keys().copied().collect();
        assert_eq!(priorities, [1, 2, 4]);
        assert_eq!(first.labels["again"], 2);
        assert_eq!(first.steps[&2].arguments, ["IAX2/x&IAX2/y", "20", "m(a,b)"]);
        let old = extension(&dialplan, "_2X");
        assert_eq!(old.steps[&3].arguments, ["5"]);
        let older = extension(&dialplan, "2");
        assert_eq!(older.steps[&1].arguments, ["IAX2/x", "20", "r"]);
    }

    #[test]
    fn included_contexts_are_searched_where_they_stand_and_once() {
        let dialplan =
            read("[a]\ninclude => b\ninclude => c\n[b]\ninclude => d\n[c]\ninclude => a\n[d]\n");
        let mut found = Vec::new();
        dialplan.searched("a", &mut found);
        assert_eq!(found, ["a", "b", "d", "c"]);
    }
}
