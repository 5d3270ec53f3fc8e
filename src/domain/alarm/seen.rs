//! Which alarms stand: what passes at once is not told of, and what comes and goes is told of once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Alarm, AlarmKind};
use crate::domain::time::{Day, Timestamp};

/// A forecast that once was made is told for so long: the hours' spending has it come and go.
const FORECAST_STANDS: Duration = Duration::from_secs(3600);

/// For how long something has to be wrong before it is told of.
const fn told_after(kind: AlarmKind) -> Duration {
    match kind {
        // Another process may hold the database for the 5 s that it is waited for, and a turn is taken again.
        // The time of a turn goes on through a suspend, and so may the turn after it.
        AlarmKind::DatabaseFailing | AlarmKind::LoopStuck => Duration::from_secs(60),
        AlarmKind::CdnSlow => Duration::from_secs(5 * 60),
        AlarmKind::KeyUnread => Duration::from_secs(10 * 60),
        _ => Duration::ZERO,
    }
}

/// Since when each alarm stands that does not know it by itself: from when it was first evaluated.
#[derive(Clone, Debug, Default)]
pub struct Seen(BTreeMap<String, (Timestamp, Alarm)>);

impl Seen {
    /// Fills in since when alarms stand, forgets those that stand no more, and leaves those to be told of.
    pub fn note(&mut self, alarms: &mut Vec<Alarm>, now: Timestamp) {
        self.0.retain(|key, (first, alarm)| {
            if alarms.iter().any(|alarm| alarm.key == *key) {
                return true;
            }
            let spent = key.replace(alarm.kind.as_str(), AlarmKind::QuotaExhausted.as_str());
            let stays = alarm.kind == AlarmKind::QuotaForecast
                && now.since(*first) < FORECAST_STANDS
                && Day::of(now) == Day::of(*first)
                && alarms.iter().all(|alarm| alarm.key != spent);
            if stays {
                alarms.push(alarm.clone());
            }
            stays
        });
        for alarm in alarms.iter_mut() {
            let (first, kept) =
                self.0.entry(alarm.key.clone()).or_insert_with(|| (now, alarm.clone()));
            alarm.since.get_or_insert(*first);
            kept.clone_from(alarm);
        }
        let stands =
            |alarm: &Alarm| alarm.since.is_none_or(|at| now.since(at) >= told_after(alarm.kind));
        alarms.retain(stands);
        alarms.sort_by(Alarm::worst_first);
    }
}
