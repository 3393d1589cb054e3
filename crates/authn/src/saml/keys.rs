//! Private keys of the service provider.

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{
        self, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey,
        PrivateDecryptingKey,
    },
    signature::{self, EcdsaKeyPair, KeyPair as _},
};
use zeroize::Zeroizing;

use super::{
    algorithm::{Digest, SignatureAlgorithm},
    certificate::{Certificate, KeyKind},
    error::{Error, ErrorKind},
};

mod generate;

pub use generate::{KeyMaterial, generate};

/// A key that signs messages. Its `Debug` output shows only the certificate.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Pair>,
    algorithm: SignatureAlgorithm,
    certificate: Certificate,
}

enum Pair {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
}

/// An RSA key that decrypts assertions. Its `Debug` output shows only the certificate.
#[derive(Clone)]
pub struct DecryptionKey {
    key: Arc<OaepPrivateDecryptingKey>,
    certificate: Certificate,
}

/// RSA-OAEP variant. Digest and mask generation use the same hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Oaep {
    Sha1,
    Sha256,
}

impl SigningKey {
    /// Creates a key from PKCS#8 and its certificate in DER: RSA from 2048 bits, P-256, P-384 or P-521.
    ///
    /// # Errors
    /// Returns an error of [`ErrorKind::Key`] if the key or certificate is invalid, or they do not match.
    pub fn new(pkcs8: &[u8], certificate: &[u8]) -> Result<Self, Error> {
        let certificate = Certificate::from_der(certificate)?;
        let ecdsa = |algorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8)
                .map(Pair::Ecdsa)
                .map_err(|_| no_key())
        };
        let (pair, algorithm) = match certificate.kind() {
            KeyKind::Rsa => (
                Pair::Rsa(rsa::KeyPair::from_pkcs8(pkcs8).map_err(|_| no_key())?),
                SignatureAlgorithm::RsaPkcs1(Digest::Sha256),
            ),
            KeyKind::P256 => (
                ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)?,
                SignatureAlgorithm::Ecdsa(Digest::Sha256),
            ),
            KeyKind::P384 => (
                ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)?,
                SignatureAlgorithm::Ecdsa(Digest::Sha384),
            ),
            KeyKind::P521 => (
                ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING)?,
                SignatureAlgorithm::Ecdsa(Digest::Sha512),
            ),
        };
        let public = match &pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
        };
        if public != certificate.public_key() {
            return Err(not_its_certificate());
        }
        Ok(Self {
            pair: Arc::new(pair),
            algorithm,
            certificate,
        })
    }

    /// Returns the certificate of the key.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    pub(super) fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::new(ErrorKind::Key, "signing failed");
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding = match self.algorithm {
                    SignatureAlgorithm::RsaPkcs1(Digest::Sha384) => &signature::RSA_PKCS1_SHA384,
                    SignatureAlgorithm::RsaPkcs1(Digest::Sha512) => &signature::RSA_PKCS1_SHA512,
                    SignatureAlgorithm::RsaPss(Digest::Sha256) => &signature::RSA_PSS_SHA256,
                    SignatureAlgorithm::RsaPss(Digest::Sha384) => &signature::RSA_PSS_SHA384,
                    SignatureAlgorithm::RsaPss(Digest::Sha512) => &signature::RSA_PSS_SHA512,
                    SignatureAlgorithm::RsaPkcs1(Digest::Sha256) | SignatureAlgorithm::Ecdsa(_) => {
                        &signature::RSA_PKCS1_SHA256
                    }
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, octets, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair) => Ok(pair
                .sign(&random, octets)
                .map_err(failed)?
                .as_ref()
                .to_vec()),
        }
    }

    /// Uses the same RSA key with another padding or digest.
    #[cfg(test)]
    pub(super) fn with_algorithm(mut self, algorithm: SignatureAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }
}

impl DecryptionKey {
    /// Creates a key from an RSA key in PKCS#8 and its certificate in DER.
    ///
    /// # Errors
    /// Returns an error of [`ErrorKind::Key`] if the key or certificate is invalid, or they do not match.
    pub fn new(pkcs8: &[u8], certificate: &[u8]) -> Result<Self, Error> {
        let certificate = Certificate::from_der(certificate)?;
        if certificate.kind() != KeyKind::Rsa {
            return Err(Error::new(
                ErrorKind::Key,
                "assertions are decrypted with an RSA key, but the certificate has another key type",
            ));
        }
        let pair = rsa::KeyPair::from_pkcs8(pkcs8).map_err(|_| no_key())?;
        if pair.public_key().as_ref() != certificate.public_key() {
            return Err(not_its_certificate());
        }
        let key = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| no_key())?;
        Ok(Self {
            key: Arc::new(OaepPrivateDecryptingKey::new(key).map_err(|_| no_key())?),
            certificate,
        })
    }

    /// Returns the certificate of the key.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Unwraps a content key. Returns `None` if it is not wrapped for this key.
    pub(super) fn unwrap(
        &self,
        oaep: Oaep,
        wrapped: &[u8],
        label: Option<&[u8]>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let algorithm = match oaep {
            Oaep::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Oaep::Sha256 => &OAEP_SHA256_MGF1SHA256,
        };
        let mut plain = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let length = self
            .key
            .decrypt(algorithm, wrapped, &mut plain, label)
            .ok()?
            .len();
        plain.truncate(length);
        Some(plain)
    }
}

fn no_key() -> Error {
    Error::new(
        ErrorKind::Key,
        "the private key is not in PKCS#8, or its type differs from that of the certificate",
    )
}

fn not_its_certificate() -> Error {
    Error::new(
        ErrorKind::Key,
        "the certificate does not match the private key",
    )
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey")
            .field(&self.certificate)
            .finish()
    }
}

impl std::fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DecryptionKey")
            .field(&self.certificate)
            .finish()
    }
}
