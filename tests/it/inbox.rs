//! The inbox: what is told of pushes is written down once, and a delivery is open as long as a push is.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use refreshd::database::Database;
use refreshd::domain::names::OriginName;
use refreshd::domain::push::{CommitId, Fate, Listed, Push};
use refreshd::domain::time::Timestamp;
use refreshd::store::{
    Delivered, Delivery, DeliveryId, DeliveryRow, End, OpenPush, PushEnd, PushId, Store, Tip,
};

const DAY: Duration = Duration::from_secs(86_400);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn commit(digit: char) -> Option<CommitId> {
    CommitId::parse(&digit.to_string().repeat(40)).expect("a name")
}

fn push(before: char, after: char) -> Push {
    Push {
        reference: "refs/heads/main".to_owned(),
        before: commit(before),
        after: commit(after),
        listed: Listed::nothing("a test"),
    }
}

/// A delivery with a push of its own for each of these origins.
fn delivery(hook: &str, key: &str, origins: &[&str]) -> Delivery {
    Delivery {
        hook: hook.into(),
        key: key.to_owned(),
        at: at(1),
        event: "push".to_owned(),
        source: "127.0.0.1".to_owned(),
        content_type: "application/json".to_owned(),
        body: b"{}".to_vec(),
        pushes: origins.iter().map(|origin| ((*origin).into(), push('a', 'b'))).collect(),
        why: if origins.is_empty() { "it tells of no push" } else { "" }.to_owned(),
    }
}

fn end(push: PushId, fate: Fate) -> PushEnd {
    let end = End { fate, why: format!("it is {}", fate.as_str()), deploy: None };
    PushEnd { ends: vec![(push, end)], tip: None }
}

struct Inbox(
    Store,
    #[expect(dead_code, reason = "it is removed when it is dropped")] tempfile::TempDir,
);

impl Inbox {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(&folder.path().join("refreshd.db")).expect("opens");
        Self(Store::open(database, 0xabc).await.expect("opens"), folder)
    }

    async fn receive(&self, deliveries: &[Delivery]) -> Vec<Delivered> {
        self.0.receive(deliveries.to_vec()).await.expect("received")
    }

    async fn one(&self, delivery: Delivery) -> DeliveryId {
        self.receive(&[delivery]).await[0].id
    }

    async fn open(&self, origin: &str, seconds: i64) -> Vec<OpenPush> {
        self.0.open_pushes(&origin.into(), at(seconds), 100).await.expect("reads")
    }

    async fn end(&self, origin: &str, push: PushId, fate: Fate, seconds: i64) {
        let ended = self.0.end_pushes(&origin.into(), end(push, fate), at(seconds)).await;
        ended.expect("it ends");
    }

    async fn all(&self) -> Vec<DeliveryRow> {
        self.0.deliveries(None, false, 1_000).await.expect("reads")
    }

    async fn row(&self, id: DeliveryId) -> DeliveryRow {
        self.0.deliveries(Some(id), false, 1).await.expect("reads").remove(0)
    }
}

#[tokio::test]
async fn a_delivery_is_the_same_by_its_hook_and_key() {
    let inbox = Inbox::new().await;
    let (first, other) = (delivery("h", "1", &["www"]), delivery("g", "1", &["www"]));
    let told = inbox.receive(&[first.clone(), first.clone(), other]).await;
    let repeated: Vec<bool> = told.iter().map(|told| told.repeated).collect();
    assert_eq!(repeated, [false, true, false]);
    assert_eq!(told[0].id, told[1].id);
    assert_ne!(told[0].id, told[2].id, "another hook's");
    let later = Delivery { pushes: Vec::new(), body: b"other".to_vec(), ..first };
    assert_eq!(inbox.receive(&[later]).await, [Delivered { repeated: true, id: told[0].id }]);
    let row = inbox.row(told[0].id).await;
    assert_eq!((row.repeats, row.bytes, row.pushes.len()), (2, 2, 1), "what came first stays");
    let body = inbox.0.delivery_body(told[0].id).await.expect("reads");
    assert_eq!(body, Some(("application/json".to_owned(), b"{}".to_vec())));
    assert_eq!(inbox.open("www", 1).await.len(), 2, "one of each hook");
}

