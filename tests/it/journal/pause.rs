//! The cases about what is paused, and what a guard holds.

use refreshd::domain::alarm::Lag;
use refreshd::domain::deploy::DeployId;
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{Outgoing, Wish};
use refreshd::domain::names::OriginName;
use refreshd::domain::quota::QuotaKind;
use refreshd::domain::task::TaskStatus;
use refreshd::domain::time::Timestamp;
use refreshd::domain::verdict::Verdict;
use refreshd::journal::{Decision, Pause, Staged};

use super::cases::{A, B, hold};
use super::world::{HOUR, World, directory, url, wish};

const C: &str = "https://a.example/d/c";

fn deploy(number: u64) -> DeployId {
    DeployId::new(Timestamp::EPOCH, number)
}

/// A wish of the deploy with this number.
fn of_deploy(text: &str, number: u64) -> Wish {
    let mut wish = wish(text);
    wish.cause.deploy = Some(deploy(number));
    wish
}

fn by_operator(text: &str) -> Wish {
    let mut wish = wish(text);
    (wish.cause.witness, wish.cause.origin) = (Witness::Operator, None);
    wish
}

async fn due(world: &World) -> Vec<String> {
    world.due().await.intents.into_iter().map(|intent| intent.target.text).collect()
}

async fn pause(world: &World, origin: Option<&str>) -> bool {
    let origin = origin.map(OriginName::from);
    let paused = world.journal.pause(&world.account, origin.as_ref(), "alice", world.now).await;
    paused.expect("pauses")
}

async fn resume(world: &World, origin: Option<&str>) -> bool {
    let origin = origin.map(OriginName::from);
    world.journal.resume(&world.account, origin.as_ref()).await.expect("resumes")
}

pub(crate) async fn a_lag_is_of_what_could_go_on(world: &mut World) {
    let since = world.now;
    world.wish_prefetch(A).await;
    world.send(Outgoing::Wish(by_operator(A))).await;
    let ahead = since.plus(HOUR);
    world.send(Outgoing::Wish(Wish { not_before: ahead, ..wish(B) })).await;
    let wide = Wish { target: directory("https://a.example/d/"), ..wish(C) };
    world.send(Outgoing::Wish(wide)).await;
    let account = world.account.clone();
    let lag = |kind, since| Lag { account: account.clone(), kind, since };
    let lags = async |world: &World| {
        let mut lags = world.journal.troubles(world.now).await.expect("troubles").lags;
        lags.sort();
        lags
    };
    let (url, wide) = (QuotaKind::Url, lag(QuotaKind::Directory, since));
    assert_eq!(lags(world).await, [lag(url, since), wide.clone()], "prefetches may last");
    assert!(pause(world, Some("www")).await);
    assert_eq!(lags(world).await, [lag(url, since)], "an operator's wish is not paused");
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.accepted(&batch).await;
    assert!(pause(world, None).await);
    assert_eq!(lags(world).await, [lag(url, since)], "a pause calls nothing back");
    assert!(resume(world, None).await && resume(world, Some("www")).await);
    world.hear(&batch, TaskStatus::Complete).await;
    assert_eq!(
        lags(world).await,
        std::slice::from_ref(&wide),
        "what waits for its time does not lag"
    );
    world.pass(2 * HOUR);
    assert_eq!(lags(world).await, [lag(url, ahead), wide]);
}

pub(crate) async fn a_failure_is_left_until_its_target_is_asked_for_again(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.refused(&batch, Verdict::Never).await;
    let failed = async |world: &World| {
        let troubles = world.journal.troubles(world.now).await.expect("troubles");
        (troubles.failed_today, troubles.failed_left)
    };
    world.wish(B).await;
    assert_eq!(failed(world).await, (1, 1));
    world.wish(A).await;
    assert_eq!(failed(world).await, (1, 0));
}

