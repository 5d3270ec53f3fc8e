//! The verbs of the reference that look through all that there is and was.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::ReferenceJournal;
use super::memory::{Memory, Row};
use crate::domain::deploy::{Deploy, DeployId};
use crate::domain::intent::{Action, Cause, IntentId, Outcome, State};
use crate::domain::names::{AccountName, OriginName};
use crate::domain::quota::forecast::Hours;
use crate::domain::quota::{PerKind, QuotaKind};
use crate::domain::time::{Day, Timestamp};
use crate::journal::browse::{
    Again, Asked, Browse, CalledOff, CountedDeploy, Ended, Filter, MAX_COUNTED, MAX_LOOKED_AT,
    Page, Picked, StateWord, Story, Way, again, is_wanted_besides,
};
use crate::journal::{JournalError, MAX_CAUSES};

type Answer<T> = Result<T, JournalError>;

#[async_trait]
impl Browse for ReferenceJournal {
    async fn list(&self, filter: &Filter, after: Option<IntentId>, limit: usize) -> Answer<Page> {
        self.verb(|memory| Ok(memory.list(filter, after, limit)))
    }

    async fn story(&self, intent: IntentId) -> Answer<Option<Story>> {
        self.verb(|memory| Ok(memory.story(intent)))
    }

    async fn counted_deploys(
        &self,
        origin: Option<&OriginName>,
        after: Option<&(Timestamp, DeployId)>,
        limit: usize,
    ) -> Answer<(Vec<CountedDeploy>, bool)> {
        self.verb(|memory| Ok(memory.counted(origin, after, limit)))
    }

    async fn targets(&self, begin: &str, limit: usize) -> Answer<Vec<String>> {
        self.verb(|memory| {
            let texts = memory.intents.iter().map(|row| &row.intent.target.text);
            let found: BTreeSet<&String> = texts.filter(|text| text.starts_with(begin)).collect();
            Ok(found.into_iter().take(limit).cloned().collect())
        })
    }

    async fn deploys_named(&self, begin: &str, limit: usize) -> Answer<Vec<DeployId>> {
        self.verb(|memory| {
            let newest = memory.deploys.keys().rev();
            let found = newest.filter(|deploy| deploy.as_str().starts_with(begin));
            Ok(found.take(limit).cloned().collect())
        })
    }

    async fn ended(&self, since: Timestamp, limit: usize) -> Answer<Ended> {
        self.verb(|memory| Ok(memory.ended(since, limit)))
    }

    async fn spent_today(&self, account: &AccountName, now: Timestamp) -> Answer<PerKind<Hours>> {
        self.verb(|memory| {
            let mut hours = PerKind::from_fn(|_| Hours::default());
            for kept in memory.batches.values().filter(|kept| kept.batch.account == *account) {
                let today = kept.debits.iter().filter(|debit| debit.day == Day::of(now));
                for debit in today {
                    hours[kept.batch.quota_kind()][debit.hour] += 1;
                }
            }
            Ok(hours)
        })
    }

    async fn retry(
        &self,
        intents: &[IntentId],
        picked: Picked,
        now: Timestamp,
    ) -> Answer<Vec<(IntentId, Again)>> {
        self.verb(|memory| {
            intents.iter().map(|id| Ok((*id, memory.retry(*id, picked, now)?))).collect()
        })
    }

    async fn cancel(
        &self,
        intents: &[IntentId],
        of: Option<&DeployId>,
        who: &str,
        now: Timestamp,
    ) -> Answer<CalledOff> {
        self.verb(|memory| {
            let mut came = CalledOff::default();
            for id in intents {
                let Some(row) = memory.find(*id).filter(|row| row.is_pending()) else {
                    continue;
                };
                if of.is_some_and(|of| memory.is_of_others(row, of)) {
                    came.spared.push(*id);
                } else {
                    memory.finish(*id, Outcome::Cancelled(format!("by {who}")), now)?;
                    came.cancelled.push(*id);
                }
            }
            Ok(came)
        })
    }
}

