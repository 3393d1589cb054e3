//! Race tests. Half of the racers use one replica, half the other.

use std::{sync::Arc, time::Duration};

use domain::{clock::UnixMillis, kind::Kind};
use store::{CommitError, Expected, Operation, Order, Query, Revision, Store};

use crate::fixture::{Fixture, NOW, commit, create, document, entry, race, update};

const RACERS: usize = 64;

fn replicas(cluster: &Fixture) -> impl Iterator<Item = (usize, Arc<dyn Store>)> {
    let stores = [Arc::clone(&cluster.store), Arc::clone(&cluster.replica)];
    (0..RACERS).map(move |racer| (racer, Arc::clone(&stores[racer % 2])))
}

pub(super) async fn e01_w01_of_64_racing_updates_one_wins(cluster: Fixture) {
    let user = document(Kind::User, "alice");
    let revision = create(&cluster.store, user.clone()).await.unwrap();
    let results = race(replicas(&cluster).map(|(racer, store)| {
        let mut user = user.clone();
        user.body = format!("by {racer}").into_bytes();
        async move { (racer, update(&store, user, revision).await) }
    }))
    .await;
    let mut winners = Vec::new();
    for (racer, result) in results {
        match result {
            Ok(revision) => winners.push((racer, revision)),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let [(winner, revision)] = winners[..] else {
        panic!("{winners:?} won");
    };
    assert_eq!(revision, Revision(2));
    let read = cluster
        .store
        .get(Kind::User, user.uid, NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read.body, format!("by {winner}").into_bytes());
}

pub(super) async fn of_64_racing_creations_under_one_name_one_wins(cluster: Fixture) {
    let results = race(
        replicas(&cluster)
            .map(|(_, store)| async move { create(&store, document(Kind::User, "alice")).await }),
    )
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error, CommitError::NameTaken { .. }), "{error}");
    }
    assert_eq!(
        cluster
            .store
            .scan(Kind::User, None, 10, NOW)
            .await
            .unwrap()
            .len(),
        1
    );
}

pub(super) async fn of_64_racing_creations_under_one_unique_value_one_wins(cluster: Fixture) {
    let results = race(replicas(&cluster).map(|(racer, store)| {
        let mut user = document(Kind::User, &format!("user-{racer}"));
        user.indexes = vec![entry("email", "a@example.com", true)];
        async move { create(&store, user).await }
    }))
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert!(
            matches!(error, CommitError::IndexTaken { index: "email", .. }),
            "{error}"
        );
    }
    assert_eq!(
        cluster
            .store
            .scan(Kind::User, None, 10, NOW)
            .await
            .unwrap()
            .len(),
        1
    );
}

pub(super) async fn w04_a_limit_holds_against_64_racing_creations(cluster: Fixture) {
    let results = race(replicas(&cluster).map(|(racer, store)| {
        let mut session = document(Kind::Session, &format!("session-{racer}"));
        session.indexes = vec![entry("user", "alice", false)];
        let limit = Operation::Limit {
            kind: Kind::Session,
            index: "user",
            value: "alice".to_owned(),
            below: 10,
        };
        async move {
            commit(
                &store,
                vec![limit, Operation::Put(session, Expected::Absent)],
            )
            .await
        }
    }))
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error, CommitError::LimitReached { .. }), "{error}");
    }
    let sessions = Query {
        kind: Kind::Session,
        index: Some(("user", "alice".to_owned())),
        order: Order::Created,
        offset: 0,
        limit: 1,
        now: NOW,
    };
    assert_eq!(cluster.store.list(sessions).await.unwrap().total, 10);
}

pub(super) async fn w05_of_64_racing_takers_one_gets_the_record(cluster: Fixture) {
    for round in 0..5_u8 {
        let record = Operation::Record {
            kind: "code",
            key: vec![round],
            value: b"value".to_vec(),
            expires_at: UnixMillis(NOW.0 + 1000),
        };
        commit(&cluster.store, vec![record]).await.unwrap();
        let taken = race(
            replicas(&cluster)
                .map(|(_, store)| async move { store.take("code", &[round], NOW).await.unwrap() }),
        )
        .await;
        let taken: Vec<_> = taken.into_iter().flatten().collect();
        assert_eq!(taken, [b"value"]);
    }
}

