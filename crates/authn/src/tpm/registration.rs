//! Registration of a TPM, before the credential activation.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{clock::UnixMillis, rng::Rng};
use serde::Deserialize;

use super::{
    ActivationSecret, AttestationKey, AttestationParameters, Authorities, EncryptedCredential,
    EndorsementKey, Presented, Refusal, Result, challenge,
};

/// Maximum length of each part in bytes.
const LONGEST: usize = 3_000;

/// Registration that a client sends.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// Opaque data that the client needs to load its attestation key again. Our client and go-attestation store the
    /// public area in it, which is compared. The server returns it only to the client that registered it.
    pub ak_bytes: &'a [u8],
    /// Attestation key.
    pub attestation: AttestationParameters<'a>,
    /// Endorsement key.
    pub endorsement: Presented<'a>,
}

/// A verified registration, pending credential activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Key that signs quotes and that later challenges are bound to.
    pub attestation_key: AttestationKey,
    /// Key that secrets are encrypted to.
    pub endorsement_key: EndorsementKey,
}

impl Registration<'_> {
    /// Verifies everything that does not require a response of the TPM.
    ///
    /// # Errors
    /// Returns the first [`Refusal`] that applies.
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
    /// Creates a challenge that only the TPM with both keys can answer.
    ///
    /// # Errors
    /// Returns [`Refusal::EndorsementKey`] if the endorsement key cannot be used for encryption.
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
        _ => Err(Refusal::AttestationKey("akBytes belong to another key")),
    }
}
