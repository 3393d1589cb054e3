//! Tests with replicas whose clocks are wrong.

use std::{sync::Arc, time::Duration};

use domain::{
    clock::{Clock as _, ManualClock, SystemClock, UnixMillis},
    kind::Kind,
};
use store::{CommitError, Expected, Operation, Store, testing};
use tokio::time::timeout;

use crate::fixture::{commit_at, document};

const DAY: Duration = Duration::from_hours(24);

fn record(expires_at: UnixMillis) -> Operation {
    Operation::Record {
        kind: "assertion",
        key: b"jti".to_vec(),
        value: Vec::new(),
        expires_at,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_a_day_ahead_removes_no_record_d5() {
    let url = testing::postgres_database().await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    let now = SystemClock.now();
    let in_an_hour = now.saturating_add(Duration::from_hours(1));
    let mut revoked = document(Kind::RevokedToken, "revoked");
    revoked.expires_at = Some(in_an_hour);
    let put = Operation::Put(revoked.clone(), Expected::Absent);
    commit_at(&store, now, vec![record(in_an_hour), put])
        .await
        .unwrap();
    store
        .count("guesses", Duration::from_hours(1), now)
        .await
        .unwrap();

    let tomorrow = now.saturating_add(DAY);
    let ahead = Arc::new(ManualClock::at(tomorrow));
    let ahead: Arc<dyn Store> =
        Arc::new(testing::postgres_with(&testing::postgres_options(&url), ahead).await);
    assert_eq!(ahead.collect(tomorrow).await.unwrap(), 0);

    let again = commit_at(&store, now, vec![record(in_an_hour)]).await;
    assert!(matches!(again, Err(CommitError::RecordTaken)), "{again:?}");
    let found = store.get(Kind::RevokedToken, revoked.uid, now).await;
    assert!(found.unwrap().is_some());
    assert!(store.counter("guesses", now).await.unwrap().is_some());

    // A document that has expired by both clocks is deleted.
    let mut expired = document(Kind::RevokedToken, "expired");
    expired.expires_at = Some(now.saturating_sub(Duration::from_secs(1)));
    let put = Operation::Put(expired, Expected::Absent);
    commit_at(&store, now.saturating_sub(DAY), vec![put])
        .await
        .unwrap();
    assert!(store.collect(now).await.unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_difference_between_clocks_is_measured_d5() {
    let url = testing::postgres_database().await;
    let options = testing::postgres_options(&url);
    let clock = Arc::new(ManualClock::at(
        SystemClock.now().saturating_add(Duration::from_mins(10)),
    ));
    let store: Arc<dyn Store> =
        Arc::new(testing::postgres_with(&options, Arc::clone(&clock) as _).await);
    let mut feed = store.feed();
    let state = *feed.borrow();
    assert!(!state.has_trusted_clock());
    assert!(
        (580_000..=600_000).contains(&state.clock_ahead),
        "{}",
        state.clock_ahead
    );

    clock.set(SystemClock.now());
    let right = timeout(
        Duration::from_secs(5),
        feed.wait_for(store::FeedState::has_trusted_clock),
    );
    right.await.expect("noticed").unwrap();

    clock.set(SystemClock.now().saturating_sub(DAY));
    let wrong = timeout(
        Duration::from_secs(5),
        feed.wait_for(|state| !state.has_trusted_clock()),
    );
    let state = *wrong.await.expect("noticed").unwrap();
    assert!(state.clock_ahead <= -86_400_000, "{}", state.clock_ahead);
}
