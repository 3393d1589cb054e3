//! Proxies in front of the listener that are trusted to name the client's address.

use std::net::{AddrParseError, IpAddr, SocketAddr};

use domain::address::Network;
use http::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How trusted proxies name the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// In the field `X-Forwarded-For` of each request.
    ForwardedFor,
    /// In a PROXY protocol header of version 2 at the beginning of each connection.
    ProxyProtocol,
}

/// The networks of proxies that are trusted. No other address is believed anything.
#[derive(Debug, Clone)]
pub struct TrustedProxies {
    networks: Box<[Network]>,
    named_by: NamedBy,
}

/// A trusted proxy sent an `X-Forwarded-For` that is not a list of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("X-Forwarded-For of a trusted proxy is not a list of addresses")]
pub struct InvalidForwardedFor;

impl TrustedProxies {
    /// Trusts the proxies in `networks`.
    pub fn new(networks: impl Into<Box<[Network]>>, named_by: NamedBy) -> Self {
        Self {
            networks: networks.into(),
            named_by,
        }
    }

    /// Trusts no proxy: the client is who connects.
    pub fn none() -> Self {
        Self::new([], NamedBy::ForwardedFor)
    }

    /// Whether a trusted proxy has this address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.has(address))
    }

    /// Whether a connection from `peer` has to begin with a PROXY protocol header.
    pub fn must_send_header(&self, peer: IpAddr) -> bool {
        self.named_by == NamedBy::ProxyProtocol && self.has(peer)
    }

    /// The client of a request on a connection from `peer`: the last address in `X-Forwarded-For` that no trusted proxy
    /// has, or the first one if trusted proxies have them all. What stands before it can be invented by the client.
    ///
    /// # Errors
    /// Returns [`InvalidForwardedFor`] if a trusted proxy sends something else than an address there.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, InvalidForwardedFor> {
        let mut client = peer.to_canonical();
        if self.named_by != NamedBy::ForwardedFor || !self.has(client) {
            return Ok(client);
        }
        for field in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            let field = field.to_str().map_err(|_| InvalidForwardedFor)?;
            for hop in field.rsplit(',').map(str::trim) {
                client = address(hop)
                    .map_err(|_| InvalidForwardedFor)?
                    .to_canonical();
                if !self.has(client) {
                    return Ok(client);
                }
            }
        }
        Ok(client)
    }
}

/// An address, also with a port.
fn address(text: &str) -> Result<IpAddr, AddrParseError> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
}

#[cfg(test)]
mod tests;
