//! TLS and HTTP/2 connections to upstreams.

use std::sync::Arc;

use api::core_v1::service::spec::config::{ClientCertificate, Tls, client_certificate, tls};
use http::{Request, Response};
use hyper::body::Incoming;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self,
        server::{WantsServerCert, WebPkiClientVerifier},
    },
};

use crate::support::{
    Upstream, World,
    client::get,
    service,
    upstream::{full, serve_io},
    world::ServiceExt,
};

/// Starts an upstream with a certificate for `localhost`, which it returns as PEM.
async fn tls_upstream(alpn: &[&[u8]]) -> (Upstream, String) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    serve_tls(builder.with_no_client_auth(), alpn).await
}

/// Starts an upstream that also requires the certificate of `client`, which it returns as PEM with its key.
async fn mutual_upstream() -> (Upstream, String, [String; 2]) {
    let client = rcgen::generate_simple_self_signed(["gateway".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(client.cert.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = builder.with_client_cert_verifier(verifier);
    let (upstream, pem) = serve_tls(builder, &[b"http/1.1"]).await;
    let key = client.signing_key.serialize_pem();
    (upstream, pem, [client.cert.pem(), key])
}

async fn serve_tls(
    builder: rustls::ConfigBuilder<rustls::ServerConfig, WantsServerCert>,
    alpn: &[&[u8]],
) -> (Upstream, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        certified.signing_key.serialize_der(),
    ));
    let mut config = builder
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let upstream = Upstream::accepting(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let name = stream
                .get_ref()
                .1
                .server_name()
                .unwrap_or("none")
                .to_owned();
            serve_io(stream, move |request: Request<Incoming>| {
                let text = format!("{:?} {name} {}", request.version(), request.uri());
                async move { Response::new(full(text)) }
            })
            .await;
        }
    })
    .await;
    (upstream, certified.cert.pem())
}

fn trusting(url: &str, tls: Tls) -> api::core_v1::Service {
    service(url)
        .anonymous()
        .config(|config| config.tls = Some(tls))
}

#[tokio::test]
async fn an_upstream_is_verified_against_the_given_authorities() {
    let world = World::start().await;
    let (upstream, pem) = tls_upstream(&[b"http/1.1"]).await;
    let url = format!("https://localhost:{}", upstream.address.port());
    let trusted = Tls {
        trusted_c_as: vec![pem.clone()],
        ..Tls::default()
    };
    world.serve(&trusting(&url, trusted.clone()));
    let reply = get(world.address, "/x", &[]).await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, "HTTP/1.1 localhost /x")
    );
    // The system's authorities did not issue it.
    world.serve(&trusting(&url, Tls::default()));
    assert_eq!(get(world.address, "/", &[]).await.status, 502);
    // The name is verified.
    let by_address = format!("https://{}", upstream.address);
    world.serve(&trusting(&by_address, trusted));
    assert_eq!(get(world.address, "/", &[]).await.status, 502);
    let skipping = Tls {
        insecure_skip_verify: true,
        ..Tls::default()
    };
    world.serve(&trusting(&by_address, skipping));
    assert_eq!(get(world.address, "/", &[]).await.status, 200);
    let broken = Tls {
        trusted_c_as: vec!["not a certificate".to_owned()],
        ..Tls::default()
    };
    assert!(world.compile(&trusting(&url, broken)).is_err());
}

fn in_tls(secret: &str, roots: Vec<String>) -> Tls {
    let secret = tls::client_certificate::Type::FromSecret(secret.to_owned());
    Tls {
        trusted_c_as: roots,
        client_certificate: Some(tls::ClientCertificate {
            r#type: Some(secret),
        }),
        ..Tls::default()
    }
}

