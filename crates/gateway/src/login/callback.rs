//! The callback of the login, which exchanges a code for an access cookie of this host.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::{cookie, nonce};
use crate::{
    Body, CodeError, Gateway,
    canonical::{ACCESS_COOKIE, Canonical},
    request_id::RequestId,
};

const PATH: &str = "/.well-known/octelium/callback";

/// Returns true if the request is a callback of the login.
pub(crate) fn is_callback(request: &Canonical) -> bool {
    request.target.path() == PATH && request.method == Method::GET && !request.mode.is_grpc()
}

/// Redirects to the page that the person requested, or shows an error. Also returns the reason for the log.
pub(crate) async fn answer(
    gateway: &Gateway,
    request: &Canonical,
    id: RequestId,
) -> (Response<Body>, &'static str) {
    let (response, reason) = match handle(gateway, request).await {
        Ok(response) => (response, "arrived"),
        // The code must not stay in the address bar or in the history of the browser.
        Err(CodeError::Refused { reason }) if request.target.query().is_some() => {
            (see_other(HeaderValue::from_static(PATH)), reason)
        }
        Err(CodeError::Refused { reason }) => (
            page(
                StatusCode::BAD_REQUEST,
                "The sign-in could not be completed",
                "The link back from the sign-in works once, within 30 seconds, in the browser that started the \
                 sign-in. If it fails again, check that this browser accepts cookies.",
            ),
            reason,
        ),
        Err(CodeError::Unavailable) => (
            page(
                StatusCode::SERVICE_UNAVAILABLE,
                "Not available at the moment",
                "The Cluster cannot answer at the moment. Try again in a moment.",
            ),
            "identity_unavailable",
        ),
    };
    (with_common(response, id), reason)
}

async fn handle(gateway: &Gateway, request: &Canonical) -> Result<Response<Body>, CodeError> {
    let refused = |reason| CodeError::Refused { reason };
    let state = request.credentials.state_cookie.as_ref();
    let nonce = state.and_then(nonce);
    let query = request.target.query().unwrap_or_default();
    let mut codes = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "code")
        .map(|(_, code)| code);
    let (Some(code), None) = (codes.next(), codes.next()) else {
        return Err(refused("no_code"));
    };
    let host = request.host.name();
    // The code is used up even if a wrong browser sends it, because it has leaked.
    let arrived = gateway
        .identity
        .redeem_code(host, &code, nonce.unwrap_or_default());
    let arrived = arrived.await;
    if nonce.is_none() && !matches!(arrived, Err(CodeError::Unavailable)) {
        return Err(refused("no_state_cookie"));
    }
    let arrived = arrived?;
    // An absolute URL, because a path that starts with two slashes would name another host.
    let authority = request.host.authority().to_str();
    let place = authority.map(|authority| format!("https://{authority}{}", arrived.target));
    let place = place
        .ok()
        .and_then(|place| HeaderValue::try_from(place).ok());
    let cookie = cookie(ACCESS_COOKIE, &arrived.cookie, arrived.lifetime.as_secs());
    let (Some(place), Some(cookie)) = (place, cookie) else {
        return Err(refused("place"));
    };
    let mut response = see_other(place);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

fn see_other(place: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, place);
    response
}

fn with_common(mut response: Response<Body>, id: RequestId) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The URL contains the code.
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert("x-request-id", id);
    }
    response
}

/// Builds a page of plain text, because this is the host of a Service.
fn page(status: StatusCode, title: &'static str, text: &'static str) -> Response<Body> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <main><h1>{title}</h1><p>{text}</p><p><a href=\"/\">Open the Service again</a></p></main></html>"
    );
    let mut response = Response::new(Body::full(Bytes::from(html)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
