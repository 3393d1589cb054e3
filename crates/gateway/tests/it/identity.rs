//! The caller's identity for upstreams, and browsers without a token.

use std::{sync::atomic::Ordering, time::Duration};

use api::core_v1::service::spec::config::http::Identity;
use rstest::rstest;

use crate::support::{
    Upstream, World,
    client::{get, get_authorized, send},
    service,
    world::ServiceExt,
};

const FORGED: [&str; 3] = [
    "X-Octelium-User: root",
    "X-Octelium-Assertion: forged",
    "X_Octelium_Groups: admins",
];

fn identity_settings(headers: bool, assertion: bool) -> Identity {
    Identity {
        headers,
        assertion,
        ..Identity::default()
    }
}

#[tokio::test]
async fn c03_only_the_gateway_identifies_the_user_to_the_upstream() {
    let world = World::start().await;
    world.grant_user("alice", &["dev", "ops"]);
    let upstream = Upstream::recording(&[]).await;
    world.serve(
        &service(&upstream.url()).http(|http| http.identity = Some(identity_settings(true, true))),
    );
    assert_eq!(
        get_authorized(world.address, "/", &FORGED).await.status,
        200
    );
    let seen = upstream.one();
    for (name, value) in [
        ("x-octelium-user", "alice"),
        ("x-octelium-user-uid", "user-uid"),
        ("x-octelium-groups", "dev,ops"),
        ("x-octelium-session", "session"),
        ("x-octelium-session-uid", "session-uid"),
        ("x-octelium-assertion", "assertion-1"),
    ] {
        assert_eq!(seen.all(name), [value], "{name}");
    }
    assert_eq!(seen.header("x-octelium-user-email"), None);
    assert_eq!(seen.header("authorization"), None);
    let (caller, audience) = world.identity.assertions.lock().unwrap().pop().unwrap();
    assert_eq!(caller.user, "alice");
    assert_eq!(audience, "https://app.default.example.com:8443");
}

#[tokio::test]
async fn c03_no_identity_is_sent_without_a_user_or_if_the_service_needs_none() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let named =
        service(&upstream.url()).http(|http| http.identity = Some(identity_settings(true, true)));
    world.serve(&named.anonymous());
    assert_eq!(get(world.address, "/", &FORGED).await.status, 200);
    assert_eq!(upstream.one().names(), ["host"]);
    world.serve(&service(&upstream.url()));
    assert_eq!(
        get_authorized(world.address, "/", &FORGED).await.status,
        200
    );
    assert_eq!(upstream.one().names(), ["host"]);
}

#[tokio::test]
async fn an_assertion_is_made_once_for_many_requests_and_again_for_another_service() {
    let world = World::start().await;
    world.grant_user("alice", &[]);
    let upstream = Upstream::recording(&[]).await;
    let asserted = || {
        service(&upstream.url()).http(|http| http.identity = Some(identity_settings(false, true)))
    };
    world.serve(&asserted());
    world.serve_at(
        "other.example.com",
        &asserted().http(|http| {
            http.identity.get_or_insert_default().audience = "urn:other".to_owned();
        }),
    );
    for _ in 0..3 {
        assert_eq!(get_authorized(world.address, "/", &[]).await.status, 200);
        assert_eq!(upstream.one().all("x-octelium-assertion"), ["assertion-1"]);
    }
    let reply = get_authorized(world.address, "/", &["Host: other.example.com"]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(upstream.one().all("x-octelium-assertion"), ["assertion-2"]);
    // Half of its lifetime has passed.
    world.clock.advance(Duration::from_mins(31));
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 200);
    assert_eq!(upstream.one().all("x-octelium-assertion"), ["assertion-3"]);
}

#[tokio::test]
async fn c13_without_a_key_to_sign_with_nothing_is_sent_unsigned() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(
        &service(&upstream.url()).http(|http| http.identity = Some(identity_settings(false, true))),
    );
    world.identity.keyless.store(true, Ordering::SeqCst);
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 503);
    assert_eq!(upstream.seen(), []);
}

const HTML: &str = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";

#[tokio::test]
async fn a_browser_without_a_token_is_sent_to_log_in() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    let fields = [
        HTML,
        "Host: App.example.com:8443",
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-Dest: document",
    ];
    let reply = get(world.address, "/a%20b?c=d", &fields).await;
    assert_eq!(reply.status, 302);
    assert_eq!(
        reply.header("location"),
        Some("https://example.com/login?https://app.example.com:8443/a%20b?c=d")
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("x-octelium-unauthorized"), Some("true"));
    assert_eq!(reply.header("www-authenticate"), None);
    assert_eq!(get(world.address, "/", &[HTML]).await.status, 302);
    world.identity.keyless.store(true, Ordering::SeqCst);
    assert_eq!(get(world.address, "/", &[HTML]).await.status, 401);
    assert_eq!(upstream.seen(), []);
}

#[rstest]
#[case::program("GET", &["Accept: */*"])]
#[case::nothing("GET", &[])]
#[case::json("GET", &["Accept: application/json"])]
#[case::post("POST", &[HTML])]
#[case::head("HEAD", &[HTML])]
#[case::script("GET", &[HTML, "Sec-Fetch-Mode: cors"])]
#[case::image("GET", &["Accept: image/png", "Sec-Fetch-Mode: no-cors"])]
#[case::frame("GET", &[HTML, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"])]
#[case::bad_token("GET", &[HTML, "Authorization: Bearer AQunknown"])]
#[case::grpc("POST", &[HTML, "Content-Type: application/grpc"])]
#[tokio::test]
async fn w48_only_the_page_of_a_window_is_sent_to_log_in(
    #[case] method: &str,
    #[case] fields: &[&str],
) {
    let world = World::start().await;
    world.serve(&service("http://127.0.0.1:1"));
    let reply = send(world.address, method, "/pkg.v1.Echo/Say", fields, "").await;
    assert_eq!(reply.status, 401);
    assert!(reply.header("www-authenticate").is_some());
    assert_eq!(reply.header("location"), None);
}

#[tokio::test]
async fn unknown_services_do_not_redirect_to_the_login() {
    let world = World::start().await;
    let reply = get(world.address, "/", &[HTML, "Host: none.example.com"]).await;
    assert_eq!(reply.status, 404);
}
