//! docs/configuration.md against the types that read the file. Its tables of keys are made of their
//! schema; `cargo xtask docs` writes them.

use std::fmt::Write as _;
use std::path::Path;

use oneport_switch::Config;
use serde_json::Value;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");

/// Begins a table of keys, with the name of the section.
const BEGIN: &str = "<!-- keys of ";
const END: &str = "<!-- end of keys -->";

/// The table of keys `section` (`peers.NAME`) in the schema.
fn table<'a>(schema: &'a Value, section: &str) -> &'a Value {
    section.split('.').fold(schema, |table, name| {
        let within = match name {
            "NAME" => &table["additionalProperties"],
            name => &table["properties"][name],
        };
        match within["items"]["properties"].is_object() {
            true => &within["items"],
            false => within,
        }
    })
}

/// All sections that have keys, in the order of their names.
fn sections(schema: &Value) -> Vec<String> {
    fn walk(table: &Value, name: &str, found: &mut Vec<String>) {
        for (key, value) in table["properties"].as_object().into_iter().flatten() {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            let (name, inner) = match value["additionalProperties"].is_object() {
                true => (format!("{name}.NAME"), &value["additionalProperties"]),
                false if value["items"]["properties"].is_object() => (name, &value["items"]),
                false => (name, value),
            };
            if inner["properties"].is_object() {
                found.push(name.clone());
                walk(inner, &name, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(schema, "", &mut found);
    found
}

/// The head of a section as it stands in a file, and what must be in it beside one key.
fn head(section: &str) -> String {
    let name = section.replace("NAME", "x");
    match section {
        "peers.NAME" => format!("[{name}]\nsecret = \"s\"\naddress = \"192.0.2.1\"\n"),
        "peers.NAME.caller_id" => format!("[peers.x]\nsecret = \"s\"\n[{name}]\n"),
        "peers.NAME.provision" => {
            format!("[peers.x]\nsecret = \"s\"\n[{name}]\nservice_ident = \"000fd3001234\"\n")
        }
        "routes" => "[[routes]]\nnumber = \"1\"\nto = [\"builtin:echo\"]\n".into(),
        "limits" => "[[limits]]\nname = \"l\"\nmax_calls = 9\npeers = [\"p\"]\n".into(),
        "registrations" => "[[registrations]]\nto = \"192.0.2.1\"\nusername = \"u\"\n".into(),
        "carriers.NAME" => format!("[{name}]\nhost = \"192.0.2.1\"\n"),
        "carriers.NAME.caller_id" => {
            format!("[carriers.x]\nhost = \"192.0.2.1\"\n[{name}]\n")
        }
        "cluster" => {
            "[store]\nurl = \"postgres://oneport@db/oneport\"\n[cluster]\nname = \"berlin\"\n\
                      secret = \"s\"\naddress = \"192.0.2.1\"\n"
                .into()
        }
        "realtime" => "[realtime]\nurl = \"postgres://asterisk@db/asterisk\"\n".into(),
        "hep" => "[hep]\nto = \"192.0.2.1\"\n".into(),
        "traces" => "[traces]\nto = \"http://192.0.2.1:4318\"\n".into(),
        "api.tokens.NAME" => format!("[{name}]\nsecret = \"0123456789abcdef\"\n"),
        _ => format!("[{name}]\n"),
    }
}

/// A file with one key more than a section needs.
fn file_with(section: &str, key: &str, value: &Value) -> String {
    let mut head: String = head(section)
        .lines()
        .filter(|line| line.split(" = ").next() != Some(key))
        .map(|line| format!("{line}\n"))
        .collect();
    if section == "limits" {
        head.insert_str(0, "[peers.p]\nsecret = \"s\"\n");
    }
    // JSON's texts, numbers and lists are TOML's too.
    format!("{head}{key} = {value}\n")
}

/// The keys that the parser knows, in the order in which they are declared.
fn declared(section: &str) -> Vec<String> {
    let name = section.replace("NAME", "x");
    let listed = ["routes", "limits", "registrations"].contains(&section);
    let head = if listed { format!("[[{name}]]") } else { format!("[{name}]") };
    let text = format!("{head}\nno_such_key = 1");
    let error = Config::parse(Path::new("oneport.toml"), &text).expect_err("no such key");
    error.message.split('`').skip(3).step_by(2).map(Into::into).collect()
}

/// What a key may be, in a few words.
fn values(name: &str, key: &Value) -> String {
    let unit = key["x-unit"].as_str().map(Into::into).unwrap_or_else(|| {
        let units = [("_seconds", "s"), ("_ms", "ms"), ("_days", "days"), ("_percent", "%")];
        let unit = units.iter().find(|(ending, _)| name.ends_with(ending));
        unit.map_or_else(String::new, |(_, unit)| (*unit).to_string())
    });
    let unit = if unit.is_empty() { unit } else { format!(" ({unit})") };
    let words = |key: &Value| {
        let words = key["enum"].as_array()?;
        let words: Vec<String> =
            words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        Some(words.join(", "))
    };
    let range = |key: &Value| match (key["minimum"].as_u64(), key["maximum"].as_u64()) {
        (Some(least), Some(most)) => format!("{least} to {most}{unit}"),
        (Some(least @ 1..), None) => format!("{least} or more{unit}"),
        _ => format!("number{unit}"),
    };
    match key["type"].as_str() {
        Some("boolean") => "`true`, `false`".into(),
        Some("integer") => match key["anyOf"].as_array() {
            Some(choices) => {
                format!("{}, or 0", choices.iter().skip(1).map(range).collect::<String>())
            }
            None => range(key),
        },
        Some("array") => match words(&key["items"]) {
            Some(words) => format!("list of {words}"),
            None => "list".into(),
        },
        Some("object") => "table".into(),
        _ => words(key).unwrap_or_else(|| "text".into()),
    }
}

fn default(table: &Value, name: &str, key: &Value) -> String {
    let required = table["required"].as_array().into_iter().flatten();
    match (&key["x-default"], &key["default"]) {
        (Value::String(words), _) => words.clone(),
        (_, Value::Null) if required.into_iter().any(|required| required == name) => {
            "– (needed)".into()
        }
        (_, Value::Null) if key["type"] == "array" => "`[]`".into(),
        (_, Value::Null) => "none".into(),
        (_, Value::Number(number)) => number.to_string(),
        (_, Value::Array(all)) => {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            format!("`[{}]`", all.join(", "))
        }
        (_, value) => format!("`{value}`"),
    }
}

/// The table of a section as it stands in the document.
fn written(schema: &Value, section: &str) -> String {
    let table = table(schema, section);
    let keys = table["properties"].as_object().unwrap_or_else(|| panic!("no keys of [{section}]"));
    let order = declared(section);
    assert_eq!(order.len(), keys.len(), "[{section}]: schema and parser differ");
    let asterisk = keys.values().any(|key| !key["x-asterisk"].is_null());
    let (head, line) = if asterisk { (" Asterisk |", "---|") } else { ("", "") };
    let mut text = format!("| Key | Value | Default |{head} Meaning |\n|---|---|---|{line}---|\n");
    for name in &order {
        let key = keys.get(name).unwrap_or_else(|| panic!("[{section}] has no `{name}`"));
        let meaning = key["description"].as_str().unwrap_or_default().replace('\n', " ");
        assert!(!meaning.is_empty(), "[{section}] {name} has no doc comment");
        let asterisk = match (asterisk, key["x-asterisk"].as_str()) {
            (true, Some(words)) => format!(" {words} |"),
            (true, None) => " – |".into(),
            (false, _) => String::new(),
        };
        let _ = writeln!(
            text,
            "| `{name}` | {} | {} |{asterisk} {} |",
            values(name, key),
            default(table, name, key),
            meaning.replace('|', "\\|"),
        );
    }
    text
}

/// The document with its tables made anew.
fn renewed(schema: &Value, document: &str) -> String {
    let mut parts = document.split(BEGIN);
    let mut text = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (section, rest) = part.split_once(" -->").expect("a section's name");
        let (_, rest) = rest.split_once(END).unwrap_or_else(|| panic!("no end of [{section}]"));
        let table = written(schema, section);
        let _ = write!(text, "{BEGIN}{section} -->\n{table}{END}{rest}");
    }
    text
}

#[test]
fn the_tables_of_the_reference_are_made_of_the_types() {
    let document = std::fs::read_to_string(PATH).expect("the document");
    let now = renewed(&oneport_switch::config_schema(), &document);
    if std::env::var_os("ONEPORT_WRITE_DOCS").is_some() {
        std::fs::write(PATH, &now).expect("writable");
    } else {
        assert!(document == now, "docs/configuration.md is old: cargo xtask docs");
    }
}

#[test]
fn each_section_stands_in_the_reference_once() {
    let document = std::fs::read_to_string(PATH).expect("the document");
    for section in sections(&oneport_switch::config_schema()) {
        let count = document.matches(&format!("{BEGIN}{section} -->")).count();
        assert_eq!(count, 1, "[{section}]");
    }
}

#[test]
fn the_example_has_every_key_and_no_other() {
    fn walk(at: &str, schema: &Value, example: &Value, missing: &mut Vec<String>) {
        let Some(keys) = schema["properties"].as_object() else { return };
        for name in example.as_object().into_iter().flatten().map(|(name, _)| name) {
            assert!(keys.contains_key(name), "{at}.{name} is no key");
        }
        for (name, key) in keys {
            let at = format!("{at}.{name}");
            match (&example[name], &key["additionalProperties"]) {
                (Value::Null, _) => missing.push(at),
                (Value::Object(tables), inner @ Value::Object(_)) => {
                    every(&at, inner, tables.values(), missing);
                }
                (Value::Array(tables), _) => every(&at, &key["items"], tables.iter(), missing),
                (table, _) => walk(&at, key, table, missing),
            }
        }
    }
    /// Of several tables each key must be in one.
    fn every<'a>(
        at: &str,
        schema: &Value,
        tables: impl Iterator<Item = &'a Value>,
        missing: &mut Vec<String>,
    ) {
        let lists = tables.map(|table| {
            let mut missing = Vec::new();
            walk(at, schema, table, &mut missing);
            missing
        });
        let lists: Vec<Vec<String>> = lists.collect();
        let nowhere = |key: &&String| lists.iter().all(|list| list.contains(*key));
        missing.extend(lists.first().into_iter().flatten().filter(nowhere).cloned());
    }
    let document = std::fs::read_to_string(PATH).expect("the document");
    let (_, rest) = document.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let example: Value = toml::from_str(example).expect("TOML");
    let mut missing = Vec::new();
    walk("", &oneport_switch::config_schema(), &example, &mut missing);
    // Maps of JSON keep the order of the file where another crate of a build wants that.
    missing.sort();
    let places = [
        "api.tokens",
        "carriers",
        "cluster",
        "hep",
        "realtime",
        "registrations",
        "store",
        "traces",
    ]
    .map(|table| ["secret_env", "secret_file"].map(|key| format!(".{table}.{key}")));
    assert_eq!(missing, places.concat());
}

/// Each key of each section that has `word`.
fn keys_with(word: &str) -> Vec<(String, String, Value)> {
    let schema = oneport_switch::config_schema();
    let mut found = Vec::new();
    for section in sections(&schema) {
        for (name, key) in table(&schema, &section)["properties"].as_object().expect("keys") {
            if !key[word].is_null() || !key["items"][word].is_null() {
                found.push((section.clone(), name.clone(), key.clone()));
            }
        }
    }
    found
}

#[test]
fn a_key_with_its_default_changes_nothing() {
    let parse = |text: &str| {
        let config = Config::parse(Path::new("oneport.toml"), text);
        format!("{:?}", config.unwrap_or_else(|error| panic!("{text}{error}")))
    };
    let keys = keys_with("default");
    assert!(keys.len() > 60, "only {} keys have a default", keys.len());
    for (section, name, key) in keys {
        if ["object", "array"].contains(&key["type"].as_str().unwrap_or_default())
            && key["default"].to_string().len() == 2
        {
            continue;
        }
        // A folder of music must be there; an address that is chosen must be free.
        if section == "music.NAME" || (section == "api" && name == "listen") {
            continue;
        }
        let with = file_with(&section, &name, &key["default"]);
        let last = with.lines().last().unwrap_or_default().to_string();
        let without = with.replace(&format!("{last}\n"), "");
        assert_eq!(parse(&with), parse(&without), "[{section}] {last}");
    }
}

#[test]
fn what_is_outside_of_a_range_is_refused_and_its_ends_are_taken() {
    let parse = |text: &str| Config::parse(Path::new("oneport.toml"), text);
    let mut seen = 0;
    for (section, name, key) in keys_with("type") {
        let range = key["anyOf"].as_array().and_then(|choices| choices.last()).unwrap_or(&key);
        let Some(least) = range["minimum"].as_u64() else { continue };
        let most = range["maximum"].as_u64();
        let zero = !key["anyOf"].is_null();
        let at_key = |text: &str| match parse(text) {
            Ok(_) => false,
            Err(error) => error.line == text.lines().count(),
        };
        for end in [Some(least), most].into_iter().flatten() {
            // It may be too much or too little for another key.
            let text = file_with(&section, &name, &end.into());
            let range = |help: &str| most.is_some_and(|most| help.contains(&format!("to {most}")));
            if let Err(error) = parse(&text) {
                let help = error.help.as_deref().unwrap_or_default();
                assert!(!range(help), "[{section}] {name} = {end}: {error}");
            }
        }
        let below = least.checked_sub(1).filter(|below| !(zero && *below == 0));
        for outside in [below, most.map(|most| most + 1)].into_iter().flatten() {
            let text = file_with(&section, &name, &outside.into());
            assert!(at_key(&text), "[{section}] {name} = {outside} is taken");
            seen += 1;
        }
        if zero {
            let text = file_with(&section, &name, &0.into());
            assert!(parse(&text).is_ok(), "[{section}] {name} = 0 is refused");
        }
    }
    assert!(seen > 50, "only {seen} ends of ranges were tried");
}

#[test]
fn the_words_of_a_key_are_taken_and_others_are_not() {
    let keys = keys_with("enum");
    assert!(keys.len() > 12, "only {} keys have words", keys.len());
    for (section, name, key) in keys {
        let listed = key["type"] == "array";
        let words = if listed { &key["items"]["enum"] } else { &key["enum"] };
        let mut words: Vec<&str> =
            words.as_array().expect("words").iter().filter_map(Value::as_str).collect();
        words.push("nonsense");
        for word in words {
            let value = if listed { Value::from(vec![word]) } else { word.into() };
            let text = file_with(&section, &name, &value);
            let unknown = match Config::parse(Path::new("oneport.toml"), &text) {
                Ok(_) => false,
                Err(error) => error.message.contains("is no "),
            };
            assert_eq!(unknown, word == "nonsense", "[{section}] {name} = {value}");
        }
    }
}
