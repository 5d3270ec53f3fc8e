//! The journal's part of the treasury: what was spent, by whom, and what was told of it.

use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::intent::{Cause, Outgoing, Priority, Wait, Waiting, Wish};
use refreshd::domain::quota::purse::Spending;
use refreshd::domain::quota::{PerKind, QuotaKind, Reported};
use refreshd::domain::task::TaskStatus;
use refreshd::domain::time::Timestamp;

use super::cases::{A, B};
use super::world::{HOUR, SECOND, World, cause, later, wish};

pub(crate) async fn what_waits_for_quota_and_comes_to_press_is_planned_anew(world: &mut World) {
    world.wish(A).await;
    let id = world.due().await.intents[0].id;
    let until = Some(world.now.plus(HOUR));
    let waiting = Waiting { wait: Wait::Quota, why: "spent".to_owned(), until };
    world.journal.park(&[(id, waiting)], world.now).await.expect("parks");
    world.wish(A).await;
    assert!(world.due().await.intents.is_empty(), "another of its like changes nothing");
    world.send(Outgoing::Wish(Wish { priority: Priority::Urgent, ..wish(A) })).await;
    let due = world.due().await.intents;
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].priority, due[0].causes), (Priority::Urgent, 3));
}

pub(crate) async fn what_others_spend_is_counted_once(world: &mut World) {
    let account = world.account.clone();
    let mut table = PerKind::default();
    // A count that lags behind ours and catches up is nobody's spending.
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.accepted(&batch).await;
    let mut grown = Vec::new();
    for remain in [100, 99, 92, 95, 90] {
        world.pass(120 * SECOND);
        table[QuotaKind::Url] = Some(Reported { quota: 100, remain });
        let told = world.journal.quota_reported(&account, &table, world.now, SECOND, world.now);
        grown.push(told.await.expect("reported").foreign[QuotaKind::Url]);
    }
    assert_eq!(grown, [0, 0, 7, 0, 5]);
    let spending = world.journal.spending(&account, world.now).await.expect("spending");
    assert_eq!(spending.foreign[QuotaKind::Url], 9);
    world.pass(24 * HOUR);
    let spending = world.journal.spending(&account, world.now).await.expect("spending");
    assert_eq!(spending.foreign[QuotaKind::Url], 0, "a day's are its own");
}

pub(crate) async fn what_is_spent_is_known_by_origin_hour_and_host(world: &mut World) {
    let account = world.account.clone();
    let wish_of = |text: &str, origin: &str, priority| {
        let cause = Cause { origin: Some(origin.into()), ..cause(Timestamp::EPOCH) };
        Outgoing::Wish(Wish { priority, cause, ..wish(text) })
    };
    world.send(wish_of(A, "blog", Priority::Normal)).await;
    world.send(wish_of(B, "www", Priority::Backfill)).await;
    world.send(wish_of("https://b.example/c", "www", Priority::Urgent)).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    let spending = world.journal.spending(&account, world.now).await.expect("spending");
    let spent = |origin: &str| spending.origins[&origin.into()][QuotaKind::Url];
    assert_eq!((spent("blog"), spent("www")), (1, 2));
    let hosts: Vec<_> = spending.recent.iter().map(|r| (r.host.as_str(), r.amount)).collect();
    assert_eq!(hosts, [("a.example", 2), ("b.example", 1)]);
    // What is refused was not spent.
    world.refused(&batch, later()).await;
    let spending = world.journal.spending(&account, world.now).await.expect("spending");
    assert_eq!(spending, Spending::default());
    world.pass(2 * SECOND);
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.accepted(&batch).await;
    world.pass(24 * HOUR);
    let spending = world.journal.spending(&account, world.now).await.expect("spending");
    assert_eq!(spending, Spending::default(), "a new day");
    // From 20:00 of the day on two were spent; backfill is not told from.
    let past = world.journal.past(&account, world.now).await.expect("past");
    assert_eq!(past.highest(world.now)[QuotaKind::Url], 2);
    world.pass(HOUR);
    assert_eq!(past.highest(world.now)[QuotaKind::Url], 0);
}

pub(crate) async fn an_alarm_is_news_once_a_day(world: &mut World) {
    let account = world.account.clone();
    let mut news = Vec::new();
    for (percent, hours) in [(70, 0), (70, 0), (90, 0), (70, 24)] {
        world.pass(hours * HOUR);
        let told = world.journal.alarm(&account, QuotaKind::Url, percent, world.now).await;
        news.push(told.expect("writes"));
    }
    assert_eq!(news, [true, false, true, true]);
}

pub(crate) async fn a_prefetch_hears_of_what_only_a_plan_refreshes_widely(world: &mut World) {
    world.wish("https://a.example/d/page").await;
    let batch = world.covering("https://a.example/d/").await;
    world.stage_ready(&batch).await;
    let chosen = [batch.asks[0].target.clone()];
    world.wish_prefetch("https://a.example/d/beside").await;
    assert_eq!(world.due().await.open_refreshes, chosen, "in a call");
    world.accepted(&batch).await;
    assert_eq!(world.due().await.open_refreshes, chosen, "in a job");
    world.hear(&batch, TaskStatus::Complete).await;
    assert_eq!(world.due().await.open_refreshes, []);
}

pub(crate) async fn a_refresh_by_tag_counts_as_wide_and_delays_no_prefetch(world: &mut World) {
    let tag = Target::new(Kind::Tag, "https://a.example/#news");
    world.send(Outgoing::Wish(Wish { target: tag, ..wish(A) })).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.pass(30 * 60 * SECOND);
    let account = world.account.clone();
    let spending = world.journal.spending(&account, world.now).await.expect("spending");
    let recent: Vec<_> =
        spending.recent.iter().map(|one| (one.kind, one.host.as_str(), one.amount)).collect();
    assert_eq!(recent, [(QuotaKind::Tag, "a.example", 1)]);
    assert_eq!(world.used(QuotaKind::Tag).await, 1);
    world.accepted(&batch).await;
    world.wish_prefetch(A).await;
    assert_eq!(world.due().await.open_refreshes, []);
    world.hear(&batch, TaskStatus::Complete).await;
    assert_eq!(world.counts().await.done, 1);
}
