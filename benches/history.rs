//! The API over a long history: how long each answer takes, and what memory it needs.
//!
//! `cargo bench --bench history` writes 1,000,000 ended and 10,000 open intents (`HISTORY_ENDED`,
//! `HISTORY_OPEN`) of 90 days into a database in `TMPDIR`, serves the API on a loopback port and asks for
//! each of its answers 200 times (`HISTORY_ASKED`), a connection each. The goal is a p99 below 100 ms. Measured 2026-11-23 on two cores: 20 ms for 500 intents,
//! 5 ms or less for all else but the first status (12 ms); 15 MiB resident, 6 before the database was open.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use refreshd::clock::{Clock, SharedClock, SystemClock};
use refreshd::database::Database;
use refreshd::domain::change::ChangeKind;
use refreshd::domain::deploy::DeployId;
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::Cause;
use refreshd::domain::limits::Limits;
use refreshd::domain::names::AccountName;
use refreshd::domain::path::RelPath;
use refreshd::domain::quota::PerKind;
use refreshd::domain::quota::purse::Rules;
use refreshd::domain::task::TaskStatus;
use refreshd::domain::time::{Day, Timestamp};
use refreshd::journal::Journal;
use refreshd::journal::sqlite::SqliteJournal;
use refreshd::store::Store;
use refreshd::web::who::Who;
use refreshd::web::{self, AccountDesk, Desk};
use rusqlite::{Connection, params};

