//! Entry points of the fuzz targets: the parsers of untrusted input, with the properties that accepted input must have.
#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a law that does not hold is what a fuzz target looks for"
)]

use http::{HeaderMap, HeaderValue, header};

use crate::{
    access::target::agreement,
    authentication::client_login::ClientLogin,
    sealed::Sealed,
    web::{cookie, form::Fields, next::Next},
};

const NAME: &str = "__Host-octelium-session";

/// Parses browser input. Each line is a cookie header, a query, sealed text, the request of a command-line client, and
/// a typed code.
pub fn browser(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, value);
        }
        fields(line);
        let Ok(text) = std::str::from_utf8(line) else {
            continue;
        };
        if Sealed::read(text).is_some() {
            assert!(text.bytes().all(is_base64url), "{text:?}");
        }
        if let Ok(login) = ClientLogin::read(text) {
            assert!(login.callback.port >= 10_000, "{text:?}");
            let place = login.answer("token");
            let start = format!("http://localhost:{}/callback/success/", login.callback.port);
            assert!(place.starts_with(&start), "{place:?}");
            assert!(place.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(!place.contains(['#', '@', '\\']), "{place:?}");
        }
        let code = Next::code(text);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        assert!(code.len() <= 16 && code.bytes().all(is_plain), "{code:?}");
    }
    if let Some(value) = cookie::find(&headers, NAME) {
        assert!(!value.contains(';'), "{value:?}");
        // A second cookie of the same name invalidates both.
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("__Host-octelium-session=x"),
        );
        assert_eq!(cookie::find(&headers, NAME), None);
    }
}

fn fields(line: &[u8]) {
    let Some(read) = Fields::parse(line) else {
        return;
    };
    for (name, value) in form_urlencoded::parse(line) {
        let got = read.get(&name);
        assert_eq!(got.unwrap_or_default(), value, "{name:?}");
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Reads the object of a call. The first byte selects the method, and the rest is its request: as it is, and as
/// instructions that build a well-formed one.
pub fn target(bytes: &[u8]) {
    let Some((&number, message)) = bytes.split_first() else {
        return;
    };
    agreement::check(number.into(), message);
    agreement::check(number.into(), &agreement::assemble(message));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_from_browsers_are_parsed_unambiguously(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            browser(&bytes);
        }

        #[test]
        fn values_like_our_cookies_are_parsed_unambiguously(
            text in "(__Host-octelium-session=|[a-zA-Z0-9_-]{0,60}|[;= &%+\\n\"]){0,12}"
        ) {
            browser(text.as_bytes());
        }

        #[test]
        fn targets_are_read_like_handlers_decode_them_s11(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            target(&bytes);
        }
    }
}
