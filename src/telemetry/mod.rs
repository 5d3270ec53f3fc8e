//! This room sets up logging, once, at start.
//!
//! Enters: [`Log`] and what stderr is. Leaves: nothing; from then on `tracing` writes to stderr.
//! **Invariant:** nothing else of the crate knows where log lines go.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, reload};

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

/// By which more or less is logged.
#[derive(Clone, Debug)]
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// Logs from this level on.
    pub fn set(&self, level: LogLevel) {
        if let Err(error) = self.0.reload(targets(level)) {
            tracing::warn!("the log level can't be changed: {error}");
        }
    }
}

/// Begins to log to stderr; a second call fails and changes nothing.
pub fn start(log: &Log) -> Result<Level, TelemetryError> {
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
        Form::Text { colour, time: false } => Box::new(lines.with_ansi(colour).without_time()),
    };
    let (heard, level) = reload::Layer::new(targets(log.level));
    tracing_subscriber::registry().with(lines.with_filter(heard)).try_init()?;
    Ok(Level(level))
}

fn form(format: LogFormat, stderr: Stderr) -> Form {
    match format {
        LogFormat::Json => Form::Json,
        LogFormat::Text => Form::Text {
            colour: stderr == Stderr::Terminal,
            time: stderr != Stderr::SystemdJournal,
        },
    }
}

/// The level is refreshd's own; the libraries below it are heard from `warn` on.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("refreshd", level)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_journal_stamps_lines_itself() {
        let under_systemd = form(LogFormat::Text, Stderr::SystemdJournal);
        assert_eq!(under_systemd, Form::Text { colour: false, time: false });
        let on_a_terminal = form(LogFormat::Text, Stderr::Terminal);
        assert_eq!(on_a_terminal, Form::Text { colour: true, time: true });
        assert_eq!(
            form(LogFormat::Text, Stderr::Elsewhere),
            Form::Text { colour: false, time: true }
        );
        assert_eq!(form(LogFormat::Json, Stderr::Terminal), Form::Json);
    }

    #[test]
    fn libraries_are_heard_up_to_warn() {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        for (louder, level) in LogLevel::ALL.into_iter().enumerate() {
            let targets = targets(level);
            let heard =
                |target| levels.iter().filter(|level| targets.would_enable(target, level)).count();
            assert_eq!(heard("refreshd::engine"), louder + 1, "{level:?}");
            assert_eq!(heard("hyper"), (louder + 1).min(2), "{level:?}");
        }
    }
}
