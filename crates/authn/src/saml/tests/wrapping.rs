//! Signature wrapping attacks: a genuine signature is moved next to content that it does not cover.

use super::world::{IDP, PROVIDER, draft, finish};
use crate::saml::{
    binding::incoming::LIMITS,
    signature,
    testing::{Content, Draft, Signed, Wrap},
    xml,
};

const EVIL: &str = "admin@example.com";

/// Parts of a genuine response, for recombination.
struct Parts {
    /// Start of the document, up to the assertion.
    head: String,
    /// Signed assertion, followed by its unsigned form.
    genuine: String,
    bare: String,
    signature: String,
    /// Unsigned assertion of the attacker.
    evil: String,
}

fn parts() -> Parts {
    let document = draft().write(&IDP).unwrap();
    let (head, rest) = document.split_once("<saml:Assertion ").unwrap();
    let genuine = format!(
        "<saml:Assertion {}",
        rest.strip_suffix("</samlp:Response>").unwrap()
    );
    let signature = cut(&genuine, "<ds:Signature ", "</ds:Signature>");
    let evil = Draft {
        signed: Signed::Nothing,
        name_id: EVIL.to_owned(),
        assertion_id: "_evil".to_owned(),
        attributes: draft().attributes.replace("john@", "admin@"),
        ..draft()
    };
    Parts {
        head: head.to_owned(),
        bare: genuine.replace(&signature, ""),
        evil: evil.assertion(&IDP).unwrap(),
        genuine,
        signature,
    }
}

fn cut(text: &str, from: &str, to: &str) -> String {
    let start = text.find(from).unwrap();
    let end = text.find(to).unwrap() + to.len();
    text[start..end].to_owned()
}

impl Parts {
    fn response(&self, inside: &[&str]) -> String {
        format!("{}{}</samlp:Response>", self.head, inside.concat())
    }

    /// Inserts `inside` into the attacker's assertion at the place of a signature.
    fn evil_with(&self, inside: &str) -> String {
        self.evil
            .replacen("</saml:Issuer>", &format!("</saml:Issuer>{inside}"), 1)
    }

    fn evil_ending_with(&self, inside: &str) -> String {
        self.evil
            .replace("</saml:Assertion>", &format!("{inside}</saml:Assertion>"))
    }

    /// Inserts `inside` into the genuine signature.
    fn signature_with(&self, inside: &str) -> String {
        self.signature
            .replace("</ds:Signature>", &format!("{inside}</ds:Signature>"))
    }
}

#[track_caller]
fn defeated(document: &str) {
    assert!(document.contains(EVIL) && document.contains("<ds:SignatureValue>"));
    // The XML is well-formed, so the rejection is due to the signature.
    xml::parse(document, LIMITS).unwrap();
    let error = finish(document).expect_err("wrapped");
    assert!(!error.reason().contains(EVIL), "{error:?}");
}

#[test]
fn the_parts_put_together_as_they_were_are_accepted() {
    let parts = parts();
    assert!(finish(&parts.response(&[&parts.genuine])).is_ok());
    assert!(finish(&parts.response(&[&parts.bare])).is_err());
    assert!(finish(&parts.response(&[&parts.evil])).is_err());
}

/// Returns a signed response in which the attacker's response has the signature, and `place` positions the genuine one.
fn wrapped_response(place: impl Fn(&str, &str) -> (String, String)) -> String {
    let signed = Draft {
        signed: Signed::Response,
        ..draft()
    }
    .write(&IDP)
    .unwrap();
    let signature = cut(&signed, "<ds:Signature ", "</ds:Signature>");
    let bare = signed.replace(&signature, "");
    let evil = bare
        .replace("john@", "admin@")
        .replace("ID=\"_r1\"", "ID=\"_evil\"")
        .replace("_a1", "_b1");
    let (signature, beside) = place(&signature, &bare);
    evil.replacen(
        "</saml:Issuer>",
        &format!("</saml:Issuer>{signature}{beside}"),
        1,
    )
}

#[test]
fn w06_xsw1_the_signed_response_is_inside_of_the_signature() {
    defeated(&wrapped_response(|signature, bare| {
        let inside = format!("{bare}</ds:Signature>");
        (signature.replace("</ds:Signature>", &inside), String::new())
    }));
    defeated(&wrapped_response(|signature, bare| {
        let object = format!("<ds:Object>{bare}</ds:Object></ds:Signature>");
        (signature.replace("</ds:Signature>", &object), String::new())
    }));
}

#[test]
fn w06_xsw2_the_signed_response_is_beside_the_signature() {
    defeated(&wrapped_response(|signature, bare| {
        (signature.to_owned(), bare.to_owned())
    }));
    defeated(&wrapped_response(|signature, bare| {
        (
            String::new(),
            format!("<samlp:Extensions>{bare}{signature}</samlp:Extensions>"),
        )
    }));
}

