//! `refreshd plan` with the real binary: what a person can see before anything happens.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::world::World;

const SITE: &str = "https://www.example.com";

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Plans paths that are read from standard input.
fn plan(world: &World, paths: impl Iterator<Item = String>, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refreshd"))
        .arg("plan")
        .args(more)
        .arg("--config")
        .arg(world.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let paths: String = paths.map(|path| path + "\n").collect();
    let mut input = command.stdin.take().expect("its input");
    input.write_all(paths.as_bytes()).expect("it reads");
    drop(input);
    let output = command.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    text(&output)
}

fn json(said: &str) -> Value {
    serde_json::from_str(said).expect("JSON")
}

fn write(world: &World, directory: &str, pages: u32) {
    for page in 0..pages {
        world.write(&format!("{directory}/{page}.html"), "one");
    }
}

fn pages(directory: &str, pages: u32) -> impl Iterator<Item = String> {
    (0..pages).map(move |page| format!("{directory}/{page}.html"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_ask_is_shown_with_what_it_stands_for_and_reaches_besides() {
    let world = World::new().await;
    // What waiting costs depends on the time of day: nothing is spared here.
    let little = "[account.main.quota]\nurl = 10\ndirectory = 2\nregex = 0\nignore_params = 0\n\
                  [account.main.cover]\nspare = \"0s\"";
    world.configure(little, "");
    write(&world, "docs", 30);
    write(&world, "news", 5);
    world.write(".git/config", "not counted");
    let plan_of = |more: &[&str]| plan(&world, pages("docs", 20).chain(pages("news", 2)), more);
    let answer = json(&plan_of(&["--json"]));
    let batches = answer["batches"].as_array().expect("batches");
    let wide = batches.iter().find(|batch| batch["kind"] == "directory").expect("a directory");
    assert_eq!(wide["targets"], serde_json::json!([format!("{SITE}/docs/")]));
    let wide = &wide["wide"][0];
    assert_eq!(wide["target"], format!("{SITE}/docs/"));
    assert_eq!(wide["stands_for"].as_array().map(Vec::len), Some(20), "{answer}");
    assert_eq!(wide["unchanged"], 10, "{answer}");
    assert_eq!(answer["cost"], serde_json::json!({ "directory": 1, "url": 2 }));
    assert_eq!((&answer["waiting"], &answer["held"]), (&Value::from([0; 0]), &Value::from([0; 0])));
    let said = plan_of(&[]);
    for line in [
        "  https://www.example.com/docs/  for 20 changed URLs; 10 unchanged objects revalidated besides\n",
        "cost to account main of what is left of a whole day:\n",
    ] {
        assert!(said.contains(line), "`{line}` in {said}");
    }
    assert!(world.targets().is_empty(), "nothing was asked");
    // Where nobody may be asked widely, the rest waits.
    let none = "[account.main.quota]\nurl = 10\nignore_params = 0\nreserve = 0\n\
                [account.main.cover]\nwiden = false";
    world.configure(none, "");
    let answer = json(&plan_of(&["--json"]));
    assert_eq!(answer["waiting"].as_array().map(Vec::len), Some(12), "{answer}");
    assert!(answer["waiting"][0]["until"].as_str().is_some_and(|at| at.ends_with('Z')), "{answer}");
    let said = plan_of(&[]);
    assert!(said.contains("waits, 12 refreshes: today's URL refreshes (10) "), "{said}");
    assert!(said.contains("… and 2 more; --json names every URL\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guard_would_hold_is_said_with_why() {
    let world = World::new().await;
    let guard = "[origin.www.hold]\nleast_files = 10\nchanged_percent = 80\nquota_percent = 100";
    world.configure(
        "[account.main.quota]\nurl = 100\ndirectory = 0\nregex = 0\nignore_params = 0",
        guard,
    );
    write(&world, "docs", 20);
    let held = |paths: u32| json(&plan(&world, pages("docs", paths), &["--json"]))["held"].clone();
    assert_eq!(held(15), Value::from([0; 0]), "15 of 20 are no accident");
    let why = "16 of 20 files changed";
    assert_eq!(held(16), serde_json::json!([{ "origin": "www", "why": why }]));
    let said = plan(&world, pages("docs", 16), &[]);
    let heading =
        "held for a person: changes of origin www: 16 of 20 files changed\n  once a person";
    assert!(said.starts_with(heading), "{said}");
    write(&world, "more", 200);
    let dear = json(&plan(&world, pages("more", 120), &["--json"]))["held"].clone();
    let why = "it would take 120 of the 100 url refreshes of a day";
    assert_eq!(dear, serde_json::json!([{ "origin": "www", "why": why }]));
    let gone = json(&plan(&world, pages("gone", 60), &["--json"]))["held"].clone();
    assert_eq!(gone[0]["why"], "60 of 280 files are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_from_a_whole_day_from_the_cdn_or_from_the_ledger() {
    let world = World::new().await;
    world.write("a.html", "one");
    let used = |source: &[&str]| {
        let output = world.command(&[&["plan", "a.html", "--json"], source].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        json(&text(&output))["quota"]["main"]["url"].clone()
    };
    let output = world.command(&["plan", "a.html", "--ledger"]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output));
    let _daemon = world.start();
    world.wait_ready();
    let output = world.command(&["refresh", "https://www.example.com/b.html"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    world.wait_status("the refresh", |status| status["intents"]["done"] == 1);
    let spent = |used: u64| {
        serde_json::json!({
            "limit": 10_000, "used": used, "cost": 1, "left": 9_999 - used, "reserve": 500,
        })
    };
    assert_eq!(used(&[]), spent(0));
    assert_eq!(used(&["--live"]), spent(1));
    assert_eq!(used(&["--ledger"]), spent(1));
    assert_eq!(world.targets(), ["https://www.example.com/b.html"], "nothing else was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_plan_is_summed_up_for_people_and_named_whole_in_json() {
    let world = World::new().await;
    let plan_of = |more: &[&str]| plan(&world, pages("docs", 3_000), more);
    let said = plan_of(&[]);
    assert!(said.lines().count() < 30, "{said}");
    let answer = json(&plan_of(&["--json"]));
    let named: usize = answer["batches"]
        .as_array()
        .expect("batches")
        .iter()
        .flat_map(|batch| batch["wide"].as_array().into_iter().flatten())
        .filter_map(|wide| wide["stands_for"].as_array().map(Vec::len))
        .sum();
    let urls = answer["cost"]["url"].as_u64().unwrap_or(0);
    let waiting = answer["waiting"].as_array().map_or(0, Vec::len);
    assert_eq!((named + waiting) as u64 + urls, 3_000, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_not_there_is_said_to_be_taken_as_removed() {
    let world = World::new().await;
    let root = world.path("docs");
    let domains = "domains = [\"https://docs.example.com\"]";
    let docs = format!("[origin.docs]\n root = \"{}\"\n{domains}", root.display());
    world.configure("", &docs);
    std::fs::create_dir(&root).expect("made");
    world.write("a.html", "one");
    let said = plan(&world, std::iter::once("a.html".to_owned()), &[]);
    assert!(said.contains("https://www.example.com/a.html"), "{said}");
    assert!(!said.contains("docs.example.com") && !said.contains("note:"), "{said}");
    let said = plan(&world, std::iter::once("site/a.html".to_owned()), &[]);
    assert!(said.contains("2 paths aren't there, such as site/a.html in origin docs"), "{said}");
}
