//! Gates that open once a command succeeds.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use refreshd::domain::change::ChangeKind::Modified;
use refreshd::domain::gate::{GateCommand, Opens};

use super::{MINUTE, SECOND, World, commit};

/// Writes a program.
fn script(world: &World, text: &str) -> Vec<String> {
    let path = world.folder.path().join("ready");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    vec![path.display().to_string(), "now".to_owned()]
}

async fn commanded(text: &str, timeout: Duration) -> World {
    let mut world = World::new(0, |_| Opens::Settled).await;
    let directory = world.folder.path().to_owned();
    let words = script(&world, text);
    world.settings.gate.opens = Opens::Command(GateCommand { words, timeout, directory });
    world.restart();
    world
}

#[tokio::test]
async fn a_command_is_asked_until_it_succeeds_and_what_it_says_is_shown() {
    let text = "echo $1 $REFRESHD_ORIGIN $REFRESHD_DEPLOY $REFRESHD_COMMIT; printf '\\033x' >&2\n\
                echo >> runs; test $(wc -l < runs) -ge 3";
    let mut world = commanded(text, MINUTE).await;
    world.deploy(&[(Modified, "a.html")], None).await;
    let newest = world.deploy(&[(Modified, "b.html")], Some(commit('b'))).await;
    assert_eq!(world.settle().await, Some(SECOND * 5));
    let facts = world.facts().expect("it waits");
    assert!(facts.why.ends_with("does not succeed: it ended with exit status: 1"), "{}", facts.why);
    let expected = format!("now www {} {}\\x0a\\x1bx", newest.id.as_str(), commit('b'));
    assert_eq!(facts.output, expected);
    world.pass(SECOND * 5);
    assert_eq!(world.settle().await, Some(SECOND * 10));
    assert_eq!(world.went().await, Vec::<String>::new());
    world.pass(SECOND * 9);
    assert_eq!(world.settle().await, Some(SECOND), "not before its time");
    world.pass(SECOND);
    assert_eq!(world.settle().await, None);
    assert_eq!(world.went().await, ["/a.html", "/b.html"]);
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let mut world = commanded("sleep 1000 & echo $! $$; wait", SECOND).await;
    world.deploy(&[(Modified, "a.html")], None).await;
    world.settle().await;
    let facts = world.facts().expect("it waits");
    assert!(facts.why.ends_with("it was not done within 1s and was killed"), "{}", facts.why);
    let pids: Vec<&str> = facts.output.split(' ').collect();
    assert_eq!(pids.len(), 2, "{pids:?}");
    let is_over = |pid: &&str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    let all_over = || pids.iter().all(is_over).then_some(());
    crate::world::wait_for("the end of both", all_over).expect("they end");
}

#[tokio::test]
async fn a_command_that_floods_is_read_to_its_end() {
    let mut world = commanded("yes nothing | head -c 1000000; echo the end; exit 3", MINUTE).await;
    world.deploy(&[(Modified, "a.html")], None).await;
    world.settle().await;
    let facts = world.facts().expect("it waits");
    assert!(facts.output.ends_with("nothing\\x0athe end"), "{}", facts.output.len());
    assert!(facts.why.ends_with("exit status: 3"), "{}", facts.why);
}

#[tokio::test]
async fn a_command_that_cannot_be_started_says_where() {
    let mut world = commanded("exit 0", MINUTE).await;
    let Opens::Command(command) = &mut world.settings.gate.opens else { panic!("a command") };
    command.directory = world.folder.path().join("nowhere");
    world.restart();
    world.deploy(&[(Modified, "a.html")], None).await;
    world.settle().await;
    let why = world.why();
    assert!(why.contains("/ready does not succeed: it could not be started in /"), "{why}");
    assert!(why.contains("/nowhere: No such file or directory"), "{why}");
    assert_eq!(world.went().await, Vec::<String>::new());
}
