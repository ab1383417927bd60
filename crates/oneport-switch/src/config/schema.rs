//! What the file may hold, as a JSON Schema: made of the types that read it, their doc comments,
//! defaults, units and ranges. docs/configuration.md is made of it in turn.

use oneport_wire::{Format, MediaKind};
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Value, json};

use super::file::File;
use crate::api::Role;

/// The words that a key, or each entry of it, may be.
#[derive(Clone, Copy)]
pub(super) struct Words<'a>(pub(super) &'a [&'a str]);

impl Transform for Words<'_> {
    fn transform(&mut self, schema: &mut Schema) {
        let words: Vec<Value> = self.0.iter().copied().map(Value::from).collect();
        match schema.get_mut("items").and_then(Value::as_object_mut) {
            Some(items) => drop(items.insert("enum".into(), words.into())),
            None => drop(schema.insert("enum".into(), words.into())),
        }
    }
}

/// Codecs of speech.
pub(super) fn audio_words(schema: &mut Schema) {
    formats(schema, |format| format.kind() != MediaKind::Video);
}

/// Codecs of video.
pub(super) fn video_words(schema: &mut Schema) {
    formats(schema, |format| format.kind() == MediaKind::Video);
}

fn formats(schema: &mut Schema, wanted: impl Fn(&Format) -> bool) {
    let names: Vec<&str> = Format::all().filter(wanted).map(Format::name).collect();
    Words(&names).transform(schema);
}

/// What holders of a token may do.
pub(super) fn role_words(schema: &mut Schema) {
    Words(&Role::ALL.map(Role::name)).transform(schema);
}

/// TOML has no `null`: a key that may be missing is just not required.
fn without_null(schema: &mut Schema) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    let types = schema.get_mut("type").and_then(Value::as_array_mut);
    if let Some(types) = types {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                if schema.get(&key).is_none() {
                    schema.insert(key, value);
                }
            }
        }
    }
}

/// The JSON Schema (draft 2020-12) of the configuration file: editors complete and check keys by it.
///
/// Beside the words of the standard a key may have `x-default` (its default in words), `x-unit`, and
/// `x-asterisk` (Asterisk's option and default).
#[must_use]
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = settings
        .with_transform(RecursiveTransform(without_null))
        .into_generator()
        .into_root_schema_for::<File>();
    let mut schema = schema.to_value();
    schema["title"] = json!("oneport.toml");
    schema
}
