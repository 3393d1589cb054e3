//! Clients that we have not written: plain gRPC from Python, as an application uses it, and doing over it what
//! existing command-line clients do.

use std::{path::Path, process::Command};

use crate::support::{
    cluster::Cluster,
    program::{self, Outcome, run},
    scene::Scene,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_application_authenticates_with_a_token_through_plain_grpc() {
    let scene = Scene::start().await;
    // The Credential leaves it to the client which type of Session it gets.
    let credential = "kind: Credential\nmetadata: {name: cred01}\nspec: {type: AUTH_TOKEN, user: microservice1}\n";
    scene
        .admin
        .sh_with_input("octeliumctl apply -", credential)
        .success();
    let made = scene
        .admin
        .sh("octeliumctl create cred --rotate cred01")
        .success();
    let token = scene.cluster.secret(&made.value("Authentication Token:"));
    let told = python(&scene.cluster, "authentication_token.py", &token).success();
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["user"], "microservice1");
    assert_eq!(told["sessionType"], "CLIENTLESS");
    assert_eq!(told["expiresIn"], 4 * 3_600);
    assert_eq!(told["refreshTokenExpiresIn"], 14 * 24 * 3_600);
    let message = told["unknownField"].as_str().unwrap();
    assert!(message.contains("1000"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_command_line_clients_get_what_they_need() {
    let cluster = Cluster::start();
    let token = cluster.root_token();
    let told = python(&cluster, "existing_client.py", &token).success();
    assert!(told.stdout.ends_with("logout\n"), "{told:#?}");
}

/// Runs a script of `clients/python`.
fn python(cluster: &Cluster, script: &str, token: &str) -> Outcome {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut command = Command::new(program::python());
    command
        .arg("-B")
        .arg(tests.join("clients/python").join(script))
        .env("ADDRESS", cluster.address.to_string())
        .env("DOMAIN", cluster.domain())
        .env("CA_CERT", cluster.ca())
        .env("TOKEN", token)
        .env("PROTO", tests.join("../../api/proto"));
    run(&mut command)
}
