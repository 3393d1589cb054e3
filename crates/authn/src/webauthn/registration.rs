//! A credential is made (§7.1).

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

/// `AuthenticatorAttestationResponse`.
#[derive(Debug, Clone, Copy)]
pub struct RegistrationResponse<'a> {
    /// `rawId`.
    pub credential_id: &'a [u8],
    /// `clientDataJSON`.
    pub client_data: &'a [u8],
    /// `attestationObject`.
    pub attestation_object: &'a [u8],
}

/// A credential whose making was verified.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Unique among all credentials: whether it is new is the caller's to check.
    pub credential_id: Vec<u8>,
    /// What its authentications are verified by.
    pub public_key: PublicKey,
    /// The same as `COSE_Key` in CBOR, to be stored.
    pub encoded_key: Vec<u8>,
    /// The model that the authenticator data name. Nothing proves it: see [`Registered::attested_model`].
    pub aaguid: Aaguid,
    /// What the authenticator says of the user and of the credential.
    pub flags: Flags,
    /// The counter to begin with; 0 where it has none.
    pub sign_count: u32,
    /// What attests to the model. Whether its certificates are trusted is another question.
    pub attestation: Attestation,
}

/// What an attestation says of the model, as far as its signature covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttestedModel {
    /// The model is not attested.
    None,
    /// The AAGUID of the authenticator data.
    Aaguid(Aaguid),
    /// `fido-u2f` signs no AAGUID (§8.6): the model is known by the key of the attestation certificate alone. The
    /// SHA-1 of that key (RFC 5280 §4.2.1.2, method 1), as the metadata list it.
    KeyIdentifier(Vec<u8>),
}

impl Registered {
    /// What the attestation says of the model, by format:
    ///
    /// - `none`, and `packed` without certificate: nothing.
    /// - `packed`: the authenticator has signed the AAGUID with the key that its maker certifies.
    /// - `apple`: the authority has certified a hash over the AAGUID.
    /// - `tpm`, `android-key`: the AAGUID is signed, and software of the device chooses it. Trusted authorities vouch
    ///   for the key store alone, so it proves a model of theirs, and not which.
    /// - `fido-u2f`: the key of the certificate; AAGUID, flags and counter are signed by nothing.
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

    /// The model to be kept: zero where the format does not sign it.
    pub fn signed_aaguid(&self) -> Aaguid {
        match self.attestation.format {
            Format::FidoU2f => Aaguid::default(),
            Format::None | Format::Packed | Format::Tpm | Format::AndroidKey | Format::Apple => {
                self.aaguid
            }
        }
    }
}

/// Verifies a registration, for one of `algorithms`.
///
/// # Errors
/// The first reason against it.
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
    // Its flags are not signed, and U2F verifies nobody.
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