pub(super) async fn of_64_racing_records_one_is_stored(cluster: Fixture) {
    let results = race(replicas(&cluster).map(|(racer, store)| async move {
        let record = Operation::Record {
            kind: "assertion",
            key: b"jti".to_vec(),
            value: racer.to_string().into_bytes(),
            expires_at: UnixMillis(NOW.0 + 1000),
        };
        commit(&store, vec![record]).await
    }))
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error, CommitError::RecordTaken), "{error}");
    }
}

pub(super) async fn a_racing_delete_and_update_agree(cluster: Fixture) {
    for round in 0..10 {
        let user = document(Kind::User, &format!("user-{round}"));
        let revision = create(&cluster.store, user.clone()).await.unwrap();
        let (updated, deleted) = tokio::join!(
            update(&cluster.store, user.clone(), revision),
            commit(
                &cluster.replica,
                vec![Operation::Delete(Kind::User, user.uid, Some(revision))]
            ),
        );
        assert!(updated.is_ok() != deleted.is_ok(), "exactly one wins");
        let read = cluster.store.get(Kind::User, user.uid, NOW).await.unwrap();
        assert_eq!(read.is_some(), updated.is_ok());
    }
}

pub(super) async fn racing_counts_lose_no_hit(cluster: Fixture) {
    let mut counts: Vec<_> = race(replicas(&cluster).map(|(_, store)| async move {
        store
            .count("key", Duration::from_mins(1), NOW)
            .await
            .unwrap()
            .count
    }))
    .await;
    counts.sort_unstable();
    assert_eq!(counts, (1..=64).collect::<Vec<_>>());
}

/// Each transaction increments one or two of eight documents. In the end each document contains every acknowledged
/// increment and no other, and no transaction was blocked by a deadlock.
pub(super) async fn e01_racing_transactions_over_several_documents_are_serial(cluster: Fixture) {
    const DOCUMENTS: usize = 8;
    let mut documents = Vec::new();
    for index in 0..DOCUMENTS {
        let mut user = document(Kind::User, &format!("user-{index}"));
        user.body = b"0".to_vec();
        create(&cluster.store, user.clone()).await.unwrap();
        documents.push(user);
    }
    let added = race(replicas(&cluster).map(|(racer, store)| {
        let first = racer % DOCUMENTS;
        let second = (racer * 3 + 1 + racer / DOCUMENTS) % DOCUMENTS;
        let pair = [documents[first].clone(), documents[second].clone()];
        async move {
            let mut added = Vec::new();
            for _ in 0..5 {
                let mut operations = Vec::new();
                for user in &pair {
                    let read = store.get(Kind::User, user.uid, NOW).await.unwrap().unwrap();
                    let count: u64 = String::from_utf8(read.body).unwrap().parse().unwrap();
                    let mut user = user.clone();
                    user.body = (count + 1).to_string().into_bytes();
                    operations.push(Operation::Put(user, Expected::Revision(read.revision)));
                }
                match commit(&store, operations).await {
                    Ok(_) => added.extend([first, second]),
                    Err(CommitError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            // Not both can succeed for one document: the second step conflicts with the revision of the first.
            assert!(first != second || added.is_empty());
            added
        }
    }))
    .await;
    let mut expected = [0; DOCUMENTS];
    for index in added.into_iter().flatten() {
        expected[index] += 1;
    }
    assert!(expected.iter().sum::<u64>() > 0);
    for (user, expected) in documents.iter().zip(expected) {
        let read = cluster
            .store
            .get(Kind::User, user.uid, NOW)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(String::from_utf8(read.body).unwrap(), expected.to_string());
        assert_eq!(read.revision, Revision(expected + 1));
    }
}
