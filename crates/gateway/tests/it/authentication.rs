//! Authentication and authorization, and the responses to refused requests.

use std::{sync::atomic::Ordering, time::Duration};

use api::core_v1::service::spec::config::http::{Header, header::AuthorizationMode};

use crate::support::{
    Reply, Upstream, World,
    client::{get, get_authorized},
    service,
    world::{HOST, ServiceExt, TOKEN, matches, matches_any, rule},
};

fn assert_unauthorized(reply: &Reply, status: u16, challenge: Option<&str>) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("x-octelium-unauthorized"), Some("true"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    match challenge {
        Some(challenge) => assert!(
            reply
                .header("www-authenticate")
                .unwrap()
                .contains(challenge)
        ),
        None => assert_eq!(reply.header("www-authenticate"), None),
    }
}

#[tokio::test]
async fn a_good_token_passes_in_every_place_and_case() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    for field in [
        "Authorization: Bearer",
        "authorization: bearer",
        "AUTHORIZATION: BEARER",
        "X-Octelium-Auth:",
    ] {
        let reply = get(world.address, "/", &[&format!("{field} {TOKEN}")]).await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (200, "hello"),
            "{field}"
        );
        let seen = upstream.one();
        assert_eq!(seen.header("authorization"), None);
        assert_eq!(seen.header("x-octelium-auth"), None);
    }
}

#[tokio::test]
async fn w48_the_challenge_distinguishes_a_missing_and_an_invalid_token() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    let none = get(world.address, "/", &[]).await;
    assert_unauthorized(&none, 401, Some("Bearer realm="));
    assert!(!none.header("www-authenticate").unwrap().contains("error="));
    for field in [
        "Authorization: Bearer AQo-unknown",
        "X-Octelium-Auth: anything",
        "X-Octelium-Auth:",
    ] {
        let bad = get(world.address, "/", &[field]).await;
        assert_unauthorized(&bad, 401, Some("error=\"invalid_token\""));
    }
    let foreign = get(world.address, "/", &["Authorization: Basic eDp5"]).await;
    assert_unauthorized(&foreign, 401, Some("Bearer realm="));
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn w48_a_bad_explicit_token_does_not_fall_back() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    let reply = get_authorized(world.address, "/", &["X-Octelium-Auth: AQo-unknown"]).await;
    assert_unauthorized(&reply, 401, Some("invalid_token"));
    // An alias of the header is neither a token nor a reason to reject one.
    let alias = get_authorized(world.address, "/", &["X_Octelium_Auth: AQo-unknown"]).await;
    assert_eq!(alias.status, 200);
}

#[tokio::test]
async fn an_expired_or_revoked_token_is_refused() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    world.clock.advance(Duration::from_secs(3601));
    let expired = get_authorized(world.address, "/", &[]).await;
    assert_unauthorized(&expired, 401, Some("invalid_token"));
    world.grant(TOKEN, Duration::from_mins(1)).cancel();
    let revoked = get_authorized(world.address, "/", &[]).await;
    assert_unauthorized(&revoked, 401, Some("invalid_token"));
}

#[tokio::test]
async fn the_policies_decide_each_request() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).rules(vec![
        rule(
            "no-delete",
            matches(r#"ctx.request.http.method == "DELETE""#),
            false,
        ),
        rule("all", matches_any(), true),
    ]));
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 200);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let denied = crate::support::client::send(world.address, "DELETE", "/", &[&bearer], "").await;
    assert_unauthorized(&denied, 403, None);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn scopes_restrict_what_policies_allow() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    world.grant_scoped(TOKEN, Duration::from_mins(1), &["service:other"]);
    let reply = get_authorized(world.address, "/", &[]).await;
    assert_unauthorized(&reply, 403, Some("insufficient_scope"));
    world.grant_scoped(
        TOKEN,
        Duration::from_mins(1),
        &["service:other", "service:app"],
    );
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 200);
}

