//! `/api/v1`, as page, commands and other programs see it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use refreshd::clock::SystemClock;
use refreshd::database::Database;
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::change::ChangeKind;
use refreshd::domain::deploy::{Deploy, DeployId};
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{Action, Cause, Outgoing, Priority, Wish};
use refreshd::domain::limits::Limits;
use refreshd::domain::names::{AccountName, NodeId};
use refreshd::domain::path::RelPath;
use refreshd::domain::quota::PerKind;
use refreshd::domain::quota::purse::Rules;
use refreshd::domain::stage::Stage;
use refreshd::domain::time::Timestamp;
use refreshd::journal::Journal;
use refreshd::journal::sqlite::SqliteJournal;
use refreshd::store::{Record, Store};
use refreshd::web::who::Who;
use refreshd::web::{self, AccountDesk, Desk, Desks};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::world::{World, listener};

/// An answer.
struct Answer {
    code: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}{}", self.head, self.body))
    }

    fn problem(&self) -> String {
        self.json()["problems"][0].as_str().unwrap_or_default().to_owned()
    }
}

fn write_request(stream: &mut impl Write, method: &str, path: &str, body: Option<&Value>) {
    let body = body.map(ToString::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sends");
}

fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    write_request(&mut stream, method, path, body);
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// Asks a daemon over its control socket.
fn get(world: &World, path: &str) -> Value {
    let answer = control(world, "GET", path, None);
    assert_eq!(answer.code, 200, "{path}: {}", answer.body);
    answer.json()
}

fn control(world: &World, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let stream = UnixStream::connect(world.path("state/control.sock")).expect("connects");
    exchange(stream, method, &format!("/api/v1/{path}"), body)
}

fn text(output: &Output) -> String {
    let (out, problems) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(problems))
}

fn first(value: &Value) -> &Value {
    &value["items"][0]
}

/// The API over a journal of its own, without an engine behind it; for whoever it is told.
struct Alone {
    address: std::net::SocketAddr,
    journal: Arc<dyn Journal>,
    database: Database,
    store: Store,
    desk: watch::Sender<Desk>,
    _servers: JoinSet<std::io::Result<()>>,
}

