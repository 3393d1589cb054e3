//! Endorsement key of a TPM and its vendor certificate (TCG EK Credential Profile 2.5).

use domain::clock::UnixMillis;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{
    certificate::X509Certificate,
    der_parser::asn1_rs::{FromDer as _, Oid, oid},
    extensions::{GeneralName, ParsedExtension},
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    },
    parse_x509_certificate,
    public_key::PublicKey as ParsedKey,
    x509::{SubjectPublicKeyInfo, X509Version},
};

use super::{Refusal, Result};
use crate::x509;

/// `tcg-kp-EKCertificate`.
const EK_CERTIFICATE: Oid<'static> = oid!(2.23.133.8.1);
/// `tcg-at-tpmManufacturer`, `tcg-at-tpmModel`, `tcg-at-tpmVersion`.
const MANUFACTURER: Oid<'static> = oid!(2.23.133.2.1);
const MODEL: Oid<'static> = oid!(2.23.133.2.2);
const VERSION: Oid<'static> = oid!(2.23.133.2.3);
/// `id-RSAES-OAEP`, which some vendors use as the algorithm of the key.
const RSAES_OAEP: Oid<'static> = oid!(1.2.840.113549.1.1.7);
/// `AlgorithmIdentifier` of `rsaEncryption`, with its NULL.
const RSA_ENCRYPTION: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// RSA key sizes of the endorsement key templates.
const RSA_BITS: [usize; 3] = [2048, 3072, 4096];
/// Maximum number of characters of a TPM attribute in a certificate.
const LONGEST: usize = 256;

/// Trust in a TPM, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// The key has no certificate, so software can imitate the TPM.
    Uncertified,
    /// The key has a certificate, but no authorities are configured to verify it.
    Unverified,
    /// The certificate leads to a configured authority.
    Certified,
}

/// Authorities of endorsement key certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorities {
    certificates: Vec<Vec<u8>>,
    is_required: bool,
}

impl Authorities {
    /// Parses PEM certificates, one or more in each text. If `is_required` is true, keys without a trusted certificate
    /// are rejected.
    ///
    /// # Errors
    /// Returns [`Refusal::Authority`] if a text is not a certificate, [`Refusal::NoAuthority`] if a certificate is not
    /// a CA, and [`Refusal::NoAuthorities`] if certificates are required but none is given.
    pub fn from_pem(texts: &[String], is_required: bool) -> Result<Self> {
        let mut certificates = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let before = certificates.len();
            for found in CertificateDer::pem_slice_iter(text.as_bytes()) {
                let der = found.map_err(|_| Refusal::Authority(index))?;
                let Ok(([], certificate)) = parse_x509_certificate(&der) else {
                    return Err(Refusal::Authority(index));
                };
                if !x509::may_certify(&certificate, 0) {
                    return Err(Refusal::NoAuthority(index));
                }
                certificates.push(der.to_vec());
            }
            if certificates.len() == before {
                return Err(Refusal::Authority(index));
            }
        }
        if is_required && certificates.is_empty() {
            return Err(Refusal::NoAuthorities);
        }
        Ok(Self {
            certificates,
            is_required,
        })
    }
}

/// Endorsement key that a client presents.
#[derive(Debug, Clone, Copy)]
pub enum Presented<'a> {
    /// Certificate in DER.
    Certificate(&'a [u8]),
    /// PKIX public key (`SubjectPublicKeyInfo` in DER), if the TPM has no certificate.
    PublicKey(&'a [u8]),
}

/// A verified endorsement key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsementKey {
    /// `SubjectPublicKeyInfo` in DER.
    pub public_key: Vec<u8>,
    /// Trust in the TPM.
    pub trust: Trust,
    /// Certificate, if presented.
    pub certificate: Option<EndorsementCertificate>,
}

/// Contents of an endorsement key certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsementCertificate {
    /// Certificate in DER.
    pub der: Vec<u8>,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// Manufacturer, such as `id:49465800`. Empty if missing.
    pub manufacturer: String,
    /// Model. Empty if missing.
    pub model: String,
    /// Firmware version, such as `id:00070055`. Empty if missing.
    pub firmware_version: String,
}

impl EndorsementKey {
    /// Verifies the key and its certificate, if presented. The certificate must have version 3, be valid at `now`, and
    /// be issued for endorsement keys. If authorities are configured, it must lead to one of them.
    ///
    /// # Errors
    /// Returns the first [`Refusal`] that applies.
    pub fn verify(
        presented: Presented<'_>,
        authorities: &Authorities,
        now: UnixMillis,
    ) -> Result<Self> {
        let key = match presented {
            Presented::PublicKey(public_key) => Self {
                public_key: read_key(public_key)?.into_pkix(public_key),
                trust: Trust::Uncertified,
                certificate: None,
            },
            Presented::Certificate(der) => certified(der, authorities, now)?,
        };
        if authorities.is_required && key.trust != Trust::Certified {
            return Err(Refusal::Uncertified);
        }
        Ok(key)
    }
}

