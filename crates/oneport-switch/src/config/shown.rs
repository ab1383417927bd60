//! The file as it may be shown: without its secrets, and with the place of what a refusal names.

use std::sync::LazyLock;

use regex::Regex;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key whose value is secret, and that value in whichever way TOML writes it; where it is written wrongly, the
/// rest of its line.
static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // Text over several lines may end with quotes of its own, and has any behind a backslash.
    let long = r#""""(?:[^\\]|\\[\s\S])*?"{3,5}|'''[\s\S]*?'{3,5}"#;
    let value = format!(r#"{long}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\n]+"#);
    Regex::new(&format!(r#"(\b(?:secret|password|pin)\b["']?[ \t]*=[ \t]*)(?:{value})"#)).ok()
});

/// A text in which each value of a secret key is `***`; nothing where that cannot be told.
pub(crate) fn without_secrets(text: &str) -> Option<String> {
    let secrets = SECRETS.as_ref()?;
    Some(secrets.replace_all(text, r#"${1}"***""#).into_owned())
}

/// The line, from 1, at which that stands which a refusal names: `limit NAME`, `route NAME`, or a path of
/// keys with points between them, of which the last that is written counts. It is one of the file, whose text is `own`,
/// or of what is `shared`, which counts as if it stood below.
pub(crate) fn lines_of(own: &str, shared: &str, rule: &str) -> (Option<usize>, Option<usize>) {
    let both = format!("{own}\n{shared}");
    let begin = own.len() + 1;
    let line = |text: &str| Some(1 + text.matches('\n').count());
    match place_of(&both, rule) {
        Some(at) if at >= begin => (None, both.get(begin..at).and_then(line)),
        Some(at) => (both.get(..at).and_then(line), None),
        None => (None, None),
    }
}

/// The byte at which that stands.
fn place_of(text: &str, rule: &str) -> Option<usize> {
    let (file, _) = DeTable::parse_recoverable(text);
    let file = file.get_ref();
    match rule.split_once(' ') {
        Some(("limit", name)) => named(file, "limits", "name", name),
        // One without a name goes by its number.
        Some(("route", name)) => {
            named(file, "routes", "name", name).or_else(|| named(file, "routes", "number", name))
        }
        _ => key(file, rule),
    }
}

/// Where the key `by` of a table of the list `list` stands, of one in which it is `name`. Behind that of a limit
/// may be the number that it is about, where each has a limit of its own.
fn named(file: &DeTable<'_>, list: &str, by: &str, name: &str) -> Option<usize> {
    let DeValue::Array(tables) = file.get(list)?.get_ref() else { return None };
    let names = tables.iter().filter_map(|table| match table.get_ref() {
        DeValue::Table(table) => table.get(by),
        _ => None,
    });
    let is = |value: &Spanned<DeValue<'_>>, name: &str| value.get_ref().as_str() == Some(name);
    let alone = name.rsplit_once(" (").map(|(name, _)| name);
    let exact = names.clone().find(|own| is(own, name));
    let found = exact.or_else(|| names.clone().find(|own| alone.is_some_and(|name| is(own, name))));
    found.map(|own| own.span().start)
}

/// Where the last key of a path stands that is written. Names may have points in them.
fn key(table: &DeTable<'_>, path: &str) -> Option<usize> {
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    ends.rev().find_map(|end| {
        let (own, value) = table.get_key_value(path.get(..end)?)?;
        let below = match value.get_ref() {
            DeValue::Table(below) => path.get(end + 1..).and_then(|rest| key(below, rest)),
            _ => None,
        };
        Some(below.unwrap_or_else(|| own.span().start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown_however_it_is_written() {
        for written in [
            "secret = \"hush\"",
            "secret='hush'",
            "peers.ann.secret = \"hu\\\"hush\"",
            "\"secret\" = \"\"\"\nhush\nhush\"\"\"",
            "secret = '''hush'''",
            "ann = { secret = \"hush\", trunk = true }",
            "pin = \"hush\"",
            "password = \"hush\"",
            "secret = \"\"\"\\\"\"\"hush\"\"\"",
            "secret = \"hush",
            "secret = hush",
        ] {
            let shown = without_secrets(written).expect("it compiles");
            assert!(
                !shown.contains("hush") && shown.contains("= \"***\"")
                    || shown.contains("=\"***\""),
                "{shown}"
            );
        }
        let rest = "secret_file = \"/etc/x\"\nnumber = \"7\" # pin and secret\n";
        assert_eq!(without_secrets(rest).as_deref(), Some(rest));
    }

    #[test]
    fn what_a_refusal_names_is_found_where_it_is_written() {
        let text = "\
[server]
max_calls = 9

[peers.ann]
secret = \"x\"

[peers.\"a.b\"]
permit = []

[[limits]]
name = \"lines\"

[[limits]]
max_calls = 3
name = \"lines (all)\"

[[routes]]
name = \"a route\"

[[routes]]
number = \"1212*\"
";
        for (rule, line) in [
            ("server.max_calls", Some(2)),
            ("peers.ann.secret", Some(5)),
            ("peers.ann.permit", Some(4)),
            ("peers.ann", Some(4)),
            ("peers.a.b.permit", Some(8)),
            ("peers.carl.secret", Some(4)),
            ("limit lines", Some(11)),
            ("limit lines (1212)", Some(11)),
            ("limit lines (all)", Some(15)),
            ("route a route", Some(18)),
            ("route 1212*", Some(21)),
            ("limit none", None),
            ("guests", None),
            ("the most switches on the way", None),
        ] {
            assert_eq!(lines_of(text, "", rule), (line, None), "{rule}");
        }
        let wrong = "[peers.ann]\nsecret = \"x\"\nwrong";
        assert_eq!(lines_of(wrong, "", "peers.ann.secret"), (Some(2), None));
    }

    #[test]
    fn what_is_shared_is_found_there_and_by_more_of_its_path_than_the_file_has() {
        let own = "[peers.ann]\nsecret = \"x\"\n[[limits]]\nname = \"lines\"";
        let shared = "\n[peers.bob]\nsecret = \"y\"\n[[limits]]\nname = \"trunk\"\n";
        for (rule, lines) in [
            ("peers.ann.secret", (Some(2), None)),
            ("limit lines", (Some(4), None)),
            ("peers.bob.secret", (None, Some(3))),
            ("peers.bob.permit", (None, Some(2))),
            ("limit trunk (12)", (None, Some(5))),
            ("limit none", (None, None)),
        ] {
            assert_eq!(lines_of(own, shared, rule), lines, "{rule}");
        }
    }
}
