use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ciborium::Value;
use domain::clock::UnixMillis;
use rstest::rstest;
use serde::Deserialize;

use super::*;
use crate::x509;

mod attested;

/// 2026-01-01.
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
/// COSE algorithm and curve of Ed448, which is not supported.
const ED448: [i64; 2] = [-53, 7];

#[derive(Deserialize)]
struct Vectors {
    rp_id: String,
    origin: String,
    top_origin: String,
    attestation_root: String,
    #[serde(rename = "vectors")]
    pairs: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    registration: Registration,
    authentication: Authentication,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    challenge: String,
    aaguid: String,
    #[serde(rename = "credential_id")]
    credential_id: String,
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    attestation_object: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authentication {
    challenge: String,
    authenticator_data: String,
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    signature: String,
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a variable can select another set of vectors"
)]
fn w3c_vectors() {
    let path = std::env::var("W3C_VECTORS").unwrap_or_else(|_| {
        format!(
            "{}/tests/data/webauthn/w3c-vectors.json",
            env!("CARGO_MANIFEST_DIR")
        )
    });
    let vectors: Vectors = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for vector in &vectors.pairs {
        match run(&vectors, vector) {
            Ok(true) => passed += 1,
            Ok(false) => {
                println!("skipped {}: Ed448 is not claimed", vector.id);
                skipped += 1;
            }
            Err(why) => {
                println!("FAILED {}: {why}", vector.id);
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    assert_eq!(failed, 0);
    assert!(passed > 0);
}

/// Returns false if the vector is skipped.
fn run(vectors: &Vectors, vector: &Vector) -> std::result::Result<bool, String> {
    let Registration {
        challenge,
        aaguid,
        credential_id,
        client_data,
        attestation_object,
    } = &vector.registration;
    let origins = [vectors.origin.as_str()];
    let top = [vectors.top_origin.as_str()];
    let expected = |challenge| Expected {
        rp_id: &vectors.rp_id,
        origins: &origins,
        embedding: Embedding::Within(&top),
        challenge,
        user_verification: false,
    };
    let response = RegistrationResponse {
        credential_id: &decode(credential_id),
        client_data: &decode(client_data),
        attestation_object: &decode(attestation_object),
    };
    let algorithms = [
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::EdDsa,
        Algorithm::Rs256,
    ];
    let challenge = decode(challenge);
    let registered = match register(response, &expected(&challenge), &algorithms) {
        Err(Refusal::Algorithm(number)) if ED448.contains(&number) => return Ok(false),
        Err(Refusal::Key("its curve is not Ed25519")) if vector.id.contains("ed448") => {
            return Ok(false);
        }
        registered => registered.map_err(|refusal| format!("registration: {refusal}"))?,
    };
    if registered.aaguid.0.as_slice() != decode(aaguid) {
        return Err(format!("model {}", registered.aaguid));
    }
    if let Statement::Certified(chain) = &registered.attestation.statement {
        let root = decode(&vectors.attestation_root);
        x509::verify_chain(chain, &[root], NOW).map_err(|error| format!("chain: {error}"))?;
        let trusted = x509::verify_chain(chain, &[], NOW);
        if trusted != Err(x509::ChainError::Untrusted) {
            return Err(format!("trusted without an authority: {trusted:?}"));
        }
    }
    let Authentication {
        challenge,
        authenticator_data,
        client_data,
        signature,
    } = &vector.authentication;
    let (data, client_data, signature) = (
        decode(authenticator_data),
        decode(client_data),
        decode(signature),
    );
    let response = AuthenticationResponse {
        client_data: &client_data,
        authenticator_data: &data,
        signature: &signature,
    };
    let key = PublicKey::parse(&registered.encoded_key).map_err(|error| error.to_string())?;
    let stored = Stored {
        public_key: &key,
        sign_count: registered.sign_count,
        backup_eligible: registered.flags.backup_eligible,
    };
    let challenge = decode(challenge);
    authenticate(response, stored, &expected(&challenge))
        .map_err(|refusal| format!("authentication: {refusal}"))?;
    let other = authenticate(response, stored, &expected(b"another challenge"));
    if other != Err(Refusal::Challenge) {
        return Err(format!("with another challenge: {other:?}"));
    }
    Ok(true)
}

const RP: &str = "example.com";
const ORIGIN: &str = "https://example.com:8443";
const CHALLENGE: &[u8] = b"sixteen bytes or more";
const ID: &[u8] = b"credential";

fn expecting() -> Expected<'static> {
    Expected {
        rp_id: RP,
        origins: &[ORIGIN],
        embedding: Embedding::Refused,
        challenge: CHALLENGE,
        user_verification: true,
    }
}

/// A configurable software authenticator.
struct Authenticator {
    key: EcdsaKeyPair,
    flags: u8,
    count: u32,
    rp_id: &'static str,
}

const UP: u8 = 0x01;
const UV: u8 = 0x04;
const BE: u8 = 0x08;
const BS: u8 = 0x10;

impl Authenticator {
    fn new() -> Self {
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            flags: UP | UV,
            count: 7,
            rp_id: RP,
        }
    }

    fn cose(&self) -> Value {
        let point = self.key.public_key().as_ref();
        map([
            (1, Value::from(2)),
            (3, Value::from(-7)),
            (-1, Value::from(1)),
            (-2, Value::from(&point[1..33])),
            (-3, Value::from(&point[33..65])),
        ])
    }

    fn head(&self, flags: u8) -> Vec<u8> {
        [
            digest(&SHA256, self.rp_id.as_bytes()).as_ref(),
            &[flags],
            &self.count.to_be_bytes(),
        ]
        .concat()
    }

    fn data(&self, cose: &Value) -> Vec<u8> {
        let mut data = self.head(self.flags | 0x40);
        data.extend([9; 16]);
        data.extend(u16::try_from(ID.len()).unwrap().to_be_bytes());
        data.extend(ID);
        data.extend(encode(cose));
        data
    }

    /// Returns a self-attested registration.
    fn register(&self) -> Registering {
        let client_data = client_data("webauthn.create", ORIGIN, "");
        let data = self.data(&self.cose());
        let hash = digest(&SHA256, client_data.as_bytes());
        let signature = self.sign(&[data.as_slice(), hash.as_ref()].concat());
        let statement = Value::Map(vec![
            ("alg".into(), (-7).into()),
            ("sig".into(), signature.as_slice().into()),
        ]);
        Registering {
            client_data,
            format: "packed",
            statement,
            data,
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().to_vec()
    }

    fn authenticate(
        &self,
        client_data: &str,
        stored: Stored<'_>,
        expected: &Expected<'_>,
    ) -> Result<Authenticated> {
        let data = self.head(self.flags);
        let hash = digest(&SHA256, client_data.as_bytes());
        let signature = self.sign(&[data.as_slice(), hash.as_ref()].concat());
        let response = AuthenticationResponse {
            client_data: client_data.as_bytes(),
            authenticator_data: &data,
            signature: &signature,
        };
        authenticate(response, stored, expected)
    }
}

struct Registering {
    client_data: String,
    format: &'static str,
    statement: Value,
    data: Vec<u8>,
}

impl Registering {
    fn check(&self, expected: &Expected<'_>) -> Result<Registered> {
        let object = Value::Map(vec![
            ("fmt".into(), self.format.into()),
            ("attStmt".into(), self.statement.clone()),
            ("authData".into(), self.data.as_slice().into()),
        ]);
        let response = RegistrationResponse {
            credential_id: ID,
            client_data: self.client_data.as_bytes(),
            attestation_object: &encode(&object),
        };
        register(response, expected, &Algorithm::ASKED_FOR)
    }
}

fn client_data(kind: &str, origin: &str, more: &str) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(CHALLENGE);
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{more}}}"#)
}

