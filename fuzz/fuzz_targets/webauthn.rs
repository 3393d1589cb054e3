//! Fuzzes WebAuthn registrations and authentications: arbitrary bytes, and genuine ones with replaced parts. Unsigned
//! responses are rejected, and registered credentials can be stored.
#![no_main]

use std::sync::LazyLock;

use authn::webauthn::{
    Algorithm, AuthenticationJson, AuthenticationResponse, Embedding, Expected, PublicKey, Registered,
    RegistrationJson, RegistrationResponse, Stored, authenticate, register,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const ALGORITHMS: [Algorithm; 8] = Algorithm::ASKED_FOR;

/// A registration and an authentication from the public test vectors.
struct Genuine {
    challenges: [Vec<u8>; 2],
    id: Vec<u8>,
    client_data: [Vec<u8>; 2],
    object: Vec<u8>,
    data: Vec<u8>,
    signature: Vec<u8>,
    registered: Registered,
}

static GENUINE: LazyLock<Vec<Genuine>> = LazyLock::new(|| {
    let vectors = include_str!("../../crates/authn/tests/data/webauthn/w3c-vectors.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    vectors.iter().filter_map(genuine).collect()
});

fn genuine(vector: &Value) -> Option<Genuine> {
    let of = |part: &str, name: &str| URL_SAFE_NO_PAD.decode(vector[part][name].as_str().unwrap()).unwrap();
    let both = |name: &str| [of("registration", name), of("authentication", name)];
    let (challenges, client_data) = (both("challenge"), both("clientDataJSON"));
    let (id, object) = (of("registration", "credential_id"), of("registration", "attestationObject"));
    let response =
        RegistrationResponse { credential_id: &id, client_data: &client_data[0], attestation_object: &object };
    let registered = register(response, &expected(&challenges[0]), &ALGORITHMS).ok()?;
    Some(Genuine {
        data: of("authentication", "authenticatorData"),
        signature: of("authentication", "signature"),
        challenges,
        id,
        client_data,
        object,
        registered,
    })
}

fn expected(challenge: &[u8]) -> Expected<'_> {
    Expected {
        rp_id: "example.org",
        origins: &["https://example.org"],
        embedding: Embedding::Within(&["https://example.com"]),
        challenge,
        user_verification: false,
    }
}

/// Replaces a part of `genuine` with `bytes`.
fn exchanged(genuine: &[u8], from: usize, length: usize, bytes: &[u8]) -> Vec<u8> {
    let start = from % (genuine.len() + 1);
    let end = (start + length).min(genuine.len());
    [&genuine[..start], bytes, &genuine[end..]].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let _ = PublicKey::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        // The input as a browser response. Without a valid signature it must not authenticate.
        if let Ok(sent) = RegistrationJson::read(text) {
            let _ = register(sent.response(), &expected(b"challenge"), &ALGORITHMS);
        }
        if let Ok(sent) = AuthenticationJson::read(text) {
            let key = &GENUINE[0].registered;
            let stored = Stored { public_key: &key.public_key, sign_count: 0, backup_eligible: false };
            assert!(authenticate(sent.response(), stored, &expected(b"challenge")).is_err());
        }
    }
    let [which, part, high, low, length, ref bytes @ ..] = *bytes else { return };
    let genuine = &GENUINE[usize::from(which) % GENUINE.len()];
    let change = |it: &[u8]| exchanged(it, usize::from(high) << 8 | usize::from(low), usize::from(length), bytes);
    let [mut creating, mut getting] = genuine.client_data.clone();
    let (mut object, mut data, mut signature) = (genuine.object.clone(), genuine.data.clone(), genuine.signature.clone());
    match part % 5 {
        0 => creating = change(&creating),
        1 => object = change(&object),
        2 => getting = change(&getting),
        3 => data = change(&data),
        _ => signature = change(&signature),
    }
    let response =
        RegistrationResponse { credential_id: &genuine.id, client_data: &creating, attestation_object: &object };
    if let Ok(registered) = register(response, &expected(&genuine.challenges[0]), &ALGORITHMS) {
        assert_eq!(PublicKey::parse(&registered.encoded_key), Ok(registered.public_key));
        assert_eq!(registered.credential_id, genuine.id);
    }
    let response =
        AuthenticationResponse { client_data: &getting, authenticator_data: &data, signature: &signature };
    let stored = Stored {
        public_key: &genuine.registered.public_key,
        sign_count: genuine.registered.sign_count,
        backup_eligible: genuine.registered.flags.backup_eligible,
    };
    if authenticate(response, stored, &expected(&genuine.challenges[1])).is_ok() {
        // An ECDSA signature has a second valid form, but the signed contents must be the same.
        assert_eq!((getting, data), (genuine.client_data[1].clone(), genuine.data.clone()));
    }
});
