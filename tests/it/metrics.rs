//! What the daemon tells of itself to who looks after it: metrics, health, the watchdog; and whether rules,
//! dashboard and documentation name what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use refreshd::clock::{Clock as _, ManualClock};
use refreshd::database::{Database, DatabaseError};
use refreshd::domain::alarm::AlarmKind;
use refreshd::domain::time::Timestamp;
use refreshd::journal::sqlite::SqliteJournal;
use refreshd::sandbox::Options;
use refreshd::store::Store;
use refreshd::telemetry::heart::Part;
use refreshd::telemetry::meters::Meter;
use refreshd::web::{Desk, health, metrics};
use serde_json::Value;

use crate::hooks::sender::{Request, configure, door};
use crate::world::{PATIENCE, World, wait_for};

const RULES: &str = include_str!("../../monitoring/alerts.yml");
const DASHBOARD: &str = include_str!("../../monitoring/dashboard.json");
const TROUBLES: &str = include_str!("../../docs/troubleshooting.md");
const TABLE: &str = include_str!("../../docs/metrics.md");

/// Asks on a control socket; returns the status and the body.
pub(crate) fn get(socket: &Path, path: &str, accept: &str) -> Option<(u16, String)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn ask(world: &World, path: &str) -> (u16, String) {
    get(&world.path("state/control.sock"), path, "*/*").expect("an answer")
}

/// Returns the names of metrics in a text that begin so.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("refreshd_") || word.starts_with("process_")).collect()
}

/// Returns the name under which a metric is described: parts of a histogram have none of their own.
fn described(name: &str) -> &str {
    let parts = ["_bucket", "_sum", "_count"];
    let whole = parts.iter().find_map(|part| name.strip_suffix(part));
    whole.filter(|whole| whole.ends_with("_seconds")).unwrap_or(name)
}

/// Runs promtool; nothing when it is not installed.
#[expect(clippy::print_stdout, reason = "tests/run reads in the output what could not run")]
fn promtool(test: &str, arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/monitoring"));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIP: {test}: promtool is not installed");
            return None;
        }
        Err(error) => panic!("promtool: {error}"),
    };
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_and_dashboard_name_is_told_in_valid_text_with_bounded_labels() {
    let world = World::new().await;
    configure(&world, "", "");
    let _daemon = world.start();
    let door = door(&world, 1);
    world.wait_ready();
    world.write("secret-page.html", "new");
    world.wait_status("a done refresh", |status| status["intents"]["done"] == 1);
    assert_eq!(Request::push("one", "refs/heads/main").send(door).status, 202);
    assert_eq!(Request::signed("wrong", "two", "push", b"{}".to_vec()).send(door).status, 401);
    let done = "refreshd_change_to_done_seconds_count 1";
    let text = wait_for("the refresh among the metrics", || {
        let (status, text) = ask(&world, "/metrics");
        assert_eq!(status, 200, "{text}");
        let has_hooks = text.contains("result=\"taken\"") && text.contains("result=\"mismatch\"");
        (text.lines().any(|line| line == done) && has_hooks).then_some(text)
    });
    let text = text.unwrap_or_else(|| panic!("{}", ask(&world, "/metrics").1));

    let told: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let known: BTreeSet<String> = Meter::ALL.iter().map(|meter| meter.queried()).collect();
    assert_eq!(told, known.iter().map(String::as_str).collect::<BTreeSet<_>>());
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let mut queries = String::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let _ = writeln!(queries, "{}", target["expr"].as_str().expect("a query"));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let _ = writeln!(queries, "{}", variable["definition"].as_str().expect("a query"));
    }
    for text in [RULES, queries.as_str()] {
        let named = named(text);
        assert!(named.len() > 15, "{named:?}");
        for name in named {
            assert!(told.contains(described(name)), "{name} is named and not told");
        }
    }

    let labels: BTreeMap<String, &[&str]> =
        Meter::ALL.iter().map(|meter| (meter.queried(), meter.labels())).collect();
    let mut samples = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(!line.contains("secret-page") && !line.contains("example.com"), "{line}");
        let name = line.split(['{', ' ']).next().expect("a name");
        let allowed = labels.get(described(name)).unwrap_or_else(|| panic!("{line}"));
        let within = line.split_once('{').map_or("", |(_, rest)| rest);
        for label in within.split(['{', ',']).filter_map(|part| part.split_once("=\"")) {
            assert!(label.0 == "le" || allowed.contains(&label.0), "{line}");
        }
        samples += 1;
    }
    assert!((100..1_500).contains(&samples), "{samples} samples of one origin and account");
    let name = "what_rules_and_dashboard_name_is_told_in_valid_text_with_bounded_labels";
    if let Some((good, said)) = promtool(name, &["check", "metrics"], &text) {
        assert!(good && said.trim().is_empty(), "{said}");
    }
    let socket = world.path("state/control.sock");
    let (_, open) = get(&socket, "/metrics", "application/openmetrics-text").expect("an answer");
    assert!(
        open.ends_with("# EOF\n") && open.contains("# TYPE refreshd_changes counter"),
        "{open}"
    );
}

