//! The contract test suite, which every engine must pass.
//!
//! An engine's test says how an empty store is created, and gets one test for each rule:
//!
//! ```text
//! catalog::catalog_contract!(TempFile::new());
//! ```
#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

pub mod answers;
pub mod audit;
pub mod devices;
pub mod history;
pub mod list;
pub mod meetings;
pub mod presence;
pub mod seeds;
pub mod topics;
pub mod users;

use crate::{Accounts, Catalog, Device, Group, MeetingChange, MeetingCommit, ParentTopic, Rule, Topics, User};
use std::future::Future;
use uuid::Uuid;

/// A store that is empty at first and may be opened again and again.
pub trait Store: Sync {
    type Engine: Catalog;

    fn open(&self) -> impl Future<Output = Self::Engine> + Send;
}

/// One `#[tokio::test]` for each rule of the contract; `$store` creates a new [`Store`].
#[macro_export]
macro_rules! catalog_contract {
    ($store:expr) => {
        $crate::catalog_contract! { @modules $store;
            topics [
                an_empty_catalog_has_a_revision_and_no_rows
                what_was_put_is_in_the_snapshot_and_raises_the_revision
                a_put_that_changes_nothing_leaves_the_revision
                parent_topics_are_unique_without_regard_to_case
                a_grant_needs_its_group_and_its_parent
                the_snapshot_and_its_revision_survive_a_crash
            ]
            users [
                a_user_is_made_then_renamed
                a_name_that_others_cannot_be_shown_is_refused
                users_come_in_pages_in_the_order_of_their_names
                a_device_is_registered_and_its_credential_replaced
                a_device_of_another_user_is_refused
                a_device_needs_its_user_and_its_group
                a_key_id_belongs_to_one_device
                devices_of_users_are_listed_with_their_online_state
                api_keys_and_login_links_are_found_by_their_hash
                numbers_beyond_a_row_are_refused
                a_credential_of_a_clock_that_was_ahead_is_valid_for_no_longer_than_any
                a_device_is_forgotten_long_after_its_credential_expired
            ]
            devices [
                a_credential_is_extended_and_never_shortened
                a_credential_that_was_replaced_is_neither_extended_nor_removed
                a_removed_device_takes_its_online_state_with_it
                news_of_a_removed_device_are_its_users
                a_removed_device_may_be_registered_by_anybody
                of_an_extension_and_a_removal_at_once_the_removal_stands
                removed_devices_are_remembered_for_a_while_and_over_a_crash
            ]
            presence [
                a_client_is_online_from_connect_to_tcpclean
                a_tcpclean_cancels_only_its_own_connection
                a_tcpclean_that_overtook_its_connect_wins
                events_in_any_order_and_repeated_lead_to_the_same_state
                events_that_come_together_lead_to_the_same_state_as_one_by_one
                events_of_many_clients_are_told_for_each
                who_came_or_went_is_among_the_changes_of_presence_once
                the_latest_sign_of_absence_counts
                online_state_survives_a_crash
                old_tcpcleans_are_pruned_and_open_connections_are_not
            ]
            meetings [
                a_new_meeting_has_revision_1_and_rises_by_1
                a_meeting_that_exists_cannot_be_made_again
                of_many_commits_on_one_revision_one_wins_and_the_others_conflict
                a_commit_that_only_read_a_meeting_conflicts_with_a_newer_revision
                a_request_is_handled_once
                a_refused_commit_leaves_nothing_behind
                timers_are_put_and_dropped_by_their_keys_and_come_earliest_first
                engagements_are_put_and_dropped_by_their_users
                parts_are_put_and_dropped_by_their_names
                a_user_may_be_rung_and_have_left_while_in_another_meeting
                a_user_has_one_exclusive_engagement_over_live_meetings
                of_two_meetings_that_want_a_user_at_once_one_gets_it
                the_end_of_a_meeting_frees_its_people
                rows_of_another_meeting_are_refused
                the_outbox_keeps_the_order_of_making
                two_services_share_the_outbox_by_lanes
                a_lane_is_free_when_all_of_it_is_sent_or_set_aside
                a_claim_that_is_not_renewed_ends
                two_services_share_due_timers_by_meetings
                the_number_of_a_sent_message_is_never_given_again
                outcomes_stay_until_they_are_seen
                outcomes_of_one_user_are_bounded
                what_stands_for_a_user_is_read_together
                a_meeting_that_is_set_aside_is_found_no_more_and_kept
                a_message_that_is_set_aside_is_sent_no_more_and_kept
                who_enters_or_leaves_a_call_changes_presence_and_who_is_rung_does_not
                created_meetings_are_counted_in_a_window
                pruning_forgets_what_is_over_and_nothing_else
                what_lies_ahead_because_a_clock_was_is_of_now_when_that_is_corrected
                pruning_forgets_any_number_of_rows
                all_of_a_commit_survives_a_crash
            ]
            audit [
                each_change_is_in_the_log_under_a_number_that_rises
                a_revoked_device_stays_registered_and_its_credential_is_void
                what_is_kept_of_a_topic_changes_without_its_rule_and_stays_when_that_is_seeded
                a_registration_over_another_credential_than_was_seen_is_refused
                a_right_is_judged_again_when_its_key_was_changed_meanwhile
                who_has_lost_the_right_meanwhile_changes_nothing
                what_is_ordered_elsewhere_is_in_the_log
                what_is_as_it_is_wished_changes_nothing
                another_thing_of_the_same_name_is_refused
                devices_have_names_by_which_they_are_found_and_links_an_end_that_moves
                what_is_in_use_goes_only_by_force_and_takes_what_uses_it_with_it
                a_grant_is_of_a_group_a_user_or_an_access_key_and_goes_with_it
                the_rights_of_a_grant_are_changed_and_no_others_are_touched
                the_first_grant_of_a_key_narrows_it_for_good
                a_user_goes_with_all_that_is_its_own
                a_change_of_what_was_changed_meanwhile_is_refused
                a_key_names_the_consumer_groups_that_it_may_use
                a_key_has_two_secrets_for_a_while
                a_key_that_the_program_puts_again_stays_as_its_owner_has_made_it
                a_revoked_token_is_known_until_a_while_after_its_time
                what_a_change_ends_is_in_the_feed
                no_secret_is_in_the_log
                the_log_is_read_from_its_end_and_by_what_is_asked_for
                lists_come_in_pages
                old_rows_are_pruned_and_the_numbers_go_on
            ]
            answers [
                an_answer_is_kept_with_its_change_and_over_a_crash
                a_request_that_is_answered_changes_nothing_more
                a_refused_change_keeps_no_answer_and_one_that_finds_all_as_wished_does
                an_answer_is_kept_for_its_time
                the_answers_to_a_key_go_with_it
            ]
            seeds [
                what_was_seeded_once_is_kept_over_starts_as_its_owner_has_made_it
                what_an_owner_has_removed_stays_removed_and_what_is_new_is_made
                what_a_trial_has_made_is_known_until_it_is_forgotten
                what_an_owner_makes_under_the_name_of_a_trial_is_the_owners
                a_trial_leaves_what_was_there_before_it
                a_secret_that_an_owner_has_rotated_does_not_come_back
            ]
            list [
                meetings_are_listed_those_that_were_created_last_first
                a_list_has_the_meetings_of_one_user_and_says_how_many_are_in
                a_decision_is_in_the_log_with_the_change_that_it_made_or_not_at_all
            ]
            history [
                past_calls_are_read_page_by_page_those_that_started_last_first
                entries_of_one_user_and_meeting_are_one_past_call
                past_calls_are_forgotten_after_their_time
            ]
        }
    };
    (@modules $store:expr; $($module:ident [$($case:ident)*])*) => {
        $($crate::catalog_contract! { @cases $store; $module; $($case)* })*
    };
    (@cases $store:expr; $module:ident; $($case:ident)*) => {
        mod $module {
            #[expect(unused_imports, reason = "names in the expression that makes a store")]
            use super::*;

            $(
                #[tokio::test]
                async fn $case() {
                    $crate::contract::$module::$case(&$store).await;
                }
            )*
        }
    };
}

