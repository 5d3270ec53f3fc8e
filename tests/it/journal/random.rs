//! Random histories: `SQLite` must answer every verb like the reference, and stay sound.

use std::fmt::Debug;

use proptest::prelude::*;
use refreshd::database::Database;
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::deploy::{Deploy, DeployId};
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{Action, IntentId, Outgoing, Priority, Wait, Waiting, Wish};
use refreshd::domain::names::{AccountName, NodeId};
use refreshd::domain::quota::{PerKind, Reported};
use refreshd::domain::stage::{After, Order, Stage};
use refreshd::domain::task::{Ask, Batch, BatchKey, Fence, TaskId, TaskStatus};
use refreshd::domain::time::Timestamp;
use refreshd::domain::verdict::Verdict;
use refreshd::journal::browse::{Browse, Filter, Picked, StateWord};
use refreshd::journal::check::{BatchState, Snapshot};
use refreshd::journal::reference::ReferenceJournal;
use refreshd::journal::sqlite::SqliteJournal;
use refreshd::journal::{Decision, Journal, Observation, Retry};

use super::world::{HOUR, SECOND, cause, later};

/// A step: which verb, and three numbers it draws its arguments from.
type Step = (u8, u8, u8, u8);

struct Pair {
    real: SqliteJournal,
    model: ReferenceJournal,
    account: AccountName,
    fence: Fence,
    now: Timestamp,
    sequence: u64,
    keys: u64,
}

/// Runs a verb on both journals and returns the answer they agree on.
macro_rules! both {
    ($pair:ident . $verb:ident ( $($argument:expr),* )) => {{
        let real = $pair.real.$verb($($argument),*).await;
        let model = $pair.model.$verb($($argument),*).await;
        same(stringify!($verb), &real, &model);
        model
    }};
}

fn same(verb: &str, real: &impl Debug, model: &impl Debug) {
    assert_eq!(format!("{real:?}"), format!("{model:?}"), "{verb}");
}

fn target(number: u8) -> Target {
    match number % 8 {
        0 => Target::new(Kind::Directory, "https://a.example/d/"),
        1 => Target::new(Kind::IgnoreParams, "https://a.example/d/2"),
        2 => Target::new(Kind::Tag, "https://a.example/#d"),
        other => Target::new(Kind::Url, format!("https://a.example/d/{other}")),
    }
}

impl Pair {
    async fn step(&mut self, (verb, a, b, c): Step) {
        match verb % 22 {
            0..=2 => self.accept(a, b, c).await,
            3..=5 => self.stage(a, b, c).await,
            6..=8 => self.answer(a, b).await,
            9 => self.look(a, b).await,
            10 | 11 => self.observe(a, b).await,
            12 => self.park(a, b).await,
            13 => self.report(a, b).await,
            14 => {
                let by = u32::from(a % 5) * HOUR + u32::from(b) * SECOND;
                self.now = self.now.plus(by);
            }
            16 => self.decide(a, b).await,
            17 => self.pause(a, b).await,
            18 => {
                let deploy = DeployId::new(Timestamp::EPOCH, u64::from(a % 3));
                let _ = both!(self.hold(&deploy, "a guard holds it"));
            }
            20 => {
                let ids = [i64::from(a % 32), i64::from(b % 32)].map(IntentId);
                let picked = if c % 2 == 0 { Picked::Single } else { Picked::Alike };
                let _ = both!(self.retry(&ids, picked, self.now));
            }
            21 => {
                let ids = [i64::from(a % 32), i64::from(b % 32)].map(IntentId);
                let of = DeployId::new(Timestamp::EPOCH, u64::from(a % 3));
                let (ids, of) = (&ids[..usize::from(b % 3).min(2)], (c % 2 == 0).then_some(&of));
                let _ = both!(self.cancel(ids, of, "alice", self.now));
            }
            _ if a < 40 => {
                self.fence = both!(self.lead(&self.account, self.now)).expect("leads");
            }
            _ if a < 60 => {
                self.now = self.now.plus(60 * 24 * HOUR);
                let _ = both!(self.prune(self.now));
            }
            _ => self.now = self.now.plus(SECOND),
        }
        self.compare().await;
    }