/// Names the database that a process is to fill.
const FILL: &str = "HISTORY_FILL";
const ACCOUNT: &str = "main";
/// Intents of one deploy.
const OF_DEPLOY: u64 = 250;
/// How long the history is, in microseconds: 90 days.
const LONG: i64 = 90 * 86_400 * 1_000_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn main() {
    let (ended, open) = (number("HISTORY_ENDED", 1_000_000), number("HISTORY_OPEN", 10_000));
    let asked = number("HISTORY_ASKED", 200);
    let clock = SystemClock::shared();
    if let Some(file) = std::env::var_os(FILL) {
        fill(Path::new(&file), (ended, open), clock.server_now());
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("refreshd.db");
    drop(Database::open(&file).expect("made"));
    // In a process of its own, so that this one's memory is the API's.
    let itself = std::env::current_exe().expect("a path");
    let filled = Command::new(itself).env(FILL, &file).status().expect("runs");
    assert!(filled.success());
    let size = std::fs::metadata(&file).expect("it is there").len();
    println!("{ended} ended and {open} open intents: {} MB on disk", size >> 20);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let before = resident();
    let address = runtime.block_on(serve(&file, clock));
    println!("resident: {} MiB before the database is open, {} MiB then", before, resident());
    println!("{:48} {:>10} {:>10} {:>10}", "GET /api/v1/…", "p50", "p99", "most");
    let deploy = middle_deploy(&file);
    for path in paths(ended, &deploy) {
        let mut times: Vec<Duration> = (0..asked).map(|_| ask(address, &path)).collect();
        times.sort_unstable();
        let part = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        println!("{path:48} {:>10.1?} {:>10.1?} {:>10.1?}", part(50), part(99), part(100));
    }
    println!("resident at the end: {} MiB", resident());
}

/// Returns what is asked for: each answer, and of lists those that find little.
fn paths(ended: u64, deploy: &str) -> Vec<String> {
    let middle = ended / 2;
    let mut paths: Vec<String> = [
        "status",
        "intents",
        "intents?limit=500",
        "intents?state=pending",
        "intents?state=submitted",
        "intents?wait=quota",
        "intents?outcome=failed",
        "intents?outcome=cancelled",
        "intents?outcome=done&action=prefetch",
        "intents?origin=quiet",
        "intents?account=none",
        "intents?kind=directory",
        "intents?q=page-777",
        "intents?q=nothing-has-this",
        "deploys",
        "deploys?origin=www&limit=500",
        "why?q=https://www.example.com/page-777",
        "search?q=www.example.com/page-77",
        "search?q=d06",
        "quota",
        "lag",
        "origins",
        "openapi.json",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.push(format!("intents/{middle}"));
    paths.push(format!("intents?after={middle}&outcome=failed"));
    paths.push(format!("intents?deploy={deploy}"));
    paths.push(format!("deploys/{deploy}"));
    paths
}

/// Returns the name of a deploy in the middle of the history.
fn middle_deploy(file: &Path) -> String {
    let connection = Connection::open(file).expect("opens");
    let sql = "SELECT id FROM deploy ORDER BY id LIMIT 1 OFFSET (SELECT count(*) / 2 FROM deploy)";
    connection.query_row(sql, [], |row| row.get(0)).expect("there is one")
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("small")
}

/// Names a deploy and says when it opened.
fn deploy(number: u64, ended: u64, now: Timestamp) -> (String, i64) {
    let deploys = (ended / OF_DEPLOY).max(1);
    let step = LONG / signed(deploys);
    let at = now.as_micros() - LONG + step * signed(number);
    (format!("d{at:013x}-{:04x}", number & 0xffff), at)
}

/// Writes a history as the journal would have, by fewer statements.
fn fill(file: &Path, (ended, open): (u64, u64), now: Timestamp) {
    let mut connection = Connection::open(file).expect("opens");
    connection.execute_batch("PRAGMA synchronous = off; PRAGMA cache_size = -200000").expect("set");
    let tx = connection.transaction().expect("begins");
    {
        let mut new_deploy = tx
            .prepare("INSERT INTO deploy VALUES (?1, 'www', ?2, ?2 + 1000000)")
            .expect("prepared");
        let mut new_batch = tx
            .prepare(
                "INSERT INTO batch (key, account, action, kind, force, quota, state, fence, staged_at,
                settled_at, request_id) VALUES (?1, 'main', 'refresh', 'url', 0, 'url', 'accepted', 1,
                ?2, ?2 + 100000, 'A-REQUEST')",
            )
            .expect("prepared");
        let mut new_job = tx
            .prepare("INSERT INTO job VALUES (?1, 'main', '[\"1\"]', ?2, 1, ?2, ?2 + 300000000)")
            .expect("prepared");
        let mut new_intent = tx
            .prepare(
                "INSERT INTO intent (id, account, action, kind, target, force, priority, created_at,
                deploy, origin, approved, causes, state, not_before, wait, wait_why, ended_at, outcome,
                outcome_why) VALUES (?1, 'main', ?2, 'url', ?3, 1, 1, ?4, ?5, 'www', 0, 1, ?6, ?4, ?7, ?8,
                ?9, ?10, ?11)",
            )
            .expect("prepared");
        let mut new_cause = tx.prepare("INSERT INTO cause VALUES (?1, 1, ?2)").expect("prepared");
        let mut caused = tx.prepare("INSERT INTO deploy_intent VALUES (?1, ?2)").expect("prepared");
        let mut new_ask = tx
            .prepare("INSERT INTO ask VALUES (?1, ?2, 'url', ?3, 'ended', ?4, 'www', 1)")
            .expect("prepared");
        let status = serde_json::to_string(&TaskStatus::Complete).expect("JSON");
        let mut carried =
            tx.prepare("INSERT INTO ask_intent VALUES (?1, ?2, ?3)").expect("prepared");
        for id in 0..ended + open {
            let (group, ordinal) = (id / OF_DEPLOY, id % OF_DEPLOY);
            let (name, at) = deploy(group, ended, now);
            let (row, ordinal) = (signed(id + 1), signed(ordinal));
            let key = format!("{at:032x}");
            if ordinal == 0 {
                new_deploy.execute(params![name, at]).expect("written");
                new_batch.execute(params![key, at]).expect("written");
                new_job.execute(params![key, at]).expect("written");
            }
            let is_open = id >= ended;
            let target = format!("https://www.example.com/page-{}", id % 100_000);
            let target = if is_open { format!("{target}?open={id}") } else { target };
            let outcome = match id % 1_000 {
                _ if is_open => None,
                0 => Some("failed"),
                1 => Some("superseded"),
                2 if id % 100_000 == 2 => Some("cancelled"),
                _ => Some("done"),
            };
            let why =
                outcome.filter(|word| *word != "done").map(|_| "a reason that takes a sentence");
            let wait = (is_open && id % 2 == 0).then_some("quota");
            new_intent
                .execute(params![
                    row,
                    if id % 10 == 9 { "prefetch" } else { "refresh" },
                    target,
                    at,
                    name,
                    if is_open { "pending" } else { "ended" },
                    wait,
                    wait.map(|_| "the day's URL refreshes are spent"),
                    outcome.map(|_| at + 300_000_000 + ordinal),
                    outcome,
                    why
                ])
                .expect("written");
            let cause = Cause {
                witness: Witness::Watch,
                at: Timestamp::from_micros(at),
                origin: Some("www".into()),
                path: RelPath::new(format!("page-{}", id % 100_000)).ok(),
                change: Some(ChangeKind::Modified),
                digest: None,
                deploy: Some(DeployId::from_text(name.clone())),
            };
            let cause = serde_json::to_string(&cause).expect("JSON");
            new_cause.execute(params![row, cause]).expect("written");
            caused.execute(params![name, row]).expect("written");
            if !is_open {
                new_ask.execute(params![key, ordinal, target, status]).expect("written");
                carried.execute(params![key, ordinal, row]).expect("written");
            }
        }
        let mut tally = tx
            .prepare("INSERT INTO tally VALUES (?1, 'main', 'refresh', 'done', 11111)")
            .expect("ok");
        for day in 0..90 {
            tally.execute([Day::of(now).number() - day]).expect("written");
        }
    }
    tx.commit().expect("written");
}

async fn serve(file: &Path, clock: SharedClock) -> SocketAddr {
    let database = Database::open(file).expect("opens");
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::new(database.clone()));
    let account = AccountDesk {
        quota: PerKind::from_fn(|_| 10_000),
        limits: Limits::default(),
        rules: Rules::default(),
        hosts: vec!["www.example.com".to_owned()],
    };
    let store = Store::open(database, 1).await.expect("opens");
    let desk = Desk {
        accounts: [(AccountName::from(ACCOUNT), account)].into(),
        ..Desk::bare(store, journal, clock)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = web::router(desk).layer(Extension(Who::anyone()));
    let mut servers = tokio::task::JoinSet::new();
    servers.spawn(async move { axum::serve(listener, router).await });
    servers.detach_all();
    address
}

fn ask(address: SocketAddr, path: &str) -> Duration {
    let clock = SystemClock::default();
    let began = clock.boot();
    let mut stream = TcpStream::connect(address).expect("connects");
    write!(stream, "GET /api/v1/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("read");
    let took = clock.boot().saturating_sub(began);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    took
}

/// Returns the memory of this process, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("reads");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes / 1024
}
