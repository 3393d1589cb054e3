//! Header fields of a request: end-to-end fields, each once, without those that only the gateway may send.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    canonical::{
        Ambiguity, Credentials, cookie,
        field_name::{Class, classify},
        names::{is_same, remove_spellings},
    },
    mode::Mode,
};

const X_OCTELIUM_AUTH: HeaderName = HeaderName::from_static("x-octelium-auth");

/// The facts that [`clean`] extracted from removed fields.
pub(super) struct Taken {
    pub(super) credentials: Credentials,
    pub(super) websocket: bool,
    pub(super) trailers: bool,
}

/// Removes everything that is not for the upstream, and joins repeated fields (RFC 9110 §5.3).
pub(super) fn clean(headers: &mut HeaderMap, mode: Mode) -> Result<Taken, Ambiguity> {
    if headers.values().any(is_padded) {
        return Err(Ambiguity::PaddedValue);
    }
    check_expectation(headers)?;
    let websocket = asks_for_websocket(headers);
    let trailers = has_token(headers, &header::TE, b"trailers");
    // This is first, so that `Connection` cannot remove fields that the gateway adds later. It precedes the Policies,
    // so that they see the same fields as the upstream.
    remove_connection_options(headers)?;

    let repeats = headers.len() != headers.keys_len();
    let mut removed = Vec::new();
    let mut repeated = Vec::new();
    for name in headers.keys() {
        match classify(name.as_str(), mode.is_grpc()) {
            Class::HopByHop | Class::Reserved => removed.push(name.clone()),
            Class::Single if repeats && count(headers, name) > 1 => {
                return Err(Ambiguity::RepeatedField);
            }
            Class::EndToEnd if repeats && count(headers, name) > 1 => repeated.push(name.clone()),
            Class::Single | Class::EndToEnd => {}
        }
    }
    for name in &removed {
        headers.remove(name);
    }
    let own_cookie = |name| cookie::find(headers.get_all(header::COOKIE).iter(), name);
    let credentials = Credentials {
        access_cookie: own_cookie(cookie::ACCESS_COOKIE),
        state_cookie: own_cookie(cookie::STATE_COOKIE),
        explicit: headers.remove(X_OCTELIUM_AUTH),
        authorization: headers.remove(header::AUTHORIZATION),
    };
    clean_cookies(headers);
    for name in repeated {
        if let Some(joined) = join(headers, &name) {
            headers.insert(name, joined);
        }
    }
    Ok(Taken {
        credentials,
        websocket,
        trailers,
    })
}

/// Returns true if an HTTP/1.1 upstream would read another value, without the white space at its ends.
pub(super) fn is_padded(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    is_space(bytes.first()) || is_space(bytes.last())
}

/// Removes the fields that `Connection` names (RFC 9110 §7.6.1), except those that frame the message.
pub(crate) fn remove_connection_options(headers: &mut HeaderMap) -> Result<(), Ambiguity> {
    let mut named = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        for option in value.as_bytes().split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            if option.is_empty()
                || option.eq_ignore_ascii_case(b"close")
                || option.eq_ignore_ascii_case(b"keep-alive")
                || option.eq_ignore_ascii_case(b"upgrade")
            {
                continue;
            }
            let name = HeaderName::from_bytes(option).map_err(|_| Ambiguity::ConnectionOption)?;
            let frames = is_same(name.as_str(), header::CONTENT_LENGTH.as_str())
                || is_same(name.as_str(), header::CONTENT_TYPE.as_str());
            if !frames {
                named.push(name);
            }
        }
    }
    for name in named {
        remove_spellings(headers, &name);
    }
    Ok(())
}

fn clean_cookies(headers: &mut HeaderMap) {
    if !headers.contains_key(header::COOKIE) {
        return;
    }
    match cookie::clean(headers.get_all(header::COOKIE).iter()) {
        Some(cookies) => headers.insert(header::COOKIE, cookies),
        None => headers.remove(header::COOKIE),
    };
}

fn check_expectation(headers: &HeaderMap) -> Result<(), Ambiguity> {
    if headers
        .get_all(header::EXPECT)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        Ok(())
    } else {
        Err(Ambiguity::Expectation)
    }
}

/// Returns true if the client requests a WebSocket. Other upgrades are ignored: what follows them is not authorized
/// request by request.
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE).iter();
    let websocket = protocols
        .next()
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    websocket && protocols.next().is_none() && has_token(headers, &header::CONNECTION, b"upgrade")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &[u8]) -> bool {
    headers.get_all(name).iter().any(|value| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(token))
    })
}

fn count(headers: &HeaderMap, name: &HeaderName) -> usize {
    headers.get_all(name).iter().count()
}

fn join(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let second = values.next()?;
    let mut joined = first.as_bytes().to_vec();
    for value in std::iter::once(second).chain(values) {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(value.as_bytes());
    }
    HeaderValue::from_bytes(&joined).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    #[test]
    fn c01_connection_options_are_removed_before_anything_is_added() {
        let mut headers = headers(&[
            ("connection", "close, X-Custom"),
            ("Connection", "accept , content-length"),
            ("x-custom", "1"),
            ("accept", "*/*"),
            ("content-length", "0"),
            ("x-kept", "1"),
        ]);
        clean(&mut headers, Mode::Http).unwrap();
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "x-kept"]);
    }

    #[test]
    fn connection_removes_every_spelling_but_of_the_framing_s04() {
        let mut headers = headers(&[
            ("connection", "x-custom, content_length"),
            ("x_custom", "1"),
            ("x.custom", "1"),
            ("content-length", "0"),
        ]);
        clean(&mut headers, Mode::Grpc).unwrap();
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["content-length"]);
    }

    #[test]
    fn c08_a_repeated_field_becomes_one_value() {
        let mut headers = headers(&[("x-role", "user"), ("X-Role", "admin"), ("accept", "*/*")]);
        clean(&mut headers, Mode::Http).unwrap();
        assert_eq!(headers.get_all("x-role").iter().count(), 1);
        assert_eq!(headers["x-role"], "user, admin");
    }

    #[test]
    fn c08_a_repeated_single_field_is_refused() {
        for name in ["authorization", "x-octelium-auth", "content-type", "origin"] {
            let mut headers = headers(&[(name, "a"), (name, "b")]);
            assert_eq!(
                clean(&mut headers, Mode::Http).map(|_| ()),
                Err(Ambiguity::RepeatedField),
                "{name}"
            );
        }
    }

    #[test]
    fn c17_only_a_websocket_is_an_upgrade() {
        let asks = |fields| clean(&mut headers(fields), Mode::Http).unwrap().websocket;
        assert!(asks(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket")
        ]));
        assert!(!asks(&[("upgrade", "websocket")]));
        assert!(!asks(&[("connection", "upgrade"), ("upgrade", "h2c")]));
        assert!(!asks(&[
            ("connection", "upgrade"),
            ("upgrade", "websocket, h2c")
        ]));
        assert!(!asks(&[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("upgrade", "h2c")
        ]));
    }

    #[test]
    fn credentials_are_kept_apart() {
        let mut headers = headers(&[
            ("authorization", "Basic eA=="),
            ("x-octelium-auth", "token"),
            ("x_octelium_auth", "alias"),
        ]);
        let taken = clean(&mut headers, Mode::Http).unwrap();
        assert!(headers.is_empty());
        assert_eq!(taken.credentials.explicit.unwrap(), "token");
        assert_eq!(taken.credentials.authorization.unwrap(), "Basic eA==");
    }
}
