//! Failovers of PostgreSQL, with and without loss of the end of the change log.

use std::{sync::Arc, time::Duration};

use domain::{clock::SystemClock, kind::Kind};
use store::{
    Changes, CommitError, Cursor, Expected, FeedState, Operation, Store,
    postgres::PostgresOptions,
    testing::{self, Pair, until},
};
use tokio::time::timeout;

use crate::fixture::{commit, create, document};

/// The time within which followers of the change log must notice another history.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

async fn feed_where(
    store: &Arc<dyn Store>,
    limit: Duration,
    holds: impl Fn(&FeedState) -> bool,
) -> FeedState {
    let mut feed = store.feed();
    let state = timeout(limit, feed.wait_for(|state| holds(state)));
    *state.await.expect("the feed says so in time").unwrap()
}

async fn create_users(store: &Arc<dyn Store>, prefix: &str, count: usize) -> Cursor {
    let mut last = Cursor(0);
    for number in 0..count {
        let user = document(Kind::User, &format!("{prefix}-{number}"));
        let put = Operation::Put(user, Expected::Absent);
        last = commit(store, vec![put]).await.unwrap().cursor;
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_changes_whose_numbers_are_used_again_are_noticed_d1() {
    let url = testing::postgres_database().await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    let idle: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    let head = create_users(&store, "before", 60).await;
    feed_where(&idle, NOTICED_WITHIN, |state| state.cursor == head).await;

    // In one transaction, so that no poll sees a shorter log and a comparison of heads finds nothing.
    let foreign = testing::postgres_client(&url).await;
    foreign
        .batch_execute(&format!(
            "BEGIN;
             CREATE TEMP TABLE lost AS SELECT * FROM changes WHERE cursor > {0};
             DELETE FROM changes WHERE cursor > {0};
             ALTER SEQUENCE changes_cursor_seq RESTART WITH {1};
             INSERT INTO changes (at, kind, uid, name, revision)
               SELECT at, kind, uid, name, revision FROM lost ORDER BY cursor;
             COMMIT",
            head.0 - 50,
            head.0 - 49
        ))
        .await
        .unwrap();

    for replica in [&store, &idle] {
        let state = feed_where(replica, NOTICED_WITHIN, |state| state.history == 1).await;
        assert_eq!(state.cursor, head);
    }
    // Later changes are followed, and no earlier change is reported again.
    let next = create_users(&store, "after", 3).await;
    assert_eq!(next, Cursor(head.0 + 3));
    for replica in [&store, &idle] {
        let state = feed_where(replica, NOTICED_WITHIN, |state| state.cursor == next).await;
        assert_eq!(state.history, 1);
        let Changes::Next(changes) = replica.changes(head, 10).await.unwrap() else {
            panic!("not followed");
        };
        assert_eq!(changes.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_changes_learns_of_lost_changes_before_the_feed_d1() {
    let url = testing::postgres_database().await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    let head = create_users(&store, "before", 10).await;
    let state = feed_where(&store, NOTICED_WITHIN, |state| state.cursor == head).await;
    assert_eq!(state.history, 0);
    let foreign = testing::postgres_client(&url).await;
    let lose = format!(
        "DELETE FROM changes WHERE cursor > {0}; ALTER SEQUENCE changes_cursor_seq RESTART WITH {1}",
        head.0 - 5,
        head.0 - 4
    );
    foreign.batch_execute(&lose).await.unwrap();
    // The read either returns `Replaced`, or finds the position past the end because the feed noticed it first.
    let changes = store.changes(head, 10).await.unwrap();
    assert!(
        matches!(changes, Changes::Replaced | Changes::Trimmed(_)),
        "{changes:?}"
    );
    let state = *store.feed().borrow();
    assert_eq!((state.history, state.cursor), (1, Cursor(head.0 - 5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_loses_changes_replaces_the_history_d1() {
    let pair = Pair::start().await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(pair.url()).await);
    let idle: Arc<dyn Store> = Arc::new(testing::postgres_at(pair.url()).await);
    let kept = create_users(&store, "kept", 5).await;
    pair.replicate().await;
    pair.cut().await;
    // More than the 32 sequence values that a standby skips.
    let lost = create_users(&store, "lost", 60).await;
    feed_where(&idle, NOTICED_WITHIN, |state| state.cursor == lost).await;

    let _running = pair.fail_over().await;
    // The first write after the failover reuses a number of the lost changes for another change.
    let user = document(Kind::User, "first");
    let put = Operation::Put(user, Expected::Absent);
    let mut first = commit(&store, vec![put.clone()]).await;
    if let Err(CommitError::Store(error)) = &first {
        assert!(error.transient, "{error}");
        first = commit(&store, vec![put]).await;
    }
    let first = first.unwrap().cursor;
    assert!(
        first > kept && first <= lost,
        "{first:?} after {kept:?}, of {lost:?}"
    );
    assert_eq!(
        store.feed().borrow().history,
        1,
        "the writer knows before it answers"
    );
    let head = create_users(&store, "new", 60).await;
    assert!(head > lost);
    let state = feed_where(&idle, NOTICED_WITHIN, |state| state.cursor >= head).await;
    assert_eq!(state.history, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_without_loss_goes_on_in_the_same_history_d1() {
    let pair = Pair::start().await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(pair.url()).await);
    let before = create_users(&store, "before", 5).await;
    feed_where(&store, NOTICED_WITHIN, |state| state.cursor == before).await;
    pair.replicate().await;
    let _running = pair.fail_over().await;
    let after = timeout(Duration::from_secs(10), async {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let user = document(Kind::User, &format!("after-{attempt}"));
            let put = Operation::Put(user, Expected::Absent);
            match commit(&store, vec![put]).await {
                Ok(committed) => return committed.cursor,
                Err(CommitError::Store(error)) => assert!(error.transient, "{error}"),
                Err(error) => panic!("{error}"),
            }
        }
    });
    let after = after.await.expect("writes go on");
    let state = feed_where(&store, NOTICED_WITHIN, |state| {
        state.cursor >= after && state.confirmed.elapsed() < Duration::from_secs(1)
    })
    .await;
    assert_eq!(state.history, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_waits_for_the_standby_is_not_lost_d1() {
    let pair = Pair::start().await;
    let options = PostgresOptions {
        changes_wait_for_standby: true,
        ..testing::postgres_options(pair.url())
    };
    let keys = testing::master_keys();
    let refused = store::postgres::Postgres::connect(&options, &keys, Arc::new(SystemClock));
    let error = refused.await.err().expect("no standby is named");
    assert!(
        error.to_string().contains("synchronous_standby_names"),
        "{error}"
    );

    // Commits do not wait for the standby unless they request it.
    let primary = pair.on_primary().await;
    for sql in [
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "ALTER SYSTEM SET synchronous_commit = 'local'",
        "SELECT pg_reload_conf()",
    ] {
        primary.batch_execute(sql).await.unwrap();
    }
    until("the synchronous standby", async || {
        let row = primary.query_one(
            "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
            &[],
        );
        row.await.unwrap().get(0)
    })
    .await;
    let store: Arc<dyn Store> =
        Arc::new(testing::postgres_with(&options, Arc::new(SystemClock)).await);
    let kept = document(Kind::User, "kept");
    create(&store, kept.clone()).await.unwrap();

    pair.cut().await;
    // A login does not wait for the disconnected standby; a change is not acknowledged without it.
    create(&store, document(Kind::Session, "session"))
        .await
        .unwrap();
    let error = create(&store, document(Kind::User, "unconfirmed"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, CommitError::Store(error) if error.transient),
        "{error}"
    );
    assert!(store.ping().await.is_err(), "writes are not answered");

    let _running = pair.fail_over().await;
    until("the failover", async || {
        let read = store.get(Kind::User, kept.uid, crate::fixture::NOW).await;
        matches!(read, Ok(Some(_)))
    })
    .await;
}
