use std::os::unix::fs::PermissionsExt;

use super::*;
use std::time::Duration;

use crate::clock::{Clock as _, ManualClock};
use crate::domain::time::Timestamp;

#[test]
fn network_file_systems_are_known_by_their_number() {
    assert_eq!(network_file_system(0x6969), Some("NFS"));
    assert_eq!(network_file_system(0xffff_ffff_ff53_4d42), Some("CIFS"));
    assert_eq!(network_file_system(0x6573_5546), Some("FUSE"));
    for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994] {
        assert_eq!(network_file_system(local), None, "{local:#x}");
    }
}

#[test]
fn a_newer_schema_is_refused() {
    let mut connection = Connection::open_in_memory().expect("opens");
    connection.pragma_update(None, "user_version", 7).expect("set");
    assert_eq!(
        migrate::migrate(&mut connection, &["SELECT 1;"]),
        Err(DatabaseError::Newer { found: 7, known: 1 })
    );
}

#[test]
fn a_lock_that_another_process_holds_passes() {
    let busy = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(5), None);
    let busy = DatabaseError::from(busy);
    assert!(busy.may_pass() && !busy.is_fatal(), "{busy}");
}

#[tokio::test]
async fn the_file_is_private_durable_and_in_wal_mode() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state/refreshd.db");
    let database = Database::open(&path).expect("opens");
    let (mode, synchronous, keys): (String, i64, i64) = database
        .call("test", |tx| {
            let text = |name| tx.pragma_query_value(None, name, |row| row.get(0));
            let number = |name| tx.pragma_query_value(None, name, |row| row.get(0));
            Ok::<_, DatabaseError>((
                text("journal_mode")?,
                number("synchronous")?,
                number("foreign_keys")?,
            ))
        })
        .await
        .expect("reads");
    assert_eq!((mode.as_str(), synchronous, keys), ("wal", 2, 1));
    for (path, expected) in [
        (path.clone(), 0o600),
        (path.with_extension("db-wal"), 0o600),
        (directory.path().join("state"), 0o700),
    ] {
        let mode = std::fs::metadata(&path).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, expected, "{}", path.display());
    }
}

#[tokio::test]
async fn a_closure_that_fails_changes_nothing() {
    let database = Database::in_memory().expect("opens");
    let failed: Result<(), DatabaseError> = database
        .call("test", |tx| {
            tx.execute("INSERT INTO lead (account, fence) VALUES ('a', 1)", [])?;
            Err(DatabaseError::Statement("on purpose".to_owned()))
        })
        .await;
    assert!(failed.is_err());
    let rows: i64 = database
        .call("test", |tx| {
            Ok::<_, DatabaseError>(tx.query_row("SELECT count(*) FROM lead", [], |r| r.get(0))?)
        })
        .await
        .expect("reads");
    assert_eq!(rows, 0);
}

#[test]
fn a_file_that_is_no_database_is_called_damaged() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("refreshd.db");
    std::fs::write(&path, vec![b'x'; 8192]).expect("written");
    assert!(matches!(Database::open(&path), Err(DatabaseError::Corrupt(_))));
}

#[tokio::test]
async fn a_writer_that_hangs_is_noticed_and_one_that_goes_on_is_not() {
    let database = Database::in_memory().expect("opens");
    let clock = ManualClock::new(Timestamp::from_seconds(1_800_000_000), 1);
    clock.advance(Duration::from_secs(1));
    let (heart, meters) = (Heart::default(), Meters::default());
    database.show(clock.clone(), heart.clone(), meters.clone());
    let work = || {
        database.call("test", |tx| {
            tx.execute_batch("CREATE TABLE IF NOT EXISTS t (a); INSERT INTO t VALUES (1)")?;
            Ok::<_, DatabaseError>(())
        })
    };
    // The beat comes after the answer: the second answer tells that there was one.
    work().await.expect("works");
    work().await.expect("works");
    assert_eq!(heart.since(Part::Writer, clock.boot()), Some(Duration::ZERO));
    let (go_on, stuck) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let hanging = database.call("test", move |_| {
        let _ = begun.send(());
        let _ = stuck.recv();
        Err::<(), _>(DatabaseError::Closed)
    });
    let hanging = std::pin::pin!(hanging);
    let watched = async {
        has_begun.await.expect("it hangs");
        database.knock();
        clock.advance(Duration::from_secs(120));
        let hung = heart.hung(clock.boot());
        go_on.send(()).expect("it waits");
        hung
    };
    let (failed, hung) = tokio::join!(hanging, watched);
    assert_eq!((failed, hung), (Err(DatabaseError::Closed), vec![Part::Writer]));
    work().await.expect("works");
    work().await.expect("works");
    assert_eq!(heart.hung(clock.boot()), []);
    assert_eq!(meters.total(Meter::CommitErrors, &[]), 1);
}
