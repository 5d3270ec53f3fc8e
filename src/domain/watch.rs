//! How an origin's tree is watched: what an operator may choose.

use std::fmt;

use serde::{Deserialize, Serialize};

/// By which means changes are heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Means {
    /// The best that works here: fanotify where the process may, else inotify; what lies on a file
    /// system without events is polled.
    #[default]
    Auto,
    /// One kernel watch a directory.
    Inotify,
    /// One kernel mark a file system; needs `CAP_SYS_ADMIN` and `CAP_DAC_READ_SEARCH`.
    Fanotify,
    /// No events: the tree is compared with the index at intervals.
    Poll,
}

impl Means {
    /// All means.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Inotify, Self::Fanotify, Self::Poll];

    /// Returns the word used in code, config, CLI and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Inotify => "inotify",
            Self::Fanotify => "fanotify",
            Self::Poll => "poll",
        }
    }
}

impl fmt::Display for Means {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Which symbolic links below a root are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Links {
    /// Those that lead to something inside the root.
    #[default]
    Inside,
    /// All, also those that leave the root.
    Anywhere,
    /// None.
    Never,
}

impl Links {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Inside, Self::Anywhere, Self::Never];

    /// Returns the word used in code, config, CLI and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Anywhere => "anywhere",
            Self::Never => "never",
        }
    }
}

impl fmt::Display for Links {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
