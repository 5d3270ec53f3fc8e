//! What single values may be: texts, numbers, durations, paths, the endpoint.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use super::section::{Wrong, kind_of, nearest};
use super::shape::Shape;
use super::{Listen, LogFormat, LogLevel, duration};
use crate::domain::ask::{Kind, Target};
use crate::domain::endpoint::Proxy;
use crate::domain::mapping::DirectoryUrls;
use crate::domain::stage::After;
use crate::domain::url::canonical_target;
use crate::domain::verdict::Verdict;
use crate::domain::watch::{Links, Means};

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
        Wrong::new(message, "write `true` or `false` without quotes").taking(Shape::Boolean)
    })
}

/// Reads a whole number within limits.
pub(super) fn count(limits: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Read<u64> {
    move |value| {
        let (low, high) = (limits.start(), limits.end());
        let help = format!("write a whole number from {low} to {high}, without quotes");
        let number = value.as_integer().ok_or_else(|| {
            let message = format!("is a whole number, not {}", kind_of(value));
            Wrong::new(message, &*help).taking(Shape::Count(*low, *high))
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
            Wrong::new(message, help).taking(Shape::Time(*limits.start(), *limits.end()))
        })?;
        let time = duration::parse(text).map_err(|reason| {
            let help = "write whole numbers with ms, s, m, h or d, as in \"500ms\" or \"1h30m\"";
            Wrong::new(format!("is a duration, and \"{text}\" {reason}"), help)
        })?;
        if limits.contains(&time) {
            return Ok(time);
        }
        let (low, high) = (duration::show(*limits.start()), duration::show(*limits.end()));
        let help = format!("write a duration from \"{low}\" to \"{high}\"");
        Err(Wrong::new(format!("can't be \"{text}\""), help))
    }
}

/// Reads the path of a key file; a leading `%d/` or `${CREDENTIALS_DIRECTORY}/` is replaced by
/// `credentials`. Without that it is left as written: `check` and `status` also run outside the
/// unit, where the directory does not exist.
pub(super) fn key_file(credentials: Option<&Path>) -> impl Fn(&DeValue<'_>) -> Read<PathBuf> {
    move |value| {
        let text = text(value).map_err(|wrong| wrong.taking(Shape::KeyFile))?;
        let below = CREDENTIALS.iter().find_map(|word| text.strip_prefix(word));
        match (below, credentials) {
            (Some(below), Some(directory)) => Ok(directory.join(below)),
            (Some(_), None) => Ok(text.into()),
            (None, _) if text.starts_with(['/', '~']) => path(value),
            // It may be the secret itself: it is not repeated.
            (None, _) => Err(Wrong::new(
                "names a file, and that is no whole path",
                "write the value alone into a file, and that file's path here, from `/` on",
            )),
        }
    }
}

/// Reads where a listener listens; `example` is an address.
pub(super) fn listen(example: &str) -> impl Fn(&DeValue<'_>) -> Read<Listen> {
    move |value| {
        let text = value.as_str().unwrap_or("?");
        match text {
            "" => Ok(Listen::Nowhere),
            "systemd" => Ok(Listen::Systemd),
            text => text.parse().map(Listen::At).map_err(|_| {
                let help = format!(
                    "write \"{example}\", \"systemd\" for the socket it hands over, or \"\" for none"
                );
                Wrong::new(format!("can't be \"{text}\""), help)
            }),
        }
    }
}

/// Reads the absolute path of a unix socket.
pub(super) fn socket(value: &DeValue<'_>) -> Read<PathBuf> {
    /// What the kernel has room for, without the byte that ends it (unix(7), `sun_path`).
    const LONGEST: usize = 107;
    let path = path(value)?;
    if path.as_os_str().len() > LONGEST {
        return Err(Wrong::new(
            format!("is {} bytes long", path.as_os_str().len()),
            format!("write a shorter path: a socket's has at most {LONGEST} bytes"),
        ));
    }
    Ok(path)
}

/// Reads an absolute path.
pub(super) fn path(value: &DeValue<'_>) -> Read<PathBuf> {
    let text = text(value).map_err(|wrong| wrong.taking(Shape::Path))?;
    if text.starts_with('~') {
        let message = format!("can't be `{text}`: `~` means nothing here");
        return Err(Wrong::new(message, "write the whole path, from `/` on"));
    }
    if !text.starts_with('/') {
        let message = format!("can't be `{text}`: the path is relative");
        return Err(Wrong::new(message, "write the whole path, from `/` on"));
    }
    if Path::new(&text).components().any(|part| part == std::path::Component::ParentDir) {
        let message = format!("can't be `{text}`: it goes up with `..`");
        return Err(Wrong::new(message, "write the path without `..`"));
    }
    // Rebuilt from its parts, so that `/srv/www/` and `/srv/www` are one path.
    Ok(Path::new(&text).components().collect())
}

/// Reads the address of the CDN's API, or of STS; `endpoint_problem` tells whether it may be called.
pub(super) fn endpoint(value: &DeValue<'_>) -> Read<Url> {
    // The text may hold a password: it is not repeated.
    let text = text(value).map_err(|wrong| wrong.taking(Shape::Url))?;
    Url::parse(&text).map_err(|error| {
        let message = format!("is no URL: {error}");
        Wrong::new(message, "write it like \"https://cdn.aliyuncs.com\"")
    })
}

/// Shows an address as far as it may be repeated: what stands before an @ may be a password.
pub(super) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let place = format!("{}://{host}{}", url.scheme(), url.path());
    place.strip_suffix('/').unwrap_or(&place).to_owned()
}

