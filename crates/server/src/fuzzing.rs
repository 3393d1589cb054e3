//! Entry points of the fuzz targets: the parsers of untrusted input, with the properties that accepted input must have.
#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a law that does not hold is what a fuzz target looks for"
)]

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Uri, header};

use crate::{
    access::target::agreement,
    authentication::client_login::ClientLogin,
    oauth2,
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

/// Parses a request of an OAuth2 client: a query, an `Authorization` field and a form, one a line.
pub fn oauth2_request(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (query, authorization, body) = (line(), line(), line());
    form(query, body);
    if let Ok(text) = std::str::from_utf8(authorization) {
        basic(text);
    }
}

fn form(query: &[u8], body: &[u8]) {
    let query = String::from_utf8_lossy(query);
    let Ok(uri) = format!("/oauth2/token?{query}").parse::<Uri>() else {
        return;
    };
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, content_type);
    let parameters = match oauth2::read_form(&uri, &headers, body) {
        Ok(parameters) => parameters,
        Err(description) => {
            // RFC 6749 §5.2
            let is_allowed =
                |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
            assert!(description.bytes().all(is_allowed), "{description:?}");
            return;
        }
    };
    let names: BTreeSet<&String> = parameters.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), parameters.len(), "each name once");
    assert!(parameters.len() <= 64);
    // A lenient parser reads the same.
    let lenient: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    assert_eq!(parameters, lenient);
    let query = uri.query().unwrap_or_default();
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        let secrets = ["client_secret", "client_assertion", "device_code", "token"];
        assert!(!secrets.contains(&&*name), "{name:?} in the URL");
    }
    let mut written = form_urlencoded::Serializer::new(String::new());
    for (name, value) in &parameters {
        written.append_pair(name, value);
    }
    let again = oauth2::read_form(&uri, &headers, written.finish().as_bytes());
    assert_eq!(again, Ok(parameters));
}

fn basic(text: &str) {
    let encode = |part: &str| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
    let check = |id: &str, secret: &str| {
        let pair = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
        let read = oauth2::read_basic(&format!("Basic {pair}"));
        assert_eq!(read, Some((id.to_owned(), secret.to_owned())));
    };
    if let Some((id, secret)) = oauth2::read_basic(text) {
        check(&id, &secret);
    }
    // Every id and every secret can be sent.
    let (id, secret) = text.split_once(':').unwrap_or((text, ""));
    check(id, secret);
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

        #[test]
        fn oauth2_requests_are_parsed_unambiguously(
            text in "([a-z_]{1,6}|client_secret|=|&|%[0-9a-fA-F]{2}|%|\\+|\\n|:|Basic |[^a-z]{1,3}){0,30}"
        ) {
            oauth2_request(text.as_bytes());
        }
    }
}
