//! Wide asks that the planner chose, on their way through an account.

use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use refreshd::domain::index::{Entry, Fingerprint, Index};
use refreshd::domain::mapping::{Mapping, Spec};
use refreshd::domain::path::RelPath;
use refreshd::domain::quota::QuotaKind;
use refreshd::engine::census::Trees;

use super::*;

/// A bench whose day allows 30 URLs, 2 directories and nothing else, over a tree of 20 pages in `d`,
/// as many in `e`, and an unchanged file in `e`.
async fn scarce() -> Bench {
    let quota = PerKind::from_fn(|kind| match kind {
        QuotaKind::Url => 30,
        QuotaKind::Directory => 2,
        _ => 0,
    });
    let mut bench = Bench::with(Account { cover: Cover::default(), ..account(quota) }).await;
    let mut index = Index::new();
    let entry =
        Entry { fingerprint: Fingerprint::default(), digest: None, doubtful: false, linked: false };
    let pages = ["d", "e"].into_iter().flat_map(|at| (0..20).map(move |n| format!("{at}/{n}")));
    for path in pages.chain(["e/unchanged".to_owned()]) {
        index.apply(&RelPath::new(path).expect("a path"), Some(entry));
    }
    let mapping = Mapping::new(Spec::plain("main".into(), vec![SITE.to_owned()])).expect("valid");
    let mut trees = Trees::default();
    trees.add(Arc::new(mapping), Arc::new(RwLock::new(index)));
    bench.dispatch = bench.dispatch.over(trees);
    bench
}

impl Bench {
    async fn change_all(&mut self) {
        for at in ["d", "e"] {
            for number in 0..20 {
                self.wish_at(
                    Action::Refresh,
                    url(&format!("{at}/{number}")),
                    false,
                    Priority::Normal,
                )
                .await;
            }
        }
    }
}

#[tokio::test]
async fn what_the_day_cannot_pay_by_url_goes_by_the_directory_that_hits_least() {
    let mut bench = scarce().await;
    bench.change_all().await;
    bench.turn().await;
    let targets = bench.cdn.targets(Action::Refresh);
    assert_eq!(targets.len(), 21, "{targets:?}");
    assert!(targets.contains(&directory("d/").text), "{targets:?}");
    bench.pass(1_800).await;
    bench.assert_all_done(40).await;
}

#[tokio::test]
async fn what_waits_for_quota_goes_with_the_directory_of_a_later_change() {
    let mut bench = scarce().await;
    for number in 0..31 {
        let lone = url(&format!("{number}/lone"));
        bench.wish_at(Action::Refresh, lone, false, Priority::Normal).await;
    }
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 30);
    let parked = bench.cdn.targets(Action::Refresh);
    let left = (0..31).map(|number| url(&format!("{number}/lone")).text);
    let left: Vec<String> = left.filter(|text| !parked.contains(text)).collect();
    let near = left[0].replace("lone", "near");
    bench.change(1, [Target::new(Kind::Url, near)]).await;
    bench.turn().await;
    let last = bench.cdn.targets(Action::Refresh).pop().expect("asked");
    assert_eq!(last, left[0].replace("lone", ""));
    bench.pass(1_800).await;
    bench.assert_all_done(32).await;
}

#[tokio::test]
async fn a_chosen_directory_that_ends_failed_gives_its_urls_back() {
    let mut bench = scarce().await;
    bench.cdn.failing.lock().expect("not poisoned").insert(directory("d/").text, 1);
    bench.change_all().await;
    bench.turn().await;
    bench.pass(24 * 3600).await;
    bench.pass(1_800).await;
    bench.assert_all_done(40).await;
    let targets = bench.cdn.targets(Action::Refresh);
    let alone = (0..20).filter(|number| targets.contains(&url(&format!("d/{number}")).text));
    assert_eq!(alone.count(), 20, "what a directory failed goes by URL");
}

/// A clock that lets time pass once it was asked for the CDN's time: as if what follows took so long.
struct SlowClock {
    clock: Arc<ManualClock>,
    /// Seconds that pass after the next question.
    takes: AtomicU64,
}

#[async_trait::async_trait]
impl Clock for SlowClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn boot(&self) -> Duration {
        self.clock.boot()
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }

    fn steady(&self) -> Timestamp {
        self.clock.steady()
    }

    fn offset(&self) -> i64 {
        self.clock.offset()
    }

    fn learn_offset(&self, micros: i64) {
        self.clock.learn_offset(micros);
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    fn server_now(&self) -> Timestamp {
        let now = self.clock.server_now();
        self.clock.advance(Duration::from_secs(self.takes.swap(0, Ordering::SeqCst)));
        now
    }
}

async fn dispatch_by(bench: &Bench, clock: SharedClock, account: Account) -> Dispatch {
    let (facts, _) = tokio::sync::watch::channel(Facts::default());
    let board = AccountBoard::new(&account, facts);
    let (journal, cdn) = (bench.journal.clone(), bench.cdn.clone());
    Dispatch::lead(account, journal, cdn, clock, board).await.expect("leads")
}

#[tokio::test]
async fn a_plan_that_takes_longer_to_make_than_it_lasts_is_followed() {
    let mut bench = plenty().await;
    let clock = Arc::new(SlowClock { clock: bench.clock.clone(), takes: AtomicU64::new(0) });
    let account = account(PerKind::from_fn(|_| 10_000));
    let mut dispatch = dispatch_by(&bench, clock.clone(), account).await;
    dispatch.step().await.expect("asks for the quota");
    bench.refresh("page").await;
    for _ in 0..4 {
        clock.takes.store(15, Ordering::SeqCst);
        dispatch.step().await.expect("it works");
    }
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 1);
}

#[tokio::test]
async fn a_plan_of_yesterday_is_not_followed_today() {
    let quota = PerKind::from_fn(|kind| if kind == QuotaKind::Url { 50 } else { 1 });
    let quick =
        Account { timeout: Duration::from_millis(100), cover: Cover::default(), ..account(quota) };
    let mut bench = Bench::with(quick.clone()).await;
    let turn = Timestamp::parse("2026-11-22T16:00:00Z").expect("valid");
    let before = turn.minus(Duration::from_secs(4)).since(bench.clock.server_now());
    bench.clock.advance(before);
    let mut dispatch = dispatch_by(&bench, bench.clock.clone(), quick).await;
    dispatch.step().await.expect("asks for the quota");
    for number in 0..50 {
        bench
            .wish_at(Action::Refresh, url(&format!("old/{number}")), false, Priority::Normal)
            .await;
        bench.wish_at(Action::Refresh, url(&format!("d/{number}")), false, Priority::Normal).await;
    }
    assert_eq!(dispatch.step().await.expect("plans"), Step::Worked);
    // The day turns before anything of it is sent.
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(dispatch.step().await.expect("plans anew"), Step::Worked);
    assert_eq!(
        bench.cdn.targets(Action::Refresh),
        Vec::<String>::new(),
        "asked by a new plan only"
    );
}
