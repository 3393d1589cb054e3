//! Tests specific to PostgreSQL: lost connections and foreign transactions.

use std::{sync::Arc, time::Duration};

use domain::kind::Kind;
use store::{Cursor, DatabaseUrl, Expected, Operation, Store, testing};
use tokio::time::timeout;

use crate::fixture::{NOW, commit, create, document};

async fn raw(url: &DatabaseUrl) -> tokio_postgres::Client {
    testing::postgres_client(url).await
}

async fn wait_for(store: &Arc<dyn Store>, cursor: Cursor, limit: Duration) {
    let mut feed = store.feed();
    let woken = timeout(limit, async {
        while feed.borrow_and_update().cursor < cursor {
            feed.changed().await.unwrap();
        }
    });
    woken.await.expect("woken in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_long_transaction_holds_up_no_change() {
    let url = testing::postgres_database().await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    let replica: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    let foreign = raw(&url).await;
    foreign
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM documents; CREATE TEMP TABLE t ()")
        .await
        .unwrap();
    for name in ["a", "b", "c"] {
        let put = Operation::Put(document(Kind::User, name), Expected::Absent);
        let committed = commit(&store, vec![put]).await.unwrap();
        wait_for(&replica, committed.cursor, Duration::from_millis(500)).await;
    }
    let store::Changes::Next(changes) = replica.changes(Cursor(0), 10).await.unwrap() else {
        panic!("trimmed");
    };
    assert_eq!(changes.len(), 3);
    foreign.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_connections_come_back() {
    let url = testing::postgres_database().await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    let replica: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    create(&store, document(Kind::User, "before"))
        .await
        .unwrap();
    let foreign = raw(&url).await;
    for round in 0..3 {
        foreign
            .batch_execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await
            .unwrap();
        let put = Operation::Put(
            document(Kind::User, &format!("user-{round}")),
            Expected::Absent,
        );
        let committed = commit(&store, vec![put])
            .await
            .expect("the write finds a new connection");
        wait_for(&replica, committed.cursor, Duration::from_secs(2)).await;
        let name = format!("user-{round}");
        let read = replica.get_by_name(Kind::User, &name, NOW).await;
        assert!(read.expect("the read finds a new connection").is_some());
    }
    assert!(replica.feed().borrow().confirmed.elapsed() < Duration::from_secs(2));
}

/// A slow holder of the change log lock delays the others: no later change gets a lower number.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_committer_delays_changes_and_reorders_none() {
    let url = testing::postgres_database().await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    create(&store, document(Kind::User, "first")).await.unwrap();
    let slow = raw(&url).await;
    slow.batch_execute(&format!(
        "BEGIN; SELECT pg_advisory_xact_lock({});
         INSERT INTO changes (at, kind, uid, name, revision)
         VALUES (0, 'User', decode('00000000000040008000000000000000', 'hex'), 'slow', 1)",
        0x0c7e_11a3_0000_0001_i64
    ))
    .await
    .unwrap();
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { create(&store, document(Kind::User, "fast")).await }
    });
    // A login is not in the change log and does not wait.
    let replica: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    let login = create(&replica, document(Kind::Session, "session"));
    timeout(Duration::from_secs(2), login)
        .await
        .expect("does not wait")
        .unwrap();
    assert!(
        !writing.is_finished(),
        "nothing is numbered while the lock is held"
    );
    slow.batch_execute("COMMIT").await.unwrap();
    writing.await.unwrap().unwrap();
    let store::Changes::Next(changes) = store.changes(Cursor(0), 10).await.unwrap() else {
        panic!("trimmed");
    };
    let names: Vec<_> = changes.iter().map(|change| change.name.as_str()).collect();
    assert_eq!(names, ["first", "slow", "fast"]);
}
