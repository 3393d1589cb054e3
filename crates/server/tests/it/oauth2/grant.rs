//! Grants: Sessions, concurrent tokens, scopes and counted uses.

use std::{collections::HashSet, time::Duration};

use api::{
    core_v1::{Credential, Session, User, session::spec::State},
    resource::Object as _,
};
use domain::{kind::Kind, token};
use rstest::rstest;
use tokio::task::JoinSet;

use crate::replicas::{Backend, Replicas, authenticate, becomes_refused, is_cancelled};

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a05_w11_replicas_of_a_client_hold_tokens_side_by_side_in_one_session(
    #[case] backend: Backend,
) {
    let replicas = Replicas::start(backend, 2).await;
    let user = replicas.workload("ci").await;
    let (_, client) = replicas.client("ci", "").await;
    let mut grants = JoinSet::new();
    for replica in 0..64 {
        let ctx = replicas.context(replica).clone();
        let client = client.clone();
        grants.spawn(async move { client.grant(&ctx, None).await.access_token() });
    }
    let tokens = grants.join_all().await;
    let ids: HashSet<_> = tokens
        .iter()
        .map(|text| token::inspect(text).unwrap().token_id)
        .collect();
    assert_eq!(ids.len(), 64);
    assert_eq!(replicas.sessions(&user).await.len(), 1);
    for (replica, token) in tokens.iter().enumerate() {
        authenticate(replicas.context(replica + 1), token)
            .await
            .unwrap();
    }

    let [first, second] = [&tokens[0], &tokens[1]];
    let open = authenticate(replicas.context(1), first).await.unwrap();
    let beside = authenticate(replicas.context(1), second).await.unwrap();
    let reply = client
        .manage(replicas.context(0), "/oauth2/revoke", first)
        .await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    assert!(
        authenticate(replicas.context(0), first).await.is_err(),
        "at once where it was answered"
    );
    assert!(is_cancelled(&open).await);
    assert!(becomes_refused(replicas.context(1), first).await);
    for replica in 0..2 {
        authenticate(replicas.context(replica), second)
            .await
            .unwrap();
    }
    assert!(!beside.revoked.is_cancelled());
    // A repeated revocation succeeds.
    assert_eq!(
        client
            .manage(replicas.context(1), "/oauth2/revoke", first)
            .await
            .status,
        200
    );
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a01_a02_exactly_as_many_grants_as_a_counted_client_may_have(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    for (name, most) in [("once", 1), ("thrice", 3)] {
        let user = replicas.workload(name).await;
        let spec = format!("maxAuthentications: {most}");
        let (credential, client) = replicas.client(name, &spec).await;
        let mut grants = JoinSet::new();
        for replica in 0..64 {
            let ctx = replicas.context(replica).clone();
            let client = client.clone();
            grants.spawn(async move { client.grant(&ctx, None).await });
        }
        let replies = grants.join_all().await;
        let granted: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
        assert_eq!(granted.len(), most);
        assert!(
            replies
                .iter()
                .all(|reply| reply.status == 200 || reply.error() == "invalid_client")
        );
        assert_eq!(replicas.sessions(&user).await.len(), 1);
        for reply in granted {
            authenticate(replicas.context(0), &reply.access_token())
                .await
                .unwrap();
        }
        let stored = replicas
            .get::<Credential>(credential.uid().parse().unwrap())
            .await
            .unwrap();
        let total = stored.message.status.unwrap().total_authentications;
        assert_eq!(usize::try_from(total).unwrap(), most);
    }
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a24_w17_each_set_of_scopes_has_a_session_of_its_own(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    let user = replicas.workload("ci").await;
    let (_, client) = replicas.client("ci", "").await;
    let narrow = client
        .grant(replicas.context(0), Some("service:nginx"))
        .await;
    assert_eq!(narrow.json()["scope"], "service:nginx");
    let narrow = narrow.access_token();
    let wide = client.grant(replicas.context(1), None).await.access_token();
    let other = client
        .grant(replicas.context(0), Some("api:core service:nginx"))
        .await;
    let same = client
        .grant(replicas.context(1), Some("service:nginx api:core"))
        .await;
    let session = |token: &str| token::inspect(token).unwrap().subject;
    assert_eq!(
        session(&other.access_token()),
        session(&same.access_token())
    );
    assert_ne!(session(&narrow), session(&wide));
    assert_eq!(replicas.sessions(&user).await.len(), 3);
    let narrow = authenticate(replicas.context(1), &narrow).await.unwrap();
    assert_eq!(narrow.scopes().len(), 1);
    assert!(
        authenticate(replicas.context(0), &wide)
            .await
            .unwrap()
            .scopes()
            .is_empty()
    );
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn w16_an_expired_session_is_replaced_and_a_pending_one_gets_no_token(
    #[case] backend: Backend,
) {
    let replicas = Replicas::start(backend, 1).await;
    let spec = "{ type: WORKLOAD, session: { clientlessDuration: { minutes: 30 }, accessTokenDuration: { minutes: 20 } } }";
    let user = replicas.user("ci", spec).await;
    let (_, client) = replicas.client("ci", "").await;
    let ctx = replicas.context(0);
    let first = client.grant(ctx, None).await;
    assert_eq!(first.json()["expires_in"], 1200);
    let first = first.access_token();
    replicas.advance(Duration::from_secs(25 * 60));
    let capped = client.grant(ctx, None).await;
    assert_eq!(capped.json()["expires_in"], 300, "not beyond its Session");
    replicas.advance(Duration::from_secs(5 * 60));
    let second = client.grant(ctx, None).await;
    assert_eq!(second.json()["expires_in"], 1200);
    let second = second.access_token();
    let session = |token: &str| token::inspect(token).unwrap().subject;
    assert_ne!(session(&first), session(&second));
    authenticate(ctx, &second).await.unwrap();
    assert_eq!(replicas.sessions(&user).await.len(), 1);

    for (state, locked) in [
        (State::Pending, false),
        (State::Rejected, false),
        (State::Active, true),
    ] {
        let sessions = replicas.sessions(&user).await;
        replicas
            .edit(&sessions[0], |session: &mut Session| {
                session.spec_mut().set_state(state);
                session.status_mut().is_locked = locked;
            })
            .await;
        replicas.settle().await;
        let reply = client.grant(ctx, None).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (400, "unauthorized_client")
        );
    }
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn w26_refused_clients_get_an_error_and_a_limit_is_429(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 1).await;
    let ctx = replicas.context(0);
    let user = replicas
        .user("ci", "{ type: WORKLOAD, session: { maxPerUser: 1 } }")
        .await;
    let (credential, client) = replicas.client("ci", "").await;
    client.grant(ctx, None).await.access_token();
    let reply = client.grant(ctx, Some("api:*")).await;
    assert_eq!(reply.status, 429);
    assert!(reply.header("retry-after").is_some());

    replicas
        .edit(&user, |user: &mut User| user.spec_mut().is_disabled = true)
        .await;
    replicas.settle().await;
    let reply = client.grant(ctx, None).await;
    assert_eq!(
        (reply.status.as_u16(), reply.error().as_str()),
        (400, "unauthorized_client")
    );

    replicas
        .edit(&credential, |c: &mut Credential| {
            c.spec_mut().is_disabled = true;
        })
        .await;
    replicas.settle().await;
    let reply = client.grant(ctx, None).await;
    assert_eq!(
        (reply.status.as_u16(), reply.error().as_str()),
        (401, "invalid_client")
    );
    let description = reply.json()["error_description"].to_string();
    assert!(
        description.contains("disabled"),
        "a client with the right secret learns the reason: {description}"
    );
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn an_unlimited_client_costs_no_write_per_grant_and_is_counted_all_the_same(
    #[case] backend: Backend,
) {
    let replicas = Replicas::start(backend, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("ci").await;
    let (credential, client) = replicas.client("ci", "").await;
    client.grant(ctx, None).await.access_token();
    ctx.flush().await;
    let before = ctx.store.feed().borrow().cursor;
    let revision =
        |stored: Option<server::document::codec::Stored<Credential>>| stored.unwrap().revision;
    let uid = credential.uid().parse().unwrap();
    let unchanged = revision(replicas.get::<Credential>(uid).await);
    for _ in 0..100 {
        client.grant(ctx, None).await.access_token();
    }
    assert_eq!(ctx.store.feed().borrow().cursor, before);
    assert_eq!(revision(replicas.get::<Credential>(uid).await), unchanged);
    let audit = replicas.audit().await;
    let granted: u64 = audit
        .iter()
        .filter(|event| event.r#type == "token.granted")
        .map(|event| event.count)
        .sum();
    assert_eq!(granted, 100, "folded, none lost");
    assert_eq!(ctx.store.usage(&[uid]).await.unwrap()[&uid].count, 101);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a03_a_client_disabled_while_requests_run_is_stopped_everywhere(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    replicas.workload("ci").await;
    let (credential, client) = replicas.client("ci", "").await;
    let tokens = [
        client.grant(replicas.context(0), None).await.access_token(),
        client.grant(replicas.context(1), None).await.access_token(),
    ];
    let mut running = JoinSet::new();
    for replica in 0..2 {
        for token in tokens.clone() {
            let ctx = replicas.context(replica).clone();
            // Sends requests without a pause until the token is refused.
            running.spawn(async move {
                let begun = std::time::Instant::now();
                while authenticate(&ctx, &token).await.is_ok() {
                    assert!(begun.elapsed() < Duration::from_secs(20));
                    tokio::task::yield_now().await;
                }
            });
        }
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    replicas
        .edit(&credential, |c: &mut Credential| {
            c.spec_mut().is_disabled = true;
        })
        .await;
    while let Some(outcome) = running.join_next().await {
        outcome.unwrap();
    }
    for replica in 0..2 {
        assert_eq!(
            client.grant(replicas.context(replica), None).await.status,
            401
        );
    }
    replicas.delete(Kind::Credential, credential.uid()).await;
    replicas.settle().await;
    assert_eq!(client.grant(replicas.context(1), None).await.status, 401);
}
