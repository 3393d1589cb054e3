//! Fuzzes SAML responses: arbitrary bytes, and genuine responses with replaced parts. Accepted responses contain only
//! signed data.
#![no_main]

use std::sync::LazyLock;

use authn::saml::{
    Expected, Incoming, Login, MetadataOptions, Provider, ServiceProvider, finish_login, read_logout_request,
    testing::{Draft, IdentityProvider, NOW, Signed, posted, service_provider},
};
use libfuzzer_sys::fuzz_target;

struct World {
    service: ServiceProvider,
    provider: Provider,
    genuine: Vec<(String, Login)>,
}

const EXPECTED: Expected<'static> = Expected {
    request_id: "_q1",
    requested_at: NOW,
    force_authn: false,
};

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let idp = IdentityProvider::new("https://idp.example.org").unwrap();
    let service = service_provider("example.com").unwrap();
    let document = idp.metadata("https://idp.example.org");
    let provider = Provider::from_metadata(&document, MetadataOptions::default(), NOW).unwrap();
    let genuine = [Signed::Response, Signed::Assertion, Signed::Both]
        .into_iter()
        .map(|signed| {
            let draft = Draft { signed, ..Draft::new(&idp, "example.com", "_q1") };
            let document = draft.write(&idp).unwrap();
            let login = finish_login(&service, &provider, &posted(&document), EXPECTED, NOW).unwrap();
            (document, login)
        })
        .collect();
    World { service, provider, genuine }
});

fn finish(document: &str) -> Option<Login> {
    finish_login(&WORLD.service, &WORLD.provider, &posted(document), EXPECTED, NOW).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert_eq!(finish(text), None, "an unsigned response was accepted");
    let incoming = Incoming::Redirect { query: text };
    assert!(read_logout_request(&WORLD.service, &WORLD.provider, incoming, NOW).is_err());

    // The first bytes select a part of a genuine response, which the other bytes replace.
    let [which, from, to, length, ..] = *bytes else { return };
    let Some(insert) = text.get(4..) else { return };
    let (document, login) = &WORLD.genuine[usize::from(which) % 3];
    let start = (usize::from(from) << 8 | usize::from(to)) % document.len();
    let end = (start + usize::from(length)).min(document.len());
    let mut changed = document.clone();
    if changed.is_char_boundary(start) && changed.is_char_boundary(end) {
        changed.replace_range(start..end, insert);
        if let Some(read) = finish(&changed) {
            assert_eq!(&read, login);
        }
    }
});