#[test]
fn rules_are_valid_and_do_what_they_say() {
    let test = "rules_are_valid_and_do_what_they_say";
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        if let Some((good, said)) = promtool(test, &arguments, "") {
            assert!(good, "{said}");
        }
    }
    let misspelt = RULES.replace("predict_linear", "predict_liner");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("alerts.yml");
    std::fs::write(&path, misspelt).expect("written");
    let arguments = ["check", "rules", path.to_str().expect("plain")];
    if let Some((good, said)) = promtool(test, &arguments, "") {
        assert!(!good, "{said}");
    }
}

/// The places that the documentation of troubles has.
fn anchors() -> BTreeSet<&'static str> {
    TROUBLES.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn each_alarm_and_each_rule_leads_to_a_place_in_the_documentation() {
    let anchors = anchors();
    for kind in AlarmKind::ALL {
        assert!(anchors.contains(kind.anchor().as_str()), "{kind:?}");
    }
    let runbook = "runbook: docs/troubleshooting.md#";
    let rules = RULES.matches("- alert: ").count();
    let led: Vec<&str> =
        RULES.lines().filter_map(|line| line.trim().strip_prefix(runbook)).collect();
    assert_eq!(led.len(), rules);
    for place in led {
        assert!(anchors.contains(place), "{place}");
    }
    for kind in named_alarms() {
        assert!(AlarmKind::parse(kind).is_some(), "a rule names the alarm {kind}");
    }
}

/// The kinds of alarms that rules name.
fn named_alarms() -> Vec<&'static str> {
    let values = RULES.split("alarm=").skip(1);
    let values = values.filter_map(|rest| rest.split('"').nth(1));
    values.flat_map(|value| value.split('|')).collect()
}

