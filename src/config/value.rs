//! What single values may be: durations, numbers, paths, addresses, globs.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;
use url::{Host, Url};

use super::section::{Wrong, kind_of, nearest};
use super::{DirectoryUrls, LogFormat, LogLevel, duration};

/// The directory that systemd puts credentials in, as it may be written in a path.
const CREDENTIALS: [&str; 2] = ["%d/", "${CREDENTIALS_DIRECTORY}/"];

type Read<T> = Result<T, Wrong>;

/// Reads a text.
pub(super) fn text(value: &DeValue<'_>) -> Read<String> {
    let text = value.as_str().ok_or_else(|| {
        let message = format!("is a text, not {}", kind_of(value));
        Wrong::new(message, "put it in double quotes")
    })?;
    if text.is_empty() {
        return Err(Wrong::new("is empty", "write a value between the quotes"));
    }
    Ok(text.to_owned())
}

/// Reads `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Read<bool> {
    value.as_bool().ok_or_else(|| {
        let message = format!("is true or false, not {}", kind_of(value));
        Wrong::new(message, "write `true` or `false` without quotes")
    })
}

/// Reads a whole number within limits.
pub(super) fn count(limits: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Read<u64> {
    move |value| {
        let (low, high) = (limits.start(), limits.end());
        let help = format!("write a whole number from {low} to {high}, without quotes");
        let number = value.as_integer().ok_or_else(|| {
            let message = format!("is a whole number, not {}", kind_of(value));
            Wrong::new(message, &*help)
        })?;
        u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|number| limits.contains(number))
            .ok_or_else(|| Wrong::new(format!("can't be {number}"), help))
    }
}

/// Reads a duration within limits.
pub(super) fn time(limits: RangeInclusive<Duration>) -> impl Fn(&DeValue<'_>) -> Read<Duration> {
    move |value| {
        let text = value.as_str().ok_or_else(|| {
            let help = match value.as_integer() {
                Some(number) => format!("write it with its unit: \"{number}s\" for seconds"),
                None => "write it like \"500ms\", \"1s\", \"3m\" or \"1h30m\"".to_owned(),
            };
            let message = format!("is a duration in quotes, not {}", kind_of(value));
            Wrong::new(message, help)
        })?;
        let time = duration::parse(text).map_err(|reason| {
            let help = "write whole numbers with ms, s, m, h or d, as in \"500ms\" or \"1h30m\"";
            Wrong::new(format!("is a duration, and \"{text}\" {reason}"), help)
        })?;
        if limits.contains(&time) {
            return Ok(time);
        }
        let (low, high) = (
            duration::show(*limits.start()),
            duration::show(*limits.end()),
        );
        let help = format!("write a duration from \"{low}\" to \"{high}\"");
        Err(Wrong::new(format!("can't be \"{text}\""), help))
    }
}

/// Reads the path of a key file; a leading `%d/` or `${CREDENTIALS_DIRECTORY}/` is replaced by
/// `credentials`. Without that it is left as written: `check` and `status` also run outside the
/// unit, where the directory does not exist.
pub(super) fn key_file(credentials: Option<&Path>) -> impl Fn(&DeValue<'_>) -> Read<PathBuf> {
    move |value| {
        let text = text(value)?;
        let below = CREDENTIALS.iter().find_map(|word| text.strip_prefix(word));
        match (below, credentials) {
            (Some(below), Some(directory)) => Ok(directory.join(below)),
            (Some(_), None) => Ok(text.into()),
            (None, _) => path(value),
        }
    }
}

/// Reads an absolute path.
pub(super) fn path(value: &DeValue<'_>) -> Read<PathBuf> {
    let text = text(value)?;
    if text.starts_with('~') {
        let message = format!("can't be `{text}`: `~` means nothing here");
        return Err(Wrong::new(message, "write the whole path, from `/` on"));
    }
    if !text.starts_with('/') {
        let message = format!("can't be `{text}`: the path is relative");
        return Err(Wrong::new(message, "write the whole path, from `/` on"));
    }
    if Path::new(&text)
        .components()
        .any(|part| part == std::path::Component::ParentDir)
    {
        let message = format!("can't be `{text}`: it goes up with `..`");
        return Err(Wrong::new(message, "write the path without `..`"));
    }
    // Rebuilt from its parts, so that `/srv/www/` and `/srv/www` are one path.
    Ok(Path::new(&text).components().collect())
}

