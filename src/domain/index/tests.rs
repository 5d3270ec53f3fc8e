use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::domain::change::ChangeKind;

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
        linked: number.is_multiple_of(4),
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

/// What an index must say, from nothing but a list of files: by directory, then by name.
#[derive(Default)]
struct Model(BTreeMap<(RelPath, Vec<u8>), Entry>);

impl Model {
    fn apply(&mut self, path: &RelPath, entry: Option<Entry>) {
        let key = (path.parent().expect("no root"), path.name().to_vec());
        match entry {
            Some(entry) => self.0.insert(key, entry),
            None => self.0.remove(&key),
        };
    }

    fn files(&self) -> impl Iterator<Item = (RelPath, Entry)> {
        let join = |directory: &RelPath, name: &[u8]| directory.join(name).expect("a name");
        self.0.iter().map(move |((directory, name), entry)| (join(directory, name), *entry))
    }

    fn directories(&self) -> BTreeSet<RelPath> {
        self.0.keys().map(|(directory, _)| directory.clone()).collect()
    }

    fn names(&self, at: &RelPath) -> Vec<(Vec<u8>, Entry)> {
        let here = self.0.iter().filter(|((directory, _), _)| directory == at);
        here.map(|((_, name), entry)| (name.clone(), *entry)).collect()
    }

    fn children(&self, at: &RelPath) -> Vec<Vec<u8>> {
        let mut found = BTreeSet::new();
        for directory in self.directories() {
            let mut open = Some(directory);
            while let Some(directory) = open {
                open = directory.parent();
                if open.as_ref() == Some(at) {
                    found.insert(directory.name().to_vec());
                }
            }
        }
        found.into_iter().collect()
    }

    fn undigested_after(&self, after: Option<&RelPath>, limit: usize) -> Vec<RelPath> {
        let place = |path: &RelPath| (path.parent(), path.name().to_vec());
        let open = self.files().filter(|(_, entry)| entry.digest.is_none()).map(|(path, _)| path);
        open.filter(|path| after.is_none_or(|after| place(path) > place(after)))
            .take(limit)
            .collect()
    }

    fn counts(&self) -> Counts {
        let mut linked = BTreeMap::new();
        for (_, entry) in self.files().filter(|(_, entry)| entry.linked) {
            *linked.entry(entry.fingerprint.inode).or_default() += 1;
        }
        let undigested: Vec<_> = self.0.values().filter(|entry| entry.digest.is_none()).collect();
        Counts {
            files: self.0.len() as u64,
            directories: self.directories().len() as u64,
            undigested: undigested.len() as u64,
            undigested_bytes: undigested.iter().map(|entry| entry.fingerprint.size).sum(),
            linked,
        }
    }
}

/// Compares all that an index says with a model.
fn agree(index: &Index, model: &Model, limit: usize) -> Result<(), TestCaseError> {
    prop_assert_eq!(&index.counts, &model.counts());
    for (path, entry) in model.files() {
        prop_assert_eq!(index.get(&path), Some(entry));
        prop_assert_eq!(index.is_shared(entry.fingerprint.inode), {
            let mut same = model.0.values();
            same.any(|other| other.linked && other.fingerprint.inode == entry.fingerprint.inode)
        });
    }
    let places = ["", "a", "a-b", "a/b", "a/b/c", "a/b-c", "a/b/c/017", "b", "017"].map(path);
    for at in &places {
        prop_assert_eq!(index.names(at).collect::<Vec<_>>(), model.names(at));
        prop_assert_eq!(index.children(at), model.children(at));
        let sorted = |mut paths: Vec<RelPath>| {
            paths.sort();
            paths
        };
        let below = model.files().map(|(path, _)| path).filter(|path| path.is_within(at));
        prop_assert_eq!(sorted(index.below(at).collect()), sorted(below.collect()));
        let mut directories = model.directories();
        directories.retain(|directory| directory.is_within(at));
        let found = index.directories_below(at).collect();
        prop_assert_eq!(sorted(found), directories.into_iter().collect::<Vec<_>>());
        let after = model.undigested_after(Some(at), limit);
        prop_assert_eq!(index.undigested_after(Some(at), limit), after);
    }
    let undigested = model.undigested_after(None, usize::MAX);
    prop_assert_eq!(&index.undigested_after(None, usize::MAX), &undigested);
    for at in undigested.iter().step_by(29) {
        let after = model.undigested_after(Some(at), limit);
        prop_assert_eq!(index.undigested_after(Some(at), limit), after);
    }
    let shared = |(_, entry): &(RelPath, Entry)| entry.fingerprint.size < 300;
    let wanted: Vec<_> = model.files().filter(shared).collect();
    let set: HashSet<_> = wanted.iter().map(|(_, entry)| entry.fingerprint.inode).collect();
    let wanted: Vec<_> = wanted.into_iter().map(|(path, _)| path).collect();
    prop_assert_eq!(index.sharing(&set), wanted);
    Ok(())
}

