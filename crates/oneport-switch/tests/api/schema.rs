//! Whether a value is as a schema says: types, required members, what lists hold, enumerations. That is
//! as much of JSON Schema as the description uses; a keyword that is not known here is a failure, so
//! that nothing is passed over.

use serde_json::Value;

/// Keywords that say nothing about whether a value fits.
const SILENT: [&str; 8] =
    ["description", "format", "example", "default", "title", "$schema", "minimum", "maximum"];

/// What is wrong with `value`; nothing, if it fits `schema` of `document`.
pub(crate) fn mistakes(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(document, schema, value, "", &mut found);
    found
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(schema) = schema.as_object() else {
        return found.push(format!("{at}: the schema is {schema}"));
    };
    for (keyword, content) in schema {
        match keyword.as_str() {
            "$ref" => {
                let name = content.as_str().expect("a name");
                let target = document.pointer(name.trim_start_matches('#'));
                let target = target.unwrap_or_else(|| panic!("{name} is not in the document"));
                check(document, target, value, at, found);
            }
            "type" => {
                let types: Vec<&str> = match content {
                    Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                if !types.iter().any(|name| is_of_type(value, name)) {
                    found.push(format!("{at}: {value} is none of {types:?}"));
                }
            }
            "enum" if content.as_array().is_some_and(|all| !all.contains(value)) => {
                found.push(format!("{at}: {value} is none of {content}"));
            }
            "required" if value.is_object() => {
                for name in content.as_array().expect("a list").iter().filter_map(Value::as_str) {
                    if value.get(name).is_none() {
                        found.push(format!("{at}: {name} is missing in {value}"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in content.as_object().expect("an object") {
                    if let Some(value) = value.get(name) {
                        check(document, schema, value, &format!("{at}.{name}"), found);
                    }
                }
            }
            "items" => {
                for (n, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, content, value, &format!("{at}[{n}]"), found);
                }
            }
            "oneOf" => {
                let all = content.as_array().expect("a list");
                let fits = |schema: &&Value| mistakes(document, schema, value).is_empty();
                let count = all.iter().filter(fits).count();
                if count != 1 {
                    found.push(format!("{at}: {value} fits {count} of {content}"));
                }
            }
            "allOf" => {
                for schema in content.as_array().expect("a list") {
                    check(document, schema, value, at, found);
                }
            }
            "enum" | "required" => {}
            silent if SILENT.contains(&silent) => {}
            unknown => found.push(format!("{at}: the keyword {unknown} is not known")),
        }
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let document = serde_json::json!({ "a": { "type": "string", "enum": ["x"] } });
    let schema = serde_json::json!({
        "type": "object",
        "required": ["name", "calls"],
        "properties": {
            "name": { "$ref": "#/a" },
            "calls": { "type": "array", "items": { "type": ["integer", "null"] } },
        },
    });
    let check = |value: Value| mistakes(&document, &schema, &value);
    assert_eq!(check(serde_json::json!({ "name": "x", "calls": [1, null] })), [""; 0]);
    let wrong = check(serde_json::json!({ "name": "y", "calls": [1.5] }));
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert_eq!(check(serde_json::json!({ "name": "x" })).len(), 1);
    assert_eq!(check(serde_json::json!([])).len(), 1);
}
