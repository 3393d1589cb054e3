//! Filters for trailers. They follow the rules of the head, because an upstream may merge trailers into it (RFC 9110
//! §6.5).

use http::{HeaderMap, HeaderName, HeaderValue, header::GetAll};

use crate::canonical::{
    Names,
    field_name::{Class, classify, is_forbidden_trailer, is_ours},
    fields::is_padded,
};

/// Removes from a client's trailers the fields that the head must not have, and the names that the Service removes or
/// sets itself.
pub(crate) fn clean_request_trailers(trailers: &mut HeaderMap, set: &Names) {
    retain(trailers, |name, values| {
        classify(name, true) == Class::EndToEnd
            && !is_forbidden_trailer(name)
            && !set.contains(name)
            && !values.iter().any(is_padded)
    });
}

/// Removes from an upstream's trailers the fields that must not reach the client, and the names that the Service
/// removes or sets itself.
pub(crate) fn clean_response_trailers(trailers: &mut HeaderMap, set: Option<&Names>) {
    retain(trailers, |name, _| {
        !is_ours(name) && !is_forbidden_trailer(name) && set.is_none_or(|set| !set.contains(name))
    });
}

/// Allocates only if something is removed.
fn retain(trailers: &mut HeaderMap, keep: impl Fn(&str, GetAll<'_, HeaderValue>) -> bool) {
    let removed: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| !keep(name.as_str(), trailers.get_all(*name)))
        .cloned()
        .collect();
    for name in removed {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(names: &[&'static str]) -> HeaderMap {
        let pairs = names.iter().map(|name| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static("forged"),
            )
        });
        pairs.collect()
    }

    fn left(trailers: &HeaderMap) -> Vec<&str> {
        trailers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn a_padded_trailer_is_removed_c08() {
        let mut sent = trailers(&["x-role"]);
        sent.insert("x-other", HeaderValue::from_static("admin "));
        clean_request_trailers(&mut sent, &Names::default());
        assert_eq!(left(&sent), ["x-role"]);
    }

    fn set() -> Names {
        let mut set = Names::default();
        set.insert(&HeaderName::from_static("x-remote-user"));
        set
    }

    #[test]
    fn trailers_of_a_client_are_held_to_the_rules_of_its_head_s07() {
        let mut sent = trailers(&[
            "x-octelium-user",
            "x_octelium_user",
            "x-octelium-auth",
            "x-remote-user",
            "x_remote.user",
            "x-forwarded-for",
            "authorization",
            "cookie",
            "host",
            "content-length",
            "transfer-encoding",
            "content-encoding",
            "te",
            "trailer",
            "connection",
            "custom.key_bin",
        ]);
        clean_request_trailers(&mut sent, &set());
        assert_eq!(left(&sent), ["custom.key_bin"]);
    }

    #[test]
    fn trailers_of_an_upstream_are_held_to_the_rules_of_its_head_s07() {
        let mut sent = trailers(&[
            "x-octelium-assertion",
            "x_octelium_user",
            "x-remote-user",
            "x_remote_user",
            "set-cookie",
            "clear-site-data",
            "access-control-allow-origin",
            "authorization",
            "connection",
            "keep_alive",
            "content-length",
            "alt-svc",
            "grpc-status",
        ]);
        clean_response_trailers(&mut sent, Some(&set()));
        assert_eq!(left(&sent), ["grpc-status"]);
    }
}
