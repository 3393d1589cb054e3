//! Credentials for upstreams that are more than a fixed header field.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use api::core_v1::{
    Service,
    service::spec::config::http::{
        Auth,
        auth::{
            self, OAuth2ClientCredentials, Sigv4,
            o_auth2_client_credentials::{ClientSecret, client_secret},
            sigv4::{SecretAccessKey, secret_access_key},
        },
    },
};
use gateway::Config;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use rstest::rstest;

use crate::support::{
    Upstream, World,
    client::{get, send},
    service,
    upstream::full,
    world::ServiceExt,
};

async fn world() -> World {
    let world = World::with_config(Config {
        domain: "example.com".to_owned(),
        outbound_networks: ["127.0.0.0/8".parse().unwrap()].into(),
        ..Config::default()
    })
    .await;
    world.secret("secret", "open sesame\n");
    world
}

fn client(service: Service, client_id: &str, token_url: &str) -> Service {
    let client = OAuth2ClientCredentials {
        client_id: client_id.to_owned(),
        client_secret: Some(ClientSecret {
            r#type: Some(client_secret::Type::FromSecret("secret".to_owned())),
        }),
        token_url: token_url.to_owned(),
        scopes: vec!["read".to_owned(), "write".to_owned()],
    };
    service.anonymous().http(|http| {
        http.auth = Some(Auth {
            r#type: Some(auth::Type::Oauth2ClientCredentials(client)),
        });
    })
}

