//! The cases about what a person decides on.

use refreshd::domain::deploy::{Deploy, DeployId};
use refreshd::domain::intent::{Outcome, Outgoing, State, Waiting, Wish};
use refreshd::domain::time::Timestamp;
use refreshd::journal::{Decision, MAX_DECIDED};

use super::cases::{A, B, hold};
use super::world::{HOUR, SECOND, World, url, wish};

/// A wish that a person decides on, of the deploy with this number.
fn held(text: &str, deploy: u64) -> Wish {
    let mut wish = Wish { hold: Some("most files went".to_owned()), ..wish(text) };
    wish.cause.deploy = Some(DeployId::new(Timestamp::EPOCH, deploy));
    wish
}

fn deploy(number: u64) -> DeployId {
    DeployId::new(Timestamp::EPOCH, number)
}

async fn decide(world: &World, number: u64, decision: Decision) -> u64 {
    let decided = world.journal.decide(&deploy(number), None, decision, "alice", world.now).await;
    decided.expect("decides")
}

pub(crate) async fn a_held_wish_waits_for_a_person(world: &mut World) {
    world.send(Outgoing::Wish(held(A, 1))).await;
    let closed = Deploy {
        id: deploy(1),
        origin: "www".into(),
        opened_at: world.now,
        closed_at: Some(world.now),
    };
    world.send(Outgoing::Deploy(closed)).await;
    world.pass(HOUR);
    let due = world.due().await;
    assert_eq!((due.intents.len(), due.next_at), (0, None), "closing frees nothing");
    let waiting = Waiting { why: "most files went".to_owned(), ..hold() };
    let state = State::Pending { not_before: Timestamp::EPOCH, attempt: 0, waiting: Some(waiting) };
    assert_eq!(world.history(A).await[0].state, state);
}

pub(crate) async fn a_held_wish_joins_a_free_intent(world: &mut World) {
    world.wish(A).await;
    let joined = world.send(Outgoing::Wish(Wish { force: true, ..held(A, 1) })).await;
    assert_eq!((joined.created, joined.absorbed), (0, 1));
    let due = world.due().await;
    assert!(due.intents[0].force);
    assert_eq!(due.intents[0].causes, 2);
}

pub(crate) async fn a_held_wish_is_held_once_a_deploy(world: &mut World) {
    world.send(Outgoing::Wish(held(A, 1))).await;
    let before = world.history(A).await;
    world.send(Outgoing::Wish(held(A, 1))).await;
    assert_eq!(world.history(A).await, before, "it is left as the person saw it");
    world.send(Outgoing::Wish(Wish { force: true, ..held(A, 1) })).await;
    assert!(world.history(A).await[0].force, "but what must be dropped will be");
    world.send(Outgoing::Wish(held(A, 2))).await;
    assert_eq!(world.history(A).await.len(), 2);
    world.wish(A).await;
    assert_eq!(world.history(A).await.len(), 3, "a held one never absorbs");
}

pub(crate) async fn an_approved_intent_goes_out_at_once(world: &mut World) {
    let later = world.now.plus(HOUR);
    world.send(Outgoing::Wish(Wish { not_before: later, ..held(A, 1) })).await;
    world.send(Outgoing::Wish(held(B, 2))).await;
    assert_eq!(decide(world, 1, Decision::Approve).await, 1);
    assert_eq!(decide(world, 1, Decision::Approve).await, 0);
    let due = world.due().await;
    assert_eq!(due.intents.len(), 1);
    assert_eq!(due.intents[0].target, url(A));
    let state = State::Pending { not_before: world.now, attempt: 0, waiting: None };
    assert_eq!(due.intents[0].state, state);
    world.wish(A).await;
    assert_eq!(world.history(A).await.len(), 1, "it is free: it absorbs");
}

pub(crate) async fn an_approved_intent_is_superseded_by_its_free_twin(world: &mut World) {
    world.send(Outgoing::Wish(Wish { force: true, ..held(A, 1) })).await;
    world.wish(A).await;
    assert_eq!(decide(world, 1, Decision::Approve).await, 1);
    let history = world.history(A).await;
    let outcome = Outcome::Superseded(history[1].id);
    assert_eq!(history[0].state, State::Ended { at: world.now, outcome });
    assert!(history[1].force);
    assert_eq!(history[1].causes, 2);
    assert_eq!(world.due().await.intents.len(), 1);
}

pub(crate) async fn a_rejected_intent_ends_by_whom(world: &mut World) {
    world.send(Outgoing::Wish(held(A, 1))).await;
    world.wish(B).await;
    assert_eq!(decide(world, 1, Decision::Reject).await, 1);
    let outcome = Outcome::Rejected("by alice".to_owned());
    assert_eq!(world.history(A).await[0].state, State::Ended { at: world.now, outcome });
    let counts = world.counts().await;
    assert_eq!((counts.pending, counts.rejected), (1, 1));
    assert_eq!(decide(world, 1, Decision::Approve).await, 0, "what ended stays so");
}

pub(crate) async fn what_came_since_the_person_looked_stays_held(world: &mut World) {
    world.send(Outgoing::Wish(held(A, 1))).await;
    let seen = world.journal.held().await.expect("held")[0].through;
    world.send(Outgoing::Wish(held(B, 1))).await;
    let decided = world
        .journal
        .decide(&deploy(1), Some(seen), Decision::Approve, "alice", world.now)
        .await
        .expect("decides");
    assert_eq!(decided, 1);
    assert_eq!(world.due().await.intents[0].target, url(A));
    assert_eq!(world.journal.held().await.expect("held")[0].sample, [url(B)]);
}

pub(crate) async fn many_are_decided_on_in_parts(world: &mut World) {
    let wishes = (0..=MAX_DECIDED).map(|number| held(&format!("https://a.example/{number}"), 1));
    let items = wishes.map(|wish| world.item(wish)).collect();
    world.accept(items).await;
    assert_eq!(decide(world, 1, Decision::Approve).await, MAX_DECIDED as u64);
    assert_eq!(world.due().await.intents.len(), MAX_DECIDED);
    assert_eq!(decide(world, 1, Decision::Reject).await, 1);
    assert_eq!(decide(world, 1, Decision::Reject).await, 0);
}

pub(crate) async fn what_is_held_is_shown_by_deploy(world: &mut World) {
    assert!(world.journal.held().await.expect("held").is_empty());
    world.send(Outgoing::Wish(held(B, 2))).await;
    let since = world.now;
    for number in 0..7 {
        let text = format!("https://a.example/d/{number}");
        world.send(Outgoing::Wish(held(&text, 1))).await;
        world.pass(SECOND);
    }
    let sets = world.journal.held().await.expect("held");
    let deploys: Vec<_> = sets.iter().map(|set| (set.deploy.clone(), set.intents)).collect();
    assert_eq!(deploys, [(deploy(1), 7), (deploy(2), 1)]);
    let attention = world.journal.attention(10).await.expect("attention");
    assert!(attention.is_empty(), "it is shown once");
    let set = &sets[0];
    assert_eq!((set.since, set.why.as_str()), (since, "most files went"));
    assert_eq!(set.origin, Some("www".into()));
    assert_eq!(set.through.0 - 6, world.history(&sets[0].sample[0].text).await[0].id.0);
    let sample: Vec<_> =
        (0..5).map(|number| url(&format!("https://a.example/d/{number}"))).collect();
    assert_eq!(set.sample, sample);
}
