//! A software authenticator and browser for tests.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::new_without_default,
    missing_docs,
    reason = "tests fail by panicking"
)]

use std::{fmt::Write as _, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ciborium::Value;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use serde_json::json;

use super::Aaguid;

/// An authenticator with one credential.
#[derive(Clone)]
pub struct SoftwareAuthenticator {
    key: Arc<EcdsaKeyPair>,
    id: Vec<u8>,
    pub user_handle: Vec<u8>,
    counter: Option<u32>,
    backup: (bool, bool),
    model: Option<Arc<Model>>,
}

/// A model with an attestation key (format `packed` or `fido-u2f`), and its vendor.
pub struct Model {
    aaguid: [u8; 16],
    is_u2f: bool,
    /// Root certificate of the vendor, in DER.
    pub root: Vec<u8>,
    certificate: Vec<u8>,
    signing: EcdsaKeyPair,
}

impl Model {
    /// Creates a model with its own authority.
    pub fn new(aaguid: Aaguid) -> Arc<Self> {
        Arc::new(Self::made(aaguid, false))
    }

    /// Creates a U2F model whose registrations claim the AAGUID `claimed`, which is not signed.
    pub fn u2f(claimed: Aaguid) -> Arc<Self> {
        Arc::new(Self::made(claimed, true))
    }

    /// Returns the key identifier in hexadecimal, as the metadata list it.
    pub fn key_identifier(&self) -> String {
        let identifier = crate::x509::key_identifier(&self.certificate).unwrap();
        identifier.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    fn made(aaguid: Aaguid, is_u2f: bool) -> Self {
        let authority = KeyPair::generate().unwrap();
        let mut root = named("Authority");
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_certificate = root.self_signed(&authority).unwrap().der().to_vec();
        let mut params = named("Batch");
        let aaguid = aaguid.0;
        // id-fido-gen-ce-aaguid (§8.2.1).
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            &[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4],
            [&[0x04, 16], aaguid.as_slice()].concat(),
        )];
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.signed_by(&pair, &Issuer::new(root, authority));
        let der = pair.serialize_der();
        Self {
            aaguid,
            is_u2f,
            root: root_certificate,
            certificate: certificate.unwrap().der().to_vec(),
            signing: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).unwrap(),
        }
    }

    /// Returns a `fido-u2f` statement (§8.6).
    fn attest_u2f(&self, data: &[u8], client_data_hash: &[u8], id: &[u8], point: &[u8]) -> Value {
        let signed = [&[0], &data[..32], client_data_hash, id, point].concat();
        let signature = self.signing.sign(&SystemRandom::new(), &signed).unwrap();
        let chain = vec![Value::Bytes(self.certificate.clone())];
        Value::Map(vec![
            (text("sig"), Value::Bytes(signature.as_ref().to_vec())),
            (text("x5c"), Value::Array(chain)),
        ])
    }

    fn attest(&self, signed: &[u8]) -> Value {
        let signature = self.signing.sign(&SystemRandom::new(), signed).unwrap();
        let chain = vec![Value::Bytes(self.certificate.clone())];
        Value::Map(vec![
            (text("alg"), Value::Integer((-7).into())),
            (text("sig"), Value::Bytes(signature.as_ref().to_vec())),
            (text("x5c"), Value::Array(chain)),
        ])
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in [
        (DnType::CountryName, "AA"),
        (DnType::OrganizationName, "Maker"),
        (DnType::OrganizationalUnitName, "Authenticator Attestation"),
        (DnType::CommonName, name),
    ] {
        params.distinguished_name.push(kind, value);
    }
    params.use_authority_key_identifier_extension = false;
    params
}

/// Deviations of an attacker or a faulty authenticator.
#[derive(Debug, Clone, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each flag is an independent deviation"
)]
pub struct Tampering {
    pub absent: bool,
    pub unverified: bool,
    pub crossed: bool,
    pub bad_signature: bool,
    pub ignores_exclusion: bool,
    pub keeps_credential: bool,
    pub top: Option<&'static str>,
    pub challenge: Option<&'static [u8]>,
    pub ceremony: Option<&'static str>,
    pub rp_id: Option<&'static str>,
    pub origin: Option<&'static str>,
    /// Backup eligibility and backup state.
    pub backup: Option<(bool, bool)>,
    pub user_handle: Option<Vec<u8>>,
}

