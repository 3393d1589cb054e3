//! Cost of second factors and their metadata, compared with the bare cryptography: `cargo bench -p authn --bench
//! factors`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use std::{fmt::Write as _, hint::black_box};

use authn::{
    mds::{Metadata, PUBLISHER, Trust, testing::Publisher},
    totp::{self, Parameters},
    webauthn::{
        Algorithm, AuthenticationResponse, Embedding, Expected, PublicKey, RegistrationResponse,
        Stored, authenticate, register,
    },
};
use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use criterion::{Criterion, criterion_group, criterion_main};
use domain::clock::UnixMillis;
use serde_json::{Value, json};

/// 2026-11-26.
const NOW: UnixMillis = UnixMillis(1_795_651_200_000);
/// Number of models and size in bytes of the published metadata.
const MODELS: usize = 350;
const OCTETS: usize = 6 * 1024 * 1024;

fn codes(criterion: &mut Criterion) {
    let secret = [7_u8; 20];
    let mut group = criterion.benchmark_group("totp");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
    group.bench_function("peer: three HMAC-SHA-1", |b| {
        b.iter(|| {
            for step in [1_u64, 2, 3] {
                black_box(hmac::sign(&key, &step.to_be_bytes()));
            }
        });
    });
    group.bench_function("verify", |b| {
        let parameters = Parameters::default();
        b.iter(|| totp::matched_step(&secret, parameters, black_box("000000"), 0, NOW));
    });
    group.finish();
}

fn keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fido");
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let message = digest(&SHA256, b"message");
    let signature = key.sign(&SystemRandom::new(), message.as_ref()).unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
    group.bench_function("peer: one ECDSA P-256 verification", |b| {
        b.iter(|| {
            let verified = public.verify(black_box(message.as_ref()), signature.as_ref());
            verified.unwrap();
        });
    });
    let vectors = include_str!("../tests/data/webauthn/w3c-vectors.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    for vector in vectors["vectors"].as_array().unwrap() {
        pair(&mut group, vector);
    }
    group.finish();
}

/// Benchmarks one of the public test vectors.
fn pair(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    vector: &Value,
) {
    let of = |part: &str, name: &str| {
        URL_SAFE_NO_PAD
            .decode(vector[part][name].as_str().unwrap())
            .unwrap()
    };
    let id = of("registration", "credential_id");
    let created = of("registration", "clientDataJSON");
    let object = of("registration", "attestationObject");
    let challenge = of("registration", "challenge");
    let expected = |challenge| Expected {
        rp_id: "example.org",
        origins: &["https://example.org"],
        embedding: Embedding::Within(&["https://example.com"]),
        challenge,
        user_verification: false,
    };
    let response = RegistrationResponse {
        credential_id: &id,
        client_data: &created,
        attestation_object: &object,
    };
    let name = vector["id"].as_str().unwrap();
    let Ok(registered) = register(response, &expected(&challenge), &Algorithm::ASKED_FOR) else {
        return;
    };
    group.bench_function(format!("register, {name}"), |b| {
        b.iter(|| {
            let expected = expected(&challenge);
            register(black_box(response), &expected, &Algorithm::ASKED_FOR).unwrap()
        });
    });
    let got = of("authentication", "clientDataJSON");
    let data = of("authentication", "authenticatorData");
    let signature = of("authentication", "signature");
    let challenge = of("authentication", "challenge");
    let response = AuthenticationResponse {
        client_data: &got,
        authenticator_data: &data,
        signature: &signature,
    };
    group.bench_function(format!("authenticate, {name}"), |b| {
        b.iter(|| {
            // The key is parsed from its stored form.
            let key = PublicKey::parse(&registered.encoded_key).unwrap();
            let stored = Stored {
                public_key: &key,
                sign_count: registered.sign_count,
                backup_eligible: registered.flags.backup_eligible,
            };
            authenticate(black_box(response), stored, &expected(&challenge)).unwrap()
        });
    });
}

fn metadata(criterion: &mut Criterion) {
    let publisher = Publisher::fido();
    let root = STANDARD.encode(&publisher.root);
    let filler = "x".repeat(OCTETS / 4 * 3 / MODELS);
    let entries: Vec<Value> = (0..MODELS)
        .map(|number| {
            let mut aaguid = "00000000-0000-0000-0000-".to_owned();
            let _ = write!(aaguid, "{:012x}", number + 1);
            json!({
                "aaguid": aaguid,
                "metadataStatement": {
                    "description": format!("Model {number}"),
                    "keyProtection": ["hardware", "secure_element"],
                    "attestationRootCertificates": [root, root],
                    "icon": filler,
                },
                "statusReports": [
                    {"status": "FIDO_CERTIFIED_L1", "effectiveDate": "2020-01-01"},
                    {"status": "FIDO_CERTIFIED_L2", "effectiveDate": "2021-01-01"},
                ],
            })
        })
        .collect();
    let document = json!({"no": 200, "nextUpdate": "2027-01-01", "entries": entries});
    let blob = publisher.publish(&document).into_bytes();
    let anchors = [publisher.root.clone()];
    let trust = Trust {
        anchors: &anchors,
        publisher: PUBLISHER,
    };
    let mut group = criterion.benchmark_group("metadata");
    group.sample_size(20);
    group.throughput(criterion::Throughput::Bytes(blob.len() as u64));
    group.bench_function("peer: one SHA-256 of all", |b| {
        b.iter(|| digest(&SHA256, black_box(&blob)));
    });
    group.bench_function("verify", |b| {
        b.iter(|| Metadata::verify(black_box(&blob), trust, Some(100), NOW).unwrap());
    });
    group.finish();
}

criterion_group!(benches, codes, keys, metadata);
criterion_main!(benches);
