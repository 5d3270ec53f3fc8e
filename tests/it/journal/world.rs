//! A journal with a clock, a node and a lead, and short words for the cases.

use std::time::Duration;

use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{Action, Cause, Intent, Outgoing, Priority, Wish};
use refreshd::domain::names::{AccountName, NodeId};
use refreshd::domain::quota::PerKind;
use refreshd::domain::task::{Ask, Batch, BatchKey, Fence, TaskId};
use refreshd::domain::time::Timestamp;
use refreshd::domain::verdict::Verdict;
use refreshd::journal::{AcceptedWishes, Counts, Doubt, Due, Journal, Observation, Retry, Staged};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) struct World {
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) account: AccountName,
    pub(crate) fence: Fence,
    pub(crate) now: Timestamp,
    pub(crate) limits: PerKind<u64>,
    sequence: u64,
    keys: u64,
}

pub(crate) fn cause(at: Timestamp) -> Cause {
    Cause {
        witness: Witness::Watch,
        at,
        origin: Some("www".into()),
        path: None,
        change: None,
        digest: None,
        deploy: None,
    }
}

pub(crate) fn url(text: &str) -> Target {
    Target::new(Kind::Url, text)
}

pub(crate) fn directory(text: &str) -> Target {
    Target::new(Kind::Directory, text)
}

pub(crate) fn wish(text: &str) -> Wish {
    Wish {
        account: "main".into(),
        action: Action::Refresh,
        target: url(text),
        force: false,
        priority: Priority::Normal,
        not_before: Timestamp::EPOCH,
        stage: refreshd::domain::stage::Stage::default(),
        hold: None,
        cause: cause(Timestamp::EPOCH),
    }
}

pub(crate) fn later() -> Verdict {
    Verdict::Later { after: None, scope: refreshd::domain::verdict::Scope::Batch }
}

impl World {
    /// Begins at 2026-11-22 12:00 UTC: 20:00 of the CDN's day, four hours before it turns.
    pub(crate) async fn new(journal: impl Journal) -> Self {
        let now = Timestamp::parse("2026-11-22T12:00:00Z").expect("valid");
        let account = AccountName::from("main");
        let fence = journal.lead(&account, now).await.expect("leads");
        Self {
            journal: Box::new(journal),
            account,
            fence,
            now,
            limits: PerKind::from_fn(|_| 100_000),
            sequence: 0,
            keys: 0,
        }
    }

