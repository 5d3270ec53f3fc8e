//! Deploys that wait at their origin's gate: the journal hears of their wishes when it opens.

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
}

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
     AND payload LIKE '{\"wish\"%')
FROM gate WHERE origin = ?1 ORDER BY ready_at, deploy";

const KEPT: &str = "-- store.kept
SELECT payload FROM gated WHERE deploy = ?1 AND due_at IS NULL ORDER BY id";

const LET_GO: &str = "-- store.let_go
DELETE FROM gated WHERE deploy = ?1 AND due_at IS NULL";

const OPENED: &str = "-- store.opened
DELETE FROM gate WHERE deploy = ?1";

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
            Outgoing::Hold { deploy, .. } => Some((deploy, WAIT, record.at)),
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
                    });
                }
                Ok(gated)
            })
            .await
    }

    /// Returns what waits for the gate to open for a deploy, in order.
    pub async fn kept(&self, deploy: &DeployId) -> Result<Vec<Outgoing>, StoreError> {
        let deploy = deploy.clone();
        self.database.call("store.kept", move |tx| kept(tx, &deploy)).await
    }

    /// Lets go what waited for the gate to open for a deploy, in one transaction; with an `echo` its
    /// wishes go out once more then.
    pub async fn open_gate(
        &self,
        origin: &OriginName,
        deploy: &DeployId,
        echo: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let (origin, deploy) = (origin.clone(), deploy.clone());
        self.database
            .call("store.open_gate", move |tx| {
                let kept = kept(tx, &deploy)?;
                tx.prepare_cached(LET_GO)?.execute([deploy.as_str()])?;
                tx.prepare_cached(OPENED)?.execute([deploy.as_str()])?;
                for (item, at) in kept.iter().zip(std::iter::repeat(echo)) {
                    if let (Outgoing::Wish(wish), Some(at)) = (item, at) {
                        let mut again = wish.clone();
                        again.not_before = at;
                        again.cause.at = at;
                        again.cause.witness = Witness::Schedule;
                        let text = payload(&Outgoing::Wish(again))?;
                        let row = params![origin.as_str(), deploy.as_str(), micros(at), text];
                        tx.prepare_cached(KEEP)?.execute(row)?;
                    }
                }
                send_out(tx, &kept)?;
                Ok(())
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

fn kept(tx: &Transaction<'_>, deploy: &DeployId) -> Result<Vec<Outgoing>, StoreError> {
    let mut statement = tx.prepare_cached(KEPT)?;
    let rows = statement.query_map([deploy.as_str()], |row| row.get::<_, String>(0))?;
    rows.map(|payload| read(&payload?)).collect()
}
