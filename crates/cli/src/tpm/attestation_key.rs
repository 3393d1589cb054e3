//! The attestation key: made below the storage root key, and kept wrapped elsewhere.

use api::auth_v1::register_authenticator_begin_request::pre_challenge::tpm::AttestationParameters;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Error, Result, Tpm, commands::OWNER, endorsement_key::is_about_key};

/// Where the storage root key may be kept (TCG TPM v2.0 Provisioning Guidance §7.8).
const STORAGE_ROOT_KEY: u32 = 0x8100_0001;
/// `TPMT_PUBLIC` of RSA with 2048 bits until what is unique, which is 256 zeros: a storage key by the same guidance.
const STORAGE_ROOT: [u8; 24] = [
    0x00, 0x01, 0x00, 0x0b, 0x00, 0x03, 0x04, 0x72, 0x00, 0x00, 0x00, 0x06, 0x00, 0x80, 0x00, 0x43,
    0x00, 0x10, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00,
];
/// A restricted signing key: RSASSA with SHA-256 and 2048 bits, as all TPMs have it.
pub(super) const ATTESTATION: [u8; 24] = [
    0x00, 0x01, 0x00, 0x0b, 0x00, 0x05, 0x00, 0x72, 0x00, 0x00, 0x00, 0x10, 0x00, 0x14, 0x00, 0x0b,
    0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
];
/// Of go-attestation: wrapped by a TPM, of version 2.0.
const ENCRYPTED: u64 = 2;
const VERSION: u64 = 2;

/// A new attestation key, and what its TPM says of it.
pub(super) struct AttestationKey {
    public: Vec<u8>,
    create_data: Vec<u8>,
    create_attestation: Vec<u8>,
    create_signature: Vec<u8>,
    private: Vec<u8>,
}

/// An attestation key as it comes back.
#[derive(Debug)]
pub(super) struct SavedKey {
    public: Vec<u8>,
    private: Vec<u8>,
}

impl AttestationKey {
    /// Makes one.
    pub(super) fn create(tpm: &mut Tpm) -> Result<Self> {
        let parent = match tpm.read_public(STORAGE_ROOT_KEY)? {
            Some(_) => STORAGE_ROOT_KEY,
            None => storage_root_key(tpm)?,
        };
        tpm.holding(parent, |tpm| Self::create_below(tpm, parent, &ATTESTATION))
    }

    /// Makes a key by a template below a loaded parent, and has it certify that.
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

    /// What the Cluster checks.
    pub(super) fn parameters(&self) -> AttestationParameters {
        AttestationParameters {
            public: self.public.clone(),
            create_data: self.create_data.clone(),
            create_attestation: self.create_attestation.clone(),
            create_signature: self.create_signature.clone(),
        }
    }

    /// The form of go-attestation.
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
    /// Reads what was registered, by this client or by one with go-attestation on Linux.
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

    /// Loads it below the storage root key that is kept, or below the one of the template: which of them was there when
    /// it was made, nobody knows.
    pub(super) fn load(&self, tpm: &mut Tpm) -> Result<u32> {
        if tpm.read_public(STORAGE_ROOT_KEY)?.is_some() {
            match tpm.load(STORAGE_ROOT_KEY, &self.private, &self.public) {
                Err(error) if is_about_key(&error) => {}
                other => return other,
            }
        }
        let parent = storage_root_key(tpm)?;
        let loaded = tpm.holding(parent, |tpm| tpm.load(parent, &self.private, &self.public));
        match loaded {
            Err(error) if is_about_key(&error) => Err(Error::AnotherTpm),
            other => other,
        }
    }
}

fn storage_root_key(tpm: &mut Tpm) -> Result<u32> {
    storage_key(tpm, OWNER)
}

/// The usual storage key of a hierarchy.
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
        // Of the key store of Windows, and no JSON.
        let other = br#"{"KeyEncoding":1,"TPMVersion":2,"Public":"AQ==","KeyBlob":null}"#;
        assert!(SavedKey::read(other).is_none());
        assert!(SavedKey::read(b"\x00").is_none());
    }
}
