//! What is due, held or under way while something else happens.

use super::*;

#[tokio::test]
async fn an_operator_is_heard_while_a_subtree_is_walked() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let script = Scripted::default();
    let mut world = World::at(&[("d/a", "a")], now, Arc::new(script.clone())).await;
    world.pass(SECOND).await;
    let first = world.intake.facts().baseline_at;
    script.change(|script| script.anew = true);
    world.hint("d", Reach::Subtree);
    world.pass(SECOND * 5).await;
    assert_ne!(world.intake.facts().baseline_at, first);
}

#[tokio::test]
async fn without_a_watch_a_reconcile_that_is_due_is_done_once() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let mut world = World::at(&[("a", "a")], now, Arc::new(NoWatches)).await;
    let clock = Arc::clone(&world.clock) as SharedClock;
    let settings =
        Settings { reconcile_every: SECOND * 30, ..settings(20_000_000, world.root(), WAITS) };
    world.intake = with(settings, clock, &world.store, Arc::new(NoWatches));
    world.pass(SECOND).await;
    world.write("a", "unheard");
    let passing = tokio::time::timeout(SECOND * 20, world.pass(SECOND * 40)).await;
    passing.expect("it does not arm for ever");
    assert_eq!(world.refreshed().await, ["/a"]);
}

#[tokio::test]
async fn while_a_reconcile_runs_nothing_else_is_due() {
    let mut world = World::new(&[("a", "a")]).await;
    world.pass(SECOND).await;
    world.clock.advance(SECOND * 4_000);
    loop {
        let step = world.intake.step().await.expect("steps");
        let now = world.clock.boot();
        if !step.worked && step.awaits {
            assert!(step.wake_at.is_none_or(|at| at > now), "it would be polled for its end");
            world.intake.knocked().await;
        } else if !step.worked {
            break;
        }
    }
}

#[tokio::test]
async fn a_polled_tree_forgets_what_was_removed_though_that_settles_slowly() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let mut world = World::at(&[("a", "a"), ("b", "b")], now, Arc::new(NoWatches)).await;
    let clock = Arc::clone(&world.clock) as SharedClock;
    let waits = Waits { delete_settle: SECOND * 90, ..WAITS };
    world.intake = intake(world.root(), waits, clock, &world.store, Arc::new(NoWatches));
    world.pass(SECOND).await;
    fs::remove_file(world.root().join("a")).expect("removed");
    world.pass(SECOND * 300).await;
    assert_eq!(world.refreshed().await, ["/a!"]);
}

#[tokio::test]
async fn a_baseline_that_could_not_be_stored_for_a_while_is_whole() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let script = Scripted::default();
    script.change(|script| script.polled = vec!["far"]);
    let mut world = World::at(&[("far/a", "a")], now, Arc::new(script)).await;
    world
        .sql(
            "CREATE TRIGGER full BEFORE INSERT ON origin WHEN NEW.baseline_done \
             BEGIN SELECT RAISE(ABORT, 'full'); END",
        )
        .await;
    world.pass(SECOND * 10).await;
    assert_eq!(world.intake.facts().state, OriginState::Baseline);
    world.sql("DROP TRIGGER full").await;
    world.pass(SECOND * 30).await;
    assert_eq!(world.intake.facts().state, OriginState::Watching);
    world.write("far/a", "unheard");
    world.pass(SECOND * 70).await;
    assert_eq!(world.refreshed().await, ["/far/a"]);
}

#[tokio::test]
async fn a_directory_moved_in_during_a_baseline_is_a_change_though_it_was_met_before_it_was_heard_of()
 {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let script = Scripted::default();
    script.change(|script| script.tidings = vec![RelPath::new("moved").expect("valid")]);
    let files = [("kept", "a"), ("moved/in", "b")];
    let mut world = World::at(&files, now, Arc::new(script.clone())).await;
    world.pass(SECOND * 5).await;
    assert_eq!(world.refreshed().await, ["/moved/in"]);
}

#[tokio::test]
async fn after_much_vanished_what_is_removed_later_is_not_held() {
    let mut world = World::new(&[("kept", "a")]).await;
    for number in 0..600 {
        world.write(&format!("d/{number}"), "bytes");
        world.write(&format!("e/{number}"), "bytes");
    }
    world.pass(SECOND).await;
    fs::remove_dir_all(world.root().join("d")).expect("removed");
    world.hint("d", Reach::Subtree);
    for number in 0..10 {
        world.pass(SECOND * 10).await;
        fs::remove_file(world.root().join(format!("e/{number}"))).expect("removed");
        world.hint(&format!("e/{number}"), Reach::Path);
    }
    world.pass(SECOND * 40).await;
    let items = world.taken().await;
    let held = wishes(&items).iter().filter(|wish| wish.hold.is_some()).count();
    assert_eq!((wishes(&items).len(), held), (610, 602), "two were missing when it was judged");
}
