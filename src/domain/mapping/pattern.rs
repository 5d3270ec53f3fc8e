//! A glob whose wildcards are kept: the left side of a rewrite.

use regex::bytes::{Captures, Regex, RegexBuilder};

use super::globs;
use crate::domain::path::RelPath;

/// A glob of paths, in the grammar of all other globs. Each `*`, `**`, `?`, `[…]` and `{…}` keeps the
/// text that it matched, numbered by where it begins.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles a glob, or says why it can't be.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        globs::check(text)?;
        if !text.contains('/') {
            return Err(format!(
                "`{text}` doesn't say where: write `/{text}` for files right below the root, or \
                 `**/{text}` for any level"
            ));
        }
        let glob = text.strip_prefix('/').unwrap_or(text);
        let tree = if glob.ends_with('/') { "**" } else { "" };
        let regex = RegexBuilder::new(&translate(&format!("{glob}{tree}")))
            .unicode(false)
            .dot_matches_new_line(true)
            .build()
            .map_err(|error| format!("`{text}` can't be used here: {error}"))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// Returns the glob as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns how many wildcards it has.
    pub(super) fn wildcards(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// Returns the texts of the wildcards, from 1, after the whole path, if the glob matches.
    pub(super) fn captures<'p>(&self, path: &'p RelPath) -> Option<Captures<'p>> {
        self.regex.captures(path.as_bytes())
    }
}

/// Writes a glob that [`globs::check`] passed as an expression over bytes.
fn translate(glob: &str) -> String {
    let characters: Vec<char> = glob.chars().collect();
    let at = |index: usize| characters.get(index).copied();
    let mut regex = String::from("^");
    let mut index = 0;
    let mut depth = 0_usize;
    while let Some(character) = at(index) {
        index += 1;
        match character {
            '\\' => {
                regex.push_str(&literal(at(index).unwrap_or('\\')));
                index += 1;
            }
            '*' => {
                let begins = index == 1
                    || matches!(at(index - 2), Some('/'))
                    || (depth > 0 && matches!(at(index - 2), Some('{' | ',')));
                let first = index;
                while at(index) == Some('*') {
                    index += 1;
                }
                let ends = match at(index) {
                    None => true,
                    // A `**` that is a whole alternative is one part: the parser of globs has it so.
                    Some(next) => {
                        depth > 0 && matches!(next, ',' | '}') && at(first - 2) == Some('/')
                    }
                };
                // `**` is special only where it is a whole part.
                if index - first == 1 && begins && at(index) == Some('/') {
                    regex.push_str("(?:(.*)/)?");
                    index += 1;
                } else if index - first == 1 && begins && ends {
                    regex.push_str("(.*)");
                } else {
                    regex.push_str("([^/]*)");
                }
            }
            '?' => regex.push_str("([^/])"),
            '[' => index = class(&characters, index, &mut regex),
            '{' => {
                depth += 1;
                regex.push('(');
            }
            ',' if depth > 0 => regex.push('|'),
            '}' if depth > 0 => {
                depth -= 1;
                regex.push(')');
            }
            other => regex.push_str(&literal(other)),
        }
    }
    regex.push('$');
    regex
}

/// Writes the class that begins after the `[` at `index`; returns where it ends.
fn class(characters: &[char], mut index: usize, regex: &mut String) -> usize {
    regex.push_str("([");
    if matches!(characters.get(index), Some('!' | '^')) {
        regex.push('^');
        index += 1;
    }
    let first = index;
    while let Some(character) = characters.get(index).copied() {
        index += 1;
        match character {
            ']' if index - 1 > first => break,
            '-' if index - 1 > first && characters.get(index) != Some(&']') => regex.push('-'),
            '\\' | '[' | ']' | '^' | '-' | '&' | '~' => regex.extend(['\\', character]),
            other => regex.push(other),
        }
    }
    regex.push_str("&&[^/]])");
    index
}

fn literal(character: char) -> String {
    regex::escape(character.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::mapping::globs::Globs;

    fn path(text: impl AsRef<[u8]>) -> RelPath {
        RelPath::new(text.as_ref()).expect("valid")
    }

    fn texts(glob: &str, text: &str) -> Option<Vec<String>> {
        let path = path(text);
        let captures = Pattern::new(glob).expect(glob).captures(&path)?;
        let texts = captures.iter().skip(1);
        let texts = texts.map(|found| found.map_or(&b""[..], |found| found.as_bytes()));
        Some(texts.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect())
    }

    #[test]
    fn each_wildcard_keeps_its_text() {
        for (glob, text, kept) in [
            ("posts/*.md", "posts/a b.md", &["a b"][..]),
            ("/*-*.md", "2024-x-y.md", &["2024-x", "y"]),
            ("**/*.md", "a/b/c.md", &["a/b", "c"]),
            ("**/*.md", "c.md", &["", "c"]),
            ("x/**/y/*", "x/y/z", &["", "z"]),
            ("x/**/y/*", "x/1/2/y/z", &["1/2", "z"]),
            ("x/**", "x/1/2", &["1/2"]),
            ("x/", "x/1/2", &["1/2"]),
            ("/x?.[a-c]", "xé.b", &[]),
            ("/x??.[a-c]", "xyz.b", &["y", "z", "b"]),
            ("{de,en}/**", "en/a/b", &["en", "a/b"]),
            ("**/*.{js,c[s]s}.{br,gz}", "a/x.css.gz", &["a", "x", "css", "s", "gz"]),
            ("é/\\**.md", "é/*x.md", &["x"]),
            ("/[!a]*", "b1", &["b", "1"]),
        ] {
            let expected = (!kept.is_empty()).then(|| kept.iter().map(|&x| x.to_owned()).collect());
            assert_eq!(texts(glob, text), expected, "{glob} {text}");
        }
        for (glob, text) in [("/*", "a/b"), ("/[!a]x", "a/x"), ("x/**", "x"), ("a/*.md", "b/x.md")]
        {
            assert_eq!(texts(glob, text), None, "{glob} {text}");
        }
        assert!(Pattern::new("*.md").expect_err("says not where").contains("`**/*.md`"));
        assert!(Pattern::new("a/[").is_err());
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_a_glob_matches(
            glob in "/?([a-c]|\\*|\\*\\*|/\\*\\*/|\\?|/|\\[!?[a-c]\\]|\\{[a-c],[a-c*]{1,3}\\}){1,6}",
            text in "[a-c]{1,2}(/[a-c]{1,2}){0,3}",
        ) {
            let tree = glob.ends_with('/') || glob.ends_with("/**");
            if let (Ok(pattern), Ok(globs)) =
                (Pattern::new(&glob), Globs::new(std::slice::from_ref(&glob)))
                && !tree
            {
                let path = path(&text);
                // A glob that matches a directory means what lies in it, too: ask for the path itself.
                let above = path.parent().is_some_and(|parent| globs.find(&parent, true).is_some());
                if !above {
                    let is_found = globs.find(&path, false).is_some();
                    prop_assert_eq!(pattern.captures(&path).is_some(), is_found, "{}", glob);
                }
            }
        }
    }
}
