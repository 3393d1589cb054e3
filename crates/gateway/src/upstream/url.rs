//! URLs of upstreams.

use http::{Uri, uri::Authority};

use crate::canonical::check_path;

/// A parsed upstream URL.
#[derive(Debug)]
pub(super) struct UpstreamUrl {
    /// The value for `Host`, without the default port of the scheme.
    pub(super) authority: Authority,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The prefix of each path: empty, or whole segments without a trailing slash.
    pub(super) base: String,
    pub(super) protocol: Protocol,
    pub(super) tls: bool,
}

/// The protocol of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Parses a URL. `http`, `ws`, `h2c` and `grpc` are without TLS; `https`, `wss` and `grpcs` use TLS.
pub(super) fn parse(text: &str, prefer_http2: bool) -> Result<UpstreamUrl, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
    let (tls, protocol) = match (uri.scheme_str(), prefer_http2) {
        (Some("http"), false) | (Some("ws"), _) => (false, Protocol::Http1),
        (Some("h2c" | "grpc"), _) | (Some("http"), true) => (false, Protocol::Http2),
        (Some("https"), false) | (Some("wss"), _) => (true, Protocol::Http1),
        (Some("https"), true) | (Some("grpcs"), _) => (true, Protocol::Http2),
        (None, _) => return Err("has no scheme; begin with http://, https:// or h2c://"),
        (Some(_), _) => {
            return Err("has a scheme that is not supported; use http, https, h2c, ws or wss");
        }
    };
    let base = uri.path().trim_end_matches('/');
    if uri.query().is_some() || !(base.is_empty() || check_path(base).is_ok()) {
        return Err("has a query, or a path that is not plain");
    }
    let authority = uri.authority().ok_or("has no host")?;
    if authority.as_str().contains('@') {
        return Err("has credentials; use spec.config.http.auth");
    }
    let implied = if tls { 443 } else { 80 };
    let bracketed = authority.host();
    let port = match (
        authority.port_u16(),
        bracketed.len() == authority.as_str().len(),
    ) {
        (None, true) => implied,
        (port, _) => port.unwrap_or(0),
    };
    if bracketed.is_empty() || port == 0 {
        return Err("has no host or no valid port");
    }
    let host = bracketed
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(bracketed);
    let text = if port == implied {
        bracketed.to_owned()
    } else {
        format!("{bracketed}:{port}")
    };
    Ok(UpstreamUrl {
        authority: text.parse().map_err(|_| "is not a URL")?,
        host: host.to_ascii_lowercase(),
        port,
        base: base.to_owned(),
        protocol,
        tls,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://a", false, "a", 80, Protocol::Http1, false)]
    #[case("http://a:80/", false, "a", 80, Protocol::Http1, false)]
    #[case(
        "http://127.0.0.1:8080",
        true,
        "127.0.0.1:8080",
        8080,
        Protocol::Http2,
        false
    )]
    #[case("https://a", false, "a", 443, Protocol::Http1, true)]
    #[case("https://a:8443", true, "a:8443", 8443, Protocol::Http2, true)]
    #[case(
        "h2c://[::1]:50051",
        false,
        "[::1]:50051",
        50051,
        Protocol::Http2,
        false
    )]
    #[case("ws://a", true, "a", 80, Protocol::Http1, false)]
    #[case("wss://a", false, "a", 443, Protocol::Http1, true)]
    fn an_url_says_how_to_connect(
        #[case] text: &str,
        #[case] http2: bool,
        #[case] authority: &str,
        #[case] port: u16,
        #[case] protocol: Protocol,
        #[case] tls: bool,
    ) {
        let url = parse(text, http2).unwrap();
        assert_eq!(url.authority, authority);
        assert_eq!((url.port, url.protocol, url.tls), (port, protocol, tls));
    }

    #[test]
    fn a_path_of_an_url_is_put_before_others() {
        assert_eq!(parse("http://a", false).unwrap().base, "");
        assert_eq!(parse("http://a/", false).unwrap().base, "");
        assert_eq!(parse("http://a/b/c/", false).unwrap().base, "/b/c");
    }

    #[rstest]
    #[case("a")]
    #[case("/a")]
    #[case("ftp://a")]
    #[case("http://")]
    #[case("http://a/base/../x")]
    #[case("http://a//base")]
    #[case("http://a?x=y")]
    #[case("http://user:password@a")]
    #[case("http://a:0")]
    #[case("http://a:99999")]
    fn other_urls_are_refused(#[case] text: &str) {
        assert!(parse(text, false).is_err());
    }
}
