//! Protection against cross-site requests that a browser sends with our cookie.
//!
//! `SameSite=Lax` covers most other sites. It does not cover pages of other Services of the Cluster, which browsers
//! treat as the same site, or `WebSocket` handshakes.

use http::{HeaderName, HeaderValue, Method, header};

use crate::{canonical::Canonical, denial_reason::Denial, route::Cors};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Rejects cross-site requests that could change state, and cross-site `WebSocket` handshakes.
///
/// A state-changing request passes if a page of the same host sent it, or if the CORS settings of the Service allow
/// credentials for its origin. It also passes without `Sec-Fetch-Site` and `Origin`, because only browsers send them.
pub(super) fn check(request: &Canonical, cors: Option<&Cors>) -> Result<(), Denial> {
    let origin = request.headers.get(header::ORIGIN);
    if request.websocket {
        // Browsers always send `Origin` here, and no other check stops foreign pages (RFC 6455 §10.2).
        return match origin {
            Some(origin) if is_own(origin, request) => Ok(()),
            _ => Err(Denial::Origin),
        };
    }
    if matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    if let (Some(cors), Some(origin)) = (cors, origin)
        && cors.allows_credentials(origin)
    {
        return Ok(());
    }
    let is_own = match (request.headers.get(&SEC_FETCH_SITE), origin) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => is_own(origin, request),
        (None, None) => true,
    };
    if is_own { Ok(()) } else { Err(Denial::Origin) }
}

fn is_own(origin: &HeaderValue, request: &Canonical) -> bool {
    let authority = request.host.authority().as_bytes();
    origin
        .as_bytes()
        .strip_prefix(b"https://")
        .is_some_and(|of| of.eq_ignore_ascii_case(authority))
}
