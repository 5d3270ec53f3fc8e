//! What git prints of trees, taken apart: pure.

use std::collections::BTreeMap;

use super::Listed;
use crate::domain::change::ChangeKind;
use crate::domain::path::RelPath;

/// The form of an entry of a tree, by its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A file, executable or not.
    File,
    /// A symbolic link: its text is the blob.
    Link,
    /// Nothing that is served: another repository's commit, a directory, or nothing at all.
    None,
}

impl Form {
    fn of(mode: &[u8]) -> Self {
        match mode {
            b"120000" => Self::Link,
            // Old repositories hold 100664, too.
            mode if mode.starts_with(b"100") => Self::File,
            _ => Self::None,
        }
    }
}

/// Reads the path of an entry that lies below `prefix`; nothing for others. Git checks out no path with
/// a part like `..`, and so none is served.
fn below(path: &[u8], prefix: &RelPath) -> Option<RelPath> {
    RelPath::new(path).ok()?.from(prefix)
}

/// Gathers what `diff-tree --raw -z` prints: two fields for each path.
pub(super) struct Differences<'p> {
    prefix: &'p RelPath,
    about: Option<ChangeKind>,
    is_about: bool,
    pub(super) changes: Vec<(ChangeKind, RelPath)>,
}

impl<'p> Differences<'p> {
    pub(super) const fn new(prefix: &'p RelPath) -> Self {
        Self { prefix, about: None, is_about: false, changes: Vec::new() }
    }

    pub(super) fn field(&mut self, field: &[u8]) {
        if !self.is_about {
            (self.about, self.is_about) = (judge(field), true);
            return;
        }
        self.is_about = false;
        if let Some(kind) = self.about.take()
            && let Some(path) = below(field, self.prefix)
        {
            self.changes.push((kind, path));
        }
    }
}

/// Judges `:100644 100755 OLD NEW M`. A file that only became executable is no change.
fn judge(about: &[u8]) -> Option<ChangeKind> {
    let mut parts = about.strip_prefix(b":")?.split(|byte| *byte == b' ');
    let forms = (Form::of(parts.next()?), Form::of(parts.next()?));
    let blobs = (parts.next()?, parts.next()?);
    match forms {
        (Form::None, Form::None) => None,
        (Form::None, _) => Some(ChangeKind::Created),
        (_, Form::None) => Some(ChangeKind::Removed),
        (before, after) if before == after && blobs.0 == blobs.1 => None,
        _ => Some(ChangeKind::Modified),
    }
}

/// Gathers what `ls-tree -r -z` prints: `100644 blob NAME<TAB>PATH`.
pub(super) fn entry(field: &[u8], prefix: &RelPath, into: &mut BTreeMap<RelPath, Listed>) {
    let Some(tab) = field.iter().position(|byte| *byte == b'\t') else { return };
    let mut about = field[..tab].split(|byte| *byte == b' ');
    let form = about.next().map_or(Form::None, Form::of);
    let blob = about.nth(1).and_then(|name| str::from_utf8(name).ok());
    if form != Form::None
        && let Some(blob) = blob
        && let Some(path) = below(&field[tab + 1..], prefix)
    {
        into.insert(path, Listed { blob: blob.to_owned(), is_link: form == Form::Link });
    }
}
