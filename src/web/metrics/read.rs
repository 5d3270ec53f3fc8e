//! What is read when it is asked for: of facts, journal and store. Nothing of it reads history.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use crate::domain::alarm::{Alarm, AlarmKind, Severity};
use crate::domain::facts::{Facts, OriginState, Way};
use crate::domain::quota::QuotaKind;
use crate::domain::time::{Day, Timestamp};
use crate::journal::{Counts, JournalError};
use crate::store::DATABASE;
use crate::telemetry::heart::Part;
use crate::telemetry::meters::Meter;
use crate::web::health::ANSWERED_IN;
use crate::web::{Desk, alarms, treasury};

use super::{Reading, process, seconds};

/// Reads everything.
pub(super) async fn all(desk: &Desk) -> Result<Reading, JournalError> {
    let mut reading = Reading::default();
    let facts = desk.facts.borrow().clone();
    reading.flag(Meter::Build, &[env!("CARGO_PKG_VERSION")], true);
    of_facts(&facts, &mut reading);
    let boot = desk.clock.boot();
    for part in Part::ALL {
        if let Some(since) = desk.heart.since(part, boot) {
            reading.span(Meter::Beat, &[part.as_str()], since);
        }
    }
    let offset = desk.clock.server_now().as_micros().saturating_sub(desk.clock.now().as_micros());
    reading.put(Meter::ClockOffset, &[], seconds(offset));
    // A writer that hangs is told of by its heartbeat, with all that can be told without it.
    if let Ok(of_database) = timeout(ANSWERED_IN, of_database(desk, &facts)).await {
        reading.0.extend(of_database?.0);
    }
    reading.number(Meter::DatabaseSize, &[], size(&desk.state_dir));
    process::read(&mut reading);
    Ok(reading)
}

async fn of_database(desk: &Desk, facts: &Facts) -> Result<Reading, JournalError> {
    let mut reading = Reading::default();
    of_journal(desk, facts, &mut reading).await?;
    reading.number(Meter::Outbox, &[], desk.store.outbox_len().await.unwrap_or_default());
    let (open, failed) = desk.store.delivery_counts().await.unwrap_or_default();
    reading.number(Meter::DeliveriesOpen, &[], open);
    reading.number(Meter::DeliveriesFailed, &[], failed);
    Ok(reading)
}

fn of_facts(facts: &Facts, reading: &mut Reading) {
    reading.flag(Meter::Ready, &[], facts.ready);
    reading.number(Meter::Failing, &[], facts.failing.len() as u64);
    for (name, origin) in &facts.origins {
        let of = [name.as_str()];
        for state in OriginState::ALL {
            let of = [name.as_str(), state.as_str()];
            reading.flag(Meter::State, &of, origin.state == state);
        }
        reading.number(Meter::Files, &of, origin.files);
        reading.number(Meter::Undigested, &of, origin.undigested);
        reading.number(Meter::Watches, &of, origin.watches);
        reading.number(Meter::Polled, &of, origin.polled.len() as u64);
        reading.number(Meter::Dirty, &of, origin.dirty);
        reading.number(Meter::Unmapped, &of, origin.unmapped.len() as u64);
        reading.number(Meter::Overflows, &of, origin.overflows);
        reading.number(Meter::Reconciles, &of, origin.reconciles);
        let gate = facts.gates.get(name);
        reading.number(Meter::GateDeploys, &of, gate.map_or(0, |gate| gate.deploys));
        reading.number(Meter::GateWishes, &of, gate.map_or(0, |gate| gate.wishes));
    }
    for (name, account) in &facts.accounts {
        let of = [name.as_str()];
        for way in Way::ALL {
            reading.flag(Meter::Way, &[name.as_str(), way.as_str()], account.way == way);
        }
        if let Some(at) = account.answered_at {
            reading.time(Meter::Answered, &of, at);
        }
        if let Some(at) = account.key.expires_at {
            reading.time(Meter::KeyExpiry, &of, at);
        }
        reading.number(Meter::Unserved, &of, account.domains.unserved.len() as u64);
    }
    for (name, notice) in &facts.notices {
        reading.number(Meter::NoticesWaiting, &[name], notice.waiting);
    }
    let reload = facts.reload.as_ref();
    reading.flag(Meter::ReloadOk, &[], reload.is_none_or(|reload| reload.refused.is_empty()));
    let at = reload.map(|reload| reload.at).unwrap_or_default();
    reading.time(Meter::ReloadAt, &[], at);
}

