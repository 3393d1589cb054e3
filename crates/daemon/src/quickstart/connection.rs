//! Connections of the quickstart to its own listener, with TLS like those of any client.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Body, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::provider;

/// Connects to a fixed address for every host name, and trusts one certificate authority.
#[derive(Clone)]
pub(crate) struct Connector {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Connector {
    /// Creates a connector.
    ///
    /// # Errors
    ///
    /// Returns an error if `authority` is `None`, which means that the operator's certificate is used, or is not a
    /// certificate.
    pub(crate) fn new(
        address: SocketAddr,
        authority: Option<&CertificateDer<'static>>,
    ) -> anyhow::Result<Self> {
        let authority = authority.context(
            "the quickstart uses the Cluster's own authority: leave out --tls-cert and --tls-key",
        )?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            address,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Opens a connection for requests to `host`.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails, or if the certificate is not valid for `host`.
    pub(crate) async fn connect<B>(&self, host: &str) -> anyhow::Result<SendRequest<B>>
    where
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let context = || format!("connection to {host} at {}", self.address);
        let name = ServerName::try_from(host.to_owned()).with_context(context)?;
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(context)?;
        let stream = self.tls.connect(name, stream).await.with_context(context)?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .with_context(context)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "own connection ended");
            }
        });
        Ok(sender)
    }

    /// Sends one request and reads the whole response.
    ///
    /// # Errors
    ///
    /// Returns an error if no complete response arrives.
    pub(crate) async fn send(
        &self,
        host: &str,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<Bytes>> {
        let mut sender = self.connect(host).await?;
        let response: Response<Incoming> = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}