/// Reads the address of the CDN's API: https, or http to this machine.
pub(super) fn endpoint(value: &DeValue<'_>) -> Read<Url> {
    let text = text(value)?;
    let help = "write it like \"https://cdn.aliyuncs.com\"";
    let url = address(&text, help)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        let help = format!(
            "write \"https://{}\"; plain http is for this machine only (127.0.0.1, ::1, localhost)",
            &url[url::Position::BeforeHost..url::Position::AfterPort],
        );
        return Err(Wrong::new(
            "would send signed requests over plain http",
            help,
        ));
    }
    if url.path() != "/" {
        return Err(Wrong::new(format!("has a path, `{}`", url.path()), help));
    }
    Ok(url)
}

/// Reads the base URL under which a domain serves an origin.
pub(super) fn domain(value: &DeValue<'_>) -> Read<String> {
    let text = text(value)?;
    let help = "write it like \"https://www.example.com\"";
    if text.contains('*') {
        let help = "name each domain: a refresh is asked for one host at a time";
        return Err(Wrong::new(format!("has a wildcard in \"{text}\""), help));
    }
    let url = address(&text, help)?;
    if let Some(port) = url.port() {
        let help = "leave the port out: the CDN serves a domain at the default ports only";
        return Err(Wrong::new(
            format!("has a port, {port}, in \"{text}\""),
            help,
        ));
    }
    Ok(text)
}

/// Reads scheme and host, and refuses what neither an endpoint nor a domain may have.
fn address(text: &str, help: &str) -> Read<Url> {
    let url = Url::parse(text)
        .map_err(|error| Wrong::new(format!("is a URL, and \"{text}\" is not: {error}"), help))?;
    let wrong = if !matches!(url.scheme(), "http" | "https") {
        Some(format!("has the scheme `{}`", url.scheme()))
    } else if url.query().is_some() || url.fragment().is_some() {
        Some("has a query or fragment".to_owned())
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("has a user name in it".to_owned())
    } else {
        None
    };
    wrong.map_or(Ok(url), |message| Err(Wrong::new(message, help)))
}

/// Returns whether a URL leads to this machine only.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Reads a glob.
pub(super) fn glob(value: &DeValue<'_>) -> Read<String> {
    let text = text(value)?;
    match globset::Glob::new(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Wrong::new(
            format!(
                "has the glob \"{text}\", which can't be read: {}",
                error.kind()
            ),
            "write it like \"*.html\" or \"news/**\"; `\\` before a character takes it literally",
        )),
    }
}

/// Reads the name of an index file.
pub(super) fn file_name(value: &DeValue<'_>) -> Read<String> {
    let text = text(value)?;
    if text.contains('/') || text == "." || text == ".." {
        let message = format!("has \"{text}\", which is not a file name");
        return Err(Wrong::new(
            message,
            "write the name alone, like \"index.html\"",
        ));
    }
    Ok(text)
}

/// Reads one of a few words.
fn choice<T: Copy>(value: &DeValue<'_>, words: &[(&str, T)]) -> Read<T> {
    let text = text(value)?;
    if let Some((_, choice)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*choice);
    }
    let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let list = names
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let help = nearest(&text, &names).map_or_else(
        || format!("use one of {list}"),
        |near| format!("did you mean \"{near}\"?"),
    );
    Err(Wrong::new(format!("can't be \"{text}\""), help))
}

/// Reads `directory_urls`.
pub(super) fn directory_urls(value: &DeValue<'_>) -> Read<DirectoryUrls> {
    use DirectoryUrls::{Both, None, Slash};
    choice(value, &[("slash", Slash), ("both", Both), ("none", None)])
}

/// Reads `log.level`.
pub(super) fn level(value: &DeValue<'_>) -> Read<LogLevel> {
    choice(value, &LogLevel::ALL.map(|level| (level.as_str(), level)))
}

/// Reads `log.format`.
pub(super) fn format(value: &DeValue<'_>) -> Read<LogFormat> {
    use LogFormat::{Auto, Json, Text};
    choice(value, &[("auto", Auto), ("text", Text), ("json", Json)])
}
