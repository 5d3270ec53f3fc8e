//! The scripted cases, each for any journal.

use refreshd::domain::alarm::Troubles;
use refreshd::domain::deploy::{Deploy, DeployId};
use refreshd::domain::intent::{Action, Outcome, Outgoing, Priority, State, Wait, Waiting, Wish};
use refreshd::domain::quota::{PerKind, QuotaKind, Reported};
use refreshd::domain::task::{Batch, Fence, TaskId, TaskStatus};
use refreshd::domain::time::{Day, Timestamp};
use refreshd::domain::verdict::Verdict;
use refreshd::journal::{JournalError, MAX_ATTEMPTS, Observation, Staged};

pub(crate) use super::browse::*;
pub(crate) use super::held::*;
pub(crate) use super::ordered::*;
pub(crate) use super::pause::*;
pub(crate) use super::treasury::*;
use super::world::{HOUR, SECOND, World, cause, directory, later, url, wish};

pub(crate) const A: &str = "https://a.example/d/a";
pub(crate) const B: &str = "https://a.example/d/b";
const DIR: &str = "https://a.example/d/";

pub(crate) fn hold() -> Waiting {
    Waiting { wait: Wait::Hold, why: "a person decides".to_owned(), until: None }
}

pub(crate) async fn a_repeated_sequence_changes_nothing(world: &mut World) {
    let items = vec![world.item(wish(A)), world.item(wish(B))];
    let first = world.accept(items.clone()).await;
    assert_eq!((first.through, first.created), (2, 2));
    let again = world.accept(items).await;
    assert_eq!((again.through, again.created, again.absorbed), (2, 0, 0));
    assert_eq!(world.history(A).await[0].causes, 1);
}

pub(crate) async fn a_wish_joins_the_pending_intent_and_ors_its_force(world: &mut World) {
    world.wish(A).await;
    let forced = Wish { force: true, ..wish(A) };
    let joined = world.send(Outgoing::Wish(forced)).await;
    assert_eq!((joined.created, joined.absorbed), (0, 1));
    let history = world.history(A).await;
    assert_eq!(history.len(), 1);
    assert!(history[0].force);
    assert_eq!(history[0].causes, 2);
}

pub(crate) async fn a_wish_never_joins_an_intent_in_flight(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.wish(A).await;
    world.accepted(&batch).await;
    world.wish(A).await;
    let history = world.history(A).await;
    assert_eq!(history.len(), 2);
    assert_eq!(history[0].state, State::Submitted);
    assert_eq!(history[1].causes, 2);
}

pub(crate) async fn a_held_intent_is_left_and_superseded_by_a_free_one(world: &mut World) {
    world.wish(A).await;
    let held = world.due().await.intents[0].id;
    let parked = [(held, hold())];
    world.journal.park(&parked, world.now).await.expect("parks");
    assert!(world.due().await.intents.is_empty());
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    assert_ne!(batch.asks[0].intents, [held]);
    world.stage_ready(&batch).await;
    assert_eq!(world.journal.waiting(Wait::Hold).await.expect("counts"), 1);
    world.accepted(&batch).await;
    let outcome = Outcome::Superseded(batch.asks[0].intents[0]);
    let at = world.now;
    assert_eq!(world.history(A).await[0].state, State::Ended { at, outcome });
}

pub(crate) async fn a_held_intent_that_needs_force_outlives_a_soft_refresh(world: &mut World) {
    let forced = Wish { force: true, ..wish(A) };
    world.send(Outgoing::Wish(forced)).await;
    let parked = [(world.due().await.intents[0].id, hold())];
    world.journal.park(&parked, world.now).await.expect("parks");
    world.wish(A).await;
    let batch = world.covering(DIR).await;
    world.stage_ready(&batch).await;
    world.accepted(&batch).await;
    assert_eq!(world.journal.waiting(Wait::Hold).await.expect("counts"), 1);
}

