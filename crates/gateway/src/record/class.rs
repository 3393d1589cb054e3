//! What kind of answer it was, for numbers: calls of gRPC that fail have an HTTP status of 200.

use http::{HeaderMap, StatusCode};

/// `1xx` to `5xx`, where a status of gRPC counts as the HTTP status that says the same: what the caller did wrong is
/// `4xx`, what we or the upstream did is `5xx`.
pub fn status_class(status: StatusCode, grpc_status: Option<u8>) -> &'static str {
    match grpc_status {
        // Cancelled, invalid argument, not found, already exists, permission denied, resource exhausted, failed
        // precondition, aborted, out of range, unauthenticated.
        Some(1 | 3 | 5..=11 | 16) => return "4xx",
        // Unknown, deadline exceeded, unimplemented, internal, unavailable, data loss, and what nobody has defined.
        Some(2 | 4 | 12..=15 | 17..) => return "5xx",
        Some(0) | None => {}
    }
    match status.as_u16() {
        0..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// The status of gRPC in the head or the trailers of a response. One that is no number is unknown (2).
pub fn grpc_status(fields: &HeaderMap) -> Option<u8> {
    let status = fields.get("grpc-status")?;
    let status = status.to_str().ok().and_then(|status| status.parse().ok());
    Some(status.unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(200, None, "2xx")]
    #[case(200, Some("0"), "2xx")]
    #[case(101, None, "1xx")]
    #[case(302, None, "3xx")]
    #[case(429, None, "4xx")]
    #[case(503, None, "5xx")]
    #[case(503, Some("0"), "5xx")]
    #[case(200, Some("7"), "4xx")]
    #[case(200, Some("16"), "4xx")]
    #[case(200, Some("14"), "5xx")]
    #[case(200, Some("99"), "5xx")]
    #[case(200, Some("x"), "5xx")]
    fn a_call_that_failed_is_no_success(
        #[case] status: u16,
        #[case] grpc: Option<&'static str>,
        #[case] expected: &str,
    ) {
        let mut fields = HeaderMap::new();
        if let Some(grpc) = grpc {
            fields.insert("grpc-status", HeaderValue::from_static(grpc));
        }
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(status_class(status, grpc_status(&fields)), expected);
    }
}