fn map<const N: usize>(entries: [(i64, Value); N]) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| (Value::from(key), value))
            .collect(),
    )
}

fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

#[test]
fn registered_credentials_authenticate() {
    let authenticator = Authenticator::new();
    let registered = authenticator.register().check(&expecting()).unwrap();
    assert_eq!(registered.credential_id, ID);
    assert_eq!(
        registered.aaguid.to_string(),
        "09090909-0909-0909-0909-090909090909"
    );
    assert_eq!(registered.attestation.statement, Statement::OwnKey);
    let stored = Stored {
        public_key: &registered.public_key,
        sign_count: 6,
        backup_eligible: false,
    };
    let data = client_data("webauthn.get", ORIGIN, "");
    let authenticated = authenticator
        .authenticate(&data, stored, &expecting())
        .unwrap();
    assert!(authenticated.flags.user_verified && !authenticated.is_cloned);
    assert_eq!(authenticated.sign_count, 7);
}

#[rstest]
#[case::other_site("https://evil.example")]
#[case::sub_domain("https://www.example.com:8443")]
#[case::port("https://example.com")]
#[case::scheme("http://example.com:8443")]
#[case::homograph("https://ex\u{430}mple.com:8443")]
#[case::case("https://EXAMPLE.com:8443")]
#[case::slash("https://example.com:8443/")]
#[case::none("")]
fn b11_only_our_own_origin_counts(#[case] origin: &str) {
    let authenticator = Authenticator::new();
    let mut registering = authenticator.register();
    registering.client_data = client_data("webauthn.create", origin, "");
    let refused = registering.check(&expecting()).unwrap_err();
    assert_eq!(refused, Refusal::Origin(origin.to_owned()));
}

