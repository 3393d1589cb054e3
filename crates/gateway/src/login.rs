//! Redirects of browsers without a valid token to the login, and their return with a code.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use policy::StepUp;

use crate::{
    Body, Gateway, Renewal,
    canonical::{ACCESS_COOKIE, Canonical, STATE_COOKIE},
    request_id::RequestId,
};

mod callback;

pub(crate) use callback::{answer, is_callback};

/// Fetch metadata (W3C). Browsers send it, and scripts cannot set it.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The size of the random nonce that identifies a browser.
const NONCE_BYTES: usize = 32;
const NONCE_LENGTH: usize = 43;
/// The lifetime of the state cookie, equal to that of the signed return URL.
const STATE_SECONDS: u32 = 1800;

/// Adds the renewed cookie to a response, unless a shared cache may store the response.
pub(crate) fn renew(headers: &mut HeaderMap, cookie: HeaderValue) {
    let is_shared = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("public") || value.contains("s-maxage")
        });
    if !is_shared {
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// Builds the cookie that replaces an old one.
pub(crate) fn renewed(renewal: &Renewal) -> Option<HeaderValue> {
    cookie(ACCESS_COOKIE, &renewal.cookie, renewal.lifetime.as_secs())
}

/// Redirects a browser to the login if the request is for a page of a browser window. Otherwise returns `None`. `state`
/// is the browser's existing state cookie, which stays valid: several windows may be at the login at once.
pub(crate) fn redirect(
    gateway: &Gateway,
    request: &Canonical,
    state: Option<&HeaderValue>,
    id: RequestId,
) -> Option<Response<Body>> {
    send(gateway, request, state, id, |url, nonce| {
        gateway.identity.login(url, nonce)
    })
}

/// Redirects like [`redirect`], but to the step-up page, for a signed-in person who must authenticate again.
pub(crate) fn step_up(
    gateway: &Gateway,
    request: &Canonical,
    state: Option<&HeaderValue>,
    step_up: &StepUp,
    id: RequestId,
) -> Option<Response<Body>> {
    send(gateway, request, state, id, |url, nonce| {
        gateway.identity.proof(url, nonce, step_up)
    })
}

fn send(
    gateway: &Gateway,
    request: &Canonical,
    state: Option<&HeaderValue>,
    id: RequestId,
    place: impl FnOnce(&str, &str) -> Option<String>,
) -> Option<Response<Body>> {
    if request.mode.is_grpc()
        || request.websocket
        || !is_navigation(&request.method, &request.headers)
    {
        return None;
    }
    let authority = request.host.authority().to_str().ok()?;
    let url = format!("https://{authority}{}", request.target.as_str());
    let nonce = state.and_then(nonce).map_or_else(
        || {
            let mut bytes = [0; NONCE_BYTES];
            gateway.config.rng.fill(&mut bytes);
            URL_SAFE_NO_PAD.encode(bytes)
        },
        str::to_owned,
    );
    let location = HeaderValue::try_from(place(&url, &nonce)?).ok()?;
    let cookie = cookie(STATE_COOKIE, &nonce, u64::from(STATE_SECONDS))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::SET_COOKIE, cookie);
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

/// Returns the nonce if it has the right form.
fn nonce(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (text.len() == NONCE_LENGTH && text.bytes().all(is_base64url)).then_some(text)
}

/// Builds a cookie that is valid for this host only.
fn cookie(name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    let mut cookie = HeaderValue::try_from(text).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

/// Returns true if a browser requests the page of a window.
pub(crate) fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::GET
        && accepts_html(headers)
        && is_absent_or(headers, &SEC_FETCH_MODE, b"navigate")
        // A page in a frame could only show that it must not be framed.
        && is_absent_or(headers, &SEC_FETCH_DEST, b"document")
}

/// Looks for `text/html`. `*/*` does not count, because programs send it.
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

fn is_absent_or(headers: &HeaderMap, name: &HeaderName, expected: &[u8]) -> bool {
    headers
        .get(name)
        .is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(expected))
}
