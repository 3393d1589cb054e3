//! Independent clients: plain gRPC from Python, as applications use it, and the calls of existing command-line clients.

use std::{path::Path, process::Command};

use http::Request;

use crate::support::{
    cluster::Cluster,
    program::{self, Outcome, run},
    scene::Scene,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_application_authenticates_with_a_token_through_plain_grpc() {
    let scene = Scene::start().await;
    // The Credential lets the client choose the type of its Session.
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
    let outcome = python(&scene.cluster, "authentication_token.py", &token).success();
    let outcome: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(outcome["user"], "microservice1");
    assert_eq!(outcome["sessionType"], "CLIENTLESS");
    assert_eq!(outcome["expiresIn"], 4 * 3_600);
    assert_eq!(outcome["refreshTokenExpiresIn"], 14 * 24 * 3_600);
    let message = outcome["unknownField"].as_str().unwrap();
    assert!(message.contains("1000"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_command_line_clients_get_what_they_need() {
    let cluster = Cluster::start();
    let token = cluster.root_token();
    let outcome = python(&cluster, "existing_client.py", &token).success();
    assert!(outcome.stdout.ends_with("logout\n"), "{outcome:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_verifies_assertions_with_an_independent_library() {
    let scene = Scene::start().await;
    let service = format!(
        "kind: Service\nmetadata: {{name: told}}\nspec:\n  mode: HTTP\n  isPublic: true\n  \
         authorization: {{policies: [read-only]}}\n  config:\n    upstream: {{url: \"http://{}\"}}\n    \
         http: {{identity: {{headers: true, assertion: true}}}}\n",
        scene.upstream.address
    );
    scene
        .admin
        .sh_with_input("octeliumctl apply -", &service)
        .success();
    let token = scene.access_token("cred01");
    let answer = scene.https.get("told.localhost", "/", &token).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let seen = answer.json();
    let headers = &seen["headers"];
    assert_eq!(headers["x-octelium-user"], "microservice1");
    let assertion = headers["x-octelium-assertion"].as_str().unwrap();

    let domain = scene.cluster.domain();
    let audience = format!("https://told.{domain}");
    let outcome = python_with(
        &scene.cluster,
        "verify_assertion.py",
        assertion,
        &[("AUDIENCE", &audience)],
    );
    let claims: serde_json::Value = serde_json::from_str(&outcome.success().stdout).unwrap();
    assert_eq!(claims["iss"], format!("https://{domain}"));
    assert_eq!(claims["aud"], audience);
    assert_eq!(claims["sub"], headers["x-octelium-user-uid"]);
    assert_eq!(claims["name"], "microservice1");
    assert_eq!(claims["session"], headers["x-octelium-session"]);
    assert_eq!(claims["sid"], headers["x-octelium-session-uid"]);
    assert_eq!(claims["groups"], serde_json::json!([]));
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=60).contains(&life), "{claims}");
    // The next request has the same assertion.
    let again = scene.https.get("told.localhost", "/", &token).await.json();
    assert_eq!(again["headers"]["x-octelium-assertion"], assertion);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_redirected_to_a_login_page_that_names_the_service() {
    let scene = Scene::start().await;
    let page = |path: &str| {
        let accept = "text/html,*/*;q=0.8";
        let request = Request::get(path).header("accept", accept);
        request.body(String::new()).unwrap()
    };
    let answer = scene.https.send("web.localhost", page("/a?b=c")).await;
    assert_eq!(answer.status, 302, "{answer:#?}");
    let login = answer.header("location");
    let path = login
        .strip_prefix(&format!("https://{}", scene.cluster.domain()))
        .unwrap();
    assert!(path.starts_with("/login?return="), "{login}");
    let answer = scene.https.send("localhost", page(path)).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert!(answer.body.contains("web.localhost"), "{answer:#?}");
    assert!(answer.body.contains("octeliumctl create enrollment"));
    assert_eq!(answer.header("cache-control"), "no-store");
}

/// Runs a script of `clients/python`.
fn python(cluster: &Cluster, script: &str, token: &str) -> Outcome {
    python_with(cluster, script, token, &[])
}

/// Runs a script like [`python`], with more variables.
fn python_with(
    cluster: &Cluster,
    script: &str,
    token: &str,
    variables: &[(&str, &str)],
) -> Outcome {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut command = Command::new(program::python());
    command
        .arg("-B")
        .arg(tests.join("clients/python").join(script))
        .env("ADDRESS", cluster.address.to_string())
        .env("DOMAIN", cluster.domain())
        .env("CA_CERT", cluster.ca())
        .env("TOKEN", token)
        .env("PROTO", tests.join("../../api/proto"))
        .envs(variables.iter().copied());
    run(&mut command)
}
