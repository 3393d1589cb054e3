//! Fuzzes tokens. Each token has one spelling, and unsigned tokens are rejected.
#![no_main]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    clock::UnixMillis,
    rng::SeededRng,
    token::{self, Claims, SigningKey},
};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate(&SeededRng::new(1)).unwrap());

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
    // Most inputs are not base64. Also use the input as decoded bytes, and as claims after a signature of the right
    // length.
    read(&URL_SAFE_NO_PAD.encode(bytes));
    if bytes.len() < 128 {
        let mut inner = vec![1, 0x0a, 64];
        inner.extend_from_slice(&[7; 64]);
        inner.extend_from_slice(&[0x12, u8::try_from(bytes.len()).unwrap()]);
        inner.extend_from_slice(bytes);
        read(&URL_SAFE_NO_PAD.encode(inner));
    }
});

fn read(text: &str) {
    let Ok(claims) = token::inspect(text) else {
        return;
    };
    assert_eq!(URL_SAFE_NO_PAD.encode(URL_SAFE_NO_PAD.decode(text).unwrap()), text);
    if let Some(expires_at) = claims.expires_at {
        assert!((0..=253_402_300_799_000).contains(&expires_at.0) && expires_at.0 % 1000 == 0);
        assert!(claims.check_expiry(UnixMillis(i64::MAX)).is_err());
    }
    // Our signature over the same claims yields the same contents and another signature.
    let signed = KEY.sign(&claims);
    let ours = Claims { key_id: KEY.id(), ..claims.clone() };
    assert_eq!(token::inspect(signed.expose()), Ok(ours));
    let refused = token::decode(text).unwrap().verify(&KEY.verifying_key(), claims.audience);
    assert!(refused.is_err());
}
