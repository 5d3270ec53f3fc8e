//! Where an account's access key comes from: its key files, and `[account.NAME.credentials]`.

use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use super::section::{Findings, Found, Section, Wrong};
use super::shape::Shape;
use super::timed::HOUR;
use super::value;
use crate::domain::credentials::{
    Ecs, KeyFiles, KeySource, Place, Role, SESSION, SHORTEST_SESSION,
};
use crate::domain::endpoint::endpoint_problem;

/// The longest session that STS grants (API reference 4.5).
const LONGEST_SESSION: Duration = HOUR.saturating_mul(12);

/// The words of `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Chain,
    Files,
    Environment,
    Cli,
    Ini,
    Oidc,
    Ecs,
    Uri,
}

impl From {
    const ALL: [(&'static str, Self); 8] = [
        ("chain", Self::Chain),
        ("files", Self::Files),
        ("environment", Self::Environment),
        ("cli", Self::Cli),
        ("ini", Self::Ini),
        ("oidc", Self::Oidc),
        ("ecs", Self::Ecs),
        ("uri", Self::Uri),
    ];
}

fn from(value: &DeValue<'_>) -> Result<From, Wrong> {
    value::choice(value, &From::ALL)
}

/// Reads where an account's key comes from; `directory` is systemd's for credentials.
pub(super) fn key_source(
    account: &mut Section<'_>,
    directory: Option<&Path>,
    findings: &mut Findings,
) -> Option<KeySource> {
    let files = key_files(account, directory, findings);
    let Some(mut section) = account.table("credentials", findings) else {
        return Some(KeySource::at(files?.map_or_else(chain, |found| Place::Files(found.value))));
    };
    let files = files?;
    let given = section.get("from", from, findings);
    let chosen = match (&given, &files) {
        (Some(found), _) => found.value,
        (None, Some(_)) => From::Files,
        (None, None) => From::Chain,
    };
    if let (Some(files), true) = (&files, chosen != From::Files) {
        let message = "the key files are named, and `from` says that the key is elsewhere";
        let help = "remove `access_key_id_file` and its like, or write from = \"files\"";
        findings.refuse(files.span.clone(), "named here", Wrong::new(message, help));
    }
    let name = |what: &'static str| move |value: &DeValue<'_>| plain(value, what);
    let profile = section.get("profile", name("a profile"), findings);
    let role_name = section.get("role_name", name("a role"), findings);
    let v1 = section.get("imds_v1", value::boolean, findings);
    let uri = section.get("uri", value::service, findings);
    let role_arn = section.get("role_arn", arn, findings);
    let session_name = section.get("role_session_name", name("a session"), findings);
    let external_id = section.get("external_id", name("an id"), findings);
    let policy = section.get("policy", policy, findings);
    let limits = SHORTEST_SESSION..=LONGEST_SESSION;
    let duration = section.get("duration", value::time(limits), findings);
    let sts_endpoint = section.get("sts_endpoint", sts_endpoint, findings);

    let mut only = |found: Option<std::ops::Range<usize>>, key: &str, allowed: bool, help: &str| {
        if let (Some(span), false) = (found, allowed) {
            let wrong = Wrong::new(format!("`{key}` means nothing here"), help);
            findings.refuse(span, "this value", wrong);
        }
    };
    let of = |words: &[From]| words.contains(&chosen);
    only(
        profile.as_ref().map(span),
        "profile",
        of(&[From::Chain, From::Cli, From::Ini]),
        "profiles are in the files of from = \"cli\", \"ini\" and \"chain\"",
    );
    let ecs_help = "it is about from = \"ecs\" and \"chain\"";
    let is_ecs = of(&[From::Chain, From::Ecs]);
    only(role_name.as_ref().map(span), "role_name", is_ecs, ecs_help);
    only(v1.as_ref().map(span), "imds_v1", is_ecs, ecs_help);
    let is_uri = of(&[From::Chain, From::Uri]);
    only(uri.as_ref().map(span), "uri", is_uri, "it is about from = \"uri\" and \"chain\"");
    let has_role = section.has("role_arn");
    let role_help = "it is about the role that `role_arn` names: add that";
    for (found, key) in [
        (session_name.as_ref().map(span), "role_session_name"),
        (external_id.as_ref().map(span), "external_id"),
        (policy.as_ref().map(span), "policy"),
        (duration.as_ref().map(span), "duration"),
    ] {
        only(found, key, has_role, role_help);
    }
    only(
        sts_endpoint.as_ref().map(span),
        "sts_endpoint",
        has_role || of(&[From::Chain, From::Cli, From::Ini, From::Oidc]),
        "no role is assumed: name one by `role_arn`, or remove it",
    );
    if chosen == From::Files && files.is_none() {
        account.missing(
            "access_key_id_file",
            "\"/etc/refreshd/credentials/access_key_id\"",
            findings,
        );
    }
    section.finish(findings);

    let ecs =
        Ecs { role_name: role_name.map(|found| found.value), v1: v1.map(|found| found.value) };
    let (profile, uri) = (profile.map(|found| found.value), uri.map(|found| found.value));
    let place = match chosen {
        From::Chain => Place::Chain { profile, ecs, uri },
        From::Files => Place::Files(files?.value),
        From::Environment => Place::Environment,
        From::Cli => Place::Cli { profile },
        From::Ini => Place::Ini { profile },
        From::Oidc => Place::Oidc,
        From::Ecs => Place::Ecs(ecs),
        From::Uri => Place::Uri(uri),
    };
    let role = role_arn.map(|arn| Role {
        arn: arn.value,
        session_name: session_name.map(|found| found.value),
        external_id: external_id.map(|found| found.value),
        policy: policy.map(|found| found.value),
        duration: duration.map_or(SESSION, |found| found.value),
    });
    Some(KeySource { place, role, sts_endpoint: sts_endpoint.map(|found| found.value) })
}

/// What an account does that says nothing of its key.
fn chain() -> Place {
    Place::Chain { profile: None, ecs: Ecs::default(), uri: None }
}

fn span<T>(found: &Found<T>) -> std::ops::Range<usize> {
    found.span.clone()
}

/// Reads the key files, which come as a pair; nothing within when there are none, nothing at all
/// when they are wrong.
#[expect(clippy::option_option, reason = "none are named, or what is named is refused")]
fn key_files(
    section: &mut Section<'_>,
    directory: Option<&Path>,
    findings: &mut Findings,
) -> Option<Option<Found<KeyFiles>>> {
    let [id, secret, token] =
        ["access_key_id_file", "access_key_secret_file", "security_token_file"];
    let example =
        |key: &str| format!("\"/etc/refreshd/credentials/{}\"", key.trim_end_matches("_file"));
    let any = [id, secret, token].into_iter().any(|key| section.has(key));
    let read = value::key_file(directory);
    let key_id = section.get(id, &read, findings);
    let key_secret = section.get(secret, &read, findings);
    let security_token = section.get(token, &read, findings);
    if !any {
        return Some(None);
    }
    for key in [id, secret] {
        if !section.has(key) {
            section.missing(key, &example(key), findings);
        }
    }
    let has_token = section.has(token);
    let (key_id, key_secret) = (key_id?, key_secret?);
    if key_id.value == key_secret.value {
        let wrong = Wrong::new(
            "`access_key_id_file` and `access_key_secret_file` name the same file",
            "keep the id and the secret in a file each, one line in it",
        );
        findings.refuse(key_secret.span.clone(), "again", wrong);
    }
    if has_token && security_token.is_none() {
        return None;
    }
    let span = key_id.span;
    let value = KeyFiles {
        key_id: key_id.value,
        secret: key_secret.value,
        security_token: security_token.map(|found| found.value),
    };
    Some(Some(Found { value, span }))
}

/// Reads a text of visible characters.
fn plain(value: &DeValue<'_>, what: &str) -> Result<String, Wrong> {
    let text = value::text(value)?;
    if text.chars().any(char::is_control) {
        let message = format!("can't be {what}: it holds control characters");
        return Err(Wrong::new(message, "write it as the console shows it"));
    }
    Ok(text)
}

fn arn(value: &DeValue<'_>) -> Result<String, Wrong> {
    let shape = Shape::Like("^acs:ram::\\S*:role/\\S*$");
    let text = value::text(value).map_err(|wrong| wrong.taking(shape))?;
    let is_role = text.starts_with("acs:ram::") && text.contains(":role/");
    if !is_role || text.contains(char::is_whitespace) {
        let help = "write it like \"acs:ram::1234567890123456:role/refreshd\"";
        return Err(Wrong::new(format!("can't be `{text}`: that is no role"), help));
    }
    Ok(text)
}

/// Reads the address of STS, which is asked with the key: one that may be called like the CDN's.
fn sts_endpoint(value: &DeValue<'_>) -> Result<Url, Wrong> {
    let url = value::endpoint(value)?;
    let Some(why) = endpoint_problem(&url, None) else {
        return Ok(url);
    };
    let message = format!("can't be `{}`: {why}", value::shown(&url));
    Err(Wrong::new(message, "write it like \"https://sts.cn-hangzhou.aliyuncs.com\""))
}

fn policy(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::text(value)?;
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let help = "write the policy's JSON in ''' … '''";
            Err(Wrong::new(format!("is no policy in JSON: {error}"), help))
        }
    }
}
