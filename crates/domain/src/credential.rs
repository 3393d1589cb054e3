//! The rules for redeeming Credentials, as pure functions. The caller reads the Credential and writes the changed one
//! by compare-and-set.
//!
//! The secret of a Credential is a token, and the Credential stores its token id. Each *generation* of the secret has a
//! token id and a version. Sessions and tokens created with a generation carry its version. At most two generations are
//! valid: the current one and, during an overlap, the previous one.

use api::core_v1;
use aws_lc_rs::digest;
use subtle::ConstantTimeEq as _;

use crate::{clock::UnixMillis, id::Uid};

mod refusal;
mod rotation;

pub use refusal::Refusal;
pub use rotation::{Rotation, rotate};

/// The tolerated clock difference between replicas. A stored time that is further ahead counts as in the future.
pub(crate) const CLOCK_TOLERANCE: std::time::Duration = std::time::Duration::from_mins(1);

/// The lifetime of a recovery Credential and of the Sessions created with it.
pub const RECOVERY_LIFETIME: std::time::Duration = std::time::Duration::from_mins(15);

/// The generation of the secret that authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The current generation.
    Current {
        /// The version to store in the Session and its tokens.
        version: u32,
    },
    /// The previous generation, during its overlap.
    Overlapping {
        /// The version to store in the Session and its tokens.
        version: u32,
        /// The end of the overlap. The Sessions of this generation end with it.
        until: UnixMillis,
    },
}

impl Generation {
    /// Returns the version to store in the Session and its tokens.
    pub fn version(self) -> u32 {
        match self {
            Self::Current { version } | Self::Overlapping { version, .. } => version,
        }
    }
}

/// The action to take on a Credential after a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterUse {
    /// Store the changed Credential.
    Keep,
    /// Delete the Credential: this was its last use and it has `autoDelete`.
    Delete,
}

/// Decides whether the holder of the token `token_id` can authenticate with `credential` at `now`. Changes nothing: if
/// the Credential is [`counted`], the caller then applies [`record_use`] in the transaction that creates the Session.
///
/// # Errors
/// Returns [`Refusal::Superseded`] if the token was replaced, [`Refusal::UsedUp`] if no use is left, or the first
/// failed check of [`accepts_version`].
pub fn redeem(
    credential: &core_v1::Credential,
    token_id: Uid,
    now: UnixMillis,
) -> Result<Generation, Refusal> {
    let status = credential.status.as_ref().ok_or(Refusal::Incomplete)?;
    let generation = if is_token_id(&status.token_id, token_id) {
        Generation::Current {
            version: status.version,
        }
    } else {
        let until = overlap_end(status, now).ok_or(Refusal::Superseded)?;
        if !is_token_id(&status.previous_token_id, token_id) {
            return Err(Refusal::Superseded);
        }
        Generation::Overlapping {
            version: status.previous_version,
            until,
        }
    };
    check_redeemable(credential, generation.version(), now)?;
    Ok(generation)
}

/// Decides like [`redeem`], for the current secret and without its token id.
///
/// # Errors
/// Returns the [`Refusal`] if nothing can authenticate with the current secret.
pub fn redeem_present(
    credential: &core_v1::Credential,
    now: UnixMillis,
) -> Result<Generation, Refusal> {
    let status = credential.status.as_ref().ok_or(Refusal::Incomplete)?;
    let version = status.version;
    check_redeemable(credential, version, now)?;
    Ok(Generation::Current { version })
}

fn check_redeemable(
    credential: &core_v1::Credential,
    version: u32,
    now: UnixMillis,
) -> Result<(), Refusal> {
    accepts_version(credential, version, now)?;
    let spec = credential.spec.as_ref().ok_or(Refusal::Incomplete)?;
    let status = credential.status.as_ref().ok_or(Refusal::Incomplete)?;
    if counted(credential) && status.total_authentications >= spec.max_authentications {
        return Err(Refusal::UsedUp);
    }
    Ok(())
}

/// Checks that the generation `version` of `credential` is still valid, and with it its Sessions, their tokens and
/// their open streams. A Credential that is used up keeps its Sessions.
///
/// # Errors
/// Returns [`Refusal::Disabled`], [`Refusal::Locked`], [`Refusal::Expired`], [`Refusal::Superseded`] or
/// [`Refusal::Incomplete`].
pub fn accepts_version(
    credential: &core_v1::Credential,
    version: u32,
    now: UnixMillis,
) -> Result<(), Refusal> {
    usable(credential, now)?;
    let status = credential.status.as_ref().ok_or(Refusal::Incomplete)?;
    // Version 0 belongs to a Credential without a secret and to tokens without a Credential.
    let is_current = version != 0 && version == status.version;
    let is_previous = version != 0 && version == status.previous_version;
    if is_current || (is_previous && overlap_end(status, now).is_some()) {
        Ok(())
    } else {
        Err(Refusal::Superseded)
    }
}

