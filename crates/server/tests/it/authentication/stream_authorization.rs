//! Streaming calls are authorized repeatedly. Unary calls complete, even if they end their own Session.

use std::time::Duration;

use api::{
    core_v1::{
        Credential, GenerateCredentialTokenRequest, ListUserOptions, Policy, User,
        main_service_client::MainServiceClient as CoreClient,
    },
    meta_v1::DeleteOptions,
    platform_v1::{
        WatchEvent, WatchRequest, main_service_client::MainServiceClient as PlatformClient,
        watch_event::Type,
    },
    resource::Object as _,
};
use domain::kind::Kind;
use server::{Context, directory::Limits};
use store::{Expected, NewDocument, Operation, SecretWrite, Transaction};
use tonic::{Code, Status, Streaming};

use super::api::{router, with};
use crate::replicas::{Backend, Replicas, log_in};

const AUTH: &str = "x-octelium-auth";

async fn watch(ctx: &Context, access_token: &str) -> Streaming<WatchEvent> {
    let mut platform = PlatformClient::new(router(ctx).await);
    let request = WatchRequest {
        kind: "Group".to_owned(),
        after_cursor: 0,
    };
    let reply = platform.watch(with(request, AUTH, access_token)).await;
    let mut events = reply.unwrap().into_inner();
    while events.message().await.unwrap().unwrap().r#type() != Type::Synced {}
    events
}

