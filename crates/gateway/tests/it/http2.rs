//! HTTP/2 clients: complete requests, and frames that no library would send.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    Upstream, World,
    client::get,
    service,
    world::{HOST, ServiceExt, TOKEN},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn client(world: &World) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let io = TokioIo::new(stream);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: Method, path: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("https://{HOST}:8443{path}"))
        .header("x-octelium-auth", TOKEN)
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

#[tokio::test]
async fn a_padded_field_value_is_refused_c08() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    let mut client = client(&world).await;
    for (name, value) in [
        ("x-role", " admin"),
        ("x-role", "admin "),
        ("x-role", "\tadmin"),
        ("authorization", " Bearer x"),
    ] {
        let mut get = request(Method::GET, "/", "");
        get.headers_mut()
            .insert(name, HeaderValue::from_static(value));
        let response = client.send_request(get).await.unwrap();
        assert_eq!(response.status(), 400, "{name}: {value:?}");
    }
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn streams_become_requests_of_http1() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]).await;
    world.serve(&service(&upstream.url()));
    let mut client = client(&world).await;
    let mut post = request(Method::POST, "/a?b", "body");
    for cookie in ["a=b", "octelium_auth=secret", "c=d"] {
        post.headers_mut()
            .append("cookie", HeaderValue::from_static(cookie));
    }
    let response = client.send_request(post).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    let seen = upstream.one();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/a?b")
    );
    assert_eq!(seen.body, b"body");
    assert_eq!(seen.header("cookie"), Some("a=b; c=d"));
    let address = upstream.address.to_string();
    assert_eq!(seen.header("host"), Some(address.as_str()));
}

#[tokio::test]
async fn many_streams_of_one_connection_run_side_by_side() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    let client = client(&world).await;
    let streams = (0..200).map(|_| {
        let mut client = client.clone();
        async move {
            let response = client
                .send_request(request(Method::GET, "/", ""))
                .await
                .unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        }
    });
    assert!(join_all(streams).await.iter().all(|body| body == "hello"));
    assert!(upstream.connections() <= 200);
    // The connections opened for them are reused.
    let before = upstream.connections();
    for _ in 0..20 {
        assert_eq!(
            get(world.address, "/", &[&format!("X-Octelium-Auth: {TOKEN}")])
                .await
                .status,
            200
        );
    }
    assert_eq!(upstream.connections(), before);
}

/// Builds a frame (RFC 9113 §4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Encodes literal fields without indexing and Huffman coding (RFC 7541 §6.2.2).
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

pub(crate) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", HOST),
    (":path", "/"),
];

pub(crate) async fn speak(world: &World, frames: &[Vec<u8>]) -> TcpStream {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    for frame in frames {
        bytes.extend(frame);
    }
    let _ = stream.write_all(&bytes).await;
    stream
}

/// Reads frames until the connection ends or pauses.
async fn answer(stream: &mut TcpStream) -> Vec<(u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Ok(Ok(frame)) = timeout(Duration::from_millis(300), read_frame(stream)).await {
        frames.push(frame);
    }
    frames
}

pub(crate) async fn read_frame(stream: &mut TcpStream) -> std::io::Result<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok((
        head[3],
        u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload,
    ))
}

/// `END_STREAM` and `END_HEADERS`.
pub(crate) const WHOLE: u8 = 0x05;

#[tokio::test]
async fn c17_streams_with_fields_of_http1_are_refused() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let forged: [&[(&str, &str)]; 9] = [
        &[("transfer-encoding", "chunked")],
        &[("connection", "x-identity")],
        &[("upgrade", "websocket")],
        &[("keep-alive", "1")],
        &[("X-Upper", "case")],
        &[("x-injected", "a\r\nhost: b")],
        &[("x-nul", "a\0b")],
        &[("content-length", "5")],
        &[(":path", "/twice")],
    ];
    for extra in forged {
        let block = fields(&[&GET[..], extra].concat());
        let mut stream = speak(&world, &[frame(1, WHOLE, 1, &block)]).await;
        let frames = answer(&mut stream).await;
        // Accepts RST_STREAM, GOAWAY or our 400 (index 12 of the static table), but not the upstream's response.
        let refused = frames.iter().any(|(kind, stream, payload)| {
            *kind == 3
                || *kind == 7
                || (*kind == 1 && *stream == 1 && payload.first() == Some(&0x8c))
        });
        assert!(refused, "{extra:?} {frames:?}");
        assert_eq!(upstream.seen(), [], "{extra:?}");
    }
}

#[tokio::test]
async fn c09_c17_forged_pseudo_headers_are_refused() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let with = |index: usize, value: &'static str| {
        let mut pseudo = GET;
        pseudo[index].1 = value;
        fields(&pseudo)
    };
    for block in [
        with(3, ""),
        with(3, "no-slash"),
        with(3, "*"),
        with(3, "/../admin"),
        with(3, "/a b"),
        with(2, "app.example.com."),
        with(2, "user@app.example.com"),
        with(2, ""),
        with(0, "G T"),
        with(0, "TRACE"),
        fields(&GET[1..]),
    ] {
        let mut stream = speak(&world, &[frame(1, WHOLE, 1, &block)]).await;
        let frames = answer(&mut stream).await;
        let passed = frames
            .iter()
            .any(|(kind, _, payload)| *kind == 1 && payload.first() == Some(&0x88));
        assert!(!passed, "{frames:?}");
        assert_eq!(upstream.seen(), []);
    }
}