fn certified(der: &[u8], authorities: &Authorities, now: UnixMillis) -> Result<EndorsementKey> {
    let Ok(([], certificate)) = parse_x509_certificate(der) else {
        return Err(Refusal::Malformed("the certificate of the endorsement key"));
    };
    check_certificate(&certificate)?;
    x509::check_itself(&certificate, now).map_err(Refusal::Chain)?;
    let trust = if authorities.certificates.is_empty() {
        Trust::Unverified
    } else {
        x509::verify_chain(&[der.to_vec()], &authorities.certificates, now)
            .map_err(Refusal::Chain)?;
        Trust::Certified
    };
    let spki = certificate.public_key();
    let attribute = |oid| attribute(&certificate, &oid);
    Ok(EndorsementKey {
        public_key: key_of(spki)?.into_pkix(spki.raw),
        trust,
        certificate: Some(EndorsementCertificate {
            der: der.to_vec(),
            issuer: certificate
                .issuer()
                .to_string()
                .chars()
                .take(LONGEST)
                .collect(),
            manufacturer: attribute(MANUFACTURER),
            model: attribute(MODEL),
            firmware_version: attribute(VERSION),
        }),
    })
}

fn check_certificate(certificate: &X509Certificate<'_>) -> Result<()> {
    let refused = |reason| Err(Refusal::Certificate(reason));
    if certificate.version() != X509Version::V3 {
        return refused("it is not of version 3");
    }
    match certificate.basic_constraints() {
        Ok(constraints) if !constraints.as_ref().is_some_and(|found| found.value.ca) => {}
        Ok(_) => return refused("it is a CA certificate"),
        Err(_) => return refused("it has an extension twice"),
    }
    match certificate.extended_key_usage() {
        Ok(Some(usage)) if usage.value.other.contains(&EK_CERTIFICATE) => Ok(()),
        Ok(_) => refused("it is not for endorsement keys"),
        Err(_) => refused("it has an extension twice"),
    }
}

/// Returns an attribute of the TPM from the subject alternative name.
fn attribute(certificate: &X509Certificate<'_>, oid: &Oid<'_>) -> String {
    certificate
        .extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        })
        .flatten()
        .find_map(|name| match name {
            GeneralName::DirectoryName(directory) => directory
                .iter_by_oid(oid)
                .find_map(|value| value.as_str().ok()),
            _ => None,
        })
        .map(|value| value.chars().take(LONGEST).collect())
        .unwrap_or_default()
}

/// A key that can encrypt a secret.
pub(super) enum Key {
    Rsa {
        spki: Vec<u8>,
        bits: usize,
    },
    Point {
        /// COSE number: 1 is P-256, 2 is P-384.
        curve: i64,
        /// Uncompressed point.
        point: Vec<u8>,
    },
}

impl Key {
    /// Returns the key in PKIX. `given` is the original encoding, used for points.
    fn into_pkix(self, given: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa { spki, .. } => spki,
            Self::Point { .. } => given.to_vec(),
        }
    }
}

/// Parses a `SubjectPublicKeyInfo` and rejects trailing bytes.
pub(super) fn read_key(spki: &[u8]) -> Result<Key> {
    match SubjectPublicKeyInfo::from_der(spki) {
        Ok(([], key)) => key_of(&key),
        _ => Err(Refusal::Malformed("the endorsement key")),
    }
}

fn key_of(spki: &SubjectPublicKeyInfo<'_>) -> Result<Key> {
    let refused = |reason| Err(Refusal::EndorsementKey(reason));
    let kind = &spki.algorithm.algorithm;
    let bits = &spki.subject_public_key.data;
    if *kind == OID_PKCS1_RSAENCRYPTION || *kind == RSAES_OAEP {
        let spki = rsa_encryption(bits).ok_or(Refusal::Malformed("the endorsement key"))?;
        let modulus = {
            let parsed = SubjectPublicKeyInfo::from_der(&spki);
            let Ok(([], Ok(ParsedKey::RSA(key)))) =
                parsed.as_ref().map(|(rest, key)| (*rest, key.parsed()))
            else {
                return refused("it is not an RSA key");
            };
            key.key_size()
        };
        if !RSA_BITS.contains(&modulus) {
            return refused("its modulus must have 2048, 3072 or 4096 bits");
        }
        return Ok(Key::Rsa {
            spki,
            bits: modulus,
        });
    }
    if *kind != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return refused("it is neither an RSA nor an elliptic-curve key");
    }
    let curve = spki
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.as_oid().ok());
    let (curve, length) = match curve {
        Some(curve) if curve == OID_EC_P256 => (1, 65),
        Some(curve) if curve == OID_NIST_EC_P384 => (2, 97),
        _ => return refused("its curve is neither P-256 nor P-384"),
    };
    if bits.len() != length || bits.first() != Some(&4) {
        return refused("it is not a point on its curve");
    }
    Ok(Key::Point {
        curve,
        point: bits.to_vec(),
    })
}

/// Returns the `SubjectPublicKeyInfo` of an `RSAPublicKey`, with `rsaEncryption`.
fn rsa_encryption(key: &[u8]) -> Option<Vec<u8>> {
    let bits = element(0x03, &[&[0], key].concat())?;
    element(0x30, &[RSA_ENCRYPTION.as_slice(), &bits].concat())
}

/// Encodes a DER element. Returns `None` from 64 KiB.
fn element(tag: u8, contents: &[u8]) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(contents.len()).ok()?.to_be_bytes();
    let header: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    Some([header, contents].concat())
}
