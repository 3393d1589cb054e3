//! Bodies, connections and failures between client and upstream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use gateway::Config;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

use crate::support::{
    Upstream, World,
    client::{get, parse, send},
    raw, service,
    upstream::{UpstreamBody, full},
    world::{HOST, ServiceExt},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_request_and_its_response_pass_whole() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[("x-theirs", "1")]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let fields = ["Content-Type: application/json", "X-Mine: 1"];
    let reply = send(world.address, "POST", "/a/b?c=d", &fields, "{\"a\":1}").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "hello"));
    assert_eq!(reply.header("x-theirs"), Some("1"));
    let seen = upstream.one();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/a/b?c=d")
    );
    assert_eq!(seen.body, b"{\"a\":1}");
    assert_eq!(
        seen.names(),
        ["content-length", "content-type", "host", "x-mine"]
    );
}

#[tokio::test]
async fn head_requests_have_a_length_and_no_body() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let reply = send(world.address, "HEAD", "/", &[], "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(reply.header("content-length"), Some("5"));
}

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    );
    assert_eq!(
        parse(&raw(world.address, request.as_bytes()).await).status,
        200
    );
    let seen = upstream.one();
    assert_eq!(seen.body, b"abcde");
    assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn connections_to_upstreams_are_kept() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    for index in 0..20 {
        let body = if index % 2 == 0 { "" } else { "body" };
        assert_eq!(
            send(world.address, "POST", "/", &[], body).await.status,
            200
        );
    }
    assert_eq!(upstream.connections(), 1);
}

/// Closes each connection after its first request without notice.
async fn forgetful() -> Upstream {
    Upstream::accepting(|mut stream| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        // Receives the second request, then closes the connection.
        let _ = stream.read(&mut buffer).await;
    })
    .await
}

#[tokio::test]
async fn a_request_that_may_be_repeated_survives_a_dead_pooled_connection() {
    let world = World::start().await;
    let upstream = forgetful().await;
    world.serve(&service(&upstream.url()).anonymous());
    assert_eq!(get(world.address, "/", &[]).await.status, 200);
    assert_eq!(get(world.address, "/", &[]).await.status, 200);
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_request_that_may_not_be_repeated_is_not() {
    let world = World::start().await;
    let upstream = forgetful().await;
    world.serve(&service(&upstream.url()).anonymous());
    assert_eq!(
        send(world.address, "POST", "/", &[], "once").await.status,
        200
    );
    assert_eq!(
        send(world.address, "POST", "/", &[], "twice").await.status,
        502
    );
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_unreachable_upstream_is_502_and_a_silent_one_504() {
    let world = World::with_config(Config {
        response_timeout: SECOND,
        ..Config::default()
    })
    .await;
    world.serve(&service("http://127.0.0.1:1").anonymous());
    assert_eq!(get(world.address, "/", &[]).await.status, 502);
    let silent = Upstream::accepting(|mut stream| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    world.serve(&service(&silent.url()).anonymous());
    assert_eq!(get(world.address, "/", &[]).await.status, 504);
    let garbage = Upstream::accepting(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    })
    .await;
    world.serve(&service(&garbage.url()).anonymous());
    assert_eq!(get(world.address, "/", &[]).await.status, 502);
}

#[tokio::test]
async fn a_slow_response_body_is_not_an_upstream_timeout() {
    let world = World::with_config(Config {
        response_timeout: Duration::from_millis(700),
        ..Config::default()
    })
    .await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        stream.write_all(b"x").await.unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(parse(&answer).status, 200);
}

#[tokio::test]
async fn a_client_that_pauses_for_too_long_is_disconnected() {
    let world = World::with_config(Config {
        body_idle_timeout: Duration::from_millis(100),
        ..Config::default()
    })
    .await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let request = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\nx");
    let answer = raw(world.address, request.as_bytes()).await;
    assert_eq!(parse(&answer).status, 408);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_declared_or_not() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.body = Some(api::core_v1::service::spec::config::http::Body {
            max_request_size: 4,
            ..Default::default()
        });
    }));
    assert_eq!(
        send(world.address, "POST", "/", &[], "1234").await.status,
        200
    );
    assert_eq!(
        send(world.address, "POST", "/", &[], "12345").await.status,
        413
    );
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    );
    let answer = raw(world.address, chunked.as_bytes()).await;
    assert_eq!(parse(&answer).status, 413);
    assert!(upstream.seen().iter().all(|seen| seen.body.len() <= 4));
}

