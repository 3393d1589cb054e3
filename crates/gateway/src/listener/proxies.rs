//! Trusted proxies in front of the listener, which pass the client's address.

use std::net::{AddrParseError, IpAddr, SocketAddr};

use domain::address::Network;
use http::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The method with which trusted proxies pass the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardingMethod {
    /// The field `X-Forwarded-For` of each request.
    ForwardedFor,
    /// A PROXY protocol header of version 2 at the start of each connection.
    ProxyProtocol,
}

/// The networks of trusted proxies. Information from other addresses is ignored.
#[derive(Debug, Clone)]
pub struct TrustedProxies {
    networks: Box<[Network]>,
    forwarding_method: ForwardingMethod,
}

/// A trusted proxy sent an `X-Forwarded-For` that is not a list of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("X-Forwarded-For of a trusted proxy is not a list of addresses")]
pub struct InvalidForwardedFor;

impl TrustedProxies {
    /// Trusts the proxies in `networks`.
    pub fn new(networks: impl Into<Box<[Network]>>, forwarding_method: ForwardingMethod) -> Self {
        Self {
            networks: networks.into(),
            forwarding_method,
        }
    }

    /// Trusts no proxy: the client is the connected peer.
    pub fn none() -> Self {
        Self::new([], ForwardingMethod::ForwardedFor)
    }

    /// Returns true if this is the address of a trusted proxy.
    pub fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.has(address))
    }

    /// Returns true if a connection from `peer` must start with a PROXY protocol header.
    pub fn must_send_header(&self, peer: IpAddr) -> bool {
        self.forwarding_method == ForwardingMethod::ProxyProtocol && self.has(peer)
    }

    /// Returns the client of a request on a connection from `peer`. This is the last address in `X-Forwarded-For` that
    /// is not a trusted proxy, or the first one if all are. Earlier addresses can be forged by the client.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidForwardedFor`] if a trusted proxy sends anything other than addresses.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, InvalidForwardedFor> {
        let mut client = peer.to_canonical();
        if self.forwarding_method != ForwardingMethod::ForwardedFor || !self.has(client) {
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

/// Parses an address, with or without a port.
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
