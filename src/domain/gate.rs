//! Gates: when what changed may be refreshed, because the origin's web servers serve it.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// The gate of an origin. The default is open: what settled is refreshed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Gate {
    /// What opens it.
    pub opens: Opens,
    /// How long after it opened everything is refreshed once more; zero for never.
    pub echo: Duration,
    /// How long it may stay closed before a person is told.
    pub alarm_after: Duration,
}

impl Gate {
    /// Returns whether deploys have to pass it at all.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.opens != Opens::Settled || !self.echo.is_zero()
    }
}

/// What opens a gate.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Opens {
    /// Nothing more is needed than that the tree settled, or the push came.
    #[default]
    Settled,
    /// So much time since.
    Delay(Duration),
    /// A command that succeeds.
    Command(GateCommand),
    /// Every web server answers this path with a body that names the commit; of a watched tree, with
    /// the bytes of the file that the tree has there.
    Version {
        /// The path, from `/` on.
        path: String,
        /// Who is asked.
        servers: Servers,
    },
    /// Every web server serves the bytes that the tree has, of every path that changed.
    Content(Servers),
}

/// A command that says whether the origin is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateCommand {
    /// The program and its arguments; no shell reads them.
    pub words: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// Where it runs; the root of the file system by default.
    pub directory: PathBuf,
}

/// The web servers of an origin: they are asked for its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// `http://10.0.0.5:8080` or `https://10.0.0.5`: at least one.
    pub urls: Vec<Url>,
    /// How long one answer may take.
    pub timeout: Duration,
}