#[tokio::test]
async fn a_delivery_without_a_push_is_over_at_once() {
    let inbox = Inbox::new().await;
    let id = inbox.one(delivery("h", "ping", &[])).await;
    let row = inbox.row(id).await;
    assert_eq!((row.fate, row.ended_at), (Some(Fate::Nothing), Some(at(1))));
    assert_eq!(row.why, "it tells of no push");
    assert_eq!(inbox.0.replay(id, at(2)).await.expect("replays"), 0);
    assert_eq!(inbox.row(id).await.fate, Some(Fate::Nothing));
}

#[tokio::test]
async fn a_push_that_waits_is_not_open_before_its_time() {
    let inbox = Inbox::new().await;
    let www = OriginName::from("www");
    assert_eq!(inbox.0.next_push(&www).await.expect("reads"), (0, None));
    inbox.receive(&[delivery("h", "1", &["www"]), delivery("h", "2", &["www", "docs"])]).await;
    let open = inbox.open("www", 1).await;
    assert!(open[0].id < open[1].id, "the oldest first");
    assert_eq!(inbox.0.open_pushes(&www, at(1), 1).await.expect("reads"), open[..1]);
    inbox.0.push_later(open[0].id, at(50), "git is away").await.expect("later");
    assert_eq!(inbox.open("www", 49).await, open[1..]);
    assert_eq!(inbox.0.next_push(&www).await.expect("reads"), (2, Some(at(1))));
    inbox.end("www", open[1].id, Fate::Nothing, 3).await;
    assert_eq!(inbox.0.next_push(&www).await.expect("reads"), (1, Some(at(50))));
    let again = inbox.open("www", 50).await;
    assert_eq!(again, [OpenPush { attempts: 1, ..open[0].clone() }]);
    let row = &inbox.row(open[0].delivery).await.pushes[0];
    assert_eq!((row.why.as_str(), row.not_before), ("git is away", at(50)));
    assert_eq!(inbox.open("docs", 1).await.len(), 1, "another origin's is its own");
}

#[tokio::test]
async fn the_weightiest_end_is_the_deliverys() {
    let inbox = Inbox::new().await;
    let (nothing, intents, failed) = (Fate::Nothing, Fate::Intents, Fate::Failed);
    for (number, (ends, whole)) in [
        ([nothing, nothing], nothing),
        ([nothing, intents], intents),
        ([intents, nothing], intents),
        ([failed, intents], failed),
        ([nothing, failed], failed),
    ]
    .into_iter()
    .enumerate()
    {
        let id = inbox.one(delivery("h", &number.to_string(), &["www", "docs"])).await;
        for (origin, fate) in ["www", "docs"].into_iter().zip(ends) {
            assert_eq!(inbox.row(id).await.fate, None, "{ends:?}");
            let open = inbox.open(origin, 9).await;
            inbox.end(origin, open[0].id, fate, 5).await;
        }
        let row = inbox.row(id).await;
        assert_eq!((row.fate, row.ended_at), (Some(whole), Some(at(5))), "{ends:?}");
        assert_eq!(row.why, format!("it is {}", whole.as_str()), "{ends:?}");
    }
    assert_eq!(inbox.0.delivery_counts().await.expect("counts"), (0, 2));
}

#[tokio::test]
async fn what_ended_does_not_end_again() {
    let inbox = Inbox::new().await;
    let id = inbox.one(delivery("h", "1", &["www"])).await;
    let open = inbox.open("www", 1).await;
    inbox.end("www", open[0].id, Fate::Intents, 5).await;
    let row = inbox.row(id).await;
    inbox.end("www", open[0].id, Fate::Failed, 6).await;
    assert_eq!(inbox.row(id).await, row);
}

