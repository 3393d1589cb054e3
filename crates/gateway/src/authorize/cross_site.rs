//! Requests that a browser sends with our cookie although the page of another site has made it.
//!
//! `SameSite=Lax` keeps the cookie from what most other sites send. It does not from what the pages of other Services
//! of the Cluster send, which browsers take for the same site, nor from `WebSockets`.

use http::{HeaderName, HeaderValue, Method, header};

use crate::{canonical::Canonical, denial::Denial, route::Cors};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what may change something unless a page of this very host has sent it, or one that the Service trusts with
/// credentials. Programs that send the cookie say neither where from nor what for, and are let through.
pub(super) fn check(request: &Canonical, cors: Option<&Cors>) -> Result<(), Denial> {
    let origin = request.headers.get(header::ORIGIN);
    if request.websocket {
        // Browsers always say it, and nothing else keeps pages from opening one (RFC 6455 §10.2).
        return match origin {
            Some(origin) if is_own(origin, request) => Ok(()),
            _ => Err(Denial::Origin),
        };
    }
    if matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    if let (Some(cors), Some(origin)) = (cors, origin)
        && cors.trusts(origin)
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
