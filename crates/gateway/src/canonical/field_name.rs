//! What the name of a header field says about it.

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

/// Classifies a name, which is in lower case. `foreign_spelling`: whether names with other characters than letters,
/// digits and `-` mean something of their own (in gRPC metadata) rather than being an alias that an upstream folds.
pub(super) fn classify(name: &str, foreign_spelling: bool) -> Class {
    match name {
        "authorization" | "content-length" | "content-type" | "host" | "origin" | "range"
        | "x-octelium-auth" => return Class::Single,
        _ if is_hop_by_hop(name) => return Class::HopByHop,
        _ => {}
    }
    if name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return if is_reserved(name) {
            Class::Reserved
        } else {
            Class::EndToEnd
        };
    }
    if !foreign_spelling {
        return Class::Reserved;
    }
    let folded: String = name
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() {
                character
            } else {
                '-'
            }
        })
        .collect();
    if is_reserved(&folded) || classify(&folded, false) != Class::EndToEnd {
        Class::Reserved
    } else {
        Class::EndToEnd
    }
}

/// RFC 9110 §7.6.1, and what browsers and old proxies send besides. `Expect` is answered by us.
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
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

/// `x-octelium-…` in any spelling.
pub(crate) fn is_ours(name: &str) -> bool {
    const PREFIX: &[u8] = b"x-octelium";
    name.len() >= PREFIX.len()
        && name
            .bytes()
            .zip(PREFIX)
            .all(|(byte, &expected)| match expected {
                b'-' => !byte.is_ascii_alphanumeric(),
                expected => byte.eq_ignore_ascii_case(&expected),
            })
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
