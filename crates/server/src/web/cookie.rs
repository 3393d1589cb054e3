//! Cookies of the Cluster's own host. All have the prefix `__Host-`: other hosts can neither set nor receive them.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// Identifies the Session of the browser.
pub(super) const SESSION: &str = "__Host-octelium-session";
/// State of a pending login at an identity provider.
pub(super) const LOGIN: &str = "__Host-octelium-login";
/// State of a pending logout at an identity provider.
pub(super) const LOGOUT: &str = "__Host-octelium-logout";

/// The `SameSite` attribute (RFC 6265bis §5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SameSite {
    /// Sent only with top-level navigations from other sites.
    Lax,
    /// Sent with all requests: an identity provider may post its answer as a form.
    None,
}

/// Returns the value of the cookie `name`. Returns `None` if it is absent, or present more than once and so ambiguous.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let mut values = lines.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.trim())
    });
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

pub(super) fn set(
    name: &str,
    value: &str,
    same_site: SameSite,
    lifetime: Duration,
) -> Option<HeaderValue> {
    let same_site = match same_site {
        SameSite::Lax => "Lax",
        SameSite::None => "None",
    };
    let seconds = lifetime.as_secs();
    let text = format!(
        "{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite={same_site}"
    );
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns an expired cookie, which deletes `name`.
pub(super) fn clear(name: &str, same_site: SameSite) -> Option<HeaderValue> {
    set(name, "", same_site, Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&["__Host-octelium-session=a"], Some("a"))]
    #[case(&["x=1; __Host-octelium-session=a; y=2"], Some("a"))]
    #[case(&["x=1", "__Host-octelium-session=a"], Some("a"))]
    #[case(&["x=1"], None)]
    #[case(&["__host-octelium-session=a"], None)]
    #[case(&["octelium-session=a; __Host-octelium-sessio=b"], None)]
    #[case(&["__Host-octelium-session=a; __Host-octelium-session=b"], None)]
    #[case(&["__Host-octelium-session=a", "__Host-octelium-session=a"], None)]
    fn w07_a_cookie_is_used_only_if_there_is_exactly_one(
        #[case] lines: &[&'static str],
        #[case] value: Option<&str>,
    ) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_static(line));
        }
        assert_eq!(find(&headers, SESSION), value);
    }

    #[test]
    fn w07_cookies_are_for_this_host_alone() {
        let cookie = set(SESSION, "v", SameSite::Lax, Duration::from_mins(1)).unwrap();
        assert_eq!(
            cookie,
            "__Host-octelium-session=v; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
        );
    }
}
