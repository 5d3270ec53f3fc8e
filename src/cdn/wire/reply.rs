//! The replies to calls that succeeded (API reference 1.2 to 1.9).

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

#[cfg(doc)]
use super::{Operation, row_type};
use super::{parse_status, split_task_ids};
use crate::domain::quota::{QuotaKind, Reported};
use crate::domain::task::{TaskId, TaskRow};
use crate::domain::time::Timestamp;

/// The reply to a refresh or a prefetch: one of the two ids is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SubmitReply {
    /// The CDN's request id.
    #[serde(deserialize_with = "or_empty")]
    pub request_id: String,
    /// Task ids of a refresh, joined by commas.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_number")]
    pub refresh_task_id: Option<String>,
    /// Task ids of a prefetch, joined by commas.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_number")]
    pub push_task_id: Option<String>,
}

impl SubmitReply {
    /// Returns the task ids: there are those of a refresh or those of a prefetch.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskId> {
        let ids = [&self.refresh_task_id, &self.push_task_id];
        ids.into_iter().flatten().flat_map(|ids| split_task_ids(ids)).collect()
    }
}

/// The reply to both questions about tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TasksReply {
    /// The CDN's request id.
    #[serde(default, deserialize_with = "or_empty")]
    pub request_id: String,
    /// The rows. An answer without them is not believed: "no rows" would send a batch again.
    pub tasks: Tasks,
    /// How many rows there are in all pages.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub total_count: Option<u64>,
    /// The page, from 1; only of [`Operation::DescribeRefreshTasks`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub page_number: Option<u64>,
    /// Rows a page; only of [`Operation::DescribeRefreshTasks`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number")]
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
            #[serde(deserialize_with = "or_empty")]
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

impl QuotaReply {
    /// Returns what is told of a kind; none unless both figures are there.
    #[must_use]
    pub fn of(&self, kind: QuotaKind) -> Option<Reported> {
        let (quota, remain) = match kind {
            QuotaKind::Url => (self.url_quota, self.url_remain),
            QuotaKind::Directory => (self.dir_quota, self.dir_remain),
            QuotaKind::Regex => (self.regex_quota, self.regex_remain),
            QuotaKind::IgnoreParams => (self.ignore_params_quota, self.ignore_params_remain),
            // It isn't told (API reference 1.9).
            QuotaKind::Tag => (None, None),
            QuotaKind::Prefetch => (self.preload_quota, self.preload_remain),
        };
        Some(Reported { quota: quota?, remain: remain? })
    }
}

#[expect(clippy::ref_option, reason = "serde hands the field over as it stands")]
fn as_text<S: Serializer>(number: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => serializer.collect_str(number),
        None => serializer.serialize_none(),
    }
}

/// Reads a JSON number or a string that holds one. What is neither counts as missing: one odd figure
/// must not hide the others.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = text_or_number(deserializer)?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}

/// Reads a JSON string or a number as text; null is empty.
pub(super) fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(text_or_number(deserializer)?.unwrap_or_default())
}

/// Reads a JSON string or a number as text.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_or_number(deserializer)?.ok_or_else(|| D::Error::custom("null"))
}

/// Reads a JSON string, a number as text, or null.
pub(super) fn text_or_number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Option<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a string or a number")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Text)
}
