//! Turns: what a loop of the daemon does until it is told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::account::AccountBoard;
use super::census::Trees;
use super::dispatch::Dispatch;
use super::forward::Forward;
use super::gate::Gates;
use super::keys::Keys;
use super::poll::Poll;
use super::pushes::Pushes;
use super::pushes::told::ToldPushes;
use super::step::Step;
use super::{EngineError, publish};
use crate::cdn::Cdn;
use crate::clock::SharedClock;
use crate::config::Account;
use crate::domain::facts::{Facts, FailingFacts};
use crate::domain::guard::Guard;
use crate::domain::names::OriginName;
use crate::domain::prefetch::PrefetchByHost;
use crate::journal::Journal;
use crate::telemetry::heart::Heart;
use crate::web::announce::Announcements;

/// An idle loop looks again after this long at the latest: the wall clock may have stepped.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// One loop of the daemon, a turn at a time.
#[async_trait]
pub(super) trait Turn: Send + 'static {
    /// Whether a turn may be cut short at the end: it may last, and what it writes down is whole wherever
    /// it is cut.
    const MAY_BE_CUT: bool = false;

    /// Whether a turn may last, for it compares trees: else one that does is told of.
    const MAY_LAST: bool = false;

    async fn turn(&mut self) -> Result<Step, EngineError>;
}

#[async_trait]
impl Turn for Forward {
    async fn turn(&mut self) -> Result<Step, EngineError> {
        self.step().await
    }
}

/// The dispatch of an account.
pub(super) enum Leader {
    /// It takes the lead in its first turn.
    Candidate(Box<Candidate>),
    /// It has the lead.
    Leads(Box<Dispatch>),
}

/// What a dispatch works with.
pub(super) struct Candidate {
    pub(super) account: Account,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) cdn: Arc<dyn Cdn>,
    pub(super) clock: SharedClock,
    pub(super) board: AccountBoard,
    pub(super) guards: BTreeMap<OriginName, Guard>,
    pub(super) prefetching: PrefetchByHost,
    pub(super) trees: Trees,
}

impl Candidate {
    async fn lead(&self) -> Result<Dispatch, EngineError> {
        let (account, journal) = (self.account.clone(), self.journal.clone());
        let (cdn, clock) = (self.cdn.clone(), self.clock.clone());
        let dispatch = Dispatch::lead(account, journal, cdn, clock, self.board.clone()).await?;
        Ok(dispatch
            .guarded(self.guards.clone())
            .prefetching(self.prefetching.clone())
            .over(self.trees.clone()))
    }
}

#[async_trait]
impl Turn for Leader {
    async fn turn(&mut self) -> Result<Step, EngineError> {
        match self {
            Self::Candidate(candidate) => {
                *self = Self::Leads(Box::new(candidate.lead().await?));
                Ok(Step::Worked)
            }
            Self::Leads(dispatch) => Ok(dispatch.step().await?),
        }
    }
}

#[async_trait]
impl Turn for Poll {
    async fn turn(&mut self) -> Result<Step, EngineError> {
        Ok(self.step().await?)
    }
}

#[async_trait]
impl Turn for Keys {
    const MAY_BE_CUT: bool = true;

    async fn turn(&mut self) -> Result<Step, EngineError> {
        Ok(self.step().await)
    }
}

/// Looks at what repositories could not tell while they were not listened to.
pub(super) struct Spools(pub(super) watch::Receiver<Announcements>);

#[async_trait]
impl Turn for Spools {
    async fn turn(&mut self) -> Result<Step, EngineError> {
        let announcements = self.0.borrow().clone();
        announcements.empty_spools().await;
        Ok(Step::Idle { until: Some(announcements.clock.server_now().plus(LONGEST_SLEEP)) })
    }
}

#[async_trait]
impl Turn for Gates {
    const MAY_BE_CUT: bool = true;

    async fn turn(&mut self) -> Result<Step, EngineError> {
        self.step().await
    }
}

/// The pushes of an origin, and where what is known of it is published.
pub(super) struct Published(pub(super) Pushes, pub(super) watch::Sender<Facts>);

#[async_trait]
impl Turn for Published {
    const MAY_LAST: bool = true;

    async fn turn(&mut self) -> Result<Step, EngineError> {
        let step = self.0.step().await;
        publish(&self.1, self.0.origin(), self.0.facts());
        step
    }
}

#[async_trait]
impl Turn for ToldPushes {
    const MAY_LAST: bool = true;

    async fn turn(&mut self) -> Result<Step, EngineError> {
        self.step().await
    }
}

/// Takes turns until told to stop; a wake-up is armed before each look, so none is lost.
pub(super) async fn run<T: Turn>(
    name: &str,
    mut work: T,
    wake: &Notify,
    clock: &SharedClock,
    stop: &CancellationToken,
    (told, heart): (&watch::Sender<Facts>, &Heart),
) -> Result<(), EngineError> {
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        let mut woken = std::pin::pin!(wake.notified());
        woken.as_mut().enable();
        let turn = {
            let _lasts = (!T::MAY_LAST).then(|| heart.turn(name, clock.boot()));
            work.turn().await
        };
        if failures > 0 && turn.is_ok() {
            failures = 0;
            told.send_modify(|facts| drop(facts.failing.remove(name)));
        }
        let rest = match turn {
            Ok(Step::Worked) => continue,
            Ok(Step::Idle { until }) => until
                .map_or(LONGEST_SLEEP, |until| until.since(clock.server_now()))
                .min(LONGEST_SLEEP),
            Err(error) if error.may_pass() => {
                failures = failures.saturating_add(1);
                let (since, why) = (clock.server_now(), error.to_string());
                told.send_modify(|facts| {
                    let failing = facts.failing.entry(name.to_owned());
                    failing.or_insert(FailingFacts { since, why: String::new() }).why = why;
                });
                tracing::error!(task = name, failures, "{error}");
                Duration::from_secs(u64::from(failures.min(30)))
            }
            Err(error) => return Err(error),
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = woken => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
    Ok(())
}
