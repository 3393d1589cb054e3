//! Certificates as carriers of public keys. SAML ignores their dates and issuers (SAML V2.0 Metadata Interoperability
//! Profile §2.6.1); the metadata that contain them establish the trust.

use aws_lc_rs::{
    digest,
    signature::{self, UnparsedPublicKey, VerificationAlgorithm},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{parse_x509_certificate, public_key::PublicKey};

use super::{
    algorithm::{Digest, SignatureAlgorithm},
    error::{Error, ErrorKind, quoted},
    fixed_signature,
};

/// A certificate with an RSA key of 2048 to 8192 bits, or an EC key on P-256, P-384 or P-521.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    kind: KeyKind,
    /// `RSAPublicKey` for RSA, the uncompressed point for EC.
    key: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    P521,
}

impl Certificate {
    /// Parses exactly one PEM certificate.
    ///
    /// # Errors
    /// Returns an error of [`ErrorKind::Key`] if the text is not a certificate or its key is not accepted.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::new(ErrorKind::Key, reason.to_owned());
        let mut found = CertificateDer::pem_slice_iter(text.as_bytes());
        let first = found
            .next()
            .and_then(Result::ok)
            .ok_or_else(|| bad("not a certificate in PEM"))?;
        if found.next().is_some() {
            return Err(bad("more than one certificate"));
        }
        Self::from_der(&first)
    }

    /// Parses a DER certificate.
    ///
    /// # Errors
    /// Returns an error of [`ErrorKind::Key`] if the bytes are not a certificate or its key is not accepted.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let bad = |reason: String| Error::new(ErrorKind::Key, reason);
        let (rest, certificate) = parse_x509_certificate(der)
            .map_err(|error| bad(format!("not a certificate in DER: {error}")))?;
        if !rest.is_empty() {
            return Err(bad("octets after the certificate".to_owned()));
        }
        let info = certificate.public_key();
        let key = info
            .parsed()
            .map_err(|error| bad(format!("the certificate's key: {error}")))?;
        let kind = match key {
            PublicKey::RSA(rsa) => match rsa.key_size() {
                2048..=8192 => KeyKind::Rsa,
                bits => {
                    return Err(bad(format!(
                        "the certificate's RSA key has {bits} bits; 2048 to 8192 are accepted"
                    )));
                }
            },
            PublicKey::EC(_) => curve(
                &info
                    .algorithm
                    .parameters
                    .as_ref()
                    .and_then(|parameters| parameters.as_oid().ok())
                    .map(|oid| oid.to_id_string())
                    .unwrap_or_default(),
            )?,
            _ => {
                return Err(bad(
                    "the certificate's key is neither RSA nor on an elliptic curve".to_owned(),
                ));
            }
        };
        Ok(Self {
            der: der.to_vec(),
            kind,
            key: info.subject_public_key.data.to_vec(),
        })
    }

    /// Parses a certificate in base64 with white space, as in XML.
    pub(super) fn from_base64(text: &str) -> Result<Self, Error> {
        let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD
            .decode(packed)
            .map_err(|error| Error::new(ErrorKind::Key, format!("a certificate: {error}")))?;
        Self::from_der(&der)
    }

    /// Returns the certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the SHA-256 hash of the DER in lower-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        hex(digest::digest(&digest::SHA256, &self.der).as_ref())
    }

    pub(super) fn base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    pub(super) fn kind(&self) -> KeyKind {
        self.kind
    }

    pub(super) fn public_key(&self) -> &[u8] {
        &self.key
    }

    /// Returns true if this key made the `signature` over `octets`. Returns false if the algorithm does not fit the
    /// key.
    pub(super) fn verifies(
        &self,
        algorithm: SignatureAlgorithm,
        octets: &[u8],
        signature: &[u8],
    ) -> bool {
        match verifier(self.kind, algorithm) {
            None => false,
            Some(Verifier::Rsa(verifier)) => self.check(verifier, octets, signature),
            Some(Verifier::Ecdsa(verifier, width)) => fixed_signature::to_der(signature, width)
                .is_some_and(|signature| self.check(verifier, octets, &signature)),
        }
    }

    fn check(
        &self,
        verifier: &'static dyn VerificationAlgorithm,
        octets: &[u8],
        signature: &[u8],
    ) -> bool {
        UnparsedPublicKey::new(verifier, &self.key)
            .verify(octets, signature)
            .is_ok()
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({:?}, {})", self.kind, self.fingerprint())
    }
}

enum Verifier {
    Rsa(&'static dyn VerificationAlgorithm),
    /// Algorithm and length of a coordinate in bytes.
    Ecdsa(&'static dyn VerificationAlgorithm, usize),
}

fn verifier(kind: KeyKind, algorithm: SignatureAlgorithm) -> Option<Verifier> {
    use Digest::{Sha256, Sha384, Sha512};
    use SignatureAlgorithm::{Ecdsa, RsaPkcs1, RsaPss};
    Some(match (kind, algorithm) {
        (KeyKind::Rsa, RsaPkcs1(Sha256)) => Verifier::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        (KeyKind::Rsa, RsaPkcs1(Sha384)) => Verifier::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        (KeyKind::Rsa, RsaPkcs1(Sha512)) => Verifier::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        (KeyKind::Rsa, RsaPss(Sha256)) => Verifier::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
        (KeyKind::Rsa, RsaPss(Sha384)) => Verifier::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
        (KeyKind::Rsa, RsaPss(Sha512)) => Verifier::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
        (KeyKind::P256, Ecdsa(Sha256)) => Verifier::Ecdsa(&signature::ECDSA_P256_SHA256_ASN1, 32),
        (KeyKind::P256, Ecdsa(Sha384)) => Verifier::Ecdsa(&signature::ECDSA_P256_SHA384_ASN1, 32),
        (KeyKind::P256, Ecdsa(Sha512)) => Verifier::Ecdsa(&signature::ECDSA_P256_SHA512_ASN1, 32),
        (KeyKind::P384, Ecdsa(Sha256)) => Verifier::Ecdsa(&signature::ECDSA_P384_SHA256_ASN1, 48),
        (KeyKind::P384, Ecdsa(Sha384)) => Verifier::Ecdsa(&signature::ECDSA_P384_SHA384_ASN1, 48),
        (KeyKind::P384, Ecdsa(Sha512)) => Verifier::Ecdsa(&signature::ECDSA_P384_SHA512_ASN1, 48),
        (KeyKind::P521, Ecdsa(Sha256)) => Verifier::Ecdsa(&signature::ECDSA_P521_SHA256_ASN1, 66),
        (KeyKind::P521, Ecdsa(Sha384)) => Verifier::Ecdsa(&signature::ECDSA_P521_SHA384_ASN1, 66),
        (KeyKind::P521, Ecdsa(Sha512)) => Verifier::Ecdsa(&signature::ECDSA_P521_SHA512_ASN1, 66),
        (KeyKind::Rsa, Ecdsa(_)) | (_, RsaPkcs1(_) | RsaPss(_)) => return None,
    })
}

fn curve(oid: &str) -> Result<KeyKind, Error> {
    match oid {
        "1.2.840.10045.3.1.7" => Ok(KeyKind::P256),
        "1.3.132.0.34" => Ok(KeyKind::P384),
        "1.3.132.0.35" => Ok(KeyKind::P521),
        _ => Err(Error::new(
            ErrorKind::Key,
            format!(
                "the certificate's key is on the curve {}; P-256, P-384 and P-521 are accepted",
                quoted(oid)
            ),
        )),
    }
}

fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}
