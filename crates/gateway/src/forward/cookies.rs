//! Cookies that an upstream sets.

use http::{HeaderMap, HeaderValue, header};

use crate::canonical::is_reserved_cookie;

/// Removes cookies with our names, and the `Domain` of the others. A Service's cookies are valid only at its host, so
/// it cannot plant one at another Service or at the login (RFC 6265 §8.6).
pub(crate) fn clean(headers: &mut HeaderMap) {
    if !headers.contains_key(header::SET_COOKIE) {
        return;
    }
    let header::Entry::Occupied(entry) = headers.entry(header::SET_COOKIE) else {
        return;
    };
    let (_, cookies) = entry.remove_entry_mult();
    let kept: Vec<HeaderValue> = cookies.filter_map(clean_one).collect();
    for cookie in kept {
        headers.append(header::SET_COOKIE, cookie);
    }
}

fn clean_one(cookie: HeaderValue) -> Option<HeaderValue> {
    let bytes = cookie.as_bytes();
    if is_reserved_cookie(bytes) {
        return None;
    }
    let mut parts = bytes.split(|&byte| byte == b';');
    let pair = parts.next()?;
    let is_domain = |attribute: &&[u8]| {
        let name = attribute
            .split(|&byte| byte == b'=')
            .next()
            .unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"domain")
    };
    if !parts.clone().any(|attribute| is_domain(&attribute)) {
        return Some(cookie);
    }
    let mut kept = pair.to_vec();
    for attribute in parts.filter(|attribute| !is_domain(attribute)) {
        kept.push(b';');
        kept.extend_from_slice(attribute);
    }
    HeaderValue::from_bytes(&kept).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean_all(cookies: &[&'static str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::SET_COOKIE, HeaderValue::from_static(cookie));
        }
        clean(&mut headers);
        headers
            .get_all(header::SET_COOKIE)
            .iter()
            .map(|cookie| cookie.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn w42_an_upstream_cannot_plant_our_cookies() {
        let planted = [
            "octelium_auth=x",
            "Octelium_rt=x; Path=/",
            " octelium_login_state=x",
            "__Host-octelium_auth=x; Secure; Path=/",
            "__host-octelium=x",
            "=octelium_auth=x",
            "octelium_auth",
        ];
        assert_eq!(clean_all(&planted), Vec::<String>::new());
    }

    #[test]
    fn c22_cookies_of_a_service_stay_at_its_host() {
        let cleaned = clean_all(&[
            "a=1; Domain=example.com; Path=/",
            "b=2; domain = .example.com",
            "c=3; Path=/; Secure; DOMAIN=x; HttpOnly",
            "d=4; Path=/",
        ]);
        assert_eq!(
            cleaned,
            [
                "a=1; Path=/",
                "b=2",
                "c=3; Path=/; Secure; HttpOnly",
                "d=4; Path=/"
            ]
        );
    }
}