#[rstest]
#[case(r#","crossOrigin":true"#, Err(Refusal::Embedded))]
#[case(
    r#","crossOrigin":true,"topOrigin":"https://a.example""#,
    Err(Refusal::Embedded)
)]
#[case(r#","topOrigin":"https://a.example""#, Err(Refusal::Embedded))]
#[case(r#","crossOrigin":"true""#, Err(Refusal::Malformed("the client data")))]
#[case(r#","crossOrigin":false"#, Ok(()))]
fn b11_frames_of_other_sites_are_refused(#[case] more: &str, #[case] expected: Result<()>) {
    let authenticator = Authenticator::new();
    let registered = authenticator.register().check(&expecting()).unwrap();
    let stored = Stored {
        public_key: &registered.public_key,
        sign_count: 0,
        backup_eligible: false,
    };
    let data = client_data("webauthn.get", ORIGIN, more);
    let found = authenticator.authenticate(&data, stored, &expecting());
    assert_eq!(found.map(|_| ()), expected);
}

#[test]
fn b10_a_response_is_for_one_challenge_one_ceremony_and_one_relying_party() {
    let mut authenticator = Authenticator::new();
    let mut registering = authenticator.register();
    let other = Expected {
        challenge: b"another",
        ..expecting()
    };
    let refused = registering.check(&other).unwrap_err();
    assert_eq!(refused, Refusal::Challenge);
    let none = Expected {
        challenge: b"",
        ..expecting()
    };
    assert_eq!(registering.check(&none).unwrap_err(), Refusal::Challenge);
    registering.client_data = client_data("webauthn.get", ORIGIN, "");
    assert_eq!(
        registering.check(&expecting()).unwrap_err(),
        Refusal::Ceremony
    );
    authenticator.rp_id = "evil.example";
    let refused = authenticator.register().check(&expecting()).unwrap_err();
    assert_eq!(refused, Refusal::RpId);
}

