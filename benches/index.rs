//! The index at a million files in 100,000 directories: memory, disk, CPU time; medians of five runs.
//!
//! The floor is a flat file of paths and fixed-width fingerprints, read into one vector. Memory is
//! measured in processes of their own, in which nothing else was ever allocated:
//! `cargo bench --bench index`.
#![expect(clippy::print_stdout, reason = "the figures are what a bench is for")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use refreshd::database::{Database, DatabaseError};
use refreshd::domain::index::{Chunk, Digest, Entry, Fingerprint, Index};
use refreshd::domain::path::RelPath;
use refreshd::domain::time::Timestamp;
use refreshd::store::{Record, Removals, Store};
use rustix::time::{ClockId, clock_gettime};

const DIRECTORIES: u64 = 100_000;
const FILES: u64 = 1_000_000;
/// Files that are applied between two commits.
const COMMIT: u64 = 500;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("applied") => println!("{}", memory_applied()),
        Some("loaded") => println!("{}", memory_loaded(Path::new(&arguments[1]))),
        _ => measure(),
    }
}

fn measure() {
    let place = tempfile::tempdir().expect("a directory");
    let built = median(|| timed(build).0);
    let (index, chunks) = build();
    show("build by apply, in order", built);
    let data: usize = chunks
        .iter()
        .map(|chunk| chunk.directory.as_bytes().len() + chunk.first.len() + chunk.data.len())
        .sum();
    println!(
        "  {:<44} {} in {} chunks",
        "bytes a file: keys and data",
        per_file(data),
        chunks.len()
    );

    let file = place.path().join("chunks");
    write_chunks(&file, &chunks);
    println!("  {:<44} {}", "bytes a file: in memory, built by apply", child(&["applied"]));
    let loaded = child(&["loaded", file.to_str().expect("text")]);
    println!("  {:<44} {loaded}", "bytes a file: in memory, loaded");
    on_disk(&place.path().join("refreshd.db"), &chunks);

    let flat = flat_file();
    let floor = median(|| timed(|| read_flat(&flat)).0);
    show("floor: flat file read into a vector", floor);
    let load = || {
        let chunks = chunks.clone();
        timed(|| Index::load(chunks).expect("loads")).0
    };
    show("load from encoded chunks", median(load));

    let listed = read_flat(&flat);
    let walk = || timed(|| listed.iter().map(|(path, _)| path.clone()).map(black_box).count());
    show("floor: every path of the vector, copied", median(|| walk().0));
    let names = || {
        let all = |number| index.names(&directory(number)).map(black_box).count();
        timed(|| assert_eq!((0..DIRECTORIES).map(all).sum::<usize>() as u64, FILES)).0
    };
    show("100,000 calls of names", median(names));
    let get = || {
        let held = |number| index.get(&file_at(number)).is_some();
        timed(|| assert!((0..FILES).all(held))).0
    };
    show("1,000,000 calls of get", median(get));
    let below = || {
        let count = || index.below(&RelPath::root()).map(black_box).count();
        timed(|| assert_eq!(count() as u64, FILES)).0
    };
    show("below, from the root", median(below));
    change(index, "one change among 100,000 directories", file_at);

    let mut flat = Index::new();
    let name = |number: u64| path(&format!("d/page-{number:06}.html"));
    let build_flat =
        || (0..200_000).for_each(|number| flat.apply(&name(number), Some(entry(number))));
    show("200,000 files of one directory by apply", timed(build_flat).0);
    flat.take_writes();
    change(flat, "one change in a directory of 200,000", |number| name(number / 5));
}

/// Measures changes of single files, spread over the tree.
fn change(mut index: Index, what: &str, file: impl Fn(u64) -> RelPath) {
    let (mut written, mut most) = (0, 0);
    let mut round = 0;
    let mut changes = || {
        round += 1;
        for step in 0..10_000_u64 {
            index.apply(&file(random(step) % FILES), Some(entry(FILES + round + step)));
            let bytes: usize = index
                .take_writes()
                .iter()
                .filter_map(|write| write.data.as_ref())
                .map(Vec::len)
                .sum();
            written += bytes;
            most = most.max(bytes);
        }
    };
    let took = median(|| timed(&mut changes).0) / 10_000;
    println!("  {what:<44} {took:?}, writes {} bytes, at most {most}", written / 50_000);
}

