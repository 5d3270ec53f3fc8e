//! The treasurer: makes the purse of each plan, and raises alarms about what is spent.

use std::sync::Arc;

use crate::config::Account;
use crate::domain::quota::forecast::History;
use crate::domain::quota::purse::Purse;
use crate::domain::quota::{Allowance, PerKind, QuotaKind, Reconciled};
use crate::domain::time::{Day, Timestamp};
use crate::journal::{Journal, JournalError};

/// Watches over what one account spends.
pub(super) struct Treasurer {
    account: Account,
    journal: Arc<dyn Journal>,
    /// What earlier days spent, as it was read on `day`.
    history: History,
    day: Option<Day>,
    /// Whether something was spent since the alarms were looked at.
    is_unseen: bool,
    /// The last alarm of each kind; the journal knows whether it was told.
    alarmed: PerKind<Option<(Day, u64)>>,
}

impl Treasurer {
    pub(super) fn new(account: Account, journal: Arc<dyn Journal>) -> Self {
        let (history, alarmed) = (History::default(), PerKind::default());
        Self { account, journal, history, day: None, is_unseen: true, alarmed }
    }

    /// Notes that something was spent.
    pub(super) const fn spent(&mut self) {
        self.is_unseen = true;
    }

    /// Makes a purse of what may be spent now.
    pub(super) async fn purse(&mut self, now: Timestamp) -> Result<Purse, JournalError> {
        let allowances = self.allowances(now).await?;
        let spending = self.journal.spending(&self.account.name, now).await?;
        let expected = self.history.highest(now);
        let Account { rules, limits, .. } = &self.account;
        Ok(Purse::new(now, &allowances, rules, limits, &spending, &expected))
    }

    /// Raises alarms, if something was spent since it did so last.
    pub(super) async fn look(&mut self, now: Timestamp) -> Result<(), JournalError> {
        if self.is_unseen {
            self.allowances(now).await?;
        }
        Ok(())
    }

    /// Tells of what others spent, and raises alarms.
    pub(super) async fn reconciled(
        &mut self,
        reconciled: &Reconciled,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        for (kind, grown) in reconciled.foreign.iter().filter(|(_, grown)| **grown > 0) {
            tracing::warn!(
                account = %self.account.name, quota.kind = %kind, quota.foreign = grown,
                "somebody else spent {grown} of today's {}: the console, a colleague, a refresh by \
                OSS, or a second daemon with this account", kind.plural()
            );
        }
        self.allowances(now).await.map(drop)
    }

    /// Returns what the day allows and what is spent of it; raises alarms.
    async fn allowances(&mut self, now: Timestamp) -> Result<PerKind<Allowance>, JournalError> {
        let name = &self.account.name;
        let allowances = self.journal.quota(name, &self.account.quota, now).await?;
        let today = Day::of(now);
        if self.day != Some(today) {
            self.history = self.journal.past(name, now).await?;
            self.day = Some(today);
        }
        for kind in QuotaKind::ALL {
            self.alarm(kind, allowances[kind], now).await?;
        }
        self.is_unseen = false;
        Ok(allowances)
    }

    async fn alarm(
        &mut self,
        kind: QuotaKind,
        allowance: Allowance,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let today = Day::of(now);
        let Some(percent) = allowance.alarm() else { return Ok(()) };
        if self.alarmed[kind].is_some_and(|told| told >= (today, percent)) {
            return Ok(());
        }
        if self.journal.alarm(&self.account.name, kind, percent, now).await? {
            let (what, turn) = (kind.plural(), today.next().start());
            let told = self.history.forecast(kind, allowance, now);
            let runs_out = match told.and_then(|told| told.runs_out).filter(|at| *at > now) {
                Some(at) => format!("; if today goes on as usual they run out at {at}"),
                None => String::new(),
            };
            tracing::warn!(
                account = %self.account.name, quota.kind = %kind, quota.percent = percent,
                quota.used = allowance.used, quota.limit = allowance.limit,
                "{percent} % of today's {what} are spent; left until 00:00 UTC+8 ({turn}): {}{runs_out}",
                allowance.left()
            );
        }
        self.alarmed[kind] = Some((today, percent));
        Ok(())
    }
}
