//! Real trees, the real kernel.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::AtomicU64;

use tempfile::TempDir;

use super::*;
use crate::domain::watch::Links;
use crate::source::{DOOR_PATHS, HintReceiver, Hints, door};

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("valid")
}

fn excluded(path: &RelPath, is_directory: bool) -> bool {
    (is_directory && path.name() == b".git") || path.name().ends_with(b".tmp")
}

struct World {
    place: TempDir,
    armed: Armed,
    receiver: HintReceiver,
}

impl World {
    fn new(make: impl FnOnce(&Path)) -> Self {
        Self::with(&Inotify::new(Vec::new()), make)
    }

    fn with(backend: &Inotify, make: impl FnOnce(&Path)) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().join("root");
        fs::create_dir(&root).expect("made");
        make(&root);
        let (sender, receiver) = door(DOOR_PATHS);
        let tree = Tree { root, links: Links::Inside, excluded: Arc::new(excluded) };
        let armed = backend.watch(&tree, sender).expect("armed");
        Self { place, armed, receiver }
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("root")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    fn heard(&self) -> Hints {
        self.armed.catch_up();
        self.receiver.drain()
    }

    /// What was heard: a path, or a subtree with `/` behind it.
    fn told(&self) -> Vec<String> {
        let hints = self.heard();
        assert!(!hints.overflowed);
        hints
            .hints
            .iter()
            .map(|hint| match hint.reach {
                Reach::Path => hint.path.to_string(),
                Reach::Subtree => format!("{}/", hint.path),
            })
            .collect()
    }

    fn watches(&self) -> u64 {
        self.armed.coverage().watches
    }

    fn polled(&self) -> Vec<String> {
        self.armed.coverage().polled.iter().map(|one| one.path.to_string()).collect()
    }
}

fn make(path: &Path) {
    fs::create_dir_all(path).expect("made");
}

fn write(path: &Path) {
    fs::write(path, "x").expect("written");
}

fn covers(hints: &Hints, path: &RelPath) -> bool {
    hints.hints.iter().any(|hint| match hint.reach {
        Reach::Path => hint.path == *path,
        Reach::Subtree => path.is_within(&hint.path),
    })
}

/// A backend that has room for so many watches at a time as the number says.
fn limited(most: &Arc<AtomicU64>) -> Inotify {
    let most = Arc::clone(most);
    let seen = Mutex::new(BTreeSet::new());
    let add_watch: AddWatch = Arc::new(move |inotify, path, mask| {
        let descriptor = inotify::add_watch(inotify, path, mask)?;
        let mut seen = seen.lock().expect("no panic");
        let is_new = !seen.contains(&descriptor);
        if is_new && seen.len() as u64 >= most.load(Ordering::Relaxed) {
            inotify::remove_watch(inotify, descriptor)?;
            return Err(Errno::NOSPC);
        }
        seen.insert(descriptor);
        Ok(descriptor)
    });
    Inotify { polled: Vec::new(), add_watch }
}

#[test]
fn files_are_told_of_by_path_and_directories_by_subtree() {
    let world = World::new(|root| make(&root.join("a/b")));
    write(&world.at("a/b/one"));
    assert_eq!(world.told(), ["a/b/one"]);
    fs::rename(world.at("a/b/one"), world.at("two")).expect("moved");
    assert_eq!(world.told(), ["a/b/one", "two"]);
    fs::remove_file(world.at("two")).expect("removed");
    fs::remove_dir(world.at("a/b")).expect("removed");
    assert_eq!(world.told(), ["a/b/", "two"]);
    assert_eq!(world.watches(), 2);
}

#[test]
fn a_new_tree_that_is_filled_at_once_hides_nothing() {
    let world = World::new(|_| {});
    let root = world.root();
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let root = root.clone();
            std::thread::spawn(move || {
                let mut files = Vec::new();
                for number in 0..100 {
                    let directory = format!("{writer}/{}/{number}/c/d", number % 7);
                    make(&root.join(&directory));
                    for name in ["one", "../two"] {
                        write(&root.join(&directory).join(name));
                    }
                    files.push(path(&format!("{directory}/one")));
                    files.push(path(&format!("{}/two", directory.trim_end_matches("/d"))));
                }
                files
            })
        })
        .collect();
    let files: Vec<_> =
        writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect();
    let hints = world.heard();
    for file in &files {
        assert!(covers(&hints, file), "{file}");
    }
    assert_eq!(world.watches(), 1 + 2 * (1 + 7 + 300));
    for file in &files {
        write(&file.under(&root));
    }
    let hints = world.heard();
    let told: BTreeSet<_> = hints.hints.iter().map(|hint| hint.path.clone()).collect();
    assert_eq!(told, files.into_iter().collect());
}

