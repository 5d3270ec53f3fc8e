//! The store on real files: atomic, durable, one process, and plain words when it can't.

use std::path::{Path, PathBuf};

use refreshd::database::{Database, DatabaseError, LockError, StateLock};
use refreshd::domain::deploy::{Deploy, DeployId};
use refreshd::domain::index::ChunkWrite;
use refreshd::domain::intent::Outgoing;
use refreshd::domain::names::{HookName, OriginName};
use refreshd::domain::path::RelPath;
use refreshd::domain::push::{CommitId, Fate, Listed, Push};
use refreshd::domain::time::Timestamp;
use refreshd::store::{Delivery, End, OriginRecord, PushEnd, Record, Removals, Store, StoreError};

fn outgoing(number: i64) -> Outgoing {
    Outgoing::Deploy(Deploy {
        id: DeployId::new(Timestamp::from_seconds(number), 0),
        origin: "www".into(),
        opened_at: Timestamp::from_seconds(number),
        closed_at: None,
    })
}

fn write(first: &str, data: Option<&[u8]>) -> ChunkWrite {
    ChunkWrite {
        directory: RelPath::new("d").expect("valid"),
        first: first.into(),
        data: data.map(<[u8]>::to_vec),
    }
}

fn record(chunks: Vec<ChunkWrite>, outgoing: Vec<Outgoing>) -> Record {
    Record { chunks, outgoing, ..Record::blank("www".into(), Timestamp::EPOCH) }
}

async fn open(path: &Path) -> (Store, Database) {
    let database = Database::open(path).expect("opens");
    let store = Store::open(database.clone(), 0xabc).await.expect("opens");
    (store, database)
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("refreshd.db");
    (directory, path)
}

#[tokio::test]
async fn what_was_recorded_is_there_after_opening_again() {
    let (_directory, path) = place();
    let www = OriginName::from("www");
    let state = OriginRecord {
        root: PathBuf::from("/srv/www"),
        device: u64::MAX,
        baseline_at: Timestamp::from_seconds(5),
        baseline_done: true,
        files: 7,
    };
    let (store, database) = open(&path).await;
    let node = store.node().clone();
    let chunks = vec![write("", Some(b"1")), write("m", Some(b"2"))];
    let whole = Record { origin_record: Some(state.clone()), ..record(chunks, vec![outgoing(1)]) };
    assert_eq!(store.record(whole).await.expect("records"), 1);
    drop((store, database));
    let database = Database::open(&path).expect("opens");
    let store = Store::open(database, 0xdef).await.expect("opens");
    assert_eq!(*store.node(), node, "the identity is drawn once");
    assert_eq!(store.origin(&www).await.expect("reads"), Some(state));
    assert_eq!(store.chunks(&www).await.expect("reads").len(), 2);
    assert_eq!(store.outbox(10).await.expect("reads"), [(1, outgoing(1))]);
}

#[tokio::test]
async fn chunks_are_replaced_deleted_and_forgotten() {
    let (_directory, path) = place();
    let www = OriginName::from("www");
    let (store, _database) = open(&path).await;
    let chunks = vec![write("", Some(b"1")), write("m", Some(b"2"))];
    store.record(record(chunks, vec![])).await.expect("records");
    let chunks = vec![write("", Some(b"3")), write("m", None)];
    store.record(record(chunks, vec![])).await.expect("records");
    let found = store.chunks(&www).await.expect("reads");
    assert_eq!((found.len(), found[0].data.as_slice()), (1, &b"3"[..]));
    let forget = Record { forget: true, ..record(vec![write("x", Some(b"4"))], vec![]) };
    store.record(forget).await.expect("records");
    let found = store.chunks(&www).await.expect("reads");
    assert_eq!((found.len(), found[0].first.as_slice()), (1, &b"x"[..]));
}

