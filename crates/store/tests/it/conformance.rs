//! What every backend must do, races included.

mod documents;
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
        an_expired_document_stands_in_nobodys_way
        a_list_is_ordered_paged_and_counted
        a_scan_reads_each_document_once
        a_secret_is_kept_replaced_and_opened
        unchanged_holds_at_the_present_revision_only
        a_uid_is_taken_once;
    races:
        e01_w01_of_64_racing_updates_one_wins
        of_64_racing_creations_under_one_name_one_wins
        of_64_racing_creations_under_one_unique_value_one_wins
        w04_a_limit_holds_against_64_racing_creations
        w05_of_64_racing_takers_one_gets_the_record
        of_64_racing_records_one_is_stored
        a_racing_delete_and_update_agree
        racing_counts_lose_no_hit;
}
