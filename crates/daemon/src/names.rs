//! The host names that the listener serves.

use anyhow::{Context as _, ensure};
use server::Domain;

/// The names at and below the Cluster's domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names(Domain);

/// The part of the Cluster that serves a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// `octelium-api.<domain>`: gRPC.
    Api,
    /// `<domain>`: OAuth2 and pages.
    Cluster,
    /// `portal.<domain>`: redirects to the pages.
    Portal,
    /// Any other name: a Service, if one has it.
    Service,
}

impl Names {
    /// Parses `host` or `host:port`.
    ///
    /// # Errors
    ///
    /// Returns an error if the host is not a DNS name or the port is not valid.
    pub(crate) fn parse(domain: &str) -> anyhow::Result<Self> {
        let parsed: Domain = domain
            .parse()
            .with_context(|| format!("domain {domain:?}"))?;
        ensure!(
            parsed.host().parse::<std::net::IpAddr>().is_err(),
            "domain {domain:?}: the host names of Services are below the domain, so it cannot be an IP address; \
             `localhost` works without DNS"
        );
        Ok(Self(parsed))
    }

    pub(crate) fn domain(&self) -> &Domain {
        &self.0
    }

    /// Returns `<prefix>.<domain>`, with the port if it is not 443.
    pub(crate) fn below(&self, prefix: &str) -> String {
        format!("{prefix}.{}", self.0.authority())
    }

    /// Returns true if `host`, in lower case and without a port, is a DNS name below the domain: labels of letters,
    /// digits and `-` (RFC 1123 §2.1).
    pub(crate) fn is_below(&self, host: &str) -> bool {
        let labels = host
            .strip_suffix(self.0.host())
            .and_then(|rest| rest.strip_suffix('.'));
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        host.len() <= 253 && labels.is_some_and(|labels| labels.split('.').all(is_label))
    }

    /// Returns the site of `host`, which is in lower case and without a port.
    pub(crate) fn site(&self, host: &str) -> Site {
        if host == self.0.host() {
            return Site::Cluster;
        }
        match host
            .strip_suffix(self.0.host())
            .and_then(|rest| rest.strip_suffix('.'))
        {
            Some("octelium-api") => Site::Api,
            Some("portal") => Site::Portal,
            _ => Site::Service,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_other_than_443_shows() {
        let names = Names::parse("localhost:8443").unwrap();
        assert_eq!(names.below("demo"), "demo.localhost:8443");
        let names = Names::parse("example.com:443").unwrap();
        assert_eq!(names.below("demo"), "demo.example.com");
    }

    #[test]
    fn names_that_cannot_be_served_are_refused() {
        for domain in [
            "",
            "a..b",
            "-a.b",
            "a:0",
            "a:x",
            "a:70000",
            "127.0.0.1",
            "127.0.0.1:8443",
            "a/b",
            "[::1]:8443",
        ] {
            assert!(Names::parse(domain).is_err(), "{domain}");
        }
    }

    #[test]
    fn only_dns_names_below_the_domain_are_below_it_g11() {
        let names = Names::parse("example.com:8443").unwrap();
        for host in ["a.example.com", "a-1.b.example.com", "xn--a.example.com"] {
            assert!(names.is_below(host), "{host}");
        }
        let long = format!("{}.example.com", "a".repeat(64));
        let deep = format!("{}example.com", "a.".repeat(130));
        for host in [
            "example.com",
            ".example.com",
            "a..example.com",
            "-a.example.com",
            "a-.example.com",
            "a_b.example.com",
            "*.example.com",
            "A.example.com",
            "aexample.com",
            "a.example.com.",
            "a.example.org",
            &long,
            &deep,
        ] {
            assert!(!names.is_below(host), "{host}");
        }
    }

    #[test]
    fn a_name_is_compared_whole() {
        let names = Names::parse("example.com:8443").unwrap();
        let cases = [
            ("example.com", Site::Cluster),
            ("octelium-api.example.com", Site::Api),
            ("portal.example.com", Site::Portal),
            ("demo.example.com", Site::Service),
            ("x.octelium-api.example.com", Site::Service),
            ("octelium-apiexample.com", Site::Service),
            ("evilexample.com", Site::Service),
            ("example.com.evil.net", Site::Service),
        ];
        for (host, site) in cases {
            assert_eq!(names.site(host), site, "{host}");
        }
    }
}
