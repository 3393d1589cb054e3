//! Entry points of the fuzz targets: the parsers of untrusted bytes, and the invariants of accepted input.
#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a failed assertion is a finding of the fuzz target"
)]

use std::net::IpAddr;

use domain::address::Network;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts};

use crate::{
    canonical::{
        Ambiguity, Canonical, Length, Names, clean_request_trailers, clean_response_trailers,
    },
    forward::clean_cookies,
    listener::{
        ForwardingMethod, TrustedProxies, chunk_size,
        proxy_protocol::{self, Source},
        scan,
    },
    mode::Mode,
};

mod frames;
mod json;

pub use frames::{http2_frames, websocket_frames};
pub use json::json_body;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Reads the head of a request as sent to a Service of each mode: `METHOD target`, then one field a line. Each line
/// ends with a line feed.
pub fn request(head: &[u8]) {
    for mode in [Mode::Http, Mode::Grpc, Mode::Web] {
        request_to(mode, head);
    }
}

fn read(mut parts: Parts, mode: Mode) -> Result<Canonical, Ambiguity> {
    let host = Canonical::take_host(&mut parts)?;
    Canonical::read(parts, host, Length::Unknown, mode)
}

fn request_to(mode: Mode, head: &[u8]) {
    let Some(parts) = parse(head) else {
        return;
    };
    let Ok(canonical) = read(parts, mode) else {
        return;
    };
    check_path(canonical.target.path());
    check_headers(&canonical.headers, mode);
    let name = canonical.host.name();
    assert!(!name.is_empty() && !name.ends_with('.') && name == name.to_ascii_lowercase());
    // A second parser that reads the accepted request must get the same result.
    let again = again(&canonical);
    let again = read(again, mode);
    let again = again.unwrap_or_else(|ambiguity| panic!("refused when read again: {ambiguity:?}"));
    assert_eq!(again.target, canonical.target);
    assert_eq!(again.headers, canonical.headers);
    assert_eq!(again.host.authority(), canonical.host.authority());
}

/// Reads the cookies that an upstream sets, one a line.
pub fn set_cookies(lines: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(http::header::SET_COOKIE, value);
        }
    }
    let sent = headers.clone();
    clean_cookies(&mut headers);
    assert!(headers.len() <= sent.len());
    for cookie in headers.get_all(http::header::SET_COOKIE) {
        let mut parts = cookie.as_bytes().split(|byte| *byte == b';');
        assert!(!is_ours(parts.next().unwrap_or_default()), "{cookie:?}");
        for attribute in parts {
            let name = attribute.split(|byte| *byte == b'=').next();
            let name = name.unwrap_or_default().trim_ascii();
            assert!(!name.eq_ignore_ascii_case(b"domain"), "{cookie:?}");
        }
    }
    let cleaned = headers.clone();
    clean_cookies(&mut headers);
    assert_eq!(headers, cleaned);
}

fn parse(head: &[u8]) -> Option<Parts> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let (method, target) = {
        let line = lines.next()?;
        let space = line.iter().position(|byte| *byte == b' ')?;
        (line.get(..space)?, line.get(space + 1..)?)
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(target).ok()?;
    *request.version_mut() = Version::HTTP_11;
    for line in lines {
        if let Some((name, value)) = field(line) {
            request.headers_mut().try_append(name, value).ok()?;
        }
    }
    Some(request.into_parts().0)
}

/// Serializes the accepted request as it is forwarded.
fn again(canonical: &Canonical) -> Parts {
    let mut request = Request::new(());
    *request.method_mut() = canonical.method.clone();
    *request.uri_mut() = Uri::from(canonical.target.clone());
    *request.headers_mut() = canonical.headers.clone();
    let host = canonical.host.authority().clone();
    request.headers_mut().insert(http::header::HOST, host);
    request.into_parts().0
}

/// Checks that every server reads the path the same way: decoded once or twice, with `/` or `\` as separator.
fn check_path(path: &str) {
    assert!(path.starts_with('/'), "{path:?}");
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    let text = String::from_utf8(decoded.clone());
    let text = text.unwrap_or_else(|_| panic!("not UTF-8: {path:?}"));
    assert!(!text.chars().any(char::is_control), "{path:?}");
    assert!(!text.contains(['\\']) && !text.contains("//"), "{path:?}");
    assert_eq!(path.matches('/').count(), text.matches('/').count());
    assert!(
        !text
            .split('/')
            .any(|segment| segment == "." || segment == ".."),
        "{path:?}"
    );
    let twice: Vec<u8> = percent_encoding::percent_decode(&decoded).collect();
    assert_eq!(twice, decoded, "decoded twice, {path:?} is another path");
}

/// Reads a stream of HTTP/1.1 requests, and each line as the size line of a chunk.
pub fn framing(stream: &[u8]) {
    let whole = scan(stream, stream.len().max(1));
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(scan(stream, piece), whole, "in pieces of {piece}");
    }
    for line in stream.split(|byte| *byte == b'\n') {
        if chunk_size(line).is_none() {
            continue;
        }
        let text = line.strip_suffix(b"\r").unwrap_or_default();
        let size = text.iter().take_while(|byte| byte.is_ascii_hexdigit());
        let (size, extensions) = text.split_at(size.count());
        assert!(!size.is_empty(), "{line:?}");
        assert!(!text.iter().any(u8::is_ascii_control), "{line:?}");
        assert!(matches!(extensions.first(), None | Some(b';')), "{line:?}");
        assert!(
            !matches!(text.last(), None | Some(b';' | b'=' | b' ')),
            "{line:?}"
        );
    }
}

