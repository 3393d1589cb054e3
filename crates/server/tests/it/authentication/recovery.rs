//! Credentials of `octeliumd recover`. Policies do not apply to them, so nothing may extend their lifetime.

use std::time::Duration;

use api::{
    core_v1::{Credential, Session},
    platform_v1::ApplyRequest,
    resource::Object as _,
};
use domain::{
    clock::UnixMillis,
    credential::{RECOVERY_LIFETIME, Rotation},
    kind::Kind,
    token::Token,
};
use server::{
    ErrorKind, Unauthenticated,
    authentication::issue,
    bootstrap,
    document::codec,
    resource::{apply::Apply, write::Update},
};

use crate::replicas::{Backend, Replicas, authenticate, log_in, refresh};

const TWO_YEARS: Duration = Duration::from_hours(700 * 24);

async fn recover(replicas: &Replicas) -> (Token, Credential) {
    let ctx = replicas.context(0);
    let token = bootstrap::recover(ctx).await.unwrap();
    let all = ctx.store.scan(Kind::Credential, None, 10_000, ctx.now());
    let credential = all
        .await
        .unwrap()
        .iter()
        .map(|document| codec::decode::<Credential>(document).unwrap().message)
        .find(|credential| credential.status().is_some_and(|status| status.recovery));
    (token, credential.unwrap())
}

fn in_two_years(now: UnixMillis) -> prost_types::Timestamp {
    now.saturating_add(TWO_YEARS).to_proto()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helpdesk_cannot_change_or_rotate_a_recovery_credential_s05() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let (cluster, actor) = (replicas.first(), &replicas.actor);
    let ctx = replicas.context(0);
    let (token, credential) = recover(&replicas).await;

    let mut prolonged = credential.clone();
    prolonged.spec_mut().expires_at = Some(in_two_years(ctx.now()));
    prolonged.metadata_mut().resource_version.clear();
    let mut uncounted = credential.clone();
    uncounted.spec_mut().max_authentications = 0;
    uncounted.metadata_mut().resource_version.clear();
    for changed in [prolonged.clone(), uncounted] {
        let updated = cluster.run(actor, Update(changed)).await.unwrap_err();
        assert_eq!(updated.kind(), ErrorKind::FailedPrecondition);
        assert!(
            updated.to_string().contains("octeliumd recover"),
            "{updated}"
        );
    }
    let request = ApplyRequest {
        resources: vec![prolonged.clone().into_resource()],
        ..ApplyRequest::default()
    };
    let applied = cluster.run(actor, Apply(request)).await.unwrap();
    assert!(
        format!("{applied:?}").contains("octeliumd recover"),
        "{applied:?}"
    );
    for rotation in [
        Rotation::EndSessions,
        Rotation::KeepSessions,
        Rotation::Overlap(TWO_YEARS),
    ] {
        let rotated = issue::rotate(ctx, actor, &credential.reference(), rotation).await;
        let refused = rotated.unwrap_err();
        assert_eq!(refused.reason(), Some("credential_recovery"), "{refused}");
    }

    // It still works once for its purpose.
    log_in(ctx, token.expose()).await.unwrap();
    assert!(log_in(ctx, token.expose()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_credential_and_its_sessions_end_regardless_of_their_spec_s05() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let (token, credential) = recover(&replicas).await;
    let tokens = log_in(ctx, token.expose()).await.unwrap();
    let principal = authenticate(ctx, &tokens.access_token).await.unwrap();
    let session: Session = principal.session();
    let forever = Some(in_two_years(ctx.now()));
    // Imitates a release that did not check the expiry in the status.
    replicas
        .edit(&credential, |credential: &mut Credential| {
            credential.spec_mut().expires_at = forever;
            credential.spec_mut().max_authentications = 0;
        })
        .await;
    replicas
        .edit(&session, |session: &mut Session| {
            session.spec_mut().expires_at = forever;
        })
        .await;
    replicas.settle().await;

    replicas.advance(RECOVERY_LIFETIME.saturating_sub(Duration::from_millis(1)));
    log_in(ctx, token.expose()).await.unwrap();

    replicas.advance(Duration::from_millis(1));
    let refused = log_in(ctx, token.expose()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    let refused = authenticate(ctx, &tokens.access_token).await;
    assert!(matches!(refused, Err(Unauthenticated::Refused { .. })));
    let refused = refresh(ctx, &tokens.refresh_token).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    let uid = credential.uid().parse().unwrap();
    assert!(replicas.get::<Credential>(uid).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_recovery_credential_ends_a_quarter_of_an_hour_after_its_creation_s05() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let (token, credential) = recover(&replicas).await;
    let forever = Some(in_two_years(ctx.now()));
    replicas
        .edit(&credential, |credential: &mut Credential| {
            credential.status_mut().recovery_until = None;
            credential.spec_mut().expires_at = forever;
        })
        .await;
    replicas.settle().await;
    replicas.advance(RECOVERY_LIFETIME);
    let refused = log_in(ctx, token.expose()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_recovery_revokes_the_previous_one_s05() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let (former, _) = recover(&replicas).await;
    let (token, credential) = recover(&replicas).await;
    replicas.settle().await;
    assert!(log_in(ctx, former.expose()).await.is_err());
    log_in(ctx, token.expose()).await.unwrap();
    assert_eq!(
        credential.status().unwrap().recovery_until,
        credential.spec().unwrap().expires_at
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_recovery_takes_the_former_one_away_among_thousands_of_credentials_s05() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let other = replicas.credential("AUTH_TOKEN", "root", "").await;
    replicas.copy_credential(&other, 2500).await;
    // The former recovery is not among the oldest Credentials.
    replicas.advance(Duration::from_secs(1));
    let (former, _) = recover(&replicas).await;
    let (token, _) = recover(&replicas).await;
    replicas.settle().await;
    assert!(log_in(ctx, former.expose()).await.is_err());
    log_in(ctx, token.expose()).await.unwrap();
    let uid = other.uid().parse().unwrap();
    assert!(replicas.get::<Credential>(uid).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_ends_more_than_a_thousand_sessions_s05() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let root = replicas.actor.principal.user().clone();
    let session = replicas.sessions(&root).await.remove(0);
    replicas.copy_session(&session, 1500).await;
    assert_eq!(replicas.sessions(&root).await.len(), 1501);

    recover(&replicas).await;
    assert!(replicas.sessions(&root).await.is_empty());
}