#[test]
fn b09_required_user_verification_is_enforced() {
    let mut authenticator = Authenticator::new();
    let registered = authenticator.register().check(&expecting()).unwrap();
    let stored = Stored {
        public_key: &registered.public_key,
        sign_count: 0,
        backup_eligible: false,
    };
    let data = client_data("webauthn.get", ORIGIN, "");
    let lenient = Expected {
        user_verification: false,
        ..expecting()
    };
    authenticator.flags = UP;
    let refused = authenticator.authenticate(&data, stored, &expecting());
    assert_eq!(refused, Err(Refusal::UserVerification));
    let present = authenticator.authenticate(&data, stored, &lenient).unwrap();
    assert!(!present.flags.user_verified);
    authenticator.flags = UV;
    for expected in [expecting(), lenient] {
        let refused = authenticator.authenticate(&data, stored, &expected);
        assert_eq!(refused, Err(Refusal::UserPresence));
    }
}

#[rstest]
#[case(7, 6, false)]
#[case(7, 7, true)]
#[case(7, 8, true)]
#[case(0, 1, true)]
#[case(0, 0, false)]
fn b13_a_counter_that_does_not_increase_indicates_a_clone(
    #[case] count: u32,
    #[case] before: u32,
    #[case] cloned: bool,
) {
    let mut authenticator = Authenticator::new();
    let registered = authenticator.register().check(&expecting()).unwrap();
    authenticator.count = count;
    let stored = Stored {
        public_key: &registered.public_key,
        sign_count: before,
        backup_eligible: false,
    };
    let data = client_data("webauthn.get", ORIGIN, "");
    let found = authenticator.authenticate(&data, stored, &expecting());
    let found = found.unwrap();
    assert_eq!(found.is_cloned, cloned);
    assert_eq!(found.sign_count, count.max(before), "it is never lowered");
}

#[test]
fn b22_backup_eligibility_of_a_credential_cannot_change() {
    let mut authenticator = Authenticator::new();
    let registered = authenticator.register().check(&expecting()).unwrap();
    let data = client_data("webauthn.get", ORIGIN, "");
    let stored = |backup_eligible| Stored {
        public_key: &registered.public_key,
        sign_count: 0,
        backup_eligible,
    };
    authenticator.flags = UP | UV | BE;
    let flipped = authenticator.authenticate(&data, stored(false), &expecting());
    assert_eq!(flipped, Err(Refusal::BackupFlags));
    let same = authenticator.authenticate(&data, stored(true), &expecting());
    assert!(same.unwrap().flags.backup_eligible);
    authenticator.flags = UP | UV | BS;
    let refused = authenticator.register().check(&expecting()).unwrap_err();
    assert_eq!(refused, Refusal::BackupFlags);
}