#[test]
fn what_happens_in_a_renamed_directory_is_told_by_its_new_path() {
    let world = World::new(|root| {
        make(&root.join("a/b/c"));
        make(&root.join("d"));
    });
    fs::rename(world.at("a/b"), world.at("d/e")).expect("moved");
    assert_eq!(world.told(), ["a/b/", "d/e/"]);
    write(&world.at("d/e/c/file"));
    assert_eq!(world.told(), ["d/e/c/file"]);
    assert_eq!(world.watches(), 5);
}

#[test]
fn directories_that_change_places_are_told_apart() {
    let world = World::new(|root| {
        make(&root.join("a/x"));
        make(&root.join("b/y"));
    });
    let (left, right) = (world.at("a"), world.at("b"));
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, left, rustix::fs::CWD, right, flags)
        .expect("exchanged");
    assert_eq!(world.told(), ["a/", "b/"]);
    write(&world.at("a/y/file"));
    write(&world.at("b/x/file"));
    assert_eq!(world.told(), ["a/y/file", "b/x/file"]);
    assert_eq!(world.watches(), 5);
}

#[test]
fn what_left_the_tree_is_not_watched_until_it_is_back() {
    let world = World::new(|root| make(&root.join("a/b")));
    let outside = world.place.path().join("outside");
    fs::rename(world.at("a"), &outside).expect("moved");
    assert_eq!(world.told(), ["a/"]);
    assert_eq!(world.watches(), 1);
    write(&outside.join("b/file"));
    assert_eq!(world.told(), [""; 0]);
    fs::rename(&outside, world.at("z")).expect("moved");
    assert_eq!(world.told(), ["z/"]);
    write(&world.at("z/b/file"));
    assert_eq!(world.told(), ["z/b/file"]);
}

#[test]
fn a_directory_that_is_made_again_is_watched_again() {
    let world = World::new(|root| make(&root.join("a/b")));
    for _ in 0..50 {
        fs::remove_dir_all(world.at("a")).expect("removed");
        make(&world.at("a/b"));
    }
    world.heard();
    write(&world.at("a/b/file"));
    assert_eq!(world.told(), ["a/b/file"]);
    assert_eq!(world.watches(), 3);
}

#[test]
fn a_directory_that_is_replaced_while_it_is_being_watched_is_watched() {
    // The kernel's call is where a test can stand between a path and what it leads to.
    let turn = AtomicU64::new(0);
    let add_watch: AddWatch = Arc::new(move |inotify, path, mask| {
        let added = inotify::add_watch(inotify, path, mask);
        if path.ends_with("new") && turn.fetch_add(1, Ordering::Relaxed) == 0 {
            fs::rename(path, path.with_file_name("old")).expect("moved");
            make(&path.join("below"));
        }
        added
    });
    let world = World::with(&Inotify { polled: Vec::new(), add_watch }, |_| {});
    make(&world.at("new"));
    // What the call does comes after our first question.
    world.armed.catch_up();
    let hints = world.heard();
    for name in ["new", "old"] {
        assert!(covers(&hints, &path(name)), "{name}");
    }
    write(&world.at("new/below/file"));
    write(&world.at("old/file"));
    assert_eq!(world.told(), ["new/below/file", "old/file"]);
    assert_eq!(world.watches(), 4);
}

#[test]
fn what_is_excluded_is_neither_watched_nor_told_of() {
    let world = World::new(|root| make(&root.join(".git/objects")));
    assert_eq!(world.watches(), 1);
    make(&world.at("a/.git/b"));
    write(&world.at(".git/file"));
    write(&world.at("upload.tmp"));
    assert_eq!(world.told(), ["a/"]);
    assert_eq!(world.watches(), 2);
    fs::rename(world.at("a"), world.at(".git/a")).expect("moved");
    assert_eq!(world.told(), ["a/"]);
    assert_eq!(world.watches(), 1);
}

