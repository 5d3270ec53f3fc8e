//! Alarms: what a person should know of or do, told everywhere in the same words.
//!
//! Pure: what the daemon knows goes in, a list comes out, what is worst first. Who evaluates keeps since when
//! each has stood ([`Seen`]).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::deploy::DeployId;
use super::facts::{AccountFacts, Facts, KeyFacts, OriginFacts, OriginState, Way};
use super::names::{AccountName, OriginName};
use super::quota::QuotaKind;
use super::time::{Day, Timestamp};

mod kind;
mod seen;

pub use kind::{AlarmKind, Severity};
pub use seen::Seen;

/// A temporary key that expires sooner than this and wasn't renewed is told of: it lasts an hour, and is
/// renewed well before.
pub const KEY_SOON: Duration = Duration::from_secs(10 * 60);
/// A pause is forgotten after a day.
pub const PAUSED_LONG: Duration = Duration::from_secs(24 * 3600);
/// A gate that is closed for longer is told of.
pub const GATE_LONG: Duration = Duration::from_secs(30 * 60);
/// An open change that nothing explains is told of after this long: the CDN takes about six minutes.
pub const LAG_LONG: Duration = Duration::from_secs(15 * 60);
/// Spent quota that is back sooner is a warning.
pub const DAY_ENDS: Duration = Duration::from_secs(3600);
/// A call in doubt is looked up twice within some minutes.
pub const DOUBT_LONG: Duration = Duration::from_secs(30 * 60);
/// The CDN refuses signatures that are 15 minutes off; five are worth mending.
pub const CLOCK_FAR: Duration = Duration::from_secs(5 * 60);

/// Something that a person should know of or do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// What it is about, and which: `origin.unavailable/www`. The same for as long as it stands.
    pub key: String,
    /// What it is about.
    #[serde(skip)]
    pub kind: AlarmKind,
    /// How bad it is.
    pub severity: Severity,
    /// Since when it stands, as far as known.
    pub since: Option<Timestamp>,
    /// What is wrong.
    pub what: String,
    /// What to do: a command or an edit.
    pub remedy: String,
    /// Where more is told: an anchor in docs/troubleshooting.md.
    pub see: String,
}

impl Alarm {
    /// Compares by how bad it is.
    fn worst_first(&self, other: &Self) -> Ordering {
        (self.severity, self.kind, &self.key).cmp(&(other.severity, other.kind, &other.key))
    }
}

/// A kind of an account's quota today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaNow {
    /// Whose.
    pub account: AccountName,
    /// Of which kind.
    pub kind: QuotaKind,
    /// What the day allows; nothing when it is not used.
    pub limit: u64,
    /// What is left.
    pub left: u64,
    /// When it is likely to be spent, if it does not last.
    pub runs_out: Option<Timestamp>,
}

/// Changes that wait for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldNow {
    /// Of which deploy.
    pub deploy: DeployId,
    /// Of which origin.
    pub origin: Option<OriginName>,
    /// How many intents.
    pub intents: u64,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
}

/// What an operator paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedNow {
    /// Whose.
    pub account: AccountName,
    /// Of which origin; none for the whole account.
    pub origin: Option<OriginName>,
    /// Since when.
    pub since: Timestamp,
    /// How many intents wait for its end.
    pub waiting: u64,
}

/// A refresh that could go on and does not: the oldest of its account and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lag {
    /// Whose.
    pub account: AccountName,
    /// What it is debited to.
    pub kind: QuotaKind,
    /// Since when it could: when it was created, or when its `not_before` passed.
    pub since: Timestamp,
}

/// What the journal knows that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Troubles {
    /// How many intents failed today.
    pub failed_today: u64,
    /// How many of them are left: no later intent of the same target is open or done.
    pub failed_left: u64,
    /// When the oldest call in doubt was made.
    pub oldest_doubt: Option<Timestamp>,
    /// Open refreshes that show no wait, are due and not paused: the oldest by account and kind.
    pub lags: Vec<Lag>,
}

/// All that alarms are told from.
#[derive(Clone, Debug)]
pub struct Known<'k> {
    /// The time.
    pub now: Timestamp,
    /// What the engine knows.
    pub facts: &'k Facts,
    /// The day's quotas.
    pub quotas: Vec<QuotaNow>,
    /// What is held.
    pub held: Vec<HeldNow>,
    /// What is paused.
    pub paused: Vec<PausedNow>,
    /// What the journal knows.
    pub troubles: Troubles,
    /// How many of the deliveries that are kept failed.
    pub deliveries_failed: u64,
    /// The loops whose turn lasts for too long, and for how long.
    pub stuck: Vec<(String, Duration)>,
    /// How far the CDN's clock is from this machine's.
    pub clock_offset: Duration,
}

