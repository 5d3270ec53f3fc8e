//! What only the CDN can tell: whether it takes the key, and what time it is.

use std::collections::BTreeSet;

use super::finding::Finding;
use crate::cdn::Cdn;
use crate::command::words::{grouped, span};
use crate::config::Account;
use crate::domain::names::{AccountName, OriginName};
use crate::domain::own::{self, CdnDomain, Unserved};
use crate::domain::quota::{PerKind, QuotaKind, Reported};
use crate::domain::verdict::{Failure, Verdict, judge};

/// A clock that is off by less is no matter, in seconds.
const NEAR: u64 = 60;

type Told = Result<PerKind<Option<Reported>>, Failure>;

/// Asks the CDN for an account's quota; returns what that says of the key and, where an answer came,
/// of the clock, whose `offset` to the CDN's the answer has taught.
pub(super) async fn ask(
    account: &Account,
    cdn: &dyn Cdn,
    offset: impl Fn() -> i64,
) -> Vec<Finding> {
    let mut told = cdn.quota().await;
    let later = |failure: &Failure| matches!(judge(failure), Verdict::Later { .. });
    if told.as_ref().is_err_and(later) && offset() != 0 {
        // It was refused for its time; by now the clock has learnt the right one.
        told = cdn.quota().await;
    }
    let answered = told.as_ref().map_or_else(|failure| failure.code.is_some(), |_| true);
    let mut findings = vec![key(account, &told)];
    findings.push(if answered {
        time(offset() / 1_000_000)
    } else {
        Finding::not_checked("clock and the CDN's", "the CDN did not answer")
    });
    findings
}

/// Judges by the answer whether the key is good.
pub(super) fn key(account: &Account, told: &Told) -> Finding {
    let about = format!("credential of {}", account.name);
    let failure = match told {
        Ok(left) => {
            let left = QuotaKind::ALL.into_iter().filter_map(|kind| {
                let told = left[kind]?;
                Some(format!("{} {}/{}", kind.as_str(), grouped(told.remain), grouped(told.quota)))
            });
            let left: Vec<String> = left.collect();
            let what = format!("the CDN takes the key; left today: {}", left.join(", "));
            return Finding::ok(about, what);
        }
        Err(failure) => failure,
    };
    let Some(code) = &failure.code else {
        return Finding::not_checked(about, format!("no answer of the CDN: {}", failure.message));
    };
    let said = format!("{code}: {}", failure.message);
    let refused = |mend: String| {
        Finding::broken(&about, format!("the CDN refuses the call: {said}"))
            .costs("nothing can be refreshed")
            .mend(mend)
    };
    let verdict = judge(failure);
    if verdict == Verdict::Renew {
        let (id, secret) = (&account.access_key_id_file, &account.access_key_secret_file);
        let (id, secret) = (id.display(), secret.display());
        refused(format!("write the right key into {id} and {secret}; then restart the daemon"))
    } else if verdict == Verdict::Forbidden {
        refused(
            "in the console, give the key's user cdn:RefreshObjectCaches, cdn:PushObjectCache, \
             cdn:DescribeRefreshTasks, cdn:DescribeRefreshTaskById, cdn:DescribeRefreshQuota and \
             cdn:DescribeUserDomains"
                .to_owned(),
        )
    } else if verdict != Verdict::Operator {
        Finding::not_checked(about, format!("the CDN did not tell: {said}"))
    } else {
        refused(format!(
            "in the console, see that the service is open and paid; and is {} the CDN's API?",
            account.endpoint
        ))
    }
}

/// Judges by how many seconds the CDN's clock is ahead of ours.
pub(super) fn time(ahead: i64) -> Finding {
    let about = "clock and the CDN's";
    let off = ahead.unsigned_abs();
    if off < NEAR {
        return Finding::ok(about, "they agree");
    }
    let way = if ahead > 0 { "behind" } else { "ahead of" };
    Finding::advice(about, format!("this machine's is {} {way} it", span(off)))
        .costs(
            "refreshd corrects its own calls, but what it logs has the wrong time, and files can \
             look younger or older than a baseline",
        )
        .mend("timedatectl set-ntp true")
}

/// Judges by the CDN's list whether the hosts of an account's origins are domains of it.
pub(super) fn domains(
    account: &AccountName,
    hosts: &BTreeSet<(OriginName, String)>,
    answer: &Result<Vec<CdnDomain>, Failure>,
) -> Vec<Finding> {
    let about = format!("domains of {account}");
    if let Some(why) = own::unchecked(answer) {
        return vec![Finding::not_checked(about, why)];
    }
    let unserved = own::unserved(hosts, answer.as_deref().unwrap_or_default());
    if unserved.is_empty() {
        let hosts: BTreeSet<&str> = hosts.iter().map(|(_, host)| host.as_str()).collect();
        let hosts: Vec<&str> = hosts.into_iter().collect();
        return vec![Finding::ok(about, format!("it has {}", hosts.join(", ")))];
    }
    let finding = |one: Unserved| {
        let about = format!("domain {} of origin {}", one.domain, one.origin);
        Finding::broken(about, one.what).costs("its refreshes are refused").mend(one.mend)
    };
    unserved.into_iter().map(finding).collect()
}
