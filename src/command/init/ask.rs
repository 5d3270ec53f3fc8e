//! Questions at a terminal.

use std::io::{BufRead, IsTerminal, Read};

use secrecy::SecretString;

use crate::command::terminal::{INTERRUPT, Silence};
use crate::command::{Exit, Failed, Printer};

/// What Ctrl-D, Ctrl-U and the two keys that take a character back send.
const END: u8 = 0x04;
const CLEAR: u8 = 0x15;
const BACK: [u8; 2] = [0x08, 0x7f];

/// Asks a person, or takes what the command line says.
pub(super) struct Dialog<'p> {
    pub(super) printer: &'p mut Printer,
    /// Whether nobody is to be asked.
    yes: bool,
}

impl<'p> Dialog<'p> {
    /// Begins; without a terminal only where nobody is to be asked.
    pub(super) fn new(printer: &'p mut Printer, yes: bool) -> Result<Self, Failed> {
        if yes || std::io::stdin().is_terminal() {
            return Ok(Self { printer, yes });
        }
        let message = "there is no terminal to ask at: say everything by options, and add --yes";
        Err(Failed::new(Exit::Usage, message))
    }

    /// Returns whether nobody is asked.
    pub(super) const fn is_silent(&self) -> bool {
        self.yes
    }

    /// Asks until `check` takes the answer, which else says why not. What was `given` by `option` is not
    /// asked for, and a bad one ends the command.
    pub(super) fn ask<T>(
        &mut self,
        question: &str,
        option: &str,
        (given, usual): (Option<&str>, Option<&str>),
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failed> {
        if let Some(answer) = given.or(usual.filter(|_| self.yes)) {
            let wrong = |why| Failed::new(Exit::Usage, format!("{option} {answer}: {why}"));
            return check(answer).map_err(wrong);
        }
        if self.yes {
            return Err(Failed::new(Exit::Usage, format!("{option} is missing")));
        }
        let shown = usual.map_or_else(String::new, |usual| format!(" [{usual}]"));
        loop {
            self.printer.ask(&format!("{question}{shown}:"));
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            if !read.is_ok_and(|bytes| bytes > 0) {
                return Err(ended());
            }
            let answer = match (line.trim(), usual) {
                ("", Some(usual)) => usual,
                (answer, _) => answer,
            };
            match check(answer) {
                Ok(answer) => return Ok(answer),
                Err(why) => self.printer.line(&format!("  {why}")),
            }
        }
    }

    /// Asks whether to do something.
    pub(super) fn agree(&mut self, question: &str) -> Result<bool, Failed> {
        self.ask(question, "", (None, Some("n")), |answer| match answer {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("answer y or n".to_owned()),
        })
    }

    /// Asks for a secret without showing it, until there is one.
    pub(super) fn secret(&mut self, question: &str) -> Result<SecretString, Failed> {
        loop {
            // Before the question: what is pasted at once must not be shown either.
            let silence = Silence::begin()?;
            self.printer.ask(&format!("{question}:"));
            let typed = read_silently();
            drop(silence);
            self.printer.line("");
            match typed?.trim() {
                "" => self.printer.line("  nothing came; paste it, it is not shown"),
                typed if typed.contains(char::is_whitespace) => {
                    self.printer.line("  it has no blanks; paste it alone");
                }
                typed => return Ok(typed.into()),
            }
        }
    }
}

fn ended() -> Failed {
    Failed::new(Exit::No, "\nended; nothing was written")
}

/// Reads a line of a terminal that shows nothing and leaves all keys to us: Ctrl-C has to find the terminal
/// as it was.
fn read_silently() -> Result<String, Failed> {
    let mut typed = Vec::new();
    let mut stdin = std::io::stdin().lock();
    loop {
        let mut byte = [0];
        if !stdin.read(&mut byte).is_ok_and(|bytes| bytes > 0) {
            return Err(ended());
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(String::from_utf8_lossy(&typed).into_owned()),
            INTERRUPT | END => return Err(ended()),
            CLEAR => typed.clear(),
            key if BACK.contains(&key) => drop(typed.pop()),
            key => typed.push(key),
        }
    }
}
