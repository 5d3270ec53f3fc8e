//! From the sections `[notice.NAME]` to where alarms are posted.

use std::path::Path;

use toml::de::DeValue;

use super::section::{Findings, Section, Wrong, nearest};
use super::{Notice, value};
use crate::domain::alarm::AlarmKind;
use crate::domain::notice::{Language, Receiver};

/// Reads one `[notice.NAME]`.
pub(super) fn notice(
    name: &str,
    mut section: Section<'_>,
    credentials: Option<&Path>,
    findings: &mut Findings,
) -> Option<Notice> {
    let receiver = |value: &DeValue<'_>| value::choice(value, Receiver::WORDS);
    let language = |value: &DeValue<'_>| value::choice(value, Language::WORDS);
    let kind = section.required("kind", "\"generic\"", receiver, findings);
    let example = format!("\"/etc/refreshd/credentials/notice_{name}_url\"");
    let file = value::key_file(credentials);
    let url_file = section.required("url_file", &example, &file, findings);
    let secret_file = section.get("secret_file", &file, findings).map(|found| found.value);
    let alarms = section.list("alarms", alarm, findings);
    let alarms = alarms.into_iter().flat_map(|list| list.value).map(|found| found.value).collect();
    let language = section.or("language", Language::English, language, findings);
    section.finish(findings);
    Some(Notice {
        name: name.to_owned(),
        receiver: kind?.value,
        url_file: url_file?.value,
        secret_file,
        alarms,
        language,
    })
}

fn alarm(value: &DeValue<'_>) -> Result<AlarmKind, Wrong> {
    let word = value::text(value)?;
    let known: Vec<&str> = AlarmKind::ALL.iter().map(|kind| kind.as_str()).collect();
    AlarmKind::parse(&word).ok_or_else(|| {
        let help = nearest(&word, &known).map_or_else(
            || format!("use one of {}", known.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        Wrong::new(format!("names \"{word}\", and there is no such alarm"), help)
    })
}
