//! `WebSockets`.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    Upstream, World, service,
    upstream::{UpstreamBody, full},
    world::{HOST, ServiceExt, TOKEN},
};

/// Switches protocols and echoes every byte.
pub(crate) async fn echo() -> Upstream {
    Upstream::serving(|mut request: Request<Incoming>| async move {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            if let Ok(io) = upgraded.await {
                let (mut read, mut write) = tokio::io::split(TokioIo::new(io));
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        });
        switching(request.headers().get("sec-websocket-key"))
    })
    .await
}

fn switching(key: Option<&http::HeaderValue>) -> Response<UpstreamBody> {
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    if let Some(key) = key {
        response = response.header("sec-websocket-accept", key);
    }
    response.body(full("")).unwrap()
}

/// Opens a WebSocket. Returns the stream after the response head, and the head.
pub(crate) async fn open(world: &World, fields: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: a2V5\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&service(&upstream.url()).anonymous());
    let (mut stream, head) = open(&world, "").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("sec-websocket-accept: a2V5"));
    assert!(head.contains("upgrade: websocket"));
    let payload = vec![7; 300 * 1024];
    let (mut read, mut write) = stream.split();
    let mut back = vec![0; payload.len()];
    let (sent, received) = tokio::join!(write.write_all(&payload), read.read_exact(&mut back));
    sent.unwrap();
    received.unwrap();
    assert_eq!(payload, back);
    // The end of the stream passes too.
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(2), stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_websocket_needs_the_same_right_as_a_request() {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&service(&upstream.url()));
    let (_, head) = open(&world, "").await;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    let (_, head) = open(&world, &format!("Authorization: Bearer {TOKEN}\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
}

#[tokio::test]
async fn an_upstream_may_refuse_and_may_not_switch_unasked() {
    let world = World::start().await;
    let refusing = Upstream::recording(&[]).await;
    world.serve(&service(&refusing.url()).anonymous());
    let (_, head) = open(&world, "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let seen = refusing.one();
    assert_eq!(seen.header("connection"), Some("upgrade"));
    assert_eq!(seen.header("upgrade"), Some("websocket"));

    let eager = Upstream::accepting(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        let _ = stream.write_all(answer).await;
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    world.serve(&service(&eager.url()).anonymous());
    let reply = crate::support::client::get(world.address, "/", &[]).await;
    assert_eq!(reply.status, 502);
}
