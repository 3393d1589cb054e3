//! From the acknowledgement that a Credential is disabled to the last request that is still accepted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use api::core_v1::credential::spec::Type;
use bytes::Bytes;

use crate::{
    api::{Api, spec},
    figures::Figures,
    http::Target,
    replica::Replica,
};

const ROUNDS: usize = 200;
/// How long requests go on after the acknowledgement.
const WATCHED: Duration = Duration::from_millis(200);

const SCENE: &str = "
kind: Service
metadata: { name: web }
spec:
  mode: HTTP
  isPublic: true
  authorization: { policies: [allow-all] }
  config:
    upstream: { url: 'http://127.0.0.1:9' }
    http: { response: { direct: { statusCode: 200, inline: ok } } }
";

pub(crate) async fn run(figures: &mut Figures) {
    let replica = Replica::start();
    let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    let api = Api::administrator(&replica, &target).await;
    api.apply_documents(SCENE).await;
    let names: Vec<_> = (0..ROUNDS)
        .map(|number| format!("workload-{number}"))
        .collect();
    let spec = spec(Type::AccessToken, 0);
    api.make_workloads(&names, &spec).await;

    let mut latencies = Vec::new();
    for name in &names {
        let token = api.secret(name).await.secret;
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for _ in 0..2 {
            let mut connection = target.http1("web.localhost").await;
            let stop = Arc::clone(&stop);
            let bearer = format!("Bearer {token}");
            clients.push(tokio::spawn(async move {
                let mut last_accepted = Instant::now();
                let mut accepted = 0;
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let request = http::Request::builder()
                        .uri("/")
                        .header("authorization", &bearer);
                    let (status, body) = connection.send(request, Bytes::new()).await;
                    match status.as_u16() {
                        200 => {
                            last_accepted = sent;
                            accepted += 1;
                        }
                        401 => return (last_accepted, accepted),
                        other => panic!("{other} {body:?}"),
                    }
                }
                panic!("never refused");
            }));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        api.disable(name, &spec).await;
        let acknowledged = Instant::now();
        tokio::time::sleep(WATCHED).await;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let (last_accepted, accepted) = client.await.unwrap();
            assert!(accepted > 0, "no request was accepted before");
            latencies.push(last_accepted.saturating_duration_since(acknowledged));
        }
    }
    figures.latencies("revocation", &mut latencies, "<= 50");
}
