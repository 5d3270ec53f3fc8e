use proptest::prelude::*;

use super::*;
use crate::domain::index::Digest;

fn spec() -> Spec {
    Spec::plain("main".into(), vec!["https://www.example.com".to_owned()])
}

fn mapping(change: impl FnOnce(&mut Spec)) -> Mapping {
    let mut spec = spec();
    change(&mut spec);
    Mapping::new(spec).expect("valid")
}

fn path(bytes: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(bytes.as_ref()).expect("valid")
}

fn urls(mapping: &Mapping, text: &str) -> Vec<String> {
    let mapped = mapping.urls(&path(text));
    assert_eq!(mapped.unmappable, []);
    mapped.made.into_iter().map(String::from).collect()
}

#[test]
fn a_path_has_a_url_on_each_domain() {
    let mapping = mapping(|spec| {
        spec.domains = vec!["https://a.example".into(), "http://b.example/docs".into()];
    });
    assert_eq!(
        urls(&mapping, "x y.html"),
        ["https://a.example/x%20y.html", "https://b.example/docs/x%20y.html"]
    );
}

#[test]
fn an_index_file_is_also_its_directory() {
    let slash = mapping(|_| {});
    let both = mapping(|spec| spec.directory_urls = DirectoryUrls::Both);
    let none = mapping(|spec| spec.directory_urls = DirectoryUrls::None);
    let (file, dir) = ("https://www.example.com/d/index.html", "https://www.example.com/d");
    let with_slash = format!("{dir}/");
    assert_eq!(urls(&slash, "d/index.html"), [file, &with_slash]);
    assert_eq!(urls(&both, "d/index.html"), [file, &with_slash, dir]);
    assert_eq!(urls(&none, "d/index.html"), [file]);
    let root = ["https://www.example.com/index.html", "https://www.example.com/"];
    assert_eq!(urls(&slash, "index.html"), root);
    assert_eq!(urls(&both, "index.html"), root);
    assert_eq!(urls(&slash, "d/myindex.html").len(), 1);
}

#[test]
fn a_url_that_is_too_long_does_not_hold_the_others_back() {
    let mapping = mapping(|_| {});
    let deep = format!("{}/index.html", "x".repeat(995));
    let mapped = mapping.urls(&path(&deep));
    assert_eq!(mapped.made.len(), 1);
    assert!(mapped.made[0].is_directory());
    assert_eq!(mapped.unmappable.len(), 1);
    assert!(mapped.unmappable[0].to_string().contains("the CDN takes 1024"));
    let mut mapping = mapping;
    mapping.hold_to(1_100);
    assert_eq!(mapping.urls(&path(&deep)).made.len(), 2);
}

#[test]
fn dot_files_and_temporaries_are_excluded_by_default() {
    let by_default = mapping(|_| {});
    let off = mapping(|spec| spec.exclude_defaults = false);
    for excluded in [
        ".git/config",
        "a/.DS_Store",
        ".htaccess",
        "a/.index.html.Xy12Zz",
        ".#lock",
        "notes.txt~",
        "a/b/x.swp",
        "#draft#",
        "4913",
        "x.tmp",
        "up.part",
        ".well-known/.hidden",
    ] {
        assert!(by_default.excluded(&path(excluded), false).is_some(), "{excluded}");
        assert_eq!(off.excluded(&path(excluded), false), None, "{excluded}");
    }
    for kept in [".well-known/acme", "a/.well-known/x", "a.b/c", "49130", "x.TMP", "a#b", "tmp"] {
        assert_eq!(by_default.excluded(&path(kept), false), None, "{kept}");
    }
    assert_eq!(by_default.excluded(&path(".git"), true), Some(DOT_FILES));
    assert_eq!(by_default.excluded(&RelPath::root(), true), None);
}

