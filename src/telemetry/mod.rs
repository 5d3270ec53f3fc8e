//! This room sets up logging, once, at start, and holds what is counted and who still beats.
//!
//! Enters: [`Log`], what stderr is, and from then on what the crate tells `tracing`; counts and beats.
//! Leaves: lines on stderr, or entries of systemd's journal; numbers for who asks.
//! **Invariant:** nothing else of the crate knows where log lines go.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, reload};

use crate::clock::SharedClock;
use crate::config::{Log, LogFormat, LogLevel};

use line::Line;
use repeats::Repeats;

pub mod heart;
mod line;
mod message;
pub mod meters;
mod repeats;
#[cfg(test)]
mod tests;

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
pub enum Form {
    /// For people, on stderr.
    Text {
        /// Whether levels are coloured.
        colour: bool,
    },
    /// An object a line, on stderr.
    Json,
    /// Entries of systemd's journal.
    Journal,
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

/// Writes what was left out and is silent long enough: who beats calls it, as another line may not come.
pub fn catch_up() {
    tracing::dispatcher::get_default(|subscriber| {
        if let Some(lines) = subscriber.downcast_ref::<Lines>() {
            lines.catch_up();
        }
    });
}

/// What a datagram longer than the socket takes fails with.
const TOO_LONG: i32 = rustix::io::Errno::MSGSIZE.raw_os_error();
/// Where systemd's journal takes entries.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Begins to log, and returns in which form and by what the level is changed; a second call fails and changes
/// nothing.
pub fn start(log: &Log, clock: SharedClock) -> Result<(Form, Level), TelemetryError> {
    let form = form(log.format, stderr());
    let lines = Lines::new(form, PathBuf::from(JOURNAL), clock, Box::new(io::stderr()));
    let (heard, level) = reload::Layer::new(targets(log.level));
    tracing_subscriber::registry().with(lines.with_filter(heard)).try_init()?;
    Ok((form, Level(level)))
}

fn stderr() -> Stderr {
    if io::stderr().is_terminal() {
        return Stderr::Terminal;
    }
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    match rustix::fs::fstat(io::stderr()) {
        Ok(stat) if is_journal(&stream, stat.st_dev, stat.st_ino) => Stderr::SystemdJournal,
        _ => Stderr::Elsewhere,
    }
}

/// Returns whether a file is the one that systemd connected to its journal: who redirects stderr leaves
/// the variable as it is.
fn is_journal(stream: &str, device: u64, inode: u64) -> bool {
    stream
        .split_once(':')
        .is_some_and(|(of, at)| of.parse() == Ok(device) && at.parse() == Ok(inode))
}

fn form(format: LogFormat, stderr: Stderr) -> Form {
    match (format, stderr) {
        (LogFormat::Json, _) => Form::Json,
        (LogFormat::Text, Stderr::SystemdJournal) => Form::Journal,
        (LogFormat::Text, of) => Form::Text { colour: of == Stderr::Terminal },
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

/// Writes what is told to `tracing`.
struct Lines {
    form: Form,
    /// Where entries go, and from where.
    journal: (PathBuf, Option<UnixDatagram>),
    /// How many entries the journal had no room for.
    lost: AtomicU64,
    clock: SharedClock,
    repeats: Mutex<Repeats<Line>>,
    out: Mutex<Box<dyn io::Write + Send>>,
}

impl Lines {
    fn new(form: Form, to: PathBuf, clock: SharedClock, out: Box<dyn io::Write + Send>) -> Self {
        // Who logs never waits for the journal, else whatever stops that stops the daemon.
        let socket =
            || UnixDatagram::unbound().and_then(|from| from.set_nonblocking(true).map(|()| from));
        let from = (form == Form::Journal).then(|| socket().ok()).flatten();
        let (repeats, out) = (Mutex::default(), Mutex::new(out));
        Self { form, journal: (to, from), lost: AtomicU64::new(0), clock, repeats, out }
    }

    fn write(&self, mut line: Line) {
        let written = match self.form {
            Form::Text { colour } => line.text(Some(&self.time()), colour),
            Form::Json => line.json(&self.time()),
            Form::Journal if self.is_sent(&mut line) => return,
            // What the journal reads from stderr it stamps as well.
            Form::Journal => line.text(None, false),
        };
        // Nobody is left to be told.
        let _ =
            self.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(written.as_bytes());
    }

    /// Returns this machine's time to the microsecond, which is what other programs' logs have.
    fn time(&self) -> String {
        let micros = self.clock.now().as_micros();
        jiff::Timestamp::from_microsecond(micros)
            .map_or_else(|_| micros.to_string(), |instant| format!("{instant:.6}"))
    }

    /// Returns whether the journal has an entry, or has no room for one: stderr leads to the same journal.
    fn is_sent(&self, line: &mut Line) -> bool {
        let (to, Some(from)) = (&self.journal.0 as &Path, self.journal.1.as_ref()) else {
            return false;
        };
        let lost = self.lost.swap(0, Ordering::Relaxed);
        line.counts("lost", lost);
        let mut sent = from.send_to(line.journal().as_bytes(), to);
        if sent.as_ref().is_err_and(|error| error.raw_os_error() == Some(TOO_LONG)) {
            line.cut();
            line.counts("lost", lost);
            sent = from.send_to(line.journal().as_bytes(), to);
        }
        let is_full = sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if is_full {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
        sent.is_ok() || is_full
    }

    fn catch_up(&self) {
        let now = self.clock.boot();
        let due = self.repeats.lock().unwrap_or_else(PoisonError::into_inner).due(now);
        for (mut line, left_out) in due {
            line.counts("left_out", left_out);
            self.write(line);
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = Line::of(event);
        let passed = match line.sort() {
            None => Some((line, 0)),
            Some(sort) => {
                let now = self.clock.boot();
                self.repeats.lock().unwrap_or_else(PoisonError::into_inner).judge(sort, line, now)
            }
        };
        if let Some((mut line, left_out)) = passed {
            line.counts("left_out", left_out);
            self.write(line);
        }
        self.catch_up();
    }
}
