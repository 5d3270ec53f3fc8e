//! From `[web]` to where the page is served.

use std::path::Path;

use toml::de::DeValue;

use super::section::{Findings, Section, Wrong};
use super::{Listen, Readers, Web, value};

/// Reads `[web]`.
pub(super) fn web(
    section: Option<Section<'_>>,
    credentials: Option<&Path>,
    findings: &mut Findings,
) -> Web {
    let Some(mut section) = section else {
        return Web::default();
    };
    let readers = [("anyone", Readers::Anyone), ("token", Readers::Token)];
    let readers = |value: &DeValue<'_>| value::choice(value, &readers);
    let tokens = section.list("token_files", value::key_file(credentials), findings);
    let hosts = section.list("hosts", host, findings);
    let web = Web {
        listen: section.or("listen", Listen::Nowhere, value::listen("127.0.0.1:8378"), findings),
        token_files: tokens.into_iter().flat_map(|list| list.value).map(|it| it.value).collect(),
        read: section.or("read", Readers::Anyone, readers, findings),
        hosts: hosts.into_iter().flat_map(|list| list.value).map(|it| it.value).collect(),
    };
    if web.read == Readers::Token && web.token_files.is_empty() {
        let help = "name a file in `token_files`, or leave `read` out";
        let wrong = Wrong::new("`read = \"token\"` without a token: nobody may read", help);
        findings.refuse(section.span(), "this section", wrong);
    }
    section.finish(findings);
    web
}

/// Reads a name as browsers send it: without scheme, port and path.
fn host(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::text(value)?.to_ascii_lowercase();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if text.bytes().all(is_plain) || text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text);
    }
    let help = "write the name alone, as \"cdn-status.example.com\"";
    Err(Wrong::new(format!("can't be \"{text}\""), help))
}