impl SoftwareAuthenticator {
    /// Creates an authenticator without a counter.
    pub fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let id = digest(&SHA256, key.public_key().as_ref()).as_ref().to_vec();
        Self {
            key: key.into(),
            id,
            user_handle: Vec::new(),
            counter: None,
            backup: (false, false),
            model: None,
        }
    }

    /// Creates an authenticator of a model.
    pub fn of_model(model: &Arc<Model>) -> Self {
        Self {
            model: Some(Arc::clone(model)),
            ..Self::new()
        }
    }

    /// Creates an authenticator with a counter.
    pub fn counting() -> Self {
        Self {
            counter: Some(0),
            ..Self::new()
        }
    }

    /// Returns the credential id in base64url.
    pub fn id_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.id)
    }

    /// Creates a credential for the `options` of a server. Returns the response as JSON, altered by `twist`.
    pub fn create(&mut self, options: &str, twist: &Tampering) -> String {
        let options: serde_json::Value = serde_json::from_str(options).unwrap();
        if !twist.keeps_credential {
            *self = Self {
                counter: self.counter,
                model: self.model.clone(),
                ..Self::new()
            };
        }
        let excluded = options["excludeCredentials"].as_array().unwrap();
        let is_excluded = excluded.iter().any(|one| one["id"] == self.id_text());
        assert!(!is_excluded || twist.ignores_exclusion);
        self.user_handle = URL_SAFE_NO_PAD
            .decode(options["user"]["id"].as_str().unwrap())
            .unwrap();
        self.backup = twist.backup.unwrap_or((false, false));
        let client_data = client_data("webauthn.create", &options, twist);
        let mut data = self.data(options["rp"]["id"].as_str().unwrap(), 0x40, twist);
        data.extend(self.model.as_ref().map_or([0; 16], |model| model.aaguid));
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        data.extend(self.cose());
        let (format, statement) = match &self.model {
            None => ("none", Value::Map(Vec::new())),
            Some(model) if model.is_u2f => {
                let hash = digest(&SHA256, client_data.as_bytes());
                let point = self.key.public_key().as_ref();
                let statement = model.attest_u2f(&data, hash.as_ref(), &self.id, point);
                ("fido-u2f", statement)
            }
            Some(model) => {
                let hash = digest(&SHA256, client_data.as_bytes());
                let signed = [data.as_slice(), hash.as_ref()].concat();
                ("packed", model.attest(&signed))
            }
        };
        let object = cbor(&Value::Map(vec![
            (text("fmt"), text(format)),
            (text("attStmt"), statement),
            (text("authData"), Value::Bytes(data)),
        ]));
        json!({
            "id": self.id_text(),
            "rawId": self.id_text(),
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
                "attestationObject": URL_SAFE_NO_PAD.encode(object),
                "transports": ["usb"],
            },
            "clientExtensionResults": {"credProps": {"rk": true}},
        })
        .to_string()
    }

    /// Signs a challenge.
    pub fn get(&mut self, options: &str, twist: &Tampering) -> String {
        let options: serde_json::Value = serde_json::from_str(options).unwrap();
        let client_data = client_data("webauthn.get", &options, twist);
        let data = self.data(options["rpId"].as_str().unwrap(), 0, twist);
        let mut signed = data.clone();
        signed.extend(digest(&SHA256, client_data.as_bytes()).as_ref());
        if twist.bad_signature {
            signed.push(0);
        }
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        let handle = twist.user_handle.as_ref().unwrap_or(&self.user_handle);
        json!({
            "id": self.id_text(),
            "rawId": self.id_text(),
            "type": "public-key",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
                "authenticatorData": URL_SAFE_NO_PAD.encode(data),
                "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
                "userHandle": URL_SAFE_NO_PAD.encode(handle),
            },
        })
        .to_string()
    }

    fn data(&mut self, rp_id: &str, more_flags: u8, twist: &Tampering) -> Vec<u8> {
        let rp_id = twist.rp_id.unwrap_or(rp_id);
        let (eligible, done) = twist.backup.unwrap_or(self.backup);
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let flags = flag(!twist.absent, 0x01)
            | flag(!twist.unverified, 0x04)
            | flag(eligible, 0x08)
            | flag(done, 0x10)
            | more_flags;
        if let Some(counter) = &mut self.counter {
            *counter += 1;
        }
        let mut data = digest(&SHA256, rp_id.as_bytes()).as_ref().to_vec();
        data.push(flags);
        data.extend(self.counter.unwrap_or(0).to_be_bytes());
        data
    }

    fn cose(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let number = |number: i64| Value::Integer(number.into());
        cbor(&Value::Map(vec![
            (number(1), number(2)),
            (number(3), number(-7)),
            (number(-1), number(1)),
            (number(-2), Value::Bytes(point[1..33].to_vec())),
            (number(-3), Value::Bytes(point[33..].to_vec())),
        ]))
    }
}

fn client_data(ceremony: &str, options: &serde_json::Value, twist: &Tampering) -> String {
    let challenge = match twist.challenge {
        Some(other) => URL_SAFE_NO_PAD.encode(other),
        None => options["challenge"].as_str().unwrap().to_owned(),
    };
    let mut data = json!({
        "type": twist.ceremony.unwrap_or(ceremony),
        "challenge": challenge,
        "origin": twist.origin.unwrap_or("https://localhost:8443"),
        "crossOrigin": twist.crossed || twist.top.is_some(),
    });
    if let Some(top) = twist.top {
        data["topOrigin"] = top.into();
    }
    data.to_string()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn cbor(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}
