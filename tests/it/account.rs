//! Dispatch and poll, a turn at a time, against a CDN that answers as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use refreshd::cdn::{Accepted, Cdn, PrefetchDetail, Renewed, Submission, TaskPage, TaskQuery};
use refreshd::clock::{Clock, ManualClock, SharedClock};
use refreshd::config::{Account, Cover};
use refreshd::database::Database;
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::credentials::{KeySource, Place};
use refreshd::domain::endpoint::Proxy;
use refreshd::domain::facts::{Facts, KeyFacts};
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{Action, Cause, Outcome, Outgoing, Priority, State, Wish};
use refreshd::domain::limits::Limits;
use refreshd::domain::names::{AccountName, NodeId};
use refreshd::domain::own::CdnDomain;
use refreshd::domain::plan::Policy;
use refreshd::domain::prefetch::PrefetchOptions;
use refreshd::domain::quota::purse::Rules;
use refreshd::domain::quota::{PerKind, Reported};
use refreshd::domain::task::{TaskId, TaskRow, TaskStatus};
use refreshd::domain::time::Timestamp;
use refreshd::domain::verdict::{Failure, Reached};
use refreshd::engine::account::AccountBoard;
use refreshd::engine::dispatch::Dispatch;
use refreshd::engine::poll::Poll;
use refreshd::engine::step::Step;
use refreshd::journal::Journal;
use refreshd::journal::sqlite::SqliteJournal;

mod cover;
mod guard;
mod pace;
mod prefetch;
mod storm;

const SITE: &str = "https://www.example.com";

