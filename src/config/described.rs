//! What each key is: its form, as the readers say it, and its prose, default or example, as
//! `config.example.toml` shows them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::read;
use super::shape::Form;

/// The configuration with every key, as it is shipped.
pub const EXAMPLE: &str = include_str!("../../config.example.toml");

/// What ends a line of the example that shows no default.
const NO_DEFAULT: &str = "# for example";

/// A key, by its pattern: `account.*.batch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) form: Form,
    pub(super) prose: String,
    /// The value that the example shows, as it is written there.
    pub(super) shown: Option<String>,
    /// Whether that is what holds where nothing is written.
    pub(super) is_default: bool,
}

impl Key {
    /// Returns what holds where nothing is written.
    pub(super) fn default(&self) -> Option<&str> {
        self.shown.as_deref().filter(|_| self.is_default)
    }
}

/// What the example says of a key.
#[derive(Default)]
struct Line {
    prose: String,
    shown: Option<String>,
    is_default: bool,
}

/// Returns every key.
pub(super) fn keys() -> BTreeMap<String, Key> {
    let mut lines = lines();
    let forms = forms();
    let said = |pattern: &str, lines: &BTreeMap<String, Line>| {
        // What is shown within a list of tables is told with it.
        let around = pattern.rsplit_once('.').map_or("", |(around, _)| around);
        [pattern, around].iter().find_map(|at| lines.get(*at)).map(|line| line.prose.clone())
    };
    let prose: BTreeMap<String, String> = forms
        .keys()
        .map(|pattern| (pattern.clone(), said(pattern, &lines).unwrap_or_default()))
        .collect();
    let key = |(pattern, form): (String, Form)| {
        let line = lines.remove(&pattern).unwrap_or_default();
        let prose = prose.get(&pattern).cloned().unwrap_or_default();
        let key = Key { form, prose, shown: line.shown, is_default: line.is_default };
        (pattern, key)
    };
    forms.into_iter().map(key).collect()
}

/// Asks the readers for every key: by the example with all that is commented out, and by the example with
/// the rules that it shows.
fn forms() -> BTreeMap<String, Form> {
    let uncommented = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with([' ', ':']) => rest,
        _ => line,
    });
    let rules = EXAMPLE.lines().filter_map(|line| line.strip_prefix("#     "));
    let texts = [EXAMPLE.lines().chain(rules).collect::<Vec<_>>(), uncommented.collect::<Vec<_>>()];
    let mut forms = BTreeMap::new();
    for lines in texts {
        let (_, findings) = read::config(&lines.join("\n"), Path::new("example"), None);
        forms.extend(findings.forms);
    }
    forms
}

/// Reads the example as a text: which comment stands above which keys. The comment of a section is that of
/// its first keys, too, unless they have one.
fn lines() -> BTreeMap<String, Line> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    let (mut section, mut comment) = (String::new(), Vec::new());
    let mut is_open = false;
    for text in EXAMPLE.lines() {
        if let Some(prose) = text.strip_prefix("# ").or_else(|| (text == "#").then_some("")) {
            if !is_open {
                comment.clear();
            }
            is_open = true;
            // What is indented is shown, not told.
            if !prose.starts_with(' ') {
                comment.push(prose);
            }
            continue;
        }
        is_open = false;
        let bare = text.strip_prefix('#').unwrap_or(text);
        if bare.is_empty() {
            comment.clear();
        } else if let Some(name) = bare.strip_prefix('[') {
            section = pattern(name.trim_end_matches(']'));
            let line = Line { prose: comment.join(" "), ..Line::default() };
            lines.entry(section.clone()).or_insert(line);
        } else if let Some((key, value)) = bare.split_once(" = ") {
            let front = if section.is_empty() { String::new() } else { format!("{section}.") };
            let value = value.trim();
            let example = value.strip_suffix(NO_DEFAULT).map(str::trim_end);
            lines.entry(format!("{front}{key}")).or_insert_with(|| Line {
                prose: comment.join(" "),
                shown: Some(example.unwrap_or(value).to_owned()),
                is_default: example.is_none() && text.starts_with('#'),
            });
        }
    }
    lines
}

/// Returns a section's name with `*` for the operator's names.
fn pattern(section: &str) -> String {
    let mut parts: Vec<&str> = section.split('.').collect();
    if let [family, name, ..] = parts.as_mut_slice()
        && ["account", "origin", "hook", "notice"].contains(family)
    {
        *name = "*";
    }
    parts.join(".")
}

/// Writes the table of all keys in Markdown.
#[must_use]
pub fn table() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         Every key, its section, what it may be, what holds where it isn't written, and what it means. \
         Made by `refreshd check --keys` from the readers and from the comments of \
         [config.example.toml](../config.example.toml); a [schema](config.schema.json) for editors is made \
         by `refreshd check --schema`.\n",
    );
    let keys = keys();
    let mut section = None;
    // Keys of a section first, then the sections below it.
    let mut order: Vec<(&str, &str)> = keys
        .iter()
        .filter(|(_, key)| key.form.shown().is_some())
        .map(|(pattern, _)| pattern.rsplit_once('.').unwrap_or(("", pattern)))
        .collect();
    order.sort_unstable();
    for (front, name) in order {
        if section != Some(front) {
            section = Some(front);
            let title = match front {
                "" => "The top of the file".to_owned(),
                front => format!("`[{}]`", front.replace('*', "NAME")),
            };
            let _ = write!(
                text,
                "\n## {title}\n\n| key | may be | default | meaning |\n|---|---|---|---|\n"
            );
        }
        let pattern = if front.is_empty() { name.to_owned() } else { format!("{front}.{name}") };
        let Some(key) = keys.get(&pattern) else { continue };
        let default = key.default().map_or_else(String::new, |value| format!("`{value}`"));
        let cells = [key.form.shown().unwrap_or_default(), default, key.prose.clone()];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| `{name}` | {} |", cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests;