pub(crate) async fn closing_a_deploy_brings_its_intents_forward(world: &mut World) {
    let mut deploy = Deploy {
        id: DeployId::new(world.now, 1),
        origin: "www".into(),
        opened_at: world.now,
        closed_at: None,
    };
    let mut opened = wish(A);
    opened.not_before = world.now.plus(10 * SECOND);
    opened.cause.deploy = Some(deploy.id.clone());
    world.send(Outgoing::Deploy(deploy.clone())).await;
    world.send(Outgoing::Wish(opened.clone())).await;
    let due = world.due().await;
    assert!(due.intents.is_empty());
    assert_eq!(due.next_at, Some(opened.not_before));
    deploy.closed_at = Some(world.now);
    world.send(Outgoing::Deploy(deploy)).await;
    assert_eq!(world.due().await.intents.len(), 1);
}

pub(crate) async fn what_presses_goes_first(world: &mut World) {
    use Priority::{Backfill, Normal, Urgent};
    let wish_at = |text: &str, priority, seconds| {
        let not_before = Timestamp::from_seconds(seconds);
        Outgoing::Wish(Wish { priority, not_before, ..wish(text) })
    };
    let later = world.now.plus(HOUR);
    let wishes = [(1, Normal, 1), (2, Urgent, 3), (3, Normal, 0), (4, Urgent, 2), (5, Backfill, 0)];
    for (number, priority, seconds) in wishes {
        let text = format!("https://a.example/{number}");
        world.send(wish_at(&text, priority, seconds)).await;
    }
    world.send(wish_at(A, Backfill, later.as_seconds())).await;
    let due = world.due().await;
    assert_eq!(due.next_at, Some(later));
    let texts: Vec<_> = due.intents.iter().map(|intent| intent.target.text.as_str()).collect();
    let order = [4, 2, 3, 1, 5].map(|number| format!("https://a.example/{number}"));
    assert_eq!(texts, order);
    let three = world.journal.due(&world.account, world.now, 3).await.expect("due");
    assert_eq!(three.intents, due.intents[..3]);
}

pub(crate) async fn an_intent_keeps_twenty_causes_and_counts_all(world: &mut World) {
    for second in 0..30 {
        let wish = Wish { cause: cause(Timestamp::from_seconds(second)), ..wish(A) };
        world.send(Outgoing::Wish(wish)).await;
    }
    let target = url(A);
    let history = world.journal.history(&world.account, Action::Refresh, &target, 1);
    let (intent, causes) = history.await.expect("history").remove(0);
    assert_eq!(intent.causes, 30);
    assert_eq!(intent.cause, cause(Timestamp::from_seconds(29)));
    assert_eq!(causes.len(), 20);
    assert_eq!(causes[19], cause(Timestamp::from_seconds(10)));
}

pub(crate) async fn staging_debits_and_an_overspent_day_is_refused(world: &mut World) {
    world.limits = PerKind::from_fn(|_| 3);
    world.wish(A).await;
    world.wish(B).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    assert_eq!(world.used(QuotaKind::Url).await, 2);
    assert_eq!(world.due().await.in_flight.len(), 1);
    world.accepted(&batch).await;
    world.wish(A).await;
    world.wish(B).await;
    let next = world.batch_of_all().await;
    assert_eq!(world.stage(&next).await, Staged::OverBudget);
    assert_eq!(world.used(QuotaKind::Url).await, 2);
    world.pass(5 * HOUR);
    world.stage_ready(&next).await;
}

pub(crate) async fn a_stale_plan_changes_nothing(world: &mut World) {
    world.wish(A).await;
    let first = world.batch_of_all().await;
    world.wish(B).await;
    let both = world.batch_of_all().await;
    world.stage_ready(&first).await;
    assert_eq!(world.stage(&both).await, Staged::Stale);
    assert_eq!(world.stage(&first).await, Staged::Stale);
    assert_eq!(world.used(QuotaKind::Url).await, 1);
    assert_eq!(world.counts().await.pending, 1);
}

