//! The shapes of the CDN's API (version 2018-05-10): words, replies and error bodies.
//!
//! The client reads them and the sandbox writes them, so one file decides how they are spelt.
//! Reading is tolerant where real answers differ: numbers may be strings, keys may begin in lower
//! case, most fields may be missing. Sections in comments are of the API reference.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::domain::ask::Kind;
use crate::domain::intent::Action;
use crate::domain::limits::Limits;
use crate::domain::task::{TaskId, TaskStatus};

mod account;
mod error;
mod reply;
#[cfg(test)]
mod tests;

pub use crate::domain::path::foreign_text;
pub use account::{
    DOMAINS_PAGE, DetailReply, Domain, DomainDetail, Domains, DomainsReply, UrlDetail,
};
pub use error::ErrorBody;
pub use reply::{QuotaReply, SubmitReply, Task, Tasks, TasksReply};

/// The API's version, sent as `x-acs-version`.
pub const VERSION: &str = "2018-05-10";
/// The content type of a form body: without a charset, as the official clients send it (1.1).
pub const FORM: &str = "application/x-www-form-urlencoded";
/// The most rows that [`Operation::DescribeRefreshTasks`] gives in a page (1.7).
pub const PAGE_SIZE: u32 = 100;

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
        /// Refreshes by cache tag; parameters travel in the query.
        RefreshObjectCacheByCacheTag,
        /// Prefetches; parameters travel in the query.
        PushObjectCache,
        /// Lists recent tasks.
        DescribeRefreshTasks,
        /// Tells how far a few task ids are.
        DescribeRefreshTaskById,
        /// Tells the day's quota.
        DescribeRefreshQuota,
        /// Tells how far the nodes are with a prefetch; for chosen accounts only.
        DescribePreloadDetailById,
        /// Lists the account's domains.
        DescribeUserDomains,
    }
}

impl Operation {
    /// Returns how many calls a second an account may make.
    #[must_use]
    pub const fn calls_per_second(self, limits: &Limits) -> u32 {
        match self {
            Self::RefreshObjectCaches => limits.refresh_calls,
            Self::RefreshObjectCacheByCacheTag => limits.tag_calls,
            Self::PushObjectCache => limits.prefetch_calls,
            Self::DescribeRefreshTasks => limits.tasks_calls,
            Self::DescribeRefreshTaskById => limits.task_by_id_calls,
            Self::DescribeRefreshQuota => limits.quota_calls,
            Self::DescribePreloadDetailById => limits.detail_calls,
            Self::DescribeUserDomains => limits.domains_calls,
        }
    }

    /// Returns whether the parameters travel in a form body instead of the query (1.1).
    #[must_use]
    pub const fn has_form(self) -> bool {
        matches!(self, Self::RefreshObjectCaches)
    }
}

/// Returns the `ObjectType` of a refresh request (1.2); none of a tag, which has an operation of its own.
#[must_use]
pub const fn request_type(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Url => Some("File"),
        Kind::Directory => Some("Directory"),
        Kind::Regex => Some("Regex"),
        Kind::IgnoreParams => Some("IgnoreParams"),
        Kind::Tag => None,
    }
}

/// Reads the `ObjectType` of a refresh request. `ExQuery` is what some official pages print in the
/// place of `IgnoreParams` (1.2).
#[must_use]
pub fn parse_request_type(text: &str) -> Option<Kind> {
    if text == "ExQuery" {
        return Some(Kind::IgnoreParams);
    }
    Kind::ALL.into_iter().find(|kind| request_type(*kind) == Some(text))
}

/// Returns the `ObjectType` of a row in task lists, and of a question for such rows (1.7). No
/// source prints the words for ignore-params and tags; these are ours.
#[must_use]
pub const fn row_type(action: Action, kind: Kind) -> &'static str {
    match (action, kind) {
        (Action::Prefetch, _) => "preload",
        (Action::Refresh, Kind::Url) => "file",
        (Action::Refresh, Kind::Directory) => "directory",
        (Action::Refresh, Kind::Regex) => "regex",
        (Action::Refresh, Kind::IgnoreParams) => "ignoreparams",
        (Action::Refresh, Kind::Tag) => "tag",
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
        let cause = if description.trim().is_empty() { status } else { description };
        TaskStatus::Failed(foreign_text(cause.trim()))
    } else {
        // `99.37%`, `99.37`, `99%`: the decimals are dropped.
        let digits = process.trim().split(['.', '%']).next().unwrap_or_default();
        TaskStatus::Running { percent: digits.parse::<u8>().unwrap_or(0).min(100) }
    }
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
