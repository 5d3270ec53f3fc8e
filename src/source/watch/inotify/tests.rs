use std::path::Path;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::source::{HintReceiver, door};

fn watch(root: &Path) -> (Box<dyn Watch>, HintReceiver) {
    let (sender, receiver) = door(1_000);
    let excluded: Excluded = Arc::new(|path, _| path.name().starts_with(b"."));
    let watch = Inotify
        .arm(
            &Tree { root: root.to_owned(), links: crate::domain::watch::Links::Inside, excluded },
            sender,
        )
        .expect("armed");
    (watch, receiver)
}

/// Waits until all of `wanted` were hinted at; the time-out only ends a test that fails.
async fn expect(receiver: &HintReceiver, wanted: &[(&str, Reach)]) -> BTreeMap<String, Reach> {
    let mut heard = BTreeMap::new();
    let all = async {
        loop {
            for hint in receiver.drain().hints {
                heard.insert(hint.path.to_string(), hint.reach);
            }
            if wanted.iter().all(|(path, reach)| heard.get(*path) == Some(reach)) {
                return;
            }
            receiver.knocked().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), all).await;
    assert!(ended.is_ok(), "heard {heard:?}, wanted {wanted:?}");
    heard
}

#[tokio::test]
async fn writes_renames_and_new_directories_are_heard_and_reads_are_not() {
    let root = tempfile::tempdir().expect("made");
    fs::create_dir(root.path().join("d")).expect("made");
    fs::write(root.path().join("d/read"), b"bytes").expect("written");
    fs::write(root.path().join("old"), b"bytes").expect("written");
    let (_watch, receiver) = watch(root.path());

    fs::read(root.path().join("d/read")).expect("read");
    fs::write(root.path().join(".hidden"), b"bytes").expect("written");
    fs::write(root.path().join("d/a"), b"bytes").expect("written");
    fs::rename(root.path().join("old"), root.path().join("new")).expect("moved");
    fs::create_dir(root.path().join("fresh")).expect("made");
    let heard = expect(
        &receiver,
        &[
            ("d/a", Reach::Path),
            ("old", Reach::Subtree),
            ("new", Reach::Subtree),
            ("fresh", Reach::Subtree),
        ],
    )
    .await;
    assert!(!heard.contains_key("d/read") && !heard.contains_key(".hidden"), "{heard:?}");

    fs::File::options()
        .write(true)
        .open(root.path().join("new"))
        .and_then(|file| file.set_len(1))
        .expect("truncated");
    fs::remove_file(root.path().join("d/a")).expect("removed");
    expect(&receiver, &[("new", Reach::Path), ("d/a", Reach::Subtree)]).await;
}

#[tokio::test]
async fn a_root_that_goes_away_is_heard() {
    let parent = tempfile::tempdir().expect("made");
    let root = parent.path().join("www");
    fs::create_dir(&root).expect("made");
    let (_watch, receiver) = watch(&root);
    fs::rename(&root, parent.path().join("away")).expect("moved");
    expect(&receiver, &[("", Reach::Subtree)]).await;
}

#[test]
fn an_overflow_asks_for_the_whole_tree() {
    let (sender, receiver) = door(10);
    let listener = Listener {
        root: PathBuf::from("/srv/www"),
        door: sender,
        excluded: Arc::new(|_, _| false),
        gaps: Arc::default(),
    };
    let overflow = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
    for event in [Ok(overflow), Err(notify::Error::generic("broken"))] {
        listener.hear(event);
        let hints = receiver.drain().hints;
        assert_eq!(hints.len(), 1);
        assert!(hints[0].path.is_root() && hints[0].reach == Reach::Subtree);
    }
}

#[tokio::test]
async fn a_root_that_is_removed_is_heard() {
    let parent = tempfile::tempdir().expect("made");
    let root = parent.path().join("www");
    fs::create_dir(&root).expect("made");
    let (_watch, receiver) = watch(&root);
    fs::remove_dir(&root).expect("removed");
    expect(&receiver, &[("", Reach::Subtree)]).await;
}
