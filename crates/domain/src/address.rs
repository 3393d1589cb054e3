//! Classification of IP addresses: link-local, public, or part of a configured network.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A range of IP addresses: `10.0.0.0/8`, `fd00::/8`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// The error for a text that is not a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a network; use its first address and its prefix length, such as 10.0.0.0/8 or fd00::/8"
)]
pub struct InvalidNetwork;

impl Network {
    /// Returns whether the network contains `address`. An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let host_bits = 32_u32.saturating_sub(self.prefix);
                let cut = |address: Ipv4Addr| u32::from(address).checked_shr(host_bits);
                cut(network) == cut(address)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let host_bits = 128_u32.saturating_sub(self.prefix);
                let cut = |address: Ipv6Addr| u128::from(address).checked_shr(host_bits);
                cut(network) == cut(address)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) => {
                let length: u32 = prefix.parse().map_err(|_| InvalidNetwork)?;
                if length > bits || length.to_string() != prefix {
                    return Err(InvalidNetwork);
                }
                length
            }
        };
        // Reject host bits behind the prefix: they are a typing error that would otherwise go unnoticed.
        let host_bits = bits - prefix;
        let is_first = match address {
            IpAddr::V4(address) => {
                let bits = u32::from(address);
                bits.checked_shr(host_bits)
                    .unwrap_or(0)
                    .checked_shl(host_bits)
                    .unwrap_or(0)
                    == bits
            }
            IpAddr::V6(address) => {
                let bits = u128::from(address);
                bits.checked_shr(host_bits)
                    .unwrap_or(0)
                    .checked_shl(host_bits)
                    .unwrap_or(0)
                    == bits
            }
        };
        if is_first {
            Ok(Self { address, prefix })
        } else {
            Err(InvalidNetwork)
        }
    }
}

/// Returns whether `address` is link-local, in any embedding (IPv4-mapped, NAT64, 6to4). The range includes the
/// metadata addresses at which clouds serve credentials of the machine.
pub fn is_link_local(address: IpAddr) -> bool {
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

/// Returns whether `address` is globally reachable (special-purpose registries of RFC 6890), in any embedding
/// (IPv4-mapped, NAT64, 6to4).
pub fn is_public(address: IpAddr) -> bool {
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
            // Teredo and other IETF protocol assignments (RFC 6890), documentation (RFC 3849, RFC 9637)
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
    fn c23_only_public_addresses_are_public(#[case] address: &str, #[case] expected: bool) {
        assert_eq!(is_public(address.parse().unwrap()), expected);
    }

    #[rstest]
    #[case("10.0.0.0/8", "10.255.0.1", true)]
    #[case("10.0.0.0/8", "11.0.0.1", false)]
    #[case("10.0.0.0/8", "::ffff:10.0.0.1", true)]
    #[case("127.0.0.1", "127.0.0.1", true)]
    #[case("127.0.0.1", "127.0.0.2", false)]
    #[case("::1/128", "::1", true)]
    #[case("fd00::/8", "fdff::1", true)]
    #[case("fd00::/8", "fe00::1", false)]
    #[case("0.0.0.0/0", "192.0.2.1", true)]
    #[case("0.0.0.0/0", "::1", false)]
    fn networks_have_addresses(
        #[case] network: &str,
        #[case] address: &str,
        #[case] expected: bool,
    ) {
        let network: Network = network.parse().unwrap();
        assert_eq!(network.has(address.parse().unwrap()), expected);
    }

    #[rstest]
    #[case("10.0.0.0/33")]
    #[case("::/129")]
    #[case("10.0.0.0/")]
    #[case("10.0.0.0/+8")]
    #[case("10.0.0.0/08")]
    #[case("10.0.0.1/8")]
    #[case("example.com")]
    #[case("")]
    fn an_invalid_network_is_refused(#[case] network: &str) {
        network.parse::<Network>().unwrap_err();
    }
}
