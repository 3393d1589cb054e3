use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_305_600_000);
const SECONDS: i64 = 1_795_305_600;
const EXPECTED: Expected<'_> = Expected {
    issuer: "https://idp.example",
    audience: "https://cluster.example",
    now: NOW,
};

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An identity provider with a key of each type.
struct Provider {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Provider {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    fn jwks(&self) -> Value {
        // PKCS #1: a sequence of two integers, the first with a leading zero.
        let der = self.rsa.public_key().as_ref();
        let (n, e) = (&der[9..265], &der[267..]);
        let point = self.ec.public_key().as_ref();
        json!({"keys": [
            {"kty": "RSA", "kid": "rsa", "use": "sig", "n": encode(n), "e": encode(e)},
            {"kty": "EC", "kid": "ec", "crv": "P-256", "alg": "ES256",
                "x": encode(&point[1..33]), "y": encode(&point[33..])},
            {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": encode(self.ed.public_key())},
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        ]})
    }

    fn keys(&self) -> KeySet {
        KeySet::parse(self.jwks().to_string().as_bytes()).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let message = signed.as_bytes();
        let rng = SystemRandom::new();
        let rsa = |padding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa
                .sign(padding, &rng, message, &mut signature)
                .unwrap();
            signature
        };
        let signature = match header["alg"].as_str().unwrap() {
            "ES256" => self.ec.sign(&rng, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            "PS256" => rsa(&RSA_PSS_SHA256),
            _ => rsa(&RSA_PKCS1_SHA256),
        };
        format!("{signed}.{}", encode(signature))
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://idp.example", "aud": "https://cluster.example", "sub": "repo:a/b",
        "exp": SECONDS + 300, "iat": SECONDS, "jti": "one",
    })
}

fn verify_by(keys: &KeySet, token: &str) -> Result<Verified, Refusal> {
    verify(Unverified::parse(token)?, keys, EXPECTED)
}

#[test]
fn good_assertions_of_all_key_types_are_accepted() {
    let provider = Provider::new();
    for (alg, kid) in [
        ("RS256", "rsa"),
        ("PS256", "rsa"),
        ("ES256", "ec"),
        ("EdDSA", "ed"),
    ] {
        let token = provider.sign(&json!({"alg": alg, "kid": kid, "typ": "JWT"}), &claims());
        let verified = verify_by(&provider.keys(), &token).unwrap();
        assert_eq!(verified.subject, "repo:a/b");
        assert_eq!(verified.id.as_deref(), Some("one"));
        assert_eq!(verified.ends_at, UnixMillis::from_seconds(SECONDS + 360));
    }
    // The key id is optional if only one key fits.
    let token = provider.sign(&json!({"alg": "ES256"}), &claims());
    assert!(verify_by(&provider.keys(), &token).is_ok());
}

#[test]
fn a08_the_key_decides_and_not_the_token() {
    let provider = Provider::new();
    let attacker = Provider::new();
    let keys = provider.keys();
    let stolen = |header: Value| {
        let token = attacker.sign(&header, &claims());
        verify_by(&keys, &token).unwrap_err()
    };
    assert_eq!(
        stolen(json!({"alg": "RS256", "kid": "rsa"})),
        Refusal::Signature
    );
    let jwk = attacker.jwks()["keys"][0].clone();
    for header in [
        json!({"alg": "RS256", "kid": "rsa", "jwk": jwk}),
        json!({"alg": "RS256", "kid": "rsa", "jku": "https://evil.example/jwks"}),
        json!({"alg": "RS256", "kid": "rsa", "x5u": "https://evil.example/cert"}),
        json!({"alg": "RS256", "kid": "rsa", "x5c": ["MIIB"]}),
    ] {
        assert_eq!(stolen(header), Refusal::Signature);
    }
    for kid in ["../../dev/null", "' OR 1=1 --", "\u{0}", "RSA"] {
        assert_eq!(
            stolen(json!({"alg": "RS256", "kid": kid})),
            Refusal::UnknownKey
        );
    }
    // Keys that do not fit the algorithm, and a symmetric key.
    for (alg, kid) in [
        ("RS256", "ec"),
        ("ES256", "rsa"),
        ("EdDSA", "ec"),
        ("RS256", "secret"),
    ] {
        let token = provider.sign(&json!({"alg": alg, "kid": kid}), &claims());
        assert_eq!(
            verify_by(&keys, &token).unwrap_err(),
            Refusal::UnknownKey,
            "{alg} {kid}"
        );
    }
    // The public key used as an HMAC secret.
    let hs256 = format!(
        "{}.{}.{}",
        encode(r#"{"alg":"HS256","kid":"rsa"}"#),
        encode(claims().to_string()),
        encode(provider.rsa.public_key())
    );
    assert_eq!(
        verify_by(&keys, &hs256).unwrap_err(),
        Refusal::Malformed(Malformed::Algorithm)
    );
    // The payload of a signed token is replaced.
    let good = provider.sign(&json!({"alg": "RS256", "kid": "rsa"}), &claims());
    let mut parts = good.split('.').map(str::to_owned).collect::<Vec<_>>();
    let mut other = claims();
    other["sub"] = json!("repo:evil/x");
    parts[1] = encode(other.to_string());
    assert_eq!(
        verify_by(&keys, &parts.join(".")).unwrap_err(),
        Refusal::Signature
    );
}

#[test]
fn a_key_that_is_ambiguous_or_too_weak_verifies_nothing() {
    let (one, two) = (Provider::new(), Provider::new());
    let mut set = one.jwks();
    let second = two.jwks()["keys"][0].clone();
    set["keys"].as_array_mut().unwrap().push(second);
    let keys = KeySet::parse(set.to_string().as_bytes()).unwrap();
    for header in [
        json!({"alg": "RS256", "kid": "rsa"}),
        json!({"alg": "RS256"}),
    ] {
        let token = one.sign(&header, &claims());
        assert_eq!(verify_by(&keys, &token).unwrap_err(), Refusal::UnknownKey);
    }
    let key = &one.jwks()["keys"][0];
    for (field, value) in [
        ("e", encode([1])),
        ("e", encode([2])),
        ("e", encode([])),
        ("n", encode([0xff; 128])),
        ("use", "enc".to_owned()),
        ("kty", "rsa".to_owned()),
    ] {
        let mut weak = key.clone();
        weak[field] = json!(value);
        let set = json!({"keys": [weak]}).to_string();
        assert_eq!(
            KeySet::parse(set.as_bytes()).unwrap_err(),
            crate::jwk::InvalidKeySet::NoKey,
            "{field}"
        );
    }
    let secret = one.jwks().to_string();
    assert_eq!(
        KeySet::parse_public(secret.as_bytes()).unwrap_err(),
        crate::jwk::InvalidKeySet::Private
    );
}

#[rstest]
#[case(json!(null))]
#[case(json!(""))]
#[case(json!("https://other.example"))]
#[case(json!("https://cluster.example/"))]
#[case(json!([]))]
#[case(json!(["https://other.example"]))]
#[case(json!(["https://cluster.example", 7]))]
#[case(json!({"0": "https://cluster.example"}))]
fn a09_an_assertion_for_others_is_refused(#[case] audience: Value) {
    let mut claims = claims();
    claims["aud"] = audience;
    let claims = claims.as_object().unwrap().clone();
    assert_eq!(
        check(claims.clone(), EXPECTED).unwrap_err(),
        Refusal::Audience
    );
    let mut without = claims;
    without.remove("aud");
    assert_eq!(check(without, EXPECTED).unwrap_err(), Refusal::Audience);
}

#[test]
fn a09_no_configured_audience_accepts_nothing() {
    for audience in [json!(""), json!([""]), json!("https://cluster.example")] {
        let mut claims = claims();
        claims["aud"] = audience;
        let claims = claims.as_object().unwrap().clone();
        let expected = Expected {
            audience: "",
            ..EXPECTED
        };
        assert_eq!(check(claims, expected).unwrap_err(), Refusal::Audience);
    }
}

#[rstest]
#[case("exp", json!(null), Refusal::Claim("exp"))]
#[case("exp", json!("1795305900"), Refusal::Claim("exp"))]
#[case("exp", json!(1_795_305_900.5), Refusal::Claim("exp"))]
#[case("exp", json!(-1), Refusal::Claim("exp"))]
#[case("exp", json!(u64::MAX), Refusal::Claim("exp"))]
#[case("exp", json!(i64::MAX), Refusal::Claim("exp"))]
#[case("exp", json!(1e30), Refusal::Claim("exp"))]
#[case("exp", json!(SECONDS - 60), Refusal::Expired)]
#[case("exp", json!(0), Refusal::Expired)]
#[case("iat", json!(SECONDS + 61), Refusal::NotYet)]
#[case("iat", json!("now"), Refusal::Claim("iat"))]
#[case("iat", json!(1.5), Refusal::Claim("iat"))]
#[case("nbf", json!(SECONDS + 61), Refusal::NotYet)]
#[case("nbf", json!(true), Refusal::Claim("nbf"))]
#[case("sub", json!(""), Refusal::Claim("sub"))]
#[case("sub", json!(7), Refusal::Claim("sub"))]
#[case("sub", json!("a\u{0}b"), Refusal::Claim("sub"))]
#[case("jti", json!(7), Refusal::Claim("jti"))]
#[case("iss", json!("https://idp.example/"), Refusal::Issuer)]
#[case("iss", json!(["https://idp.example"]), Refusal::Issuer)]
fn a10_claims_of_a_wrong_type_are_refused(
    #[case] name: &str,
    #[case] value: Value,
    #[case] expected: Refusal,
) {
    let mut claims = claims();
    claims[name] = value;
    assert_eq!(
        check(claims.as_object().unwrap().clone(), EXPECTED).unwrap_err(),
        expected
    );
}

#[test]
fn a10_missing_times_are_refused() {
    for name in ["exp", "iat", "sub"] {
        let mut claims = claims().as_object().unwrap().clone();
        claims.remove(name);
        assert_eq!(check(claims, EXPECTED).unwrap_err(), Refusal::Claim(name));
    }
}

#[test]
fn a_clock_skew_of_one_minute_is_accepted() {
    let mut claims = claims();
    claims["exp"] = json!(SECONDS - 59);
    claims["iat"] = json!(SECONDS + 60);
    claims["nbf"] = json!(SECONDS + 60);
    check(claims.as_object().unwrap().clone(), EXPECTED).unwrap();
}