pub(crate) async fn a_soft_batch_never_takes_a_forced_intent(world: &mut World) {
    world.wish(A).await;
    let soft = world.covering(DIR).await;
    let forced = Wish { force: true, ..wish(A) };
    world.send(Outgoing::Wish(forced)).await;
    assert_eq!(world.stage(&soft).await, Staged::Stale);
    let hard = Batch { force: true, ..soft };
    world.stage_ready(&hard).await;
}

pub(crate) async fn an_old_fence_changes_nothing(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    let old = world.fence;
    let new = world.journal.lead(&world.account, world.now).await;
    world.fence = new.expect("leads");
    assert_eq!(world.fence, Fence(old.0 + 1));
    let before = world.journal.snapshot().await.expect("a snapshot");
    let (key, now) = (&batch.key, world.now);
    let accepted = world.journal.accepted(key, old, &[], "r", now, now).await;
    assert!(matches!(accepted, Err(JournalError::Fenced { .. })));
    let refused = world.journal.refused(key, old, &Verdict::Never, "no", now, now).await;
    assert!(matches!(refused, Err(JournalError::Fenced { .. })));
    let resent = world.journal.resend(key, old, now).await;
    assert!(matches!(resent, Err(JournalError::Fenced { .. })));
    let looked = world.journal.looked(key, old, &[], now, now, now).await;
    assert!(matches!(looked, Err(JournalError::Fenced { .. })));
    let late = world.journal.accepted(key, world.fence, &[], "r", now, now).await;
    assert!(matches!(late, Err(JournalError::OutOfTurn(_))));
    assert_eq!(world.journal.snapshot().await.expect("a snapshot"), before);
}

pub(crate) async fn a_refused_batch_is_refunded_and_pending_again(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.refused(&batch, Verdict::NextDay).await;
    assert_eq!(world.used(QuotaKind::Url).await, 0);
    assert!(world.due().await.intents.is_empty());
    assert_eq!(world.counts().await.waiting.get("quota"), Some(&1));
    let attention = world.journal.attention(10).await.expect("attention");
    assert_eq!(attention[0].why, "because");
    world.pass(SECOND);
    let due = world.due().await;
    assert_eq!(due.intents[0].attempt(), 0);
    let batch = world.batch(&due.intents);
    world.stage_ready(&batch).await;
    world.refused(&batch, later()).await;
    assert_eq!(world.counts().await.waiting.get("retry"), Some(&1));
}

pub(crate) async fn a_refused_directory_gives_back_what_it_covered(world: &mut World) {
    world.wish(A).await;
    world.wish(B).await;
    let batch = world.covering(DIR).await;
    world.stage_ready(&batch).await;
    assert_eq!(world.used(QuotaKind::Directory).await, 1);
    world.refused(&batch, Verdict::Split).await;
    world.pass(SECOND);
    let due = world.due().await;
    assert_eq!(due.intents.len(), 2);
    assert!(due.intents.iter().all(|intent| intent.attempt() == 1));
}

pub(crate) async fn a_bad_target_fails_and_what_it_covered_does_not(world: &mut World) {
    world.wish(A).await;
    let wide = Wish { target: directory(DIR), ..wish(A) };
    world.send(Outgoing::Wish(wide)).await;
    let batch = world.covering(DIR).await;
    world.stage_ready(&batch).await;
    world.refused(&batch, Verdict::Never).await;
    let counts = world.counts().await;
    assert_eq!((counts.failed, counts.pending), (1, 1));
    let troubles = world.journal.troubles(world.now).await.expect("troubles");
    // What is left waits visibly, so nothing is unexplained.
    assert_eq!(troubles, Troubles { failed_today: 1, failed_left: 1, ..Troubles::default() });
    world.pass(86_400 * SECOND);
    assert_eq!(world.journal.troubles(world.now).await.expect("troubles"), Troubles::default());
}