    async fn accept(&mut self, a: u8, b: u8, c: u8) {
        let deploy = DeployId::new(Timestamp::EPOCH, u64::from(c % 3));
        let mut items = Vec::new();
        for number in [a, b] {
            let target = target(number);
            let prefetch = target.kind == Kind::Url && number > 170;
            let mut cause = cause(self.now);
            cause.origin = (number % 3 > 0).then(|| if c > 100 { "www" } else { "blog" }.into());
            if number % 7 == 1 {
                (cause.witness, cause.origin) = (Witness::Operator, None);
            }
            cause.deploy = (c.is_multiple_of(2)).then(|| deploy.clone());
            self.sequence += 1;
            let wish = Wish {
                account: self.account.clone(),
                action: if prefetch { Action::Prefetch } else { Action::Refresh },
                target,
                force: number.is_multiple_of(5),
                priority: Priority::ALL[usize::from(number / 32 % 3)],
                not_before: self.now.plus(u32::from(c % 4) * SECOND),
                stage: Stage {
                    order: Order::ALL[usize::from(number / 8 % 4)],
                    after: if c.is_multiple_of(7) { After::Complete } else { After::Accepted },
                },
                hold: (c % 5 == 1).then(|| format!("a person decides on {number}")),
                cause,
            };
            items.push((self.sequence, Outgoing::Wish(wish)));
        }
        if c % 32 == 3 {
            self.sequence += 1;
            let hold = Outgoing::Hold { deploy: deploy.clone(), why: "so many".to_owned() };
            items.push((self.sequence, hold));
        }
        if c > 200 {
            self.sequence += 1;
            let deploy = Deploy {
                id: deploy,
                origin: "www".into(),
                opened_at: self.now,
                closed_at: (c < 230).then_some(self.now),
            };
            items.push((self.sequence, Outgoing::Deploy(deploy)));
        }
        let _ = both!(self.accept(&NodeId::from("n"), &items, self.now));
    }

    async fn stage(&mut self, a: u8, b: u8, c: u8) {
        let due = both!(self.due(&self.account, self.now, 8)).expect("due");
        let Some(chosen) = due.intents.get(usize::from(a) % due.intents.len().max(1)) else {
            return;
        };
        let alike = due.intents.iter().filter(|intent| intent.action == chosen.action);
        let wide = chosen.action == Action::Refresh && b.is_multiple_of(3);
        let asks: Vec<Ask> = if wide {
            vec![Ask { target: target(0), intents: alike.map(|intent| intent.id).collect() }]
        } else {
            let alike = alike.filter(|intent| intent.target.kind == chosen.target.kind);
            alike
                .map(|intent| Ask { target: intent.target.clone(), intents: vec![intent.id] })
                .collect()
        };
        self.keys += 1;
        let batch = Batch {
            key: BatchKey::new(self.now, self.keys),
            account: self.account.clone(),
            action: chosen.action,
            kind: if wide { Kind::Directory } else { chosen.target.kind },
            force: c.is_multiple_of(2),
            asks,
        };
        let fence = Fence(self.fence.0 - i64::from(c > 250));
        let limits = PerKind::from_fn(|_| 12);
        let _ = both!(self.stage(&batch, fence, &limits, self.now));
    }

    /// Chooses a batch in one of the states.
    async fn choose(&self, number: u8, states: &[BatchState]) -> Option<BatchKey> {
        let snapshot = self.model.snapshot().await.expect("a snapshot");
        let wanted = snapshot.batches.iter().filter(|batch| states.contains(&batch.state));
        let keys: Vec<BatchKey> = wanted.map(|batch| batch.key.clone()).collect();
        keys.get(usize::from(number) % keys.len().max(1)).cloned()
    }

