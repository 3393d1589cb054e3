//! Health, metrics, logs, shutdown.

use std::time::Duration;

use crate::support::{
    admin::report,
    cluster::Cluster,
    https::{Https, get},
    scene::{Scene, WEB},
};

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics() {
    let scene = Scene::start().await;
    let token = scene.access_token("cred01");
    assert_eq!(scene.https.get(WEB, "/", &token).await.status, 200);
    assert_eq!(report(&scene.cluster, "/healthz").await.0, 200);
    assert_eq!(report(&scene.cluster, "/readyz").await.0, 200);
    let (status, metrics) = report(&scene.cluster, "/metrics").await;
    assert_eq!(status, 200);
    for counter in [
        "octelium_requests_total{site=\"api\",status=\"2xx\"}",
        "octelium_ready",
        "gateway_requests_total{service=\"web.default\",code=\"2xx\"}",
    ] {
        let line = metrics.lines().find_map(|line| line.strip_prefix(counter));
        let count: u64 = line
            .unwrap_or_else(|| panic!("{metrics}"))
            .trim()
            .parse()
            .unwrap();
        assert!(count > 0, "{counter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_log_is_an_object_and_every_request_has_one() {
    let scene = Scene::start().await;
    let token = scene.access_token("cred01");
    scene
        .https
        .get(WEB, "/a-path?secret=in-the-query", &token)
        .await;
    scene.admin.sh("octeliumctl delete user nobody-here");
    let log = scene.cluster.log_with("/DeleteUser");
    let mut lines = 0;
    let mut refused = 0;
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        lines += usize::from(line["path"] == "/a-path" && line["status"] == 200);
        // 5 is NOT_FOUND.
        let is_delete = line["path"]
            .as_str()
            .is_some_and(|path| path.ends_with("/DeleteUser"));
        refused += usize::from(is_delete && line["grpc_status"] == 5);
    }
    assert_eq!((lines, refused), (1, 1), "{log}");
    assert!(!log.contains("in-the-query"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_runs_at_shutdown_is_answered() {
    let mut scene = Scene::start().await;
    let token = scene.access_token("cred01");
    let mut connection = scene.https.connect(WEB).await.unwrap();
    let slow = tokio::spawn(async move { connection.send(get("/slow", &token)).await });
    while scene.upstream.served() == 0 {
        tokio::task::yield_now().await;
    }
    scene.cluster.signal("TERM");
    assert_eq!(slow.await.unwrap().body, "slow");
    let ended = tokio::task::spawn_blocking(move || scene.cluster.wait());
    let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
    assert!(
        ended
            .expect("it ends with its last request")
            .unwrap()
            .success()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_oauth2_require_tls_unless_the_domain_is_local() {
    let cluster = Cluster::start_with(&["--domain", "cluster.test"]);
    let https = Https::new(&cluster);
    for path in [
        "/",
        "/oauth2/token",
        "/.well-known/oauth-authorization-server",
        "/nothing",
    ] {
        let answer = https.get("cluster.test", path, "").await;
        assert_eq!(
            answer.header("strict-transport-security"),
            "max-age=31536000",
            "{path}"
        );
    }
    let local = Cluster::start();
    let answer = Https::new(&local).get("localhost", "/login", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("strict-transport-security"), "");
}
