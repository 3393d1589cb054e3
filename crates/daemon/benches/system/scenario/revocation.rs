//! The delay of a revocation, from the acknowledgement that a Credential is disabled. Measures the last accepted
//! request and the end of open streams, in one process and between replicas on PostgreSQL.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    api::{Api, spec},
    figures::Figures,
    http::{Http1, Target},
    replica::Replica,
    upstream::{self, HOST},
};
use api::core_v1::credential::{Spec, spec::Type};
use bytes::Bytes;

const ROUNDS: usize = 200;
/// The time after the acknowledgement in which requests continue.
const WATCHED: Duration = Duration::from_secs(1);

/// Measures within one process.
pub(crate) async fn run(figures: &mut Figures) {
    let replica = Replica::start();
    let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    measure(figures, "revocation", "<= 50", &replica, &target).await;
}

/// Revokes at one replica and measures at another.
pub(crate) async fn between_replicas(figures: &mut Figures) {
    let url = store::testing::postgres_database().await;
    let key = tempfile::tempdir().unwrap();
    let key = key.path().join("master-key");
    fs::write(&key, "5a".repeat(32)).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let arguments = [
        "--database-url",
        url.expose(),
        "--master-key-file",
        key.to_str().unwrap(),
    ];
    let first = Replica::start_in(tempfile::tempdir().unwrap(), &arguments);
    let domain = first.domain();
    let mut arguments = arguments.to_vec();
    arguments.extend(["--domain", &domain]);
    let second = Replica::start_in(tempfile::tempdir().unwrap(), &arguments);
    let target = Target::new(second.address, &second.data_dir().join("ca.pem"));
    measure(figures, "revocation-replicas", "<= 500", &first, &target).await;
}

/// Revokes at `replica` and measures at `target`.
async fn measure(
    figures: &mut Figures,
    name: &str,
    bound: &str,
    replica: &Replica,
    target: &Target,
) {
    let own = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    let api = Api::administrator(replica, &own).await;
    api.apply_documents(&upstream::service().await).await;
    let names: Vec<_> = (0..ROUNDS)
        .map(|number| format!("workload-{number}"))
        .collect();
    let spec = spec(Type::AccessToken, 0);
    api.make_workloads(&names, &spec).await;
    until_served(&api, target, &names[0]).await;
    let (mut requests, mut streams) = (Vec::new(), Vec::new());
    for name in &names {
        let round = round(&api, target, name, &spec).await;
        requests.extend(round.0);
        streams.push(round.1);
    }
    figures.latencies(name, &mut requests, bound);
    figures.latencies(&format!("{name}, open streams"), &mut streams, bound);
}

/// Waits until `target` serves the Service. Before that, it has no certificate for the Service's name.
async fn until_served(api: &Api, target: &Target, name: &str) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bearer = format!("Bearer {}", api.secret(name).await.secret);
    let mut connection = target.http1(HOST).await;
    while get(&mut connection, "/", &bearer).await != 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Returns how long after the acknowledgement requests were accepted and a stream continued.
async fn round(api: &Api, target: &Target, name: &str, spec: &Spec) -> (Vec<Duration>, Duration) {
    let bearer = format!("Bearer {}", api.secret(name).await.secret);
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut connection = target.http1(HOST).await;
        assert_eq!(get(&mut connection, "/", &bearer).await, 200);
        let (bearer, stop) = (bearer.clone(), Arc::clone(&stop));
        clients.push(tokio::spawn(async move {
            last_accepted(connection, &bearer, &stop).await
        }));
    }
    let mut connection = target.http1(HOST).await;
    let request = http::Request::builder()
        .uri("/stream")
        .header("authorization", &bearer);
    let mut stream = connection.open(request).await;
    let stream = tokio::spawn(async move {
        while stream.beats().await {}
        Instant::now()
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!stream.is_finished(), "the stream has ended too early");
    api.disable(name, spec).await;
    let acknowledged = Instant::now();
    let ended = tokio::time::timeout(WATCHED, stream).await;
    let ended = ended.expect("the stream goes on").unwrap();
    for client in &clients {
        while !client.is_finished() && acknowledged.elapsed() < WATCHED {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut lasting = Vec::new();
    for client in clients {
        let accepted = client.await.unwrap();
        lasting.push(accepted.saturating_duration_since(acknowledged));
    }
    (lasting, ended.saturating_duration_since(acknowledged))
}

/// Returns when the last accepted request was sent.
async fn last_accepted(mut connection: Http1, bearer: &str, stop: &AtomicBool) -> Instant {
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let request = http::Request::builder()
            .uri("/")
            .header("authorization", bearer);
        match connection.try_send(request, Bytes::new()).await {
            Ok((status, _)) if status == 200 => last = sent,
            Ok((status, _)) if status == 401 => return last,
            Ok((status, _)) => panic!("{status}"),
            // An open request is aborted.
            Err(_) => return last,
        }
    }
    panic!("never refused");
}

async fn get(connection: &mut Http1, path: &str, bearer: &str) -> u16 {
    let request = http::Request::builder()
        .uri(path)
        .header("authorization", bearer);
    let (status, _) = connection.send(request, Bytes::new()).await;
    status.as_u16()
}