#[test]
fn links_are_not_followed_but_at_the_root() {
    let place = tempfile::tempdir().expect("a directory");
    make(&place.path().join("release/a"));
    make(&place.path().join("other/b"));
    symlink("release", place.path().join("current")).expect("linked");
    symlink("../other", place.path().join("release/link")).expect("linked");
    let (sender, receiver) = door(DOOR_PATHS);
    let root = place.path().join("current");
    let tree = Tree { root, links: Links::Inside, excluded: Arc::new(excluded) };
    let armed = Inotify::new(Vec::new()).arm(&tree, sender).expect("armed");
    assert_eq!(armed.coverage().watches, 2);
    write(&place.path().join("release/a/file"));
    armed.catch_up();
    let hint = Hint { path: path("a/file"), reach: Reach::Path, witness: Witness::Watch };
    assert_eq!(receiver.drain().hints, [hint]);
}

#[test]
fn directories_outside_are_followed_and_given_up() {
    let world = World::new(|root| make(&root.join("a")));
    let outside = world.place.path().join("outside");
    make(&outside.join("x/y"));
    let follow = [(path("a/link"), outside.clone()), (path("twin"), outside.join("x"))];
    world.armed.follow(&follow);
    assert_eq!(world.told(), ["a/link/", "a/link/x/", "twin/"]);
    assert_eq!(world.watches(), 5);
    write(&outside.join("x/y/file"));
    assert_eq!(world.told(), ["a/link/x/y/file", "twin/y/file"]);
    world.armed.follow(&follow[..1]);
    world.heard();
    write(&outside.join("x/y/file"));
    assert_eq!(world.told(), ["a/link/x/y/file"]);
    world.armed.follow(&[]);
    write(&outside.join("x/y/file"));
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.watches(), 2);
}

#[test]
fn a_link_to_what_holds_the_root_ends() {
    let world = World::new(|root| make(&root.join("a")));
    world.armed.follow(&[(path("up"), world.place.path().to_owned())]);
    assert_eq!(world.told(), ["up/", "up/root/up/"]);
    assert_eq!(world.watches(), 3);
    write(&world.at("a/file"));
    assert_eq!(world.told(), ["a/file", "up/root/a/file"]);
}

#[test]
fn after_an_overflow_everything_is_watched_and_hinted_at_once() {
    let world = World::new(|root| make(&root.join("a/b")));
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("readable");
    let queue: usize = queue.trim().parse().expect("a number");
    // The reader reads once at most and then waits for us.
    let held = world.armed.shared.state();
    let (one, two) = (world.at("one"), world.at("two"));
    write(&one);
    for _ in 0..queue {
        fs::rename(&one, &two).expect("moved");
        fs::rename(&two, &one).expect("moved");
    }
    fs::rename(world.at("a"), world.at("c")).expect("moved");
    make(&world.at("new/below"));
    drop(held);
    let told = world.told();
    assert!(told.contains(&"/".to_owned()), "{told:?}");
    assert!(world.armed.coverage().overflows > 0);
    assert_eq!(world.watches(), 5);
    write(&world.at("c/b/file"));
    write(&world.at("new/below/file"));
    assert_eq!(world.told(), ["c/b/file", "new/below/file"]);
}

