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