/// What the CDN does with a call.
#[derive(Clone, Debug)]
enum Say {
    /// Refuses it with a code and an HTTP status.
    Refuse(&'static str, u16),
    /// Executes it, and its answer is lost.
    ExecuteSilently,
    /// Loses it on the way.
    Lose,
    /// Executes it and names this task.
    Name(&'static str),
    /// Executes it, and the answer comes with a request id too long for a full disk.
    AnswerAtLength(Database),
}

/// A CDN that accepts, unless told otherwise.
struct FakeCdn {
    clock: Arc<ManualClock>,
    script: Mutex<VecDeque<Say>>,
    /// A target that is refused whatever batch it is in.
    bad: Mutex<Option<String>>,
    /// A target that makes it answer 502 without a code, whatever batch it is in.
    choking: Mutex<Option<String>>,
    /// A task id that it refuses to speak of.
    unspeakable: Mutex<Option<TaskId>>,
    /// How lists of tasks are refused, if they are.
    listing: Mutex<Option<(u16, Option<&'static str>)>>,
    /// A host whose refreshes are refused with this code.
    closed: Mutex<Option<(&'static str, &'static str)>>,
    /// Codes that the next calls by operation are refused with, until they are taken away.
    refusing: Mutex<BTreeMap<&'static str, (u16, &'static str)>>,
    /// How often each operation was called.
    calls: Mutex<BTreeMap<&'static str, u32>>,
    /// Whether the next question for the quota is refused for its date, which sets the clock.
    quota_sets_clock: Mutex<bool>,
    /// What it says is left.
    reported: Mutex<PerKind<Option<Reported>>>,
    /// Targets whose task ends failed, this many times.
    failing: Mutex<BTreeMap<String, u32>>,
    /// Whether accepted tasks are listed at all.
    silent_tasks: Mutex<bool>,
    accepted: Mutex<Vec<(Action, Kind, Vec<String>)>>,
    /// Whether each accepted call was forced.
    forced: Mutex<Vec<bool>>,
    /// With which options each accepted call came.
    prefetched: Mutex<Vec<PrefetchOptions>>,
    /// How often tasks were asked for by id.
    polls: Mutex<u32>,
    rows: Mutex<Vec<TaskRow>>,
}

impl FakeCdn {
    fn execute(&self, action: Action, kind: Kind, targets: &[Target]) -> Accepted {
        let texts: Vec<String> = targets.iter().map(|target| target.text.clone()).collect();
        let mut accepted = self.accepted.lock().expect("not poisoned");
        accepted.push((action, kind, texts.clone()));
        let task = TaskId(format!("{}", 17_772_470_000_u64 + accepted.len() as u64));
        if !*self.silent_tasks.lock().expect("not poisoned") {
            for text in texts {
                let mut failing = self.failing.lock().expect("not poisoned");
                let fails = failing.get_mut(&text).filter(|left| **left > 0).map(|left| *left -= 1);
                let status = match fails {
                    Some(()) => TaskStatus::Failed("Internal Error".to_owned()),
                    None => TaskStatus::Complete,
                };
                self.rows.lock().expect("not poisoned").push(TaskRow {
                    task: task.clone(),
                    object_path: text,
                    object_type: match (action, kind) {
                        (Action::Prefetch, _) => "preload".to_owned(),
                        (_, Kind::Directory) => "directory".to_owned(),
                        _ => "file".to_owned(),
                    },
                    status,
                    created_at: Some(Timestamp::from_seconds(self.clock.server_now().as_seconds())),
                });
            }
        }
        Accepted { tasks: vec![task], request_id: "REQUEST".to_owned() }
    }

    /// Counts a call, and refuses it if the test says so.
    fn called(&self, operation: &'static str) -> Result<(), Failure> {
        *self.calls.lock().expect("not poisoned").entry(operation).or_default() += 1;
        match self.refusing.lock().expect("not poisoned").get(operation) {
            Some((status, code)) => Err(failure(Reached::Answered(*status), Some(code))),
            None => Ok(()),
        }
    }

    fn calls(&self, operation: &'static str) -> u32 {
        self.calls.lock().expect("not poisoned").get(operation).copied().unwrap_or(0)
    }

    fn targets(&self, action: Action) -> Vec<String> {
        let accepted = self.accepted.lock().expect("not poisoned");
        accepted.iter().filter(|call| call.0 == action).flat_map(|call| call.2.clone()).collect()
    }
}

fn failure(reached: Reached, code: Option<&str>) -> Failure {
    Failure {
        reached,
        code: code.map(str::to_owned),
        message: "as the test says".to_owned(),
        retry_after: None,
        request_id: None,
    }
}

#[async_trait]
impl Cdn for FakeCdn {
    async fn submit(&self, submission: &Submission) -> Result<Accepted, Failure> {
        let Submission { action, kind, force, targets, prefetch } = submission;
        let (action, kind) = (*action, *kind);
        self.called("submit")?;
        let closed = *self.closed.lock().expect("not poisoned");
        if let Some((host, code)) = closed
            && targets.iter().any(|target| target.host() == host)
        {
            return Err(failure(Reached::Answered(404), Some(code)));
        }
        let say = self.script.lock().expect("not poisoned").pop_front();
        let bad = self.bad.lock().expect("not poisoned").clone();
        if bad.is_some_and(|bad| targets.iter().any(|target| target.text == bad)) {
            return Err(failure(Reached::Answered(400), Some("InvalidObjectPath.Malformed")));
        }
        let choking = self.choking.lock().expect("not poisoned").clone();
        if choking.is_some_and(|choking| targets.iter().any(|target| target.text == choking)) {
            return Err(failure(Reached::Answered(502), None));
        }
        if matches!(say, None | Some(Say::Name(_) | Say::AnswerAtLength(_))) {
            self.forced.lock().expect("not poisoned").push(*force);
            self.prefetched.lock().expect("not poisoned").push(prefetch.clone());
        }
        match say {
            None => Ok(self.execute(action, kind, targets)),
            Some(Say::Name(task)) => Ok(Accepted {
                tasks: vec![TaskId(task.to_owned())],
                ..self.execute(action, kind, targets)
            }),
            Some(Say::AnswerAtLength(database)) => {
                limit_pages(&database, None).await;
                Ok(Accepted {
                    request_id: "R".repeat(1 << 20),
                    ..self.execute(action, kind, targets)
                })
            }
            Some(Say::Refuse(code, status)) => Err(failure(Reached::Answered(status), Some(code))),
            Some(Say::ExecuteSilently) => {
                // The call takes a while, so that its tasks are made in a later second.
                self.clock.advance(Duration::from_secs(2));
                self.execute(action, kind, targets);
                Err(failure(Reached::Sent, None))
            }
            Some(Say::Lose) => Err(failure(Reached::Sent, None)),
        }
    }

    async fn tasks_by_id(&self, tasks: &[TaskId]) -> Result<Vec<TaskRow>, Failure> {
        *self.polls.lock().expect("not poisoned") += 1;
        self.called("tasks_by_id")?;
        let unspeakable = self.unspeakable.lock().expect("not poisoned").clone();
        if unspeakable.is_some_and(|task| tasks.contains(&task)) {
            return Err(failure(Reached::Answered(400), Some("InvalidTaskId.Malformed")));
        }
        let rows = self.rows.lock().expect("not poisoned");
        Ok(rows.iter().filter(|row| tasks.contains(&row.task)).cloned().collect())
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, Failure> {
        self.called("tasks")?;
        if let Some((status, code)) = *self.listing.lock().expect("not poisoned") {
            return Err(failure(Reached::Answered(status), code));
        }
        let rows = self.rows.lock().expect("not poisoned");
        let word = match query.kind {
            Some((Action::Prefetch, _)) => "preload",
            Some((_, Kind::Directory)) => "directory",
            _ => "file",
        };
        let rows: Vec<TaskRow> =
            rows.iter().filter(|row| row.object_type == word).cloned().collect();
        let total = rows.len() as u64;
        Ok(TaskPage { rows, total })
    }

    async fn quota(&self) -> Result<PerKind<Option<Reported>>, Failure> {
        self.called("quota")?;
        if std::mem::take(&mut *self.quota_sets_clock.lock().expect("not poisoned")) {
            self.clock.learn_offset(0);
            let code = Some("InvalidTimeStamp.Expired");
            return Err(failure(Reached::Answered(400), code));
        }
        Ok(*self.reported.lock().expect("not poisoned"))
    }

    async fn prefetch_detail(&self, _: &TaskId) -> Result<Vec<PrefetchDetail>, Failure> {
        Err(failure(Reached::Answered(403), Some("Forbidden")))
    }

    async fn domains(&self) -> Result<Vec<CdnDomain>, Failure> {
        Err(failure(Reached::Answered(403), Some("Forbidden.RAM")))
    }

    async fn renew(&self, _refused: bool) -> Renewed {
        let next = self.clock.server_now().plus(Duration::from_secs(60));
        Renewed { is_new: false, next, facts: KeyFacts::default() }
    }
}

/// Lets the database have no page more than it has, or than `most`.
async fn limit_pages(database: &Database, most: Option<i64>) {
    database
        .call("test", move |tx| {
            let pages = tx.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))?;
            tx.pragma_update_and_check(None, "max_page_count", most.unwrap_or(pages), |_| Ok(()))?;
            Ok::<_, refreshd::database::DatabaseError>(())
        })
        .await
        .expect("it works");
}

/// One account with its loops, and time that moves when told to.
struct Bench {
    clock: Arc<ManualClock>,
    cdn: Arc<FakeCdn>,
    database: Database,
    journal: Arc<dyn Journal>,
    dispatch: Dispatch,
    poll: Poll,
    sequence: u64,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(quota: PerKind<u64>) -> Self {
        Self::with(account(quota)).await
    }

