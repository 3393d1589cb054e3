//! Memory of idle connections that have carried one request.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    figures::Figures,
    http::{Http1, Target},
    peer::Proxy,
    stage::{self, Servers},
};

const WARM: usize = 200;
const CONNECTIONS: usize = 4000;
/// The time for a proxy to detect that a connection is idle.
const PAUSE: Duration = Duration::from_secs(5);

pub(crate) async fn run(figures: &mut Figures) {
    let servers = Servers::start();
    let upstreams = servers.upstreams();
    for (proxy, target) in [
        (stage::octeliumd(&upstreams).await, "<= 20"),
        (Proxy::nginx(&upstreams), ""),
        (Proxy::haproxy(&upstreams), ""),
    ] {
        let _warm = open(&proxy, WARM).await;
        let before = proxy.resident();
        let mut connections = open(&proxy, CONNECTIONS).await;
        tokio::time::sleep(PAUSE).await;
        let each = (proxy.resident() - before) / CONNECTIONS as f64;
        figures.add("idle-connections", proxy.name, each / 1e3, "KB", target);
        for connection in &mut connections {
            request(connection, &proxy).await;
        }
    }
}

async fn open(proxy: &Proxy, count: usize) -> Vec<Http1> {
    let target = Target::new(proxy.address, &proxy.certificate);
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = target.http1("app.localhost").await;
        request(&mut connection, proxy).await;
        connections.push(connection);
    }
    connections
}

async fn request(connection: &mut Http1, proxy: &Proxy) {
    let request = ::http::Request::builder()
        .uri("/")
        .header("authorization", &proxy.authorization);
    let (status, _) = connection.send(request, Bytes::new()).await;
    assert_eq!(status, 200);
}
