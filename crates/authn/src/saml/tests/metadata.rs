//! Metadata of identity providers.

use std::time::Duration;

use super::world::{BASE, IDP};
use crate::saml::{
    Binding, Certificate, Error, ErrorKind, MetadataOptions, Provider,
    algorithm::Digest,
    binding::incoming::LIMITS,
    signature::{Form, sign_as},
    testing::{IdentityProvider, NOW, metadata},
    xml,
};

fn read(document: &str) -> Result<Provider, Error> {
    Provider::from_metadata(document, MetadataOptions::default(), NOW)
}

#[track_caller]
fn refused(document: &str, reason: &str) {
    let error = read(document).expect_err("it was accepted");
    assert_eq!(error.kind(), ErrorKind::Metadata);
    assert!(error.reason().contains(reason), "{error:?}");
}

fn document() -> String {
    IDP.metadata(BASE)
}

#[test]
fn metadata_with_names_keys_and_endpoints_are_parsed() {
    let provider = read(&document()).unwrap();
    assert_eq!(provider.entity_id, "https://idp.example.org/metadata");
    assert_eq!(provider.signing, [IDP.key.certificate().clone()]);
    assert_eq!(provider.encryption, []);
    assert!(!provider.wants_signed_requests);
    let bindings: Vec<Binding> = provider.single_sign_on.iter().map(|e| e.binding).collect();
    assert_eq!(bindings, [Binding::Post, Binding::Redirect]);
    assert_eq!(
        provider.single_logout[0].location,
        "https://idp.example.org/logout"
    );
    assert_eq!(
        provider.single_logout[0].response_location.as_deref(),
        Some("https://idp.example.org/logged-out")
    );
    let both = document().replace(" use=\"signing\"", "").replace(
        "<md:IDPSSODescriptor ",
        "<md:IDPSSODescriptor WantAuthnRequestsSigned=\"1\" ",
    );
    let provider = read(&both).unwrap();
    assert_eq!(provider.encryption, provider.signing);
    assert!(provider.wants_signed_requests);
}

#[test]
fn of_several_entities_one_has_to_be_chosen() {
    let other = document().replace("idp.example.org/metadata", "other.example/metadata");
    let service = "<md:EntityDescriptor entityID=\"https://sp.example\"><md:SPSSODescriptor \
                   protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\"/></md:EntityDescriptor>";
    let all = |inside: &str| {
        format!(
            "<md:EntitiesDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\">{inside}</md:EntitiesDescriptor>"
        )
    };
    let federation = all(&format!("{service}{}{}", document(), all(&other)));
    refused(&federation, "2 identity providers");
    let options = |entity_id| MetadataOptions {
        entity_id: Some(entity_id),
        ..MetadataOptions::default()
    };
    let chosen =
        Provider::from_metadata(&federation, options("https://other.example/metadata"), NOW)
            .unwrap();
    assert_eq!(chosen.entity_id, "https://other.example/metadata");
    assert!(Provider::from_metadata(&federation, options("https://sp.example"), NOW).is_err());
    assert!(read(&all(&format!("{service}{}", document()))).is_ok());
    refused(&all(service), "no SAML 2.0 identity provider");
}

#[test]
fn w52_metadata_say_how_long_they_hold() {
    let timed =
        |attributes: &str| document().replace("entityID=", &format!("{attributes} entityID="));
    let provider = read(&timed(
        "validUntil=\"2026-12-01T00:00:00Z\" cacheDuration=\"PT30M\"",
    ))
    .unwrap();
    assert_eq!(provider.cache_duration, Some(Duration::from_mins(30)));
    assert_eq!(
        provider.valid_until.unwrap().to_string(),
        "2026-12-01T00:00:00Z"
    );
    assert_eq!(
        provider.refresh_at(NOW),
        NOW.saturating_add(Duration::from_mins(30))
    );
    refused(
        &timed("validUntil=\"2026-09-21T14:12:00Z\""),
        "metadata expired at",
    );
    refused(&timed("validUntil=\"tomorrow\""), "not a time");
    refused(&timed("cacheDuration=\"soon\""), "not a duration");

    let refresh = |attributes: &str| read(&timed(attributes)).unwrap().refresh_at(NOW).since(NOW);
    assert_eq!(refresh(""), Duration::from_hours(1));
    assert_eq!(refresh("cacheDuration=\"P1Y\""), Duration::from_hours(24));
    assert_eq!(refresh("cacheDuration=\"PT0S\""), Duration::from_mins(5));
    assert_eq!(
        refresh("validUntil=\"2026-09-21T14:23:20Z\""),
        Duration::from_mins(10)
    );
    // The shortest duration of all levels applies.
    let inner = document().replace(
        "<md:IDPSSODescriptor ",
        "<md:IDPSSODescriptor cacheDuration=\"PT10M\" ",
    );
    assert_eq!(
        read(&inner).unwrap().cache_duration,
        Some(Duration::from_mins(10))
    );
}