#[tokio::test]
async fn a_replay_asks_once_more_and_its_end_counts() {
    let inbox = Inbox::new().await;
    let id = inbox.one(delivery("h", "1", &["www", "docs"])).await;
    let (www, docs) = (inbox.open("www", 1).await, inbox.open("docs", 1).await);
    inbox.end("www", www[0].id, Fate::Failed, 5).await;
    assert_eq!(inbox.0.replay(id, at(6)).await.expect("replays"), 1, "of docs it is open");
    assert_eq!(inbox.0.replay(id, at(6)).await.expect("replays"), 0, "all is open");
    inbox.end("docs", docs[0].id, Fate::Nothing, 7).await;
    assert_eq!(inbox.row(id).await.fate, None);
    let again = inbox.open("www", 6).await;
    assert_eq!((again.len(), again[0].again, &again[0].push), (1, true, &www[0].push));
    inbox.end("www", again[0].id, Fate::Intents, 8).await;
    let row = inbox.row(id).await;
    assert_eq!((row.fate, row.why.as_str()), (Some(Fate::Intents), "it is intents"));
    assert_eq!(row.pushes.len(), 3, "what was is still told");
    assert_eq!(inbox.0.delivery_counts().await.expect("counts"), (0, 0));
    assert_eq!(inbox.0.replay(id, at(9)).await.expect("replays"), 2, "each once");
    assert_eq!(inbox.0.delivery_counts().await.expect("counts"), (1, 0));
    assert_eq!(inbox.0.replay(DeliveryId(77), at(9)).await.expect("replays"), 0);
}

#[tokio::test]
async fn only_what_ended_long_ago_is_forgotten() {
    let inbox = Inbox::new().await;
    let (old, open) = (delivery("h", "old", &["www"]), delivery("h", "open", &["docs"]));
    let ids = inbox.receive(&[old, open]).await;
    let push = inbox.open("www", 1).await.remove(0);
    inbox.end("www", push.id, Fate::Intents, 10).await;
    assert!(inbox.0.was_pushed(push.id).await.expect("reads"));
    inbox.0.prune_deliveries(at(10).plus(7 * DAY)).await.expect("prunes");
    assert_eq!(inbox.all().await.len(), 2, "kept for seven days");
    inbox.0.prune_deliveries(at(11).plus(7 * DAY)).await.expect("prunes");
    let left: Vec<DeliveryId> = inbox.all().await.into_iter().map(|row| row.id).collect();
    assert_eq!(left, [ids[1].id], "what is open is never forgotten");
    assert!(!inbox.0.was_pushed(push.id).await.expect("reads"), "its pushes go with it");
}

#[tokio::test]
async fn a_push_was_told_of_when_it_came_to_a_good_end() {
    let inbox = Inbox::new().await;
    let was = async |delivery: Delivery| {
        let origin = delivery.pushes[0].0.clone();
        let id = inbox.one(delivery).await;
        let open = inbox.open(origin.as_str(), 1).await;
        let push = open.iter().find(|open| open.delivery == id).expect("it is open").id;
        (push, inbox.0.was_pushed(push).await.expect("reads"))
    };
    for (key, fate) in [("1", Fate::Failed), ("2", Fate::Nothing)] {
        let (push, was) = was(delivery("h", key, &["www"])).await;
        assert!(!was, "{key}");
        inbox.end("www", push, fate, 2).await;
    }
    assert!(was(delivery("h", "3", &["www"])).await.1, "in the same words");
    assert!(was(delivery("other", "4", &["www"])).await.1, "another hook tells of it, too");
    let words = |key: &str| Delivery { body: b"{ }".to_vec(), ..delivery("h", key, &["www"]) };
    assert!(!was(words("5")).await.1, "the branch may go there twice");
    assert!(!was(delivery("h", "6", &["docs"])).await.1, "for another origin");
    for moved in [push('a', 'c'), push('0', 'b')] {
        let pushes = vec![("www".into(), moved)];
        let other = Delivery { pushes, ..delivery("h", "7", &[]) };
        let key = format!("{:?}", other.pushes[0].1.after);
        assert!(!was(Delivery { key, ..other }).await.1, "another move");
    }
}

