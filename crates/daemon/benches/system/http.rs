//! Kept connections to a replica.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Where to connect to, and whom to trust.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    source: Ipv4Addr,
}

impl Target {
    /// A replica with its own authority.
    pub(crate) fn new(address: SocketAddr, ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(ca).unwrap())
            .unwrap();
        Self {
            address,
            roots: Arc::new(roots),
            source: Ipv4Addr::LOCALHOST,
        }
    }

    /// The same for clients at another address of this machine.
    pub(crate) fn from(&self, source: Ipv4Addr) -> Self {
        Self {
            source,
            ..self.clone()
        }
    }

    /// Asserts that the Cluster's pages are served.
    pub(crate) async fn answers(&self) {
        let request = http::Request::builder().uri("/login");
        let mut connection = self.http1("localhost").await;
        let (status, _) = connection.send(request, Bytes::new()).await;
        assert_eq!(status, 200);
    }

    /// HTTP/1.1.
    pub(crate) async fn http1(&self, host: &str) -> Http1 {
        let stream = self.stream(host, b"http/1.1").await;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Http1 {
            sender,
            authority: format!("{host}:{}", self.address.port()),
        }
    }

    /// HTTP/2, for gRPC.
    pub(crate) async fn http2(&self, host: &str) -> http2::SendRequest<tonic::body::Body> {
        let stream = self.stream(host, b"h2").await;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A connection over which the client speaks `protocol`.
    pub(crate) async fn stream(&self, host: &str, protocol: &[u8]) -> TlsStream<TcpStream> {
        self.try_stream(host, protocol).await.unwrap()
    }

    /// As [`Self::stream`], where the connection may be refused.
    pub(crate) async fn try_stream(
        &self,
        host: &str,
        protocol: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(Arc::clone(&self.roots))
                .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let stream = self.tcp().await?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// A connection without TLS.
    pub(crate) async fn tcp(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.source, 0).into())?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A kept connection of HTTP/1.1.
pub(crate) struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    authority: String,
}

impl Http1 {
    /// Without TLS, for peers that are measured so.
    pub(crate) async fn plain(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self {
            sender,
            authority: address.to_string(),
        }
    }

    /// Sends a request, whose answer goes on.
    pub(crate) async fn open(&mut self, request: http::request::Builder) -> Open {
        let request: Request<_> = request
            .header("host", &self.authority)
            .body(Full::new(Bytes::new()))
            .unwrap();
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Open(response.into_body())
    }

    /// Sends a request, reads the answer.
    pub(crate) async fn send(
        &mut self,
        request: http::request::Builder,
        body: Bytes,
    ) -> (StatusCode, Bytes) {
        self.try_send(request, body).await.unwrap()
    }

    /// As [`Self::send`], where the answer may be cut off.
    pub(crate) async fn try_send(
        &mut self,
        request: http::request::Builder,
        body: Bytes,
    ) -> hyper::Result<(StatusCode, Bytes)> {
        let request: Request<_> = request
            .header("host", &self.authority)
            .body(Full::new(body))
            .unwrap();
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        Ok((head.status, body.collect().await?.to_bytes()))
    }

    /// Sends what a browser does at our own pages, and gives the whole answer.
    pub(crate) async fn browse(
        &mut self,
        request: http::request::Builder,
        form: Option<String>,
    ) -> http::Response<Bytes> {
        let mut request = request
            .header("host", &self.authority)
            .header("origin", format!("https://{}", self.authority))
            .header("sec-fetch-site", "same-origin")
            .header("accept", "text/html")
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0");
        if form.is_some() {
            request = request
                .method("POST")
                .header("content-type", "application/x-www-form-urlencoded");
        }
        let request: Request<_> = request
            .body(Full::new(form.unwrap_or_default().into()))
            .unwrap();
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        http::Response::from_parts(head, body)
    }
}

/// An answer that goes on.
pub(crate) struct Open(Incoming);

impl Open {
    /// Waits for more; false where it has ended.
    pub(crate) async fn beats(&mut self) -> bool {
        matches!(self.0.frame().await, Some(Ok(_)))
    }
}
