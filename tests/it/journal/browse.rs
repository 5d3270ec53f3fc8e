//! The cases about looking through what there is and was, and taking it up again or calling it off.

use std::collections::BTreeMap;

use refreshd::domain::ask::Kind;
use refreshd::domain::deploy::{Deploy, DeployId};
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{
    Action, IntentId, Outcome, Outgoing, Priority, State, Wait, Waiting, Wish,
};
use refreshd::domain::task::TaskStatus;
use refreshd::domain::time::Timestamp;
use refreshd::journal::browse::{
    Again, CalledOff, Filter, MAX_LOOKED_AT, Page, Picked, StateWord, Story,
};

use super::cases::{A, B, hold};
use super::world::{HOUR, SECOND, World, later, url, wish};

fn deploy(number: u64) -> DeployId {
    DeployId::new(Timestamp::EPOCH, number)
}

fn of_deploy(text: &str, number: u64) -> Wish {
    let mut wish = wish(text);
    wish.cause.deploy = Some(deploy(number));
    wish
}

async fn list(world: &World, filter: &Filter, after: Option<IntentId>, limit: usize) -> Page {
    world.journal.list(filter, after, limit).await.expect("lists")
}

async fn texts(world: &World, filter: Filter) -> Vec<String> {
    let page = list(world, &filter, None, 100).await;
    assert_eq!(page.next, None);
    page.intents.into_iter().map(|intent| intent.target.text).collect()
}

async fn story(world: &World, id: IntentId) -> Story {
    world.journal.story(id).await.expect("tells").expect("there is one")
}

async fn only(world: &World, text: &str) -> IntentId {
    let history = world.history(text).await;
    assert_eq!(history.len(), 1);
    history[0].id
}

/// Ends A failed, B rejected, C done and D cancelled; E is pending, F held and G submitted.
async fn of_each(world: &mut World) {
    world.send(Outgoing::Wish(of_deploy("https://a.example/c", 1))).await;
    let done = world.batch_of_all().await;
    world.stage_ready(&done).await;
    world.accepted(&done).await;
    world.hear(&done, TaskStatus::Complete).await;
    world.wish(A).await;
    let failed = world.batch_of_all().await;
    world.stage_ready(&failed).await;
    world.refused(&failed, refreshd::domain::verdict::Verdict::Never).await;
    let held = Wish { hold: Some("many".to_owned()), ..of_deploy(B, 2) };
    world.send(Outgoing::Wish(held)).await;
    let (id, now) = (deploy(2), world.now);
    let reject = refreshd::journal::Decision::Reject;
    world.journal.decide(&id, None, reject, "alice", now).await.expect("decides");
    world.wish("https://a.example/d").await;
    let id = only(world, "https://a.example/d").await;
    let cancelled = world.journal.cancel(&[id], None, "alice", now).await.expect("cancels");
    assert_eq!(cancelled.cancelled, [id]);
    world.wish("https://a.example/g").await;
    let submitted = world.batch_of_all().await;
    world.stage_ready(&submitted).await;
    world.accepted(&submitted).await;
    world.wish_prefetch("https://a.example/e").await;
    let held = Wish { hold: Some("many".to_owned()), ..of_deploy("https://a.example/f", 3) };
    world.send(Outgoing::Wish(held)).await;
}

pub(crate) async fn a_list_shows_what_is_wanted_newest_first(world: &mut World) {
    of_each(world).await;
    let name = |letter: &str| format!("https://a.example/{letter}");
    let all = ["f", "e", "g", "d", "d/b", "d/a", "c"].map(name);
    assert_eq!(texts(world, Filter::default()).await, all);
    let open = |state| Filter { state: Some(state), ..Filter::default() };
    assert_eq!(texts(world, open(StateWord::Pending)).await, ["f", "e"].map(name));
    assert_eq!(texts(world, open(StateWord::Submitted)).await, ["g"].map(name));
    assert_eq!(texts(world, open(StateWord::Ended)).await, ["d", "d/b", "d/a", "c"].map(name));
    let held = Filter { wait: Some(Wait::Hold), ..Filter::default() };
    assert_eq!(texts(world, held).await, ["f"].map(name));
    for (outcome, letter) in
        [("done", "c"), ("failed", "d/a"), ("rejected", "d/b"), ("cancelled", "d")]
    {
        let filter = Filter { outcome: Some(outcome), ..Filter::default() };
        assert_eq!(texts(world, filter).await, [name(letter)], "{outcome}");
    }
    let prefetch = Filter { action: Some(Action::Prefetch), ..Filter::default() };
    assert_eq!(texts(world, prefetch).await, ["e"].map(name));
    let part = Filter { part: Some("/d/".to_owned()), ..Filter::default() };
    assert_eq!(texts(world, part).await, ["d/b", "d/a"].map(name));
    let of = Filter { deploy: Some(deploy(1)), kind: Some(Kind::Url), ..Filter::default() };
    assert_eq!(texts(world, of.clone()).await, ["c"].map(name));
    assert!(texts(world, Filter { outcome: Some("failed"), ..of }).await.is_empty());
    let www =
        Filter { origin: Some("www".into()), account: Some("main".into()), ..Filter::default() };
    assert_eq!(texts(world, www).await.len(), 7);
    for none in [
        Filter { origin: Some("shop".into()), ..Filter::default() },
        Filter { account: Some("other".into()), ..Filter::default() },
        Filter { kind: Some(Kind::Tag), ..Filter::default() },
    ] {
        assert!(texts(world, none).await.is_empty());
    }
}

