//! Where a cached copy is kept, and which copies a refresh reaches.
//!
//! Paths and queries are compared in one spelling: of every byte that may be written either way,
//! one way is chosen. A slash stays different from `%2F`.

use axum::http::HeaderMap;
use regex::Regex;

use crate::domain::ask::{Kind, Target};
use crate::sandbox::model::pattern::{Piece, pieces};

/// The domains that copies are kept apart by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// Takes the domains' names in lower case. With fewer than two, every host is the same one.
    pub(crate) fn new(domains: Vec<String>) -> Self {
        Self(domains)
    }

    /// Returns the domain that a `Host` means. One that isn't listed (a visitor on
    /// `127.0.0.1:PORT`, say) means the first, for which the empty name stands.
    fn fold(&self, host: &str) -> String {
        let name = host.split(':').next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        let at = self.0.iter().position(|domain| *domain == name);
        if at.unwrap_or(0) == 0 { String::new() } else { name }
    }
}

/// Where a copy is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    host: String,
    path: String,
    query: Option<String>,
}

impl Key {
    /// Makes the key of a request.
    pub(crate) fn new(hosts: &Hosts, host: &str, path_and_query: &str) -> Self {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let path = spell(path, true);
        Self {
            host: hosts.fold(host),
            path: if path.is_empty() { "/".to_owned() } else { path },
            query: query.map(|query| spell(query, false)),
        }
    }

    fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// Which copies a refresh reaches.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    Url(Key),
    Directory(Key),
    IgnoreParams(Key),
    Regex { host: String, whole: Regex },
    Tag { host: String, tag: String },
}

impl Reach {
    /// Reads a target that the API has accepted.
    pub(crate) fn new(hosts: &Hosts, target: &Target) -> Result<Self, regex::Error> {
        let (host, rest) = split(&target.text);
        Ok(match target.kind {
            Kind::Url => Self::Url(Key::new(hosts, host, rest)),
            Kind::Directory => Self::Directory(Key::new(hosts, host, rest)),
            Kind::IgnoreParams => Self::IgnoreParams(Key::new(hosts, host, rest)),
            Kind::Tag => {
                let tag = target.tag().unwrap_or_default().to_owned();
                Self::Tag { host: hosts.fold(host), tag }
            }
            Kind::Regex => Self::Regex { host: hosts.fold(host), whole: compile(rest)? },
        })
    }

    /// Returns whether it reaches what is, or will be, kept there; by tag, whether it may: that is for
    /// the copy's headers to say.
    pub(crate) fn covers(&self, key: &Key) -> bool {
        match self {
            Self::Url(url) => url == key,
            Self::Directory(top) => top.host == key.host && key.path.starts_with(&top.path),
            Self::IgnoreParams(url) => url.host == key.host && url.path == key.path,
            Self::Regex { host, whole } => {
                *host == key.host && whole.is_match(&key.path_and_query())
            }
            Self::Tag { host, .. } => *host == key.host,
        }
    }

    /// Returns whether it reaches a copy that it [`covers`](Self::covers), whose origin may have labelled
    /// it with `Cache-Tag: a,b`.
    pub(crate) fn means(&self, headers: &HeaderMap) -> bool {
        let Self::Tag { tag, .. } = self else { return true };
        let labels =
            headers.get_all("cache-tag").into_iter().filter_map(|value| value.to_str().ok());
        labels.flat_map(|value| value.split(',')).any(|label| label.trim() == tag)
    }
}