impl Memory {
    fn find(&self, id: IntentId) -> Option<&Row> {
        self.intents.iter().find(|row| row.intent.id == id)
    }

    fn is_of_others(&self, row: &Row, deploy: &DeployId) -> bool {
        let id = row.intent.id;
        self.caused.iter().any(|(other, intent)| *intent == id && other != deploy)
            || is_wanted_besides(&newest(&row.causes), deploy)
    }

    fn caused(&self, deploy: &DeployId, id: IntentId) -> bool {
        self.caused.contains(&(deploy.clone(), id))
    }

    fn list(&self, filter: &Filter, after: Option<IntentId>, limit: usize) -> Page {
        let deploy = filter.deploy.as_ref();
        let is_candidate = |row: &&Row| {
            let id = row.intent.id;
            let is_on_the_way = match filter.way() {
                Way::Deploy => deploy.is_some_and(|deploy| self.caused(deploy, id)),
                Way::Outcome => filter.outcome.is_some_and(|outcome| ended_so(row, outcome)),
                Way::Open => row.is_open(),
                Way::All => true,
            };
            is_on_the_way && after.is_none_or(|after| id < after)
        };
        let mut page = Page { intents: Vec::new(), next: None };
        let (mut looked_at, mut last) = (0, IntentId(0));
        for row in self.intents.iter().rev().filter(is_candidate) {
            if page.intents.len() >= limit || looked_at >= MAX_LOOKED_AT {
                page.next = Some(last);
                break;
            }
            looked_at += 1;
            last = row.intent.id;
            if is_wanted(row, filter) {
                page.intents.push(row.intent.clone());
            }
        }
        page
    }

    fn story(&self, id: IntentId) -> Option<Story> {
        let row = self.find(id)?;
        let mut asks = Vec::new();
        for kept in self.batches.values() {
            for (ask, (state, status)) in kept.batch.asks.iter().zip(&kept.asks) {
                if !ask.intents.contains(&id) {
                    continue;
                }
                let job = kept.job.as_ref();
                asks.push(Asked {
                    key: kept.batch.key.clone(),
                    target: ask.target.clone(),
                    state: *state,
                    batch: kept.state,
                    status: status.clone(),
                    request_id: kept.request_id.clone(),
                    tasks: job.map(|job| job.tasks.clone()).unwrap_or_default(),
                    sends: kept.sends,
                    staged_at: kept.staged_at,
                    settled_at: kept.settled_at,
                    accepted_at: job.map(|job| job.accepted_at),
                    ended_at: job.and_then(|job| job.ended_at),
                    why: kept.why.clone(),
                });
            }
        }
        Some(Story { intent: row.intent.clone(), causes: newest(&row.causes), asks })
    }

    fn counted(
        &self,
        origin: Option<&OriginName>,
        after: Option<&(Timestamp, DeployId)>,
        limit: usize,
    ) -> (Vec<CountedDeploy>, bool) {
        let is_before = |deploy: &Deploy| {
            after.is_none_or(|(at, id)| (deploy.opened_at, &deploy.id) < (*at, id))
        };
        let of = |deploy: &&Deploy| origin.is_none_or(|origin| deploy.origin == *origin);
        let deploys = self.deploys.values().filter(of).filter(|deploy| is_before(deploy));
        let mut deploys: Vec<&Deploy> = deploys.collect();
        deploys.sort_by_key(|deploy| std::cmp::Reverse((deploy.opened_at, &deploy.id)));
        let (mut page, mut number) = (Vec::new(), 0);
        for deploy in deploys.iter().take(limit) {
            if number >= MAX_COUNTED {
                break;
            }
            let rows = self.intents.iter();
            let rows = rows.filter(|row| self.caused(&deploy.id, row.intent.id));
            let all = rows.clone().count();
            let mut intents: BTreeMap<String, u64> = BTreeMap::new();
            for row in rows.take(MAX_COUNTED) {
                let stands = match &row.intent.state {
                    State::Ended { outcome, .. } => outcome.as_str(),
                    state => StateWord::of(state).as_str(),
                };
                *intents.entry(stands.to_owned()).or_default() += 1;
            }
            number += all.min(MAX_COUNTED);
            let more = all > MAX_COUNTED;
            page.push(CountedDeploy { deploy: (*deploy).clone(), intents, more });
        }
        let is_cut = page.len() < deploys.len();
        (page, is_cut)
    }