/// Reads the host that is trusted besides Alibaba Cloud's; "" for none.
pub(super) fn trusted_host(value: &DeValue<'_>) -> Read<Option<String>> {
    if value.as_str() == Some("") { Ok(None) } else { text(value).map(Some) }
}

/// Reads how the CDN is reached: directly, through a proxy, or as the environment says.
pub(super) fn proxy(value: &DeValue<'_>) -> Read<Proxy> {
    let help = "write \"\" for none, \"http://host:port\", or \"environment\"";
    let text = value.as_str().ok_or_else(|| {
        Wrong::new(format!("is a text, not {}", kind_of(value)), "put it in double quotes")
    })?;
    match text {
        "" => return Ok(Proxy::None),
        "environment" => return Ok(Proxy::Environment),
        _ => {}
    }
    // The text may hold a password: it is not repeated.
    let url = Url::parse(text).map_err(|error| Wrong::new(format!("is no URL: {error}"), help))?;
    if !url.username().is_empty() || url.password().is_some() {
        let help =
            "allow this machine at the proxy by its address, or use a local proxy that logs in";
        return Err(Wrong::new("holds a user or password, which would be read here", help));
    }
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if url.scheme() != "http" || !url.has_host() || !is_bare {
        return Err(Wrong::new("must be http, a host and a port alone", help));
    }
    Ok(Proxy::Through(url))
}

/// Reads the address of a service on this machine or beside it, which may be asked over plain http.
pub(super) fn service(value: &DeValue<'_>) -> Read<Url> {
    let text = text(value).map_err(|wrong| wrong.taking(Shape::Url))?;
    // The text may hold a password: it is not repeated.
    Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| {
            let message = "is no address of a service, or holds a user or password";
            Wrong::new(message, "write it like \"http://localhost:8080/key\"")
        })
}

/// Reads from where a repository is fetched; a password would be read here by all who may read the file.
pub(super) fn remote(value: &DeValue<'_>) -> Read<String> {
    let text = text(value)?;
    let help = "write it like \"https://git.example.com/www.git\", \"git@git.example.com:www.git\" or \"origin\"";
    if text.starts_with('-') || text.contains("::") || text.chars().any(char::is_control) {
        return Err(Wrong::new("is nothing to fetch from", help));
    }
    if Url::parse(&text).is_ok_and(|url| url.password().is_some()) {
        let help = "let git find it: a credential helper, ~/.netrc, or a deploy key over ssh";
        return Err(Wrong::new("holds a password, which would be read here", help));
    }
    Ok(text)
}

/// Reads one of a few words.
pub(super) fn choice<T: Copy>(value: &DeValue<'_>, words: &[(&str, T)]) -> Read<T> {
    let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let text = text(value).map_err(|wrong| wrong.taking(Shape::words(&names)))?;
    if let Some((_, choice)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*choice);
    }
    let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let help = nearest(&text, &names)
        .map_or_else(|| format!("use one of {list}"), |near| format!("did you mean \"{near}\"?"));
    Err(Wrong::new(format!("can't be \"{text}\""), help))
}

/// Reads the code of an answer, or how codes begin.
pub(super) fn code(value: &DeValue<'_>) -> Read<String> {
    let text = text(value)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    let help = "write it as the log shows it, or its beginning: \"QuotaExceeded.\"";
    Err(Wrong::new(format!("is no code of the CDN's: `{text}`"), help))
}

/// Reads what a code means.
pub(super) fn verdict(value: &DeValue<'_>) -> Read<Verdict> {
    choice(value, Verdict::WORDS)
}

/// Reads an expression of a refresh.
pub(super) fn expression(value: &DeValue<'_>) -> Read<Target> {
    let text = text(value)?;
    canonical_target(Kind::Regex, &text).map_err(|error| {
        let help = "write it like \"https://www.example.com/news/.*\"";
        Wrong::new(format!("`{text}` is no expression: {error}"), help)
    })
}

/// Reads `directory_urls`.
pub(super) fn directory_urls(value: &DeValue<'_>) -> Read<DirectoryUrls> {
    use DirectoryUrls::{Both, None, Slash};
    choice(value, &[("slash", Slash), ("both", Both), ("none", None)])
}

/// Reads `stage_after`.
pub(super) fn stage_after(value: &DeValue<'_>) -> Read<After> {
    choice(value, &[("accepted", After::Accepted), ("complete", After::Complete)])
}

/// Reads `watch`.
pub(super) fn means(value: &DeValue<'_>) -> Read<Means> {
    choice(value, &Means::ALL.map(|means| (means.as_str(), means)))
}

/// Reads `links`.
pub(super) fn links(value: &DeValue<'_>) -> Read<Links> {
    choice(value, &Links::ALL.map(|links| (links.as_str(), links)))
}

/// Reads `log.level`.
pub(super) fn level(value: &DeValue<'_>) -> Read<LogLevel> {
    choice(value, &LogLevel::ALL.map(|level| (level.as_str(), level)))
}

/// Reads `log.format`.
pub(super) fn format(value: &DeValue<'_>) -> Read<LogFormat> {
    choice(value, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}