/// Builds the index as intake does, and what a store would hold of it.
fn build() -> (Index, Vec<Chunk>) {
    let mut index = Index::new();
    (0..FILES).for_each(|number| index.apply(&file_at(number), Some(entry(number))));
    let writes = index.take_writes().into_iter();
    let chunks = writes.filter_map(|write| {
        Some(Chunk { directory: write.directory, first: write.first, data: write.data? })
    });
    let chunks = chunks.collect();
    (index, chunks)
}

fn on_disk(path: &Path, chunks: &[Chunk]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let database = Database::open(path).expect("opens");
        let store = Store::open(database.clone(), 1).await.expect("opens");
        for some in chunks.chunks(1_000) {
            let write = |chunk: &Chunk| refreshd::domain::index::ChunkWrite {
                directory: chunk.directory.clone(),
                first: chunk.first.clone(),
                data: Some(chunk.data.clone()),
            };
            let chunks = some.iter().map(write).collect();
            let (origin_record, outgoing) = (None, Vec::new());
            let record = Record {
                origin: "www".into(),
                forget: false,
                chunks,
                origin_record,
                removals: Removals::default(),
                outgoing,
                changes: Vec::new(),
                at: Timestamp::EPOCH,
                end_bracket: false,
                gate: None,
                push: None,
            };
            store.record(record).await.expect("records");
        }
        let size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let size = database.call("bench.size", move |tx| {
            tx.query_row(size, [], |row| row.get::<_, i64>(0)).map_err(DatabaseError::from)
        });
        let size = usize::try_from(size.await.expect("reads")).expect("a size");
        println!("  {:<44} {}", "bytes a file: on disk, in SQLite", per_file(size));
        let mut times = Vec::new();
        for _ in 0..5 {
            let begin = cpu_time();
            let read = store.chunks(&"www".into()).await.expect("reads");
            times.push(cpu_time().saturating_sub(begin));
            assert_eq!(read.len(), chunks.len());
        }
        times.sort_unstable();
        show("chunks read from SQLite", times[2]);
    });
}