#[test]
fn metadata_without_required_elements_are_refused() {
    let no_keys = metadata(&IDP.entity_id, BASE, &[]);
    refused(&no_keys, "no signing certificate");
    refused(
        &document().replace(" use=\"signing\"", " use=\"encryption\""),
        "no signing certificate",
    );
    refused(
        &document().replace("SingleSignOnService", "ArtifactResolutionService"),
        "no SingleSignOnService",
    );
    refused(
        &document().replace("bindings:HTTP-", "bindings:Other-"),
        "no SingleSignOnService",
    );
    refused(
        &document().replace("2.0:protocol", "1.1:protocol"),
        "no SAML 2.0 identity provider",
    );
    refused(&document().replace("entityID=", "name="), "entityID");
    refused("<a/>", "not SAML 2.0 metadata");
    refused("", "no element");
    let certificate = IDP.key.certificate().base64();
    refused(&document().replace(&certificate, "AAAA"), "certificate");
}

#[test]
fn w06_only_https_endpoints_are_accepted() {
    for location in [
        "javascript:alert(1)",
        "http://idp.example.org",
        "//idp.example.org",
        "https://",
        "https:///login",
        "data:text/html,x",
        "https://user@idp.example.org",
        "https://idp.example.org/#a",
        "https://idp.example.org/a b",
        "HTTPS://idp.example.org",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "https://[::1",
        "https://idp.example.org/&quot;&gt;",
    ] {
        refused(
            &document().replace("https://idp.example.org/login", location),
            "not an https URL",
        );
    }
    for location in [
        "http://localhost:8080",
        "http://127.0.0.1:1",
        "http://[::1]:80",
        "https://idp.example.org:8443/x?y=z",
    ] {
        let document = document().replace("https://idp.example.org/login", location);
        assert!(read(&document).is_ok(), "{location}");
    }
}

#[test]
fn metadata_that_have_to_be_signed_are_signed_by_that_key() {
    let unsigned = document().replace("<md:EntityDescriptor ", "<md:EntityDescriptor ID=\"_m\" ");
    let federation = IdentityProvider::new("https://federation.example").unwrap();
    let form = Form {
        digest: Digest::Sha256,
        inclusive: "",
    };
    let signature = sign_as(
        &xml::parse(&unsigned, LIMITS).unwrap(),
        &federation.key,
        form,
    )
    .unwrap();
    let signed = unsigned.replace(
        "<md:IDPSSODescriptor ",
        &format!("{signature}<md:IDPSSODescriptor "),
    );
    let by = |document: &str, signers: &[Certificate]| {
        Provider::from_metadata(
            document,
            MetadataOptions {
                signers,
                ..MetadataOptions::default()
            },
            NOW,
        )
    };
    let trusted = [federation.key.certificate().clone()];
    assert!(by(&signed, &trusted).is_ok());
    assert!(by(&unsigned, &trusted).is_err());
    assert!(by(&signed.replace("/login", "/evil"), &trusted).is_err());
    assert!(by(&signed, &[IDP.key.certificate().clone()]).is_err());
    // Signed metadata inside an unsigned document.
    let wrapped = format!(
        "<md:EntitiesDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" ID=\"_o\">{}{signed}</md:EntitiesDescriptor>",
        unsigned.replace("_m", "_n").replace("/login", "/evil")
    );
    assert!(by(&wrapped, &trusted).is_err());
}

#[test]
fn of_a_chain_the_first_certificate_is_the_key() {
    let other = IdentityProvider::new("https://ca.example").unwrap();
    let certificate = format!(
        "<ds:X509Certificate>{}</ds:X509Certificate>",
        IDP.key.certificate().base64()
    );
    let issuer = format!(
        "<ds:X509Certificate>\n {}\n</ds:X509Certificate>",
        other.key.certificate().base64()
    );
    let chain = document().replace(&certificate, &format!("{certificate}{issuer}"));
    assert_eq!(
        read(&chain).unwrap().signing,
        [IDP.key.certificate().clone()]
    );
    let twice = document().replace(
        &certificate,
        &format!("{certificate}</ds:X509Data><ds:X509Data>{certificate}"),
    );
    assert_eq!(read(&twice).unwrap().signing.len(), 1);
}

#[test]
fn keys_that_are_too_weak_are_refused() {
    // RSA of 1024 bits, created with `openssl req -x509 -newkey rsa:1024`.
    let weak = include_str!("../../../tests/data/rsa1024.pem");
    let base64: String = weak.lines().filter(|line| !line.starts_with('-')).collect();
    refused(
        &document().replace(&IDP.key.certificate().base64(), &base64),
        "1024 bits",
    );
}
