//! Paths below an origin's root, as the bytes the file system gives.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A path relative to an origin's root: bytes, parts joined by `/`, no leading or trailing `/`,
/// no empty, `.` or `..` part. The empty path is the root itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelPath(Vec<u8>);

/// Why bytes are not a path below an origin's root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a plain path below a root: {reason}", escape(.bytes))]
pub struct PathError {
    bytes: Vec<u8>,
    reason: &'static str,
}

impl PathError {
    /// Returns the reason alone.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

impl RelPath {
    /// The root itself.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Takes bytes as they are, after checking every part.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PathError> {
        let bytes = bytes.into();
        let reason = if bytes.is_empty() {
            None
        } else if bytes.contains(&0) {
            Some("it holds a NUL byte")
        } else {
            bytes.split(|byte| *byte == b'/').find_map(|part| match part {
                b"" => Some("it has an empty part"),
                b"." | b".." => Some("it has a `.` or `..` part"),
                _ => None,
            })
        };
        match reason {
            Some(reason) => Err(PathError { bytes, reason }),
            None => Ok(Self(bytes)),
        }
    }

    /// Takes bytes that are known to be a path.
    pub(super) fn trusted(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Returns the path of `full` below `root`, or nothing when it does not lie below it.
    #[must_use]
    pub fn below(root: &Path, full: &Path) -> Option<Self> {
        let rest = full.strip_prefix(root).ok()?;
        Self::new(rest.as_os_str().as_bytes()).ok()
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether this is the root itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the path as people are shown it: escaped, and `.` for the root.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.is_root() { ".".to_owned() } else { self.to_string() }
    }

    /// Returns the path as the operating system takes it, still relative.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Returns the absolute path below `root`.
    #[must_use]
    pub fn under(&self, root: &Path) -> PathBuf {
        if self.is_root() { root.to_owned() } else { root.join(self.as_path()) }
    }

    /// Returns the path of an entry of this directory; `name` must be one plain part.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self::new(bytes)
    }

    /// Returns the directory that holds this path; nothing for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let cut = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self(self.0[..cut].to_vec()))
    }

    /// Returns the last part; empty for the root.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// Returns the path from `directory` on; nothing when it does not lie below it.
    #[must_use]
    pub fn from(&self, directory: &Self) -> Option<Self> {
        let rest = if directory.is_root() {
            self.0.as_slice()
        } else {
            self.0.strip_prefix(directory.0.as_slice())?.strip_prefix(b"/")?
        };
        (!rest.is_empty()).then(|| Self(rest.to_vec()))
    }

    /// Returns whether this path is `directory` or lies below it.
    #[must_use]
    pub fn is_within(&self, directory: &Self) -> bool {
        directory.is_root()
            || self
                .0
                .strip_prefix(directory.0.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
    }
}

impl Borrow<[u8]> for RelPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RelPath {
    /// Writes the path on one line: control bytes, `\` and what is not UTF-8 become `\xNN`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{self}`")
    }
}

/// Writes bytes as one line of text: control characters, `\` and what is not UTF-8 as `\xNN`.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_unfit(character) || character == '\\' {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(text, "\\x{byte:02x}");
                }
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Returns whether a character has no place in a line that people read: it controls a terminal, breaks the
/// line, or reorders what is shown.
#[must_use]
pub fn is_unfit(character: char) -> bool {
    let breaks = matches!(character, '\u{2028}' | '\u{2029}');
    let reorders = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || breaks || reorders
}

/// Makes text of others fit for logs and the journal: one line, [escaped](escape), at most 512 bytes.
#[must_use]
pub fn foreign_text(text: &str) -> String {
    shorten(escape(text.as_bytes()), 512)
}

/// Cuts a line so that it has at most `most` bytes (3 at least), an ellipsis included.
#[must_use]
pub fn shorten(mut line: String, most: usize) -> String {
    if line.len() > most {
        let mut end = most - '…'.len_utf8();
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("valid")
    }

    #[test]
    fn parts_are_checked() {
        for bad in ["/a", "a/", "a//b", "./a", "a/../b", "a\0b"] {
            assert!(RelPath::new(bad).is_err(), "{bad}");
        }
        assert!(RelPath::new("").expect("the root").is_root());
    }

    #[test]
    fn a_path_lies_within_its_directories_only() {
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a/b").is_within(&path("a/b")));
        assert!(path("a/b").is_within(&RelPath::root()));
        assert!(!path("ab").is_within(&path("a")));
    }

    #[test]
    fn parent_and_name_take_a_path_apart() {
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("c").parent(), Some(RelPath::root()));
        assert_eq!(path("a/b/c").name(), b"c");
        assert_eq!(RelPath::root().parent(), None);
    }

    #[test]
    fn odd_bytes_are_shown_on_one_line() {
        let odd = RelPath::new(b"a\nb\\\xff\xc3\xa9".to_vec()).expect("valid");
        assert_eq!(odd.to_string(), "a\\x0ab\\x5c\\xffé");
    }
}
