//! Revocation takes effect immediately, even under load.

use std::time::{Duration, Instant};

use crate::support::{
    https::{form, get},
    scene::{Scene, WEB},
};

/// The published bound in one process. The test compares the median of several rounds. A short load peak of the machine
/// does not matter then, but periodic polling for changes would fail.
const BOUND: Duration = Duration::from_millis(50);
const ROUNDS: usize = 7;
/// The timeout for requests that are never refused.
const PATIENCE: Duration = Duration::from_secs(30);
const CLIENTS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a03_w12_disabling_a_credential_stops_its_requests_while_they_run() {
    let scene = Scene::start().await;
    let mut lasting = Vec::new();
    for round in 0..ROUNDS {
        lasting.push(disable_under_load(&scene, &format!("cred{round}")).await);
    }
    lasting.sort();
    assert!(lasting[ROUNDS / 2] <= BOUND, "{lasting:?}");
}

/// Returns for how long requests were accepted, from the acknowledgement to the time they were sent.
async fn disable_under_load(scene: &Scene, name: &str) -> Duration {
    let token = scene.access_token(name);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let https = scene.https.clone();
        let token = token.clone();
        clients.push(tokio::spawn(async move {
            let mut connection = https.connect(WEB).await.unwrap();
            let begun = Instant::now();
            let mut last_accepted = None;
            while begun.elapsed() < PATIENCE {
                let sent = Instant::now();
                // An open response is aborted.
                let Ok(answer) = connection.try_send(get("/", &token)).await else {
                    connection = https.connect(WEB).await.unwrap();
                    continue;
                };
                match answer.status.as_u16() {
                    200 => last_accepted = Some(sent),
                    401 => return last_accepted,
                    status => panic!("{status} {answer:#?}"),
                }
            }
            panic!("never refused");
        }));
    }
    let served = scene.upstream.served();
    while scene.upstream.served() < served + 50 {
        tokio::task::yield_now().await;
    }
    let document = format!(
        "kind: Credential\nmetadata:\n  name: {name}\nspec:\n  type: ACCESS_TOKEN\n  \
         user: microservice1\n  sessionType: CLIENT\n  isDisabled: true\n"
    );
    scene
        .admin
        .sh_with_input("octeliumctl apply -", &document)
        .success();
    let acknowledged = Instant::now();
    let mut last_accepted: Option<Instant> = None;
    for client in clients {
        last_accepted = last_accepted.max(client.await.unwrap());
    }
    last_accepted
        .expect("no request was accepted before")
        .saturating_duration_since(acknowledged)
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_deleting_an_object_ends_the_tokens_that_depend_on_it() {
    let scene = Scene::start().await;
    for (name, command) in [
        ("cred01", "octeliumctl delete cred cred01".to_owned()),
        (
            "cred02",
            "octeliumctl create cred --rotate cred02".to_owned(),
        ),
        ("cred03", "octeliumctl delete user microservice1".to_owned()),
    ] {
        let token = scene.access_token(name);
        assert_eq!(
            scene.https.get(WEB, "/", &token).await.status,
            200,
            "{name}"
        );
        let done = scene.admin.sh(&command).success();
        if done.stdout.contains("Access Token:") {
            scene.cluster.secret(&done.value("Access Token:"));
        }
        assert_eq!(
            scene.https.get(WEB, "/", &token).await.status,
            401,
            "{command}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w19_a24_an_edited_policy_applies_to_existing_sessions() {
    let scene = Scene::start().await;
    let client = scene.oauth2_client("cred01");
    let request = form(
        "/oauth2/token",
        Some((&client.0, &client.1)),
        "grant_type=client_credentials",
    );
    let reply = scene.https.send("localhost", request).await.json();
    let token = scene
        .cluster
        .secret(reply["access_token"].as_str().unwrap());
    let path = "/denied-by-policy1";
    assert_eq!(scene.https.get(WEB, path, &token).await.status, 200);

    let document = "kind: Credential\nmetadata:\n  name: cred01\nspec:\n  type: OAUTH2\n  \
                    user: microservice1\n  sessionType: CLIENTLESS\n  authorization:\n    policies: [policy1]\n";
    scene
        .admin
        .sh_with_input("octeliumctl apply -", document)
        .success();
    assert_eq!(scene.https.get(WEB, path, &token).await.status, 403);
    assert_eq!(scene.https.get(WEB, "/", &token).await.status, 200);
}
