//! Upstream URLs.

use api::core_v1::service::spec::config::{Upstream, upstream::Type};
use http::Uri;

use crate::Error;

const ENDPOINTS: usize = 100;
const URL_LENGTH: usize = 2048;
const SCHEMES: &[(&str, u32)] = &[
    ("http", 80),
    ("ws", 80),
    ("h2c", 80),
    ("grpc", 80),
    ("https", 443),
    ("wss", 443),
    ("grpcs", 443),
];

/// Checks the upstream and all its URLs. `path` is the field path in the Service.
///
/// # Errors
/// Returns `InvalidArgument` with the path of the field.
pub(super) fn check(path: &str, upstream: &Upstream, has_port: bool) -> Result<(), Error> {
    match &upstream.r#type {
        None => Err(Error::invalid(format!(
            "{path} must have a url or loadbalance"
        ))),
        Some(Type::Url(url)) => parse(&format!("{path}.url"), url).map(drop),
        // Not served, so it was refused before.
        Some(Type::Container(_)) => Ok(()),
        Some(Type::Loadbalance(balanced)) => {
            let path = format!("{path}.loadbalance.endpoints");
            if !(1..=ENDPOINTS).contains(&balanced.endpoints.len()) {
                return Err(Error::invalid(format!(
                    "{path} must have 1 to {ENDPOINTS} entries"
                )));
            }
            let mut first: Option<Address> = None;
            for (index, endpoint) in balanced.endpoints.iter().enumerate() {
                let path = format!("{path}[{index}].url");
                let address = parse(&path, &endpoint.url)?;
                let first = first.get_or_insert(address);
                if first.scheme != address.scheme {
                    return Err(Error::invalid(format!(
                        "{path}: all endpoints must have the same scheme"
                    )));
                }
                if first.port != address.port && !has_port {
                    return Err(Error::invalid(format!(
                        "{path}: all endpoints must have the same port unless spec.port is set"
                    )));
                }
            }
            Ok(())
        }
    }
}

/// Returns whether there is more than one endpoint.
pub(super) fn is_balanced(upstream: &Upstream) -> bool {
    matches!(&upstream.r#type, Some(Type::Loadbalance(balanced)) if balanced.endpoints.len() > 1)
}

/// Returns the port of the first upstream.
pub(super) fn port(upstream: &Upstream) -> Option<u32> {
    let url = match upstream.r#type.as_ref()? {
        Type::Url(url) => url,
        Type::Loadbalance(balanced) => &balanced.endpoints.first()?.url,
        Type::Container(container) => return Some(container.port),
    };
    parse("", url).ok().map(|address| address.port)
}

#[derive(Clone, Copy)]
struct Address {
    scheme: &'static str,
    port: u32,
}

fn parse(path: &str, url: &str) -> Result<Address, Error> {
    let invalid = |what: &str| Error::invalid(format!("{path} {url:?} is invalid: {what}"));
    if url.len() > URL_LENGTH {
        return Err(Error::invalid(format!(
            "{path} has {} characters; at most {URL_LENGTH} are allowed",
            url.len()
        )));
    }
    let uri: Uri = url
        .parse()
        .map_err(|_| invalid("it is not a URL such as http://127.0.0.1:8080"))?;
    let scheme = uri
        .scheme_str()
        .ok_or_else(|| invalid("it has no scheme; add http:// or https://"))?;
    let (scheme, default_port) = SCHEMES
        .iter()
        .find(|(known, _)| *known == scheme)
        .ok_or_else(|| {
            invalid("the scheme is not supported; use http, https, h2c, grpc, grpcs, ws or wss")
        })?;
    let authority = uri.authority().ok_or_else(|| invalid("it has no host"))?;
    if authority.host().is_empty() {
        return Err(invalid("it has no host"));
    }
    if authority.as_str().contains('@') {
        // Every reader of the Service could see it.
        return Err(invalid(
            "it must not contain a user or password; use spec.config.http.auth",
        ));
    }
    if uri.query().is_some() || !is_plain(uri.path().trim_end_matches('/')) {
        return Err(invalid(
            "it must have no query, and no path with empty or dot segments or percent-encoding",
        ));
    }
    let port = authority.port_u16().map_or(*default_port, u32::from);
    if port == 0 || (authority.port_u16().is_none() && has_port_text(authority.as_str())) {
        return Err(invalid("the port must be from 1 to 65535"));
    }
    Ok(Address { scheme, port })
}

/// Returns whether upstreams and the gateway interpret the path alike.
fn is_plain(path: &str) -> bool {
    path.is_empty()
        || (path.starts_with('/')
            && !path.contains(['%', '\\', ';'])
            && path
                .split('/')
                .skip(1)
                .all(|segment| !matches!(segment, "" | "." | "..")))
}

/// Returns whether the authority is `host:` or `host:text`, which `port_u16` parses as no port.
fn has_port_text(authority: &str) -> bool {
    let after_host = authority.rsplit(']').next().unwrap_or(authority);
    after_host.contains(':')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://localhost", 80)]
    #[case("https://example.com/", 443)]
    #[case("https://example.com/base/path/", 443)]
    #[case("http://127.0.0.1:8080", 8080)]
    #[case("h2c://[::1]:50051", 50051)]
    #[case("http://[::1]", 80)]
    fn the_port_is_explicit_or_the_schemes(#[case] url: &str, #[case] expected: u32) {
        assert_eq!(parse("url", url).unwrap().port, expected);
    }

    #[rstest]
    #[case("")]
    #[case("localhost:8080")]
    #[case("//localhost")]
    #[case("ftp://localhost")]
    #[case("http://")]
    #[case("http://user:password@localhost")]
    #[case("http://localhost/a/../b")]
    #[case("http://localhost/a//b")]
    #[case("http://localhost/%2e%2e")]
    #[case("http://localhost?query")]
    #[case("http://localhost:0")]
    #[case("http://localhost:99999")]
    #[case("http://local host")]
    fn a_malformed_url_is_refused(#[case] url: &str) {
        let error = parse("spec.config.upstream.url", url).err().unwrap();
        assert!(
            error.public().starts_with("spec.config.upstream.url"),
            "{error}"
        );
    }
}
