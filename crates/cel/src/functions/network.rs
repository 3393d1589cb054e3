//! Addresses and networks: the network extension, and the `net.*` functions on texts.
//!
//! An IPv4-mapped address (`::ffff:c0a8:1`) always counts as the IPv4 address that it maps, so that a rule about
//! `192.168.0.0/16` matches it. The network extension rejects its dotted form, as the conformance suite requires; the
//! `net.*` functions accept both forms.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Line, Outcome, Value};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Line] = &[
    ("net.isIP", TEXT_TEST, |_, a| {
        text_test(a, "net.isIP", |ip| plain_address(ip).is_ok())
    }),
    ("net.isIPv4", TEXT_TEST, |_, a| {
        text_test(a, "net.isIPv4", |ip| ip.parse::<Ipv4Addr>().is_ok())
    }),
    ("net.isIPv6", TEXT_TEST, |_, a| {
        text_test(a, "net.isIPv6", |ip| ip.parse::<Ipv6Addr>().is_ok())
    }),
    ("net.isPrivateIP", TEXT_TEST, |_, a| {
        let text = a.first().and_then(Value::as_str);
        let address = plain_address(text.ok_or_else(|| Error::overload("net.isPrivateIP"))?)?;
        Ok(Value::Bool(match address {
            IpAddr::V4(ip) => ip.is_private(),
            IpAddr::V6(ip) => ip.is_unique_local(),
        }))
    }),
    ("net.isIPInRange", &["string, string -> bool"], |_, a| {
        let text = |index: usize| {
            let text = a.get(index).and_then(Value::as_str);
            text.ok_or_else(|| Error::overload("net.isIPInRange"))
        };
        let address = plain_address(text(0)?)?;
        let (base, length) = plain_network(text(1)?)?;
        Ok(Value::Bool(inside(base, length, address)))
    }),
    ("isIP", &["string -> bool", "net.IP -> bool"], |_, a| {
        text_test(a, "isIP", |ip| address(ip).is_ok())
    }),
    ("isCIDR", TEXT_TEST, |_, a| {
        text_test(a, "isCIDR", |text| network(text).is_ok())
    }),
    ("ip.isCanonical", TEXT_TEST, |_, a| {
        let text = a.first().and_then(Value::as_str);
        let text = text.ok_or_else(|| Error::overload("ip.isCanonical"))?;
        let address = address(text)?;
        Ok(Value::Bool(address.to_string() == text))
    }),
    ("ip", &["string -> net.IP", "net.IP -> net.IP"], |_, a| {
        address_of(a.first(), "ip").map(Value::Ip)
    }),
    (
        "cidr",
        &["string -> net.CIDR", "net.CIDR -> net.CIDR"],
        |_, a| network_of(a.first(), "cidr").map(|(base, length)| Value::Cidr(base, length)),
    ),
    (".family", &["net.IP -> int"], |_, a| {
        let address = own_address(a, "family")?;
        Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 }))
    }),
    (".isUnspecified", IP_TEST, |_, a| {
        ip_test(a, "isUnspecified", |ip| ip.is_unspecified())
    }),
    (".isLoopback", IP_TEST, |_, a| {
        ip_test(a, "isLoopback", |ip| ip.is_loopback())
    }),
    (".isGlobalUnicast", IP_TEST, |_, a| {
        ip_test(a, "isGlobalUnicast", is_global_unicast)
    }),
    (".isLinkLocalUnicast", IP_TEST, |_, a| {
        ip_test(a, "isLinkLocalUnicast", is_link_local_unicast)
    }),
    (".isLinkLocalMulticast", IP_TEST, |_, a| {
        ip_test(a, "isLinkLocalMulticast", |ip| match ip {
            IpAddr::V4(ip) => ip.octets().starts_with(&[224, 0, 0]),
            IpAddr::V6(ip) => ip
                .segments()
                .first()
                .is_some_and(|first| first & 0xff0f == 0xff02),
        })
    }),
    (
        ".containsIP",
        &["net.CIDR, net.IP -> bool", "net.CIDR, string -> bool"],
        |_, a| {
            let (base, length) = own_network(a, "containsIP")?;
            Ok(Value::Bool(inside(
                base,
                length,
                address_of(a.get(1), "containsIP")?,
            )))
        },
    ),
    (
        ".containsCIDR",
        &["net.CIDR, net.CIDR -> bool", "net.CIDR, string -> bool"],
        |_, a| {
            let (base, length) = own_network(a, "containsCIDR")?;
            let (other, other_length) = network_of(a.get(1), "containsCIDR")?;
            Ok(Value::Bool(
                length <= other_length && inside(base, length, other),
            ))
        },
    ),
    (".ip", &["net.CIDR -> net.IP"], |_, a| {
        own_network(a, "ip").map(|(base, _)| Value::Ip(base.to_canonical()))
    }),
    (".masked", &["net.CIDR -> net.CIDR"], |_, a| {
        let (base, length) = own_network(a, "masked")?;
        Ok(Value::Cidr(mask(base, length), length))
    }),
    (".prefixLength", &["net.CIDR -> int"], |_, a| {
        own_network(a, "prefixLength").map(|(_, length)| Value::Int(i64::from(length)))
    }),
];