#[test]
fn b14_an_attestation_attests_to_this_registration() {
    let authenticator = Authenticator::new();
    let good = || authenticator.register();
    let with = |change: &dyn Fn(&mut Registering)| {
        let mut registering = good();
        change(&mut registering);
        registering.check(&expecting()).unwrap_err()
    };
    let other_client_data = client_data("webauthn.create", ORIGIN, r#","x":1"#);
    let refused = with(&|it| it.client_data.clone_from(&other_client_data));
    assert_eq!(refused, Refusal::Signature);
    assert_eq!(with(&|it| it.data[32] ^= BE), Refusal::Signature);
    assert_eq!(
        with(&|it| it.format = "none"),
        Refusal::Attestation("the format none must have an empty statement")
    );
    assert_eq!(
        with(&|it| it.format = "compound"),
        Refusal::Format("compound".to_owned())
    );
    for format in ["tpm", "android-key", "fido-u2f", "apple"] {
        let refused = with(&|it| it.format = format);
        assert!(matches!(refused, Refusal::Attestation(_)), "{format}");
    }
    let rs256 = |it: &mut Registering| {
        it.statement = Value::Map(vec![
            ("alg".into(), (-257).into()),
            ("sig".into(), Value::from(&b"x"[..])),
        ]);
    };
    assert!(matches!(with(&rs256), Refusal::Attestation(_)));
    assert_eq!(
        with(&|it| it.data.push(0)),
        Refusal::Malformed("the authenticator data")
    );
    assert_eq!(
        with(&|it| it.data.truncate(60)),
        Refusal::Malformed("the authenticator data")
    );
}

#[test]
fn b12_the_credential_id_is_the_one_that_was_made() {
    let authenticator = Authenticator::new();
    let registering = authenticator.register();
    let object = Value::Map(vec![
        ("fmt".into(), registering.format.into()),
        ("attStmt".into(), registering.statement.clone()),
        ("authData".into(), registering.data.as_slice().into()),
    ]);
    let response = RegistrationResponse {
        credential_id: b"of another user",
        client_data: registering.client_data.as_bytes(),
        attestation_object: &encode(&object),
    };
    let refused = register(response, &expecting(), &Algorithm::ASKED_FOR).unwrap_err();
    assert_eq!(refused, Refusal::Malformed("the credential id"));
}

#[test]
fn b16_keys_are_what_their_algorithm_says() {
    let authenticator = Authenticator::new();
    let Value::Map(good) = authenticator.cose() else {
        unreachable!();
    };
    assert!(PublicKey::from_cose(&Value::Map(good.clone())).is_ok());
    let with = |label: i64, value: Value| {
        let mut key = good.clone();
        key.retain(|(known, _)| *known != Value::from(label));
        key.push((label.into(), value));
        PublicKey::from_cose(&Value::Map(key)).unwrap_err()
    };
    assert_eq!(with(3, (-65535).into()), Refusal::Algorithm(-65535));
    assert_eq!(with(3, 5.into()), Refusal::Algorithm(5));
    for (label, value) in [
        // RS256, ES384 and EdDSA with a point on P-256.
        (3, (-257).into()),
        (3, (-35).into()),
        (3, (-8).into()),
        (1, 1.into()),
        (1, 3.into()),
        (1, 4.into()),
        (-1, 2.into()),
        (-1, 8.into()),
        (-2, Value::from(&[1; 32][..])),
        (-2, Value::from(&[1; 31][..])),
        (-3, Value::Bool(true)),
        (-3, Value::Null),
    ] {
        let refused = with(label, value.clone());
        assert!(matches!(refused, Refusal::Key(_)), "{label} {value:?}");
    }
    let rsa = |n: &[u8], e: &[u8]| {
        PublicKey::from_cose(&map([
            (1, 3.into()),
            (3, (-257).into()),
            (-1, n.into()),
            (-2, e.into()),
        ]))
    };
    let modulus = [0xff; 256];
    assert!(rsa(&modulus, &[1, 0, 1]).is_ok());
    for (n, e) in [
        (&modulus[..], &[1][..]),
        (&modulus, &[]),
        (&modulus, &[1, 0, 0]),
        (&modulus, &[0, 1, 0, 1]),
        (&modulus, &[1, 0, 0, 0, 1]),
        (&modulus[..128], &[1, 0, 1]),
        (&[], &[1, 0, 1]),
        (&[0xff; 2048], &[1, 0, 1]),
        (&[&[0][..], &modulus].concat(), &[1, 0, 1]),
        (&[&modulus[..], &[0]].concat(), &[1, 0, 1]),
    ] {
        assert!(matches!(rsa(n, e), Err(Refusal::Key(_))), "{n:?} {e:?}");
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Real {
    algorithm: i64,
    rp_id: String,
    origin: String,
    registration: std::collections::HashMap<String, String>,
    authentication: std::collections::HashMap<String, String>,
}

#[test]
fn security_keys_with_ml_dsa_are_accepted_g15() {
    let real: Vec<Real> =
        serde_json::from_str(include_str!("../../tests/data/webauthn/yubico-ml-dsa.json")).unwrap();
    assert_eq!(real.len(), 3);
    for one in &real {
        let origins = [one.origin.as_str()];
        let expected = |challenge| Expected {
            rp_id: &one.rp_id,
            origins: &origins,
            embedding: Embedding::Refused,
            challenge,
            user_verification: false,
        };
        let (made, used) = (&one.registration, &one.authentication);
        let response = RegistrationResponse {
            credential_id: &decode(&made["credentialId"]),
            client_data: &decode(&made["clientDataJSON"]),
            attestation_object: &decode(&made["attestationObject"]),
        };
        let challenge = decode(&made["challenge"]);
        let registered = register(response, &expected(&challenge), &Algorithm::ASKED_FOR).unwrap();
        assert_eq!(registered.public_key.algorithm().number(), one.algorithm);
        let classic = &Algorithm::ASKED_FOR[..5];
        let refused = register(response, &expected(&challenge), classic).unwrap_err();
        assert_eq!(refused, Refusal::Algorithm(one.algorithm));

        let key = PublicKey::parse(&registered.encoded_key).unwrap();
        let stored = Stored {
            public_key: &key,
            sign_count: registered.sign_count,
            backup_eligible: registered.flags.backup_eligible,
        };
        let (data, client_data) = (
            decode(&used["authenticatorData"]),
            decode(&used["clientDataJSON"]),
        );
        let mut signature = decode(&used["signature"]);
        let challenge = decode(&used["challenge"]);
        let answer = |signature: &[u8]| {
            let response = AuthenticationResponse {
                client_data: &client_data,
                authenticator_data: &data,
                signature,
            };
            authenticate(response, stored, &expected(&challenge))
        };
        assert!(answer(&signature).is_ok(), "{}", one.algorithm);
        signature[100] ^= 1;
        assert_eq!(answer(&signature), Err(Refusal::Signature));
        assert_eq!(answer(&[]), Err(Refusal::Signature));
    }
}

#[test]
fn keys_of_ml_dsa_are_of_their_parameter_set_g15() {
    let key = |number: i64, length: usize| {
        let key = PublicKey::from_cose(&map([
            (1, 7.into()),
            (3, number.into()),
            (-1, vec![7; length].into()),
        ]));
        key.map(|key| key.algorithm())
    };
    assert_eq!(key(-48, 1312), Ok(Algorithm::MlDsa44));
    assert_eq!(key(-49, 1952), Ok(Algorithm::MlDsa65));
    assert_eq!(key(-50, 2592), Ok(Algorithm::MlDsa87));
    for (number, length) in [(-48, 1952), (-49, 1312), (-50, 1952), (-48, 1311), (-48, 0)] {
        assert!(
            matches!(key(number, length), Err(Refusal::Key(_))),
            "{number} {length}"
        );
    }
    assert!(matches!(key(-7, 1312), Err(Refusal::Key(_))));
}

#[test]
fn ed25519_is_accepted_under_both_its_numbers() {
    let key = Ed25519KeyPair::generate().unwrap();
    let signature = key.sign(b"message");
    for number in [-8, -19] {
        let public = PublicKey::from_cose(&map([
            (1, 1.into()),
            (3, number.into()),
            (-1, 6.into()),
            (-2, key.public_key().as_ref().into()),
        ]));
        let public = public.unwrap();
        assert_eq!(public.verify(b"message", signature.as_ref()), Ok(()));
        let refused = public.verify(b"massage", signature.as_ref());
        assert_eq!(refused, Err(Refusal::Signature));
    }
}

#[test]
fn an_algorithm_that_was_not_offered_is_refused() {
    let registering = Authenticator::new().register();
    let object = Value::Map(vec![
        ("fmt".into(), registering.format.into()),
        ("attStmt".into(), registering.statement.clone()),
        ("authData".into(), registering.data.as_slice().into()),
    ]);
    let response = RegistrationResponse {
        credential_id: ID,
        client_data: registering.client_data.as_bytes(),
        attestation_object: &encode(&object),
    };
    let refused = register(response, &expecting(), &[Algorithm::EdDsa]).unwrap_err();
    assert_eq!(refused, Refusal::Algorithm(-7));
}