#[test]
fn the_table_of_metrics_is_what_there_is() {
    let mut table = String::from(
        "# Metrics\n\nAll that `GET /metrics` tells, on the control socket and where the page listens. Counters \
         count since the\nstart, but for what the journal keeps. Labels name what is configured or documented, \
         never a URL or a path.\nRules and a dashboard that use them are in [monitoring/](../monitoring).\n\n\
         | metric | sort | labels | what it tells |\n|---|---|---|---|\n",
    );
    for meter in Meter::ALL {
        let labels: Vec<String> = meter.labels().iter().map(|label| format!("`{label}`")).collect();
        let (name, sort, help) = (meter.queried(), meter.sort().as_str(), meter.help());
        let _ = writeln!(table, "| `{name}` | {sort} | {} | {help} |", labels.join(", "));
    }
    table.push_str("\n## Alarms\n\nThe values of the label `alarm`.\n\n| alarm | severity | what it means |\n|---|---|---|\n");
    for kind in AlarmKind::ALL {
        let (word, severity, meaning) = (kind.as_str(), kind.severity().as_str(), kind.meaning());
        let anchor = kind.anchor();
        let _ =
            writeln!(table, "| [`{word}`](troubleshooting.md#{anchor}) | {severity} | {meaning} |");
    }
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        std::fs::write(path, &table).expect("written");
        return;
    }
    assert_eq!(TABLE, table, "INSTA_UPDATE=always writes it anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_status_tell_what_is_wrong_and_what_to_do() {
    let options = Options {
        domains: vec!["www.example.com".to_owned()],
        time_scale: 3000,
        ..Options::new("http://127.0.0.1:9")
    };
    let world = World::with(options).await;
    let _daemon = world.start();
    world.wait_ready();
    assert_eq!(ask(&world, "/livez"), (200, "ok\n".to_owned()));
    assert_eq!(ask(&world, "/readyz"), (200, "ok\n".to_owned()));
    let health = || -> Value { serde_json::from_str(&ask(&world, "/healthz").1).expect("JSON") };
    let well = wait_for("health", || Some(health()).filter(|health| health["status"] == "ok"));
    let well = well.unwrap_or_else(|| panic!("{}", health()));
    assert_eq!(well["degraded"], false, "{well}");
    assert_eq!(well["parts"]["loops"]["ok"], true, "{well}");
    assert_eq!(well["parts"]["writer"]["ok"], true, "{well}");
    std::fs::rename(world.root(), world.path("elsewhere")).expect("renamed");
    let ill = wait_for("an alarm", || {
        Some(health()).filter(|health| health["origins"]["www"] == "unavailable")
    });
    let ill = ill.unwrap_or_else(|| panic!("{}", health()));
    assert_eq!((&ill["status"], &ill["degraded"]), (&"failing".into(), &true.into()), "{ill}");
    assert_eq!(ill["alarms"][0]["key"], "origin.unavailable/www", "{ill}");
    assert_eq!(ask(&world, "/livez").0, 200, "a new start would not mend it");
    let status = world.status().expect("an answer");
    let alarm = &status["alarms"][0];
    assert_eq!(alarm["severity"], "error");
    let since = alarm["since"].as_i64().expect("since when");
    let output = world.command(&["status"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("[origin.unavailable/www, since "), "{said}");
    assert!(said.contains("to do: mount or mend its `root`"), "{said}");
    let again = world.status().expect("an answer");
    assert_eq!(again["alarms"][0]["since"].as_i64(), Some(since), "it stands since then");
    std::fs::rename(world.path("elsewhere"), world.root()).expect("renamed");
    wait_for("health", || Some(health()).filter(|health| health["status"] == "ok"))
        .unwrap_or_else(|| panic!("{}", health()));
}

/// What a service manager hears.
fn heard(socket: &UnixDatagram) -> Option<String> {
    let mut bytes = [0; 256];
    let length = socket.recv(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_hears_of_a_daemon_as_long_as_it_goes_on() {
    let world = World::new().await;
    let path = world.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let notify = format!("NOTIFY_SOCKET={}", path.display());
    let daemon = world.start_under(&["env", &notify, "WATCHDOG_USEC=100000"]);
    let ping = || {
        while let Some(said) = heard(&socket) {
            if said.contains("WATCHDOG=1") {
                return;
            }
        }
        panic!("no ping: {}", world.log());
    };
    ping();
    ping();
    let pid = rustix::process::Pid::from_raw(daemon.pid().cast_signed()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("SIGSTOP");
    let stat = format!("/proc/{}/stat", daemon.pid());
    wait_for("the stop", || {
        let stat = std::fs::read_to_string(&stat).ok()?;
        stat.rsplit_once(')')?.1.trim_start().starts_with('T').then_some(())
    })
    .expect("it stops");
    socket.set_nonblocking(true).expect("set");
    while heard(&socket).is_some() {}
    assert_eq!(heard(&socket), None, "nobody pings");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("SIGCONT");
    socket.set_nonblocking(false).expect("set");
    ping();
}

#[tokio::test]
async fn nobody_waits_for_a_writer_that_hangs() {
    let database = Database::in_memory().expect("opens");
    let clock = ManualClock::new(Timestamp::from_seconds(1_800_000_000), 1);
    let store = Store::open(database.clone(), 1).await.expect("opens");
    let journal = Arc::new(SqliteJournal::new(database.clone()));
    let desk = Desk::bare(store, journal, clock.clone());
    clock.advance(Duration::from_secs(1));
    desk.heart.beat(Part::Writer, clock.boot());
    clock.advance(Duration::from_secs(121));
    let (go_on, stuck) = std::sync::mpsc::channel::<()>();
    let hanging = database.call("test", move |_| {
        let _ = stuck.recv();
        Ok::<_, DatabaseError>(())
    });
    let asking = async {
        let told = tokio::join!(
            metrics::answer(State(desk.clone()), HeaderMap::new()),
            health::ready(State(desk.clone())),
            health::answer(State(desk.clone())),
        );
        go_on.send(()).expect("it waits");
        [told.0, told.1, told.2]
    };
    let (_, answers) = tokio::join!(hanging, asking);
    let mut told = Vec::new();
    for answer in answers {
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("whole");
        told.push((status, String::from_utf8_lossy(&body).into_owned()));
    }
    let says = |at: usize, status, part| told[at].0 == status && told[at].1.contains(part);
    assert!(says(0, 200, r#"refreshd_heartbeat_age_seconds{part="writer"} 121"#), "{told:?}");
    assert!(says(1, 503, "the database did not answer within 2 s"), "{told:?}");
    assert!(says(2, 503, r#""status":"failing""#), "{told:?}");
    assert!(says(2, 503, r#""writer":{"ok":false"#), "{told:?}");
}