const TEXT_TEST: &[&str] = &["string -> bool"];
const IP_TEST: &[&str] = &["net.IP -> bool"];
/// Prefix length of IPv4-mapped addresses.
const MAPPED_PREFIX: u8 = 96;
const NOT_AN_ADDRESS: Error = Error::InvalidArgument("the text is not an IP address");
const NOT_A_NETWORK: Error = Error::InvalidArgument("the text is not a network such as 10.0.0.0/8");

fn text_test<'a>(arguments: &[Value<'a>], name: &str, run: fn(&str) -> bool) -> Outcome<'a> {
    match arguments {
        [Value::Ip(_)] => Ok(Value::Bool(true)),
        [value] => {
            let text = value.as_str().ok_or_else(|| Error::overload(name))?;
            Ok(Value::Bool(run(text)))
        }
        _ => Err(Error::overload(name)),
    }
}

fn ip_test<'a>(arguments: &[Value<'a>], name: &str, run: fn(IpAddr) -> bool) -> Outcome<'a> {
    own_address(arguments, name).map(|address| Value::Bool(run(address)))
}

fn own_address(arguments: &[Value<'_>], name: &str) -> Result<IpAddr, Error> {
    match arguments {
        [Value::Ip(address)] => Ok(*address),
        _ => Err(Error::overload(name)),
    }
}

fn own_network(arguments: &[Value<'_>], name: &str) -> Result<(IpAddr, u8), Error> {
    match arguments.first() {
        Some(Value::Cidr(base, length)) => Ok((*base, *length)),
        _ => Err(Error::overload(name)),
    }
}

fn address_of(value: Option<&Value<'_>>, name: &str) -> Result<IpAddr, Error> {
    match value {
        Some(Value::Ip(address)) => Ok(*address),
        Some(other) => address(other.as_str().ok_or_else(|| Error::overload(name))?),
        None => Err(Error::overload(name)),
    }
}

fn network_of(value: Option<&Value<'_>>, name: &str) -> Result<(IpAddr, u8), Error> {
    match value {
        Some(Value::Cidr(base, length)) => Ok((*base, *length)),
        Some(other) => network(other.as_str().ok_or_else(|| Error::overload(name))?),
        None => Err(Error::overload(name)),
    }
}

/// Parses an address without a zone. Rejects the dotted IPv4-mapped form.
fn address(text: &str) -> Result<IpAddr, Error> {
    refuse_dotted_mapped(text)?;
    plain_address(text)
}

fn plain_address(text: &str) -> Result<IpAddr, Error> {
    let address: IpAddr = text.parse().map_err(|_| NOT_AN_ADDRESS)?;
    Ok(address.to_canonical())
}

fn network(text: &str) -> Result<(IpAddr, u8), Error> {
    refuse_dotted_mapped(text.split_once('/').map_or(text, |(base, _)| base))?;
    plain_network(text)
}

/// Parses a network. A network within `::ffff:0:0/96` counts as the IPv4 network that it maps.
fn plain_network(text: &str) -> Result<(IpAddr, u8), Error> {
    let (base, length) = text.split_once('/').ok_or(NOT_A_NETWORK)?;
    let base: IpAddr = base.parse().map_err(|_| NOT_A_NETWORK)?;
    if length.len() > 3 || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NOT_A_NETWORK);
    }
    let length: u8 = length.parse().map_err(|_| NOT_A_NETWORK)?;
    let most = if base.is_ipv4() { 32 } else { 128 };
    if length > most {
        return Err(NOT_A_NETWORK);
    }
    match (base.to_canonical(), length.checked_sub(MAPPED_PREFIX)) {
        (mapped @ IpAddr::V4(_), Some(length)) if base.is_ipv6() => Ok((mapped, length)),
        _ => Ok((base, length)),
    }
}

fn refuse_dotted_mapped(address: &str) -> Result<(), Error> {
    let mapped = |ip: Ipv6Addr| ip.to_ipv4_mapped().is_some();
    if address.contains('.') && address.parse().is_ok_and(mapped) {
        return Err(Error::InvalidArgument(
            "an IPv4-mapped IPv6 address is not allowed: write the IPv4 address",
        ));
    }
    Ok(())
}

fn inside(base: IpAddr, length: u8, address: IpAddr) -> bool {
    base.is_ipv4() == address.is_ipv4() && mask(base, length) == mask(address, length)
}

fn mask(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let kept = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(length)));
            IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & kept.unwrap_or(0)))
        }
        IpAddr::V6(ip) => {
            let kept = u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(length)));
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & kept.unwrap_or(0)))
        }
    }
}

fn is_link_local_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn is_global_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(ip) if ip.is_broadcast());
    !broadcast
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !is_link_local_unicast(address)
}
