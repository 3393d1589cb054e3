//! Sealing of secrets: AES-256-GCM under a master key, bound to the document and the field.
//!
//! A sealed secret is `0x01 || key id (8 bytes) || nonce (12) || ciphertext || tag (16)`. The associated data is
//! `kind/uid/field`, so that a ciphertext moved to another document or field does not open (NIST SP 800-38D). The nonce
//! is random, which limits a master key to 2^32 secrets.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac,
};
use domain::{id::Uid, kind::Kind, rng::Rng};
use zeroize::Zeroizing;

use crate::{Document, StoreError, WithSecret};

mod file;

pub use file::load_or_create;

/// The version of the layout of a sealed secret.
const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 8;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;
const KEY_LEN: usize = 32;

/// A document and its sealed part, if it has one.
pub(crate) type WithSealed = (Document, Option<Vec<u8>>);

/// The key under which secrets are sealed. It is never printed.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY_LEN]>);

/// The error for a text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a master key is 64 hexadecimal digits (32 random bytes): make one with `openssl rand -hex 32`"
)]
pub struct InvalidMasterKey;

impl MasterKey {
    /// Generates a random key.
    pub fn random(rng: &dyn Rng) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        rng.fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Parses 64 hexadecimal digits. Surrounding white space is ignored.
    ///
    /// # Errors
    /// Returns [`InvalidMasterKey`] for any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidMasterKey> {
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY_LEN || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(InvalidMasterKey);
        }
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidMasterKey)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidMasterKey)?;
        }
        Ok(Self(bytes))
    }

    /// Formats the key as 64 hexadecimal digits, which [`MasterKey::parse`] reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        use fmt::Write as _;
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_LEN));
        for byte in self.0.iter() {
            // Writing to a string never fails.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Returns an id that distinguishes keys without revealing anything about them.
    pub(crate) fn id(&self) -> KeyId {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let tag = hmac::sign(&key, b"master key id");
        let mut id = [0; KEY_ID_LEN];
        for (to, from) in id.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        KeyId(id)
    }
}

/// The id of a master key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyId([u8; KEY_ID_LEN]);

impl KeyId {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The current master key, which seals, and former keys, which open secrets sealed before a rotation.
#[derive(Clone)]
pub struct MasterKeys {
    present: MasterKey,
    former: Vec<MasterKey>,
}

impl MasterKeys {
    /// Creates a set with only the current key.
    pub fn new(present: MasterKey) -> Self {
        Self {
            present,
            former: Vec::new(),
        }
    }

    /// Adds a former key, with which secrets can be opened.
    #[must_use]
    pub fn with_former(mut self, former: MasterKey) -> Self {
        self.former.push(former);
        self
    }

