//! Requests and responses as RFC 6749 specifies them.

use axum::body::Body;
use http::Request;
use rstest::rstest;

use super::{Client, basic, post, send};
use crate::replicas::{Backend, Replicas};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

async fn client(replicas: &Replicas) -> Client {
    replicas.workload("ci").await;
    replicas.client("ci", "").await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn a23_w27_w29_a_client_authenticates_by_basic_or_in_the_body() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let client = client(&replicas).await;
    let ctx = replicas.context(0);
    let Client { id, secret } = &client;

    // Both parts of Basic are form-encoded first. This may include `-` and `_`.
    let encoded = |text: &str| text.replace('-', "%2D").replace('_', "%5f");
    for authorization in [
        basic(id, secret),
        basic(&encoded(id), &encoded(secret)),
        basic(id, secret).replace("Basic", "bAsIc"),
    ] {
        let reply = post(ctx, "/oauth2/token", Some(&authorization), &[GRANT]).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("pragma"), Some("no-cache"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let json = reply.json();
        assert_eq!(json["token_type"], "Bearer");
        assert_eq!(json["expires_in"], 4 * 3600);
        assert!(json.get("refresh_token").is_none());
        assert!(json.get("scope").is_none());
    }
    assert_eq!(client.grant(ctx, None).await.status, 200);
    let form = [GRANT, ("client_id", id)];
    let reply = post(ctx, "/oauth2/token", Some(&basic(id, secret)), &form).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a23_w26_w31_errors_have_the_right_code() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let client = client(&replicas).await;
    let ctx = replicas.context(0);
    let Client { id, secret } = &client;
    let right = basic(id, secret);
    let in_body = [
        GRANT,
        ("client_id", id.as_str()),
        ("client_secret", secret.as_str()),
    ];
    let grant = |value| [("grant_type", value), in_body[1], in_body[2]];

    let cases = [
        // Both authentication methods at once.
        (
            post(ctx, "/oauth2/token", Some(&right), &in_body).await,
            400,
            "invalid_request",
        ),
        (
            post(
                ctx,
                "/oauth2/token",
                Some(&right),
                &[GRANT, ("client_id", "other")],
            )
            .await,
            400,
            "invalid_request",
        ),
        (
            post(
                ctx,
                "/oauth2/token",
                None,
                &[GRANT, GRANT, in_body[1], in_body[2]],
            )
            .await,
            400,
            "invalid_request",
        ),
        (
            post(ctx, "/oauth2/token", None, &in_body[1..]).await,
            400,
            "invalid_request",
        ),
        (
            post(ctx, "/oauth2/token", None, &grant("password")).await,
            400,
            "unsupported_grant_type",
        ),
        (
            post(ctx, "/oauth2/token", None, &grant("authorization_code")).await,
            400,
            "unsupported_grant_type",
        ),
        (
            post(ctx, "/oauth2/token", None, &[GRANT]).await,
            401,
            "invalid_client",
        ),
        (
            post(ctx, "/oauth2/token", Some("Bearer x"), &[GRANT]).await,
            401,
            "invalid_client",
        ),
        (
            post(ctx, "/oauth2/token", Some("Basic %%%"), &[GRANT]).await,
            401,
            "invalid_client",
        ),
        (
            client.grant(ctx, Some("api:*  service:*")).await,
            400,
            "invalid_scope",
        ),
        (
            client.grant(ctx, Some("everything")).await,
            400,
            "invalid_scope",
        ),
        (
            client.grant(ctx, Some("api:* api:*")).await,
            400,
            "invalid_scope",
        ),
        (
            client.grant(ctx, Some("api:\u{e9}")).await,
            400,
            "invalid_scope",
        ),
    ];
    for (index, (reply, status, error)) in cases.iter().enumerate() {
        assert_eq!(reply.status, *status, "case {index}");
        assert_eq!(reply.error(), *error, "case {index}");
        assert!(
            !reply.json()["error_description"]
                .as_str()
                .unwrap()
                .is_empty()
        );
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge.is_some(), *status == 401, "case {index}");
        assert!(challenge.is_none_or(|challenge| challenge.starts_with("Basic realm=")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a23_w28_only_a_posted_form_is_taken_and_nothing_from_the_url() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let Client { id, secret } = client(&replicas).await;
    let ctx = replicas.context(0);
    let query = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");

    for method in ["GET", "PUT", "DELETE"] {
        let request = Request::builder()
            .method(method)
            .uri(format!("/oauth2/token?{query}"));
        let reply = send(ctx, request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(reply.header("allow"), Some("POST"));
    }
    let form = "application/x-www-form-urlencoded";
    for (uri, content_type, body) in [
        (
            format!("/oauth2/token?{query}"),
            form,
            "grant_type=client_credentials".to_owned(),
        ),
        (
            format!("/oauth2/token?client_secret={secret}"),
            form,
            query.clone(),
        ),
        (
            "/oauth2/token".to_owned(),
            "application/json",
            query.clone(),
        ),
        ("/oauth2/token".to_owned(), "text/plain", query.clone()),
    ] {
        let request = Request::post(uri).header("content-type", content_type);
        let reply = send(ctx, request.body(Body::from(body)).unwrap()).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (400, "invalid_request")
        );
        assert!(!String::from_utf8(reply.body).unwrap().contains(&secret));
    }
    let huge = Request::post("/oauth2/token").header("content-type", form);
    let reply = send(ctx, huge.body(Body::from("a".repeat(1 << 20))).unwrap()).await;
    assert_eq!(
        (reply.status.as_u16(), reply.error().as_str()),
        (413, "invalid_request")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn w30_metadata_lists_only_supported_features() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let request = Request::get("/.well-known/oauth-authorization-server");
    let reply = send(ctx, request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 200);
    let metadata = reply.json();
    let issuer = "https://localhost:8443";
    assert_eq!(metadata["issuer"], issuer);
    assert_eq!(
        metadata["grant_types_supported"],
        serde_json::json!([
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code"
        ])
    );
    assert_eq!(metadata["response_types_supported"], serde_json::json!([]));
    for name in [
        "token_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
        "device_authorization_endpoint",
    ] {
        let path = metadata[name]
            .as_str()
            .unwrap()
            .strip_prefix(issuer)
            .unwrap()
            .to_owned();
        let reply = post(ctx, &path, None, &[GRANT]).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (401, "invalid_client"),
            "{name}"
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a22_an_unknown_client_and_a_wrong_secret_look_the_same() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let client = client(&replicas).await;
    let ctx = replicas.context(0);
    let forged = |token: &str| {
        // Changes one character of the signature within the alphabet.
        let mut bytes = token.as_bytes().to_vec();
        bytes[40] = if bytes[40] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let wrong = Client {
        secret: forged(&client.secret),
        ..client.clone()
    };
    let unknown = Client {
        id: "aaaa-bbbb".to_owned(),
        ..wrong.clone()
    };
    let right_secret_wrong_id = Client {
        id: "aaaa-bbbb".to_owned(),
        ..client.clone()
    };
    let mut replies = Vec::new();
    for client in [&wrong, &unknown, &right_secret_wrong_id] {
        let mut reply = client.grant(ctx, None).await;
        reply.headers.remove("x-request-id");
        replies.push((reply.status, reply.headers, reply.body));
    }
    assert_eq!(replies[0].0, 401);
    assert_eq!(replies[0], replies[1]);
    assert_eq!(replies[0], replies[2]);

    // Welch's t-test over interleaved attempts, without outliers.
    let mut samples: [Vec<f64>; 2] = Default::default();
    for round in 0..600 {
        for (which, client) in [&wrong, &unknown].into_iter().enumerate() {
            let begun = std::time::Instant::now();
            client.grant(ctx, None).await;
            if round >= 100 {
                samples[which].push(begun.elapsed().as_secs_f64() * 1e6);
            }
        }
    }
    let [one, other] = samples.map(|mut sample| {
        sample.sort_by(f64::total_cmp);
        sample.truncate(sample.len() * 7 / 10);
        let count = sample.len() as f64;
        let mean = sample.iter().sum::<f64>() / count;
        let variance = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    let t = (one.0 - other.0).abs() / (one.1 + other.1).sqrt();
    let apart = (one.0 - other.0).abs() / one.0.max(other.0);
    assert!(
        t < 10.0 || apart < 0.05,
        "t = {t}, means {} and {} us",
        one.0,
        other.0
    );
}
