//! Fuzzes SAML metadata. Accepted metadata can start a login, and lead only to web URLs.
#![no_main]

use std::sync::LazyLock;

use authn::saml::{
    MetadataOptions, Outgoing, Provider, ServiceProvider, begin_login,
    testing::{IdentityProvider, NOW, service_provider},
};
use domain::rng::SeededRng;
use libfuzzer_sys::fuzz_target;

static SERVICE: LazyLock<ServiceProvider> = LazyLock::new(|| service_provider("example.com").unwrap());
static GENUINE: LazyLock<String> = LazyLock::new(|| {
    let idp = IdentityProvider::new("https://idp.example.org").unwrap();
    idp.metadata("https://idp.example.org")
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    read(text);
    // The first bytes select a part of genuine metadata, which the other bytes replace.
    let [from, to, length, ..] = *bytes else { return };
    let Some(insert) = text.get(3..) else { return };
    let start = (usize::from(from) << 8 | usize::from(to)) % GENUINE.len();
    let end = (start + usize::from(length)).min(GENUINE.len());
    let mut changed = GENUINE.clone();
    changed.replace_range(start..end, insert);
    read(&changed);
});

fn read(document: &str) {
    let Ok(provider) = Provider::from_metadata(document, MetadataOptions::default(), NOW) else {
        return;
    };
    assert!(!provider.signing.is_empty() && !provider.entity_id.is_empty());
    let request = begin_login(&SERVICE, &provider, None, false, &SeededRng::new(1), NOW).unwrap();
    let (Outgoing::Redirect { url } | Outgoing::Post { action: url, .. }) = request.message;
    assert!(url.starts_with("https://") || url.starts_with("http://localhost") || url.starts_with("http://127.0.0.1")
        || url.starts_with("http://[::1]"));
    assert!(url.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(provider.refresh_at(NOW) > NOW);
}