    async fn with(account: Account) -> Self {
        let folder = tempfile::tempdir().expect("it works");
        let noon = Timestamp::parse("2026-11-22T04:00:00Z").expect("it works");
        let clock = ManualClock::new(noon, 42);
        let shared: SharedClock = clock.clone();
        let cdn = Arc::new(FakeCdn {
            clock: clock.clone(),
            script: Mutex::default(),
            bad: Mutex::default(),
            choking: Mutex::default(),
            unspeakable: Mutex::default(),
            listing: Mutex::default(),
            closed: Mutex::default(),
            refusing: Mutex::default(),
            calls: Mutex::default(),
            quota_sets_clock: Mutex::default(),
            reported: Mutex::default(),
            forced: Mutex::default(),
            prefetched: Mutex::default(),
            polls: Mutex::default(),
            failing: Mutex::default(),
            silent_tasks: Mutex::default(),
            accepted: Mutex::default(),
            rows: Mutex::default(),
        });
        let database = Database::open(&folder.path().join("refreshd.db")).expect("it works");
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::new(database.clone()));
        let (facts, _) = tokio::sync::watch::channel(Facts::default());
        let board = AccountBoard::new(&account, facts);
        let dispatch = Dispatch::lead(
            account.clone(),
            journal.clone(),
            cdn.clone(),
            shared.clone(),
            board.clone(),
        )
        .await
        .expect("it works");
        let poll = Poll::new(account, journal.clone(), cdn.clone(), shared, board);
        Self { clock, cdn, database, journal, dispatch, poll, sequence: 0, _folder: folder }
    }

