//! What a key may hold, as its reader says it: for the schema, and for people.

use std::time::Duration;

use serde_json::{Value, json};

use super::duration;

/// What a single value may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    /// A text that a regular expression matches.
    Like(&'static str),
    Boolean,
    /// A whole number from the one to the other.
    Count(u64, u64),
    /// A duration from the one to the other.
    Time(Duration, Duration),
    /// An absolute path.
    Path,
    /// The path of a key file, which may lie in systemd's directory of credentials.
    KeyFile,
    Url,
    Words(Vec<String>),
    /// A table of header names, each with a list of values.
    Headers,
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    One(Shape),
    List(Shape),
    /// A table.
    Table,
    /// Tables under names of the operator's.
    Family,
    /// A list of tables.
    Tables,
}

impl Shape {
    pub(super) fn words(words: &[&str]) -> Self {
        Self::Words(words.iter().map(|&word| word.to_owned()).collect())
    }

    /// Says it to people.
    fn shown(&self) -> String {
        match self {
            Self::Text | Self::Like(_) => "text".to_owned(),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Count(low, high) => format!("{low} to {high}"),
            Self::Time(low, high) => {
                format!("duration, {} to {}", duration::show(*low), duration::show(*high))
            }
            Self::Path => "path".to_owned(),
            Self::KeyFile => "path of a file".to_owned(),
            Self::Url => "URL".to_owned(),
            Self::Words(words) => {
                words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
            }
            Self::Headers => "table of headers".to_owned(),
        }
    }

    fn schema(&self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Like(pattern) => json!({ "type": "string", "pattern": pattern }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Count(low, high) => {
                json!({ "type": "integer", "minimum": low, "maximum": high })
            }
            Self::Time(..) => json!({
                "type": "string",
                "minLength": 1,
                "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
            }),
            Self::Path => json!({ "type": "string", "pattern": "^/" }),
            Self::KeyFile => {
                json!({ "type": "string", "pattern": "^(/|%d/|\\$\\{CREDENTIALS_DIRECTORY\\}/)" })
            }
            Self::Url => json!({ "type": "string", "pattern": "^https?://" }),
            Self::Words(words) => json!({ "enum": words }),
            Self::Headers => json!({
                "type": "object",
                "additionalProperties": {
                    "type": "array",
                    "minItems": 1,
                    "items": { "type": "string", "minLength": 1 },
                },
            }),
        }
    }
}

impl Form {
    /// Says it to people; nothing of what only holds other keys.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::One(shape) => Some(shape.shown()),
            Self::List(shape) => Some(format!("list: {}", shape.shown())),
            Self::Tables => Some("list of tables".to_owned()),
            Self::Table | Self::Family => None,
        }
    }

    /// Returns its schema; `below` is that of the table it holds.
    pub(super) fn schema(&self, below: impl Fn() -> Value) -> Value {
        match self {
            Self::One(shape) => shape.schema(),
            Self::List(shape) => json!({ "type": "array", "items": shape.schema() }),
            Self::Table => below(),
            Self::Tables => json!({ "type": "array", "items": below() }),
            Self::Family => json!({
                "type": "object",
                "patternProperties": { "^[a-z0-9_-]+$": below() },
                "additionalProperties": false,
            }),
        }
    }
}
