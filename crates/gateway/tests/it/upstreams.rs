//! TLS and HTTP/2 towards upstreams.

use std::sync::Arc;

use api::core_v1::service::spec::config::Tls;
use http::{Request, Response};
use hyper::body::Incoming;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::support::{
    Upstream, World,
    client::get,
    service,
    upstream::{full, serve_io},
    world::ServiceExt,
};

/// An upstream with a certificate for `localhost`, and that certificate in PEM.
async fn tls_upstream(alpn: &[&[u8]]) -> (Upstream, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        certified.signing_key.serialize_der(),
    ));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
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
    // The system's authorities do not know it.
    world.serve(&trusting(&url, Tls::default()));
    assert_eq!(get(world.address, "/", &[]).await.status, 502);
    // Its name is checked.
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
async fn c23_metadata_addresses_are_no_upstreams() {
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