    async fn wish(&mut self, action: Action, target: Target, force: bool) {
        self.wish_at(action, target, force, Priority::Urgent).await;
    }

    async fn wish_at(&mut self, action: Action, target: Target, force: bool, priority: Priority) {
        let now = self.clock.server_now();
        self.sequence += 1;
        let wish = Wish {
            account: "main".into(),
            action,
            target,
            force,
            priority,
            not_before: now,
            stage: refreshd::domain::stage::Stage::default(),
            hold: None,
            cause: Cause {
                witness: Witness::Operator,
                at: now,
                origin: None,
                path: None,
                change: None,
                digest: None,
                deploy: None,
            },
        };
        let node = NodeId::from("test");
        self.journal
            .accept(&node, &[(self.sequence, Outgoing::Wish(wish))], now)
            .await
            .expect("it works");
    }

    async fn refresh(&mut self, path: &str) {
        self.wish(Action::Refresh, url(path), false).await;
    }

    /// Takes turns until both loops are idle.
    async fn turn(&mut self) {
        for _ in 0..10_000 {
            let dispatched = self.dispatch.step().await.expect("it works");
            let polled = self.poll.step().await.expect("it works");
            if dispatched != Step::Worked && polled != Step::Worked {
                return;
            }
        }
        panic!("the loops never rest");
    }

    /// Lets time pass in steps of ten seconds, taking turns.
    async fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds.div_ceil(10) {
            self.clock.advance(Duration::from_secs(10));
            self.turn().await;
        }
    }

    async fn outcome(&self, action: Action, target: Target) -> State {
        let name = AccountName::from("main");
        let history = self.journal.history(&name, action, &target, 10).await.expect("it works");
        history.into_iter().next().expect("there is an intent").0.state
    }

    async fn used(&self, kind: refreshd::domain::quota::QuotaKind) -> u64 {
        let limits = PerKind::from_fn(|_| 10_000);
        let name = AccountName::from("main");
        self.journal.quota(&name, &limits, self.clock.server_now()).await.expect("it works")[kind]
            .used
    }

    /// Nothing is open, and everything ended done.
    async fn assert_all_done(&self, done: u64) {
        let counts = self.journal.counts().await.expect("it works");
        assert_eq!((counts.pending, counts.submitting, counts.submitted), (0, 0, 0), "{counts:?}");
        assert_eq!((counts.done, counts.failed), (done, 0), "{counts:?}");
    }
}

fn account(quota: PerKind<u64>) -> Account {
    Account {
        name: "main".into(),
        endpoint: "https://cdn.aliyuncs.com".parse().expect("it works"),
        credentials: KeySource::at(Place::Environment),
        timeout: Duration::from_secs(10),
        batch: 100,
        poll_first: Duration::from_secs(180),
        poll_max: Duration::from_secs(600),
        poll_gap: Duration::from_secs(10),
        poll_give_up: Duration::from_secs(6 * 3600),
        endpoint_is_trusted: None,
        proxy: Proxy::None,
        doubt_gap: Duration::from_secs(60),
        quota,
        limits: Limits::DOCUMENTED,
        rules: Rules::default(),
        // What is not about the cover is easier told by single URLs.
        cover: Cover { policy: Policy::PerUrl, ..Cover::default() },
        verdicts: refreshd::domain::verdict::Verdicts::default(),
    }
}

fn url(path: &str) -> Target {
    Target::new(Kind::Url, format!("{SITE}/{path}"))
}

fn directory(path: &str) -> Target {
    Target::new(Kind::Directory, format!("{SITE}/{path}"))
}

async fn plenty() -> Bench {
    Bench::new(PerKind::from_fn(|_| 10_000)).await
}

#[tokio::test]
async fn a_covering_directory_that_is_refused_gives_its_urls_back() {
    let mut bench = plenty().await;
    bench.wish(Action::Refresh, directory("d/"), true).await;
    for path in ["d/a", "d/b", "e"] {
        bench.refresh(path).await;
    }
    *bench.cdn.bad.lock().expect("not poisoned") = Some(format!("{SITE}/d/"));
    bench.turn().await;
    bench.pass(1800).await;
    let mut targets = bench.cdn.targets(Action::Refresh);
    targets.sort();
    assert_eq!(targets, ["d/a", "d/b", "e"].map(|path| format!("{SITE}/{path}")), "lost 0");
    let refused = bench.outcome(Action::Refresh, directory("d/")).await;
    assert!(matches!(refused, State::Ended { outcome: Outcome::Failed(_), .. }), "{refused:?}");
    for path in ["d/a", "d/b", "e"] {
        let state = bench.outcome(Action::Refresh, url(path)).await;
        assert!(matches!(state, State::Ended { outcome: Outcome::Done, .. }), "{path}: {state:?}");
    }
}