impl Alone {
    async fn new(who: Who) -> Self {
        let database = Database::in_memory().expect("opens");
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::new(database.clone()));
        let account = AccountDesk {
            quota: PerKind::from_fn(|_| 1_000),
            limits: Limits::default(),
            rules: Rules::default(),
            hosts: vec!["www.example.com".to_owned()],
        };
        let store = Store::open(database.clone(), 1).await.expect("opens");
        let desk = watch::Sender::new(Desk {
            accounts: [(AccountName::from("main"), account)].into(),
            ..Desk::bare(store.clone(), journal.clone(), SystemClock::shared())
        });
        let (listener, mut servers) = (listener().await, JoinSet::new());
        let address = listener.local_addr().expect("an address");
        let router = web::router(Desks(desk.subscribe())).layer(Extension(who));
        servers.spawn(async move { axum::serve(listener, router).await });
        Self { address, journal, database, store, desk, _servers: servers }
    }

    /// Asks for a path, of which `/api/v1/` may be left out.
    async fn ask(&self, method: &'static str, path: &str, body: Option<Value>) -> Answer {
        let prefix = if path.starts_with('/') { "" } else { "/api/v1/" };
        let (address, path) = (self.address, format!("{prefix}{path}"));
        let asked = tokio::task::spawn_blocking(move || {
            let stream = TcpStream::connect(address).expect("connects");
            exchange(stream, method, &path, body.as_ref())
        });
        asked.await.expect("an answer")
    }

    /// Has the journal take wishes for these URLs, in that many deploys.
    async fn fill(&self, number: u64) {
        let wish = |number: u64| {
            let deploy = DeployId::new(Timestamp::from_seconds(1_700_000_000), number % 3);
            let wish = Wish {
                account: "main".into(),
                action: Action::Refresh,
                target: Target::new(Kind::Url, format!("https://www.example.com/{number}")),
                force: true,
                priority: Priority::Normal,
                not_before: Timestamp::EPOCH,
                stage: Stage::default(),
                hold: None,
                cause: Cause {
                    witness: Witness::Watch,
                    at: Timestamp::from_seconds(1_700_000_000),
                    origin: Some("www".into()),
                    path: None,
                    change: None,
                    digest: None,
                    deploy: Some(deploy),
                },
            };
            (number, Outgoing::Wish(wish))
        };
        let items: Vec<_> = (1..=number).map(wish).collect();
        let now = Timestamp::from_seconds(1_700_000_001);
        self.journal.accept(&NodeId::from("n"), &items, now).await.expect("accepts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_tells_what_became_of_a_change() {
    let world = World::new().await;
    world.write("blog/a.html", "one");
    let daemon = world.start();
    world.wait_ready();
    world.write("blog/a.html", "two");
    world.wait_status("the refresh", |status| status["intents"]["done"] == 1);

    let listed = get(&world, "intents?outcome=done&origin=www&q=blog");
    let intent = first(&listed);
    assert_eq!(intent["target"], "https://www.example.com/blog/a.html");
    assert_eq!((&intent["state"], &intent["path"]), (&json!("ended"), &json!("blog/a.html")));
    assert!(intent["created_at"].as_str().is_some_and(|at| at.len() == 27 && at.ends_with('Z')));

    let story = get(&world, &format!("intents/{}", intent["id"]));
    assert_eq!(story["causes"][0]["witness"], "watch");
    let ask = &story["asks"][0];
    assert_eq!((&ask["batch_state"], &ask["status"]), (&json!("accepted"), &json!("complete")));
    let times =
        [&story["causes"][0]["at"], &ask["staged_at"], &ask["accepted_at"], &ask["ended_at"]];
    assert!(times.is_sorted_by_key(|time| time.as_str()), "{times:?}");

    let deploys = get(&world, "deploys?origin=www");
    let deploy = first(&deploys);
    assert_eq!(deploy["intents"], json!({ "done": 1 }));
    let id = deploy["id"].as_str().expect("a name");
    assert_eq!(intent["deploy"], id);
    let told = get(&world, &format!("deploys/{id}"));
    assert_eq!(told["changes"], json!([{ "change": "M", "path": "blog/a.html" }]));
    assert_eq!((&told["report"]["done"], &told["next"]), (&json!(true), &Value::Null));

    for q in ["blog/a.html", "https://www.example.com/blog/a.html", "www.example.com/blog/a.html"] {
        let why = get(&world, &format!("why?q={q}"));
        assert_eq!(why["targets"][0]["intents"][0]["intent"]["id"], intent["id"], "{q}: {why}");
        assert_eq!(why["reasons"], json!([]));
    }
    let found = get(&world, "search?q=www.example.com/bl");
    assert_eq!(found["targets"], json!(["https://www.example.com/blog/a.html"]));
    assert_eq!(get(&world, &format!("search?q={}", &id[..9]))["deploys"], json!([id]));

    let quota = get(&world, "quota");
    let url = &first(&quota)["kinds"][0];
    assert_eq!((&url["kind"], &url["used"]), (&json!("url"), &json!(1)));
    let hours = url["hours"].as_array().expect("hours");
    assert_eq!((hours.len(), hours.iter().filter_map(Value::as_u64).sum()), (24, 1));
    let lag = get(&world, "lag");
    assert_eq!(
        (&lag["points"][0]["refreshes"], &lag["oldest_open_seconds"]),
        (&json!(1), &Value::Null)
    );
    let origin = get(&world, "origins");
    assert_eq!((&first(&origin)["name"], &first(&origin)["files"]), (&json!("www"), &json!(1)));
    assert_eq!(get(&world, "status")["intents"]["done"], 1);

    let id = intent["id"].to_string();
    let said = text(&world.command(&["show", &id]));
    for part in ["blog/a.html modified, seen by watch", "accepted, task ", "task ended: complete"] {
        assert!(said.contains(part), "`{part}` in {said}");
    }
    let said = text(&world.command(&["why", "blog/a.html"]));
    assert!(said.starts_with("blog/a.html of origin www\n"), "{said}");
    assert!(
        said.contains(&format!("intent {id}, refresh https://www.example.com/blog/a.html: done")),
        "{said}"
    );
    let list = text(&world.command(&["list", "--outcome", "done"]));
    assert!(list.lines().nth(1).is_some_and(|line| line.contains("done")), "{list}");
    let quota = text(&world.command(&["quota"]));
    assert!(quota.contains("the day turns at "), "{quota}");
    assert_eq!(daemon.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_asked_for_has_its_reason() {
    let world = World::new().await;
    world.configure("", "exclude = [\"/drafts/\"]\n");
    world.write("drafts/a.html", "one");
    world.write("b.html", "one");
    let _daemon = world.start();
    world.wait_ready();
    let reason = |q: &str| {
        let why = get(&world, &format!("why?q={q}"));
        assert_eq!(why["targets"], json!([]));
        why["reasons"][0].as_str().unwrap_or_default().to_owned()
    };
    let excluded = reason("drafts/a.html");
    assert!(excluded.starts_with("origin www: `exclude`: `/drafts/`"), "{excluded}");
    let unchanged = reason("b.html");
    assert!(
        unchanged.starts_with("origin www: not changed since the baseline at 20"),
        "{unchanged}"
    );
    let unknown = reason("c.html");
    assert!(unknown.contains("nothing of that name was seen since the baseline at"), "{unknown}");
    let url = reason("https://www.example.com/b.html");
    assert!(url.contains("nothing was asked for under this URL since the baseline"), "{url}");
    let other = reason("https://elsewhere.example/b.html");
    assert!(other.contains("no origin serves elsewhere.example"), "{other}");
    let full = world.root().join("b.html").display().to_string();
    assert_eq!(reason(&full), unchanged, "as a person names it");
    let nowhere = control(&world, "GET", "why?q=/etc/passwd", None);
    assert_eq!((nowhere.code, nowhere.problem().contains("origins: www")), (404, true));
    let output = world.command(&["why", &full]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("not changed since the baseline"), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_calls_off_what_is_pending_and_asks_for_it_once_more() {
    let world = World::new().await;
    let _daemon = world.start();
    world.wait_ready();
    assert!(world.command(&["pause"]).status.success());
    let urls = ["https://www.example.com/a", "https://www.example.com/b"];
    let asked = control(&world, "POST", "refresh", Some(&json!({ "targets": urls })));
    assert_eq!((asked.code, asked.json()["recorded"].clone()), (202, json!(urls)));
    world.wait_status("both", |status| status["intents"]["pending"] == 2);
    let list: Value =
        serde_json::from_slice(&world.command(&["list", "--json"]).stdout).expect("JSON");
    let id = |place: usize| list["items"][place]["id"].to_string();

    let wrong = world.command(&["cancel"]);
    assert_eq!(wrong.status.code(), Some(64), "{}", text(&wrong));
    assert_eq!(text(&world.command(&["cancel", &id(0)])), "called off: 1 intent\n");
    let again = world.command(&["cancel", &id(0)]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again).contains("is cancelled: only what is pending"), "{}", text(&again));
    let rest = world.command(&["cancel", "--target", "example.com/a"]);
    assert_eq!(text(&rest), "called off: 1 intent\n");
    let cancelled = get(&world, "intents?outcome=cancelled");
    assert_eq!(cancelled["items"].as_array().map(Vec::len), Some(2));
    assert!(first(&cancelled)["why"].as_str().is_some_and(|why| why.starts_with("by ")));
    assert_eq!(get(&world, "status")["intents"]["cancelled"], 2);

    let said = text(&world.command(&["retry", &id(0)]));
    assert!(said.contains("is asked for once more as intent"), "{said}");
    let said = text(&world.command(&["retry", &id(0)]));
    assert!(said.contains("asks for the same"), "{said}");
    let said = text(&world.command(&["retry", "--outcome", "cancelled"]));
    assert_eq!(
        said,
        "once more: 1 as new intents, 0 joined what is pending, 0 due now, 1 need none\n"
    );
    let unbounded = control(&world, "POST", "intents/retry", Some(&json!({ "origin": "www" })));
    assert_eq!((unbounded.code, unbounded.problem().contains("`outcome`")), (400, true));
    let all = control(&world, "POST", "intents/cancel", Some(&json!({})));
    assert_eq!((all.code, all.problem().contains("empty filter")), (400, true));
    let both =
        control(&world, "POST", "pause", Some(&json!({ "origin": "www", "account": "main" })));
    assert_eq!(both.code, 400);
    let resumed = control(&world, "POST", "resume", Some(&json!({})));
    assert_eq!((resumed.code, resumed.json()["paused"].clone()), (200, json!([])));
    world.wait_status("both again", |status| status["intents"]["done"] == 2);
    assert_eq!(world.targets().len(), 2, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_status_at_once_and_whenever_it_changed() {
    let world = World::new().await;
    let daemon = world.start();
    world.wait_ready();
    let mut stream = UnixStream::connect(world.path("state/control.sock")).expect("connects");
    write_request(&mut stream, "GET", "/api/v1/events", None);
    let mut read = String::new();
    let mut until = |wished: &dyn Fn(&Value) -> bool| {
        let mut buffer = [0; 16 << 10];
        loop {
            let told = read.lines().filter_map(|line| line.strip_prefix("data: "));
            if told.filter_map(|text| serde_json::from_str(text).ok()).any(|status| wished(&status))
            {
                return read.clone();
            }
            let length = stream.read(&mut buffer).expect("reads");
            assert!(length > 0, "it ended: {read}");
            read.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    };
    let begun = until(&|status| status["ready"] == true);
    assert!(begun.to_ascii_lowercase().contains("content-type: text/event-stream"), "{begun}");
    assert!(begun.contains("event: status\n"), "{begun}");
    world.write("a.html", "one");
    until(&|status| status["intents"]["done"] == 1);
    assert_eq!(daemon.terminate(), Some(0), "a listener does not hold up the end");
    let mut rest = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    stream.read_to_string(&mut rest).expect("it ends");
}

/// Reads events until one is as wished.
fn hear(stream: &mut TcpStream, wished: &dyn Fn(&str, &Value) -> bool) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let (mut read, mut buffer) = (String::new(), [0; 16 << 10]);
    loop {
        let is_it = |event: &str| {
            let (name, data) = event.trim_start().split_once('\n').unwrap_or_default();
            let name = name.strip_prefix("event: ").unwrap_or_default();
            let data = data.lines().find_map(|line| line.strip_prefix("data: "));
            data.and_then(|data| serde_json::from_str(data).ok())
                .is_some_and(|data| wished(name, &data))
        };
        // Chunks begin with their length on a line of its own.
        if read.split("event: ").skip(1).any(|event| is_it(&format!("event: {event}"))) {
            return;
        }
        let length = stream.read(&mut buffer).expect("reads");
        assert!(length > 0, "it ended: {read}");
        read.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_follow_the_configuration_and_say_once_what_is_wrong_and_have_seats() {
    let api = Alone::new(Who::anyone()).await;
    let listen = || {
        let mut stream = TcpStream::connect(api.address).expect("connects");
        write_request(&mut stream, "GET", "/api/v1/events", None);
        stream
    };
    let mut stream = listen();
    hear(&mut stream, &|name, told| name == "status" && told["quota"]["main"].is_object());
    api.desk.send_modify(|desk| desk.accounts.clear());
    hear(&mut stream, &|name, told| name == "status" && told["quota"] == json!({}));
    let rename = |from: &'static str, to: &'static str| {
        api.database.call("test.rename", move |tx| {
            tx.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}"))?;
            Ok::<_, refreshd::journal::JournalError>(())
        })
    };
    rename("tally", "lost").await.expect("renames");
    hear(&mut stream, &|name, told| {
        name == "problem" && told["problems"][0].as_str().is_some_and(|why| why.contains("tally"))
    });
    rename("lost", "tally").await.expect("renames");
    hear(&mut stream, &|name, _| name == "status");
    let mut others = Vec::new();
    for _ in 0..32 {
        let mut other = listen();
        hear(&mut other, &|name, _| name == "status");
        others.push(other);
    }
    stream.read_to_end(&mut Vec::new()).expect("who listened longest made room");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_in_a_deploy_is_told_in_parts() {
    let api = Alone::new(Who::anyone()).await;
    let opened_at = Timestamp::from_seconds(1_700_000_000);
    let id = DeployId::new(opened_at, 1);
    let deploy = Deploy { id: id.clone(), origin: "www".into(), opened_at, closed_at: None };
    let items = [(1, Outgoing::Deploy(deploy))];
    api.journal.accept(&NodeId::from("n"), &items, opened_at).await.expect("accepts");
    for part in 0..4 {
        let path = |number| RelPath::new(format!("{part}/{number}")).expect("a path");
        let changes = (0..3).map(|number| (ChangeKind::Modified, path(number))).collect();
        let changes = vec![(id.clone(), changes)];
        let record = Record { changes, ..Record::blank("www".into(), opened_at) };
        api.store.record(record).await.expect("records");
    }
    let (mut paths, mut after) = (Vec::new(), String::new());
    loop {
        let told = api.ask("GET", &format!("deploys/{id}?limit=5{after}"), None).await.json();
        assert_eq!((&told["changed"], told["report"].is_null()), (&json!(12), !after.is_empty()));
        let changes = told["changes"].as_array().expect("changes");
        paths.extend(changes.iter().filter_map(|it| it["path"].as_str().map(str::to_owned)));
        let Some(next) = told["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let all = (0..12).map(|place| format!("{}/{}", place / 3, place % 3));
    assert_eq!(paths, all.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_change_is_refused_and_nothing_is_changed() {
    let description = Alone::new(Who::anyone()).await.ask("GET", "openapi.json", None).await.json();
    for (who, code, word) in [(Who::anyone(), 401, "Bearer"), (Who::refused(), 403, "")] {
        let api = Alone::new(who).await;
        api.fill(3).await;
        let paths = description["paths"].as_object().expect("paths");
        let mut changing = 0;
        for path in paths.iter().filter(|(_, verbs)| verbs.get("post").is_some()).map(|it| it.0) {
            changing += 1;
            let path = path.replace("{id}", "1").replace("{origin}", "www");
            let body = json!({ "targets": ["https://www.example.com/x"], "state": "pending" });
            let answer = api.ask("POST", &path[1..], Some(body)).await;
            assert_eq!(answer.code, code, "{path}: {}", answer.body);
            assert_eq!(answer.head.contains("www-authenticate: bearer"), code == 401, "{path}");
            assert!(answer.problem().contains(word));
        }
        assert_eq!(changing, 11);
        for path in ["wishes", "decide", "gate", "pause", "baseline", "deploy", "replay"] {
            let answer = api.ask("POST", &format!("/{path}"), Some(json!({}))).await;
            assert_eq!(answer.code, code, "{path}: {}", answer.body);
        }
        let counts = api.journal.counts().await.expect("counts");
        assert_eq!((counts.pending, counts.cancelled), (3, 0));
        assert_eq!(api.ask("GET", "intents", None).await.code, 200, "reading is another matter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_whole_and_repeat_nothing() {
    let api = Alone::new(Who::trusted("token test")).await;
    api.fill(1_234).await;
    for (path, number) in [("intents?limit=500", 1_234), ("intents?q=/1&limit=37", 346)] {
        let (mut ids, mut after) = (Vec::new(), String::new());
        loop {
            let page = api.ask("GET", &format!("{path}{after}"), None).await.json();
            let items = page["items"].as_array().expect("items");
            ids.extend(items.iter().filter_map(|item| item["id"].as_i64()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(ids.len(), number, "{path}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), number, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_named() {
    let api = Alone::new(Who::trusted("token test")).await;
    for (path, code, named) in [
        ("intents?state=lost", 400, "`state` is `lost`; there are pending,"),
        ("intents?outcome=x", 400, "`outcome`"),
        ("intents?limit=501", 400, "`limit` is `501`, not a number from 1 to 500"),
        ("intents?limit=0", 400, "`limit`"),
        ("intents?after=x", 400, "`after`"),
        ("intents?q=", 400, "`q` is empty"),
        ("intents?stat=pending", 400, "stat"),
        ("intents/x", 400, "`x` is no number"),
        ("intents/7", 404, "intent 7"),
        ("deploys?after=7", 400, "`after`"),
        ("deploys/d0?after=7", 400, "`after`"),
        ("deploys/d0", 404, "deploy `d0`"),
        ("why", 400, "q"),
        ("why?q=https://", 400, ""),
        ("search?q=", 400, "`q` is empty"),
        ("nothing", 404, "nothing at `/api/v1/nothing`"),
    ] {
        let answer = api.ask("GET", path, None).await;
        assert_eq!(answer.code, code, "{path}: {}", answer.body);
        assert!(answer.problem().contains(named), "{path}: {}", answer.body);
    }
    for (path, body, code, named) in [
        ("intents/cancel", json!({ "limit": 1, "all": true }), 400, ""),
        ("intents/cancel", json!({ "limit": "1", "q": "x" }), 400, "`limit` and `after`"),
        ("intents/retry", json!({ "after": "1", "outcome": "failed" }), 400, "`limit` and `after`"),
        (
            "intents/retry",
            json!({ "outcome": "failed", "account": "gone" }),
            409,
            "account `gone` is not configured",
        ),
        ("intents/7/retry", Value::Null, 404, "intent 7"),
        ("intents/7/cancel", Value::Null, 404, "intent 7"),
        ("deploys/d0/approve", json!({}), 404, "nothing is held of `d0`"),
        ("deploys/d0/reject", json!({ "trough": 1 }), 400, "trough"),
        ("pause", json!({ "origin": "x" }), 404, "no origin `x`"),
        ("refresh", json!({ "targets": [] }), 400, "no target was named"),
        (
            "refresh",
            json!({ "targets": ["https://www.example.com/"], "kind": "directory" }),
            400,
            "--yes",
        ),
        ("prefetch", json!({ "targets": ["https://www.example.com/a/"] }), 400, "directory"),
        ("gate/x/open", Value::Null, 404, "nothing complete of `x`"),
        ("status", Value::Null, 405, "POST"),
    ] {
        let answer = api.ask("POST", path, Some(body)).await;
        assert_eq!(answer.code, code, "{path}: {}", answer.body);
        assert!(answer.problem().contains(named), "{path}: {}", answer.body);
    }
    let long = json!({ "targets": [" ".repeat(3 << 20)] });
    assert_eq!(api.ask("POST", "refresh", Some(long)).await.code, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_is_answered_as_described() {
    let python = std::env::var("REFRESHD_TEST_PYTHON").expect(
        "REFRESHD_TEST_PYTHON must name a Python that has tests/requirements-api.txt installed; \
         ./tests/run makes one and sets it",
    );
    let api = Alone::new(Who::trusted("token test")).await;
    api.fill(700).await;
    let place = tempfile::tempdir().expect("a folder");
    let description = format!("http://{}/api/v1/openapi.json", api.address);
    let judge = tokio::task::spawn_blocking(move || {
        Command::new(&python)
            .current_dir(place.path())
            .args(["-m", "schemathesis.cli", "run", &description, "--exclude-path", "/events"])
            .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--seed", "1"])
            .args(["--checks", "not_a_server_error,status_code_conformance"])
            .args(["--checks", "content_type_conformance,response_schema_conformance"])
            .args(["--generation-database", "none", "--no-color"])
            .output()
            .expect("Python starts")
    });
    let judged = judge.await.expect("it ends");
    assert!(judged.status.success(), "{}", text(&judged));
}
