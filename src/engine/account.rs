//! The board on which an account's loops leave word for each other and for operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

use crate::domain::facts::{Facts, KeyFacts};
use crate::domain::names::AccountName;
use crate::domain::time::Timestamp;

/// An account's wake-ups and its part of the [`Facts`].
#[derive(Clone, Debug)]
pub struct AccountBoard {
    account: AccountName,
    facts: watch::Sender<Facts>,
    dispatch: Arc<Notify>,
    poll: Arc<Notify>,
    key: Arc<Notify>,
    refused: Arc<AtomicBool>,
    keys: Arc<AtomicU64>,
}

impl AccountBoard {
    /// Makes the board of an account; `facts` is where operators read.
    #[must_use]
    pub fn new(account: AccountName, facts: watch::Sender<Facts>) -> Self {
        facts.send_modify(|facts| {
            facts.accounts.entry(account.clone()).or_default();
        });
        Self {
            account,
            facts,
            dispatch: Arc::default(),
            poll: Arc::default(),
            key: Arc::default(),
            refused: Arc::default(),
            keys: Arc::default(),
        }
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

    /// Wakes dispatch and poll: there is another access key.
    pub fn new_key(&self) {
        self.keys.fetch_add(1, Ordering::SeqCst);
        self.wake_dispatch();
        self.wake_poll();
    }

    /// Returns how many access keys there were after the first: what was refused with an earlier one
    /// may be asked again.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.keys.load(Ordering::SeqCst)
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

    /// Writes down that the CDN answered: whatever was noted is over.
    pub fn answered(&self, now: Timestamp) {
        self.facts.send_if_modified(|facts| {
            let account = facts.accounts.entry(self.account.clone()).or_default();
            account.answered_at = Some(now);
            !std::mem::take(&mut account.note).is_empty()
        });
    }

    /// Writes down what stops or slows submission.
    pub fn note(&self, why: &str) {
        self.facts.send_modify(|facts| {
            let account = facts.accounts.entry(self.account.clone()).or_default();
            why.clone_into(&mut account.note);
        });
    }
}
