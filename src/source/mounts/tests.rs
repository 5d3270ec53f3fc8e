use super::*;

/// Each machine's table; a path, the mount that holds it, its type, and whether it sends events;
/// and the mounts below the path.
type Row = (&'static str, &'static str, &'static str, &'static str, bool, &'static [&'static str]);

const ROWS: &[Row] = &[
    ("nfs", "/srv/www/a/b", "/srv/www", "nfs", false, &[]),
    ("nfs", "/srv", "/", "ext4", true, &["/srv/www"]),
    ("nfs", "/proc/1", "/proc", "proc", false, &[]),
    ("nfs4", "/srv/www", "/srv", "xfs", true, &["/srv/www/shared media"]),
    ("nfs4", "/srv/www/shared media/a", "/srv/www/shared media", "nfs4", false, &[]),
    ("cifs", "/mnt/web/site", "/mnt/web", "cifs", false, &[]),
    ("9p-wsl", "/mnt/c/site", "/mnt/c", "9p", false, &[]),
    ("9p-wsl", "/home/me/site", "/", "ext4", true, &[]),
    ("9p-vagrant", "/vagrant/site", "/vagrant", "9p", false, &[]),
    ("9p-vagrant", "/var/www", "/var/www", "virtiofs", false, &[]),
    ("fuse.sshfs", "/srv/www", "/", "ext4", true, &["/srv/www/uploads"]),
    ("fuse.sshfs", "/srv/www/uploads", "/srv/www/uploads", "fuse.sshfs", false, &[]),
    ("fuse.glusterfs", "/srv/www", "/srv/www", "fuse.glusterfs", false, &[]),
    ("docker-overlay", "/usr/share/nginx/html", "/", "overlay", true, &[]),
    ("docker-volume", "/srv/www", "/srv/www", "ext4", true, &["/srv/www/cache"]),
    ("docker-volume", "/srv/www/cache/a", "/srv/www/cache", "tmpfs", true, &[]),
    (
        "kubernetes",
        "/usr/share/nginx/html",
        "/usr/share/nginx/html",
        "xfs",
        true,
        &["/usr/share/nginx/html/config", "/usr/share/nginx/html/media"],
    ),
    (
        "kubernetes",
        "/usr/share/nginx/html/media/a",
        "/usr/share/nginx/html/media",
        "nfs4",
        false,
        &[],
    ),
    ("btrfs-subvolume", "/srv/www", "/srv", "btrfs", true, &[]),
    ("autofs", "/srv/www/a", "/srv/www", "nfs4", false, &[]),
    ("autofs", "/srv", "/", "ext4", true, &["/srv/later", "/srv/www"]),
    ("autofs", "/srv/later", "/srv/later", "autofs", false, &[]),
    // /srv/www/old lies under the later /srv/www, and that under a second one.
    ("stacked", "/srv/www/old/a", "/srv/www", "xfs", true, &[]),
    ("stacked", "/srv/www", "/srv/www", "xfs", true, &["/srv/www/uploads"]),
    ("stacked", "/srv/www-other/a", "/srv/www-other", "fuseblk", false, &[]),
    ("stacked", "/srv/odd \t\n\\name/a", "/srv/odd \t\n\\name", "tmpfs", true, &[]),
];

fn table(name: &str) -> Mounts {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mounts").join(name);
    Mounts::parse(&std::fs::read(file).expect("a fixture"))
}

#[test]
fn each_table_tells_what_holds_a_path_and_whether_it_sends_events() {
    for (name, path, point, kind, sends, below) in ROWS {
        let table = table(name);
        let mount = table.holding(Path::new(path)).expect("held");
        assert_eq!(
            (mount.point.as_path(), mount.kind.as_str()),
            (Path::new(point), *kind),
            "{name}"
        );
        assert_eq!(mount.events() == Events::Yes, *sends, "{name} {path}");
        let found: Vec<_> = table.below(Path::new(path)).iter().map(|mount| &mount.point).collect();
        assert_eq!(found, below.iter().map(Path::new).collect::<Vec<_>>(), "{name} {path}");
    }
}

#[test]
fn bind_mounts_and_subvolumes_say_what_part_is_seen() {
    let table = table("docker-volume");
    let mount = table.holding(Path::new("/srv/www")).expect("held");
    assert_eq!(mount.subtree, Path::new("/var/lib/docker/volumes/site/_data"));
    assert_eq!(mount.source, "/dev/vda1");
}

#[test]
fn lines_that_are_none_are_left_out() {
    assert_eq!(table("stacked").0.len(), 7);
    assert_eq!(Mounts::parse(b"\xff\n\n - \n1 2 3 4 5").holding(Path::new("/")), None);
    // A mount that hangs below itself.
    let circle = Mounts::parse(
        b"1 0 0:1 / / rw - ext4 a rw\n2 3 0:1 / /a rw - ext4 a rw\n3 2 0:1 / /a rw - ext4 a rw\n",
    );
    assert_eq!(circle.holding(Path::new("/a")).map(|mount| mount.id), Some(1));
}

#[test]
fn escapes_are_taken_back_and_what_is_none_is_left() {
    for (field, bytes) in [
        (&b"a\\040b"[..], &b"a b"[..]),
        (b"\\134040", b"\\040"),
        (b"\\777", b"\\777"),
        (b"\\04", b"\\04"),
        (b"\\", b"\\"),
        (b"\\089", b"\\089"),
    ] {
        assert_eq!(plain(field), bytes);
    }
}

#[test]
fn an_operator_reads_why() {
    let said = |kind| match events(kind) {
        Events::No(why) => why,
        other => panic!("{kind}: {other:?}"),
    };
    assert_eq!(said("nfs4"), "nfs4 sends no events for what other machines write");
    assert_eq!(said("9p"), "9p sends no events for what the host writes");
    assert_eq!(
        said("fuse.s3fs"),
        "fuse.s3fs sends no events for what does not come through this mount"
    );
    for kind in
        ["smb3", "ceph", "lustre", "vboxsf", "prl_fs", "afs", "fuse", "fuse.bindfs", "fuseblk"]
    {
        said(kind);
    }
    for kind in ["ext2", "ext3", "tmpfs", "f2fs", "zfs", "bcachefs", "overlay"] {
        assert_eq!(events(kind), Events::Yes);
    }
    assert_eq!(events("newfs"), Events::Unknown);
}

#[test]
fn this_machine_has_a_table() {
    let mounts = Mounts::read().expect("read");
    assert!(mounts.holding(Path::new("/proc/self")).is_some_and(|mount| mount.kind == "proc"));
}
