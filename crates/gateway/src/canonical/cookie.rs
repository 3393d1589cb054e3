//! Cookies that are ours.

use http::HeaderValue;

/// Whether a cookie of that name is for the gateway alone. Leading white space and `=` do not count: a browser sends
/// a nameless cookie of the value `a=b` as `a=b`.
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

/// Joins `Cookie` lines into one (RFC 9113 §8.2.3) without the reserved ones; `None` where none is left.
pub(super) fn clean<'a>(lines: impl Iterator<Item = &'a HeaderValue>) -> Option<HeaderValue> {
    let mut lines = lines.peekable();
    let first = lines.next()?;
    if lines.peek().is_none() && !mentions_us(first.as_bytes()) {
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

fn mentions_us(line: &[u8]) -> bool {
    line.windows(8)
        .any(|window| window.eq_ignore_ascii_case(b"octelium"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&["a=b; c=d"], Some("a=b; c=d"))]
    #[case(&["a=b", "c=d"], Some("a=b; c=d"))]
    #[case(&["octelium_auth=x"], None)]
    #[case(&["a=b; octelium_auth=x;c=d"], Some("a=b; c=d"))]
    #[case(&["a=b", "OCTELIUM_RT=x"], Some("a=b"))]
    #[case(&["__Host-octelium_auth=x; q=1"], Some("q=1"))]
    #[case(&["=octelium_auth=x; q=octelium"], Some("q=octelium"))]
    fn c22_our_cookies_are_taken_out(#[case] lines: &[&str], #[case] expected: Option<&str>) {
        let lines: Vec<HeaderValue> = lines.iter().map(|line| line.parse().unwrap()).collect();
        let cleaned = clean(lines.iter());
        assert_eq!(
            cleaned.as_ref().map(|value| value.to_str().unwrap()),
            expected
        );
    }
}
