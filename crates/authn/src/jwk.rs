//! Public key sets of identity providers (JWKS, RFC 7517).

use std::fmt;

use aws_lc_rs::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::jws::{Algorithm, Unverified, Verification};

/// Maximum size of a key set, in bytes.
pub const MAX_SET_LENGTH: usize = 256 * 1024;

const MOST_KEYS: usize = 256;
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The keys of a set that can verify signatures.
#[derive(Debug)]
pub struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    /// Algorithm that the key is restricted to (`alg`), if any.
    algorithm: Option<String>,
    material: Material,
}

enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {:?}", self.id)
    }
}

/// Reasons why a key set is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    /// Not a JSON object with `keys`.
    #[error("not a JSON Web Key Set: an object with `keys`, a list of keys")]
    Form,
    /// More than 256 KiB or 256 keys.
    #[error("too large: a set can have at most 256 KiB and 256 keys")]
    TooLarge,
    /// No key can verify signatures.
    #[error(
        "contains no key that verifies signatures: RSA of 2048 to 8192 bits, EC on P-256, P-384 or P-521, or Ed25519"
    )]
    NoKey,
    /// A key is private or symmetric.
    #[error(
        "contains a private or secret key; use only the public key, and replace the key, because it was exposed"
    )]
    Private,
}

/// Reasons why a signature is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureError {
    /// Not exactly one key of the set matches the key id and the algorithm.
    UnknownKey,
    /// The signature does not verify.
    Wrong,
}

impl KeySet {
    /// Parses a key set. Ignores keys of other types and for other uses.
    ///
    /// # Errors
    /// Returns [`InvalidKeySet`] if the set is malformed, too large, or has no usable key.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidKeySet> {
        let keys = keys(bytes)?;
        let usable: Vec<Key> = keys
            .iter()
            .filter_map(Value::as_object)
            .filter_map(key)
            .collect();
        if usable.is_empty() {
            return Err(InvalidKeySet::NoKey);
        }
        Ok(Self(usable))
    }

    /// Parses a key set from a resource that a person wrote, which must not contain private keys.
    ///
    /// # Errors
    /// Returns [`InvalidKeySet::Private`] if a key is private or symmetric, and the errors of [`KeySet::parse`].
    pub fn parse_public(bytes: &[u8]) -> Result<Self, InvalidKeySet> {
        let is_private = |key: &Value| {
            let object = key.as_object();
            object.is_some_and(|key| key.contains_key("d") || key.contains_key("k"))
        };
        if keys(bytes)?.iter().any(is_private) {
            return Err(InvalidKeySet::Private);
        }
        Self::parse(bytes)
    }

    /// Verifies the signature with the key that the token names. If it names none, exactly one key must fit its
    /// algorithm.
    ///
    /// # Errors
    /// Returns [`SignatureError::UnknownKey`] if not exactly one key matches, and [`SignatureError::Wrong`] if the
    /// signature does not verify.
    pub fn verify(&self, unverified: &Unverified<'_>) -> Result<(), SignatureError> {
        let mut fitting = self.0.iter().filter(|key| {
            key.fits(unverified.algorithm)
                && (unverified.key_id.is_none() || key.id == unverified.key_id)
        });
        let key = fitting.next().ok_or(SignatureError::UnknownKey)?;
        if fitting.next().is_some() {
            // Ambiguous: several keys match.
            return Err(SignatureError::UnknownKey);
        }
        key.verify(unverified)
    }
}

impl Key {
    fn fits(&self, algorithm: Algorithm) -> bool {
        let is_type = match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => matches!(self.material, Material::Rsa { .. }),
            Algorithm::Es256 => matches!(self.material, Material::P256(_)),
            Algorithm::Es384 => matches!(self.material, Material::P384(_)),
            Algorithm::Es512 => matches!(self.material, Material::P521(_)),
            Algorithm::EdDsa => matches!(self.material, Material::Ed25519(_)),
        };
        let is_meant = self
            .algorithm
            .as_deref()
            .is_none_or(|name| Algorithm::of(name) == Some(algorithm));
        is_type && is_meant
    }

    fn verify(&self, unverified: &Unverified<'_>) -> Result<(), SignatureError> {
        let (message, signature) = (unverified.signed, unverified.signature.as_slice());
        let outcome = match (unverified.algorithm.verification(), &self.material) {
            (Verification::Rsa(parameters), Material::Rsa { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (
                Verification::Point(algorithm),
                Material::P256(point)
                | Material::P384(point)
                | Material::P521(point)
                | Material::Ed25519(point),
            ) => UnparsedPublicKey::new(algorithm, point).verify(message, signature),
            _ => return Err(SignatureError::UnknownKey),
        };
        outcome.map_err(|_| SignatureError::Wrong)
    }
}

fn keys(bytes: &[u8]) -> Result<Vec<Value>, InvalidKeySet> {
    if bytes.len() > MAX_SET_LENGTH {
        return Err(InvalidKeySet::TooLarge);
    }
    let mut set = strict_json::object(bytes).map_err(|_| InvalidKeySet::Form)?;
    match set.remove("keys") {
        Some(Value::Array(keys)) if keys.len() <= MOST_KEYS => Ok(keys),
        Some(Value::Array(_)) => Err(InvalidKeySet::TooLarge),
        _ => Err(InvalidKeySet::Form),
    }
}

/// Returns the key if it can verify signatures.
fn key(key: &Map<String, Value>) -> Option<Key> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    if key.contains_key("use") && text("use") != Some("sig") {
        return None;
    }
    if let Some(operations) = key.get("key_ops") {
        let operations = operations.as_array()?;
        operations.iter().find(|operation| *operation == "verify")?;
    }
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let point = |length: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        // RFC 7518 §6.2.1.2: coordinates have the full length.
        (x.len() == length && y.len() == length).then(|| [&[4][..], &x, &y].concat())
    };
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            // RFC 7518 §6.3.1.1 forbids leading zeros, but some providers send them.
            let n: Vec<u8> = n.into_iter().skip_while(|byte| *byte == 0).collect();
            let is_sound = RSA_BYTES.contains(&n.len()) && is_sound_exponent(&e);
            is_sound.then_some(Material::Rsa { n, e })?
        }
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("EC", Some("P-521")) => Material::P521(point(66)?),
        ("OKP", Some("Ed25519")) => {
            let x = bytes("x")?;
            (x.len() == 32).then_some(Material::Ed25519(x))?
        }
        _ => return None,
    };
    Some(Key {
        id: text("kid").map(str::to_owned),
        algorithm: text("alg").map(str::to_owned),
        material,
    })
}

/// Returns true for an odd exponent from 3 to 2³² − 1. The upper bound keeps verification cheap.
fn is_sound_exponent(e: &[u8]) -> bool {
    let value = e.iter().try_fold(0_u64, |value, byte| {
        value.checked_mul(256).map(|value| value + u64::from(*byte))
    });
    value.is_some_and(|value| value >= 3 && value % 2 == 1 && u32::try_from(value).is_ok())
}
