//! Heads of responses.

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use crate::{
    canonical::{is_hop_by_hop, is_ours, is_same, remove_connection_options},
    forward::cookies,
    response_body::Body,
    route::{DirectResponse, Plan},
};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Removes fields that must not reach the client, or that only the gateway may set.
pub(super) fn clean(headers: &mut HeaderMap) {
    if remove_connection_options(headers).is_err() {
        // It is malformed, so it names no fields. It is removed below.
        tracing::debug!("an upstream's Connection header is malformed");
    }
    let removed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            // `Alt-Svc` would lead the client past the gateway, directly to the upstream.
            is_hop_by_hop(name.as_str())
                || is_ours(name.as_str())
                || is_same(name.as_str(), header::ALT_SVC.as_str())
        })
        .cloned()
        .collect();
    for name in removed {
        headers.remove(name);
    }
    cookies::clean(headers);
    reduce_cleared_data(headers);
}

/// Reduces `Clear-Site-Data` (W3C) to `"cache"`. Clearing cookies affects the whole domain, so one Service could sign
/// people out of all others and of the portal.
fn reduce_cleared_data(headers: &mut HeaderMap) {
    if !headers.contains_key(CLEAR_SITE_DATA) {
        return;
    }
    let clears_cache = headers
        .get_all(CLEAR_SITE_DATA)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|kind| matches!(kind.trim_ascii(), b"\"cache\"" | b"\"*\""));
    if clears_cache {
        headers.insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"cache\""));
    } else {
        headers.remove(CLEAR_SITE_DATA);
    }
}

/// Builds the response of a Service without an upstream.
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[r#""cookies""#], None)]
    #[case(&[r#""cookies", "storage", "executionContexts""#], None)]
    #[case(&[r#""cache", "cookies""#], Some(r#""cache""#))]
    #[case(&[r#""*""#], Some(r#""cache""#))]
    #[case(&[r#""cookies""#, r#" "cache" "#], Some(r#""cache""#))]
    #[case(&["cache"], None)]
    #[case(&[r#""cache"; "cookies""#], None)]
    fn an_upstream_clears_nothing_but_the_cache_s11(
        #[case] sent: &[&'static str],
        #[case] left: Option<&str>,
    ) {
        let mut headers = HeaderMap::new();
        for value in sent {
            headers.append(CLEAR_SITE_DATA, HeaderValue::from_static(value));
        }
        clean(&mut headers);
        let values: Vec<&str> = headers
            .get_all(CLEAR_SITE_DATA)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        assert_eq!(values, left.into_iter().collect::<Vec<_>>());
    }
}