#[tokio::test]
async fn a_covering_directory_that_ends_failed_gives_its_urls_back() {
    let mut bench = plenty().await;
    bench.wish(Action::Refresh, directory("d/"), true).await;
    for path in ["d/a", "d/b"] {
        bench.refresh(path).await;
    }
    bench.cdn.failing.lock().expect("it works").insert(format!("{SITE}/d/"), 1);
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [format!("{SITE}/d/")], "one ask carries all");
    bench.pass(1800).await;
    let mut targets = bench.cdn.targets(Action::Refresh);
    targets.sort();
    assert_eq!(targets, ["d/", "d/", "d/a", "d/b"].map(|path| format!("{SITE}/{path}")));
    bench.assert_all_done(3).await;
}

#[tokio::test]
async fn a_batch_that_was_executed_without_an_answer_is_found_and_not_sent_again() {
    let mut bench = plenty().await;
    for number in 0..50 {
        bench.refresh(&format!("page{number}")).await;
    }
    bench.cdn.script.lock().expect("it works").push_back(Say::ExecuteSilently);
    bench.turn().await;
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!(counts.unknown, 1, "{counts:?}");
    bench.pass(1800).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 50, "duplicates 0");
    assert_eq!(bench.used(refreshd::domain::quota::QuotaKind::Url).await, 50);
    bench.assert_all_done(50).await;
}

#[tokio::test]
async fn a_batch_that_was_lost_is_sent_again_after_two_looks_and_debited_once() {
    let mut bench = plenty().await;
    for number in 0..50 {
        bench.refresh(&format!("page{number}")).await;
    }
    bench.cdn.script.lock().expect("not poisoned").push_back(Say::Lose);
    bench.turn().await;
    bench.pass(60).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 0, "one look is not enough");
    bench.pass(1800).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 50, "lost 0");
    assert_eq!(bench.used(refreshd::domain::quota::QuotaKind::Url).await, 50, "one debit");
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!(counts.resent, 1);
    bench.assert_all_done(50).await;
}

#[tokio::test]
async fn a_new_lead_looks_up_what_its_predecessor_left_in_flight() {
    let mut bench = plenty().await;
    bench.refresh("page").await;
    let now = bench.clock.now();
    let name = AccountName::from("main");
    let due = bench.journal.due(&name, now, 10).await.expect("it works");
    let fence = bench.journal.lead(&name, now).await.expect("it works");
    let batch = refreshd::domain::task::Batch {
        key: refreshd::domain::task::BatchKey::new(now, 1),
        account: name.clone(),
        action: Action::Refresh,
        kind: Kind::Url,
        force: false,
        asks: vec![refreshd::domain::task::Ask {
            target: url("page"),
            intents: vec![due.intents[0].id],
        }],
    };
    let limits = PerKind::from_fn(|_| 10_000);
    bench.journal.stage(&batch, fence, &limits, now).await.expect("it works");
    // The process dies here: nobody knows whether the call was made.
    let shared: SharedClock = bench.clock.clone();
    let (facts, _) = tokio::sync::watch::channel(Facts::default());
    let account = account(limits);
    let board = AccountBoard::new(&account, facts);
    bench.dispatch =
        Dispatch::lead(account, bench.journal.clone(), bench.cdn.clone(), shared, board)
            .await
            .expect("it works");
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 0, "first it is looked up");
    bench.pass(1800).await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [format!("{SITE}/page")]);
    assert_eq!(bench.used(refreshd::domain::quota::QuotaKind::Url).await, 1);
    bench.assert_all_done(1).await;
}

#[tokio::test]
async fn one_bad_url_is_isolated_and_ends_visibly() {
    let mut bench = plenty().await;
    for number in 0..100 {
        bench.refresh(&format!("page{number}")).await;
    }
    *bench.cdn.bad.lock().expect("not poisoned") = Some(format!("{SITE}/page37"));
    bench.turn().await;
    bench.pass(600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 99, "each of the others once");
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!((counts.done, counts.failed), (99, 1), "{counts:?}");
    let attention = bench.journal.attention(10).await.expect("it works");
    assert_eq!(attention[0].intent.target, url("page37"));
    assert!(attention[0].why.contains("InvalidObjectPath.Malformed"), "{:?}", attention[0].why);
}

