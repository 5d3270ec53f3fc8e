//! The value of every key, and where each comes from.

use std::path::Path;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::described::keys;
use super::problem::line_and_column;
use super::read;
use super::shape::Form;

/// Keys that something of the environment decides, where they aren't written.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("control_socket", "$RUNTIME_DIRECTORY, else `state_dir`"),
    ("hooks.socket", "beside the control socket"),
    ("account.*.credentials.profile", "$ALIBABA_CLOUD_PROFILE"),
    ("account.*.credentials.role_name", "$ALIBABA_CLOUD_ECS_METADATA"),
    ("account.*.credentials.imds_v1", "$ALIBABA_CLOUD_IMDSV1_DISABLED"),
    ("account.*.credentials.uri", "$ALIBABA_CLOUD_CREDENTIALS_URI"),
    ("account.*.credentials.role_session_name", "$ALIBABA_CLOUD_ROLE_SESSION_NAME"),
    ("account.*.credentials.sts_endpoint", "$ALIBABA_CLOUD_STS_REGION"),
];

/// The value of a key, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The key with its section: `account.main.batch`.
    pub key: String,
    /// As it is written in TOML; none if there is none, or the environment decides.
    pub value: Option<String>,
    /// `file`, `default`, `follows` from another key, `environment`, or `unset`.
    pub from: &'static str,
    /// The line of the file, if it comes from there.
    pub line: Option<usize>,
    /// From what it follows, or what decides.
    pub why: Option<String>,
}

/// Returns every value of a configuration that is in order, by key.
#[must_use]
pub fn effective(text: &str) -> Vec<Effective> {
    let (document, _) = DeTable::parse_recoverable(text);
    let (_, findings) = read::config(text, Path::new(""), None);
    let mut rows = Vec::new();
    let keys = keys();
    for (pattern, key) in &keys {
        let (front, name) = pattern.rsplit_once('.').unwrap_or(("", pattern));
        let is_inside = keys.get(front).is_some_and(|key| key.form == Form::Tables);
        if is_inside || matches!(key.form, Form::Table | Form::Family) {
            continue;
        }
        for (section, table) in sections(&document, front) {
            let full =
                if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            let written = table.and_then(|table| entry(table, name));
            let environment = ENVIRONMENT.iter().find(|(known, _)| known == pattern);
            let (value, from, why) = if let Some(value) = written {
                (Some(shown(value.get_ref())), "file", None)
            } else if let Some((value, why)) = findings.followed.get(&full) {
                (Some(value.clone()), "follows", Some(why.clone()))
            } else if let Some((_, what)) = environment {
                (None, "environment", Some((*what).to_owned()))
            } else if let Some(value) = key.default() {
                (Some(value.to_owned()), "default", None)
            } else {
                (None, "unset", None)
            };
            let line = written.map(|value| line_and_column(text, value.span().start).0);
            rows.push(Effective { key: full, value, from, line, why });
        }
    }
    rows.sort_by(|one, other| order(&one.key).cmp(&order(&other.key)));
    rows
}

/// Keys of a section stand before the sections below it.
fn order(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

/// Returns the place of a key, else that of the nearest section around it.
pub(super) fn place(document: &Spanned<DeTable<'_>>, key: &str) -> Option<std::ops::Range<usize>> {
    let (mut table, mut span) = (document.get_ref(), None);
    for part in key.split('.') {
        let found = table.iter().find(|(name, _)| name.get_ref() == part);
        let Some((name, value)) = found else { break };
        if let Some(below) = value.get_ref().as_table() {
            (table, span) = (below, Some(name.span()));
        } else {
            return Some(value.span());
        }
    }
    span
}

fn entry<'a, 'd>(table: &'a DeTable<'d>, name: &str) -> Option<&'a Spanned<DeValue<'d>>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}

/// Returns the sections that a pattern stands for: all that the file has under the operator's names, and
/// those below them even where the file doesn't write them. Lists of tables are shown whole.
fn sections<'a, 'd>(
    document: &'a Spanned<DeTable<'d>>,
    pattern: &str,
) -> Vec<(String, Option<&'a DeTable<'d>>)> {
    let mut found = vec![(String::new(), Some(document.get_ref()))];
    for part in pattern.split('.').filter(|part| !part.is_empty()) {
        let mut below = Vec::new();
        for (name, table) in found {
            let join = |part: &str| {
                if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") }
            };
            if part == "*" {
                let tables = table.into_iter().flat_map(|table| table.iter());
                below.extend(tables.filter_map(|(part, value)| {
                    Some((join(part.get_ref()), Some(value.get_ref().as_table()?)))
                }));
                continue;
            }
            let value = table.and_then(|table| entry(table, part)).map(Spanned::get_ref);
            if value.is_none_or(|value| value.as_array().is_none()) {
                below.push((join(part), value.and_then(DeValue::as_table)));
            }
        }
        found = below;
    }
    found
}

/// Writes a value on one line.
fn shown(value: &DeValue<'_>) -> String {
    let list = |parts: Vec<String>| parts.join(", ");
    match value {
        DeValue::String(text) => serde_json::Value::from(text.as_ref()).to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(values) => {
            format!("[{}]", list(values.iter().map(|value| shown(value.get_ref())).collect()))
        }
        DeValue::Table(table) => {
            let pair = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                format!("{name} = {}", shown(value.get_ref()))
            };
            format!("{{ {} }}", list(table.iter().map(pair).collect()))
        }
    }
}
