//! What a run came to, seen from the outside: from what changed, what the sandbox accepted and
//! carried out, and which calls were made.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use refreshd::cdn::wire::Operation;
use refreshd::domain::ask::Kind;
use refreshd::domain::intent::{Action, Outcome, State};
use refreshd::domain::quota::QuotaKind;
use refreshd::domain::time::{Day, Timestamp};

use super::bench::{Bench, CALLS};
use super::counted::{Made, Span};
use super::work::Change;

/// One target that the sandbox accepted.
struct Accepted {
    at: Duration,
    action: Action,
    target: String,
    /// Whether it had its effect.
    effective: bool,
}

/// What a run came to.
pub(super) struct Measured {
    /// Changes that nothing stands for any more, with where their intent stands.
    pub(super) lost: Vec<String>,
    /// Targets accepted again without a change since they were accepted before.
    pub(super) duplicates: u64,
    /// Accepted targets that had no effect.
    pub(super) ineffective: u64,
    /// Submissions of which nobody could tell whether they were carried out.
    pub(super) doubts: u64,
    /// Units of quota that a batch was charged beyond its asks on one day.
    pub(super) twice: u64,
    /// Units that a day was overspent by.
    pub(super) overspent: u64,
    /// Changes that wait or failed in the end, visibly.
    pub(super) visible: u64,
    pub(super) made: Vec<Made>,
    /// Calls for tasks that came within ten seconds of another while fewer than ten jobs were open.
    pub(super) hasty: usize,
    /// How long each change waited for being accepted, by when it came.
    pub(super) waits: Vec<(Duration, Change, Option<Duration>)>,
    /// Where everything stood, if the loops took turns for ever or calls without end.
    pub(super) endless: Option<String>,
    /// When the run ended.
    pub(super) ended: Duration,
    /// When each target was accepted.
    pub(super) accepted: Vec<Duration>,
}

impl Measured {
    pub(super) async fn of(bench: &Bench) -> Self {
        let accepted = accepted(bench);
        let mut lost = Vec::new();
        let mut visible = 0;
        let mut waits = Vec::new();
        let mut by_target: HashMap<&str, Vec<&Accepted>> = HashMap::new();
        for one in &accepted {
            by_target.entry(&one.target).or_default().push(one);
        }
        for (at, change) in &bench.changes {
            let first = |effective: bool| {
                let covering = covers(change).into_iter().filter_map(|text| by_target.get(text));
                let after = covering.flatten().filter(|one| {
                    one.action == change.action && one.at >= *at && (one.effective || !effective)
                });
                after.map(|one| one.at).min()
            };
            waits.push((
                *at,
                change.clone(),
                first(false).map(|accepted| accepted.saturating_sub(*at)),
            ));
            if first(true).is_some() {
                continue;
            }
            match stands(bench, change).await {
                Ok(()) => visible += 1,
                Err(state) => lost.push(format!("{} of {at:?} {state}", change.target)),
            }
        }
        let made = bench.cdn.made();
        let submitting = [Operation::RefreshObjectCaches, Operation::PushObjectCache];
        let doubts = made.iter().filter(|one| one.unknown && submitting.contains(&one.operation));
        let close = |pair: &&[Duration]| pair[1].saturating_sub(pair[0]) < Duration::from_secs(10);
        let overlapped = bench.journal.counts().await.expect("counts").overlapped;
        let is_endless = bench.hangs || bench.cdn.count() > CALLS;
        let endless = if is_endless { Some(bench.state().await) } else { None };
        Self {
            lost,
            duplicates: duplicates(bench, &accepted).saturating_sub(overlapped),
            ineffective: accepted.iter().filter(|one| !one.effective).count() as u64,
            doubts: doubts.count() as u64,
            twice: twice(bench).await,
            overspent: overspent(bench),
            visible,
            hasty: bench.polled.windows(2).filter(close).count(),
            made,
            waits,
            endless,
            ended: bench.passed(),
            accepted: accepted.iter().map(|one| one.at).collect(),
        }
    }

    /// Returns how many calls of an operation, or of any, were made in a span.
    pub(super) fn calls(&self, operation: Option<Operation>, span: &Span) -> usize {
        let fits = |made: &&Made| operation.is_none_or(|name| made.operation == name);
        self.made.iter().filter(fits).filter(|made| span.contains(&made.at)).count()
    }

