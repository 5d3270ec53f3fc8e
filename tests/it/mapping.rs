//! The rules of a mapping with the real binary: from a file to what the CDN is asked.

use std::collections::BTreeSet;
use std::process::Output;

use refreshd::domain::quota::QuotaKind;
use refreshd::sandbox::Accepted;
use serde_json::Value;

use crate::world::{World, wait_for};

const SITE: &str = "https://www.example.com";

const RULES: &str = r#"
clean_urls = [".html"]
variants = ["*.br"]
short_ttl = ["live/**"]
exclude = ["drafts/**"]
[[origin.www.rewrite]]
from = "content/posts/*.md"
to = ["/posts/{1}/", "/feed.xml"]
only = true
[[origin.www.rewrite]]
from = "static/**"
to = ["https://static.example.com/{1}"]
[[origin.www.query]]
paths = ["*.css"]
variants = ["?v=1"]
[[origin.www.query]]
paths = ["search/**"]
ignore_params = true
"#;

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What was accepted: the kind of a refresh but for URLs, and the target.
fn asked(world: &World) -> BTreeSet<String> {
    let shown = |entry: Accepted| {
        let kind = if entry.kind == QuotaKind::Url { "" } else { entry.kind.as_str() };
        let below = |target: &String| target.trim_start_matches(SITE).to_owned();
        let shown = |target: &String| format!("{kind} {}", below(target)).trim_start().to_owned();
        entry.targets.iter().map(shown).collect::<Vec<_>>()
    };
    world.accepted().into_iter().flat_map(shown).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_decide_what_the_cdn_is_asked() {
    let world = World::new().await;
    world.configure("", RULES);
    world.write("content/posts/hello.md", "one");
    let _daemon = world.start();
    world.wait_ready();
    for path in ["live/score.json", "drafts/x.html", "assets/app.3f9c1a7b.js.br"] {
        world.write(path, "nothing follows from it");
    }
    for path in ["content/posts/hello.md", "static/a.css", "docs/a.html", "page.html.br"] {
        world.write(path, "two");
    }
    world.write("search/all", "two");
    let expected = [
        "/posts/hello/",
        "/feed.xml",
        "/static/a.css",
        "/static/a.css?v=1",
        "https://static.example.com/a.css",
        "https://static.example.com/a.css?v=1",
        "/docs/a.html",
        "/docs/a",
        "/page.html",
        "/page",
        "ignore_params /search/all",
    ];
    let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
    wait_for("all of it", || (asked(&world).len() >= expected.len()).then_some(()));
    let status = world.wait_quiet();
    assert_eq!(asked(&world), expected);
    assert_eq!(world.targets().len(), expected.len(), "each once");
    assert_eq!(status["quota"]["main"]["ignore_params"]["used"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fingerprinted_file_is_refreshed_when_it_returns_and_not_when_it_is_new() {
    let world = World::new().await;
    world.write("index.html", "one");
    let daemon = world.start();
    world.wait_ready();
    let asset = "assets/app.3f9c1a7b.js";
    let url = format!("{SITE}/{asset}");
    world.write(asset, "one");
    world.write("index.html", "two");
    wait_for("the page", || (world.targets().len() == 2).then_some(())).expect("accepted");
    world.wait_status("the asset", |status| status["origins"]["www"]["files"] == 2);
    world.wait_quiet();
    assert!(!world.targets().contains(&url), "{:?}", world.targets());
    std::fs::remove_file(world.root().join(asset)).expect("removed");
    wait_for("its removal", || (world.targets().len() == 3).then_some(())).expect("accepted");
    world.wait_quiet();
    assert_eq!(daemon.terminate(), Some(0));
    // The removal is remembered: now it returns.
    let _daemon = world.start();
    world.wait_ready();
    world.write(asset, "two");
    wait_for("its return", || (world.targets().len() == 4).then_some(())).expect("accepted");
    world.wait_quiet();
    assert_eq!(world.targets()[2..], [url.clone(), url]);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_rule_by_rule_what_becomes_of_a_path_or_url() {
    let world = World::new().await;
    world.configure("", RULES);
    for path in ["content/posts/hello.md", "drafts/x.html", "live/a", "a/index.html"] {
        world.write(path, "one");
    }
    let said = |what: &str, code: i32| {
        let output = world.command(&["explain", what]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        text(&output)
    };
    insta::assert_snapshot!(said("content/posts/hello.md", 0));
    insta::assert_snapshot!(said("assets/app.3f9c1a7b.js", 0));
    let full = world.root().join("content/posts/hello.md");
    let url = said("HTTP://www.example.com/posts/hello/", 0);
    assert!(url.ends_with(&said(full.to_str().expect("plain"), 0)), "{url}");
    for (what, code, line) in [
        ("http://www.example.com/a/", 0, "a/index.html of origin www\n"),
        (
            "https://www.example.com/search/all?q=1",
            0,
            "search/all of origin www, which is not there",
        ),
        ("https://www.example.com/drafts/x.html", 1, "yes  exclude     `drafts/**` matches"),
        ("https://www.example.com/live/a", 1, "yes  short_ttl   `live/**` matches"),
        ("https://other.example/", 1, "no origin serves other.example"),
        ("ftp://www.example.com/", 64, "the CDN serves http and https, not `ftp`"),
        ("drafts", 1, "`drafts/**` excludes all that is in it"),
        ("/", 1, "lies below no origin's root"),
    ] {
        let said = said(what, code);
        assert!(said.contains(line), "`{line}` in {said}");
    }
    let output = world.command(&["explain", "live/a", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["files"][0]["asks"]["modified"], serde_json::json!([]));
    let rules = answer["files"][0]["rules"].as_array().expect("rules");
    let fired: Vec<_> = rules.iter().filter(|rule| rule["fired"] == true).collect();
    assert_eq!((fired.len(), &fired[0]["rule"]), (1, &"short_ttl".into()));
    let plan = text(&world.command(&["plan", "live/a"]));
    assert!(plan.contains("its rules ask for nothing"), "{plan}");
}
