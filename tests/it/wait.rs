//! Waiting for what was written, deploys that are held open, and their reports, by the real binary.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Output;

use serde_json::Value;

use crate::world::World;

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a command that must end so, and returns what it said.
fn run(world: &World, arguments: &[&str], code: i32) -> String {
    let patience = ["--timeout", "90s"];
    let is_patient = arguments.contains(&"wait") && !arguments.contains(&"--timeout");
    let all = [arguments, if is_patient { &patience } else { &[] }].concat();
    let output = world.command(&all);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
    text(&output)
}

fn json(world: &World, arguments: &[&str], code: i32) -> Value {
    let said = run(world, arguments, code);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn sorted(mut targets: Vec<String>) -> Vec<String> {
    targets.sort();
    let site = "https://www.example.com/";
    targets.iter().map(|target| target.trim_start_matches(site).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_misses_nothing_that_was_written_just_before_it() {
    let world = World::new().await;
    assert!(run(&world, &["wait"], 69).contains("no daemon answers"));
    world.write("gone.html", "one");
    world.write("d/kept.html", "one");
    let _daemon = world.start();
    world.wait_ready();
    assert!(run(&world, &["wait"], 0).contains("nothing changed"));
    for round in 0..10 {
        let name = format!("d{round}/page.html");
        world.write(&name, "new");
        world.write("d/kept.html", &format!("round {round}"));
        let said = run(&world, &["wait", "--timeout", "2m"], 0);
        assert!(said.contains("is done"), "{said}");
        let done = sorted(world.targets());
        assert!(done.contains(&name), "round {round}: {done:?}");
        let kept = done.iter().filter(|target| *target == "d/kept.html").count();
        assert_eq!(kept, round + 1, "{done:?}");
    }
    std::fs::remove_file(world.root().join("gone.html")).expect("removed");
    run(&world, &["wait", "--deploy", "latest", "--origin", "www"], 0);
    assert!(sorted(world.targets()).contains(&"gone.html".to_owned()), "{:?}", world.targets());
    assert!(run(&world, &["wait", "--origin", "ww"], 1).contains("configured: www"));
    assert!(run(&world, &["wait", "--deploy", "d0"], 1).contains("there is no deploy `d0`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_sees_a_root_that_was_swapped_and_a_tree_that_is_polled() {
    for watch in ["auto", "poll"] {
        let world = World::new().await;
        world.configure("", &format!("watch = \"{watch}\"\npoll_every = \"1h\""));
        std::fs::remove_dir(world.root()).expect("removed");
        for release in 0..4 {
            let release = world.path(&format!("release{release}"));
            std::fs::create_dir(&release).expect("made");
            std::fs::write(release.join("page.html"), format!("{}", release.display()))
                .expect("written");
            std::fs::write(release.join("same.html"), "same").expect("written");
        }
        let swap = |release: usize| {
            symlink(world.path(&format!("release{release}")), world.path("next")).expect("made");
            std::fs::rename(world.path("next"), world.root()).expect("renamed");
        };
        swap(0);
        let _daemon = world.start();
        world.wait_ready();
        for release in 1..4 {
            swap(release);
            run(&world, &["wait"], 0);
            assert_eq!(sorted(world.targets()), vec!["page.html"; release], "{watch}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_names_what_cannot_be_done_in_time() {
    let world = World::new().await;
    world.configure(
        "[account.main.quota]\nurl = 1\ndirectory = 0\nregex = 0\nignore_params = 0",
        "",
    );
    let _daemon = world.start();
    world.wait_ready();
    world.write("a.html", "one");
    world.write("b.html", "one");
    let said = run(&world, &["wait", "--timeout", "2m"], 1);
    assert!(said.contains("is not done: 1 done, 1 pending"), "{said}");
    assert!(said.contains("refresh https://www.example.com/"), "{said}");
    assert!(said.contains(": quota: "), "{said}");
    let answer = json(&world, &["wait", "--json"], 1);
    let report = &answer["origins"]["www"]["report"];
    assert_eq!((&answer["done"], &report["open"]), (&false.into(), &1.into()), "{answer}");
    assert_eq!(report["unfinished"][0]["stands"], "quota");
    let reason = &report["reasons"][0];
    assert_eq!((&reason["stands"], &reason["intents"]), (&"quota".into(), &1.into()));
    assert!(run(&world, &["deploy", "show"], 0).contains("asked: 1 url refresh\n"));
    assert!(run(&world, &["deploy", "list"], 0).contains("Z www: deploy d"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_is_held_open_is_one_plan_and_outlives_the_daemon() {
    let world = World::new().await;
    world.write("before.html", "one");
    let daemon = world.start();
    world.wait_ready();
    let begun = json(&world, &["deploy", "begin", "www", "--json"], 0);
    let id = begun["deploy"].as_str().expect("an id");
    assert!(run(&world, &["deploy", "begin", "www"], 1).contains("is held open until"));
    world.write("a.html", "one");
    world.wait_status("the first change", |status| status["intents"]["pending"] == 1);
    daemon.kill();
    world.write("b.html", "one");
    let _daemon = world.start();
    world.wait_ready();
    world.wait_status("the second change", |status| status["intents"]["pending"] == 2);
    let said = run(&world, &["wait", "--timeout", "1s"], 1);
    assert!(said.contains(&format!("deploy {id} is held open until")), "{said}");
    let said = run(&world, &["status"], 0);
    assert!(said.contains(&format!("deploy {id} is held open until")), "{said}");
    assert_eq!(world.targets(), Vec::<String>::new(), "it waits for its end");
    world.write("c.html", "one");
    assert!(run(&world, &["deploy", "end", "www"], 0).contains(id));
    run(&world, &["wait", "--deploy", id], 0);
    assert_eq!(sorted(world.targets()), ["a.html", "b.html", "c.html"]);
    assert_eq!(world.accepted().len(), 1, "one plan");
    assert!(run(&world, &["deploy", "end", "www"], 1).contains("no deploy of `www` is held open"));
    let shown = json(&world, &["deploy", "show", id, "--json"], 0);
    assert_eq!((&shown["done"], &shown["intents"]["done"]), (&true.into(), &3.into()), "{shown}");
    assert_eq!(shown["asks"], serde_json::json!([{"action": "refresh", "kind": "url", "asks": 3}]));
    let mut changes: Vec<&Value> = shown["changes"].as_array().expect("changes").iter().collect();
    changes.sort_by_key(|change| change[1].as_str().map(str::to_owned));
    assert_eq!(
        serde_json::json!(changes),
        serde_json::json!([["A", "a.html"], ["A", "b.html"], ["A", "c.html"]])
    );
    let said = run(&world, &["deploy", "show", id], 0);
    for part in [
        "is done: 3 done",
        "asked: 3 url refresh",
        "changed: 3 paths",
        "  A a.html",
        "last accepted",
    ] {
        assert!(said.contains(part), "`{part}` in {said}");
    }
    assert!(run(&world, &["deploy", "list"], 0).contains(id));
    assert!(run(&world, &["deploy", "show", "d0"], 1).contains("there is no deploy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_tells_what_changed_a_line_a_deploy() {
    let world = World::new().await;
    world.write("a.html", "one");
    world.write("b.html", "one");
    let _daemon = world.start();
    world.wait_ready();
    world.write("a.html", "two");
    run(&world, &["wait"], 0);
    world.write("sub/c.html", "one");
    std::fs::remove_file(world.root().join("b.html")).expect("removed");
    run(&world, &["wait"], 0);
    let said = run(&world, &["history"], 0);
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let changes: Vec<&Value> = lines.iter().map(|line| &line["changes"]).collect();
    assert_eq!(
        serde_json::json!(changes),
        serde_json::json!([[["M", "a.html"]], [["A", "sub/c.html"], ["D", "b.html"]]])
    );
    assert!(lines[0]["time"].as_i64() <= lines[1]["time"].as_i64(), "{said}");
    assert_eq!(run(&world, &["history", "--since", "2100-01-01T00:00:00Z"], 0), "");
    assert_eq!(run(&world, &["history", "--since", "1h", "--origin", "www"], 0), said);
    assert!(run(&world, &["history", "--since", "yesterday"], 64).contains("30d"));
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_accepted_before_pages_and_pages_before_feeds() {
    for after in ["accepted", "complete"] {
        let world = World::new().await;
        world.configure("", &format!("settle = \"300ms\"\nstage_after = \"{after}\""));
        let _daemon = world.start();
        world.wait_ready();
        for name in ["feed.xml", "index.html", "page", "site.css", "b/app.js", "b/sitemap.xml"] {
            world.write(name, "new");
        }
        run(&world, &["wait"], 0);
        let batches: Vec<Vec<String>> =
            world.accepted().into_iter().map(|entry| sorted(entry.targets)).collect();
        let expected = [
            vec!["b/app.js", "site.css"],
            vec!["", "index.html", "page"],
            vec!["b/sitemap.xml", "feed.xml"],
        ];
        assert_eq!(batches, expected, "{after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_history_tells_can_be_simulated() {
    let world = World::new().await;
    world.configure("", "settle = \"200ms\"\ndelete_settle = \"1s\"");
    world.write("gone.html", "one");
    let _daemon = world.start();
    world.wait_ready();
    for name in ["a \"quoted\".html", "100%.html", "ü/index.html", "app.3f9c1a7b.js", "tab\t.html"]
    {
        world.write(name, "one");
    }
    let bytes = OsStr::from_bytes(b"\xff\xfe.html");
    std::fs::write(world.root().join(bytes), "one").expect("written");
    run(&world, &["wait"], 0);
    std::fs::remove_file(world.root().join("gone.html")).expect("removed");
    std::fs::remove_file(world.root().join("app.3f9c1a7b.js")).expect("removed");
    run(&world, &["wait"], 0);
    world.write("app.3f9c1a7b.js", "two");
    run(&world, &["wait"], 0);
    let said = run(&world, &["history"], 0);
    let file = world.path("history.jsonl");
    std::fs::write(&file, &said).expect("written");
    let file = file.to_str().expect("text");
    let report = json(&world, &["simulate", "--history", file, "--json"], 0);
    assert_eq!(report["changes"], 9);
    assert_eq!(report["spent"]["url"].as_u64(), Some(world.targets().len() as u64));
}
