//! Single logout.

use std::time::Duration;

use domain::rng::SeededRng;

use super::world::{BASE, IDP, PROVIDER, SERVICE};
use crate::saml::{
    Ended, Error, ErrorKind, Incoming, LogoutRequest, MetadataOptions, NameId, Outgoing, Provider,
    ServiceProvider, answer_logout, begin_logout, claimed_sender, finish_logout,
    read_logout_request,
    testing::{IdentityProvider, NOW, posted},
};

/// Returns the identity provider as a service provider, to create its requests.
fn as_service(idp: &IdentityProvider) -> ServiceProvider {
    ServiceProvider {
        entity_id: idp.entity_id.clone(),
        signing: idp.key.clone(),
        ..SERVICE.clone()
    }
}

/// Returns ourselves as the identity provider, to receive its requests.
fn ourselves() -> Provider {
    let mut provider =
        Provider::from_metadata(&IDP.metadata(BASE), MetadataOptions::default(), NOW).unwrap();
    provider.single_logout[0].location = SERVICE.single_logout_url.clone().unwrap();
    provider.single_logout[0].response_location = None;
    provider
}

fn john() -> NameId {
    NameId {
        value: "john <&> \"x\"".to_owned(),
        format: Some("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".to_owned()),
        name_qualifier: None,
        sp_name_qualifier: Some("https://example.com".to_owned()),
    }
}

fn query(message: &Outgoing) -> String {
    match message {
        Outgoing::Redirect { url } => url.split_once('?').unwrap().1.to_owned(),
        Outgoing::Post { .. } => panic!("not a redirection"),
    }
}

fn from_idp(idp: &IdentityProvider, relay_state: Option<&str>) -> String {
    let sent = begin_logout(
        &as_service(idp),
        &ourselves(),
        (&john(), Some("_s1")),
        relay_state,
        &SeededRng::new(3),
        NOW,
    );
    query(&sent.unwrap().unwrap().message)
}

fn read(query: &str) -> Result<LogoutRequest, Error> {
    read_logout_request(&SERVICE, &PROVIDER, Incoming::Redirect { query }, NOW)
}

#[test]
fn a_logout_request_of_the_provider_is_answered() {
    let request = read(&from_idp(&IDP, Some("state"))).unwrap();
    assert_eq!(request.name_id, john());
    assert_eq!(request.session_indexes, ["_s1"]);
    let answer = answer_logout(
        &SERVICE,
        &PROVIDER,
        &request,
        Ended::All,
        Some("state"),
        &SeededRng::new(4),
        NOW,
    )
    .unwrap();
    let Outgoing::Redirect { url } = &answer else {
        panic!("not a redirection")
    };
    assert!(
        url.starts_with("https://idp.example.org/logged-out?SAMLResponse="),
        "{url}"
    );
    assert!(url.contains("&RelayState=state&SigAlg="), "{url}");
}

#[test]
fn a_logout_request_of_the_service_gets_a_signed_response() {
    let rng = SeededRng::new(5);
    let sent = begin_logout(&SERVICE, &PROVIDER, (&john(), None), None, &rng, NOW)
        .unwrap()
        .unwrap();
    let request = LogoutRequest {
        id: sent.id.clone(),
        remember_until: NOW,
        name_id: john(),
        session_indexes: Vec::new(),
    };
    let answer = |idp: &IdentityProvider, ended| {
        let message = answer_logout(
            &as_service(idp),
            &ourselves(),
            &request,
            ended,
            None,
            &rng,
            NOW,
        );
        query(&message.unwrap())
    };
    let finish = |query: &str, id: &str| {
        finish_logout(&SERVICE, &PROVIDER, Incoming::Redirect { query }, id, NOW)
    };
    let good = answer(&IDP, Ended::All);
    finish(&good, &sent.id).unwrap();
    assert!(
        finish(&good, "_other")
            .unwrap_err()
            .reason()
            .contains("not to _other")
    );
    assert_eq!(
        finish(&answer(&IDP, Ended::NotAll), &sent.id)
            .unwrap_err()
            .kind(),
        ErrorKind::Denied
    );
    let impostor = IdentityProvider::new(&IDP.entity_id).unwrap();
    assert_eq!(
        finish(&answer(&impostor, Ended::All), &sent.id)
            .unwrap_err()
            .kind(),
        ErrorKind::Signature
    );
    // A request is not accepted as a response.
    assert!(finish(&from_idp(&IDP, None), &sent.id).is_err());
}

#[test]
fn the_issuer_is_known_before_verification() {
    let query = from_idp(&IDP, Some("state"));
    let unsigned = query.split("&RelayState").next().unwrap();
    for query in [query.as_str(), unsigned] {
        assert_eq!(
            claimed_sender(Incoming::Redirect { query }).unwrap(),
            IDP.entity_id
        );
    }
    for query in ["", "SAMLRequest=", "SAMLRequest=AAAA", "SAMLRequest=%ff"] {
        assert!(claimed_sender(Incoming::Redirect { query }).is_err());
    }
    let message = posted("<a/>");
    assert!(claimed_sender(Incoming::Post { message: &message }).is_err());
}

#[test]
fn w06_an_unsigned_logout_request_is_refused() {
    let query = from_idp(&IDP, Some("state"));
    let unsigned = query.split("&SigAlg=").next().unwrap();
    assert!(
        read(unsigned)
            .unwrap_err()
            .reason()
            .contains("unsigned messages are refused")
    );
    let no_value = query.split("&Signature=").next().unwrap();
    assert!(
        read(no_value)
            .unwrap_err()
            .reason()
            .contains("unsigned messages are refused")
    );
    let document =
        "<samlp:LogoutRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"_1\"/>";
    let message = posted(document);
    let posted = Incoming::Post { message: &message };
    let error = read_logout_request(&SERVICE, &PROVIDER, posted, NOW).unwrap_err();
    assert!(error.reason().contains("is not signed"), "{error:?}");
}

