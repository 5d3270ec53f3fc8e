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
    // Something is missing all the time; only what was already missing then is held with it.
    for number in 0..90 {
        world.pass(SECOND * 10).await;
        fs::remove_file(world.root().join(format!("e/{number}"))).expect("removed");
        world.hint(&format!("e/{number}"), Reach::Path);
    }
    world.pass(SECOND * 40).await;
    let items = world.taken().await;
    let number = |wish: &&Wish| {
        let text = wish.target.text.strip_prefix("https://www.example.com/e/");
        text.and_then(|text| text.parse::<u32>().ok())
    };
    let (held, free): (Vec<&Wish>, Vec<&Wish>) =
        wishes(&items).into_iter().partition(|wish| wish.hold.is_some());
    assert_eq!(held.iter().filter(|wish| number(wish).is_none()).count(), 600);
    let free: Vec<u32> = free.iter().filter_map(number).collect();
    assert!(free.first().is_some_and(|first| *first <= 5), "{free:?}");
    assert_eq!(free.last(), Some(&89));
    assert_eq!(held.len() + free.len(), 690);
}

#[tokio::test]
async fn a_root_that_was_replaced_is_watched_where_its_links_lead() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let script = Scripted::default();
    let files = [("a", "a"), ("private/x", "b")];
    let mut world = World::at(&files, now, Arc::new(script.clone())).await;
    std::os::unix::fs::symlink("private", world.root().join("shown")).expect("linked");
    world.pass(SECOND).await;
    let shown = [(RelPath::new("shown").expect("valid"), world.root().join("private"))];
    while script.change(|script| script.followed.is_empty()) {
        world.intake.knocked().await;
    }
    assert_eq!(script.change(|script| std::mem::take(&mut script.followed)), shown);
    fs::rename(world.root(), world.parent.path().join("old")).expect("moved");
    for (name, bytes) in files {
        world.write(name, bytes);
    }
    std::os::unix::fs::symlink("private", world.root().join("shown")).expect("linked");
    world.hint("", Reach::Subtree);
    world.pass(SECOND * 5).await;
    let following = async {
        while script.change(|script| script.followed.is_empty()) {
            world.intake.knocked().await;
        }
    };
    tokio::time::timeout(SECOND * 20, following).await.expect("the new watch is told");
    assert_eq!(script.change(|script| script.followed.clone()), shown);
}

#[tokio::test]
async fn a_removal_that_waits_is_not_put_off_by_polls() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let script = Scripted::default();
    script.change(|script| script.polled = vec!["far"]);
    let backend = Arc::new(script);
    let files = [("far/a", "a"), ("far/b", "b")];
    let mut world = World::at(&files, now, Arc::clone(&backend) as Arc<dyn Backend>).await;
    let clock = Arc::clone(&world.clock) as SharedClock;
    let settings = Settings { poll_every: SECOND / 2, ..settings(20_000_000, world.root(), WAITS) };
    world.intake = with(settings, clock, &world.store, backend);
    world.pass(SECOND).await;
    fs::remove_file(world.root().join("far/a")).expect("removed");
    world.pass(SECOND * 34).await;
    assert_eq!(world.refreshed().await, ["/far/a!"]);
}

#[tokio::test]
async fn a_change_is_not_put_off_by_polls() {
    let now = SystemClock::default().now().plus(SECOND * 60);
    let script = Scripted::default();
    script.change(|script| script.polled = vec!["far"]);
    let backend = Arc::new(script);
    let mut world =
        World::at(&[("far/a", "a")], now, Arc::clone(&backend) as Arc<dyn Backend>).await;
    let clock = Arc::clone(&world.clock) as SharedClock;
    let settings = Settings { poll_every: SECOND / 2, ..settings(20_000_000, world.root(), WAITS) };
    world.intake = with(settings, clock, &world.store, backend);
    world.pass(SECOND).await;
    world.write("far/a", "unheard");
    world.pass(SECOND * 10).await;
    assert_eq!(world.refreshed().await, ["/far/a"]);
}
