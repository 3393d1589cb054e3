//! Validly signed responses for another audience, time or request.

use std::time::Duration;

use super::world::{
    BASE, DOMAIN, IDP, PROVIDER, REQUEST, SERVICE, draft, expected, finish, finish_at, refused,
    refused_draft,
};
use crate::saml::{
    ErrorKind, Expected, finish_login,
    testing::{Draft, IdentityProvider, NOW, Signed, posted},
};

#[test]
fn w06_for_another_audience() {
    refused_draft(
        |draft| {
            draft.conditions = draft
                .conditions
                .replace("https://example.com", "https://other.example");
        },
        ErrorKind::Refused,
        "audience",
    );
    refused_draft(
        |draft| {
            draft.conditions = draft
                .conditions
                .replace("https://example.com<", "https://example.com.evil.example<");
        },
        ErrorKind::Refused,
        "audience",
    );
    refused_draft(
        |draft| draft.conditions = "<saml:Conditions/>".to_owned(),
        ErrorKind::Refused,
        "names no audience",
    );
    refused_draft(
        |draft| draft.conditions = String::new(),
        ErrorKind::Malformed,
        "no Conditions",
    );
    // All audience restrictions must be met.
    refused_draft(
        |draft| {
            draft.conditions = draft.conditions.replace(
                "</saml:Conditions>",
                "<saml:AudienceRestriction><saml:Audience>https://other.example</saml:Audience>\
                 </saml:AudienceRestriction></saml:Conditions>",
            );
        },
        ErrorKind::Refused,
        "other.example",
    );
}

#[test]
fn w06_for_another_recipient() {
    refused_draft(
        |draft| draft.recipient = "https://example.com/other".to_owned(),
        ErrorKind::Refused,
        "recipient",
    );
}

#[test]
fn w06_destined_elsewhere() {
    let elsewhere = |draft: &mut Draft| {
        draft.response_attributes = draft.response_attributes.replace(
            "Destination=\"https://example.com/callback\"",
            "Destination=\"https://example.com/callback/\"",
        );
    };
    refused_draft(elsewhere, ErrorKind::Refused, "has the destination");
    let nowhere = |draft: &mut Draft| {
        draft.response_attributes = draft
            .response_attributes
            .replace("Destination=\"https://example.com/callback\"", "");
        draft.signed = Signed::Response;
    };
    refused_draft(nowhere, ErrorKind::Refused, "has the destination");
}

#[test]
fn w06_in_response_to_another_request_or_to_none() {
    let other = |draft: &mut Draft| {
        draft.response_attributes = draft.response_attributes.replace(REQUEST, "_q2");
    };
    refused_draft(other, ErrorKind::Refused, "not to _q1");
    let unsolicited = |draft: &mut Draft| {
        draft.response_attributes = draft
            .response_attributes
            .replace("InResponseTo=\"_q1\"", "");
    };
    refused_draft(unsolicited, ErrorKind::Refused, "not to _q1");
    for confirmation in ["_q2", ""] {
        let signed_other = |draft: &mut Draft| {
            draft.confirmation = draft.confirmation.replace(REQUEST, confirmation);
        };
        refused_draft(signed_other, ErrorKind::Refused, "in response to");
    }
    let signed_none = |draft: &mut Draft| {
        draft.confirmation = draft.confirmation.replace("InResponseTo=\"_q1\"", "");
    };
    refused_draft(signed_none, ErrorKind::Refused, "in response to");
}

#[test]
fn w06_from_another_issuer() {
    refused_draft(
        |draft| draft.issuer = "https://idp.example.org/other".to_owned(),
        ErrorKind::Refused,
        "issuer",
    );
}

