//! Another configuration while the daemon runs: what is the same is not disturbed, and nothing is lost.

mod load;
mod mutated;

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::Output;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::hooks::sender::{self, Request, SECRET, connect, write_secret};
use crate::world::{Daemon, PATIENCE, World, wait_for};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Has the daemon reload, and returns its exit code and what it said.
fn reload(world: &World) -> (Option<i32>, String) {
    let output = world.command(&["reload", "--wait"]);
    (output.status.code(), said(&output))
}

#[track_caller]
fn reloads(world: &World, changed: &str) {
    let (code, said) = reload(world);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(changed), "`{changed}` in {said}");
}

/// An origin beside `www`, with a folder of its own.
fn origin(world: &World, name: &str, more: &str) -> String {
    let root = world.path(name);
    std::fs::create_dir_all(&root).expect("a root");
    format!(
        "[origin.{name}]\nroot = \"{}\"\ndomains = [\"https://{name}.example.com\"]\nsettle = \"50ms\"\n\
         deploy_deadline = \"500ms\"\n{more}\n",
        root.display()
    )
}

/// Writes the configuration of `www` as [`World::configure`] does, with other sections after it.
fn configure(world: &World, account: &str, www: &str, others: &str) {
    world.configure(account, www);
    let text = std::fs::read_to_string(world.config()).expect("it is read");
    world.write_config(&format!("{text}\n{others}"));
}

