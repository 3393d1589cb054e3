//! The gRPC API through the whole router: authorization and audit events.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::{
    auth_v1::{
        AuthenticateWithAuthenticationTokenRequest, GetAvailableAuthenticatorRequest,
        main_service_client::MainServiceClient as AuthClient,
    },
    core_v1::{
        Credential, ListUserOptions, Service, main_service_client::MainServiceClient as CoreClient,
    },
    platform_v1::audit_event::Outcome,
    resource::Object as _,
    user_v1::{
        GetStatusRequest, SetServiceConfigsRequest, SetServiceConfigsResponse,
        main_service_client::MainServiceClient as UserClient,
    },
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use rstest::rstest;
use server::{Context, Domain, directory::Limits, grpc_router};
use tonic::{Code, Request, Status, body::Body, metadata::MetadataValue};
use tower::{ServiceExt as _, util::BoxCloneSyncService};

use crate::replicas::{Backend, Replicas, authenticate, log_in, log_in_with};

pub(crate) type Router =
    BoxCloneSyncService<http::Request<Body>, http::Response<axum::body::Body>, Infallible>;

pub(crate) async fn router(ctx: &Context) -> Router {
    let router = grpc_router(ctx.clone()).await.unwrap();
    BoxCloneSyncService::new(
        router.map_request(|request: http::Request<Body>| request.map(axum::body::Body::new)),
    )
}

