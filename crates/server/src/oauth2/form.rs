//! Form parameters of a request (RFC 6749 §3.2, appendix B).

use http::{HeaderMap, Uri, header};

use super::{Failure, FailureCode};

/// Parameters that are only accepted in the request body. RFC 6749 §2.3.1 forbids credentials in the URI, where they
/// would be logged.
const BODY_ONLY: [&str; 9] = [
    "grant_type",
    "client_id",
    "client_secret",
    "device_code",
    "client_assertion",
    "client_assertion_type",
    "scope",
    "token",
    "token_type_hint",
];
/// Maximum number of parameters.
const MOST: usize = 64;

/// Form parameters with unique names. A parameter without a value counts as absent.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Parses the body of a POST.
    pub(super) fn parse(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Self, Failure> {
        let invalid = |text: &str| Failure::new(FailureCode::InvalidRequest, text);
        let query = uri.query().unwrap_or_default();
        if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| BODY_ONLY.contains(&&*name)) {
            return Err(invalid(
                "parameters must be in the request body, never in the URL: rotate any secret that was in the URL",
            ));
        }
        let mut content_types = headers.get_all(header::CONTENT_TYPE).iter();
        let content_type = content_types.next().and_then(|value| value.to_str().ok());
        let essence = content_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default();
        if content_types.next().is_some()
            || !essence
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        {
            return Err(invalid(
                "the content type must be application/x-www-form-urlencoded",
            ));
        }
        // Invalid UTF-8 must not be replaced by other characters.
        let text = std::str::from_utf8(body).map_err(|_| invalid("the body is not UTF-8"))?;
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or_else(|| invalid("a parameter name cannot be decoded"))?;
            let value = decode(value).ok_or_else(|| {
                invalid("a parameter value cannot be decoded: percent-encode it as UTF-8")
            })?;
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Failure::new(
                    FailureCode::InvalidRequest,
                    format!("the parameter {} is given more than once", printable(&name)),
                ));
            }
            if parameters.len() >= MOST {
                return Err(invalid("there are too many parameters"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// Returns the value of a parameter, or `None` if it is absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns all parameters, in the order of the request.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn parameters(&self) -> &[(String, String)] {
        &self.0
    }
}

/// Decodes `application/x-www-form-urlencoded`. Returns `None` if an escape is malformed or the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Keeps only characters that `error_description` allows: printable ASCII without `"` and `\` (RFC 6749 §5.2).
fn printable(name: &str) -> String {
    name.chars()
        .take(40)
        .filter(|character| character.is_ascii_alphanumeric() || "_-.".contains(*character))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(query: &str, body: &str) -> Result<Form, Failure> {
        let uri: Uri = format!("/oauth2/token{query}").parse().unwrap();
        let mut headers = HeaderMap::new();
        let content_type =
            HeaderValue::from_static("application/x-www-form-urlencoded; charset=UTF-8");
        headers.insert(header::CONTENT_TYPE, content_type);
        Form::parse(&uri, &headers, body.as_bytes())
    }

    #[test]
    fn a23_duplicate_parameters_and_broken_escapes_are_refused() {
        assert!(parse("", "scope=a&scope=a").is_err());
        assert!(parse("", "scope=a&sc%6fpe=b").is_err());
        assert!(parse("", "client_secret=%zz").is_err());
        assert!(parse("", "client_secret=%ff").is_err());
        assert!(parse("", "client_secret=%2").is_err());
    }

    #[test]
    fn w28_body_parameters_are_refused_in_the_url() {
        for query in [
            "?client_secret=s",
            "?client%5Fid=c",
            "?grant_type=client_credentials",
            "?scope=",
        ] {
            assert!(parse(query, "a=b").is_err(), "{query}");
        }
        assert!(parse("?trace=1", "a=b").is_ok());
    }

    #[test]
    fn a_parameter_without_a_value_is_treated_as_missing() {
        let form = parse("", "scope=&grant_type=client_credentials&other=%2B+x").unwrap();
        assert_eq!(form.get("scope"), None);
        assert_eq!(form.get("grant_type"), Some("client_credentials"));
        assert_eq!(form.get("other"), Some("+ x"));
    }

    #[test]
    fn only_a_form_is_read() {
        let uri = Uri::from_static("/oauth2/token");
        assert!(Form::parse(&uri, &HeaderMap::new(), b"a=b").is_err());
    }
}
