//! Tests of how much PostgreSQL reads for an operation.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::kind::Kind;
use store::{Expected, Operation, Revision, Store, testing};

use crate::fixture::{commit, document, entry, update};

const CREDENTIALS: usize = 5_000;

/// The tables have no statistics: the test server never collects any.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_reads_the_index_entries_of_its_document_alone_d4() {
    let url = testing::postgres_database().await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    let mut last = None;
    for batch in 0..CREDENTIALS / 500 {
        let mut operations = Vec::new();
        for number in 0..500 {
            let mut credential = document(Kind::Credential, &format!("c-{batch}-{number}"));
            credential.indexes = vec![entry("user", "alice", false)];
            last = Some(credential.clone());
            operations.push(Operation::Put(credential, Expected::Absent));
        }
        commit(&store, operations).await.unwrap();
    }
    let client = testing::postgres_client(&url).await;
    drop(store);
    let before = entries_read(&client).await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    let mut credential = last.unwrap();
    credential.indexes = vec![entry("user", "bob", false)];
    update(&store, credential, Revision(1)).await.unwrap();
    drop(store);
    let entries = entries_read(&client).await - before;
    assert!(entries > 0, "the update is counted");
    assert!(entries < 100, "{entries} index entries were read");
}

/// Returns how many index entries of the table `entries` were read. A connection publishes its counts when it ends.
async fn entries_read(client: &tokio_postgres::Client) -> i64 {
    let deadline = Instant::now() + Duration::from_secs(10);
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while client
        .query_one(others, &[])
        .await
        .unwrap()
        .get::<_, i64>(0)
        > 0
    {
        assert!(Instant::now() < deadline, "connections do not end");
    }
    let read = "SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_user_indexes
                WHERE relname = 'entries'";
    client.query_one(read, &[]).await.unwrap().get(0)
}
