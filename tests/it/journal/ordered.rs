//! The cases about deploys: the order in which they go, and what became of them.

use std::collections::BTreeMap;
use std::time::Duration;

use refreshd::domain::deploy::{Deploy, DeployId};
use refreshd::domain::intent::{Intent, Outcome, Outgoing, State, Wait, Waiting, Wish};
use refreshd::domain::stage::{After, Order, Stage};
use refreshd::domain::task::{Batch, TaskStatus};
use refreshd::domain::time::Timestamp;
use refreshd::domain::verdict::Verdict;
use refreshd::journal::DeployReport;

use super::world::{SECOND, World, later, wish};

const CSS: &str = "https://a.example/site.css";
const PAGE: &str = "https://a.example/page";
const FEED: &str = "https://a.example/feed.xml";
const MINUTE: Duration = Duration::from_secs(60);

fn id(number: u64) -> DeployId {
    DeployId::new(Timestamp::EPOCH, number)
}

fn ordered(text: &str, order: Order, deploy: u64) -> Wish {
    let mut wish = Wish { stage: Stage { order, ..Stage::default() }, ..wish(text) };
    wish.cause.deploy = Some(id(deploy));
    wish
}

async fn close(world: &mut World, number: u64) {
    let now = world.now;
    let deploy =
        Deploy { id: id(number), origin: "www".into(), opened_at: now, closed_at: Some(now) };
    world.send(Outgoing::Deploy(deploy)).await;
}

/// A closed deploy of a style sheet, a page and a feed.
async fn deploy(world: &mut World, after: After) {
    for (text, order) in [(FEED, Order::Feeds), (PAGE, Order::Pages), (CSS, Order::Assets)] {
        let wish = ordered(text, order, 1);
        world.send(Outgoing::Wish(Wish { stage: Stage { order, after }, ..wish })).await;
    }
    close(world, 1).await;
}

async fn due(world: &World) -> Vec<String> {
    let due = world.due().await.intents;
    due.into_iter().map(|intent| intent.target.text).collect()
}

/// Stages what is due.
async fn stage(world: &mut World) -> Batch {
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    batch
}

async fn only(world: &World, text: &str) -> Intent {
    world.history(text).await.pop().expect("one")
}

async fn report(world: &World, deploys: &[DeployId]) -> DeployReport {
    world.journal.deploy_report(deploys, usize::MAX, 10).await.expect("a report")
}

pub(crate) async fn a_stage_waits_until_the_one_before_is_accepted(world: &mut World) {
    deploy(world, After::Accepted).await;
    assert_eq!(due(world).await, [CSS]);
    let until = world.now.plus(10 * MINUTE);
    let State::Pending { waiting: Some(waiting), .. } = only(world, PAGE).await.state else {
        panic!("the page waits");
    };
    assert_eq!((waiting.wait, waiting.until), (Wait::Stage, Some(until)));
    assert!(waiting.why.starts_with("goes out after the assets of deploy"), "{}", waiting.why);
    let css = stage(world).await;
    assert_eq!(due(world).await, Vec::<String>::new(), "its call is under way");
    world.doubted(&css).await;
    assert_eq!(due(world).await, Vec::<String>::new(), "nobody knows");
    let task = refreshd::domain::task::TaskId("1".to_owned());
    world.looked(&css, &[(css.asks[0].target.clone(), task)]).await;
    assert_eq!(due(world).await, [PAGE]);
    let page = stage(world).await;
    world.accepted(&page).await;
    assert_eq!(due(world).await, [FEED]);
}

pub(crate) async fn a_stage_waits_until_the_one_before_is_complete_where_asked(world: &mut World) {
    deploy(world, After::Complete).await;
    let css = stage(world).await;
    world.accepted(&css).await;
    world.pass(11 * MINUTE);
    assert_eq!(due(world).await, Vec::<String>::new());
    world.hear(&css, TaskStatus::Complete).await;
    assert_eq!(due(world).await, [PAGE]);
}

pub(crate) async fn what_is_parked_or_failed_is_not_waited_for(world: &mut World) {
    deploy(world, After::Accepted).await;
    let css = stage(world).await;
    world.refused(&css, later()).await;
    assert_eq!(due(world).await, Vec::<String>::new(), "it is tried again");
    let parked = Waiting {
        wait: Wait::Quota,
        why: "spent".to_owned(),
        until: Some(world.now.plus(600 * MINUTE)),
    };
    let intent = only(world, CSS).await.id;
    world.journal.park(&[(intent, parked)], world.now).await.expect("parks");
    assert_eq!(due(world).await, [PAGE]);
    let page = stage(world).await;
    world.refused(&page, Verdict::Never).await;
    assert!(matches!(only(world, PAGE).await.state, State::Ended { .. }));
    assert_eq!(due(world).await, [FEED]);
}

