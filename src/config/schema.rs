//! The schema of the file, for editors.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::described::{Key, keys};

/// Keys that a section must have.
pub(super) const REQUIRED: [(&str, &[&str]); 7] = [
    ("", &["state_dir", "account", "origin"]),
    ("account.*", &["endpoint"]),
    ("account.*.verdict", &["code", "means"]),
    ("hook.*", &["provider", "secret_files"]),
    ("origin.*", &["domains"]),
    ("origin.*.query", &["paths"]),
    ("origin.*.rewrite", &["from", "to"]),
];

/// Lists that must hold something.
const FILLED: [&str; 4] =
    ["hook.*.secret_files", "origin.*.domains", "origin.*.query.paths", "origin.*.rewrite.to"];

/// What the keys of a section demand of each other.
fn together(section: &str) -> Option<Value> {
    let needs = |opens: &str, keys: &[&str]| {
        json!({
            "if": { "properties": { "opens": { "const": opens } }, "required": ["opens"] },
            "then": { "required": keys },
        })
    };
    Some(match section {
        "account.*" => json!({
            "dependentRequired": {
                "access_key_id_file": ["access_key_secret_file"],
                "access_key_secret_file": ["access_key_id_file"],
                "security_token_file": ["access_key_id_file", "access_key_secret_file"],
            },
        }),
        "hook.*" => json!({
            "if": { "properties": { "provider": { "const": "generic" } }, "required": ["provider"] },
            "then": { "required": ["header"] },
        }),
        "origin.*" => json!({
            "oneOf": [{ "required": ["root"] }, { "required": ["repository"] }],
            "dependentRequired": { "fetch_from": ["repository"] },
        }),
        "origin.*.gate" => json!({
            "allOf": [
                needs("delay", &["delay"]),
                needs("command", &["command"]),
                needs("version", &["version", "servers"]),
                needs("content", &["servers"]),
            ],
        }),
        _ => return None,
    })
}

/// Returns the schema of the configuration (JSON Schema, draft 2020-12).
#[must_use]
pub fn schema() -> Value {
    let mut schema = section("", &keys());
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "The configuration of refreshd".into();
    for family in ["account", "origin"] {
        schema["properties"][family]["minProperties"] = 1.into();
    }
    schema
}

fn section(pattern: &str, keys: &BTreeMap<String, Key>) -> Value {
    let mut properties = Map::new();
    for (name, key) in keys {
        let (front, own) = name.rsplit_once('.').unwrap_or(("", name));
        if front != pattern {
            continue;
        }
        let below = || {
            let starred = format!("{name}.*");
            let is_family = keys.keys().any(|key| key.starts_with(&format!("{starred}.")));
            section(if is_family { &starred } else { name }, keys)
        };
        let mut schema = key.form.schema(below);
        if !key.prose.is_empty() {
            schema["description"] = key.prose.as_str().into();
        }
        if FILLED.contains(&name.as_str()) {
            schema["minItems"] = 1.into();
        }
        if let Some(value) = key.shown.as_deref().and_then(value_of) {
            if key.is_default {
                schema["default"] = value;
            } else {
                schema["examples"] = json!([value]);
            }
        }
        properties.insert(own.to_owned(), schema);
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if let Some((_, keys)) = REQUIRED.iter().find(|(section, _)| *section == pattern) {
        schema["required"] = json!(keys);
    }
    if let (Some(schema), Some(Value::Object(more))) = (schema.as_object_mut(), together(pattern)) {
        schema.extend(more);
    }
    schema
}

/// Reads a value as it is written in TOML.
fn value_of(text: &str) -> Option<Value> {
    let mut table: Map<String, Value> = toml::from_str(&format!("value = {text}")).ok()?;
    table.remove("value")
}
