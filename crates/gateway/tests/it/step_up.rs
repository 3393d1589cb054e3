//! Step-up challenges if a fresh authentication would satisfy the Policies (RFC 9470).

use std::{sync::Arc, time::Duration};

use api::core_v1::{
    Session, User,
    session::{
        Status,
        status::{Authentication, authentication},
    },
};
use domain::clock::Clock as _;
use http_body_util::BodyExt as _;
use policy::Subject;

use crate::{
    grpc,
    support::{
        Upstream, World,
        client::{get, get_authorized},
        service,
        world::{HOST, ServiceExt as _, TOKEN, matches, rule},
    },
};

const HTML: &str = "Accept: text/html";
const COOKIE: &str = "Cookie: __Host-octelium-access=good";
const WANTED: &str = r#"ctx.session.status.authentication.info.type == "AUTHENTICATOR" && ctx.request.http.path != "/never""#;
const CHALLENGE: &str = "Bearer realm=\"octelium\", error=\"insufficient_user_authentication\", \
                         error_description=\"this requires that you verify your identity with a passkey or security \
                         key, \
                         within the last 5 minutes\", acr_values=\"phr\", max_age=\"300\"";

/// Creates a Service that requires an Authenticator, and a User who has one but has not used it.
async fn world() -> (World, Upstream) {
    let upstream = Upstream::recording(&[]).await;
    let world = World::start().await;
    world.serve(&service(&upstream.url()).rules(vec![rule("proved", matches(WANTED), true)]));
    world.grant(&format!("good@{HOST}"), Duration::from_hours(1));
    let session = Session {
        status: Some(Status {
            authentication: Some(Authentication {
                info: Some(authentication::Info {
                    r#type: authentication::info::Type::Authenticator.into(),
                    ..authentication::Info::default()
                }),
                set_at: Some(world.clock.now().to_proto()),
                ..Authentication::default()
            }),
            ..Status::default()
        }),
        ..Session::default()
    };
    let proved = Subject::new(&User::default(), &[], &session, None);
    *world.identity.proved.lock().unwrap() = Some(Arc::new(proved));
    (world, upstream)
}

#[tokio::test]
async fn a_program_gets_a_step_up_challenge() {
    let (world, upstream) = world().await;
    let reply = get_authorized(world.address, "/", &[]).await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("www-authenticate"), Some(CHALLENGE));
    assert_eq!(reply.header("x-octelium-unauthorized"), Some("true"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(
        reply.body.contains("verify your identity"),
        "{}",
        reply.body
    );
    // If no authentication would suffice, the request is denied as usual.
    let never = get_authorized(world.address, "/never", &[]).await;
    assert_eq!(
        (never.status, never.header("www-authenticate")),
        (403, None)
    );
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn a_browser_is_redirected_to_the_step_up_page() {
    let (world, upstream) = world().await;
    let reply = get(world.address, "/a?b=c", &[HTML, COOKIE]).await;
    assert_eq!(reply.status, 302);
    assert_eq!(
        reply.header("location"),
        Some("https://example.com/prove?phr&https://app.example.com/a?b=c")
    );
    let kept = reply.header("set-cookie").unwrap();
    assert!(kept.starts_with("__Host-octelium-state="), "{kept}");
    // A script of a page gets the challenge, and so does a page that sent a token.
    let script = get(world.address, "/", &["Accept: */*", COOKIE]).await;
    assert_eq!(script.header("www-authenticate"), Some(CHALLENGE));
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let page = get(world.address, "/", &[HTML, &bearer]).await;
    assert_eq!(page.status, 401);
    assert!(
        page.body.contains("<h1>Verify it's you</h1>"),
        "{}",
        page.body
    );
    let never = get(world.address, "/never", &[HTML, COOKIE]).await;
    assert_eq!(never.status, 403);
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn a_grpc_call_gets_a_grpc_denial() {
    let (world, _) = world().await;
    let upstream = grpc::echo().await;
    let service = grpc::grpc_service(&upstream.url());
    world.serve(&service.rules(vec![rule("proved", matches(WANTED), true)]));
    let mut client = grpc::connect(&world).await;
    let request = grpc::call(grpc::PATH, Some(TOKEN), grpc::nothing());
    let response = client.send_request(request).await.unwrap();
    let headers = response.headers();
    assert_eq!(headers["grpc-status"], "16");
    assert_eq!(headers["www-authenticate"], CHALLENGE);
    assert_eq!(
        headers["grpc-message"],
        "this requires that you verify your identity with a passkey or security key, within the last 5 minutes"
    );
    response.into_body().collect().await.unwrap();
}
