//! Failovers of PostgreSQL under two replicas.

use std::time::{Duration, Instant};

use store::testing::{Pair, Relay, Server, until};

use crate::support::{
    admin::report,
    cluster::Cluster,
    https::{Https, get},
    scene::{Scene, WEB},
};

/// The published bound from a failover to a revocation that holds everywhere, and a margin for a busy machine.
const BOUND: Duration = Duration::from_secs(10);
/// The first error of a request that needs a store which hangs.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

async fn is_ready(cluster: &Cluster) -> bool {
    let (status, _) = report(cluster, "/readyz").await;
    let (_, metrics) = report(cluster, "/metrics").await;
    let is_ready = metrics.contains("octelium_ready 1\n");
    // Both tell the same, unless it changes in between.
    (status == 200) == is_ready && is_ready
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_after_a_failover_with_loss_holds_on_every_replica_d1() {
    let pair = Pair::start().await;
    let first = Cluster::start_on(pair.url().expose(), &[]);
    let domain = first.domain();
    let second = Cluster::start_on(pair.url().expose(), &["--domain", &domain]);
    let scene = Scene::on(first).await;
    let token = scene.access_token("cred01");
    let other = Https::new(&second);
    until("the Service at the second replica", async || {
        other.connect(WEB).await.is_ok()
    })
    .await;
    pair.replicate().await;
    pair.cut().await;
    for number in 0..10 {
        let create = format!("octeliumctl create user --type workload lost{number}");
        scene.admin.sh(&create).success();
    }
    for https in [&scene.https, &other] {
        assert_eq!(https.get(WEB, "/", &token).await.status, 200);
    }

    let _running = pair.fail_over().await;
    for cluster in [&scene.cluster, &second] {
        until("readiness", async || is_ready(cluster).await).await;
    }
    scene.admin.sh("octeliumctl delete cred cred01").success();
    for https in [&scene.https, &other] {
        https.accepted_for(WEB, &token, BOUND).await;
    }
    for cluster in [&scene.cluster, &second] {
        let (_, metrics) = report(cluster, "/metrics").await;
        let counted = metrics.contains("octelium_store_history_replaced_total 1\n");
        assert!(counted, "{metrics}");
        let log = cluster.log_with("the database does not hold the last change");
        assert!(log.contains("the database does not hold the last change"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_costs_503_within_seconds_and_no_restart_d2() {
    let server = Server::start_separate().await;
    let url = server.database().await;
    let database = url.expose().rsplit('/').next().unwrap();
    let relay = Relay::to(&server).await;
    let url = format!("postgres://postgres@{}/{database}", relay.address());
    let scene = Scene::on(Cluster::start_on(&url, &[])).await;
    let known = scene.access_token("known");
    let unknown = scene.access_token("unknown");
    let mut connection = scene.https.connect(WEB).await.unwrap();
    assert_eq!(connection.send(get("/", &known)).await.status, 200);
    assert!(is_ready(&scene.cluster).await);

    relay.freeze();
    let began = Instant::now();
    let answer = connection.send(get("/", &unknown)).await;
    assert_eq!(answer.status, 503, "{answer:#?}");
    assert!(began.elapsed() < REFUSED_WITHIN, "{:?}", began.elapsed());
    until("not being ready", async || {
        report(&scene.cluster, "/readyz").await.0 == 503
    })
    .await;
    let (_, metrics) = report(&scene.cluster, "/metrics").await;
    assert!(metrics.contains("octelium_ready 0\n"), "{metrics}");

    // A balancer that has another primary for new connections.
    relay.repair();
    until("readiness", async || is_ready(&scene.cluster).await).await;
    let answer = connection.send(get("/", &unknown)).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    scene.admin.sh("octeliumctl delete cred known").success();
    assert_eq!(connection.send(get("/", &known)).await.status, 401);
}
