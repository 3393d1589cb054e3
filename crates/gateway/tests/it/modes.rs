//! The mode of a Service, not the client, decides how a request is treated.

use std::time::Duration as StdDuration;

use api::{
    core_v1::{
        Service,
        service::spec::{
            Mode,
            config::http::{
                Auth, Body, Header, Timeouts,
                auth::{self, Custom, custom},
                body,
                header::{KeyValue, key_value},
            },
        },
    },
    meta_v1::{Duration, duration},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner},
};
use rstest::rstest;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    grpc::{ClientBody, PATH, call, connect, echo, grpc_service, nothing},
    support::{
        Upstream, World,
        client::{get, get_authorized, send},
        service,
        upstream::full,
        world::{HOST, ServiceExt, TOKEN, matches, matches_any, rule},
    },
};

const LABELS: [&str; 3] = [
    "Content-Type: application/grpc",
    "Content-Type: application/grpc+proto",
    "Content-Type: Application/gRPC; x=y",
];

fn millis(count: u32) -> Duration {
    Duration {
        r#type: Some(duration::Type::Milliseconds(count)),
    }
}

fn of_mode(service: Service, mode: Mode) -> Service {
    service.with(|spec| spec.mode = mode.into())
}

#[rstest]
#[case(Mode::Http)]
#[case(Mode::Web)]
#[tokio::test]
async fn grpc_content_type_does_not_skip_body_policies_s03(#[case] mode: Mode) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let deletes = r#"ctx.request.http.bodyMap.action == "delete""#;
    world.serve(&of_mode(
        service(&upstream.url())
            .rules(vec![
                rule("delete", matches(deletes), false),
                rule("allow", matches_any(), true),
            ])
            .http(|http| {
                http.body = Some(Body {
                    mode: body::Mode::Json.into(),
                    ..Body::default()
                });
            }),
        mode,
    ));
    let token = format!("X-Octelium-Auth: {TOKEN}");
    let body = r#"{"action":"delete"}"#;
    let json = [token.as_str(), "Content-Type: application/json"];
    let reply = send(world.address, "POST", "/", &json, body).await;
    assert_eq!(reply.status, 403);
    for label in LABELS {
        for method in ["POST", "PUT", "GET"] {
            let reply = send(world.address, method, "/", &[&token, label], body).await;
            assert_eq!(reply.status, 415, "{label} {method}");
        }
    }
    assert_eq!(upstream.seen(), []);
}

#[rstest]
#[case(Mode::Http)]
#[case(Mode::Web)]
#[tokio::test]
async fn grpc_content_type_does_not_hide_bodies_from_policies_s03(#[case] mode: Mode) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&of_mode(
        service(&upstream.url())
            .rules(vec![
                rule(
                    "secret",
                    matches(r#"ctx.request.http.body == b"secret""#),
                    false,
                ),
                rule("allow", matches_any(), true),
            ])
            .http(|http| http.enable_request_buffering = true),
        mode,
    ));
    let token = format!("X-Octelium-Auth: {TOKEN}");
    for label in LABELS {
        let reply = send(world.address, "POST", "/", &[&token, label], "secret").await;
        assert_eq!(reply.status, 403, "{label}");
        assert_eq!(upstream.seen(), []);
        let reply = send(world.address, "POST", "/", &[&token, label], "other").await;
        assert_eq!(reply.status, 200, "{label}");
        assert_eq!(upstream.one().body, b"other");
    }
}

/// Policies do not see the messages of a WebSocket.
#[rstest]
#[case(true)]
#[case(false)]
#[tokio::test]
async fn a_websocket_does_not_pass_where_bodies_are_read_first_s03(#[case] json: bool) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.enable_request_buffering = !json;
        http.body = json.then(|| Body {
            mode: body::Mode::Json.into(),
            ..Body::default()
        });
    }));
    let fields = ["Connection: upgrade", "Upgrade: websocket"];
    assert_eq!(get(world.address, "/", &fields).await.status, 200);
    assert_eq!(upstream.one().header("upgrade"), None);
}