#[test]
fn w06_xsw3_an_evil_assertion_is_beside_the_signed_one() {
    let parts = parts();
    defeated(&parts.response(&[&parts.evil, &parts.genuine]));
    defeated(&parts.response(&[&parts.genuine, &parts.evil]));
}

#[test]
fn w06_xsw4_the_signed_assertion_is_inside_of_the_evil_one() {
    let parts = parts();
    defeated(&parts.response(&[&parts.evil_ending_with(&parts.genuine)]));
    defeated(&parts.response(&[
        &parts.evil_ending_with(&format!("<saml:Advice>{}</saml:Advice>", parts.genuine)),
    ]));
}

#[test]
fn w06_xsw5_the_evil_assertion_holds_the_signature_and_the_signed_one_is_behind() {
    let parts = parts();
    defeated(&parts.response(&[&parts.evil_with(&parts.signature), &parts.bare]));
    defeated(&parts.response(&[&parts.bare, &parts.evil_with(&parts.signature)]));
}

#[test]
fn w06_xsw6_the_signed_assertion_is_in_the_signature_of_the_evil_one() {
    let parts = parts();
    defeated(&parts.response(&[&parts.evil_with(&parts.signature_with(&parts.bare))]));
    let in_key_info = parts
        .signature
        .replace("</ds:KeyInfo>", &format!("{}</ds:KeyInfo>", parts.bare));
    defeated(&parts.response(&[&parts.evil_with(&in_key_info)]));
}

#[test]
fn w06_xsw7_the_evil_assertion_is_in_extensions() {
    let parts = parts();
    let extensions = format!("<samlp:Extensions>{}</samlp:Extensions>", parts.evil);
    defeated(&parts.response(&[&extensions, &parts.genuine]));
    let same_id = extensions.replace("_evil", "_a1");
    defeated(&parts.response(&[&same_id, &parts.genuine]));
}

#[test]
fn w06_xsw8_the_signed_assertion_is_in_an_object_of_the_signature() {
    let parts = parts();
    let object = format!("<ds:Object>{}</ds:Object>", parts.bare);
    defeated(&parts.response(&[&parts.evil_with(&parts.signature_with(&object))]));
    let evil = parts
        .evil_with(&parts.signature_with(&object))
        .replace("_evil", "_a1");
    defeated(&parts.response(&[&evil]));
}

#[test]
fn w06_two_elements_with_one_id() {
    let parts = parts();
    let evil = parts.evil_with(&parts.signature).replace("_evil", "_a1");
    defeated(&parts.response(&[&evil]));
    defeated(&parts.response(&[&evil, &parts.bare]));
    defeated(&parts.response(&[
        &format!("<samlp:Extensions>{}</samlp:Extensions>", parts.bare),
        &evil,
    ]));
    let other_attribute = parts.bare.replace("ID=\"_a1\"", "xml:id=\"_a1\"");
    defeated(&parts.response(&[
        &format!("<samlp:Extensions>{other_attribute}</samlp:Extensions>"),
        &evil,
    ]));
}

#[test]
fn w06_two_assertions_even_if_both_are_genuine() {
    let parts = parts();
    let second = Draft {
        assertion_id: "_a2".to_owned(),
        name_id: "jane@example.com".to_owned(),
        ..draft()
    };
    let second = second.assertion(&IDP).unwrap();
    let error = finish(&parts.response(&[&parts.genuine, &second])).unwrap_err();
    assert!(
        error.reason().contains("more than one assertion"),
        "{error:?}"
    );
}

#[test]
fn w06_an_encrypted_evil_assertion_beside_or_instead_of_the_signed_one() {
    let recipient = super::world::SERVICE.decryption[0].certificate().clone();
    let evil = Draft {
        signed: Signed::Nothing,
        name_id: EVIL.to_owned(),
        encrypted: Some((recipient, Content::Aes256Gcm, Wrap::OaepSha1)),
        ..draft()
    };
    let alone = evil.write(&IDP).unwrap();
    let error = finish(&alone).unwrap_err();
    assert!(
        error.reason().contains("encrypted in it is signed"),
        "{error:?}"
    );
    let encrypted = cut(
        &alone,
        "<saml:EncryptedAssertion>",
        "</saml:EncryptedAssertion>",
    );
    let parts = parts();
    assert!(finish(&parts.response(&[&parts.genuine, &encrypted])).is_err());
    assert!(finish(&parts.response(&[&encrypted, &parts.genuine])).is_err());
    // A signature of the assertion does not cover the response.
    let moved = parts.response(&[&encrypted]).replacen(
        "</saml:Issuer>",
        &format!("</saml:Issuer>{}", parts.signature),
        1,
    );
    assert!(finish(&moved).is_err());
}