#[tokio::test]
async fn c13_a_request_that_cannot_be_decided_is_refused() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let open = service(&upstream.url());
    // No Policy.
    world.serve(&open.clone().rules(vec![]));
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 403);
    // A missing Policy beside one that allows.
    world.serve(&open.clone().with(|spec| {
        spec.authorization.as_mut().unwrap().policies = vec!["missing".to_owned()];
    }));
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 403);
    // A token that cannot be checked.
    world.serve(&open);
    world.identity.unavailable.store(true, Ordering::SeqCst);
    let unavailable = get_authorized(world.address, "/", &[]).await;
    assert_eq!(unavailable.status, 503);
    world.identity.unavailable.store(false, Ordering::SeqCst);
    // Outdated Cluster state, for anonymous Services and unknown hosts too.
    world.serve_at("open.example.com", &open.anonymous());
    world.identity.stale.store(true, Ordering::SeqCst);
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 503);
    for host in ["open.example.com", "unknown.example.com"] {
        let reply = get(world.address, "/", &[&format!("Host: {host}")]).await;
        assert_eq!(reply.status, 503);
    }
    assert_eq!(upstream.seen(), []);
    world.identity.stale.store(false, Ordering::SeqCst);
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 200);
}

#[tokio::test]
async fn unknown_hosts_get_one_404() {
    let world = World::start().await;
    let mut replies = Vec::new();
    for host in [
        "unknown.example.com",
        "private.example.com",
        "127.0.0.1",
        "[::1]:80",
        "x",
    ] {
        let mut reply = get_authorized(world.address, "/", &[&format!("Host: {host}")]).await;
        reply
            .headers
            .retain(|(name, _)| name != "x-request-id" && name != "date");
        replies.push(format!("{reply:?}"));
    }
    assert!(
        replies.iter().all(|reply| reply == &replies[0]),
        "{replies:#?}"
    );
    assert!(replies[0].contains("404"));
}

#[tokio::test]
async fn an_anonymous_service_needs_no_token() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let reply = get(world.address, "/", &["Authorization: Basic eDp5"]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(upstream.one().header("authorization"), Some("Basic eDp5"));
    // Our own token does not reach the upstream here either.
    assert_eq!(
        get_authorized(world.address, "/", &["X-Octelium-Auth: x"])
            .await
            .status,
        200
    );
    let seen = upstream.one();
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.header("x-octelium-auth"), None);
}

#[tokio::test]
async fn an_anonymous_service_can_evaluate_its_policies() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let rules = vec![rule(
        "get",
        matches(r#"ctx.request.http.path == "/open""#),
        true,
    )];
    let anonymous = service(&upstream.url()).rules(rules).with(|spec| {
        spec.is_anonymous = true;
        spec.authorization.as_mut().unwrap().enable_anonymous = true;
    });
    world.serve(&anonymous);
    assert_eq!(get(world.address, "/open", &[]).await.status, 200);
    assert_unauthorized(&get(world.address, "/closed", &[]).await, 403, None);
    // A token makes no difference.
    assert_eq!(
        get_authorized(world.address, "/closed", &[]).await.status,
        403
    );
}

#[tokio::test]
async fn a_foreign_authorization_passes_only_where_configured() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let token = format!("X-Octelium-Auth: {TOKEN}");
    let fields = [token.as_str(), "Authorization: Bearer foreign"];
    let mode = |mode: AuthorizationMode| {
        service(&upstream.url()).http(|http| {
            http.header = Some(Header {
                authorization_mode: mode.into(),
                ..Header::default()
            });
        })
    };
    for (mode_of_service, expected) in [
        (mode(AuthorizationMode::Unset), None),
        (mode(AuthorizationMode::Delete), None),
        (mode(AuthorizationMode::Pass), Some("Bearer foreign")),
        (mode(AuthorizationMode::Delete).anonymous(), None),
    ] {
        world.serve(&mode_of_service);
        assert_eq!(get(world.address, "/", &fields).await.status, 200);
        assert_eq!(upstream.one().header("authorization"), expected);
    }
    assert_eq!(HOST, "app.example.com");
}

#[tokio::test]
async fn w62_the_address_of_a_client_is_that_of_its_connection() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let condition = matches(r#"ctx.request.ip == "127.0.0.1""#);
    world.serve(&service(&upstream.url()).rules(vec![rule("loopback", condition, true)]));
    let fields = [
        "X-Octelium-Client-Address: 10.9.9.9",
        "X-Forwarded-For: 10.9.9.9",
        "X-Real-IP: 10.9.9.9",
        "Forwarded: for=10.9.9.9",
    ];
    assert_eq!(
        get_authorized(world.address, "/", &fields).await.status,
        200
    );
    let seen = upstream.one();
    assert!(
        !seen
            .headers
            .iter()
            .any(|(_, value)| value.contains("10.9.9.9")),
        "{seen:?}"
    );
}
