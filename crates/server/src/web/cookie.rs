//! Cookies at the Cluster's own host. All are `__Host-`: no other host can set them, and they go to no other.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// Who is browsing.
pub(super) const SESSION: &str = "__Host-octelium-session";
/// A login at an identity provider that is under way.
pub(super) const LOGIN: &str = "__Host-octelium-login";
/// A logout at an identity provider that is under way.
pub(super) const LOGOUT: &str = "__Host-octelium-logout";

/// Along with which requests of other sites a cookie is sent (RFC 6265bis §5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SameSite {
    /// With navigations to our pages alone.
    Lax,
    /// With all: an identity provider may send its answer in a form.
    None,
}

/// The value of the cookie `name`; `None` where there is none, or more than one: then it is not clear which is ours.
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

/// Sets a cookie for `lifetime`.
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

/// Takes a cookie away.
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
    fn w07_a_cookie_counts_where_there_is_exactly_one(
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
