//! The gateway's own cookies.

use http::HeaderValue;

/// The access cookie that the login sets at the host of a Service.
pub(crate) const ACCESS_COOKIE: &str = "__Host-octelium-access";
/// The cookie that identifies a browser which was redirected to the login.
pub(crate) const STATE_COOKIE: &str = "__Host-octelium-state";

/// Returns true if a cookie of this name is reserved for the gateway. Ignores leading white space and `=`: a browser
/// sends a nameless cookie with the value `a=b` as `a=b`.
pub(crate) fn is_reserved_cookie(name: &[u8]) -> bool {
    let start = name
        .iter()
        .position(|byte| !byte.is_ascii_whitespace() && *byte != b'=')
        .unwrap_or(name.len());
    let name = name.get(start..).unwrap_or_default();
    [&b"octelium_"[..], b"__host-octelium", b"__secure-octelium"]
        .iter()
        .any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
}

/// Joins `Cookie` lines into one (RFC 9113 §8.2.3) without the reserved cookies. Returns `None` if no cookie is left.
pub(super) fn clean<'a>(lines: impl Iterator<Item = &'a HeaderValue>) -> Option<HeaderValue> {
    let mut lines = lines.peekable();
    let first = lines.next()?;
    if lines.peek().is_none() && !contains_our_cookie(first.as_bytes()) {
        return Some(first.clone());
    }
    let mut joined = Vec::with_capacity(first.len());
    for line in std::iter::once(first).chain(lines) {
        for pair in line.as_bytes().split(|&byte| byte == b';') {
            let pair = pair.trim_ascii();
            if pair.is_empty() || is_reserved_cookie(pair) {
                continue;
            }
            if !joined.is_empty() {
                joined.extend_from_slice(b"; ");
            }
            joined.extend_from_slice(pair);
        }
    }
    if joined.is_empty() {
        None
    } else {
        HeaderValue::from_bytes(&joined).ok()
    }
}

/// Returns the value of one of our cookies. Returns `None` if it is missing, or if it is repeated, because then it is
/// unclear which value is ours.
pub(super) fn find<'a>(
    lines: impl Iterator<Item = &'a HeaderValue>,
    name: &str,
) -> Option<HeaderValue> {
    let pairs = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        rest.strip_prefix(b"=")
    });
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    HeaderValue::from_bytes(value.trim_ascii()).ok()
}

fn contains_our_cookie(line: &[u8]) -> bool {
    line.windows(8)
        .any(|window| window.eq_ignore_ascii_case(b"octelium"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parsed(lines: &[&str]) -> Vec<HeaderValue> {
        lines.iter().map(|line| line.parse().unwrap()).collect()
    }

    #[rstest]
    #[case(&["a=b; __Host-octelium-access=x"], Some("x"))]
    #[case(&["a=b", "__Host-octelium-access= x ;c=d"], Some("x"))]
    #[case(&["__Host-octelium-access=x; __Host-octelium-access=y"], None)]
    #[case(&["__Host-octelium-access=x", "__Host-octelium-access=x"], None)]
    #[case(&["__host-octelium-access=x; __Host-octelium-accessory=y"], None)]
    #[case(&["=__Host-octelium-access=x"], None)]
    fn w07_the_cookie_is_used_only_if_there_is_exactly_one(
        #[case] lines: &[&str],
        #[case] value: Option<&str>,
    ) {
        let found = find(parsed(lines).iter(), ACCESS_COOKIE);
        assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), value);
    }

    #[rstest]
    #[case(&["a=b; c=d"], Some("a=b; c=d"))]
    #[case(&["a=b", "c=d"], Some("a=b; c=d"))]
    #[case(&["octelium_auth=x"], None)]
    #[case(&["a=b; octelium_auth=x;c=d"], Some("a=b; c=d"))]
    #[case(&["a=b", "OCTELIUM_RT=x"], Some("a=b"))]
    #[case(&["__Host-octelium_auth=x; q=1"], Some("q=1"))]
    #[case(&["=octelium_auth=x; q=octelium"], Some("q=octelium"))]
    fn c22_cookies_of_the_gateway_are_removed(
        #[case] lines: &[&str],
        #[case] expected: Option<&str>,
    ) {
        let lines = parsed(lines);
        let cleaned = clean(lines.iter());
        assert_eq!(
            cleaned.as_ref().map(|value| value.to_str().unwrap()),
            expected
        );
    }
}