pub(crate) async fn splitting_ends_at_the_last_attempt(world: &mut World) {
    world.wish(A).await;
    for attempt in 0..MAX_ATTEMPTS {
        let batch = world.batch_of_all().await;
        assert_eq!(world.due().await.intents[0].attempt(), attempt);
        world.stage_ready(&batch).await;
        world.refused(&batch, Verdict::Split).await;
        world.pass(SECOND);
    }
    assert_eq!(world.counts().await.failed, 1);
    let attention = world.journal.attention(10).await.expect("attention");
    assert_eq!(attention.len(), 1);
}

pub(crate) async fn a_returning_intent_is_superseded_by_its_twin(world: &mut World) {
    let forced = Wish { force: true, ..wish(A) };
    world.send(Outgoing::Wish(forced)).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.wish(A).await;
    world.refused(&batch, later()).await;
    let history = world.history(A).await;
    let outcome = Outcome::Superseded(history[1].id);
    let at = world.now;
    assert_eq!(history[0].state, State::Ended { at, outcome });
    assert!(history[1].force);
    assert_eq!(history[1].causes, 2);
    assert_eq!(world.due().await.intents.len(), 1);
}

pub(crate) async fn a_failed_directory_gives_back_what_it_covered(world: &mut World) {
    world.wish(A).await;
    world.wish(B).await;
    let batch = world.covering(DIR).await;
    world.stage_ready(&batch).await;
    world.accepted(&batch).await;
    world.wish(B).await;
    world.hear(&batch, TaskStatus::Failed("no".to_owned())).await;
    world.pass(SECOND);
    let counts = world.counts().await;
    assert_eq!((counts.pending, counts.superseded), (2, 1));
    assert_eq!(world.due().await.intents.len(), 2);
    assert_eq!(world.used(QuotaKind::Directory).await, 1, "it was executed");
}

pub(crate) async fn a_finished_job_ends_its_intents(world: &mut World) {
    world.wish(A).await;
    world.wish(B).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.accepted(&batch).await;
    assert_eq!(world.journal.open_jobs(&world.account).await.expect("a number"), 1);
    let (jobs, next) = world.journal.jobs_due(&world.account, world.now, 10).await.expect("jobs");
    assert!(jobs.is_empty());
    assert_eq!(next, Some(world.now.plus(180 * SECOND)));
    world.pass(180 * SECOND);
    let running = TaskStatus::Running { percent: 40 };
    let half = Observation {
        key: batch.key.clone(),
        news: vec![(url(A), TaskStatus::Complete), (url(B), running.clone())],
        next_poll: world.now.plus(SECOND),
        expire: None,
    };
    world.observe(half).await;
    world.pass(SECOND);
    let (jobs, _) = world.journal.jobs_due(&world.account, world.now, 10).await.expect("jobs");
    assert_eq!(jobs[0].asks.len(), 1);
    assert_eq!(jobs[0].asks[0].status, Some(running));
    assert_eq!((jobs[0].polls, jobs[0].tasks.len()), (1, 1));
    world.hear(&batch, TaskStatus::Complete).await;
    let carried = world.journal.carried(&batch.key).await.expect("times");
    // The cause is older than the intent.
    let wished = Timestamp::EPOCH;
    let first = world.now.minus(SECOND);
    assert_eq!(carried, [(wished, Some(first)), (wished, Some(world.now))]);
    let counts = world.counts().await;
    assert_eq!((counts.done, counts.submitted), (2, 0));
    assert_eq!(world.journal.oldest_open().await.expect("reads"), None);
}

pub(crate) async fn a_job_that_never_appears_is_given_up(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.accepted(&batch).await;
    let give_up = Observation {
        key: batch.key.clone(),
        news: Vec::new(),
        next_poll: world.now,
        expire: Some("no row in a day".to_owned()),
    };
    world.observe(give_up).await;
    let attention = world.journal.attention(10).await.expect("attention");
    assert_eq!(attention[0].why, "no row in a day");
    assert_eq!(attention[0].intent.attempt(), 1);
}

