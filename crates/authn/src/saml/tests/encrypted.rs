//! Encrypted assertions.

use super::world::{DOMAIN, IDP, PROVIDER, REQUEST, SERVICE, draft, expected, finish, refused};
use crate::saml::{
    ErrorKind, finish_login,
    testing::{Content, Draft, NOW, Signed, Wrap, posted, service_provider},
};

fn encrypted(signed: Signed, content: Content, wrap: Wrap) -> String {
    let recipient = SERVICE.decryption[0].certificate().clone();
    let draft = Draft {
        signed,
        encrypted: Some((recipient, content, wrap)),
        ..draft()
    };
    draft.write(&IDP).unwrap()
}

#[test]
fn assertions_encrypted_for_this_service_are_decrypted() {
    for signed in [Signed::Response, Signed::Assertion, Signed::Both] {
        for content in [Content::Aes128Gcm, Content::Aes256Gcm] {
            for wrap in [Wrap::OaepSha1, Wrap::OaepSha256] {
                let document = encrypted(signed, content, wrap);
                assert!(!document.contains("john@"));
                let login = finish(&document).unwrap();
                assert_eq!(login.name_id.unwrap().value, "john@example.com");
                assert!(login.assertion.contains("john@"));
            }
        }
    }
}

#[test]
fn a_key_beside_the_ciphertext_is_found_too() {
    let document = encrypted(Signed::Assertion, Content::Aes256Gcm, Wrap::OaepSha1);
    let start = document.find("<xenc:EncryptedKey>").unwrap();
    let end = document.find("</xenc:EncryptedKey>").unwrap() + "</xenc:EncryptedKey>".len();
    let key = document[start..end].replace(
        "<xenc:EncryptedKey>",
        "<xenc:EncryptedKey xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\">",
    );
    let moved = document.replace(&document[start..end], "").replace(
        "</saml:EncryptedAssertion>",
        &format!("{key}</saml:EncryptedAssertion>"),
    );
    finish(&moved).unwrap();
}

#[test]
fn while_the_key_changes_the_old_one_still_decrypts() {
    let mut service = service_provider(DOMAIN).unwrap();
    service.decryption.extend(SERVICE.decryption.clone());
    let document = encrypted(Signed::Assertion, Content::Aes256Gcm, Wrap::OaepSha1);
    finish_login(&service, &PROVIDER, &posted(&document), expected(), NOW).unwrap();
    service.decryption.truncate(1);
    let error = finish_login(&service, &PROVIDER, &posted(&document), expected(), NOW).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encryption);
    assert!(error.reason().contains("another key"), "{error:?}");
}

#[test]
fn cbc_is_read_where_the_response_is_signed() {
    for signed in [Signed::Response, Signed::Both] {
        for content in [Content::Aes128Cbc, Content::Aes256Cbc] {
            let document = encrypted(signed, content, Wrap::OaepSha1);
            let login = finish(&document).unwrap();
            assert_eq!(login.name_id.unwrap().value, "john@example.com");
        }
    }
}

#[test]
fn w06_encryption_without_authentication_is_refused_and_says_so() {
    let document = encrypted(Signed::Assertion, Content::Aes256Cbc, Wrap::OaepSha1);
    refused(
        &document,
        ErrorKind::Encryption,
        "let the identity provider sign the response",
    );
    let document = encrypted(Signed::Both, Content::Aes256Gcm, Wrap::Pkcs1);
    refused(&document, ErrorKind::Encryption, "RSA-OAEP");
}

#[test]
fn w06_a_signed_ciphertext_is_no_padding_oracle() {
    // Every change yields the same signature error, so the padding is not revealed.
    let document = encrypted(Signed::Response, Content::Aes256Cbc, Wrap::OaepSha1);
    let value = document.rfind("</xenc:CipherValue>").unwrap();
    let mut answers = std::collections::HashSet::new();
    for at in value - 44..value - 4 {
        for other in ["A", "Q", "z"] {
            let mut changed = document.clone();
            if &changed[at..=at] == other {
                continue;
            }
            changed.replace_range(at..=at, other);
            let error = finish(&changed).unwrap_err();
            answers.insert((error.kind(), error.reason().to_owned()));
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(
        answers.iter().next().map(|(kind, _)| *kind),
        Some(ErrorKind::Signature)
    );
}

#[test]
fn w06_a_changed_ciphertext_is_refused() {
    let document = encrypted(Signed::Assertion, Content::Aes256Gcm, Wrap::OaepSha1);
    let value = document.rfind("</xenc:CipherValue>").unwrap();
    let mut changed = document.clone();
    changed.replace_range(
        value - 8..value - 7,
        if &document[value - 8..value - 7] == "A" {
            "B"
        } else {
            "A"
        },
    );
    refused(&changed, ErrorKind::Encryption, "changed or is cut off");
    let mut short = document.clone();
    short.replace_range(value - 40..value, "");
    refused(&short, ErrorKind::Encryption, "changed or is cut off");
    // The signature of a response is verified before the decryption.
    let document = encrypted(Signed::Response, Content::Aes256Gcm, Wrap::OaepSha1);
    let value = document.rfind("</xenc:CipherValue>").unwrap();
    let mut changed = document.clone();
    changed.replace_range(value - 40..value, "");
    refused(
        &changed,
        ErrorKind::Signature,
        "changed after it was signed",
    );
}

#[test]
fn w06_decrypted_assertions_pass_all_checks() {
    let recipient = SERVICE.decryption[0].certificate().clone();
    let other = Draft {
        encrypted: Some((recipient, Content::Aes256Gcm, Wrap::OaepSha256)),
        conditions: draft().conditions.replace("example.com", "example.org"),
        ..Draft::new(&IDP, DOMAIN, REQUEST)
    };
    refused(&other.write(&IDP).unwrap(), ErrorKind::Refused, "audience");
    let nested = Draft {
        signed: Signed::Response,
        more: format!(
            "<saml:Advice>{}</saml:Advice>",
            draft().assertion(&IDP).unwrap()
        ),
        conditions: draft().conditions,
        ..other
    };
    refused(
        &nested.write(&IDP).unwrap(),
        ErrorKind::Malformed,
        "contains another",
    );
}
