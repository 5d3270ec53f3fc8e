use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;

use crate::clock::ManualClock;
use crate::domain::ask::Kind;
use crate::domain::time::Timestamp;

use super::*;

/// A web server whose answers a test sets, and that writes down what it was asked.
#[derive(Default)]
struct Site {
    pages: Mutex<HashMap<String, Page>>,
    asked: Mutex<Vec<(Method, String, HeaderMap)>>,
}

#[derive(Clone)]
struct Page {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: &'static str,
}

async fn serve(State(site): State<Arc<Site>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let path = parts.uri.to_string();
    let asked = (parts.method, path.clone(), parts.headers.clone());
    site.asked.lock().expect("lock").push(asked);
    let page = site.pages.lock().expect("lock").get(&path).cloned();
    let missing = Page { status: 404, headers: Vec::new(), body: "missing" };
    let page = page.unwrap_or(missing);
    let mut response = Response::builder().status(page.status);
    let mut same = false;
    for (name, value) in page.headers {
        response = response.header(name, value);
        let condition = match name {
            "etag" => "if-none-match",
            "last-modified" => "if-modified-since",
            _ => continue,
        };
        same |= parts.headers.get(condition).is_some_and(|asked| asked == value);
    }
    if same {
        return response.status(304).body(Body::empty()).expect("a response");
    }
    response.body(Body::from(page.body)).expect("a response")
}

/// An edge before a site, and a clock to move.
struct World {
    site: Arc<Site>,
    edge: Edge,
    clock: Arc<ManualClock>,
    _server: tokio::task::JoinSet<()>,
}

/// What a visitor sees.
#[derive(Debug, PartialEq)]
struct Seen {
    cache: String,
    detail: String,
    age: Option<u64>,
    status: u16,
    body: String,
}

impl World {
    async fn new() -> Self {
        let site = Arc::new(Site::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&site));
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.expect("a server") });
        let start = Timestamp::parse("2026-11-22T12:00:00Z").expect("valid");
        let clock = ManualClock::new(start, 1);
        Self {
            site,
            edge: Edge::new(&base, Vec::new(), clock.clone()).expect("an edge"),
            clock,
            _server: server,
        }
    }

    fn page(&self, path: &str, headers: &[(&'static str, &'static str)], body: &'static str) {
        self.answer(path, 200, headers, body);
    }

    fn answer(
        &self,
        path: &str,
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &'static str,
    ) {
        let page = Page { status, headers: headers.to_vec(), body };
        self.site.pages.lock().expect("lock").insert(path.into(), page);
    }

    fn asked(&self) -> Vec<(Method, String, HeaderMap)> {
        std::mem::take(&mut self.site.asked.lock().expect("lock"))
    }

    async fn send(&self, request: Request) -> Seen {
        let response = self.edge.answer(request).await;
        let text = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().expect("text").to_owned())
        };
        let (cache, detail) = (text("x-cache"), text("x-cache-detail"));
        let age = text("age").map(|age| age.parse().expect("a number"));
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        Seen {
            cache: cache.expect("x-cache"),
            detail: detail.expect("x-cache-detail"),
            age,
            status,
            body: String::from_utf8(body.to_vec()).expect("text"),
        }
    }

    async fn get(&self, path: &str) -> Seen {
        let request = Request::get(path).header("host", "127.0.0.1:1").body(Body::empty());
        self.send(request.expect("a request")).await
    }

    /// Returns the detail and the body that a visitor sees.
    async fn short(&self, path: &str) -> (String, String) {
        let seen = self.get(path).await;
        (seen.detail, seen.body)
    }

    fn refresh(&self, kind: Kind, text: &str, force: bool) {
        let target = Target::new(kind, text);
        self.edge.refresh(&target, force).expect("a valid target");
    }
}

fn is(detail: &str, body: &str) -> (String, String) {
    (detail.to_owned(), body.to_owned())
}

const SITE: &str = "https://www.example.com";

#[tokio::test]
async fn a_copy_is_served_until_its_life_ends() {
    let world = World::new().await;
    world.page("/x", &[("cache-control", "max-age=60")], "one");
    let mut seen = Seen {
        cache: "MISS".into(),
        detail: "stored".into(),
        age: Some(0),
        status: 200,
        body: "one".into(),
    };
    assert_eq!(world.get("/x").await, seen);
    world.page("/x", &[], "two");
    world.clock.advance(Duration::from_secs(59));
    seen.cache = "HIT".into();
    seen.detail = "fresh".into();
    seen.age = Some(59);
    assert_eq!(world.get("/x").await, seen);
    assert_eq!(world.asked().len(), 1);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.short("/x").await, is("stored", "two"));
}

