//! Deploys that wait at their origin's gate: the journal hears of their wishes when it opens.

use std::time::Duration;

use rusqlite::{Transaction, params};

use super::{Record, Store, StoreError, payload, send_out};
use crate::domain::deploy::DeployId;
use crate::domain::hint::Witness;
use crate::domain::intent::Outgoing;
use crate::domain::names::OriginName;
use crate::domain::push::CommitId;
use crate::domain::time::Timestamp;

/// How a record's deploys wait.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Gating {
    /// The commit that the web servers have to serve; none of a watched tree.
    pub commit: Option<CommitId>,
}

/// A deploy that waits at a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatedDeploy {
    /// The deploy.
    pub deploy: DeployId,
    /// The commit that it is to serve, where that is known.
    pub commit: Option<CommitId>,
    /// Since when it is complete.
    pub ready_at: Timestamp,
    /// How many wishes it holds.
    pub wishes: u64,
    /// The number of the newest thing it holds: what comes later has to pass the gate by itself.
    pub through: i64,
}

/// Wishes are not planned this long after their gate opened, unless the closing of their deploy, which
/// follows them at once, says so: they are counted together.
const CLOSING: Duration = Duration::from_secs(60);

const KEEP: &str = "-- store.keep
INSERT INTO gated (origin, deploy, due_at, payload) VALUES (?1, ?2, ?3, ?4)";