#[test]
fn globs_match_as_an_operator_expects() {
    for (glob, hits, misses) in [
        ("*.log", &["x.log", "a/b/x.log", "x.log/in"][..], &["x.logs", "X.LOG"][..]),
        ("/top.html", &["top.html"], &["a/top.html"]),
        ("a/*.js", &["a/x.js"], &["a/b/x.js", "x/a/x.js"]),
        ("a/**/x", &["a/x", "a/b/c/x"], &["b/a/x"]),
        ("cache/", &["cache/x", "a/cache/b/x"], &["cache", "a/cache", "caches/x"]),
        ("/cache/", &["cache/x"], &["a/cache/x"]),
        ("a/cache/**", &["a/cache/b/x"], &["a/cache", "cache/b"]),
        ("**/node_modules/**", &["node_modules/x", "a/node_modules/x"], &["node_modules"]),
        ("*.{js,css}", &["a/x.js", "x.css"], &["x.jsx"]),
        ("**", &["a", "a/b"], &[]),
        ("\\!x", &["a/!x"], &["x"]),
    ] {
        let mapping = mapping(|spec| spec.exclude = vec![glob.to_owned()]);
        for hit in hits {
            assert_eq!(mapping.excluded(&path(hit), false), Some(glob), "{glob} {hit}");
        }
        for miss in misses {
            assert_eq!(mapping.excluded(&path(miss), false), None, "{glob} {miss}");
        }
    }
    let trees = mapping(|spec| spec.exclude = vec!["cache/".into(), "a/b/**".into()]);
    assert_eq!(trees.excluded(&path("x/cache"), true), Some("cache/"));
    assert_eq!(trees.excluded(&path("a/b"), true), Some("a/b/**"));
}

#[test]
fn bytes_that_are_not_utf_8_can_be_matched() {
    let mapping = mapping(|spec| spec.exclude = vec!["*.bak".into(), "secret/".into()]);
    assert_eq!(mapping.excluded(&path(b"caf\xe9.bak"), false), Some("*.bak"));
    assert_eq!(mapping.excluded(&path(b"\xff/secret/\xfe"), false), Some("secret/"));
    assert_eq!(mapping.excluded(&path(b"caf\xe9.html"), false), None);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let mut spec = spec();
    spec.domains =
        vec!["https://a.example".into(), "www.example.com".into(), "http://A.example/".into()];
    spec.index = vec!["index.html".into(), "a/b".into(), String::new()];
    spec.exclude = vec!["ok".into(), "a[".into(), "!keep".into(), "../x".into(), String::new()];
    spec.prefetch = vec!["{a".into()];
    let errors = Mapping::new(spec).expect_err("wrong");
    let places: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.item)).collect();
    assert_eq!(
        places,
        [
            ("domains", Some(1)),
            ("domains", Some(2)),
            ("index", Some(1)),
            ("index", Some(2)),
            ("prefetch", Some(0)),
            ("exclude", Some(1)),
            ("exclude", Some(2)),
            ("exclude", Some(3)),
            ("exclude", Some(4)),
        ]
    );
    assert!(errors[0].to_string().contains("https://www.example.com"));
    assert!(errors[1].to_string().contains("twice"));
    let none = Mapping::new(Spec { domains: Vec::new(), ..self::spec() }).expect_err("no domain");
    assert_eq!((none[0].field, none[0].item), (Field::Domains, None));
}

#[test]
fn a_change_makes_wishes() {
    let mapping = mapping(|spec| spec.prefetch = vec!["*.html".into()]);
    let (now, later) = (Timestamp::from_seconds(1), Timestamp::from_seconds(11));
    let deploy = DeployId::new(now, 7);
    let origin = OriginName::from("www");
    let change = |kind, force| Change {
        path: path("d/index.html"),
        kind,
        digest: Some(Digest([1; 16])),
        force,
    };
    let wishes = |change: &Change| {
        let mapped = mapping.wishes(&origin, change, &deploy, Witness::Watch, now, later);
        assert_eq!(mapped.unmappable, []);
        mapped.made
    };
    let made = wishes(&change(ChangeKind::Modified, true));
    let brief: Vec<_> =
        made.iter().map(|wish| (wish.action, wish.target.text.as_str(), wish.force)).collect();
    assert_eq!(
        brief,
        [
            (Action::Refresh, "https://www.example.com/d/index.html", true),
            (Action::Refresh, "https://www.example.com/d/", true),
            (Action::Prefetch, "https://www.example.com/d/index.html", false),
        ]
    );
    for wish in &made {
        assert_eq!(wish.not_before, later);
        assert_eq!(wish.cause.at, now);
        assert_eq!(wish.cause.path, Some(path("d/index.html")));
        assert_eq!(wish.cause.deploy.as_ref(), Some(&deploy));
    }
    let removed = wishes(&change(ChangeKind::Removed, true));
    assert!(removed.iter().all(|wish| wish.action == Action::Refresh));
}

