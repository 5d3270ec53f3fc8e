//! This room sets up logging, once, at start.
//!
//! Enters: [`Log`] and what stderr is. Leaves: nothing; from then on `tracing` writes to stderr.
//! **Invariant:** nothing else of the crate knows where log lines go.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{Log, LogFormat, LogLevel};

/// Logging was set up before.
#[derive(Debug, thiserror::Error)]
#[error("logging was set up twice: {0}")]
pub struct TelemetryError(#[from] tracing_subscriber::util::TryInitError);

/// What stderr is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stderr {
    Terminal,
    SystemdJournal,
    Elsewhere,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text { colour: bool, time: bool },
    Json,
}

/// Begins to log to stderr; a second call fails and changes nothing.
pub fn start(log: &Log) -> Result<(), TelemetryError> {
    // systemd sets JOURNAL_STREAM when stderr is its journal, which stamps each line itself.
    let stderr = if std::env::var_os("JOURNAL_STREAM").is_some() {
        Stderr::SystemdJournal
    } else if std::io::stderr().is_terminal() {
        Stderr::Terminal
    } else {
        Stderr::Elsewhere
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<_> + Send + Sync> = match form(log.format, stderr) {
        Form::Json => Box::new(lines.json().flatten_event(true)),
        Form::Text { colour, time: true } => Box::new(lines.with_ansi(colour)),
        Form::Text {
            colour,
            time: false,
        } => Box::new(lines.with_ansi(colour).without_time()),
    };
    let filter = EnvFilter::new(directives(log.level));
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()?;
    Ok(())
}

fn form(format: LogFormat, stderr: Stderr) -> Form {
    match (format, stderr) {
        (LogFormat::Json, _) | (LogFormat::Auto, Stderr::Elsewhere) => Form::Json,
        (LogFormat::Auto | LogFormat::Text, _) => Form::Text {
            colour: stderr == Stderr::Terminal,
            time: stderr != Stderr::SystemdJournal,
        },
    }
}

/// The level is refreshd's own; the libraries below it are heard from `warn` on.
fn directives(level: LogLevel) -> String {
    match level {
        LogLevel::Error => "error".to_owned(),
        level => format!("warn,refreshd={}", level.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_stamps_lines_itself() {
        let under_systemd = form(LogFormat::Auto, Stderr::SystemdJournal);
        assert_eq!(
            under_systemd,
            Form::Text {
                colour: false,
                time: false
            }
        );
        let on_a_terminal = form(LogFormat::Auto, Stderr::Terminal);
        assert_eq!(
            on_a_terminal,
            Form::Text {
                colour: true,
                time: true
            }
        );
        assert_eq!(form(LogFormat::Auto, Stderr::Elsewhere), Form::Json);
        assert_eq!(form(LogFormat::Json, Stderr::Terminal), Form::Json);
    }

    #[test]
    fn every_level_is_a_filter() {
        for level in LogLevel::ALL {
            let text = directives(level);
            let filter: EnvFilter = text.parse().expect("valid directives");
            let loudest = filter.max_level_hint().map(|hint| hint.to_string());
            assert_eq!(loudest, Some(level.as_str().to_owned()), "{text}");
        }
    }
}
