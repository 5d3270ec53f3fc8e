//! The alarms that stand now, evaluated from all that the desk knows.

use std::time::Duration;

use crate::domain::alarm::{Alarm, HeldNow, Known, PausedNow, QuotaNow};
use crate::domain::facts::Facts;
use crate::domain::names::AccountName;
use crate::domain::quota::{Allowance, PerKind, QuotaKind};
use crate::domain::time::Timestamp;
use crate::journal::{HeldSet, JournalError, Pause};

use super::Desk;
use super::treasury::Treasury;

/// Tells of each kind of an account's quota.
pub(super) fn quotas(
    account: &AccountName,
    allowances: &PerKind<Allowance>,
    treasury: &Treasury,
) -> Vec<QuotaNow> {
    let of = |kind: QuotaKind| {
        let of_day = treasury.kinds.get(kind.as_str());
        let (limit, left) = (allowances[kind].limit, allowances[kind].left());
        let runs_out = of_day.and_then(|of_day| of_day.runs_out);
        QuotaNow { account: account.clone(), kind, limit, left, runs_out }
    };
    QuotaKind::ALL.into_iter().map(of).collect()
}

/// What is wrong now.
pub(super) struct Wrong {
    pub(super) alarms: Vec<Alarm>,
    pub(super) failed_today: u64,
    /// Since when the oldest refresh could go on and does not, and nothing explains it.
    pub(super) oldest_unexplained: Option<Timestamp>,
}

/// Evaluates the alarms from what was read for an answer.
pub(super) async fn of(
    desk: &Desk,
    facts: &Facts,
    quotas: Vec<QuotaNow>,
    held: &[HeldSet],
    paused: &[Pause],
    deliveries_failed: u64,
) -> Result<Wrong, JournalError> {
    let now = desk.clock.server_now();
    let held = held.iter().map(|set| HeldNow {
        deploy: set.deploy.clone(),
        origin: set.origin.clone(),
        intents: set.intents,
        since: set.since,
        why: set.why.clone(),
    });
    let paused = paused.iter().map(|pause| PausedNow {
        account: pause.account.clone(),
        origin: pause.origin.clone(),
        since: pause.since,
        waiting: pause.waiting,
    });
    // The offset is of the steady time, which an administrator's step of the wall clock leaves alone.
    let wall = desk.clock.now();
    let known = Known {
        now,
        facts,
        quotas,
        held: held.collect(),
        paused: paused.collect(),
        troubles: desk.journal.troubles(now).await?,
        deliveries_failed,
        stuck: desk.heart.stuck(desk.clock.boot()),
        clock_offset: if desk.clock.offset() == 0 {
            Duration::ZERO
        } else {
            now.since(wall).max(wall.since(now))
        },
    };
    let mut alarms = known.alarms();
    let mut seen = desk.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    seen.note(&mut alarms, now);
    Ok(Wrong {
        alarms,
        failed_today: known.troubles.failed_today,
        oldest_unexplained: known.lags().map(|lag| lag.since).min(),
    })
}

/// Evaluates the alarms.
pub async fn now(desk: &Desk) -> Result<Vec<Alarm>, JournalError> {
    let facts = desk.facts.borrow().clone();
    let now = desk.clock.server_now();
    let mut all = Vec::new();
    for (name, account) in &desk.accounts {
        let allowances = desk.journal.quota(name, &account.quota, now).await?;
        let treasury = super::treasury::of(desk, name, account, &allowances).await?;
        all.extend(quotas(name, &allowances, &treasury));
    }
    let (held, paused) = (desk.journal.held().await?, desk.journal.pauses().await?);
    let (_, failed) = desk.store.delivery_counts().await.unwrap_or_default();
    Ok(of(desk, &facts, all, &held, &paused, failed).await?.alarms)
}