const WAIT: &str = "-- store.wait_at_gate
INSERT INTO gate (deploy, origin, commit_id, ready_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET ready_at = max(ready_at, excluded.ready_at)";

const READY: &str = "-- store.ready_at_gate
INSERT INTO gate (deploy, origin, commit_id, ready_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET ready_at = excluded.ready_at";

const GATED: &str = "-- store.gated
SELECT deploy, commit_id, ready_at,
    (SELECT count(*) FROM gated WHERE gated.deploy = gate.deploy AND due_at IS NULL
     AND payload LIKE '{\"wish\"%'),
    (SELECT max(id) FROM gated WHERE gated.deploy = gate.deploy AND due_at IS NULL)
FROM gate WHERE origin = ?1 ORDER BY ready_at, deploy";

const KEPT: &str = "-- store.kept
SELECT payload FROM gated WHERE deploy = ?1 AND due_at IS NULL AND id <= ?2 ORDER BY id";

const LET_GO: &str = "-- store.let_go
DELETE FROM gated WHERE deploy = ?1 AND due_at IS NULL AND id <= ?2";

const OPENED: &str = "-- store.opened
DELETE FROM gate WHERE deploy = ?1
AND NOT EXISTS (SELECT 1 FROM gated WHERE gated.deploy = gate.deploy AND due_at IS NULL)";

const AT_GATES: &str = "-- store.at_gates
SELECT DISTINCT origin FROM gate ORDER BY origin";

const ECHOES: &str = "-- store.echoes
SELECT id, payload FROM gated WHERE due_at <= ?1 ORDER BY due_at, id LIMIT ?2";

const ECHOED: &str = "-- store.echoed
DELETE FROM gated WHERE id = ?1";

const NEXT_ECHO: &str = "-- store.next_echo
SELECT min(due_at) FROM gated WHERE due_at IS NOT NULL";

/// Echoes that go out in one transaction.
const MOST_ECHOES: i64 = 1_000;

/// Keeps what follows from deploys until their gate opens. That a deploy opened is told at once, so
/// that who waits for it finds it open.
pub(super) fn keep(
    tx: &Transaction<'_>,
    record: &Record,
    gating: &Gating,
) -> Result<u64, StoreError> {
    let origin = record.origin.as_str();
    let commit = gating.commit.as_ref().map(CommitId::as_str);
    let mut told = Vec::new();
    for item in &record.outgoing {
        let kept = match item {
            Outgoing::Wish(wish) => {
                wish.cause.deploy.as_ref().map(|deploy| (deploy, WAIT, wish.not_before))
            }
            Outgoing::Hold { deploy, .. } => {
                // What of it passed before its end was recorded is held as well.
                told.push(item);
                Some((deploy, WAIT, record.at))
            }
            Outgoing::Deploy(deploy) => {
                deploy.closed_at.is_some().then_some((&deploy.id, READY, record.at))
            }
        };
        let Some((deploy, statement, ready_at)) = kept else {
            told.push(item);
            continue;
        };
        let row = params![deploy.as_str(), origin, commit, ready_at.as_micros()];
        tx.prepare_cached(statement)?.execute(row)?;
        let row = params![origin, deploy.as_str(), None::<i64>, payload(item)?];
        tx.prepare_cached(KEEP)?.execute(row)?;
    }
    send_out(tx, told)
}

fn read(payload: &str) -> Result<Outgoing, StoreError> {
    serde_json::from_str(payload).map_err(|error| StoreError::Inconsistent(error.to_string()))
}

fn micros(at: Timestamp) -> i64 {
    at.as_micros()
}

impl Store {
    /// Returns the deploys that wait at an origin's gate, the oldest first: those that are not complete
    /// yet have a `ready_at` to come.
    pub async fn gated(&self, origin: &OriginName) -> Result<Vec<GatedDeploy>, StoreError> {
        let origin = origin.clone();
        self.database
            .call("store.gated", move |tx| {
                let mut statement = tx.prepare_cached(GATED)?;
                let mut rows = statement.query([origin.as_str()])?;
                let mut gated = Vec::new();
                while let Some(row) = rows.next()? {
                    let commit: Option<String> = row.get(1)?;
                    let commit = commit.map(CommitId::try_from).transpose();
                    gated.push(GatedDeploy {
                        deploy: DeployId::from_text(row.get(0)?),
                        commit: commit
                            .map_err(|error| StoreError::Inconsistent(error.to_string()))?,
                        ready_at: Timestamp::from_micros(row.get(2)?),
                        wishes: row.get::<_, i64>(3)?.cast_unsigned(),
                        through: row.get::<_, Option<i64>>(4)?.unwrap_or_default(),
                    });
                }
                Ok(gated)
            })
            .await
    }

    /// Returns the origins at whose gates something waits, whether they still have one or not.
    pub async fn at_gates(&self) -> Result<Vec<OriginName>, StoreError> {
        self.database
            .call("store.at_gates", |tx| {
                let mut statement = tx.prepare_cached(AT_GATES)?;
                let names = statement.query_map([], |row| row.get::<_, String>(0))?;
                names.map(|name| Ok(OriginName::from(name?.as_str()))).collect()
            })
            .await
    }

    /// Lets go what waited for the gate to open for a deploy, as it was seen, in one transaction: for the
    /// journal the deploy closes now. With an `echo` its wishes go out once more then, but for those that a
    /// person decides on. Returns how many things went: none if somebody else let them go before.
    pub async fn open_gate(
        &self,
        origin: &OriginName,
        gated: &GatedDeploy,
        now: Timestamp,
        echo: Option<Timestamp>,
    ) -> Result<usize, StoreError> {
        let (origin, deploy, through) = (origin.clone(), gated.deploy.clone(), gated.through);
        self.database
            .call("store.open_gate", move |tx| {
                let mut kept = kept(tx, &deploy, through)?;
                tx.prepare_cached(LET_GO)?.execute(params![deploy.as_str(), through])?;
                tx.prepare_cached(OPENED)?.execute([deploy.as_str()])?;
                if let Some(at) = echo {
                    keep_echo(tx, &origin, &kept, at)?;
                }
                for item in &mut kept {
                    match item {
                        Outgoing::Wish(wish) => {
                            wish.not_before = wish.not_before.max(now.plus(CLOSING));
                        }
                        Outgoing::Deploy(deploy) => deploy.closed_at = Some(now),
                        Outgoing::Hold { .. } => {}
                    }
                }
                send_out(tx, &kept)?;
                Ok(kept.len())
            })
            .await
    }

    /// Sends once more what is due; returns how many wishes that were, and when the next is due.
    pub async fn send_echoes(
        &self,
        now: Timestamp,
    ) -> Result<(usize, Option<Timestamp>), StoreError> {
        self.database
            .call("store.send_echoes", move |tx| {
                let mut statement = tx.prepare_cached(ECHOES)?;
                let read_row =
                    |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
                let rows = statement.query_map(params![micros(now), MOST_ECHOES], read_row)?;
                let due: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
                let items = due.iter().map(|(_, payload)| read(payload));
                let items: Vec<Outgoing> = items.collect::<Result<_, _>>()?;
                for (id, _) in &due {
                    tx.prepare_cached(ECHOED)?.execute([id])?;
                }
                send_out(tx, &items)?;
                let next: Option<i64> = tx.query_row(NEXT_ECHO, [], |row| row.get(0))?;
                Ok((items.len(), next.map(Timestamp::from_micros)))
            })
            .await
    }
}

/// Keeps the wishes of a deploy to be sent once more. Once a person decides on one of it, it is his.
fn keep_echo(
    tx: &Transaction<'_>,
    origin: &OriginName,
    kept: &[Outgoing],
    at: Timestamp,
) -> Result<(), StoreError> {
    if kept.iter().any(|item| matches!(item, Outgoing::Hold { .. })) {
        return Ok(());
    }
    for item in kept {
        let Outgoing::Wish(wish) = item else { continue };
        if let (None, Some(deploy)) = (&wish.hold, &wish.cause.deploy) {
            let mut again = wish.clone();
            again.not_before = at;
            again.cause.at = at;
            again.cause.witness = Witness::Schedule;
            let text = payload(&Outgoing::Wish(again))?;
            let row = params![origin.as_str(), deploy.as_str(), micros(at), text];
            tx.prepare_cached(KEEP)?.execute(row)?;
        }
    }
    Ok(())
}

fn kept(
    tx: &Transaction<'_>,
    deploy: &DeployId,
    through: i64,
) -> Result<Vec<Outgoing>, StoreError> {
    let mut statement = tx.prepare_cached(KEPT)?;
    let rows =
        statement.query_map(params![deploy.as_str(), through], |row| row.get::<_, String>(0))?;
    rows.map(|payload| read(&payload?)).collect()
}
