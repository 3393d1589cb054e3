//! Fuzzes assertions, key sets and issuer URLs. Signed contents have one interpretation, and unsigned contents are
//! rejected.
#![no_main]

use authn::{
    assertion::{self, Expected, SKEW},
    issuer::{self, HttpsUrl},
    jwk::KeySet,
    jws::Unverified,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::clock::UnixMillis;
use libfuzzer_sys::fuzz_target;

const NOW: UnixMillis = UnixMillis(1_795_305_600_000);
const EXPECTED: Expected<'static> = Expected {
    issuer: "https://a.b",
    audience: "https://c.d",
    now: NOW,
};
/// Key of RFC 8037, appendix A.2. The private part is not used here.
const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fuzz_target!(|data: &[u8]| {
    let _ = KeySet::parse(data);
    if let Ok(text) = std::str::from_utf8(data) {
        whole(text);
        url(text);
    }
    // The input as claims, with a valid header.
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA","kid":"a"}"#);
    let text = format!("{header}.{}.{}", URL_SAFE_NO_PAD.encode(data), "A".repeat(86));
    whole(&text);
});

fn whole(text: &str) {
    let Ok(unverified) = Unverified::parse(text) else {
        return;
    };
    for part in text.split('.') {
        let decoded = URL_SAFE_NO_PAD.decode(part).expect("what is accepted decodes");
        assert_eq!(URL_SAFE_NO_PAD.encode(decoded), part, "a second spelling");
    }
    if let Ok(verified) = assertion::check(unverified.claims.clone(), EXPECTED) {
        let claims = &verified.claims;
        assert_eq!(claims["iss"], EXPECTED.issuer);
        assert!(verified.ends_at > NOW);
        let issued_at = claims["iat"].as_i64().expect("a whole number");
        assert!(UnixMillis::from_seconds(issued_at) <= NOW.saturating_add(SKEW));
        assert!(!verified.subject.is_empty());
    }
    let keys = KeySet::parse(KEYS.as_bytes()).expect("a sound key");
    assert!(assertion::verify(unverified, &keys, EXPECTED).is_err(), "an unsigned assertion was accepted");
}

fn url(text: &str) {
    let canonical = issuer::canonical(text);
    if HttpsUrl::parse_issuer(text).is_ok() {
        assert_eq!(issuer::canonical(&canonical), canonical);
        let metadata = issuer::discovery_url(text).expect("an issuer has metadata");
        assert_eq!(metadata.uri().scheme_str(), Some("https"));
    }
}
