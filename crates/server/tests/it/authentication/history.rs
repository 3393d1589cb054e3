//! Replicas whose database lost the end of its change log, or whose clock is wrong.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::{core_v1::Credential, resource::Object as _};
use domain::clock::{Clock as _, ManualClock, SystemClock};
use server::Unauthenticated;
use store::{DatabaseUrl, Store, testing};
use tokio::time::timeout;

use crate::replicas::{Replicas, authenticate, log_in};

/// The published time limit after a failover.
const BOUND: Duration = Duration::from_secs(5);

async fn replica(url: &DatabaseUrl) -> Arc<dyn Store> {
    Arc::new(testing::postgres_at(url).await)
}

/// After a failover, a revocation gets the number that a lost change had before.
#[tokio::test(flavor = "multi_thread")]
async fn revocations_after_lost_changes_apply_everywhere_d1() {
    let url = testing::postgres_database().await;
    let replicas = Replicas::on(vec![replica(&url).await, replica(&url).await]).await;
    replicas.workload("robot").await;
    let credential = replicas.credential("AUTH_TOKEN", "robot", "").await;
    let token = replicas.issue(&credential).await;
    let tokens = log_in(replicas.context(0), &token).await.unwrap();
    for number in 0..60 {
        replicas.workload(&format!("robot-{number}")).await;
    }
    replicas.settle().await;
    let mut open = Vec::new();
    for number in 0..2 {
        let principal = authenticate(replicas.context(number), &tokens.access_token).await;
        open.push(principal.unwrap());
    }

    let head = replicas.context(0).store.feed().borrow().cursor.0;
    let lose = format!(
        "DELETE FROM changes WHERE cursor > {0}; ALTER SEQUENCE changes_cursor_seq RESTART WITH {1}",
        head - 50,
        head - 49
    );
    let foreign = testing::postgres_client(&url).await;
    foreign.batch_execute(&lose).await.unwrap();
    replicas
        .edit(&credential, |c: &mut Credential| {
            c.spec_mut().is_disabled = true;
        })
        .await;

    let revoked = Instant::now();
    for (number, principal) in open.iter().enumerate() {
        timeout(BOUND, principal.revoked.cancelled())
            .await
            .expect("open streams end");
        loop {
            match authenticate(replicas.context(number), &tokens.access_token).await {
                Err(Unauthenticated::Refused { .. }) => break,
                // The replica refuses to answer while it reads everything again.
                Ok(_) | Err(Unauthenticated::Unavailable) => {}
            }
            assert!(revoked.elapsed() < BOUND, "replica {number} never refused");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_a_wrong_clock_answers_nothing_d5() {
    let url = testing::postgres_database().await;
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let options = testing::postgres_options(&url);
    let store = testing::postgres_with(&options, Arc::clone(&clock) as _).await;
    let replicas = Replicas::on(vec![Arc::new(store)]).await;
    let directory = &replicas.context(0).directory;
    assert!(directory.is_fresh());
    for wrong in [
        SystemClock.now().saturating_add(Duration::from_secs(90)),
        SystemClock.now().saturating_sub(Duration::from_secs(90)),
    ] {
        clock.set(wrong);
        becomes(|| !directory.is_fresh(), "refused").await;
        clock.set(SystemClock.now());
        becomes(|| directory.is_fresh(), "answered again").await;
    }
}

async fn becomes(holds: impl Fn() -> bool, what: &str) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < BOUND, "never {what}");
        tokio::task::yield_now().await;
    }
}
