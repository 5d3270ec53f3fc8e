use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use rustix::io::write;
use rustix::pipe::pipe;
use tempfile::TempDir;

use super::*;
use crate::domain::hint::Reach;
use crate::domain::watch::Links;
use crate::source::{HintReceiver, Hints, door};

/// A watched tree in a directory of its own.
struct Scene {
    directory: TempDir,
    root: PathBuf,
    watch: Box<dyn Watch>,
    receiver: HintReceiver,
}

fn excluded() -> Excluded {
    Arc::new(|path, _| path.as_bytes().split(|byte| *byte == b'/').any(|name| name[0] == b'.'))
}

fn tree(root: &Path) -> Tree {
    Tree { root: root.to_owned(), links: Links::Anywhere, excluded: excluded() }
}

fn whole(root: &Path) -> Ground {
    Ground { heard: vec![(root.to_owned(), RelPath::root())], polled: Vec::new() }
}

/// Watches `www` in a new directory below `base`; nothing where this may not be done.
fn scene_in(base: &Path, make: impl FnOnce(&Path)) -> Option<Scene> {
    let directory = tempfile::tempdir_in(base).expect("made");
    let root = directory.path().canonicalize().expect("a path").join("www");
    fs::create_dir(&root).expect("made");
    make(&root);
    let (sender, receiver) = door(300_000);
    match arm(&tree(&root), &root, &whole(&root), sender) {
        Ok(watch) => Some(Scene { directory, root, watch, receiver }),
        Err(error) => {
            assert!(!rustix::process::geteuid().is_root(), "{error}");
            println!("SKIP: fanotify: {error}");
            None
        }
    }
}

fn scene(make: impl FnOnce(&Path)) -> Option<Scene> {
    scene_in(&std::env::temp_dir(), make)
}

impl Scene {
    /// Returns everything hinted at so far. Nothing is waited for: the kernel queues an event before
    /// the call that causes it returns.
    fn hints(&self) -> BTreeMap<String, Reach> {
        self.watch.catch_up();
        let Hints { hints, overflowed, .. } = self.receiver.drain();
        assert!(!overflowed);
        hints.into_iter().map(|hint| (hint.path.to_string(), hint.reach)).collect()
    }

    fn write(&self, path: &str) {
        fs::write(self.root.join(path), b"bytes").expect("written");
    }

    fn make(&self, path: &str) {
        fs::create_dir_all(self.root.join(path)).expect("made");
    }
}

fn hints<const N: usize>(of: [(&str, Reach); N]) -> BTreeMap<String, Reach> {
    of.into_iter().map(|(path, reach)| (path.to_owned(), reach)).collect()
}

const PATH: Reach = Reach::Path;
const SUBTREE: Reach = Reach::Subtree;

#[test]
fn writes_renames_and_removals_are_heard_on_disk_and_in_memory() {
    for base in [std::env::temp_dir().as_path(), Path::new("/dev/shm")] {
        let Some(scene) = scene_in(base, |root| {
            fs::create_dir(root.join("d")).expect("made");
            fs::write(root.join("d/old"), b"bytes").expect("written");
            fs::write(root.join("d/gone"), b"bytes").expect("written");
            fs::write(root.join("d/longer"), b"bytes").expect("written");
        }) else {
            return;
        };
        fs::read(scene.root.join("d/old")).expect("read");
        fs::read_dir(scene.root.join("d")).expect("listed").for_each(drop);
        scene.write(".hidden");
        fs::write(scene.directory.path().join("outside"), b"bytes").expect("written");
        assert_eq!(scene.hints(), hints([]));

        scene.write("a");
        scene.write("d/b");
        fs::rename(scene.root.join("d/old"), scene.root.join("new")).expect("moved");
        fs::remove_file(scene.root.join("d/gone")).expect("removed");
        let file = fs::File::options().write(true).open(scene.root.join("d/longer"));
        file.and_then(|file| file.set_len(1)).expect("truncated");
        let written = [("a", PATH), ("d/b", PATH), ("d/longer", PATH)];
        let moved = [("d/old", PATH), ("new", PATH), ("d/gone", PATH)];
        assert_eq!(scene.hints(), hints(written).into_iter().chain(hints(moved)).collect());

        let time = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::open(scene.root.join("d")).and_then(|d| d.set_times(time)).expect("touched");
        assert_eq!(scene.hints(), hints([]), "a directory's time");
        fs::File::open(scene.root.join("a")).and_then(|a| a.set_times(time)).expect("touched");
        assert_eq!(scene.hints(), hints([("a", PATH)]));
        let coverage = scene.watch.coverage();
        assert_eq!((coverage.means, coverage.watches, coverage.overflows), ("fanotify", 1, 0));
        assert_eq!(coverage.polled, []);
    }
}