const SITE: &str = "https://www.example.com";

/// The URLs of a path on the one domain, without the domain.
fn paths(mapping: &Mapping, text: &str) -> Vec<String> {
    let below = |url: String| url.strip_prefix(SITE).map_or(url.clone(), str::to_owned);
    urls(mapping, text).into_iter().map(below).collect()
}

fn rewrite(from: &str, to: &[&str], only: bool) -> RewriteSpec {
    let to = to.iter().map(|&to| to.to_owned()).collect();
    RewriteSpec { from: from.to_owned(), to, only }
}

/// What a change would cause: kind, path, and `prefetch` in front of a prefetch.
fn asked(mapping: &Mapping, text: &str, kind: ChangeKind, force: bool) -> Vec<String> {
    let explained = mapping.explain(&path(text), kind, force);
    let shown = |(action, target): &(Action, Target)| {
        let below = target.text.trim_start_matches(SITE);
        match (action, target.kind) {
            (Action::Prefetch, _) => format!("prefetch {below}"),
            (_, Kind::Url) => below.to_owned(),
            (_, kind) => format!("{kind} {below}"),
        }
    };
    explained.asks.iter().map(shown).collect()
}

#[test]
fn a_page_has_a_url_without_its_ending() {
    let mapping = mapping(|spec| spec.clean_urls = vec![".html".into(), ".htm".into()]);
    assert_eq!(paths(&mapping, "d/a.html"), ["/d/a.html", "/d/a"]);
    assert_eq!(paths(&mapping, "a.b.htm"), ["/a.b.htm", "/a.b"]);
    assert_eq!(paths(&mapping, "d/index.html"), ["/d/index.html", "/d/"]);
    assert_eq!(paths(&mapping, "d/a.css"), ["/d/a.css"]);
    assert_eq!(paths(&mapping, "d/.html"), ["/d/.html"]);
}

#[test]
fn another_form_of_a_file_is_that_file() {
    let mapping = mapping(|spec| {
        spec.variants = vec!["*.br".into(), "*.html.{de,en}".into(), "d/*.gz".into()];
        spec.clean_urls = vec![".html".into()];
        spec.rewrites = vec![rewrite("s/**", &["/{1}"], true)];
    });
    assert_eq!(paths(&mapping, "app.js.br"), ["/app.js"]);
    assert_eq!(paths(&mapping, "x/index.html.de.br"), ["/x/index.html", "/x/"]);
    assert_eq!(paths(&mapping, "page.html.en"), ["/page.html", "/page"]);
    assert_eq!(paths(&mapping, "d/a.tar.gz"), ["/d/a.tar"]);
    assert_eq!(paths(&mapping, "a.tar.gz"), ["/a.tar.gz"]);
    assert_eq!(paths(&mapping, "x/br"), ["/x/br"]);
    assert_eq!(paths(&mapping, "s/a.js.br"), ["/a.js"]);
}

