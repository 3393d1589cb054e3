//! Limits on the memory, the time and the rows that unauthenticated clients can use.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::support::{
    cluster::Cluster,
    https::tls,
    scene::{Scene, WEB},
};

type Body = UnsyncBoxBody<Bytes, Infallible>;

const API: &str = "octelium-api.localhost";
const LOGIN: &str = "/octelium.api.main.auth.v1.MainService/AuthenticateWithAuthenticationToken";
const LIST: &str = "/octelium.api.main.core.v1.MainService/ListUser";
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The address of one slow form. It differs from [`ATTACKER`], whose share may be full.
const SLOW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 67);
/// The maximum growth of the process during an attack, in KiB.
const MEMORY: u64 = 128 * 1024;
/// The deadline for immediate results, on a busy machine.
const SOON: Duration = Duration::from_secs(8);

/// Connects from a given source address.
async fn connect(
    cluster: &Cluster,
    host: &str,
    source: Ipv4Addr,
    protocol: &str,
) -> TlsStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    let stream = socket.connect(cluster.address).await.unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connector = tls(&cluster.ca(), protocol);
    connector.connect(name, stream).await.unwrap()
}

async fn http2(cluster: &Cluster, host: &str, source: Ipv4Addr) -> SendRequest<Body> {
    let stream = connect(cluster, host, source, "h2").await;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// A body that starts with these bytes and does not end.
fn unfinished(bytes: Vec<u8>) -> Body {
    let frame = Ok(Frame::data(Bytes::from(bytes)));
    StreamBody::new(stream::iter([frame]).chain(stream::pending())).boxed_unsync()
}

fn whole(text: String) -> Body {
    http_body_util::Full::new(Bytes::from(text)).boxed_unsync()
}

/// The start of a gRPC message of `length` bytes.
fn message(length: u32, sent: usize) -> Body {
    let prefix = [&[0][..], &length.to_be_bytes()].concat();
    unfinished([prefix, vec![b'x'; sent]].concat())
}

fn request(cluster: &Cluster, host: &str, method: Method, path: &str, body: Body) -> Request<Body> {
    Request::builder()
        .version(Version::HTTP_2)
        .method(method)
        .uri(format!("https://{host}:{}{path}", cluster.address.port()))
        .body(body)
        .unwrap()
}

fn call(cluster: &Cluster, path: &str, body: Body) -> Request<Body> {
    let mut request = request(cluster, API, Method::POST, path, body);
    let headers = request.headers_mut();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    headers.insert("te", "trailers".parse().unwrap());
    request
}

/// Returns the status of a gRPC response that has only headers.
fn grpc_status(response: &Response<Incoming>) -> String {
    let status = response.headers().get("grpc-status");
    status
        .map_or("none", |status| status.to_str().unwrap())
        .to_owned()
}

/// Starts 128 unfinished calls on each of 8 connections. Each task returns its status and its duration.
fn attack(
    cluster: &Cluster,
    connections: &[SendRequest<Body>],
    length: u32,
    sent: usize,
) -> JoinSet<(String, Duration)> {
    let mut calls = JoinSet::new();
    let begun = Instant::now();
    for connection in connections {
        for _ in 0..128 {
            let mut connection = connection.clone();
            let request = call(cluster, LOGIN, message(length, sent));
            calls.spawn(async move {
                // The server may close a connection if its client continues to send.
                let status = match connection.send_request(request).await {
                    Ok(response) => grpc_status(&response),
                    Err(_) => CLOSED.to_owned(),
                };
                (status, begun.elapsed())
            });
        }
    }
    calls
}

/// The status of a call whose connection was closed.
const CLOSED: &str = "closed";

async fn attackers(cluster: &Cluster) -> Vec<SendRequest<Body>> {
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(http2(cluster, API, ATTACKER).await);
    }
    connections
}

fn statuses(ended: &[(String, Duration)]) -> BTreeMap<&str, usize> {
    let mut statuses = BTreeMap::new();
    for (status, _) in ended {
        *statuses.entry(status.as_str()).or_default() += 1;
    }
    statuses
}

/// Returns the durations of requests from another address, the slowest first. Each must be answered.
async fn others(cluster: &Cluster) -> Vec<Duration> {
    let mut sender = http2(cluster, "localhost", OTHER).await;
    let mut taken = Vec::new();
    for number in 0..100 {
        let begun = Instant::now();
        let (request, expected) = if number % 2 == 0 {
            let login = request(
                cluster,
                "localhost",
                Method::GET,
                "/login",
                whole(String::new()),
            );
            (login, 200)
        } else {
            let form = "grant_type=client_credentials&client_id=a&client_secret=b";
            let body = whole(form.to_owned());
            let mut grant = request(cluster, "localhost", Method::POST, "/oauth2/token", body);
            let form = "application/x-www-form-urlencoded".parse().unwrap();
            grant.headers_mut().insert("content-type", form);
            (grant, 401)
        };
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), expected);
        response.into_body().collect().await.unwrap();
        taken.push(begun.elapsed());
    }
    taken.sort();
    taken.reverse();
    taken
}