#[tokio::test]
async fn the_tip_moves_with_the_end_of_a_push() {
    let inbox = Inbox::new().await;
    let www = OriginName::from("www");
    assert_eq!(inbox.0.tip(&www).await.expect("reads"), None);
    inbox.one(delivery("h", "1", &["www"])).await;
    let push = inbox.open("www", 1).await.remove(0).id;
    for commit in [commit('b'), None, commit('c')] {
        let tip = Tip { place: "/srv/git main".to_owned(), commit };
        let moved = PushEnd { tip: Some(tip.clone()), ..end(push, Fate::Nothing) };
        inbox.0.end_pushes(&www, moved, at(2)).await.expect("it ends");
        assert_eq!(inbox.0.tip(&www).await.expect("reads"), Some(tip));
    }
    inbox.end("www", push, Fate::Nothing, 3).await;
    let tip = inbox.0.tip(&www).await.expect("reads").expect("there is one");
    assert_eq!(tip.commit, commit('c'), "none leaves it");
    assert_eq!(inbox.0.tip(&"docs".into()).await.expect("reads"), None);
}

#[derive(Clone, Debug)]
enum Step {
    Receive(usize, Vec<bool>),
    End(proptest::sample::Index, usize),
    Replay(proptest::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6_usize, prop::collection::vec(any::<bool>(), 0..4))
            .prop_map(|(key, pushes)| Step::Receive(key, pushes)),
        (any::<proptest::sample::Index>(), 0..3_usize)
            .prop_map(|(push, fate)| Step::End(push, fate)),
        (any::<proptest::sample::Index>(), 0..3_usize)
            .prop_map(|(push, fate)| Step::End(push, fate)),
        any::<proptest::sample::Index>().prop_map(Step::Replay),
    ]
}

/// What a delivery comes to by its pushes: of each the last time that it was asked for counts.
fn expected(row: &DeliveryRow) -> Option<Fate> {
    let mut last = BTreeMap::new();
    for push in &row.pushes {
        last.insert((&push.origin, push.push.after.clone()), push.fate);
    }
    let is_open = row.pushes.iter().any(|push| push.fate.is_none());
    let fate = last.into_values().flatten().max().unwrap_or(Fate::Nothing);
    (!is_open).then_some(fate)
}

async fn take(inbox: &Inbox, step: Step, number: i64) {
    let origins = ["www", "docs"];
    match step {
        Step::Receive(key, pushes) => {
            let mut delivery = delivery("h", &key.to_string(), &[]);
            let of = |(is_docs, after): (bool, char)| {
                (origins[usize::from(is_docs)].into(), push('a', after))
            };
            delivery.pushes = pushes.into_iter().zip(['b', 'c', 'd']).map(of).collect();
            inbox.one(delivery).await;
        }
        Step::End(push, fate) => {
            let mut open = inbox.open("www", i64::MAX / 2_000_000).await;
            open.extend(inbox.open("docs", i64::MAX / 2_000_000).await);
            if !open.is_empty() {
                inbox.end("www", push.get(&open).id, Fate::ALL[fate], number).await;
            }
        }
        Step::Replay(delivery) => {
            let all = inbox.all().await;
            if !all.is_empty() {
                inbox.0.replay(delivery.get(&all).id, at(number)).await.expect("replays");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_delivery_is_open_exactly_as_long_as_one_of_its_pushes(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let inbox = Inbox::new().await;
            for (number, step) in (10..).zip(steps) {
                take(&inbox, step, number).await;
                let all = inbox.all().await;
                for row in &all {
                    prop_assert_eq!(row.fate, expected(row), "{:?}", row);
                    prop_assert_eq!(row.ended_at.is_some(), row.fate.is_some(), "{:?}", row);
                }
                let (open, failed): (Vec<_>, Vec<_>) = all
                    .into_iter()
                    .filter(|row| row.fate.is_none_or(|fate| fate == Fate::Failed))
                    .partition(|row| row.fate.is_none());
                let counts = inbox.0.delivery_counts().await.expect("counts");
                prop_assert_eq!(counts, (open.len() as u64, failed.len() as u64));
                let wanting = inbox.0.deliveries(None, true, 1_000).await.expect("reads");
                let mut both = [open, failed].concat();
                both.sort_by_key(|row| std::cmp::Reverse(row.id));
                prop_assert_eq!(wanting, both);
            }
            Ok(())
        })?;
    }
}