#[tokio::test]
async fn grpc_content_type_does_not_lift_the_response_timeout_s03() {
    let world = World::start().await;
    let upstream = Upstream::serving(|_| std::future::pending()).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.timeouts = Some(Timeouts {
            response: Some(millis(50)),
            ..Timeouts::default()
        });
    }));
    for label in LABELS {
        let reply = send(world.address, "POST", "/", &[label], "body").await;
        assert_eq!(reply.status, 504, "{label}");
    }
}

#[tokio::test]
async fn grpc_content_type_does_not_lift_the_body_timeout_s03() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.timeouts = Some(Timeouts {
            body_idle: Some(millis(50)),
            ..Timeouts::default()
        });
    }));
    let fields = [LABELS[0], "Content-Length: 5"];
    let reply = timeout(StdDuration::from_secs(10), get(world.address, "/", &fields));
    assert_eq!(reply.await.unwrap().status, 408);
}

#[tokio::test]
async fn a_request_that_is_labelled_as_a_call_is_denied_as_any_other_s03() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).rules(vec![rule(
        "call",
        matches("has(ctx.request.grpc)"),
        true,
    )]));
    for label in LABELS {
        let reply = get(world.address, PATH, &[label]).await;
        assert_eq!((reply.status, reply.header("grpc-status")), (401, None));
        let reply = get_authorized(world.address, PATH, &[label]).await;
        assert_eq!((reply.status, reply.header("grpc-status")), (403, None));
        let unknown = [label, "Host: nothing.example.com"];
        let reply = get(world.address, PATH, &unknown).await;
        assert_eq!((reply.status, reply.header("grpc-status")), (404, None));
    }
    // A browser gets the page and is redirected to the login, regardless of its other fields.
    let fields = [LABELS[0], "Accept: text/html"];
    assert_eq!(get(world.address, PATH, &fields).await.status, 302);
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn a_service_of_grpc_denies_in_the_form_of_grpc_whatever_is_asked_for_s03() {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&grpc_service(&upstream.url()));
    let mut request = call(PATH, None, nothing());
    request
        .headers_mut()
        .insert("accept", HeaderValue::from_static("text/html"));
    *request.method_mut() = Method::GET;
    let response = connect(&world).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "16");
    // A request that is not a call gets a status that no client takes for success.
    for target in [PATH, "//"] {
        let reply = get(world.address, target, &["Accept: text/html"]).await;
        assert_eq!((reply.status, reply.header("grpc-status")), (415, None));
    }
    let reply = send(world.address, "OPTIONS", PATH, &[], "").await;
    assert_eq!((reply.status, reply.header("grpc-status")), (415, None));
}

async fn client(world: &World) -> http2::SendRequest<ClientBody> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn added(key: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        append: false,
        r#type: Some(key_value::Type::Value("ours".to_owned())),
    }
}

/// Creates a Service that removes one header, adds one, and authenticates with one.
fn guarded(url: &str) -> Service {
    service(url).anonymous().http(|http| {
        http.header = Some(Header {
            remove_request_headers: vec!["X-Remote-User".to_owned()],
            add_request_headers: vec![added("X-Tenant-Id"), added("X_Role_Name")],
            ..Header::default()
        });
        http.auth = Some(Auth {
            r#type: Some(auth::Type::Custom(Custom {
                header: "X-Api-Key".to_owned(),
                value: Some(custom::Value {
                    r#type: Some(custom::value::Type::FromSecret("key".to_owned())),
                }),
            })),
        });
    })
}

const PROTECTED: [&str; 9] = [
    "x-remote-user",
    "x-tenant-id",
    "x-role-name",
    "x-api-key",
    "x-octelium-user",
    "x-octelium-assertion",
    "x-octelium-auth",
    "x-forwarded-for",
    "proxy-authorization",
];

/// Generates one of [`PROTECTED`] with every `-` replaced by `-`, `_` or `.`.
fn spelling() -> impl Strategy<Value = String> {
    let separators = prop::collection::vec(prop::sample::select(vec!['-', '_', '.']), 4);
    (prop::sample::select(PROTECTED.to_vec()), separators).prop_map(|(name, separators)| {
        let mut separators = separators.into_iter();
        name.chars()
            .map(|character| match character {
                '-' => separators.next().unwrap_or('_'),
                other => other,
            })
            .collect()
    })
}