/// Reads lines as trailers of a client and as trailers of an upstream.
pub fn trailers(lines: &[u8]) {
    let mut sent = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some((name, value)) = field(line) else {
            continue;
        };
        if sent.try_append(name, value).is_err() {
            return;
        }
    }
    let mut set = Names::default();
    set.insert(&HeaderName::from_static("x-remote-user"));
    let mut of_client = sent.clone();
    clean_request_trailers(&mut of_client, &set);
    let mut of_upstream = sent;
    clean_response_trailers(&mut of_upstream, Some(&set));
    for name in of_client.keys().chain(of_upstream.keys()) {
        let folded = name
            .as_str()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        assert!(!folded.starts_with("x-octelium"), "{name}");
        assert!(!folded.starts_with("x-forwarded"), "{name}");
        let forbidden = [
            "x-remote-user",
            "authorization",
            "cookie",
            "set-cookie",
            "host",
            "connection",
            "te",
            "transfer-encoding",
            "content-length",
            "clear-site-data",
        ];
        assert!(!forbidden.contains(&folded.as_str()), "{name}");
    }
    let cleaned = of_client.clone();
    clean_request_trailers(&mut of_client, &set);
    assert_eq!(of_client, cleaned);
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(line.get(..colon)?).ok()?;
    let value = HeaderValue::from_bytes(line.get(colon + 1..)?.trim_ascii()).ok()?;
    Some((name, value))
}

fn check_headers(headers: &HeaderMap, mode: Mode) {
    assert_eq!(headers.len(), headers.keys_len(), "each name once");
    for (name, value) in headers {
        let name = name.as_str();
        let folded = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        assert!(!folded.starts_with("x-octelium"), "{name}");
        assert!(!folded.starts_with("x-forwarded"), "{name}");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_metadata = |byte: u8| is_plain(byte) || matches!(byte, b'_' | b'.');
        let is_allowed = name.bytes().all(|byte| match mode {
            Mode::Grpc => is_metadata(byte),
            Mode::Http | Mode::Web => is_plain(byte),
        });
        assert!(is_allowed, "{name}");
        let hop_by_hop = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "host",
            "authorization",
            "proxy-authorization",
        ];
        assert!(!hop_by_hop.contains(&folded.as_str()), "{name}");
        if name == "cookie" {
            for pair in value.as_bytes().split(|byte| *byte == b';') {
                assert!(!is_ours(pair), "{value:?}");
            }
        }
    }
}

/// Compares as lenient parsers do: ignores white space, case and a leading `=`.
fn is_ours(pair: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pair).to_ascii_lowercase();
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '=');
    let prefixes = ["octelium_", "__host-octelium", "__secure-octelium"];
    prefixes.iter().any(|prefix| text.starts_with(prefix))
}

/// Reads the start of a connection from a proxy (PROXY protocol, version 2): as it is, and as the fields after a
/// signature: command, family, addresses and extensions.
pub fn proxy_header(bytes: &[u8]) {
    check_proxy_header(bytes);
    let Some((fields, rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    if let Ok(length) = u16::try_from(rest.len()) {
        let signature = b"\r\n\r\n\0\r\nQUIT\n".as_slice();
        check_proxy_header(&[signature, fields, &length.to_be_bytes(), rest].concat());
    }
}

fn check_proxy_header(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_first_chunk() else {
        return;
    };
    let Ok(length) = proxy_protocol::length(head) else {
        return;
    };
    assert!(length <= proxy_protocol::MAX_LENGTH);
    let Some(rest) = rest.get(..length) else {
        return;
    };
    let [.., command, family, _, _] = *head;
    match proxy_protocol::parse(head, rest) {
        Ok(Source::Proxy) => assert_eq!(command, 0x20),
        Ok(Source::Client(client)) => {
            assert_eq!(command, 0x21);
            let address = client.ip();
            assert!(!address.is_unspecified() && !address.is_multicast());
            assert_eq!(Some(address), source(family, rest));
        }
        Err(_) => return,
    }
    // The length is exact.
    let shorter = rest.split_last().map(|(_, shorter)| shorter);
    assert!(shorter.is_none_or(|rest| proxy_protocol::parse(head, rest).is_err()));
}

/// Returns the source address, which is the first field after the head.
fn source(family: u8, rest: &[u8]) -> Option<IpAddr> {
    let address = match family {
        0x11 => IpAddr::from(*rest.first_chunk::<4>()?),
        0x21 => IpAddr::from(*rest.first_chunk::<16>()?),
        _ => return None,
    };
    Some(address.to_canonical())
}

/// Reads `X-Forwarded-For` of a trusted proxy, one field a line. Text before the client's address must not change the
/// result.
pub fn forwarded_for(lines: &[u8]) {
    let networks = ["10.0.0.0/8", "fd00::/8"].map(str::parse).map(Result::ok);
    let networks: Vec<Network> = networks.into_iter().flatten().collect();
    let proxies = TrustedProxies::new(networks, ForwardingMethod::ForwardedFor);
    let proxy = IpAddr::from([10, 0, 0, 1]);
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(X_FORWARDED_FOR, value);
        }
    }
    let stranger = IpAddr::from([192, 0, 2, 9]);
    assert_eq!(proxies.client(stranger, &headers), Ok(stranger));
    if let Ok(client) = proxies.client(proxy, &headers) {
        assert_eq!(client, client.to_canonical());
    }
    headers.append(
        X_FORWARDED_FOR,
        HeaderValue::from_static("192.0.2.7, 10.1.1.1"),
    );
    assert_eq!(
        proxies.client(proxy, &headers),
        Ok(IpAddr::from([192, 0, 2, 7]))
    );
}
