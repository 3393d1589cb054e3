//! A credential is made (§7.1).

use aws_lc_rs::digest::{SHA256, digest};
use ciborium::Value;

use super::{
    Expected,
    attestation::{Attestation, Attested},
    authenticator_data::{Aaguid, AuthenticatorData, Flags},
    cbor,
    client_data::{self, Ceremony},
    error::{Refusal, Result},
    key::{Algorithm, PublicKey},
};

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
    /// The model.
    pub aaguid: Aaguid,
    /// What the authenticator says of the user and of the credential.
    pub flags: Flags,
    /// The counter to begin with; 0 where it has none.
    pub sign_count: u32,
    /// What attests to the model. Whether its certificates are trusted is another question.
    pub attestation: Attestation,
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
