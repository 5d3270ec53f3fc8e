//! Deploys: the changes of an origin between two quiet moments.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::OriginName;
use super::time::Timestamp;

/// The name of a deploy: `d` and the hexadecimal microseconds of its opening, then four random
/// hexadecimal digits. Sorts by time, fits a log line and a command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeployId(String);

impl DeployId {
    /// Names a deploy opened at `now`.
    #[must_use]
    pub fn new(now: Timestamp, random: u64) -> Self {
        Self(format!("d{:013x}-{:04x}", now.as_micros(), random & 0xffff))
    }

    /// Takes a name that was written down or typed before.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeployId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The changes of an origin between two quiet moments, or of one push: one id, one plan, one report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// Its name.
    pub id: DeployId,
    /// Whose changes.
    pub origin: OriginName,
    /// When the first change was seen.
    pub opened_at: Timestamp,
    /// When it was closed; while open its intents are not planned.
    pub closed_at: Option<Timestamp>,
}