/// Runs this bench as a process of its own; returns what it prints.
fn child(arguments: &[&str]) -> String {
    let itself = std::env::current_exe().expect("a path");
    let output = Command::new(itself).args(arguments).output().expect("runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn memory_applied() -> String {
    let before = resident();
    let mut index = Index::new();
    for number in 0..FILES {
        index.apply(&file_at(number), Some(entry(number)));
        if number % COMMIT == 0 {
            index.take_writes();
        }
    }
    index.take_writes();
    let after = resident();
    assert_eq!(black_box(&index).files(), FILES);
    per_file(after - before)
}

fn memory_loaded(file: &Path) -> String {
    let before = resident();
    let index = Index::load(read_chunks(file)).expect("loads");
    let after = resident();
    assert_eq!(black_box(&index).files(), FILES);
    per_file(after - before)
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("reads");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1024
}

fn write_chunks(file: &Path, chunks: &[Chunk]) {
    let mut all = Vec::new();
    for chunk in chunks {
        for part in [chunk.directory.as_bytes(), &chunk.first, &chunk.data] {
            all.extend_from_slice(&u32::try_from(part.len()).expect("short").to_le_bytes());
            all.extend_from_slice(part);
        }
    }
    fs::write(file, all).expect("writes");
}

/// Reads chunks one by one, as a database would give them.
fn read_chunks(file: &Path) -> impl Iterator<Item = Chunk> {
    use std::io::{BufReader, Read};
    let mut reader = BufReader::new(fs::File::open(file).expect("opens"));
    let mut part = move || {
        let mut length = [0; 4];
        reader.read_exact(&mut length).ok()?;
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        reader.read_exact(&mut bytes).ok()?;
        Some(bytes)
    };
    std::iter::from_fn(move || {
        let directory = RelPath::new(part()?).ok()?;
        Some(Chunk { directory, first: part()?, data: part()? })
    })
}

/// Every file with its whole path and fixed-width fields.
fn flat_file() -> Vec<u8> {
    let mut flat = Vec::new();
    for number in 0..FILES {
        let (path, entry) = (file_at(number), entry(number));
        flat.push(u8::try_from(path.as_bytes().len()).expect("short"));
        flat.extend_from_slice(path.as_bytes());
        let Fingerprint { size, modified_ns, changed_ns, inode } = entry.fingerprint;
        for number in [size, modified_ns.cast_unsigned(), changed_ns.cast_unsigned(), inode] {
            flat.extend_from_slice(&number.to_le_bytes());
        }
        flat.extend_from_slice(&entry.digest.expect("one").0);
    }
    flat
}

fn read_flat(flat: &[u8]) -> Vec<(Box<[u8]>, Entry)> {
    let mut rest = flat;
    let mut files = Vec::new();
    while let Some((length, after)) = rest.split_first() {
        let (path, after) = after.split_at(usize::from(*length));
        let (numbers, after) = after.split_at(32);
        let (digest, after) = after.split_at(16);
        let number = |at: usize| {
            u64::from_le_bytes(numbers[8 * at..8 * at + 8].try_into().expect("8 bytes"))
        };
        let fingerprint = Fingerprint {
            size: number(0),
            modified_ns: number(1).cast_signed(),
            changed_ns: number(2).cast_signed(),
            inode: number(3),
        };
        let digest = Some(Digest(digest.try_into().expect("16 bytes")));
        files.push((path.into(), Entry { fingerprint, digest, doubtful: false, linked: false }));
        rest = after;
    }
    files
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path")
}

fn directory(number: u64) -> RelPath {
    path(&format!("d{:04}/e{:03}", number / 100, number % 100))
}

fn file_at(number: u64) -> RelPath {
    let at = number * DIRECTORIES / FILES;
    path(&format!("d{:04}/e{:03}/page-{number:06}.html", at / 100, at % 100))
}

/// A file of a tree that was deployed directory by directory: inodes nearly in order, modified within
/// one hour of a day that the directory has, changed up to a minute later.
fn entry(number: u64) -> Entry {
    let (here, drawn) = (random(number * DIRECTORIES / FILES), random(!number));
    let day = 1_790_000_000_000_000_000 - (here % 1_000).cast_signed() * 86_400_000_000_000;
    let modified_ns = day + (drawn % 3_600_000_000_000).cast_signed();
    let changed_ns = modified_ns + (random(drawn) % 60_000_000_000).cast_signed();
    let inode = here % 20_000_000 + number * 5 / 4;
    let fingerprint = Fingerprint { size: drawn >> 40, modified_ns, changed_ns, inode };
    let digest = u128::from(random(number)) << 64 | u128::from(drawn);
    Entry {
        fingerprint,
        digest: Some(Digest(digest.to_le_bytes())),
        doubtful: false,
        linked: false,
    }
}

/// A number that looks random and is the same for the same seed (`SplitMix64`).
fn random(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Runs something; returns how long it took, before what it returned is dropped.
fn timed<R>(run: impl FnOnce() -> R) -> (Duration, R) {
    let begin = cpu_time();
    let result = black_box(run());
    (cpu_time().saturating_sub(begin), result)
}

/// Returns the CPU time that this process has taken: other work on the machine counts less.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("nanoseconds"))
}

fn median(mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..5).map(|_| run()).collect();
    times.sort_unstable();
    times[2]
}

fn show(what: &str, time: Duration) {
    println!("  {what:<44} {time:.3?}");
}

fn per_file(bytes: usize) -> String {
    let tenths = bytes as u64 * 10 / FILES;
    format!("{}.{}", tenths / 10, tenths % 10)
}
