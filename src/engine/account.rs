//! The board on which an account's loops leave word for each other and for operators.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::config::Account;
use crate::domain::facts::{DomainFacts, Facts, KeyFacts};
use crate::domain::names::AccountName;
use crate::domain::pace::{Errand, Gate, Heard, News, Pace};
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Failure, Reached, Scope, Verdict};
use crate::telemetry::meters::{Meter, Meters};

/// The first wait where an operation is not allowed; it doubles up to an hour.
const FORBIDDEN: Duration = Duration::from_secs(60);
/// The wait after a refusal for the moment that names none.
const MOMENT: Duration = Duration::from_secs(1);

/// An account's wake-ups, its pace, and its part of the [`Facts`].
#[derive(Clone, Debug)]
pub struct AccountBoard {
    account: AccountName,
    facts: watch::Sender<Facts>,
    dispatch: Arc<Notify>,
    poll: Arc<Notify>,
    pace: Arc<Mutex<Pace>>,
    key: Arc<Notify>,
    refused: Arc<AtomicBool>,
    meters: Meters,
}

impl AccountBoard {
    /// Makes the board of an account; `facts` is where operators read.
    #[must_use]
    pub fn new(account: &Account, facts: watch::Sender<Facts>) -> Self {
        let name = account.name.clone();
        facts.send_modify(|facts| {
            facts.accounts.entry(name.clone()).or_default();
        });
        let limits = account.limits;
        let pace = Pace::new(|errand| match errand {
            Errand::Refresh => limits.refresh_calls,
            Errand::Tags => limits.tag_calls,
            Errand::Prefetch => limits.prefetch_calls,
            Errand::Tasks => limits.tasks_calls,
            Errand::TasksById => limits.task_by_id_calls,
            Errand::Quota => limits.quota_calls,
        });
        Self {
            account: name,
            facts,
            dispatch: Arc::default(),
            poll: Arc::default(),
            pace: Arc::new(Mutex::new(pace)),
            key: Arc::default(),
            refused: Arc::default(),
            meters: Meters::default(),
        }
    }

    /// Has what the account's loops do counted.
    #[must_use]
    pub fn metered(self, meters: Meters) -> Self {
        Self { meters, ..self }
    }

    /// Returns where the account's loops count.
    pub(super) const fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Counts that asks are made once more.
    pub(super) fn again(&self, reason: &str, asks: usize) {
        let of = [self.account.as_str(), reason];
        self.meters.add(Meter::Retries, &of, asks as u64);
    }

    /// Returns whose board it is.
    #[must_use]
    pub const fn account(&self) -> &AccountName {
        &self.account
    }

    /// Wakes the dispatch loop: there are new intents, or a prefetch's refresh has ended.
    pub fn wake_dispatch(&self) {
        self.dispatch.notify_one();
    }

    /// Wakes the poll loop: there is a new job.
    pub fn wake_poll(&self) {
        self.poll.notify_one();
    }

    /// Returns the dispatch loop's wake-up.
    #[must_use]
    pub fn dispatch(&self) -> Arc<Notify> {
        self.dispatch.clone()
    }

    /// Returns the poll loop's wake-up.
    #[must_use]
    pub fn poll(&self) -> Arc<Notify> {
        self.poll.clone()
    }

    /// Returns the account's pace.
    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a call may be made now.
    #[must_use]
    pub fn gate(&self, errand: Errand, now: Timestamp) -> Gate {
        self.pace().gate(errand, now)
    }

    /// Takes in that a call was answered.
    pub(super) fn answered(&self, errand: Errand, now: Timestamp) {
        self.take_in(errand, Heard::Answer, "", now, 0);
    }

    /// Takes in that a call failed, and what that means.
    pub(super) fn failed(
        &self,
        errand: Errand,
        (failure, verdict): (&Failure, &Verdict),
        now: Timestamp,
        random: u64,
    ) {
        let why = failure.to_string();
        let heard = heard(errand, failure, verdict, &why);
        self.take_in(errand, heard, &why, now, random);
    }

    fn take_in(&self, errand: Errand, heard: Heard, why: &str, now: Timestamp, random: u64) {
        let is_alive = !matches!(heard, Heard::Fault { .. } | Heard::Down { .. });
        if matches!(heard, Heard::Key { .. }) {
            self.key_refused();
        }
        let news = self.pace().heard(errand, heard, now, random);
        if let Some(news) = news {
            self.tell(errand, &news, why);
            // What was shut may be open now.
            self.wake_dispatch();
            self.wake_poll();
        }
        self.publish(is_alive, now);
    }

    /// Returns the wake-up of the loop that keeps the access key fresh.
    #[must_use]
    pub fn key(&self) -> Arc<Notify> {
        self.key.clone()
    }

