//! The one way to standard output and standard error.

use std::io::{IsTerminal, Write};

use serde::Serialize;

/// Writes what a command has to say. A reader that went away is no error.
pub struct Printer {
    out: Box<dyn Write + Send>,
    problems: Box<dyn Write + Send>,
    colour: bool,
    terminal: bool,
}

impl Printer {
    /// Writes to the process's own standard output and standard error.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            out: Box::new(std::io::stdout()),
            problems: Box::new(std::io::stderr()),
            terminal: std::io::stdout().is_terminal(),
            colour: std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// Returns whether problems may be shown in colour.
    #[must_use]
    pub const fn colour(&self) -> bool {
        self.colour
    }

    /// Returns whether what is written is read on a terminal.
    #[must_use]
    pub const fn terminal(&self) -> bool {
        self.terminal
    }

    /// Returns whether what is written may be in colour: on a terminal, unless `NO_COLOR` is set.
    #[must_use]
    pub fn paints(&self) -> bool {
        self.terminal && std::env::var_os("NO_COLOR").is_none()
    }

    /// Returns how many characters a line of the terminal has, if what is written is read on one.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        (self.terminal && size.ws_col > 0).then(|| usize::from(size.ws_col))
    }

    /// Returns how many lines the terminal has, if what is written is read on one.
    #[must_use]
    pub fn height(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        (self.terminal && size.ws_row > 0).then(|| usize::from(size.ws_row))
    }

    /// Writes lines in place of the `above` last ones, on a terminal; `above` is 0 the first time.
    pub fn lines(&mut self, lines: &[String], above: usize) {
        if above > 0 {
            // Up to the first of them, and clear what follows.
            let _ = write!(self.out, "\x1b[{above}F\x1b[J");
        }
        // A line that the terminal breaks would take more room than goes up again.
        let width = self.width().unwrap_or(usize::MAX);
        for line in lines {
            let line: String = line.chars().take(width).collect();
            let _ = writeln!(self.out, "{line}");
        }
        let _ = self.out.flush();
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }

    /// Writes a question, and leaves the cursor behind it.
    pub fn ask(&mut self, text: &str) {
        let _ = write!(self.out, "{text} ");
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