impl Known<'_> {
    /// Returns the alarms, what is worst first.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        self.of_daemon(&mut alarms);
        for (name, origin) in &self.facts.origins {
            of_origin(name, origin, &mut alarms);
        }
        for (name, account) in &self.facts.accounts {
            of_key(name, &account.key, self.now, &mut alarms);
            of_way(name, account.way, &account.note, &mut alarms);
            if !account.domains.unchecked.is_empty() {
                let what = format!(
                    "account {name}: its domains could not be checked: {}",
                    account.domains.unchecked
                );
                let remedy = "let the key's user do cdn:DescribeUserDomains, or see that the domains \
                              are right: refreshd doctor";
                alarms.push(alarm(AlarmKind::DomainUnchecked, name.as_str(), None, what, remedy));
            }
            for one in &account.domains.unserved {
                let what = format!("{} of origin {}: {}", one.domain, one.origin, one.what);
                let of = format!("{}/{}", one.origin, one.domain);
                alarms.push(alarm(AlarmKind::DomainUnserved, &of, None, what, &one.mend));
            }
        }
        for (name, gate) in &self.facts.gates {
            if gate.alarmed || self.now.since(gate.since) >= GATE_LONG {
                let what = format!(
                    "origin {name}: waiting at the gate: {} with {}: {}",
                    numbered(gate.deploys, "deploy", "deploys"),
                    numbered(gate.wishes, "wish", "wishes"),
                    gate.why
                );
                let remedy = "mend the web servers, or let it go all the same: refreshd gate open DEPLOY \
                              (refreshd gate names it)";
                let since = Some(gate.since);
                alarms.push(alarm(AlarmKind::GateClosed, name.as_str(), since, what, remedy));
            }
        }
        self.of_quota(&mut alarms);
        self.of_people(&mut alarms);
        self.of_journal(&mut alarms);
        alarms.sort_by(Alarm::worst_first);
        alarms
    }

    fn of_daemon(&self, alarms: &mut Vec<Alarm>) {
        let origins = self.facts.origins.iter();
        let intakes = origins.filter_map(|(name, origin)| {
            origin.failing.as_ref().map(|failing| (format!("intake {name}"), failing))
        });
        let loops = self.facts.failing.iter().map(|(task, failing)| (task.clone(), failing));
        for (task, failing) in loops.chain(intakes) {
            let what = format!("{task}: {}", failing.why);
            let remedy = "make room on the disk of the state directory, or end who holds its database; \
                          it goes on by itself then";
            let since = Some(failing.since);
            alarms.push(alarm(AlarmKind::DatabaseFailing, &task, since, what, remedy));
        }
        for (task, age) in &self.stuck {
            let minutes = age.as_secs() / 60;
            let what = format!("{task}: its turn lasts for {minutes} minutes");
            let remedy =
                "systemctl restart refreshd: what was recorded is kept; file what the log tells";
            alarms.push(alarm(AlarmKind::LoopStuck, task, None, what, remedy));
        }
        if let Some(reload) = self.facts.reload.as_ref().filter(|reload| !reload.refused.is_empty())
        {
            let what = format!(
                "the configuration is refused: {}; the one before is in force",
                reload.refused
            );
            let remedy = "mend what `refreshd check` names, then: refreshd reload";
            alarms.push(alarm(AlarmKind::ReloadRefused, "", Some(reload.at), what, remedy));
        }
        if self.clock_offset >= CLOCK_FAR {
            let seconds = self.clock_offset.as_secs();
            let what = format!("this machine's clock is {seconds} s off the CDN's");
            let remedy = "let the machine keep time: timedatectl set-ntp true";
            alarms.push(alarm(AlarmKind::ClockOffset, "", None, what, remedy));
        }
        for (name, notice) in &self.facts.notices {
            if let Some(since) = notice.failing_since {
                let what = format!("notice {name}: {}", notice.why);
                let remedy = "mend its `url_file` and `secret_file` in [notice.NAME]; what is waiting is \
                              posted then";
                alarms.push(alarm(AlarmKind::NoticesFailed, name, Some(since), what, remedy));
            }
        }
    }

    fn of_quota(&self, alarms: &mut Vec<Alarm>) {
        for quota in self.quotas.iter().filter(|quota| quota.limit > 0) {
            let (account, kind) = (&quota.account, quota.kind);
            let of = format!("{account}/{}", kind.as_str());
            let remedy = "wait for 00:00 UTC+8, or have the CDN raise the quota; what presses can have a \
                          part of its own: `reserve` in [account.NAME]";
            if quota.left == 0 {
                let what = format!(
                    "account {account}: all {} {} of today are spent; what needs them waits",
                    quota.limit,
                    kind.plural()
                );
                let mut spent = alarm(AlarmKind::QuotaExhausted, &of, None, what, remedy);
                let turns_soon = Day::of(self.now).next().start().since(self.now) <= DAY_ENDS;
                // Only what is asked for ahead of time waits for prefetches.
                if turns_soon || kind == QuotaKind::Prefetch {
                    spent.severity = Severity::Warning;
                }
                alarms.push(spent);
            } else if let Some(at) = quota.runs_out {
                let what = format!(
                    "account {account}: {} {} are left today and likely to be spent at {at}",
                    quota.left,
                    kind.plural()
                );
                alarms.push(alarm(AlarmKind::QuotaForecast, &of, None, what, remedy));
            }
        }
    }

    fn of_people(&self, alarms: &mut Vec<Alarm>) {
        for held in &self.held {
            let of = held
                .origin
                .as_ref()
                .map_or_else(String::new, |origin| format!(" of origin {origin}"));
            let deploy = &held.deploy;
            let what = format!(
                "waiting for a person: {}{of}: {}",
                numbered(held.intents, "intent", "intents"),
                held.why
            );
            let remedy = format!(
                "refreshd approve {deploy} lets them go, refreshd reject {deploy} drops them"
            );
            let since = Some(held.since);
            alarms.push(alarm(AlarmKind::ChangesHeld, deploy.as_str(), since, what, &remedy));
        }
        for pause in self.paused.iter().filter(|pause| self.now.since(pause.since) >= PAUSED_LONG) {
            let account = &pause.account;
            let (what, scope, of) = if let Some(origin) = &pause.origin {
                (format!("origin {origin}"), origin.to_string(), format!("{account}/{origin}"))
            } else {
                let scope = format!("--account {account}");
                (format!("account {account}"), scope, account.to_string())
            };
            let waiting = numbered(pause.waiting, "intent", "intents");
            let what = format!("{what} is paused; waiting: {waiting}");
            let remedy = format!("refreshd resume {scope}");
            alarms.push(alarm(AlarmKind::PausedLong, &of, Some(pause.since), what, &remedy));
        }
    }

    /// Returns the lags that nothing explains: neither the account's way, key and quota nor the database.
    pub fn lags(&self) -> impl Iterator<Item = &Lag> {
        let is_failing = !self.facts.failing.is_empty();
        let explained = move |lag: &&Lag| {
            let is_spent = |quota: &QuotaNow| {
                quota.account == lag.account
                    && quota.kind == lag.kind
                    && quota.limit > 0
                    && quota.left == 0
            };
            let stands = |account: &AccountFacts| {
                account.way != Way::Open
                    || account.key.source.is_empty() && !account.key.trouble.is_empty()
            };
            is_failing
                || self.quotas.iter().any(is_spent)
                || self.facts.accounts.get(&lag.account).is_some_and(stands)
        };
        self.troubles.lags.iter().filter(move |lag| !explained(lag))
    }

    fn of_journal(&self, alarms: &mut Vec<Alarm>) {
        let long = |at: Option<Timestamp>, most| at.filter(|at| self.now.since(*at) >= most);
        let lags = self.lags().filter(|lag| self.now.since(lag.since) >= LAG_LONG);
        let mut oldest: BTreeMap<&AccountName, Timestamp> = BTreeMap::new();
        for lag in lags {
            let since = oldest.entry(&lag.account).or_insert(lag.since);
            *since = lag.since.min(*since);
        }
        for (account, since) in oldest {
            let what = format!(
                "account {account}: a refresh could go on since {since} and does not, and nothing says why"
            );
            let remedy = "refreshd status and the log tell what the daemon does; refreshd why URL tells of \
                          one URL";
            alarms.push(alarm(AlarmKind::LagHigh, account.as_str(), Some(since), what, remedy));
        }
        if let Some(since) = long(self.troubles.oldest_doubt, DOUBT_LONG) {
            let what = format!("what became of a call made at {since} is still unknown");
            let remedy = "let the key's user do cdn:DescribeRefreshTasks, by which it is looked up; \
                          refreshd doctor tells whether it may";
            alarms.push(alarm(AlarmKind::DoubtLong, "", Some(since), what, remedy));
        }
        if self.troubles.failed_left > 0 {
            let what = format!(
                "{} failed today",
                numbered(self.troubles.failed_left, "intent", "intents")
            );
            let remedy =
                "refreshd status names them and why; ask again: refreshd retry --outcome failed";
            alarms.push(alarm(AlarmKind::IntentsFailed, "", None, what, remedy));
        }
        if self.deliveries_failed > 0 {
            let what = format!(
                "{} of hooks failed",
                numbered(self.deliveries_failed, "delivery", "deliveries")
            );
            let remedy = "which and why: refreshd hooks list; once more: refreshd hooks replay ID";
            alarms.push(alarm(AlarmKind::DeliveriesFailed, "", None, what, remedy));
        }
    }
}

