//! Scripted faults: what goes wrong next.

use serde::Deserialize;

/// One scripted fault. In JSON either form of object is understood.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Fault {
    /// The next calls are answered in another way.
    Call(CallFault),
    /// Tasks for a target end in another way.
    Target(TargetFault),
}

/// The next calls are answered in another way.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallFault {
    /// The operation; any when left out.
    #[serde(default)]
    pub action: Option<String>,
    /// For how many calls.
    #[serde(default = "once")]
    pub times: u32,
    /// Whether the call is really carried out before the answer goes wrong. `Truncated` and
    /// `Delay` always carry it out.
    #[serde(default)]
    pub work: bool,
    /// What is answered.
    pub reply: Reply,
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
}

/// The next tasks for a target end in another way.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetFault {
    /// A line of `ObjectPath`, spelled as it will be sent.
    pub target: String,
    /// For how many tasks.
    #[serde(default = "once")]
    pub times: u32,
    /// How they end.
    pub ending: Ending,
}

/// How a faulty task ends; it has no effect on the edge.
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
}

const fn once() -> u32 {
    1
}

impl Fault {
    /// Answers the next `times` calls of `action` with an error, without carrying them out.
    #[must_use]
    pub fn error(action: &str, times: u32, status: u16, code: &str) -> Self {
        let reply = Reply::Error { status, code: code.to_owned(), retry_after: None };
        Self::call(action, times, false, reply)
    }

    /// Answers the next `times` calls of `action` with `reply`; with `work` they are carried out.
    #[must_use]
    pub fn call(action: &str, times: u32, work: bool, reply: Reply) -> Self {
        Self::Call(CallFault { action: Some(action.to_owned()), times, work, reply })
    }

    /// Lets the next task for `target` end as `ending`.
    #[must_use]
    pub fn target(target: &str, ending: Ending) -> Self {
        Self::Target(TargetFault { target: target.to_owned(), times: 1, ending })
    }
}

/// The faults that are still to come, in order.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    calls: Vec<CallFault>,
    targets: Vec<TargetFault>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Call(fault) => self.calls.push(fault),
            Fault::Target(fault) => self.targets.push(fault),
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the fault that the next call of `action` meets.
    pub(crate) fn next_call(&mut self, action: &str) -> Option<CallFault> {
        self.calls.retain(|fault| fault.times > 0);
        let fault = self
            .calls
            .iter_mut()
            .find(|fault| fault.action.as_deref().is_none_or(|name| name == action))?;
        fault.times -= 1;
        Some(fault.clone())
    }

    /// Takes the ending that the next task for `target` has.
    pub(crate) fn ending_of(&mut self, target: &str) -> Option<Ending> {
        self.targets.retain(|fault| fault.times > 0);
        let fault = self.targets.iter_mut().find(|fault| fault.target == target)?;
        fault.times -= 1;
        Some(fault.ending.clone())
    }
}