#[tokio::test]
async fn a_sequence_number_never_comes_again() {
    let (_directory, path) = place();
    let (store, database) = open(&path).await;
    let sent = vec![outgoing(1), outgoing(2)];
    assert_eq!(store.record_operator(sent).await.expect("records"), 2);
    store.acknowledge(2).await.expect("acknowledges");
    assert_eq!(store.outbox_len().await.expect("counts"), 0);
    drop((store, database));
    let (store, _database) = open(&path).await;
    let sent = vec![outgoing(3)];
    assert_eq!(store.record_operator(sent).await.expect("records"), 3);
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_half_written_and_passes() {
    let (_directory, path) = place();
    let www = OriginName::from("www");
    let (store, database) = open(&path).await;
    let set_pages = |pages: i64| {
        database.call("test", move |tx| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            Ok::<i64, DatabaseError>(tx.query_row(&sql, [], |row| row.get(0))?)
        })
    };
    set_pages(1).await.expect("the least there is");
    let large = vec![7; 1_000_000];
    let big = record(vec![write("", Some(&large))], vec![outgoing(1)]);
    let full = store.record(big.clone()).await.expect_err("is full");
    match full {
        StoreError::Database(error) => assert!(error.may_pass() && !error.is_fatal(), "{error}"),
        StoreError::Inconsistent(why) => panic!("{why}"),
    }
    assert!(store.chunks(&www).await.expect("reads").is_empty());
    assert_eq!(store.outbox_len().await.expect("counts"), 0);
    set_pages(1_000_000).await.expect("more");
    assert_eq!(store.record(big).await.expect("records"), 1);
}