#[tokio::test]
async fn what_the_day_cannot_pay_waits_for_the_next_one() {
    use refreshd::domain::quota::QuotaKind;
    let mut quota = PerKind::from_fn(|_| 10_000);
    quota[QuotaKind::Url] = 120;
    let mut bench = Bench::new(quota).await;
    for number in 0..150 {
        bench.refresh(&format!("page{number}")).await;
    }
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 120);
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!(counts.waiting.get("quota"), Some(&30), "{counts:?}");
    // 04:00 UTC to 16:00 UTC is midnight UTC+8.
    bench.pass(12 * 3600 - 60).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 120, "overspent 0");
    bench.pass(600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 150, "lost 0");
    assert_eq!(bench.used(QuotaKind::Url).await, 30);
}

#[tokio::test]
async fn what_waits_for_quota_is_carried_by_a_wider_ask_that_comes_later() {
    use refreshd::domain::quota::QuotaKind;
    let mut quota = PerKind::from_fn(|_| 10_000);
    quota[QuotaKind::Url] = 1;
    let mut bench = Bench::new(quota).await;
    for path in ["d/a", "d/b", "d/c", "elsewhere"] {
        bench.refresh(path).await;
    }
    bench.turn().await;
    let counts = bench.journal.counts().await.expect("counts");
    assert_eq!(counts.waiting.get("quota"), Some(&3), "{counts:?}");
    bench.wish(Action::Refresh, directory("d/"), true).await;
    bench.pass(1200).await;
    let counts = bench.journal.counts().await.expect("counts");
    assert_eq!(counts.waiting.get("quota"), Some(&1), "{counts:?}");
    assert_eq!(counts.done, 4, "{counts:?}");
    assert_eq!(bench.cdn.targets(Action::Refresh), [format!("{SITE}/d/a"), format!("{SITE}/d/")]);
}

#[tokio::test]
async fn a_refusal_for_quota_waits_for_the_next_day() {
    let mut bench = plenty().await;
    bench.refresh("page").await;
    bench.cdn.script.lock().expect("it works").push_back(Say::Refuse("QuotaExceeded.Refresh", 400));
    bench.turn().await;
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!(counts.waiting.get("quota"), Some(&1), "{counts:?}");
    bench.pass(11 * 3600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 0);
    bench.pass(2 * 3600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 1);
}

#[tokio::test]
async fn throttling_delays_and_loses_nothing() {
    let mut bench = plenty().await;
    for number in 0..10 {
        bench.refresh(&format!("page{number}")).await;
    }
    for _ in 0..4 {
        bench.cdn.script.lock().expect("it works").push_back(Say::Refuse("Throttling.User", 503));
    }
    bench.turn().await;
    bench.pass(1800).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 10);
    bench.assert_all_done(10).await;
}

#[tokio::test]
async fn a_task_that_never_appears_ends_visibly() {
    let mut bench = plenty().await;
    *bench.cdn.silent_tasks.lock().expect("not poisoned") = true;
    bench.refresh("page").await;
    bench.turn().await;
    bench.pass(60 * 3600).await;
    let state = bench.outcome(Action::Refresh, url("page")).await;
    assert!(matches!(state, State::Ended { outcome: Outcome::Failed(_), .. }), "{state:?}");
    assert_eq!(bench.journal.attention(10).await.expect("it works").len(), 1);
}

#[tokio::test]
async fn a_prefetch_waits_for_the_refresh_of_its_url() {
    let mut bench = plenty().await;
    bench.wish(Action::Prefetch, url("page"), false).await;
    bench.refresh("page").await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Prefetch), Vec::<String>::new());
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!(counts.waiting.get("refresh"), Some(&1), "{counts:?}");
    bench.pass(1200).await;
    assert_eq!(bench.cdn.targets(Action::Prefetch), [format!("{SITE}/page")]);
    bench.assert_all_done(2).await;
}

