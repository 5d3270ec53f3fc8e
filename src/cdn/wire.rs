//! The shapes of the CDN's API (version 2018-05-10): words, replies and error bodies.
//!
//! The client reads them and the sandbox writes them, so one file decides how they are spelt.
//! Reading is tolerant where real answers differ: numbers may be strings, keys may begin in lower
//! case, most fields may be missing. Sections in comments are of the API reference.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::domain::ask::Kind;
use crate::domain::intent::Action;
use crate::domain::path::escape;
use crate::domain::task::{TaskId, TaskRow, TaskStatus};
use crate::domain::time::Timestamp;

mod error;
#[cfg(test)]
mod tests;

pub use error::ErrorBody;

/// The API's version, sent as `x-acs-version`.
pub const VERSION: &str = "2018-05-10";
/// The content type of a form body: without a charset, as the official clients send it (1.1).
pub const FORM: &str = "application/x-www-form-urlencoded";
/// The most rows that [`Operation::DescribeRefreshTasks`] gives in a page (1.7).
pub const PAGE_SIZE: u32 = 100;
/// The most task ids that [`Operation::DescribeRefreshTaskById`] takes (1.8).
pub const MAX_IDS: usize = 10;

/// Declares an enum of words, with both directions between word and variant.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every variant.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the word as it travels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }

            /// Reads the word back, in its exact spelling.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// An operation of the API, as `x-acs-action` names it.
    Operation {
        /// Refreshes; parameters travel in a form body.
        RefreshObjectCaches,
        /// Prefetches; parameters travel in the query.
        PushObjectCache,
        /// Lists recent tasks.
        DescribeRefreshTasks,
        /// Tells how far up to ten task ids are.
        DescribeRefreshTaskById,
        /// Tells the day's quota.
        DescribeRefreshQuota,
    }
}

impl Operation {
    /// Returns how many calls a second an account may make (section 0). The figure for
    /// `RefreshObjectCaches` is of 2025-01, that for `DescribeRefreshTasks` of 2025-11.
    #[must_use]
    pub const fn calls_per_second(self) -> u32 {
        match self {
            Self::RefreshObjectCaches | Self::PushObjectCache => 50,
            Self::DescribeRefreshTasks => 5,
            Self::DescribeRefreshTaskById => 30,
            Self::DescribeRefreshQuota => 20,
        }
    }

    /// Returns whether the parameters travel in a form body instead of the query (1.1).
    #[must_use]
    pub const fn has_form(self) -> bool {
        matches!(self, Self::RefreshObjectCaches)
    }
}

/// Returns the `ObjectType` of a refresh request (1.2).
#[must_use]
pub const fn request_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Url => "File",
        Kind::Directory => "Directory",
        Kind::Regex => "Regex",
        Kind::IgnoreParams => "IgnoreParams",
    }
}

/// Reads the `ObjectType` of a refresh request. `ExQuery` is what some official pages print in the
/// place of `IgnoreParams` (1.2).
#[must_use]
pub fn parse_request_type(text: &str) -> Option<Kind> {
    if text == "ExQuery" {
        return Some(Kind::IgnoreParams);
    }
    Kind::ALL
        .into_iter()
        .find(|kind| request_type(*kind) == text)
}

/// Returns the `ObjectType` of a row in task lists, and of a question for such rows (1.7). No
/// source prints the word for ignore-params; this one is ours.
#[must_use]
pub const fn row_type(action: Action, kind: Kind) -> &'static str {
    match (action, kind) {
        (Action::Prefetch, _) => "preload",
        (Action::Refresh, Kind::Url) => "file",
        (Action::Refresh, Kind::Directory) => "directory",
        (Action::Refresh, Kind::Regex) => "regex",
        (Action::Refresh, Kind::IgnoreParams) => "ignoreparams",
    }
}

/// Splits `RefreshTaskId` or `PushTaskId` at its commas (1.2).
#[must_use]
pub fn split_task_ids(text: &str) -> Vec<TaskId> {
    text.split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .map(|id| TaskId(id.to_owned()))
        .collect()
}

/// Reads how far a task is from `Status`, `Process` and `Description` (1.8). A word not known is
/// in progress; the description of a failure falls back to the status word.
#[must_use]
pub fn parse_status(status: &str, process: &str, description: &str) -> TaskStatus {
    let is_any = |words: &[&str]| words.iter().any(|word| status.eq_ignore_ascii_case(word));
    if is_any(&["Complete"]) {
        TaskStatus::Complete
    } else if is_any(&["Failed", "Timeout", "Canceled"]) {
        let cause = if description.trim().is_empty() {
            status
        } else {
            description
        };
        TaskStatus::Failed(foreign_text(cause.trim()))
    } else {
        // `99.37%`, `99.37`, `99%`: the decimals are dropped.
        let digits = process.trim().split(['.', '%']).next().unwrap_or_default();
        TaskStatus::Running {
            percent: digits.parse::<u8>().unwrap_or(0).min(100),
        }
    }
}

/// Makes text of others fit for logs and the journal: one line, escaped, at most 512 bytes.
#[must_use]
pub fn foreign_text(text: &str) -> String {
    const LIMIT: usize = 512;
    let mut line = escape(text.as_bytes());
    if line.len() > LIMIT {
        let mut end = LIMIT - '…'.len_utf8();
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Reads a JSON body; keys may begin in lower case (1.9, 2.1). Nothing when it does not fit.
#[must_use]
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let mut value = serde_json::from_slice(body).ok()?;
    capitalise_keys(&mut value);
    serde_json::from_value(value).ok()
}

fn capitalise_keys(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(mut key, mut field)| {
                    if let Some(first) = key.get_mut(..1) {
                        first.make_ascii_uppercase();
                    }
                    capitalise_keys(&mut field);
                    (key, field)
                })
                .collect();
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(capitalise_keys),
        _ => {}
    }
}

