//! Host names, certificates and health.

use http::Request;

use crate::support::{
    https::{Https, get},
    scene::{Scene, WEB},
};

#[tokio::test(flavor = "multi_thread")]
async fn c16_a_host_that_is_not_the_one_of_the_certificate_is_421() {
    let scene = Scene::start().await;
    let token = scene.access_token("cred01");
    let mut connection = scene.https.connect("localhost").await.unwrap();
    let mut request = get("/", &token);
    let host = format!("{WEB}:{}", scene.cluster.address.port());
    request.headers_mut().insert("host", host.parse().unwrap());
    assert_eq!(connection.send(request).await.status, 421);
    assert_eq!(scene.upstream.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_without_a_route_get_the_same_404_whether_or_not_a_service_has_them_g11() {
    let scene = Scene::start().await;
    let token = scene.access_token("cred01");
    let mut answers = Vec::new();
    for host in [
        "nothing.localhost",
        "hidden.localhost",
        "default.octelium-api.localhost",
        "nothing.of.nobody.localhost",
    ] {
        let answer = scene.https.send(host, get("/", &token)).await;
        assert_eq!(answer.status, 404, "{host}");
        let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        answers.push((names, answer.body));
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    for host in ["example.org", "a_b.localhost"] {
        assert!(scene.https.connect(host).await.is_err(), "{host}");
    }
    for host in [
        "localhost",
        "octelium-api.localhost",
        "portal.localhost",
        WEB,
    ] {
        assert!(scene.https.connect(host).await.is_ok(), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_domain_has_a_page_and_the_portal_leads_to_it() {
    let scene = Scene::start().await;
    let plain = |path: &str| Request::builder().uri(path).body(String::new()).unwrap();
    let front = scene.https.send("localhost", plain("/")).await;
    assert_eq!(front.status, 303);
    assert_eq!(front.header("location"), "/login");
    let page = scene.https.send("localhost", plain("/login")).await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );
    assert_eq!(
        scene
            .https
            .send("localhost", plain("/nothing"))
            .await
            .status,
        404
    );
    let portal = scene.https.send("portal.localhost", plain("/x")).await;
    assert_eq!(portal.status, 308);
    assert_eq!(
        portal.header("location"),
        format!("https://{}/", scene.cluster.domain())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_operator_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["localhost", "octelium-api.localhost", "*.localhost"].map(str::to_owned);
    let own = rcgen::generate_simple_self_signed(names.to_vec()).unwrap();
    let cert = directory.path().join("cert.pem");
    let key = directory.path().join("key.pem");
    std::fs::write(&cert, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let arguments = [
        "--tls-cert",
        cert.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let cluster = crate::support::cluster::Cluster::start_with(&arguments);
    assert!(!cluster.ca().exists(), "an authority that signs nothing");
    let https = Https::trusting(cluster.address, &cert);
    let page = Request::builder()
        .uri("/login")
        .body(String::new())
        .unwrap();
    assert_eq!(https.send("localhost", page).await.status, 200);
}