#[test]
fn w06_expired_or_not_yet_valid() {
    let document = draft().write(&IDP).unwrap();
    let later = NOW.saturating_add(Duration::from_mins(7));
    let error = finish_at(&document, later).unwrap_err();
    assert!(error.reason().contains("expired"), "{error:?}");
    let earlier = NOW.saturating_sub(Duration::from_mins(3));
    let error = finish_at(&document, earlier).unwrap_err();
    assert!(error.reason().contains("compare the clocks"), "{error:?}");
    refused_draft(
        |draft| draft.confirmation = "InResponseTo=\"_q1\"".to_owned(),
        ErrorKind::Malformed,
        "NotOnOrAfter",
    );
    refused_draft(
        |draft| {
            draft
                .confirmation
                .push_str(" NotBefore=\"2026-01-01T00:00:00Z\"");
        },
        ErrorKind::Refused,
        "NotBefore",
    );
    refused_draft(
        |draft| {
            draft
                .authentication
                .push_str(" SessionNotOnOrAfter=\"2026-01-01T00:00:00Z\"");
        },
        ErrorKind::Refused,
        "session at the identity provider ended",
    );
}

#[test]
fn w06_a_replay_shows_by_its_id() {
    let document = draft().write(&IDP).unwrap();
    let (first, second) = (finish(&document).unwrap(), finish(&document).unwrap());
    assert_eq!(first.assertion_id, second.assertion_id);
    // The id must be stored as long as the same response is accepted.
    let mut now = NOW;
    while finish_at(&document, now).is_ok() {
        assert!(now < first.remember_until);
        now = now.saturating_add(Duration::from_secs(1));
    }
    assert!(now > NOW.saturating_add(Duration::from_mins(5)));
}

#[test]
fn w06_a_condition_that_is_not_known() {
    refused_draft(
        |draft| {
            draft.conditions = draft.conditions.replace(
                "</saml:Conditions>",
                "<saml:Condition xsi:type=\"xs:string\"/></saml:Conditions>",
            );
        },
        ErrorKind::Refused,
        "not known",
    );
}

#[test]
fn w06_without_a_bearer_or_an_authentication() {
    let mut other = draft();
    other.signed = Signed::Nothing;
    let document = other.write(&IDP).unwrap();
    refused(&document, ErrorKind::Signature, "neither");
    refused_draft(
        |draft| {
            draft.more = "<saml:AuthnStatement AuthnInstant=\"2026-01-01T00:00:00Z\"/>".to_owned();
        },
        ErrorKind::Malformed,
        "more than one AuthnStatement",
    );
}

#[test]
fn an_error_status_is_reported_to_administrators() {
    refused_draft(
        |draft| {
            draft.status = "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Responder\">\
                            <samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:AuthnFailed\"/>\
                            </samlp:StatusCode><samlp:StatusMessage>no\nentry</samlp:StatusMessage>"
                .to_owned();
        },
        ErrorKind::Denied,
        "status:AuthnFailed\": \"no\\nentry\"",
    );
}

#[test]
fn metadata_that_ended_verify_nothing() {
    let mut provider = PROVIDER.clone();
    provider.valid_until = Some(NOW.saturating_sub(Duration::from_mins(2)));
    let document = posted(&draft().write(&IDP).unwrap());
    let error = finish_login(&SERVICE, &provider, &document, expected(), NOW).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Metadata);
}

#[test]
fn another_provider_with_the_same_name_is_not_this_one() {
    let impostor = IdentityProvider::new(&IDP.entity_id).unwrap();
    let document = Draft::new(&impostor, DOMAIN, REQUEST)
        .write(&impostor)
        .unwrap();
    refused(
        &document,
        ErrorKind::Signature,
        "none of the 1 signing certificates",
    );
    assert!(impostor.metadata(BASE) != IDP.metadata(BASE));
}

#[test]
fn messages_that_are_not_responses_are_refused() {
    let document = draft().write(&IDP).unwrap();
    let assertion = draft().assertion(&IDP).unwrap();
    refused(&assertion, ErrorKind::Malformed, "not a Response");
    refused(
        &document.replace("2.0:protocol", "1.1:protocol"),
        ErrorKind::Malformed,
        "not a Response",
    );
    for message in ["", "%%%", "PHg+", &"A".repeat(1 << 20)] {
        let asked = Expected { ..expected() };
        let error = finish_login(&SERVICE, &PROVIDER, message, asked, NOW).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error:?}");
    }
}