    pub(crate) fn sealer(&self) -> Result<Sealer, StoreError> {
        Ok(Sealer {
            present: SealingKey::of(&self.present)?,
            former: self
                .former
                .iter()
                .map(SealingKey::of)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The location of a secret, to which its ciphertext is bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SecretLocation<'a> {
    pub(crate) kind: &'a str,
    pub(crate) uid: Uid,
    pub(crate) field: &'a str,
}

impl SecretLocation<'_> {
    /// Returns the location of the sealed part of a document.
    pub(crate) fn of_document(kind: Kind, uid: Uid) -> Self {
        Self {
            kind: kind.as_str(),
            uid,
            field: "secret",
        }
    }

    /// Returns the location of the value that detects a wrong master key at startup.
    pub(crate) fn of_cluster(uid: Uid) -> Self {
        Self {
            kind: "Cluster",
            uid,
            field: "key-check",
        }
    }

    fn associated_data(&self) -> Aad<Vec<u8>> {
        Aad::from(format!("{}/{}/{}", self.kind, self.uid, self.field).into_bytes())
    }
}

/// Seals and opens secrets.
pub(crate) struct Sealer {
    present: SealingKey,
    former: Vec<SealingKey>,
}

struct SealingKey {
    id: KeyId,
    aead: RandomizedNonceKey,
    /// The key that authenticates backups.
    mac: hmac::Key,
}

impl SealingKey {
    fn of(key: &MasterKey) -> Result<Self, StoreError> {
        let aead = RandomizedNonceKey::new(&AES_256_GCM, key.0.as_slice())
            .map_err(|_| StoreError::new("the master key cannot be used"))?;
        let derive = hmac::Key::new(hmac::HMAC_SHA256, key.0.as_slice());
        let derived = hmac::sign(&derive, b"authentication of backups");
        Ok(Self {
            id: key.id(),
            aead,
            mac: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
        })
    }
}

impl Sealer {
    /// Seals a secret under the current key.
    pub(crate) fn seal(
        &self,
        place: SecretLocation<'_>,
        secret: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let SealingKey { id, aead, .. } = &self.present;
        // Allocate the final size first: growing the buffer would leave a copy of the secret in memory.
        let mut sealed = Vec::with_capacity(HEADER_LEN + secret.len() + TAG_LEN);
        sealed.push(VERSION);
        sealed.extend_from_slice(&id.0);
        sealed.extend_from_slice(&[0; NONCE_LEN]);
        sealed.extend_from_slice(secret);
        let (header, text) = sealed.split_at_mut(HEADER_LEN);
        let (nonce, tag) = aead
            .seal_in_place_separate_tag(place.associated_data(), text)
            .map_err(|_| StoreError::new("sealing a secret failed"))?;
        if let Some(to) = header.get_mut(1 + KEY_ID_LEN..) {
            to.copy_from_slice(nonce.as_ref());
        }
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens a secret that was sealed for the same location under any known key.
    pub(crate) fn open(
        &self,
        place: SecretLocation<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let broken = || {
            StoreError::new(format!(
                "the secret of {} {} cannot be decrypted: it was changed or moved",
                place.kind, place.uid
            ))
        };
        let id = key_id(sealed).ok_or_else(broken)?;
        let key = self.key(id).ok_or_else(|| {
            StoreError::new(format!(
                "the secret of {} {} is sealed with the master key {id}, which was not given",
                place.kind, place.uid
            ))
        })?;
        let (header, text) = sealed.split_at_checked(HEADER_LEN).ok_or_else(broken)?;
        let nonce = header.get(1 + KEY_ID_LEN..).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut opened = Zeroizing::new(text.to_vec());
        let length = key
            .aead
            .open_in_place(nonce, place.associated_data(), &mut opened)
            .map_err(|_| broken())?
            .len();
        opened.truncate(length);
        Ok(opened)
    }

    /// Opens the sealed part of a document that was read.
    pub(crate) fn open_with(
        &self,
        found: Option<WithSealed>,
    ) -> Result<Option<WithSecret>, StoreError> {
        let Some((document, sealed)) = found else {
            return Ok(None);
        };
        let place = SecretLocation::of_document(document.kind, document.uid);
        let secret = sealed.map(|sealed| self.open(place, &sealed)).transpose()?;
        Ok(Some((document, secret)))
    }

    /// Checks that the keys include the one under which `sealed` was sealed for the same location.
    pub(crate) fn check(&self, place: SecretLocation<'_>, sealed: &[u8]) -> Result<(), StoreError> {
        match key_id(sealed) {
            Some(id) if self.key(id).is_none() => Err(StoreError::new(format!(
                "the database is sealed with the master key {id}, but the given key is {}",
                self.present.id
            ))),
            _ => self.open(place, sealed).map(|_| ()),
        }
    }

    /// Returns whether the secret is sealed under the current key.
    pub(crate) fn is_present(&self, sealed: &[u8]) -> bool {
        key_id(sealed) == Some(self.present.id)
    }

    /// Starts the authentication of a new backup under the current key.
    pub(crate) fn authenticate(&self) -> (KeyId, hmac::Context) {
        let context = hmac::Context::with_key(&self.present.mac);
        (self.present.id, context)
    }

    /// Starts the verification of a backup made under the key `id`. Returns `None` if the key is unknown.
    pub(crate) fn authenticate_with(&self, id: KeyId) -> Option<hmac::Context> {
        self.key(id).map(|key| hmac::Context::with_key(&key.mac))
    }

    fn key(&self, id: KeyId) -> Option<&SealingKey> {
        std::iter::once(&self.present)
            .chain(&self.former)
            .find(|key| key.id == id)
    }
}

fn key_id(sealed: &[u8]) -> Option<KeyId> {
    let (version, rest) = sealed.split_first()?;
    let id = rest.get(..KEY_ID_LEN)?.try_into().ok()?;
    (*version == VERSION).then_some(KeyId(id))
}

#[cfg(test)]
mod tests {
    use domain::rng::SeededRng;

    use super::*;

    fn key(seed: u64) -> MasterKey {
        MasterKey::random(&SeededRng::new(seed))
    }

    fn place(seed: u64) -> SecretLocation<'static> {
        SecretLocation::of_document(Kind::Secret, Uid::random(&SeededRng::new(seed)))
    }

    #[test]
    fn a_sealed_value_opens_only_for_its_document() {
        let sealer = MasterKeys::new(key(1)).sealer().unwrap();
        let sealed = sealer.seal(place(1), b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(
            sealer.open(place(1), &sealed).unwrap().as_slice(),
            b"hunter2"
        );
        assert!(
            sealer.open(place(2), &sealed).is_err(),
            "moved to another document"
        );
        let other_field = SecretLocation {
            field: "other",
            ..place(1)
        };
        assert!(
            sealer.open(other_field, &sealed).is_err(),
            "moved to another field"
        );
    }

    #[test]
    fn no_altered_byte_goes_unnoticed() {
        let sealer = MasterKeys::new(key(1)).sealer().unwrap();
        let sealed = sealer.seal(place(1), b"x").unwrap();
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(sealer.open(place(1), &altered).is_err(), "byte {index}");
            assert!(
                sealer.open(place(1), &sealed[..index]).is_err(),
                "cut at {index}"
            );
        }
    }

    #[test]
    fn a_former_key_opens_and_does_not_seal() {
        let old = MasterKeys::new(key(1)).sealer().unwrap();
        let both = MasterKeys::new(key(2))
            .with_former(key(1))
            .sealer()
            .unwrap();
        let sealed = old.seal(place(1), b"secret").unwrap();
        assert!(!both.is_present(&sealed));
        assert_eq!(both.open(place(1), &sealed).unwrap().as_slice(), b"secret");
        let resealed = both.seal(place(1), b"secret").unwrap();
        assert!(both.is_present(&resealed));
        let error = old.open(place(1), &resealed).unwrap_err();
        assert!(error.to_string().contains("which was not given"), "{error}");
    }

    #[test]
    fn a_master_key_reads_what_it_writes() {
        let text = key(3).to_text();
        assert!(MasterKey::parse(&format!("{}\n", *text)).unwrap().id() == key(3).id());
        for bad in ["", "00", &"g".repeat(64), &"0".repeat(65), &"é".repeat(32)] {
            assert!(MasterKey::parse(bad).is_err(), "{bad:?}");
        }
    }
}
