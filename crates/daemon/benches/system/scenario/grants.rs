//! OAuth2 client credentials grants over kept connections.

use api::core_v1::credential::spec::Type;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::Method;

use crate::{
    api::{Api, Secret, spec},
    figures::Figures,
    http::{Http1, Target},
    load::{AsyncWork, closed_loop, open_loop},
    replica::Replica,
};

const CONNECTIONS: usize = 16;
const GRANTS: usize = 40_000;
const RATE: f64 = 1000.0;

/// Grants to several clients in turn.
#[derive(Clone)]
pub(super) struct Grant {
    /// The path of the token endpoint.
    pub(super) path: &'static str,
    /// The `Authorization` headers of the clients.
    pub(super) clients: Vec<String>,
}

impl AsyncWork<Http1> for Grant {
    async fn run(&self, connection: &mut Http1, number: usize) {
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(self.path)
            .header("authorization", &self.clients[number % self.clients.len()])
            .header("content-type", "application/x-www-form-urlencoded");
        let body = Bytes::from_static(b"grant_type=client_credentials");
        let (status, body) = connection.send(request, body).await;
        assert_eq!(status, 200, "{body:?}");
    }
}

pub(crate) async fn run(figures: &mut Figures) {
    let replica = Replica::start();
    let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    let api = Api::administrator(&replica, &target).await;
    let names: Vec<_> = (0..100)
        .map(|number| format!("workload-{number}"))
        .collect();
    api.make_workloads(&names, &spec(Type::Oauth2, 0)).await;
    let mut clients = Vec::new();
    for name in &names {
        let Secret { id, secret } = api.secret(name).await;
        clients.push(format!(
            "Basic {}",
            STANDARD.encode(format!("{id}:{secret}"))
        ));
    }
    let grant = Grant {
        path: "/oauth2/token",
        clients,
    };
    closed_loop(connections(&target).await, 2000, grant.clone()).await;

    let cpu = replica.cpu_seconds();
    let (elapsed, mut latencies) =
        closed_loop(connections(&target).await, GRANTS, grant.clone()).await;
    let cpu = replica.cpu_seconds() - cpu;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let grants = GRANTS as f64;
    figures.add(
        "oauth2-grants",
        "per CPU-second",
        grants / cpu,
        "grants",
        ">= 5000",
    );
    figures.add(
        "oauth2-grants",
        "per second",
        grants / elapsed.as_secs_f64(),
        "grants",
        "",
    );
    figures.latencies("oauth2-grants", &mut latencies, "");

    let (_, mut latencies) = open_loop(connections(&target).await, 10_000, RATE, grant).await;
    figures.latencies("oauth2-grants at 1000/s", &mut latencies, "");
}

async fn connections(target: &Target) -> Vec<Http1> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(target.http1("localhost").await);
    }
    connections
}
