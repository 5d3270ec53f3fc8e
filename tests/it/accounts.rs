//! Several accounts in one daemon, whose the domains are, and what the CDN itself knows of tasks.

use refreshd::clock::SystemClock;
use refreshd::domain::quota::QuotaKind;
use refreshd::sandbox::{Ending, Fault, Options, Running, Sandbox};
use serde_json::Value;

use crate::world::{World, listener};

fn options(domains: &[&str]) -> Options {
    Options {
        time_scale: 3000,
        domains: domains.iter().map(|&name| name.to_owned()).collect(),
        ..Options::new(crate::sdk::origin())
    }
}

async fn second_sandbox() -> Running {
    let (api, edge) = (listener().await, listener().await);
    let clock = SystemClock::shared();
    Sandbox::start(options(&["other.example.com"]), api, edge, clock).expect("it starts")
}

/// Adds a second account, and an origin that `belongs` to it.
fn add_account(world: &World, second: &Running, belongs: &str) {
    std::fs::create_dir_all(world.path("other")).expect("a root");
    let folder = world.path("");
    let key = |name: &str, text: &str| std::fs::write(world.path(name), text).expect("a key file");
    key("other_id", &second.access_key_id);
    key("other_secret", &second.access_key_secret);
    let old = std::fs::read_to_string(world.config()).expect("it is read");
    let text = old.replace("[origin.www]\n", "[origin.www]\naccount = \"main\"\n");
    let more = format!(
        "[account.other]\nendpoint = \"http://{api}\"\naccess_key_id_file = \"{dir}other_id\"\n\
         access_key_secret_file = \"{dir}other_secret\"\npoll_first = \"100ms\"\n\
         poll_max = \"200ms\"\n[origin.other]\nroot = \"{dir}other\"\n{belongs}\
         domains = [\"https://other.example.com\"]\nsettle = \"50ms\"\ndelete_settle = \"200ms\"\n\
         deploy_deadline = \"500ms\"\n",
        api = second.api,
        dir = folder.display(),
    );
    std::fs::write(world.config(), text + &more).expect("it is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_origins_changes_reach_its_own_account_only() {
    let world = World::with(options(&["www.example.com"])).await;
    let second = second_sandbox().await;
    add_account(&world, &second, "");
    let check = world.command(&["check"]);
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert_eq!(check.status.code(), Some(78), "{said}");
    assert!(said.contains("`[origin.other]` lacks `account`"), "{said}");
    assert!(said.contains("add `account = \"main\"` below `[origin.other]`"), "{said}");

    world.configure("", "");
    add_account(&world, &second, "account = \"other\"\n");
    let daemon = world.start();
    world.wait_ready();
    for number in 0..20 {
        world.write(&format!("a/{number}"), "new");
        std::fs::write(world.path("other").join(format!("b{number}")), "new").expect("written");
    }
    let submitted = |world: &World| world.targets().len() + targets(&second).len();
    crate::world::wait_for("both", || (submitted(&world) >= 40).then_some(())).expect("it comes");
    world.wait_quiet();
    for (host, mut seen) in [("www", world.targets()), ("other", targets(&second))] {
        seen.sort();
        seen.dedup();
        let base = format!("https://{host}.example.com/");
        assert!(seen.len() == 20 && seen.iter().all(|url| url.starts_with(&base)), "{seen:?}");
    }
    let status = world.status().expect("an answer");
    for account in ["main", "other"] {
        assert_eq!(status["quota"][account]["url"]["used"], 20, "{status}");
        assert_eq!(status["accounts"][account]["domains"]["unserved"], Value::Array(vec![]));
        assert_eq!(status["accounts"][account]["domains"]["unchecked"], "");
    }
    assert_eq!(daemon.terminate(), Some(0));
    second.stop().await;
}

fn targets(sandbox: &Running) -> Vec<String> {
    sandbox.control().log().accepted.into_iter().flat_map(|entry| entry.targets).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_not_the_accounts_is_told_of_at_the_start() {
    let world = World::with(Options {
        offline: vec!["off.example.com".to_owned()],
        ..options(&["www.example.com", "off.example.com"])
    })
    .await;
    world.configure("", "");
    let text = std::fs::read_to_string(world.config()).expect("it is read");
    let domains = "\"https://off.example.com\", \"https://foreign.example.com\"]";
    let domains = format!("[\"https://www.example.com\", {domains}");
    let text = text.replace("[\"https://www.example.com\"]", &domains);
    std::fs::write(world.config(), text).expect("it is written");

    let doctor = world.command(&["doctor", "--json"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert_eq!(doctor.status.code(), Some(1), "{said}");
    assert!(said.contains("domain foreign.example.com of origin www"), "{said}");
    assert!(said.contains("it is offline on the CDN"), "{said}");

    let daemon = world.start();
    let status = world.wait_status("the check", |status| {
        let unserved = status["accounts"]["main"]["domains"]["unserved"].as_array();
        unserved.is_some_and(|unserved| !unserved.is_empty())
    });
    let unserved = status["accounts"]["main"]["domains"]["unserved"].as_array().expect("a list");
    let seen: Vec<_> = unserved.iter().map(|one| (&one["domain"], &one["what"])).collect();
    assert_eq!(
        seen,
        [
            (&"foreign.example.com".into(), &"it is not a domain of this account".into()),
            (&"off.example.com".into(), &"it is offline on the CDN".into()),
        ]
    );
    let text = world.command(&["status"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("account main: off.example.com of origin www: it is offline"), "{text}");
    assert!(world.log().contains("foreign.example.com"), "{}", world.log());
    assert_eq!(daemon.terminate(), Some(0));

    // A refusal of the question is one warning, and nothing else.
    let refused = Fault::error("DescribeUserDomains", 1, 403, "Forbidden.RAM");
    world.sandbox.control().fault(refused);
    world.configure("", "");
    let daemon = world.start();
    world.wait_ready();
    let status = world.wait_status("the refusal", |status| {
        let unchecked = status["accounts"]["main"]["domains"]["unchecked"].as_str();
        unchecked.is_some_and(|unchecked| !unchecked.is_empty())
    });
    let unchecked = status["accounts"]["main"]["domains"]["unchecked"].as_str().expect("text");
    assert!(unchecked.contains("Forbidden.RAM"), "{unchecked}");
    assert!(unchecked.contains("cdn:DescribeUserDomains"), "{unchecked}");
    world.write("a", "new");
    world.wait_status("the refresh", |status| status["intents"]["done"] == 1);
    let warned = world.log().matches("its domains could not be checked").count();
    assert_eq!((warned, daemon.terminate()), (1, Some(0)));
}

/// Asks for tasks; returns the exit code, and the answer.
fn tasks(world: &World, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = world.command(&[&["tasks", "--json"], arguments].concat());
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::String(problem));
    (output.status.code(), answer)
}

fn urls(answer: &Value) -> Vec<&str> {
    let rows = answer["tasks"].as_array().expect("rows");
    rows.iter().map(|row| row["target"].as_str().expect("text")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_shows_what_the_cdn_lists() {
    let world = World::with(Options { detail: true, ..options(&["www.example.com"]) }).await;
    let (code, answer) = tasks(&world, &[]);
    assert_eq!((code, urls(&answer).len()), (Some(0), 0), "{answer}");
    let early = world.command(&["tasks", "--since", "9d"]);
    assert_eq!(early.status.code(), Some(64), "{early:?}");
    assert!(String::from_utf8_lossy(&early.stderr).contains("--since 3d at most"), "{early:?}");
    let words = world.command(&["tasks", "--path", "http://www.example.com/"]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("the CDN lists no such task"), "{words}");
    assert!(words.contains("refreshd sends https://"), "{words}");

    let daemon = world.start();
    world.wait_ready();
    let site = "https://www.example.com/";
    // More than a page of the CDN's.
    let many: Vec<String> = (0..130).map(|number| format!("{site}u{number}")).collect();
    let wish = |arguments: &[&str]| assert!(world.command(arguments).status.success());
    let mut refresh = vec!["refresh"];
    refresh.extend(many.iter().map(String::as_str));
    wish(&refresh);
    let directory = "https://www.example.com/d/";
    let ending = Ending::Failed { description: "Internal Error".to_owned() };
    world.sandbox.control().fault(Fault::target(directory, ending));
    wish(&["refresh", "--directory", directory]);
    wish(&["prefetch", "https://www.example.com/prefetched.txt"]);
    world.wait_status("all", |status| status["intents"]["done"] == 132);

    let (code, answer) = tasks(&world, &["--since", "1h"]);
    assert_eq!((code, urls(&answer).len()), (Some(0), 133), "{answer}");
    let (_, answer) = tasks(&world, &["--domain", "www.example.com"]);
    assert_eq!(urls(&answer).len(), 133);
    let (_, answer) = tasks(&world, &["--kind", "url", "--status", "complete"]);
    let mut seen = urls(&answer);
    seen.sort_unstable();
    let mut wanted: Vec<&str> = many.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(seen, wanted);
    let (_, answer) = tasks(&world, &["--kind", "directory"]);
    assert_eq!(urls(&answer), [directory, directory], "it was asked for again");
    let (_, answer) = tasks(&world, &["--status", "failed"]);
    assert_eq!(urls(&answer), [directory]);
    assert_eq!(answer["tasks"][0]["why"], "Internal Error");
    let id = answer["tasks"][0]["task"].as_str().expect("an id").to_owned();
    assert_eq!(answer["tasks"][0]["kind"], "directory");
    let (_, answer) = tasks(&world, &["--id", &id]);
    assert_eq!(urls(&answer), [directory]);
    let (_, answer) = tasks(&world, &["--path", "https://www.example.com/u7"]);
    assert_eq!(urls(&answer), ["https://www.example.com/u7"]);
    let (code, answer) = tasks(&world, &["--kind", "prefetch", "--detail"]);
    assert_eq!((code, &answer["tasks"][0]["action"]), (Some(0), &"prefetch".into()), "{answer}");
    assert_eq!(answer["details"][0]["url"], "www.example.com/prefetched.txt", "{answer}");
    assert_eq!(answer["details"][0]["description"], "Successfully preloaded", "{answer}");

    let (code, answer) = tasks(&world, &["--id", "seven"]);
    assert_eq!(code, Some(1));
    assert!(
        answer.as_str().is_some_and(|said| said.contains("InvalidTaskId.Malformed")),
        "{answer}"
    );
    let (code, answer) = tasks(&world, &["--since", "soon"]);
    assert_eq!(code, Some(64), "{answer}");
    let (code, answer) = tasks(&world, &["--account", "other"]);
    assert_eq!(code, Some(64), "{answer}");
    let log = world.sandbox.control().log();
    assert_eq!(log.accepted.iter().filter(|entry| entry.kind == QuotaKind::Url).count(), 2);
    assert_eq!(daemon.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn details_that_are_refused_are_said_so_and_a_narrow_terminal_is_kept_to() {
    let world = World::with(options(&["www.example.com"])).await;
    let daemon = world.start();
    world.wait_ready();
    let target = format!("https://www.example.com/{}", "long/".repeat(20));
    assert!(world.command(&["refresh", &target]).status.success());
    assert!(
        world.command(&["prefetch", "https://www.example.com/prefetched.txt"]).status.success()
    );
    world.wait_status("both", |status| status["intents"]["done"] == 2);
    let output = world.command(&["tasks", "--detail"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("no details of prefetches: Forbidden: "), "{text}");
    assert!(text.contains("2 tasks, 0 running, 0 failed"), "{text}");
    assert!(text.lines().any(|line| line.contains("Z  url") && line.ends_with(&target)), "{text}");

    let config = world.config();
    let command = format!(
        "stty cols 60; exec {} tasks --config {}",
        env!("CARGO_BIN_EXE_refreshd"),
        config.display()
    );
    let output = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("script runs");
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(output.status.success(), "{text}");
    assert!(text.lines().any(|line| line == format!("  {target}")), "{text}");
    let front = text.lines().filter(|line| line.contains("Z  ")).map(str::len);
    assert!(front.clone().count() == 2 && front.max() <= Some(60), "{text}");
    assert_eq!(daemon.terminate(), Some(0));
}
