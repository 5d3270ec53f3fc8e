//! Deploys: the changes of an origin between two quiet moments.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::names::OriginName;
use super::time::Timestamp;

/// How long a deploy may be held open by `refreshd deploy begin`.
pub const LONGEST_BRACKET: Duration = Duration::from_secs(30 * 60);

/// What begins this soon after a deploy closed goes on where that was cut by its deadline.
const GOES_ON: Duration = Duration::from_secs(5);

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

    /// Returns when the deploy opened, if the name tells.
    #[must_use]
    pub fn opened_at(&self) -> Option<Timestamp> {
        let (micros, _) = self.0.strip_prefix('d')?.split_once('-')?;
        i64::from_str_radix(micros, 16).ok().map(Timestamp::from_micros)
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

/// A deploy that somebody holds open, for it pauses longer than the quiet time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// The deploy.
    pub deploy: DeployId,
    /// Since when.
    pub began_at: Timestamp,
    /// Whether its end was asked for: it closes once all that was written before is seen.
    pub ending: bool,
}

impl Bracket {
    /// When it ends by itself.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.began_at.plus(LONGEST_BRACKET)
    }
}

/// Returns the deploys that make up the latest one for who asks since `since`: the newest, and those
/// that were open while it or the asking began, or merely cut from it by their deadline, without a
/// quiet moment. A removal is believed late and closes its deploy anew, so that others may lie
/// between. `newest_first` are those of one origin.
#[must_use]
pub fn latest(newest_first: &[Deploy], since: Timestamp) -> &[Deploy] {
    let mut began = since;
    let mut count = 0;
    for (number, deploy) in (1..).zip(newest_first) {
        let goes_on = deploy.closed_at.is_none_or(|closed_at| began <= closed_at.plus(GOES_ON));
        if number == 1 || goes_on {
            began = began.min(deploy.opened_at);
            count = number;
        }
    }
    newest_first.get(..count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_deploy_begins_after_the_last_quiet_moment() {
        let deploy = |opened: i64, closed: Option<i64>| Deploy {
            id: DeployId::new(Timestamp::from_seconds(opened), 0),
            origin: "www".into(),
            opened_at: Timestamp::from_seconds(opened),
            closed_at: closed.map(Timestamp::from_seconds),
        };
        let latest = |deploys: &[Deploy], since: i64| {
            super::latest(deploys, Timestamp::from_seconds(since)).len()
        };
        assert_eq!(latest(&[], 130), 0);
        let three = [deploy(120, Some(121)), deploy(110, Some(120)), deploy(100, Some(104))];
        assert_eq!((latest(&three, 130), latest(&three[2..], 130)), (2, 1));
        assert_eq!(latest(&[deploy(120, None), deploy(110, Some(112))], 130), 1);
        // What was removed in the oldest was believed when the others had closed.
        let late = [deploy(120, Some(121)), deploy(110, Some(112)), deploy(100, Some(130))];
        assert_eq!(latest(&late, 140), 3);
        // Another one came since it was asked for.
        let other = [deploy(120, Some(121)), deploy(100, Some(104)), deploy(90, Some(91))];
        assert_eq!((latest(&other, 105), latest(&other, 110)), (2, 1));
    }
}
