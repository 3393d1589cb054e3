//! Timeouts of a Service, retries, and buffered bodies.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use api::{
    core_v1::service::spec::config::http::{Body, Retry, Timeouts, body},
    meta_v1::{Duration, duration},
};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use rstest::rstest;

use crate::support::{
    Upstream, World,
    client::{get, get_authorized, send},
    service,
    upstream::full,
    world::{ServiceExt, TOKEN, matches, rule},
};

fn millis(count: u32) -> Duration {
    Duration {
        r#type: Some(duration::Type::Milliseconds(count)),
    }
}

fn retry() -> Retry {
    Retry {
        max_retries: 3,
        initial_interval: Some(millis(1)),
        retry_on_server_errors: true,
        ..Retry::default()
    }
}

/// Responds with 503 to the first `failing` requests, then echoes the body.
async fn flaky(failing: usize) -> (Upstream, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let upstream = Upstream::serving(move |request| {
        let before = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = Response::new(full(body));
            if before < failing {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response
        }
    })
    .await;
    (upstream, count)
}

#[rstest]
#[case::get("GET", "", false, 2, 200, 3)]
#[case::too_often("GET", "", false, 9, 503, 4)]
#[case::post("POST", "", false, 2, 503, 1)]
#[case::buffered_put("PUT", "body", true, 2, 200, 3)]
#[case::streamed_put("PUT", "body", false, 2, 503, 1)]
#[case::buffered_post("POST", "body", true, 2, 503, 1)]
#[tokio::test]
async fn only_requests_that_are_safe_to_repeat_are_retried(
    #[case] method: &str,
    #[case] body: &str,
    #[case] buffered: bool,
    #[case] failing: usize,
    #[case] status: u16,
    #[case] requests: usize,
) {
    let world = World::start().await;
    let (upstream, count) = flaky(failing).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.retry = Some(retry());
        http.enable_request_buffering = buffered;
    }));
    let reply = send(world.address, method, "/", &[], body).await;
    assert_eq!(reply.status, status);
    assert_eq!(count.load(Ordering::SeqCst), requests);
    if status == 200 {
        assert_eq!(reply.body, body);
    }
}

#[tokio::test]
async fn requests_are_not_retried_by_default() {
    let world = World::start().await;
    let (upstream, count) = flaky(1).await;
    world.serve(&service(&upstream.url()).anonymous());
    assert_eq!(get(world.address, "/", &[]).await.status, 503);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_service_waits_as_long_as_it_says() {
    let world = World::start().await;
    let upstream = Upstream::serving(|_| std::future::pending()).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.timeouts = Some(Timeouts {
            response: Some(millis(50)),
            ..Timeouts::default()
        });
    }));
    assert_eq!(get(world.address, "/", &[]).await.status, 504);
}

#[tokio::test]
async fn a_client_that_pauses_longer_than_the_service_waits_is_cut_off() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    for buffered in [true, false] {
        world.serve(&service(&upstream.url()).anonymous().http(|http| {
            http.enable_request_buffering = buffered;
            http.timeouts = Some(Timeouts {
                body_idle: Some(millis(50)),
                ..Timeouts::default()
            });
        }));
        let half = b"POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 10\r\n\r\nhalf";
        let answer = crate::support::raw(world.address, half).await;
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "buffered: {buffered}");
    }
}

