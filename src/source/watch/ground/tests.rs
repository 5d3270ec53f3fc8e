use super::*;

fn table(name: &str) -> Mounts {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mounts").join(name);
    Mounts::parse(&std::fs::read(file).expect("a fixture"))
}

fn survey(mounts: &Mounts, path: &str, at: &str, probe: &dyn Fn(&Path) -> bool) -> Ground {
    let excluded = |path: &RelPath, _: bool| path.name() == b"cache";
    let at = RelPath::new(at).expect("valid");
    Ground::survey(mounts, Path::new(path), &at, &excluded, probe)
}

fn never(path: &Path) -> bool {
    panic!("{} is probed", path.display())
}

fn places(ground: &Ground) -> (Vec<String>, Vec<String>) {
    let heard = ground.heard.iter().map(|(path, at)| format!("{at} {}", path.display()));
    let polled = ground.polled.iter().map(|polled| format!("{} {}", polled.path, polled.why));
    (heard.collect(), polled.collect())
}

/// A table, a directory and its place below the root; what is heard there, what is polled.
type Row =
    (&'static str, &'static str, &'static str, &'static [&'static str], &'static [&'static str]);

#[test]
fn each_mount_of_a_tree_is_heard_or_polled() {
    let rows: [Row; 6] = [
        (
            "kubernetes",
            "/usr/share/nginx/html",
            "",
            &[" /usr/share/nginx/html", "config /usr/share/nginx/html/config"],
            &["media nfs4 sends no events for what other machines write"],
        ),
        (
            "fuse.sshfs",
            "/srv/www",
            "link",
            &["link /srv/www"],
            &["link/uploads fuse.sshfs sends no events for what does not come through this mount"],
        ),
        ("nfs", "/srv/www", "", &[], &[" nfs sends no events for what other machines write"]),
        ("nfs", "/srv/www/a", "", &[], &[" nfs sends no events for what other machines write"]),
        ("docker-volume", "/srv/www", "", &[" /srv/www"], &[]),
        ("btrfs-subvolume", "/srv/www", "", &[" /srv/www"], &[]),
    ];
    for (name, path, at, heard, polled) in rows {
        let ground = survey(&table(name), path, at, &never);
        let (heard, polled) =
            (heard.iter().map(ToString::to_string), polled.iter().map(ToString::to_string));
        assert_eq!(places(&ground), (heard.collect(), polled.collect()), "{name} {path}");
    }
}

#[test]
fn a_mount_below_a_polled_one_is_part_of_it() {
    let mounts = Mounts::parse(
        b"1 0 8:1 / / rw - ext4 a rw\n2 1 0:5 / /srv/a rw - nfs4 b rw\n3 2 8:2 / /srv/a/b rw - ext4 c rw\n",
    );
    let ground = survey(&mounts, "/srv", "", &never);
    assert_eq!(places(&ground).1, ["a nfs4 sends no events for what other machines write"]);
    assert_eq!(ground.heard.len(), 1);
}

#[test]
fn an_unknown_file_system_is_probed() {
    let mounts = Mounts::parse(b"1 0 8:1 / / rw - newfs a rw\n");
    assert_eq!(places(&survey(&mounts, "/srv", "", &|_| true)).0, [" /srv"]);
    let ground = survey(&mounts, "/srv", "", &|_| false);
    assert_eq!(ground.refuses(&RelPath::root()), Some("newfs is not known to send events"));
}

#[test]
fn a_probe_hears_itself_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("made");
    assert!(probe(directory.path()));
    assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 0);
    assert!(!probe(&directory.path().join("missing")));
    assert!(!probe(Path::new("/proc/self")));
}
