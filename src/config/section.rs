//! A table of the file, read key by key.
//!
//! **Invariant:** the known keys of a table are exactly those it was asked for, so that the list of
//! known keys can't drift from what is read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::shape::{Form, Shape};

/// Why a value is refused: the sentence, the remedy, and what would be taken, if that isn't any text.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: String,
    shape: Option<Box<Shape>>,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into(), shape: None }
    }

    /// Says what would be taken.
    pub(super) fn taking(self, shape: Shape) -> Self {
        Self { shape: Some(Box::new(shape)), ..self }
    }
}

/// A value and where it stands.
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// What reading a file brings to light.
#[derive(Default)]
pub(super) struct Findings {
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    /// Every key that was asked for, as `section.key`, with `*` for a name of the operator's.
    pub(super) asked: BTreeSet<String>,
    /// What each of them may be.
    pub(super) forms: BTreeMap<String, Form>,
    /// Defaults that follow from another key: `section.key`, what it is, and why.
    pub(super) followed: BTreeMap<String, (String, String)>,
}

impl Findings {
    /// Notes a refused value.
    pub(super) fn refuse(&mut self, span: Range<usize>, label: &str, wrong: Wrong) {
        self.problems.push(Problem {
            message: wrong.message,
            help: wrong.help,
            span: Some(span),
            label: label.to_owned(),
        });
    }

    /// Notes that a key has this value, because of another.
    pub(super) fn follow(&mut self, section: &Section<'_>, key: &str, value: String, why: String) {
        self.followed.insert(format!("{}.{key}", section.name), (value, why));
    }

    /// Reads a value; a refused one is noted and missing.
    fn read<'d, T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'d>>,
        read: impl Fn(&DeValue<'d>) -> Result<T, Wrong>,
    ) -> Option<Found<T>> {
        let span = value.span();
        match read(value.get_ref()) {
            Ok(value) => Some(Found { value, span }),
            Err(wrong) => {
                let message = format!("`{key}` {}", wrong.message);
                self.refuse(span, "this value", Wrong::new(message, wrong.help));
                None
            }
        }
    }
}

/// One table of the file under its name.
pub(super) struct Section<'d> {
    /// As the operator wrote it, `account.main`; empty for the top.
    name: String,
    /// As documentation names it, `account.*`.
    pattern: String,
    table: &'d DeTable<'d>,
    span: Range<usize>,
    asked: Vec<&'static str>,
}

impl<'d> Section<'d> {
    /// Begins to read the whole file.
    pub(super) fn top(table: &'d Spanned<DeTable<'d>>) -> Self {
        Self {
            name: String::new(),
            pattern: String::new(),
            table: table.get_ref(),
            span: 0..0,
            asked: Vec::new(),
        }
    }

