//! Looking through all that there is and was.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Row, Transaction, params};

use super::SqliteJournal;
use super::accept::{enter, free_twin};
use super::batches::state_word;
use super::decide::FREE;
use super::deploys;
use super::doubt::RELEASE_ALL;
use super::flight::{by_id, finish};
use super::look::CAUSES;
use super::rows::{
    all, bounded, count, first, intent, intents, json, maybe_time, run, target, time, word,
};
use crate::domain::ask::Kind;
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::intent::{Action, Cause, Intent, IntentId, Outcome, State, Wait};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::quota::forecast::Hours;
use crate::domain::quota::{PerKind, QuotaKind};
use crate::domain::task::{BatchKey, TaskId};
use crate::domain::time::{Day, Timestamp};
use crate::journal::JournalError;
use crate::journal::browse::{
    Again, Asked, Browse, CalledOff, CountedDeploy, Ended, Filter, MAX_COUNTED, MAX_LOOKED_AT,
    Page, Picked, StateWord, Story, Way, again, is_wanted_besides,
};
use crate::journal::check::AskState;

/// A query for the numbers of candidates, newest first, each with whether it is wanted.
macro_rules! candidates {
    ($name:literal, $from:literal) => {
        concat!(
            "-- ",
            $name,
            "\nSELECT i.id, coalesce((?2 IS NULL OR i.state = ?2) AND (?3 IS NULL OR i.wait = ?3)
            AND (?4 IS NULL OR i.outcome = ?4) AND (?5 IS NULL OR i.action = ?5)
            AND (?6 IS NULL OR i.kind = ?6) AND (?7 IS NULL OR i.account = ?7)
            AND (?8 IS NULL OR i.origin = ?8) AND (?9 IS NULL OR instr(i.target, ?9) > 0), 0)
            FROM ",
            $from
        )
    };
}

const OF_DEPLOY: &str = candidates!(
    "journal.list_deploy",
    "deploy_intent AS d CROSS JOIN intent AS i ON i.id = d.intent
    WHERE d.deploy = ?10 AND d.intent < ?1 ORDER BY d.intent DESC"
);

const OF_OUTCOME: &str = candidates!(
    "journal.list_outcome",
    "intent AS i INDEXED BY intent_outcome
    WHERE i.outcome <> 'done' AND i.outcome = ?4 AND i.id < ?1 AND ?10 IS NULL ORDER BY i.id DESC"
);

const OF_OPEN: &str = candidates!(
    "journal.list_open",
    "intent AS i INDEXED BY intent_listed
    WHERE i.state <> 'ended' AND i.id < ?1 AND ?10 IS NULL ORDER BY i.id DESC"
);

const OF_ALL: &str = candidates!(
    "journal.list_all",
    "intent AS i NOT INDEXED WHERE i.id < ?1 AND ?10 IS NULL ORDER BY i.id DESC"
);

const ONE: &str = intents!("journal.intent", "WHERE i.id = ?1");

const ASKS: &str = "-- journal.asks_of_intent
SELECT a.batch, a.kind, a.target, a.state, b.state, a.status, b.request_id, j.tasks, b.sends,
b.staged_at, b.settled_at, j.accepted_at, j.ended_at, b.why
FROM ask_intent AS c JOIN ask AS a ON a.batch = c.batch AND a.ordinal = c.ordinal
JOIN batch AS b ON b.key = a.batch LEFT JOIN job AS j ON j.batch = a.batch
WHERE c.intent = ?1 ORDER BY a.batch, a.ordinal";

const DEPLOYS_BEFORE: &str = "-- journal.deploys_before
SELECT id, origin, opened_at, closed_at FROM deploy
WHERE (opened_at, id) < (?1, ?2) ORDER BY opened_at DESC, id DESC LIMIT ?3";

const DEPLOYS_BEFORE_OF: &str = "-- journal.deploys_before_of
SELECT id, origin, opened_at, closed_at FROM deploy
WHERE origin = ?4 AND (opened_at, id) < (?1, ?2) ORDER BY opened_at DESC, id DESC LIMIT ?3";

const STANDING: &str = "-- journal.standing_of_deploy
SELECT stands, count(*) FROM
(SELECT CASE i.state WHEN 'ended' THEN i.outcome ELSE i.state END AS stands
FROM deploy_intent AS d CROSS JOIN intent AS i ON i.id = d.intent WHERE d.deploy = ?1
ORDER BY d.intent LIMIT ?2) GROUP BY stands";

const CAUSED_MORE: &str = "-- journal.caused_more
SELECT 1 FROM deploy_intent WHERE deploy = ?1 ORDER BY intent LIMIT 1 OFFSET ?2";