async fn of_journal(desk: &Desk, facts: &Facts, reading: &mut Reading) -> Result<(), JournalError> {
    let now = desk.clock.server_now();
    let mut quotas = Vec::new();
    for (name, account) in &desk.accounts {
        let allowances = desk.journal.quota(name, &account.quota, now).await?;
        let of_day = treasury::of(desk, name, account, &allowances).await?;
        for kind in QuotaKind::ALL {
            let of = [name.as_str(), kind.as_str()];
            reading.number(Meter::QuotaLimit, &of, allowances[kind].limit);
            reading.number(Meter::QuotaUsed, &of, allowances[kind].used);
            reading.number(Meter::QuotaLeft, &of, allowances[kind].left());
            let foreign = of_day.kinds.get(kind.as_str()).map_or(0, |of_day| of_day.foreign);
            reading.number(Meter::QuotaForeign, &of, foreign);
        }
        quotas.extend(alarms::quotas(name, &allowances, &of_day));
    }
    reading.time(Meter::QuotaReset, &[], Day::of(now).next().start());
    let (held, paused) = (desk.journal.held().await?, desk.journal.pauses().await?);
    reading.number(Meter::HeldSets, &[], held.len() as u64);
    reading.number(Meter::HeldIntents, &[], held.iter().map(|set| set.intents).sum());
    reading.number(Meter::Paused, &[], paused.len() as u64);
    of_counts(&desk.journal.counts().await?, reading);
    let oldest = desk.journal.oldest_open().await?;
    let age = |at: Option<Timestamp>| at.map_or(Duration::ZERO, |at| now.since(at));
    reading.span(Meter::OldestOpen, &[], age(oldest));
    let (_, failed) = desk.store.delivery_counts().await.unwrap_or_default();
    let wrong = alarms::of(desk, facts, quotas, &held, &paused, failed).await?;
    reading.span(Meter::OldestUnexplained, &[], age(wrong.oldest_unexplained));
    reading.number(Meter::FailedToday, &[], wrong.failed_today);
    of_alarms(&wrong.alarms, reading);
    Ok(())
}

fn of_counts(counts: &Counts, reading: &mut Reading) {
    let states = [
        ("pending", counts.pending),
        ("submitting", counts.submitting),
        ("submitted", counts.submitted),
    ];
    for (state, number) in states {
        reading.number(Meter::Intents, &[state], number);
    }
    for wait in crate::domain::intent::Wait::ALL {
        let number = counts.waiting.get(wait.as_str()).copied().unwrap_or(0);
        reading.number(Meter::Waiting, &[wait.as_str()], number);
    }
    let outcomes = [
        ("done", counts.done),
        ("failed", counts.failed),
        ("superseded", counts.superseded),
        ("rejected", counts.rejected),
        ("cancelled", counts.cancelled),
    ];
    for (outcome, number) in outcomes {
        reading.number(Meter::Ended, &[outcome], number);
    }
    reading.number(Meter::Doubts, &[], counts.unknown);
    reading.number(Meter::Resent, &[], counts.resent);
    reading.number(Meter::Overlapped, &[], counts.overlapped);
}

fn of_alarms(alarms: &[Alarm], reading: &mut Reading) {
    let zero = |kind: &AlarmKind| ((*kind, kind.severity()), 0);
    let mut numbers: BTreeMap<(AlarmKind, Severity), u64> =
        AlarmKind::ALL.iter().map(zero).collect();
    for alarm in alarms {
        *numbers.entry((alarm.kind, alarm.severity)).or_default() += 1;
    }
    for ((kind, severity), number) in numbers {
        reading.number(Meter::Alarms, &[kind.as_str(), severity.as_str()], number);
    }
}

/// Bytes of the database and what is not in it yet.
fn size(state_dir: &Path) -> u64 {
    let parts = [DATABASE.to_owned(), format!("{DATABASE}-wal")];
    let sizes = parts.iter().filter_map(|part| std::fs::metadata(state_dir.join(part)).ok());
    sizes.map(|part| part.len()).sum()
}
