//! Connections to allowed addresses only.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use domain::address::{Network, is_public};
use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reasons why connecting fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the name cannot be resolved: {0}")]
    Resolve(#[source] io::Error),
    #[error("none of its addresses is allowed")]
    Forbidden,
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    #[error("no TLS connection: {0}")]
    Tls(#[source] io::Error),
    #[error("no connection within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
}

/// Connector that resolves a host and connects to the first allowed address that answers.
#[derive(Clone)]
pub(super) struct Connector {
    allowed: Arc<[Network]>,
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(allowed: Arc<[Network]>, roots: Arc<RootCertStore>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
        if let Ok(config) = &mut config {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        // The crypto provider supports TLS 1.2 and 1.3, so this never fails.
        let config = config.unwrap_or_else(|_| {
            ClientConfig::builder()
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth()
        });
        Self {
            allowed,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    async fn connect(&self, uri: &Uri) -> Result<Stream, ConnectError> {
        let host = uri.host().unwrap_or_default();
        // The URI has an IPv6 address in brackets.
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = uri.port_u16().unwrap_or(443);
        let stream = self.dial(host, port).await?;
        stream.set_nodelay(true).map_err(ConnectError::Connect)?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
        let stream = self.tls.connect(name, stream).await;
        stream.map(Stream).map_err(ConnectError::Tls)
    }

    /// Connects to the checked address itself, so that a second DNS lookup cannot replace it (DNS rebinding).
    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => lookup_host((host, port))
                .await
                .map_err(ConnectError::Resolve)?
                .collect(),
        };
        let mut error = ConnectError::Forbidden;
        for address in addresses {
            if !self.may_reach(address.ip()) {
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(failure) => error = ConnectError::Connect(failure),
            }
        }
        Err(error)
    }

    fn may_reach(&self, address: IpAddr) -> bool {
        is_public(address) || self.allowed.iter().any(|network| network.has(address))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, this.connect(&uri)).await {
                Ok(outcome) => outcome.map(TokioIo::new),
                Err(_) => Err(ConnectError::Timeout),
            }
        })
    }
}

/// A TLS connection to an allowed address.
pub(super) struct Stream(TlsStream<TcpStream>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://127.0.0.1/")]
    #[case("https://[::1]/")]
    #[case("https://[::ffff:127.0.0.1]/")]
    #[case("https://2130706433/")]
    #[case("https://127.1/")]
    #[case("https://0x7f000001/")]
    #[case("https://localhost/")]
    #[case("https://169.254.169.254/")]
    #[case("https://10.0.0.1/")]
    #[case("https://0.0.0.0/")]
    #[case("https://[fd00::1]/")]
    #[tokio::test]
    async fn c23_addresses_that_are_not_public_are_not_connected_to(#[case] uri: &str) {
        let connector = Connector::new([].into(), Arc::new(RootCertStore::empty()));
        let error = connector
            .connect(&uri.parse().unwrap())
            .await
            .err()
            .unwrap();
        assert!(
            matches!(error, ConnectError::Forbidden | ConnectError::Resolve(_)),
            "{error}"
        );
    }

    #[test]
    fn allowed_addresses_are_reached() {
        let allowed = ["127.0.0.0/8".parse().unwrap()];
        let connector = Connector::new(allowed.into(), Arc::new(RootCertStore::empty()));
        assert!(connector.may_reach([127, 0, 0, 1].into()));
        assert!(connector.may_reach([8, 8, 8, 8].into()));
        assert!(!connector.may_reach([10, 0, 0, 1].into()));
    }
}