pub(crate) async fn a_new_lead_doubts_what_was_being_sent(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    assert!(world.doubts().await.0.is_empty());
    let lead = world.journal.lead(&world.account, world.now).await;
    world.fence = lead.expect("leads");
    let (doubts, _) = world.doubts().await;
    assert_eq!(doubts[0].batch, batch);
    assert_eq!(world.counts().await.unknown, 1);
    assert_eq!(world.used(QuotaKind::Url).await, 1);
}

pub(crate) async fn a_doubt_is_adopted_in_parts_and_the_rest_sent_again(world: &mut World) {
    world.wish(A).await;
    world.wish(B).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.doubted(&batch).await;
    let troubles = world.journal.troubles(world.now).await.expect("troubles");
    assert_eq!(troubles.oldest_doubt, Some(world.now));
    world.pass(10 * SECOND);
    world.looked(&batch, &[]).await;
    world.pass(60 * SECOND);
    assert_eq!(world.doubts().await.0[0].negatives, 1);
    world.looked(&batch, &[(url(A), TaskId("7".to_owned()))]).await;
    assert_eq!(world.counts().await.submitted, 1);
    let resent = world.journal.resend(&batch.key, world.fence, world.now).await;
    let resent = resent.expect("resends");
    assert_eq!(resent.asks, batch.asks[1..]);
    assert_eq!(world.used(QuotaKind::Url).await, 2, "a resend debits nothing");
    world.accepted(&batch).await;
    world.pass(HOUR);
    let (jobs, _) = world.journal.jobs_due(&world.account, world.now, 10).await.expect("jobs");
    assert_eq!((jobs.len(), jobs[0].tasks.len(), jobs[0].asks.len()), (1, 2, 2));
    let counts = world.counts().await;
    assert_eq!((counts.unknown, counts.resent, counts.submitted), (0, 1, 2));
}

pub(crate) async fn a_doubt_across_midnight_is_charged_to_both_days(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.now = Day::of(world.now).next().start().minus(SECOND);
    world.stage_ready(&batch).await;
    world.pass(2 * SECOND);
    assert_eq!(world.used(QuotaKind::Url).await, 0);
    world.doubted(&batch).await;
    assert_eq!(world.used(QuotaKind::Url).await, 1);
    world.journal.resend(&batch.key, world.fence, world.now).await.expect("resends");
    assert_eq!(world.used(QuotaKind::Url).await, 1);
}

pub(crate) async fn a_refusal_after_a_doubt_keeps_the_first_debit(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.doubted(&batch).await;
    world.pass(24 * HOUR);
    world.journal.resend(&batch.key, world.fence, world.now).await.expect("resends");
    assert_eq!(world.used(QuotaKind::Url).await, 1, "the new day is charged");
    world.refused(&batch, later()).await;
    assert_eq!(world.used(QuotaKind::Url).await, 0);
    let snapshot = world.journal.snapshot().await.expect("a snapshot");
    assert_eq!(snapshot.batches[0].debits.len(), 1);
}

pub(crate) async fn a_prefetch_knows_the_refreshes_before_it(world: &mut World) {
    world.wish(A).await;
    world.wish(B).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    let wide = Wish { target: directory(DIR), ..wish(A) };
    world.send(Outgoing::Wish(wide)).await;
    world.wish_prefetch(A).await;
    let due = world.due().await;
    assert_eq!(due.intents.len(), 2);
    assert_eq!(due.open_refreshes, [url(A), directory(DIR)]);
}

