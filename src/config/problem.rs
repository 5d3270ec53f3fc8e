//! What is wrong with a configuration, shown where it is wrong.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity,
    SourceCode,
};
use serde::Serialize;

/// One thing that is wrong, with its place in the file and its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// What is wrong, in one sentence.
    pub(super) message: String,
    /// What to do about it.
    pub(super) help: String,
    /// Where, as byte offsets into the text; none when the file as a whole is meant.
    pub(super) span: Option<Range<usize>>,
    /// What to write at the caret.
    pub(super) label: String,
}

/// Everything that is wrong with one configuration file, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    path: PathBuf,
    /// What the lines of the file show, [`blotted`].
    text: String,
    list: Vec<Problem>,
    /// Whether all of it is allowed, and only risky.
    only_risky: bool,
}

/// A problem as `--json` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProblemRow {
    /// The file.
    pub file: String,
    /// From 1; none when the file as a whole is meant.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Problems {
    /// Gathers problems of one file; `None` when there are none.
    pub(super) fn gather(path: &Path, text: &str, mut list: Vec<Problem>) -> Option<Self> {
        list.sort_by_key(|problem| problem.span.as_ref().map(|span| (span.start, span.end)));
        (!list.is_empty()).then(|| Self {
            path: path.to_owned(),
            text: blotted(text),
            list,
            only_risky: false,
        })
    }

    /// Gathers what is allowed, and risky; `None` when there is none.
    pub(super) fn risky(path: &Path, text: &str, list: Vec<Problem>) -> Option<Self> {
        Some(Self { only_risky: true, ..Self::gather(path, text, list)? })
    }

    /// Makes the problem of a file that can't be read.
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self {
            path: path.to_owned(),
            text: String::new(),
            list: vec![Problem {
                message: format!("the configuration `{}` can't be read: {error}", path.display()),
                help: "name a file this user may read, with `--config FILE`".to_owned(),
                span: None,
                label: String::new(),
            }],
            only_risky: false,
        }
    }

    /// Returns the problems, in the order of the file, as rows for `--json`.
    #[must_use]
    pub fn rows(&self) -> Vec<ProblemRow> {
        let file = self.path.display().to_string();
        self.list
            .iter()
            .map(|problem| {
                let place = self.place(problem);
                ProblemRow {
                    file: file.clone(),
                    line: place.map(|(line, _)| line),
                    column: place.map(|(_, column)| column),
                    message: problem.message.clone(),
                    help: problem.help.clone(),
                }
            })
            .collect()
    }

    /// Draws every problem with its line and a caret under the value; `colour` is for terminals.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let theme =
            if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(100);
        let source = NamedSource::new(self.path.display().to_string(), self.text.clone());
        let mut drawn = String::new();
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                drawn.push('\n');
            }
            let shown = Shown { problem, source: &source, only_risky: self.only_risky };
            if handler.render_report(&mut drawn, &shown).is_err() {
                drawn.push_str(&problem.message);
                drawn.push('\n');
            }
        }
        drawn
    }

    fn place(&self, problem: &Problem) -> Option<(usize, usize)> {
        Some(line_and_column(&self.text, problem.span.as_ref()?.start))
    }
}

/// Returns where an offset is: line and column from 1, the column in characters.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

impl fmt::Display for Problems {
    /// Writes one line for each problem: `file:line:column: message (help)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{}", self.path.display())?;
            if let Some((line, column)) = self.place(problem) {
                write!(formatter, ":{line}:{column}")?;
            }
            write!(formatter, ": {} ({})", problem.message, problem.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Blots out what looks like a secret that was written into the file by mistake, byte for byte: what
/// keys of such names say, unless it is a path, and users and passwords in URLs.
fn blotted(text: &str) -> String {
    const NAMES: [&str; 4] = ["access_key", "secret", "token", "password"];
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        let name = NAMES.iter().filter_map(|name| lower.find(name)).min();
        let value = name.and_then(|at| Some(at + line[at..].find('=')? + 1)).filter(|at| {
            let value = line[*at..].trim_start().trim_start_matches(['"', '\'']);
            !value.starts_with(['/', '~', '%', '$'])
        });
        let (front, value) = line.split_at(value.unwrap_or(line.len()));
        let mut parts = front.split_inclusive("://");
        shown.extend(parts.next());
        for part in parts {
            let authority = part.find(['/', '?', '#', '"', '\'']).unwrap_or(part.len());
            let user = part[..authority].rfind('@').unwrap_or(0);
            shown.push_str(&"*".repeat(user));
            shown.push_str(&part[user..]);
        }
        let blot = |byte| if b" \t\r\n\"'".contains(&byte) { char::from(byte) } else { '*' };
        shown.extend(value.bytes().map(blot));
    }
    shown
}

/// A problem beside its text, as miette wants it.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    source: &'a NamedSource<String>,
    only_risky: bool,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.problem.help))
    }

    fn severity(&self) -> Option<Severity> {
        Some(if self.only_risky { Severity::Warning } else { Severity::Error })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.problem.span.is_some().then_some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span.clone()?;
        let label = LabeledSpan::new(Some(self.problem.label.clone()), span.start, span.len());
        Some(Box::new(std::iter::once(label)))
    }
}
