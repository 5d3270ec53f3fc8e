//! Deploys and what became of all that they caused.

use std::collections::BTreeMap;

use rusqlite::{Row, Transaction, params};

use super::doubt::RELEASE_ALL;
use super::rows::{
    action, all, bounded, count, first, intent, intents, maybe_time, run, time, to_json, word,
};
use crate::domain::ask::Kind;
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::time::Timestamp;
use crate::journal::{Attention, DeployReport, JournalError};

const OPEN: &str = "-- journal.open_deploy
INSERT INTO deploy (id, origin, opened_at, closed_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET
    closed_at = coalesce(max(closed_at, excluded.closed_at), closed_at, excluded.closed_at)";

const CLOSE_LOST: &str = "-- journal.close_lost
UPDATE deploy SET closed_at = ?3 WHERE origin = ?2 AND closed_at IS NULL AND id <> ?1";

const BRING_FORWARD: &str = "-- journal.bring_forward
UPDATE intent SET not_before = min(not_before, ?2)
WHERE deploy = ?1 AND state = 'pending' AND wait IS NULL";

const CAUSED: &str = "-- journal.caused
INSERT INTO deploy_intent (deploy, intent) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

const STAND_FOR: &str = "-- journal.stand_for
INSERT INTO deploy_intent (deploy, intent)
SELECT deploy, ?2 FROM deploy_intent WHERE intent = ?1 ON CONFLICT DO NOTHING";

const DEPLOYS: &str = "-- journal.deploys
SELECT id, origin, opened_at, closed_at FROM deploy WHERE ?1 IS NULL OR origin = ?1
ORDER BY opened_at DESC, id DESC LIMIT ?2";

const DEPLOY: &str = "-- journal.deploy
SELECT id, origin, opened_at, closed_at FROM deploy WHERE id = ?1";

const LARGE: &str = "-- journal.large_deploys
SELECT closed_at, id FROM (
    SELECT d.closed_at, d.id FROM deploy AS d
    JOIN deploy_intent AS c ON c.deploy = d.id JOIN intent AS i ON i.id = c.intent
    WHERE d.closed_at IS NOT NULL AND i.account = ?1 AND i.action = 'refresh'
    GROUP BY d.id HAVING count(*) >= ?2 ORDER BY d.closed_at DESC, d.id DESC LIMIT ?3
) ORDER BY closed_at, id";

const ACCOUNTS: &str = "-- journal.accounts_of_deploy
SELECT DISTINCT account FROM intent WHERE deploy = ?1 AND state = 'pending'";

macro_rules! caused {
    () => {
        "IN (SELECT intent FROM deploy_intent
    WHERE deploy IN (SELECT value FROM json_each(?1)) ORDER BY intent DESC LIMIT ?2)"
    };
}

const STANDING: &str = concat!(
    "-- journal.deploy_standing
SELECT CASE state WHEN 'ended' THEN outcome ELSE state END AS stands, count(*), max(ended_at)
FROM intent WHERE id ",
    caused!(),
    " GROUP BY stands"
);

const UNFINISHED: &str = intents!(
    "journal.deploy_unfinished",
    "WHERE i.id IN (SELECT intent FROM deploy_intent
    WHERE deploy IN (SELECT value FROM json_each(?1)) ORDER BY intent DESC LIMIT ?2)
    AND (i.state <> 'ended' OR i.outcome NOT IN ('done', 'superseded')) ORDER BY i.id LIMIT ?3"
);

const CAUSED_MORE: &str = "-- journal.deploys_caused_more
SELECT 1 FROM deploy_intent WHERE deploy IN (SELECT value FROM json_each(?1)) LIMIT 1 OFFSET ?2";

