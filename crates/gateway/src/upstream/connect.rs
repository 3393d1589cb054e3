//! Connections to endpoints.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use domain::address::{Network, is_link_local, is_public};
use tokio::net::{TcpStream, lookup_host};

/// The reason why a connection failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the host could not be resolved: {0}")]
    Resolve(#[source] io::Error),
    #[error("the host has no allowed address")]
    Forbidden,
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    #[error("no TLS connection: {0}")]
    Tls(#[source] io::Error),
    #[error("the upstream does not speak HTTP/2")]
    NoHttp2,
    #[error("no HTTP connection: {0}")]
    Handshake(#[source] hyper::Error),
    #[error("took too long")]
    Timeout,
}

/// The addresses that connections may go to.
#[derive(Debug, Clone)]
pub(crate) enum ReachableAddresses {
    Everything,
    /// All but link-local addresses.
    NotLinkLocal,
    /// Public addresses, and addresses in these networks.
    PublicAnd(Arc<[Network]>),
    /// Only addresses in these networks.
    Only(Arc<[Network]>),
}

impl ReachableAddresses {
    fn has(&self, address: IpAddr) -> bool {
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.has(address));
        match self {
            Self::Everything => true,
            Self::NotLinkLocal => !is_link_local(address),
            Self::PublicAnd(networks) => is_public(address) || is_in(networks),
            Self::Only(networks) => is_in(networks),
        }
    }
}

/// Connects to the first permitted address that accepts. It checks and uses the same resolved address, so DNS rebinding
/// has no effect.
pub(super) async fn connect(
    host: &str,
    port: u16,
    reach: &ReachableAddresses,
) -> Result<TcpStream, ConnectError> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => lookup_host((host, port))
            .await
            .map_err(ConnectError::Resolve)?
            .collect(),
    };
    let mut error = ConnectError::Forbidden;
    for address in addresses {
        if !reach.has(address.ip()) {
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(ConnectError::Connect)?;
                return Ok(stream);
            }
            Err(failure) => error = ConnectError::Connect(failure),
        }
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn c23_metadata_addresses_are_not_connected_to() {
        let error = connect("169.254.169.254", 80, &ReachableAddresses::NotLinkLocal)
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::Forbidden));
    }
}
