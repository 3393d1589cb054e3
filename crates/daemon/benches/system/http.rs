//! Persistent connections to a replica.

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

/// The address and the trusted certificate of a server.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    source: Ipv4Addr,
}

impl Target {
    /// A replica with its own certificate authority.
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

    /// Returns the same target for clients at another address of this machine.
    pub(crate) fn from(&self, source: Ipv4Addr) -> Self {
        Self {
            source,
            ..self.clone()
        }
    }

    /// Asserts that the replica serves the Cluster's pages.
    pub(crate) async fn answers(&self) {
        let request = http::Request::builder().uri("/login");
        let mut connection = self.http1("localhost").await;
        let (status, _) = connection.send(request, Bytes::new()).await;
        assert_eq!(status, 200);
    }

    /// Opens an HTTP/1.1 connection.
    pub(crate) async fn http1(&self, host: &str) -> Http1 {
        let stream = self.stream(host, b"http/1.1").await;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Http1 {
            sender,
            authority: format!("{host}:{}", self.address.port()),
        }
    }

    /// Opens an HTTP/2 connection, for gRPC.
    pub(crate) async fn http2(&self, host: &str) -> http2::SendRequest<tonic::body::Body> {
        let stream = self.stream(host, b"h2").await;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Opens a TLS connection with `protocol` as its ALPN protocol.
    pub(crate) async fn stream(&self, host: &str, protocol: &[u8]) -> TlsStream<TcpStream> {
        self.try_stream(host, protocol).await.unwrap()
    }

    /// Like [`Self::stream`], if the server may refuse the connection.
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

    /// Opens a connection without TLS.
    pub(crate) async fn tcp(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.source, 0).into())?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A persistent HTTP/1.1 connection.
pub(crate) struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    authority: String,
}

impl Http1 {
    /// Opens a connection without TLS, for peers that are measured without it.
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

    /// Sends a request whose response does not end.
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

    /// Sends a request and reads the response.
    pub(crate) async fn send(
        &mut self,
        request: http::request::Builder,
        body: Bytes,
    ) -> (StatusCode, Bytes) {
        self.try_send(request, body).await.unwrap()
    }

    /// Like [`Self::send`], if the response may be cut off.
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

    /// Sends a request with the headers of a browser on our own pages, and returns the whole response.
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

/// A response that does not end.
pub(crate) struct Open(Incoming);

impl Open {
    /// Waits for the next frame. Returns false if the response has ended.
    pub(crate) async fn beats(&mut self) -> bool {
        matches!(self.0.frame().await, Some(Ok(_)))
    }
}
