use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::kind::Kind;
use store::{Change, Changes, Cursor, Expected, Operation, Revision, Store};
use tokio::time::timeout;

use crate::fixture::{Fixture, NOW, commit, commit_at, create, document, race, update};

pub(super) async fn all_changes(store: &Arc<dyn Store>, after: Cursor) -> Vec<Change> {
    match store.changes(after, u32::MAX).await.unwrap() {
        Changes::Next(changes) => changes,
        Changes::Trimmed(cursor) => panic!("trimmed up to {cursor:?}"),
        Changes::Replaced => panic!("another history"),
    }
}

pub(super) async fn every_change_but_the_creation_of_a_session_is_logged(cluster: Fixture) {
    let store = &cluster.store;
    let (user, session) = (
        document(Kind::User, "alice"),
        document(Kind::Session, "session"),
    );
    let created = commit(
        store,
        vec![
            Operation::Put(user.clone(), Expected::Absent),
            Operation::Put(session.clone(), Expected::Absent),
        ],
    )
    .await
    .unwrap();
    update(store, session.clone(), Revision(1)).await.unwrap();
    update(store, user.clone(), Revision(1)).await.unwrap();
    let deleted = commit(
        store,
        vec![
            Operation::Delete(Kind::Session, session.uid, None),
            Operation::Delete(Kind::User, user.uid, None),
        ],
    )
    .await
    .unwrap();
    let changes = all_changes(&cluster.replica, Cursor(0)).await;
    let seen: Vec<_> = changes
        .iter()
        .map(|change| (change.kind, change.name.as_str(), change.revision))
        .collect();
    assert_eq!(
        seen,
        [
            (Kind::User, "alice", Some(Revision(1))),
            (Kind::Session, "session", Some(Revision(2))),
            (Kind::User, "alice", Some(Revision(2))),
            (Kind::Session, "session", None),
            (Kind::User, "alice", None),
        ]
    );
    assert!(created.cursor >= changes[0].cursor && created.cursor < changes[1].cursor);
    assert_eq!(deleted.cursor, changes[4].cursor);
    assert_eq!(changes[0].uid, user.uid);
    let rest = all_changes(&cluster.replica, changes[2].cursor).await;
    assert_eq!(rest, changes[3..]);
    let Changes::Next(first) = cluster.replica.changes(Cursor(0), 2).await.unwrap() else {
        panic!("trimmed");
    };
    assert_eq!(first, changes[..2]);
    assert!(all_changes(store, deleted.cursor).await.is_empty());
}

pub(super) async fn a_failed_transaction_logs_nothing(cluster: Fixture) {
    let user = document(Kind::User, "alice");
    create(&cluster.store, user.clone()).await.unwrap();
    let mut operations = vec![Operation::Put(
        document(Kind::User, "bob"),
        Expected::Absent,
    )];
    operations.push(Operation::Put(user, Expected::Absent));
    commit(&cluster.store, operations).await.unwrap_err();
    assert_eq!(all_changes(&cluster.store, Cursor(0)).await.len(), 1);
}

pub(super) async fn a_trimmed_log_says_so(cluster: Fixture) {
    let store = &cluster.store;
    for name in ["a", "b", "c"] {
        create(store, document(Kind::User, name)).await.unwrap();
    }
    let old = all_changes(store, Cursor(0)).await;
    let later = NOW.saturating_add(Duration::from_hours(2));
    let put = Operation::Put(document(Kind::User, "d"), Expected::Absent);
    let committed = commit_at(store, later, vec![put]).await.unwrap();
    assert_eq!(store.collect(later).await.unwrap(), 3);
    for after in [Cursor(0), old[1].cursor] {
        let Changes::Trimmed(head) = cluster.replica.changes(after, 10).await.unwrap() else {
            panic!("a gap went unnoticed");
        };
        assert_eq!(head, committed.cursor);
    }
    assert_eq!(all_changes(&cluster.replica, old[2].cursor).await.len(), 1);
    assert_eq!(all_changes(&cluster.replica, committed.cursor).await, []);
}

pub(super) async fn a_cursor_of_another_history_reloads_everything(cluster: Fixture) {
    create(&cluster.store, document(Kind::User, "alice"))
        .await
        .unwrap();
    let changes = cluster.store.changes(Cursor(1_000_000), 10).await.unwrap();
    assert!(matches!(changes, Changes::Trimmed(_)));
}

/// Readers follow the change log during concurrent writes. In the end each of them has seen every change.
pub(super) async fn racing_changes_leave_no_gap(cluster: Fixture) {
    let finished = Arc::new(AtomicBool::new(false));
    let stores = [Arc::clone(&cluster.store), Arc::clone(&cluster.replica)];
    let followers: Vec<_> = stores
        .iter()
        .cloned()
        .map(|store| {
            let finished = Arc::clone(&finished);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let is_last = finished.load(Ordering::SeqCst);
                    let after = seen
                        .last()
                        .map_or(Cursor(0), |change: &Change| change.cursor);
                    let Changes::Next(next) = store.changes(after, 7).await.unwrap() else {
                        panic!("trimmed");
                    };
                    if is_last && next.is_empty() {
                        return seen;
                    }
                    seen.extend(next);
                }
            })
        })
        .collect();
    race((0..200).map(|writer| {
        let store = Arc::clone(&stores[writer % 2]);
        async move {
            for part in 0..2 {
                let user = document(Kind::User, &format!("user-{writer}-{part}"));
                create(&store, user).await.unwrap();
            }
        }
    }))
    .await;
    finished.store(true, Ordering::SeqCst);
    let all = all_changes(&cluster.store, Cursor(0)).await;
    assert_eq!(all.len(), 400);
    for follower in followers {
        assert_eq!(follower.await.unwrap(), all);
    }
}

pub(super) async fn the_feed_wakes_the_other_replica_within_500_ms(cluster: Fixture) {
    let mut own = cluster.store.feed();
    let mut other = cluster.replica.feed();
    for name in ["a", "b", "c"] {
        let user = document(Kind::User, name);
        let put = Operation::Put(user, Expected::Absent);
        let committed = commit(&cluster.store, vec![put]).await.unwrap();
        assert!(
            own.borrow_and_update().cursor >= committed.cursor,
            "at once in the same process"
        );
        let woken = timeout(Duration::from_millis(500), async {
            while other.borrow_and_update().cursor < committed.cursor {
                other.changed().await.unwrap();
            }
        });
        woken.await.expect("woken within 500 ms");
    }
}

pub(super) async fn the_feed_beats_while_nothing_happens(cluster: Fixture) {
    let mut feed = cluster.store.feed();
    let before = *feed.borrow_and_update();
    let beat = timeout(Duration::from_secs(3), feed.changed());
    beat.await.expect("a heartbeat each second").unwrap();
    let after = *feed.borrow();
    assert!(after.confirmed > before.confirmed);
    assert!(after.confirmed.elapsed() < Duration::from_secs(1));
    assert_eq!(after.cursor, before.cursor);
}
