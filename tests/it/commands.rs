//! What an operator decides and asks of a running daemon.

use std::process::Output;

use refreshd::database::Database;
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::deploy::DeployId;
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{Action, Cause, Outgoing, Priority, Wish};
use refreshd::domain::time::Timestamp;
use refreshd::store::Store;

use crate::world::World;

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Leaves wishes to be held in the outbox, as a daemon that was killed would; returns their deploy.
async fn leave_held(world: &World, number: u64, urls: &[&str]) -> DeployId {
    let deploy = DeployId::new(Timestamp::from_seconds(1_700_000_000), number);
    let wish = |url: &&str| {
        Outgoing::Wish(Wish {
            account: "main".into(),
            action: Action::Refresh,
            target: Target::new(Kind::Url, *url),
            force: true,
            priority: Priority::Urgent,
            not_before: Timestamp::EPOCH,
            stage: refreshd::domain::stage::Stage::default(),
            hold: Some("2 of 3 files went".to_owned()),
            cause: Cause {
                witness: Witness::Scan,
                at: Timestamp::EPOCH,
                origin: Some("www".into()),
                path: None,
                change: None,
                digest: None,
                deploy: Some(deploy.clone()),
            },
        })
    };
    let database = Database::open(&world.path("state/refreshd.db")).expect("opens");
    let store = Store::open(database, 1).await.expect("opens");
    store.record_operator(urls.iter().map(wish).collect()).await.expect("records");
    deploy
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_goes_out_once_it_is_approved_and_ends_when_rejected() {
    let world = World::new().await;
    let good = ["https://www.example.com/a.html", "https://www.example.com/b.html"];
    let approved = leave_held(&world, 1, &good).await;
    let rejected = leave_held(&world, 2, &["https://www.example.com/c.html"]).await;
    let _daemon = world.start();
    let status = world.wait_status("both sets", |status| {
        status["ready"] == true && status["held"].as_array().is_some_and(|held| held.len() == 2)
    });
    let held = &status["held"][0];
    assert_eq!(held["deploy"], approved.as_str());
    assert_eq!((&held["origin"], &held["intents"]), (&"www".into(), &2.into()));
    assert_eq!(held["why"], "2 of 3 files went");
    assert_eq!(held["sample"].as_array().map(Vec::len), Some(2));
    let said = text(&world.command(&["status"]));
    for line in
        ["held for a person: 2 intents of origin www", &format!("refreshd reject {rejected}:3 ")]
    {
        assert!(said.contains(line), "`{line}` in {said}");
    }
    assert!(world.targets().is_empty(), "held");

    let wrong = world.command(&["approve", "d0"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong));
    assert!(text(&wrong).contains(approved.as_str()), "{}", text(&wrong));

    let output = world.command(&["reject", rejected.as_str()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let wrong = world.command(&["approve", &format!("{approved}:x")]);
    assert_eq!(wrong.status.code(), Some(64), "{}", text(&wrong));
    let seen = format!("{approved}:2");
    let output = world.command(&["approve", &seen, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(text(&output).trim(), r#"{"decided":2}"#);
    let status = world.wait_status("the end", |status| status["intents"]["done"] == 2);
    assert_eq!(world.targets(), good);
    assert_eq!(status["intents"]["rejected"], 1);
    assert_eq!(status["held"], serde_json::json!([]));
    let again = world.command(&["approve", approved.as_str()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again).contains("nothing is held at all"), "{}", text(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn index_says_once_how_far_it_is_where_nobody_watches() {
    let world = World::new().await;
    world.write("docs/a.html", "one");
    let _daemon = world.start();
    world.wait_ready();
    let output = world.command(&["index"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let said = text(&output);
    assert!(said.starts_with("www: 1 file in "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let output = world.command(&["index", "www", "--json"]);
    let index: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(index["origins"]["www"]["files"], 1);
    assert_eq!(index["origins"]["www"]["bytes_per_second"], 20_000_000);
    let output = world.command(&["index", "ww"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("the daemon has: www"), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_refreshes_all_that_may_have_changed_where_asked() {
    let world = World::new().await;
    world.write("a.html", "one");
    let _daemon = world.start();
    let before = world.wait_ready()["origins"]["www"]["baseline_at"].as_i64();
    let output = world.command(&["baseline", "wwww"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("configured: www"), "{}", text(&output));
    let output = world.command(&["baseline", "www"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    world.wait_status("a new baseline", |status| {
        status["ready"] == true && status["origins"]["www"]["baseline_at"].as_i64() > before
    });
    assert!(world.targets().is_empty(), "what is taken as it is refreshes nothing");
    let output = world.command(&["baseline", "www", "--refresh", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(text(&output).trim(), r#"{"recorded":["https://www.example.com/"]}"#);
    world.wait_status("the refresh", |status| status["intents"]["done"] == 1);
    assert_eq!(world.targets(), ["https://www.example.com/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_at_once_waits_until_a_person_approves_or_rejects_it() {
    let world = World::new().await;
    world.configure("[account.main.cover]\nwiden = false", "delete_settle = \"4s\"");
    for number in 0..1_300 {
        world.write(&format!("d{}/{number}", number / 600), "one");
    }
    let _daemon = world.start();
    world.wait_ready();
    let vanish = |directory: &str, files: u64| {
        std::fs::remove_dir_all(world.root().join(directory)).expect("removed");
        let status = world.wait_status("what is held", |status| {
            status["held"][0]["intents"] == files && status["outbox"] == 0
        });
        assert_eq!(status["intents"]["waiting"]["hold"], files, "{status}");
        status["held"][0]["deploy"].as_str().expect("a deploy").to_owned()
    };
    let deploy = vanish("d0", 600);
    let said = text(&world.command(&["status"]));
    for line in [
        "held for a person: 600 intents of origin www since ",
        " of 1300 files vanished at once\n",
        "  such as https://www.example.com/d0/",
        &format!(":  refreshd approve {deploy}:"),
    ] {
        assert!(said.contains(line), "`{line}` in {said}");
    }
    assert!(world.log().contains("refreshes wait for a person"), "{}", world.log());
    world.write("d1/600", "what else changes goes out");
    world.wait_status("the change", |status| status["intents"]["done"] == 1);
    let output = world.command(&["approve", &deploy]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    world.wait_status("what was approved", |status| status["intents"]["done"] == 601);
    assert_eq!(world.targets().iter().filter(|target| target.contains("/d0/")).count(), 600);
    let deploy = vanish("d1", 600);
    let output = world.command(&["reject", &deploy]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let status = world.wait_quiet();
    assert_eq!(
        (&status["held"], &status["intents"]["rejected"]),
        (&serde_json::json!([]), &600.into())
    );
    assert_eq!(world.targets().len(), 601, "and no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_origin_collects_across_a_restart_and_goes_on_when_resumed() {
    let world = World::new().await;
    world.write("a.html", "one");
    let daemon = world.start();
    world.wait_ready();
    let output = world.command(&["pause", "ww"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("configured: www"), "{}", text(&output));
    let output = world.command(&["pause", "www"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).starts_with("paused: nothing of it is asked"), "{}", text(&output));
    world.write("a.html", "two");
    let waits = |status: &serde_json::Value| {
        status["ready"] == true && status["paused"][0]["waiting"] == 1 && status["outbox"] == 0
    };
    let since = world.wait_status("what waits", waits)["paused"][0]["since"].clone();
    daemon.kill();
    let _daemon = world.start();
    let status = world.wait_status("what waits still", waits);
    assert_eq!(status["paused"][0]["since"], since);
    assert_eq!(status["paused"][0]["origin"], "www");
    assert!(world.log().contains("origin www is paused"), "{}", world.log());
    let said = text(&world.command(&["status"]));
    for line in [" by root: 1 intent waiting\n", "  to go on:  refreshd resume www --config "] {
        assert!(said.contains(line), "`{line}` in {said}");
    }
    assert!(world.targets().is_empty(), "frozen");
    let output = world.command(&["pause", "--account", "main"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let output = world.command(&["refresh", "https://www.example.com/a.html"]);
    assert!(text(&output).contains("account main is paused since"), "{}", text(&output));
    let output = world.command(&["resume", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(text(&output).trim(), r#"{"changed":true,"paused":[]}"#);
    world.wait_status("the end", |status| status["intents"]["done"] == 1);
    assert_eq!(world.targets(), ["https://www.example.com/a.html"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_directory_is_refreshed_by_hand_only_with_yes() {
    let world = World::new().await;
    let _daemon = world.start();
    world.wait_ready();
    let root = ["refresh", "--directory", "https://www.example.com/"];
    let output = world.command(&root);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("add --yes"), "{}", text(&output));
    let output = world.command(&[root.as_slice(), &["--yes"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    world.wait_status("the end", |status| status["intents"]["done"] == 1);
    assert_eq!(world.targets(), ["https://www.example.com/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_changes_most_of_a_tree_waits_until_a_person_approves() {
    let world = World::new().await;
    let slow = "settle = \"1s\"\ndeploy_deadline = \"5s\"\n[origin.www.hold]\nleast_files = 30\nchanged_percent = 80";
    world.configure("", slow);
    for number in 0..40 {
        world.write(&format!("d/{number}"), "one");
    }
    let _daemon = world.start();
    world.wait_ready();
    for number in 0..36 {
        world.write(&format!("d/{number}"), "two");
    }
    let status = world.wait_status("what is held", |status| {
        status["held"][0]["intents"] == 36 && status["outbox"] == 0
    });
    let why = status["held"][0]["why"].as_str().expect("a reason");
    assert!(why.ends_with(" of 40 files changed at once"), "{why}");
    world.write("d/39", "an ordinary change");
    world.wait_status("the ordinary change", |status| status["intents"]["done"] == 1);
    assert_eq!(world.targets(), ["https://www.example.com/d/39"]);
    let deploy = status["held"][0]["deploy"].as_str().expect("a deploy");
    let output = world.command(&["approve", deploy]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    world.wait_status("what was approved", |status| status["intents"]["done"] == 37);
}
