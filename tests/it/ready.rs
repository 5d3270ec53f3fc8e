//! Gates in the real daemon: nothing is asked of the CDN before nginx serves what changed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use refreshd::sandbox::Options;
use serde_json::Value;

use crate::edge::nginx;
use crate::world::{World, wait_for};

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("as nginx wants it");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

/// A web root that files are copied to later.
fn web_root(world: &World, name: &str) -> PathBuf {
    let root = world.path(name).join("web");
    std::fs::create_dir_all(&root).expect("a web root");
    root
}

fn text(world: &World, arguments: &[&str], code: i32) -> String {
    let output = world.command(arguments);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

/// Waits until the gate is closed for a reason that holds this.
fn wait_closed(world: &World, why: &str) -> Value {
    world.wait_status("a closed gate", |status| {
        status["gates"]["www"]["why"].as_str().is_some_and(|told| told.contains(why))
    })
}

fn targets(world: &World) -> Vec<String> {
    let mut targets = world.targets();
    targets.sort();
    let site = "https://www.example.com/";
    targets.iter().map(|target| target.trim_start_matches(site).to_owned()).collect()
}

fn copy(from: &Path, to: &Path, name: &str) {
    std::fs::copy(from.join(name), to.join(name)).expect("copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_submitted_before_every_web_server_serves_the_new_bytes() {
    let ((first, first_url), (second, second_url)) = (listener(), listener());
    let world = World::with(Options { time_scale: 3000, ..Options::new(first_url.clone()) }).await;
    let origin = format!(
        "prefetch = [\"page.html\"]\n[origin.www.gate]\nopens = \"content\"\nservers = [\"{first_url}\", \"{second_url}\"]"
    );
    world.configure("", &origin);
    let roots = [web_root(&world, "one"), web_root(&world, "two")];
    for name in ["page.html", "vanished.html"] {
        world.write(name, "old");
        for root in &roots {
            copy(&world.root(), root, name);
        }
    }
    let _one = nginx(&world.path("one"), &roots[0], &first);
    let _two = nginx(&world.path("two"), &roots[1], &second);
    let daemon = world.start();
    world.wait_ready();
    world.write("page.html", "fresh");
    std::fs::remove_file(world.root().join("vanished.html")).expect("removed");
    let status = wait_closed(&world, "page.html: ");
    assert_eq!(status["gates"]["www"]["alarmed"], false);
    let said = text(&world, &["status"], 0);
    assert!(said.contains("at the gate, origin www: "), "{said}");
    let said = text(&world, &["wait", "--timeout", "1s"], 1);
    assert!(said.contains("at the gate: page.html: http://127.0.0.1:"), "{said}");
    assert!(
        text(&world, &["gate"], 0).contains("to let it go all the same:  refreshd gate open d")
    );
    assert_eq!(world.targets(), Vec::<String>::new());
    // It stays closed over a start, and while one of two is old.
    daemon.kill();
    copy(&world.root(), &roots[0], "page.html");
    std::fs::remove_file(roots[0].join("vanished.html")).expect("removed");
    let _daemon = world.start();
    world.wait_ready();
    wait_closed(&world, &format!("page.html: {second_url} serves 3 instead of its 5 bytes"));
    copy(&world.root(), &roots[1], "page.html");
    wait_for("the page alone", || {
        // In a deploy with the removal the page waits for that, too.
        let why = world.status()?["gates"]["www"]["why"].as_str()?.to_owned();
        why.starts_with("vanished.html: ").then_some(())
    })
    .expect("it is served");
    std::fs::remove_file(roots[1].join("vanished.html")).expect("removed");
    let said = text(&world, &["wait", "--timeout", "90s"], 0);
    assert!(said.contains("is done"), "{said}");
    assert_eq!(targets(&world), ["page.html", "page.html", "vanished.html"]);
    assert!(text(&world, &["gate"], 0).contains("nothing waits at a gate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_lets_go_what_waits_at_a_gate_and_an_echo_follows() {
    let world = World::new().await;
    let origin = "[origin.www.gate]\nopens = \"command\"\ncommand = [\"sh\", \"-c\", \"echo not yet; exit 1\"]\n\
                  alarm_after = \"1s\"\necho = \"1s\"";
    world.configure("", origin);
    let _daemon = world.start();
    world.wait_ready();
    world.write("a.html", "one");
    wait_closed(&world, "does not succeed");
    world.wait_status("the alarm", |status| status["gates"]["www"]["alarmed"] == true);
    assert!(world.log().contains("the gate stays closed, and nothing of the deploy is refreshed"));
    assert_eq!(world.targets(), Vec::<String>::new());
    let said = text(&world, &["gate"], 0);
    assert!(said.contains("it wrote: not yet"), "{said}");
    assert!(text(&world, &["gate", "open", "ww"], 1).contains("nothing complete of `ww` waits"));
    let said = text(&world, &["gate", "open", "www"], 0);
    assert!(said.contains("opened: 1 deploy with 1 wish will go out"), "{said}");
    wait_for("both", || (world.targets().len() == 2).then_some(())).expect("accepted");
    assert_eq!(targets(&world), ["a.html", "a.html"]);
    assert!(world.log().contains("a person opened the gate"), "{}", world.log());
    // Without its gate the origin is like any other.
    assert_eq!(world.wait_quiet()["gates"], serde_json::json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_a_gate_goes_out_once_the_configuration_has_none() {
    let world = World::new().await;
    world.configure("", "[origin.www.gate]\nopens = \"delay\"\ndelay = \"1h\"");
    let daemon = world.start();
    world.wait_ready();
    world.write("a.html", "one");
    wait_closed(&world, "it opens at ");
    assert_eq!(daemon.terminate(), Some(0));
    world.configure("", "");
    let _daemon = world.start();
    wait_for("the refresh", || (world.targets().len() == 1).then_some(())).expect("accepted");
    assert!(world.log().contains("the origin has no gate any more"), "{}", world.log());
}