#[tokio::test]
async fn what_the_origin_forbids_is_not_kept() {
    let world = World::new().await;
    for directive in ["no-store", "private", "max-age=0", "no-cache", "max-age=9, s-maxage=0"] {
        world.page("/x", &[("cache-control", directive)], "x");
        for _ in 0..2 {
            assert_eq!(world.short("/x").await, is("passed", "x"), "{directive}");
        }
    }
    world.page("/x", &[("cache-control", "max-age=0, s-maxage=9")], "x");
    assert_eq!(world.short("/x").await, is("stored", "x"));
    for (status, detail) in [(404, "fresh"), (301, "fresh"), (500, "passed"), (302, "passed")] {
        let path = format!("/{status}");
        world.answer(&path, status, &[], "body");
        world.get(&path).await;
        let seen = world.get(&path).await;
        assert_eq!((seen.status, seen.detail.as_str()), (status, detail));
    }
}

#[tokio::test]
async fn a_head_is_answered_from_the_same_copy() {
    let world = World::new().await;
    world.page("/x", &[], "four");
    for detail in ["stored", "fresh"] {
        let request = Request::head("/x").body(Body::empty()).expect("a request");
        let response = world.edge.answer(request).await;
        assert_eq!(response.headers()["content-length"], "4");
        assert_eq!(response.headers()["x-cache-detail"], detail);
    }
    assert_eq!(world.short("/x").await, is("fresh", "four"));
    assert_eq!(world.asked()[0].0, Method::GET);
}

#[tokio::test]
async fn a_soft_refresh_keeps_an_object_whose_validators_did_not_change() {
    let world = World::new().await;
    let validators = [[("etag", "\"1\"")], [("last-modified", "Sun, 22 Nov 2026 10:00:00 GMT")]];
    for headers in validators {
        world.page("/d/x", &headers, "old");
        world.get("/d/x").await;
        world.page("/d/x", &headers, "new");
        world.refresh(Kind::Directory, &format!("{SITE}/d/"), false);
        let seen = world.get("/d/x").await;
        assert_eq!((seen.cache.as_str(), seen.detail.as_str()), ("MISS", "revalidated"));
        assert_eq!(seen.body, "old", "the origin says nothing changed");
        assert_eq!(world.short("/d/x").await, is("fresh", "old"));
        world.refresh(Kind::Directory, &format!("{SITE}/d/"), true);
        assert_eq!(world.short("/d/x").await, is("stored", "new"));
        world.refresh(Kind::Url, &format!("{SITE}/d/x"), true);
    }
    world.page("/d/x", &[("etag", "\"1\"")], "old");
    world.get("/d/x").await;
    world.page("/d/x", &[("etag", "\"2\"")], "new");
    world.refresh(Kind::Regex, &format!("{SITE}/[a-z]/.*"), false);
    assert_eq!(world.short("/d/x").await, is("stored", "new"));
}

#[tokio::test]
async fn a_url_refresh_deletes_exactly_one_copy() {
    let world = World::new().await;
    for path in ["/x", "/x?v=1", "/y"] {
        world.page(path, &[("etag", "\"1\"")], "old");
        world.get(path).await;
        world.page(path, &[("etag", "\"1\"")], "new");
    }
    world.refresh(Kind::Url, "http://www.example.com/%78", true);
    assert_eq!(world.short("/x").await, is("stored", "new"));
    assert_eq!(world.short("/x?v=1").await, is("fresh", "old"));
    world.refresh(Kind::IgnoreParams, &format!("{SITE}/x"), true);
    assert_eq!(world.short("/x?v=1").await, is("stored", "new"));
    assert_eq!(world.short("/y").await, is("fresh", "old"));
}

#[tokio::test]
async fn a_refresh_by_tag_reaches_exactly_what_the_origin_labelled() {
    let world = World::new().await;
    let pages = [
        ("/both", [("etag", "\"1\""), ("cache-tag", "news, all")]),
        ("/one", [("etag", "\"1\""), ("cache-tag", "all")]),
        ("/longer", [("etag", "\"1\""), ("cache-tag", "news2,NEWS")]),
        ("/none", [("etag", "\"1\""), ("vary", "news")]),
    ];
    for (path, headers) in &pages {
        world.page(path, headers, "old");
        world.get(path).await;
        world.page(path, headers, "new");
    }
    world.refresh(Kind::Tag, &format!("{SITE}/#news"), false);
    assert_eq!(world.get("/both").await.detail, "revalidated");
    world.refresh(Kind::Tag, &format!("{SITE}/#news"), true);
    assert_eq!(world.short("/both").await, is("stored", "new"));
    for path in ["/one", "/longer", "/none"] {
        assert_eq!(world.short(path).await, is("fresh", "old"), "{path}");
    }
    world.refresh(Kind::Tag, &format!("{SITE}/#all"), true);
    assert_eq!(world.short("/one").await, is("stored", "new"));
}

