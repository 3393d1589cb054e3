//! Credentials with a limited number of uses.

use api::{core_v1::Credential, resource::Object as _};
use rstest::rstest;
use server::ErrorKind;
use tokio::task::JoinSet;

use crate::replicas::{Backend, Replicas, authenticate, log_in};

const PARALLEL: usize = 64;

/// Runs parallel logins and returns the successful ones.
async fn race(replicas: &Replicas, token: &str) -> Vec<String> {
    let mut logins = JoinSet::new();
    for replica in 0..PARALLEL {
        let ctx = replicas.context(replica).clone();
        let token = token.to_owned();
        logins.spawn(async move { log_in(&ctx, &token).await });
    }
    let mut tokens = Vec::new();
    for outcome in logins.join_all().await {
        match outcome {
            Ok(token) => tokens.push(token.access_token),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}"),
        }
    }
    tokens
}

#[rstest]
#[case::sqlite_1(Backend::Sqlite, 1)]
#[case::sqlite_3(Backend::Sqlite, 3)]
#[case::postgres_1(Backend::Postgres, 1)]
#[case::postgres_3(Backend::Postgres, 3)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a01_w2_w3_parallel_uses_of_a_one_time_token_make_one_session(
    #[case] backend: Backend,
    #[case] nodes: usize,
) {
    let replicas = Replicas::start(backend, nodes).await;
    let user = replicas.workload("ci").await;
    let credential = replicas
        .credential("AUTH_TOKEN", "ci", "maxAuthentications: 1")
        .await;
    let token = replicas.issue(&credential).await;

    let tokens = race(&replicas, &token).await;
    assert_eq!(tokens.len(), 1);
    assert_eq!(
        replicas.sessions(&user).await.len(),
        1,
        "nothing is left by the losers"
    );
    authenticate(replicas.context(1), &tokens[0]).await.unwrap();

    let stored = replicas
        .get::<Credential>(credential.uid().parse().unwrap())
        .await
        .unwrap();
    assert_eq!(stored.message.status.unwrap().total_authentications, 1);
    assert!(log_in(replicas.context(0), &token).await.is_err());
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a02_the_last_use_deletes_the_credential_and_its_sessions_live_on(
    #[case] backend: Backend,
) {
    let replicas = Replicas::start(backend, 2).await;
    let user = replicas.workload("ci").await;
    let spec = "maxAuthentications: 5, autoDelete: true, authorization: { policies: [allow-all] }";
    let credential = replicas.credential("AUTH_TOKEN", "ci", spec).await;
    let token = replicas.issue(&credential).await;

    let tokens = race(&replicas, &token).await;
    assert_eq!(tokens.len(), 5);
    assert_eq!(replicas.sessions(&user).await.len(), 5);
    let uid = credential.uid().parse().unwrap();
    assert!(
        replicas.get::<Credential>(uid).await.is_none(),
        "it was used up"
    );
    replicas.settle().await;
    for token in &tokens {
        let principal = authenticate(replicas.context(1), token).await.unwrap();
        assert!(!principal.revoked.is_cancelled());
        let spec = principal.session().spec.clone().unwrap();
        assert_eq!(spec.authorization.unwrap().policies, ["allow-all"]);
    }
}

#[tokio::test]
async fn more_than_a_thousand_sessions_outlive_a_credential_that_is_used_up_a02() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let user = "{ type: WORKLOAD, session: { maxPerUser: 10000 } }";
    let user = replicas.user("ci", user).await;
    let spec = "maxAuthentications: 2, autoDelete: true";
    let credential = replicas.credential("AUTH_TOKEN", "ci", spec).await;
    let token = replicas.issue(&credential).await;
    log_in(replicas.context(0), &token).await.unwrap();
    let session = replicas.sessions(&user).await.remove(0);
    replicas.copy_session(&session, 1500).await;

    log_in(replicas.context(0), &token).await.unwrap();
    let uid = credential.uid().parse().unwrap();
    assert!(replicas.get::<Credential>(uid).await.is_none());
    let sessions = replicas.sessions(&user).await;
    assert_eq!(sessions.len(), 1502);
    for session in sessions {
        assert_eq!(session.status.unwrap().credential_ref, None);
    }
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn w4_the_limit_of_sessions_holds_under_parallel_logins(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    let user = replicas
        .user("ci", "{ type: WORKLOAD, session: { maxPerUser: 7 } }")
        .await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let token = replicas.issue(&credential).await;

    let mut logins = JoinSet::new();
    for replica in 0..32 {
        let ctx = replicas.context(replica).clone();
        let token = token.clone();
        logins.spawn(async move { log_in(&ctx, &token).await });
    }
    let outcomes = logins.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 7);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert_eq!(refused.reason(), Some("session_limit"));
    }
    assert_eq!(replicas.sessions(&user).await.len(), 7);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn w14_sessions_that_have_ended_do_not_count(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 1).await;
    let user = replicas
        .user("ci", "{ type: WORKLOAD, session: { maxPerUser: 2 } }")
        .await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    for _ in 0..5 {
        // Issuing a new secret ends the Sessions of the previous one.
        let token = replicas.issue(&credential).await;
        log_in(replicas.context(0), &token).await.unwrap();
        log_in(replicas.context(0), &token).await.unwrap();
    }
    assert_eq!(replicas.sessions(&user).await.len(), 2);
}
