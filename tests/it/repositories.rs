//! Commands of origins that are repositories: what an operator asks, and what the doctor finds.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::pushes::repository::Work;
use crate::world::World;

/// A world whose origin is a repository with two pages below `public`.
async fn world(more: &str) -> (World, Work) {
    let world = World::new().await;
    let work = Work::new(world.path("docs"));
    work.write("public/docs/a.html", "a");
    work.write("public/docs/b.html", "b");
    work.commit("README", "not served");
    configure(&world, &format!("prefix = \"public\"\n{more}"));
    (world, work)
}

fn configure(world: &World, more: &str) {
    let repository = world.path("docs").display().to_string();
    world.configure("", more);
    let config = std::fs::read_to_string(world.config()).expect("it is read");
    let root = format!("root = \"{}\"", world.root().display());
    assert!(config.contains(&root), "{config}");
    let config = config.replace(&root, &format!("repository = \"{repository}\""));
    std::fs::write(world.config(), config).expect("it is written");
}

/// Runs a command that answers with JSON; returns its exit code, too.
fn ask(world: &World, words: &[&str]) -> (Option<i32>, Value) {
    let output = world.command(&[words, &["--json"]].concat());
    let answer = serde_json::from_slice(&output.stdout);
    (output.status.code(), answer.unwrap_or_else(|error| panic!("{words:?}: {error}: {output:?}")))
}

/// Returns what the doctor says about something: the level and the words of each finding.
fn doctor(world: &World, about: &str) -> Vec<(String, String)> {
    let (_, answer) = ask(world, &["doctor"]);
    let findings = answer["findings"].as_array().expect("findings").iter();
    let found = findings.filter(|finding| finding["about"] == about);
    found
        .map(|finding| {
            (finding["level"].as_str().expect("a level").to_owned(), finding.to_string())
        })
        .collect()
}

/// Expects one finding of this level with these words.
fn expect(world: &World, about: &str, level: &str, words: &str) {
    let found = doctor(world, about);
    let is_it = |(found, said): &(String, String)| found == level && said.contains(words);
    assert!(found.iter().any(is_it), "{level} {words}: {found:?}");
}