pub(crate) fn with<T>(message: T, name: &'static str, value: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(value).unwrap();
    request.metadata_mut().insert(name, value);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a18_only_an_access_token_that_policies_allow_opens_the_api() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let mut core = CoreClient::new(router(ctx).await);
    let mut user = UserClient::new(router(ctx).await);
    replicas.workload("plain").await;
    let credential = replicas.credential("AUTH_TOKEN", "plain", "").await;
    let secret = replicas.issue(&credential).await;
    let plain = log_in(ctx, &secret).await.unwrap();
    let spec = "authorization: { policies: [allow-all] }";
    let powerful = replicas.credential("AUTH_TOKEN", "plain", spec).await;
    let powerful_secret = replicas.issue(&powerful).await;
    let admin = log_in(ctx, &powerful_secret).await.unwrap();
    let (_, client) = replicas.client("plain", "").await;
    let grant = client.grant(ctx, None).await.access_token();
    let scopes = ["service:nginx".to_owned()];
    let narrow = log_in_with(ctx, &powerful_secret, &scopes, &[])
        .await
        .unwrap();
    let scopes = ["api:core.MainService/ListUser".to_owned()];
    let one_method = log_in_with(ctx, &powerful_secret, &scopes, &[])
        .await
        .unwrap();

    let mut list = async |name, value: &str| {
        let request = with(ListUserOptions::default(), name, value);
        core.list_user(request).await.map(|_| ()).map_err(|status| {
            let marked = status.metadata().get("x-octelium-unauthorized").is_some();
            assert!(marked, "{status:?}");
            (status.code(), status.message().to_owned())
        })
    };
    let unauthenticated = Err((
        Code::Unauthenticated,
        "Octelium: Unauthenticated".to_owned(),
    ));
    let unauthorized = Err((Code::PermissionDenied, "Octelium: Unauthorized".to_owned()));
    let token = "x-octelium-auth";
    assert_eq!(list(token, &admin.access_token).await, Ok(()));
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {}", admin.access_token);
        assert_eq!(list("authorization", &value).await, Ok(()), "W48");
    }
    assert_eq!(list(token, &one_method.access_token).await, Ok(()));
    for refused in [&admin.refresh_token, &secret, &client.secret, "garbage"] {
        assert_eq!(list(token, refused).await, unauthenticated);
        assert_eq!(
            list("authorization", &format!("Bearer {refused}")).await,
            unauthenticated
        );
    }
    assert_eq!(
        list("cookie", &format!("octelium_auth={}", admin.access_token)).await,
        unauthenticated
    );
    for denied in [&plain.access_token, &grant, &narrow.access_token] {
        assert_eq!(list(token, denied).await, unauthorized);
    }
    // Any Session may call the user API if its scopes allow it.
    let mut status = async |value: &str| {
        let request = with(GetStatusRequest::default(), "x-octelium-auth", value);
        user.get_status(request)
            .await
            .map(|_| ())
            .map_err(|status| status.code())
    };
    assert_eq!(status(&plain.access_token).await, Ok(()));
    assert_eq!(status(&grant).await, Ok(()));
    assert_eq!(
        status(&narrow.access_token).await,
        Err(Code::PermissionDenied)
    );
    assert_eq!(
        status(&one_method.access_token).await,
        Err(Code::PermissionDenied)
    );

    // W19: a change of the Credential's Policies also applies to its existing Sessions.
    replicas
        .edit(&powerful, |credential: &mut Credential| {
            credential.spec_mut().authorization = None;
        })
        .await;
    replicas.settle().await;
    assert_eq!(list(token, &admin.access_token).await, unauthorized);
    let allowed = api::core_v1::credential::spec::Authorization {
        policies: vec!["octelium-api-read-only".to_owned()],
        inline_policies: Vec::new(),
    };
    replicas
        .edit(&credential, |credential: &mut Credential| {
            credential.spec_mut().authorization = Some(allowed.clone());
        })
        .await;
    replicas.settle().await;
    assert_eq!(list(token, &plain.access_token).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn login_takes_no_notice_of_a_stale_refresh_token() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let mut auth = AuthClient::new(router(ctx).await);
    replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let message = AuthenticateWithAuthenticationTokenRequest {
        authentication_token: replicas.issue(&credential).await,
        ..AuthenticateWithAuthenticationTokenRequest::default()
    };
    let request = with(message, "x-octelium-refresh-token", "stale");
    let tokens = auth
        .authenticate_with_authentication_token(request)
        .await
        .unwrap()
        .into_inner();
    assert!(tokens.refresh_token_expires_in > 0);
    // An unknown client gets a CLIENTLESS Session.
    let principal = authenticate(ctx, &tokens.access_token).await.unwrap();
    let session_type = principal.session().status.as_ref().unwrap().r#type();
    assert_eq!(
        session_type,
        api::core_v1::session::status::Type::Clientless
    );
    let available = GetAvailableAuthenticatorRequest::default();
    let request = with(available, "x-octelium-refresh-token", &tokens.refresh_token);
    let available = auth
        .get_available_authenticator(request)
        .await
        .unwrap()
        .into_inner();
    assert!(available.main_authenticator.is_none());
    let request = with(
        GetAvailableAuthenticatorRequest::default(),
        "x-octelium-refresh-token",
        "stale",
    );
    let status = auth.get_available_authenticator(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a20_w66_everything_is_audited_and_no_secret_is_in_it(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let secret = replicas.issue(&credential).await;
    let tokens = log_in(ctx, &secret).await.unwrap();
    let rotated = replicas.issue(&credential).await;
    for _ in 0..50 {
        log_in(ctx, &secret).await.unwrap_err();
    }
    let again = log_in(ctx, &rotated).await.unwrap();
    let refreshed = crate::replicas::refresh(ctx, &again.refresh_token)
        .await
        .unwrap();
    let (_, client) = replicas.client("ci", "").await;
    let granted = client.grant(ctx, None).await.access_token();
    client.manage(ctx, "/oauth2/revoke", &granted).await;
    server::authentication::logout(ctx, &refreshed.refresh_token, &crate::replicas::caller())
        .await
        .unwrap();

    let audit = replicas.audit().await;
    let count = |event_type: &str, outcome: Outcome| -> u64 {
        audit
            .iter()
            .filter(|event| event.r#type == event_type && event.outcome() == outcome)
            .map(|event| event.count)
            .sum()
    };
    for event_type in [
        "credential.created",
        "credential.issued",
        "credential.rotated",
        "session.created",
        "session.refreshed",
        "session.ended",
        "token.revoked",
    ] {
        assert!(count(event_type, Outcome::Success) > 0, "{event_type}");
    }
    assert_eq!(
        count("session.created", Outcome::Refused),
        50,
        "equal refusals fold into a count"
    );
    let refusal = audit
        .iter()
        .find(|event| event.outcome() == Outcome::Refused)
        .unwrap();
    assert_eq!(refusal.reason, "credential_superseded");
    assert_eq!(refusal.ip_address, "192.0.2.7");
    assert_eq!(refusal.resource_ref.as_ref().unwrap().uid, credential.uid());

    let written = format!("{audit:?}");
    for secret in [
        &secret,
        &rotated,
        &tokens.access_token,
        &tokens.refresh_token,
        &refreshed.access_token,
        &client.secret,
        &granted,
    ] {
        assert!(!written.contains(secret.as_str()));
        // Not even the end of the secret.
        assert!(!written.contains(&secret[secret.len() - 40..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_stale_state_refuses_calls() {
    let store = store::testing::sqlite();
    let replicas = Replicas::on(vec![store.clone()]).await;
    replicas.workload("ci").await;
    let credential = replicas.credential("AUTH_TOKEN", "ci", "").await;
    let tokens = log_in(replicas.context(0), &replicas.issue(&credential).await)
        .await
        .unwrap();
    // A replica that is bootstrapped, but does not follow the change feed.
    let limits = Limits {
        stale_after: Duration::from_millis(50),
        ..Limits::default()
    };
    let clock = replicas.first().clock.clone();
    let domain: Domain = "localhost:8443".parse().unwrap();
    let ctx = Context::open(
        store,
        clock,
        std::sync::Arc::new(domain::rng::SystemRng),
        domain,
        limits,
    );
    let ctx = ctx.await.unwrap();
    authenticate(&ctx, &tokens.access_token).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let outcome = authenticate(&ctx, &tokens.access_token).await.map(|_| ());
    assert_eq!(outcome, Err(server::Unauthenticated::Unavailable));
    let mut user = UserClient::new(router(&ctx).await);
    let request = with(
        GetStatusRequest::default(),
        "x-octelium-auth",
        &tokens.access_token,
    );
    let status = user.get_status(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

/// Returns a body that records whether it was read.
fn watched(read: &Arc<AtomicBool>, bytes: Vec<u8>) -> Body {
    let read = read.clone();
    let bytes = stream::once(async move {
        read.store(true, Ordering::SeqCst);
        Ok::<_, Infallible>(bytes)
    });
    Body::new(axum::body::Body::from_stream(bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_read_after_its_caller_is_authenticated_and_only_if_it_is_small_s02() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("plain").await;
    let credential = replicas.credential("AUTH_TOKEN", "plain", "").await;
    let token = log_in(ctx, &replicas.issue(&credential).await)
        .await
        .unwrap();
    let router = router(ctx).await;
    let call = async |path: &str, token: &str, length: u32| {
        let read = Arc::new(AtomicBool::new(false));
        let message = [&[0][..], &length.to_be_bytes(), &[0; 100]].concat();
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .header("x-octelium-auth", token)
            .body(watched(&read, message))
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.headers().get("grpc-status").cloned();
        let code = Code::from_bytes(status.unwrap().as_bytes());
        (code, read.load(Ordering::SeqCst))
    };
    let status = "/octelium.api.main.user.v1.MainService/GetStatus";
    let users = "/octelium.api.main.core.v1.MainService/ListUser";
    let login = "/octelium.api.main.auth.v1.MainService/AuthenticateWithAuthenticationToken";
    let health = "/grpc.health.v1.Health/Check";
    for token in ["", "garbage"] {
        assert_eq!(
            call(status, token, 100).await,
            (Code::Unauthenticated, false)
        );
    }
    let token = &token.access_token;
    assert_eq!(
        call(users, token, 100).await,
        (Code::PermissionDenied, false)
    );
    let large = 4 * 1024 * 1024 + 1;
    assert_eq!(
        call(status, token, large).await,
        (Code::InvalidArgument, true)
    );
    for path in [login, health] {
        let large = 64 * 1024 + 1;
        assert_eq!(call(path, "", large).await, (Code::InvalidArgument, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stream_is_answered_after_its_first_message_g2() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("plain").await;
    let credential = replicas.credential("AUTH_TOKEN", "plain", "").await;
    let secret = replicas.issue(&credential).await;
    let allowed = log_in(ctx, &secret).await.unwrap().access_token;
    let scopes = ["service:nginx".to_owned()];
    let narrow = log_in_with(ctx, &secret, &scopes, &[]).await.unwrap();
    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some(narrow.access_token), Code::PermissionDenied),
        (Some(allowed), Code::InvalidArgument),
    ] {
        let is_read = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_read);
        // One empty message from a client that then waits for the reply.
        let message = stream::once(async move {
            flag.store(true, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from_static(&[0; 5]))
        });
        let body = axum::body::Body::from_stream(message.chain(stream::pending()));
        let mut request = http::Request::post(
            "https://octelium-api.localhost/octelium.api.main.user.v1.MainService/Connect",
        )
        .header("content-type", "application/grpc")
        .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("x-octelium-auth", token);
        }
        let request = request.body(Body::new(body)).unwrap();
        let response = router(ctx).await.oneshot(request).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(is_read.load(Ordering::SeqCst), "{code:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_needs_no_settings_gets_none_g1() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("plain").await;
    let credential = replicas.credential("AUTH_TOKEN", "plain", "").await;
    let token = log_in(ctx, &replicas.issue(&credential).await)
        .await
        .unwrap();
    let service = "kind: Service\nmetadata: { name: web }\nspec: { mode: HTTP, isPublic: true, \
                   config: { upstream: { url: http://127.0.0.1:9 } } }\n";
    let created: Result<Service, _> = replicas.first().create(&replicas.actor, service).await;
    created.unwrap();
    let mut user = UserClient::new(router(ctx).await);
    let mut ask = async |name: &str| {
        let message = SetServiceConfigsRequest {
            name: name.to_owned(),
        };
        let request = with(message, "x-octelium-auth", &token.access_token);
        user.set_service_configs(request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(|status| status.code())
    };
    let nothing = Ok(SetServiceConfigsResponse::default());
    assert_eq!(ask("web").await, nothing);
    assert_eq!(ask("web.default").await, nothing);
    assert_eq!(ask("absent").await, Err(Code::NotFound));
    assert_eq!(ask("").await, Err(Code::InvalidArgument));
}