fn of_origin(name: &OriginName, origin: &OriginFacts, alarms: &mut Vec<Alarm>) {
    let of = name.as_str();
    if origin.state == OriginState::Unavailable {
        let what = format!("origin {name} is unavailable: {}", origin.note);
        let remedy = "mount or mend its `root`; nothing counts as removed meanwhile, and what changed is \
                      found when it is back";
        alarms.push(alarm(AlarmKind::OriginUnavailable, of, None, what, remedy));
    }
    let all = origin.state == OriginState::Polling && !origin.advice.is_empty();
    if all || !origin.polled.is_empty() {
        let first = origin.polled.first();
        let why =
            first.map_or_else(|| origin.watch.clone(), |one| format!("{}: {}", one.path, one.why));
        let of_it = match origin.polled.len() as u64 {
            0 => "any of it".to_owned(),
            parts => format!("{} of it", numbered(parts, "part", "parts")),
        };
        let what = format!(
            "origin {name}: no events come from {of_it}, compared at intervals instead: {why}"
        );
        let remedy = if origin.advice.is_empty() {
            "refreshd doctor says what can be done"
        } else {
            &origin.advice
        };
        alarms.push(alarm(AlarmKind::WatchDegraded, of, None, what, remedy));
    }
    if let Some(first) = origin.unmapped.first() {
        let number = numbered(origin.unmapped.len() as u64, "path", "paths");
        let what =
            format!("origin {name}: {number} without a URL changed: {}: {}", first.path, first.why);
        let remedy =
            "map or ignore them in [origin.NAME]; refreshd explain PATH shows what a rule does";
        alarms.push(alarm(AlarmKind::PathsUnmapped, of, None, what, remedy));
    }
}

