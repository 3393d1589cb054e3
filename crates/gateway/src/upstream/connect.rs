//! Connections to endpoints.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::{TcpStream, lookup_host};

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the host could not be resolved: {0}")]
    Resolve(#[source] io::Error),
    #[error("the host has no address that may be used")]
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

/// Connects to the first address that answers. The address that was checked is the one that is used.
pub(super) async fn connect(
    host: &str,
    port: u16,
    allow_link_local: bool,
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
        if !allow_link_local && is_link_local(address.ip()) {
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

/// Addresses of the link, among them those at which clouds serve credentials of the machine, however embedded.
fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            const AWS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            let embedded = match address.segments() {
                // RFC 6052 §2.1, RFC 3056 §2
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                    Some([high, low])
                }
                _ => None,
            };
            let embedded = embedded.is_some_and(|[high, low]| {
                Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)).is_link_local()
            });
            address.is_unicast_link_local() || address == AWS || embedded
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("169.254.169.254", true)]
    #[case("::ffff:169.254.169.254", true)]
    #[case("64:ff9b::a9fe:a9fe", true)]
    #[case("2002:a9fe:a9fe::1", true)]
    #[case("fe80::1", true)]
    #[case("fd00:ec2::254", true)]
    #[case("127.0.0.1", false)]
    #[case("10.0.0.1", false)]
    #[case("::1", false)]
    #[case("fd00::1", false)]
    #[case("192.0.2.1", false)]
    fn c23_metadata_addresses_are_known_in_every_form(
        #[case] address: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(is_link_local(address.parse().unwrap()), expected);
    }

    #[tokio::test]
    async fn c23_metadata_addresses_are_not_connected_to() {
        let error = connect("169.254.169.254", 80, false).await.unwrap_err();
        assert!(matches!(error, ConnectError::Forbidden));
    }
}