const ASKS: &str = concat!(
    "-- journal.deploy_asks
SELECT b.action, b.kind, count(*), min(j.accepted_at), max(j.accepted_at)
FROM (SELECT DISTINCT batch, ordinal FROM ask_intent WHERE intent ",
    caused!(),
    ") AS a
JOIN batch AS b ON b.key = a.batch LEFT JOIN job AS j ON j.batch = a.batch
GROUP BY b.action, b.kind"
);

/// Writes down that a deploy opened or closed.
pub(super) fn take(
    tx: &Transaction<'_>,
    deploy: &Deploy,
    now: Timestamp,
) -> Result<(), JournalError> {
    let (id, origin) = (deploy.id.as_str(), deploy.origin.as_str());
    let closed_at = deploy.closed_at.map(Timestamp::as_micros);
    run(tx, OPEN, params![id, origin, deploy.opened_at.as_micros(), closed_at])?;
    if closed_at.is_some() {
        run(tx, BRING_FORWARD, params![id, now.as_micros()])?;
        for account in all(tx, ACCOUNTS, [id], |row| Ok(row.get::<_, String>(0)?))? {
            run(tx, RELEASE_ALL, params![account, now.as_micros()])?;
        }
    } else {
        run(tx, CLOSE_LOST, params![id, origin, now.as_micros()])?;
    }
    Ok(())
}

/// Writes down that a deploy caused an intent, alone or with others.
pub(super) fn caused(
    tx: &Transaction<'_>,
    deploy: Option<&DeployId>,
    intent: i64,
) -> Result<(), JournalError> {
    let Some(deploy) = deploy else {
        return Ok(());
    };
    run(tx, CAUSED, params![deploy.as_str(), intent]).map(drop)
}

/// Lets an intent stand for one that it superseded, in the deploys of that.
pub(super) fn stand_for(
    tx: &Transaction<'_>,
    superseded: i64,
    by: i64,
) -> Result<(), JournalError> {
    run(tx, STAND_FOR, [superseded, by]).map(drop)
}

pub(super) fn read(row: &Row<'_>) -> Result<Deploy, JournalError> {
    Ok(Deploy {
        id: DeployId::from_text(row.get(0)?),
        origin: OriginName::from(row.get::<_, String>(1)?.as_str()),
        opened_at: time(row, 2)?,
        closed_at: maybe_time(row, 3)?,
    })
}

pub(super) fn deploys(
    tx: &Transaction<'_>,
    origin: Option<&OriginName>,
    limit: usize,
) -> Result<Vec<Deploy>, JournalError> {
    all(tx, DEPLOYS, params![origin.map(OriginName::as_str), bounded(limit)], read)
}

pub(super) fn large(
    tx: &Transaction<'_>,
    account: &AccountName,
    least: u64,
    limit: usize,
) -> Result<Vec<(Timestamp, DeployId)>, JournalError> {
    let least = i64::try_from(least).unwrap_or(i64::MAX);
    all(tx, LARGE, params![account.as_str(), least, bounded(limit)], |row| {
        Ok((time(row, 0)?, DeployId::from_text(row.get(1)?)))
    })
}

pub(super) fn deploy(
    tx: &Transaction<'_>,
    deploy: &DeployId,
) -> Result<Option<Deploy>, JournalError> {
    first(tx, DEPLOY, [deploy.as_str()], read)
}

pub(super) fn report(
    tx: &Transaction<'_>,
    deploys: &[DeployId],
    most: usize,
    limit: usize,
) -> Result<DeployReport, JournalError> {
    let (deploys, most) = (to_json(&deploys)?, bounded(most));
    let more = first(tx, CAUSED_MORE, params![deploys, most], |_| Ok(()))?.is_some();
    let mut report = DeployReport { more, ..DeployReport::default() };
    let standing = all(tx, STANDING, params![deploys, most], |row| {
        Ok((row.get::<_, String>(0)?, count(row, 1)?, maybe_time(row, 2)?))
    })?;
    report.ended_at = standing.iter().filter_map(|(_, _, ended_at)| *ended_at).max();
    report.intents = standing.into_iter().map(|(stands, number, _)| (stands, number)).collect();
    let unfinished = all(tx, UNFINISHED, params![deploys, most, bounded(limit)], intent)?;
    report.unfinished = unfinished.into_iter().map(Attention::of).collect();
    let asks = all(tx, ASKS, params![deploys, most], |row| {
        let kind = word(&row.get::<_, String>(1)?, Kind::parse)?;
        Ok((action(row, 0)?, kind, count(row, 2)?, maybe_time(row, 3)?, maybe_time(row, 4)?))
    })?;
    let first = asks.iter().filter_map(|ask| ask.3).min();
    report.accepted = first.zip(asks.iter().filter_map(|ask| ask.4).max());
    let asks: BTreeMap<_, _> = asks.into_iter().map(|ask| ((ask.0, ask.1), ask.2)).collect();
    report.asks = asks.into_iter().map(|((action, kind), number)| (action, kind, number)).collect();
    Ok(report)
}
