//! Canonical CDN URLs: one spelling for what is one object in the cache.
//!
//! http and https are folded to `https`, because they share a cache entry (API reference, 1.3).

use std::fmt;

use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode,
};
use serde::{Deserialize, Serialize};

mod target;

#[cfg(test)]
mod tests;

pub use target::{canonical_target, listed_target, literal_start};

/// The longest URL that there is, in characters: the most that `url_bytes` of
/// [`Limits`](super::limits::Limits), which says what the CDN takes, can be set to.
pub const MAX_LENGTH: usize = 8_192;

/// Returns how many bytes text has in a query or form: percent-encoded but for unreserved characters.
#[must_use]
pub fn encoded_length(text: &str) -> usize {
    let length = |byte: u8| match byte {
        b'-' | b'_' | b'.' | b'~' => 1,
        byte if byte.is_ascii_alphanumeric() => 1,
        _ => 3,
    };
    text.bytes().map(length).sum()
}

/// What stands for itself in a path: unreserved characters and the separators that no decoder
/// changes. `+` is not among them, for some decoders read it as a space.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A part of a path, in which an encoded `/` must stay encoded.
const IN_PART: &AsciiSet = &IN_PATH.add(b'/');

/// What no browser sends in a query as it is (WHATWG URL, query percent-encode set). The rest is
/// kept as written, because the cache key is what visitors send.
const IN_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'#');

/// Why text is not a URL that the CDN can be asked for, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// No `http://` or `https://` in front.
    #[error("`{0}` has no scheme: write `https://{0}`")]
    NoScheme(String),
    /// Another scheme.
    #[error("the CDN serves http and https, not `{0}`")]
    Scheme(String),
    /// A user name or password.
    #[error("a CDN URL has no user name or password: remove what stands before `@`")]
    UserInfo,
    /// A port other than the scheme's own.
    #[error("the CDN serves the scheme's own port only: remove `:{0}`")]
    Port(String),
    /// `*` in the host.
    #[error("`{0}` is a wildcard: the CDN refreshes concrete host names only, so name each one")]
    Wildcard(String),
    /// Not a host name.
    #[error("`{host}` is not a host name the CDN serves: {why}")]
    Host {
        /// What stands there.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// A `#`.
    #[error("remove `#{0}`: a fragment never reaches a server; a `#` in a file name is `%23`")]
    Fragment(String),
    /// `.` or `..` as a part of the path.
    #[error("the path `{0}` has a `.` or `..` part: write the path it leads to")]
    DotPart(String),
    /// A line break or another control character.
    #[error("the URL holds a control character: write one URL a line, and such bytes as %XX")]
    Control,
    /// Too long.
    #[error("the URL is {length} characters long, and the CDN takes {most}: `{start}…`")]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// How long it may be.
        most: usize,
        /// Its first characters.
        start: String,
    },
    /// A text that is no cache tag.
    #[error("`{0}` is no cache tag: it is made of visible ASCII characters other than the comma")]
    Tag(String),
    /// A cache tag that belongs to less than a domain.
    #[error("a cache tag belongs to a whole domain: write `https://{0}/#TAG`")]
    TagBelow(String),
    /// A cache tag that is too long.
    #[error("the cache tag is {length} characters long, and the CDN takes {most}")]
    LongTag {
        /// Its length in characters.
        length: usize,
        /// How long it may be.
        most: usize,
    },
    /// A directory without its `/`.
    #[error("a directory must end in `/`: write `{0}/`")]
    DirectorySlash(String),
    /// A `?` where the target has none.
    #[error("{what} takes no query: remove `?` and what follows it")]
    Query {
        /// What was asked for.
        what: &'static str,
    },
    /// A regex of other forms than the four.
    #[error(
        "`{0}` is not understood by the CDN: an expression is made of `[0-9]`, `[a-z]`, `[^/]*`, \
         `.*` and literal characters"
    )]
    RegexForm(String),
}

/// A URL in its one spelling: `https`, host in lower case and punycode, no port, path
/// percent-encoded byte by byte in upper case, no fragment, at most [`MAX_LENGTH`] characters. A
/// query is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CanonicalUrl(String);

impl CanonicalUrl {
    /// Reads what an operator wrote. `%XX` and the character it stands for are one, except for
    /// `%2F`, which is no separator; a `%` that encodes nothing stands for itself.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (origin, rest) = split_origin(text)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let mut url = origin;
        url.push_str(&canonical_path(path)?);
        if let Some(query) = query {
            url.push('?');
            url.extend(utf8_percent_encode(query, IN_QUERY));
        }
        Self::checked(url)
    }

    /// Returns the URL below `base` of a path in bytes, parts joined by `/`; a trailing `/` stays.
    pub fn of_path(base: &Base, path: &[u8]) -> Result<Self, UrlError> {
        let encoded = percent_encode(path, IN_PATH).to_string();
        refuse_dot_parts(&encoded)?;
        Self::checked(format!("{base}{encoded}"))
    }

    fn checked(url: String) -> Result<Self, UrlError> {
        refuse_longer(&url, MAX_LENGTH)?;
        Ok(Self(url))
    }

    /// Returns the URL as text: ASCII, one line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the host.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.0.strip_prefix("https://").unwrap_or(&self.0);
        rest.split('/').next().unwrap_or_default()
    }

    /// Returns the URL without `?` and what follows it.
    #[must_use]
    pub fn without_query(&self) -> Self {
        Self(self.path_end().0.to_owned())
    }

    /// Returns the query after its `?`, if there is a `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.path_end().1
    }

    /// Returns whether the path ends in `/`. Such a URL can be refreshed but not prefetched.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.path_end().0.ends_with('/')
    }

    fn path_end(&self) -> (&str, Option<&str>) {
        match self.0.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&self.0, None),
        }
    }
}