    fn ended(&self, since: Timestamp, limit: usize) -> Ended {
        let mut rows: Vec<(Timestamp, &Row)> = Vec::new();
        for row in &self.intents {
            if let State::Ended { at, .. } = row.intent.state
                && at >= since
            {
                rows.push((at, row));
            }
        }
        rows.sort_by_key(|(at, row)| std::cmp::Reverse((*at, row.intent.id)));
        rows.truncate(limit);
        let cut = rows.last().filter(|_| rows.len() >= limit);
        let since =
            cut.map_or(since, |(at, _)| Timestamp::from_micros(at.as_micros().saturating_add(1)));
        let is_wanted = |(at, row): &(Timestamp, &Row)| {
            let is_refresh = row.intent.action == Action::Refresh;
            *at >= since && is_refresh && ended_so(row, "done")
        };
        let wanted = rows.into_iter().filter(is_wanted);
        Ended { refreshes: wanted.map(|(at, row)| (row.intent.created_at, at)).collect(), since }
    }

    fn retry(&mut self, id: IntentId, picked: Picked, now: Timestamp) -> Answer<Again> {
        let Some(mut intent) = self.find(id).map(|row| row.intent.clone()) else {
            return Ok(Again::Unknown);
        };
        while let Some(row) = intent.superseded_by().and_then(|by| self.find(by)) {
            intent = row.intent.clone();
        }
        if let Some(needless) = Again::needless(id, &intent) {
            return Ok(needless);
        }
        if let State::Pending { .. } = intent.state {
            let row = self.row(intent.id)?;
            row.not_before = now;
            row.set_pending(None);
            return Ok(Again::Due);
        }
        let is_newer = |row: &Row| {
            row.intent.id > intent.id && row.is(&intent.account, intent.action, &intent.target)
        };
        if picked == Picked::Alike && self.intents.iter().any(is_newer) {
            return Ok(Again::newer());
        }
        let wish = again(&intent, picked, now);
        if wish.is_wide_refresh() {
            self.release(&wish.account, &QuotaKind::ALL, now);
        }
        let is_new = self.enter(&wish, now);
        let twin = self
            .intents
            .iter()
            .find(|row| row.is_free() && row.is(&intent.account, intent.action, &intent.target));
        let twin = twin.map(|row| row.intent.id);
        let twin = twin.ok_or_else(|| JournalError::Inconsistent(format!("the twin of {id:?}")))?;
        Ok(if is_new { Again::Made(twin) } else { Again::Joined(twin) })
    }
}

fn newest(causes: &[Cause]) -> Vec<Cause> {
    causes.iter().rev().take(MAX_CAUSES as usize).cloned().collect()
}

fn ended_so(row: &Row, word: &str) -> bool {
    matches!(&row.intent.state, State::Ended { outcome, .. } if outcome.as_str() == word)
}

fn is_wanted(row: &Row, filter: &Filter) -> bool {
    let intent = &row.intent;
    filter.state.is_none_or(|state| StateWord::of(&intent.state) == state)
        && filter.wait.is_none_or(|wait| row.wait() == Some(wait))
        && filter.outcome.is_none_or(|outcome| ended_so(row, outcome))
        && filter.action.is_none_or(|action| intent.action == action)
        && filter.kind.is_none_or(|kind| intent.target.kind == kind)
        && filter.account.as_ref().is_none_or(|account| intent.account == *account)
        && filter.origin.as_ref().is_none_or(|origin| row.origin.as_ref() == Some(origin))
        && filter.part.as_ref().is_none_or(|part| intent.target.text.contains(part))
}
