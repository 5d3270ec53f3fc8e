//! The paths that a payload names.

use std::collections::BTreeSet;

use super::shown;
use crate::domain::path::RelPath;
use crate::domain::push::{Listed, MOST_LISTED};

/// The longest path in bytes (`PATH_MAX`).
const LONGEST: usize = 4096;

/// The paths of a push, as they are collected.
#[derive(Default)]
pub(super) struct Listing {
    paths: BTreeSet<RelPath>,
    why: Option<String>,
}

impl Listing {
    /// Says why there may be other paths; the first reason stays.
    pub(super) fn cut(&mut self, why: impl FnOnce() -> String) {
        self.why.get_or_insert_with(why);
    }

    /// Takes a path, or says why it doesn't: a path that is left out makes the list a part.
    pub(super) fn name(&mut self, text: &str) {
        match path(text) {
            Err(why) => self.cut(|| format!("the path `{}` is not taken: {why}", shown(text))),
            Ok(path) if self.paths.len() < MOST_LISTED || self.paths.contains(&path) => {
                self.paths.insert(path);
            }
            Ok(_) => self.cut(|| format!("it names more than {MOST_LISTED} paths")),
        }
    }

    pub(super) fn done(self) -> Listed {
        match self.why {
            None => Listed::All(self.paths),
            Some(why) => Listed::Cut { paths: self.paths, why },
        }
    }
}

/// Reads the path of a file from a repository's root.
///
/// It is decoded once, with the JSON around it. Senders write the bytes that git holds, and a file may be
/// called `%2e%2e`: to decode percent signs as well would look at another file.
fn path(text: &str) -> Result<RelPath, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > LONGEST {
        return Err("it has more than 4096 bytes");
    }
    if text.contains('\\') {
        return Err("it holds a backslash, which parts names elsewhere");
    }
    if matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic()) {
        return Err("it begins with the letter of a drive");
    }
    if text.contains('\u{fffd}') {
        return Err("it is not the file's name but what could be told of it");
    }
    RelPath::new(text).map_err(|error| error.reason())
}

#[cfg(test)]
mod tests;
