//! Scripted faults: what goes wrong next, or for a while.

use std::collections::BTreeMap;

use serde::Deserialize;

mod script;
mod shape;

pub(crate) use script::Faults;
pub use shape::Shape;

/// One scripted fault. In JSON either form of object is understood.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Fault {
    /// Calls are answered in another way.
    Call(CallFault),
    /// Tasks end, or are told of, in another way.
    Target(TargetFault),
}

/// Calls are answered in another way. It meets every call that fits all that is given here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallFault {
    /// The operation.
    #[serde(default)]
    pub action: Option<String>,
    /// A domain that a line of `ObjectPath` is of.
    #[serde(default)]
    pub domain: Option<String>,
    /// A line of `ObjectPath`, spelled as it will be sent.
    #[serde(default)]
    pub target: Option<String>,
    /// For how many calls; without it and without `for_seconds` for one.
    #[serde(default)]
    pub times: Option<u32>,
    /// For how many seconds of the sandbox's clock from now on.
    #[serde(default)]
    pub for_seconds: Option<u64>,
    /// Whether the call is really carried out before the answer goes wrong. `Truncated`, `Delay`
    /// and `Shape` always carry it out.
    #[serde(default)]
    pub work: bool,
    /// What is answered.
    pub reply: Reply,
    /// Headers that the answer has besides, such as `x-ratelimit-user-api`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// What a faulty call answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// An error of the API in JSON.
    Error {
        /// The HTTP status.
        status: u16,
        /// The `Code`.
        code: String,
        /// The value of `x-acs-retry-after`, in milliseconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// A page of a proxy: HTML.
    Html {
        /// The HTTP status.
        status: u16,
    },
    /// An error of the API in XML.
    Xml {
        /// The HTTP status.
        status: u16,
        /// The `Code`.
        code: String,
    },
    /// The connection is reset.
    Reset,
    /// No answer ever comes, and the connection stays open.
    Silent,
    /// The connection ends in the middle of the answer's body.
    Truncated,
    /// The call is carried out and answered after a while.
    Delay {
        /// How long, in milliseconds.
        millis: u64,
    },
    /// The call is carried out, and its answer looks otherwise than documented.
    Shape(Shape),
}

/// New tasks end, or are told of, in another way.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetFault {
    /// A line of `ObjectPath`, spelled as it will be sent; any when left out.
    #[serde(default)]
    pub target: Option<String>,
    /// For how many tasks; without it and without `for_seconds` for one.
    #[serde(default)]
    pub times: Option<u32>,
    /// For tasks that begin within so many seconds of the sandbox's clock.
    #[serde(default)]
    pub for_seconds: Option<u64>,
    /// How they end.
    pub ending: Ending,
}

/// How a faulty task ends. Only one that lags has its effect on the edge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// As Failed.
    Failed {
        /// The row's `Description`.
        description: String,
    },
    /// Never: the row is never shown.
    NoRow,
    /// Never: the row is shown as Refreshing for ever.
    Never,
    /// As it should, but asking is what moves the status: each answer is what was true when it was
    /// asked for the time before.
    Lagging,
}

impl CallFault {
    /// Answers the next call, whatever it is, with `reply`.
    #[must_use]
    pub const fn new(reply: Reply) -> Self {
        Self {
            action: None,
            domain: None,
            target: None,
            times: None,
            for_seconds: None,
            work: false,
            reply,
            headers: BTreeMap::new(),
        }
    }
}

impl Reply {
    /// Makes an error in JSON without a wait.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        Self::Error { status, code: code.to_owned(), retry_after: None }
    }
}

impl Fault {
    /// Answers the next `times` calls of `action` with an error, without carrying them out.
    #[must_use]
    pub fn error(action: &str, times: u32, status: u16, code: &str) -> Self {
        Self::call(action, times, false, Reply::error(status, code))
    }

    /// Answers the next `times` calls of `action` with `reply`; with `work` they are carried out.
    #[must_use]
    pub fn call(action: &str, times: u32, work: bool, reply: Reply) -> Self {
        let (action, times) = (Some(action.to_owned()), Some(times));
        Self::Call(CallFault { action, times, work, ..CallFault::new(reply) })
    }

    /// Lets the next task for `target` end as `ending`.
    #[must_use]
    pub fn target(target: &str, ending: Ending) -> Self {
        let target = Some(target.to_owned());
        Self::Target(TargetFault { target, times: None, for_seconds: None, ending })
    }
}