#[tokio::test]
async fn an_upstream_is_shown_a_certificate_from_a_secret() {
    let world = World::start().await;
    let (upstream, pem, [chain, key]) = mutual_upstream().await;
    let url = format!("https://localhost:{}", upstream.address.port());
    world.key("beside", &key, Some(&chain));
    world.key("together", &format!("{chain}{key}"), None);
    for secret in ["beside", "together"] {
        world.serve(&trusting(&url, in_tls(secret, vec![pem.clone()])));
        assert_eq!(get(world.address, "/", &[]).await.status, 200, "{secret}");
        let beside = client_certificate::Type::FromSecret(secret.to_owned());
        world.serve(&service(&url).anonymous().config(|config| {
            config.client_certificate = Some(ClientCertificate {
                trusted_c_as: vec![pem.clone()],
                r#type: Some(beside),
            });
        }));
        assert_eq!(get(world.address, "/", &[]).await.status, 200, "{secret}");
    }
    // No certificate, and an unknown certificate.
    let (_, _, [other_chain, other_key]) = mutual_upstream().await;
    world.key("stranger", &other_key, Some(&other_chain));
    let without = Tls {
        trusted_c_as: vec![pem.clone()],
        ..Tls::default()
    };
    for refused in [without, in_tls("stranger", vec![pem.clone()])] {
        world.serve(&trusting(&url, refused));
        assert_eq!(get(world.address, "/", &[]).await.status, 502);
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_shown_is_refused() {
    let world = World::start().await;
    let (_, pem, [chain, key]) = mutual_upstream().await;
    let (_, _, [_, other]) = mutual_upstream().await;
    world.key("mixed", &other, Some(&chain));
    world.key("bare", &key, None);
    world.key("keyless", "", Some(&chain));
    world.key("good", &key, Some(&chain));
    for (url, secret, expected) in [
        (
            "https://localhost",
            "mixed",
            "does not match its certificate",
        ),
        ("https://localhost", "bare", "has no certificate in PEM"),
        ("https://localhost", "keyless", "has no private key in PEM"),
        ("https://localhost", "absent", "which does not exist"),
        ("http://localhost", "good", "needs an upstream with TLS"),
    ] {
        let compiled = world.compile(&trusting(url, in_tls(secret, vec![pem.clone()])));
        let problems = compiled.err().unwrap().join("; ");
        assert!(problems.contains(expected), "{secret}: {problems}");
        assert!(
            problems.contains("spec.config.tls.clientCertificate.fromSecret"),
            "{problems}"
        );
    }
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_asked_for() {
    let world = World::start().await;
    let skipping = || Tls {
        insecure_skip_verify: true,
        ..Tls::default()
    };
    let (upstream, _) = tls_upstream(&[b"h2", b"http/1.1"]).await;
    let url = format!("https://localhost:{}", upstream.address.port());
    world.serve(&trusting(&url, skipping()).http(|http| http.is_upstream_http2 = true));
    let reply = get(world.address, "/x?y", &[]).await;
    let expected = format!(
        "HTTP/2.0 localhost https://localhost:{}/x?y",
        upstream.address.port()
    );
    assert_eq!((reply.status, reply.body), (200, expected));
    assert_eq!(get(world.address, "/x", &[]).await.status, 200);
    assert_eq!(upstream.connections(), 1);

    let (old, _) = tls_upstream(&[b"http/1.1"]).await;
    let url = format!("https://localhost:{}", old.address.port());
    world.serve(&trusting(&url, skipping()).http(|http| http.is_upstream_http2 = true));
    assert_eq!(get(world.address, "/", &[]).await.status, 502);

    let plain = Upstream::serving(|request: Request<Incoming>| async move {
        Response::new(full(format!("{:?}", request.version())))
    })
    .await;
    world.serve(&service(&format!("h2c://{}", plain.address)).anonymous());
    assert_eq!(get(world.address, "/", &[]).await.body, "HTTP/2.0");
}

#[tokio::test]
async fn c23_metadata_addresses_are_refused_as_upstreams() {
    let world = World::start().await;
    for url in [
        "http://169.254.169.254",
        "http://[fe80::1]",
        "http://[::ffff:169.254.169.254]",
    ] {
        world.serve(&service(url).anonymous());
        assert_eq!(get(world.address, "/", &[]).await.status, 502, "{url}");
    }
}