    /// Returns the longest wait of what changed in a span, of those that fit; what was never accepted
    /// waited until the run ended.
    pub(super) fn longest(&self, span: &Span, fits: impl Fn(&Change) -> bool) -> Duration {
        let inside = self.waits.iter().filter(|(at, change, _)| span.contains(at) && fits(change));
        inside
            .map(|(at, _, wait)| wait.unwrap_or(self.ended.saturating_sub(*at)))
            .max()
            .unwrap_or_default()
    }

    /// Returns how long after `end` all was accepted that had changed before.
    pub(super) fn caught_up(&self, end: Duration) -> Duration {
        let before = self.waits.iter().filter(|(at, ..)| *at < end);
        let accepted = before.filter_map(|(at, _, wait)| Some(*at + (*wait)?));
        accepted.max().unwrap_or_default().saturating_sub(end)
    }
}

fn accepted(bench: &Bench) -> Vec<Accepted> {
    let control = bench.sandbox.control();
    let effective: HashSet<(String, String)> = control.effective().into_iter().collect();
    let entries = control.log().accepted;
    let lines = entries.into_iter().flat_map(|entry| {
        let at = bench.since(Timestamp::from_micros(entry.time_micros));
        let action = match entry.kind {
            QuotaKind::Prefetch => Action::Prefetch,
            _ => Action::Refresh,
        };
        let ids = entry.task_ids;
        entry.targets.into_iter().map(move |target| (at, action, ids.clone(), target))
    });
    lines
        .map(|(at, action, ids, target)| Accepted {
            effective: ids.iter().any(|id| effective.contains(&(id.clone(), target.clone()))),
            at,
            action,
            target,
        })
        .collect()
}

/// Returns the targets that stand for a change: its own, and the directories above it.
fn covers(change: &Change) -> Vec<&str> {
    let text = change.target.text.as_str();
    let host = "https://".len();
    let above = text.match_indices('/').map(|(at, _)| &text[..=at]).filter(|one| one.len() > host);
    let above = above.filter(|_| change.target.kind == Kind::Url);
    std::iter::once(text).chain(above).collect()
}

/// Whether the newest intent of a change shows why it isn't done; else, where it stands.
async fn stands(bench: &Bench, change: &Change) -> Result<(), String> {
    let account = "main".into();
    let history = bench.journal.history(&account, change.action, &change.target, 1);
    match history.await.expect("reads").pop().map(|(intent, _)| intent.state) {
        Some(State::Pending { waiting: Some(waiting), .. }) if !waiting.why.is_empty() => Ok(()),
        // What keeps all of an account is shown once.
        Some(State::Pending { waiting: None, .. }) if !bench.note().is_empty() => Ok(()),
        Some(State::Ended { outcome: Outcome::Failed(why), .. }) if !why.is_empty() => Ok(()),
        // It is followed, and given up in time.
        Some(State::Submitted) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn duplicates(bench: &Bench, accepted: &[Accepted]) -> u64 {
    let mut changed: BTreeMap<(Action, &str), Vec<Duration>> = BTreeMap::new();
    for (at, change) in &bench.changes {
        changed.entry((change.action, &change.target.text)).or_default().push(*at);
    }
    let mut before: BTreeMap<(Action, &str), Duration> = BTreeMap::new();
    let mut duplicates = 0;
    for one in accepted {
        let key = (one.action, one.target.as_str());
        let last = before.insert(key, one.at);
        let since = |at: &Duration| last.is_none_or(|last| last < *at) && *at <= one.at;
        let is_news = changed.get(&key).is_some_and(|times| times.iter().any(since));
        duplicates += u64::from(!is_news);
    }
    duplicates
}

async fn twice(bench: &Bench) -> u64 {
    let snapshot = bench.journal.snapshot().await.expect("reads");
    assert_eq!(snapshot.problems(), [""; 0], "the journal is sound");
    let beyond = snapshot.batches.iter().flat_map(|batch| {
        let asks = i64::try_from(batch.asks.len()).expect("few");
        batch.debits.iter().map(move |(_, amount)| (amount - asks).max(0))
    });
    beyond.sum::<i64>().unsigned_abs()
}

fn overspent(bench: &Bench) -> u64 {
    let mut spent: BTreeMap<(Day, &str), u64> = BTreeMap::new();
    let log = bench.sandbox.control().log();
    for entry in &log.accepted {
        let day = Day::of(Timestamp::from_micros(entry.time_micros));
        *spent.entry((day, entry.kind.as_str())).or_default() += entry.targets.len() as u64;
    }
    let beyond = spent.into_iter().map(|((_, kind), used)| {
        let limit = QuotaKind::parse(kind).map_or(0, |kind| bench.setting.quota[kind]);
        used.saturating_sub(limit)
    });
    beyond.sum()
}
