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

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Everything,
    /// All but those of the link.
    NotLinkLocal,
    /// Those of the public Internet.
    Public,
}

impl Reach {
    fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Everything => true,
            Self::NotLinkLocal => !is_link_local(address),
            Self::Public => is_public(address),
        }
    }
}

/// Connects to the first address that answers. The address that was checked is the one that is used.
pub(super) async fn connect(
    host: &str,
    port: u16,
    reach: Reach,
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

/// Addresses that are the same for everybody (the registries of RFC 6890), however embedded.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, third, _] = address.octets();
            let is_special = address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_documentation()
                || first == 0
                || first >= 240
                // RFC 6598, RFC 6890, RFC 2544
                || (first == 100 && second & 0xc0 == 64)
                || (first == 192 && second == 0 && third == 0)
                || (first == 198 && second & 0xfe == 18);
            !is_special
        }
        IpAddr::V6(address) => match address.segments() {
            // RFC 6052 §2.1, RFC 3056 §2
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                let embedded = Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
                is_public(IpAddr::V4(embedded))
            }
            // Teredo and what else is no unicast of its own (RFC 6890), documentation (RFC 3849, RFC 9637)
            [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
            [0x3fff, second, ..] if second < 0x1000 => false,
            // RFC 4291 §2.4: global unicast
            [first, ..] => first & 0xe000 == 0x2000,
        },
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
        let error = connect("169.254.169.254", 80, Reach::NotLinkLocal)
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::Forbidden));
    }

    #[rstest]
    #[case("8.8.8.8", true)]
    #[case("2606:4700::1111", true)]
    #[case("::ffff:8.8.8.8", true)]
    #[case("64:ff9b::808:808", true)]
    #[case("127.0.0.1", false)]
    #[case("::1", false)]
    #[case("::", false)]
    #[case("0.0.0.0", false)]
    #[case("10.1.2.3", false)]
    #[case("172.31.0.1", false)]
    #[case("192.168.1.1", false)]
    #[case("100.64.0.1", false)]
    #[case("192.0.0.8", false)]
    #[case("198.19.0.1", false)]
    #[case("224.0.0.1", false)]
    #[case("255.255.255.255", false)]
    #[case("169.254.169.254", false)]
    #[case("::ffff:127.0.0.1", false)]
    #[case("::7f00:1", false)]
    #[case("64:ff9b::a00:1", false)]
    #[case("64:ff9b:1::808:808", false)]
    #[case("2002:7f00:1::", false)]
    #[case("2001:0:7f00:1::", false)]
    #[case("2001:db8::1", false)]
    #[case("fd00::1", false)]
    #[case("fe80::1", false)]
    #[case("ff02::1", false)]
    fn c23_only_what_is_public_is_public(#[case] address: &str, #[case] expected: bool) {
        assert_eq!(is_public(address.parse().unwrap()), expected);
    }
}
