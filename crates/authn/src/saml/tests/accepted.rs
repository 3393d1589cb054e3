//! Valid responses.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{self as keys, KeyPair as _},
};
use rcgen::{CertificateParams, KeyPair};

use super::world::{BASE, DOMAIN, IDP, PROVIDER, REQUEST, SERVICE, draft, expected, finish};
use crate::saml::{
    CLOCK_SKEW, Expected, Login, MetadataOptions, Provider, SigningKey,
    algorithm::{Digest, SignatureAlgorithm},
    finish_login,
    testing::{Draft, IdentityProvider, NOW, Signed, metadata, posted},
};

fn assert_is_john(login: &Login) {
    assert_eq!(login.assertion_id, "_a1");
    assert_eq!(login.name_id.as_ref().unwrap().value, "john@example.com");
    assert_eq!(login.attribute("email").unwrap(), "john@example.com");
    assert_eq!(login.session_index.as_deref(), Some("_s1"));
    assert_eq!(login.attributes[1].values, ["ops", "dev & test"]);
    assert_eq!(
        login.authn_context.as_deref(),
        Some("urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport")
    );
    assert!(login.assertion.starts_with("<saml:Assertion "));
    assert!(!login.assertion.contains("Signature"));
    let end = NOW.saturating_add(Duration::from_mins(5) + CLOCK_SKEW);
    assert!(login.remember_until >= end, "{:?}", login.remember_until);
}

#[test]
fn a_login_is_accepted_if_response_or_assertion_is_signed() {
    for signed in [Signed::Response, Signed::Assertion, Signed::Both] {
        let draft = Draft { signed, ..draft() };
        assert_is_john(&finish(&draft.write(&IDP).unwrap()).unwrap());
    }
}

#[test]
fn every_signature_that_is_accepted_verifies_and_none_with_another_key() {
    let algorithms = [
        SignatureAlgorithm::RsaPkcs1(Digest::Sha256),
        SignatureAlgorithm::RsaPkcs1(Digest::Sha384),
        SignatureAlgorithm::RsaPkcs1(Digest::Sha512),
        SignatureAlgorithm::RsaPss(Digest::Sha256),
        SignatureAlgorithm::RsaPss(Digest::Sha384),
        SignatureAlgorithm::RsaPss(Digest::Sha512),
    ];
    let mut idps: Vec<IdentityProvider> = algorithms
        .into_iter()
        .map(|algorithm| IdentityProvider {
            key: IDP.key.clone().with_algorithm(algorithm),
            ..IDP.clone()
        })
        .collect();
    idps.extend(elliptic_keys().map(|key| IdentityProvider { key, ..IDP.clone() }));
    for idp in &idps {
        let document = draft().write(idp).unwrap();
        let provider =
            Provider::from_metadata(&idp.metadata(BASE), MetadataOptions::default(), NOW).unwrap();
        let read = |provider| finish_login(&SERVICE, provider, &posted(&document), expected(), NOW);
        assert_is_john(&read(&provider).unwrap());
        let same_key = idp.key.certificate() == IDP.key.certificate();
        assert_eq!(read(&PROVIDER).is_ok(), same_key);
    }
}

fn elliptic_keys() -> impl Iterator<Item = SigningKey> {
    [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
    ]
    .into_iter()
    .map(|algorithm| {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        SigningKey::new(&key.serialize_der(), certificate.der()).unwrap()
    })
}

