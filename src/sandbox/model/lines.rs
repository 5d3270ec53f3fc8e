//! The lines of `ObjectPath`, and the tags of `CacheTag`: one target each.

use std::collections::BTreeSet;

use crate::domain::limits::Limits;
use crate::domain::quota::QuotaKind;

use super::call::Refusal;
use super::pattern;

/// What the pretend CDN takes.
const LIMITS: Limits = Limits::DOCUMENTED;

/// One target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// As it was sent.
    pub(crate) text: String,
    /// The domain: lower case, without port.
    pub(crate) host: String,
}

/// Returns how many lines one request may have.
const fn most(kind: QuotaKind) -> usize {
    match kind {
        QuotaKind::Url => LIMITS.urls_per_request,
        QuotaKind::Directory => LIMITS.directories_per_request,
        QuotaKind::Regex => LIMITS.regexes_per_request,
        QuotaKind::IgnoreParams => LIMITS.ignore_params_per_request,
        QuotaKind::Tag => LIMITS.tags_per_request,
        QuotaKind::Prefetch => LIMITS.prefetches_per_request,
    }
}

/// Reads all lines; one bad line refuses the whole request, without saying which it was.
pub(crate) fn read(
    kind: QuotaKind,
    object_path: &str,
    domains: &[String],
) -> Result<Vec<Line>, Refusal> {
    // `lines` splits at both permitted line ends.
    let texts: Vec<&str> =
        object_path.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if texts.is_empty() {
        return Err(Refusal::missing("ObjectPath"));
    }
    if texts.len() > most(kind) {
        return Err(too_many(kind, texts.len()));
    }
    let lines: Vec<Line> =
        texts.into_iter().map(|text| line(kind, text)).collect::<Result<_, _>>()?;
    let hosts: BTreeSet<&str> = lines.iter().map(|line| line.host.as_str()).collect();
    if kind != QuotaKind::Prefetch && hosts.len() > LIMITS.domains_per_request {
        let text = format!("One request may name {} domains at most.", LIMITS.domains_per_request);
        return Err(Refusal::new(400, "SingleRequest.OverLimit", text));
    }
    hosts.into_iter().try_for_each(|host| known(host, domains))?;
    Ok(lines)
}

/// Reads a domain's cache tags; one bad tag refuses the whole request. No source says what a tag is
/// made of or how many a request may have: both are as refreshd guesses.
pub(crate) fn read_tags(
    domain: &str,
    tags: &str,
    domains: &[String],
) -> Result<Vec<Line>, Refusal> {
    let tags: Vec<&str> = tags.split(',').collect();
    if tags.len() > most(QuotaKind::Tag) {
        return Err(too_many(QuotaKind::Tag, tags.len()));
    }
    let plain = |tag: &&str| {
        (1..=LIMITS.tag_bytes).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_graphic())
    };
    if !tags.iter().all(plain) {
        return Err(malformed());
    }
    let host = host(domain)?;
    known(&host, domains)?;
    let line = |tag| Line { text: format!("https://{host}/#{tag}"), host: host.clone() };
    Ok(tags.into_iter().map(line).collect())
}

fn malformed() -> Refusal {
    Refusal::new(400, "InvalidObjectPath.Malformed", "An ObjectPath is malformed.")
}

/// Refuses a domain that is somebody else's.
fn known(host: &str, domains: &[String]) -> Result<(), Refusal> {
    if domains.is_empty() || domains.iter().any(|known| known == host) {
        return Ok(());
    }
    let text = format!("The domain {host} doesn't belong to this account.");
    Err(Refusal::new(404, "InvalidDomain.NotFound", text))
}

/// Returns the domain that is written: in lower case, without port.
fn host(text: &str) -> Result<String, Refusal> {
    if text.starts_with("*.") {
        let text = "A wildcard domain can't be refreshed.";
        return Err(Refusal::new(400, "InvalidExtensiveDomain.ValueNotSupported", text));
    }
    if !is_host(text) {
        return Err(malformed());
    }
    Ok(text.split(':').next().unwrap_or_default().to_ascii_lowercase())
}

fn line(kind: QuotaKind, text: &str) -> Result<Line, Refusal> {
    let (written, path) = split(text);
    let host = host(written)?;
    // Only what isn't ASCII, and spaces, are documented to need encoding; a fragment never travels.
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    let shape = match kind {
        QuotaKind::Regex => {
            pattern::pieces(path).is_some() && path.bytes().all(|byte| byte.is_ascii_graphic())
        }
        QuotaKind::Url => path.bytes().all(plain),
        QuotaKind::Directory => {
            path.bytes().all(plain) && path.ends_with('/') && !path.contains('?')
        }
        QuotaKind::IgnoreParams => path.bytes().all(plain) && !path.contains('?'),
        QuotaKind::Prefetch => path.bytes().all(plain) && !path.ends_with('/'),
        // They travel elsewhere.
        QuotaKind::Tag => false,
    };
    if !shape || text.len() > LIMITS.url_bytes || !escapes_are_whole(path) {
        return Err(malformed());
    }
    Ok(Line { text: text.to_owned(), host })
}

/// Returns the domain and port that a line names, as they are written there, and the rest of it.
fn split(text: &str) -> (&str, &str) {
    // Old callers leave the scheme out, and were accepted (API reference 1.3).
    let rest =
        text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

/// Returns the domain that a line names, as it is written there.
pub(crate) fn host_of(text: &str) -> &str {
    split(text).0.split(':').next().unwrap_or_default()
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    !name.is_empty()
        && name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_label_byte))
        && port.parse::<u16>().is_ok()
}

const fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Returns whether every `%` is followed by two hexadecimal digits.
fn escapes_are_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    })
}

fn too_many(kind: QuotaKind, count: usize) -> Refusal {
    let code = match kind {
        QuotaKind::Prefetch => "InvalidObjectPath.ExceedsMaximum",
        _ if count > 1_000 => "InvalidObjectPath.Size.Malformed",
        _ => "SingleRequest.OverLimit",
    };
    let text = format!("One request may have {} lines of this type at most.", most(kind));
    Refusal::new(400, code, text)
}
