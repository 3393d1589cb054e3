//! Shares of callers in the memory of buffered bodies and in the requests to upstreams.

use std::{convert::Infallible, future, pin::pin, sync::Arc, time::Duration};

use api::core_v1::service::spec::config::http::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use gateway::Config;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use crate::{
    support::{
        Upstream, World,
        client::{get, get_authorized, send},
        service,
        upstream::full,
        world::{HOST, ServiceExt, TOKEN},
    },
    websocket::{echo, open},
};

const DEADLINE: Duration = Duration::from_secs(30);
/// The requests of all callers, and of one caller.
const TOTAL: usize = 64;
const SHARE: usize = 16;
const OTHER_TOKEN: &str = "AQoGb3RoZXI";

/// Starts a gateway for two Users.
async fn world() -> World {
    let world = World::with_config(Config {
        domain: "example.com".to_owned(),
        authority: "example.com:8443".to_owned(),
        upstream_requests: TOTAL,
        ..Config::default()
    })
    .await;
    world.grant_uid("6fa459ea-ee8a-4ca4-894e-db77e160355e", TOKEN);
    world.grant_uid("16fd2706-8baf-433b-82eb-8c7fada847da", OTHER_TOKEN);
    world
}

/// Never responds to `/hang`. Counts the requests for it.
async fn hanging() -> (Upstream, watch::Receiver<usize>) {
    let (arrivals, arrived) = watch::channel(0);
    let arrivals = Arc::new(arrivals);
    let upstream = Upstream::serving(move |request: Request<Incoming>| {
        let arrivals = Arc::clone(&arrivals);
        async move {
            if request.uri().path() == "/hang" {
                arrivals.send_modify(|count| *count += 1);
                future::pending::<()>().await;
            }
            Response::new(full("hello"))
        }
    })
    .await;
    (upstream, arrived)
}

/// Sends a GET request and keeps the connection open.
async fn begin(world: &World, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nX-Octelium-Auth: {TOKEN}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads the head of a response.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_caller_with_hanging_requests_leaves_upstreams_to_others_s02() {
    let world = world().await;
    let (upstream, mut arrived) = hanging().await;
    world.serve(&service(&upstream.url()));
    let mut hanging = Vec::new();
    for _ in 0..SHARE {
        hanging.push(begin(&world, "/hang").await);
    }
    let all = arrived.wait_for(|count| *count == SHARE);
    timeout(DEADLINE, all).await.unwrap().unwrap();
    let refused = get_authorized(world.address, "/", &[]).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let bearer = format!("Authorization: Bearer {OTHER_TOKEN}");
    let other = get(world.address, "/", &[&bearer]).await;
    assert_eq!(other.status, 200);
    // Clients that go away give their places back.
    drop(hanging);
    let served = async { while get_authorized(world.address, "/", &[]).await.status != 200 {} };
    timeout(DEADLINE, served).await.unwrap();
}

#[tokio::test]
async fn answered_requests_give_their_places_back_s02() {
    let world = world().await;
    let (upstream, _) = hanging().await;
    world.serve(&service(&upstream.url()));
    for _ in 0..2 * TOTAL {
        assert_eq!(get_authorized(world.address, "/", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn a_response_holds_its_place_until_its_body_ends_s02() {
    let world = world().await;
    let upstream = Upstream::accepting(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
        let _ = stream.write_all(half).await;
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    world.serve(&service(&upstream.url()));
    let mut responses = Vec::new();
    for _ in 0..SHARE {
        let mut stream = begin(&world, "/").await;
        let head = head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        responses.push(stream);
    }
    let refused = head(&mut begin(&world, "/").await).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    drop(responses);
    let served = async {
        while !head(&mut begin(&world, "/").await)
            .await
            .starts_with("HTTP/1.1 200")
        {}
    };
    timeout(DEADLINE, served).await.unwrap();
}

#[tokio::test]
async fn a_websocket_holds_its_place_until_it_ends_s02() {
    let world = world().await;
    let upstream = echo().await;
    world.serve(&service(&upstream.url()).anonymous());
    let mut sockets = Vec::new();
    for _ in 0..SHARE {
        let (socket, head) = open(&world, "").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        sockets.push(socket);
    }
    let (_, refused) = open(&world, "").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    sockets.pop();
    let opened = async { while !open(&world, "").await.1.starts_with("HTTP/1.1 101") {} };
    timeout(DEADLINE, opened).await.unwrap();
}

type Sending = UnsyncBoxBody<Bytes, Infallible>;

/// Builds a request whose body has 20 MiB and does not end.
fn unfinished() -> Request<Sending> {
    let data = Frame::data(Bytes::from(vec![7; 20 * 1024 * 1024]));
    let frames = stream::iter([Ok::<_, Infallible>(data)]).chain(stream::pending());
    Request::builder()
        .method("POST")
        .uri(format!("https://{HOST}:8443/"))
        .header("x-octelium-auth", TOKEN)
        .body(StreamBody::new(frames).boxed_unsync())
        .unwrap()
}

#[tokio::test]
async fn buffered_bodies_of_one_caller_leave_memory_to_others_s02() {
    let world = world().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).http(|http| {
        http.enable_request_buffering = true;
        http.body = Some(Body {
            max_request_size: 32 * 1024 * 1024,
            ..Body::default()
        });
    }));
    let io = TokioIo::new(TcpStream::connect(world.address).await.unwrap());
    let (mut one, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let mut two = one.clone();
    let mut first = pin!(one.send_request(unfinished()));
    let mut second = pin!(two.send_request(unfinished()));
    let refused = timeout(DEADLINE, async {
        tokio::select! {
            answer = &mut first => answer,
            answer = &mut second => answer,
        }
    });
    let refused = refused.await.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    // The other body still holds most of the share.
    let token = format!("X-Octelium-Auth: {OTHER_TOKEN}");
    let other = send(world.address, "POST", "/", &[&token], "body").await;
    assert_eq!(other.status, 200);
    assert_eq!(upstream.one().body, b"body");
}
