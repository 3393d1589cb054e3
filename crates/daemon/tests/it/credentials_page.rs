//! Every command of the documentation page about Credentials, exactly as printed there.

use crate::support::{
    https::get,
    program::Outcome,
    scene::{Scene, WEB},
};

/// Runs `command`, returns the token from its output, and deletes the Credential for the next example of the same name.
#[track_caller]
fn token(scene: &Scene, command: &str, label: &str) -> String {
    let made = scene.admin.sh(command).success();
    let token = scene.cluster.secret(&made.value(label));
    assert!(
        (100..=300).contains(&token.len()) && !token.contains(char::is_whitespace),
        "{token}"
    );
    token
}

fn delete(scene: &Scene, name: &str) {
    scene
        .admin
        .sh(&format!("octeliumctl delete cred {name}"))
        .success();
}

fn log_in(scene: &Scene, token: &str) -> Outcome {
    scene.cluster.person().sh(&format!(
        "octelium login --auth-token {token} && octelium status"
    ))
}

fn status_says(outcome: &Outcome, text: &str) {
    assert!(outcome.stdout.contains(text), "{outcome:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn authentication_tokens() {
    let scene = Scene::start().await;
    let label = "Authentication Token:";

    let named = token(
        &scene,
        "octeliumctl create credential --user microservice1 cred01",
        label,
    );
    status_says(&log_in(&scene, &named).success(), "microservice1");
    delete(&scene, "cred01");

    let generated = token(
        &scene,
        "octeliumctl create cred --user microservice1",
        label,
    );
    status_says(&log_in(&scene, &generated).success(), "microservice1");

    let command = "octeliumctl create credential --user microservice1 --session-type client cred01";
    let client = token(&scene, command, label);
    status_says(&log_in(&scene, &client).success(), "CLIENT");

    let command =
        "octeliumctl create credential --user microservice2 --session-type clientless cred02";
    let clientless = token(&scene, command, label);
    status_says(&log_in(&scene, &clientless).success(), "CLIENTLESS");
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth2_and_access_tokens() {
    let scene = Scene::start().await;
    let command = "octeliumctl create cred --type oauth2 --user microservice1 cred02";
    let made = scene.admin.sh(command).success();
    scene.cluster.secret(&made.value("Client Secret:"));
    let id = made.value("Client ID:");
    assert!(id.len() == 9 && id.as_bytes()[4] == b'-', "{id}");
    delete(&scene, "cred02");

    let command = "octeliumctl create cred --type access-token --user microservice1 cred02";
    let access_token = token(&scene, command, "Access Token:");
    let answer = scene.https.get(WEB, "/", &access_token).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_time_credentials() {
    let scene = Scene::start().await;
    let command = "octeliumctl create cred --user usr1 --one-time cred01";
    let token = token(&scene, command, "Authentication Token:");
    status_says(&log_in(&scene, &token).success(), "usr1");
    assert_ne!(log_in(&scene, &token).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn expirations() {
    let scene = Scene::start().await;
    let command = "octeliumctl create cred --user usr1 --expire-in 2days cred01";
    token(&scene, command, "Authentication Token:");
    for duration in [
        "600seconds",
        "45minutes",
        "7hour",
        "3days",
        "2weeks",
        "6months",
    ] {
        delete(&scene, "cred01");
        let command = format!("octeliumctl create cred --user usr1 --expire-in {duration} cred01");
        token(&scene, &command, "Authentication Token:");
    }
    delete(&scene, "cred01");
    for duration in ["30", "2 parsecs", "-2days", "", "99years"] {
        let command =
            format!("octeliumctl create cred --user usr1 --expire-in '{duration}' cred01");
        let refused = scene.admin.sh(&command);
        assert_ne!(refused.code, 0, "{duration}");
        assert!(!refused.stdout.contains("Token:"), "{refused:#?}");
    }
    let refused = scene
        .admin
        .sh("octeliumctl create cred --user usr1 --expire-in 30 cred01");
    assert!(
        refused.stderr.contains("600seconds") || refused.stderr.contains("2days"),
        "{refused:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_act_on_the_sessions() {
    let scene = Scene::start().await;
    let label = "Authentication Token:";
    token(
        &scene,
        "octeliumctl create cred --user usr1 --policy policy1 cred01",
        label,
    );
    delete(&scene, "cred01");
    let command = "octeliumctl create cred --user usr1 --policy policy1 --policy policy2 cred01";
    token(&scene, command, label);

    let command = "octeliumctl create cred --type access-token --user microservice1 --policy policy1 \
                   --policy policy2 cred02";
    let access_token = token(&scene, command, "Access Token:");
    let mut connection = scene.https.connect(WEB).await.unwrap();
    for (path, status) in [
        ("/", 200),
        ("/denied-by-policy1", 403),
        ("/denied-by-policy2", 403),
    ] {
        let answer = connection.send(get(path, &access_token)).await;
        assert_eq!(answer.status, status, "{path} {answer:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_missing_is_refused() {
    let scene = Scene::start().await;
    let refused = scene
        .admin
        .sh("octeliumctl create cred --user usr1 --policy nowhere cred01");
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("nowhere"), "{refused:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_ends_the_former_token_and_its_sessions() {
    let scene = Scene::start().await;
    let label = "Authentication Token:";
    let old = token(
        &scene,
        "octeliumctl create cred --user microservice1 cred01",
        label,
    );
    let person = scene.cluster.person();
    person
        .sh(&format!("octelium login --auth-token {old}"))
        .success();
    person.sh("octelium status").success();

    let new = token(&scene, "octeliumctl create cred --rotate cred01", label);
    assert_ne!(new, old);
    assert_ne!(person.sh("octelium status").code, 0);
    assert_ne!(log_in(&scene, &old).code, 0);
    log_in(&scene, &new).success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a06_rotation_with_an_overlap_lets_two_tokens_work_and_never_three() {
    let scene = Scene::start().await;
    let label = "Authentication Token:";
    let first = token(
        &scene,
        "octeliumctl create cred --user microservice1 cred01",
        label,
    );
    let second = token(
        &scene,
        "octeliumctl create cred --rotate --overlap 24h cred01",
        label,
    );
    log_in(&scene, &first).success();
    log_in(&scene, &second).success();
    let third = token(
        &scene,
        "octeliumctl create cred --rotate --overlap 24h cred01",
        label,
    );
    assert_ne!(log_in(&scene, &first).code, 0);
    log_in(&scene, &second).success();
    log_in(&scene, &third).success();
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_may_keep_the_sessions() {
    let scene = Scene::start().await;
    let label = "Authentication Token:";
    let old = token(
        &scene,
        "octeliumctl create cred --user microservice1 cred01",
        label,
    );
    let person = scene.cluster.person();
    person
        .sh(&format!("octelium login --auth-token {old}"))
        .success();
    token(
        &scene,
        "octeliumctl create cred --rotate --keep-sessions cred01",
        label,
    );
    person.sh("octelium status").success();
    assert_ne!(log_in(&scene, &old).code, 0);
}