#[test]
fn a_rewrite_gives_urls_by_what_its_wildcards_matched() {
    let mapping = mapping(|spec| {
        spec.rewrites = vec![
            rewrite("content/posts/*.md", &["/posts/{1}/", "/feed.xml"], true),
            rewrite("content/**/_index.md", &["/{1}/index.html"], true),
            rewrite("static/**", &["https://static.example.net/s/{1}"], false),
            rewrite("data/*/*.json", &["/search?of={2}&in={1}"], true),
            rewrite("{de,en}/**", &["/{2}", "/{0}"], false),
        ];
    });
    assert_eq!(paths(&mapping, "content/posts/a b.md"), ["/posts/a%20b/", "/feed.xml"]);
    assert_eq!(paths(&mapping, "content/_index.md"), ["/index.html", "/"]);
    assert_eq!(paths(&mapping, "content/x/y/_index.md"), ["/x/y/index.html", "/x/y/"]);
    let moved = ["/static/a/x.css", "https://static.example.net/s/a/x.css"];
    assert_eq!(paths(&mapping, "static/a/x.css"), moved);
    assert_eq!(paths(&mapping, "data/t/a&b.json"), ["/search?of=a%26b&in=t"]);
    assert_eq!(paths(&mapping, "de/a/index.html").len(), 4, "each URL once");
    assert_eq!(paths(&mapping, "content/other.md"), ["/content/other.md"]);
    let hosts: Vec<_> = mapping.hosts().collect();
    assert_eq!(hosts, ["www.example.com", "static.example.net"]);
}

#[test]
fn what_a_rewrite_makes_of_odd_names_is_refused_or_encoded() {
    let mapping = mapping(|spec| {
        spec.rewrites = vec![rewrite("posts/*x*", &["/p/%C3%A9/{1}/{2}"], true)];
    });
    assert_eq!(paths(&mapping, "posts/a?xb#"), ["/p/%C3%A9/a%3F/b%23"]);
    let mapped = mapping.urls(&path("posts/..xb"));
    assert_eq!((mapped.made.len(), mapped.unmappable.len()), (0, 1));
}

#[test]
fn a_rewrite_is_right_below_each_domain() {
    let mapping = mapping(|spec| {
        spec.domains = vec![SITE.into(), "https://b.example/docs".into()];
        spec.rewrites = vec![rewrite("**/*.md", &["/{1}/{2}.html"], true)];
    });
    let expected = ["/a/x.html", "https://b.example/docs/a/x.html"];
    assert_eq!(paths(&mapping, "a/x.md"), expected);
}

#[test]
fn query_strings_are_refreshed_one_by_one_or_all_at_once() {
    let mapping = mapping(|spec| {
        spec.prefetch = vec!["*.js".into()];
        spec.queries = vec![
            QuerySpec {
                paths: vec!["*.css".into()],
                variants: vec!["?v=1".into(), "lang=d e".into()],
                ignore_params: false,
            },
            QuerySpec { paths: vec!["*.js".into()], variants: vec![], ignore_params: true },
            QuerySpec {
                paths: vec!["app.js".into()],
                variants: vec!["?v=1".into()],
                ignore_params: false,
            },
        ];
    });
    let modified = |text| asked(&mapping, text, ChangeKind::Modified, false);
    assert_eq!(modified("a/x.css"), ["/a/x.css", "/a/x.css?v=1", "/a/x.css?lang=d%20e"]);
    assert_eq!(modified("a/app.js"), ["ignore_params /a/app.js", "prefetch /a/app.js"]);
    assert_eq!(modified("a/x.png"), ["/a/x.png"]);
    assert_eq!(paths(&mapping, "a/app.js"), ["/a/app.js"]);
}

#[test]
fn what_the_cdn_keeps_shortly_is_left_alone() {
    let mapping = mapping(|spec| {
        spec.short_ttl = vec!["/live/".into(), "/feed.xml".into()];
        spec.prefetch = vec!["live/".into()];
        spec.rewrites = vec![rewrite("posts/*.md", &["/feed.xml", "/posts/{1}/", "/live/"], true)];
    });
    assert_eq!(paths(&mapping, "live/score.json"), [""; 0]);
    assert_eq!(asked(&mapping, "live/score.json", ChangeKind::Removed, true), [""; 0]);
    assert_eq!(paths(&mapping, "posts/a.md"), ["/posts/a/"]);
    assert_eq!(paths(&mapping, "feed.xml"), [""; 0]);
}

