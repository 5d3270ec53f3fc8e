use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use super::*;

/// Reads what is at a path, and tells whether a link lies on the way.
fn read(root: &Path, links: Links, name: &str) -> Result<(String, bool), Errno> {
    let root = Root::open(root, links).expect("opens");
    let (fd, linked) = root.open_at(&RelPath::new(name).expect("valid"), OFlags::RDONLY)?;
    let mut text = String::new();
    fs::File::from(fd).read_to_string(&mut text).expect("read");
    Ok((text, linked))
}

#[test]
fn only_the_end_of_a_way_must_lie_inside() {
    let outer = tempfile::tempdir().expect("made");
    let root = outer.path().join("www");
    fs::create_dir_all(root.join("d")).expect("made");
    fs::create_dir_all(outer.path().join("www-other")).expect("made");
    for name in ["www/d/in", "www-other/out"] {
        fs::write(outer.path().join(name), name).expect("written");
    }
    symlink("www", outer.path().join("hop")).expect("linked");
    let made = [
        ("relative", "d/in".into()),
        ("absolute", root.join("d/in")),
        ("returns", "../www/d/in".into()),
        ("returns-by-link", outer.path().join("hop/d/in")),
        ("twice", "absolute".into()),
        // Its text begins as the root's does.
        ("sibling", outer.path().join("www-other/out")),
    ];
    for (name, to) in made {
        symlink(to, root.join(name)).expect("linked");
    }
    let inside = Ok(("www/d/in".into(), true));
    for name in ["relative", "absolute", "returns", "returns-by-link", "twice"] {
        for links in [Links::Inside, Links::Anywhere] {
            assert_eq!(read(&root, links, name), inside, "{name} {links}");
        }
        assert_eq!(read(&root, Links::Never, name), Err(Errno::LOOP), "{name}");
    }
    assert_eq!(read(&root, Links::Inside, "sibling"), Err(Errno::XDEV));
    assert_eq!(read(&root, Links::Anywhere, "sibling"), Ok(("www-other/out".into(), true)));
    for links in Links::ALL {
        assert_eq!(read(&root, links, "d/in"), Ok(("www/d/in".into(), false)), "{links}");
    }
}

#[test]
fn no_magic_link_is_followed() {
    let root = tempfile::tempdir().expect("made");
    symlink("/proc/self/cwd/Cargo.toml", root.path().join("magic")).expect("linked");
    for links in Links::ALL {
        assert_eq!(read(root.path(), links, "magic"), Err(Errno::LOOP), "{links}");
    }
}

#[test]
fn something_open_is_found_again() {
    let root = tempfile::tempdir().expect("made");
    let outside = tempfile::tempdir().expect("made");
    fs::create_dir_all(root.path().join("d/e\nf")).expect("made");
    let opened = Root::open(root.path(), Links::Inside).expect("opens");
    let at = RelPath::new("d/e\nf").expect("valid");
    let (fd, _) = opened.open_at(&at, OFlags::PATH).expect("opens");
    assert_eq!(opened.place_of(&fd), Ok(LinkTarget::Inside(at)));
    let fd = open(outside.path(), OFlags::PATH, Mode::empty()).expect("opens");
    let place = fs::canonicalize(outside.path()).expect("there");
    assert_eq!(opened.place_of(&fd), Ok(LinkTarget::Outside(place)));
}

/// What a call comes to: what is open then, or why nothing is.
fn came_to(opened: Result<OwnedFd, Errno>) -> Result<(u64, u64), Errno> {
    opened.and_then(|fd| fstat(&fd)).map(|seen| (seen.st_dev, seen.st_ino))
}

#[test]
fn without_openat2_the_same_is_opened_and_the_same_refused() {
    let folder = tempfile::tempdir().expect("made");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("d/e")).expect("made");
    fs::write(at("d/e/file"), "x").expect("written");
    for (name, to) in [
        ("to-file", "d/e/file"),
        ("to-directory", "d/e"),
        ("d/up", "../d/e/file"),
        ("dangling", "nowhere"),
        ("around", "around"),
        ("out", "/"),
    ] {
        symlink(to, at(name)).expect("linked");
    }
    let root = Root::open(folder.path(), Links::Inside).expect("opens");
    let plain = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let mut seen = std::collections::BTreeSet::new();
    for name in [
        "",
        "d",
        "d/e",
        "d/e/file",
        "d/e/file/x",
        "d/none",
        "none/x",
        "to-file",
        "to-directory",
        "to-directory/file",
        "d/up",
        "dangling",
        "dangling/x",
        "around",
        "out",
        "out/tmp",
    ] {
        let path = RelPath::new(name).expect("valid");
        for flags in [
            OFlags::RDONLY,
            OFlags::DIRECTORY,
            OFlags::PATH,
            OFlags::PATH | OFlags::NOFOLLOW,
            OFlags::PATH | OFlags::DIRECTORY,
        ] {
            let flags = flags | OFlags::CLOEXEC;
            for resolve in [plain, ResolveFlags::empty()] {
                let name = if path.is_root() { Path::new(".") } else { path.as_path() };
                let told = came_to(openat2(&root.fd, name, flags, Mode::empty(), resolve));
                let found = came_to(open_below(&root.fd, &path, flags, resolve));
                assert_eq!(found, told, "{path} {flags:?} {resolve:?}");
                seen.insert(told.map_err(Errno::raw_os_error).map(drop));
            }
            // A way that may leave is looked at again.
            if came_to(open_below(&root.fd, &path, flags, plain)) == Err(Errno::LOOP) {
                let found = came_to(open_below(&root.fd, &path, flags, ResolveFlags::BENEATH));
                assert_eq!(found, Err(Errno::XDEV), "{path} {flags:?}");
            }
        }
    }
    let expected =
        [Errno::LOOP, Errno::NOENT, Errno::NOTDIR].map(|error| Err(error.raw_os_error()));
    assert!(expected.iter().all(|one| seen.contains(one)) && seen.contains(&Ok(())), "{seen:?}");
}