pub(crate) async fn a_list_in_pages_is_whole_and_repeats_nothing(world: &mut World) {
    let number = MAX_LOOKED_AT + 10;
    let wishes = (0..number).map(|number| {
        of_deploy(&format!("https://a.example/{number}"), u64::from(number % 2 == 0))
    });
    let items = wishes.map(|wish| world.item(wish)).collect();
    world.accept(items).await;
    for filter in [
        Filter { deploy: Some(deploy(1)), ..Filter::default() },
        Filter { state: Some(StateWord::Pending), ..Filter::default() },
        Filter { part: Some("/7".to_owned()), ..Filter::default() },
    ] {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = list(world, &filter, after, 700).await;
            assert!(page.intents.len() <= 700);
            ids.extend(page.intents.iter().map(|intent| intent.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(ids.is_sorted_by(|left, right| left > right));
        let is_wanted = |number: &usize| match &filter {
            Filter { deploy: Some(_), .. } => number.is_multiple_of(2),
            Filter { part: Some(_), .. } => number.to_string().starts_with('7'),
            _ => true,
        };
        assert_eq!(ids.len(), (0..number).filter(is_wanted).count());
    }
    // What is rare is found behind a page that is empty, for it looked at as much as it may.
    let first = Filter { part: Some("/0".to_owned()), ..Filter::default() };
    let page = list(world, &first, None, 100).await;
    assert!(page.intents.is_empty() && page.next.is_some(), "{page:?}");
    let page = list(world, &first, page.next, 100).await;
    assert_eq!((page.intents.len(), page.next), (1, None));
}

pub(crate) async fn a_story_tells_causes_and_asks_with_their_times(world: &mut World) {
    world.wish(A).await;
    world.wish(A).await;
    let began = world.now;
    let refused = world.batch_of_all().await;
    world.stage_ready(&refused).await;
    world.refused(&refused, later()).await;
    world.pass(5 * SECOND);
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.pass(SECOND);
    world.accepted(&batch).await;
    world.pass(SECOND);
    world.hear(&batch, TaskStatus::Complete).await;
    let id = only(world, A).await;
    let story = story(world, id).await;
    assert_eq!((story.causes.len(), story.intent.causes), (2, 2));
    let [first, second] = &story.asks[..] else { panic!("{story:?}") };
    assert_eq!((first.staged_at, first.settled_at), (began, Some(began)));
    assert_eq!((first.why.as_deref(), first.accepted_at), (Some("because"), None));
    assert_eq!(second.staged_at, began.plus(5 * SECOND));
    assert_eq!(second.accepted_at, Some(began.plus(6 * SECOND)));
    assert_eq!(second.ended_at, Some(began.plus(7 * SECOND)));
    assert_eq!((second.request_id.as_deref(), second.tasks.len()), (Some("r"), 1));
    assert_eq!((&second.target, &second.status), (&url(A), &Some(TaskStatus::Complete)));
    assert_eq!(world.journal.story(IntentId(99)).await.expect("tells"), None);
}

pub(crate) async fn deploys_are_counted_in_pages(world: &mut World) {
    for number in 0..5 {
        let opened_at = world.now.plus(u32::try_from(number / 2).expect("small") * SECOND);
        let deploy = Deploy {
            id: DeployId::new(opened_at, number),
            origin: if number == 3 { "shop" } else { "www" }.into(),
            opened_at,
            closed_at: Some(opened_at),
        };
        let mut wish = wish(&format!("https://a.example/{number}"));
        wish.cause.deploy = Some(deploy.id.clone());
        world.send(Outgoing::Deploy(deploy)).await;
        world.send(Outgoing::Wish(wish)).await;
    }
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = world.journal.counted_deploys(None, after.as_ref(), 2).await;
        let (page, more) = page.expect("counts");
        for counted in &page {
            let one: BTreeMap<String, u64> = [("pending".to_owned(), 1)].into();
            assert_eq!((&counted.intents, counted.more), (&one, false));
        }
        after = page.last().map(|last| (last.deploy.opened_at, last.deploy.id.clone()));
        ids.extend(page.into_iter().map(|counted| counted.deploy.id));
        if !more {
            break;
        }
    }
    assert_eq!(ids.len(), 5);
    assert!(ids.is_sorted_by(|left, right| left > right));
    let shop = world.journal.counted_deploys(Some(&"shop".into()), None, 2).await.expect("counts");
    assert_eq!((shop.0.len(), shop.1), (1, false));
    let named = world.journal.deploys_named(&ids[0].as_str()[..14], 9).await.expect("names");
    assert_eq!(named, ids[..1]);
    assert_eq!(world.journal.deploys_named("d", 3).await.expect("names"), ids[..3]);
}

pub(crate) async fn targets_are_found_by_their_beginning(world: &mut World) {
    for text in [A, B, "https://a.example/d", "https://a.example/d%", "https://b.example/d"] {
        world.wish(text).await;
        world.wish_prefetch(text).await;
    }
    let found = |begin: &'static str, limit| world.journal.targets(begin, limit);
    let d = found("https://a.example/d", 9).await.expect("finds");
    assert_eq!(d, ["https://a.example/d", "https://a.example/d%", A, B]);
    assert_eq!(found("https://a.example/d", 2).await.expect("finds"), d[..2]);
    assert_eq!(found("https://a.example/d%", 9).await.expect("finds"), d[1..2]);
    assert_eq!(found("", 99).await.expect("finds").len(), 5);
}

pub(crate) async fn what_ended_lately_is_known(world: &mut World) {
    let mut times = Vec::new();
    for number in 0..4 {
        world.wish(&format!("https://a.example/{number}")).await;
        let (created, batch) = (world.now, world.batch_of_all().await);
        world.stage_ready(&batch).await;
        world.accepted(&batch).await;
        world.pass(60 * SECOND);
        world.hear(&batch, TaskStatus::Complete).await;
        times.push((created, world.now));
    }
    world.wish(A).await;
    let id = only(world, A).await;
    world.journal.cancel(&[id], None, "alice", world.now).await.expect("cancels");
    times.reverse();
    let since = times[2].1;
    let ended = world.journal.ended(since, 100).await.expect("tells");
    assert_eq!((ended.since, &ended.refreshes[..]), (since, &times[..3]));
    let cut = world.journal.ended(since, 3).await.expect("tells");
    assert!(cut.since > times[1].1 && cut.since <= times[0].1, "{cut:?}");
    assert_eq!(cut.refreshes, times[..1]);
}

pub(crate) async fn what_ended_badly_is_asked_for_again_as_a_persons_wish(world: &mut World) {
    of_each(world).await;
    world.pass(HOUR);
    let (failed, rejected) = (only(world, A).await, only(world, B).await);
    let cancelled = only(world, "https://a.example/d").await;
    world.wish(B).await;
    let (ids, now) = ([failed, rejected, cancelled, IntentId(99)], world.now);
    let came = world.journal.retry(&ids, Picked::Single, now).await.expect("retries");
    let made = |text: &'static str| {
        let world = &*world;
        async move { world.history(text).await.last().expect("a twin").clone() }
    };
    let twin = made(A).await;
    assert_eq!(came[0], (failed, Again::Made(twin.id)));
    assert!(twin.approved && twin.priority == Priority::Urgent);
    assert_eq!(twin.state, State::Pending { not_before: now, attempt: 0, waiting: None });
    assert_eq!(came[1], (rejected, Again::Joined(made(B).await.id)));
    assert!(made(B).await.approved);
    assert_eq!(came[2], (cancelled, Again::Made(made("https://a.example/d").await.id)));
    assert_eq!(came[3].1, Again::Unknown);
    let twice = world.journal.retry(&[failed], Picked::Single, now).await.expect("retries");
    assert_eq!(twice[0].1, Again::Joined(twin.id));
}

