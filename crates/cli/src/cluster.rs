//! Determines the Cluster to use and the address of its API.

use crate::{environment::Environment, failure::Failure};

/// Default port of a domain.
const DEFAULT_PORT: u16 = 443;

/// The names and addresses of a Cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// Domain as `host[:port]` in lower case. The key of the local state.
    pub(crate) domain: String,
    /// Host name of the API in certificates and in `:authority`.
    pub(crate) api_host: String,
    /// Port in `:authority`.
    pub(crate) port: u16,
    /// Host and port to connect to.
    pub(crate) address: (String, u16),
}

impl Cluster {
    /// Reads `--domain`, or `OCTELIUM_DOMAIN` if the flag is not set. `OCTELIUM_API_ENDPOINT` (`host:port`, or a URL)
    /// overrides only the address to connect to.
    ///
    /// # Errors
    /// Returns a usage failure if no domain is given or it is not `host[:port]`.
    pub(crate) fn from_environment(
        domain: Option<&str>,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let domain = domain
            .filter(|domain| !domain.is_empty())
            .or_else(|| environment.get("OCTELIUM_DOMAIN"))
            .ok_or_else(|| {
                Failure::usage(
                    "The Cluster domain is not set. Set the domain either via the --domain flag or the \
                     OCTELIUM_DOMAIN environment variable",
                )
                .hint("for a quickstart on this machine: export OCTELIUM_DOMAIN=localhost:8443")
            })?;
        let mut cluster = Self::parse(domain)?;
        if let Some(endpoint) = environment.get("OCTELIUM_API_ENDPOINT") {
            cluster.address = endpoint_address(endpoint).ok_or_else(|| {
                Failure::usage(format!(
                    "OCTELIUM_API_ENDPOINT is `{endpoint}`; it must be `host:port`"
                ))
            })?;
        }
        Ok(cluster)
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let domain = text.trim_end_matches('.').to_lowercase();
        let (host, port) = split(&domain).ok_or_else(|| {
            Failure::usage(format!("`{text}` is not a domain"))
                .hint("a domain is `host` or `host:port`, such as example.com or localhost:8443")
        })?;
        let api_host = format!("octelium-api.{host}");
        let port = port.unwrap_or(DEFAULT_PORT);
        Ok(Self {
            address: (api_host.clone(), port),
            domain,
            api_host,
            port,
        })
    }
}

/// Splits `host[:port]` into host and port. Returns `None` if it is malformed.
fn split(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0)?)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    (host.len() <= 240 && host.split('.').all(label)).then_some((host, port))
}

fn endpoint_address(text: &str) -> Option<(String, u16)> {
    let text = ["https://", "dns:///"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or(text)
        .trim_end_matches('/');
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some((address.ip().to_string(), address.port()));
    }
    let (host, port) = split(text)?;
    Some((host.to_owned(), port.unwrap_or(DEFAULT_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_below_the_domain() {
        let cluster = Cluster::parse("Localhost:8443").unwrap();
        assert_eq!(cluster.domain, "localhost:8443");
        assert_eq!(cluster.api_host, "octelium-api.localhost");
        assert_eq!(cluster.address, ("octelium-api.localhost".to_owned(), 8443));
        assert_eq!(Cluster::parse("example.com").unwrap().port, 443);
        for bad in [
            "",
            "https://a.b",
            "a:0",
            "a:b",
            "a..b",
            "a b",
            "a/b",
            "-a",
            "a:1:2",
        ] {
            assert!(Cluster::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_endpoint_changes_only_where_to_connect() {
        let environment: Environment = [
            ("OCTELIUM_DOMAIN".to_owned(), "example.com".to_owned()),
            (
                "OCTELIUM_API_ENDPOINT".to_owned(),
                "127.0.0.1:8443".to_owned(),
            ),
        ]
        .into_iter()
        .collect();
        let cluster = Cluster::from_environment(None, &environment).unwrap();
        assert_eq!(cluster.api_host, "octelium-api.example.com");
        assert_eq!(cluster.port, 443);
        assert_eq!(cluster.address, ("127.0.0.1".to_owned(), 8443));
        assert_eq!(
            endpoint_address("https://[::1]:9/"),
            Some(("::1".to_owned(), 9))
        );
    }
}