const FIRST_TARGET: &str = "-- journal.first_target
SELECT target FROM intent INDEXED BY intent_target
WHERE target >= ?1 AND target < ?2 ORDER BY target LIMIT 1";

/// One lower bound, by which the next target is sought however many intents the last one has.
const NEXT_TARGET: &str = "-- journal.next_target
SELECT target FROM intent INDEXED BY intent_target
WHERE target > ?1 AND target < ?2 ORDER BY target LIMIT 1";

const NAMED: &str = "-- journal.deploys_named
SELECT id FROM deploy WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";

const ENDED: &str = "-- journal.ended_lately
SELECT created_at, ended_at, action = 'refresh' AND outcome = 'done' FROM intent
INDEXED BY intent_ended WHERE state = 'ended' AND ended_at >= ?1
ORDER BY ended_at DESC, id DESC LIMIT ?2";

const OF_OTHERS: &str = "-- journal.of_other_deploys
SELECT 1 FROM deploy_intent WHERE intent = ?1 AND deploy <> ?2 LIMIT 1";

const NEWER: &str = "-- journal.newer_of_target
SELECT 1 FROM intent INDEXED BY intent_target
WHERE target = ?1 AND id > ?2 AND account = ?3 AND action = ?4 AND kind = ?5 LIMIT 1";

const TODAY: &str = "-- journal.spent_today
SELECT hour, quota, sum(amount) FROM spending WHERE account = ?1 AND day = ?2
GROUP BY hour, quota";

#[async_trait]
impl Browse for SqliteJournal {
    async fn list(
        &self,
        filter: &Filter,
        after: Option<IntentId>,
        limit: usize,
    ) -> Result<Page, JournalError> {
        let filter = filter.clone();
        self.database.call("journal.list", move |tx| list(tx, &filter, after, limit)).await
    }

    async fn story(&self, intent: IntentId) -> Result<Option<Story>, JournalError> {
        self.database.call("journal.story", move |tx| story(tx, intent)).await
    }

    async fn counted_deploys(
        &self,
        origin: Option<&OriginName>,
        after: Option<&(Timestamp, DeployId)>,
        limit: usize,
    ) -> Result<(Vec<CountedDeploy>, bool), JournalError> {
        let (origin, after) = (origin.cloned(), after.cloned());
        self.database
            .call("journal.counted_deploys", move |tx| {
                counted(tx, origin.as_ref(), after.as_ref(), limit)
            })
            .await
    }

    async fn targets(&self, begin: &str, limit: usize) -> Result<Vec<String>, JournalError> {
        let begin = begin.to_owned();
        self.database.call("journal.targets", move |tx| targets(tx, &begin, limit)).await
    }

    async fn deploys_named(
        &self,
        begin: &str,
        limit: usize,
    ) -> Result<Vec<DeployId>, JournalError> {
        let begin = begin.to_owned();
        self.database
            .call("journal.deploys_named", move |tx| {
                let row = params![begin, beyond(&begin), bounded(limit)];
                all(tx, NAMED, row, |row| Ok(DeployId::from_text(row.get(0)?)))
            })
            .await
    }

    async fn ended(&self, since: Timestamp, limit: usize) -> Result<Ended, JournalError> {
        self.database.call("journal.ended", move |tx| ended(tx, since, limit)).await
    }

    async fn spent_today(
        &self,
        account: &AccountName,
        now: Timestamp,
    ) -> Result<PerKind<Hours>, JournalError> {
        let account = account.clone();
        self.database
            .call("journal.spent_today", move |tx| {
                let row = params![account.as_str(), Day::of(now).number()];
                let spent = all(tx, TODAY, row, |row| {
                    let kind = word(&row.get::<_, String>(1)?, QuotaKind::parse)?;
                    Ok((usize::from(row.get::<_, u8>(0)?), kind, count(row, 2)?))
                })?;
                let mut hours = PerKind::from_fn(|_| Hours::default());
                for (hour, kind, amount) in spent {
                    if let Some(spent) = hours[kind].get_mut(hour) {
                        *spent += amount;
                    }
                }
                Ok(hours)
            })
            .await
    }

    async fn retry(
        &self,
        intents: &[IntentId],
        picked: Picked,
        now: Timestamp,
    ) -> Result<Vec<(IntentId, Again)>, JournalError> {
        let intents = intents.to_vec();
        self.database
            .call("journal.retry", move |tx| {
                intents.into_iter().map(|id| Ok((id, retry(tx, id, picked, now)?))).collect()
            })
            .await
    }

