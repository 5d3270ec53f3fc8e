//! The faults that are still to come, and which of them a call or a task meets.

use std::time::Duration;

use super::{CallFault, Ending, Fault, TargetFault};
use crate::domain::time::Timestamp;
use crate::sandbox::model::call::Call;
use crate::sandbox::model::lines::host_of;

/// The faults that are still to come; of several that fit the first one counts.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    calls: Vec<Scripted<CallFault>>,
    targets: Vec<Scripted<TargetFault>>,
}

/// A fault, and how long it lasts.
#[derive(Debug)]
struct Scripted<F> {
    fault: F,
    left: Option<u32>,
    until: Option<Timestamp>,
}

impl<F: Clone> Scripted<F> {
    fn new(fault: F, times: Option<u32>, for_seconds: Option<u64>, now: Timestamp) -> Self {
        let until = for_seconds.map(|seconds| now.plus(Duration::from_secs(seconds)));
        Self { fault, left: times.or(until.is_none().then_some(1)), until }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.left == Some(0) || self.until.is_some_and(|until| until <= now)
    }

    fn take(&mut self) -> F {
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        self.fault.clone()
    }
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault, now: Timestamp) {
        match fault {
            Fault::Call(fault) => {
                let (times, seconds) = (fault.times, fault.for_seconds);
                self.calls.push(Scripted::new(fault, times, seconds, now));
            }
            Fault::Target(fault) => {
                let (times, seconds) = (fault.times, fault.for_seconds);
                self.targets.push(Scripted::new(fault, times, seconds, now));
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the fault that a call meets.
    pub(crate) fn next_call(&mut self, call: &Call, now: Timestamp) -> Option<CallFault> {
        self.calls.retain(|scripted| !scripted.is_over(now));
        self.calls.iter_mut().find(|scripted| meets(&scripted.fault, call)).map(Scripted::take)
    }

    /// Takes the ending that the next task for `target` has.
    pub(crate) fn ending_of(&mut self, target: &str, now: Timestamp) -> Option<Ending> {
        self.targets.retain(|scripted| !scripted.is_over(now));
        let fits = |fault: &TargetFault| fault.target.as_ref().is_none_or(|name| name == target);
        let scripted = self.targets.iter_mut().find(|scripted| fits(&scripted.fault))?;
        Some(scripted.take().ending)
    }
}

/// Returns whether a call fits all that a fault names.
fn meets(fault: &CallFault, call: &Call) -> bool {
    let action = call.header("x-acs-action");
    let named = |fits: &dyn Fn(&str) -> bool| {
        let parameters = call.parameters();
        parameters.get("ObjectPath").unwrap_or_default().lines().any(|line| fits(line.trim()))
    };
    fault.action.as_deref().is_none_or(|name| action == Some(name))
        && fault
            .domain
            .as_ref()
            .is_none_or(|domain| named(&|line| host_of(line).eq_ignore_ascii_case(domain)))
        && fault.target.as_ref().is_none_or(|target| named(&|line| line == target))
}
