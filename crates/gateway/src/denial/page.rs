//! The HTML page for a denial.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::{Body, request_id::RequestId};

/// Renders the page. It contains nothing from the request. `portal` is the URL of the Cluster's pages.
pub(super) fn page(
    status: StatusCode,
    title: &str,
    message: &str,
    id: RequestId,
    portal: &str,
) -> Response<Body> {
    let mut sentence = message.to_owned();
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let number = status.as_u16();
    let id = id.as_str();
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <main>\n<h1>{title}</h1>\n<p>{sentence}.</p>\n\
         <p><a href=\"{portal}\">Go to the portal</a></p>\n\
         <p><small>{number}, request <code>{id}</code>. Administrators can find details by this ID.</small></p>\n</main>\n</html>\n"
    );
    let mut response = Response::new(Body::full(Bytes::from(html)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Not signed in",
        StatusCode::FORBIDDEN => "No access",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => "The Service does not respond",
        StatusCode::SERVICE_UNAVAILABLE => "Not available at the moment",
        _ => "This request is not accepted",
    }
}
