//! An HTTPS client that uses none of our crates.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::cluster::Cluster;

/// A complete response.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Parses the body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Returns a header as text, or an empty text if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// The address and the trusted certificate of a server.
#[derive(Clone)]
pub(crate) struct Https {
    address: SocketAddr,
    tls: TlsConnector,
    source: Option<IpAddr>,
    greeting: Vec<u8>,
}

impl Https {
    /// A Cluster with its own certificate authority.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self::trusting(cluster.address, &cluster.ca())
    }

    /// A server at an address, with the trusted certificate in a file.
    pub(crate) fn trusting(address: SocketAddr, authority: &Path) -> Self {
        Self {
            address,
            tls: tls(authority, "http/1.1"),
            source: None,
            greeting: Vec::new(),
        }
    }

    /// Returns the same client at another loopback address.
    pub(crate) fn from(&self, source: &str) -> Self {
        Self {
            source: Some(source.parse().unwrap()),
            ..self.clone()
        }
    }

    /// Returns the same client, which sends `bytes` before TLS.
    pub(crate) fn greeting(&self, bytes: &[u8]) -> Self {
        Self {
            greeting: bytes.to_vec(),
            ..self.clone()
        }
    }

    /// Opens a connection without TLS.
    pub(crate) async fn tcp(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(source) = self.source {
            socket.bind((source, 0).into())?;
        }
        let mut stream = socket.connect(self.address).await?;
        stream.write_all(&self.greeting).await?;
        Ok(stream)
    }

    /// Opens a TLS connection, with a certificate for `host`, and sends no request.
    pub(crate) async fn tls(&self, host: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        self.tls.connect(name, self.tcp().await?).await
    }

    /// Opens an HTTP/1.1 connection, with a certificate for `host`.
    pub(crate) async fn connect(&self, host: &str) -> std::io::Result<Connection> {
        let stream = self.tls(host).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Ok(Connection {
            sender,
            authority: format!("{host}:{}", self.address.port()),
        })
    }

    /// Sends one request on a new connection.
    pub(crate) async fn send(&self, host: &str, request: Request<String>) -> Answer {
        self.connect(host).await.unwrap().send(request).await
    }

    /// Sends a `GET` request with an access token.
    pub(crate) async fn get(&self, host: &str, path: &str, token: &str) -> Answer {
        self.send(host, get(path, token)).await
    }

    /// Sends requests until one is refused with 401. Returns when the last accepted one was sent, as the time since the
    /// start.
    ///
    /// A response that is cut off counts as accepted.
    pub(crate) async fn accepted_for(
        &self,
        host: &str,
        token: &str,
        at_most: Duration,
    ) -> Duration {
        let started = Instant::now();
        let mut last_accepted = Duration::ZERO;
        let mut connection = self.connect(host).await.unwrap();
        while started.elapsed() < at_most {
            let sent = started.elapsed();
            match connection.try_send(get("/", token)).await {
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => return last_accepted,
                Ok(answer) => assert_eq!(answer.status, StatusCode::OK, "{answer:#?}"),
                Err(_) => connection = self.connect(host).await.unwrap(),
            }
            last_accepted = sent;
        }
        panic!("not refused within {at_most:?}");
    }
}

/// Returns a TLS connector for one protocol that trusts the certificate in a file.
pub(crate) fn tls(authority: &Path, protocol: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// A persistent connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Connection {
    /// Sends one request. Sets the Host header if it is absent.
    pub(crate) async fn send(&mut self, request: Request<String>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// Like [`Self::send`], if the connection may end.
    pub(crate) async fn try_send(&mut self, request: Request<String>) -> hyper::Result<Answer> {
        let mut request = request.map(|body| Full::new(Bytes::from(body)));
        let authority = self.authority.parse().unwrap();
        request.headers_mut().entry("host").or_insert(authority);
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        timeout(Duration::from_secs(30), exchange)
            .await
            .expect("an answer within 30 s")
    }
}

/// Returns a `GET` request with an access token.
pub(crate) fn get(path: &str, token: &str) -> Request<String> {
    Request::builder()
        .method(Method::GET)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .body(String::new())
        .unwrap()
}

/// Returns a form request, as for the token endpoint.
pub(crate) fn form(path: &str, basic: Option<(&str, &str)>, body: &str) -> Request<String> {
    use base64::Engine as _;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", "application/x-www-form-urlencoded");
    if let Some((id, secret)) = basic {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        request = request.header("authorization", format!("Basic {pair}"));
    }
    request.body(body.to_owned()).unwrap()
}
