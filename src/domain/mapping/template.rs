//! Where a rewrite leads: a path below the domains, or a whole URL, with places for what was kept.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use regex::bytes::Captures;

use super::serve::Served;
use crate::domain::url::Base;

/// What stands for itself in a query, as browsers' `encodeURIComponent` has it but for `!'()*`.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The right side of a rewrite.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Where the path begins, when the template is a whole URL.
    base: Option<Base>,
    path: Vec<Piece>,
    query: Option<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    /// The text of a wildcard, by its number; 0 is the whole path.
    Kept(usize),
}

impl Template {
    /// Reads a template for a glob with so many wildcards, or says what is wrong with it.
    pub(super) fn new(text: &str, wildcards: usize) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (base, rest) = if text.starts_with('/') {
            (None, text)
        } else if lower.starts_with("http://") || lower.starts_with("https://") {
            let host = text.find("://").map_or(0, |at| at + 3);
            let end = text[host..].find(['/', '?']).map_or(text.len(), |at| host + at);
            if text[..end].contains('{') {
                return Err(format!("`{text}`: a host can't be made of what the glob matched"));
            }
            let base = Base::parse(&text[..end]).map_err(|error| error.to_string())?;
            (Some(base), &text[end..])
        } else {
            return Err(format!(
                "`{text}` is no path and no URL: write `/{text}` for a path below the domains"
            ));
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let is_odd = |part: &str| {
            let part: Vec<u8> = percent_decode(part.as_bytes()).collect();
            matches!(&part[..], b"." | b"..") || part.contains(&b'/') || part.contains(&0)
        };
        if text.contains(|odd: char| odd == '#' || odd.is_control()) || path.split('/').any(is_odd)
        {
            return Err(format!(
                "`{text}` is no URL of a file: it has a `#`, a `.` or `..` part, a control character \
                 or a `%2F`"
            ));
        }
        let mut path = pieces(path, text, wildcards)?;
        for piece in &mut path {
            if let Piece::Literal(bytes) = piece {
                *bytes = percent_decode(bytes).collect();
            }
        }
        let query = query.map(|query| pieces(query, text, wildcards)).transpose()?;
        Ok(Self { base, path, query })
    }

    /// Returns the host, when the template is a whole URL.
    pub(super) fn host(&self) -> Option<&str> {
        self.base.as_ref().map(|base| base.url().host())
    }

    /// Puts in what was kept.
    pub(super) fn fill(&self, kept: &Captures<'_>) -> Served<'_> {
        let mut path = Vec::new();
        let text = |number: usize| kept.get(number).map_or(&b""[..], |found| found.as_bytes());
        for piece in &self.path {
            match piece {
                Piece::Literal(bytes) => path.extend_from_slice(bytes),
                Piece::Kept(number) => path.extend_from_slice(text(*number)),
            }
        }
        let query = self.query.as_ref().map(|pieces| {
            let piece = |piece: &Piece| match piece {
                Piece::Literal(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Piece::Kept(number) => percent_encode(text(*number), IN_QUERY).to_string(),
            };
            pieces.iter().map(piece).collect()
        });
        Served { base: self.base.as_ref(), path: plain(&path), query }
    }
}

/// Takes a template apart at its `{…}`.
fn pieces(part: &str, whole: &str, wildcards: usize) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('{') {
        let kept = after.split_once('}').and_then(|(number, after)| {
            let number = number.parse().ok().filter(|number| *number <= wildcards)?;
            Some((number, after))
        });
        let Some((kept, after)) = kept else {
            let known = (1..=wildcards).map(|number| format!(", `{{{number}}}`"));
            return Err(format!(
                "`{whole}`: a `{{` begins the place of a wildcard's text, and known are `{{0}}`, the \
                 whole path{}",
                known.collect::<String>()
            ));
        };
        pieces.push(Piece::Literal(before.as_bytes().to_vec()));
        pieces.push(Piece::Kept(kept));
        rest = after;
    }
    pieces.push(Piece::Literal(rest.as_bytes().to_vec()));
    Ok(pieces)
}

/// Returns a path without its first `/` and without empty parts: a `**` may have kept nothing.
fn plain(path: &[u8]) -> Vec<u8> {
    let mut plain: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || plain.last().is_some_and(|last| *last != b'/') {
            plain.push(*byte);
        }
    }
    plain
}
