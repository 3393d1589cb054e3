//! Load balancers that name the client, and clients that try to do the same.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use http::Request;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use crate::support::{
    admin::report,
    cluster::Cluster,
    https::{Answer, Https, get},
    scene::Scene,
};

/// The trusted proxy, and an untrusted client.
const PROXY: &str = "127.0.0.9";
const STRANGER: &str = "127.0.0.8";
const TRUSTED: &str = "127.0.0.9/32";
/// A Service for clients at 192.0.2.7 only, which sends its upstream the client's address.
const HOST: &str = "seen.localhost";

async fn scene(arguments: &[&str]) -> (Scene, String) {
    let mut all = vec!["--trusted-proxies", TRUSTED];
    all.extend(arguments);
    let scene = Scene::on(Cluster::start_with(&all)).await;
    let document = format!(
        "kind: Policy
metadata:
  name: from-one-address
spec:
  rules:
    - effect: ALLOW
      condition:
        match: ctx.request.ip == '192.0.2.7'
---
kind: Service
metadata:
  name: seen
spec:
  mode: HTTP
  isPublic: true
  authorization:
    policies: [from-one-address]
  config:
    upstream:
      url: http://{}
    http:
      header:
        forwardedMode: TRANSPARENT
",
        scene.upstream.address
    );
    let applied = scene.admin.sh_with_input("octeliumctl apply -", &document);
    applied.success();
    let token = scene.access_token("cred01");
    (scene, token)
}

fn with_field(mut request: Request<String>, forwarded_for: &str) -> Request<String> {
    let value = forwarded_for.parse().unwrap();
    request.headers_mut().append("x-forwarded-for", value);
    request
}

fn page(path: &str) -> Request<String> {
    Request::builder().uri(path).body(String::new()).unwrap()
}

/// Returns the client in the log line of a request to this path.
fn logged_client(cluster: &Cluster, path: &str) -> String {
    let log = cluster.log_with(&format!("\"path\":\"{path}\""));
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.into_iter().find(|line| line["path"] == path);
    let line = line.unwrap_or_else(|| panic!("{path} is not in the log:\n{log}"));
    line["client"].as_str().unwrap().to_owned()
}