#[test]
fn w06_a_comment_does_not_cut_a_name() {
    for name in [
        "admin@example.com<!---->.evil.example",
        "<!-- -->admin@example.com<!-- --><!-- -->.evil.example",
        "admin@example.com<![CDATA[.evil]]>.example",
    ] {
        for signed in [Signed::Response, Signed::Assertion] {
            let draft = Draft {
                signed,
                name_id: name.to_owned(),
                ..draft()
            };
            let login = finish(&draft.write(&IDP).unwrap()).unwrap();
            assert_eq!(
                login.name_id.unwrap().value,
                "admin@example.com.evil.example"
            );
        }
    }
    // An added comment is not among the signed bytes and changes nothing.
    let document = draft().write(&IDP).unwrap();
    let commented = document.replace(">john@example.com<", ">john<!-- x -->@example.com<");
    assert_eq!(finish(&commented), finish(&document));
    // A processing instruction would be signed, so it is rejected.
    assert!(finish(&document.replace(">john@", ">john<?x?>@")).is_err());
}

#[test]
fn w06_a_comment_does_not_cut_a_digest_or_an_audience() {
    let document = draft().write(&IDP).unwrap();
    let evil = document.replace("john@", "admin@");
    let parsed = xml::parse(&evil, LIMITS).unwrap();
    let assertion = parsed
        .children()
        .find(|child| &*child.local == "Assertion")
        .unwrap();
    let error = signature::verify(assertion, &PROVIDER.signing, LIMITS).unwrap_err();
    assert!(
        error.reason().contains("changed after it was signed"),
        "{error:?}"
    );
    let digest = cut(&evil, "<ds:DigestValue>", "</ds:DigestValue>");
    let value = digest
        .trim_start_matches("<ds:DigestValue>")
        .trim_end_matches("</ds:DigestValue>");
    for forged in [
        format!("<ds:DigestValue><!--forged-->{value}</ds:DigestValue>"),
        format!("<ds:DigestValue><!--AAAA-->{value}</ds:DigestValue>"),
    ] {
        assert!(finish(&evil.replace(&digest, &forged)).is_err());
    }
    let audience = document.replace(">https://example.com<", "><!-- x -->https://example.com<");
    assert_eq!(finish(&audience), finish(&document));
}

#[test]
fn w06_references_and_transforms_of_other_forms_are_refused() {
    let parts = parts();
    let exclusive = "Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"";
    let changes = [
        ("URI=\"#_a1\"", "URI=\"\"", "covers"),
        ("URI=\"#_a1\"", "URI=\"#_r1\"", "covers"),
        ("URI=\"#_a1\"", "URI=\"#xpointer(id('_a1'))\"", "covers"),
        (
            "URI=\"#_a1\"",
            "URI=\"https://idp.example.org/a1\"",
            "covers",
        ),
        ("URI=\"#_a1\"", "", "no URI"),
        (
            exclusive,
            "Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\"",
            "canonicalization",
        ),
        ("#enveloped-signature", "#base64", "first transform"),
        (
            "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            "http://www.w3.org/TR/1999/REC-xslt-19991116",
            "first transform",
        ),
        (
            "xmldsig-more#rsa-sha256",
            "xmldsig-more#rsa-sha1",
            "refused",
        ),
        (
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
            "SHA-1",
        ),
        (
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
            "shared secret",
        ),
        (
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "http://www.w3.org/2000/09/xmldsig#dsa-sha256",
            "not an accepted algorithm",
        ),
        (
            "http://www.w3.org/2001/04/xmlenc#sha256",
            "http://www.w3.org/2000/09/xmldsig#sha1",
            "SHA-1",
        ),
    ];
    for (from, to, reason) in changes {
        let assertion = parts.genuine.replace(from, to);
        assert_ne!(assertion, parts.genuine, "{from}");
        // The assertion is signed again, so that it fails because of its form and not its digest.
        let resigned = resigned(&assertion);
        let error = finish(&parts.response(&[&resigned])).expect_err(from);
        assert!(error.reason().contains(reason), "{from} → {to}: {error:?}");
    }
}

/// Replaces the signature value with a valid one for the current `SignedInfo`.
fn resigned(assertion: &str) -> String {
    use crate::saml::{base64, canonical};
    let parsed = xml::parse(assertion, LIMITS).unwrap();
    let info = parsed
        .descendants()
        .find(|e| &*e.local == "SignedInfo")
        .unwrap();
    let octets = canonical::canonicalize(info, canonical::Options::default());
    let value = base64::encode(&IDP.key.sign(octets.as_bytes()).unwrap());
    let old = cut(assertion, "<ds:SignatureValue>", "</ds:SignatureValue>");
    assertion.replace(
        &old,
        &format!("<ds:SignatureValue>{value}</ds:SignatureValue>"),
    )
}