pub(crate) async fn what_waits_in_vain_is_due_and_what_needs_no_retry_says_why(world: &mut World) {
    world.wish(A).await;
    world.wish(B).await;
    let ids = [only(world, A).await, only(world, B).await];
    let until = world.now.plus(HOUR);
    let wait = |wait| Waiting { wait, why: "later".to_owned(), until: Some(until) };
    let parked = [(ids[0], wait(Wait::Retry)), (ids[1], wait(Wait::Quota))];
    world.journal.park(&parked, world.now).await.expect("parks");
    assert!(world.due().await.intents.is_empty());
    let came = world.journal.retry(&ids, Picked::Single, world.now).await.expect("retries");
    assert_eq!(came, ids.map(|id| (id, Again::Due)));
    assert_eq!(world.due().await.intents.len(), 2);
    let needless =
        world.journal.retry(&ids[..1], Picked::Single, world.now).await.expect("retries");
    assert_eq!(needless[0].1, Again::Needless("it is pending and goes out soon".to_owned()));
    world.journal.park(&[(ids[0], hold())], world.now).await.expect("parks");
    let held = world.journal.retry(&ids[..1], Picked::Single, world.now).await.expect("retries");
    assert_eq!(held[0].1, Again::Needless("it is held for a person".to_owned()));
}

