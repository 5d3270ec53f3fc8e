use proptest::prelude::*;

use super::*;
use crate::domain::index::Digest;

fn spec() -> Spec {
    Spec {
        account: "main".into(),
        domains: vec!["https://www.example.com".into()],
        index: vec!["index.html".into()],
        directory_urls: DirectoryUrls::Slash,
        exclude: Vec::new(),
        exclude_defaults: true,
        prefetch: Vec::new(),
    }
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
    assert!(mapped.unmappable[0].to_string().contains("characters long"));
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

proptest! {
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
