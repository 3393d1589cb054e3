//! A credential is used (§7.2).

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    Expected,
    authenticator_data::{AuthenticatorData, Flags},
    client_data::{self, Ceremony},
    error::{Refusal, Result},
    key::PublicKey,
};

/// `AuthenticatorAssertionResponse` of the credential that [`Stored`] is of.
#[derive(Debug, Clone, Copy)]
pub struct AuthenticationResponse<'a> {
    /// `clientDataJSON`.
    pub client_data: &'a [u8],
    /// `authenticatorData`.
    pub authenticator_data: &'a [u8],
    /// `signature`.
    pub signature: &'a [u8],
}

/// What was kept of a credential.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Its key.
    pub public_key: &'a PublicKey,
    /// The last counter.
    pub sign_count: u32,
    /// Whether it may be copied to other devices, which never changes.
    pub backup_eligible: bool,
}

/// An authentication that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authenticated {
    /// What the authenticator says of the user and of the credential.
    pub flags: Flags,
    /// The counter to keep.
    pub sign_count: u32,
    /// The counter has not grown: there may be two of this authenticator (§6.1.1).
    pub is_cloned: bool,
}

/// Verifies an authentication. That the challenge is used up, that the credential is one that was asked for, and that
/// it is the user's is the caller's to check.
///
/// # Errors
/// The first reason against it.
pub fn authenticate(
    response: AuthenticationResponse<'_>,
    stored: Stored<'_>,
    expected: &Expected<'_>,
) -> Result<Authenticated> {
    client_data::check(response.client_data, Ceremony::Authentication, expected)?;
    let data = AuthenticatorData::check(response.authenticator_data, expected)?;
    if data.flags.backup_eligible != stored.backup_eligible {
        return Err(Refusal::BackupFlags);
    }
    let hash = digest(&SHA256, response.client_data);
    let message = [response.authenticator_data, hash.as_ref()].concat();
    stored.public_key.verify(&message, response.signature)?;
    let has_counter = data.sign_count != 0 || stored.sign_count != 0;
    Ok(Authenticated {
        flags: data.flags,
        sign_count: data.sign_count.max(stored.sign_count),
        is_cloned: has_counter && data.sign_count <= stored.sign_count,
    })
}
