//! The house's rules that no compiler holds, read from the source as text.
//!
//! Each check is a function from files to violations, and each is shown to catch a planted one.

use std::path::Path;

/// Rooms, and which rooms each may use; `room::part` allows that part alone.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("config", &["domain"]),
    ("telemetry", &["config", "clock", "domain"]),
    ("database", &["telemetry", "clock", "domain"]),
    ("store", &["database", "clock", "domain"]),
    ("journal", &["database", "clock", "domain"]),
    ("http", &["domain"]),
    ("cdn", &["http", "clock", "domain"]),
    ("sandbox", &["cdn::wire", "cdn::sign", "clock", "domain"]),
    ("source", &["store", "telemetry", "clock", "domain"]),
    ("probe", &["http", "domain"]),
    ("notice", &["store", "http", "telemetry", "clock", "domain"]),
    ("web", &["source", "journal", "store", "telemetry", "clock", "domain"]),
    (
        "engine",
        &[
            "web",
            "source",
            "probe",
            "notice",
            "cdn",
            "journal",
            "store",
            "database",
            "config",
            "telemetry",
            "clock",
            "domain",
        ],
    ),
];

/// What stands above the rooms and may use anything.
const ABOVE: &[&str] = &["main", "lib", "cli", "command"];

/// The one file that may escape the compiler's checks; ARCHITECTURE.md says why.
const UNSAFE: &str = "src/source/watch/fanotify/kernel.rs";

/// A file of more lines than this is two files.
const MAX_LINES: usize = 600;

