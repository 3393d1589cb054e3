//! Classes of response statuses for metrics. They consider the gRPC status, because failed gRPC calls have the HTTP
//! status 200.

use http::{HeaderMap, StatusCode};

/// Returns `1xx` to `5xx`. A gRPC status counts as the equivalent HTTP status: `4xx` for errors of the caller, `5xx`
/// for errors of the gateway or the upstream.
pub fn status_class(status: StatusCode, grpc_status: Option<u8>) -> &'static str {
    match grpc_status {
        Some(1 | 3 | 5..=11 | 16) => return "4xx",
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

/// Returns the gRPC status of the head or the trailers of a response. A value that is not a number counts as 2
/// (unknown).
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
    fn a_failed_call_is_not_a_success(
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