/// The reply to a refresh or a prefetch: one of the two ids is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SubmitReply {
    /// The CDN's request id.
    pub request_id: String,
    /// Task ids of a refresh, joined by commas.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text_or_number"
    )]
    pub refresh_task_id: Option<String>,
    /// Task ids of a prefetch, joined by commas.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text_or_number"
    )]
    pub push_task_id: Option<String>,
}

/// The reply to both questions about tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TasksReply {
    /// The CDN's request id.
    #[serde(default)]
    pub request_id: String,
    /// The rows. An answer without them is not believed: "no rows" would send a batch again.
    pub tasks: Tasks,
    /// How many rows there are in all pages.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number"
    )]
    pub total_count: Option<u64>,
    /// The page, from 1; only of [`Operation::DescribeRefreshTasks`].
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number"
    )]
    pub page_number: Option<u64>,
    /// Rows a page; only of [`Operation::DescribeRefreshTasks`].
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number"
    )]
    pub page_size: Option<u64>,
}

/// The rows of a [`TasksReply`], in one of the API's two shapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tasks {
    /// `Tasks[]`, of [`Operation::DescribeRefreshTaskById`] (1.8).
    Flat(Vec<Task>),
    /// `Tasks.CDNTask[]`, of [`Operation::DescribeRefreshTasks`] (1.7).
    Nested {
        /// The rows.
        #[serde(rename = "CDNTask", default)]
        tasks: Vec<Task>,
    },
}

impl Tasks {
    /// Returns the rows, whatever their shape was.
    #[must_use]
    pub fn into_rows(self) -> Vec<Task> {
        match self {
            Self::Flat(tasks) | Self::Nested { tasks } => tasks,
        }
    }
}

/// A row: what the CDN says of one (task id, target).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    /// The task id.
    #[serde(deserialize_with = "text")]
    pub task_id: String,
    /// The target.
    pub object_path: String,
    /// The type, as [`row_type`] spells it.
    #[serde(default, deserialize_with = "text_or_number")]
    pub object_type: Option<String>,
    /// `Complete`, `Refreshing`, `Failed`, …
    #[serde(default, deserialize_with = "text_or_number")]
    pub status: Option<String>,
    /// Percent, as `99.37%`.
    #[serde(default, deserialize_with = "text_or_number")]
    pub process: Option<String>,
    /// `yyyy-MM-ddTHH:mm:ssZ`.
    #[serde(default, deserialize_with = "text_or_number")]
    pub creation_time: Option<String>,
    /// Why it failed; empty or missing otherwise.
    #[serde(default, deserialize_with = "text_or_number")]
    pub description: Option<String>,
}

impl Task {
    /// Turns the row into the house's words.
    #[must_use]
    pub fn into_row(self) -> TaskRow {
        let status = parse_status(
            self.status.as_deref().unwrap_or_default(),
            self.process.as_deref().unwrap_or_default(),
            self.description.as_deref().unwrap_or_default(),
        );
        TaskRow {
            task: TaskId(self.task_id.trim().to_owned()),
            object_path: self.object_path,
            object_type: self.object_type.unwrap_or_default(),
            status,
            created_at: self.creation_time.as_deref().and_then(Timestamp::parse),
        }
    }
}

macro_rules! quota_reply {
    ($($(#[$doc:meta])* $field:ident,)+) => {
        /// The reply to [`Operation::DescribeRefreshQuota`]: integers, written as strings (1.9).
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct QuotaReply {
            /// The CDN's request id.
            pub request_id: String,
            $(
                $(#[$doc])*
                #[serde(
                    skip_serializing_if = "Option::is_none",
                    deserialize_with = "number",
                    serialize_with = "as_text"
                )]
                pub $field: Option<u64>,
            )+
        }
    };
}

quota_reply! {
    /// URL refreshes a day.
    url_quota,
    /// URL refreshes left.
    url_remain,
    /// Directory refreshes a day.
    dir_quota,
    /// Directory refreshes left.
    dir_remain,
    /// Regex refreshes a day.
    regex_quota,
    /// Regex refreshes left.
    regex_remain,
    /// Ignore-params refreshes a day.
    ignore_params_quota,
    /// Ignore-params refreshes left.
    ignore_params_remain,
    /// Prefetches a day.
    preload_quota,
    /// Prefetches left.
    preload_remain,
    /// Prefetches to the outer edge a day; refreshd uses none.
    preload_edge_quota,
    /// Prefetches to the outer edge left.
    preload_edge_remain,
    /// Blocked URLs a day; refreshd uses none.
    block_quota,
    /// Blocked URLs left.
    block_remain,
}

#[expect(clippy::ref_option, reason = "serde hands the field over as it stands")]
fn as_text<S: serde::Serializer>(number: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => serializer.collect_str(number),
        None => serializer.serialize_none(),
    }
}

/// Reads a JSON number, a string that holds one, or null.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match text_or_number(deserializer)? {
        Some(text) if !text.trim().is_empty() => text
            .trim()
            .parse()
            .map(Some)
            .map_err(serde::de::Error::custom),
        _ => Ok(None),
    }
}

/// Reads a JSON string or a number as text.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_or_number(deserializer)?.ok_or_else(|| serde::de::Error::custom("null"))
}

/// Reads a JSON string, a number as text, or null.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Option<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a string or a whole number")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Text)
}
