//! Who sent a delivery.
//!
//! `cdn::sign` makes and judges HMACs too, of other texts and under one key; what the two have in common
//! is a call into the crate `hmac`, and this room may not look into that one.

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::secrets::BASE64;
use super::{Headers, Refused, Secrets};
use crate::domain::hook::{Encoding, Generic, Provider, TOLERANCE};
use crate::domain::time::Timestamp;

/// The event of a sender that doesn't name one.
const PUSH: &str = "push";

/// The headers of Standard Webhooks.
const SIGNATURE: &str = "webhook-signature";
const SIGNED_ID: &str = "webhook-id";
const SIGNED_AT: &str = "webhook-timestamp";
/// GitLab's id of an event, where it has no better one.
const GITLAB_EVENT_ID: &str = "x-gitlab-event-uuid";

/// A delivery that is proved to come from somebody who holds a secret of the hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The sender's id of it: the same one again is the same delivery. None if the sender has none.
    pub key: Option<String>,
    /// The sender's word for what happened: `push`, `ping`.
    pub event: String,
}

/// Returns the headers of which one must be there: without it a request needs no further reading.
#[must_use]
pub fn must_have(provider: &Provider) -> Vec<&str> {
    match provider {
        Provider::GitHub => vec!["x-hub-signature-256"],
        Provider::GitLabToken => vec!["x-gitlab-token"],
        Provider::GitLab | Provider::StandardWebhooks => vec![SIGNATURE],
        Provider::Gitea => vec!["x-gitea-signature"],
        Provider::Forgejo => vec!["x-forgejo-signature", "x-gitea-signature"],
        Provider::Gogs => vec!["x-gogs-signature"],
        Provider::Bitbucket | Provider::BitbucketServer => vec!["x-hub-signature"],
        Provider::Generic(generic) => vec![&generic.header],
    }
}

/// Judges whether a delivery comes from somebody who holds a secret of the hook, and was signed just now
/// where its sender signs the time. Every secret is tried, whichever fits.
pub fn verify(
    provider: &Provider,
    secrets: &Secrets,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<Verified, Refused> {
    let names = must_have(provider);
    // Forgejo sends Gitea's header beside its own: where its own is there, that one is judged.
    let name = names.iter().find(|name| headers.has(name)).or(names.first()).copied();
    let name = name.unwrap_or_default();
    match provider {
        Provider::GitHub | Provider::Bitbucket | Provider::BitbucketServer => {
            let signature = signature(headers, name, "sha256=", Encoding::Hex)?;
            fits(name, secrets, &[signature], &[body])?;
        }
        Provider::Gitea | Provider::Forgejo | Provider::Gogs => {
            let signature = signature(headers, name, "", Encoding::Hex)?;
            fits(name, secrets, &[signature], &[&headers.payload(body)?])?;
        }
        Provider::GitLabToken => is_token(name, secrets, headers.must(name)?)?,
        Provider::GitLab | Provider::StandardWebhooks => {
            let id =
                headers.id(SIGNED_ID)?.ok_or_else(|| Refused::Missing(SIGNED_ID.to_owned()))?;
            let (text, at) = signed_at(headers, SIGNED_AT)?;
            let parts = [id.as_bytes(), b".", text, b".", body];
            fits(name, secrets, &signatures(headers.must(name)?)?, &parts)?;
            is_fresh(at, now)?;
        }
        Provider::Generic(Generic { prefix, encoding, timestamp, .. }) => {
            let signature = signature(headers, name, prefix, *encoding)?;
            if let Some(timestamp) = timestamp {
                let (text, at) = signed_at(headers, timestamp)?;
                fits(name, secrets, &[signature], &[text, b".", body])?;
                is_fresh(at, now)?;
            } else {
                fits(name, secrets, &[signature], &[body])?;
            }
        }
    }
    Ok(Verified { key: key(provider, headers, body)?, event: event(provider, headers)?.to_owned() })
}

/// Returns the sender's id of a delivery.
fn key(provider: &Provider, headers: &Headers, body: &[u8]) -> Result<Option<String>, Refused> {
    let own;
    let names: &[&str] = match provider {
        Provider::GitHub => &["x-github-delivery"],
        Provider::GitLab | Provider::GitLabToken => {
            &[SIGNED_ID, "idempotency-key", GITLAB_EVENT_ID]
        }
        Provider::Gitea => &["x-gitea-delivery"],
        Provider::Forgejo => &["x-forgejo-delivery", "x-gitea-delivery"],
        Provider::Gogs => &["x-gogs-delivery"],
        Provider::Bitbucket | Provider::BitbucketServer => &["x-request-uuid", "x-request-id"],
        Provider::StandardWebhooks => &[SIGNED_ID],
        Provider::Generic(generic) => {
            own = generic.id.as_deref();
            own.as_slice()
        }
    };
    let Some(name) = names.iter().find(|name| headers.has(name)) else { return Ok(None) };
    let id = headers.id(name)?.map(str::to_owned);
    // GitLab's event id is shared by the deliveries that one event causes: the body tells them apart.
    Ok(if *name == GITLAB_EVENT_ID {
        let digest = Sha256::digest(body);
        id.map(|id| {
            format!("{id}+{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
        })
    } else {
        id
    })
}

/// Returns the sender's word for what happened.
pub(super) fn event<'a>(provider: &Provider, headers: &'a Headers) -> Result<&'a str, Refused> {
    let names: &[&str] = match provider {
        Provider::GitHub => &["x-github-event"],
        Provider::GitLab | Provider::GitLabToken => &["x-gitlab-event"],
        Provider::Gitea => &["x-gitea-event"],
        Provider::Forgejo => &["x-forgejo-event", "x-gitea-event"],
        Provider::Gogs => &["x-gogs-event"],
        Provider::Bitbucket | Provider::BitbucketServer => &["x-event-key"],
        Provider::StandardWebhooks | Provider::Generic(_) => &[],
    };
    let name = names.iter().find(|name| headers.has(name));
    Ok(name.map(|name| headers.event(name)).transpose()?.flatten().unwrap_or(PUSH))
}

