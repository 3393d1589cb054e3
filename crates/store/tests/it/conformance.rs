//! The conformance suite that every backend must pass, races included.

mod access;
mod audit;
mod changes;
mod documents;
mod ephemeral;
mod races;

macro_rules! conformance {
    (@backend $backend:ident $($module:ident: $($test:ident)*;)*) => {
        mod $backend {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$module::$test(crate::fixture::$backend().await).await;
                }
            )*)*
        }
    };
    ($($module:ident: $($test:ident)*;)*) => {
        conformance! { @backend sqlite $($module: $($test)*;)* }
        conformance! { @backend postgres $($module: $($test)*;)* }
    };
}

conformance! {
    documents:
        a_document_is_read_as_it_was_written
        e01_an_update_needs_the_present_revision
        w06_an_update_after_a_delete_resurrects_nothing
        a_failed_transaction_leaves_nothing_behind
        a_name_is_taken_once_per_kind
        a_unique_index_value_is_taken_once_per_kind
        index_entries_follow_the_document
        an_expired_document_is_gone
        an_expired_document_causes_no_conflict
        a_list_is_ordered_paged_and_counted
        a_page_of_documents_is_bounded_by_bytes_g5
        a_scan_reads_each_document_once
        a_secret_is_kept_replaced_and_opened
        unchanged_holds_at_the_present_revision_only
        a_uid_is_taken_once;
    ephemeral:
        a_record_is_taken_once_and_expires
        a_live_record_is_not_replaced
        a_counter_counts_in_fixed_windows
        usage_adds_up_and_goes_with_its_document
        collecting_removes_what_expired_and_nothing_else;
    access:
        access_events_are_found_newest_first
        a_page_of_access_events_is_bounded_by_bytes_g5
        of_access_events_the_newest_are_kept
        access_events_without_a_user_never_evict_those_of_users_s06
        texts_of_events_are_cut_s06;
    audit:
        audit_events_are_found_newest_first
        a_page_of_audit_events_is_bounded_by_bytes_g5
        an_audit_event_is_committed_with_its_transaction_or_not_at_all
        old_audit_events_are_removed_s06;
    changes:
        every_change_but_the_creation_of_a_session_is_logged
        a_failed_transaction_logs_nothing
        a_trimmed_log_says_so
        a_cursor_of_another_history_reloads_everything
        racing_changes_leave_no_gap
        the_feed_wakes_the_other_replica_within_500_ms
        the_feed_beats_while_nothing_happens;
    races:
        e01_w01_of_64_racing_updates_one_wins
        of_64_racing_creations_under_one_name_one_wins
        of_64_racing_creations_under_one_unique_value_one_wins
        w04_a_limit_holds_against_64_racing_creations
        w05_of_64_racing_takers_one_gets_the_record
        of_64_racing_records_one_is_stored
        a_racing_delete_and_update_agree
        e01_racing_transactions_over_several_documents_are_serial
        racing_counts_lose_no_hit;
}