/// Checks that all parts of the Cluster report the client behind the proxy.
async fn check_every_surface(
    scene: &Scene,
    token: &str,
    proxied: &Https,
    prepare: impl Fn(Request<String>) -> Request<String>,
) {
    let seen: Answer = proxied.send(HOST, prepare(get("/gateway", token))).await;
    assert_eq!(seen.status, 200, "by its Policy");
    assert_eq!(seen.json()["headers"]["x-forwarded-for"], "192.0.2.7");
    assert_eq!(logged_client(&scene.cluster, "/gateway"), "192.0.2.7");

    proxied.send("localhost", prepare(page("/login"))).await;
    assert_eq!(logged_client(&scene.cluster, "/login"), "192.0.2.7");
    proxied
        .send("localhost", prepare(page("/oauth2/token")))
        .await;
    assert_eq!(logged_client(&scene.cluster, "/oauth2/token"), "192.0.2.7");

    let method = "/octelium.api.main.core.v1.MainService/ListUser";
    let mut call = page(method);
    let token = "no-token-of-ours".parse().unwrap();
    call.headers_mut().insert("x-octelium-auth", token);
    proxied.send("octelium-api.localhost", prepare(call)).await;
    assert_eq!(logged_client(&scene.cluster, method), "192.0.2.7");
    let begun = Instant::now();
    loop {
        let audit = scene.admin.sh("octeliumctl get audit -o json").success();
        if audit.stdout.contains("192.0.2.7") {
            return;
        }
        assert!(begun.elapsed().as_secs() < 20, "{}", audit.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_surface_sees_the_client_that_a_proxy_names_s02() {
    let (scene, token) = scene(&[]).await;
    let proxied = scene.https.from(PROXY);
    let name = |request| with_field(request, "198.51.100.1, 192.0.2.7");
    check_every_surface(&scene, &token, &proxied, name).await;

    let nonsense = with_field(get("/nonsense", &token), "192.0.2.7, unknown");
    assert_eq!(proxied.send(HOST, nonsense).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_choose_its_address_s02() {
    let (scene, token) = scene(&[]).await;
    let stranger = scene.https.from(STRANGER);
    let request = with_field(get("/stranger", &token), "192.0.2.7");
    assert_eq!(stranger.send(HOST, request).await.status, 403);
    assert_eq!(logged_client(&scene.cluster, "/stranger"), STRANGER);
    // A request through the proxy that names two addresses does not work either.
    let proxied = scene.https.from(PROXY);
    let request = with_field(get("/through", &token), "192.0.2.7, 198.51.100.1");
    assert_eq!(proxied.send(HOST, request).await.status, 403);
    assert_eq!(logged_client(&scene.cluster, "/through"), "198.51.100.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_client_addresses_are_ignored_by_default_s02() {
    let scene = Scene::start().await;
    let request = with_field(page("/nobody"), "192.0.2.7");
    scene.https.from(PROXY).send("localhost", request).await;
    assert_eq!(logged_client(&scene.cluster, "/nobody"), PROXY);
}

/// Builds a PROXY protocol header for a client at this address.
fn header(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client);
    header.extend(Ipv4Addr::LOCALHOST.octets());
    header.extend([0xd4, 0x31, 1, 0xbb]);
    header
}

#[tokio::test(flavor = "multi_thread")]
async fn every_surface_sees_the_client_of_a_proxied_connection_s02() {
    let (scene, token) = scene(&["--proxy-protocol", "on"]).await;
    let proxied = scene.https.from(PROXY).greeting(&header([192, 0, 2, 7]));
    // Values from the client itself are ignored.
    let invent = |request| with_field(request, "198.51.100.1");
    check_every_surface(&scene, &token, &proxied, invent).await;

    let without = scene.https.from(PROXY);
    without
        .connect("localhost")
        .await
        .err()
        .expect("it is refused");
    let (_, metrics) = report(&scene.cluster, "/metrics").await;
    assert!(
        metrics.contains("octelium_limit_reached_total{limit=\"proxy_header\"} 1"),
        "{metrics}"
    );
    // The header of an untrusted client is read as TLS and fails.
    let stranger = scene.https.from(STRANGER);
    let greeting = stranger.greeting(&header([192, 0, 2, 7]));
    greeting.connect(HOST).await.err().expect("it is refused");
    let request = get("/stranger", &token);
    assert_eq!(stranger.send(HOST, request).await.status, 403);
    assert_eq!(logged_client(&scene.cluster, "/stranger"), STRANGER);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_through_a_proxy_count_for_their_client_s02() {
    let bounds = [
        "--max-connections",
        "20",
        "--max-connections-per-address",
        "2",
    ];
    let arguments = ["--trusted-proxies", TRUSTED, "--proxy-protocol", "on"];
    let cluster = Cluster::start_with(&[&bounds[..], &arguments].concat());
    let https = Https::new(&cluster).from(PROXY);
    // After its handshake it counts for its client.
    let first = https.greeting(&header([192, 0, 2, 7]));
    let mut first = first.tls("localhost").await.unwrap();
    let mut others = Vec::new();
    for host in 1..10 {
        others.push(
            https
                .greeting(&header([198, 51, 100, host]))
                .tcp()
                .await
                .unwrap(),
        );
    }
    for _ in 0..2 {
        let same = https.greeting(&header([192, 0, 2, 7]));
        others.push(same.tcp().await.unwrap());
    }
    let mut buffer = [0; 8];
    let read = tokio::time::timeout(Duration::from_secs(5), first.read(&mut buffer));
    assert!(
        !matches!(read.await.unwrap(), Ok(1..)),
        "its client has newer ones"
    );
    let (_, metrics) = report(&cluster, "/metrics").await;
    assert!(
        metrics.contains("octelium_limit_reached_total{limit=\"connections_per_address\"} 1"),
        "{metrics}"
    );
}