#[tokio::test]
async fn expectations_are_met_only_where_the_body_is_wanted() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    world.serve_at("closed.example.com", &service(&upstream.url()));
    let head = |host: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head(HOST).as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(parse(&answer).status, 200);
    let seen = upstream.one();
    assert_eq!(
        (seen.body.as_slice(), seen.header("expect")),
        (&b"ok"[..], None)
    );

    let refused = raw(world.address, head("closed.example.com").as_bytes()).await;
    assert!(
        refused.starts_with(b"HTTP/1.1 401"),
        "{}",
        String::from_utf8_lossy(&refused)
    );
}

fn endless(counter: Arc<AtomicUsize>, dropped: Arc<AtomicBool>) -> UpstreamBody {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let flag = Flag(dropped);
    let frames = stream::unfold((counter, flag), |(counter, flag)| async move {
        counter.fetch_add(64 * 1024, Ordering::SeqCst);
        let frame = Frame::data(Bytes::from(vec![b'x'; 64 * 1024]));
        Some((Ok(frame), (counter, flag)))
    });
    StreamBody::new(frames).boxed()
}

#[tokio::test]
async fn a_response_is_not_read_ahead_and_is_aborted_with_the_client() {
    let world = World::start().await;
    let sent = Arc::new(AtomicUsize::new(0));
    let dropped = Arc::new(AtomicBool::new(false));
    let (counter, flag) = (Arc::clone(&sent), Arc::clone(&dropped));
    let upstream = Upstream::serving(move |_: Request<_>| {
        let body = endless(Arc::clone(&counter), Arc::clone(&flag));
        async move { Response::new(body) }
    })
    .await;
    world.serve(&service(&upstream.url()).anonymous());
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 1024]).await.unwrap();
    // If the client does not read, all buffers fill up and the upstream has to wait.
    let mut before = 0;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = sent.load(Ordering::SeqCst);
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before < 32 * 1024 * 1024, "{before} bytes are on their way");
    assert!(!dropped.load(Ordering::SeqCst));
    drop(stream);
    until(|| dropped.load(Ordering::SeqCst)).await;
}

async fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < 5 * SECOND, "did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_request_is_aborted_with_the_client() {
    let world = World::start().await;
    let (closed, mut was_closed) = mpsc::unbounded_channel();
    let upstream = Upstream::accepting(move |mut stream| {
        let closed = closed.clone();
        async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = closed.send(0);
            let left = stream.read(&mut [0; 1024]).await;
            let _ = closed.send(left.map_or(1, |count| count + 1));
        }
    })
    .await;
    world.serve(&service(&upstream.url()).anonymous());
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(timeout(SECOND, was_closed.recv()).await.unwrap(), Some(0));
    drop(stream);
    assert_eq!(timeout(SECOND, was_closed.recv()).await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_truncated_response_is_not_completed() {
    let world = World::start().await;
    let upstream = Upstream::accepting(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let part = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let _ = stream.write_all(part).await;
    })
    .await;
    world.serve(&service(&upstream.url()).anonymous());
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let answer = raw(world.address, request.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert!(!answer.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn endpoints_take_turns_and_dead_ones_are_left_out() {
    use api::core_v1::service::spec::config::{
        Upstream as UpstreamSpec,
        upstream::{self, Loadbalance, loadbalance::Endpoint},
    };
    let world = World::start().await;
    let one = Upstream::serving(|_: Request<_>| async { Response::new(full("one")) }).await;
    let two = Upstream::serving(|_: Request<_>| async { Response::new(full("two")) }).await;
    let urls = [one.url(), "http://127.0.0.1:1".to_owned(), two.url()];
    world.serve(&service("").anonymous().config(|config| {
        let endpoints = urls
            .iter()
            .map(|url| Endpoint {
                url: url.clone(),
                ..Endpoint::default()
            })
            .collect();
        config.upstream = Some(UpstreamSpec {
            r#type: Some(upstream::Type::Loadbalance(Loadbalance { endpoints })),
            ..UpstreamSpec::default()
        });
    }));
    let mut answers = Vec::new();
    for _ in 0..12 {
        let reply = send(world.address, "POST", "/", &[], "x").await;
        assert_eq!(reply.status, 200);
        answers.push(reply.body);
    }
    for name in ["one", "two"] {
        let count = answers.iter().filter(|answer| *answer == name).count();
        assert!((3..=9).contains(&count), "{answers:?}");
    }
}
