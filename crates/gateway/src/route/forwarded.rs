//! Forwarding of the client's address, host and scheme to the upstream (RFC 7239).

use std::net::IpAddr;

use api::core_v1::service::spec::config::http::header::ForwardedMode as Spec;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::canonical::Host;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The facts about the client's connection that the upstream gets. Values from the client itself never pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForwardedMode {
    Drop,
    /// Host and scheme, but not the address.
    Obfuscate,
    /// Address, host and scheme.
    Transparent,
}

impl From<Spec> for ForwardedMode {
    fn from(mode: Spec) -> Self {
        match mode {
            Spec::Unset | Spec::Drop => Self::Drop,
            Spec::Obfuscate => Self::Obfuscate,
            Spec::Transparent => Self::Transparent,
        }
    }
}

impl ForwardedMode {
    pub(crate) fn apply(self, client: IpAddr, host: &Host, headers: &mut HeaderMap) {
        let obfuscated = "_hidden".to_owned();
        let (node, address) = match self {
            Self::Drop => return,
            Self::Obfuscate => (obfuscated, None),
            Self::Transparent => match client {
                IpAddr::V4(address) => (address.to_string(), Some(address.to_string())),
                IpAddr::V6(address) => (format!("\"[{address}]\""), Some(address.to_string())),
            },
        };
        let authority = host.authority().to_str().unwrap_or_default();
        let forwarded = format!("for={node};host=\"{authority}\";proto=https");
        let fields = [
            (header::FORWARDED, Some(forwarded)),
            (X_FORWARDED_FOR, address),
            (X_FORWARDED_HOST, Some(authority.to_owned())),
            (X_FORWARDED_PROTO, Some("https".to_owned())),
        ];
        for (name, text) in fields {
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            }
        }
    }
}