    async fn answer(&mut self, a: u8, b: u8) {
        // Now and then out of turn: then both must refuse.
        let any = [BatchState::Staged, BatchState::Unknown, BatchState::Refused];
        let states = if b > 240 { &any[..] } else { &any[..1] };
        let Some(key) = self.choose(a, states).await else {
            return;
        };
        let (now, fence) = (self.now, self.fence);
        let soon = now.plus(u32::from(b % 7) * SECOND);
        let verdict = match b % 9 {
            0..=2 => {
                let tasks = [TaskId(format!("{b}")), TaskId(format!("{a}"))];
                let _ = both!(self.accepted(&key, fence, &tasks, "r", now, soon));
                return;
            }
            3 | 4 => {
                let _ = both!(self.doubted(&key, fence, "cut", soon, now));
                return;
            }
            5 => Verdict::Split,
            6 => Verdict::NextDay,
            7 => Verdict::Never,
            _ => later(),
        };
        let _ = both!(self.refused(&key, fence, &verdict, "because", soon, now));
    }

    async fn look(&mut self, a: u8, b: u8) {
        let (now, fence) = (self.now, self.fence);
        let (doubts, _) = both!(self.doubts(&self.account, now)).expect("doubts");
        let Some(doubt) = doubts.get(usize::from(a) % doubts.len().max(1)) else {
            return;
        };
        let key = &doubt.batch.key;
        if b.is_multiple_of(4) {
            let _ = both!(self.resend(key, fence, now));
            return;
        }
        let found: Vec<(Target, TaskId)> = doubt
            .batch
            .asks
            .iter()
            .take(usize::from(b % 4) - 1)
            .map(|ask| (ask.target.clone(), TaskId(format!("{a}"))))
            .collect();
        let soon = now.plus(SECOND);
        let _ = both!(self.looked(key, fence, &found, soon, soon, now));
    }

    async fn observe(&mut self, a: u8, b: u8) {
        let now = self.now;
        let (jobs, _) = both!(self.jobs_due(&self.account, now, 3)).expect("jobs");
        let Some(job) = jobs.get(usize::from(a) % jobs.len().max(1)) else {
            return;
        };
        let status = match b % 4 {
            0 => TaskStatus::Running { percent: b },
            1 => TaskStatus::Failed("no".to_owned()),
            _ => TaskStatus::Complete,
        };
        let news = job.asks.iter().take(usize::from(b / 4 % 4));
        let observation = Observation {
            key: job.key.clone(),
            news: news.map(|ask| (ask.target.clone(), status.clone())).collect(),
            next_poll: now.plus(SECOND),
            expire: (b > 230).then(|| "no row".to_owned()),
        };
        let retry = Retry { not_before: now.plus(SECOND) };
        let _ = both!(self.observe(&observation, retry, now));
    }

    async fn park(&mut self, a: u8, b: u8) {
        let snapshot = self.model.snapshot().await.expect("a snapshot");
        let Some(intent) = snapshot.intents.iter().rev().nth(usize::from(a % 16)) else {
            return;
        };
        let waiting = Waiting {
            wait: Wait::ALL[usize::from(b % 8)],
            why: "parked".to_owned(),
            until: (b > 128).then(|| self.now.plus(SECOND)),
        };
        let parked = [(intent.id, waiting)];
        let _ = both!(self.park(&parked, self.now));
    }

    async fn pause(&mut self, a: u8, b: u8) {
        let origin = [None, Some("www".into()), Some("blog".into())][usize::from(a % 3)].clone();
        // Most often it ends: most of a history is not about it.
        let _ = if b.is_multiple_of(3) {
            both!(self.pause(&self.account, origin.as_ref(), "alice", self.now))
        } else {
            both!(self.resume(&self.account, origin.as_ref()))
        };
    }