impl fmt::Display for CanonicalUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for CanonicalUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        Self::parse(&text)
    }
}

impl From<CanonicalUrl> for String {
    fn from(url: CanonicalUrl) -> Self {
        url.0
    }
}

/// Where an origin's root is served: a canonical URL that ends in `/` and has no query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base(CanonicalUrl);

impl Base {
    /// Reads a domain with its scheme, and perhaps a path prefix; the last `/` may be missing.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let mut url = CanonicalUrl::parse(text)?;
        if url.query().is_some() {
            return Err(UrlError::Query { what: "a base URL" });
        }
        if !url.is_directory() {
            url.0.push('/');
        }
        CanonicalUrl::checked(url.0).map(Self)
    }

    /// Returns the base as a URL.
    #[must_use]
    pub fn url(&self) -> &CanonicalUrl {
        &self.0
    }
}

impl fmt::Display for Base {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Refuses the canonical text of a target, ASCII by construction, that is longer than `most`.
pub fn refuse_longer(text: &str, most: usize) -> Result<(), UrlError> {
    if text.len() > most {
        let start = text.chars().take(80).collect();
        return Err(UrlError::TooLong { length: text.len(), most, start });
    }
    Ok(())
}

/// Splits text into `https://host` in canonical form and what follows from the first `/` or `?`.
fn split_origin(text: &str) -> Result<(String, &str), UrlError> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(UrlError::Control);
    }
    if let Some((_, fragment)) = text.split_once('#') {
        return Err(UrlError::Fragment(fragment.to_owned()));
    }
    // A `://` further on belongs to a query.
    let Some((scheme, rest)) =
        text.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?']))
    else {
        return Err(UrlError::NoScheme(text.to_owned()));
    };
    let own_port = match scheme.to_ascii_lowercase().as_str() {
        "https" => "443",
        "http" => "80",
        other => return Err(UrlError::Scheme(other.to_owned())),
    };
    let cut = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(cut);
    if authority.contains('@') {
        return Err(UrlError::UserInfo);
    }
    let host = match authority.rsplit_once(':') {
        // The last colon of a bare IPv6 address is inside its brackets.
        Some((host, port)) if !port.contains(']') => {
            if !port.is_empty() && port != own_port {
                return Err(UrlError::Port(port.to_owned()));
            }
            host
        }
        _ => authority,
    };
    Ok((format!("https://{}", canonical_host(host)?), rest))
}

/// Returns a host in lower case and punycode. An IPv4 address passes, so that a stand-in on this
/// machine can be tried.
fn canonical_host(host: &str) -> Result<String, UrlError> {
    let refuse = |why: &str| Err(UrlError::Host { host: host.to_owned(), why: why.to_owned() });
    match ::url::Host::parse(host.strip_suffix('.').unwrap_or(host)) {
        Ok(::url::Host::Domain(name)) if name.split('.').any(str::is_empty) => {
            refuse("a part between its dots is empty")
        }
        Ok(::url::Host::Domain(name)) if name.contains('*') => Err(UrlError::Wildcard(name)),
        Ok(::url::Host::Domain(name)) if name.contains(|odd| !is_in_host(odd)) => {
            refuse("it holds a character that no host name has")
        }
        Ok(::url::Host::Domain(name)) => Ok(name),
        Ok(::url::Host::Ipv4(address)) => Ok(address.to_string()),
        Ok(::url::Host::Ipv6(_)) => refuse("it is an address, not a name"),
        Err(error) => refuse(&error.to_string()),
    }
}

const fn is_in_host(character: char) -> bool {
    matches!(character, 'a'..='z' | '0'..='9' | '-' | '_' | '.')
}

/// Decodes and encodes each part of a path again, so that each byte has one spelling.
fn canonical_path(path: &str) -> Result<String, UrlError> {
    if path.is_empty() {
        return Ok("/".to_owned());
    }
    let mut canonical = String::with_capacity(path.len());
    for (nth, part) in path.split('/').enumerate() {
        if nth > 0 {
            canonical.push('/');
        }
        respell(part, IN_PART, &mut canonical);
    }
    refuse_dot_parts(&canonical)?;
    Ok(canonical)
}

fn respell(text: &str, set: &'static AsciiSet, into: &mut String) {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    into.extend(percent_encode(&bytes, set));
}

fn refuse_dot_parts(path: &str) -> Result<(), UrlError> {
    if path.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(UrlError::DotPart(path.to_owned()));
    }
    Ok(())
}
