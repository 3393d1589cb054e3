//! The prefix of an address that identifies a client when limits count addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Bits of an IPv6 address that identify a network. One host can use every address below it (RFC 4291 §2.5.1, RFC
/// 6177).
const IPV6_BITS: u32 = 64;

/// The prefix of an address that limits count: IPv4 /32, IPv6 /64. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`)
/// counts as the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressPrefix(IpAddr);

impl From<IpAddr> for AddressPrefix {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let host_bits = 128 - IPV6_BITS;
                let network = u128::from(address) >> host_bits << host_bits;
                IpAddr::V6(Ipv6Addr::from(network))
            }
        })
    }
}

impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}/32"),
            IpAddr::V6(network) => write!(f, "{network}/{IPV6_BITS}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn prefix(address: &str) -> AddressPrefix {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[rstest]
    #[case("192.0.2.1", "192.0.2.1", true)]
    #[case("192.0.2.1", "192.0.2.2", false)]
    #[case("::ffff:192.0.2.1", "192.0.2.1", true)]
    #[case("2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", true)]
    #[case("2001:db8::1", "2001:db8:0:1::1", false)]
    #[case("::1", "127.0.0.1", false)]
    fn addresses_of_one_client_share_a_prefix_s02(
        #[case] one: &str,
        #[case] other: &str,
        #[case] is_same: bool,
    ) {
        assert_eq!(prefix(one) == prefix(other), is_same);
    }

    #[rstest]
    #[case("192.0.2.1", "192.0.2.1/32")]
    #[case("::ffff:192.0.2.1", "192.0.2.1/32")]
    #[case("2001:db8:1:2:3::4", "2001:db8:1:2::/64")]
    #[case("::1", "::/64")]
    fn a_prefix_is_shown_as_a_network(#[case] address: &str, #[case] shown: &str) {
        assert_eq!(prefix(address).to_string(), shown);
    }
}
