//! Benchmarks of signing, decoding and verifying tokens: `cargo bench -p domain`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use domain::{
    clock::UnixMillis,
    id::Uid,
    rng::SeededRng,
    token::{self, Claims, SigningKey, TokenType},
};

fn tokens(criterion: &mut Criterion) {
    let rng = SeededRng::new(1);
    let key = SigningKey::generate(&rng).unwrap();
    let audience = Uid::random(&rng);
    let claims = Claims {
        token_type: TokenType::Access,
        key_id: key.id(),
        subject: Uid::random(&rng),
        token_id: Uid::random(&rng),
        expires_at: Some(UnixMillis::from_seconds(1_800_000_000)),
        credential_version: 1,
        audience,
    };
    let token = key.sign(&claims);
    let verifying_key = key.verifying_key();

    let mut group = criterion.benchmark_group("token");
    group.bench_function("sign", |b| b.iter(|| key.sign(black_box(&claims))));
    group.bench_function("decode", |b| {
        b.iter(|| {
            let _ = black_box(token::decode(black_box(token.expose())));
        });
    });
    group.bench_function("decode and verify", |b| {
        b.iter(|| {
            let unverified = token::decode(black_box(token.expose())).unwrap();
            unverified.verify(&verifying_key, audience).unwrap()
        });
    });
    group.bench_function("refuse a malformed one", |b| {
        let text = "A".repeat(200);
        b.iter(|| token::decode(black_box(&text)).is_err());
    });
    group.finish();
}

criterion_group!(benches, tokens);
criterion_main!(benches);