fn group(group: &str) -> Group {
    Group { group: group.to_owned() }
}

fn parent(parent: &str, rule: Rule) -> ParentTopic {
    ParentTopic::new(parent, rule)
}

fn user(user: &str) -> User {
    User { user: user.to_owned(), name: user.to_uppercase() }
}

fn device(client_id: &str, user: &str, key_id: &str) -> Device {
    Device {
        client_id: client_id.to_owned(),
        user: user.to_owned(),
        group: "GID_test".to_owned(),
        name: None,
        key_id: key_id.to_owned(),
        secret: format!("secret of {key_id}"),
        expires_at_ms: 1_000,
    }
}

/// `GID_test` with the users `ann` and `bob`.
async fn with_people<S: Store>(store: &S) -> S::Engine {
    let catalog = store.open().await;
    catalog.put_group(group("GID_test")).await.unwrap();
    catalog.put_user(user("ann")).await.unwrap();
    catalog.put_user(user("bob")).await.unwrap();
    catalog
}

fn names(users: &[&str]) -> Vec<String> {
    users.iter().map(|&user| user.to_owned()).collect()
}

/// Meetings and signals of a test are numbered.
fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn change(meeting: u128, expected: Option<u64>) -> MeetingChange {
    MeetingChange {
        id: id(meeting),
        expected,
        document: format!("{{\"after\":{}}}", expected.unwrap_or(0)),
        ..MeetingChange::default()
    }
}

fn commit(change: MeetingChange) -> MeetingCommit {
    MeetingCommit { meeting: Some(change), ..MeetingCommit::default() }
}