/// Splits a URL, with or without scheme, into host and what follows.
pub(crate) fn split(text: &str) -> (&str, &str) {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

/// Makes a regular expression of an accepted one; it has to match from the path's first slash to
/// the query's end.
fn compile(text: &str) -> Result<Regex, regex::Error> {
    let mut expression = "^".to_owned();
    let mut in_path = true;
    for piece in pieces(text).unwrap_or_default() {
        match piece {
            Piece::Form(form) => expression.push_str(form),
            Piece::Literal(literal) => {
                let (path, query) = match literal.split_once('?') {
                    Some((path, query)) if in_path => (path, Some(query)),
                    _ => (literal, None),
                };
                expression.push_str(&regex::escape(&spell(path, in_path)));
                if let Some(query) = query {
                    in_path = false;
                    expression.push_str(r"\?");
                    expression.push_str(&regex::escape(&spell(query, false)));
                }
            }
        }
    }
    expression.push('$');
    Regex::new(&expression)
}

/// Spells text in the one way that copies are compared by: unreserved characters plain, in a path
/// everything else but the slash percent-encoded; in a query reserved characters stay as written.
fn spell(text: &str, path: bool) -> String {
    let bytes = text.as_bytes();
    let mut spelled = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let escaped = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = escaped.unwrap_or(bytes[at]);
        at += if escaped.is_some() { 3 } else { 1 };
        let unreserved = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let separator = escaped.is_none()
            && if path { byte == b'/' } else { byte.is_ascii_graphic() && byte != b'%' };
        if unreserved || separator {
            spelled.push(char::from(byte));
        } else {
            spelled.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
    spelled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(url: &str) -> Key {
        let (host, rest) = split(url);
        Key::new(&Hosts::default(), host, rest)
    }

    fn reach(kind: Kind, text: &str) -> Reach {
        Reach::new(&Hosts::default(), &Target::new(kind, text)).expect("a valid target")
    }

    #[test]
    fn spellings_of_one_url_share_a_key() {
        assert_eq!(
            key("http://a.example/%7Ex/%e4%BD%a0!"),
            key("https://a.example/~x/%E4%BD%A0%21")
        );
        assert_eq!(key("a.example"), key("http://a.example/"));
        assert_ne!(key("http://a.example/a%2Fb"), key("http://a.example/a/b"));
        assert_ne!(key("http://a.example/a?x=1%26y"), key("http://a.example/a?x=1&y"));
        assert_ne!(key("http://a.example/a?"), key("http://a.example/a"));
    }

    #[test]
    fn hosts_count_only_when_there_are_several() {
        let hosts = Hosts::new(vec!["a.example".into(), "b.example".into()]);
        let of = |host| Key::new(&hosts, host, "/x");
        assert_eq!(of("127.0.0.1:8080"), of("A.example"));
        assert_ne!(of("b.example:80"), of("a.example"));
        assert_eq!(key("http://a.example/x"), key("http://b.example/x"));
        let reach = Reach::new(&hosts, &Target::new(Kind::Directory, "http://b.example/"));
        let reach = reach.expect("a valid target");
        assert!(reach.covers(&of("b.example")) && !reach.covers(&of("a.example")));
    }

    #[test]
    fn each_kind_reaches_what_it_says() {
        let cases = [
            (Kind::Url, "http://a.example/x?q", "/x?q", "/x"),
            (Kind::Directory, "http://a.example/d/", "/d/e/x?q", "/dd"),
            (Kind::IgnoreParams, "http://a.example/x", "/x?q", "/xy"),
            (Kind::Regex, "http://a.example/[0-9][a-z].*.jpg", "/1b/c!.jpg", "/1b/xjpg"),
            (Kind::Regex, "http://a.example/[^/]*?v=[0-9]", "/a?v=1", "/a/b?v=1"),
            (Kind::Regex, "http://a.example/%7ea(b)", "/~a(b)", "/~a(b)c"),
        ];
        for (kind, target, reached, other) in cases {
            let reach = reach(kind, target);
            assert!(reach.covers(&key(&format!("a.example{reached}"))), "{target} {reached}");
            assert!(!reach.covers(&key(&format!("a.example{other}"))), "{target} {other}");
        }
    }

    proptest! {
        #[test]
        fn spelling_twice_changes_nothing(text in "[ -~é]{0,20}", path: bool) {
            let once = spell(&text, path);
            prop_assert_eq!(spell(&once, path), once);
        }
    }
}
