//! Bad input and bad surroundings: the error says what to do, and nothing is lost.

use std::process::{Command, Output, Stdio};

use crate::world::{World, wait_for};

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs the daemon until it ends by itself.
fn run(world: &World) -> Output {
    world.command(&["run"])
}

#[tokio::test]
async fn a_wrong_configuration_names_file_line_and_remedy_and_exits_78() {
    let world = World::new().await;
    let good = std::fs::read_to_string(world.config()).expect("it is read");
    std::fs::write(world.config(), good.replace("domains =", "domain =")).expect("it is written");
    for arguments in [["run"], ["check"]] {
        let output = world.command(&arguments);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(78), "{said}");
        for part in ["refreshd.toml:", "domain", "domains"] {
            assert!(said.contains(part), "`{part}` in {said}");
        }
    }
}

#[tokio::test]
async fn an_unreadable_key_file_is_named_and_exits_77() {
    let world = World::new().await;
    std::fs::remove_file(world.path("access_key_secret")).expect("it is removed");
    let output = run(&world);
    assert_eq!(output.status.code(), Some(77), "{}", text(&output));
    assert!(text(&output).contains("access_key_secret"), "{}", text(&output));
}

#[tokio::test]
async fn a_second_daemon_exits_75_and_names_the_first() {
    let world = World::new().await;
    let daemon = world.start();
    world.wait_ready();
    let output = run(&world);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
    assert!(text(&output).contains(&daemon.pid().to_string()), "{}", text(&output));
    assert!(world.status().is_some(), "the first still answers");
}

#[tokio::test]
async fn no_daemon_is_said_so_and_exits_69() {
    let world = World::new().await;
    let output = world.command(&["status"]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output));
    assert!(text(&output).contains("refreshd run"), "{}", text(&output));
}

