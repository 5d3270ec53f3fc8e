//! How an account's day stands, for `GET /status`: what is kept for whom, what others spent, what
//! the rest of the day is likely to cost.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::names::{AccountName, OriginName};
use crate::domain::quota::{Allowance, PerKind, QuotaKind};
use crate::domain::time::Timestamp;
use crate::journal::JournalError;

use super::{AccountDesk, Desk};

/// One account's day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Treasury {
    /// By kind.
    pub kinds: BTreeMap<&'static str, KindOfDay>,
    /// What is kept for origins, and what all that have spent something today spent: by kind.
    pub origins: BTreeMap<OriginName, BTreeMap<&'static str, ShareOfDay>>,
}

/// One kind's day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KindOfDay {
    /// How many asks only urgent work may spend.
    pub reserve: u64,
    /// How many others than this daemon spent today, as far as known.
    pub foreign: u64,
    /// How many percent are spent: 70 or 90 once that is reached.
    pub alarm: Option<u64>,
    /// How many more the rest of the day is likely to cost; none before there is an earlier day.
    pub expected: Option<u64>,
    /// When the day's allowance is likely to be spent; none if it lasts.
    pub runs_out: Option<Timestamp>,
}

/// An origin's part of one kind's day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ShareOfDay {
    /// How many asks are kept for it.
    pub share: u64,
    /// How many it spent.
    pub used: u64,
}

/// Tells how an account's day stands.
pub(super) async fn of(
    desk: &Desk,
    name: &AccountName,
    account: &AccountDesk,
    allowances: &PerKind<Allowance>,
) -> Result<Treasury, JournalError> {
    let now = desk.clock.server_now();
    let spending = desk.journal.spending(name, now).await?;
    let past = desk.journal.past(name, now).await?;
    let kinds = QuotaKind::ALL.into_iter().map(|kind| {
        let told = past.forecast(kind, allowances[kind], now);
        let of_day = KindOfDay {
            reserve: account.rules.reserved(allowances[kind].limit),
            foreign: spending.foreign[kind],
            alarm: allowances[kind].alarm(),
            expected: told.map(|told| told.expected),
            runs_out: told.and_then(|told| told.runs_out),
        };
        (kind.as_str(), of_day)
    });
    let known = account.rules.shares.keys().chain(spending.origins.keys());
    let origins = known.map(|origin| {
        let spent = spending.origins.get(origin).copied().unwrap_or_default();
        let share = |kind: QuotaKind| ShareOfDay {
            share: account.rules.share(origin, kind, allowances[kind].limit),
            used: spent[kind],
        };
        let by_kind = QuotaKind::ALL.into_iter().map(|kind| (kind.as_str(), share(kind)));
        (origin.clone(), by_kind.collect())
    });
    Ok(Treasury { kinds: kinds.collect(), origins: origins.collect() })
}
