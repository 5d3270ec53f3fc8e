//! What a guard holds and what is paused, seen by the loops of an account.

use refreshd::domain::deploy::{Deploy, DeployId};
use refreshd::domain::guard::Guard;
use refreshd::domain::intent::Wait;
use refreshd::journal::Decision;

use super::*;

fn deploy(number: u64) -> DeployId {
    DeployId::new(Timestamp::EPOCH, number)
}

/// A bench whose day allows 1,000 asks of each kind, and which has its plans judged.
async fn guarded() -> Bench {
    let mut bench = Bench::new(PerKind::from_fn(|_| 1_000)).await;
    bench.dispatch = bench
        .dispatch
        .guarded([("www".into(), Guard { quota_percent: 50, ..Guard::default() })].into());
    bench
}

impl Bench {
    async fn send(&mut self, outgoing: Outgoing) {
        self.sequence += 1;
        let (node, now) = (NodeId::from("test"), self.clock.server_now());
        self.journal.accept(&node, &[(self.sequence, outgoing)], now).await.expect("it works");
    }

    /// Records changes as an intake does: they are planned once the deploy is closed.
    pub(super) async fn change(&mut self, number: u64, targets: impl IntoIterator<Item = Target>) {
        let now = self.clock.server_now();
        let mut announced =
            Deploy { id: deploy(number), origin: "www".into(), opened_at: now, closed_at: None };
        self.send(Outgoing::Deploy(announced.clone())).await;
        for target in targets {
            let wish = Wish {
                stage: refreshd::domain::stage::Stage::default(),
                account: "main".into(),
                action: Action::Refresh,
                target,
                force: false,
                priority: Priority::Normal,
                not_before: now.plus(Duration::from_secs(11)),
                hold: None,
                cause: Cause {
                    witness: Witness::Watch,
                    at: now,
                    origin: Some("www".into()),
                    path: None,
                    change: None,
                    digest: None,
                    deploy: Some(deploy(number)),
                },
            };
            self.send(Outgoing::Wish(wish)).await;
            // However it is interleaved, nothing goes out before the deploy is closed.
            self.dispatch.step().await.expect("it works");
        }
        announced.closed_at = Some(now);
        self.send(Outgoing::Deploy(announced)).await;
    }

    async fn decide(&self, number: u64, decision: Decision) -> u64 {
        let now = self.clock.server_now();
        let decided = self.journal.decide(&deploy(number), None, decision, "alice", now).await;
        decided.expect("it works")
    }

    async fn assert_done(&self, done: u64) {
        let counts = self.journal.counts().await.expect("it works");
        assert_eq!((counts.submitting, counts.submitted, counts.done), (0, 0, done), "{counts:?}");
    }

    async fn held(&self) -> Vec<(DeployId, u64)> {
        let held = self.journal.held().await.expect("it works");
        held.into_iter().map(|set| (set.deploy, set.intents)).collect()
    }
}

fn pages(count: u32) -> impl Iterator<Item = Target> {
    (0..count).map(|number| url(&format!("page{number}")))
}

#[tokio::test]
async fn a_deploy_that_costs_half_a_day_waits_for_a_person_and_the_rest_goes_on() {
    let mut bench = guarded().await;
    bench.change(1, pages(600)).await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [""; 0]);
    assert_eq!(bench.held().await, [(deploy(1), 600)]);
    bench.change(2, [url("page7"), url("news")]).await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [url("page7").text, url("news").text]);
    assert_eq!(bench.held().await, [(deploy(1), 599)], "what is accepted supersedes what is held");
    assert_eq!(bench.decide(1, Decision::Approve).await, 599);
    bench.pass(60).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 601, "and is not held again");
    bench.pass(1_800).await;
    bench.assert_all_done(601).await;
}