    /// Has the access key fetched anew: the CDN refused it.
    pub fn key_refused(&self) {
        self.refused.store(true, Ordering::SeqCst);
        self.key.notify_one();
    }

    /// Returns whether the CDN refused the key since [`take_refusal`](Self::take_refusal).
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refused.load(Ordering::SeqCst)
    }

    /// Returns whether the CDN refused the key, and forgets it.
    #[must_use]
    pub fn take_refusal(&self) -> bool {
        self.refused.swap(false, Ordering::SeqCst)
    }

    /// Has another access key tried at once, if the CDN refused the one before.
    pub fn new_key(&self, now: Timestamp) {
        self.pace().new_key(now);
        self.wake_dispatch();
    }

    /// Writes down what is known of the access key.
    pub fn know_key(&self, key: KeyFacts) {
        self.facts.send_if_modified(|facts| {
            let account = facts.accounts.entry(self.account.clone()).or_default();
            let is_news = account.key != key;
            account.key = key;
            is_news
        });
    }

    /// Publishes what slows or stops calls, and when the CDN last answered.
    pub(super) fn publish(&self, is_alive: bool, now: Timestamp) {
        let (note, way) = {
            let pace = self.pace();
            (pace.note(now), pace.way(now))
        };
        self.facts.send_if_modified(|facts| {
            let account = facts.accounts.entry(self.account.clone()).or_default();
            if is_alive {
                account.answered_at = Some(now);
            }
            let is_news = account.note != note || account.way != way;
            account.note = note;
            account.way = way;
            is_news
        });
    }

    /// Writes down what the CDN says of the account's domains.
    pub fn domains(&self, domains: DomainFacts) {
        self.facts.send_modify(|facts| {
            facts.accounts.entry(self.account.clone()).or_default().domains = domains;
        });
    }

    fn tell(&self, errand: Errand, news: &News, why: &str) {
        let account = &self.account;
        match news {
            News::KeyRefused => tracing::error!(
                event = "key-refused", %account,
                "the CDN refuses the key: {why}; nothing is lost: what changes waits, the key is tried \
                 once a minute, and a new one at once"
            ),
            News::KeyTaken => {
                tracing::info!(event = "key-taken", %account, "the CDN takes the key");
            }
            News::Away => tracing::warn!(
                event = "cdn-closed", %account,
                "the CDN does not answer: {why}; what changes waits until it does"
            ),
            News::Back => tracing::info!(event = "cdn-open", %account, "the CDN answers again"),
            News::Slower => tracing::warn!(%account, "{errand} go slower, as the CDN asks: {why}"),
            News::Closed => {
                tracing::error!(event = "cdn-closed", %account, "{errand} stand still: {why}");
            }
            News::Open => tracing::info!(event = "cdn-open", %account, "{errand} go on"),
        }
    }
}

/// Returns what a failed call says of the pace.
fn heard(errand: Errand, failure: &Failure, verdict: &Verdict, why: &str) -> Heard {
    let least = failure.retry_after.unwrap_or_default();
    let why = why.to_owned();
    let has_targets = matches!(errand, Errand::Refresh | Errand::Tags | Errand::Prefetch);
    match verdict {
        Verdict::Later { scope: Scope::Rate, .. } => Heard::Throttled { after: least },
        Verdict::Later { after, scope: Scope::Queue } => {
            Heard::Closed { after: after.unwrap_or(FORBIDDEN), why }
        }
        Verdict::Later { after, scope: Scope::Account } => match after {
            Some(after) if failure.reached != Reached::Nothing => {
                Heard::Down { after: *after, why }
            }
            _ => Heard::Fault { reached: failure.reached != Reached::Nothing, after: least, why },
        },
        Verdict::Later { after, scope: Scope::Batch } => {
            Heard::Later { after: after.unwrap_or(MOMENT) }
        }
        // A question has no targets that could wait in its stead.
        Verdict::Later { after, scope: Scope::Domain } if !has_targets => {
            Heard::Later { after: after.unwrap_or(MOMENT) }
        }
        Verdict::Domain | Verdict::NextDay | Verdict::Smaller if !has_targets => {
            Heard::Closed { after: FORBIDDEN, why }
        }
        Verdict::Renew => Heard::Key { why },
        Verdict::Forbidden | Verdict::Operator => Heard::Closed { after: FORBIDDEN, why },
        Verdict::Unknown if failure.code.as_deref() == Some("SignatureNonceUsed") => {
            Heard::Later { after: MOMENT }
        }
        Verdict::Unknown => Heard::Fault { reached: true, after: least, why },
        Verdict::Later { scope: Scope::Domain, .. }
        | Verdict::Domain
        | Verdict::NextDay
        | Verdict::Split
        | Verdict::Smaller
        | Verdict::Never => Heard::Refused,
    }
}