pub(crate) async fn what_is_pending_is_called_off_and_counted(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.wish(B).await;
    let ids = [only(world, A).await, only(world, B).await, IntentId(99)];
    let gone = world.journal.cancel(&ids, None, "alice", world.now).await.expect("cancels");
    assert_eq!(gone.cancelled, [ids[1]], "what is being submitted is not");
    let outcome = Outcome::Cancelled("by alice".to_owned());
    assert_eq!(world.history(B).await[0].state, State::Ended { at: world.now, outcome });
    assert_eq!(world.counts().await.cancelled, 1);
    let gone = world.journal.cancel(&ids[1..], None, "bob", world.now).await.expect("cancels");
    assert_eq!(gone, CalledOff::default());
    world.wish(B).await;
    assert_eq!(world.history(B).await.len(), 2, "what changes later is asked for");
}

pub(crate) async fn what_others_want_besides_a_deploy_is_spared(world: &mut World) {
    let (alone, shared, wished) = ("https://a.example/1", A, B);
    for text in [alone, shared, wished] {
        world.send(Outgoing::Wish(of_deploy(text, 1))).await;
    }
    world.send(Outgoing::Wish(of_deploy(shared, 2))).await;
    let mut by_hand = wish(wished);
    by_hand.cause.witness = Witness::Operator;
    world.send(Outgoing::Wish(by_hand)).await;
    world.send(Outgoing::Wish(of_deploy(wished, 1))).await;
    let ids = [only(world, alone).await, only(world, shared).await, only(world, wished).await];
    let (of, now) = (deploy(1), world.now);
    let came = world.journal.cancel(&ids, Some(&of), "alice", now).await.expect("cancels");
    assert_eq!((&came.cancelled[..], &came.spared[..]), (&ids[..1], &ids[1..]));
    let came = world.journal.cancel(&ids, None, "alice", now).await.expect("cancels");
    assert_eq!((&came.cancelled[..], came.spared.len()), (&ids[1..], 0));
}

pub(crate) async fn of_many_only_the_newest_of_a_target_is_asked_for_again(world: &mut World) {
    let mut failed = Vec::new();
    for _ in 0..2 {
        world.wish(A).await;
        let batch = world.batch_of_all().await;
        world.stage_ready(&batch).await;
        world.refused(&batch, refreshd::domain::verdict::Verdict::Never).await;
        failed.insert(0, world.history(A).await.last().expect("one").id);
        world.pass(HOUR);
    }
    let now = world.now;
    let came = world.journal.retry(&failed[..1], Picked::Alike, now).await.expect("retries");
    let twin = world.history(A).await.last().expect("a twin").clone();
    assert_eq!(came[0].1, Again::Made(twin.id));
    assert!(twin.approved && twin.priority == Priority::Normal);
    world.journal.cancel(&[twin.id], None, "alice", now).await.expect("cancels");
    // Even though the new one came to nothing meanwhile.
    let came = world.journal.retry(&failed, Picked::Alike, now).await.expect("retries");
    let since = Again::Needless("its target was asked for since".to_owned());
    assert_eq!(came, [(failed[0], since.clone()), (failed[1], since)]);
    let came = world.journal.retry(&failed[1..], Picked::Single, now).await.expect("retries");
    assert!(matches!(came[0].1, Again::Made(_)), "a person named it: {came:?}");
}

pub(crate) async fn what_stands_for_the_superseded_is_looked_at(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.wish(A).await;
    world.refused(&batch, later()).await;
    let history = world.history(A).await;
    let [old, by] = &history[..] else { panic!("{history:?}") };
    assert_eq!(old.superseded_by(), Some(by.id));
    let (ids, by, now) = ([old.id], by.id, world.now);
    let came = world.journal.retry(&ids, Picked::Single, now).await.expect("retries");
    let why = format!("intent {} stands for it: it is pending and goes out soon", by.0);
    assert_eq!(came[0].1, Again::Needless(why));
    world.journal.cancel(&[by], None, "alice", now).await.expect("cancels");
    let came = world.journal.retry(&ids, Picked::Single, now).await.expect("retries");
    assert_eq!(came[0].1, Again::Made(world.history(A).await.last().expect("a twin").id));
}
