//! CSRF check by request headers: detects forms that another origin has sent.

use http::{HeaderMap, HeaderName, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns whether the browser reports that a page at `origin` sent the request. At least one of `Sec-Fetch-Site` and
/// `Origin` must be present, and each one present must confirm it. `same-site` is not enough: it includes the Services
/// of this Cluster.
pub(super) fn is_own(headers: &HeaderMap, origin: &str) -> bool {
    let site = single(headers, &SEC_FETCH_SITE);
    let named = single(headers, &header::ORIGIN);
    match (site, named) {
        (HeaderField::Absent, HeaderField::Absent) => false,
        (site, named) => site.is_absent_or("same-origin") && named.is_absent_or(origin),
    }
}

enum HeaderField<'a> {
    Absent,
    Single(&'a [u8]),
    Repeated,
}

impl HeaderField<'_> {
    fn is_absent_or(&self, expected: &str) -> bool {
        match self {
            Self::Absent => true,
            Self::Single(value) => *value == expected.as_bytes(),
            Self::Repeated => false,
        }
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> HeaderField<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => HeaderField::Absent,
        (Some(value), None) => HeaderField::Single(value.as_bytes()),
        (Some(_), Some(_)) => HeaderField::Repeated,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[("origin", "https://example.com")], true)]
    #[case(&[("sec-fetch-site", "same-origin")], true)]
    #[case(&[("sec-fetch-site", "same-origin"), ("origin", "https://example.com")], true)]
    #[case(&[], false)]
    #[case(&[("origin", "null")], false)]
    #[case(&[("origin", "https://app.example.com")], false)]
    #[case(&[("origin", "https://example.com:8443")], false)]
    #[case(&[("origin", "http://example.com")], false)]
    #[case(&[("sec-fetch-site", "same-site"), ("origin", "https://example.com")], false)]
    #[case(&[("sec-fetch-site", "cross-site")], false)]
    #[case(&[("sec-fetch-site", "none")], false)]
    #[case(&[("origin", "https://example.com"), ("origin", "https://example.com")], false)]
    fn w02_a_form_of_another_page_is_detected(
        #[case] fields: &[(&'static str, &'static str)],
        #[case] own: bool,
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        assert_eq!(is_own(&headers, "https://example.com"), own);
    }
}