/// Sends the head of a form and a part of its body, and reads until the connection is closed.
async fn unfinished_form(cluster: &Cluster) -> String {
    let mut stream = connect(cluster, "localhost", SLOW, "http/1.1").await;
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: 100\r\n\r\ngrant_type=",
        cluster.domain()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The kind of close does not matter.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_requests_of_one_address_neither_hold_memory_nor_others_up_s02() {
    let cluster = Cluster::start();
    let connections = attackers(&cluster).await;
    let usual = others(&cluster).await[1];
    let memory = cluster.memory();

    // A message that is too large is refused at its prefix.
    let large = attack(&cluster, &connections, 4 * 1024 * 1024, 64 * 1024);
    let ended = timeout(SOON, large.join_all()).await.expect("at once");
    let counted = statuses(&ended);
    let count = |status: &str| counted.get(status).copied().unwrap_or(0);
    assert!(count("3") > 0, "{counted:?}");
    assert_eq!(count("3") + count("8") + count(CLOSED), 1024, "{counted:?}");
    let connections = attackers(&cluster).await;

    // A caller must authenticate before its message is read.
    let mut connection = connections[0].clone();
    let body = message(4 * 1024 * 1024, 100 * 1024);
    let list = connection.send_request(call(&cluster, LIST, body));
    let response = timeout(SOON, list).await.expect("at once").unwrap();
    assert_eq!(grpc_status(&response), "16");

    // Small messages wait if they fit into the share of their address. The rest is refused.
    let small = attack(&cluster, &connections, 60 * 1024, 50 * 1024);
    let form = unfinished_form(&cluster);
    let meanwhile = async {
        let taken = others(&cluster).await;
        (taken, cluster.memory())
    };
    let ((taken, peak), form, ended) = tokio::join!(meanwhile, form, small.join_all());
    let counted = statuses(&ended);
    let count = |status: &str| counted.get(status).copied().unwrap_or(0);
    let waiting = count("4");
    assert!((1..=256).contains(&waiting), "{counted:?}");
    assert_eq!(count("8") + count(CLOSED), 1024 - waiting, "{counted:?}");
    let longest = ended.iter().map(|(_, elapsed)| *elapsed).max().unwrap();
    assert!(longest < Duration::from_secs(35), "{longest:?}");
    assert!(form.starts_with("HTTP/1.1 408 "), "{form}");
    assert!(peak < memory + MEMORY, "from {memory} to {peak} KiB");
    // On a busy machine, a bound below one second would be too strict.
    let bound = (usual * 5).max(Duration::from_secs(1));
    assert!(taken[1] <= bound, "{usual:?}, then {:?}", &taken[..5]);

    // Each limit has a metric, and one line in the log.
    let metrics = metrics(&cluster).await;
    let limits = ["body_bytes", "body_time", "anonymous_body_share"];
    for limit in limits {
        let metric = format!("octelium_limit_reached_total{{limit=\"{limit}\"}}");
        assert!(metrics.contains(&metric), "{limit}: {metrics}");
        let line = format!("\"limit\":\"{limit}\"");
        let log = cluster.log_with(&line);
        assert_eq!(log.matches(&line).count(), 1, "{limit}");
    }
}

/// Returns a Policy of at least `length` bytes with nested conditions. It is cheap to send and expensive to decode.
fn nested_policy(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        // The walk over the encoded message skips this field, as it skips the fields of the rules.
        bytes.extend([0x22, 0x04, 0x0a, 0x02, 0x1a, 0x00]);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_costs_no_more_than_its_bytes_before_it_is_permitted_s02() {
    const CREATE: &str = "/octelium.api.main.core.v1.MainService/CreatePolicy";
    let scene = Scene::start().await;
    let cluster = &scene.cluster;
    let token = scene.access_token("cred01");
    let memory = cluster.memory();
    let policy = nested_policy(4 * 1000 * 1000);
    let mut body = vec![0];
    body.extend(u32::try_from(policy.len()).unwrap().to_be_bytes());
    body.extend(policy);
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let mut connection = http2(cluster, API, ATTACKER).await;
        let body = http_body_util::Full::new(Bytes::from(body.clone())).boxed_unsync();
        let mut create = call(cluster, CREATE, body);
        let token = token.parse().unwrap();
        create.headers_mut().insert("x-octelium-auth", token);
        calls.spawn(async move { grpc_status(&connection.send_request(create).await.unwrap()) });
    }
    let statuses = timeout(SOON, calls.join_all()).await.expect("at once");
    assert_eq!(statuses, ["7"; 4]);
    let peak = cluster.memory();
    assert!(peak < memory + 64 * 1024, "from {memory} to {peak} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_streams_of_many_addresses_keep_no_login_out_s02() {
    const WATCH: &str = "/grpc.health.v1.Health/Watch";
    let cluster = Cluster::start();
    let mut connections = Vec::new();
    let mut streams = Vec::new();
    for host in 0..20 {
        let mut connection = http2(&cluster, API, Ipv4Addr::new(127, 0, 2, host)).await;
        for _ in 0..100 {
            let watch = call(&cluster, WATCH, whole("\0\0\0\0\0".to_owned()));
            streams.push(connection.send_request(watch).await);
        }
        connections.push(connection);
    }
    others(&cluster).await;
    // Each address has its own share.
    let watch = call(&cluster, WATCH, whole("\0\0\0\0\0".to_owned()));
    let mut connection = http2(&cluster, API, OTHER).await;
    let response = connection.send_request(watch).await.unwrap();
    assert_eq!(grpc_status(&response), "none");
}

async fn metrics(cluster: &Cluster) -> String {
    let mut stream = TcpStream::connect(cluster.admin_address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Sends requests that are refused for some seconds, each with another User-Agent and another long path, from three
/// addresses. Returns the number of requests.
async fn flood(cluster: &Cluster) -> u64 {
    let end = Instant::now() + Duration::from_secs(4);
    let mut clients = JoinSet::new();
    for number in 0..6_u8 {
        let host = if number % 2 == 0 { API } else { WEB };
        let mut sender = http2(cluster, host, Ipv4Addr::new(127, 0, 1, 1 + number / 2)).await;
        let port = cluster.address.port();
        clients.spawn(async move {
            let mut sent = 0;
            while Instant::now() < end {
                let mut request = Request::builder()
                    .version(Version::HTTP_2)
                    .header("user-agent", format!("agent {number} {sent}"));
                request = if host == API {
                    request
                        .method(Method::POST)
                        .uri(format!("https://{host}:{port}{LIST}"))
                        .header("content-type", "application/grpc")
                        .header("x-octelium-auth", format!("garbage-{sent}"))
                } else {
                    let path = format!("{number}-{sent}/").repeat(500);
                    request.uri(format!("https://{host}:{port}/{path}"))
                };
                let request = request.body(whole(String::new())).unwrap();
                let response = sender.send_request(request).await.unwrap();
                response.into_body().collect().await.unwrap();
                sent += 1;
            }
            sent
        });
    }
    clients.join_all().await.into_iter().sum()
}

async fn a_flood_is_bounded(scene: Scene) {
    let sent = flood(&scene.cluster).await;
    assert!(sent > 1000, "no flood: {sent}");
    let list = |what: &str| -> serde_json::Value {
        let listed = scene.admin.sh(&format!("octeliumctl get {what} -o json"));
        serde_json::from_str(&listed.success().stdout).unwrap()
    };
    let count = |item: &serde_json::Value| -> u64 {
        item["count"].as_str().unwrap_or("1").parse().unwrap()
    };
    // Events are written half a second later.
    let begun = Instant::now();
    let (audit, access) = loop {
        let audit = list("audit --type api.called")["items"].clone();
        let access = list("access --items-per-page 1000")["items"].clone();
        let (audit, access) = (audit.as_array().unwrap(), access.as_array().unwrap());
        let all: u64 = audit.iter().chain(access).map(count).sum();
        if all >= sent {
            break (audit.clone(), access.clone());
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{all} of {sent}");
    };
    // Three addresses and one reason: at most two writes per second, and sixty rows per minute.
    assert!(
        audit.len() <= 60,
        "{} rows for {sent} requests",
        audit.len()
    );
    // At most a hundred rows per minute and address, for at most two minutes, plus rows that count the omitted events.
    assert!(
        access.len() <= 610,
        "{} rows for {sent} requests",
        access.len()
    );
    let longest = access.iter().filter_map(|event| event["path"].as_str());
    let longest = longest.map(str::len).max().unwrap();
    assert_eq!(longest, 2048);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_requests_adds_few_rows_to_sqlite_s06() {
    a_flood_is_bounded(Scene::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_requests_adds_few_rows_to_postgres_s06() {
    let database = store::testing::postgres_database().await;
    let cluster = Cluster::start_on(database.expose(), &[]);
    a_flood_is_bounded(Scene::on(cluster).await).await;
}