#[test]
fn what_finds_no_room_is_polled_until_there_is_some() {
    let most = Arc::new(AtomicU64::new(10));
    let world = World::with(&limited(&most), |root| {
        for number in 0..20 {
            make(&root.join(format!("a/{number}/below")));
        }
    });
    let coverage = world.armed.coverage();
    assert_eq!(coverage.watches, 10);
    assert!(coverage.polled.iter().all(|polled| polled.why == "no inotify watch is left"));
    assert!(coverage.advice.starts_with("32 of 42 directories are polled: "), "{coverage:?}");
    make(&world.at("new"));
    assert_eq!(world.told(), ["new/"]);
    assert!(world.polled().contains(&"new".to_owned()));
    fs::remove_dir(world.at("new")).expect("removed");
    assert_eq!(world.told(), ["new/"]);
    assert!(!world.polled().contains(&"new".to_owned()));
    world.armed.retry();
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.watches(), 10);
    let polled = world.polled();
    most.store(100, Ordering::Relaxed);
    world.armed.retry();
    let told: BTreeSet<_> = world.told().into_iter().collect();
    assert_eq!(told, polled.iter().map(|path| format!("{path}/")).collect());
    let coverage = world.armed.coverage();
    assert_eq!((coverage.watches, coverage.advice.as_str()), (42, ""));
    assert_eq!(coverage.polled, []);
    write(&world.at("a/19/below/file"));
    assert_eq!(world.told(), ["a/19/below/file"]);
}

#[test]
fn trying_again_in_vain_hints_at_nothing_though_the_root_stands_for_what_is_polled() {
    let most = Arc::new(AtomicU64::new(10));
    let world = World::with(&limited(&most), |root| {
        for number in 0..200 {
            make(&root.join(number.to_string()));
        }
    });
    assert_eq!(world.polled(), [""]);
    world.armed.retry();
    assert_eq!((world.told(), world.polled()), (Vec::new(), vec![String::new()]));
    most.store(1_000, Ordering::Relaxed);
    world.armed.retry();
    assert_eq!((world.told(), world.polled()), (vec!["/".to_owned()], Vec::new()));
}

#[test]
fn what_is_not_heard_any_more_is_polled_whatever_is_tried_again() {
    let world = World::new(|root| make(&root.join("a")));
    let (_syncs, waiting) = channel();
    let (requests, _asked) = channel();
    // What is no queue of events can't be read as one.
    let deaf = Shared {
        inotify: rustix::fs::open(world.root(), rustix::fs::OFlags::empty(), 0.into())
            .expect("opened"),
        wake: eventfd(0, EventfdFlags::CLOEXEC).expect("made"),
        stop: AtomicBool::new(false),
        state: Mutex::default(),
        root: world.root(),
        excluded: Arc::new(excluded),
        polled: Vec::new(),
        door: door(DOOR_PATHS).0,
    };
    let deaf = Arc::new(deaf);
    Reader::new(Arc::clone(&deaf), waiting, requests).run();
    let ended = deaf.state().ended.clone();
    assert!(ended.is_some());
    world.armed.shared.state().ended = ended;
    world.armed.retry();
    assert_eq!(world.polled(), [""]);
}

#[test]
fn what_cannot_be_read_is_polled_until_its_rights_change() {
    let locked = Arc::new(AtomicBool::new(true));
    let is_locked = Arc::clone(&locked);
    let add_watch: AddWatch = Arc::new(move |inotify, path, mask| {
        if path.ends_with("a") && is_locked.load(Ordering::Relaxed) {
            return Err(Errno::ACCESS);
        }
        inotify::add_watch(inotify, path, mask)
    });
    let backend = Inotify { polled: Vec::new(), add_watch };
    let world = World::with(&backend, |root| make(&root.join("a/b")));
    let polled = world.armed.coverage().polled;
    assert_eq!(polled.len(), 1);
    assert!(polled[0].why.starts_with("cannot be read: "), "{polled:?}");
    locked.store(false, Ordering::Relaxed);
    let rights = fs::Permissions::from_mode(0o750);
    fs::set_permissions(world.at("a"), rights).expect("changed");
    assert_eq!(world.told(), ["a/"]);
    assert_eq!((world.watches(), world.polled().len()), (3, 0));
}

#[test]
fn what_others_say_is_polled_is_not_entered() {
    let mount = Polled { path: path("nfs"), why: "nfs4 sends no events".to_owned() };
    let world = World::with(&Inotify::new(vec![mount.clone()]), |root| {
        make(&root.join("nfs/a"));
        make(&root.join("b"));
    });
    assert_eq!(world.armed.coverage().polled, [mount]);
    assert_eq!(world.watches(), 2);
    world.armed.retry();
    assert_eq!(world.watches(), 2);
}

