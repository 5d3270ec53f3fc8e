//! Our own form, for senders that have none: Standard Webhooks and generic hooks.
//!
//! ```json
//! {"ref": "refs/heads/main", "before": "COMMIT", "after": "COMMIT", "paths": ["a/b.html"]}
//! ```
//!
//! `before` and `after` are whole names of commits, with zeros for a ref that wasn't there or isn't any
//! more; a sender that has none leaves both out. `paths` are all files that changed, under their old and
//! their new names, from the repository's root; without it nobody knows which. Several refs are
//! `{"pushes": [...]}`. A body with neither, but with Standard Webhooks' `type`, is about something else.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::capped::Capped;
use super::listing::Listing;
use super::{MOST_REFS, Unreadable, bare, json, pushes, reference, shown};
use crate::domain::push::{CommitId, MOST_LISTED, Push, Told};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "ref")]
    reference: Option<IgnoredAny>,
    #[serde(borrow)]
    pushes: Option<Capped<&'a RawValue, MOST_REFS>>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Moved {
    #[serde(rename = "ref")]
    reference: String,
    before: Option<String>,
    after: Option<String>,
    paths: Option<Capped<String, MOST_LISTED>>,
}

pub(super) fn told(body: &[u8]) -> Result<Told, Unreadable> {
    let Body { reference, pushes: several, kind } = json(body)?;
    match (several, reference, kind) {
        (Some(several), _, _) => pushes(several, |each| push(json(each.get().as_bytes())?)),
        (None, None, Some(kind)) => Ok(Told::Other(shown(&kind))),
        _ => Ok(Told::Pushes(vec![push(json(body)?)?])),
    }
}

fn push(moved: Moved) -> Result<Push, Unreadable> {
    if moved.before.is_some() && moved.after.is_none() {
        return Err(Unreadable::HalfMove);
    }
    let commit = |text: Option<String>| text.map_or(Ok(None), |text| CommitId::parse(&text));
    let (before, after) = (commit(moved.before)?, commit(moved.after)?);
    let reference = reference(&moved.reference)?;
    let Some(paths) = moved.paths else {
        return Ok(bare(reference, before, after, "it names no paths"));
    };
    let mut listing = Listing::default();
    paths.items.iter().for_each(|name| listing.name(name));
    if paths.more {
        listing.cut(|| format!("it names more than {MOST_LISTED} paths"));
    }
    Ok(Push { reference, before, after, listed: listing.done() })
}
