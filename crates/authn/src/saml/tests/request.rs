//! Outgoing requests.

use domain::rng::SeededRng;
use percent_encoding::percent_decode_str;

use super::world::{IDP, PROVIDER, SERVICE};
use crate::saml::{
    Binding, Certificate, ErrorKind, Outgoing, Provider, ServiceProvider,
    algorithm::SignatureAlgorithm,
    base64, begin_login,
    binding::incoming::{LIMITS, inflate},
    signature,
    testing::NOW,
    xml,
};

fn provider(binding: Binding, location: &str) -> Provider {
    let mut provider = PROVIDER.clone();
    provider
        .single_sign_on
        .retain(|endpoint| endpoint.binding == binding);
    provider.single_sign_on[0].location = location.to_owned();
    provider
}

#[test]
fn w55_a_redirection_is_signed_over_the_octets_of_its_query() {
    let provider = provider(
        Binding::Redirect,
        "https://idp.example.org/login?tenant=1&a=%20",
    );
    let request = begin_login(
        &SERVICE,
        &provider,
        Some("a b/+&="),
        true,
        &SeededRng::new(1),
        NOW,
    )
    .unwrap();
    let Outgoing::Redirect { url } = request.message else {
        panic!("not a redirection")
    };
    let query = url
        .strip_prefix("https://idp.example.org/login?tenant=1&a=%20&")
        .unwrap();
    let (signed, value) = query.split_once("&Signature=").unwrap();
    let parameter = |name: &str| {
        let value = signed
            .split('&')
            .find_map(|pair| pair.strip_prefix(name))
            .unwrap();
        percent_decode_str(value)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    assert_eq!(parameter("RelayState="), "a b/+&=");
    let algorithm = SignatureAlgorithm::from_uri(&parameter("SigAlg=")).unwrap();
    let value = base64::decode("", &percent_decode_str(value).decode_utf8().unwrap()).unwrap();
    assert!(
        SERVICE
            .signing
            .certificate()
            .verifies(algorithm, signed.as_bytes(), &value)
    );

    let document = inflate(&base64::decode("", &parameter("SAMLRequest=")).unwrap()).unwrap();
    let root = xml::parse(std::str::from_utf8(&document).unwrap(), LIMITS).unwrap();
    assert_eq!(root.attribute("ID"), Some(request.id.as_str()));
    assert_eq!(root.attribute("ForceAuthn"), Some("true"));
    assert_eq!(root.attribute("IssueInstant"), Some("2026-09-21T14:13:20Z"));
    assert_eq!(
        root.attribute("Destination"),
        Some("https://idp.example.org/login?tenant=1&a=%20")
    );
    assert_eq!(
        root.attribute("AssertionConsumerServiceURL"),
        Some("https://example.com/callback")
    );
    assert_eq!(
        root.children().next().unwrap().text().unwrap(),
        "https://example.com"
    );
}

#[test]
fn w55_a_form_holds_a_signed_document() {
    let provider = provider(Binding::Post, "https://idp.example.org/post");
    let request = begin_login(&SERVICE, &provider, None, false, &SeededRng::new(1), NOW).unwrap();
    let Outgoing::Post { action, fields } = request.message else {
        panic!("not a form")
    };
    assert_eq!(action, "https://idp.example.org/post");
    assert_eq!(fields.len(), 1);
    let document = base64::decode("", &fields[0].1).unwrap();
    let root = xml::parse(std::str::from_utf8(&document).unwrap(), LIMITS).unwrap();
    let keys = [SERVICE.signing.certificate().clone()];
    let verified = signature::verify(&root, &keys, LIMITS).unwrap();
    assert_eq!(
        verified.element().attribute("ID"),
        Some(request.id.as_str())
    );
    assert_eq!(verified.element().attribute("ForceAuthn"), None);
}

#[test]
fn ids_are_names_and_never_the_same() {
    let rng = SeededRng::new(1);
    let id = || {
        begin_login(&SERVICE, &PROVIDER, None, false, &rng, NOW)
            .unwrap()
            .id
    };
    let (first, second) = (id(), id());
    assert_ne!(first, second);
    assert!(first.starts_with('_') && first.len() == 41);
}

#[test]
fn a_relay_state_that_is_too_long_is_refused() {
    let rng = SeededRng::new(1);
    let begin = |state: &str| begin_login(&SERVICE, &PROVIDER, Some(state), false, &rng, NOW);
    assert!(begin(&"x".repeat(80)).is_ok());
    assert_eq!(
        begin(&"x".repeat(81)).unwrap_err().kind(),
        ErrorKind::Refused
    );
}

#[test]
fn our_metadata_hold_what_an_identity_provider_needs() {
    let service = ServiceProvider {
        entity_id: "https://example.com/\"<&>".to_owned(),
        next_signing: vec![IDP.key.certificate().clone()],
        ..SERVICE.clone()
    };
    let root = xml::parse(&service.metadata(), LIMITS).unwrap();
    assert_eq!(
        root.attribute("entityID"),
        Some("https://example.com/\"<&>")
    );
    let find = |local: &str| {
        root.descendants()
            .filter(|e| &*e.local == local)
            .collect::<Vec<_>>()
    };
    let acs = find("AssertionConsumerService");
    assert_eq!(
        acs[0].attribute("Location"),
        Some("https://example.com/callback")
    );
    assert_eq!(find("SingleLogoutService").len(), 2);
    let uses: Vec<_> = find("KeyDescriptor")
        .iter()
        .map(|key| key.attribute("use").unwrap())
        .collect();
    assert_eq!(uses, ["signing", "signing", "encryption"]);
    for certificate in find("X509Certificate") {
        Certificate::from_base64(&certificate.text().unwrap()).unwrap();
    }
    let debug = format!("{service:?}");
    assert!(
        debug.len() < 2_000 && debug.contains("SigningKey(Certificate(Rsa"),
        "{debug}"
    );
}
