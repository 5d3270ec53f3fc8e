//! From `[origin.NAME.gate]` to a [`Gate`].

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use super::section::{Findings, Section, Wrong};
use super::timed::{DAY, HOUR, MILLISECOND, MINUTE, SECOND};
use super::value;
use crate::domain::gate::{Gate, GateCommand, Opens, Servers};

/// What opens it, as it is written.
#[derive(Clone, Copy, PartialEq)]
enum Word {
    Settled,
    Delay,
    Command,
    Version,
    Content,
}

const WORDS: [(&str, Word); 5] = [
    ("settled", Word::Settled),
    ("delay", Word::Delay),
    ("command", Word::Command),
    ("version", Word::Version),
    ("content", Word::Content),
];

/// Reads a gate.
pub(super) fn gate(section: Option<Section<'_>>, findings: &mut Findings) -> Gate {
    let Some(mut section) = section else {
        return Gate { alarm_after: ALARM_AFTER, ..Gate::default() };
    };
    let word = |value: &DeValue<'_>| value::choice(value, &WORDS);
    let word = section.or("opens", Word::Settled, word, findings);
    let needed: &[(&str, &str)] = match word {
        Word::Settled => &[],
        Word::Delay => &[("delay", "\"30s\"")],
        Word::Command => &[("command", "[\"/usr/local/bin/is-deployed\"]")],
        Word::Version => {
            &[("version", "\"/version.txt\""), ("servers", "[\"http://127.0.0.1:8080\"]")]
        }
        Word::Content => &[("servers", "[\"http://127.0.0.1:8080\"]")],
    };
    for (key, example) in needed.iter().filter(|(key, _)| !section.has(key)) {
        section.missing(key, example, findings);
    }
    let timeout = value::time(100 * MILLISECOND..=HOUR);
    let delay = section.or("delay", Duration::ZERO, value::time(Duration::ZERO..=DAY), findings);
    let words = texts(&mut section, "command", findings);
    let timeout = section.or("timeout", 10 * SECOND, timeout, findings);
    let directory = section.or("directory", PathBuf::from("/"), value::path, findings);
    let path = section.or("version", "/".to_owned(), version, findings);
    let servers = section.list("servers", server, findings);
    let urls: Vec<Url> =
        servers.into_iter().flat_map(|list| list.value).map(|found| found.value).collect();
    let echo = section.or("echo", Duration::ZERO, value::time(Duration::ZERO..=DAY), findings);
    let alarm_after =
        section.or("alarm_after", ALARM_AFTER, value::time(SECOND..=7 * DAY), findings);
    let is_empty = |key: &str| match key {
        "command" => words.is_empty(),
        "servers" => urls.is_empty(),
        _ => false,
    };
    for (key, example) in needed.iter().filter(|(key, _)| section.has(key) && is_empty(key)) {
        let wrong = Wrong::new(format!("`{key}` is empty"), format!("write {key} = {example}"));
        findings.refuse(section.span(), "here", wrong);
    }
    section.finish(findings);
    let servers = Servers { urls, timeout };
    let opens = match word {
        Word::Settled => Opens::Settled,
        Word::Delay => Opens::Delay(delay),
        Word::Command => Opens::Command(GateCommand { words, timeout, directory }),
        Word::Version => Opens::Version { path, servers },
        Word::Content => Opens::Content(servers),
    };
    Gate { opens, echo, alarm_after }
}

/// How long a gate stays closed before a person is told: most deploys take minutes.
const ALARM_AFTER: Duration = Duration::from_secs(10 * MINUTE.as_secs());

fn texts(section: &mut Section<'_>, key: &'static str, findings: &mut Findings) -> Vec<String> {
    let list = section.list(key, value::text, findings);
    list.into_iter().flat_map(|list| list.value).map(|found| found.value).collect()
}

fn version(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::text(value)?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if text.starts_with('/') && is_plain {
        return Ok(text);
    }
    let help = "write the path that the servers answer, from `/` on: \"/version.txt\"";
    Err(Wrong::new(format!("can't be \"{text}\""), help))
}

fn server(value: &DeValue<'_>) -> Result<Url, Wrong> {
    let url = value::service(value)?;
    if url.path() == "/" && url.query().is_none() && url.fragment().is_none() {
        return Ok(url);
    }
    let help = "write scheme, address and port alone: \"http://10.0.0.5:8080\"";
    Err(Wrong::new("names more than a server", help))
}