#[test]
fn w06_a_second_reference_transform_or_signature_is_refused() {
    let parts = parts();
    let reference = cut(&parts.genuine, "<ds:Reference ", "</ds:Reference>");
    let transform = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">";
    let xpath = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>not(1)</ds:XPath>\
                 </ds:Transform></ds:Transforms>";
    for (from, to) in [
        (reference.as_str(), format!("{reference}{reference}")),
        (
            transform,
            format!("{transform}<ec:Other xmlns:ec=\"urn:x\"/>"),
        ),
        ("</ds:Transforms>", xpath.to_owned()),
        (
            "</ds:SignedInfo>",
            "<ds:Object/></ds:SignedInfo>".to_owned(),
        ),
    ] {
        let changed = resigned(&parts.genuine.replacen(from, &to, 1));
        assert!(finish(&parts.response(&[&changed])).is_err(), "{to}");
    }
    let twice = parts
        .genuine
        .replace(&parts.signature, &parts.signature.repeat(2));
    assert!(finish(&parts.response(&[&twice])).is_err());
    // The unmodified form remains valid after signing again.
    assert!(finish(&parts.response(&[&resigned(&parts.genuine)])).is_ok());
}

#[test]
fn w06_a_key_in_the_message_proves_nothing() {
    let impostor = crate::saml::testing::IdentityProvider::new(&IDP.entity_id).unwrap();
    let forged = Draft {
        name_id: EVIL.to_owned(),
        ..draft()
    }
    .write(&impostor)
    .unwrap();
    assert!(finish(&forged).is_err());
    // Genuine certificate with a signature of another key.
    let named = forged.replace(
        &impostor.key.certificate().base64(),
        &IDP.key.certificate().base64(),
    );
    assert!(finish(&named).is_err());
    // The certificate is optional in a genuine response.
    let document = draft().write(&IDP).unwrap();
    let key_info = cut(&document, "<ds:KeyInfo>", "</ds:KeyInfo>");
    assert!(finish(&document.replace(&key_info, "")).is_ok());
}

#[test]
fn w06_key_confusion_a_public_key_used_as_a_shared_secret() {
    use aws_lc_rs::hmac;
    let document = draft()
        .write(&IDP)
        .unwrap()
        .replace("john@", "admin@")
        .replace(
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
        );
    let parsed = xml::parse(&document, LIMITS).unwrap();
    let info = parsed
        .descendants()
        .find(|e| &*e.local == "SignedInfo")
        .unwrap();
    let octets =
        crate::saml::canonical::canonicalize(info, crate::saml::canonical::Options::default());
    let certificate = IDP.key.certificate();
    for secret in [
        certificate.der(),
        certificate.public_key(),
        certificate.base64().as_bytes(),
    ] {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret),
            octets.as_bytes(),
        );
        let value = crate::saml::base64::encode(tag.as_ref());
        let old = cut(&document, "<ds:SignatureValue>", "</ds:SignatureValue>");
        let forged = document.replace(
            &old,
            &format!("<ds:SignatureValue>{value}</ds:SignatureValue>"),
        );
        assert!(
            finish(&forged)
                .unwrap_err()
                .reason()
                .contains("shared secret")
        );
    }
}

#[test]
fn w06_if_there_are_two_signatures_both_must_be_valid() {
    let both = Draft {
        signed: Signed::Both,
        ..draft()
    }
    .write(&IDP)
    .unwrap();
    assert!(finish(&both).is_ok());
    let parsed = xml::parse(&both, LIMITS).unwrap();
    assert_eq!(
        parsed
            .descendants()
            .filter(|e| &*e.local == "Signature")
            .count(),
        2
    );
    // The response signature is valid, but not the assertion signature.
    let broken = Draft {
        signed: Signed::Assertion,
        ..draft()
    };
    let assertion = broken.assertion(&IDP).unwrap();
    let value = cut(&assertion, "<ds:SignatureValue>", "</ds:SignatureValue>");
    let nothing = Draft {
        signed: Signed::Nothing,
        ..draft()
    };
    let bare = nothing.assertion(&IDP).unwrap();
    let with_wrong = nothing.write(&IDP).unwrap().replace(
        &bare,
        &assertion.replace(&value, "<ds:SignatureValue>AAAA</ds:SignatureValue>"),
    );
    let form = signature::Form {
        digest: crate::saml::algorithm::Digest::Sha256,
        inclusive: "",
    };
    let outer =
        signature::sign_as(&xml::parse(&with_wrong, LIMITS).unwrap(), &IDP.key, form).unwrap();
    let document = signature::insert_signature(&with_wrong, &outer).unwrap();
    let error = finish(&document).unwrap_err();
    assert!(
        error
            .reason()
            .contains("none of the 1 signing certificates"),
        "{error:?}"
    );
}