async fn end(mut events: Streaming<WatchEvent>) -> Status {
    let end = async {
        loop {
            match events.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended well"),
                Err(status) => return status,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), end)
        .await
        .expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_policies_no_longer_allow_it() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("operator").await;
    let spec = "authorization: { policies: [octelium-api-full-access] }";
    let credential = replicas.credential("AUTH_TOKEN", "operator", spec).await;
    let tokens = log_in(ctx, &replicas.issue(&credential).await)
        .await
        .unwrap();
    let events = watch(ctx, &tokens.access_token).await;
    replicas
        .edit(&credential, |credential: &mut Credential| {
            credential.spec_mut().authorization = None;
        })
        .await;
    let status = end(events).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "Octelium: Unauthorized");
    ctx.flush().await;
    let audit = replicas.audit().await;
    let refused = audit.iter().find(|event| event.reason == "policy").unwrap();
    assert_eq!(
        refused.attrs["method"],
        "/octelium.platform.v1.MainService/Watch"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_the_time_comes_that_its_policy_sets() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let until = ctx.now().saturating_add(Duration::from_secs(60));
    let policy = format!(
        "authorization: {{ inlinePolicies: [{{ spec: {{ rules: [{{ effect: ALLOW, condition: {{ match: 'now() < timestamp(\"{until}\")' }} }}] }} }}] }}"
    );
    replicas.workload("operator").await;
    let credential = replicas.credential("AUTH_TOKEN", "operator", &policy).await;
    let tokens = log_in(ctx, &replicas.issue(&credential).await)
        .await
        .unwrap();
    let events = watch(ctx, &tokens.access_token).await;
    replicas.advance(Duration::from_secs(120));
    assert_eq!(end(events).await.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_ones_own_session_still_returns_the_reply() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("operator").await;
    let spec = "authorization: { policies: [octelium-api-full-access] }";
    let credential = replicas.credential("AUTH_TOKEN", "operator", spec).await;
    let mut core = CoreClient::new(router(ctx).await);

    let tokens = log_in(ctx, &replicas.issue(&credential).await)
        .await
        .unwrap();
    let request = GenerateCredentialTokenRequest {
        credential_ref: Some(credential.reference()),
    };
    let request = with(request, AUTH, &tokens.access_token);
    let token = core.generate_credential_token(request).await.unwrap();
    // The new token works, and the old Session has ended.
    let token = crate::replicas::secret(token.into_inner());
    let list = with(ListUserOptions::default(), AUTH, &tokens.access_token);
    let over = core.list_user(list).await.unwrap_err();
    assert_eq!(over.code(), Code::Unauthenticated);

    let tokens = log_in(ctx, &token).await.unwrap();
    let request = DeleteOptions {
        uid: credential.uid().to_owned(),
        ..DeleteOptions::default()
    };
    let request = with(request, AUTH, &tokens.access_token);
    core.delete_credential(request).await.unwrap();
}

/// Overwrites the document of a resource with bytes that are not a message.
async fn damage<T: server::document::codec::Resource>(replicas: &Replicas, object: &T) {
    let ctx = replicas.context(0);
    let uid = object.uid().parse().unwrap();
    let stored = replicas.get::<T>(uid).await.unwrap();
    let document = NewDocument {
        kind: T::DOCUMENT,
        uid,
        name: object.name().to_owned(),
        created_at: stored.created_at,
        expires_at: None,
        body: vec![0xff; 8],
        indexes: stored.message.indexes(),
        secret: SecretWrite::Keep,
    };
    let mut transaction = Transaction::at(ctx.now());
    transaction.push(Operation::Put(
        document,
        Expected::Revision(stored.revision),
    ));
    ctx.store.commit(transaction).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_documents_deny_what_refers_to_them_and_nothing_else() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let root = replicas.first().root().await;
    let allow = "spec: {rules: [{effect: ALLOW, condition: {matchAny: true}}]}";
    let policy = format!("{{kind: Policy, metadata: {{name: damaged}}, {allow}}}");
    let policy: Policy = replicas.first().create(&root, &policy).await.unwrap();
    let mut tokens = Vec::new();
    let mut users = Vec::new();
    for (user, policies) in [
        ("well", "octelium-api-full-access"),
        ("ill", "octelium-api-full-access, damaged"),
        ("gone", "octelium-api-full-access"),
    ] {
        users.push(replicas.workload(user).await);
        let spec = format!("authorization: {{ policies: [{policies}] }}");
        let credential = replicas.credential("AUTH_TOKEN", user, &spec).await;
        let tokens_of = log_in(ctx, &replicas.issue(&credential).await).await;
        tokens.push(tokens_of.unwrap().access_token);
    }
    let list = async |ctx: &Context, token: &str| {
        let mut core = CoreClient::new(router(ctx).await);
        let request = with(ListUserOptions::default(), AUTH, token);
        core.list_user(request)
            .await
            .map(|_| ())
            .map_err(|status| status.code())
    };
    assert_eq!(list(ctx, &tokens[1]).await, Ok(()));

    damage(&replicas, &policy).await;
    damage::<User>(&replicas, &users[2]).await;
    replicas.settle().await;
    // Later changes are still applied.
    let before = ctx.directory.services().len();
    let service = "{kind: Service, metadata: {name: web}, spec: {mode: HTTP, config: {upstream: {url: 'http://127.0.0.1:1'}}}}";
    replicas
        .first()
        .create::<api::core_v1::Service>(&root, service)
        .await
        .unwrap();
    assert_eq!(ctx.directory.services().len(), before + 1);
    assert!(ctx.directory.is_fresh());

    // A replica that starts now has the same state.
    let late = Context::open(
        ctx.store.clone(),
        ctx.clock.clone(),
        ctx.rng.clone(),
        ctx.domain.clone(),
        Limits::default(),
    );
    let late = late.await.unwrap();
    for ctx in [ctx, &late] {
        // The list includes the damaged User and fails, but the call was authorized.
        let status = async |token: &str| {
            let mut core = CoreClient::new(router(ctx).await);
            let request = with(
                api::core_v1::GetClusterConfigRequest::default(),
                AUTH,
                token,
            );
            let reply = core.get_cluster_config(request).await;
            reply.map(|_| ()).map_err(|status| status.code())
        };
        assert_eq!(status(&tokens[0]).await, Ok(()));
        assert_eq!(status(&tokens[1]).await, Err(Code::PermissionDenied));
        assert_eq!(status(&tokens[2]).await, Err(Code::Unauthenticated));
    }
    assert_eq!(policy.reference().kind, Kind::Policy.to_string());
}
