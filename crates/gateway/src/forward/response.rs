//! Heads of responses.

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use crate::{
    body::Body,
    canonical::{is_hop_by_hop, is_ours, remove_connection_options},
    forward::cookies,
    route::{DirectResponse, Plan},
};

/// Removes what is not for the client, or what only we may say to it; from trailers too.
pub(crate) fn clean(headers: &mut HeaderMap) {
    if remove_connection_options(headers).is_err() {
        // Malformed, so it names nothing; it is removed below.
        tracing::debug!("an upstream's Connection header is malformed");
    }
    let removed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            // `Alt-Svc` would lead the client past us, to an address that is the upstream's.
            is_hop_by_hop(name.as_str()) || is_ours(name.as_str()) || *name == header::ALT_SVC
        })
        .cloned()
        .collect();
    for name in removed {
        headers.remove(name);
    }
    cookies::clean(headers);
}

/// A response that is configuration.
pub(super) fn direct(
    direct: &DirectResponse,
    plan: &Plan,
    origin: Option<&HeaderValue>,
) -> Response<Body> {
    let mut response = Response::new(Body::full(direct.body.clone()));
    *response.status_mut() = direct.status;
    let headers = response.headers_mut();
    if let Some(content_type) = &direct.content_type {
        headers.insert(header::CONTENT_TYPE, content_type.clone());
    }
    if let Some(cors) = &plan.cors {
        cors.apply(origin, headers);
    }
    response
}
