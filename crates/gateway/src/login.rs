//! Browsers that come without a token are sent to log in.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use crate::{Body, Identity, canonical::Canonical, record::RequestId};

/// Fetch metadata (W3C): which browsers send, and scripts cannot.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The way to the login, where a person can go it: for the page of a browser's window, and nothing else.
pub(crate) fn redirect(
    identity: &dyn Identity,
    request: &Canonical,
    id: RequestId,
) -> Option<Response<Body>> {
    if !is_navigation(request) {
        return None;
    }
    let authority = request.host.authority().to_str().ok()?;
    let url = format!("https://{authority}{}", request.target.as_str());
    let location = HeaderValue::try_from(identity.login(&url)?).ok()?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert("x-octelium-unauthorized", HeaderValue::from_static("true"));
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert("x-request-id", id);
    }
    Some(response)
}

fn is_navigation(request: &Canonical) -> bool {
    let headers = &request.headers;
    request.method == Method::GET
        && !request.grpc
        && !request.websocket
        && accepts_html(headers)
        && is_or_unsaid(headers, &SEC_FETCH_MODE, b"navigate")
        // A page in a frame of another one could only show that it may not be framed.
        && is_or_unsaid(headers, &SEC_FETCH_DEST, b"document")
}

/// By name, not by `*/*`, which programs send.
fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| {
            accept.split(',').any(|range| {
                let essence = range.split(';').next().unwrap_or_default().trim();
                essence.eq_ignore_ascii_case("text/html")
            })
        })
}

fn is_or_unsaid(headers: &HeaderMap, name: &HeaderName, expected: &[u8]) -> bool {
    headers
        .get(name)
        .is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(expected))
}
