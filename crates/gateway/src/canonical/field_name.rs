//! What the name of a header field says about it.

use crate::canonical::names::{Folded, has_prefix, is_plain};

/// What becomes of a request field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Seen by Policy and upstream.
    EndToEnd,
    /// The same, and it stands for one value.
    Single,
    /// Meant for us as the next hop.
    HopByHop,
    /// Only we may say it.
    Reserved,
}

/// Classifies a name, which is in lower case. In gRPC metadata, names may also have `_` and `.`; elsewhere such a name
/// is an alias that an upstream may fold into another one. An alias of a field that is not end-to-end never passes.
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
        // It announces trailers to the next hop, and ours are other ones.
        "trailer" => Class::HopByHop,
        _ if is_hop_by_hop_plain(name) => Class::HopByHop,
        _ if is_reserved(name) => Class::Reserved,
        _ => Class::EndToEnd,
    }
}

/// The characters of metadata keys in gRPC over HTTP/2.
fn is_metadata_name(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// RFC 9110 §7.6.1, and what browsers and old proxies send besides, in any spelling. `Expect` is answered by us.
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

/// Whether a field may never be a trailer (RFC 9110 §6.5.1): it frames or routes the message, authenticates, or
/// describes the content, and whoever merges trailers into the head would act on it.
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

/// `x-octelium-…` in any spelling.
pub(crate) fn is_ours(name: &str) -> bool {
    has_prefix(name, "x-octelium")
}

/// What proxies say of a request, and what makes an upstream see another request than the one decided.
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
    fn other_fields_are_what_they_are(#[case] name: &str, #[case] class: Class) {
        assert_eq!(classify(name, false), class);
    }
}