/// Holds an index to its own laws.
fn hold(index: &Index) {
    let mut files = 0;
    let mut pieces = index.pieces.iter().peekable();
    while let Some((key, data)) = pieces.next() {
        let (directory, first) = split(key);
        let entries: Vec<_> = Entries::open(data).expect("readable").collect();
        files += entries.len() as u64;
        assert!(!entries.is_empty() && entries.len() <= 512 && data.len() <= 64 * 1024);
        assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
        assert!(entries[0].0.as_slice() >= first);
        if let Some((next, _)) = pieces.peek()
            && split(next).0 == directory
        {
            assert!(entries[entries.len() - 1].0.as_slice() < split(next).1);
        }
    }
    assert_eq!(files, index.files());
}

/// Few directories and names, so that removals meet what is there; long names, so that chunks split.
fn any_path() -> impl Strategy<Value = RelPath> {
    let directories = vec!["", "a", "a/b", "a-b", "a/b/c", "a/b-c/d", "a/b/c/017"];
    let name = prop_oneof![
        (0_u16..40).prop_map(|number| format!("{number:03}").into_bytes()),
        (0_u16..400).prop_map(|number| format!("{number:0>250}").into_bytes()),
        (0_u16..40).prop_map(|number| format!("{number:0<1500}").into_bytes()),
        prop::collection::vec(prop::sample::select(vec![b'x', 0xff, b'\n', 1]), 1..3),
    ];
    (prop::sample::select(directories), name)
        .prop_map(|(directory, name)| path(directory).join(&name).expect("one plain part"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_was_written_is_what_is_read(
        steps in prop::collection::vec((any_path(), prop::option::weighted(0.7, 0_u64..1000)), 1..500),
        takes in 1_usize..50,
        limit in 0_usize..20,
    ) {
        let (mut index, mut stored, mut model) = (Index::new(), Stored::default(), Model::default());
        for (at, (path, number)) in steps.iter().enumerate() {
            index.apply(path, number.map(entry));
            model.apply(path, number.map(entry));
            prop_assert_eq!(index.get(path), number.map(entry));
            if at % takes == 0 {
                stored.write(index.take_writes());
            }
        }
        stored.write(index.take_writes());
        hold(&index);
        agree(&index, &model, limit)?;
        let mut read = Index::load(stored.chunks()).expect("readable");
        prop_assert_eq!(&read.pieces, &index.pieces);
        prop_assert_eq!(&read.counts, &index.counts);
        for (path, _) in model.files() {
            read.apply(&path, None);
        }
        prop_assert_eq!(&read.counts, &Counts::default());
        prop_assert!(read.pieces.is_empty());
        stored.write(read.take_writes());
        prop_assert!(stored.0.is_empty(), "nothing is left behind");
    }

    #[test]
    fn any_entry_survives_its_encoding(
        numbers in prop::collection::vec(any::<(u64, i64, i64, u64, Option<[u8; 16]>, bool, bool)>(), 1..20),
    ) {
        let entries: Vec<Named> = (0_u8..).zip(&numbers).map(|(at, numbers)| {
            let (size, modified_ns, changed_ns, inode, digest, doubtful, linked) = *numbers;
            let fingerprint = Fingerprint { size, modified_ns, changed_ns, inode };
            (vec![b'n', at + 1], Entry { fingerprint, digest: digest.map(Digest), doubtful, linked })
        }).filter(|(name, _)| !name.contains(&b'/')).collect();
        let data = code::encode(&entries);
        let most: usize = entries.iter().map(|(name, _)| name.len() + 61).sum();
        prop_assert!(data.len() <= 8 + most);
        let read: Vec<_> = Entries::open(&data).expect("readable").collect();
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn damaged_chunks_are_refused_not_trusted(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let named = |number: u64| (format!("page-{number:03}").into_bytes(), entry(number));
        let whole = code::encode(&(0..40).map(named).collect::<Vec<_>>());
        let mut damaged = whole.clone();
        for (at, byte) in damage {
            *at.get_mut(&mut damaged) = byte;
        }
        let cut = whole[..cut.index(whole.len())].to_vec();
        prop_assert!(load(vec![("a", "", cut)]).is_err());
        for data in [noise.clone(), [&[1], noise.as_slice()].concat(), [&[2], noise.as_slice()].concat(), damaged] {
            if let Ok(mut index) = load(vec![("a", "", data)]) {
                hold(&index);
                // What was believed can be worked with: sizes near the largest included.
                for at in index.below(&RelPath::root()).collect::<Vec<_>>() {
                    index.apply(&at, Some(entry(1)));
                }
                hold(&index);
            }
        }
    }
}

fn load(chunks: Vec<(&str, &str, Vec<u8>)>) -> Result<Index, IndexError> {
    Index::load(chunks.into_iter().map(|(directory, first, data)| Chunk {
        directory: path(directory),
        first: first.into(),
        data,
    }))
}

fn chunk(names: &[&str]) -> Vec<u8> {
    code::encode(&names.iter().map(|name| ((*name).into(), entry(1))).collect::<Vec<_>>())
}

#[test]
fn chunks_that_contradict_each_other_are_refused() {
    let refused = |chunks: Vec<(&str, &str, Vec<u8>)>| {
        load(chunks).map_or_else(|error| error.to_string(), |_| "believed".into())
    };
    assert!(load(vec![("a", "", chunk(&["b"])), ("a", "c", chunk(&["c", "d"]))]).is_ok());
    let overlap = "the stored index of directory `a` cannot be read: its chunks overlap";
    assert_eq!(refused(vec![("a", "", chunk(&["c"])), ("a", "c", chunk(&["d"]))]), overlap);
    assert!(refused(vec![("a", "c", chunk(&["b"]))]).contains("before the range"));
    assert!(refused(vec![("a", "", chunk(&["b", "b"]))]).contains("out of order"));
    assert!(refused(vec![("a", "", chunk(&[""]))]).contains("out of order"));
    for name in [".", "..", "b/c", "b\0"] {
        assert!(refused(vec![("a", "", chunk(&[name]))]).contains("plain part"), "{name}");
    }
    assert!(refused(vec![("a", "", chunk(&[]))]).contains("no entries"));
    assert!(refused(vec![("a", "", vec![3, 1])]).contains("another version"));
    let mut after = chunk(&["b"]);
    after.push(0);
    assert!(refused(vec![("a", "", after)]).contains("after its end"));
}

/// A chunk of `d` as version 1 wrote it: `index.html`, `page-1.html`, `page-10.html`, `zz`.
const VERSION_1: &str = "0104000a696e6465782e68746d6c0101828098bf84e1add7310307010101010101010101\
    01010101010101000b706167652d312e68746d6c0003868098bf84e1add7310b150606302e68746d6c03058a8098bf\
    84e1add73113230505050505050505050505050505050500027a7a03f0a204e0c5a0bf84e1add731bf8b1190f41d70\
    707070707070707070707070707070";

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("text"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

#[test]
fn a_chunk_of_version_1_still_opens_and_is_rewritten_as_a_whole() {
    let data = unhex(VERSION_1);
    let mut index = load(vec![("d", "", data.clone())]).expect("readable");
    let files = [("index.html", 1), ("page-1.html", 3), ("page-10.html", 5), ("zz", 70_000)];
    let mut expected: Vec<Named> =
        files.map(|(name, number)| (name.into(), Entry { linked: false, ..entry(number) })).into();
    assert_eq!(index.names(&path("d")).collect::<Vec<_>>(), expected);
    assert!(index.take_writes().is_empty());
    expected[3].1.linked = true;
    index.apply(&path("d/zz"), Some(expected[3].1));
    assert_eq!(index.names(&path("d")).collect::<Vec<_>>(), expected);
    let writes = index.take_writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].data, Some(code::encode(&expected)));
    // It knew no third flag.
    let mut linked = data;
    linked[14] |= 4;
    assert!(load(vec![("d", "", linked)]).is_err());
}

#[test]
fn names_that_come_in_order_leave_full_chunks_behind() {
    let mut index = Index::new();
    for number in 0..1_000 {
        index.apply(&path(&format!("d/{number:04}")), Some(entry(number)));
    }
    hold(&index);
    assert_eq!(index.pieces.len(), 1_000_usize.div_ceil(CHUNK_ENTRIES));
    for number in 0..1_000 {
        index.apply(&path(&format!("e/{:04}", number * 7_919 % 1_000)), Some(entry(number)));
    }
    hold(&index);
    assert_eq!((index.files(), index.directories()), (2_000, 2));
    assert_eq!(index.names(&path("e")).count(), 1_000);
}

#[test]
fn a_change_in_a_large_directory_writes_one_small_chunk() {
    let name = |number: u64| format!("page-{number:06}.html");
    let chunks = (0..200_000).step_by(CHUNK_ENTRIES).map(|from| {
        let numbers = from..(from + CHUNK_ENTRIES as u64).min(200_000);
        let named = |number| (name(number).into_bytes(), entry(number));
        let data = code::encode(&numbers.map(named).collect::<Vec<_>>());
        Chunk { directory: path("d"), first: name(from).into(), data }
    });
    let chunks: Vec<_> = chunks.collect();
    let whole: usize = chunks.iter().map(|chunk| chunk.first.len() + chunk.data.len()).sum();
    assert!(whole / 200_000 <= 50, "{} bytes a file", whole / 200_000);
    let mut index = Index::load(chunks).expect("readable");
    assert_eq!((index.files(), index.directories()), (200_000, 1));
    for changed in ["d/page-100000.html", "d/page-100000-a.html", "d/0", "d/z"] {
        index.apply(&path(changed), Some(entry(1)));
        let writes = index.take_writes();
        let size: usize = writes.iter().map(|write| write.data.as_ref().map_or(0, Vec::len)).sum();
        assert!((1..=64 * 1024).contains(&size), "{size} bytes for {changed}");
    }
    assert!(index.take_writes().is_empty());
    hold(&index);
}

#[test]
fn directories_are_found_at_and_below_a_path_only() {
    let mut index = Index::new();
    for text in ["a", "a-b/x", "b/c/y", "b/x", "b0", "bb/x"] {
        index.apply(&path(text), Some(entry(1)));
    }
    let below = |text: &str| -> Vec<String> {
        index.directories_below(&path(text)).map(|path| path.to_string()).collect()
    };
    assert_eq!(below("b"), ["b", "b/c"]);
    assert!(below("a").is_empty());
    assert_eq!(below(""), ["", "a-b", "b", "b/c", "bb"]);
    assert_eq!(index.children(&RelPath::root()), [b"a-b".as_slice(), b"b", b"bb"]);
    let files: Vec<_> = index.below(&path("a")).collect();
    assert_eq!(files, [path("a")], "a file lies below itself");
    // The root, a-b, b, b/c, bb.
    assert_eq!(index.directories(), 5);
    index.apply(&path("b/c/y"), None);
    assert_eq!(index.directories(), 4);
}

#[test]
fn equal_bytes_are_no_change_and_hidden_ones_force() {
    let base = Entry { digest: Some(Digest([1; 16])), doubtful: false, linked: false, ..entry(1) };
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
    for prior in [base, unread] {
        let linked = Entry { linked: true, ..prior };
        assert_eq!(compare(Some(&prior), Some(&linked)), None, "another name is no change");
    }
}
