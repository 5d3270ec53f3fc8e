//! Deploys that somebody holds open, and calls to see all that was written.

use refreshd::domain::deploy::DeployId;

use super::*;

/// Holds a deploy open.
async fn begin(world: &World) -> DeployId {
    let now = world.clock.server_now();
    let deploy = DeployId::new(now, 7);
    let before = world.store.begin_bracket(&"www".into(), &deploy, now).await.expect("recorded");
    assert_eq!(before, None);
    world.intake.door().bracket();
    deploy
}

#[tokio::test]
async fn a_deploy_that_nobody_ends_ends_by_itself_and_says_so() {
    let mut world = World::new(&[("a", "a")]).await;
    world.pass(SECOND).await;
    world.change("before", "1").await;
    assert_eq!(deploys(&world.taken().await).len(), 2, "it opened and closed");
    let id = begin(&world).await;
    world.change("b", "1").await;
    world.pass(SECOND * 60).await;
    world.restart();
    world.pass(SECOND * 60).await;
    world.change("c", "1").await;
    assert_eq!(world.intake.facts().deploy.as_ref(), Some(&id));
    let until = world.intake.facts().held_open_until.expect("it is held open");
    let items = world.taken().await;
    for wish in wishes(&items) {
        assert_eq!(wish.cause.deploy.as_ref(), Some(&id));
        assert!(wish.not_before >= until, "it is one plan");
    }
    assert_eq!(wishes(&items).len(), 2);
    assert!(deploys(&items).iter().all(|deploy| deploy.closed_at.is_none()));
    world.pass(SECOND * 30 * 60).await;
    let items = world.taken().await;
    let [closed] = deploys(&items)[..] else { panic!("one closes: {items:?}") };
    assert_eq!((&closed.id, closed.closed_at), (&id, Some(until)));
    let facts = world.intake.facts();
    assert!(facts.note.contains("ended by itself"), "{}", facts.note);
    assert_eq!(facts.held_open_until, None);
    assert_eq!(world.store.bracket(&"www".into()).await.expect("read"), None);
    world.change("d", "1").await;
    let items = world.taken().await;
    assert_ne!(wishes(&items)[0].cause.deploy.as_ref(), Some(&id));
    begin(&world).await;
    world.pass(SECOND).await;
    assert_eq!(world.intake.facts().note, "");
}

#[tokio::test]
async fn who_called_is_told_once_removals_are_believed_too() {
    let mut world = World::new(&[("a", "a"), ("b", "b")]).await;
    world.pass(SECOND).await;
    fs::remove_file(world.root().join("a")).expect("removed");
    world.hint("a", Reach::Path);
    let ticket = world.intake.door().call();
    world.pass(SECOND * 29).await;
    assert!(world.intake.facts().seen < ticket, "it may come back");
    world.pass(SECOND * 5).await;
    assert_eq!(world.intake.facts().seen, ticket);
    assert_eq!(world.refreshed().await, ["/a!"]);
    let ticket = world.intake.door().call();
    world.rest().await;
    assert_eq!(world.intake.facts().seen, ticket, "with nothing to see it is at once");
}

#[tokio::test]
async fn what_sends_no_events_is_compared_for_who_called() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let mut world = World::at(&[("a", "a")], now, Arc::new(NoWatches)).await;
    world.pass(SECOND).await;
    world.write("a", "unheard");
    let ticket = world.intake.door().call();
    world.pass(SECOND * 5).await;
    assert_eq!(world.intake.facts().seen, ticket);
    assert_eq!(world.refreshed().await, ["/a"]);
}