#[tokio::test]
async fn a_url_refreshed_while_its_prefetch_runs_is_refreshed_again_after_it() {
    let mut bench = plenty().await;
    bench.wish(Action::Prefetch, url("page"), false).await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Prefetch).len(), 1);
    bench.refresh("page").await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 1);
    bench.pass(1800).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 2);
    assert_eq!(bench.journal.counts().await.expect("it works").overlapped, 1);
    bench.assert_all_done(3).await;
}

#[tokio::test]
async fn a_long_deploy_is_planned_once() {
    let mut bench = plenty().await;
    for number in 0..1_000 {
        bench.refresh(&format!("page{number}")).await;
    }
    let mut turns = 0;
    while bench.dispatch.step().await.expect("it works") == Step::Worked {
        turns += 1;
    }
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 1_000);
    assert_eq!(turns, 1 + 1 + 10, "the quota, the plan, ten calls");
}

#[tokio::test]
async fn a_wish_that_comes_between_plan_and_call_is_heard() {
    let mut bench = plenty().await;
    bench.wish(Action::Refresh, directory("d/"), false).await;
    for _ in ["the quota", "the plan"] {
        assert_eq!(bench.dispatch.step().await.expect("it works"), Step::Worked);
    }
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 0);
    bench.wish(Action::Refresh, directory("d/"), true).await;
    bench.turn().await;
    assert_eq!(*bench.cdn.forced.lock().expect("not poisoned"), [true]);
    bench.pass(600).await;
    bench.assert_all_done(1).await;
}

#[tokio::test]
async fn a_plan_that_is_old_at_midnight_is_not_sent_before_it() {
    use refreshd::domain::quota::QuotaKind;
    let mut bench = plenty().await;
    // 16:00 UTC is midnight UTC+8.
    bench.clock.advance(Duration::from_secs(12 * 3600 - 15));
    bench.refresh("page").await;
    for _ in ["the quota", "the plan"] {
        assert_eq!(bench.dispatch.step().await.expect("it works"), Step::Worked);
    }
    bench.clock.advance(Duration::from_secs(5));
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 0);
    assert_eq!(bench.used(QuotaKind::Url).await, 0);
    bench.pass(20).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 1);
    assert_eq!(bench.used(QuotaKind::Url).await, 1, "the new day's");
}

#[tokio::test]
async fn a_look_that_fails_holds_up_its_own_kind_only() {
    let mut bench = plenty().await;
    bench.refresh("page").await;
    bench.cdn.script.lock().expect("not poisoned").push_back(Say::Lose);
    *bench.cdn.listing.lock().expect("not poisoned") = Some((503, None));
    bench.turn().await;
    bench.pass(600).await;
    bench.wish(Action::Refresh, directory("d/"), true).await;
    bench.refresh("other").await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [format!("{SITE}/d/")]);
    *bench.cdn.listing.lock().expect("not poisoned") = None;
    bench.pass(3600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 3, "lost 0");
    bench.assert_all_done(3).await;
}

#[tokio::test]
async fn a_url_that_the_cdn_chokes_on_is_isolated_and_ends_visibly() {
    let mut bench = plenty().await;
    for number in 0..100 {
        bench.refresh(&format!("page{number}")).await;
    }
    *bench.cdn.choking.lock().expect("not poisoned") = Some(format!("{SITE}/page37"));
    bench.turn().await;
    bench.pass(3600).await;
    let targets = bench.cdn.targets(Action::Refresh);
    assert_eq!(targets.len(), 99, "each of the others once");
    let attention = bench.journal.attention(10).await.expect("it works");
    assert_eq!(attention[0].intent.target, url("page37"));
    bench.pass(12 * 3600).await;
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!((counts.done, counts.failed), (99, 1), "{counts:?}");
}

#[tokio::test]
async fn hours_without_an_answer_lose_nothing() {
    let mut bench = plenty().await;
    bench.refresh("page").await;
    let silence = std::iter::repeat_n(Say::Lose, 8);
    bench.cdn.script.lock().expect("not poisoned").extend(silence);
    bench.turn().await;
    bench.pass(6 * 3600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [format!("{SITE}/page")]);
    bench.assert_all_done(1).await;
}

#[tokio::test]
async fn a_task_id_that_the_cdn_refuses_does_not_hold_up_the_others() {
    let mut bench = plenty().await;
    bench.cdn.script.lock().expect("not poisoned").push_back(Say::Name("odd"));
    *bench.cdn.unspeakable.lock().expect("not poisoned") = Some(TaskId("odd".to_owned()));
    bench.refresh("page").await;
    bench.turn().await;
    bench.refresh("other").await;
    bench.turn().await;
    bench.pass(600).await;
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!((counts.done, counts.submitted), (1, 1), "{counts:?}");
    bench.pass(7 * 3600).await;
    bench.assert_all_done(2).await;
}