#[tokio::test]
async fn a_wrong_command_line_exits_64() {
    let output = Command::new(env!("CARGO_BIN_EXE_refreshd"))
        .arg("--colour")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_root_makes_the_origin_unavailable_until_it_comes() {
    let world = World::new().await;
    world.write("a.html", "one");
    let daemon = world.start();
    world.wait_ready();
    assert_eq!(daemon.terminate(), Some(0));
    std::fs::rename(world.root(), world.path("away")).expect("it is moved away");
    let _daemon = world.start();
    let status = world
        .wait_status("unavailable", |status| status["origins"]["www"]["state"] == "unavailable");
    let note = status["origins"]["www"]["note"].as_str().unwrap_or_default().to_owned();
    assert!(note.contains(&world.root().display().to_string()), "{note}");
    std::fs::write(world.path("away/a.html"), "two").expect("it is written");
    std::fs::rename(world.path("away"), world.root()).expect("it is moved back");
    wait_for("the change", || (world.targets().len() == 1).then_some(())).expect("accepted");
    assert_eq!(world.targets(), ["https://www.example.com/a.html"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_is_visible_and_loses_nothing() {
    let world = World::new().await;
    world.write("a.html", "one");
    let good = std::fs::read_to_string(world.path("access_key_secret")).expect("it is read");
    std::fs::write(world.path("access_key_secret"), "wrong").expect("it is written");
    let daemon = world.start();
    world.wait_ready();
    world.write("a.html", "two");
    let status = world.wait_status("the refusal", |status| {
        status["accounts"]["main"]["note"].as_str().is_some_and(|note| note.contains("Signature"))
    });
    assert_eq!(status["intents"]["done"], 0);
    assert_eq!(daemon.terminate(), Some(0));
    std::fs::write(world.path("access_key_secret"), good).expect("it is written");
    let _daemon = world.start();
    wait_for("the change", || (world.targets().len() == 1).then_some(())).expect("accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_without_a_url_stays_visible_with_its_reason() {
    let world = World::new().await;
    let _daemon = world.start();
    world.wait_ready();
    let long = format!("{}/{}/{}/{}", "é".repeat(120), "é".repeat(120), "é".repeat(120), "x.html");
    world.write(&long, "one");
    let status = world.wait_status("the path", |status| {
        status["origins"]["www"]["unmapped"].as_array().is_some_and(|list| !list.is_empty())
    });
    let why = status["origins"]["www"]["unmapped"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("1,024") || why.contains("1024"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_says_what_would_be_asked_and_why() {
    let world = World::new().await;
    world.write("docs/index.html", "one");
    let root = world.root();
    let page = root.join("docs/index.html");
    let page = page.to_str().expect("plain");
    let output = world.command(&["plan", "--json", page, "no/such.html", "/elsewhere", ".git/x"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let targets = plan["batches"][0]["targets"].as_array().expect("targets");
    assert_eq!(targets.len(), 3, "{plan}");
    assert_eq!(plan["batches"][0]["kind"], "url");
    assert_eq!(plan["cost"]["url"], 3);
    assert_eq!(plan["unmapped"].as_array().map(Vec::len), Some(2), "{plan}");
    assert!(world.targets().is_empty(), "nothing was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_ends_well_and_repeats_nothing() {
    let world = World::new().await;
    for number in 0..200 {
        world.write(&format!("page{number}.html"), "one");
    }
    let daemon = world.start();
    world.wait_ready();
    for number in 0..200 {
        world.write(&format!("page{number}.html"), "two");
    }
    wait_for("a first batch", || (!world.targets().is_empty()).then_some(()));
    assert_eq!(daemon.terminate(), Some(0));
    let _daemon = world.start();
    wait_for("all", || (world.targets().len() >= 200).then_some(())).expect("accepted");
    let status = world.wait_quiet();
    let mut targets = world.targets();
    assert_eq!(targets.len(), 200, "each once");
    assert_eq!(status["quota"]["main"]["url"]["used"], 200, "{status}");
    assert_eq!(status["intents"]["done"], 200, "{status}");
    targets.sort();
    targets.dedup();
    assert_eq!(targets.len(), 200, "all of them");
}

/// Asserts that an object has exactly these keys.
fn has_keys(value: &serde_json::Value, keys: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    let found: Vec<&str> = object.keys().map(String::as_str).collect();
    assert_eq!(found, keys, "{value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_has_the_promised_keys() {
    let world = World::new().await;
    world.write("docs/a.html", "one");
    let _daemon = world.start();
    let status = world.wait_ready();
    assert_eq!(world.command(&["status"]).status.code(), Some(0));
    let number = |value: &serde_json::Value| assert!(value.is_u64(), "{value} in {status}");
    assert!(status["version"].is_string(), "{status}");
    let origin = &status["origins"]["www"];
    assert_eq!(origin["state"], "watching");
    assert!(origin["watch"].is_string(), "{origin}");
    has_keys(
        origin,
        &[
            "advice",
            "baseline_at",
            "comparing",
            "deploy",
            "directories",
            "dirty",
            "failing",
            "files",
            "held_open_until",
            "note",
            "overflows",
            "polled",
            "reconciles",
            "state",
            "undigested",
            "undigested_bytes",
            "unmapped",
            "watch",
            "watches",
        ],
    );
    for key in ["dirty", "overflows", "reconciles", "undigested", "undigested_bytes", "watches"] {
        number(&origin[key]);
    }
    for key in ["advice", "note"] {
        assert_eq!(origin[key], "", "{origin}");
    }
    assert_eq!((&origin["polled"], &origin["unmapped"]), (&[""; 0].into(), &[""; 0].into()));
    assert_eq!((&status["held"], &status["attention"]), (&[""; 0].into(), &[""; 0].into()));
    number(&status["intents"]["rejected"]);
    assert_eq!((&origin["files"], &origin["directories"]), (&1.into(), &1.into()));
    for state in ["pending", "submitting", "submitted", "done", "failed"] {
        number(&status["intents"][state]);
    }
    assert!(status["intents"]["waiting"].is_object(), "{status}");
    let quota = status["quota"]["main"].as_object().expect("by kind");
    for kind in ["url", "directory", "regex", "ignore_params", "tag", "prefetch"] {
        has_keys(&quota[kind], &["left", "limit", "used"]);
        quota[kind].as_object().expect("numbers").values().for_each(number);
    }
    number(&status["oldest_open_seconds"]);
    let treasury = &status["treasury"]["main"];
    has_keys(treasury, &["kinds", "origins"]);
    let url = &treasury["kinds"]["url"];
    has_keys(url, &["alarm", "expected", "foreign", "reserve", "runs_out"]);
    assert_eq!((&url["reserve"], &url["alarm"]), (&500.into(), &serde_json::Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_polled_is_said_with_its_reason() {
    let world = World::new().await;
    world.configure("", "watch = \"poll\"");
    world.write("docs/a.html", "one");
    let _daemon = world.start();
    let origin = &world.wait_ready()["origins"]["www"];
    assert_eq!((&origin["state"], &origin["watch"]), (&"polling".into(), &"poll".into()));
    has_keys(&origin["polled"][0], &["path", "why"]);
    assert_eq!(origin["polled"], serde_json::json!([{ "path": ".", "why": "watch = \"poll\"" }]));
    let said = text(&world.command(&["status"]));
    assert!(said.contains("  polled: .: watch = \"poll\"\n"), "{said}");
    assert!(
        world.log().contains("watch.means=\"poll\" watch.watches=0 watch.polled=1"),
        "{}",
        world.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_has_the_promised_keys_and_says_what_does_not_fit() {
    let world = World::new().await;
    world.configure("[account.main.quota]\nurl = 1\nignore_params = 0", "prefetch = [\"b.html\"]");
    world.write("b.html", "one");
    world.write("docs/a.html", "one");
    let output = world.command(&["plan", "--json", "a.html", "b.html", "docs/", "."]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    has_keys(&plan, &["batches", "cost", "held", "notes", "quota", "unmapped", "waiting"]);
    let batch = ["account", "action", "force", "kind", "targets", "why", "wide"];
    has_keys(&plan["batches"][0], &batch);
    let waiting = ["account", "action", "kind", "until", "url", "waits", "why"];
    has_keys(&plan["waiting"][0], &waiting);
    assert_eq!(plan["waiting"][0]["waits"], serde_json::json!(["quota"]));
    assert_eq!(plan["waiting"][1]["waits"], serde_json::json!(["refresh"]));
    assert_eq!(plan["cost"], serde_json::json!({ "url": 1 }));
    let spent = serde_json::json!({ "limit": 1, "used": 0, "cost": 1, "left": 0, "reserve": 0 });
    assert_eq!(plan["quota"]["main"]["url"], spent);
    for unmapped in plan["unmapped"].as_array().expect("a list") {
        has_keys(unmapped, &["path", "why"]);
        let why = unmapped["why"].as_str().unwrap_or_default();
        assert!(why.contains("directory"), "{plan}");
    }
    assert_eq!(plan["unmapped"].as_array().map(Vec::len), Some(2), "{plan}");
}

#[test]
fn the_sandbox_first_tells_where_it_listens_and_a_key() {
    use std::io::BufRead;
    let mut sandbox = Command::new(env!("CARGO_BIN_EXE_refreshd"))
        .args(["sandbox", "--origin", "http://127.0.0.1:9"])
        .args(["--api", "127.0.0.1:0", "--edge", "127.0.0.1:0"])
        .args(["--time-scale", "300", "--quota"])
        .arg("url=5,directory=4,regex=3,ignore_params=2,tag=2,prefetch=1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(sandbox.stdout.take().expect("its output"));
    lines.read_line(&mut line).expect("a line");
    let said: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let keys = ["access_key_id", "access_key_secret", "api", "edge"];
    has_keys(&said, &keys);
    for listens in ["api", "edge"] {
        let address = said[listens].as_str().and_then(|url| url.strip_prefix("http://"));
        std::net::TcpStream::connect(address.expect("a URL")).expect("it listens");
    }
    let pid = rustix::process::Pid::from_child(&sandbox);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    assert_eq!(sandbox.wait().expect("it ends").code(), Some(0));
}

#[test]
fn the_demo_ends_with_one_json_object() {
    let output = Command::new(env!("CARGO_BIN_EXE_refreshd"))
        .args(["demo", "--json"])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().expect("a last line");
    let demo: serde_json::Value = serde_json::from_str(last).expect("JSON");
    has_keys(&demo, &["ok", "steps"]);
    assert_eq!(demo["ok"], true);
    for step in demo["steps"].as_array().expect("steps") {
        has_keys(step, &["name", "ok", "seen"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_quota_parks_is_shown_and_goes_out_once_it_is_raised() {
    let world = World::new().await;
    world.configure("[account.main.quota]\nurl = 5\nregex = 0\nignore_params = 0", "");
    let daemon = world.start();
    world.wait_ready();
    for number in 0..12 {
        world.write(&format!("page{number}.html"), "one");
    }
    let status = world.wait_status("parking", |status| {
        status["intents"]["waiting"]["quota"] == 7 && status["intents"]["done"] == 5
    });
    let why = status["attention"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("today's URL refreshes (5)"), "{status}");
    assert!(world.log().contains("parked: today's URL refreshes (5)"), "{}", world.log());
    assert_eq!(status["treasury"]["main"]["kinds"]["url"]["alarm"], 90);
    assert_eq!(status["treasury"]["main"]["origins"]["www"]["url"]["used"], 5);
    assert_eq!(daemon.terminate(), Some(0));
    let daemon = world.start();
    world.wait_ready();
    assert_eq!(daemon.terminate(), Some(0));
    let alarms = world.log().matches("90 % of today's URL refreshes are spent").count();
    assert_eq!(alarms, 1, "once a day, a restart or not: {}", world.log());
    world.configure("[account.main.quota]\nurl = 100", "");
    let _daemon = world.start();
    world.wait_status("the rest", |status| status["intents"]["done"] == 12);
    assert_eq!(world.targets().len(), 12, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_well_though_nobody_answers_and_somebody_asks_half_a_question() {
    use std::io::Write as _;
    let world = World::new().await;
    world.write("a.html", "one");
    // Connections are made and never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_at = silent.local_addr().expect("an address").to_string();
    let config = std::fs::read_to_string(world.config()).expect("it is read");
    let config = config
        .replace(&world.sandbox.api.to_string(), &silent_at)
        .replace("[account.main]\n", "[account.main]\ntimeout = \"5s\"\n");
    std::fs::write(world.config(), config).expect("it is written");
    let daemon = world.start();
    world.wait_ready();
    let mut asking = std::os::unix::net::UnixStream::connect(world.path("state/control.sock"))
        .expect("the door is open");
    asking.write_all(b"GET /status HTTP/1.1\r\n").expect("half a question");
    world.write("a.html", "two");
    let (_call, _) = silent.accept().expect("a call");
    assert_eq!(daemon.terminate(), Some(0));
}