/// A file's path from the repository's root, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn planted(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The room it belongs to, if it lies in `src`.
    fn room(&self) -> Option<&str> {
        let part = self.path.strip_prefix("src/")?.split('/').next()?;
        Some(part.strip_suffix(".rs").unwrap_or(part))
    }

    /// The lines that are not comments, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines
            .map(|(at, line)| (at + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every text file of the repository below `part` that is not made by a build.
fn files(part: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open = vec![root.join(part)];
    while let Some(path) = open.pop() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if matches!(name, ".git" | "target" | ".venv" | "__pycache__") || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a readable directory");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).expect("a readable file");
            let path = path.strip_prefix(root).expect("below the root");
            found.push(File {
                path: path.display().to_string(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            });
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The paths that `rest`, which follows `crate::`, leads to: groups are taken apart, and a path ends
/// after two parts.
fn expand(rest: &str, prefix: &str, paths: &mut Vec<String>) {
    let rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        let mut depth = 0_usize;
        let mut from = 0;
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    expand(&group[from..at], prefix, paths);
                    from = at + 1;
                    if character == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (part, rest) = rest.split_at(end);
    if part.is_empty() {
        return;
    }
    match (prefix, rest.strip_prefix("::")) {
        ("", Some(rest)) => expand(rest, part, paths),
        ("", None) => paths.push(part.to_owned()),
        (room, _) if part == "self" => paths.push(room.to_owned()),
        (room, _) => paths.push(format!("{room}::{part}")),
    }
}

/// The places in the crate that a file names: `room` or `room::part`. `super::` counts where a
/// room's name follows, for from the top of a room it leads to the crate.
fn places(file: &File) -> Vec<String> {
    let code: String = file.code().flat_map(|(_, line)| [line, "\n"]).collect();
    let mut paths = Vec::new();
    for (at, word) in code.match_indices("crate::") {
        expand(&code[at + word.len()..], "", &mut paths);
    }
    let mut above = Vec::new();
    for (at, word) in code.match_indices("super::") {
        expand(&code[at + word.len()..], "", &mut above);
    }
    let is_room =
        |path: &String| ROOMS.iter().any(|(room, _)| path.split("::").next() == Some(room));
    paths.extend(above.into_iter().filter(is_room));
    paths
}

/// A room uses only what stands below it.
fn layers(files: &[File]) -> Vec<String> {
    let mut violations = Vec::new();
    for file in files {
        let Some(room) = file.room() else { continue };
        if ABOVE.contains(&room) {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            violations.push(format!("{}: `{room}` is no room of the house", file.path));
            continue;
        };
        for place in places(file) {
            let other = place.split("::").next().unwrap_or_default();
            if other != room && !allowed.contains(&other) && !allowed.contains(&place.as_str()) {
                violations.push(format!("{}: {room} may not use {place}", file.path));
            }
        }
    }
    violations
}

/// A room says what it is.
fn doors(files: &[File]) -> Vec<String> {
    let silent = |file: &&File| {
        let parts: Vec<_> = file.path.split('/').collect();
        matches!(parts.as_slice(), ["src", _, "mod.rs"]) && !file.text.starts_with("//! This room ")
    };
    files.iter().filter(silent).map(|file| file.path.clone()).collect()
}

/// No code escapes the compiler's checks but in one file, where each escape says why it is sound.
fn escapes(files: &[File]) -> Vec<String> {
    let of = |file: &File| {
        let lines = file.code().filter(|(_, line)| words(line).any(|word| word == "unsafe"));
        lines.map(|(at, _)| format!("{}:{at}", file.path)).collect::<Vec<_>>()
    };
    let unsound = |file: &File| {
        let mut argued = false;
        let mut found = Vec::new();
        for (at, line) in file.text.lines().enumerate() {
            let line = line.trim_start();
            argued |= line.starts_with("// SAFETY: ");
            if !line.starts_with("//") && words(line).any(|word| word == "unsafe") {
                found.extend((!argued).then(|| format!("{}:{}", file.path, at + 1)));
                argued = false;
            }
        }
        found
    };
    let rooms = files.iter().filter(|file| file.room().is_some());
    rooms.flat_map(|file| if file.path == UNSAFE { unsound(file) } else { of(file) }).collect()
}

/// No file grows beyond what a reader holds. Lists of cases, in files named `tests.rs`, may.
fn giants(files: &[File]) -> Vec<String> {
    let cases = |file: &File| file.path.ends_with("/tests.rs");
    let sizes = files.iter().filter(|file| file.room().is_some() && !cases(file));
    let sizes = sizes.map(|file| (file.path.as_str(), file.text.lines().count()));
    sizes
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect()
}

/// Every file of the integration tests is compiled: `main.rs` names it.
fn forgotten_tests(files: &[File]) -> Vec<String> {
    let main = files.iter().find(|file| file.path == "tests/it/main.rs");
    let main = main.map_or("", |file| file.text.as_str());
    let name = |file: &File| {
        let name = file.path.strip_prefix("tests/it/")?;
        let name = name.strip_suffix("/mod.rs").or_else(|| name.strip_suffix(".rs"))?;
        (!name.contains('/') && name != "main").then(|| name.to_owned())
    };
    let named = |name: &String| main.lines().any(|line| line.trim() == format!("mod {name};"));
    files.iter().filter_map(name).filter(|name| !named(name)).collect()
}

/// Every migration is compiled in: some file of `src` includes it.
fn forgotten_migrations(files: &[File]) -> Vec<String> {
    let included = |path: &str| {
        let mut sources = files.iter().filter(|file| file.room().is_some());
        sources.any(|file| file.code().any(|(_, line)| line.contains(&format!("{path}\""))))
    };
    let migrations = files.iter().map(|file| file.path.as_str());
    migrations
        .filter(|path| path.starts_with("migrations/") && !included(path))
        .map(str::to_owned)
        .collect()
}

/// Nothing in the repository leads to the place where it was written.
fn traces(files: &[File]) -> Vec<String> {
    let places = [concat!("/wo", "rk/"), concat!("/tm", "p/wt")];
    let of = |file: &File| {
        let lines = file.text.lines().enumerate();
        let lines = lines.filter(|(_, line)| places.iter().any(|place| line.contains(place)));
        lines.map(|(at, _)| format!("{}:{}", file.path, at + 1)).collect::<Vec<_>>()
    };
    files.iter().flat_map(of).collect()
}

/// Every invariant of ARCHITECTURE.md names a test, as `part_of_its_path::name`, that there is.
fn broken_promises(architecture: &str, files: &[File]) -> Vec<String> {
    let is_mark =
        |line: &str| ["#[test]", "#[tokio::test"].iter().any(|mark| line.trim().starts_with(mark));
    let is_test = |name: &str| {
        let mut parts: Vec<_> = name.split("::").collect();
        let head = format!("fn {}(", parts.pop().unwrap_or_default());
        files.iter().any(|file| {
            let places: Vec<_> = file.path.split(['/', '.']).collect();
            let lines: Vec<_> = file.text.lines().collect();
            let mut pairs = lines.windows(2);
            parts.iter().all(|part| places.contains(part))
                && pairs.any(|pair| is_mark(pair[0]) && pair[1].contains(&head))
        })
    };
    let mut broken = Vec::new();
    for promise in architecture.split("**Invariant:**").skip(1) {
        let promise = promise.split("\n\n").next().unwrap_or_default();
        let quoted = promise.split('`').skip(1).step_by(2);
        let tests: Vec<_> = quoted.filter(|quoted| quoted.contains("::")).collect();
        if tests.is_empty() {
            broken.push(format!("no test holds:{promise}"));
        }
        let lost = tests.into_iter().filter(|test| !is_test(test));
        broken.extend(lost.map(|test| format!("there is no test {test}")));
    }
    broken
}

const NONE: [&str; 0] = [];

#[test]
fn rooms_use_only_what_stands_below_them() {
    assert_eq!(layers(&files("src")), NONE);
}

#[test]
fn a_look_upwards_is_caught() {
    let rows = [
        ("src/domain/plan.rs", "use crate::clock::Clock;", "domain may not use clock::Clock"),
        ("src/store/mod.rs", "use super::journal::Journal;", "store may not use journal::Journal"),
        ("src/cdn/wire.rs", "fn f() { crate::sandbox::run() }", "cdn may not use sandbox::run"),
        (
            "src/sandbox/a.rs",
            "use crate::cdn::{\n    sign,\n    client::{A, B},\n};",
            "sandbox may not use cdn::client",
        ),
        (
            "src/journal/a.rs",
            "use crate::{\n    domain::time::Day,\n    engine,\n};",
            "journal may not use engine",
        ),
        ("src/web/a.rs", "use crate::{cdn::{self}, domain};", "web may not use cdn"),
        ("src/pantry/mod.rs", "", "`pantry` is no room of the house"),
    ];
    for (path, text, violation) in rows {
        let found = layers(&[File::planted(path, text)]);
        assert_eq!(found, [format!("{path}: {violation}")]);
    }
    let fine = [
        File::planted(
            "src/sandbox/a.rs",
            "use crate::cdn::{sign, wire::{A, B}};\n// crate::engine",
        ),
        File::planted("src/command/a.rs", "use crate::engine::Engine;"),
        File::planted("src/store/a.rs", "use super::index::Index;\nuse crate::store::b::C;"),
    ];
    assert_eq!(layers(&fine), NONE);
}

#[test]
fn every_room_says_what_it_is() {
    assert_eq!(doors(&files("src")), NONE);
    let planted = [
        File::planted("src/web/mod.rs", "//! The web.\n"),
        File::planted("src/web/api/mod.rs", "//! A part.\n"),
    ];
    assert_eq!(doors(&planted), ["src/web/mod.rs"]);
}

#[test]
fn nothing_is_unsafe_but_in_one_file_that_argues() {
    assert_eq!(escapes(&files("src")), NONE);
    let planted =
        File::planted("src/web/a.rs", "// unsafe\n#![deny(unsafe_code)]\nunsafe { f() }\n");
    assert_eq!(escapes(&[planted]), ["src/web/a.rs:3"]);
    assert!(files("src").iter().any(|file| file.path == UNSAFE));
    let planted = File::planted(UNSAFE, "// SAFETY: fine.\nunsafe { f() }\nunsafe { g() }\n");
    assert_eq!(escapes(&[planted]), [format!("{UNSAFE}:3")]);
}

#[test]
fn no_file_is_a_giant() {
    assert_eq!(giants(&files("src")), NONE);
    let planted = [
        File::planted("src/web/a.rs", &"\n".repeat(MAX_LINES + 1)),
        File::planted("src/web/b.rs", &"\n".repeat(MAX_LINES)),
    ];
    assert_eq!(giants(&planted), ["src/web/a.rs: 601 lines"]);
}

#[test]
fn every_integration_test_is_compiled() {
    assert_eq!(forgotten_tests(&files("tests/it")), NONE);
    let planted = [
        File::planted("tests/it/main.rs", "mod flow;\n// mod crash;\n"),
        File::planted("tests/it/flow.rs", ""),
        File::planted("tests/it/crash.rs", ""),
        File::planted("tests/it/world/mod.rs", ""),
    ];
    assert_eq!(forgotten_tests(&planted), ["crash", "world"]);
}

#[test]
fn every_migration_is_compiled_in() {
    let mut all = files("src");
    if Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").exists() {
        all.extend(files("migrations"));
    }
    assert_eq!(forgotten_migrations(&all), NONE);
    let planted = [
        File::planted("src/store/a.rs", "include_str!(\"../../migrations/0001.sql\")"),
        File::planted("migrations/0001.sql", ""),
        File::planted("migrations/0002.sql", ""),
    ];
    assert_eq!(forgotten_migrations(&planted), ["migrations/0002.sql"]);
}

#[test]
fn nothing_leads_to_where_it_was_written() {
    assert_eq!(traces(&files("")), NONE);
    let planted = File::planted("README.md", concat!("fine\nsee /wo", "rk/notes\n"));
    assert_eq!(traces(&[planted]), ["README.md:2"]);
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let mut all = files("src");
    all.extend(files("tests"));
    let architecture = files("ARCHITECTURE.md").remove(0).text;
    assert!(architecture.contains("**Invariant:**"));
    assert_eq!(broken_promises(&architecture, &all), NONE);
    let planted = [File::planted(
        "tests/it/crash.rs",
        "#[tokio::test(flavor = \"multi_thread\")]\nasync fn nothing_is_lost() {}\nfn helper() {}\n",
    )];
    let text = "**Invariant:** a. Held by `crash::nothing_is_lost`.\n\
        **Invariant:** b. Held by `crash::nothing_is_last`, `flow::nothing_is_lost` and `crash::helper`.\n\
        **Invariant:** c.\n\nMore.";
    assert_eq!(
        broken_promises(text, &planted),
        [
            "there is no test crash::nothing_is_last",
            "there is no test flow::nothing_is_lost",
            "there is no test crash::helper",
            "no test holds: c.",
        ]
    );
}