#[test]
fn what_is_in_a_renamed_directory_is_heard_by_its_new_path() {
    let Some(scene) = scene(|root| fs::create_dir_all(root.join("a/b/c")).expect("made")) else {
        return;
    };
    scene.write("a/b/c/f");
    assert_eq!(scene.hints(), hints([("a/b/c/f", PATH)]));
    fs::rename(scene.root.join("a"), scene.root.join("z")).expect("moved");
    scene.write("z/b/c/f");
    assert_eq!(scene.hints(), hints([("a", SUBTREE), ("z", SUBTREE), ("z/b/c/f", PATH)]));

    let away = scene.directory.path().join("away");
    fs::rename(scene.root.join("z"), &away).expect("moved");
    fs::write(away.join("b/c/f"), b"more").expect("written");
    assert_eq!(scene.hints(), hints([("z", SUBTREE)]));
    fs::rename(&away, scene.root.join("back")).expect("moved");
    scene.write("back/b/c/f");
    assert_eq!(scene.hints(), hints([("back", SUBTREE), ("back/b/c/f", PATH)]));

    fs::remove_dir_all(scene.root.join("back")).expect("removed");
    assert_eq!(scene.hints().get("back"), Some(&SUBTREE));
}

#[test]
fn a_root_that_is_replaced_is_heard_and_the_new_one_watched() {
    let Some(scene) = scene(|_| {}) else { return };
    fs::rename(&scene.root, scene.directory.path().join("old")).expect("moved");
    assert_eq!(scene.hints(), hints([("", SUBTREE)]));
    fs::write(scene.directory.path().join("old/a"), b"bytes").expect("written");
    fs::create_dir(&scene.root).expect("made");
    assert_eq!(scene.hints(), hints([("", SUBTREE)]));
    scene.write("b");
    assert_eq!(scene.hints(), hints([("b", PATH)]));
}

#[test]
fn directories_that_are_filled_while_they_are_made_lose_nothing() {
    let Some(scene) = scene_in(Path::new("/dev/shm"), |_| {}) else { return };
    let mut wanted = BTreeSet::new();
    for outer in 0..20 {
        for inner in 0..20 {
            let directory = format!("{outer}/x/{inner}");
            wanted.insert(format!("{directory}/f"));
            scene.make(&directory);
            scene.write(&format!("{directory}/f"));
        }
        // A directory that moves while its files' events are still queued.
        fs::rename(scene.root.join(format!("{outer}/x")), scene.root.join(format!("{outer}/y")))
            .expect("moved");
        scene.make(&format!("{outer}/x"));
    }
    let heard = scene.hints();
    let covered = |path: &String| {
        let path = path.replacen("/x/", "/y/", 1);
        (1..=path.len()).any(|to| {
            (to == path.len() || path.as_bytes()[to] == b'/')
                && path
                    .get(..to)
                    .and_then(|path| heard.get(path))
                    .is_some_and(|reach| *reach == SUBTREE || to == path.len())
        })
    };
    assert_eq!(wanted.iter().filter(|path| !covered(path)).count(), 0);
}

#[test]
fn a_hundred_thousand_files_are_each_heard() {
    let Some(scene) = scene_in(Path::new("/dev/shm"), |_| {}) else { return };
    for directory in 0..500 {
        scene.make(&directory.to_string());
        for file in 0..200 {
            fs::File::create(scene.root.join(format!("{directory}/{file}"))).expect("made");
        }
    }
    let heard = scene.hints();
    let files = heard.values().filter(|reach| **reach == PATH).count();
    assert_eq!((files, heard.len()), (100_000, 100_500));
}

/// A container that has the directory as a volume is just this: another mount, in a namespace of
/// its own, of the same file system.
#[test]
fn what_is_written_by_another_mount_is_heard() {
    let Some(scene) = scene(|root| fs::create_dir(root.join("d")).expect("made")) else { return };
    let volume = scene.directory.path().join("volume");
    fs::create_dir(&volume).expect("made");
    let script = "mount --bind \"$0\" \"$1\" && echo bytes > \"$1/d/f\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(&scene.root).arg(&volume);
    match command.output() {
        Ok(output) if output.status.success() => {}
        other => return println!("SKIP: what_is_written_by_another_mount_is_heard: {other:?}"),
    }
    assert!(scene.root.join("d/f").exists());
    assert_eq!(scene.hints(), hints([("d/f", PATH)]));
}

