//! Rows as domain values.

use rusqlite::{Row, Transaction};
use serde::de::DeserializeOwned;

use crate::domain::ask::{Kind, Target};
use crate::domain::deploy::DeployId;
use crate::domain::intent::{Action, Intent, IntentId, Outcome, Priority, State, Wait, Waiting};
use crate::domain::names::AccountName;
use crate::domain::time::Timestamp;
use crate::journal::JournalError;

/// Columns and tables of a query that [`intent`] reads.
macro_rules! intents {
    ($name:literal, $rest:literal) => {
        concat!(
            "-- ",
            $name,
            "\nSELECT i.id, i.account, i.action, i.kind, i.target, i.force, i.created_at, i.causes,
            i.state, i.not_before, i.attempt, i.wait, i.wait_why, i.wait_until, i.ended_at,
            i.outcome, i.outcome_why, i.superseded_by, c.payload, i.priority, i.deploy, i.approved
            FROM intent AS i JOIN cause AS c ON c.intent = i.id AND c.ordinal = i.causes ",
            $rest
        )
    };
}
pub(super) use intents;

pub(super) fn word<T>(text: &str, parse: fn(&str) -> Option<T>) -> Result<T, JournalError> {
    parse(text).ok_or_else(|| JournalError::Inconsistent(format!("the word `{text}`")))
}

pub(super) fn json<T: DeserializeOwned>(text: &str) -> Result<T, JournalError> {
    serde_json::from_str(text).map_err(|error| JournalError::Inconsistent(error.to_string()))
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, JournalError> {
    serde_json::to_string(value).map_err(|error| JournalError::Inconsistent(error.to_string()))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_micros)
}

pub(super) fn maybe_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
}

pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

pub(super) fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Reads kind and text of a target from two columns that follow each other.
pub(super) fn target(row: &Row<'_>, column: usize) -> Result<Target, JournalError> {
    let kind: String = row.get(column)?;
    let text: String = row.get(column + 1)?;
    Ok(Target::new(word(&kind, Kind::parse)?, text))
}

pub(super) fn account(row: &Row<'_>, column: usize) -> rusqlite::Result<AccountName> {
    Ok(AccountName::from(row.get::<_, String>(column)?.as_str()))
}

pub(super) fn action(row: &Row<'_>, column: usize) -> Result<Action, JournalError> {
    word(&row.get::<_, String>(column)?, Action::parse)
}

/// Runs a query and reads every row.
pub(super) fn all<T>(
    tx: &Transaction<'_>,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, JournalError>,
) -> Result<Vec<T>, JournalError> {
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Runs a query and reads its first row, if there is one.
pub(super) fn first<T>(
    tx: &Transaction<'_>,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, JournalError>,
) -> Result<Option<T>, JournalError> {
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    rows.next()?.map(read).transpose()
}

/// Runs a statement that returns nothing; says how many rows it changed.
pub(super) fn run(
    tx: &Transaction<'_>,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<usize, JournalError> {
    Ok(tx.prepare_cached(sql)?.execute(parameters)?)
}

/// Reads a row of [`intents!`].
pub(super) fn intent(row: &Row<'_>) -> Result<Intent, JournalError> {
    Ok(Intent {
        id: IntentId(row.get(0)?),
        account: account(row, 1)?,
        action: action(row, 2)?,
        target: target(row, 3)?,
        force: row.get(5)?,
        priority: Priority::of_rank(row.get(19)?)
            .ok_or_else(|| JournalError::Inconsistent("an intent's priority".to_owned()))?,
        created_at: time(row, 6)?,
        deploy: row.get::<_, Option<String>>(20)?.map(DeployId::from_text),
        approved: row.get(21)?,
        causes: row.get(7)?,
        state: state(row)?,
        cause: json(&row.get::<_, String>(18)?)?,
    })
}

fn state(row: &Row<'_>) -> Result<State, JournalError> {
    let state: String = row.get(8)?;
    Ok(match state.as_str() {
        "pending" => State::Pending {
            not_before: time(row, 9)?,
            attempt: row.get(10)?,
            waiting: match row.get::<_, Option<String>>(11)? {
                None => None,
                Some(wait) => Some(Waiting {
                    wait: word(&wait, Wait::parse)?,
                    why: row.get(12)?,
                    until: maybe_time(row, 13)?,
                }),
            },
        },
        "submitting" => State::Submitting,
        "submitted" => State::Submitted,
        "ended" => State::Ended { at: time(row, 14)?, outcome: outcome(row)? },
        other => {
            return Err(JournalError::Inconsistent(format!("the intent state `{other}`")));
        }
    })
}

fn outcome(row: &Row<'_>) -> Result<Outcome, JournalError> {
    let outcome: String = row.get(15)?;
    let why = || Ok::<_, JournalError>(row.get::<_, Option<String>>(16)?.unwrap_or_default());
    Ok(match outcome.as_str() {
        "done" => Outcome::Done,
        "failed" => Outcome::Failed(why()?),
        "superseded" => Outcome::Superseded(IntentId(row.get(17)?)),
        "rejected" => Outcome::Rejected(why()?),
        "cancelled" => Outcome::Cancelled(why()?),
        other => return Err(JournalError::Inconsistent(format!("the outcome `{other}`"))),
    })
}
