//! What the store keeps until a gate opens.

use refreshd::database::Database;
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::deploy::{Deploy, DeployId};
use refreshd::domain::hint::Witness;
use refreshd::domain::intent::{Action, Cause, Outgoing, Priority, Wish};
use refreshd::domain::names::OriginName;
use refreshd::domain::stage::Stage;
use refreshd::domain::time::Timestamp;
use refreshd::store::{Gating, Record, Removals, Store};

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(second)
}

fn www() -> OriginName {
    "www".into()
}

fn deploy(closed_at: Option<i64>) -> Deploy {
    Deploy {
        id: DeployId::from_text("d1".to_owned()),
        origin: www(),
        opened_at: at(10),
        closed_at: closed_at.map(at),
    }
}

fn wish(path: &str, not_before: i64, hold: Option<&str>) -> Wish {
    Wish {
        account: "main".into(),
        action: Action::Refresh,
        target: Target::new(Kind::Url, format!("https://www.example.com/{path}")),
        force: false,
        priority: Priority::Normal,
        not_before: at(not_before),
        stage: Stage::default(),
        hold: hold.map(str::to_owned),
        cause: Cause {
            witness: Witness::Watch,
            at: at(10),
            origin: Some(www()),
            path: None,
            change: None,
            digest: None,
            deploy: Some(deploy(None).id),
        },
    }
}

/// A store on a disk of its own.
struct World {
    store: Store,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(&folder.path().join("refreshd.db")).expect("it opens");
        let store = Store::open(database, 1).await.expect("it opens");
        Self { store, _folder: folder }
    }

    async fn record(&self, second: i64, outgoing: Vec<Outgoing>) {
        let record = Record {
            origin: www(),
            forget: false,
            chunks: Vec::new(),
            origin_record: None,
            removals: Removals::default(),
            outgoing,
            changes: Vec::new(),
            at: at(second),
            end_bracket: false,
            gate: Some(Gating::default()),
            push: None,
        };
        self.store.record(record).await.expect("it records");
    }

    /// Returns what waits: when each deploy is complete, and how many wishes it holds.
    async fn waits(&self) -> Vec<(Timestamp, u64)> {
        let gated = self.store.gated(&www()).await.expect("it reads");
        gated.into_iter().map(|gated| (gated.ready_at, gated.wishes)).collect()
    }

    /// Opens the gate for the oldest deploy, as it was seen now.
    async fn open(&self, second: i64, echo: Option<i64>) -> usize {
        let gated = self.store.gated(&www()).await.expect("it reads").remove(0);
        let www = www();
        let opening = self.store.open_gate(&www, &gated, at(second), echo.map(at));
        opening.await.expect("it opens")
    }

    async fn went(&self) -> Vec<Outgoing> {
        let rows = self.store.outbox(100).await.expect("it reads");
        let last = rows.last().map_or(0, |(sequence, _)| *sequence);
        self.store.acknowledge(last).await.expect("acknowledged");
        rows.into_iter().map(|(_, item)| item).collect()
    }
}

#[tokio::test]
async fn a_deploy_waits_whole_and_closes_for_the_journal_when_its_gate_opens() {
    let world = World::new().await;
    let (open, closed) = (deploy(None), deploy(Some(12)));
    let first = vec![Outgoing::Deploy(open.clone()), Outgoing::Wish(wish("a", 610, None))];
    world.record(11, first).await;
    assert_eq!(world.waits().await, [(at(610), 1)], "by its deadline at the latest");
    assert_eq!(world.went().await, [Outgoing::Deploy(open)], "who waits for it finds it open");
    let rest = vec![Outgoing::Wish(wish("b", 610, None)), Outgoing::Deploy(closed.clone())];
    world.record(12, rest).await;
    assert_eq!(world.waits().await, [(at(12), 2)]);
    assert_eq!(world.store.at_gates().await.expect("it reads"), [www()]);
    assert_eq!(world.open(700, None).await, 3);
    let closed = Deploy { closed_at: Some(at(700)), ..closed };
    // They are planned together: once the closing is in, and not before.
    let expected = [
        Outgoing::Wish(wish("a", 760, None)),
        Outgoing::Wish(wish("b", 760, None)),
        Outgoing::Deploy(closed),
    ];
    assert_eq!(world.went().await, expected);
    assert_eq!(world.waits().await, []);
    assert_eq!(world.store.at_gates().await.expect("it reads"), []);
}

#[tokio::test]
async fn what_comes_to_a_deploy_while_its_gate_opens_has_to_pass_it_too() {
    let world = World::new().await;
    let record = |path, second| {
        vec![Outgoing::Wish(wish(path, second, None)), Outgoing::Deploy(deploy(Some(second)))]
    };
    world.record(12, record("a", 12)).await;
    let seen = world.store.gated(&www()).await.expect("it reads").remove(0);
    world.record(20, record("late", 20)).await;
    assert_eq!(world.waits().await, [(at(20), 2)]);
    let www = www();
    let open = || world.store.open_gate(&www, &seen, at(21), Some(at(81)));
    assert_eq!(open().await.expect("it opens"), 2);
    assert_eq!(open().await.expect("it opens"), 0, "it went already");
    assert_eq!(world.went().await.len(), 2);
    assert_eq!(world.waits().await, [(at(20), 1)], "the late one waits");
    assert_eq!(world.store.send_echoes(at(81)).await.expect("it sends"), (1, None));
    assert_eq!(
        world.went().await,
        [Outgoing::Wish(Wish {
            cause: Cause { at: at(81), witness: Witness::Schedule, ..wish("a", 0, None).cause },
            ..wish("a", 81, None)
        })]
    );
    assert_eq!(world.open(82, None).await, 2);
    assert_eq!(world.waits().await, []);
}

#[tokio::test]
async fn what_a_person_decides_on_is_sent_once() {
    let world = World::new().await;
    let why = Some("so many vanished");
    let first = vec![
        Outgoing::Wish(wish("a", 12, why)),
        Outgoing::Wish(wish("b", 12, None)),
        Outgoing::Deploy(deploy(Some(12))),
    ];
    world.record(12, first).await;
    assert_eq!(world.open(13, Some(20)).await, 3);
    assert_eq!(world.store.send_echoes(at(20)).await.expect("it sends"), (1, None), "b alone");
    world.went().await;
    let hold = Outgoing::Hold { deploy: deploy(None).id, why: "too much".to_owned() };
    let whole =
        vec![Outgoing::Wish(wish("c", 30, None)), hold.clone(), Outgoing::Deploy(deploy(Some(30)))];
    world.record(30, whole).await;
    assert_eq!(world.went().await, std::slice::from_ref(&hold), "what passed before is held too");
    assert_eq!(world.open(31, Some(40)).await, 3);
    assert_eq!(world.went().await[1], hold);
    assert_eq!(world.store.send_echoes(at(40)).await.expect("it sends"), (0, None));
}
