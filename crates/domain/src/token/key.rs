//! Keys that sign and verify tokens: Ed25519.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use zeroize::Zeroizing;

use super::TokenError;
use crate::{id::Uid, rng::Rng};

pub(super) const SIGNATURE_BYTES: usize = 64;

/// Not a key of the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid Ed25519 key")]
pub struct InvalidKey;

/// The private key by which a Cluster signs tokens.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    document: Zeroizing<Vec<u8>>,
    verifying_key: VerifyingKey,
}

impl SigningKey {
    /// A new key with a new id.
    ///
    /// # Errors
    /// Where the cryptographic library cannot make one.
    pub fn generate(rng: &dyn Rng) -> Result<Self, InvalidKey> {
        let id = Uid::random(rng);
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill(seed.as_mut());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| InvalidKey)?;
        Self::new(id, pair)
    }

    /// From a PKCS#8 document (RFC 5208, RFC 8410).
    ///
    /// # Errors
    /// Where it is not a consistent Ed25519 key.
    pub fn from_pkcs8(id: Uid, document: &[u8]) -> Result<Self, InvalidKey> {
        let pair = Ed25519KeyPair::from_pkcs8(document).map_err(|_| InvalidKey)?;
        Self::new(id, pair)
    }

    fn new(id: Uid, pair: Ed25519KeyPair) -> Result<Self, InvalidKey> {
        let document = pair.to_pkcs8v1().map_err(|_| InvalidKey)?;
        let verifying_key = VerifyingKey::from_bytes(id, pair.public_key().as_ref())?;
        Ok(Self {
            pair,
            document: Zeroizing::new(document.as_ref().to_vec()),
            verifying_key,
        })
    }

    /// As a PKCS#8 document (RFC 5208, RFC 8410), to be stored sealed.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.document.clone()
    }

    /// The id that tokens name.
    pub fn id(&self) -> Uid {
        self.verifying_key.id
    }

    /// The half that verifies.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.verifying_key.clone()
    }

    pub(super) fn signature(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

/// The public key by which tokens of a Cluster are verified.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    id: Uid,
    key: Arc<ParsedPublicKey>,
}

impl VerifyingKey {
    /// From the 32 bytes of RFC 8032.
    ///
    /// # Errors
    /// Where they are not a point of the curve.
    pub fn from_bytes(id: Uid, bytes: &[u8]) -> Result<Self, InvalidKey> {
        let key = ParsedPublicKey::new(&ED25519, bytes).map_err(|_| InvalidKey)?;
        Ok(Self {
            id,
            key: Arc::new(key),
        })
    }

    /// The id that tokens name.
    pub fn id(&self) -> Uid {
        self.id
    }

    /// The 32 bytes of RFC 8032.
    pub fn as_bytes(&self) -> &[u8] {
        (*self.key).as_ref()
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        self.key
            .verify_sig(message, signature)
            .map_err(|_| TokenError::BadSignature)
    }
}
