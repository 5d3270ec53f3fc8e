//! The pretend CDN's API as a pure state machine: state, a request and `now` in; a reply out, and
//! later the effects that its tasks have on the edge.
//!
//! **Invariant:** nothing here does I/O, asks a clock or draws randomness, so every rule of the API
//! is tested without a socket.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::cdn::wire::{Operation, VERSION};
use crate::domain::quota::{PerKind, QuotaKind};
use crate::domain::time::Timestamp;

use call::{Answer, Refusal};
use fault::Faults;
use meter::Meter;
use tasks::Tasks;
use verify::Verifier;

pub(crate) mod call;
mod describe;
mod domains;
pub(crate) mod fault;
mod lines;
mod meter;
pub(crate) mod pattern;
mod submit;
pub(crate) mod tasks;
mod verify;

#[cfg(test)]
mod tests;

pub(crate) use call::Call;

/// A key pair that the pretend CDN knows.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The access key id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// The security token that has to travel along, if the pair is a temporary one.
    pub token: Option<String>,
    /// When a temporary pair ends.
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessKey([redacted])")
    }
}

/// What the model is told once.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) keys: Vec<AccessKey>,
    /// What a day allows.
    pub(crate) quota: PerKind<u64>,
    /// The domains that exist; any does when empty. Lower case.
    pub(crate) domains: Vec<String>,
    /// Those that are switched off. Lower case.
    pub(crate) offline: Vec<String>,
    /// Whether the account is on the list of those that may ask for the details of a prefetch.
    pub(crate) detail: bool,
    /// How long a refresh takes, and a prefetch at most.
    pub(crate) ripening: Duration,
    /// Ids count up from here.
    pub(crate) first_task: u64,
}

/// One submission that was accepted: what really reached the CDN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// When, in microseconds since the Unix epoch.
    pub time_micros: i64,
    /// The operation.
    pub action: &'static str,
    /// What was debited.
    pub kind: QuotaKind,
    /// Whether copies are dropped instead of revalidated.
    pub force: bool,
    /// The other parameters of a prefetch, as they were sent.
    pub options: BTreeMap<String, String>,
    /// The lines of `ObjectPath` as they were sent, blank ones left out; a cache tag as
    /// `https://HOST/#TAG`.
    pub targets: Vec<String>,
    /// The ids that were answered.
    pub task_ids: Vec<String>,
    /// The request id that was answered.
    pub request_id: String,
}

/// The outside counting side: all that was accepted and how often what was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Accepted submissions in order.
    pub accepted: Vec<Accepted>,
    /// Refused calls by error code; scripted refusals are counted too.
    pub rejected: BTreeMap<String, u64>,
    /// Calls that came, by operation, whatever became of them.
    pub calls: BTreeMap<String, u64>,
}

/// The state of the pretend CDN's API.
#[derive(Debug)]
pub(crate) struct Model {
    settings: Settings,
    verifier: Verifier,
    meter: Meter,
    tasks: Tasks,
    /// The hosts that were asked for.
    seen: BTreeSet<String>,
    pub(crate) faults: Faults,
    log: Log,
}

impl Model {
    pub(crate) fn new(settings: Settings, now: Timestamp) -> Self {
        Self {
            verifier: Verifier::new(settings.keys.clone()),
            meter: Meter::new(settings.quota, now),
            tasks: Tasks::new(settings.first_task, settings.ripening),
            seen: BTreeSet::new(),
            faults: Faults::default(),
            log: Log::default(),
            settings,
        }
    }

    /// Answers one request: signature first, then parameters, then quota.
    pub(crate) fn call(&mut self, call: &Call, now: Timestamp, request_id: &str) -> Answer {
        match self.verified(call, now, request_id) {
            Ok(body) => Answer::accepted(body, request_id),
            Err(refusal) => {
                self.count_refusal(&refusal.code);
                Answer::refused(&refusal, call.header("host").unwrap_or_default(), request_id)
            }
        }
    }

    fn verified(
        &mut self,
        call: &Call,
        now: Timestamp,
        request_id: &str,
    ) -> Result<Value, Refusal> {
        self.verifier.verify(call, now)?;
        if call.header("x-acs-version") != Some(VERSION) {
            return Err(Refusal::new(
                400,
                "InvalidVersion",
                "Specified parameter Version is not valid.",
            ));
        }
        let parameters = call.parameters();
        match call.header("x-acs-action").and_then(Operation::parse) {
            Some(Operation::RefreshObjectCaches) => self.refresh(&parameters, now, request_id),
            Some(Operation::RefreshObjectCacheByCacheTag) => {
                self.refresh_tags(&parameters, now, request_id)
            }
            Some(Operation::PushObjectCache) => self.push(&parameters, now, request_id),
            Some(Operation::DescribeRefreshTasks) => self.describe_tasks(&parameters, now),
            Some(Operation::DescribeRefreshTaskById) => self.describe_by_id(&parameters, now),
            Some(Operation::DescribeRefreshQuota) => Ok(self.describe_quota(now)),
            Some(Operation::DescribePreloadDetailById) => self.describe_detail(&parameters, now),
            Some(Operation::DescribeUserDomains) => self.describe_domains(&parameters),
            None => Err(Refusal::new(
                404,
                "InvalidAction.NotFound",
                "Specified api is not found, please check your url and method.",
            )),
        }
    }

    /// Sets the pairs that may sign from now on.
    pub(crate) fn set_keys(&mut self, keys: Vec<AccessKey>) {
        self.verifier.set_keys(keys);
    }

    /// Counts a call that came, whatever becomes of it.
    pub(crate) fn count_call(&mut self, action: &str) {
        *self.log.calls.entry(action.to_owned()).or_default() += 1;
    }

    /// Counts a refusal under its code.
    pub(crate) fn count_refusal(&mut self, code: &str) {
        *self.log.rejected.entry(code.to_owned()).or_default() += 1;
    }

    /// Hands out the tasks whose effect on the edge is due.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<tasks::Effect> {
        self.tasks.due(now)
    }

    /// Returns when the next effect is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.tasks.next_due()
    }

    /// Notes that an effect was applied, or why it could not be.
    pub(crate) fn end(&mut self, row: u64, result: Result<(), String>) {
        self.tasks.end(row, result);
    }

    /// Returns whether an effect was handed out and has not ended.
    pub(crate) fn working(&self) -> bool {
        self.tasks.working()
    }

    /// Sets what is left of today's quota, as if others of the account had spent the rest.
    pub(crate) fn set_remaining(&mut self, kind: QuotaKind, remaining: u64, now: Timestamp) {
        self.meter.set_remaining(kind, remaining, now);
    }

    /// Returns the task id and target of every row that had its effect on the edge.
    pub(crate) fn effective(&self) -> Vec<(String, String)> {
        self.tasks.effective()
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }
}
