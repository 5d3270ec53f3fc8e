//! Refreshes by cache tag, from the command to the edge.

use std::net::SocketAddr;
use std::process::Command;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use refreshd::domain::quota::QuotaKind;
use refreshd::sandbox::{Ending, Fault, Options};
use tokio::task::JoinSet;

use crate::world::{World, listener};

const TAG: &str = "https://www.example.com/#news";

/// Answers pages with the labels that their paths name, `/news,all/1` has two, or that nothing changed
/// since they were fetched.
async fn page(uri: Uri, asked: HeaderMap) -> impl IntoResponse {
    let labels = uri.path().split('/').nth(1).unwrap_or_default().to_owned();
    let is_known = asked.contains_key("if-none-match");
    let status = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    (status, [("cache-tag", labels), ("etag", "\"1\"".to_owned())])
}

/// Starts a web server for the edge to ask; it ends with the set.
async fn origin() -> (SocketAddr, JoinSet<()>) {
    let listener = listener().await;
    let address = listener.local_addr().expect("an address");
    let mut servers = JoinSet::new();
    servers.spawn(async move {
        axum::serve(listener, Router::new().fallback(page)).await.expect("it serves");
    });
    (address, servers)
}

/// Visits a page at the edge; returns how its answer came about.
fn visit(world: &World, path: &str) -> String {
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%header{x-cache-detail}", "--max-time", "5"])
        .arg(format!("http://{}{path}", world.sandbox.edge))
        .output()
        .expect("curl is installed: ./tests/run sees to it");
    String::from_utf8(output.stdout).expect("plain text")
}

/// Runs `refresh --tag` and returns its exit code and what it said.
fn refresh(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let output = world.command(&[&["refresh", "--tag"], arguments].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("plain text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_goes_from_the_command_to_the_edge_which_forgets_what_is_labelled() {
    let (address, _servers) = origin().await;
    let options = Options { time_scale: 3000, ..Options::new(format!("http://{address}")) };
    let world = World::with(options).await;
    let pages = ["/news,all/1", "/all/2", "/newsletter/3"];
    for page in pages {
        assert_eq!(visit(&world, page), "stored");
    }
    let _daemon = world.start();
    world.wait_ready();
    let host = ["--domain", "WWW.example.com"];
    for (arguments, wanted) in [
        (&["news"][..], "--domain"),
        (&["--domain", "https://www.example.com", "news"], "a plain name is wanted"),
        (&[host[0], host[1], "--directory", "news"], "cannot be used with"),
        (&[host[0], host[1], "good", "news,all"], "`news,all` is no cache tag"),
        (&[host[0], host[1], &"x".repeat(129)], "129 characters long"),
    ] {
        let (code, said) = refresh(&world, arguments);
        assert!(code != Some(0) && said.contains(wanted), "{said}");
    }
    assert!(world.targets().is_empty());

    let (code, said) = refresh(&world, &[host[0], host[1], "news"]);
    assert_eq!((code, said.trim()), (Some(0), &*format!("recorded: refresh tag {TAG}")));
    world.wait_status("the end", |status| status["intents"]["done"] == 1);
    assert_eq!(visit(&world, pages[0]), "revalidated");
    assert_eq!([pages[1], pages[2]].map(|page| visit(&world, page)), ["fresh", "fresh"]);

    // Asked together, two go in one call; one task of it fails once.
    let fault = Fault::target(TAG, Ending::Failed { description: "Internal Error".to_owned() });
    world.sandbox.control().fault(fault);
    refresh(&world, &[host[0], host[1], "--force", "news", "all"]);
    let status = world.wait_status("all ends", |status| status["intents"]["done"] == 3);
    assert_eq!([pages[0], pages[1]].map(|page| visit(&world, page)), ["stored", "stored"]);
    assert_eq!(visit(&world, pages[2]), "fresh");
    let accepted = world.accepted();
    assert!(accepted.iter().all(|entry| entry.kind == QuotaKind::Tag));
    assert_eq!(accepted[1].targets, [TAG, "https://www.example.com/#all"]);
    assert!(!accepted[0].force && accepted[1].force);
    let asked: usize = accepted.iter().map(|entry| entry.targets.len()).sum();
    assert_eq!(status["quota"]["main"]["tag"]["used"], asked, "the CDN doesn't tell: we count");
    assert_eq!(status["quota"]["main"]["tag"]["limit"], 100);
    assert!(asked > 3, "what a failed task may have reached was asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_beyond_the_days_own_count_wait() {
    let world = World::new().await;
    world.configure("[account.main.quota]\ntag = 2\nreserve = 0", "");
    let _daemon = world.start();
    world.wait_ready();
    refresh(&world, &["--domain", "www.example.com", "a", "b", "c"]);
    let status = world.wait_status("two ends", |status| status["intents"]["done"] == 2);
    assert_eq!(status["intents"]["pending"], 1);
    assert_eq!(world.targets().len(), 2);
    let text = world.command(&["status"]).stdout;
    let text = String::from_utf8(text).expect("plain text");
    assert!(text.contains("today's tag refreshes (2)"), "{text}");
}