#[test]
fn a_second_daemon_is_told_who_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("state");
    let lock = StateLock::take(&state).expect("takes");
    match StateLock::take(&state) {
        Err(LockError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(lock);
    StateLock::take(&state).expect("takes it when it is free");
}

#[tokio::test]
async fn a_newer_schema_is_refused_in_plain_words() {
    let (_directory, path) = place();
    let (store, database) = open(&path).await;
    let newer = database
        .call("test", |tx| Ok::<_, DatabaseError>(tx.pragma_update(None, "user_version", 99)?));
    newer.await.expect("written");
    drop((store, database));
    let error = Database::open(&path).expect_err("is refused");
    assert!(matches!(error, DatabaseError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("install the newer refreshd"));
}

#[tokio::test]
async fn removals_are_remembered_for_a_while_and_not_without_end() {
    let (_directory, path) = place();
    let www = OriginName::from("www");
    let (store, database) = open(&path).await;
    let named = |number: usize| RelPath::new(format!("a{number}.3f9c1a7b.js")).expect("valid");
    let record = |seen: Vec<RelPath>, over: Vec<RelPath>, day: i64| {
        let at = Timestamp::from_seconds(day * 86_400);
        Record { removals: Removals { seen, over, at }, ..record(vec![], vec![]) }
    };
    let known = async |store: &Store, origin: &str, paths: &[usize]| {
        let paths = paths.iter().map(|number| named(*number)).collect();
        let seen = store.seen_removed(&OriginName::from(origin), paths).await.expect("reads");
        let mut seen: Vec<_> = seen.iter().map(ToString::to_string).collect();
        seen.sort();
        seen
    };
    store.record(record(vec![named(1), named(2)], vec![], 1_000)).await.expect("records");
    drop((store, database));
    let (store, _database) = open(&path).await;
    assert_eq!(known(&store, "www", &[1, 2, 3]).await, ["a1.3f9c1a7b.js", "a2.3f9c1a7b.js"]);
    assert!(known(&store, "docs", &[1, 2, 3]).await.is_empty());
    store.record(record(vec![named(3)], vec![named(1)], 1_400)).await.expect("records");
    assert_eq!(known(&store, "www", &[1, 2, 3]).await, ["a2.3f9c1a7b.js", "a3.3f9c1a7b.js"]);
    store.record(record(vec![named(4)], vec![], 1_401)).await.expect("records");
    assert_eq!(known(&store, "www", &[2, 3, 4]).await, ["a3.3f9c1a7b.js", "a4.3f9c1a7b.js"]);
    let many = (10..100_010).map(named).collect();
    store.record(record(many, vec![], 1_402)).await.expect("records");
    assert!(known(&store, "www", &[2, 3, 4]).await.is_empty(), "the newest are kept");
    assert_eq!(known(&store, "www", &[10, 100_009]).await.len(), 2);
    let forget = Record { origin: www, forget: true, ..record(vec![], vec![], 1_403) };
    store.record(forget).await.expect("records");
    assert_eq!(known(&store, "www", &[10]).await.len(), 1, "a new baseline knows it still");
}

/// A delivery that tells of no push.
fn delivery(key: String) -> Delivery {
    Delivery {
        hook: HookName::from("a"),
        key,
        at: Timestamp::EPOCH,
        event: "ping".to_owned(),
        source: String::new(),
        content_type: String::new(),
        body: b"body".to_vec(),
        pushes: Vec::new(),
        why: String::new(),
    }
}

#[tokio::test]
async fn the_inbox_keeps_the_newest_deliveries_and_whatever_is_open() {
    let (_directory, path) = place();
    let (store, _) = open(&path).await;
    let push = Push {
        reference: "refs/heads/main".to_owned(),
        before: None,
        after: None,
        listed: Listed::nothing("a test"),
    };
    let open = Delivery { pushes: vec![("www".into(), push)], ..delivery("0".to_owned()) };
    let rest = (1..=10_001).map(|number| delivery(number.to_string()));
    let all: Vec<_> = std::iter::once(open).chain(rest).collect();
    let ids = store.receive(all).await.expect("received");
    let body = async |number: usize| {
        let body = store.delivery_body(ids[number].id).await.expect("read");
        body.map(|(_, body)| body.len())
    };
    assert_eq!(body(0).await, Some(4), "it is open");
    assert_eq!(body(1).await, None, "the oldest that ended");
    assert_eq!(body(2).await, Some(0));
    assert_eq!(body(9_001).await, Some(0));
    assert_eq!(body(9_002).await, Some(4));
}

#[tokio::test]
async fn a_delivery_that_failed_and_was_done_once_more_failed_no_longer() {
    let (_directory, path) = place();
    let (store, _) = open(&path).await;
    let www = OriginName::from("www");
    let commit = |digit: &str| CommitId::parse(&digit.repeat(40)).expect("a name");
    let push = |digit| Push {
        reference: "refs/heads/main".to_owned(),
        before: None,
        after: commit(digit),
        listed: Listed::nothing("a test"),
    };
    let delivery = Delivery {
        pushes: vec![(www.clone(), push("a")), (www.clone(), push("b"))],
        ..delivery("1".to_owned())
    };
    let id = store.receive(vec![delivery]).await.expect("received")[0].id;
    let fate = async || {
        let rows = store.deliveries(Some(id), false, 1).await.expect("read");
        (rows[0].fate, rows[0].why.clone())
    };
    let end = async |fate: Fate, why: &str| {
        let open = store.open_pushes(&www, Timestamp::EPOCH, 1).await.expect("read");
        let end = End { fate, why: why.to_owned(), deploy: None };
        let ends = PushEnd { ends: vec![(open[0].id, end)], tip: None };
        store.end_pushes(&www, ends, Timestamp::EPOCH).await.expect("ended");
    };
    end(Fate::Failed, "no commit").await;
    assert_eq!(fate().await, (None, String::new()), "one of two is open");
    end(Fate::Nothing, "as it was").await;
    assert_eq!(fate().await, (Some(Fate::Failed), "no commit".to_owned()));
    assert_eq!(store.replay(id, Timestamp::EPOCH).await.expect("again"), 2);
    end(Fate::Intents, "there now").await;
    assert_eq!(fate().await.0, None);
    // What is open is not asked for a third time.
    assert_eq!(store.replay(id, Timestamp::EPOCH).await.expect("again"), 1);
    end(Fate::Nothing, "as it was").await;
    end(Fate::Intents, "there now").await;
    assert_eq!(fate().await, (Some(Fate::Intents), "there now".to_owned()));
    assert_eq!(store.delivery_counts().await.expect("counted"), (0, 0));
}