fn of_key(name: &AccountName, key: &KeyFacts, now: Timestamp, alarms: &mut Vec<Alarm>) {
    if key.trouble.is_empty() {
        return;
    }
    let soon = key.expires_at.filter(|at| at.since(now) < KEY_SOON);
    let remedy = "mend `credentials` in [account.NAME]; refreshd doctor tries them";
    let trouble = &key.trouble;
    if key.source.is_empty() {
        let what = format!("account {name}: there is no access key: {trouble}");
        alarms.push(alarm(AlarmKind::KeyMissing, name.as_str(), None, what, remedy));
    } else if let Some(at) = soon {
        let what = format!(
            "account {name}: its access key expires at {at}, and no new one can be had: {trouble}"
        );
        alarms.push(alarm(AlarmKind::KeyExpires, name.as_str(), None, what, remedy));
    } else if key.expires_at.is_none() {
        let what = format!(
            "account {name}: its access key can't be read again; the one that was read is in use: {trouble}"
        );
        alarms.push(alarm(AlarmKind::KeyUnread, name.as_str(), None, what, remedy));
    }
}

fn of_way(name: &AccountName, way: Way, note: &str, alarms: &mut Vec<Alarm>) {
    let (kind, remedy) = match way {
        Way::Open => return,
        Way::Slow => (
            AlarmKind::CdnSlow,
            "nothing, if it passes; else lower the calls in [account.NAME.limits], or mend the domain",
        ),
        Way::Closed => (
            AlarmKind::CdnClosed,
            "let the key's user do what the message names; it is tried again by itself",
        ),
        Way::Away => (
            AlarmKind::CdnClosed,
            "see that this machine reaches the endpoint: refreshd doctor; it is tried again by itself",
        ),
        Way::KeyRefused => (
            AlarmKind::KeyRefused,
            "give another key in `credentials` of [account.NAME], or enable it; it is tried once a minute",
        ),
    };
    let what = format!("account {name}: {note}");
    alarms.push(alarm(kind, name.as_str(), None, what, remedy));
}

fn alarm(kind: AlarmKind, of: &str, since: Option<Timestamp>, what: String, remedy: &str) -> Alarm {
    let key =
        if of.is_empty() { kind.as_str().to_owned() } else { format!("{}/{of}", kind.as_str()) };
    Alarm {
        key,
        kind,
        severity: kind.severity(),
        since,
        what,
        remedy: remedy.to_owned(),
        see: kind.anchor(),
    }
}

fn numbered(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