#[rstest]
#[case("Content-Length: 9\r\n\r\n123456789")]
#[case("Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n")]
#[tokio::test]
async fn a_buffered_body_has_the_limit_of_its_service(#[case] rest: &str) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.enable_request_buffering = true;
        http.body = Some(Body {
            max_request_size: 8,
            ..Body::default()
        });
    }));
    let request = format!("POST / HTTP/1.1\r\nHost: app.example.com\r\n{rest}");
    let answer = crate::support::raw(world.address, request.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 413 "));
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn a_buffered_body_arrives_with_its_length() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(
        &service(&upstream.url())
            .rules(vec![rule(
                "small",
                matches("ctx.request.http.size == 6"),
                true,
            )])
            .http(|http| http.enable_request_buffering = true),
    );
    let request = format!(
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\nX-Octelium-Auth: {TOKEN}\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    );
    let answer = crate::support::raw(world.address, request.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    let seen = upstream.one();
    assert_eq!(seen.body, b"abcdef");
    assert_eq!(seen.header("content-length"), Some("6"));
    assert_eq!(seen.header("transfer-encoding"), None);
}

const JSON: &str = "Content-Type: application/json; charset=UTF-8";

fn json_service(url: &str) -> api::core_v1::Service {
    service(url)
        .rules(vec![rule(
            "role",
            matches(r#"ctx.request.http.bodyMap.role == "user""#),
            true,
        )])
        .http(|http| {
            http.body = Some(Body {
                mode: body::Mode::Json.into(),
                ..Body::default()
            });
        })
}

#[rstest]
#[case::good(r#"{"role": "user"}"#, &[JSON], 200)]
#[case::denied(r#"{"role": "admin"}"#, &[JSON], 403)]
#[case::no_object("[1]", &[JSON], 403)]
#[case::repeated(r#"{"role": "user", "role": "admin"}"#, &[JSON], 400)]
#[case::trailing(r#"{"role": "user"} {"role": "admin"}"#, &[JSON], 400)]
#[case::byte_order_mark("\u{feff}{\"role\": \"user\"}", &[JSON], 400)]
#[case::form("role=user", &["Content-Type: application/x-www-form-urlencoded"], 415)]
#[case::charset(r#"{"role": "user"}"#, &["Content-Type: application/json; charset=utf-16"], 415)]
#[case::no_type(r#"{"role": "user"}"#, &[], 415)]
#[case::encoded(r#"{"role": "user"}"#, &[JSON, "Content-Encoding: gzip"], 415)]
#[tokio::test]
async fn c25_the_body_that_the_policy_read_is_the_one_that_is_sent(
    #[case] body: &str,
    #[case] fields: &[&str],
    #[case] status: u16,
) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&json_service(&upstream.url()));
    let token = format!("X-Octelium-Auth: {TOKEN}");
    let fields: Vec<&str> = fields.iter().copied().chain([token.as_str()]).collect();
    let reply = send(world.address, "POST", "/", &fields, body).await;
    assert_eq!(reply.status, status, "{}", reply.body);
    if status == 200 {
        assert_eq!(upstream.one().body, body.as_bytes());
    } else {
        assert_eq!(upstream.seen(), []);
    }
}

#[tokio::test]
async fn c15_a_body_that_is_being_read_ends_with_its_session() {
    let world = World::start().await;
    let revoked = world.grant("AQoGb3RoZXI", std::time::Duration::from_hours(1));
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).http(|http| http.enable_request_buffering = true));
    let half = b"POST / HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\
        X-Octelium-Auth: AQoGb3RoZXI\r\nContent-Length: 10\r\n\r\nhalf";
    let address = world.address;
    let answer = tokio::spawn(async move { crate::support::raw(address, half).await });
    tokio::task::yield_now().await;
    revoked.cancel();
    let answer = answer.await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 401 "));
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn compressed_answers_pass_as_they_are() {
    let world = World::start().await;
    // The body does not match its coding, so any decoding would be noticed.
    let upstream =
        Upstream::recording(&[("content-encoding", "br"), ("vary", "accept-encoding")]).await;
    world.serve(&service(&upstream.url()));
    let reply = get_authorized(world.address, "/", &["Accept-Encoding: br, gzip"]).await;
    assert_eq!(reply.header("content-encoding"), Some("br"));
    assert_eq!(reply.header("vary"), Some("accept-encoding"));
    assert_eq!(reply.body, "hello");
    assert_eq!(upstream.one().header("accept-encoding"), Some("br, gzip"));
}