    pub(crate) fn pass(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    pub(crate) fn item(&mut self, wish: Wish) -> (u64, Outgoing) {
        self.sequence += 1;
        (self.sequence, Outgoing::Wish(wish))
    }

    pub(crate) async fn accept(&mut self, items: Vec<(u64, Outgoing)>) -> AcceptedWishes {
        let node = NodeId::from("n1");
        self.journal.accept(&node, &items, self.now).await.expect("accepts")
    }

    pub(crate) async fn send(&mut self, outgoing: Outgoing) -> AcceptedWishes {
        self.sequence += 1;
        let items = vec![(self.sequence, outgoing)];
        self.accept(items).await
    }

    pub(crate) async fn wish(&mut self, text: &str) {
        self.send(Outgoing::Wish(wish(text))).await;
    }

    pub(crate) async fn wish_prefetch(&mut self, text: &str) {
        let wish = Wish { action: Action::Prefetch, ..wish(text) };
        self.send(Outgoing::Wish(wish)).await;
    }

    pub(crate) async fn due(&self) -> Due {
        self.journal.due(&self.account, self.now, 10_000).await.expect("due")
    }

    pub(crate) fn key(&mut self) -> BatchKey {
        self.keys += 1;
        BatchKey::new(self.now, self.keys)
    }

    /// Makes a batch with an ask for each intent.
    pub(crate) fn batch(&mut self, intents: &[Intent]) -> Batch {
        Batch {
            key: self.key(),
            account: self.account.clone(),
            action: intents[0].action,
            kind: intents[0].target.kind,
            force: false,
            asks: intents
                .iter()
                .map(|intent| Ask { target: intent.target.clone(), intents: vec![intent.id] })
                .collect(),
        }
    }

    pub(crate) async fn batch_of_all(&mut self) -> Batch {
        let due = self.due().await;
        self.batch(&due.intents)
    }

    /// Makes a batch of one directory ask that carries all that is due.
    pub(crate) async fn covering(&mut self, text: &str) -> Batch {
        let due = self.due().await;
        Batch {
            kind: Kind::Directory,
            asks: vec![Ask {
                target: directory(text),
                intents: due.intents.iter().map(|intent| intent.id).collect(),
            }],
            ..self.batch(&due.intents)
        }
    }

    pub(crate) async fn stage(&self, batch: &Batch) -> Staged {
        self.journal.stage(batch, self.fence, &self.limits, self.now).await.expect("stages")
    }

    pub(crate) async fn stage_ready(&self, batch: &Batch) {
        assert_eq!(self.stage(batch).await, Staged::Ready);
    }

    pub(crate) async fn accepted(&self, batch: &Batch) {
        let tasks = [TaskId(format!("t-{}", batch.key))];
        let poll = self.now.plus(180 * SECOND);
        self.journal
            .accepted(&batch.key, self.fence, &tasks, "r", self.now, poll)
            .await
            .expect("accepted");
    }

    pub(crate) async fn refused(&self, batch: &Batch, verdict: Verdict) {
        let again = self.now.plus(SECOND);
        let (key, fence) = (&batch.key, self.fence);
        self.journal
            .refused(key, fence, &verdict, "because", again, self.now)
            .await
            .expect("refused");
    }

    pub(crate) async fn doubted(&self, batch: &Batch) {
        let look = self.now.plus(10 * SECOND);
        self.journal
            .doubted(&batch.key, self.fence, "no answer", look, self.now)
            .await
            .expect("doubted");
    }

    pub(crate) async fn doubts(&self) -> (Vec<Doubt>, Option<Timestamp>) {
        let doubts = self.journal.doubts(&self.account, self.now).await;
        doubts.expect("doubts")
    }

    pub(crate) async fn looked(&self, batch: &Batch, found: &[(Target, TaskId)]) {
        let (look, poll) = (self.now.plus(60 * SECOND), self.now.plus(180 * SECOND));
        self.journal
            .looked(&batch.key, self.fence, found, look, poll, self.now)
            .await
            .expect("looked");
    }

    pub(crate) async fn observe(&self, observation: Observation) {
        let retry = Retry { not_before: self.now.plus(SECOND) };
        self.journal.observe(&observation, retry, self.now).await.expect("observes");
    }

    /// Hears the same of every ask of a batch.
    pub(crate) async fn hear(&self, batch: &Batch, status: refreshd::domain::task::TaskStatus) {
        let news = batch.asks.iter().map(|ask| (ask.target.clone(), status.clone()));
        self.observe(Observation {
            key: batch.key.clone(),
            news: news.collect(),
            next_poll: self.now.plus(300 * SECOND),
            expire: None,
        })
        .await;
    }

    pub(crate) async fn counts(&self) -> Counts {
        self.journal.counts().await.expect("counts")
    }

    pub(crate) async fn used(&self, kind: refreshd::domain::quota::QuotaKind) -> u64 {
        let quota = self.journal.quota(&self.account, &self.limits, self.now);
        quota.await.expect("quota")[kind].used
    }

    /// Returns the intents of a url refresh, oldest first.
    pub(crate) async fn history(&self, text: &str) -> Vec<Intent> {
        let target = url(text);
        let found = self
            .journal
            .history(&self.account, Action::Refresh, &target, 100)
            .await
            .expect("history");
        found.into_iter().rev().map(|(intent, _)| intent).collect()
    }

    /// Checks the room's invariants.
    pub(crate) async fn sound(&self) {
        let snapshot = self.journal.snapshot().await.expect("a snapshot");
        assert_eq!(snapshot.problems(), Vec::<String>::new());
    }
}
