//! A publisher of signed metadata for tests.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use serde_json::{Value, json};

use super::PUBLISHER;

/// A publisher with its own certificate authority.
pub struct Publisher {
    /// Certificate of the authority, in DER.
    pub root: Vec<u8>,
    pub(super) certificate: Vec<u8>,
    key: EcdsaKeyPair,
}

/// Returns certificate parameters with this common name.
pub(super) fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Publisher {
    pub(super) fn new(params: &CertificateParams) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let mut root = named("Root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_certificate = root.self_signed(&root_key).unwrap().der().to_vec();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params
            .signed_by(&key, &Issuer::new(root, root_key))
            .unwrap();
        let der = key.serialize_der();
        Self {
            root: root_certificate,
            certificate: certificate.der().to_vec(),
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap(),
        }
    }

    /// Creates a publisher with the expected name.
    pub fn fido() -> Self {
        Self::new(&named(PUBLISHER))
    }

    /// Creates a publisher with another name.
    pub fn of_name(name: &str) -> Self {
        Self::new(&named(name))
    }

    /// Returns the certificate of the authority, in PEM.
    pub fn root_pem(&self) -> String {
        let text = STANDARD.encode(&self.root);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    pub(super) fn sign(&self, header: &Value, payload: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.unwrap()))
    }

    pub(super) fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "JWT", "x5c": [STANDARD.encode(&self.certificate)]})
    }

    /// Signs a document in its published form.
    pub fn publish(&self, payload: &Value) -> String {
        self.sign(&self.header(), payload)
    }
}