#[tokio::test]
async fn what_a_person_approved_goes_out_and_what_came_since_stays_held() {
    let mut bench = guarded().await;
    bench.change(1, pages(600)).await;
    bench.turn().await;
    let seen = bench.journal.held().await.expect("it works")[0].through;
    let late = pages(1_200).skip(600);
    bench.change(1, late).await;
    bench.turn().await;
    assert_eq!(bench.held().await, [(deploy(1), 1_200)]);
    let now = bench.clock.server_now();
    let decided =
        bench.journal.decide(&deploy(1), Some(seen), Decision::Approve, "alice", now).await;
    assert_eq!(decided.expect("it works"), 600);
    bench.pass(1_800).await;
    bench.assert_done(600).await;
    assert_eq!(bench.held().await, [(deploy(1), 600)]);
}

#[tokio::test]
async fn a_deploy_of_several_days_is_held_as_one() {
    let mut bench = guarded().await;
    bench.change(1, pages(1_400)).await;
    bench.pass(24 * 3600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [""; 0]);
    assert_eq!(bench.held().await, [(deploy(1), 1_400)]);
    assert_eq!(bench.decide(1, Decision::Reject).await, 1_000);
    assert_eq!(bench.decide(1, Decision::Reject).await, 400);
    bench.pass(60).await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [""; 0]);
}

#[tokio::test]
async fn a_root_that_no_person_asked_for_waits_for_one() {
    let mut bench = guarded().await;
    bench.change(1, [directory(""), url("news")]).await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [""; 0]);
    let held = bench.journal.held().await.expect("it works");
    assert_eq!(held[0].why, "it would refresh all that www.example.com serves");
    bench.change(2, [url("other")]).await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [url("other").text]);
    bench.decide(1, Decision::Approve).await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh), [url("other").text, directory("").text]);
}

#[tokio::test]
async fn an_operator_is_not_held_up() {
    let mut bench = guarded().await;
    for target in pages(900) {
        bench.wish(Action::Refresh, target, false).await;
    }
    bench.wish(Action::Refresh, directory("d/"), true).await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 901);
}

#[tokio::test]
async fn a_pause_freezes_at_once_and_what_flies_is_followed() {
    let mut bench = guarded().await;
    bench.change(1, pages(250)).await;
    // Plans three batches and sends the first.
    while bench.cdn.targets(Action::Refresh).is_empty() {
        bench.dispatch.step().await.expect("it works");
    }
    let (account, now) = (AccountName::from("main"), bench.clock.server_now());
    let origin = "www".into();
    assert!(bench.journal.pause(&account, Some(&origin), "alice", now).await.expect("it works"));
    bench.change(2, [url("news")]).await;
    bench.pass(3_600).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 100);
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!((counts.pending, counts.done), (151, 100), "{counts:?}");
    let pauses = bench.journal.pauses().await.expect("it works");
    assert_eq!((pauses[0].since, pauses[0].waiting), (now, 151));
    bench.refresh("by-hand").await;
    bench.turn().await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 101, "an operator's wish goes on");
    assert!(bench.journal.resume(&account, Some(&origin)).await.expect("it works"));
    bench.pass(1_800).await;
    bench.assert_all_done(252).await;
    assert_eq!(bench.cdn.targets(Action::Refresh).len(), 252);
}

#[tokio::test]
async fn a_doubt_is_looked_up_while_the_account_is_paused_and_sent_again_after() {
    let mut bench = guarded().await;
    bench.cdn.script.lock().expect("it works").push_back(Say::Lose);
    bench.refresh("page").await;
    bench.turn().await;
    let (account, now) = (AccountName::from("main"), bench.clock.server_now());
    bench.journal.pause(&account, None, "alice", now).await.expect("it works");
    bench.pass(3_600).await;
    let counts = bench.journal.counts().await.expect("it works");
    assert_eq!((counts.unknown, counts.resent), (1, 0));
    assert_eq!(bench.cdn.targets(Action::Refresh), [""; 0]);
    bench.journal.resume(&account, None).await.expect("it works");
    bench.pass(1_800).await;
    bench.assert_all_done(1).await;
    assert_eq!(bench.journal.waiting(Wait::Hold).await.expect("it works"), 0);
}
