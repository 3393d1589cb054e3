//! Connections that send nothing or never finish must not affect others.

use std::time::{Duration, Instant};

use http::Request;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::support::{
    admin::report,
    cluster::Cluster,
    https::{Https, get},
    scene::{Scene, WEB},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn login_page() -> Request<String> {
    Request::builder()
        .uri("/login")
        .body(String::new())
        .unwrap()
}

/// Returns the value of a counter.
async fn counted(cluster: &Cluster, limit: &str) -> u64 {
    let (_, metrics) = report(cluster, "/metrics").await;
    let line = format!("octelium_limit_reached_total{{limit=\"{limit}\"}} ");
    let value = metrics.lines().find_map(|found| found.strip_prefix(&line));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Waits until the peer closes the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = timeout(PATIENCE, stream.read(&mut [0; 64])).await;
    !matches!(read, Ok(Ok(count)) if count > 0) && read.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_lock_others_out_s02() {
    // With the default share, and if one address may have all connections.
    for share in ["12", "50"] {
        let bounds = [
            "--max-connections",
            "50",
            "--max-connections-per-address",
            share,
        ];
        let cluster = Cluster::start_with(&bounds);
        let https = Https::new(&cluster);
        let mut silent = Vec::new();
        for _ in 0..200 {
            silent.push(https.tcp().await.unwrap());
        }
        let other = https.from("127.0.0.2");
        let begun = Instant::now();
        assert_eq!(other.send("localhost", login_page()).await.status, 200);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        // The address that holds them is not locked out either.
        assert_eq!(https.send("localhost", login_page()).await.status, 200);
        assert!(is_closed(&mut silent[0]).await, "the longest idle one");
        assert_eq!(report(&cluster, "/readyz").await.0, 200);
        assert!(counted(&cluster, "connections_per_address").await >= 150);
        let log = cluster.log_with("limit reached");
        let warning = "\"limit\":\"connections_per_address\"";
        let warnings = log.lines().filter(|line| line.contains(warning));
        assert_eq!(warnings.count(), 1, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_request_keeps_its_connection_s02() {
    let bounds = [
        "--max-connections",
        "4",
        "--max-connections-per-address",
        "4",
    ];
    let scene = Scene::on(Cluster::start_with(&bounds)).await;
    let token = scene.access_token("cred01");
    let https = scene.https.clone();
    let slow = tokio::spawn(async move { https.get(WEB, "/slow", &token).await });
    while scene.upstream.served() == 0 {
        tokio::task::yield_now().await;
    }
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(scene.https.tcp().await.unwrap());
    }
    assert_eq!(slow.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_that_connections_are_refused_s02() {
    let bounds = [
        "--max-connections",
        "3",
        "--max-connections-per-address",
        "3",
    ];
    let cluster = Cluster::start_with(&bounds);
    let https = Https::new(&cluster);
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = https.tls("localhost").await.unwrap();
        let head = "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\
                    Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server asks for the body, so the request has started.
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100");
        open.push(stream);
    }
    assert_eq!(report(&cluster, "/readyz").await.0, 200);
    let mut refused = https.from("127.0.0.2").tcp().await.unwrap();
    assert!(is_closed(&mut refused).await);
    let (status, reason) = report(&cluster, "/readyz").await;
    assert_eq!(status, 503);
    assert!(reason.contains("--max-connections"), "{reason}");
    assert!(counted(&cluster, "connections").await >= 1);
    drop(open);
    // The server may need a moment to detect that they are closed.
    let begun = Instant::now();
    while https.tls("localhost").await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_block_the_admin_listener_s02() {
    let cluster = Cluster::start();
    let mut silent = Vec::new();
    for host in 2..12 {
        for _ in 0..20 {
            let socket = TcpSocket::new_v4().unwrap();
            let source = format!("127.0.0.{host}:0").parse().unwrap();
            socket.bind(source).unwrap();
            silent.push(socket.connect(cluster.admin_address).await.unwrap());
        }
    }
    let begun = Instant::now();
    assert_eq!(report(&cluster, "/healthz").await.0, 200);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(is_closed(&mut silent[0]).await);
    // Connections that were asked to close do so.
    let line = "octelium_connections{listener=\"admin\"} ";
    let begun = Instant::now();
    loop {
        let (_, metrics) = report(&cluster, "/metrics").await;
        let open = metrics.lines().find_map(|found| found.strip_prefix(line));
        let open: f64 = open.unwrap().parse().unwrap();
        if open <= 65.0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{open}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_with_too_many_fields_is_refused_s02() {
    let scene = Scene::start().await;
    let token = scene.access_token("cred01");
    let mut request = get("/", &token);
    for number in 0..90 {
        let name = format!("x-field-{number}")
            .parse::<http::HeaderName>()
            .unwrap();
        request.headers_mut().insert(name, "1".parse().unwrap());
    }
    assert_eq!(scene.https.send(WEB, request.clone()).await.status, 200);
    for number in 90..120 {
        let name = format!("x-field-{number}")
            .parse::<http::HeaderName>()
            .unwrap();
        request.headers_mut().insert(name, "1".parse().unwrap());
    }
    assert_eq!(scene.https.send(WEB, request).await.status, 431);
}
