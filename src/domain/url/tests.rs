use proptest::prelude::*;

use super::*;
use crate::domain::ask::{Kind, Target};

fn parse(text: &str) -> String {
    CanonicalUrl::parse(text).expect("valid").0
}

fn base() -> Base {
    Base::parse("https://www.example.com").expect("valid")
}

fn same_target(ours: &Target, object_path: &str) -> bool {
    listed_target(ours.kind, object_path) == *ours
}

#[test]
fn one_object_has_one_spelling() {
    for (written, canonical) in [
        ("https://a.example", "https://a.example/"),
        ("http://A.Example:80/x", "https://a.example/x"),
        ("HTTPS://a.example:443/x", "https://a.example/x"),
        ("https://a.example:/x", "https://a.example/x"),
        ("https://a.example./x", "https://a.example/x"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://a.example/%7Euser", "https://a.example/~user"),
        ("https://a.example/~user", "https://a.example/~user"),
        ("https://a.example/a%2fb", "https://a.example/a%2Fb"),
        ("https://a.example/é x", "https://a.example/%C3%A9%20x"),
        ("https://a.example/%e9", "https://a.example/%E9"),
        ("https://a.example/a+b", "https://a.example/a%2Bb"),
        ("https://a.example/100%", "https://a.example/100%25"),
        ("https://a.example/100%25", "https://a.example/100%25"),
        ("https://a.example/[x]|\\", "https://a.example/%5Bx%5D%7C%5C"),
        ("https://a.example?q=1", "https://a.example/?q=1"),
        ("https://a.example/x?a=%7e&b=c+d é", "https://a.example/x?a=%7e&b=c+d%20%C3%A9"),
        ("https://a.example/x??/..", "https://a.example/x??/.."),
        ("  https://a.example/x\n", "https://a.example/x"),
        ("http://127.0.0.1/x", "https://127.0.0.1/x"),
        ("http://localhost/x", "https://localhost/x"),
    ] {
        assert_eq!(parse(written), canonical, "{written}");
    }
}

#[test]
fn what_the_cdn_cannot_serve_is_refused_with_a_remedy() {
    for (written, message) in [
        ("a.example/x", "write `https://a.example/x`"),
        ("ftp://a.example/x", "not `ftp`"),
        ("https://me:pw@a.example/x", "remove what stands before `@`"),
        ("https://a.example:8443/x", "remove `:8443`"),
        ("http://a.example:443/x", "remove `:443`"),
        ("https://*.example/x", "name each one"),
        ("https://%2a.example/x", "name each one"),
        ("https://＊.example/x", "name each one"),
        ("https://a{b}.example/x", "no host name has"),
        ("https://[::1]/x", "not a name"),
        ("https://[::1]:443/x", "not a name"),
        ("https:///x", "not a host name"),
        ("https://a..example/x", "dots is empty"),
        ("https://a b/x", "not a host name"),
        ("https://a.example/x#top", "remove `#top`"),
        ("https://a.example/a/../x", "`..` part"),
        ("https://a.example/%2e%2E/x", "`..` part"),
        ("https://a.example/a\nhttps://a.example/b", "one URL a line"),
    ] {
        let error = CanonicalUrl::parse(written).expect_err(written).to_string();
        assert!(error.contains(message), "{written}: {error}");
    }
}

#[test]
fn no_url_is_longer_than_there_is_room_for() {
    let fits = vec![b'x'; MAX_LENGTH - base().url().as_str().len()];
    assert!(CanonicalUrl::of_path(&base(), &fits).is_ok());
    let long = [fits, b"y".to_vec()].concat();
    let error = CanonicalUrl::of_path(&base(), &long).expect_err("too long");
    assert!(error.to_string().contains("8193 characters long, and the CDN takes 8192"), "{error}");
}

#[test]
fn a_base_carries_its_prefix() {
    let base = Base::parse("http://a.example/some docs").expect("valid");
    assert_eq!(base.to_string(), "https://a.example/some%20docs/");
    let url = CanonicalUrl::of_path(&base, b"x/y.html").expect("valid");
    assert_eq!(url.as_str(), "https://a.example/some%20docs/x/y.html");
    assert!(Base::parse("https://a.example/?q").is_err());
}

#[test]
fn a_cache_tag_belongs_to_a_domain() {
    let tag = |text: &str| canonical_target(Kind::Tag, text).map(|target| target.text);
    for written in ["http://A.example#a/b%", "https://a.example/#a/b%"] {
        assert_eq!(tag(written), Ok("https://a.example/#a/b%".to_owned()));
    }
    for (written, message) in [
        ("https://a.example/", "is no cache tag"),
        ("https://a.example/#", "is no cache tag"),
        ("https://a.example/#a,b", "`a,b` is no cache tag"),
        ("https://a.example/#a b", "is no cache tag"),
        ("https://a.example/#a\nb", "is no cache tag"),
        ("https://a.example/#ä", "is no cache tag"),
        ("https://a.example/d/#a", "write `https://a.example/#TAG`"),
        ("https://a.example/d#a", "write `https://a.example/#TAG`"),
        ("https://a.example/?q#a", "write `https://a.example/#TAG`"),
        ("news", "no scheme"),
    ] {
        let error = tag(written).expect_err(written).to_string();
        assert!(error.contains(message), "{written}: {error}");
    }
}

#[test]
fn a_url_can_be_taken_apart() {
    let url = CanonicalUrl::parse("https://a.example/d/?q=/x").expect("valid");
    assert_eq!(url.host(), "a.example");
    assert!(url.is_directory());
    assert_eq!(url.query(), Some("q=/x"));
    assert_eq!(url.without_query().as_str(), "https://a.example/d/");
    assert!(!CanonicalUrl::parse("https://a.example/d?q=/").expect("valid").is_directory());
}

#[test]
fn targets_are_checked_by_kind() {
    let text = |kind, text| canonical_target(kind, text).map(|target| target.text);
    assert_eq!(text(Kind::Directory, "http://a.example"), Ok("https://a.example/".to_owned()));
    let error = text(Kind::Directory, "https://a.example/d").expect_err("no slash");
    assert!(error.to_string().contains("write `https://a.example/d/`"), "{error}");
    assert!(text(Kind::Directory, "https://a.example/d/?q").is_err());
    assert!(text(Kind::IgnoreParams, "https://a.example/x?q").is_err());
    assert!(text(Kind::IgnoreParams, "https://a.example/x").is_ok());
}

#[test]
fn an_expression_has_four_forms() {
    let text = |text| canonical_target(Kind::Regex, text).map(|target| target.text);
    for (written, canonical) in [
        ("http://A.example/[0-9][a-z].*.jpg", "https://a.example/[0-9][a-z].*.jpg"),
        ("https://a.example/[^/]*/é", "https://a.example/[^/]*/%C3%A9"),
        ("https://a.example/.%2A", "https://a.example/.%2A"),
        ("https://a.example/x?v=[0-9]&w=a+b?", "https://a.example/x?v=[0-9]&w=a+b?"),
        ("https://a.example", "https://a.example/"),
    ] {
        assert_eq!(text(written), Ok(canonical.to_owned()), "{written}");
        assert_eq!(text(canonical), Ok(canonical.to_owned()), "{canonical}");
    }
    for bad in [
        "https://.*/x",
        "https://[a-z].example/x",
        "https://a.example/[A-Z]",
        "https://a.example/a*",
        "https://a.example/(a|b)",
        "https://a.example/\\d",
        "https://a.example/[^/]",
    ] {
        assert!(text(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_row_of_the_cdn_is_known_in_any_spelling() {
    let url = Target::new(Kind::Url, "https://a.example/~x%20y");
    for row in [
        "https://a.example/~x%20y",
        "http://a.example/~x%20y",
        "a.example/%7ex%20y",
        "HTTP://A.EXAMPLE:80/~x y",
    ] {
        assert!(same_target(&url, row), "{row}");
    }
    for row in ["https://b.example/~x%20y", "https://a.example/~x%20y?", "", "///"] {
        assert!(!same_target(&url, row), "{row}");
    }
    let query = Target::new(Kind::Url, "https://a.example/x?to=http://b");
    assert!(same_target(&query, "http://a.example/x?to=http://b"));
    assert!(same_target(&query, "a.example/x?to=http://b"));
    let regex = Target::new(Kind::Regex, "https://a.example/.*.jpg");
    assert!(same_target(&regex, "http://a.example/.*.jpg"));
}

/// Paths as a file system may hold them: any bytes but NUL, no empty, `.` or `..` part.
fn path_bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = proptest::collection::vec(1_u8.., 1..12)
        .prop_map(|part| part.into_iter().filter(|byte| *byte != b'/').collect::<Vec<u8>>())
        .prop_filter("a plain part", |part| !matches!(part.as_slice(), b"" | b"." | b".."));
    proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join(&b'/'))
}

proptest! {
    #[test]
    fn canonicalisation_is_idempotent(text in "https?://[a-zA-Z]{1,5}\\.example(/[ -~é%+/.]{0,20})?(\\?\\PC{0,20})?") {
        if let Ok(url) = CanonicalUrl::parse(&text) {
            prop_assert!(url.as_str().is_ascii());
            prop_assert!(!url.as_str().contains(|character: char| character.is_control() || character == ' '));
            prop_assert_eq!(CanonicalUrl::parse(url.as_str()), Ok(url.clone()));
            let target = Target::new(Kind::Url, url.as_str());
            prop_assert!(same_target(&target, &text));
        }
    }

    #[test]
    fn an_expression_is_idempotent(text in "https://a\\.example/([a-z%?+.A-F0-9/ ]|\\[0-9\\]|\\.\\*|\\[\\^/\\]\\*){0,12}") {
        if let Ok(target) = canonical_target(Kind::Regex, &text) {
            prop_assert_eq!(canonical_target(Kind::Regex, &target.text), Ok(target.clone()));
        }
    }

    #[test]
    fn a_tag_is_idempotent(text in "https?://A\\.example/?#[ -~]{0,12}") {
        if let Ok(target) = canonical_target(Kind::Tag, &text) {
            prop_assert_eq!(canonical_target(Kind::Tag, &target.text), Ok(target.clone()));
            prop_assert_eq!(target.tag(), text.split_once('#').map(|(_, tag)| tag));
        }
    }

    #[test]
    fn parsing_never_panics(text in "\\PC{0,40}") {
        for kind in Kind::ALL {
            let _ = canonical_target(kind, &text);
            let _ = canonical_target(kind, &format!("https://a.example/{text}"));
        }
    }

    #[test]
    fn a_path_has_one_url_and_it_reads_back(path in path_bytes()) {
        let url = CanonicalUrl::of_path(&base(), &path).expect("short");
        prop_assert!(url.as_str().is_ascii());
        prop_assert_eq!(url.as_str().lines().count(), 1);
        prop_assert_eq!(CanonicalUrl::parse(url.as_str()), Ok(url.clone()));
        let encoded = url.as_str().strip_prefix(base().url().as_str()).expect("below its base");
        let decoded: Vec<u8> = percent_decode_str(encoded).collect();
        // What decodes back to its path cannot be another path's URL.
        prop_assert_eq!(decoded, path);
    }
}
