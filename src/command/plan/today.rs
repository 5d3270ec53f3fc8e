//! What a plan may spend: a whole day's quota, what the CDN says is left, or what the daemon's ledger
//! says.

use serde_json::Value;

use crate::cdn::Cdn as _;
use crate::clock::SharedClock;
use crate::command::{Exit, Failed, control, run};
use crate::config::{Account, Config};
use crate::domain::names::OriginName;
use crate::domain::quota::purse::{Purse, Spending};
use crate::domain::quota::{Allowance, PerKind};
use crate::domain::time::Timestamp;

/// Whose word on the day's quota is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nobody's: as if nothing were spent.
    WholeDay,
    /// The CDN's.
    Cdn,
    /// That of the running daemon.
    Ledger,
}

impl Source {
    /// Says it as the end of "what is left of …".
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::WholeDay => "a whole day",
            Self::Cdn => "today, as the CDN says",
            Self::Ledger => "today, as the daemon's ledger says",
        }
    }
}

/// What is known of an account's day.
#[derive(Debug, Default)]
pub(super) struct Today {
    pub(super) allowances: PerKind<Allowance>,
    spending: Spending,
    expected: PerKind<u64>,
}

impl Today {
    /// Asks the source.
    pub(super) async fn of(
        account: &Account,
        source: Source,
        config: &Config,
        clock: &SharedClock,
    ) -> Result<Self, Failed> {
        match source {
            Source::WholeDay => {
                let allowances =
                    PerKind::from_fn(|kind| Allowance { limit: account.quota[kind], used: 0 });
                Ok(Self { allowances, ..Self::default() })
            }
            Source::Cdn => from_cdn(account, clock).await,
            Source::Ledger => {
                let (_, status) = control::ask(config, "/status", None::<&()>).await?;
                from_status(account, &status)
            }
        }
    }

    /// Makes the purse of a plan. What began in the last minute and hour isn't known.
    pub(super) fn purse(&self, account: &Account, now: Timestamp) -> Purse {
        let Self { allowances, spending, expected } = self;
        Purse::new(now, allowances, &account.rules, &account.limits, spending, expected)
    }
}

async fn from_cdn(account: &Account, clock: &SharedClock) -> Result<Today, Failed> {
    let cdn = run::ready_client(account, clock).await?;
    let reported = cdn.quota().await.map_err(|failure| {
        Failed::new(Exit::No, format!("the CDN did not tell its quota: {}", failure.message))
    })?;
    let allowances = PerKind::from_fn(|kind| {
        let configured = account.quota[kind];
        let limit = reported[kind].map_or(configured, |told| configured.min(told.quota));
        let used = reported[kind].map_or(0, |told| limit.saturating_sub(told.remain));
        Allowance { limit, used }
    });
    Ok(Today { allowances, ..Today::default() })
}

fn from_status(account: &Account, status: &Value) -> Result<Today, Failed> {
    let name = account.name.as_str();
    let quota = &status["quota"][name];
    if !quota.is_object() {
        return Err(Failed::new(
            Exit::No,
            format!(
                "the daemon knows no account `{name}`: it runs with an older configuration; restart it"
            ),
        ));
    }
    let treasury = &status["treasury"][name];
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let of_kinds =
        |key: &'static str| PerKind::from_fn(|kind| number(&treasury["kinds"][kind.as_str()][key]));
    let origins = treasury["origins"].as_object().into_iter().flatten().map(|(origin, kinds)| {
        let used = PerKind::from_fn(|kind| number(&kinds[kind.as_str()]["used"]));
        (OriginName::from(origin.as_str()), used)
    });
    let spending =
        Spending { origins: origins.collect(), foreign: of_kinds("foreign"), recent: Vec::new() };
    let allowances = PerKind::from_fn(|kind| {
        let told = &quota[kind.as_str()];
        Allowance { limit: number(&told["limit"]), used: number(&told["used"]) }
    });
    Ok(Today { allowances, spending, expected: of_kinds("expected") })
}
