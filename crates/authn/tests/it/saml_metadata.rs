//! SAML metadata fetched from a TLS server.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use authn::{
    outbound::{Config, Outbound},
    saml::{
        ErrorKind, Expected, Login, finish_login,
        testing::{Draft, IdentityProvider, NOW, metadata, posted, service_provider},
    },
    saml_source::{MetadataLocation, MetadataSource, ProviderSelection},
};
use domain::clock::ManualClock;
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

const BASE: &str = "https://idp.example.org";

/// An HTTPS server with a configurable response.
struct Server {
    url: String,
    outbound: Outbound,
    served: Arc<Mutex<Option<String>>>,
    count: Arc<AtomicUsize>,
}

impl Server {
    async fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(Mutex::new(None::<String>));
        let count = Arc::new(AtomicUsize::new(0));
        let (documents, counter) = (served.clone(), count.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(octet) = stream.read_u8().await else {
                        break;
                    };
                    head.push(octet);
                }
                counter.fetch_add(1, Ordering::SeqCst);
                let document = documents.lock().unwrap().clone();
                let answer = match document {
                    Some(document) => format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{document}",
                        document.len()
                    ),
                    None => "HTTP/1.1 503 Down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                        .to_owned(),
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self {
            url: format!("https://localhost:{port}/metadata"),
            outbound: Outbound::new(Config {
                allowed: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
                authorities: vec![certificate.der().clone()],
            }),
            served,
            count,
        }
    }

    fn serve(&self, document: Option<String>) {
        *self.served.lock().unwrap() = document;
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

struct Scene {
    server: Server,
    clock: Arc<ManualClock>,
    source: MetadataSource,
}

impl Scene {
    async fn new() -> Self {
        let server = Server::new().await;
        let clock = Arc::new(ManualClock::at(NOW));
        let location = MetadataLocation::Url(server.url.clone());
        let source = MetadataSource::new(
            location,
            ProviderSelection::default(),
            server.outbound.clone(),
            clock.clone(),
        );
        Self {
            server,
            clock,
            source,
        }
    }

    /// Attempts a login at `idp`.
    async fn log_in(&self, idp: &IdentityProvider) -> Result<Login, ErrorKind> {
        use domain::clock::Clock as _;
        let service = service_provider("example.com").unwrap();
        let now = self.clock.now();
        let message = posted(
            &Draft::at(now, idp, "example.com", "_q1")
                .write(idp)
                .unwrap(),
        );
        let expected = Expected {
            request_id: "_q1",
            requested_at: now,
            force_authn: false,
        };
        self.source
            .verify(|provider| finish_login(&service, provider, &message, expected, now))
            .await
            .unwrap()
            .map_err(|error| error.kind())
    }
}

#[tokio::test]
async fn w52_a_provider_with_a_new_key_is_asked_for_its_metadata_at_once() {
    let scene = Scene::new().await;
    let (old, new) = (
        IdentityProvider::new(BASE).unwrap(),
        IdentityProvider::new(BASE).unwrap(),
    );
    scene.server.serve(Some(old.metadata(BASE)));
    scene.log_in(&old).await.unwrap();
    scene.log_in(&old).await.unwrap();
    assert_eq!(scene.server.count(), 1);

    scene.server.serve(Some(metadata(
        BASE,
        BASE,
        &[old.key.certificate(), new.key.certificate()],
    )));
    scene.clock.advance(Duration::from_secs(11));
    scene.log_in(&new).await.unwrap();
    scene.log_in(&old).await.unwrap();
    assert_eq!(scene.server.count(), 2);

    // Forged signatures cause only a limited number of refetches.
    let forger = IdentityProvider::new(BASE).unwrap();
    for _ in 0..20 {
        assert_eq!(
            scene.log_in(&forger).await.unwrap_err(),
            ErrorKind::Signature
        );
        scene.clock.advance(Duration::from_secs(1));
    }
    assert!(scene.server.count() <= 5, "{}", scene.server.count());
    scene.log_in(&new).await.unwrap();
}

#[tokio::test]
async fn w52_a_provider_that_is_down_stays_what_it_was_until_its_metadata_end() {
    let scene = Scene::new().await;
    let idp = IdentityProvider::new(BASE).unwrap();
    let document = idp
        .metadata(BASE)
        .replace("entityID=", "validUntil=\"2026-09-21T20:00:00Z\" entityID=");
    scene.server.serve(Some(document));
    scene.log_in(&idp).await.unwrap();
    scene.server.serve(None);
    scene.clock.advance(Duration::from_hours(2));
    scene.log_in(&idp).await.unwrap();
    assert!(scene.server.count() > 1);
    scene.clock.advance(Duration::from_hours(4));
    assert_eq!(scene.log_in(&idp).await.unwrap_err(), ErrorKind::Metadata);
    // The provider is available again, with new metadata.
    scene.server.serve(Some(idp.metadata(BASE)));
    scene.clock.advance(Duration::from_mins(2));
    scene.log_in(&idp).await.unwrap();
}

#[tokio::test]
async fn w52_metadata_are_asked_for_again_when_they_say_so() {
    let scene = Scene::new().await;
    let idp = IdentityProvider::new(BASE).unwrap();
    let document = idp
        .metadata(BASE)
        .replace("entityID=", "cacheDuration=\"PT20M\" entityID=");
    scene.server.serve(Some(document));
    for _ in 0..12 {
        scene.log_in(&idp).await.unwrap();
        scene.clock.advance(Duration::from_mins(10));
    }
    assert_eq!(scene.server.count(), 6);
}

#[tokio::test]
async fn an_unreachable_provider_prevents_the_login_with_a_reason() {
    let scene = Scene::new().await;
    let error = scene.source.get().await.unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
    scene.server.serve(Some("<a/>".to_owned()));
    scene.clock.advance(Duration::from_mins(2));
    let error = scene.source.get().await.unwrap_err();
    assert!(
        error.to_string().contains("not SAML 2.0 metadata"),
        "{error}"
    );
}

#[tokio::test]
async fn metadata_in_the_configuration_are_never_fetched() {
    let idp = IdentityProvider::new(BASE).unwrap();
    let location = MetadataLocation::Fixed(idp.metadata(BASE));
    let clock = Arc::new(ManualClock::at(NOW));
    let source = MetadataSource::new(
        location,
        ProviderSelection::default(),
        Outbound::default(),
        clock,
    );
    assert_eq!(source.get().await.unwrap().provider.entity_id, BASE);
}
