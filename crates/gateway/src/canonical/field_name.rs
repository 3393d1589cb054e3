//! Classification of header fields by name.

use crate::canonical::names::{Folded, has_prefix, is_plain};

/// The treatment of a request field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Passed to Policies and the upstream.
    EndToEnd,
    /// Passed, and must have a single value.
    Single,
    /// Removed: addressed to the gateway as the next hop.
    HopByHop,
    /// Removed: only the gateway may send it.
    Reserved,
}

/// Classifies a lower-case name. gRPC metadata names may contain `_` and `.`. Elsewhere such a name is an alias that an
/// upstream may fold into another name. An alias of a field that is not end-to-end never passes.
pub(super) fn classify(name: &str, is_grpc: bool) -> Class {
    if is_plain(name) {
        return classify_plain(name);
    }
    if !is_grpc || !is_metadata_name(name) {
        return Class::Reserved;
    }
    match classify_plain(Folded::new(name).as_str()) {
        Class::EndToEnd => Class::EndToEnd,
        Class::Single | Class::HopByHop | Class::Reserved => Class::Reserved,
    }
}

fn classify_plain(name: &str) -> Class {
    match name {
        "authorization" | "content-length" | "content-type" | "host" | "origin" | "range"
        | "x-octelium-auth" => Class::Single,
        // It announces trailers to the next hop, and the gateway sends others.
        "trailer" => Class::HopByHop,
        _ if is_hop_by_hop_plain(name) => Class::HopByHop,
        _ if is_reserved(name) => Class::Reserved,
        _ => Class::EndToEnd,
    }
}

/// Returns true if all characters are allowed in gRPC metadata keys over HTTP/2.
fn is_metadata_name(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Returns true for hop-by-hop fields in any spelling: RFC 9110 §7.6.1, and others that browsers and old proxies send.
/// `Expect` is included because the gateway answers it.
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    is_hop_by_hop_plain(name)
        || (!is_plain(name) && is_hop_by_hop_plain(Folded::new(name).as_str()))
}

fn is_hop_by_hop_plain(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "proxy-authenticate"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "expect"
    )
}

/// Returns true if the field is forbidden in trailers (RFC 9110 §6.5.1). Such fields frame or route the message,
/// authenticate, or describe the content. A recipient that merges trailers into the head would act on them.
pub(super) fn is_forbidden_trailer(name: &str) -> bool {
    let folded = Folded::new(name);
    let name = folded.as_str();
    match classify_plain(name) {
        Class::Single | Class::HopByHop | Class::Reserved => true,
        Class::EndToEnd => {
            matches!(
                name,
                "cookie"
                    | "set-cookie"
                    | "set-cookie2"
                    | "clear-site-data"
                    | "strict-transport-security"
                    | "alt-svc"
                    | "location"
                    | "cache-control"
                    | "content-encoding"
                    | "content-range"
            ) || name.starts_with("access-control-")
        }
    }
}

/// Returns true for `x-octelium-…` in any spelling.
pub(crate) fn is_ours(name: &str) -> bool {
    has_prefix(name, "x-octelium")
}

/// Returns true for fields that proxies add, and fields that change the request after the decision.
fn is_reserved(name: &str) -> bool {
    match name {
        "forwarded"
        | "via"
        | "x-real-ip"
        | "x-client-ip"
        | "x-cluster-client-ip"
        | "true-client-ip"
        | "x-http-method"
        | "x-http-method-override"
        | "x-method-override"
        | "client-ip"
        | "x-host"
        | "proxy" => true,
        _ => {
            is_ours(name)
                || name.starts_with("x-forwarded")
                || name.starts_with("x-original-")
                || name.starts_with("x-rewrite-")
                || name.starts_with("x-envoy-")
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("x-octelium-user")]
    #[case("x_octelium_user")]
    #[case("x-octelium_user")]
    #[case("x.octelium.user")]
    #[case("x-octelium")]
    #[case("x-forwarded-user")]
    #[case("x_forwarded_user")]
    #[case("x.forwarded.user")]
    #[case("x-forwarded-for")]
    #[case("x-original-url")]
    #[case("x-rewrite-url")]
    #[case("x-http-method-override")]
    #[case("forwarded")]
    #[case("x-real-ip")]
    #[case("content_length")]
    #[case("transfer_encoding")]
    #[case("auth_user")]
    fn c02_identity_fields_are_reserved_in_any_spelling(#[case] name: &str) {
        assert_eq!(classify(name, false), Class::Reserved);
    }

    #[rstest]
    #[case("x_octelium_user", Class::Reserved)]
    #[case("x_forwarded_for", Class::Reserved)]
    #[case("content_length", Class::Reserved)]
    #[case("x_octelium_auth", Class::Reserved)]
    #[case("x.http_method-override", Class::Reserved)]
    #[case("keep_alive", Class::Reserved)]
    #[case("user!id", Class::Reserved)]
    #[case("user_id", Class::EndToEnd)]
    #[case("trace.id", Class::EndToEnd)]
    #[case("grpc-timeout", Class::EndToEnd)]
    fn c02_grpc_metadata_keeps_its_spellings_except_aliases(
        #[case] name: &str,
        #[case] class: Class,
    ) {
        assert_eq!(classify(name, true), class);
    }

    #[rstest]
    #[case("accept", Class::EndToEnd)]
    #[case("x-octeliumize", Class::Reserved)]
    #[case("authorization", Class::Single)]
    #[case("connection", Class::HopByHop)]
    #[case("http2-settings", Class::HopByHop)]
    fn other_fields_are_unchanged(#[case] name: &str, #[case] class: Class) {
        assert_eq!(classify(name, false), class);
    }
}
