//! Attacks by other sites, and failures, against signed-in people.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Method, Request, header};
use rstest::rstest;
use server::grpc_router;
use tower::ServiceExt as _;

use super::{Browser, ORIGIN, SESSION, enrollment::sessions, people};
use crate::{failing::Failing, replicas::Replicas};

#[tokio::test(flavor = "multi_thread")]
async fn w08_no_page_can_be_framed_or_run_foreign_scripts() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    for path in [
        "/",
        "/login?return=x",
        "/enroll",
        "/sessions",
        "/devices",
        "/profile",
        "/nothing",
    ] {
        let shown = browser.get(path).await;
        let header = |name: &str| shown.headers[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("referrer-policy"), "same-origin");
        for inline in ["<style", "style=\"", "onclick", "onload", "<script>"] {
            assert!(!shown.body.contains(inline), "{path}: {inline}");
        }
    }
}

#[rstest]
#[case::another_site(&[("origin", "https://evil.example")])]
#[case::a_service_of_the_cluster(&[("origin", "https://app.localhost:8443"), ("sec-fetch-site", "same-site")])]
#[case::without_origin(&[])]
#[case::a_sandbox(&[("origin", "null")])]
#[tokio::test(flavor = "multi_thread")]
async fn w02_forms_of_other_pages_do_nothing(#[case] from: &[(&str, &str)]) {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    let token = browser.get("/sessions").await.field("token");
    for path in ["/logout", "/sessions/end-all", "/enroll", "/begin"] {
        let shown = browser.post_from(path, &[("token", &token)], from).await;
        assert_eq!(shown.status, 403, "{path}");
    }
    assert_eq!(sessions(&replicas, "john").await.len(), 1);
    assert_eq!(browser.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn w02_a_form_needs_the_token_of_this_session() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    let mut other = Browser::at(replicas.context(0));
    other.enroll(&replicas, "mary").await;
    let foreign = other.get("/").await.field("token");
    for token in ["", "x", &foreign] {
        let shown = browser.post("/logout", &[("token", token)]).await;
        assert_eq!(shown.status, 403, "{token}");
        shown.says("too old");
    }
    assert_eq!(sessions(&replicas, "john").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn w02_a_callback_without_a_login_of_this_browser_is_explained() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    for path in [
        "/callback",
        "/callback?state=x&code=y",
        "/callback?error=access_denied",
        "/callback?state=a&state=b",
    ] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, 400, "{path}");
        shown.says("Sign in");
    }
    let from = [("origin", "https://idp.example")];
    let fields = [("RelayState", "x"), ("SAMLResponse", "y")];
    let shown = browser.post_from("/callback", &fields, &from).await;
    assert_eq!(shown.status, 400);
    shown.says("was not started here");
}

#[rstest]
#[case("https://evil.example/")]
#[case("//evil.example/")]
#[case("https:evil.example")]
#[case("/\\evil.example")]
#[case("javascript:alert(1)")]
#[tokio::test(flavor = "multi_thread")]
async fn w01_the_login_continues_only_to_signed_addresses(#[case] place: &str) {
    let replicas = people(1).await;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("return", place)
        .finish();
    let mut browser = Browser::at(replicas.context(0));
    let path = format!("/login?{query}");
    let shown = browser.get(&path).await;
    assert_eq!(shown.status, 400);
    shown.says("This link is not valid");
    browser.enroll(&replicas, "john").await;
    let shown = browser.get(&path).await;
    assert_eq!(shown.status, 400);
    assert!(!shown.headers.contains_key(header::LOCATION));
}

#[tokio::test(flavor = "multi_thread")]
async fn w43_a_store_failure_keeps_the_cookie() {
    let store = Arc::new(Failing::over(store::testing::sqlite()));
    let replicas = Replicas::on(vec![store.clone()]).await;
    replicas.user("john", "{ type: HUMAN }").await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    let cookie = browser.cookies[SESSION].clone();
    store.fail_reads(true);
    for path in ["/", "/login", "/sessions"] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, 503, "{path}");
        assert!(!shown.headers.contains_key(header::SET_COOKIE));
        shown.says("Not available at the moment");
    }
    store.fail_reads(false);
    assert_eq!(browser.cookies[SESSION], cookie);
    assert_eq!(browser.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn w07_a_planted_second_cookie_is_refused() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    let mut attacker = Browser::at(replicas.context(0));
    attacker.enroll(&replicas, "mary").await;
    let two = format!(
        "{}; {SESSION}={}",
        browser.cookies[SESSION], attacker.cookies[SESSION]
    );
    browser.cookies.insert(SESSION.to_owned(), two);
    let shown = browser.get("/").await;
    assert_eq!(shown.location(), "/login");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_page_explains_that_there_is_no_provider() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    let shown = browser.get("/login").await;
    assert_eq!(shown.status, 200);
    shown.says("octeliumctl create enrollment --user YOU");
    assert!(!shown.headers.contains_key(header::SET_COOKIE));
    let style = shown.body.split("href=\"/assets/").nth(1).unwrap();
    let style = format!("/assets/{}", style.split('"').next().unwrap());
    let asset = browser.get(&style).await;
    assert_eq!(asset.headers["content-type"], "text/css; charset=utf-8");
    assert!(
        asset.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    assert!(
        shown.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("https:")
    );
    assert_eq!(ORIGIN, replicas.context(0).domain.url());
}

/// Scripts of a Service are same-site with the API, so browsers send our cookies with their requests.
#[tokio::test(flavor = "multi_thread")]
async fn w41_the_api_knows_no_cookies_and_answers_no_page_of_another_host() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    let router = grpc_router(replicas.context(0).clone()).await.unwrap();
    let cookies = browser.cookies.iter();
    let cookies: Vec<String> = cookies
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let path = "/octelium.api.main.user.v1.MainService/GetStatus";
    for content_type in [
        "application/grpc",
        "application/grpc-web+proto",
        "text/plain",
    ] {
        for method in [Method::POST, Method::OPTIONS] {
            let request = Request::builder()
                .method(&method)
                .uri(path)
                .header("content-type", content_type)
                .header("cookie", cookies.join("; "))
                .header("origin", "https://evil.localhost:8443")
                .header("access-control-request-method", "POST")
                .body(Body::from(&[0, 0, 0, 0, 0][..]))
                .unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let headers = response.headers();
            let status = headers.get("grpc-status").map(HeaderValue::as_bytes);
            let is_refused =
                status.is_some_and(|status| status != b"0") || !response.status().is_success();
            assert!(is_refused, "{method} {content_type}: {response:?}");
            assert!(
                !headers
                    .keys()
                    .any(|name| name.as_str().starts_with("access-control")),
                "{response:?}"
            );
            assert!(!headers.contains_key("set-cookie"), "{response:?}");
        }
    }
}