#[tokio::test]
async fn c19_rapid_resets_end_the_connection() {
    let world = World::start().await;
    let upstream = Upstream::accepting(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    world.serve(&service(&upstream.url()).anonymous());
    let block = fields(&GET);
    let frames: Vec<Vec<u8>> = (0..5000)
        .flat_map(|index| {
            let stream = 2 * index + 1;
            [
                frame(1, WHOLE, stream, &block),
                frame(3, 0, stream, &[0, 0, 0, 8]),
            ]
        })
        .collect();
    let mut stream = speak(&world, &frames).await;
    let frames = answer(&mut stream).await;
    assert!(
        frames.is_empty() || frames.iter().any(|(kind, ..)| *kind == 7),
        "{frames:?}"
    );
    let mut rest = Vec::new();
    let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "still open");
    assert!(upstream.connections() < 1000, "{}", upstream.connections());
}

const END_HEADERS: u8 = 0x04;
const END_STREAM: u8 = 0x01;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 0x01;
const PING: u8 = 6;

/// Builds a POST without a token, whose body is not finished.
fn denied(stream: u32) -> Vec<u8> {
    let mut post = GET;
    post[0].1 = "POST";
    frame(HEADERS, END_HEADERS, stream, &fields(&post))
}

/// Reads frames up to and including the wanted one, and returns all.
async fn until(
    stream: &mut TcpStream,
    wanted: impl Fn(u8, u32) -> bool,
) -> Vec<(u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    let read = async {
        loop {
            let frame = read_frame(stream).await.unwrap();
            let (kind, id) = (frame.0, frame.1);
            frames.push(frame);
            if wanted(kind, id) {
                return;
            }
        }
    };
    let found = timeout(Duration::from_secs(10), read).await;
    assert!(found.is_ok(), "{frames:?}");
    frames
}

#[tokio::test]
async fn an_early_denial_is_not_followed_by_a_reset_g10() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    let mut stream = speak(&world, &[denied(1)]).await;
    until(&mut stream, |kind, id| (kind, id) == (HEADERS, 1)).await;
    // Data that was in flight when the response was sent.
    for _ in 0..4 {
        stream
            .write_all(&frame(DATA, 0, 1, &[b'x'; 16_000]))
            .await
            .unwrap();
    }
    stream
        .write_all(&frame(DATA, END_STREAM, 1, b"end"))
        .await
        .unwrap();
    stream.write_all(&frame(PING, 0, 0, &[7; 8])).await.unwrap();
    let pong = |kind, id| (kind, id) == (PING, 0);
    let mut frames = until(&mut stream, pong).await;
    // The connection stays usable.
    stream.write_all(&denied(3)).await.unwrap();
    frames.extend(until(&mut stream, |kind, id| (kind, id) == (HEADERS, 3)).await);
    assert!(frames.iter().all(|(kind, ..)| *kind != RESET), "{frames:?}");
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn unread_bodies_are_discarded_within_bounds_g10() {
    const STREAMS: usize = 17;
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    let begun = Instant::now();
    let denied: Vec<Vec<u8>> = (0..17).map(|index| denied(2 * index + 1)).collect();
    let mut stream = speak(&world, &denied).await;
    // One stream more than can be discarded concurrently is reset immediately.
    let mut frames = until(&mut stream, |kind, _| kind == RESET).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "not at once");
    // The others are reset after a timeout.
    for _ in 1..STREAMS {
        frames.extend(until(&mut stream, |kind, _| kind == RESET).await);
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "too early");
    let of = |wanted: u8| frames.iter().filter(|(kind, ..)| *kind == wanted).count();
    assert_eq!((of(HEADERS), of(RESET)), (STREAMS, STREAMS));
}

#[tokio::test]
async fn a_long_unread_body_is_reset_g10() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    let mut stream = speak(&world, &[]).await;
    until(&mut stream, |kind, _| kind == SETTINGS).await;
    stream
        .write_all(&frame(SETTINGS, ACK, 0, &[]))
        .await
        .unwrap();
    stream.write_all(&denied(1)).await.unwrap();
    let begun = Instant::now();
    // Almost the whole window of the stream, which is the limit for discarding.
    for _ in 0..16 {
        let data = frame(DATA, 0, 1, &[b'x'; 16_000]);
        stream.write_all(&data).await.unwrap();
    }
    until(&mut stream, |kind, id| (kind, id) == (WINDOW_UPDATE, 1)).await;
    let data = frame(DATA, 0, 1, &[b'x'; 16_000]);
    stream.write_all(&data).await.unwrap();
    until(&mut stream, |kind, id| (kind, id) == (RESET, 1)).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "by time");
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn c19_a_flood_of_continuations_ends_the_connection() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let mut frames = vec![frame(1, 1, 1, &fields(&GET))];
    let filler = fields(&[("x-filler", &"y".repeat(100))]).repeat(100);
    frames.extend((0..2000).map(|_| frame(9, 0, 1, &filler)));
    let mut stream = speak(&world, &frames).await;
    let mut rest = Vec::new();
    let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "still open");
    assert_eq!(upstream.seen(), []);
}
