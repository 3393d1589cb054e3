//! The access log.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use api::core_v1::service::spec::config::http::{
    Auth, Body,
    auth::{self, Bearer, bearer},
};
use http_body_util::BodyExt;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    grpc,
    support::{
        Upstream, World,
        client::{get, get_authorized, parse, raw, send},
        service,
        world::{HOST, ServiceExt, TOKEN, matches, rule},
    },
};

/// All log output of this thread, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Returns the request lines.
    fn requests(&self) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter(|line| line.contains("gateway::access"));
        lines.map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn capture() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn the_status_of_a_call_is_that_of_grpc() {
    let (log, _guard) = capture();
    let world = World::start().await;
    let upstream = grpc::echo().await;
    world.serve(&grpc::grpc_service(&upstream.url()));
    let mut client = grpc::connect(&world).await;
    for token in [None, Some(TOKEN)] {
        let request = grpc::call(grpc::PATH, token, grpc::nothing());
        let response = client.send_request(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    let requests = log.requests();
    assert!(
        requests[0].contains(r#""status":200,"grpc_status":16,"#),
        "{}",
        requests[0]
    );
    assert!(
        requests[1].contains(r#""grpc_status":0,"#),
        "{}",
        requests[1]
    );
}

#[tokio::test]
async fn each_request_leaves_one_line_with_its_decision() {
    let (log, _guard) = capture();
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).rules(vec![
        rule(
            "no-admin",
            matches(r#"ctx.request.http.path == "/admin""#),
            false,
        ),
        rule("others", matches("true"), true),
    ]));
    get_authorized(world.address, "/things?page=1", &[]).await;
    get_authorized(world.address, "/admin", &[]).await;
    get(world.address, "/", &[]).await;
    get(world.address, "/../x", &[]).await;
    get(world.address, "/", &["Host: unknown.example.com"]).await;
    let lines = log.requests();
    let expected: [&[&str]; 5] = [
        &[
            r#""status":200"#,
            r#""decision":"allowed""#,
            r#""path":"/things""#,
            r#""user":"user""#,
            r#""session":"session""#,
            r#""service":"app.default""#,
            r#""sent":5"#,
            "rule others",
        ],
        &[r#""status":403"#, r#""decision":"denied""#, "rule no-admin"],
        &[
            r#""status":401"#,
            r#""decision":"refused""#,
            r#""reason":"no_token""#,
        ],
        &[r#""status":400"#, r#""reason":"path_dot_segment""#],
        &[r#""status":404"#, r#""reason":"no_service""#],
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, parts) in lines.iter().zip(expected) {
        for part in parts {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(!line.contains("client_went_away"), "{line}");
    }
}

#[tokio::test]
async fn a_stored_limit_above_the_maximum_of_buffered_bodies_is_lowered_and_logged_once_s02() {
    let (log, _guard) = capture();
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.enable_request_buffering = true;
        http.body = Some(Body {
            max_request_size: 64 * 1024 * 1024,
            ..Body::default()
        });
    }));
    let reply = send(world.address, "POST", "/", &[], "body").await;
    assert_eq!(reply.status, 200);
    let length = 32 * 1024 * 1024 + 1;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let answer = raw(world.address, request.as_bytes()).await;
    assert_eq!(parse(&answer).status, 413);
    let warning = "spec.config.http.body.maxRequestSize is 67108864";
    assert_eq!(log.text().matches(warning).count(), 1, "{}", log.text());
}

#[tokio::test]
async fn a20_no_secret_of_a_request_is_logged_at_any_level() {
    let (log, _guard) = capture();
    let world = World::start().await;
    let upstream = Upstream::recording(&[("set-cookie", "theirs=upstream-cookie")]).await;
    world.secret("upstream", "upstream-secret");
    world.serve(&service(&upstream.url()).http(|http| {
        http.auth = Some(Auth {
            r#type: Some(auth::Type::Bearer(Bearer {
                r#type: Some(bearer::Type::FromSecret("upstream".to_owned())),
            })),
        });
    }));
    let fields = [
        "Cookie: theirs=client-cookie; octelium_auth=our-cookie",
        "X-Api-Key: api-key",
    ];
    get_authorized(world.address, "/?access_token=query-secret", &fields).await;
    get(
        world.address,
        "/?x=query-secret",
        &["X-Octelium-Auth: AQobad-token"],
    )
    .await;
    world.serve(&service("http://127.0.0.1:1"));
    get_authorized(world.address, "/?x=query-secret", &fields).await;
    let text = log.text();
    assert_eq!(log.requests().len(), 3);
    for secret in [
        TOKEN,
        "bad-token",
        "upstream-secret",
        "query-secret",
        "our-cookie",
        "client-cookie",
        "upstream-cookie",
        "api-key",
    ] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}
