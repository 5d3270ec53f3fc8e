//! Globs below an origin's root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{GlobBuilder, GlobSet};

use crate::domain::path::RelPath;

/// A list of globs. Without a `/` inside, a glob matches at any level; `dir/` and `dir/**` mean the
/// whole tree; `*` and `?` never match a `/`; case matters; `?` is one byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct Globs {
    patterns: Vec<Pattern>,
    set: GlobSet,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    /// Whether it matches a directory only, and by that all that lies in it.
    tree: bool,
}

impl Globs {
    /// Compiles globs; returns the number of each bad one and why it is bad.
    pub(crate) fn new(texts: &[String]) -> Result<Self, Vec<(usize, String)>> {
        let mut patterns = Vec::new();
        let mut set = GlobSet::builder();
        let mut errors = Vec::new();
        for (item, text) in texts.iter().enumerate() {
            match compile(text) {
                Ok((glob, tree)) => {
                    set.add(glob);
                    patterns.push(Pattern { text: text.clone(), tree });
                }
                Err(why) => errors.push((item, why)),
            }
        }
        match set.build() {
            Ok(set) if errors.is_empty() => Ok(Self { patterns, set }),
            Ok(_) => Err(errors),
            Err(error) => {
                errors.push((0, format!("these globs are too much together: {error}")));
                Err(errors)
            }
        }
    }

    /// Returns the first glob that matches a path or a directory that it lies in.
    pub(crate) fn find(&self, path: &RelPath, is_dir: bool) -> Option<&str> {
        if self.patterns.is_empty() || path.is_root() {
            return None;
        }
        let bytes = path.as_bytes();
        let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(at, _)| at).chain([bytes.len()]);
        let mut hits = Vec::new();
        for end in ends {
            let is_dir = is_dir || end < bytes.len();
            self.set.matches_into(OsStr::from_bytes(&bytes[..end]), &mut hits);
            let hit =
                hits.iter().map(|hit| &self.patterns[*hit]).find(|pattern| is_dir || !pattern.tree);
            if let Some(pattern) = hit {
                return Some(&pattern.text);
            }
        }
        None
    }

    /// Returns the first glob that matches a file itself, whatever it lies in.
    pub(crate) fn find_file(&self, path: &RelPath) -> Option<&str> {
        let hits = self.set.matches(path.as_path());
        let mut patterns = hits.iter().map(|hit| &self.patterns[*hit]);
        patterns.find(|pattern| !pattern.tree).map(|pattern| pattern.text.as_str())
    }

    /// Returns the numbers of the globs that mean a tree.
    pub(super) fn trees(&self) -> impl Iterator<Item = usize> {
        (0..).zip(&self.patterns).filter(|(_, pattern)| pattern.tree).map(|(item, _)| item)
    }
}

/// Says what is wrong with a glob, if anything is.
pub(super) fn check(text: &str) -> Result<(), String> {
    compile(text).map(drop)
}

/// Compiles one glob, and says whether it means a tree.
fn compile(text: &str) -> Result<(globset::Glob, bool), String> {
    if text.starts_with('!') {
        return Err(format!(
            "`{text}`: globs can't be taken back by `!`; for a file name that begins with it \
             write `\\{text}`"
        ));
    }
    let bare = ["/**", "/"]
        .into_iter()
        .find_map(|end| text.strip_suffix(end).filter(|bare| !bare.is_empty()));
    let tree = bare.is_some();
    let bare = bare.unwrap_or(text);
    let anchored = bare.strip_prefix('/').unwrap_or(bare);
    if anchored.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!(
            "`{text}` matches no path: write a glob relative to the root, without empty, `.` or \
             `..` parts"
        ));
    }
    let glob = if bare.contains('/') { anchored.to_owned() } else { format!("**/{bare}") };
    GlobBuilder::new(&glob)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map(|glob| (glob, tree))
        .map_err(|error| format!("`{text}` is not a glob: {}", error.kind()))
}
