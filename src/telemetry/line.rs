//! A log line as a value, and how it is written: for people, as JSON, or as an entry of systemd's journal.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::domain::path::{is_unfit, shorten};

use super::message::{Message, named};
use super::repeats::Sort;

/// The most bytes of a message; those of a field are 512, as [`foreign_text`](crate::domain::path::foreign_text) has.
const MESSAGE_LIMIT: usize = 4096;
const FIELD_LIMIT: usize = 512;

/// What a line tells besides its message.
struct Told {
    name: &'static str,
    value: Value,
    /// Text that was logged as such: people see it in quotes.
    quoted: bool,
}

/// A log line. All its text is on one line and fit to be shown.
pub(super) struct Line {
    level: Level,
    target: String,
    place: (&'static str, u32),
    message: String,
    event: Option<&'static Message>,
    fields: Vec<Told>,
    /// Whether whoever logs it leaves out repetitions itself.
    is_counted: bool,
}

/// Writes control characters, what breaks a line and what reorders it as `\xNN`.
fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unfit(character) {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(line, "\\x{byte:02x}");
            }
        } else {
            line.push(character);
        }
    }
    line
}

impl Line {
    /// Takes what an event says.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut line = Self {
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            place: (metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default()),
            message: String::new(),
            event: None,
            fields: Vec::new(),
            is_counted: false,
        };
        event.record(&mut line);
        line
    }

    /// Returns what it repeats, if repetitions are left out: warnings and errors are, but for what has an
    /// id, each of which is a turn of affairs. What differs is told apart by its text, not by its numbers,
    /// and never by what strangers chose: fields whose name begins with `foreign`.
    pub(super) fn sort(&self) -> Option<Sort> {
        let may_be_left_out = self.level <= Level::WARN && self.event.is_none() && !self.is_counted;
        may_be_left_out.then(|| {
            let mut hash = DefaultHasher::new();
            let texts = self.fields.iter().filter(|told| told.value.is_string());
            let mut has_text = false;
            for told in texts {
                has_text = true;
                if !told.name.starts_with("foreign") {
                    told.value.as_str().hash(&mut hash);
                }
            }
            if !has_text {
                self.message.hash(&mut hash);
            }
            Sort { place: self.place, whose: Some(hash.finish()) }
        })
    }

    /// Has it say how many lines came to nothing before it: `left_out` are of its sort, `lost` of any.
    pub(super) fn counts(&mut self, name: &'static str, number: u64) {
        if number > 0 {
            self.fields.push(Told { name, value: number.into(), quoted: false });
        }
    }

    /// Leaves what is needed.
    pub(super) fn cut(&mut self) {
        self.message = shorten(std::mem::take(&mut self.message), FIELD_LIMIT);
        self.fields.clear();
    }

    fn add(&mut self, field: &Field, value: Value, quoted: bool) {
        self.is_counted |= field.name() == "silent";
        self.fields.push(Told { name: field.name(), value, quoted });
    }

    fn add_text(&mut self, field: &Field, text: &str, quoted: bool) {
        match field.name() {
            "message" => self.message = shorten(plain(text), MESSAGE_LIMIT),
            "event" => self.event = named(text),
            _ => self.add(field, shorten(plain(text), FIELD_LIMIT).into(), quoted),
        }
    }

    /// Writes the message and what it tells besides: `message origin=www file="a"`.
    fn said(&self) -> String {
        let mut said = self.message.clone();
        for told in &self.fields {
            let text = text(&told.value);
            let quote = if told.quoted { "\"" } else { "" };
            let blank = if said.is_empty() { "" } else { " " };
            let _ = write!(said, "{blank}{}={quote}{text}{quote}", told.name);
        }
        said
    }

    /// Writes it for people; the time is left out where another stamps it.
    pub(super) fn text(&self, time: Option<&str>, colour: bool) -> String {
        let time = time.map_or_else(String::new, |time| format!("{time} "));
        let level = format!("{:>5}", self.level.as_str());
        let (target, said) = (&self.target, self.said());
        if !colour {
            return format!("{time}{level} {target}: {said}\n");
        }
        let shade = match self.level {
            Level::ERROR => 31,
            Level::WARN => 33,
            Level::INFO => 32,
            Level::DEBUG => 34,
            Level::TRACE => 35,
        };
        format!("\x1b[2m{time}\x1b[0m\x1b[{shade}m{level}\x1b[0m \x1b[2m{target}:\x1b[0m {said}\n")
    }

    /// Writes it as one object.
    pub(super) fn json(&self, time: &str) -> String {
        let mut object = Map::new();
        object.insert("timestamp".to_owned(), time.into());
        object.insert("level".to_owned(), self.level.as_str().into());
        object.insert("message".to_owned(), self.message.as_str().into());
        object.insert("target".to_owned(), self.target.as_str().into());
        if let Some(message) = self.event {
            object.insert("event".to_owned(), message.event.into());
            object.insert("message_id".to_owned(), message.id.into());
        }
        for told in &self.fields {
            object.insert(told.name.to_owned(), told.value.clone());
        }
        format!("{}\n", Value::Object(object))
    }

    /// Writes it in the form of systemd's native protocol: a field a line, for no value has line breaks.
    pub(super) fn journal(&self) -> String {
        // syslog's numbers, as `journalctl -p` has them.
        let priority = match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        let mut entry = format!(
            "MESSAGE={}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER=refreshd\nCODE_FILE={}\nCODE_LINE={}\n\
             REFRESHD_TARGET={}\n",
            self.said(),
            self.place.0,
            self.place.1,
            self.target
        );
        if let Some(message) = self.event {
            let _ = writeln!(entry, "MESSAGE_ID={}", message.id);
            let _ = writeln!(entry, "REFRESHD_EVENT={}", message.event);
        }
        for told in &self.fields {
            let name = told.name.to_ascii_uppercase().replace(|c: char| !c.is_alphanumeric(), "_");
            let _ = writeln!(entry, "REFRESHD_{name}={}", text(&told.value));
        }
        entry
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, value, true);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_text(field, &format!("{value:?}"), false);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into(), false);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into(), false);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into(), false);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into(), false);
    }
}
