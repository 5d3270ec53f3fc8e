//! The journal's contract: scripted cases that every journal must pass, and random histories in
//! which `SQLite` must answer like the reference.

mod browse;
mod cases;
mod held;
mod ordered;
mod pause;
mod random;
mod treasury;
mod world;

use refreshd::database::Database;
use refreshd::journal::reference::ReferenceJournal;
use refreshd::journal::sqlite::SqliteJournal;
use world::World;

macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $case() {
                    let directory = tempfile::tempdir().expect("a directory");
                    let path = directory.path().join("refreshd.db");
                    let database = super::Database::open(&path).expect("opens");
                    let mut world = super::World::new(super::SqliteJournal::new(database)).await;
                    super::cases::$case(&mut world).await;
                    world.sound().await;
                }
            )*
        }
        mod reference {
            $(
                #[tokio::test]
                async fn $case() {
                    let mut world = super::World::new(super::ReferenceJournal::default()).await;
                    super::cases::$case(&mut world).await;
                    world.sound().await;
                }
            )*
        }
    };
}

contract!(
    a_repeated_sequence_changes_nothing,
    a_wish_joins_the_pending_intent_and_ors_its_force,
    a_wish_never_joins_an_intent_in_flight,
    a_held_intent_is_left_and_superseded_by_a_free_one,
    a_held_intent_that_needs_force_outlives_a_soft_refresh,
    closing_a_deploy_brings_its_intents_forward,
    a_held_wish_waits_for_a_person,
    a_held_wish_joins_a_free_intent,
    a_held_wish_is_held_once_a_deploy,
    an_approved_intent_goes_out_at_once,
    an_approved_intent_is_superseded_by_its_free_twin,
    a_rejected_intent_ends_by_whom,
    what_came_since_the_person_looked_stays_held,
    many_are_decided_on_in_parts,
    what_is_held_is_shown_by_deploy,
    a_deploy_is_held_with_what_it_opened,
    what_a_person_approved_is_not_held_again,
    the_twin_of_what_a_person_approved_is_not_held,
    what_is_paused_is_neither_due_nor_staged,
    a_lag_is_of_what_could_go_on,
    a_failure_is_left_until_its_target_is_asked_for_again,
    a_pause_says_since_when_by_whom_and_what_waits,
    what_presses_goes_first,
    what_waits_for_quota_and_comes_to_press_is_planned_anew,
    an_intent_keeps_twenty_causes_and_counts_all,
    staging_debits_and_an_overspent_day_is_refused,
    a_stale_plan_changes_nothing,
    a_soft_batch_never_takes_a_forced_intent,
    an_old_fence_changes_nothing,
    a_refused_batch_is_refunded_and_pending_again,
    a_refused_directory_gives_back_what_it_covered,
    a_bad_target_fails_and_what_it_covered_does_not,
    splitting_ends_at_the_last_attempt,
    a_returning_intent_is_superseded_by_its_twin,
    a_failed_directory_gives_back_what_it_covered,
    a_finished_job_ends_its_intents,
    a_job_that_never_appears_is_given_up,
    a_new_lead_doubts_what_was_being_sent,
    a_doubt_is_adopted_in_parts_and_the_rest_sent_again,
    a_doubt_across_midnight_is_charged_to_both_days,
    a_refusal_after_a_doubt_keeps_the_first_debit,
    a_prefetch_knows_the_refreshes_before_it,
    a_refresh_during_a_prefetch_is_repeated_after_it,
    the_quota_answer_replaces_the_ledger_only_when_all_is_quiet,
    what_others_spend_is_counted_once,
    a_prefetch_hears_of_what_only_a_plan_refreshes_widely,
    a_refresh_by_tag_counts_as_wide_and_delays_no_prefetch,
    a_large_deploy_is_known_by_its_name,
    what_is_spent_is_known_by_origin_hour_and_host,
    an_alarm_is_news_once_a_day,
    parking_is_visible_and_ends_by_itself,
    old_intents_are_forgotten_and_their_sums_stay,
    a_stage_waits_until_the_one_before_is_accepted,
    a_stage_waits_until_the_one_before_is_complete_where_asked,
    what_is_parked_or_failed_is_not_waited_for,
    no_stage_waits_for_longer_than_ten_minutes,
    a_wish_without_an_order_frees_what_waits_for_its_stage,
    what_changes_again_waits_with_its_last_deploy,
    a_report_tells_what_became_of_all_that_a_deploy_caused,
    an_open_deploy_closes_the_one_whose_closing_was_lost,
    a_list_shows_what_is_wanted_newest_first,
    a_list_in_pages_is_whole_and_repeats_nothing,
    a_story_tells_causes_and_asks_with_their_times,
    deploys_are_counted_in_pages,
    targets_are_found_by_their_beginning,
    what_ended_lately_is_known,
    what_ended_badly_is_asked_for_again_as_a_persons_wish,
    what_waits_in_vain_is_due_and_what_needs_no_retry_says_why,
    what_is_pending_is_called_off_and_counted,
    what_others_want_besides_a_deploy_is_spared,
    of_many_only_the_newest_of_a_target_is_asked_for_again,
    what_stands_for_the_superseded_is_looked_at,
);

#[tokio::test]
async fn a_journal_opened_again_remembers() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("refreshd.db");
    let open = || SqliteJournal::new(Database::open(&path).expect("opens"));
    let mut world = World::new(open()).await;
    world.wish("https://a.example/1").await;
    let batch = world.batch_of_all().await;
    world.stage_ready(&batch).await;
    let again = World::new(open()).await;
    let (doubts, _) = again.doubts().await;
    assert_eq!(doubts.len(), 1, "the new lead looks it up");
    again.sound().await;
}

#[tokio::test]
async fn a_thousand_wishes_are_one_transaction() {
    let mut world = World::new(SqliteJournal::new(Database::in_memory().expect("opens"))).await;
    let urls: Vec<String> =
        (0..1_000).map(|number| format!("https://a.example/{number}")).collect();
    let items = urls.iter().map(|url| world.item(world::wish(url))).collect();
    let accepted = world.accept(items).await;
    assert_eq!((accepted.created, accepted.absorbed), (1_000, 0));
    let mut batch = world.batch_of_all().await;
    batch.asks.truncate(100);
    world.stage_ready(&batch).await;
    assert_eq!(world.counts().await.submitting, 100);
    world.sound().await;
}
