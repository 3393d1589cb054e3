//! Causes that end Sessions, tokens and open streams.

use std::time::Duration;

use api::{
    core_v1::{Credential, Group, Session, User},
    resource::Object as _,
};
use domain::{credential::Rotation, kind::Kind};
use rstest::rstest;
use server::{ErrorKind, Unauthenticated, authentication::issue};

use crate::{
    cluster::START,
    replicas::{
        Backend, Replicas, authenticate, becomes_refused, is_cancelled, log_in, refresh, secret,
    },
};

/// A change to a Credential, its User or its Session.
#[derive(Debug, Clone, Copy)]
enum End {
    Disable,
    Lock,
    Delete,
    Expire,
    Rotate,
    DisableUser,
    LockUser,
    DeleteUser,
    RejectSession,
    DeleteSession,
    RemoveGroup,
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a03_w12_ending_a_credential_ends_its_sessions_and_tokens(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(
        End::Disable,
        End::Lock,
        End::Delete,
        End::Expire,
        End::Rotate,
        End::DisableUser,
        End::LockUser,
        End::DeleteUser,
        End::RejectSession,
        End::DeleteSession,
        End::RemoveGroup
    )]
    end: End,
) {
    let replicas = Replicas::start(backend, 2).await;
    let group: Group = replicas
        .first()
        .create(
            &replicas.actor,
            "kind: Group\nmetadata: { name: builders }\nspec: {}\n",
        )
        .await
        .unwrap();
    let user = replicas
        .user("ci", "{ type: WORKLOAD, groups: [builders] }")
        .await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let token = replicas.issue(&credential).await;
    let tokens = log_in(replicas.context(0), &token).await.unwrap();
    let mut open = Vec::new();
    for replica in 0..2 {
        open.push(
            authenticate(replicas.context(replica), &tokens.access_token)
                .await
                .unwrap(),
        );
    }
    let session: &Session = &open[0].session();

    match end {
        End::Disable => {
            replicas
                .edit(&credential, |c: &mut Credential| {
                    c.spec_mut().is_disabled = true;
                })
                .await;
        }
        End::Lock => {
            replicas
                .edit(&credential, |c: &mut Credential| {
                    c.status_mut().is_locked = true;
                })
                .await;
        }
        End::Delete => replicas.delete(Kind::Credential, credential.uid()).await,
        End::Expire => {
            let at = START.saturating_add(Duration::from_secs(60)).to_proto();
            replicas
                .edit(&credential, |c: &mut Credential| {
                    c.spec_mut().expires_at = Some(at);
                })
                .await;
            replicas.settle().await;
            assert!(!open[1].revoked.is_cancelled());
            replicas.advance(Duration::from_secs(60));
        }
        End::Rotate => {
            replicas.issue(&credential).await;
        }
        End::DisableUser => {
            replicas
                .edit(&user, |user: &mut User| user.spec_mut().is_disabled = true)
                .await;
        }
        End::LockUser => {
            replicas
                .edit(&user, |user: &mut User| user.status_mut().is_locked = true)
                .await;
        }
        End::DeleteUser => replicas.delete(Kind::User, user.uid()).await,
        End::RejectSession => {
            let rejected = api::core_v1::session::spec::State::Rejected;
            replicas
                .edit(session, |s: &mut Session| s.spec_mut().set_state(rejected))
                .await;
        }
        End::DeleteSession => replicas.delete(Kind::Session, session.uid()).await,
        // W8: the missing Group might have denied.
        End::RemoveGroup => replicas.delete(Kind::Group, group.uid()).await,
    }

    for (replica, principal) in open.iter().enumerate() {
        assert!(
            is_cancelled(principal).await,
            "the open stream on replica {replica} ends"
        );
        let ctx = replicas.context(replica);
        assert!(
            becomes_refused(ctx, &tokens.access_token).await,
            "replica {replica}"
        );
        if !matches!(end, End::RemoveGroup) {
            let error = refresh(ctx, &tokens.refresh_token).await.unwrap_err();
            let expected = match end {
                End::DisableUser | End::LockUser => ErrorKind::PermissionDenied,
                _ => ErrorKind::Unauthenticated,
            };
            assert_eq!(error.kind(), expected, "{error}");
        }
    }
    let logs_in_again = matches!(
        end,
        End::RejectSession | End::DeleteSession | End::RemoveGroup
    );
    assert_eq!(
        log_in(replicas.context(1), &token).await.is_ok(),
        logs_in_again
    );
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a04_a_reverted_change_takes_effect(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    let user = replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let token = replicas.issue(&credential).await;
    let tokens = log_in(replicas.context(0), &token).await.unwrap();
    replicas
        .edit(&user, |user: &mut User| user.spec_mut().is_disabled = true)
        .await;
    assert!(becomes_refused(replicas.context(1), &tokens.access_token).await);
    let error = refresh(replicas.context(1), &tokens.refresh_token)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(error.reason(), Some("user_disabled"));

    replicas
        .edit(&user, |user: &mut User| user.spec_mut().is_disabled = false)
        .await;
    replicas.settle().await;
    let principal = authenticate(replicas.context(1), &tokens.access_token)
        .await
        .unwrap();
    assert!(
        !principal.revoked.is_cancelled(),
        "streams that were cut stay cut, new ones open"
    );
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a06_in_an_overlap_both_secrets_work_until_it_ends_and_never_three(
    #[case] backend: Backend,
) {
    let replicas = Replicas::start(backend, 2).await;
    replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let first = replicas.issue(&credential).await;
    let first_tokens = log_in(replicas.context(0), &first).await.unwrap();
    let rotate = |rotation| {
        let reference = credential.reference();
        let replicas = &replicas;
        async move {
            let token =
                issue::rotate(replicas.context(0), &replicas.actor, &reference, rotation).await;
            secret(token.unwrap())
        }
    };
    let overlap = Rotation::Overlap(Duration::from_secs(600));

    let second = rotate(overlap).await;
    for token in [&first, &second] {
        log_in(replicas.context(1), token).await.unwrap();
    }
    let open = authenticate(replicas.context(1), &first_tokens.access_token)
        .await
        .unwrap();

    let third = rotate(overlap).await;
    assert!(
        is_cancelled(&open).await,
        "the oldest generation ended with the second rotation"
    );
    assert!(
        log_in(replicas.context(1), &first).await.is_err(),
        "never three"
    );
    let second_tokens = log_in(replicas.context(1), &second).await.unwrap();
    let third_tokens = log_in(replicas.context(1), &third).await.unwrap();
    let second_open = authenticate(replicas.context(0), &second_tokens.access_token)
        .await
        .unwrap();

    replicas.advance(Duration::from_secs(599));
    log_in(replicas.context(0), &second).await.unwrap();
    replicas.advance(Duration::from_secs(1));
    for replica in 0..2 {
        assert!(log_in(replicas.context(replica), &second).await.is_err());
        let access = authenticate(replicas.context(replica), &second_tokens.access_token).await;
        assert!(access.is_err());
        assert!(
            refresh(replicas.context(replica), &second_tokens.refresh_token)
                .await
                .is_err()
        );
        authenticate(replicas.context(replica), &third_tokens.access_token)
            .await
            .unwrap();
    }
    assert!(
        is_cancelled(&second_open).await,
        "streams end with the overlap, without any change"
    );

    // The clock jumps back to before the rotation. Ended Sessions stay ended.
    replicas.all.iter().for_each(|cluster| {
        cluster
            .clock
            .set(START.saturating_sub(Duration::from_hours(24)));
    });
    assert!(log_in(replicas.context(0), &second).await.is_err());
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn rotation_that_keeps_sessions_changes_the_secret_alone(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let first = replicas.issue(&credential).await;
    let tokens = log_in(replicas.context(0), &first).await.unwrap();
    let open = authenticate(replicas.context(1), &tokens.access_token)
        .await
        .unwrap();
    let rotated = issue::rotate(
        replicas.context(0),
        &replicas.actor,
        &credential.reference(),
        Rotation::KeepSessions,
    )
    .await;
    let second = secret(rotated.unwrap());
    replicas.settle().await;
    assert!(log_in(replicas.context(1), &first).await.is_err());
    log_in(replicas.context(1), &second).await.unwrap();
    authenticate(replicas.context(1), &tokens.access_token)
        .await
        .unwrap();
    refresh(replicas.context(1), &tokens.refresh_token)
        .await
        .unwrap();
    assert!(!open.revoked.is_cancelled());
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a15_refreshing_lengthens_no_session_and_none_outlives_its_credential(
    #[case] backend: Backend,
) {
    let replicas = Replicas::start(backend, 1).await;
    let session = "session: { clientDuration: { hours: 2 }, accessTokenDuration: { minutes: 10 }, refreshTokenDuration: { hours: 1 } }";
    replicas
        .user("ci", &format!("{{ type: WORKLOAD, {session} }}"))
        .await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let token = replicas.issue(&credential).await;
    let ctx = replicas.context(0);
    let mut tokens = log_in(ctx, &token).await.unwrap();
    // W15: short durations are honored exactly.
    assert_eq!(
        (tokens.expires_in, tokens.refresh_token_expires_in),
        (600, 3600)
    );
    let end = authenticate(ctx, &tokens.access_token).await.unwrap();
    let end = end.session().spec.as_ref().unwrap().expires_at;
    for _ in 0..3 {
        replicas.advance(Duration::from_secs(1800));
        assert!(authenticate(ctx, &tokens.access_token).await.is_err());
        tokens = refresh(ctx, &tokens.refresh_token).await.unwrap();
        let principal = authenticate(ctx, &tokens.access_token).await.unwrap();
        assert_eq!(principal.session().spec.as_ref().unwrap().expires_at, end);
    }
    assert_eq!(
        tokens.refresh_token_expires_in, 1800,
        "not beyond the Session"
    );
    replicas.advance(Duration::from_secs(1800));
    let error = refresh(ctx, &tokens.refresh_token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn w18_a_refresh_may_be_repeated_shortly_and_later_reuse_revokes(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    let user = replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let token = replicas.issue(&credential).await;
    let first = log_in(replicas.context(0), &token).await.unwrap();
    let second = refresh(replicas.context(0), &first.refresh_token)
        .await
        .unwrap();

    replicas.advance(Duration::from_secs(29));
    let repeated = refresh(replicas.context(1), &first.refresh_token)
        .await
        .unwrap();
    let claims = |token: &str| domain::token::inspect(token).unwrap();
    assert_eq!(
        claims(&repeated.access_token),
        claims(&second.access_token),
        "the same ids and expiry"
    );
    assert_eq!(
        claims(&repeated.refresh_token),
        claims(&second.refresh_token)
    );
    authenticate(replicas.context(1), &first.access_token)
        .await
        .unwrap();
    let before = authenticate(replicas.context(0), &first.access_token)
        .await
        .unwrap();

    replicas.advance(Duration::from_secs(31));
    assert!(
        is_cancelled(&before).await,
        "the access token before lives for a minute"
    );
    assert!(
        authenticate(replicas.context(0), &first.access_token)
            .await
            .is_err()
    );
    authenticate(replicas.context(0), &second.access_token)
        .await
        .unwrap();

    let open = authenticate(replicas.context(1), &second.access_token)
        .await
        .unwrap();
    let error = refresh(replicas.context(0), &first.refresh_token)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Some("refresh_token_reused"));
    assert!(is_cancelled(&open).await);
    assert!(
        refresh(replicas.context(1), &second.refresh_token)
            .await
            .is_err()
    );
    assert!(replicas.sessions(&user).await.is_empty());
    let audit = replicas.audit().await;
    assert!(audit.iter().any(|event| event.r#type == "session.revoked"));
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn w6_a_logout_that_races_a_refresh_leaves_no_session(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    let user = replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let token = replicas.issue(&credential).await;
    for _ in 0..10 {
        let tokens = log_in(replicas.context(0), &token).await.unwrap();
        let caller = crate::replicas::caller();
        let (left, refreshed) = tokio::join!(
            server::authentication::logout(replicas.context(0), &tokens.refresh_token, &caller),
            refresh(replicas.context(1), &tokens.refresh_token),
        );
        left.unwrap();
        assert!(replicas.sessions(&user).await.is_empty());
        if let Ok(refreshed) = refreshed {
            assert!(becomes_refused(replicas.context(1), &refreshed.access_token).await);
        }
    }
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn w7_new_sessions_and_rotated_tokens_work_at_once_on_every_replica(
    #[case] backend: Backend,
) {
    let replicas = Replicas::start(backend, 2).await;
    replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    for _ in 0..20 {
        let token = replicas.issue(&credential).await;
        let tokens = log_in(replicas.context(1), &token).await.unwrap();
        for replica in 0..2 {
            authenticate(replicas.context(replica), &tokens.access_token)
                .await
                .unwrap();
        }
        let refreshed = refresh(replicas.context(0), &tokens.refresh_token)
            .await
            .unwrap();
        for replica in 0..2 {
            authenticate(replicas.context(replica), &refreshed.access_token)
                .await
                .unwrap();
        }
    }
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_lives_as_its_user_says_and_not_beyond_its_credential(
    #[case] backend: Backend,
) {
    let replicas = Replicas::start(backend, 1).await;
    let ctx = replicas.context(0);
    let long = "{ type: WORKLOAD, session: { accessTokenDuration: { days: 365 } } }";
    replicas.user("long", long).await;
    let short = "{ type: WORKLOAD, session: { accessTokenDuration: { seconds: 90 } } }";
    replicas.user("short", short).await;
    replicas.workload("plain").await;
    for (user, seconds) in [("long", 365 * 86_400), ("short", 90), ("plain", 4 * 3600)] {
        let credential = replicas.credential("ACCESS_TOKEN", user, "").await;
        let token = replicas.issue(&credential).await;
        let principal = authenticate(ctx, &token).await.unwrap();
        let expected = START.saturating_add(Duration::from_secs(seconds));
        assert_eq!(principal.valid_until, expected, "{user}");
        let again = replicas.issue(&credential).await;
        assert!(becomes_refused(ctx, &token).await, "re-keyed");
        authenticate(ctx, &again).await.unwrap();
    }
    let expires_at = START.saturating_add(Duration::from_secs(30));
    let spec = format!("expiresAt: \"{expires_at}\"");
    let credential = replicas.credential("ACCESS_TOKEN", "plain", &spec).await;
    let token = replicas.issue(&credential).await;
    assert_eq!(
        authenticate(ctx, &token).await.unwrap().valid_until,
        expires_at
    );
    replicas.advance(Duration::from_secs(30));
    let refused = authenticate(ctx, &token).await;
    assert!(matches!(refused, Err(Unauthenticated::Refused { .. })));
}