pub(crate) async fn a_refresh_during_a_prefetch_is_repeated_after_it(world: &mut World) {
    world.wish_prefetch(A).await;
    let prefetch = world.batch_of_all().await;
    world.stage_ready(&prefetch).await;
    world.accepted(&prefetch).await;
    world.wish(A).await;
    let refresh = world.covering(DIR).await;
    world.stage_ready(&refresh).await;
    world.accepted(&refresh).await;
    assert_eq!(world.counts().await.pending, 0);
    world.hear(&refresh, TaskStatus::Complete).await;
    world.hear(&prefetch, TaskStatus::Complete).await;
    let due = world.due().await;
    assert_eq!(due.intents.len(), 1);
    assert_eq!(due.intents[0].target, url(A));
    assert_eq!(due.intents[0].action, Action::Refresh);
    assert_eq!(world.counts().await.overlapped, 1);
}

pub(crate) async fn the_quota_answer_replaces_the_ledger_only_when_all_is_quiet(world: &mut World) {
    let answer = |quota, remain| {
        let mut table = PerKind::default();
        table[QuotaKind::Url] = Some(Reported { quota, remain });
        table
    };
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    let quiet = 60 * SECOND;
    let (account, now) = (world.account.clone(), world.now);
    let ask = |table, at| (account.clone(), table, at);
    let (who, table, at) = ask(answer(10, 10), now);
    let reported = world.journal.quota_reported(&who, &table, at, quiet, at).await;
    assert!(!reported.expect("reported").replaced);
    assert_eq!(world.used(QuotaKind::Url).await, 1, "a larger remainder is not believed");
    let table = answer(10, 4);
    let reported = world.journal.quota_reported(&who, &table, at, quiet, at).await;
    let told = reported.expect("reported");
    assert_eq!((told.replaced, told.foreign[QuotaKind::Url]), (false, 5));
    assert_eq!(world.used(QuotaKind::Url).await, 6, "a smaller one is");
    world.accepted(&batch).await;
    world.pass(59 * SECOND);
    let (table, at) = (answer(10, 9), world.now);
    let reported = world.journal.quota_reported(&who, &table, at, quiet, at).await;
    assert!(!reported.expect("reported").replaced);
    world.pass(SECOND);
    let at = world.now;
    let reported = world.journal.quota_reported(&who, &table, at, quiet, at).await;
    assert!(reported.expect("reported").replaced);
    let quota = world.journal.quota(&who, &world.limits, at).await.expect("quota");
    assert_eq!((quota[QuotaKind::Url].used, quota[QuotaKind::Url].limit), (1, 10));
}

pub(crate) async fn parking_is_visible_and_ends_by_itself(world: &mut World) {
    world.wish(A).await;
    let until = world.now.plus(HOUR);
    let waiting = Waiting {
        wait: Wait::Quota,
        why: "the day's quota is spent".to_owned(),
        until: Some(until),
    };
    let parked = [(world.due().await.intents[0].id, waiting)];
    world.journal.park(&parked, world.now).await.expect("parks");
    let due = world.due().await;
    assert_eq!((due.intents.len(), due.next_at), (0, Some(until)));
    world.wish(A).await;
    assert_eq!(world.counts().await.pending, 1, "a parked intent absorbs");
    world.pass(HOUR);
    assert_eq!(world.due().await.intents.len(), 1);
}

pub(crate) async fn old_intents_are_forgotten_and_their_sums_stay(world: &mut World) {
    world.wish(A).await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    world.accepted(&batch).await;
    world.hear(&batch, TaskStatus::Complete).await;
    assert_eq!(world.journal.prune(world.now).await.expect("prunes"), 0);
    world.pass(92 * 24 * HOUR);
    world.wish(B).await;
    assert_eq!(world.journal.prune(world.now).await.expect("prunes"), 1);
    assert!(world.history(A).await.is_empty());
    assert_eq!(world.history(B).await.len(), 1);
    assert_eq!(world.counts().await.done, 1);
    let snapshot = world.journal.snapshot().await.expect("a snapshot");
    assert!(snapshot.batches.is_empty() && snapshot.ledger.is_empty());
}
