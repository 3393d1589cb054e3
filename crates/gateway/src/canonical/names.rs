//! Comparison of header names the way upstreams may fold them: `X_Remote.User` is `X-Remote-User`.
//!
//! CGI, WSGI and many frameworks replace `_`, `.` and `-` by one character and ignore case (RFC 3875 §4.1.18). So the
//! gateway treats all spellings of a name alike.

use http::{HeaderMap, HeaderName};

/// Longer than any name or prefix that the gateway knows, in bytes.
const LONGEST_KNOWN: usize = 32;

/// Returns true if a name has only letters, digits and `-`. In lower case, such a name equals its folded form.
pub(crate) fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Returns true if two names are spellings of the same name.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one
            .bytes()
            .zip(other.bytes())
            .all(|(one, other)| fold(one) == fold(other))
}

/// Returns true if a name starts with `prefix` in any spelling.
pub(crate) fn has_prefix(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len()
        && name
            .bytes()
            .zip(prefix.bytes())
            .all(|(byte, expected)| fold(byte) == fold(expected))
}

fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

/// The folded form of a name, truncated to 32 bytes. Known names and prefixes are shorter, so comparisons with them are
/// exact. It needs no allocation.
pub(super) struct Folded {
    bytes: [u8; LONGEST_KNOWN],
    length: usize,
}

impl Folded {
    pub(super) fn new(name: &str) -> Self {
        let mut bytes = [0; LONGEST_KNOWN];
        for (folded, byte) in bytes.iter_mut().zip(name.bytes()) {
            *folded = fold(byte);
        }
        Self {
            bytes,
            length: name.len().min(LONGEST_KNOWN),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// A set of names. Each matches all its spellings.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names(Vec<HeaderName>);

impl Names {
    /// Adds a name in its folded form.
    pub(crate) fn insert(&mut self, name: &HeaderName) {
        if self.contains(name.as_str()) {
            return;
        }
        let folded: Vec<u8> = name.as_str().bytes().map(fold).collect();
        self.0.extend(HeaderName::from_bytes(&folded));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|known| is_same(known.as_str(), name))
    }

    /// Removes every spelling of every name.
    pub(crate) fn remove_from(&self, headers: &mut HeaderMap) {
        for name in &self.0 {
            headers.remove(name);
        }
        remove_foreign(headers, |name| self.contains(name));
    }
}

/// Removes every spelling of `name`.
pub(crate) fn remove_spellings(headers: &mut HeaderMap, name: &HeaderName) {
    headers.remove(name);
    if !is_plain(name.as_str()) {
        let folded = Folded::new(name.as_str());
        if name.as_str().len() < LONGEST_KNOWN {
            headers.remove(folded.as_str());
        } else {
            let folded: String = name.as_str().bytes().map(fold).map(char::from).collect();
            headers.remove(folded.as_str());
        }
    }
    remove_foreign(headers, |other| is_same(name.as_str(), other));
}

/// Removes matching names that are not plain. Allocates only if there are any.
fn remove_foreign(headers: &mut HeaderMap, matches: impl Fn(&str) -> bool) {
    let foreign: Vec<HeaderName> = headers
        .keys()
        .filter(|name| !is_plain(name.as_str()) && matches(name.as_str()))
        .cloned()
        .collect();
    for name in foreign {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("x-remote-user", "x-remote-user", true)]
    #[case("x-remote-user", "x_remote.user", true)]
    #[case("x_remote_user", "X.Remote-User", true)]
    #[case("x-remote-user", "xremoteuser", false)]
    #[case("x-remote-user", "x-remote-users", false)]
    fn spellings_of_one_name_are_the_same_s04(
        #[case] one: &str,
        #[case] other: &str,
        #[case] same: bool,
    ) {
        assert_eq!(is_same(one, other), same);
    }

    #[test]
    fn removing_a_name_removes_every_spelling_s04() {
        let long = "x-a-name-that-is-longer-than-any-that-the-gateway-knows-of";
        for name in ["x-remote-user", "x_remote_user", "x.remote-user", long] {
            let mut headers = HeaderMap::new();
            for spelling in [
                name.to_owned(),
                name.replace(['-', '.'], "_"),
                name.replace(['-', '_'], "."),
                name.replace(['_', '.'], "-"),
            ] {
                let spelling = HeaderName::from_bytes(spelling.as_bytes()).unwrap();
                headers.append(spelling, HeaderValue::from_static("admin"));
            }
            headers.insert("x-kept_too", HeaderValue::from_static("kept"));
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            let mut names = Names::default();
            names.insert(&name);
            let mut by_set = headers.clone();
            names.remove_from(&mut by_set);
            remove_spellings(&mut headers, &name);
            assert_eq!(headers.len(), 1, "{name} {headers:?}");
            assert_eq!(by_set, headers);
        }
    }

    #[test]
    fn a_truncated_name_matches_no_known_name() {
        let known = "x-forwarded-user";
        let cut = Folded::new("x_forwarded_user_and_more_than_thirty_two_bytes");
        assert_ne!(cut.as_str(), known);
        assert!(cut.as_str().starts_with(known));
        assert_eq!(Folded::new("X_Forwarded.User").as_str(), known);
    }
}
