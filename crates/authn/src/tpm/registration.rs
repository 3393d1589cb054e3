//! The registration of a TPM, before its proof.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{clock::UnixMillis, rng::Rng};
use serde::Deserialize;

use super::{
    ActivationSecret, AttestationKey, AttestationParameters, Authorities, EncryptedCredential,
    EndorsementKey, Presented, Refusal, Result, challenge,
};

/// Bytes of each part.
const LONGEST: usize = 3_000;

/// What a client registers.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// What the client needs to load its attestation key again. Ours and go-attestation's name the public area in it,
    /// which is compared; others are opaque. A client gets back what it registered, and nothing else.
    pub ak_bytes: &'a [u8],
    /// The attestation key.
    pub attestation: AttestationParameters<'a>,
    /// The endorsement key.
    pub endorsement: Presented<'a>,
}

/// A registration that is good if the TPM can recover a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// What proves later logins.
    pub attestation_key: AttestationKey,
    /// What secrets are encrypted to.
    pub endorsement_key: EndorsementKey,
}

impl Registration<'_> {
    /// Checks all that can be checked without asking the TPM.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn verify(&self, authorities: &Authorities, now: UnixMillis) -> Result<Registered> {
        let endorsement = match self.endorsement {
            Presented::Certificate(bytes) | Presented::PublicKey(bytes) => bytes,
        };
        for (part, name) in [
            (self.ak_bytes, "akBytes"),
            (self.attestation.public, "public"),
            (self.attestation.create_data, "createData"),
            (self.attestation.create_attestation, "createAttestation"),
            (self.attestation.create_signature, "createSignature"),
            (endorsement, "the endorsement key"),
        ] {
            if part.is_empty() || part.len() > LONGEST {
                return Err(Refusal::Length(name));
            }
        }
        let attestation_key = AttestationKey::verify(&self.attestation)?;
        check_ak_bytes(self.ak_bytes, self.attestation.public)?;
        let endorsement_key = EndorsementKey::verify(self.endorsement, authorities, now)?;
        Ok(Registered {
            attestation_key,
            endorsement_key,
        })
    }
}

impl Registered {
    /// A secret that the TPM can recover that has both keys.
    ///
    /// # Errors
    /// The endorsement key encrypts nothing.
    pub fn challenge(&self, rng: &dyn Rng) -> Result<(EncryptedCredential, ActivationSecret)> {
        challenge(
            &self.endorsement_key.public_key,
            self.attestation_key.name(),
            rng,
        )
    }
}

#[derive(Deserialize)]
struct SerializedKey {
    #[serde(rename = "Public")]
    public: Option<String>,
}

fn check_ak_bytes(ak_bytes: &[u8], public: &[u8]) -> Result<()> {
    let Ok(SerializedKey {
        public: Some(named),
    }) = serde_json::from_slice(ak_bytes)
    else {
        return Ok(());
    };
    match STANDARD.decode(named) {
        Ok(named) if named == public => Ok(()),
        _ => Err(Refusal::AttestationKey("akBytes are of another key")),
    }
}
