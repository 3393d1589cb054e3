//! Ed25519 keys that sign and verify tokens.

use std::sync::Arc;

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, Salt},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey},
};
use zeroize::Zeroizing;

use super::TokenError;
use crate::{id::Uid, rng::Rng};

pub(super) const SIGNATURE_BYTES: usize = 64;
/// Domain separation of derived keys from every other use of the private key.
const DERIVED: &[u8] = b"octelium derived key 1";

/// The error for a key that is not a valid Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid Ed25519 key")]
pub struct InvalidKey;

/// The error for a text that a key cannot sign or did not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a text that the key signed")]
pub struct InvalidText;

fn check_text(text: &str) -> Result<(), InvalidText> {
    let is_visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible { Ok(()) } else { Err(InvalidText) }
}

/// The private key with which a Cluster signs tokens.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    document: Zeroizing<Vec<u8>>,
    verifying_key: VerifyingKey,
}

impl SigningKey {
    /// Generates a key with a random id.
    ///
    /// # Errors
    /// Returns an error if the cryptographic library cannot create a key.
    pub fn generate(rng: &dyn Rng) -> Result<Self, InvalidKey> {
        let id = Uid::random(rng);
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill(seed.as_mut());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| InvalidKey)?;
        Self::new(id, pair)
    }

    /// Reads a PKCS#8 document (RFC 5208, RFC 8410).
    ///
    /// # Errors
    /// Returns an error if the document is not a consistent Ed25519 key.
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

    /// Returns the key as a PKCS#8 document (RFC 5208, RFC 8410), to be stored sealed.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.document.clone()
    }

    /// Returns the key id that tokens contain.
    pub fn id(&self) -> Uid {
        self.verifying_key.id
    }

    /// Returns the public key.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.verifying_key.clone()
    }

    /// Signs a text of visible ASCII characters, such as the signing input of a JWT (RFC 7515 §5.1). The content of a
    /// token begins with a control character, so a signature of one cannot pass as a signature of the other.
    ///
    /// # Errors
    /// Returns an error if the text is empty or contains other characters.
    pub fn sign_text(&self, text: &str) -> Result<[u8; SIGNATURE_BYTES], InvalidText> {
        check_text(text)?;
        Ok(self.signature(text.as_bytes()))
    }

    /// Derives a symmetric key for one purpose (HKDF, RFC 5869). Every replica can open what is sealed with it, as long
    /// as this signing key exists.
    ///
    /// # Errors
    /// Returns an error if the cryptographic library cannot derive a key.
    pub fn derive(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, InvalidKey> {
        let extracted = Salt::new(HKDF_SHA256, DERIVED).extract(&self.document);
        let info = [purpose.as_bytes()];
        let expanded = extracted
            .expand(&info, HKDF_SHA256)
            .map_err(|_| InvalidKey)?;
        let mut key = Zeroizing::new([0; 32]);
        expanded.fill(key.as_mut()).map_err(|_| InvalidKey)?;
        Ok(key)
    }

    pub(super) fn signature(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

/// The public key that verifies tokens of a Cluster.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    id: Uid,
    key: Arc<ParsedPublicKey>,
}

impl VerifyingKey {
    /// Reads the 32 bytes of a public key (RFC 8032).
    ///
    /// # Errors
    /// Returns an error if they are not a point of the curve.
    pub fn from_bytes(id: Uid, bytes: &[u8]) -> Result<Self, InvalidKey> {
        let key = ParsedPublicKey::new(&ED25519, bytes).map_err(|_| InvalidKey)?;
        Ok(Self {
            id,
            key: Arc::new(key),
        })
    }

    /// Returns the key id that tokens contain.
    pub fn id(&self) -> Uid {
        self.id
    }

    /// Returns the 32 bytes of the public key (RFC 8032).
    pub fn as_bytes(&self) -> &[u8] {
        (*self.key).as_ref()
    }

    /// Verifies a signature of [`SigningKey::sign_text`].
    ///
    /// # Errors
    /// Returns an error if this key did not sign `text`.
    pub fn verify_text(&self, text: &str, signature: &[u8]) -> Result<(), InvalidText> {
        check_text(text)?;
        self.key
            .verify_sig(text.as_bytes(), signature)
            .map_err(|_| InvalidText)
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        self.key
            .verify_sig(message, signature)
            .map_err(|_| TokenError::BadSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;

    #[test]
    fn a08_signatures_are_bound_to_their_purpose() {
        let key = SigningKey::generate(&SystemRng).unwrap();
        let signature = key.sign_text("return-to.v1").unwrap();
        let verifying = key.verifying_key();
        assert_eq!(verifying.verify_text("return-to.v1", &signature), Ok(()));
        assert_eq!(
            verifying.verify_text("return-to.v2", &signature),
            Err(InvalidText)
        );
        // The content of a token begins like this.
        assert_eq!(key.sign_text("\u{8}\u{1}"), Err(InvalidText));
        assert_eq!(key.sign_text(""), Err(InvalidText));
        let other = SigningKey::generate(&SystemRng).unwrap().verifying_key();
        assert!(other.verify_text("return-to.v1", &signature).is_err());
    }

    #[test]
    fn a_derived_key_is_of_one_key_and_one_purpose() {
        let key = SigningKey::generate(&SystemRng).unwrap();
        let again = SigningKey::from_pkcs8(key.id(), &key.to_pkcs8()).unwrap();
        let other = SigningKey::generate(&SystemRng).unwrap();
        assert_eq!(key.derive("a").unwrap(), again.derive("a").unwrap());
        assert_ne!(key.derive("a").unwrap(), key.derive("b").unwrap());
        assert_ne!(key.derive("a").unwrap(), other.derive("a").unwrap());
    }
}
