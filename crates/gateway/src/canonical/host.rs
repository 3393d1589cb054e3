//! The host of a request (RFC 9110 §7.2, RFC 9113 §8.3.1).

use http::{HeaderMap, HeaderValue, Uri, header};

use crate::canonical::Ambiguity;

/// A host name in lower case, with its authority.
#[derive(Clone)]
pub(crate) struct Host {
    /// In lower case, including the port, as it is sent to upstreams that preserve the host.
    authority: HeaderValue,
    length: usize,
}

impl Host {
    /// Takes `Host` out of `headers`. The authority of an absolute target must be equal to it.
    pub(super) fn take(uri: &Uri, headers: &mut HeaderMap) -> Result<Self, Ambiguity> {
        let header = match headers.entry(header::HOST) {
            header::Entry::Occupied(entry) => {
                if entry.iter().count() != 1 {
                    return Err(Ambiguity::HostMismatch);
                }
                Some(entry.remove())
            }
            header::Entry::Vacant(_) => None,
        };
        match (header, uri.authority()) {
            (Some(header), None) => Self::parse(header),
            (header, Some(authority)) => {
                let authority =
                    HeaderValue::from_str(authority.as_str()).map_err(|_| Ambiguity::Host)?;
                match header {
                    Some(header)
                        if !header.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) =>
                    {
                        Err(Ambiguity::HostMismatch)
                    }
                    _ => Self::parse(authority),
                }
            }
            (None, None) => Err(Ambiguity::Host),
        }
    }

    /// Returns the name without the port.
    pub(crate) fn name(&self) -> &str {
        let bytes = self
            .authority
            .as_bytes()
            .get(..self.length)
            .unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Returns the name and, if it was given, the port.
    pub(crate) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    fn parse(authority: HeaderValue) -> Result<Self, Ambiguity> {
        let bytes = authority.as_bytes();
        let length = name_length(bytes)?;
        let authority = if bytes.iter().any(u8::is_ascii_uppercase) {
            HeaderValue::from_bytes(&bytes.to_ascii_lowercase()).map_err(|_| Ambiguity::Host)?
        } else {
            authority
        };
        Ok(Self { authority, length })
    }
}

/// Checks `name[:port]` and returns the length of the name. An IP literal is valid, but no Service has one.
fn name_length(authority: &[u8]) -> Result<usize, Ambiguity> {
    let (name, port) = match authority.iter().rposition(|&byte| byte == b':') {
        Some(colon) if authority.last() != Some(&b']') => authority.split_at(colon),
        _ => (authority, &[][..]),
    };
    let digits = port.get(1..).unwrap_or_default();
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Ambiguity::Host);
    }
    if name.ends_with(b".") {
        return Err(Ambiguity::HostTrailingDot);
    }
    let literal = name.starts_with(b"[") && name.ends_with(b"]");
    let plain = |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let in_literal =
        |&byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'[' | b']' | b':' | b'.');
    let valid = if literal {
        name.iter().all(in_literal)
    } else {
        !name.starts_with(b".") && name.iter().all(plain)
    };
    if valid && !name.is_empty() && name.len() <= 255 {
        Ok(name.len())
    } else {
        Err(Ambiguity::Host)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn host(uri: &str, hosts: &[&str]) -> Result<(String, String), Ambiguity> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        Host::take(&uri.parse().unwrap(), &mut headers).map(|host| {
            (
                host.name().to_owned(),
                host.authority().to_str().unwrap().to_owned(),
            )
        })
    }

    #[rstest]
    #[case("/", &["api.example.com"], "api.example.com", "api.example.com")]
    #[case("/", &["Api.Example.COM:8443"], "api.example.com", "api.example.com:8443")]
    #[case("https://api.example.com:1/x", &[], "api.example.com", "api.example.com:1")]
    #[case("http://API.example.com/x", &["api.EXAMPLE.com"], "api.example.com", "api.example.com")]
    #[case("/", &["[::1]:80"], "[::1]", "[::1]:80")]
    fn c09_one_host_is_read_without_case_and_port(
        #[case] uri: &str,
        #[case] hosts: &[&str],
        #[case] name: &str,
        #[case] authority: &str,
    ) {
        assert_eq!(
            host(uri, hosts),
            Ok((name.to_owned(), authority.to_owned()))
        );
    }

    #[rstest]
    #[case("/", &[], Ambiguity::Host)]
    #[case("/", &[""], Ambiguity::Host)]
    #[case("/", &["a.example.com", "a.example.com"], Ambiguity::HostMismatch)]
    #[case("/", &["a.example.com", "b.example.com"], Ambiguity::HostMismatch)]
    #[case("http://a.example.com/", &["b.example.com"], Ambiguity::HostMismatch)]
    #[case("http://a.example.com/", &["a.example.com:80"], Ambiguity::HostMismatch)]
    #[case("/", &["a.example.com."], Ambiguity::HostTrailingDot)]
    #[case("/", &["a.example.com.:443"], Ambiguity::HostTrailingDot)]
    #[case("/", &["user@a.example.com"], Ambiguity::Host)]
    #[case("/", &["a.example.com:port"], Ambiguity::Host)]
    #[case("/", &["a.example.com:123456"], Ambiguity::Host)]
    #[case("/", &["a.example.com/x"], Ambiguity::Host)]
    #[case("/", &["a.example.com, b"], Ambiguity::Host)]
    #[case("/", &[".example.com"], Ambiguity::Host)]
    #[case("http://user@a.example.com/", &[], Ambiguity::Host)]
    fn c09_other_hosts_are_refused(
        #[case] uri: &str,
        #[case] hosts: &[&str],
        #[case] ambiguity: Ambiguity,
    ) {
        assert_eq!(host(uri, hosts), Err(ambiguity));
    }
}
