//! What became of deploys, as an answer shows it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::ask::Kind;
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::intent::Action;
use crate::domain::time::Timestamp;
use crate::journal::{Attention, DeployReport, JournalError, Reason};
use crate::store::StoreError;

use super::Desk;
use super::gate::AtGate;

/// Unfinished intents that one answer names; the counts tell of all.
const NAMED: usize = 100;
/// Reasons that one answer tells.
pub(super) const REASONS: usize = 50;

/// What became of all that one or more deploys of an origin caused.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The deploys, the newest first.
    pub deploys: Vec<Deploy>,
    /// Whether all of it is done; false, too, where not all of it was counted.
    pub done: bool,
    /// Whether they caused more than what is counted here, which is the newest.
    pub more: bool,
    /// How many intents have not ended, with the wishes at the gate.
    pub open: u64,
    /// What waits until the origin's web servers serve it; none when nothing does.
    pub gate: Option<AtGate>,
    /// How many intents stand where: by state, and those that ended by outcome.
    pub intents: BTreeMap<String, u64>,
    /// What went to the CDN.
    pub asks: Vec<Asks>,
    /// Why intents are not done, what failed first, then what is most.
    pub reasons: Vec<Alike>,
    /// The oldest intents that are not done, with why.
    pub unfinished: Vec<Unfinished>,
    /// How long it took since the first deploy opened.
    pub seconds: Seconds,
}

/// How many asks of a kind went to the CDN.
#[derive(Debug, Serialize)]
pub struct Asks {
    /// Refresh or prefetch.
    pub action: Action,
    /// Of which kind.
    pub kind: Kind,
    /// How many.
    pub asks: u64,
}

/// Intents that are not done for the same reason.
#[derive(Debug, Serialize)]
pub struct Alike {
    /// Refresh or prefetch.
    pub action: Action,
    /// Where they stand: a state, a wait or an outcome.
    pub stands: String,
    /// Why; empty when they are merely under way.
    pub why: String,
    /// How many.
    pub intents: u64,
    /// When the first of them is looked at again; none unless that is known of all.
    pub until: Option<Timestamp>,
    /// What the oldest is for.
    pub target: String,
}

/// An intent that is not done.
#[derive(Debug, Serialize)]
pub struct Unfinished {
    /// Refresh or prefetch.
    pub action: Action,
    /// What for.
    pub target: String,
    /// Where it stands: a state or an outcome.
    pub stands: &'static str,
    /// Why; empty when it is merely under way.
    pub why: String,
    /// When it is looked at again, where that is known.
    pub until: Option<Timestamp>,
}

/// Seconds since the first deploy opened; none for what has not happened.
#[derive(Debug, Serialize)]
pub struct Seconds {
    /// Until the last deploy closed.
    pub closed: Option<f64>,
    /// Until the CDN accepted the first ask.
    pub first_accepted: Option<f64>,
    /// Until it accepted the last.
    pub last_accepted: Option<f64>,
    /// Until the last intent that ended did.
    pub ended: Option<f64>,
}

impl Report {
    /// Reads what became of deploys, which stand newest first; counts the newest `most` intents.
    pub(super) async fn read(
        desk: &Desk,
        deploys: &[Deploy],
        most: usize,
    ) -> Result<Self, JournalError> {
        let ids: Vec<DeployId> = deploys.iter().map(|deploy| deploy.id.clone()).collect();
        // Before the journal is asked: what passes the gate meanwhile is in neither else.
        let gate = match deploys.first() {
            Some(deploy) => AtGate::look(desk, &deploy.origin, ids.iter()).await.map_err(unread)?,
            None => None,
        };
        let report = desk.journal.deploy_report(&ids, most, NAMED).await?;
        let reasons = desk.journal.reasons(Some(&ids), REASONS).await?;
        Ok(Self::of(deploys.to_vec(), gate, report, reasons))
    }

    fn of(
        deploys: Vec<Deploy>,
        gate: Option<AtGate>,
        report: DeployReport,
        reasons: Vec<Reason>,
    ) -> Self {
        let opened_at = deploys.iter().map(|deploy| deploy.opened_at).min().unwrap_or_default();
        let seconds = |at: Timestamp| at.since(opened_at).as_secs_f64();
        let closed_at: Option<Vec<Timestamp>> =
            deploys.iter().map(|deploy| deploy.closed_at).collect();
        let seconds = Seconds {
            closed: closed_at.and_then(|at| at.into_iter().max()).map(seconds),
            first_accepted: report.accepted.map(|(first, _)| seconds(first)),
            last_accepted: report.accepted.map(|(_, last)| seconds(last)),
            ended: report.ended_at.map(seconds),
        };
        let asks = report.asks.iter();
        Self {
            done: gate.is_none() && report.is_done() && !report.more,
            more: report.more,
            open: report.open() + gate.as_ref().map_or(0, |gate| gate.wishes),
            gate,
            asks: asks.map(|&(action, kind, asks)| Asks { action, kind, asks }).collect(),
            reasons: reasons.into_iter().map(Alike::from).collect(),
            unfinished: report.unfinished.into_iter().map(Unfinished::from).collect(),
            intents: report.intents,
            deploys,
            seconds,
        }
    }
}

fn unread(error: StoreError) -> JournalError {
    match error {
        StoreError::Database(error) => JournalError::Database(error),
        StoreError::Inconsistent(why) => JournalError::Inconsistent(why),
    }
}

impl From<Reason> for Alike {
    fn from(reason: Reason) -> Self {
        Self {
            action: reason.action,
            stands: reason.stands,
            why: reason.why,
            intents: reason.number,
            until: reason.until,
            target: reason.target.to_string(),
        }
    }
}

impl From<Attention> for Unfinished {
    fn from(shown: Attention) -> Self {
        let (stands, until) = shown.intent.state.stands();
        Self {
            action: shown.intent.action,
            target: shown.intent.target.to_string(),
            stands,
            why: shown.why,
            until,
        }
    }
}