    /// Returns where the section begins.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    fn below(&self, part: &str, pattern: &str, table: &'d DeTable<'d>, span: Range<usize>) -> Self {
        Self {
            name: join(&self.name, part),
            pattern: join(&self.pattern, pattern),
            table,
            span,
            asked: Vec::new(),
        }
    }

    /// Notes what stands under a key.
    fn note(&self, key: &str, form: Form, findings: &mut Findings) {
        findings.forms.insert(join(&self.pattern, key), form);
    }

    /// Notes what a reader takes. It is asked by a date, which nobody takes: the refusal says what would
    /// be, so that nothing has to be written twice.
    fn note_reader<T>(
        &self,
        key: &str,
        form: impl Fn(Shape) -> Form,
        read: impl Fn(&DeValue<'d>) -> Result<T, Wrong>,
        findings: &mut Findings,
    ) {
        let date = toml::value::Datetime { date: None, time: None, offset: None };
        if let Err(wrong) = read(&DeValue::Datetime(date)) {
            self.note(key, form(wrong.shape.map_or(Shape::Text, |shape| *shape)), findings);
        }
    }

    fn find(&mut self, key: &'static str) -> Option<(Range<usize>, &'d Spanned<DeValue<'d>>)> {
        self.asked.push(key);
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(name, value)| (name.span(), value))
    }

    fn as_table(
        &self,
        key: &str,
        pattern: &str,
        name_span: Range<usize>,
        value: &'d Spanned<DeValue<'d>>,
        findings: &mut Findings,
    ) -> Option<Self> {
        if let Some(table) = value.get_ref().as_table() {
            return Some(self.below(key, pattern, table, name_span));
        }
        let section = self.below(key, pattern, self.table, name_span).name;
        let wrong = Wrong::new(
            format!("`{key}` is a table, not {}", kind_of(value.get_ref())),
            format!("begin it with `[{section}]` on a line of its own"),
        );
        findings.refuse(value.span(), "not a table", wrong);
        None
    }

    /// Returns the table under `key`, if there is one.
    pub(super) fn table(&mut self, key: &'static str, findings: &mut Findings) -> Option<Self> {
        self.note(key, Form::Table, findings);
        let (name_span, value) = self.find(key)?;
        self.as_table(key, key, name_span, value, findings)
    }

    /// Returns the tables under `key`, each under a name of the operator's.
    pub(super) fn named_tables(
        &mut self,
        key: &'static str,
        findings: &mut Findings,
    ) -> Vec<(String, Self)> {
        let family = self.table(key, findings);
        self.note(key, Form::Family, findings);
        let Some(family) = family else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (name, value) in family.table {
            let text = name.get_ref().as_ref();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
            if text.is_empty() || !text.chars().all(plain) {
                let wrong = Wrong::new(
                    format!("`{text}` can't be the name of an {key}"),
                    "use lower-case letters a-z, digits, `_` and `-`",
                );
                findings.refuse(name.span(), "this name", wrong);
            }
            if let Some(table) = family.as_table(text, "*", name.span(), value, findings) {
                tables.push((text.to_owned(), table));
            }
        }
        tables
    }

    /// Returns the tables of the list under `key`, written as `[[section.key]]` each.
    pub(super) fn tables(&mut self, key: &'static str, findings: &mut Findings) -> Vec<Self> {
        self.note(key, Form::Tables, findings);
        let Some((_, value)) = self.find(key) else {
            return Vec::new();
        };
        let section = join(&self.name, key);
        let list = value.get_ref().as_array();
        let tables = list.into_iter().flatten().map_while(|element| {
            let table = element.get_ref().as_table()?;
            let inner = self.below(key, key, table, element.span());
            // Messages put it into brackets: a table of a list has two.
            Some(Self { name: format!("[{section}]"), ..inner })
        });
        let tables: Vec<_> = tables.collect();
        if list.is_none_or(|list| list.len() > tables.len()) {
            let wrong = Wrong::new(
                format!("`{key}` is a list of tables"),
                format!("begin each with `[[{section}]]` on a line of its own"),
            );
            findings.refuse(value.span(), "not a list of tables", wrong);
        }
        tables
    }

    /// Reads the value under `key`, if there is one; a refused value is noted and missing.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&DeValue<'d>) -> Result<T, Wrong>,
        findings: &mut Findings,
    ) -> Option<Found<T>> {
        self.note_reader(key, Form::One, &read, findings);
        let (_, value) = self.find(key)?;
        findings.read(key, value, read)
    }

    /// Reads the value under `key`, or takes `default`.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl Fn(&DeValue<'d>) -> Result<T, Wrong>,
        findings: &mut Findings,
    ) -> T {
        self.get(key, read, findings).map_or(default, |found| found.value)
    }

    /// Returns whether something stands under `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.iter().any(|(name, _)| name.get_ref() == key)
    }

    /// Reads the value under `key`, which must be there; `example` is shown when it isn't.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl Fn(&DeValue<'d>) -> Result<T, Wrong>,
        findings: &mut Findings,
    ) -> Option<Found<T>> {
        if !self.has(key) {
            self.missing(key, example, findings);
        }
        self.get(key, read, findings)
    }

    /// Notes that `key` is missing.
    pub(super) fn missing(&self, key: &str, example: &str, findings: &mut Findings) {
        let (place, at) = match self.name.as_str() {
            "" => ("the file".to_owned(), "at the top of the file".to_owned()),
            name => (format!("`[{name}]`"), format!("below `[{name}]`")),
        };
        let wrong =
            Wrong::new(format!("{place} lacks `{key}`"), format!("add `{key} = {example}` {at}"));
        findings.refuse(self.span(), "here", wrong);
    }

    /// Reads a list under `key`, each element on its own; `None` when the key is not there.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&DeValue<'d>) -> Result<T, Wrong>,
        findings: &mut Findings,
    ) -> Option<Found<Vec<Found<T>>>> {
        self.note_reader(key, Form::List, &read, findings);
        let (_, value) = self.find(key)?;
        let Some(array) = value.get_ref().as_array() else {
            let wrong = Wrong::new(
                format!("`{key}` is a list, not {}", kind_of(value.get_ref())),
                format!("write `{key} = [\"…\"]`"),
            );
            findings.refuse(value.span(), "not a list", wrong);
            return None;
        };
        let list = array.iter().filter_map(|element| findings.read(key, element, &read)).collect();
        Some(Found { value: list, span: value.span() })
    }

    /// Ends the section: whatever it was not asked for is unknown.
    pub(super) fn finish(self, findings: &mut Findings) {
        for (name, _) in self.table {
            let key = name.get_ref().as_ref();
            if self.asked.contains(&key) {
                continue;
            }
            let place = match self.name.as_str() {
                "" => "the top of the file".to_owned(),
                name => format!("`[{name}]`"),
            };
            let help = nearest(key, &self.asked).map_or_else(
                || format!("known here: {}", self.asked_list()),
                |near| format!("did you mean `{near}`?"),
            );
            let wrong = Wrong::new(format!("unknown key `{key}` in {place}"), help);
            findings.refuse(name.span(), "unknown key", wrong);
        }
        for key in self.asked {
            findings.asked.insert(join(&self.pattern, key));
        }
    }

    fn asked_list(&self) -> String {
        let names: BTreeSet<_> = self.asked.iter().map(|key| format!("`{key}`")).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

fn join(front: &str, part: &str) -> String {
    if front.is_empty() { part.to_owned() } else { format!("{front}.{part}") }
}

/// Names the type of a value as an operator would.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Returns the known word that `word` was probably meant to be.
pub(super) fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}