#[test]
fn w06_a_logout_request_of_someone_else_is_refused() {
    let impostor = IdentityProvider::new(&IDP.entity_id).unwrap();
    assert_eq!(
        read(&from_idp(&impostor, None)).unwrap_err().kind(),
        ErrorKind::Signature
    );
    let other = IdentityProvider {
        entity_id: "https://other.example".to_owned(),
        ..IDP.clone()
    };
    assert!(
        read(&from_idp(&other, None))
            .unwrap_err()
            .reason()
            .contains("issuer")
    );
}

#[test]
fn w06_no_part_of_a_signed_query_can_be_changed_left_out_or_doubled() {
    let query = from_idp(&IDP, Some("state"));
    assert!(read(&query).is_ok());
    let without = query.replace("RelayState=state&", "");
    assert!(read(&without).is_err());
    assert!(read(&query.replace("RelayState=state", "RelayState=other")).is_err());
    assert!(read(&query.replace("rsa-sha256", "rsa-sha512")).is_err());
    assert!(read(&query.replace("rsa-sha256", "rsa-sha1")).is_err());
    assert!(
        read(&format!("{query}&SAMLRequest=AAAA"))
            .unwrap_err()
            .reason()
            .contains("twice")
    );
    assert!(
        read(&format!("{query}&RelayState=x"))
            .unwrap_err()
            .reason()
            .contains("twice")
    );
    assert!(read(&format!("{query}&SAMLEncoding=urn:x")).is_err());
    // The order of parameters and unrelated parameters do not affect the signature.
    let mut parts: Vec<&str> = query.split('&').collect();
    parts.reverse();
    parts.push("utm=1");
    assert!(read(&parts.join("&")).is_ok());
    for at in 0..query.len() {
        let mut octets = query.clone().into_bytes();
        octets[at] ^= 1;
        let Ok(changed) = String::from_utf8(octets) else {
            continue;
        };
        if let Ok(request) = read(&changed) {
            assert_eq!(request.name_id, john(), "{changed}");
        }
    }
}

#[test]
fn w06_a_logout_request_is_for_here_and_for_now() {
    let query = from_idp(&IDP, None);
    let at = |now| {
        read_logout_request(
            &SERVICE,
            &PROVIDER,
            Incoming::Redirect { query: &query },
            now,
        )
    };
    let request = at(NOW).unwrap();
    let last = NOW.saturating_add(Duration::from_secs(659));
    assert!(at(last).is_ok() && last < request.remember_until);
    assert!(at(request.remember_until).is_err());
    assert!(at(NOW.saturating_sub(Duration::from_secs(61))).is_err());
    let elsewhere = ServiceProvider {
        single_logout_url: Some("https://example.org/saml/logout".to_owned()),
        ..SERVICE.clone()
    };
    let incoming = Incoming::Redirect { query: &query };
    let error = read_logout_request(&elsewhere, &PROVIDER, incoming, NOW).unwrap_err();
    assert!(error.reason().contains("has the destination"), "{error:?}");
    let nowhere = ServiceProvider {
        single_logout_url: None,
        ..SERVICE.clone()
    };
    assert!(read_logout_request(&nowhere, &PROVIDER, incoming, NOW).is_err());
}

#[test]
fn a_posted_document_has_an_enveloped_signature() {
    let mut to_us = ourselves();
    to_us.single_logout[0].binding = crate::saml::Binding::Post;
    let sent = begin_logout(
        &as_service(&IDP),
        &to_us,
        (&john(), Some("_s1")),
        None,
        &SeededRng::new(3),
        NOW,
    );
    let Outgoing::Post { fields, .. } = sent.unwrap().unwrap().message else {
        panic!("not a form")
    };
    let read =
        |message: &str| read_logout_request(&SERVICE, &PROVIDER, Incoming::Post { message }, NOW);
    assert_eq!(read(&fields[0].1).unwrap().name_id, john());
    let document = crate::saml::base64::decode("", &fields[0].1).unwrap();
    let document = String::from_utf8(document).unwrap();
    assert!(read(&posted(&document.replace("_s1", "_s2"))).is_err());
    assert!(
        read(&posted(&document.replace(
            "<saml:NameID ",
            "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/><saml:NameID "
        )))
        .is_err()
    );
}

#[test]
fn w06_a_bomb_inflates_up_to_the_limit_only() {
    use crate::saml::binding::incoming::{LIMITS, inflate};
    let bomb = miniz_oxide::deflate::compress_to_vec(&vec![b' '; 64 << 20], 9);
    assert!(bomb.len() < 70_000);
    assert!(
        inflate(&bomb)
            .unwrap_err()
            .reason()
            .contains("inflates to more than")
    );
    let most = miniz_oxide::deflate::compress_to_vec(&vec![b' '; LIMITS.bytes], 9);
    assert_eq!(inflate(&most).unwrap().len(), LIMITS.bytes);
    assert!(inflate(b"").is_err());
    assert!(inflate(b"\xff\xff").is_err());
}

#[test]
fn a_provider_without_single_logout_is_not_asked() {
    let mut provider = PROVIDER.clone();
    provider.single_logout.clear();
    let rng = SeededRng::new(1);
    assert_eq!(
        begin_logout(&SERVICE, &provider, (&john(), None), None, &rng, NOW),
        Ok(None)
    );
}