    async fn cancel(
        &self,
        intents: &[IntentId],
        of: Option<&DeployId>,
        who: &str,
        now: Timestamp,
    ) -> Result<CalledOff, JournalError> {
        let (intents, of) = (intents.to_vec(), of.cloned());
        let outcome = Outcome::Cancelled(format!("by {who}"));
        self.database
            .call("journal.cancel", move |tx| {
                let mut came = CalledOff::default();
                for id in intents {
                    let Some(flying) = by_id(tx, id)?.filter(|flying| flying.pending) else {
                        continue;
                    };
                    if let Some(of) = &of
                        && is_of_others(tx, id, of)?
                    {
                        came.spared.push(id);
                    } else {
                        finish(tx, &flying, &outcome, now)?;
                        came.cancelled.push(id);
                    }
                }
                Ok(came)
            })
            .await
    }
}

/// Returns whether others than this deploy want an intent, too.
fn is_of_others(
    tx: &Transaction<'_>,
    id: IntentId,
    deploy: &DeployId,
) -> Result<bool, JournalError> {
    if first(tx, OF_OTHERS, params![id.0, deploy.as_str()], |_| Ok(()))?.is_some() {
        return Ok(true);
    }
    let causes: Vec<Cause> = all(tx, CAUSES, [id.0], |row| json(&row.get::<_, String>(0)?))?;
    Ok(is_wanted_besides(&causes, deploy))
}

/// Returns a text that is behind all that begin so.
fn beyond(begin: &str) -> String {
    format!("{begin}{}", char::MAX)
}

fn one(tx: &Transaction<'_>, id: IntentId) -> Result<Option<Intent>, JournalError> {
    first(tx, ONE, [id.0], intent)
}

fn list(
    tx: &Transaction<'_>,
    filter: &Filter,
    after: Option<IntentId>,
    limit: usize,
) -> Result<Page, JournalError> {
    let sql = match filter.way() {
        Way::Deploy => OF_DEPLOY,
        Way::Outcome => OF_OUTCOME,
        Way::Open => OF_OPEN,
        Way::All => OF_ALL,
    };
    let mut statement = tx.prepare_cached(sql)?;
    let mut candidates = statement.query(params![
        after.map_or(i64::MAX, |after| after.0),
        filter.state.map(StateWord::as_str),
        filter.wait.map(Wait::as_str),
        filter.outcome,
        filter.action.map(Action::as_str),
        filter.kind.map(Kind::as_str),
        filter.account.as_ref().map(AccountName::as_str),
        filter.origin.as_ref().map(OriginName::as_str),
        filter.part,
        filter.deploy.as_ref().map(DeployId::as_str),
    ])?;
    let (mut page, mut looked_at, mut last) =
        (Page { intents: Vec::new(), next: None }, 0, IntentId(0));
    while let Some(row) = candidates.next()? {
        if page.intents.len() >= limit || looked_at >= MAX_LOOKED_AT {
            page.next = Some(last);
            break;
        }
        looked_at += 1;
        last = IntentId(row.get(0)?);
        if row.get(1)? {
            page.intents.extend(one(tx, last)?);
        }
    }
    Ok(page)
}

fn story(tx: &Transaction<'_>, id: IntentId) -> Result<Option<Story>, JournalError> {
    let Some(intent) = one(tx, id)? else {
        return Ok(None);
    };
    let causes = all(tx, CAUSES, [id.0], |row| json(&row.get::<_, String>(0)?))?;
    let asks = all(tx, ASKS, [id.0], asked)?;
    Ok(Some(Story { intent, causes, asks }))
}

fn asked(row: &Row<'_>) -> Result<Asked, JournalError> {
    let tasks: Option<Vec<TaskId>> =
        row.get::<_, Option<String>>(7)?.map(|text| json(&text)).transpose()?;
    Ok(Asked {
        key: BatchKey::from_text(row.get(0)?),
        target: target(row, 1)?,
        state: word(&row.get::<_, String>(3)?, AskState::parse)?,
        batch: word(&row.get::<_, String>(4)?, state_word)?,
        status: row.get::<_, Option<String>>(5)?.map(|text| json(&text)).transpose()?,
        request_id: row.get(6)?,
        tasks: tasks.unwrap_or_default(),
        sends: row.get(8)?,
        staged_at: time(row, 9)?,
        settled_at: maybe_time(row, 10)?,
        accepted_at: maybe_time(row, 11)?,
        ended_at: maybe_time(row, 12)?,
        why: row.get(13)?,
    })
}