    async fn decide(&mut self, a: u8, b: u8) {
        let held = both!(self.held()).expect("held");
        let decision = if b.is_multiple_of(3) { Decision::Reject } else { Decision::Approve };
        let deploy = match held.get(usize::from(a) % held.len().max(1)) {
            Some(set) => set.deploy.clone(),
            None => DeployId::new(self.now, 9),
        };
        let through = (a > 128).then(|| IntentId(i64::from(b)));
        let _ = both!(self.decide(&deploy, through, decision, "alice", self.now));
    }

    async fn report(&mut self, a: u8, b: u8) {
        let answer = Reported { quota: 8 + u64::from(a % 8), remain: u64::from(b % 12) };
        let table = PerKind::from_fn(|kind| (kind.as_str().len() % 2 == 0).then_some(answer));
        let asked = self.now.minus(u32::from(b) * SECOND / 16);
        let _ = both!(self.quota_reported(&self.account, &table, asked, 5 * SECOND, self.now));
    }

    async fn compare(&self) {
        let _ = both!(self.counts());
        let _ = both!(self.oldest_open());
        let _ = both!(self.attention(5));
        let _ = both!(self.reasons(None, 9));
        let _ = both!(self.held());
        let _ = both!(self.pauses());
        let deploys = both!(self.deploys(None, 9)).expect("deploys");
        let deploys: Vec<DeployId> = deploys.into_iter().map(|deploy| deploy.id).collect();
        let _ = both!(self.deploy_report(&deploys, 7, 5));
        let _ = both!(self.reasons(Some(&deploys), 9));
        let _ = both!(self.deploy_report(&deploys[..deploys.len().min(1)], usize::MAX, 50));
        let _ = both!(self.due(&self.account, self.now, 6));
        let _ = both!(self.quota(&self.account, &PerKind::from_fn(|_| 12), self.now));
        let _ = both!(self.spending(&self.account, self.now));
        let _ = both!(self.past(&self.account, self.now));
        let _ = both!(self.history(&self.account, Action::Refresh, &target(2), 9));
        let _ = both!(self.spent_today(&self.account, self.now));
        let _ = both!(self.targets("https://a.example/", 3));
        let _ = both!(self.ended(self.now.minus(HOUR), 4));
        let _ = both!(self.counted_deploys(None, None, 2));
        let deploy = deploys.first().cloned();
        let wanted =
            |state, outcome, deploy| Filter { state, outcome, deploy, ..Filter::default() };
        for filter in [
            wanted(None, None, None),
            wanted(Some(StateWord::Pending), None, None),
            wanted(None, Some("failed"), None),
            wanted(Some(StateWord::Ended), Some("superseded"), None),
            wanted(None, None, deploy),
        ] {
            let page = both!(self.list(&filter, None, 3)).expect("a page");
            let _ = both!(self.list(&filter, page.next, 3));
            if let Some(intent) = page.intents.first() {
                let _ = both!(self.story(intent.id));
            }
        }
        let real = plain(self.real.snapshot().await.expect("a snapshot"));
        let model = plain(self.model.snapshot().await.expect("a snapshot"));
        same("snapshot", &real, &model);
        assert_eq!(real.problems(), Vec::<String>::new());
    }
}

/// Leaves out lines of the ledger that say nothing.
fn plain(mut snapshot: Snapshot) -> Snapshot {
    snapshot.ledger.retain(|line| line.used != 0 || line.corrected != 0);
    snapshot
}

async fn run(steps: Vec<Step>) {
    let mut pair = Pair {
        real: SqliteJournal::new(Database::in_memory().expect("opens")),
        model: ReferenceJournal::default(),
        account: "main".into(),
        fence: Fence(0),
        now: Timestamp::parse("2026-11-22T12:00:00Z").expect("valid"),
        sequence: 0,
        keys: 0,
    };
    let both = &pair;
    pair.fence = both!(both.lead(&both.account, both.now)).expect("leads");
    for step in steps {
        pair.step(step).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn sqlite_answers_like_the_reference(
        steps in prop::collection::vec(any::<Step>(), 60..90),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}
