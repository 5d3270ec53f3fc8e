//! The board on which an account's loops leave word for each other and for operators.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::domain::facts::{DomainFacts, Facts};
use crate::domain::names::AccountName;
use crate::domain::time::Timestamp;

/// An account's wake-ups and its part of the [`Facts`].
#[derive(Clone, Debug)]
pub struct AccountBoard {
    account: AccountName,
    facts: watch::Sender<Facts>,
    dispatch: Arc<Notify>,
    poll: Arc<Notify>,
}

impl AccountBoard {
    /// Makes the board of an account; `facts` is where operators read.
    #[must_use]
    pub fn new(account: AccountName, facts: watch::Sender<Facts>) -> Self {
        facts.send_modify(|facts| {
            facts.accounts.entry(account.clone()).or_default();
        });
        Self { account, facts, dispatch: Arc::default(), poll: Arc::default() }
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

    /// Writes down that the CDN answered: whatever was noted is over.
    pub fn answered(&self, now: Timestamp) {
        self.facts.send_if_modified(|facts| {
            let account = facts.accounts.entry(self.account.clone()).or_default();
            account.answered_at = Some(now);
            !std::mem::take(&mut account.note).is_empty()
        });
    }

    /// Writes down what the CDN says of the account's domains.
    pub fn domains(&self, domains: DomainFacts) {
        self.facts.send_modify(|facts| {
            facts.accounts.entry(self.account.clone()).or_default().domains = domains;
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
