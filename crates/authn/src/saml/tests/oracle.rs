//! Signatures and ciphertexts exchanged with `xmlsec1`, in both directions.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::world::{BASE, IDP, PROVIDER, SERVICE, draft, expected};
use crate::saml::{
    Certificate, DecryptionKey, Login, MetadataOptions, Provider, ServiceProvider, SigningKey,
    algorithm::Digest,
    base64, finish_login,
    testing::{Draft, IdentityProvider, NOW, Signed, enveloped, posted},
};

fn xmlsec1(arguments: &[&str], files: &[&Path]) -> Output {
    Command::new("xmlsec1")
        .args(arguments)
        .args(files)
        .output()
        .expect("xmlsec1 is missing: run scripts/install-test-tools")
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = base64::encode(der);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Returns keys of every type, with their PEM form.
fn keys() -> Vec<(&'static str, KeyPair, SigningKey)> {
    [
        ("rsa", &rcgen::PKCS_RSA_SHA256),
        ("p256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("p384", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("p521", &rcgen::PKCS_ECDSA_P521_SHA512),
    ]
    .into_iter()
    .map(|(name, algorithm)| {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::default().self_signed(&pair).unwrap();
        let key = SigningKey::new(&pair.serialize_der(), certificate.der()).unwrap();
        (name, pair, key)
    })
    .collect()
}

const ASSERTION_ID: &str = "--id-attr:ID";
const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion:Assertion";
const RESPONSE: &str = "urn:oasis:names:tc:SAML:2.0:protocol:Response";

fn verifies(directory: &TempDir, document: &str, certificate: &Certificate) -> bool {
    let (file, key) = (
        directory.path().join("doc.xml"),
        directory.path().join("cert.pem"),
    );
    fs::write(&file, document).unwrap();
    fs::write(&key, pem("CERTIFICATE", certificate.der())).unwrap();
    let key = format!("--pubkey-cert-pem={}", key.display()).replace('=', " ");
    let (flag, key) = key.split_once(' ').unwrap();
    let arguments = [
        "--verify",
        ASSERTION_ID,
        ASSERTION,
        ASSERTION_ID,
        RESPONSE,
        "--enabled-key-data",
        "rsa,ecdsa",
        flag,
        key,
    ];
    xmlsec1(&arguments, &[&file]).status.success()
}

#[test]
fn xmlsec1_verifies_our_signatures() {
    let directory = TempDir::new().unwrap();
    for (name, _, key) in keys() {
        let idp = IdentityProvider { key, ..IDP.clone() };
        for signed in [Signed::Response, Signed::Assertion] {
            for inclusive in ["", "xs", "xs xsi #default"] {
                let draft = Draft {
                    signed,
                    inclusive: inclusive.to_owned(),
                    name_id: "a<!-- c -->b&#13;\u{e9}".to_owned(),
                    ..draft()
                };
                let document = draft.write(&idp).unwrap();
                let certificate = idp.key.certificate();
                assert!(
                    verifies(&directory, &document, certificate),
                    "{name} {signed:?} {inclusive}"
                );
                let changed = document.replace("a<!-- c -->b", "a<!-- c -->c");
                assert!(!verifies(&directory, &changed, certificate), "{name}");
            }
        }
    }
}

/// Returns signature templates for `xmlsec1`, similar to those of real identity providers.
fn templates() -> Vec<(String, String)> {
    let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
    let mut templates = Vec::new();
    for digest in ["sha256", "sha512"] {
        for (comments, list) in [
            ("", ""),
            ("WithComments", ""),
            ("", "xs"),
            ("WithComments", "xs #default saml"),
        ] {
            let list = if list.is_empty() {
                String::new()
            } else {
                format!("<InclusiveNamespaces xmlns=\"{exclusive}\" PrefixList=\"{list}\"/>")
            };
            let template = format!(
                "<Signature xmlns=\"http://www.w3.org/2000/09/xmldsig#\">\n  <SignedInfo>\n    \
                 <CanonicalizationMethod Algorithm=\"{exclusive}{comments}\"/><!-- signed or not -->\n    \
                 <SignatureMethod Algorithm=\"METHOD\"/>\n    <Reference URI=\"#_a1\">\n      <Transforms>\n        \
                 <Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>\n        \
                 <Transform Algorithm=\"{exclusive}{comments}\">{list}</Transform>\n      </Transforms>\n      \
                 <DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#{digest}\"/>\n      <DigestValue/>\n    \
                 </Reference>\n  </SignedInfo>\n  <SignatureValue/>\n</Signature>"
            );
            templates.push((format!("{digest} {comments} {list}"), template));
        }
    }
    templates
}

#[test]
fn signatures_of_xmlsec1_are_verified() {
    let directory = TempDir::new().unwrap();
    let (input, output) = (
        directory.path().join("in.xml"),
        directory.path().join("out.xml"),
    );
    let secret = directory.path().join("key.pem");
    let nothing = Draft {
        signed: Signed::Nothing,
        name_id: "<!-- a -->john<![CDATA[@]]>example.com".to_owned(),
        ..draft()
    };
    for (name, pair, key) in keys() {
        fs::write(&secret, pem("PRIVATE KEY", &pair.serialize_der())).unwrap();
        let idp = IdentityProvider { key, ..IDP.clone() };
        let provider =
            Provider::from_metadata(&idp.metadata(BASE), MetadataOptions::default(), NOW).unwrap();
        let read = |document: &str| -> Result<Login, _> {
            finish_login(&SERVICE, &provider, &posted(document), expected(), NOW)
        };
        for (form, template) in templates() {
            let template = template.replace("METHOD", idp.key.algorithm().uri());
            let document = nothing.write(&idp).unwrap().replace(
                "</saml:Issuer><saml:Subject>",
                &format!("</saml:Issuer>\n{template}\n<saml:Subject>"),
            );
            fs::write(&input, &document).unwrap();
            let arguments = [
                "--sign",
                "--privkey-pem",
                secret.to_str().unwrap(),
                ASSERTION_ID,
                ASSERTION,
                "--output",
                output.to_str().unwrap(),
            ];
            let done = xmlsec1(&arguments, &[&input]);
            assert!(
                done.status.success(),
                "{name} {form}: {}",
                String::from_utf8_lossy(&done.stderr)
            );
            let signed = fs::read_to_string(&output).unwrap();
            let login = read(&signed).unwrap_or_else(|error| panic!("{name} {form}: {error:?}"));
            assert_eq!(login.name_id.unwrap().value, "john@example.com");
            assert!(read(&signed.replace("_s1", "_s2")).is_err());
        }
    }
}

#[test]
fn ciphertexts_of_xmlsec1_are_decrypted() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (_, pair, key) = keys().remove(0);
    let decryption = DecryptionKey::new(&pair.serialize_der(), key.certificate().der()).unwrap();
    let service = ServiceProvider {
        decryption: vec![decryption],
        ..SERVICE.clone()
    };
    fs::write(
        path("cert.pem"),
        pem("CERTIFICATE", key.certificate().der()),
    )
    .unwrap();
    fs::write(path("in.xml"), draft().assertion(&IDP).unwrap()).unwrap();
    for (bits, mode, namespace) in [
        ("128", "gcm", "2009/xmlenc11"),
        ("256", "gcm", "2009/xmlenc11"),
        ("128", "cbc", "2001/04/xmlenc"),
        ("192", "cbc", "2001/04/xmlenc"),
        ("256", "cbc", "2001/04/xmlenc"),
    ] {
        let template = format!(
            "<xenc:EncryptedData xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\" \
             Type=\"http://www.w3.org/2001/04/xmlenc#Element\"><xenc:EncryptionMethod \
             Algorithm=\"http://www.w3.org/{namespace}#aes{bits}-{mode}\"/><ds:KeyInfo \
             xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><xenc:EncryptedKey><xenc:EncryptionMethod \
             Algorithm=\"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p\"/><xenc:CipherData><xenc:CipherValue/>\
             </xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue/>\
             </xenc:CipherData></xenc:EncryptedData>"
        );
        fs::write(path("template.xml"), template).unwrap();
        let (certificate, session, input, output) = (
            path("cert.pem"),
            format!("aes-{bits}"),
            path("in.xml"),
            path("out.xml"),
        );
        let arguments = [
            "--encrypt",
            "--pubkey-cert-pem",
            certificate.to_str().unwrap(),
            "--session-key",
            &session,
            "--xml-data",
            input.to_str().unwrap(),
            "--node-xpath",
            "/*",
            "--output",
            output.to_str().unwrap(),
        ];
        let done = xmlsec1(&arguments, &[&path("template.xml")]);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let encrypted = fs::read_to_string(&output).unwrap();
        let encrypted = encrypted
            .split_once("?>")
            .map_or(encrypted.as_str(), |(_, rest)| rest);
        let plain = draft().assertion(&IDP).unwrap();
        let document = draft().write(&IDP).unwrap().replace(
            &plain,
            &format!("<saml:EncryptedAssertion>{encrypted}</saml:EncryptedAssertion>"),
        );
        // CBC is accepted only in a signed response.
        let document = if mode == "cbc" {
            enveloped(&document, &IDP.key, Digest::Sha256, "").unwrap()
        } else {
            document
        };
        let login = finish_login(&service, &PROVIDER, &posted(&document), expected(), NOW).unwrap();
        assert_eq!(login.name_id.unwrap().value, "john@example.com");
    }
}
