//! Malformed and malicious bytes from clients.

use std::time::Duration;

use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    Upstream, World, raw, service,
    world::{HOST, ServiceExt},
};

/// The upstream must never see these bytes as a separate request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: app.example.com\r\n\r\n";

#[rstest]
#[case("Content-Length: 5\r\nContent-Length: 6")]
#[case("Content-Length: +5")]
#[case("Content-Length: 0x5")]
#[case("Content-Length: 5, 5")]
#[case("Content-Length: -1")]
#[case("Content-Length: 99999999999999999999")]
#[case("Transfer-Encoding: xchunked")]
#[case("Transfer-Encoding: chunked, identity")]
#[case("Transfer-Encoding: gzip, chunked")]
#[case("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")]
#[case("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")]
#[case("Transfer-Encoding\u{b}: chunked")]
#[case("Transfer-Encoding : chunked")]
#[case("X: y\r\n folded: z")]
#[case("X: y\rz: w")]
#[case("X: y\0")]
#[tokio::test]
async fn c17_malformed_framing_is_refused(#[case] fields: &str) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{fields}\r\n\r\n{SMUGGLED}"
    );
    let answer = raw(world.address, request.as_bytes()).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1);
    assert_eq!(upstream.seen(), []);
}

#[rstest]
#[case("Content-Length: 4\r\nTransfer-Encoding: chunked")]
#[case("Transfer-Encoding: chunked\r\nContent-Length: 4")]
#[tokio::test]
async fn c17_two_framings_are_refused_in_any_request_of_a_connection(#[case] fields: &str) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let both = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n\r\n0\r\n\r\n{SMUGGLED}");
    let answer = raw(world.address, both.as_bytes()).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1);
    assert_eq!(upstream.seen(), []);

    // Text in a body that looks like a head.
    let body = "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = format!(
        "POST /chunked HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let sized = format!(
        "POST /sized HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(world.address, format!("{chunked}{sized}{both}").as_bytes()).await;
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400").count(), 1, "{answer}");
    let seen = upstream.seen();
    let targets: Vec<&str> = seen.iter().map(|seen| seen.target.as_str()).collect();
    assert_eq!(targets, ["/chunked", "/sized"]);
    assert!(
        seen.iter().all(|seen| seen.body == body.as_bytes()),
        "{seen:?}"
    );
}

#[rstest]
#[case("POST / HTTP/1.0\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case("GET / HTTP/1.1\r\n\r\n")]
#[case("GET /a b HTTP/1.1\r\nHost: app.example.com\r\n\r\n")]
#[case("GET / HTTP/1.1\r\nHost: app.example.com\r\nBad Name: x\r\n\r\n")]
#[case("G\u{0}T / HTTP/1.1\r\nHost: app.example.com\r\n\r\n")]
#[case("GET / HTTP/9.9\r\nHost: app.example.com\r\n\r\n")]
#[case("GET app.example.com HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n")]
#[case("GET * HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n")]
#[case("OPTIONS * HTTP/1.1\r\nHost: app.example.com.\r\nConnection: close\r\n\r\n")]
#[tokio::test]
async fn c17_malformed_requests_are_refused(#[case] request: &str) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let request = if request.contains("Host") {
        request.to_owned()
    } else {
        request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    };
    let answer = raw(world.address, request.as_bytes()).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.is_empty() || text.starts_with("HTTP/1.1 400"),
        "{text}"
    );
    assert_eq!(upstream.seen(), []);
}

#[rstest]
#[case("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__")]
#[case("Connection: upgrade\r\nUpgrade: TLS/1.0")]
#[case("Connection: upgrade\r\nUpgrade: websocket, h2c")]
#[tokio::test]
async fn c17_only_websockets_are_upgrades(#[case] fields: &str) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    assert_eq!(upstream.one().names(), ["host"]);
}

#[tokio::test]
async fn options_of_the_server_are_answered_the_same_for_every_host_g16() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    let mut answers = Vec::new();
    for host in [HOST, "nothing.example.com"] {
        let host = format!("Host: {host}");
        let reply = crate::support::client::send(world.address, "OPTIONS", "*", &[&host], "").await;
        assert_eq!(reply.status, 204);
        assert!(reply.header("allow").unwrap().contains("OPTIONS"));
        let names: Vec<String> = reply.headers.into_iter().map(|(name, _)| name).collect();
        answers.push(names);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(upstream.seen(), []);
}

/// The size line of a chunk.
#[rstest]
#[case("5;")]
#[case("5 ")]
#[case("5\t")]
#[case("5 ;a=b")]
#[case("5;a=b ")]
#[case("5;a=\u{1}")]
#[case("5;a=\"\u{8}\"")]
#[case("5;\u{0}=b")]
#[tokio::test]
async fn malformed_lines_before_chunks_are_refused_g16(#[case] line: &str) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let request = format!("{head}{line}\r\nhello\r\n0\r\n\r\n{SMUGGLED}");
    let answer = raw(world.address, request.as_bytes()).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
    assert_eq!(upstream.seen(), []);

    // If the request was already handed on, its body is aborted, so that the upstream never sees a complete one.
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"5\r\nfirst\r\n").await.unwrap();
    let connected = async {
        while upstream.connections() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), connected).await.unwrap();
    let rest = format!("{line}\r\nhello\r\n0\r\n\r\n{SMUGGLED}");
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // The gateway may close the connection with unread bytes.
    let _ = timeout(Duration::from_secs(10), read).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
    let seen = upstream.seen();
    assert!(seen.iter().all(|seen| seen.body.is_empty()), "{seen:?}");
}

#[tokio::test]
async fn c18_an_early_response_leaves_no_poisoned_connection() {
    let world = World::start().await;
    // Responds to each head immediately, and would read a body as the next request.
    let (upstream, heads) = Upstream::verbatim().await;
    world.serve(&service(&upstream.url()).anonymous());
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST /first HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n",
        SMUGGLED.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    // The request of another client is neither delayed by the unfinished one nor mixed with it.
    let reply = timeout(
        Duration::from_secs(2),
        crate::support::client::get(world.address, "/second", &[]),
    );
    assert_eq!(reply.await.unwrap().status, 200);
    let heads = heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 2);
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn c19_too_many_or_too_large_fields_are_refused() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let many: Vec<String> = (0..1000).map(|index| format!("X-{index}: y\r\n")).collect();
    let many = many.concat();
    let large = format!("X-Large: {}\r\n", "y".repeat(512 * 1024));
    for fields in [many, large] {
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n");
        let answer = raw(world.address, request.as_bytes()).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 431"),
            "{text}"
        );
    }
    assert_eq!(upstream.seen(), []);
}
