//! Cost of reading a SAML response: `cargo bench -p authn --bench saml`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use authn::saml::{
    Expected, MetadataOptions, Provider, begin_login, finish_login,
    testing::{Content, Draft, IdentityProvider, NOW, Signed, Wrap, posted, service_provider},
};
use criterion::{Criterion, criterion_group, criterion_main};
use domain::rng::SystemRng;

fn logins(criterion: &mut Criterion) {
    let idp = IdentityProvider::new("https://idp.example.org").unwrap();
    let service = service_provider("example.com").unwrap();
    let metadata = idp.metadata("https://idp.example.org");
    let read = || Provider::from_metadata(&metadata, MetadataOptions::default(), NOW).unwrap();
    let provider = read();
    let expected = Expected {
        request_id: "_q1",
        requested_at: NOW,
        force_authn: false,
    };
    let certificate = service.decryption.first().unwrap().certificate().clone();
    let plain = Draft::new(&idp, "example.com", "_q1");
    let both = Draft {
        signed: Signed::Both,
        ..plain.clone()
    };
    let encrypted = Draft {
        encrypted: Some((certificate, Content::Aes256Gcm, Wrap::OaepSha256)),
        ..plain.clone()
    };

    let mut group = criterion.benchmark_group("saml");
    group.bench_function("begin", |b| {
        b.iter(|| begin_login(&service, &provider, Some("state"), false, &SystemRng, NOW).unwrap());
    });
    for (name, draft) in [
        ("finish, assertion signed", plain),
        ("finish, both signed", both),
        ("finish, encrypted", encrypted),
    ] {
        let message = posted(&draft.write(&idp).unwrap());
        group.bench_function(name, |b| {
            b.iter(|| {
                finish_login(&service, &provider, black_box(&message), expected, NOW).unwrap()
            });
        });
    }
    group.bench_function("metadata", |b| b.iter(read));
    group.finish();
}

criterion_group!(benches, logins);
criterion_main!(benches);