fn counted(
    tx: &Transaction<'_>,
    origin: Option<&OriginName>,
    after: Option<&(Timestamp, DeployId)>,
    limit: usize,
) -> Result<(Vec<CountedDeploy>, bool), JournalError> {
    let (at, id) = after.map_or((i64::MAX, ""), |(at, id)| (at.as_micros(), id.as_str()));
    let most = bounded(limit.saturating_add(1));
    let found: Vec<Deploy> = match origin {
        None => all(tx, DEPLOYS_BEFORE, params![at, id, most], deploys::read)?,
        Some(of) => all(tx, DEPLOYS_BEFORE_OF, params![at, id, most, of.as_str()], deploys::read)?,
    };
    let (all_of_them, mut page, mut number) = (found.len(), Vec::new(), 0);
    for deploy in found.into_iter().take(limit) {
        if number >= MAX_COUNTED {
            break;
        }
        let row = params![deploy.id.as_str(), bounded(MAX_COUNTED)];
        let standing =
            all(tx, STANDING, row, |row| Ok((row.get::<_, String>(0)?, count(row, 1)?)))?;
        let intents: BTreeMap<String, u64> = standing.into_iter().collect();
        let sum = usize::try_from(intents.values().sum::<u64>()).unwrap_or(usize::MAX);
        number += sum;
        let row = params![deploy.id.as_str(), bounded(MAX_COUNTED)];
        let more = sum >= MAX_COUNTED && first(tx, CAUSED_MORE, row, |_| Ok(()))?.is_some();
        page.push(CountedDeploy { deploy, intents, more });
    }
    let is_cut = page.len() < all_of_them;
    Ok((page, is_cut))
}

fn targets(tx: &Transaction<'_>, begin: &str, limit: usize) -> Result<Vec<String>, JournalError> {
    let (mut found, end) = (Vec::<String>::new(), beyond(begin));
    while found.len() < limit {
        let next = match found.last() {
            None => first(tx, FIRST_TARGET, params![begin, end], |row| Ok(row.get(0)?))?,
            Some(last) => first(tx, NEXT_TARGET, params![last, end], |row| Ok(row.get(0)?))?,
        };
        let Some(next) = next else { break };
        found.push(next);
    }
    Ok(found)
}

fn ended(tx: &Transaction<'_>, since: Timestamp, limit: usize) -> Result<Ended, JournalError> {
    let row = params![since.as_micros(), bounded(limit)];
    let rows = all(tx, ENDED, row, |row| Ok((time(row, 0)?, time(row, 1)?, row.get(2)?)))?;
    // What ended at the very instant of the last one may be missing.
    let cut = rows.last().filter(|_| rows.len() >= limit);
    let since =
        cut.map_or(since, |(_, at, _)| Timestamp::from_micros(at.as_micros().saturating_add(1)));
    let wanted = rows.into_iter().filter(|(_, at, is_wanted)| *is_wanted && *at >= since);
    Ok(Ended { refreshes: wanted.map(|(created, at, _)| (created, at)).collect(), since })
}

fn retry(
    tx: &Transaction<'_>,
    id: IntentId,
    picked: Picked,
    now: Timestamp,
) -> Result<Again, JournalError> {
    let Some(mut intent) = one(tx, id)? else {
        return Ok(Again::Unknown);
    };
    while let Some(by) = intent.superseded_by() {
        let Some(next) = one(tx, by)? else { break };
        intent = next;
    }
    if let Some(needless) = Again::needless(id, &intent) {
        return Ok(needless);
    }
    if let State::Pending { .. } = intent.state {
        run(tx, FREE, params![intent.id.0, now.as_micros()])?;
        return Ok(Again::Due);
    }
    if picked == Picked::Alike {
        let (account, action) = (intent.account.as_str(), intent.action.as_str());
        let target = (&intent.target.text, intent.target.kind.as_str());
        let row = params![target.0, intent.id.0, account, action, target.1];
        if first(tx, NEWER, row, |_| Ok(()))?.is_some() {
            return Ok(Again::newer());
        }
    }
    let wish = again(&intent, picked, now);
    if wish.is_wide_refresh() {
        run(tx, RELEASE_ALL, params![wish.account.as_str(), now.as_micros()])?;
    }
    let is_new = enter(tx, &wish, now)?;
    let key = (
        wish.account.as_str(),
        wish.action.as_str(),
        wish.target.kind.as_str(),
        wish.target.text.as_str(),
    );
    let twin = free_twin(tx, key)?.map(|(twin, _)| IntentId(twin));
    let twin = twin.ok_or_else(|| JournalError::Inconsistent(format!("the twin of {id:?}")))?;
    Ok(if is_new { Again::Made(twin) } else { Again::Joined(twin) })
}
