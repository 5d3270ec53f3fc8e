//! The crew: every task of the daemon, by the part that it belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{EngineError, Turn, run};
use crate::clock::SharedClock;
use crate::domain::facts::Facts;
use crate::domain::names::{AccountName, OriginName};
use crate::telemetry::heart::Heart;

/// What is started and stopped as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// What runs from the start to the end.
    House,
    /// Who follows an account's jobs and keeps its key fresh.
    Account(AccountName),
    /// Who plans and submits for an account.
    Dispatch(AccountName),
    /// Who looks after an origin.
    Origin(OriginName),
    /// Who posts notices, by name.
    Notice(String),
}

/// How a task ended.
struct Ended {
    part: Part,
    name: String,
    result: Result<(), EngineError>,
}

/// The tasks of a part.
struct Running {
    stop: CancellationToken,
    tasks: usize,
}

/// The tasks of the daemon.
pub(super) struct Crew {
    clock: SharedClock,
    tasks: JoinSet<Ended>,
    parts: BTreeMap<Part, Running>,
    stop: CancellationToken,
    /// Where it is told whose turns fail.
    told: watch::Sender<Facts>,
    /// Where it is noted who takes a turn.
    heart: Heart,
}

impl Crew {
    pub(super) fn new(clock: SharedClock, told: watch::Sender<Facts>, heart: Heart) -> Self {
        let (tasks, stop) = (JoinSet::new(), CancellationToken::new());
        Self { clock, tasks, parts: BTreeMap::new(), stop, told, heart }
    }

    /// Returns what is cancelled once all is to end.
    pub(super) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Returns who posts notices.
    pub(super) fn notices(&self) -> BTreeSet<Part> {
        let is_notice = |part: &&Part| matches!(part, Part::Notice(_));
        self.parts.keys().filter(is_notice).cloned().collect()
    }

    fn part(&mut self, part: &Part) -> &mut Running {
        let stop = &self.stop;
        let fresh = || Running { stop: stop.child_token(), tasks: 0 };
        self.parts.entry(part.clone()).or_insert_with(fresh)
    }

    /// Returns what is cancelled once a part is to end.
    pub(super) fn stop_of(&mut self, part: &Part) -> CancellationToken {
        self.part(part).stop.clone()
    }

    /// Starts a task, which ends when it is told to and not before.
    pub(super) fn task<F>(
        &mut self,
        part: Part,
        name: String,
        task: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = Result<(), EngineError>> + Send + 'static,
    {
        let running = self.part(&part);
        running.tasks += 1;
        let task = task(running.stop.clone());
        self.tasks.spawn(async move { Ended { part, name, result: task.await } });
    }

    /// Starts a loop that takes turns.
    pub(super) fn loops<T: Turn>(&mut self, part: Part, name: String, work: T, wake: Arc<Notify>) {
        let (clock, told, of) = (self.clock.clone(), self.told.clone(), name.clone());
        let heart = self.heart.clone();
        self.task(part, name, |stop| async move {
            tokio::select! {
                result = run(&of, work, &wake, &clock, &stop, (&told, &heart)) => result,
                () = stop.cancelled(), if T::MAY_BE_CUT => Ok(()),
            }
        });
    }

    /// Has parts end, and waits until they have. Whoever else ends meanwhile, or fails, is the error.
    pub(super) async fn stop(&mut self, parts: &BTreeSet<Part>) -> Result<(), EngineError> {
        for part in parts {
            if let Some(running) = self.parts.get(part) {
                running.stop.cancel();
            }
        }
        let is_left = |crew: &Self| {
            parts.iter().filter_map(|part| crew.parts.get(part)).any(|part| part.tasks > 0)
        };
        while is_left(self) {
            let ended = match self.tasks.join_next().await {
                Some(Ok(ended)) => ended,
                other => return Err(unasked(other)),
            };
            if !parts.contains(&ended.part) || ended.result.is_err() {
                return Err(unasked(Some(Ok(ended))));
            }
            self.part(&ended.part).tasks -= 1;
            self.told.send_if_modified(|facts| facts.failing.remove(&ended.name).is_some());
        }
        self.parts.retain(|part, _| !parts.contains(part));
        Ok(())
    }

    /// Returns when a task has ended though nobody asked it to.
    pub(super) async fn ended(&mut self) -> EngineError {
        unasked(self.tasks.join_next().await)
    }

    /// Has all end, and waits until they have.
    pub(super) async fn shut_down(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Ended { name, result: Err(error), .. }) = ended {
                tracing::error!(task = name, "{error}");
            }
        }
    }
}

/// Says who ended unasked.
fn unasked(ended: Option<Result<Ended, JoinError>>) -> EngineError {
    match ended {
        Some(Ok(Ended { result: Err(error), .. })) => error,
        Some(Ok(Ended { name, .. })) => EngineError::Ended(name),
        Some(Err(panic)) => EngineError::Ended(panic.to_string()),
        None => EngineError::Ended("all".to_owned()),
    }
}
