//! Standard OAuth2 clients.

use crate::support::{
    https::{Answer, form, get},
    scene::{Scene, WEB},
};

async fn token(scene: &Scene, client: &(String, String)) -> Answer {
    let request = form(
        "/oauth2/token",
        Some((&client.0, &client.1)),
        "grant_type=client_credentials",
    );
    scene.https.send("localhost", request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials() {
    let scene = Scene::start().await;
    let client = scene.oauth2_client("cred01");
    let answer = token(&scene, &client).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert!(
        answer.header("cache-control").contains("no-store"),
        "{answer:#?}"
    );
    let reply = answer.json();
    assert!(
        reply["token_type"]
            .as_str()
            .unwrap()
            .eq_ignore_ascii_case("bearer")
    );
    assert!(reply["expires_in"].as_u64().unwrap() > 0);
    let access_token = scene
        .cluster
        .secret(reply["access_token"].as_str().unwrap());

    let answer = scene.https.get(WEB, "/orders", &access_token).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let seen = answer.json();
    assert_eq!(seen["path"], "/orders");
    assert!(
        !answer.body.contains(&access_token),
        "the upstream got the token: {seen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn access_tokens_in_every_spelling() {
    let scene = Scene::start().await;
    let token = scene.access_token("cred01");
    let mut connection = scene.https.connect(WEB).await.unwrap();
    for (header, value) in [
        ("authorization", format!("Bearer {token}")),
        ("authorization", format!("bearer {token}")),
        ("authorization", format!("BEARER {token}")),
        ("x-octelium-auth", token.clone()),
    ] {
        let mut request = get("/", "none");
        request.headers_mut().remove("authorization");
        request.headers_mut().insert(header, value.parse().unwrap());
        let answer = connection.send(request).await;
        assert_eq!(answer.status, 200, "{header} {answer:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_good_token_are_refused() {
    let scene = Scene::start().await;
    let token = scene.access_token("cred01");
    let mut connection = scene.https.connect(WEB).await.unwrap();

    let mut anonymous = get("/", "none");
    anonymous.headers_mut().remove("authorization");
    let answer = connection.send(anonymous).await;
    assert_eq!(answer.status, 401, "{answer:#?}");
    assert!(
        answer.header("www-authenticate").starts_with("Bearer"),
        "{answer:#?}"
    );
    assert_eq!(answer.header("x-octelium-unauthorized"), "true");

    // A05, A07: not in canonical form, truncated, with trailing text.
    for bad in [
        format!("{token}="),
        token[..token.len() - 1].to_owned(),
        format!("{token}AA"),
    ] {
        let answer = connection.send(get("/", &bad)).await;
        assert_eq!(answer.status, 401, "{bad} {answer:#?}");
    }
    assert_eq!(scene.upstream.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn w11_a05_replicas_of_one_client_keep_working_tokens() {
    let scene = Scene::start().await;
    let client = scene.oauth2_client("cred01");
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let reply = token(&scene, &client).await.json();
        tokens.push(
            scene
                .cluster
                .secret(reply["access_token"].as_str().unwrap()),
        );
    }
    for token in &tokens {
        assert_eq!(scene.https.get(WEB, "/", token).await.status, 200);
    }
    let body = format!("token={}", tokens[0]);
    let revoke = form("/oauth2/revoke", Some((&client.0, &client.1)), &body);
    let answer = scene.https.send("localhost", revoke).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(scene.https.get(WEB, "/", &tokens[0]).await.status, 401);
    assert_eq!(scene.https.get(WEB, "/", &tokens[1]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_metadata_is_correct() {
    let scene = Scene::start().await;
    let path = "/.well-known/oauth-authorization-server";
    let mut request = get(path, "none");
    request.headers_mut().remove("authorization");
    let answer = scene.https.send("localhost", request).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let metadata = answer.json();
    let issuer = format!("https://{}", scene.cluster.domain());
    assert_eq!(metadata["issuer"], issuer);
    let client = scene.oauth2_client("cred01");
    for endpoint in [
        "token_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
    ] {
        let url = metadata[endpoint].as_str().unwrap();
        let path = url.strip_prefix(&issuer).unwrap();
        let request = form(path, Some((&client.0, &client.1)), "");
        let answer = scene.https.send("localhost", request).await;
        assert_eq!(answer.status, 400, "{endpoint} {answer:#?}");
    }
}
