use std::{collections::BTreeMap, time::Duration};

use domain::{clock::UnixMillis, kind::Kind};
use store::{CommitError, Counter, Expected, Operation, Usage};

use crate::fixture::{Fixture, NOW, commit, commit_at, create, document, entry, uid};

fn record(key: &[u8], value: &[u8], expires_at: UnixMillis) -> Vec<Operation> {
    vec![Operation::Record {
        kind: "code",
        key: key.to_vec(),
        value: value.to_vec(),
        expires_at,
    }]
}

pub(super) async fn a_record_is_taken_once_and_expires(cluster: Fixture) {
    let store = &cluster.store;
    let end = UnixMillis(NOW.0 + 1000);
    commit(store, record(b"a", b"1", end)).await.unwrap();
    commit(store, record(b"b", b"2", end)).await.unwrap();
    assert_eq!(
        cluster.replica.take("other", b"a", NOW).await.unwrap(),
        None
    );
    assert_eq!(
        cluster.replica.take("code", b"a", NOW).await.unwrap(),
        Some(b"1".to_vec())
    );
    assert_eq!(store.take("code", b"a", NOW).await.unwrap(), None);
    assert_eq!(
        store.take("code", b"b", end).await.unwrap(),
        None,
        "expired"
    );
}

pub(super) async fn a_live_record_is_not_replaced(cluster: Fixture) {
    let store = &cluster.store;
    let end = UnixMillis(NOW.0 + 1000);
    commit(store, record(b"jti", b"1", end)).await.unwrap();
    let refused = commit(&cluster.replica, record(b"jti", b"2", end)).await;
    assert!(matches!(refused, Err(CommitError::RecordTaken)));
    let later = UnixMillis(end.0 + 1000);
    commit_at(store, end, record(b"jti", b"3", later))
        .await
        .unwrap();
    assert_eq!(
        store.take("code", b"jti", end).await.unwrap(),
        Some(b"3".to_vec())
    );
    commit_at(store, end, record(b"jti", b"4", later))
        .await
        .unwrap();
}

pub(super) async fn a_counter_counts_in_fixed_windows(cluster: Fixture) {
    let window = Duration::from_mins(1);
    let end = NOW.saturating_add(window);
    let counter = |count| Counter {
        count,
        resets_at: end,
    };
    for expected in 1..=3 {
        let store = if expected == 2 {
            &cluster.replica
        } else {
            &cluster.store
        };
        let at = UnixMillis(NOW.0 + expected - 1);
        let count = u64::try_from(expected).unwrap();
        assert_eq!(
            store.count("login/a", window, at).await.unwrap(),
            counter(count)
        );
    }
    let store = &cluster.replica;
    assert_eq!(
        store.counter("login/a", NOW).await.unwrap(),
        Some(counter(3))
    );
    assert_eq!(store.counter("login/b", NOW).await.unwrap(), None);
    assert_eq!(store.counter("login/a", end).await.unwrap(), None);
    let next_window = store.count("login/a", window, end).await.unwrap();
    assert_eq!(next_window.count, 1);
    assert_eq!(next_window.resets_at, end.saturating_add(window));
    store.reset_counter("login/a").await.unwrap();
    assert_eq!(store.counter("login/a", end).await.unwrap(), None);
}

pub(super) async fn usage_adds_up_and_goes_with_its_document(cluster: Fixture) {
    let store = &cluster.store;
    let credential = document(Kind::Credential, "a");
    let revision = create(store, credential.clone()).await.unwrap();
    let other = uid();
    let usage = |count, at| Usage {
        count,
        last_at: UnixMillis(at),
    };
    store
        .add_usage(BTreeMap::from([
            (credential.uid, usage(2, 20)),
            (other, usage(1, 5)),
        ]))
        .await
        .unwrap();
    cluster
        .replica
        .add_usage(BTreeMap::from([(credential.uid, usage(3, 10))]))
        .await
        .unwrap();
    store.add_usage(BTreeMap::new()).await.unwrap();
    let found = store.usage(&[credential.uid, other, uid()]).await.unwrap();
    assert_eq!(
        found,
        BTreeMap::from([(credential.uid, usage(5, 20)), (other, usage(1, 5))])
    );
    let read = store
        .get(Kind::Credential, credential.uid, NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read.revision, revision, "usage is not a revision");
    commit(
        store,
        vec![Operation::Delete(Kind::Credential, credential.uid, None)],
    )
    .await
    .unwrap();
    assert_eq!(
        store.usage(&[credential.uid]).await.unwrap(),
        BTreeMap::new()
    );
}

pub(super) async fn collecting_removes_what_expired_and_nothing_else(cluster: Fixture) {
    let store = &cluster.store;
    let end = UnixMillis(NOW.0 + 1000);
    let mut operations = Vec::new();
    for index in 0..1200 {
        let mut session = document(Kind::Session, &format!("session-{index}"));
        session.expires_at = (index > 0).then_some(end);
        session.indexes = vec![entry("user", "alice", false)];
        operations.push(Operation::Put(session, Expected::Absent));
    }
    operations.extend(record(b"gone", b"", end));
    operations.extend(record(b"stays", b"", UnixMillis(end.0 + 1)));
    commit(store, operations).await.unwrap();
    store
        .count("gone", Duration::from_secs(1), NOW)
        .await
        .unwrap();
    store
        .count("stays", Duration::from_secs(2), NOW)
        .await
        .unwrap();
    assert_eq!(store.collect(UnixMillis(end.0 - 1)).await.unwrap(), 0);
    assert_eq!(store.collect(end).await.unwrap(), 1199 + 1 + 1);
    assert_eq!(store.collect(end).await.unwrap(), 0);
    let left = store.scan(Kind::Session, None, 10, NOW).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, "session-0");
    assert!(store.take("code", b"stays", NOW).await.unwrap().is_some());
    assert!(store.counter("stays", NOW).await.unwrap().is_some());
}