/// Generates random spellings, the same in each run.
fn spellings(count: usize) -> Vec<String> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(RunnerConfig::default(), rng);
    (0..count)
        .map(|_| spelling().new_tree(&mut runner).unwrap().current())
        .collect()
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

#[rstest]
#[case(Mode::Http)]
#[case(Mode::Web)]
#[case(Mode::Grpc)]
#[tokio::test]
async fn no_spelling_of_a_protected_header_reaches_the_upstream_s04(#[case] mode: Mode) {
    let world = World::start().await;
    world.secret("key", "ours");
    let upstream = Upstream::recording(&[]).await;
    world.serve(&of_mode(guarded(&upstream.url()), mode));
    let mut client = client(&world).await;
    for spellings in spellings(240).chunks(24) {
        let body = Full::new(Bytes::from("body")).boxed();
        let mut request = call(PATH, None, body);
        for name in spellings {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            // Two `X-Octelium-Auth` fields would be rejected.
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static("forged"));
        }
        let mut response = client.send_request(request).await.unwrap();
        while response.body_mut().frame().await.is_some() {}
        let seen = upstream.one();
        for (name, value) in &seen.headers {
            assert_ne!(value, "forged", "{name} {spellings:?}");
        }
        for name in ["x-tenant-id", "x-role-name", "x-api-key"] {
            let values: Vec<&str> = seen
                .headers
                .iter()
                .filter(|(header, _)| folded(header) == name)
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(values, ["ours"], "{name}");
        }
    }
}

#[rstest]
#[case(Mode::Http, false)]
#[case(Mode::Web, false)]
#[case(Mode::Grpc, true)]
#[tokio::test]
async fn names_with_underscores_and_dots_are_metadata_of_grpc_alone_s04(
    #[case] mode: Mode,
    #[case] pass: bool,
) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&of_mode(service(&upstream.url()).anonymous(), mode));
    let mut request = call(PATH, None, nothing());
    for name in ["user_id", "trace.id", "user!id"] {
        let name = HeaderName::from_static(name);
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static("x"));
    }
    let mut response = client(&world).await.send_request(request).await.unwrap();
    while response.body_mut().frame().await.is_some() {}
    let seen = upstream.one();
    assert_eq!(seen.header("user_id").is_some(), pass);
    assert_eq!(seen.header("trace.id").is_some(), pass);
    assert_eq!(seen.header("user!id"), None);
}

#[tokio::test]
async fn rules_of_responses_remove_every_spelling_s04() {
    let world = World::start().await;
    let fields = &[
        ("x_powered_by", "them"),
        ("x-powered.by", "them"),
        ("x_octelium_user", "them"),
        ("x_kept", "kept"),
    ];
    let upstream = Upstream::recording(fields).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.header = Some(Header {
            remove_response_headers: vec!["X-Powered-By".to_owned()],
            ..Header::default()
        });
    }));
    let reply = get(world.address, "/", &[]).await;
    assert_eq!(reply.status, 200);
    assert!(
        reply.headers.iter().all(|(_, value)| value != "them"),
        "{reply:?}"
    );
    assert_eq!(reply.header("x_kept"), Some("kept"));
}

/// Responds with the names of the received trailers, and sends trailers.
async fn trailing(sent: &'static [(&'static str, &'static str)]) -> Upstream {
    Upstream::serving(move |request: Request<Incoming>| async move {
        let collected = request.into_body().collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let mut names: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let names = names.join(",");
        let mut trailers = HeaderMap::new();
        for (name, value) in sent {
            trailers.append(*name, HeaderValue::from_static(value));
        }
        let frames = [
            Ok(Frame::data(collected.to_bytes())),
            Ok(Frame::trailers(trailers)),
        ];
        let body = StreamBody::new(stream::iter(frames));
        Response::builder()
            .header("content-type", "application/grpc")
            .header("saw-trailers", format!("[{names}]"))
            .body(BodyExt::boxed(body))
            .unwrap()
    })
    .await
}

