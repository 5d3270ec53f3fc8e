//! Batches, jobs and tasks: what was asked of the CDN and what it says of it.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::ask::{Kind, Target};
use super::intent::{Action, IntentId};
use super::names::AccountName;
use super::quota::QuotaKind;
use super::time::Timestamp;
use super::url::listed_target;

/// Our key of a batch: 32 hexadecimal digits, drawn before the call. The debit hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchKey(String);

impl BatchKey {
    /// Makes a key that sorts by time: 16 digits of microseconds, 16 random ones.
    #[must_use]
    pub fn new(now: Timestamp, random: u64) -> Self {
        Self(format!("{:016x}{random:016x}", now.as_micros()))
    }

    /// Takes a key as it was written.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// Returns the key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BatchKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The fencing number of the lead: rises each time somebody takes the right to submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub i64);

/// A task id of the CDN: decimal digits, of any length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub String);

impl fmt::Display for TaskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the CDN is asked in order to satisfy one or more intents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is named.
    pub target: Target,
    /// The intents it stands for: its own, and those it covers. Never empty.
    pub intents: Vec<IntentId>,
}

/// The asks of one API call, with a key of ours; one debit of quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Our key.
    pub key: BatchKey,
    /// Whose quota.
    pub account: AccountName,
    /// What the CDN is to do.
    pub action: Action,
    /// The kind that all asks share. `Url` for a prefetch.
    pub kind: Kind,
    /// Whether cached copies are to be dropped.
    pub force: bool,
    /// The asks, in the order they travel.
    pub asks: Vec<Ask>,
}

impl Batch {
    /// Returns the kind of quota that the batch is debited to.
    #[must_use]
    pub const fn quota_kind(&self) -> QuotaKind {
        QuotaKind::of(self.action, self.kind)
    }

    /// Returns whether a row of the CDN's task list can be known to be ours: only the target is
    /// listed, not `Force` (API reference 1.7), and only File and plain Directory tasks can be
    /// listed by domain and type.
    #[must_use]
    pub const fn can_be_adopted(&self) -> bool {
        match (self.action, self.kind) {
            (Action::Prefetch, _) | (Action::Refresh, Kind::Url) => true,
            (Action::Refresh, Kind::Directory) => !self.force,
            (Action::Refresh, Kind::Regex | Kind::IgnoreParams | Kind::Tag) => false,
        }
    }
}

/// What the CDN says of one (task id, target).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    /// The task id.
    pub task: TaskId,
    /// The target as the CDN spells it.
    pub object_path: String,
    /// The type as the CDN spells it: `file`, `directory`, `regex`, `preload`, …
    pub object_type: String,
    /// How far it is.
    pub status: TaskStatus,
    /// When the CDN made it, to the second.
    pub created_at: Option<Timestamp>,
}

/// How far a task is with a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Pending, Refreshing, or a word not known.
    Running {
        /// Percent, 0 to 100; decimals dropped.
        percent: u8,
    },
    /// `Complete`.
    Complete,
    /// `Failed`, `Timeout` or `Canceled`, with the CDN's description.
    Failed(String),
}

/// Returns what the rows of a job's task ids say of its asks; nothing of an ask that no row names.
///
/// A row tells by its path which ask it is about, and of two for one the first counts. Which path a
/// task by cache tag shows no source says (API reference, section 10): there every ask is as far as all
/// rows together are.
#[must_use]
pub fn statuses<'a>(
    kind: Kind,
    asks: impl Iterator<Item = &'a Target>,
    tasks: &[TaskId],
    rows: &[TaskRow],
) -> Vec<(Target, TaskStatus)> {
    let rows: Vec<&TaskRow> = rows.iter().filter(|row| tasks.contains(&row.task)).collect();
    if kind == Kind::Tag {
        let status = together(tasks, &rows);
        return asks.filter_map(|ask| Some((ask.clone(), status.clone()?))).collect();
    }
    // Read once, not once for each ask: an id that batches share brings thousands of rows.
    let mut listed: HashMap<Target, &TaskStatus> = HashMap::new();
    for row in rows {
        listed.entry(listed_target(kind, &row.object_path)).or_insert(&row.status);
    }
    asks.filter_map(|ask| Some((ask.clone(), (*listed.get(ask)?).clone()))).collect()
}

/// Returns how far all rows together are: failed as soon as one is, complete when all are and each task
/// id has one.
fn together(tasks: &[TaskId], rows: &[&TaskRow]) -> Option<TaskStatus> {
    let statuses = || rows.iter().map(|row| &row.status);
    if let Some(failed) = statuses().find(|status| matches!(status, TaskStatus::Failed(_))) {
        return Some(failed.clone());
    }
    let has_row = |task: &TaskId| rows.iter().any(|row| row.task == *task);
    if tasks.iter().all(has_row) && statuses().all(|status| *status == TaskStatus::Complete) {
        return Some(TaskStatus::Complete);
    }
    let percent = statuses().map(|status| match status {
        TaskStatus::Running { percent } => *percent,
        TaskStatus::Complete | TaskStatus::Failed(_) => 100,
    });
    Some(TaskStatus::Running { percent: percent.min()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(task: &str, path: &str, status: &TaskStatus) -> TaskRow {
        TaskRow {
            task: TaskId(task.to_owned()),
            object_path: path.to_owned(),
            object_type: String::new(),
            status: status.clone(),
            created_at: None,
        }
    }

    const COMPLETE: TaskStatus = TaskStatus::Complete;

    #[test]
    fn a_row_tells_of_the_ask_that_its_path_names() {
        let asks =
            ["x", "y", "z"].map(|path| Target::new(Kind::Url, format!("https://a.example/{path}")));
        let failed = TaskStatus::Failed("Origin Timeout".to_owned());
        let rows = [
            row("1", "http://a.example/x", &COMPLETE),
            row("1", "a.example/x", &failed),
            row("2", "https://a.example/y", &failed),
            row("3", "https://a.example/z", &COMPLETE),
        ];
        let ours = ["1", "2"].map(|id| TaskId(id.to_owned()));
        let [x, y, _] = asks.clone();
        assert_eq!(statuses(Kind::Url, asks.iter(), &ours, &rows), [(x, COMPLETE), (y, failed)]);
    }

    #[test]
    fn whatever_path_a_task_by_tag_shows_its_asks_are_as_far_as_its_rows_together() {
        let asks =
            ["a", "b"].map(|tag| Target::new(Kind::Tag, format!("https://a.example/#{tag}")));
        let running = |percent| TaskStatus::Running { percent };
        let failed = TaskStatus::Failed("Internal Error".to_owned());
        let ours = ["1", "2"].map(|id| TaskId(id.to_owned()));
        for (rows, seen) in [
            (vec![], None),
            (vec![row("9", "a.example", &COMPLETE)], None),
            (vec![row("1", "a.example", &COMPLETE)], Some(running(100))),
            (
                vec![
                    row("1", "a", &running(30)),
                    row("2", "b", &running(7)),
                    row("2", "", &COMPLETE),
                ],
                Some(running(7)),
            ),
            (vec![row("1", "a", &COMPLETE), row("2", "?", &COMPLETE)], Some(COMPLETE)),
            (vec![row("1", "a", &COMPLETE), row("2", "?", &failed)], Some(failed.clone())),
        ] {
            let wanted: Vec<_> = seen
                .into_iter()
                .flat_map(|seen| asks.clone().map(|ask| (ask, seen.clone())))
                .collect();
            assert_eq!(statuses(Kind::Tag, asks.iter(), &ours, &rows), wanted, "{rows:?}");
        }
    }
}
