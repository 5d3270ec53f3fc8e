//! Targets as an operator writes them, and as the CDN spells them back.

use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::{CanonicalUrl, IN_PATH, IN_QUERY, UrlError, respell, split_origin};
use crate::domain::ask::{Kind, Target};

/// The elements of an expression that are not literal (API reference, 1.4).
const FORMS: [&str; 4] = ["[0-9]", "[a-z]", "[^/]*", ".*"];

/// What is literal in an expression: as in a path, but a `*` would begin to mean something.
const IN_EXPRESSION: &AsciiSet = &IN_PATH.add(b'*');

/// Makes the target of a refresh from what an operator wrote.
pub fn canonical_target(kind: Kind, text: &str) -> Result<Target, UrlError> {
    match kind {
        Kind::Regex => return Ok(Target::new(kind, canonical_expression(text)?)),
        Kind::Tag => return Ok(Target::new(kind, canonical_tag(text)?)),
        Kind::Url | Kind::Directory | Kind::IgnoreParams => {}
    }
    let url = CanonicalUrl::parse(text)?;
    match kind {
        Kind::Directory if url.query().is_some() => {
            Err(UrlError::Query { what: "a directory refresh" })
        }
        Kind::IgnoreParams if url.query().is_some() => {
            Err(UrlError::Query { what: "an ignore-params refresh, which reaches every query," })
        }
        Kind::Directory if !url.is_directory() => Err(UrlError::DirectorySlash(url.0)),
        _ => Ok(Target::new(kind, url.0)),
    }
}

/// Returns the target that a row of the CDN's names: it may say `http`, leave the scheme out, or
/// encode other bytes than we do. What is no target of this kind is taken as it stands.
#[must_use]
pub fn listed_target(kind: Kind, object_path: &str) -> Target {
    let spelled = match canonical_target(kind, object_path) {
        Err(UrlError::NoScheme(bare)) => canonical_target(kind, &format!("https://{bare}")),
        spelled => spelled,
    };
    spelled.unwrap_or_else(|_| Target::new(kind, object_path))
}

/// Returns what every URL that a canonical expression matches begins with.
#[must_use]
pub fn literal_start(expression: &str) -> &str {
    &expression[..literal_length(expression)]
}

/// Returns a domain's cache tag, written `https://HOST/#TAG`, with its host in canonical form. No source
/// says what a tag is made of; what separates tags or ends a line can't be in one.
fn canonical_tag(text: &str) -> Result<String, UrlError> {
    let (domain, tag) = text.split_once('#').unwrap_or((text, ""));
    let url = CanonicalUrl::parse(domain)?;
    if tag.is_empty() || !tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        return Err(UrlError::Tag(tag.to_owned()));
    }
    if url.query().is_some() || url.as_str().matches('/').count() > 3 || !url.is_directory() {
        return Err(UrlError::TagBelow(url.host().to_owned()));
    }
    Ok(format!("{url}#{tag}"))
}

/// Returns an expression with its host and its literal parts in canonical form.
fn canonical_expression(text: &str) -> Result<String, UrlError> {
    let (mut expression, mut rest) = split_origin(text)?;
    if !rest.starts_with('/') {
        // A host that ends in no `/` could match a longer host.
        expression.push('/');
    }
    let mut in_query = false;
    while !rest.is_empty() {
        if let Some(form) = FORMS.into_iter().find(|form| rest.starts_with(form)) {
            expression.push_str(form);
            rest = &rest[form.len()..];
            continue;
        }
        let end = literal_length(rest);
        let (literal, after) = rest.split_at(end);
        if let Some(odd) = literal.find(['[', ']', '*', '\\', '^', '|', '{', '}']) {
            return Err(UrlError::RegexForm(rest[odd..].chars().take(12).collect()));
        }
        let (path, query) = match literal.split_once('?') {
            Some((path, query)) if !in_query => (path, Some(query)),
            _ if in_query => ("", Some(literal)),
            _ => (literal, None),
        };
        respell(path, IN_EXPRESSION, &mut expression);
        if let Some(query) = query {
            if !in_query {
                expression.push('?');
                in_query = true;
            }
            expression.extend(utf8_percent_encode(query, IN_QUERY));
        }
        rest = after;
    }
    CanonicalUrl::checked(expression).map(|url| url.0)
}

/// Returns how many bytes of `text` come before the first form.
fn literal_length(text: &str) -> usize {
    FORMS.into_iter().filter_map(|form| text.find(form)).min().unwrap_or(text.len())
}