#[test]
fn directories_outside_are_heard_below_their_links_and_then_no_more() {
    let Some(scene) = scene(|_| {}) else { return };
    let near = scene.directory.path().join("media");
    let far = tempfile::tempdir_in("/dev/shm").expect("made");
    fs::create_dir(&near).expect("made");
    for (target, link) in [(near.as_path(), "m"), (far.path(), "far")] {
        symlink(target, scene.root.join(link)).expect("linked");
    }
    fs::write(near.join("a"), b"bytes").expect("written");
    assert_eq!(scene.hints(), hints([("m", PATH), ("far", PATH)]));

    let link = |at: &str, to: &Path| (RelPath::new(at).expect("valid"), to.to_owned());
    scene.watch.follow(&[link("m", &near), link("far", far.path())]);
    assert_eq!(scene.watch.coverage().watches, 2);
    fs::write(near.join("a"), b"more").expect("written");
    fs::create_dir(far.path().join("d")).expect("made");
    fs::write(far.path().join("d/b"), b"bytes").expect("written");
    assert_eq!(scene.hints(), hints([("m/a", PATH), ("far/d", SUBTREE), ("far/d/b", PATH)]));

    scene.watch.follow(&[link("m", &near), link("sys", Path::new("/sys"))]);
    let coverage = scene.watch.coverage();
    assert_eq!((coverage.watches, coverage.polled.len()), (1, 1));
    assert_eq!(coverage.polled[0].why, "sysfs is made up by the kernel and sends no events");
    fs::write(far.path().join("d/b"), b"more").expect("written");
    scene.watch.follow(&[]);
    fs::write(near.join("a"), b"still more").expect("written");
    assert_eq!(scene.hints(), hints([]));
}

#[test]
fn a_part_that_takes_no_mark_is_polled_and_a_root_that_takes_none_is_refused() {
    let Some(scene) = scene(|root| fs::create_dir(root.join("p")).expect("made")) else { return };
    let mut ground = whole(&scene.root);
    ground.heard.push(("/proc".into(), RelPath::new("p").expect("valid")));
    let watch = arm(&tree(&scene.root), &scene.root, &ground, door(1).0).expect("armed");
    let coverage = watch.coverage();
    assert_eq!((coverage.watches, coverage.polled.len()), (1, 1));
    assert_eq!(coverage.polled[0].path.to_string(), "p");
    assert!(coverage.polled[0].why.contains("can't tell"), "{coverage:?}");

    let proc = Path::new("/proc");
    let refused = arm(&tree(proc), proc, &whole(proc), door(1).0).err().expect("refused");
    let said =
        "/proc can't be watched: fanotify can't tell the directories of this file system apart";
    assert_eq!(refused.to_string(), said);
}

#[test]
fn dropped_events_and_nonsense_ask_for_the_whole_tree_and_an_end_for_polling() {
    let overflow =
        [&[24, 0, 0, 0, 3, 0, 24, 0][..], &libc::FAN_Q_OVERFLOW.to_ne_bytes(), &[0xff; 8]].concat();
    for (bytes, overflows) in [(overflow.as_slice(), 1), (&[7; 30], 0)] {
        let (group, kernel) = pipe().expect("a pipe");
        rustix::io::ioctl_fionbio(&group, true).expect("set");
        let bell = eventfd(0, EventfdFlags::NONBLOCK).expect("made");
        let shared = Arc::new(Shared {
            root: "/".into(),
            group,
            bell,
            state: Mutex::default(),
            answered: Condvar::new(),
        });
        let (sender, receiver) = door(10);
        let reader = Reader::new(Arc::clone(&shared), sender, excluded());
        let thread = std::thread::spawn(move || reader.run());
        let watch =
            Armed { shared, excluded: excluded(), marks: Mutex::default(), thread: Some(thread) };
        write(&kernel, bytes).expect("written");
        watch.catch_up();
        let hints = receiver.drain().hints;
        assert_eq!((hints.len(), hints[0].reach, hints[0].path.is_root()), (1, SUBTREE, true));
        assert_eq!(watch.coverage().overflows, overflows);
        assert_eq!(watch.coverage().polled, []);
    }
}

#[test]
fn each_refusal_names_its_remedy() {
    for (error, words) in [
        (Errno::PERM, "install the drop-in refreshd-fanotify.conf"),
        (Errno::INVAL, "Linux 5.9"),
        (Errno::XDEV, "btrfs subvolume"),
        (Errno::NODEV, "can't tell the directories"),
        (Errno::OPNOTSUPP, "can't tell the directories"),
        (Errno::MFILE, "fs.fanotify.max_user_groups"),
        (Errno::NOSPC, "fs.fanotify.max_user_marks"),
        (Errno::IO, "Input/output error"),
    ] {
        let said = explain(&error.into());
        assert!(said.contains(words), "{said}");
    }
}
