//! Signing keys: published before use, kept while tokens signed with them may be valid, and never duplicated.

use std::{collections::HashSet, time::Duration};

use domain::{
    kind::Kind,
    rng::SystemRng,
    token::{self, SigningKey},
};
use rstest::rstest;
use server::{Unauthenticated, keys::Schedule};
use tokio::task::JoinSet;

use crate::replicas::{Backend, Replicas, authenticate, log_in};

const DAY: Duration = Duration::from_hours(24);

async fn keys(replicas: &Replicas) -> usize {
    let ctx = replicas.context(0);
    ctx.store
        .scan(Kind::SigningKey, None, 100, ctx.now())
        .await
        .unwrap()
        .len()
}

async fn maintain(replicas: &Replicas) {
    let mut running = JoinSet::new();
    for replica in 0..replicas.all.len() * 4 {
        let ctx = replicas.context(replica).clone();
        running.spawn(async move { ctx.keys.maintain(Schedule::default(), &SystemRng).await });
    }
    for outcome in running.join_all().await {
        outcome.unwrap();
    }
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e07_w9_w10_keys_rotate_under_load_without_a_refusal_or_a_fork(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    // Longer than the clock jumps between issue and check of a token.
    let spec = "{ type: WORKLOAD, session: { accessTokenDuration: { days: 5 } } }";
    replicas.user("ci", spec).await;
    let (_, client) = replicas.client("ci", "").await;
    assert_eq!(
        keys(&replicas).await,
        1,
        "replicas that start together make one key"
    );
    let key_of = |text: &str| token::inspect(text).unwrap().key_id;
    let first = key_of(&client.grant(replicas.context(0), None).await.access_token());

    replicas.advance(DAY * 29);
    maintain(&replicas).await;
    assert_eq!(keys(&replicas).await, 2, "of racing replicas one publishes");
    let before = client.grant(replicas.context(1), None).await.access_token();
    assert_eq!(key_of(&before), first, "published, not signing yet");

    // Grants and checks continue during the rotation.
    let mut running = JoinSet::new();
    for worker in 0..4 {
        let ctx = replicas.context(worker).clone();
        let other = replicas.context(worker + 1).clone();
        let client = client.clone();
        running.spawn(async move {
            let mut keys = HashSet::new();
            for _ in 0..30 {
                let token = client.grant(&ctx, None).await.access_token();
                authenticate(&other, &token).await.unwrap();
                keys.insert(token::inspect(&token).unwrap().key_id);
            }
            keys
        });
    }
    replicas.advance(DAY + Duration::from_secs(1));
    maintain(&replicas).await;
    let seen: HashSet<_> = running.join_all().await.into_iter().flatten().collect();
    assert!(seen.len() <= 2);
    let second = key_of(&client.grant(replicas.context(0), None).await.access_token());
    assert_ne!(second, first);
    assert_eq!(
        key_of(&client.grant(replicas.context(1), None).await.access_token()),
        second
    );
    assert_eq!(keys(&replicas).await, 2);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn w13_a_key_lives_as_long_as_a_credential_that_it_signed(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let secret = replicas.issue(&credential).await;
    for _ in 0..14 {
        replicas.advance(DAY * 30);
        maintain(&replicas).await;
    }
    // 14 months later.
    log_in(ctx, &secret).await.unwrap();
    let kept = keys(&replicas).await;
    assert!(kept > 10, "{kept} keys");

    // The secret was replaced and the root Credential expired: no valid token needs the old keys.
    let renewed = replicas.issue(&credential).await;
    replicas.advance(DAY * 100);
    for _ in 0..3 {
        maintain(&replicas).await;
    }
    assert!(keys(&replicas).await <= 4, "{} keys", keys(&replicas).await);
    log_in(ctx, &renewed).await.unwrap();
    let refused = log_in(ctx, &secret).await.unwrap_err();
    assert_eq!(
        refused.reason(),
        Some("token_key_unknown"),
        "no retired key is accepted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn w23_a_token_of_another_cluster_or_key_is_refused() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let others = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let tokens = log_in(ctx, &replicas.issue(&credential).await)
        .await
        .unwrap();
    let refused = |reason| Err(Unauthenticated::Refused { reason });
    let outcome = authenticate(others.context(0), &tokens.access_token).await;
    assert_eq!(outcome.map(|_| ()), refused("token_key_unknown"));

    // The same claims, signed with an attacker's key.
    let claims = token::inspect(&tokens.access_token).unwrap();
    let forged = SigningKey::generate(&SystemRng).unwrap().sign(&claims);
    for _ in 0..200 {
        let outcome = authenticate(ctx, forged.expose()).await;
        assert_eq!(outcome.map(|_| ()), refused("token_key_unknown"));
    }
    // A flood of unknown keys does not block the known key.
    for _ in 0..200 {
        let forged = SigningKey::generate(&SystemRng).unwrap().sign(&claims);
        assert!(authenticate(ctx, forged.expose()).await.is_err());
    }
    authenticate(ctx, &tokens.access_token).await.unwrap();
}
