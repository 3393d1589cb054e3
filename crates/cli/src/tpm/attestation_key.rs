//! The attestation key. It is created below the storage root key and stored wrapped by the Cluster.

use api::auth_v1::register_authenticator_begin_request::pre_challenge::tpm::AttestationParameters;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Error, Result, Tpm, commands::OWNER, endorsement_key::is_key_error};

/// Persistent handle of the storage root key, if there is one (TCG TPM v2.0 Provisioning Guidance §7.8).
const STORAGE_ROOT_KEY: u32 = 0x8100_0001;
/// `TPMT_PUBLIC` of an RSA-2048 storage key up to its `unique` field, which is 256 zeros (same guidance).
const STORAGE_ROOT: [u8; 24] = [
    0x00, 0x01, 0x00, 0x0b, 0x00, 0x03, 0x04, 0x72, 0x00, 0x00, 0x00, 0x06, 0x00, 0x80, 0x00, 0x43,
    0x00, 0x10, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00,
];
/// Restricted signing key: RSASSA with SHA-256 and 2048 bits, which all TPMs support.
pub(super) const ATTESTATION: [u8; 24] = [
    0x00, 0x01, 0x00, 0x0b, 0x00, 0x05, 0x00, 0x72, 0x00, 0x00, 0x00, 0x10, 0x00, 0x14, 0x00, 0x0b,
    0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
];
/// Values of go-attestation: a key wrapped by a TPM, of version 2.0.
const ENCRYPTED: u64 = 2;
const VERSION: u64 = 2;

/// A new attestation key and the proof of its creation.
pub(super) struct AttestationKey {
    public: Vec<u8>,
    create_data: Vec<u8>,
    create_attestation: Vec<u8>,
    create_signature: Vec<u8>,
    private: Vec<u8>,
}

/// A stored attestation key.
#[derive(Debug)]
pub(super) struct SavedKey {
    public: Vec<u8>,
    private: Vec<u8>,
}

impl AttestationKey {
    pub(super) fn create(tpm: &mut Tpm) -> Result<Self> {
        let parent = match tpm.read_public(STORAGE_ROOT_KEY)? {
            Some(_) => STORAGE_ROOT_KEY,
            None => storage_root_key(tpm)?,
        };
        tpm.holding(parent, |tpm| Self::create_below(tpm, parent, &ATTESTATION))
    }

    /// Creates a key from a template below a loaded parent and certifies the creation with it.
    pub(super) fn create_below(tpm: &mut Tpm, parent: u32, template: &[u8]) -> Result<Self> {
        let created = tpm.create(parent, template)?;
        let key = tpm.load(parent, &created.private, &created.public)?;
        let (create_attestation, create_signature) =
            tpm.holding(key, |tpm| tpm.certify_creation(key, &created))?;
        Ok(Self {
            public: created.public,
            create_data: created.data,
            create_attestation,
            create_signature,
            private: created.private,
        })
    }

    /// Returns the parameters that the Cluster verifies.
    pub(super) fn parameters(&self) -> AttestationParameters {
        AttestationParameters {
            public: self.public.clone(),
            create_data: self.create_data.clone(),
            create_attestation: self.create_attestation.clone(),
            create_signature: self.create_signature.clone(),
        }
    }

    /// Encodes the key in the format of go-attestation.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
        json!({
            "KeyEncoding": ENCRYPTED,
            "TPMVersion": VERSION,
            "Public": base64(&self.public),
            "CreateData": base64(&self.create_data),
            "CreateAttestation": base64(&self.create_attestation),
            "CreateSignature": base64(&self.create_signature),
            "Name": "",
            "KeyBlob": base64(&self.private),
        })
        .to_string()
        .into_bytes()
    }
}

impl SavedKey {
    /// Parses a registered key. Returns `None` for keys that are not wrapped by a TPM 2.0.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let saved: Value = serde_json::from_slice(bytes).ok()?;
        let number = |name: &str| saved.get(name).and_then(Value::as_u64);
        if number("KeyEncoding") != Some(ENCRYPTED) || number("TPMVersion") != Some(VERSION) {
            return None;
        }
        let bytes = |name: &str| STANDARD.decode(saved.get(name)?.as_str()?).ok();
        Some(Self {
            public: bytes("Public")?,
            private: bytes("KeyBlob")?,
        })
    }

    /// Loads the key below the persistent storage root key, or below the one created from the template. Tries both,
    /// because the key does not record its parent.
    pub(super) fn load(&self, tpm: &mut Tpm) -> Result<u32> {
        if tpm.read_public(STORAGE_ROOT_KEY)?.is_some() {
            match tpm.load(STORAGE_ROOT_KEY, &self.private, &self.public) {
                Err(error) if is_key_error(&error) => {}
                other => return other,
            }
        }
        let parent = storage_root_key(tpm)?;
        let loaded = tpm.holding(parent, |tpm| tpm.load(parent, &self.private, &self.public));
        match loaded {
            Err(error) if is_key_error(&error) => Err(Error::AnotherTpm),
            other => other,
        }
    }
}

fn storage_root_key(tpm: &mut Tpm) -> Result<u32> {
    storage_key(tpm, OWNER)
}

/// Creates the default storage key of a hierarchy.
pub(super) fn storage_key(tpm: &mut Tpm, hierarchy: u32) -> Result<u32> {
    let template = [STORAGE_ROOT.as_slice(), &[0x01, 0x00], &[0; 256]].concat();
    Ok(tpm.create_primary(hierarchy, &template)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_key_is_read_again_and_others_are_not() {
        let key = AttestationKey {
            public: vec![1],
            create_data: vec![2],
            create_attestation: vec![3],
            create_signature: vec![4],
            private: vec![5],
        };
        let saved = SavedKey::read(&key.to_bytes()).unwrap();
        assert_eq!((saved.public, saved.private), (vec![1], vec![5]));
        // A key of the Windows key store, and data that is not JSON.
        let other = br#"{"KeyEncoding":1,"TPMVersion":2,"Public":"AQ==","KeyBlob":null}"#;
        assert!(SavedKey::read(other).is_none());
        assert!(SavedKey::read(b"\x00").is_none());
    }
}
