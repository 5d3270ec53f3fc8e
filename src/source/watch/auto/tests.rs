use std::path::PathBuf;

use super::*;
use crate::domain::watch::Links;
use crate::source::door;
use crate::source::watch::Coverage;

/// Answers in the place of inotify.
struct Stand(Vec<Polled>);

impl Backend for Stand {
    fn arm(&self, _: &Tree, _: HintSender) -> Result<Box<dyn Watch>, WatchError> {
        Ok(Box::new(Stand(self.0.clone())))
    }
}

impl Watch for Stand {
    fn catch_up(&self) {}
    fn retry(&self) {}
    fn follow(&self, _: &[(RelPath, PathBuf)]) {}
    fn coverage(&self) -> Coverage {
        Coverage { means: "inotify", polled: self.0.clone(), ..Coverage::default() }
    }
}

const fn nobody() -> bool {
    false
}

const fn no_probe(_: &Path) -> bool {
    false
}

const LOCAL: &str = "1 0 8:1 / / rw - ext4 a rw\n2 1 0:5 / /usr/share rw - nfs4 b rw\n";

fn arm(means: Means, mounts: &'static str) -> Result<Coverage, WatchError> {
    let mounts = Box::new(|| Ok(Mounts::parse(mounts.as_bytes())));
    let look = Look { mounts, may_mark: nobody, probe: no_probe };
    let choice = Choice { means, directories: |polled| Box::new(Stand(polled)), look };
    let excluded: crate::source::Excluded = Arc::new(|_, _| false);
    let tree = Tree { root: "/usr".into(), links: Links::Inside, excluded };
    choice.arm(&tree, door(10).0).map(|watch| watch.coverage())
}

fn polled(coverage: &Coverage) -> Vec<(String, &str)> {
    let polled = coverage.polled.iter();
    polled.map(|polled| (polled.path.to_string(), polled.why.as_str())).collect()
}

#[test]
fn without_capabilities_inotify_serves_and_mounts_without_events_are_polled() {
    for means in [Means::Auto, Means::Inotify] {
        let coverage = arm(means, LOCAL).expect("armed");
        assert_eq!(coverage.means, "inotify");
        let why = "nfs4 sends no events for what other machines write";
        assert_eq!(polled(&coverage), [("share".to_owned(), why)]);
    }
}

#[test]
fn a_root_without_events_is_polled_whatever_was_chosen() {
    for means in Means::ALL {
        let coverage = arm(means, "1 0 8:1 / / rw - nfs a rw\n").expect("armed");
        assert_eq!((coverage.means, coverage.watches), ("poll", 0));
        let why = match means {
            Means::Poll => "watch = \"poll\"",
            _ => "nfs sends no events for what other machines write",
        };
        assert_eq!(polled(&coverage), [(String::new(), why)]);
    }
    let coverage = arm(Means::Auto, "1 0 8:1 / / rw - newfs a rw\n").expect("armed");
    assert_eq!(polled(&coverage), [(String::new(), "newfs is not known to send events")]);
}

#[test]
fn both_capabilities_are_needed() {
    let status =
        |effective: &str| format!("Name:\trefreshd\nCapPrm:\tffff\nCapEff:\t{effective}\n");
    assert!(may_mark(&status("000001fffeffffff")));
    assert!(may_mark(&status("0000000000200004")));
    for lacking in ["0000000000200000", "0000000000000004", "0", "", "x"] {
        assert!(!may_mark(&status(lacking)), "{lacking}");
    }
    assert!(!may_mark(""));
}

#[test]
fn with_capabilities_fanotify_serves() {
    let root = tempfile::tempdir().expect("made");
    if !(Look::here().may_mark)() {
        println!("SKIP: with_capabilities_fanotify_serves: it needs CAP_SYS_ADMIN");
        return;
    }
    let excluded: crate::source::Excluded = Arc::new(|_, _| false);
    let tree = Tree { root: root.path().to_owned(), links: Links::Inside, excluded };
    for means in [Means::Auto, Means::Fanotify] {
        let watch = choose(means).arm(&tree, door(10).0).expect("armed");
        let coverage = watch.coverage();
        assert_eq!((coverage.means, coverage.watches, coverage.polled), ("fanotify", 1, vec![]));
    }
}
