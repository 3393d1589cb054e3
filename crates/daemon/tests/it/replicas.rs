//! Two replicas on one PostgreSQL database.

use std::time::{Duration, Instant};

use crate::support::{
    cluster::Cluster,
    https::{Https, form, get},
    scene::{Scene, WEB},
};

/// The documented propagation delay between replicas. The test compares the median of several rounds with it. A machine
/// that is busy for a moment passes, and a replica that only polls for changes fails.
const BOUND: Duration = Duration::from_millis(500);
const ROUNDS: usize = 7;
/// The deadline after which a missing result fails the test.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a scene on the first replica, and a second replica.
async fn replicas() -> (Scene, Cluster) {
    let database = store::testing::postgres_database().await;
    let first = Cluster::start_on(database.expose(), &[]);
    let domain = first.domain();
    let second = Cluster::start_on(database.expose(), &["--domain", &domain]);
    (Scene::on(first).await, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_one_replica_work_at_the_other_at_once() {
    let (scene, second) = replicas().await;
    assert_eq!(
        std::fs::read(scene.cluster.ca()).unwrap(),
        std::fs::read(second.ca()).unwrap(),
        "replicas agree on the authority"
    );
    assert!(
        !second.data_dir().join("root-token").exists(),
        "only one began the Cluster"
    );
    let other = Https::new(&second);
    let client = scene.oauth2_client("cred01");
    let basic = Some((client.0.as_str(), client.1.as_str()));
    for _ in 0..20 {
        let request = form("/oauth2/token", basic, "grant_type=client_credentials");
        let reply = scene.https.send("localhost", request).await.json();
        let token = scene
            .cluster
            .secret(reply["access_token"].as_str().unwrap());
        let answer = other.get(WEB, "/", &token).await;
        assert_eq!(answer.status, 200, "{answer:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_one_replica_are_listed_at_the_other() {
    let (scene, second) = replicas().await;
    let token = scene.access_token("cred01");
    scene.https.get(WEB, "/at-the-first", &token).await;
    Https::new(&second).get(WEB, "/at-the-second", &token).await;
    let begun = Instant::now();
    let administrator = scene.admin;
    loop {
        let listed = administrator.sh("octeliumctl get access").success().stdout;
        if listed.contains("/at-the-first") && listed.contains("/at-the-second") {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_parallel_uses_of_a_one_time_token_on_two_replicas_make_one_session() {
    let (scene, second) = replicas().await;
    let made = scene
        .admin
        .sh("octeliumctl create cred --user microservice1 --one-time once")
        .success();
    let token = scene.cluster.secret(&made.value("Authentication Token:"));
    let mut logins = Vec::new();
    for number in 0..16 {
        let cluster = if number % 2 == 0 {
            &scene.cluster
        } else {
            &second
        };
        let person = cluster.person();
        let login = format!("octelium login --auth-token {token}");
        logins.push(tokio::task::spawn_blocking(move || {
            person.sh(&login).code == 0
        }));
    }
    let mut accepted = 0;
    for login in logins {
        accepted += u32::from(login.await.unwrap());
    }
    assert_eq!(accepted, 1);
    let sessions = scene
        .admin
        .sh("octeliumctl get session --user microservice1 -o json")
        .success();
    let sessions: serde_json::Value = serde_json::from_str(&sessions.stdout).unwrap();
    assert_eq!(sessions["items"].as_array().unwrap().len(), 1, "{sessions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_a_revocation_reaches_the_other_replica_in_time() {
    let (scene, second) = replicas().await;
    let other = Https::new(&second);
    let started = Instant::now();
    let mut connection = loop {
        // The Service has a certificate only after the second replica has read the Service.
        match other.connect(WEB).await {
            Ok(connection) => break connection,
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
    };
    let mut lasting = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("cred{round}");
        let token = scene.access_token(&name);
        assert_eq!(connection.send(get("/", &token)).await.status, 200);
        scene
            .admin
            .sh(&format!("octeliumctl delete cred {name}"))
            .success();
        lasting.push(other.accepted_for(WEB, &token, PATIENCE).await);
    }
    lasting.sort();
    assert!(lasting[ROUNDS / 2] <= BOUND, "{lasting:?}");
}
