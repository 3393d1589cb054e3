//! Login, status and logout with the command-line clients.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::support::{program::Outcome, scene::Scene};

#[tokio::test(flavor = "multi_thread")]
async fn login_status_logout() {
    let scene = Scene::start().await;
    let token = scene.authentication_token("cred01");
    let person = scene.cluster.person();
    assert_eq!(
        person.sh("octelium status").code,
        4,
        "authentication is needed"
    );

    let login = person
        .sh(&format!("octelium login --auth-token {token}"))
        .success();
    assert!(
        login.stdout.contains("microservice1") || login.stderr.contains("microservice1"),
        "{login:#?}"
    );
    let status = person.sh("octelium status -o json").success();
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["user"]["metadata"]["name"], "microservice1");

    person.sh("octelium logout").success();
    assert_eq!(person.sh("octelium status").code, 4);
    let sessions = scene
        .admin
        .sh("octeliumctl get session --user microservice1 -o json")
        .success();
    let sessions: serde_json::Value = serde_json::from_str(&sessions.stdout).unwrap();
    assert_eq!(sessions["items"].as_array().unwrap().len(), 0, "{sessions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_clients_share_one_login() {
    let scene = Scene::start().await;
    let token = scene.authentication_token("cred01");
    let person = scene.cluster.person();
    person
        .sh(&format!("octeliumctl login --auth-token {token}"))
        .success();
    person.sh("octelium status").success();
}

#[tokio::test(flavor = "multi_thread")]
async fn local_state_is_readable_only_by_its_owner() {
    let scene = Scene::start().await;
    let token = scene.authentication_token("cred01");
    let person = scene.cluster.person();
    person
        .sh(&format!("octelium login --auth-token {token}"))
        .success();
    let mut files = 0;
    for entry in fs::read_dir(person.home().join("octelium")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        files += 1;
    }
    assert!(files > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_stand_for_flags() {
    let scene = Scene::start().await;
    let token = scene.authentication_token("cred01");
    let person = scene.cluster.person();
    person
        .sh(&format!("OCTELIUM_AUTH_TOKEN={token} octelium status"))
        .success();

    let access_token = scene.access_token("cred02");
    let other = scene.cluster.person();
    let status = format!("OCTELIUM_ACCESS_TOKEN={access_token} octelium status");
    let status = other.sh(&status).success();
    assert!(status.stdout.contains("microservice1"), "{status:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_refused_without_saying_why() {
    let scene = Scene::start().await;
    let token = scene.authentication_token("cred01");
    let person = scene.cluster.person();
    let (most, last) = token.split_at(token.len() - 1);
    let wrong = format!("{most}{}", if last == "A" { "Q" } else { "A" });
    let garbled = person.sh(&format!("octelium login --auth-token {wrong}"));
    scene.admin.sh("octeliumctl delete cred cred01").success();
    let deleted = person.sh(&format!("octelium login --auth-token {token}"));
    assert_eq!(
        (garbled.code, deleted.code),
        (4, 4),
        "{garbled:#?} {deleted:#?}"
    );
    let message = |outcome: &Outcome| {
        let lines = outcome.stderr.lines();
        let lines = lines.filter(|line| !line.starts_with("request id:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(message(&garbled), message(&deleted));
}