#[tokio::test]
async fn a_refresh_ends_a_kept_404() {
    let world = World::new().await;
    assert_eq!(world.get("/x").await.status, 404);
    world.page("/x", &[], "created");
    assert_eq!(world.get("/x").await.status, 404);
    world.refresh(Kind::Url, &format!("{SITE}/x"), true);
    assert_eq!(world.short("/x").await, is("stored", "created"));
}

#[tokio::test]
async fn a_prefetch_fetches_and_keeps_or_says_why_not() {
    let world = World::new().await;
    world.page("/x?y=%20", &[], "x");
    assert_eq!(world.edge.prefetch(&format!("{SITE}/x?y=%20")).await, Ok(()));
    let asked = world.asked();
    assert_eq!(asked[0].1, "/x?y=%20");
    assert_eq!(asked[0].2["host"], "www.example.com");
    assert_eq!(world.short("/x?y=%20").await, is("fresh", "x"));
    world.page("/x?y=%20", &[], "newer");
    assert_eq!(world.edge.prefetch("www.example.com/x?y=%20").await, Ok(()));
    assert_eq!(world.short("/x?y=%20").await, is("fresh", "newer"));
    world.answer("/broken", 503, &[], "");
    world.page("/private", &[("cache-control", "private")], "");
    for (path, why) in [
        ("/broken", "Origin Return StatusCode 503"),
        ("/missing", "Origin Return StatusCode 404"),
        ("/private", "Origin Return Uncacheable"),
    ] {
        let result = world.edge.prefetch(&format!("{SITE}{path}")).await;
        assert_eq!(result, Err(why.to_owned()));
    }
}

#[tokio::test]
async fn visitors_conditions_ranges_and_encodings_stay_at_the_edge() {
    let world = World::new().await;
    world.page("/x", &[("etag", "\"1\"")], "whole");
    for detail in ["stored", "fresh"] {
        let request = Request::get("/x")
            .header("host", "a.example")
            .header("if-none-match", "\"1\"")
            .header("range", "bytes=0-1")
            .header("accept-encoding", "gzip")
            .header("x-own", "travels");
        let seen = world.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!((seen.status, seen.body.as_str(), seen.detail.as_str()), (200, "whole", detail));
    }
    let asked = world.asked();
    assert_eq!(asked.len(), 1);
    let headers = &asked[0].2;
    assert_eq!(
        (&headers["host"], &headers["x-own"]),
        (&"a.example".parse().expect("a value"), &"travels".parse().expect("a value"))
    );
    assert_eq!(headers["accept-encoding"], "identity");
    assert!(!headers.contains_key("range") && !headers.contains_key("if-none-match"));
    let post = Request::post("/x").body(Body::from("body")).expect("a request");
    assert_eq!(world.send(post).await.detail, "passed");
}

#[tokio::test]
async fn an_origin_in_trouble_is_told_and_changes_nothing() {
    let world = World::new().await;
    world.page("/x", &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "kept");
    world.get("/x").await;
    world.clock.advance(Duration::from_secs(60));
    world.answer("/x", 502, &[], "trouble");
    assert_eq!(world.get("/x").await.status, 502);
    world.page("/x", &[("etag", "\"1\"")], "kept");
    assert_eq!(world.short("/x").await, is("revalidated", "kept"));
    let nowhere =
        Edge::new("http://127.0.0.1:1", Vec::new(), world.clock.clone()).expect("an edge");
    let request = Request::get("/x").body(Body::empty()).expect("a request");
    assert_eq!(nowhere.answer(request).await.status(), 502);
    assert!(Edge::new("https://a.example", Vec::new(), world.clock.clone()).is_err());
}

#[test]
fn a_refresh_overtakes_a_fetch_under_way() {
    let mut cache = Cache::default();
    let key = |path| Key::new(&Hosts::default(), "a.example", path);
    let held = || Held {
        status: 200,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"old"),
        since: Timestamp::EPOCH,
        life: DEFAULT_LIFE,
        marked: false,
    };
    let (reached, other) = (cache.begin(key("/d/x")), cache.begin(key("/y")));
    let target = Target::new(Kind::Directory, "a.example/d/");
    let reach = Reach::new(&Hosts::default(), &target).expect("a valid target");
    cache.refresh(&reach, false);
    assert!(!cache.keep(reached, held()) && cache.get(&key("/d/x")).is_none());
    assert!(cache.keep(other, held()) && cache.get(&key("/y")).is_some());
}