pub(crate) async fn no_stage_waits_for_longer_than_ten_minutes(world: &mut World) {
    deploy(world, After::Accepted).await;
    let css = stage(world).await;
    assert_eq!(world.due().await.next_at, Some(world.now.plus(10 * MINUTE)));
    world.pass(10 * MINUTE);
    let mut all = due(world).await;
    all.sort();
    assert_eq!(all, [FEED, PAGE]);
    world.refused(&css, later()).await;
    assert_eq!(due(world).await.len(), 2, "nor are they held back again");
}

pub(crate) async fn a_wish_without_an_order_frees_what_waits_for_its_stage(world: &mut World) {
    deploy(world, After::Accepted).await;
    assert_eq!(due(world).await, [CSS]);
    world.send(Outgoing::Wish(Wish { not_before: world.now, ..wish(PAGE) })).await;
    let mut all = due(world).await;
    all.sort();
    assert_eq!(all, [PAGE, CSS]);
}

pub(crate) async fn what_changes_again_waits_with_its_last_deploy(world: &mut World) {
    deploy(world, After::Accepted).await;
    assert_eq!(due(world).await, [CSS]);
    let other = "https://a.example/other.css";
    world.send(Outgoing::Wish(ordered(other, Order::Assets, 2))).await;
    world.send(Outgoing::Wish(ordered(PAGE, Order::Pages, 2))).await;
    close(world, 2).await;
    let mut batch = world.batch_of_all().await;
    batch.asks.retain(|ask| ask.target.text == CSS);
    world.stage_ready(&batch).await;
    world.accepted(&batch).await;
    // The feed still waits for the page, which belongs to both deploys.
    assert_eq!(due(world).await, [other]);
    let other = stage(world).await;
    world.accepted(&other).await;
    assert_eq!(due(world).await, [PAGE]);
}

pub(crate) async fn a_report_tells_what_became_of_all_that_a_deploy_caused(world: &mut World) {
    deploy(world, After::Accepted).await;
    world.send(Outgoing::Wish(ordered(CSS, Order::Assets, 2))).await;
    close(world, 2).await;
    let both = [id(1), id(2)];
    let counts = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(stands, number)| ((*stands).to_owned(), *number)).collect()
    };
    assert_eq!(report(world, &both).await.intents, counts(&[("pending", 3)]), "each once");
    assert_eq!(report(world, &both[1..]).await.intents, counts(&[("pending", 1)]));
    let css = stage(world).await;
    world.send(Outgoing::Wish(ordered(CSS, Order::Assets, 3))).await;
    world.refused(&css, later()).await;
    let told = report(world, &both[1..]).await;
    assert_eq!(told.intents, counts(&[("pending", 1), ("superseded", 1)]), "the twin counts too");
    assert_eq!((told.open(), told.is_done(), told.unfinished.len()), (1, false, 1));
    world.pass(SECOND);
    let css = stage(world).await;
    let accepted_at = world.now;
    world.accepted(&css).await;
    world.pass(300 * SECOND);
    world.hear(&css, TaskStatus::Complete).await;
    let told = report(world, &both[1..]).await;
    assert_eq!((told.open(), told.is_done(), told.ended_at), (0, true, Some(world.now)));
    assert_eq!(told.accepted, Some((accepted_at, accepted_at)));
    assert_eq!(told.asks.iter().map(|(_, _, asks)| asks).sum::<u64>(), 2, "one was refused");
    let ended = only(world, CSS).await.state;
    assert!(matches!(ended, State::Ended { outcome: Outcome::Done, .. }), "{ended:?}");
}

pub(crate) async fn an_open_deploy_closes_the_one_whose_closing_was_lost(world: &mut World) {
    for number in [1, 2] {
        world.pass(SECOND);
        let deploy =
            Deploy { id: id(number), origin: "www".into(), opened_at: world.now, closed_at: None };
        world.send(Outgoing::Deploy(deploy)).await;
    }
    let deploys = world.journal.deploys(Some(&"www".into()), 10).await.expect("deploys");
    let closed: Vec<_> = deploys.iter().map(|deploy| (&deploy.id, deploy.closed_at)).collect();
    assert_eq!(closed, [(&id(2), None), (&id(1), Some(world.now))]);
    // What was removed in it is believed later.
    world.pass(SECOND);
    let late = Deploy { closed_at: Some(world.now), ..deploys[1].clone() };
    world.send(Outgoing::Deploy(late.clone())).await;
    assert_eq!(world.journal.deploy(&id(1)).await.expect("answers"), Some(late));
    assert_eq!(world.journal.deploy(&id(9)).await.expect("answers"), None);
}

pub(crate) async fn a_large_deploy_is_known_by_its_name(world: &mut World) {
    deploy(world, After::Accepted).await;
    let large = |least| world.journal.large_deploys(&world.account, least, 9);
    assert_eq!(large(3).await.expect("large"), [(world.now, id(1))]);
    assert_eq!(large(4).await.expect("large"), []);
}