/// Reads the one signature of a header.
fn signature(
    headers: &Headers,
    name: &str,
    prefix: &str,
    encoding: Encoding,
) -> Result<[u8; 32], Refused> {
    let malformed = || Refused::Malformed { header: name.to_owned(), what: "an HMAC-SHA256" };
    let text = headers.must(name)?.strip_prefix(prefix.as_bytes()).ok_or_else(malformed)?;
    if text.is_empty() {
        return Err(Refused::Empty(name.to_owned()));
    }
    let bytes = match encoding {
        Encoding::Hex => unhex(text),
        Encoding::Base64 => unbase64(text),
    };
    bytes.ok_or_else(malformed)
}

/// Reads the signatures of Standard Webhooks: several with spaces between them, of which those count that
/// have version 1.
fn signatures(value: &[u8]) -> Result<Vec<[u8; 32]>, Refused> {
    let each = value.split(|byte| *byte == b' ').filter_map(|each| each.strip_prefix(b"v1,"));
    let signatures: Vec<_> = each.filter_map(unbase64).collect();
    if signatures.is_empty() {
        let what = "a list of `v1,` and an HMAC-SHA256 in base64";
        return Err(Refused::Malformed { header: SIGNATURE.to_owned(), what });
    }
    Ok(signatures)
}

/// Reads when a delivery was signed: as text, which is signed with it, and as an instant.
fn signed_at<'a>(headers: &'a Headers, name: &str) -> Result<(&'a [u8], i64), Refused> {
    let text = headers.must(name)?;
    let digits = text.iter().all(u8::is_ascii_digit).then_some(text);
    let seconds = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    let what = "a time in seconds since 1970";
    seconds
        .map(|seconds| (text, seconds))
        .ok_or_else(|| Refused::Malformed { header: name.to_owned(), what })
}

/// Compares in whole seconds, as senders write them.
fn is_fresh(at: i64, now: Timestamp) -> Result<(), Refused> {
    let seconds = now.as_seconds().abs_diff(at);
    if seconds <= TOLERANCE.as_secs() {
        return Ok(());
    }
    Err(Refused::Stale { seconds, ago: at < now.as_seconds() })
}

/// Judges signatures in constant time: each under each secret, and all of them always.
fn fits(
    name: &str,
    secrets: &Secrets,
    signatures: &[[u8; 32]],
    parts: &[&[u8]],
) -> Result<(), Refused> {
    let fitting = secrets.all().flat_map(|secret| {
        let mut mac = mac(secret);
        for part in parts {
            mac.update(part);
        }
        signatures.iter().map(move |signature| mac.clone().verify_slice(signature).is_ok())
    });
    if fitting.fold(false, |any, fits| any | fits) {
        return Ok(());
    }
    Err(Refused::Mismatch(name.to_owned()))
}

/// Compares a token with the secrets in constant time, whatever their lengths: by their HMACs.
fn is_token(name: &str, secrets: &Secrets, token: &[u8]) -> Result<(), Refused> {
    let of = |text: &[u8]| {
        let mut mac = mac(b"compare");
        mac.update(text);
        mac
    };
    let token = of(token).finalize().into_bytes();
    let same = secrets.all().map(|secret| of(secret).verify_slice(&token).is_ok());
    if same.fold(false, |any, same| any | same) {
        return Ok(());
    }
    Err(Refused::Mismatch(name.to_owned()))
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104)")]
    Hmac::<Sha256>::new_from_slice(key).expect("any key length")
}

fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    if text.len() != 64 {
        return None;
    }
    text.chunks_exact(2).map(pair).collect::<Option<Vec<_>>>()?.try_into().ok()
}

fn unbase64(text: &[u8]) -> Option<[u8; 32]> {
    BASE64.decode(text).ok()?.try_into().ok()
}
