//! Browsers that return from the login, and cross-site requests.

use std::{sync::atomic::Ordering, time::Duration};

use api::core_v1::service::spec::config::http::Cors;
use rstest::rstest;

use crate::{
    support::{
        Upstream, World,
        client::{self, get, send},
        service,
        world::{HOST, ServiceExt as _, TOKEN, matches, rule},
    },
    websocket,
};

const HTML: &str = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
const CALLBACK: &str = "/.well-known/octelium/callback";
/// The nonce that the browser stores.
const NONCE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const COOKIE: &str = "Cookie: a=b; __Host-octelium-access=good; c=d";

/// Creates a Service, and a User whose cookie is valid at its host.
async fn world() -> (World, Upstream) {
    let upstream = Upstream::recording(&[]).await;
    let world = World::start().await;
    world.serve(&service(&upstream.url()));
    world.grant(&format!("good@{HOST}"), Duration::from_hours(1));
    (world, upstream)
}

fn nonce_of(reply: &client::Reply) -> String {
    let cookie = reply.header("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once(';').unwrap();
    assert_eq!(
        attributes.trim(),
        "Path=/; Max-Age=1800; Secure; HttpOnly; SameSite=Lax"
    );
    let nonce = pair.strip_prefix("__Host-octelium-state=").unwrap();
    nonce.to_owned()
}

#[tokio::test]
async fn a_browser_is_recognized_after_the_login() {
    let (world, _upstream) = world().await;
    let first = get(world.address, "/a", &[HTML]).await;
    assert_eq!(first.status, 302);
    let nonce = nonce_of(&first);
    // A second window of the same browser.
    let kept = format!("Cookie: __Host-octelium-state={nonce}");
    let second = get(world.address, "/b", &[HTML, &kept]).await;
    assert_eq!(nonce_of(&second), nonce);
    // Another browser, and one with an invalid cookie.
    let other = get(world.address, "/a", &[HTML]).await;
    assert_ne!(nonce_of(&other), nonce);
    let broken = get(
        world.address,
        "/a",
        &[HTML, "Cookie: __Host-octelium-state=x"],
    );
    assert_eq!(nonce_of(&broken.await).len(), 43);
}

/// People get the same messages as programs, with a link to the portal.
#[rstest]
#[case::policy(HOST, "/denied", 403, "No access")]
#[case::no_service("other.example.com", "/", 404, "Not found")]
#[case::ambiguous(HOST, "/a/..%2fb", 400, "not accepted")]
#[tokio::test]
async fn a_browser_gets_an_error_page(
    #[case] host: &str,
    #[case] path: &str,
    #[case] status: u16,
    #[case] title: &str,
) {
    let (world, upstream) = world().await;
    world.serve(&service(&upstream.url()).rules(vec![
        rule(
            "denied",
            matches(r#"ctx.request.http.path == "/denied""#),
            false,
        ),
        rule("others", matches("true"), true),
    ]));
    let host = format!("Host: {host}");
    let ask = async |accept: &str| get(world.address, path, &[&host, COOKIE, accept]).await;
    let page = ask(HTML).await;
    assert_eq!(page.status, status, "{page:?}");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.body.contains(title), "{}", page.body);
    assert!(page.body.contains("href=\"https://"), "{}", page.body);
    let id = page.header("x-request-id").unwrap();
    assert!(page.body.contains(id), "{}", page.body);
    let csp = page.header("content-security-policy").unwrap();
    assert!(csp.starts_with("default-src 'none'"), "{csp}");
    let text = ask("Accept: */*").await;
    assert_eq!(text.status, status);
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[tokio::test]
async fn a_code_becomes_a_cookie_for_this_host() {
    let (world, upstream) = world().await;
    let kept = format!("Cookie: __Host-octelium-state={NONCE}");
    let target = format!("{CALLBACK}?code=good:/a%3Fb=c");
    let reply = get(world.address, &target, &[HTML, &kept]).await;
    assert_eq!(reply.status, 303, "{reply:?}");
    assert_eq!(
        reply.header("location"),
        Some(&*format!("https://{HOST}/a?b=c"))
    );
    assert_eq!(
        reply.header("set-cookie"),
        Some(&*format!(
            "__Host-octelium-access=cookie-{HOST}-aaaa; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
        ))
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn w01_the_return_address_is_at_this_host() {
    let (world, _upstream) = world().await;
    let kept = format!("Cookie: __Host-octelium-state={NONCE}");
    let target = format!("{CALLBACK}?code=good://evil.example/");
    let reply = get(world.address, &target, &[HTML, &kept]).await;
    assert_eq!(
        reply.header("location"),
        Some(&*format!("https://{HOST}//evil.example/"))
    );
}

#[rstest]
#[case::no_state(&[], "?code=good:/", &["good:/"])]
#[case::two_states(&["Cookie: __Host-octelium-state=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; __Host-octelium-state=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"], "?code=good:/", &["good:/"])]
#[case::no_code(&["Cookie: __Host-octelium-state=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"], "", &[])]
#[case::two_codes(&["Cookie: __Host-octelium-state=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"], "?code=good:/&code=good:/", &[])]
#[case::a_bad_code(&["Cookie: __Host-octelium-state=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"], "?code=bad", &["bad"])]
#[tokio::test]
async fn w02_a_callback_of_another_browser_uses_the_code_up_and_shows_no_address_with_it_s11(
    #[case] fields: &[&str],
    #[case] query: &str,
    #[case] used: &[&str],
) {
    let (world, upstream) = world().await;
    let mut reply = get(world.address, &format!("{CALLBACK}{query}"), fields).await;
    assert_eq!(*world.identity.codes.lock().unwrap(), used);
    if !query.is_empty() {
        assert_eq!(reply.status, 303, "{reply:?}");
        assert_eq!(reply.header("set-cookie"), None);
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(reply.header("location"), Some(CALLBACK));
        reply = get(world.address, CALLBACK, fields).await;
    }
    assert_eq!(reply.status, 400, "{reply:?}");
    assert_eq!(reply.header("set-cookie"), None);
    assert!(reply.body.contains("could not be completed"), "{reply:?}");
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'"));
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn w43_a_login_that_cannot_be_checked_is_not_reported_as_invalid() {
    let (world, _upstream) = world().await;
    world.identity.unavailable.store(true, Ordering::SeqCst);
    let kept = format!("Cookie: __Host-octelium-state={NONCE}");
    let target = format!("{CALLBACK}?code=good:/");
    let reply = get(world.address, &target, &[HTML, &kept]).await;
    assert_eq!(reply.status, 503);
    // The same holds for a cookie.
    let reply = get(world.address, "/", &[HTML, COOKIE]).await;
    assert_eq!((reply.status, reply.header("set-cookie")), (503, None));
}

#[tokio::test]
async fn c22_the_cookie_authenticates_and_is_not_forwarded() {
    let (world, upstream) = world().await;
    let reply = get(world.address, "/", &[HTML, COOKIE]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(upstream.one().header("cookie"), Some("a=b; c=d"));
}

#[tokio::test]
async fn w07_the_cookie_is_refused_at_another_host() {
    let (world, upstream) = world().await;
    world.serve_at("other.example.com", &service(&upstream.url()));
    let other = "Host: other.example.com";
    let reply = get(world.address, "/", &[other, COOKIE]).await;
    assert_eq!(reply.status, 401);
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn w48_a_token_goes_before_the_cookie_and_a_stale_cookie_leads_to_the_login() {
    let (world, _upstream) = world().await;
    let bad = "X-Octelium-Auth: AQbad";
    let reply = get(world.address, "/", &[HTML, COOKIE, bad]).await;
    assert_eq!(reply.status, 401, "no fall-back from a bad token");
    let good = format!("Authorization: Bearer {TOKEN}");
    let stale = "Cookie: __Host-octelium-access=stale";
    let reply = get(world.address, "/", &[HTML, stale, &good]).await;
    assert_eq!(reply.status, 200);
    let reply = get(world.address, "/", &[HTML, stale]).await;
    assert_eq!(reply.status, 302);
    let script = get(world.address, "/", &["Accept: application/json", stale]).await;
    assert_eq!(script.status, 401);
    let challenge = script.header("www-authenticate").unwrap();
    assert!(challenge.contains("invalid_token"));
}

#[rstest]
#[case::a_page_of_the_service(&["Sec-Fetch-Site: same-origin", "Origin: https://app.example.com"], 200)]
#[case::hides_its_referrer(&["Sec-Fetch-Site: same-origin", "Origin: null"], 200)]
#[case::an_older_browser(&["Origin: https://app.example.com"], 200)]
#[case::a_program(&[], 200)]
#[case::by_hand(&["Sec-Fetch-Site: none"], 200)]
#[case::another_service(&["Sec-Fetch-Site: same-site", "Origin: https://evil.example.com"], 403)]
#[case::another_site(&["Sec-Fetch-Site: cross-site", "Origin: https://evil.org"], 403)]
#[case::another_site_of_an_older_browser(&["Origin: https://evil.org"], 403)]
#[case::a_sandbox(&["Origin: null"], 403)]
#[case::without_encryption(&["Origin: http://app.example.com"], 403)]
#[tokio::test]
async fn w09_what_other_sites_send_with_the_cookie_changes_nothing(
    #[case] fields: &[&str],
    #[case] status: u16,
) {
    let (world, upstream) = world().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let fields: Vec<&str> = fields.iter().copied().chain([COOKIE]).collect();
        let reply = send(world.address, method, "/", &fields, "x").await;
        assert_eq!(reply.status, status, "{method}");
    }
    let reached = if status == 200 { 4 } else { 0 };
    assert_eq!(upstream.seen().len(), reached);
    // A request with a token cannot be forged by a page.
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let fields: Vec<&str> = fields.iter().copied().chain([bearer.as_str()]).collect();
    let reply = send(world.address, "POST", "/", &fields, "x").await;
    assert_eq!(reply.status, 200);
    // Reading changes nothing.
    let reply = get(world.address, "/", &[&fields[..0], &[COOKIE]].concat()).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn w09_pages_that_a_service_trusts_with_credentials_may_send_with_the_cookie() {
    let (world, upstream) = world().await;
    world.serve(&service(&upstream.url()).http(|http| {
        http.cors = Some(Cors {
            allow_origin_string_match: vec!["https://spa.example.com".to_owned()],
            allow_credentials: true,
            ..Cors::default()
        });
    }));
    let site = "Sec-Fetch-Site: same-site";
    let trusted = [site, "Origin: https://spa.example.com", COOKIE];
    let reply = send(world.address, "POST", "/", &trusted, "x").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let other = [site, "Origin: https://evil.example.com", COOKIE];
    let reply = send(world.address, "POST", "/", &other, "x").await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn w09_a_websocket_with_the_cookie_is_opened_by_a_page_of_the_same_host() {
    let upstream = websocket::echo().await;
    let world = World::start().await;
    world.serve(&service(&upstream.url()));
    world.grant(&format!("good@{HOST}"), Duration::from_hours(1));
    let open = async |origin: &str| {
        let (_, head) = websocket::open(&world, &format!("{COOKIE}\r\n{origin}")).await;
        head.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(open("Origin: https://app.example.com\r\n").await, "101");
    assert_eq!(open("Origin: https://evil.example.com\r\n").await, "403");
    assert_eq!(open("Origin: null\r\n").await, "403");
    assert_eq!(open("").await, "403");
}

#[tokio::test]
async fn a_page_that_is_in_use_does_not_lose_its_cookie() {
    let upstream = Upstream::recording(&[("set-cookie", "own=1")]).await;
    let world = World::start().await;
    world.serve(&service(&upstream.url()));
    world.grant(&format!("good@{HOST}"), Duration::from_hours(1));
    let old = "Cookie: __Host-octelium-access=old-good";
    let reply = get(world.address, "/", &["Accept: application/json", old]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.all("set-cookie"),
        [
            "own=1",
            "__Host-octelium-access=good; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
        ]
    );
    let reply = get(world.address, "/", &[COOKIE]).await;
    assert_eq!(reply.all("set-cookie"), ["own=1"]);
}

#[tokio::test]
async fn c21_cacheable_responses_set_no_cookie() {
    let upstream = Upstream::recording(&[("cache-control", "Public, max-age=60")]).await;
    let world = World::start().await;
    world.serve(&service(&upstream.url()));
    world.grant(&format!("good@{HOST}"), Duration::from_hours(1));
    let old = "Cookie: __Host-octelium-access=old-good";
    let reply = get(world.address, "/", &[old]).await;
    assert_eq!((reply.status, reply.header("set-cookie")), (200, None));
}
