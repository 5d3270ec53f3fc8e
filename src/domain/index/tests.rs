use proptest::prelude::*;

use super::*;

fn entry(number: u64) -> Entry {
    Entry {
        fingerprint: Fingerprint {
            size: number,
            modified_ns: 1_790_000_000_000_000_000 + number.cast_signed(),
            changed_ns: 1_790_000_000_000_000_000 - number.cast_signed(),
            inode: number * 7,
        },
        digest: (!number.is_multiple_of(3)).then_some(Digest([number.to_le_bytes()[0]; 16])),
        doubtful: number.is_multiple_of(5),
        linked: number.is_multiple_of(7),
    }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("valid")
}

/// What a store holds after the writes.
#[derive(Default)]
struct Stored(BTreeMap<(RelPath, Vec<u8>), Vec<u8>>);

impl Stored {
    fn write(&mut self, writes: Vec<ChunkWrite>) {
        for write in writes {
            let key = (write.directory, write.first);
            match write.data {
                Some(data) => self.0.insert(key, data),
                None => self.0.remove(&key),
            };
        }
    }

    fn chunks(&self) -> Vec<Chunk> {
        self.0
            .iter()
            .map(|((directory, first), data)| Chunk {
                directory: directory.clone(),
                first: first.clone(),
                data: data.clone(),
            })
            .collect()
    }
}

fn all(index: &Index) -> Vec<(RelPath, Entry)> {
    let of = |directory: &RelPath| {
        let path = |name| directory.join(name).expect("a name");
        let names = index.names(directory);
        names.map(|(name, entry)| (path(name), *entry)).collect::<Vec<_>>()
    };
    index.directories_below(&RelPath::root()).flat_map(of).collect()
}

fn hold(index: &Index) {
    let mut files = 0;
    for (path, directory) in &index.directories {
        assert!(directory.uses > 0, "{path:?} is kept for nothing");
        let keys: Vec<_> = directory.pieces.keys().cloned().collect();
        for (at, (first, piece)) in directory.pieces.iter().enumerate() {
            files += piece.entries.len() as u64;
            assert!(!piece.entries.is_empty() && !piece.is_too_large());
            let names: usize = piece.entries.iter().map(|(name, _)| name.len()).sum();
            assert_eq!(piece.name_bytes, names);
            assert!(piece.entries.is_sorted_by(|a, b| a.0 < b.0));
            for (name, _) in &piece.entries {
                assert!(&**name >= first.as_slice());
                assert!(keys.get(at + 1).is_none_or(|next| &**name < next.as_slice()));
            }
        }
    }
    assert_eq!(files, index.files());
}

/// Few directories and names, so that removals meet what is there; long names, so that chunks split.
fn any_path() -> impl Strategy<Value = RelPath> {
    let directory = prop::sample::select(vec!["", "a", "a/b", "a-b", "a/b/c"]);
    let name = prop_oneof![
        (0_u16..40).prop_map(|number| format!("{number:03}").into_bytes()),
        (0_u16..400).prop_map(|number| format!("{number:0>250}").into_bytes()),
        prop::collection::vec(prop::sample::select(vec![b'x', 0xff, b'\n']), 1..3),
    ];
    (directory, name)
        .prop_map(|(directory, name)| path(directory).join(&name).expect("one plain part"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_what_is_read(
        steps in prop::collection::vec((any_path(), prop::option::weighted(0.7, 0_u64..1000)), 1..600),
        takes in 1_usize..50,
    ) {
        let (mut index, mut stored) = (Index::new(), Stored::default());
        let mut model = BTreeMap::new();
        for (at, (path, number)) in steps.iter().enumerate() {
            let entry = number.map(entry);
            index.apply(path, entry);
            match entry {
                Some(entry) => model.insert(path.clone(), entry),
                None => model.remove(path),
            };
            if at % takes == 0 {
                stored.write(index.take_writes());
            }
        }
        stored.write(index.take_writes());
        hold(&index);
        let read = Index::load(stored.chunks()).expect("readable");
        hold(&read);
        prop_assert_eq!(all(&read), all(&index));
        prop_assert_eq!(read.directories(), index.directories());
        let mut held = all(&index);
        held.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(held, model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn damaged_chunks_are_refused_not_trusted(data in prop::collection::vec(any::<u8>(), 0..200)) {
        let chunk = Chunk { directory: path("a"), first: Vec::new(), data };
        if let Ok(index) = Index::load([chunk]) {
            hold(&index);
        }
    }
}

#[test]
fn a_change_in_a_large_directory_writes_one_small_chunk() {
    let mut index = Index::new();
    for number in 0..200_000_u64 {
        index.apply(&path(&format!("d/page-{number:06}.html")), Some(entry(number)));
    }
    hold(&index);
    let whole: usize =
        index.take_writes().iter().map(|write| write.data.as_ref().map_or(0, Vec::len)).sum();
    assert!(whole / 200_000 <= 80, "{} bytes a file", whole / 200_000);
    index.apply(&path("d/page-100000.html"), Some(entry(1)));
    let writes = index.take_writes();
    assert_eq!(writes.len(), 1);
    assert!(writes[0].data.as_ref().expect("kept").len() <= 64 * 1024);
    assert!(index.take_writes().is_empty());
}

#[test]
fn directories_are_found_at_and_below_a_path_only() {
    let mut index = Index::new();
    for text in ["a", "a-b/x", "b/c/y", "b/x", "b0", "bb/x"] {
        index.apply(&path(text), Some(entry(1)));
    }
    let below = |text: &str| -> Vec<String> {
        index.directories_below(&path(text)).map(ToString::to_string).collect()
    };
    assert_eq!(below("b"), ["b", "b/c"]);
    assert!(below("a").is_empty());
    assert_eq!(below(""), ["", "a-b", "b", "b/c", "bb"]);
    // The root, a-b, b, b/c, bb.
    assert_eq!(index.directories(), 5);
    index.apply(&path("b/c/y"), None);
    assert_eq!(index.directories(), 4);
}

#[test]
fn equal_bytes_are_no_change_and_hidden_ones_force() {
    let base = Entry { digest: Some(Digest([1; 16])), doubtful: false, ..entry(1) };
    let touched = Entry { fingerprint: Fingerprint { modified_ns: 5, ..base.fingerprint }, ..base };
    let hidden = Entry { digest: Some(Digest([2; 16])), ..base };
    let unread = Entry { digest: None, ..base };
    assert_eq!(compare(Some(&base), Some(&touched)), None);
    assert_eq!(compare(Some(&base), Some(&hidden)), Some((ChangeKind::Modified, true)));
    assert_eq!(compare(Some(&unread), Some(&base)), None);
    assert_eq!(compare(Some(&unread), Some(&touched)), Some((ChangeKind::Modified, false)));
    let doubtful = Entry { doubtful: true, ..unread };
    assert_eq!(compare(Some(&doubtful), Some(&base)), Some((ChangeKind::Modified, true)));
    assert_eq!(compare(None, Some(&base)), Some((ChangeKind::Created, false)));
    assert_eq!(compare(Some(&base), None), Some((ChangeKind::Removed, true)));
    assert_eq!(compare(None, None), None);
}