#[test]
fn the_touch_of_a_directory_says_nothing() {
    let world = World::new(|root| make(&root.join("a/b")));
    for at in ["a", ""] {
        let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::open(world.at(at)).expect("open").set_times(times).expect("touched");
    }
    assert_eq!(world.told(), [""; 0]);
}

#[test]
fn a_root_that_goes_is_told_of() {
    let world = World::new(|root| make(&root.join("a")));
    fs::rename(world.root(), world.place.path().join("elsewhere")).expect("moved");
    assert_eq!(world.told(), ["/"]);
    fs::remove_dir_all(world.place.path().join("elsewhere")).expect("removed");
    assert_eq!(world.told(), ["/", "a/"]);
    assert_eq!(world.watches(), 0);
}

#[test]
fn catching_up_ends_though_a_writer_goes_on() {
    let world = World::new(|root| make(&root.join("a")));
    let busy = Arc::new(AtomicBool::new(true));
    let writer = {
        let (busy, file) = (Arc::clone(&busy), world.at("a/busy"));
        std::thread::spawn(move || {
            while busy.load(Ordering::Relaxed) {
                write(&file);
            }
        })
    };
    for number in 0..50 {
        let name = format!("a/{number}");
        make(&world.at(&name));
        write(&world.at(&name).join("file"));
        assert!(covers(&world.heard(), &path(&format!("{name}/file"))));
    }
    busy.store(false, Ordering::Relaxed);
    writer.join().expect("no panic");
}

#[test]
fn dropping_the_watch_ends_it() {
    let world = World::new(|root| make(&root.join("a")));
    let shared = Arc::downgrade(&world.armed.shared);
    drop(world);
    assert!(shared.upgrade().is_none());
}

#[test]
fn a_root_that_cannot_be_opened_is_an_error() {
    let (sender, _receiver) = door(1);
    let root = PathBuf::from("/nonexistent");
    let tree = Tree { root, links: Links::Inside, excluded: Arc::new(excluded) };
    let error = Inotify::new(Vec::new()).arm(&tree, sender).err().expect("refused");
    assert!(error.to_string().starts_with("/nonexistent: "), "{error}");
    let error = explain(&tree.root, Errno::MFILE);
    assert!(error.to_string().contains("fs.inotify.max_user_instances"), "{error}");
}

/// The directories at and below one.
fn directories_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).expect("readable") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("known").is_dir() {
            found.extend(directories_below(&entry.path()));
        }
    }
    found
}

/// Makes, moves, exchanges and removes directories, also out of the tree and in; most of it fails.
fn churn(root: &Path, outside: &Path, mut seed: u64) {
    let mut draw = |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    for _ in 0..600 {
        let mut place = || {
            let mut place = root.to_owned();
            for _ in 0..=draw(4) {
                place.push(["a", "b", "c"][usize::try_from(draw(3)).expect("small")]);
            }
            place
        };
        let (from, to) = (place(), place());
        let away = outside.join(draw(3).to_string());
        let _ = match draw(10) {
            0..=4 => fs::create_dir_all(&from),
            5..=6 => fs::rename(&from, &to),
            7 => fs::rename(&from, &away).or_else(|_| fs::rename(&away, &from)),
            8 => {
                let (here, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                rustix::fs::renameat_with(here, &from, here, &to, flags).map_err(Into::into)
            }
            _ => fs::remove_dir_all(&from),
        };
    }
}

#[test]
fn whatever_directories_do_each_is_watched_in_its_place_at_last() {
    for seed in 0..8 {
        let world = World::new(|_| {});
        let outside = world.place.path().join("outside");
        make(&outside);
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let (root, outside) = (world.root(), &outside);
                scope.spawn(move || churn(&root, outside, seed * 2 + writer));
            }
        });
        world.heard();
        let directories = directories_below(&world.root());
        assert_eq!(world.watches(), directories.len() as u64, "seed {seed}");
        let files: Vec<_> = directories.iter().map(|directory| directory.join("file")).collect();
        for file in &files {
            write(file);
        }
        let below = |file: &PathBuf| RelPath::below(&world.root(), file).expect("below");
        let expected: BTreeSet<_> = files.iter().map(|file| below(file).to_string()).collect();
        assert_eq!(world.told().into_iter().collect::<BTreeSet<_>>(), expected, "seed {seed}");
    }
}
