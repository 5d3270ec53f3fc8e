//! The one way to standard output and standard error.

use std::io::{IsTerminal, Write};

use serde::Serialize;

/// Writes what a command has to say. A reader that went away is no error.
pub struct Printer {
    out: Box<dyn Write + Send>,
    problems: Box<dyn Write + Send>,
    colour: bool,
}

impl Printer {
    /// Writes to the process's own standard output and standard error.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            out: Box::new(std::io::stdout()),
            problems: Box::new(std::io::stderr()),
            colour: std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// Returns whether problems may be shown in colour.
    #[must_use]
    pub const fn colour(&self) -> bool {
        self.colour
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }

    /// Writes a value as one line of JSON.
    pub fn json(&mut self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.line(&text),
            Err(error) => self.problem(&format!("an answer could not be written as JSON: {error}")),
        }
    }

    /// Writes a problem to standard error.
    pub fn problem(&mut self, text: &str) {
        let _ = writeln!(self.problems, "{}", text.trim_end());
    }
}