fn install_hook(work: &Work, mode: u32) {
    let hook = work.0.join(".git/hooks/post-receive");
    std::fs::create_dir_all(hook.parent().expect("hooks")).expect("made");
    std::fs::write(&hook, "#!/bin/sh\nexec refreshd hook post-receive\n").expect("a hook");
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(mode)).expect("its mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_can_be_read_and_tells_of_pushes_is_well() {
    let (world, work) = world("").await;
    let about = "repository of www";
    expect(&world, "git", "ok", "git version");
    expect(&world, about, "ok", "2 files below public in refs/heads/main");
    expect(&world, about, "advice", "nobody tells the daemon of a push");
    install_hook(&work, 0o644);
    expect(&world, about, "advice", "may not be executed");
    install_hook(&work, 0o755);
    let found = doctor(&world, about);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "ok", "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_repair_of_a_missing_hook_installs_it() {
    let (world, _work) = world("").await;
    let (_, answer) = ask(&world, &["doctor"]);
    let findings = answer["findings"].as_array().expect("findings");
    let mut mends = findings.iter().filter_map(|finding| finding["mend"].as_str());
    let mend = mends.find(|mend| mend.contains("post-receive")).expect("a repair");
    let lines: Vec<&str> = mend.lines().take(2).collect();
    std::fs::create_dir_all(world.path("docs/.git/hooks")).expect("hooks");
    let status = std::process::Command::new("sh").args(["-ec", &lines.join("\n")]).status();
    assert!(status.expect("it runs").success(), "{mend}");
    let found = doctor(&world, "repository of www");
    assert_eq!(found.len(), 1, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_repository_is_named() {
    let (world, work) = world("").await;
    let about = "repository of www";
    configure(&world, "branch = \"live\"\n");
    expect(&world, about, "broken", "has no refs/heads/live");
    configure(&world, "prefix = \"site\"\n");
    expect(&world, about, "broken", "has no files below site");
    std::fs::remove_dir_all(work.0.join(".git")).expect("removed");
    expect(&world, about, "broken", "not a git repository");
    std::fs::remove_dir_all(&work.0).expect("removed");
    expect(&world, about, "broken", "can't be looked at");
    std::fs::write(&work.0, "a file").expect("written");
    expect(&world, about, "broken", "is not a directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_fetched_may_come_later() {
    let (world, work) = world("").await;
    let about = "repository of www";
    let from = format!("fetch_from = \"file://{}\"\n", world.path("elsewhere").display());
    configure(&world, &format!("branch = \"live\"\n{from}"));
    expect(&world, about, "advice", "has no refs/heads/live yet");
    std::fs::remove_dir_all(&work.0).expect("removed");
    expect(&world, about, "advice", "the first fetch makes it");
    assert_eq!(ask(&world, &["doctor"]).0, Some(0), "what may be passing is not broken");
    if rustix::process::geteuid().is_root() {
        std::fs::create_dir(&work.0).expect("made");
        std::os::unix::fs::chown(&work.0, Some(0), None).expect("root's");
        expect(&world, about, "broken", "not a git repository");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_is_asked_once_whether_it_answers() {
    let (world, _work) = world("").await;
    let about = "gate of www";
    let gate =
        |lines: &str| configure(&world, &format!("prefix = \"public\"\ngate = {{ {lines} }}"));
    gate("opens = \"command\", command = [\"/bin/true\"]");
    expect(&world, about, "ok", "/bin/true may be run");
    gate("opens = \"command\", command = [\"/nowhere/is-deployed\"]");
    expect(&world, about, "broken", "/nowhere/is-deployed can't be looked at");
    let script = world.path("docs/README");
    gate(&format!("opens = \"command\", command = [\"{}\"]", script.display()));
    expect(&world, about, "broken", "is closed to");
    let closed = crate::world::listener().await.local_addr().expect("an address");
    gate(&format!("opens = \"content\", servers = [\"http://{closed}\"]"));
    expect(&world, about, "advice", "does not answer /");
    assert_eq!(ask(&world, &["doctor"]).0, Some(0), "what may be passing is not broken");
    // The sandbox is a web server, too, that has no such file.
    let api = world.sandbox.api;
    gate(&format!("opens = \"content\", servers = [\"http://{api}\"]"));
    expect(&world, about, "ok", "answers /");
    gate(&format!("opens = \"version\", version = \"/version.txt\", servers = [\"http://{api}\"]"));
    expect(&world, about, "advice", "answers /version.txt with status");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_looks_through_the_files_of_the_branch() {
    let (world, work) = world("").await;
    work.write("public/docs/new.html", "not committed");
    let url = "https://www.example.com/docs/a.html";
    let (code, answer) = ask(&world, &["explain", url]);
    assert_eq!((code, &answer["found"]), (Some(0), &Value::from(1)), "{answer}");
    assert_eq!(answer["files"][0]["path"], "docs/a.html", "{answer}");
    assert_eq!(answer["files"][0]["exists"], true, "{answer}");
    let (code, answer) = ask(&world, &["explain", "https://www.example.com/docs/new.html"]);
    assert_eq!((code, &answer["found"]), (Some(0), &Value::from(0)), "{answer}");
    let whole = work.0.join("public/docs/a.html").display().to_string();
    for path in ["docs/a.html", &whole] {
        let (code, answer) = ask(&world, &["explain", path]);
        assert_eq!(code, Some(0), "{answer}");
        assert_eq!(answer["files"][0]["path"], "docs/a.html", "{answer}");
        assert_eq!(answer["files"][0]["exists"], true, "{answer}");
    }
    let (_, answer) = ask(&world, &["explain", "docs/gone.html"]);
    assert_eq!(answer["files"][0]["exists"], false, "{answer}");
    let (code, answer) = ask(&world, &["explain", "docs"]);
    assert_eq!(code, Some(1), "{answer}");
    assert!(answer["notes"][0].as_str().expect("a note").contains("is a directory"), "{answer}");
    let outside = world.command(&["explain", "/elsewhere/a.html"]);
    let said = String::from_utf8_lossy(&outside.stderr).into_owned();
    assert!(said.contains("nor in a repository's served directory"), "{said}");
    configure(&world, "branch = \"live\"\n");
    let (_, answer) = ask(&world, &["explain", url]);
    assert!(answer["notes"].to_string().contains("has no refs/heads/live"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_takes_what_the_branch_has_not_for_removed() {
    let (world, _work) = world("").await;
    let (code, answer) = ask(&world, &["plan", "docs/a.html", "docs/gone.html", "docs"]);
    assert_eq!(code, Some(0), "{answer}");
    let text = answer.to_string();
    assert!(text.contains("https://www.example.com/docs/a.html"), "{text}");
    assert!(text.contains("docs/gone.html isn't there in origin www: taken as removed"), "{text}");
    assert!(text.contains("it is a directory; name the files in it"), "{text}");
    assert!(!text.contains("docs/a.html isn't there"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_has_an_index_and_a_baseline_and_no_deploy_to_hold_open() {
    let (world, _work) = world("").await;
    assert_eq!(world.command(&["check"]).status.code(), Some(0));
    let daemon = world.start();
    world.wait_ready();
    let (code, answer) = ask(&world, &["index"]);
    assert_eq!((code, &answer["origins"]["www"]["files"]), (Some(0), &Value::from(2)), "{answer}");
    let (code, answer) = ask(&world, &["baseline", "www", "--refresh"]);
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(answer["recorded"][0], "https://www.example.com/", "{answer}");
    let begun = world.command(&["deploy", "begin", "www"]);
    let said = String::from_utf8_lossy(&begun.stderr).into_owned();
    assert_eq!(begun.status.code(), Some(1), "{said}");
    assert!(said.contains("each push is a deploy, with nothing to hold open"), "{said}");
    expect(&world, "daemon", "ok", &daemon.pid().to_string());
}