#[tokio::test]
async fn what_waits_for_quota_goes_when_there_is_more() {
    use refreshd::domain::quota::QuotaKind;
    let mut bench = plenty().await;
    bench.cdn.reported.lock().expect("not poisoned")[QuotaKind::Url] =
        Some(Reported { quota: 5, remain: 5 });
    for number in 0..8 {
        bench.refresh(&format!("page{number}")).await;
    }
    bench.turn().await;
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!(counts.waiting.get("quota"), Some(&3), "{counts:?}");
    bench.cdn.reported.lock().expect("not poisoned")[QuotaKind::Url] =
        Some(Reported { quota: 50, remain: 45 });
    bench.pass(3600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 8);
    assert_eq!(bench.used(QuotaKind::Url).await, 8);
}

#[tokio::test]
async fn a_step_of_the_wall_clock_moves_no_wait() {
    let mut bench = plenty().await;
    let hours = Duration::from_secs(2 * 3600);
    bench.refresh("page").await;
    bench.cdn.script.lock().expect("not poisoned").push_back(Say::Lose);
    bench.turn().await;
    bench.clock.step_wall(bench.clock.now().plus(hours));
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 0, "two looks apart");
    bench.pass(120).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 1);
    bench.clock.step_wall(bench.clock.now().plus(hours));
    bench.turn().await;
    assert_eq!(*bench.cdn.polls.lock().expect("not poisoned"), 0, "not yet");
    bench.clock.step_wall(bench.clock.now().minus(2 * hours));
    bench.pass(600).await;
    bench.assert_all_done(1).await;
}

#[tokio::test]
async fn an_answer_that_a_full_disk_cannot_take_is_kept() {
    let mut bench = plenty().await;
    bench.refresh("page").await;
    let say = Say::AnswerAtLength(bench.database.clone());
    bench.cdn.script.lock().expect("not poisoned").push_back(say);
    for _ in ["the quota", "the plan"] {
        assert_eq!(bench.dispatch.step().await.expect("it works"), Step::Worked);
    }
    for _ in 0..3 {
        let error = bench.dispatch.step().await.expect_err("the disk is full");
        assert!(refreshd::engine::EngineError::from(error).may_pass());
    }
    limit_pages(&bench.database, Some(i64::from(u32::MAX - 1))).await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 1);
    bench.pass(600).await;
    bench.assert_all_done(1).await;
}

#[tokio::test]
async fn one_bad_url_in_a_thousand_is_isolated() {
    let mut bench =
        Bench::with(Account { batch: 1_000, ..account(PerKind::from_fn(|_| 10_000)) }).await;
    for number in 0..1_000 {
        bench.refresh(&format!("page{number}")).await;
    }
    *bench.cdn.bad.lock().expect("not poisoned") = Some(format!("{SITE}/page370"));
    bench.turn().await;
    bench.pass(600).await;
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!((counts.done, counts.failed), (999, 1), "{counts:?}");
}

#[tokio::test]
async fn a_clock_that_was_hours_ahead_at_start_delays_nothing() {
    use refreshd::domain::quota::QuotaKind;
    let mut bench = plenty().await;
    bench.clock.learn_offset(2 * 3600 * 1_000_000);
    *bench.cdn.quota_sets_clock.lock().expect("not poisoned") = true;
    bench.cdn.reported.lock().expect("not poisoned")[QuotaKind::Url] =
        Some(Reported { quota: 5, remain: 2 });
    bench.turn().await;
    bench.pass(60).await;
    assert_eq!(bench.used(QuotaKind::Url).await, 3, "the quota was read");
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten() {
    let mut bench = plenty().await;
    bench.refresh("page").await;
    bench.turn().await;
    bench.pass(600).await;
    bench.assert_all_done(1).await;
    bench.clock.advance(Duration::from_secs(92 * 86_400));
    bench.turn().await;
    let snapshot = bench.journal.snapshot().await.expect("it works");
    assert!(snapshot.intents.is_empty(), "{:?}", snapshot.intents);
    bench.assert_all_done(1).await;
}
