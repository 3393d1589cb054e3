//! The gateway's credentials for upstreams, from Secrets that are created like in production.

use crate::support::{cluster::Cluster, scene::Scene, upstream::CLIENT_SECRET};

const SERVICES: &str = "
kind: Service
metadata:
  name: by-token
spec:
  mode: HTTP
  isPublic: true
  authorization:
    policies: [read-only]
  config:
    upstream:
      url: http://{upstream}
    http:
      auth:
        oauth2ClientCredentials:
          clientID: gateway
          clientSecret:
            fromSecret: upstream-client
          tokenURL: http://{upstream}/token
---
kind: Service
metadata:
  name: by-signature
spec:
  mode: HTTP
  isPublic: true
  authorization:
    policies: [read-only]
  config:
    upstream:
      url: http://{upstream}
    http:
      auth:
        sigv4:
          accessKeyID: AKIDEXAMPLE
          region: eu-central-1
          service: execute-api
          secretAccessKey:
            fromSecret: upstream-client
";

async fn authorization(scene: &Scene, host: &str, token: &str) -> (u16, String) {
    let answer = scene.https.get(host, "/orders", token).await;
    let status = answer.status.as_u16();
    let seen = match status {
        200 => answer.json()["headers"]["authorization"].to_string(),
        _ => String::new(),
    };
    (status, seen)
}

fn services(scene: &Scene) {
    let secret = scene.cluster.secret(CLIENT_SECRET);
    let create = "octeliumctl create secret upstream-client --value -";
    scene.admin.sh_with_input(create, &secret).success();
    let documents = SERVICES.replace("{upstream}", &scene.upstream.address.to_string());
    scene
        .admin
        .sh_with_input("octeliumctl apply -", &documents)
        .success();
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_get_tokens_and_signatures() {
    let cluster = Cluster::start_with(&["--outbound-allow", "127.0.0.0/8"]);
    let scene = Scene::on(cluster).await;
    services(&scene);
    let token = scene.access_token("cred01");
    for _ in 0..2 {
        let (status, seen) = authorization(&scene, "by-token.localhost", &token).await;
        assert_eq!(
            (status, seen.as_str()),
            (200, "\"Bearer upstream-token-1\"")
        );
    }
    let (status, seen) = authorization(&scene, "by-signature.localhost", &token).await;
    assert_eq!(status, 200);
    assert!(
        seen.starts_with("\"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            && seen.contains("/eu-central-1/execute-api/aws4_request"),
        "{seen}"
    );
    // After the Secret changed, the token of the old one is no longer used.
    let update = "octeliumctl update secret upstream-client --value -";
    scene.admin.sh_with_input(update, "another").success();
    let (status, _) = authorization(&scene, "by-token.localhost", &token).await;
    assert_eq!(status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn c23_tokens_come_from_public_addresses_alone() {
    let scene = Scene::start().await;
    services(&scene);
    let token = scene.access_token("cred01");
    let (status, _) = authorization(&scene, "by-token.localhost", &token).await;
    assert_eq!(status, 404, "its token URL is not one that may be asked");
    let (status, _) = authorization(&scene, "by-signature.localhost", &token).await;
    assert_eq!(status, 200);
}
