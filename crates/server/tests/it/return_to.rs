//! Return addresses after a login.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rstest::rstest;
use server::return_to::{InvalidReturn, LIFETIME, LONGEST, sign, verify};

use crate::replicas::{Backend, Replicas};

const STATE: &str = "state-of-a-browser";
const PLACE: &str = "https://web.localhost:8443/a%20b?c=d&e";

#[tokio::test(flavor = "multi_thread")]
async fn w01_w47_only_signed_return_addresses_are_used_and_they_expire() {
    let replicas = Replicas::start(Backend::Sqlite, 2).await;
    let signed = sign(replicas.context(0), PLACE, STATE).unwrap().unwrap();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    assert!(signed.bytes().all(is_plain), "{signed}");
    let ctx = replicas.context(1);
    let place = verify(ctx, &signed).await.unwrap();
    assert_eq!((&*place.url, &*place.state), (PLACE, STATE));

    // Another address, another browser, a longer lifetime, another key, a truncated or extended signature, and empty
    // text.
    let parts: Vec<&str> = signed.split('.').collect();
    let [key, expiry, state, _, signature] = parts[..] else {
        panic!("{signed}");
    };
    let evil = URL_SAFE_NO_PAD.encode("https://evil.localhost:8443/");
    let own = URL_SAFE_NO_PAD.encode(PLACE);
    for forged in [
        format!("{key}.{expiry}.{state}.{evil}.{signature}"),
        format!("{key}.{expiry}.other.{own}.{signature}"),
        format!("{key}.{expiry}..{own}.{signature}"),
        format!("{key}.9{expiry}.{state}.{own}.{signature}"),
        format!("00000000-0000-4000-8000-000000000000.{expiry}.{state}.{own}.{signature}"),
        format!("{key}.{expiry}.{state}.{own}.{}", &signature[1..]),
        format!("{signed}A"),
        format!("{signed}.{signature}"),
        String::new(),
        "...".to_owned(),
    ] {
        let outcome = verify(ctx, &forged).await;
        assert_eq!(outcome, Err(InvalidReturn::Invalid), "{forged}");
    }

    replicas.advance(LIFETIME.saturating_sub(Duration::from_millis(1)));
    assert!(verify(ctx, &signed).await.is_ok());
    replicas.advance(Duration::from_millis(1));
    assert_eq!(verify(ctx, &signed).await, Err(InvalidReturn::Expired));
}

#[rstest]
#[case("https://localhost:8443/")]
#[case("https://.localhost:8443/")]
#[case("https://web.localhost/")]
#[case("https://web.localhost:8444/")]
#[case("http://web.localhost:8443/")]
#[case("https://web.localhost:8443")]
#[case("https://web.localhost:8443.evil.org/")]
#[case("https://evil.org/.localhost:8443/")]
#[case("https://evil.org#.localhost:8443/")]
#[case("https://evil.org?.localhost:8443/")]
#[case("https://evil.org\\.localhost:8443/")]
#[case("https://user@web.localhost:8443/")]
#[case("https://web.localhost:8443/\\evil.org")]
#[case("https://web.localhost:8443/a\nb")]
#[case("//web.localhost:8443/")]
#[case("javascript:alert(1)")]
#[tokio::test(flavor = "multi_thread")]
async fn w01_return_addresses_of_other_sites_are_not_signed(#[case] url: &str) {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    assert_eq!(sign(replicas.context(0), url, "").unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_too_long_is_not_signed() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let url = format!("https://web.localhost:8443/{}", "a".repeat(LONGEST));
    assert_eq!(sign(replicas.context(0), &url, "").unwrap(), None);
}