/// Issues `client-1`, `client-2` and so on, or sends another response.
async fn token_endpoint(status: StatusCode, rest: &'static str) -> (Upstream, Arc<AtomicUsize>) {
    let issued = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&issued);
    let upstream = Upstream::serving(move |request| {
        let count = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            assert_eq!(request.method(), "POST");
            assert_eq!(request.uri().path(), "/oauth/token");
            let basic = request.headers()["authorization"].to_str().unwrap();
            // `my client` and the Secret without its line end, form-encoded.
            let client = match basic {
                "Basic bXkrY2xpZW50Om9wZW4rc2VzYW1l" => "my-client",
                "Basic b3RoZXI6b3BlbitzZXNhbWU=" => "other",
                _ => panic!("{basic}"),
            };
            let body = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "grant_type=client_credentials&scope=read+write");
            let reply =
                format!(r#"{{"access_token": "{client}-{count}", "token_type": "bearer"{rest}}}"#);
            let mut response = Response::new(full(reply));
            *response.status_mut() = status;
            response
        }
    })
    .await;
    (upstream, issued)
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_sent_with_each_request() {
    let world = world().await;
    let upstream = Upstream::recording(&[]).await;
    let (tokens, issued) = token_endpoint(StatusCode::OK, r#", "expires_in": 3600"#).await;
    let url = format!("{}/oauth/token", tokens.url());
    world.serve(&client(service(&upstream.url()), "my client", &url));
    let address = world.address;
    let forged = ["Authorization: Bearer forged"];
    let all = (0..20).map(|_| async move { get(address, "/", &forged).await.status });
    let statuses = futures_util::future::join_all(all).await;
    assert_eq!(statuses, [200; 20]);
    assert_eq!(issued.load(Ordering::SeqCst), 1, "one flight for all");
    for seen in upstream.seen() {
        assert_eq!(seen.all("authorization"), ["Bearer my-client-1"]);
    }
}

#[tokio::test]
async fn a19_tokens_of_one_client_are_not_those_of_another() {
    let world = world().await;
    let upstream = Upstream::recording(&[]).await;
    let (tokens, _) = token_endpoint(StatusCode::OK, "").await;
    let url = format!("{}/oauth/token", tokens.url());
    world.serve(&client(service(&upstream.url()), "my client", &url));
    world.serve_at(
        "other.example.com",
        &client(service(&upstream.url()), "other", &url),
    );
    for (host, token) in [
        ("app", "Bearer my-client-1"),
        ("other", "Bearer other-2"),
        ("app", "Bearer my-client-1"),
        ("other", "Bearer other-2"),
    ] {
        let host = format!("Host: {host}.example.com");
        assert_eq!(get(world.address, "/", &[&host]).await.status, 200);
        assert_eq!(upstream.one().header("authorization"), Some(token));
    }
}

#[rstest]
#[case::now(r#", "expires_in": 0"#)]
#[case::as_text(r#", "expires_in": "0""#)]
#[tokio::test]
async fn a_token_that_has_ended_is_not_sent_again(#[case] rest: &'static str) {
    let world = world().await;
    let upstream = Upstream::recording(&[]).await;
    let (tokens, _) = token_endpoint(StatusCode::OK, rest).await;
    let url = format!("{}/oauth/token", tokens.url());
    world.serve(&client(service(&upstream.url()), "my client", &url));
    for token in ["Bearer my-client-1", "Bearer my-client-2"] {
        assert_eq!(get(world.address, "/", &[]).await.status, 200);
        assert_eq!(upstream.one().header("authorization"), Some(token));
    }
}

#[tokio::test]
async fn a_token_that_the_upstream_refuses_is_requested_again() {
    let world = world().await;
    let upstream = Upstream::serving(|request| async move {
        let is_first = request.headers()["authorization"] == "Bearer my-client-1";
        let mut response = Response::new(full(""));
        if is_first {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        response
    })
    .await;
    let (tokens, _) = token_endpoint(StatusCode::OK, "").await;
    let url = format!("{}/oauth/token", tokens.url());
    world.serve(&client(service(&upstream.url()), "my client", &url));
    assert_eq!(get(world.address, "/", &[]).await.status, 401);
    assert_eq!(get(world.address, "/", &[]).await.status, 200);
}

#[rstest]
#[case::refused(StatusCode::BAD_REQUEST, "")]
#[case::redirect(StatusCode::FOUND, "")]
#[case::other_type(StatusCode::OK, r#", "token_type": "mac""#)]
#[case::no_number(StatusCode::OK, r#", "expires_in": "soon""#)]
#[case::no_json(StatusCode::OK, ",")]
#[tokio::test]
async fn c20_without_a_token_nothing_is_sent(
    #[case] status: StatusCode,
    #[case] rest: &'static str,
) {
    let world = world().await;
    let upstream = Upstream::recording(&[]).await;
    let (tokens, issued) = token_endpoint(status, rest).await;
    let url = format!("{}/oauth/token", tokens.url());
    world.serve(&client(service(&upstream.url()), "my client", &url));
    for _ in 0..3 {
        assert_eq!(get(world.address, "/", &[]).await.status, 502);
    }
    assert_eq!(issued.load(Ordering::SeqCst), 1, "asked again at once");
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn c20_a_token_endpoint_that_answers_without_end_is_given_up() {
    let world = world().await;
    let upstream = Upstream::recording(&[]).await;
    let tokens = Upstream::serving(|_| async { Response::new(full(vec![b' '; 1 << 20])) }).await;
    world.serve(&client(
        service(&upstream.url()),
        "my client",
        &tokens.url(),
    ));
    assert_eq!(get(world.address, "/", &[]).await.status, 502);
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn c23_tokens_come_from_public_addresses_over_tls() {
    let world = World::start().await;
    world.secret("secret", "open sesame");
    let plain = client(
        service("http://127.0.0.1:1"),
        "x",
        "http://idp.example.org/",
    );
    let problems = world.compile(&plain).err().unwrap();
    assert!(
        problems[0].contains("tokenURL must be an https URL"),
        "{problems:?}"
    );
    let tokens = Upstream::recording(&[]).await;
    let port = tokens.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let url = format!("https://{host}:{port}/");
        world.serve(&client(service("http://127.0.0.1:1"), "x", &url));
        assert_eq!(get(world.address, "/", &[]).await.status, 502);
    }
    assert_eq!(tokens.connections(), 0);
}

fn signed(service: Service, name: &str) -> Service {
    let sigv4 = Sigv4 {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        region: "eu-central-1".to_owned(),
        service: name.to_owned(),
        secret_access_key: Some(SecretAccessKey {
            r#type: Some(secret_access_key::Type::FromSecret("secret".to_owned())),
        }),
    };
    service.anonymous().http(|http| {
        http.auth = Some(Auth {
            r#type: Some(auth::Type::Sigv4(sigv4)),
        });
    })
}

#[rstest]
#[case("dynamodb", false)]
#[case("s3", true)]
#[tokio::test]
async fn requests_are_signed_for_aws(#[case] name: &str, #[case] says_hash: bool) {
    let world = world().await;
    let upstream = Upstream::recording(&[]).await;
    let url = format!("{}/base", upstream.url());
    world.serve(&signed(service(&url), name));
    let fields = [
        "X-Amz-Target: Table.List",
        "X-Amz-Date: forged",
        "X-Amz-Content-Sha256: forged",
        "Authorization: AWS4-HMAC-SHA256 forged",
    ];
    assert_eq!(
        send(world.address, "POST", "/a?b=c", &fields, "body")
            .await
            .status,
        200
    );
    let seen = upstream.one();
    assert_eq!(
        (seen.target.as_str(), &seen.body[..]),
        ("/base/a?b=c", &b"body"[..])
    );
    let [authorization] = seen.all("authorization")[..] else {
        panic!("{seen:?}");
    };
    // The time of the gateway's clock, not of the client's.
    let scope = format!("Credential=AKIDEXAMPLE/20231114/eu-central-1/{name}/aws4_request");
    assert!(authorization.contains(&scope), "{authorization}");
    assert!(authorization.contains("host;") && authorization.contains("x-amz-target"));
    assert_eq!(seen.all("x-amz-date"), ["20231114T221320Z"]);
    let hash = seen.header("x-amz-content-sha256");
    assert_eq!(hash, says_hash.then_some("UNSIGNED-PAYLOAD"));
}

#[rstest]
#[case("X-Amz-Copy-Source: /other/secret")]
#[case("X-Amz-Acl: public-read")]
#[case("X-Amz-Grant-Read: id=x")]
#[case("X-Amz-Website-Redirect-Location: https://evil.example.org")]
#[case("X-Amz-Server-Side-Encryption-Customer-Key: x")]
#[case("X-Amz-Tagging: role=admin")]
#[tokio::test]
async fn fields_that_aws_acts_on_are_not_signed_for_clients_s11(#[case] field: &str) {
    let world = world().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&signed(service(&upstream.url()), "s3"));
    let put = async |target: &str, fields: &[&str]| {
        send(world.address, "PUT", target, fields, "body").await
    };
    let reply = put("/a", &[field]).await;
    assert_eq!(reply.status, 403);
    assert!(reply.body.contains("X-Amz"), "{}", reply.body);
    let name = field.split(':').next().unwrap();
    assert_eq!(put(&format!("/a?{name}=x"), &[]).await.status, 403);
    assert_eq!(upstream.seen(), []);
    // The Service may remove or set the field.
    world.serve(&signed(service(&upstream.url()), "s3").http(|http| {
        http.header = Some(api::core_v1::service::spec::config::http::Header {
            remove_request_headers: vec![name.to_owned()],
            ..Default::default()
        });
    }));
    let kept = [
        field,
        "X-Amz-Meta-Owner: me",
        "X-Amz-Security-Token: theirs",
    ];
    assert_eq!(put("/a", &kept).await.status, 200);
    let seen = upstream.one();
    assert_eq!(seen.header(&name.to_ascii_lowercase()), None);
    assert_eq!(seen.header("x-amz-security-token"), None);
    assert_eq!(seen.header("x-amz-meta-owner"), Some("me"));
    let authorization = seen.header("authorization").unwrap();
    assert!(
        authorization.contains("x-amz-meta-owner"),
        "{authorization}"
    );
}

#[tokio::test]
async fn a_signature_is_for_one_host() {
    use api::core_v1::service::spec::config::{
        Upstream as UpstreamSpec,
        upstream::{Loadbalance, Type, loadbalance::Endpoint},
    };
    let world = world().await;
    let endpoints = ["http://127.0.0.1:1", "http://127.0.0.1:2"].map(|url| Endpoint {
        url: url.to_owned(),
        ..Endpoint::default()
    });
    let balanced = signed(service("http://127.0.0.1:1"), "s3").config(|config| {
        config.upstream = Some(UpstreamSpec {
            r#type: Some(Type::Loadbalance(Loadbalance {
                endpoints: endpoints.to_vec(),
            })),
            ..UpstreamSpec::default()
        });
    });
    let problems = world.compile(&balanced).err().unwrap();
    assert!(problems[0].contains("sigv4"), "{problems:?}");
}
