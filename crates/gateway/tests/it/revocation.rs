//! Open requests end with the Session.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::support::{
    Upstream, World,
    client::get_authorized,
    service,
    upstream::UpstreamBody,
    world::{HOST, ServiceExt, TOKEN, matches_any, rule},
};

/// Generous, because tests run in parallel. It only distinguishes ending from not ending.
const BOUND: Duration = Duration::from_secs(3);

/// Sends `tick` at once, and nothing afterwards.
fn one_tick() -> UpstreamBody {
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"tick")))]);
    StreamBody::new(futures_util::StreamExt::chain(first, stream::pending())).boxed()
}

async fn ticking() -> Upstream {
    Upstream::serving(|_: Request<_>| async { Response::new(one_tick()) }).await
}

async fn open(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let request =
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        let byte = timeout(Duration::from_secs(5), stream.read_u8()).await;
        seen.push(byte.unwrap().unwrap());
    }
}

/// Checks that the connection ends without the last chunk, which would make the body look complete.
async fn assert_cut(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let read = timeout(BOUND, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "still open after {BOUND:?}");
    assert!(!rest.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn c15_a_streaming_response_is_cut_when_its_session_ends() {
    let world = World::start().await;
    let upstream = ticking().await;
    world.serve(&service(&upstream.url()));
    let revoked = world.grant(TOKEN, Duration::from_hours(1));
    let mut stream = open(&world).await;
    read_until(&mut stream, b"tick\r\n").await;
    revoked.cancel();
    assert_cut(&mut stream).await;
    let mut next = open(&world).await;
    let mut status = [0; 12];
    next.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 401");
}

#[tokio::test]
async fn c15_a_streaming_response_is_cut_when_its_token_expires() {
    let world = World::start().await;
    let upstream = ticking().await;
    world.serve(&service(&upstream.url()));
    world.grant(TOKEN, Duration::from_millis(400));
    let started = Instant::now();
    let mut stream = open(&world).await;
    read_until(&mut stream, b"tick\r\n").await;
    assert_cut(&mut stream).await;
    assert!(started.elapsed() >= Duration::from_millis(390));
}

#[tokio::test]
async fn c15_a_request_that_waits_is_answered_when_its_session_ends() {
    let world = World::start().await;
    let upstream = Upstream::accepting(|mut stream| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    world.serve(&service(&upstream.url()));
    let revoked = world.grant(TOKEN, Duration::from_hours(1));
    let mut stream = open(&world).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    revoked.cancel();
    let mut status = [0; 12];
    timeout(BOUND, stream.read_exact(&mut status))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&status, b"HTTP/1.1 401");
}

#[tokio::test]
async fn c15_an_upload_ends_with_its_session() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    let revoked = world.grant(TOKEN, Duration::from_hours(1));
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\nsome"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    revoked.cancel();
    let mut status = [0; 12];
    timeout(BOUND, stream.read_exact(&mut status))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&status, b"HTTP/1.1 401");
}

#[tokio::test]
async fn c15_a_websocket_is_closed_with_its_session() {
    let world = World::start().await;
    let upstream = crate::websocket::echo().await;
    world.serve(&service(&upstream.url()));
    let revoked = world.grant(TOKEN, Duration::from_hours(1));
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let (mut stream, head) = crate::websocket::open(&world, &token).await;
    assert!(head.starts_with("HTTP/1.1 101"));
    // An unmasked frame is echoed in the form that a server sends.
    let frame = [0x82, 0x03, b'a', b'b', b'c'];
    stream.write_all(&frame).await.unwrap();
    stream.read_exact(&mut [0; 5]).await.unwrap();
    revoked.cancel();
    let mut rest = Vec::new();
    timeout(BOUND, stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    // A closing frame with status 1008 (policy violation).
    assert_eq!(rest, [0x88, 0x02, 0x03, 0xf0]);
}

#[tokio::test]
async fn c15_a_changed_policy_decides_the_next_request_of_an_open_connection() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let open_service = service(&upstream.url());
    world.serve(&open_service);
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let request =
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    for expected in [b"HTTP/1.1 200", b"HTTP/1.1 403"] {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, expected);
        if expected == b"HTTP/1.1 200" {
            read_until(&mut stream, b"hello").await;
        }
        world.serve(
            &open_service
                .clone()
                .rules(vec![rule("deny", matches_any(), false)]),
        );
    }
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 403);
}
