//! Bitbucket's two payloads, which name commits and no paths.

use serde::Deserialize;

use super::capped::Capped;
use super::{MOST_REFS, Unreadable, bare, json, pushes, reference};
use crate::domain::push::{CommitId, Told};

const WHY: &str = "Bitbucket names commits and no paths";

#[derive(Deserialize)]
struct Cloud {
    push: CloudPush,
}

#[derive(Deserialize)]
struct CloudPush {
    changes: Capped<CloudChange, MOST_REFS>,
}

#[derive(Deserialize)]
struct CloudChange {
    old: Option<CloudRef>,
    new: Option<CloudRef>,
}

#[derive(Deserialize)]
struct CloudRef {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    hash: String,
}

/// Reads Bitbucket Cloud's `repo:push`: short names with a type, and nothing where a ref isn't.
pub(super) fn cloud(body: &[u8]) -> Result<Told, Unreadable> {
    let payload: Cloud = json(body)?;
    pushes(payload.push.changes, |change| {
        let named = change.new.as_ref().or(change.old.as_ref()).ok_or(Unreadable::NoRefs)?;
        let space = if named.kind.ends_with("tag") { "tags" } else { "heads" };
        let reference = reference(&format!("refs/{space}/{}", named.name))?;
        let commit = |side: Option<&CloudRef>| {
            side.map_or(Ok(None), |side| CommitId::parse(&side.target.hash))
        };
        Ok(bare(reference, commit(change.old.as_ref())?, commit(change.new.as_ref())?, WHY))
    })
}

#[derive(Deserialize)]
struct DataCenter {
    changes: Capped<DataCenterChange, MOST_REFS>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataCenterChange {
    #[serde(rename = "ref")]
    named: DataCenterRef,
    from_hash: String,
    to_hash: String,
}

#[derive(Deserialize)]
struct DataCenterRef {
    id: String,
}

/// Reads Bitbucket Data Center's `repo:refs_changed`: whole names, and zeros where a ref isn't.
pub(super) fn data_center(body: &[u8]) -> Result<Told, Unreadable> {
    let payload: DataCenter = json(body)?;
    pushes(payload.changes, |change| {
        let (before, after) =
            (CommitId::parse(&change.from_hash)?, CommitId::parse(&change.to_hash)?);
        Ok(bare(reference(&change.named.id)?, before, after, WHY))
    })
}