fn write(world: &World, origin: &str, name: &str, text: &str) {
    std::fs::write(world.path(origin).join(name), text).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_come_go_and_change_and_the_others_are_not_disturbed() {
    let world = World::new().await;
    let [gone, changed] = ["gone", "changed"].map(|name| origin(&world, name, ""));
    configure(&world, "", "", &format!("{gone}{changed}"));
    world.write("a/b/c.html", "one");
    for name in ["gone", "changed"] {
        write(&world, name, "a.html", "one");
    }
    let daemon = world.start();
    let before = world.wait_ready()["origins"]["www"].clone();
    let pid = daemon.pid();
    let (new, changed) =
        (origin(&world, "new", ""), origin(&world, "changed", "reconcile_every = \"2h\""));
    write(&world, "new", "a.html", "one");
    configure(&world, "", "", &format!("{new}{changed}"));
    reloads(&world, "in force: origin new is new, origin gone is gone, origin changed is changed");
    let after = world.wait_quiet();
    assert_eq!(after["pid"], pid);
    assert_eq!(after["origins"]["www"], before, "it was not even compared");
    let names: Vec<_> = after["origins"].as_object().expect("origins").keys().collect();
    assert_eq!(names, ["changed", "new", "www"]);
    assert!(world.targets().is_empty(), "a new origin begins with a baseline");
    for name in ["gone", "changed", "new"] {
        write(&world, name, "a.html", "two");
    }
    world.write("a/b/c.html", "two");
    wait_for("the changes", || (world.targets().len() >= 3).then_some(())).expect("accepted");
    world.wait_quiet();
    let mut targets = world.targets();
    targets.sort();
    let expected =
        ["changed.example.com/a.html", "new.example.com/a.html", "www.example.com/a/b/c.html"];
    assert_eq!(targets, expected.map(|url| format!("https://{url}")));
    assert_eq!(daemon.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_in_force_is_refused_whole_and_the_old_one_goes_on() {
    let world = World::new().await;
    let good = std::fs::read_to_string(world.config()).expect("it is read");
    let _daemon = world.start();
    world.wait_ready();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address");
    let other = world.path("other").display().to_string();
    let state = world.path("state").display().to_string();
    let secret = world.path("access_key_secret").display().to_string();
    // Each would change the origin, too.
    let changed = good.replace("settle = \"50ms\"", "settle = \"60ms\"");
    let cases = [
        (78, changed.replace("domains =", "domain ="), "unknown key"),
        (78, format!("{changed}\n[["), "this is not TOML"),
        (77, changed.replace(&secret, &other), "cannot read"),
        (74, format!("{changed}\n[hooks]\nlisten = \"{taken}\""), "hooks can't be taken at"),
        (1, format!("{changed}\n[log]\nformat = \"json\""), "systemctl restart refreshd"),
        (1, format!("control_socket = \"{state}/control.sock\"\n{changed}"), "`control_socket`"),
    ];
    for (number, (code, text, why)) in cases.iter().enumerate() {
        std::fs::write(world.config(), text).expect("written");
        let (exit, said) = reload(&world);
        assert_eq!(exit, Some(*code), "{why}: {said}");
        assert!(said.contains(why) && said.contains("stays in force"), "`{why}` in {said}");
        let refusals = world.log().matches("ERROR refreshd::command::renew").count();
        assert_eq!(refusals, number + 1, "{}", world.log());
        std::fs::write(world.config(), &good).expect("written");
        let facts = world.status().expect("it answers")["reload"].clone();
        assert_ne!(facts["refused"], "", "{facts}");
        let page = format!("{number}.html");
        world.write(&page, "one");
        let url = format!("https://www.example.com/{page}");
        wait_for("the page", || world.targets().contains(&url).then_some(())).expect("accepted");
    }
    let carets = world.command(&["reload", "--wait", "--json"]);
    assert_eq!(carets.status.code(), Some(0), "{}", said(&carets));
    let answer: Value = serde_json::from_slice(&carets.stdout).expect("JSON");
    assert_eq!(
        answer,
        serde_json::json!({ "changed": [], "held": [] }),
        "nothing of them is in force"
    );
    assert_eq!(world.status().expect("it answers")["reload"]["refused"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_mapping_gives_waits_for_a_person() {
    let world = World::new().await;
    world.write("docs/index.html", "one");
    world.write("style.css", "one");
    let _daemon = world.start();
    world.wait_ready();
    world.configure("", "domains = [\"https://www.example.com\", \"https://m.example.com\"]");
    let text = std::fs::read_to_string(world.config()).expect("it is read");
    let text = text.replacen("domains = [\"https://www.example.com\"]\n", "", 1);
    std::fs::write(world.config(), text).expect("written");
    let dry = world.command(&["reload", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", said(&dry));
    let told = "origin www is mapped otherwise: 3 URLs it had not before, would be held for you";
    assert!(said(&dry).contains(told), "{}", said(&dry));
    let status = world.status().expect("it answers");
    assert_eq!(
        (&status["held"], &status["reload"]),
        (&[""; 0].into(), &Value::Null),
        "nothing was done"
    );
    reloads(&world, "origin www is changed");
    let status = world.wait_status("what is held", |status| status["held"][0]["intents"] == 3);
    let held = &status["held"][0];
    assert_eq!(held["why"], "the mapping of origin www changed: 3 URLs are new");
    // What changes now has both, and goes out by itself.
    world.write("style.css", "two");
    wait_for("the change", || (world.targets().len() >= 2).then_some(())).expect("accepted");
    let mut targets = world.targets();
    targets.sort();
    let both = ["m", "www"].map(|host| format!("https://{host}.example.com/style.css"));
    assert_eq!(targets, both);
    let deploy = held["deploy"].as_str().expect("a deploy");
    assert_eq!(world.command(&["approve", deploy]).status.code(), Some(0));
    let last = "https://m.example.com/docs/index.html".to_owned();
    wait_for("the rest", || world.targets().contains(&last).then_some(())).expect("accepted");
    world.wait_quiet();
    let mapped = world.targets().into_iter().filter(|url| url.contains("//m.")).skip(1);
    let mapped: std::collections::BTreeSet<String> = mapped.collect();
    assert!(mapped.contains("https://m.example.com/docs/") && mapped.contains(&last), "{mapped:?}");
    reloads(&world, "nothing is different");
    assert_eq!(world.status().expect("it answers")["held"], serde_json::json!([]));
}

fn ping(key: &str, secret: &str) -> Request {
    Request::signed(secret, key, "ping", b"{\"zen\":\"calm\"}".to_vec())
}

fn push(door: SocketAddr, key: &str, secret: &str) -> u16 {
    ping(key, secret).send(door).status
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_move_change_their_secrets_and_keep_who_is_connected() {
    let world = World::new().await;
    sender::configure(&world, "", "");
    let _daemon = world.start();
    let first = sender::door(&world, 1);
    world.wait_ready();
    assert_eq!(push(first, "one", SECRET), 202);
    let mut kept = connect(first).expect("a connection");
    kept.write_all(&ping("kept", SECRET).bytes()).expect("sent");
    assert_eq!(sender::read(&mut kept).expect("an answer").status, 202);
    write_secret(&world, "hook_forge", "another one of them");
    reloads(&world, "nothing is different");
    assert_eq!(push(first, "two", "another one of them"), 202, "it is read at once");
    assert_eq!(push(first, "three", SECRET), 401);
    let text = std::fs::read_to_string(world.config()).expect("it is read");
    let text =
        text.replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.2:0\"\nbody_bytes = 1024");
    std::fs::write(world.config(), text).expect("written");
    reloads(&world, "hooks are taken elsewhere");
    let second = sender::door(&world, 2);
    assert_ne!(first, second);
    assert_eq!(push(second, "four", "another one of them"), 202);
    let refused = wait_for("the old one to close", || connect(first).err());
    assert!(refused.is_some(), "nobody listens there any more");
    let long = Request::signed("another one of them", "five", "ping", vec![b' '; 1_025]);
    assert_eq!(long.send(second).status, 413, "its settings are in force, too");
    kept.write_all(&ping("six", "another one of them").bytes()).expect("sent");
    assert_eq!(sender::read(&mut kept).expect("an answer").status, 202, "who was in stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_deploy_closes_with_its_origin_and_outlasts_a_change_of_it_while_it_is_held_open() {
    let world = World::new().await;
    let [gone, stays] = ["gone", "stays"].map(|name| origin(&world, name, ""));
    configure(&world, "", "", &format!("{gone}{stays}"));
    let _daemon = world.start();
    world.wait_ready();
    for name in ["gone", "stays"] {
        let begun = world.command(&["deploy", "begin", name]);
        assert_eq!(begun.status.code(), Some(0), "{}", said(&begun));
        write(&world, name, "a.html", "one");
    }
    world.wait_status("both changes", |status| status["intents"]["pending"] == 2);
    assert!(world.targets().is_empty(), "they are held open");
    configure(&world, "", "", &origin(&world, "stays", "reconcile_every = \"2h\""));
    reloads(&world, "in force: origin gone is gone, origin stays is changed");
    wait_for("what waited", || (world.targets().len() == 1).then_some(())).expect("accepted");
    assert_eq!(world.targets(), ["https://gone.example.com/a.html"]);
    let held = |status: &Value| status["origins"]["stays"]["held_open_until"].is_i64();
    world.wait_status("the bracket", held);
    write(&world, "stays", "b.html", "one");
    world.wait_status("another change", |status| status["intents"]["pending"] == 2);
    assert_eq!(world.command(&["deploy", "end", "stays"]).status.code(), Some(0));
    world.wait_quiet();
    let mut targets = world.targets().split_off(1);
    targets.sort();
    assert_eq!(targets, ["a", "b"].map(|name| format!("https://stays.example.com/{name}.html")));
}

fn hang_up(daemon: &Daemon) {
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::HUP).expect("SIGHUP");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_and_systemd_is_told() {
    let world = World::new().await;
    let socket = UnixDatagram::bind(world.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let heard = || {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("a datagram");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let notify = format!("NOTIFY_SOCKET={}", world.path("notify").display());
    let daemon = world.start_under(&["env", &notify]);
    assert_eq!(heard().trim_end(), "READY=1");
    world.wait_ready();
    world.configure("batch = 7", "");
    hang_up(&daemon);
    let reloading = heard();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(heard().trim_end(), "READY=1");
    let status = world.wait_status("the reload", |status| !status["reload"].is_null());
    assert_eq!(status["reload"]["changed"], serde_json::json!(["account main is changed"]));
    world.configure("batch = 0", "");
    hang_up(&daemon);
    assert!(heard().starts_with("RELOADING=1") && heard().trim_end() == "READY=1");
    world.configure("batch = 7", "");
    let refused = world.status().expect("it answers")["reload"]["refused"].clone();
    assert!(refused.as_str().is_some_and(|why| why.contains("`batch` can't be 0")), "{refused}");
    let log = world.log();
    assert!(
        log.contains("who=\"SIGHUP\"") && log.contains("the one before stays in force"),
        "{log}"
    );
    assert_eq!(daemon.terminate(), Some(0));
}
