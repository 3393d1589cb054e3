//! Admission of the client's `X-Amz-*` fields, which the gateway would sign.
//!
//! Such fields instruct AWS, and the gateway's signature vouches for them. `x-amz-copy-source` reads another object
//! than the path names; `x-amz-acl` and `x-amz-grant-*` publish an object. Only fields that describe or restrict the
//! request's own content pass.
//!
//! Other fields are rejected, not dropped. Without `x-amz-copy-source`, a copy would become a write of an empty object.
//! Without `x-amz-server-side-encryption-*`, a secret would be stored unencrypted.

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;

use crate::canonical::{Names, has_prefix};

const PREFIX: &str = "x-amz-";

/// Fields of the client's own signature. Our signature replaces or omits them.
const OF_SIGNATURES: [&str; 3] = ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

/// Fields that are signed unchanged. Service owners can add others with `addRequestHeaders`.
const PASSED: [&str; 13] = [
    // The operation, for services that use JSON.
    "x-amz-target",
    "x-amz-user-agent",
    // AWS rejects the request if the bucket belongs to another account.
    "x-amz-expected-bucket-owner",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-checksum-algorithm",
    "x-amz-checksum-mode",
    "x-amz-checksum-type",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-sha512",
];

/// The metadata of an S3 object.
const PASSED_PREFIX: &str = "x-amz-meta-";

/// A field or a query parameter that is not signed for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAdmitted;

/// Removes the fields of the client's own signature and rejects fields that are not on the list. `own` are the names
/// that the Service removes or sets itself, so the client's values do not pass.
///
/// # Errors
///
/// Returns [`NotAdmitted`] if a field or a query parameter is not on the list. S3 treats query parameters like fields.
pub(crate) fn admit(
    headers: &mut HeaderMap,
    query: Option<&str>,
    own: &Names,
) -> Result<(), NotAdmitted> {
    let mut removed: Vec<HeaderName> = Vec::new();
    for name in headers.keys() {
        let text = name.as_str();
        if !has_prefix(text, PREFIX) || own.contains(text) {
            continue;
        }
        if OF_SIGNATURES.contains(&text) {
            removed.push(name.clone());
        } else if !PASSED.contains(&text) && !text.starts_with(PASSED_PREFIX) {
            return Err(NotAdmitted);
        }
    }
    for name in removed {
        headers.remove(name);
    }
    if query.is_some_and(names_a_field) {
        return Err(NotAdmitted);
    }
    Ok(())
}

fn names_a_field(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let mut decoded = percent_decode_str(name);
        PREFIX.bytes().all(|expected| {
            decoded
                .next()
                .is_some_and(|byte| byte.eq_ignore_ascii_case(&expected))
        })
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn admitted(name: &'static str, query: Option<&str>, own: &Names) -> Option<usize> {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("*/*"));
        headers.insert(name, HeaderValue::from_static("value"));
        admit(&mut headers, query, own).ok().map(|()| headers.len())
    }

    #[rstest]
    #[case("x-amz-target")]
    #[case("x-amz-meta-owner")]
    #[case("x-amz-checksum-crc32")]
    #[case("x-amzn-trace-id")]
    #[case("content-md5")]
    fn fields_of_the_content_are_signed_s11(#[case] name: &'static str) {
        assert_eq!(
            admitted(name, Some("list-type=2"), &Names::default()),
            Some(2)
        );
    }

    #[rstest]
    #[case("x-amz-date")]
    #[case("x-amz-security-token")]
    #[case("x-amz-content-sha256")]
    fn the_signature_of_a_client_is_left_out_s11(#[case] name: &'static str) {
        assert_eq!(admitted(name, None, &Names::default()), Some(1));
    }

    #[rstest]
    #[case("x-amz-copy-source")]
    #[case("x-amz-copy-source-range")]
    #[case("x-amz-acl")]
    #[case("x-amz-grant-full-control")]
    #[case("x-amz-website-redirect-location")]
    #[case("x-amz-server-side-encryption")]
    #[case("x-amz-server-side-encryption-customer-key")]
    #[case("x-amz-tagging")]
    #[case("x-amz-object-lock-mode")]
    #[case("x-amz-bypass-governance-retention")]
    #[case("x-amz-rename-source")]
    #[case("x-amz-request-payer")]
    #[case("x-amz-trailer")]
    #[case("x-amz-decoded-content-length")]
    #[case("x-amz-")]
    #[case("x_amz_acl")]
    #[case("x.amz.date")]
    #[case("x-amz_meta-owner")]
    fn fields_that_say_more_than_the_path_are_refused_s11(#[case] name: &'static str) {
        assert_eq!(admitted(name, None, &Names::default()), None);
        let mut own = Names::default();
        own.insert(&HeaderName::from_static(name));
        assert_eq!(
            admitted(name, None, &own),
            Some(2),
            "the Service handles it"
        );
    }

    #[rstest]
    #[case("x-amz-acl=public-read")]
    #[case("a=b&X-Amz-Security-Token=x")]
    #[case("%58-amz-acl")]
    #[case("a;x%2damz%2dacl=x")]
    fn parameters_of_these_names_are_refused_s11(#[case] query: &str) {
        assert_eq!(admitted("accept", Some(query), &Names::default()), None);
    }
}
