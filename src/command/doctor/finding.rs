//! What the doctor found, and its words.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::words::count;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::command) enum Level {
    /// All is well.
    Ok,
    /// It could not be told.
    NotChecked,
    /// It works, and could be better.
    Advice,
    /// It does not work.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::command) struct Finding {
    /// What was looked at.
    pub(in crate::command) about: String,
    /// How bad it is.
    pub(in crate::command) level: Level,
    /// What was seen: what is wrong, or why it could not be told.
    pub(in crate::command) what: String,
    /// What that costs; empty when all is well.
    pub(in crate::command) costs: String,
    /// The command that repairs it, or what else does.
    pub(in crate::command) mend: String,
}

impl Finding {
    pub(in crate::command) fn ok(about: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, about, what)
    }

    pub(in crate::command) fn not_checked(
        about: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(Level::NotChecked, about, why)
    }

    pub(in crate::command) fn advice(about: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Level::Advice, about, what)
    }

    pub(in crate::command) fn broken(about: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Level::Broken, about, what)
    }

    fn new(level: Level, about: impl Into<String>, what: impl Into<String>) -> Self {
        let (costs, mend) = (String::new(), String::new());
        Self { about: about.into(), level, what: what.into(), costs, mend }
    }

    /// Says what it costs.
    pub(in crate::command) fn costs(self, costs: impl Into<String>) -> Self {
        Self { costs: costs.into(), ..self }
    }

    /// Says what repairs it.
    pub(in crate::command) fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: mend.into(), ..self }
    }
}

/// Returns whether something is broken.
pub(in crate::command) fn is_broken(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.level == Level::Broken)
}

/// Writes findings for a person, a line each that is well, and a sum.
pub(in crate::command) fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::NotChecked => "not checked",
            Level::Advice => "advice",
            Level::Broken => "BROKEN",
        };
        let _ = writeln!(text, "{level:11}  {}: {}", finding.about, indented(&finding.what));
        for (word, said) in [("costs", &finding.costs), ("mend", &finding.mend)] {
            if !said.is_empty() {
                let _ = writeln!(text, "{:13}{word}: {}", "", indented(said));
            }
        }
    }
    let number = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    let _ = match (number(Level::Broken), number(Level::Advice)) {
        (0, 0) if number(Level::NotChecked) > 0 => writeln!(text, "all that was checked is well"),
        (0, 0) => writeln!(text, "all is well"),
        (broken, advice) => writeln!(text, "{broken} broken, {} of advice", count(advice, "piece")),
    };
    text
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n                   ")
}
