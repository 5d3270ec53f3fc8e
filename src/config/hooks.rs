//! From `[hooks]` and the sections `[hook.NAME]` to who may tell of pushes.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::section::{Findings, Section, Wrong, nearest};
use super::shape::Shape;
use super::timed::{MILLISECOND, MINUTE, SECOND};
use super::{Hook, Hooks, Listen, value};
use crate::domain::hook::{Encoding, Generic, LONGEST_BODY, Network, Provider};
use crate::domain::names::{HookName, OriginName};

/// Reads `[hooks]`.
pub(super) fn hooks(section: Option<Section<'_>>, findings: &mut Findings) -> Hooks {
    let usual = Hooks::default();
    let Some(mut section) = section else {
        return usual;
    };
    let time = value::time(100 * MILLISECOND..=10 * MINUTE);
    let longest = LONGEST_BODY as u64;
    let proxies = section.list("trusted_proxies", network, findings);
    let users = section.list("users", value::text, findings);
    let hooks = Hooks {
        listen: section.or("listen", usual.listen, value::listen("127.0.0.1:8377"), findings),
        socket: section.get("socket", value::socket, findings).map(|found| found.value),
        users: users.into_iter().flat_map(|list| list.value).map(|found| found.value).collect(),
        body_bytes: section.or(
            "body_bytes",
            usual.body_bytes,
            value::count(1_024..=longest),
            findings,
        ),
        header_timeout: section.or("header_timeout", usual.header_timeout, &time, findings),
        body_timeout: section.or("body_timeout", usual.body_timeout, &time, findings),
        idle_timeout: section.or("idle_timeout", usual.idle_timeout, &time, findings),
        connections: section.or(
            "connections",
            usual.connections,
            value::count(1..=10_000),
            findings,
        ),
        connections_per_source: section.or(
            "connections_per_source",
            usual.connections_per_source,
            value::count(1..=10_000),
            findings,
        ),
        trusted_proxies: values(proxies),
    };
    section.finish(findings);
    hooks
}