const FORGED: [&str; 12] = [
    "x-octelium-user",
    "x_octelium_user",
    "x-remote-user",
    "x_remote.user",
    "x-tenant-id",
    "x-role-name",
    "x-api-key",
    "x_api_key",
    "x-forwarded-for",
    "cookie",
    "authorization",
    "x-octelium-auth",
];

fn with_trailers() -> ClientBody {
    let mut trailers = HeaderMap::new();
    for name in FORGED.into_iter().chain(["custom-key", "custom_key"]) {
        trailers.insert(name, HeaderValue::from_static("forged"));
    }
    let frames = [
        Ok(Frame::data(Bytes::from("body"))),
        Ok(Frame::trailers(trailers)),
    ];
    BodyExt::boxed(StreamBody::new(stream::iter(frames)))
}

#[rstest]
#[case(Mode::Http, "[]")]
#[case(Mode::Web, "[]")]
#[case(Mode::Grpc, "[custom-key,custom_key]")]
#[tokio::test]
async fn trailers_of_a_client_pass_by_the_rules_of_its_head_s07(
    #[case] mode: Mode,
    #[case] expected: &str,
) {
    let world = World::start().await;
    world.secret("key", "ours");
    let upstream = trailing(&[]).await;
    world.serve(&of_mode(
        guarded(&upstream.url()).http(|http| http.is_upstream_http2 = true),
        mode,
    ));
    let request = call(PATH, None, with_trailers());
    let response = client(&world).await.send_request(request).await.unwrap();
    assert_eq!(response.headers()["saw-trailers"], expected);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "body"
    );
}

#[tokio::test]
async fn trailers_of_chunked_bodies_do_not_reach_an_http_service_s07() {
    let world = World::start().await;
    let upstream = trailing(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nTE: trailers\r\n\
         Trailer: X-Remote-User\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Remote-User: admin\r\nX-Octelium-User: root\r\n\r\n"
    );
    let answer = crate::support::raw(world.address, request.as_bytes()).await;
    let reply = crate::support::client::parse(&answer);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("saw-trailers"), Some("[]"));
}

#[rstest]
#[case(Mode::Http)]
#[case(Mode::Grpc)]
#[tokio::test]
async fn trailers_of_an_upstream_pass_by_the_rules_of_its_head_s07(#[case] mode: Mode) {
    let world = World::start().await;
    let upstream = trailing(&[
        ("x-octelium-user", "root"),
        ("x_octelium_user", "root"),
        ("x-powered-by", "them"),
        ("x_powered_by", "them"),
        ("set-cookie", "octelium_auth=x"),
        ("set-cookie", "a=b; Domain=example.com"),
        ("clear-site-data", "\"cookies\""),
        ("access-control-allow-origin", "*"),
        ("alt-svc", "h2=\"evil.example.org:443\""),
        ("grpc-status", "0"),
        ("custom", "kept"),
    ])
    .await;
    world.serve(&of_mode(
        service(&upstream.url()).anonymous().http(|http| {
            http.is_upstream_http2 = true;
            http.header = Some(Header {
                remove_response_headers: vec!["X-Powered-By".to_owned()],
                ..Header::default()
            });
        }),
        mode,
    ));
    let request = call(PATH, None, nothing());
    let response = client(&world).await.send_request(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().unwrap();
    let mut names: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["custom", "grpc-status"]);
}

#[tokio::test]
async fn an_upstream_cannot_sign_people_out_of_other_services_s11() {
    let world = World::start().await;
    let upstream = Upstream::serving(|_| async {
        Response::builder()
            .header("clear-site-data", "\"cookies\", \"storage\"")
            .body(full("bye"))
            .unwrap()
    })
    .await;
    world.serve(&service(&upstream.url()).anonymous());
    let reply = get(world.address, "/logout", &[]).await;
    assert_eq!((reply.status, reply.header("clear-site-data")), (200, None));
}
