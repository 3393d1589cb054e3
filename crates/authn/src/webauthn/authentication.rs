//! Verification of an authentication with a credential (§7.2).

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    Expected,
    authenticator_data::{AuthenticatorData, Flags},
    client_data::{self, Ceremony},
    error::{Refusal, Result},
    key::PublicKey,
};

/// `AuthenticatorAssertionResponse` of the credential described by [`Stored`].
#[derive(Debug, Clone, Copy)]
pub struct AuthenticationResponse<'a> {
    /// `clientDataJSON`.
    pub client_data: &'a [u8],
    /// `authenticatorData`.
    pub authenticator_data: &'a [u8],
    /// `signature`.
    pub signature: &'a [u8],
}

/// Stored properties of a credential.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Public key.
    pub public_key: &'a PublicKey,
    /// Last signature counter.
    pub sign_count: u32,
    /// True if the credential can be copied to other devices. The flag never changes.
    pub backup_eligible: bool,
}

/// A verified authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authenticated {
    /// Authenticator flags.
    pub flags: Flags,
    /// Signature counter to store.
    pub sign_count: u32,
    /// True if the counter did not increase, so the authenticator may have been cloned (§6.1.1).
    pub is_cloned: bool,
}

/// Verifies an authentication. The caller must check that the challenge is used once, that the credential was
/// requested, and that it belongs to the user.
///
/// # Errors
/// Returns the first [`Refusal`] that applies.
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