impl Default for Hooks {
    /// Time-outs and caps: the threat model's figures for slow clients (header 5 s, body 10 s, kept
    /// connections 30 s, 256 connections, 16 of one address).
    fn default() -> Self {
        Self {
            listen: Listen::Nowhere,
            socket: None,
            users: Vec::new(),
            body_bytes: 1 << 20,
            header_timeout: 5 * SECOND,
            body_timeout: 10 * SECOND,
            idle_timeout: 30 * SECOND,
            connections: 256,
            connections_per_source: 16,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Reads one `[hook.NAME]`; `origins` are all that the file names.
pub(super) fn hook(
    name: &str,
    mut section: Section<'_>,
    origins: &[String],
    credentials: Option<&Path>,
    findings: &mut Findings,
) -> Option<Hook> {
    let word = section.required("provider", "\"github\"", provider, findings);
    let is_generic = word.as_ref().is_some_and(|word| word.value == "generic");
    let generic = generic(&mut section, is_generic, findings);
    let provider = word.and_then(|word| match word.value.as_str() {
        "generic" => generic.map(Provider::Generic),
        word => Provider::NAMED.into_iter().find(|(name, _)| *name == word).map(|named| named.1),
    });
    if !section.has("secret_files") {
        let example = format!("[\"/etc/refreshd/credentials/hook_{name}\"]");
        section.missing("secret_files", &example, findings);
    }
    let read_file = value::key_file(credentials);
    let secrets = section.list("secret_files", read_file, findings);
    if let Some(list) = secrets.as_ref().filter(|list| list.value.is_empty()) {
        let help = "name a file that holds the secret: without one nobody may use this hook";
        let wrong = Wrong::new("`secret_files` is empty", help);
        findings.refuse(list.span.clone(), "no secret", wrong);
    }
    let read_origin = |value: &DeValue<'_>| known_origin(value, origins);
    let named = section.list("origins", read_origin, findings);
    let concerned = match named {
        Some(list) => list.value.into_iter().map(|found| found.value).collect(),
        None => origins.iter().map(|name| OriginName::from(name.as_str())).collect(),
    };
    let sources = section.list("sources", network, findings);
    section.finish(findings);
    let secret_files: Vec<PathBuf> = values(secrets);
    Some(Hook {
        name: HookName::from(name),
        provider: provider?,
        secret_files,
        origins: concerned,
        sources: values(sources),
    })
}

type List<T> = Option<super::section::Found<Vec<super::section::Found<T>>>>;

fn values<T>(list: List<T>) -> Vec<T> {
    list.into_iter().flat_map(|list| list.value).map(|found| found.value).collect()
}

/// Reads how a generic hook is signed: keys that no other provider has.
fn generic(
    section: &mut Section<'_>,
    is_generic: bool,
    findings: &mut Findings,
) -> Option<Generic> {
    const KEYS: [&str; 5] = ["header", "prefix", "encoding", "timestamp_header", "id_header"];
    if !is_generic {
        if let Some(key) = KEYS.into_iter().find(|key| section.has(key)) {
            let message = format!("`{key}` is for the provider \"generic\"");
            let wrong = Wrong::new(message, "leave it out: this provider's headers are known");
            findings.refuse(section.span(), "this section", wrong);
        }
        for key in KEYS {
            section.get(key, |_| Ok(()), findings);
        }
        return None;
    }
    let header = section.required("header", "\"X-Signature\"", header, findings);
    let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let encoding = |value: &DeValue<'_>| value::choice(value, &encodings);
    Some(Generic {
        prefix: section.or("prefix", String::new(), optional_text, findings),
        encoding: section.or("encoding", Encoding::Hex, encoding, findings),
        timestamp: section.get("timestamp_header", self::header, findings).map(|found| found.value),
        id: section.get("id_header", self::header, findings).map(|found| found.value),
        header: header?.value,
    })
}

fn optional_text(value: &DeValue<'_>) -> Result<String, Wrong> {
    if value.as_str() == Some("") { Ok(String::new()) } else { value::text(value) }
}

fn header(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::text(value)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if text.bytes().all(is_token) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Wrong::new(format!("can't be \"{text}\""), "write the header's name, as \"X-Signature\""))
}

fn provider(value: &DeValue<'_>) -> Result<String, Wrong> {
    let mut words: Vec<&str> = Provider::NAMED.iter().map(|(word, _)| *word).collect();
    words.push("generic");
    let text = value::text(value).map_err(|wrong| wrong.taking(Shape::words(&words)))?;
    if words.contains(&text.as_str()) {
        return Ok(text);
    }
    let help = nearest(&text, &words).map_or_else(
        || format!("use one of {}", words.join(", ")),
        |near| format!("did you mean \"{near}\"?"),
    );
    Err(Wrong::new(format!("can't be \"{text}\""), help))
}

fn known_origin(value: &DeValue<'_>, origins: &[String]) -> Result<OriginName, Wrong> {
    let name = value::text(value)?;
    if origins.contains(&name) {
        return Ok(OriginName::from(name.as_str()));
    }
    let known: Vec<&str> = origins.iter().map(String::as_str).collect();
    let help = nearest(&name, &known).map_or_else(
        || format!("known origins: {}", known.join(", ")),
        |near| format!("did you mean \"{near}\"?"),
    );
    Err(Wrong::new(format!("names \"{name}\", and there is no `[origin.{name}]`"), help))
}

fn network(value: &DeValue<'_>) -> Result<Network, Wrong> {
    let text = value::text(value)?;
    Network::parse(&text).ok_or_else(|| {
        let help = "write it like \"192.0.2.0/24\", \"2001:db8::/32\" or \"192.0.2.7\"";
        Wrong::new(format!("can't be \"{text}\": that is no network"), help)
    })
}
