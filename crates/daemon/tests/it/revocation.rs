//! What is revoked stops at once, also while requests run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::support::{
    https::{form, get},
    scene::{Scene, WEB},
};

/// The published bound in one process, with room for a loaded machine.
const BOUND: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a03_w12_disabling_a_credential_stops_its_requests_while_they_run() {
    let scene = Scene::start().await;
    let token = scene.access_token("cred01");
    let disabled = Arc::new(AtomicBool::new(false));

    let mut clients = Vec::new();
    for _ in 0..8 {
        let https = scene.https.clone();
        let token = token.clone();
        let disabled = Arc::clone(&disabled);
        clients.push(tokio::spawn(async move {
            let mut connection = https.connect(WEB).await.unwrap();
            let mut accepted = 0_u32;
            let mut since_disabled: Option<Instant> = None;
            loop {
                let was_disabled = disabled.load(Ordering::SeqCst);
                // An answer that was under way is cut off.
                let Ok(answer) = connection.try_send(get("/", &token)).await else {
                    connection = https.connect(WEB).await.unwrap();
                    continue;
                };
                match answer.status.as_u16() {
                    200 => accepted += 1,
                    401 => return accepted,
                    status => panic!("{status} {answer:#?}"),
                }
                if was_disabled {
                    let since = *since_disabled.get_or_insert_with(Instant::now);
                    assert!(since.elapsed() < BOUND, "still accepted after {BOUND:?}");
                }
            }
        }));
    }
    while scene.upstream.served() < 100 {
        tokio::task::yield_now().await;
    }
    let document = "kind: Credential\nmetadata:\n  name: cred01\nspec:\n  type: ACCESS_TOKEN\n  \
                    user: microservice1\n  sessionType: CLIENT\n  isDisabled: true\n";
    scene
        .admin
        .sh_with_input("octeliumctl apply -", document)
        .success();
    disabled.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_deleting_what_a_token_stands_on_ends_it() {
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
async fn w19_a24_an_edited_policy_acts_on_sessions_that_stand() {
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
