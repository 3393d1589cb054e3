//! Introspection and revocation, which only concern a client's own tokens.

use std::{sync::Arc, time::Duration};

use rstest::rstest;
use server::{Context, Domain, Unauthenticated, directory::Limits};

use crate::{
    failing::Failing,
    replicas::{Backend, Replicas, authenticate, log_in},
};

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a14_a_client_introspects_and_revokes_only_its_own_tokens(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 1).await;
    let ctx = replicas.context(0);
    let user = replicas.workload("ci").await;
    let (_, owner) = replicas.client("ci", "").await;
    // Not even for another client of the same User.
    let (_, other) = replicas.client("ci", "").await;
    let token = owner.grant(ctx, Some("service:nginx")).await.access_token();

    let introspected = owner.manage(ctx, "/oauth2/introspect", &token).await.json();
    assert_eq!(introspected["active"], true);
    assert_eq!(introspected["client_id"], owner.id.as_str());
    assert_eq!(introspected["scope"], "service:nginx");
    assert_eq!(introspected["username"], "ci");
    assert_eq!(
        introspected["sub"],
        user.metadata.as_ref().unwrap().uid.as_str()
    );
    assert_eq!(introspected["token_type"], "Bearer");
    assert!(introspected["exp"].is_i64());

    let inactive = serde_json::json!({ "active": false });
    assert_eq!(
        other.manage(ctx, "/oauth2/introspect", &token).await.json(),
        inactive
    );
    for foreign in ["garbage", &owner.secret, &token[..token.len() - 1]] {
        assert_eq!(
            owner
                .manage(ctx, "/oauth2/introspect", foreign)
                .await
                .json(),
            inactive
        );
        assert_eq!(
            owner.manage(ctx, "/oauth2/revoke", foreign).await.status,
            200
        );
    }
    let login = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let login = replicas.issue(&login).await;
    let login = log_in(ctx, &login).await.unwrap();
    assert_eq!(
        owner
            .manage(ctx, "/oauth2/introspect", &login.access_token)
            .await
            .json(),
        inactive
    );

    for foreign in [&token, &login.access_token] {
        let reply = other.manage(ctx, "/oauth2/revoke", foreign).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (400, "invalid_grant")
        );
        authenticate(ctx, foreign).await.unwrap();
    }
    assert_eq!(
        owner.manage(ctx, "/oauth2/revoke", &token).await.status,
        200
    );
    assert_eq!(
        owner.manage(ctx, "/oauth2/introspect", &token).await.json(),
        inactive
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_used_up_still_manages_what_it_got() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("ci").await;
    let (_, client) = replicas.client("ci", "maxAuthentications: 1").await;
    let token = client.grant(ctx, None).await.access_token();
    assert_eq!(client.grant(ctx, None).await.status, 401);
    assert_eq!(
        client
            .manage(ctx, "/oauth2/introspect", &token)
            .await
            .json()["active"],
        true
    );
    assert_eq!(
        client.manage(ctx, "/oauth2/revoke", &token).await.status,
        200
    );
    assert_eq!(
        client
            .manage(ctx, "/oauth2/introspect", &token)
            .await
            .json()["active"],
        false
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_revocation_that_the_store_did_not_take_is_not_answered_with_200() {
    let store = Arc::new(Failing::over(store::testing::sqlite()));
    let replicas = Replicas::on(vec![store.clone()]).await;
    let ctx = replicas.context(0);
    replicas.workload("ci").await;
    let (_, client) = replicas.client("ci", "").await;
    let token = client.grant(ctx, None).await.access_token();

    store.fail(true);
    let reply = client.manage(ctx, "/oauth2/revoke", &token).await;
    assert_eq!(
        (reply.status.as_u16(), reply.error().as_str()),
        (503, "temporarily_unavailable")
    );
    assert!(reply.header("retry-after").is_some());
    authenticate(ctx, &token).await.unwrap();
    store.fail(false);
    assert_eq!(
        client.manage(ctx, "/oauth2/revoke", &token).await.status,
        200
    );
    assert!(authenticate(ctx, &token).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_revoked_tokens_than_fit_in_memory_stay_revoked_s11() {
    let store = store::testing::sqlite();
    let replicas = Replicas::on(vec![store.clone()]).await;
    replicas.workload("ci").await;
    let (_, client) = replicas.client("ci", "").await;
    let limits = Limits {
        revoked_tokens: 2,
        ..Limits::default()
    };
    let clock = replicas.first().clock.clone();
    let domain: Domain = "localhost:8443".parse().unwrap();
    let rng = Arc::new(domain::rng::SystemRng);
    let ctx = Context::open(store, clock, rng, domain, limits)
        .await
        .unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::spawn(ctx.directory.clone().run(stop.clone()));

    let mut tokens = Vec::new();
    for _ in 0..6 {
        let token = client.grant(&ctx, None).await.access_token();
        authenticate(&ctx, &token).await.unwrap();
        tokens.push(token);
    }
    let kept = tokens.pop().unwrap();
    for token in &tokens {
        let reply = client.manage(&ctx, "/oauth2/revoke", token).await;
        assert_eq!(reply.status, 200);
    }
    // The cached data of tokens in use does not matter.
    replicas.advance(Duration::from_secs(2));
    for token in &tokens {
        let refused = authenticate(&ctx, token).await.err();
        let reason = "token_revoked";
        assert_eq!(refused, Some(Unauthenticated::Refused { reason }));
    }
    authenticate(&ctx, &kept).await.unwrap();
    let new = client.grant(&ctx, None).await.access_token();
    authenticate(&ctx, &new).await.unwrap();
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_revokes_in_a_loop_is_held_up_s11() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("ci").await;
    let (_, client) = replicas.client("ci", "").await;
    let (_, other) = replicas.client("ci", "").await;
    for _ in 0..300 {
        let token = client.grant(ctx, None).await.access_token();
        let reply = client.manage(ctx, "/oauth2/revoke", &token).await;
        assert_eq!(reply.status, 200);
    }
    let token = client.grant(ctx, None).await.access_token();
    let reply = client.manage(ctx, "/oauth2/revoke", &token).await;
    assert_eq!(reply.status, 429);
    assert!(reply.header("retry-after").is_some());
    assert!(
        reply.json()["error_description"]
            .to_string()
            .contains("rotate")
    );
    // That token was not revoked, and other clients are not limited.
    authenticate(ctx, &token).await.unwrap();
    let others = other.grant(ctx, None).await.access_token();
    let reply = other.manage(ctx, "/oauth2/revoke", &others).await;
    assert_eq!(reply.status, 200);
    replicas.advance(Duration::from_mins(1));
    let reply = client.manage(ctx, "/oauth2/revoke", &token).await;
    assert_eq!(reply.status, 200);
}
