//! The lines of `ObjectPath`: one target each.

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
    let unknown = |host: &&str| !domains.is_empty() && !domains.iter().any(|known| known == host);
    if let Some(host) = hosts.into_iter().find(unknown) {
        let text = format!("The domain {host} doesn't belong to this account.");
        return Err(Refusal::new(404, "InvalidDomain.NotFound", text));
    }
    Ok(lines)
}

fn line(kind: QuotaKind, text: &str) -> Result<Line, Refusal> {
    let malformed =
        || Refusal::new(400, "InvalidObjectPath.Malformed", "An ObjectPath is malformed.");
    // Old callers leave the scheme out, and were accepted (API reference 1.3).
    let rest =
        text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if host.starts_with("*.") {
        let text = "A wildcard domain can't be refreshed.";
        return Err(Refusal::new(400, "InvalidExtensiveDomain.ValueNotSupported", text));
    }
    let path = &rest[host.len()..];
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
    };
    if !shape || text.len() > LIMITS.url_bytes || !is_host(host) || !escapes_are_whole(path) {
        return Err(malformed());
    }
    let name = host.split(':').next().unwrap_or_default();
    Ok(Line { text: text.to_owned(), host: name.to_ascii_lowercase() })
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