#[test]
fn integers_of_ecdsa_are_the_same_in_both_forms() {
    use crate::saml::fixed_signature::to_der;
    let random = SystemRandom::new();
    let pkcs8 = keys::EcdsaKeyPair::generate_pkcs8(&keys::ECDSA_P256_SHA256_FIXED_SIGNING, &random)
        .unwrap();
    let pair =
        keys::EcdsaKeyPair::from_pkcs8(&keys::ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
            .unwrap();
    let public = keys::UnparsedPublicKey::new(&keys::ECDSA_P256_SHA256_ASN1, pair.public_key());
    for message in 0..200_u8 {
        let signature = pair.sign(&random, &[message]).unwrap();
        let der = to_der(signature.as_ref(), 32).unwrap();
        public.verify(&[message], &der).unwrap();
    }
    let mut small = [0; 64];
    small[31] = 1;
    small[63] = 0x80;
    assert_eq!(
        to_der(&small, 32).unwrap(),
        [0x30, 7, 2, 1, 1, 2, 2, 0, 0x80]
    );
    assert_eq!(to_der(&[0; 64], 32).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
    assert_eq!(to_der(&[0; 63], 32), None);
}

#[test]
fn w52_while_a_provider_changes_its_key_both_sign() {
    let next = IdentityProvider::new(&IDP.entity_id).unwrap();
    let both = metadata(
        &IDP.entity_id,
        BASE,
        &[IDP.key.certificate(), next.key.certificate()],
    );
    let provider = Provider::from_metadata(&both, MetadataOptions::default(), NOW).unwrap();
    for idp in [&*IDP, &next] {
        let document = posted(&draft().write(idp).unwrap());
        finish_login(&SERVICE, &provider, &document, expected(), NOW).unwrap();
    }
    let error = finish(&draft().write(&next).unwrap()).unwrap_err();
    assert!(
        error
            .reason()
            .contains(&next.key.certificate().fingerprint())
    );
    assert!(error.reason().contains("refresh the metadata"));
}

#[test]
fn w55_a_forced_authentication_must_be_newer_than_the_request_r5() {
    let asked = Expected {
        force_authn: true,
        ..expected()
    };
    let document = |ago: i64| {
        let instant = domain::clock::UnixMillis(NOW.0 - ago * 1000);
        let draft = Draft {
            authentication: format!("AuthnInstant=\"{instant}\""),
            ..draft()
        };
        posted(&draft.write(&IDP).unwrap())
    };
    // From 5 s before the request to 5 s after now.
    for (ago, at) in [(5, 5), (0, 0), (-5, 0)] {
        let login = finish_login(&SERVICE, &PROVIDER, &document(ago), asked, NOW).unwrap();
        assert_eq!(login.authenticated_at.0, NOW.0 - at * 1000);
    }
    for ago in [6, 55, 3600, -6, -55] {
        let error = finish_login(&SERVICE, &PROVIDER, &document(ago), asked, NOW).unwrap_err();
        assert!(
            error.reason().contains("new authentication was requested"),
            "{error:?}"
        );
    }
    let login = finish_login(&SERVICE, &PROVIDER, &document(3600), expected(), NOW).unwrap();
    assert_eq!(login.authenticated_at.0, NOW.0 - 3_600_000);
    let login = finish_login(&SERVICE, &PROVIDER, &document(-55), expected(), NOW).unwrap();
    assert_eq!(login.authenticated_at, NOW);
}

#[test]
fn times_hold_up_to_the_stated_skew_and_not_beyond() {
    let document = draft().write(&IDP).unwrap();
    let at =
        |offset: i64| super::world::finish_at(&document, domain::clock::UnixMillis(NOW.0 + offset));
    // From 30 s before to 5 min after, plus 1 min of skew each, plus the 123 ms of the written times.
    assert!(at(-89_876).is_ok());
    assert!(at(-89_878).is_err());
    assert!(at(360_122).is_ok());
    assert!(at(360_123).is_err());
}

#[test]
fn an_attribute_that_identifies_has_one_value() {
    let login = finish(&draft().write(&IDP).unwrap()).unwrap();
    assert!(
        login
            .attribute("groups")
            .unwrap_err()
            .reason()
            .contains("several")
    );
    let missing = login.attribute("uid").unwrap_err();
    assert!(missing.reason().contains("email, groups"), "{missing:?}");
    let draft = Draft {
        attributes: "<saml:Attribute Name=\"uid\"><saml:AttributeValue><saml:NameID>x1</saml:NameID>\
                     </saml:AttributeValue></saml:Attribute><saml:Attribute Name=\"empty\"><saml:AttributeValue/>\
                     </saml:Attribute><saml:Attribute Name=\"odd\"><saml:AttributeValue><saml:A/>text\
                     </saml:AttributeValue></saml:Attribute>"
            .to_owned(),
        ..Draft::new(&IDP, DOMAIN, REQUEST)
    };
    let login = finish(&draft.write(&IDP).unwrap()).unwrap();
    assert_eq!(login.attribute("uid").unwrap(), "x1");
    assert!(login.attribute("empty").is_err());
    assert!(login.attribute("odd").is_err());
}

#[test]
fn names_and_values_are_read_with_their_references_resolved() {
    let draft = Draft {
        name_id: "j&#xF6;hn &lt;&amp;&gt; \u{1F600}".to_owned(),
        ..draft()
    };
    let login = finish(&draft.write(&IDP).unwrap()).unwrap();
    assert_eq!(login.name_id.unwrap().value, "jöhn <&> \u{1F600}");
}