pub(crate) async fn what_is_paused_is_neither_due_nor_staged(world: &mut World) {
    world.wish(A).await;
    let mut other = wish(B);
    other.cause.origin = Some("shop".into());
    world.send(Outgoing::Wish(other)).await;
    let batch = world.batch_of_all().await;
    assert!(pause(world, Some("www")).await);
    world.wish(C).await;
    assert_eq!(due(world).await, [B], "others go on, and what comes is collected");
    assert_eq!(world.stage(&batch).await, Staged::Stale, "planned before, and not sent");
    world.send(Outgoing::Wish(by_operator(C))).await;
    assert_eq!(due(world).await, [B, C], "an operator's wish is out of the origin's hands");
    assert!(pause(world, None).await);
    let all = world.due().await;
    assert_eq!((all.intents.len(), all.next_at), (0, None));
    assert!(resume(world, Some("www")).await);
    assert!(due(world).await.is_empty(), "the account still is");
    assert!(resume(world, None).await);
    assert_eq!(due(world).await, [A, B, C]);
    assert!(!resume(world, None).await);
}

pub(crate) async fn a_pause_says_since_when_by_whom_and_what_waits(world: &mut World) {
    world.wish(A).await;
    world.send(Outgoing::Wish(by_operator(B))).await;
    let held = Wish { hold: Some("many".to_owned()), ..of_deploy(C, 1) };
    world.send(Outgoing::Wish(held)).await;
    let since = world.now;
    pause(world, Some("www")).await;
    pause(world, None).await;
    world.pass(HOUR);
    assert!(!pause(world, Some("www")).await, "it is already");
    let pause = |origin: Option<&str>, waiting| Pause {
        account: "main".into(),
        origin: origin.map(OriginName::from),
        since,
        by: "alice".to_owned(),
        waiting,
    };
    let pauses = world.journal.pauses().await.expect("pauses");
    assert_eq!(pauses, [pause(None, 2), pause(Some("www"), 1)]);
}

pub(crate) async fn a_deploy_is_held_with_what_it_opened(world: &mut World) {
    world.wish(C).await;
    for text in [A, B, C] {
        world.send(Outgoing::Wish(of_deploy(text, 1))).await;
    }
    let why = "most files went".to_owned();
    world.send(Outgoing::Hold { deploy: deploy(1), why: why.clone() }).await;
    assert_eq!(due(world).await, [C], "what an earlier change opened goes on");
    let held = world.journal.held().await.expect("held");
    assert_eq!((held[0].intents, &held[0].why), (2, &why));
    world.send(Outgoing::Wish(of_deploy(A, 2))).await;
    assert_eq!(due(world).await, [C, A], "a later change flows on");
    assert_eq!(world.journal.hold(&deploy(1), "again").await.expect("holds"), 0);
    assert_eq!(world.journal.held().await.expect("held")[0].why, why, "as the person saw it");
}

pub(crate) async fn what_a_person_approved_is_not_held_again(world: &mut World) {
    for text in [A, B] {
        world.send(Outgoing::Wish(of_deploy(text, 1))).await;
    }
    world.send(Outgoing::Wish(by_operator(B))).await;
    assert_eq!(world.journal.hold(&deploy(1), "many").await.expect("holds"), 1);
    assert_eq!(due(world).await, [B], "an operator asked for it");
    let (account, now) = (world.account.clone(), world.now);
    world.journal.decide(&deploy(1), None, Decision::Approve, "alice", now).await.expect("decides");
    assert_eq!(world.journal.hold(&deploy(1), "many").await.expect("holds"), 0);
    let approved = world.history(A).await.remove(0);
    assert!(approved.approved);
    world.journal.park(&[(approved.id, hold())], now).await.expect("parks");
    assert_eq!(due(world).await.len(), 2, "nor by its number");
    let due = world.journal.due(&account, now, 10).await.expect("due");
    assert!(due.intents.iter().all(|intent| intent.approved));
}

pub(crate) async fn the_twin_of_what_a_person_approved_is_not_held(world: &mut World) {
    world.send(Outgoing::Wish(of_deploy(A, 1))).await;
    world.journal.hold(&deploy(1), "many").await.expect("holds");
    world.send(Outgoing::Wish(of_deploy(A, 2))).await;
    let now = world.now;
    world.journal.decide(&deploy(1), None, Decision::Approve, "alice", now).await.expect("decides");
    assert_eq!(world.journal.hold(&deploy(2), "many").await.expect("holds"), 0);
    assert_eq!(world.due().await.intents[0].target, url(A));
}
