use super::*;
use crate::domain::push::MOST_LISTED;

/// Sixty ways to say somewhere else.
const REFUSED: [&str; 60] = [
    "",
    "/",
    "//",
    "/etc/passwd",
    "//etc/passwd",
    "/a",
    "a/",
    "a//b",
    "a///b",
    "//server/share",
    ".",
    "..",
    "./",
    "../",
    "./a",
    "../a",
    "../../a",
    "../../../../../../etc/passwd",
    "a/.",
    "a/..",
    "a/./b",
    "a/../b",
    "a/../../b",
    "a/b/../../..",
    "a/b/../../../c",
    "./../a",
    ".././a",
    "a/./../b",
    "a/..//b",
    "..//a",
    "\\",
    "\\a",
    "a\\b",
    "..\\a",
    "..\\..\\a",
    "a\\..\\b",
    "a/..\\b",
    "..\\/a",
    "../\\a",
    "\\\\server\\share",
    "\\\\?\\C:\\a",
    "C:",
    "C:a",
    "C:/a",
    "c:/a",
    "C:\\a",
    "Z:../a",
    "C:../../a",
    "\0",
    "a\0",
    "\0a",
    "a\0b",
    "a/\0/b",
    "a.html\0.png",
    "../a\0.html",
    "/\0",
    "caf\u{fffd}.html",
    "%2e%2e/../a",
    "a/%2e/./b",
    "..%2f/..",
];

/// Names that look so, and are names.
const TAKEN: [&str; 24] = [
    "a",
    "a/b/c.html",
    "...",
    "..a",
    "a..",
    "a..b",
    "a/.../b",
    ".a",
    ".well-known/security.txt",
    "a/.htaccess",
    "%2e%2e/x",
    "%2e%2e%2fx",
    "..%2fx",
    "%5c..%5cx",
    "a%00b",
    "~/a",
    "~root",
    "-rf",
    "a b/ c ",
    "CC:a",
    "1:a",
    "größe/日本.html",
    "a\nb",
    "\u{ff0e}\u{ff0e}/a",
];

#[test]
fn sixty_ways_out_are_refused_and_what_only_looks_so_is_a_name() {
    for text in REFUSED {
        assert!(path(text).is_err(), "{text:?}");
        let mut listing = Listing::default();
        listing.name("kept.html");
        listing.name(text);
        let Listed::Cut { paths, why } = listing.done() else { panic!("{text:?} was dropped") };
        assert_eq!(paths, BTreeSet::from([RelPath::new("kept.html").expect("valid")]));
        assert!(why.contains("is not taken"), "{why}");
        assert!(!why.contains(char::is_control), "{why:?}");
    }
    for text in TAKEN {
        assert_eq!(path(text).expect(text).as_bytes(), text.as_bytes());
    }
    assert!(path(&"a".repeat(4096)).is_ok() && path(&"a".repeat(4097)).is_err());
}

#[test]
fn the_first_20_000_paths_are_taken_and_those_beyond_are_not_forgotten_silently() {
    let mut listing = Listing::default();
    (0..MOST_LISTED).for_each(|at| listing.name(&format!("p/{at}")));
    listing.name("p/0");
    assert!(listing.why.is_none(), "the same path again is no more");
    listing.name("one more");
    let listed = listing.done();
    assert_eq!(listed.paths().len(), MOST_LISTED);
    assert!(matches!(listed, Listed::Cut { why, .. } if why.contains("20000")));
}