#[test]
fn a_fingerprinted_file_is_not_refreshed_when_it_is_merely_created() {
    let mapping = mapping(|spec| {
        spec.variants = vec!["*.br".into()];
        spec.immutable = vec!["build/**".into()];
        spec.prefetch = vec!["*.css".into()];
        spec.rewrites = vec![rewrite("assets/*.js", &["/assets.json"], false)];
    });
    let created = |text| asked(&mapping, text, ChangeKind::Created, false);
    assert_eq!(created("app.3f9c1a7b.js"), [""; 0]);
    assert_eq!(created("app.3f9c1a7b.js.br"), [""; 0]);
    assert_eq!(created("build/x/y.js"), [""; 0]);
    assert_eq!(created("app.3f9c1a7b.css"), ["prefetch /app.3f9c1a7b.css"]);
    assert_eq!(created("assets/a.3f9c1a7b.js"), ["/assets.json"]);
    assert_eq!(created("app.js"), ["/app.js"]);
    for (kind, force) in
        [(ChangeKind::Created, true), (ChangeKind::Modified, false), (ChangeKind::Removed, true)]
    {
        assert_eq!(asked(&mapping, "app.3f9c1a7b.js", kind, force), ["/app.3f9c1a7b.js"]);
    }
    assert!(mapping.is_immutable(&path("build/x")) && !mapping.is_immutable(&path("x/build.js")));
    let off = self::mapping(|spec| spec.immutable_defaults = false);
    assert_eq!(asked(&off, "app.3f9c1a7b.js", ChangeKind::Created, false), ["/app.3f9c1a7b.js"]);
}

#[test]
fn slips_in_rules_are_said_with_their_remedy() {
    let mut spec = spec();
    spec.clean_urls = vec!["html".into()];
    spec.rewrites = vec![
        rewrite("*.md", &["/{1}"], false),
        rewrite("a/*.md", &["/{2}", "posts/{1}", "/x{1", "/../{1}", "https://{1}.example/"], false),
        rewrite("a/*", &[], true),
    ];
    spec.queries = vec![
        QuerySpec { paths: vec![], variants: vec![], ignore_params: false },
        QuerySpec { paths: vec!["a[".into()], variants: vec!["?".into()], ignore_params: true },
    ];
    let errors = Mapping::new(spec).expect_err("wrong");
    let places: Vec<_> =
        errors.iter().map(|error| (error.field.as_str(), error.rule, error.item)).collect();
    assert_eq!(
        places,
        [
            ("clean_urls", None, Some(0)),
            ("from", Some(0), None),
            ("to", Some(1), Some(0)),
            ("to", Some(1), Some(1)),
            ("to", Some(1), Some(2)),
            ("to", Some(1), Some(3)),
            ("to", Some(1), Some(4)),
            ("to", Some(2), None),
            ("paths", Some(0), None),
            ("variants", Some(0), None),
            ("variants", Some(1), None),
            ("variants", Some(1), Some(0)),
            ("paths", Some(1), Some(0)),
        ]
    );
    assert!(errors[2].why.contains("known are `{0}`, the whole path, `{1}`"), "{}", errors[2]);
}

#[test]
fn each_rule_says_what_it_did() {
    let mapping = mapping(|spec| {
        spec.exclude = vec!["drafts/**".into()];
        spec.rewrites = vec![rewrite("posts/*.md", &["/posts/{1}/"], true)];
        spec.short_ttl = vec!["/live/".into()];
    });
    let said = |text: &str, kind| -> Vec<String> {
        let explained = mapping.explain(&path(text), kind, false);
        let step = |step: &Step| {
            let sign = if step.fired { '+' } else { '-' };
            let number = step.number.map(|number| number.to_string()).unwrap_or_default();
            format!("{sign} {} {}{number}: {}", step.about, step.rule.as_str(), step.why)
        };
        explained.steps.iter().map(step).collect()
    };
    assert_eq!(
        said("posts/a.md", ChangeKind::Modified),
        [
            "- posts/a.md exclude: `drafts/**` doesn't match, and no default matches",
            "+ posts/a.md rewrite1: `posts/*.md` gives /posts/a/, and the file has no URL of its own",
            "- /posts/a/ variants: no glob is named",
            "- /posts/a/ short_ttl: `/live/` doesn't match",
            "- /posts/a/ immutable: its name carries no fingerprint, and no glob is named",
            "- /posts/a/ index: it is a directory",
            "- /posts/a/ clean_urls: it is a directory",
            "- posts/a.md prefetch: no glob is named",
        ]
    );
    let excluded = said("drafts/a", ChangeKind::Modified);
    assert_eq!(
        excluded,
        ["+ drafts/a exclude: `drafts/**` matches: what happens to it causes nothing"]
    );
}

