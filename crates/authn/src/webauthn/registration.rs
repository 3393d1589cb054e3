//! Verification of the creation of a credential (§7.1).

use aws_lc_rs::digest::{SHA256, digest};
use ciborium::Value;

use super::{
    Expected,
    attestation::{Attestation, Attested, Format, Statement},
    authenticator_data::{Aaguid, AuthenticatorData, Flags},
    cbor,
    client_data::{self, Ceremony},
    error::{Refusal, Result},
    key::{Algorithm, PublicKey},
};
use crate::x509;

const WHAT: &str = "the attestation object";

/// `AuthenticatorAttestationResponse` and the credential id.
#[derive(Debug, Clone, Copy)]
pub struct RegistrationResponse<'a> {
    /// `rawId`.
    pub credential_id: &'a [u8],
    /// `clientDataJSON`.
    pub client_data: &'a [u8],
    /// `attestationObject`.
    pub attestation_object: &'a [u8],
}

/// A credential with a verified registration.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Credential id. The caller must check that it is unique among all credentials.
    pub credential_id: Vec<u8>,
    /// Public key that verifies authentications.
    pub public_key: PublicKey,
    /// Public key as a `COSE_Key` in CBOR, for storage.
    pub encoded_key: Vec<u8>,
    /// Model in the authenticator data. It is not proved: see [`Registered::attested_model`].
    pub aaguid: Aaguid,
    /// Authenticator flags.
    pub flags: Flags,
    /// Initial signature counter, 0 if the authenticator has none.
    pub sign_count: u32,
    /// Attestation of the model. The trust in its certificates is not checked yet.
    pub attestation: Attestation,
}

/// Model that an attestation covers with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttestedModel {
    /// No attested model.
    None,
    /// AAGUID from the authenticator data.
    Aaguid(Aaguid),
    /// Key identifier of the attestation certificate (RFC 5280 §4.2.1.2, method 1), as listed in the metadata.
    /// `fido-u2f` does not sign the AAGUID (§8.6), so only this key identifies the model.
    KeyIdentifier(Vec<u8>),
}

impl Registered {
    /// Returns the attested model, depending on the format:
    ///
    /// - `none`, and `packed` without a certificate: no model.
    /// - `packed`: the AAGUID, signed with a key that the vendor certified.
    /// - `apple`: the AAGUID, covered by a hash that the authority certified.
    /// - `tpm`, `android-key`: the AAGUID is signed, but software of the device chooses it. Trusted authorities vouch
    ///   only for the key store. This proves one of their models, but not which one.
    /// - `fido-u2f`: the key identifier of the certificate. AAGUID, flags and counter are not signed.
    pub fn attested_model(&self) -> AttestedModel {
        let Statement::Certified(chain) = &self.attestation.statement else {
            return AttestedModel::None;
        };
        if self.attestation.format == Format::FidoU2f {
            let key = chain.first().and_then(|leaf| x509::key_identifier(leaf));
            return key.map_or(AttestedModel::None, AttestedModel::KeyIdentifier);
        }
        if self.aaguid == Aaguid::default() {
            AttestedModel::None
        } else {
            AttestedModel::Aaguid(self.aaguid)
        }
    }

    /// Returns the AAGUID to store. It is zero if the format does not sign it.
    pub fn signed_aaguid(&self) -> Aaguid {
        match self.attestation.format {
            Format::FidoU2f => Aaguid::default(),
            Format::None | Format::Packed | Format::Tpm | Format::AndroidKey | Format::Apple => {
                self.aaguid
            }
        }
    }
}

/// Verifies a registration. The key must use one of `algorithms`.
///
/// # Errors
/// Returns the first [`Refusal`] that applies.
pub fn register(
    response: RegistrationResponse<'_>,
    expected: &Expected<'_>,
    algorithms: &[Algorithm],
) -> Result<Registered> {
    client_data::check(response.client_data, Ceremony::Registration, expected)?;
    let client_data_hash = digest(&SHA256, response.client_data);

    let object = cbor::whole(response.attestation_object, WHAT)?;
    let malformed = Refusal::Malformed(WHAT);
    let format = cbor::named(&object, "fmt").and_then(Value::as_text);
    let statement = cbor::named(&object, "attStmt").filter(|statement| statement.is_map());
    let data = cbor::named(&object, "authData").and_then(Value::as_bytes);
    let (Some(format), Some(statement), Some(data)) = (format, statement, data) else {
        return Err(malformed);
    };

    let AuthenticatorData {
        flags,
        sign_count,
        credential,
    } = AuthenticatorData::check(data, expected)?;
    let credential = credential.ok_or(malformed)?;
    if credential.id != response.credential_id {
        return Err(Refusal::Malformed("the credential id"));
    }
    if !algorithms.contains(&credential.key.algorithm()) {
        return Err(Refusal::Algorithm(credential.key.algorithm().number()));
    }
    let attestation = Attestation::verify(
        format,
        statement,
        &Attested {
            authenticator_data: data,
            client_data_hash: client_data_hash.as_ref(),
            rp_id_hash: data.get(..32).unwrap_or_default(),
            credential: &credential,
        },
    )?;
    // U2F does not sign the flags and cannot verify users.
    if attestation.format == Format::FidoU2f && expected.user_verification {
        return Err(Refusal::UserVerification);
    }
    Ok(Registered {
        credential_id: credential.id,
        public_key: credential.key,
        encoded_key: credential.encoded_key,
        aaguid: credential.aaguid,
        flags,
        sign_count,
        attestation,
    })
}