/// Returns the latest time at which Sessions of the generation `version` end, or `None` if only a change can end them.
pub fn version_ends_at(credential: &core_v1::Credential, version: u32) -> Option<UnixMillis> {
    let expires_at = credential.spec.as_ref().and_then(|spec| spec.expires_at);
    let overlap = credential
        .status
        .as_ref()
        .filter(|status| version != status.version && version == status.previous_version)
        .and_then(|status| status.previous_expires_at);
    let ends = [expires_at, overlap];
    let ends = ends.iter().flatten().map(UnixMillis::from_proto);
    ends.chain(recovery_until(credential)).min()
}

/// Returns the end of a recovery Credential, to which no Policy applies, or `None` for any other Credential.
///
/// Clients can write `spec.expiresAt`, so it can only move the end forward. A Credential without `status.recoveryUntil`
/// (written by an earlier version) ends [`RECOVERY_LIFETIME`] after its creation.
pub fn recovery_until(credential: &core_v1::Credential) -> Option<UnixMillis> {
    let status = credential
        .status
        .as_ref()
        .filter(|status| status.recovery)?;
    let set = status.recovery_until.as_ref().map(UnixMillis::from_proto);
    let created_at = || {
        let created_at = credential.metadata.as_ref()?.created_at.as_ref()?;
        Some(UnixMillis::from_proto(created_at).saturating_add(RECOVERY_LIFETIME))
    };
    let end = set.or_else(created_at).unwrap_or(UnixMillis(i64::MIN));
    let expires_at = credential.spec.as_ref().and_then(|spec| spec.expires_at);
    Some(expires_at.map_or(end, |at| UnixMillis::from_proto(&at).min(end)))
}

/// Returns whether the number of uses is limited. Each use must then be counted in the transaction that it is for.
pub fn counted(credential: &core_v1::Credential) -> bool {
    credential
        .spec
        .as_ref()
        .is_some_and(|spec| spec.max_authentications > 0)
}

/// Counts `uses` that [`redeem`] allowed, the last of them at `now`.
pub fn record_use(credential: &mut core_v1::Credential, uses: u32, now: UnixMillis) -> AfterUse {
    let status = credential.status.get_or_insert_default();
    status.total_authentications = status.total_authentications.saturating_add(uses);
    status.last_used_at = Some(now.to_proto());
    let total = status.total_authentications;
    match &credential.spec {
        Some(spec)
            if spec.auto_delete
                && spec.max_authentications > 0
                && total >= spec.max_authentications =>
        {
            AfterUse::Delete
        }
        _ => AfterUse::Keep,
    }
}

/// Returns the code challenge for `verifier`, which is its SHA-256 (RFC 7636 §4.2, `S256`).
pub fn code_challenge(verifier: &[u8]) -> [u8; 32] {
    let mut challenge = [0; 32];
    challenge.copy_from_slice(digest::digest(&digest::SHA256, verifier).as_ref());
    challenge
}

/// Checks the PKCE code verifier against the challenge of the Credential. The verifier must be empty if the Credential
/// has no challenge.
///
/// # Errors
/// Returns [`Refusal::WrongVerifier`] if the verifier does not match.
pub fn check_verifier(credential: &core_v1::Credential, verifier: &[u8]) -> Result<(), Refusal> {
    let challenge = credential
        .status
        .as_ref()
        .and_then(|status| status.pkce.as_ref())
        .map(|pkce| pkce.code_challenge.as_slice());
    let matches = match challenge {
        None => verifier.is_empty(),
        Some(challenge) => {
            let made = code_challenge(verifier);
            !verifier.is_empty() && bool::from(made.ct_eq(challenge))
        }
    };
    if matches {
        Ok(())
    } else {
        Err(Refusal::WrongVerifier)
    }
}

/// Checks that the Credential is not disabled, locked or expired. Does not check its secret.
pub(crate) fn usable(credential: &core_v1::Credential, now: UnixMillis) -> Result<(), Refusal> {
    let spec = credential.spec.as_ref().ok_or(Refusal::Incomplete)?;
    let status = credential.status.as_ref().ok_or(Refusal::Incomplete)?;
    if spec.is_disabled {
        return Err(Refusal::Disabled);
    }
    if status.is_locked {
        return Err(Refusal::Locked);
    }
    if recovery_until(credential).is_some_and(|end| now >= end) {
        return Err(Refusal::Expired);
    }
    match &spec.expires_at {
        Some(expires_at) if now >= UnixMillis::from_proto(expires_at) => Err(Refusal::Expired),
        _ => Ok(()),
    }
}

/// Returns the end of the overlap if the previous generation is valid at `now`. A time before the rotation means that
/// the clock was set back: an overlap that has ended must not become valid again.
fn overlap_end(status: &core_v1::credential::Status, now: UnixMillis) -> Option<UnixMillis> {
    let rotated_at = UnixMillis::from_proto(status.last_rotation_at.as_ref()?);
    let until = UnixMillis::from_proto(status.previous_expires_at.as_ref()?);
    let begun = now.saturating_add(CLOCK_TOLERANCE) >= rotated_at;
    (begun && now < until).then_some(until)
}

fn is_token_id(stored: &str, presented: Uid) -> bool {
    bool::from(stored.as_bytes().ct_eq(presented.to_string().as_bytes()))
}

#[cfg(test)]
mod tests;