proptest! {
    #[test]
    fn an_explanation_ends_in_what_is_wished_for(
        text in "(posts|d|live|s){0,1}/?[a-c]{1,2}[.](md|html|css|3f9c1a7b[.]js|js[.]br)",
        kind in prop::sample::select(&[ChangeKind::Created, ChangeKind::Modified, ChangeKind::Removed][..]),
        force: bool,
    ) {
        let mapping = mapping(|spec| {
            spec.clean_urls = vec![".html".into()];
            spec.variants = vec!["*.br".into()];
            spec.short_ttl = vec!["live/**".into()];
            spec.prefetch = vec!["*.html".into()];
            spec.rewrites = vec![rewrite("posts/*", &["/p/{1}", "/live/{1}"], true)];
            let (paths, variants) = (vec!["s/**".into()], Vec::new());
            spec.queries = vec![QuerySpec { paths, variants, ignore_params: true }];
        });
        let path = path(text.trim_start_matches('/'));
        let change = Change { path: path.clone(), kind, digest: None, force };
        let (now, origin) = (Timestamp::EPOCH, OriginName::from("www"));
        let deploy = DeployId::new(now, 1);
        let wishes = mapping.wishes(&origin, &change, &deploy, Witness::Watch, now, now).made;
        let wished: Vec<_> = wishes.into_iter().map(|wish| (wish.action, wish.target)).collect();
        prop_assert_eq!(&wished, &mapping.explain(&path, kind, force).asks);
        let refreshed = wished.iter().filter(|(action, _)| *action == Action::Refresh).count();
        prop_assert!(refreshed == 0 || refreshed == mapping.urls(&path).made.len());
        let explained = mapping.explain(&path, kind, force).steps;
        prop_assert!(explained.iter().all(|step| !step.why.is_empty()));
    }

    #[test]
    fn what_lies_in_an_excluded_directory_is_excluded(
        glob in "[a-c*/]{1,5}",
        directory in "[a-c]{1,2}(/[a-c]{1,2}){0,2}",
        below in "[a-c]{1,2}(/[a-c]{1,2}){0,2}",
    ) {
        let mut spec = spec();
        spec.exclude = vec![glob];
        if let Ok(mapping) = Mapping::new(spec)
            && mapping.excluded(&path(&directory), true).is_some()
        {
            let inside = path(format!("{directory}/{below}"));
            prop_assert!(mapping.excluded(&inside, false).is_some());
            prop_assert!(mapping.excluded(&inside, true).is_some());
        }
    }
}

#[test]
fn a_directory_makes_no_file_another_form_of_one() {
    let mapping = mapping(|spec| spec.variants = vec!["*.de".into(), "*.br".into()]);
    let file = "https://www.example.com/www.example.de/app.js";
    assert_eq!(urls(&mapping, "www.example.de/app.js"), [file]);
    assert_eq!(urls(&mapping, "www.example.de/app.js.br"), [file]);
    let mut spec = spec();
    spec.variants = vec!["*.br".into(), "packed/**".into()];
    let [error] = Mapping::new(spec).expect_err("a tree").try_into().expect("one");
    assert_eq!((error.field, error.item), (Field::Variants, Some(1)));
    assert!(error.why.contains("`packed/**/*.gz`"), "{}", error.why);
}

#[test]
fn what_a_rewrite_can_never_ask_for_is_refused_at_once() {
    for to in ["/%2e%2e/{1}", "/a/%2E", "/a%2Fb/{1}", "/a%00{1}"] {
        let mut spec = spec();
        let rewrite = RewriteSpec { from: "x/*".into(), to: vec![to.into()], only: false };
        spec.rewrites = vec![rewrite];
        let [error] = Mapping::new(spec).expect_err(to).try_into().expect("one");
        assert_eq!((error.field, error.item), (Field::RewriteTo, Some(0)), "{to}");
    }
}
