//! Opens connections to the API (HTTP/2) and to the Cluster's own host (HTTP/1.1).

use std::{
    error::Error as _,
    fmt,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

use crate::{cluster::Cluster, failure::Failure};

/// Timeout of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Connects to the API.
///
/// # Errors
/// Returns a failure with the address, the cause and a hint if the Cluster cannot be reached.
pub(crate) async fn open(cluster: &Cluster, tls: ClientConfig) -> Result<Channel, Failure> {
    // The connector always uses TLS. The scheme only sets `:scheme` of the requests.
    let uri = format!("https://{}:{}", cluster.api_host, cluster.port);
    let endpoint = Endpoint::from_shared(uri)
        .and_then(|endpoint| {
            endpoint.user_agent(concat!("octelium-cli/", env!("CARGO_PKG_VERSION")))
        })
        .map_err(|error| Failure::usage(format!("`{}` is not a domain: {error}", cluster.domain)))?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(45))
        .keep_alive_timeout(Duration::from_secs(15));
    let connector = Connector {
        cluster: cluster.clone(),
        tls: Arc::new(tls),
    };
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| unreachable(cluster, &error))
}

/// Connects to the Cluster's own host, which serves its pages and endpoints over HTTP/1.1.
///
/// # Errors
/// Returns a message if the connection fails.
pub(crate) async fn to_pages(
    cluster: &Cluster,
    tls: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, String> {
    let (host, port) = &cluster.address;
    let addresses = addresses(host, *port).await;
    let addresses = addresses.map_err(|error| error.to_string())?;
    let stream = dial(&addresses).await.map_err(|error| error.to_string())?;
    let name = cluster.api_host.strip_prefix("octelium-api.");
    let name = ServerName::try_from(name.unwrap_or_default().to_owned());
    let name = name.map_err(|error| error.to_string())?;
    TlsConnector::from(tls)
        .connect(name, stream)
        .await
        .map_err(|error| format!("TLS: {error}"))
}

/// The cause of a failed connection.
#[derive(Debug)]
enum ConnectError {
    /// The host name cannot be resolved.
    Resolve(io::Error),
    /// The TCP connection was refused or timed out.
    Tcp(SocketAddr, io::Error),
    /// The TLS handshake failed, usually because of the certificate.
    Tls(io::Error),
    /// The server does not support HTTP/2.
    NoHttp2,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => write!(f, "the host name cannot be resolved: {error}"),
            Self::Tcp(address, error) => write!(f, "{address}: {error}"),
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::NoHttp2 => f.write_str("the server does not offer HTTP/2 (ALPN h2)"),
        }
    }
}

impl std::error::Error for ConnectError {}

fn unreachable(cluster: &Cluster, error: &tonic::transport::Error) -> Failure {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<ConnectError>() {
            return Failure::unavailable(format!("cannot reach {}: {error}", place(cluster)))
                .hint(advice(error));
        }
        cause = inner.source();
    }
    Failure::unavailable(format!(
        "cannot reach {}: no connection within {} s",
        place(cluster),
        CONNECT_TIMEOUT.as_secs()
    ))
    .hint("check the domain and the network")
}

fn place(cluster: &Cluster) -> String {
    let name = format!("{}:{}", cluster.api_host, cluster.port);
    let (host, port) = &cluster.address;
    if *host == cluster.api_host && *port == cluster.port {
        name
    } else {
        format!("{name} (at {host}:{port})")
    }
}

fn advice(error: &ConnectError) -> String {
    match error {
        ConnectError::Resolve(_) => {
            "check the domain (--domain or OCTELIUM_DOMAIN); `octelium-api.<domain>` must resolve"
        }
        ConnectError::Tcp(..) => {
            "check that octeliumd is running and that the port is correct: --domain takes `host:port`"
        }
        // A Cluster that was created again under the same name causes `BadSignature`.
        ConnectError::Tls(error)
            if ["UnknownIssuer", "BadSignature"]
                .iter()
                .any(|word| error.to_string().contains(word)) =>
        {
            "the Cluster has its own CA: set OCTELIUM_CA_CERT to its ca.pem (octeliumd prints the path at start)"
        }
        ConnectError::Tls(_) => "check that this is the domain of the Cluster",
        ConnectError::NoHttp2 => "check that octeliumd listens at this address",
    }
    .to_owned()
}

#[derive(Clone)]
struct Connector {
    cluster: Cluster,
    tls: Arc<ClientConfig>,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.connect().await.map(TokioIo::new) })
    }
}

impl Connector {
    async fn connect(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let (host, port) = &self.cluster.address;
        let stream = dial(&addresses(host, *port).await?).await?;
        // Sends small requests without delay.
        stream.set_nodelay(true).ok();
        let name = ServerName::try_from(self.cluster.api_host.clone())
            .map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
        let stream = TlsConnector::from(self.tls.clone())
            .connect(name, stream)
            .await
            .map_err(ConnectError::Tls)?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ConnectError::NoHttp2);
        }
        Ok(stream)
    }
}

/// Resolves a host name. `localhost` and names below it are always this machine (RFC 6761, section 6.3).
async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if host == "localhost" || host.ends_with(".localhost") {
        return Ok(vec![
            (Ipv4Addr::LOCALHOST, port).into(),
            (Ipv6Addr::LOCALHOST, port).into(),
        ]);
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    tokio::net::lookup_host((host, port))
        .await
        .map(Iterator::collect)
        .map_err(ConnectError::Resolve)
}

/// Connects to the first address that accepts. Returns the error of the first address if none does.
async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut first = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                first.get_or_insert(ConnectError::Tcp(*address, error));
            }
        }
    }
    Err(first.unwrap_or_else(|| {
        ConnectError::Resolve(io::Error::new(io::ErrorKind::NotFound, "no addresses"))
    }))
}
